//! Functions between OIDs and names: what the casts to `regclass` and its like become.
//!
//! Invariant: an object that the viewer may not see is answered as though it were not there.

use lakeward_base::{RoleId, SqlState};

use super::super::cell::Cell;
use super::super::rows::own_functions;
use super::super::types;
use super::super::viewer::{Viewer, identifiers, role_oid, unknown_relation};
use super::answer::{Argument, Known, Returns};
use super::describe::quoted;
use crate::error::Error;

/// The functions that casts of names become.
pub(super) const READERS: &[&str] = &[
    "regclassin",
    "regtypein",
    "regprocin",
    "regnamespacein",
    "regrolein",
    "regoperatorin",
    "regcollationin",
    "regconfigin",
];

pub(super) const FUNCTIONS: &[Known] = &[
    Known::strict("regclassin", Returns::Oid, |viewer, given| input(viewer, given, class_oid, unknown_relation)),
    Known::strict("to_regclass", Returns::Oid, |viewer, given| soft(viewer, given, class_oid)),
    Known::strict("regclassout", Returns::Text, |viewer, given| output(viewer, given, class_name)),
    Known::strict("regtypein", Returns::Oid, |viewer, given| input(viewer, given, type_oid, unknown_type)),
    Known::strict("to_regtype", Returns::Oid, |viewer, given| soft(viewer, given, type_oid)),
    Known::strict("regtypeout", Returns::Text, |viewer, given| {
        output(viewer, given, |_, oid| Some(types::format(oid, -1)))
    }),
    Known::strict("regprocin", Returns::Oid, |viewer, given| input(viewer, given, function_oid, unknown_function)),
    Known::strict("to_regproc", Returns::Oid, |viewer, given| soft(viewer, given, function_oid)),
    Known::strict("regprocout", Returns::Text, |viewer, given| output(viewer, given, function_name)),
    Known::strict("regnamespacein", Returns::Oid, |viewer, given| input(viewer, given, namespace_oid, unknown_schema)),
    Known::strict("to_regnamespace", Returns::Oid, |viewer, given| soft(viewer, given, namespace_oid)),
    Known::strict("regnamespaceout", Returns::Text, |viewer, given| output(viewer, given, namespace_name)),
    Known::strict("regrolein", Returns::Oid, |viewer, given| input(viewer, given, role_of_name, unknown_role)),
    Known::strict("to_regrole", Returns::Oid, |viewer, given| soft(viewer, given, role_of_name)),
    Known::strict("regroleout", Returns::Text, |viewer, given| output(viewer, given, role_name)),
    Known::strict("regoperatorin", Returns::Oid, |viewer, given| input(viewer, given, nothing, unknown_operator)),
    Known::strict("regoperatorout", Returns::Text, |viewer, given| output(viewer, given, |_, _| None)),
    Known::strict("regcollationin", Returns::Oid, |viewer, given| input(viewer, given, nothing, unknown_collation)),
    Known::strict("regcollationout", Returns::Text, |viewer, given| output(viewer, given, |_, _| None)),
    Known::strict("regconfigin", Returns::Oid, |viewer, given| input(viewer, given, nothing, unknown_configuration)),
    Known::strict("regconfigout", Returns::Text, |viewer, given| output(viewer, given, |_, _| None)),
    Known::strict("pg_get_userbyid", Returns::Text, pg_get_userbyid),
    Known::strict("lakeward_oid", Returns::Oid, |_, given| Ok(Cell::from(given.first().and_then(Argument::oid)))),
    Known::strict("lakeward_role_names", Returns::Texts, role_names),
    Known::strict("pg_table_is_visible", Returns::Truth, pg_table_is_visible),
    Known::truth("pg_collation_is_visible"),
    Known::truth("pg_conversion_is_visible"),
    Known::truth("pg_function_is_visible"),
    Known::truth("pg_opclass_is_visible"),
    Known::truth("pg_operator_is_visible"),
    Known::truth("pg_opfamily_is_visible"),
    Known::truth("pg_statistics_obj_is_visible"),
    Known::truth("pg_ts_config_is_visible"),
    Known::truth("pg_ts_dict_is_visible"),
    Known::truth("pg_ts_parser_is_visible"),
    Known::truth("pg_ts_template_is_visible"),
    Known::truth("pg_type_is_visible"),
    Known::strict("current_schemas", Returns::Texts, current_schemas),
];

/// Text to OID; a number is taken as it is.
fn input(
    viewer: &Viewer,
    arguments: &[Argument],
    find: fn(&Viewer, &str) -> Option<u32>,
    unknown: fn(&str) -> Error,
) -> Result<Cell, Error> {
    let Some(given) = arguments.first() else { return Ok(Cell::Null) };
    if let Some(oid) = given.oid() {
        return Ok(Cell::from(oid));
    }
    match given.text() {
        Some("-") => Ok(Cell::from(0_u32)),
        Some(name) => find(viewer, name).map(Cell::from).ok_or_else(|| unknown(name)),
        None => Ok(Cell::Null),
    }
}

/// The same, but NULL where there is no such thing.
fn soft(viewer: &Viewer, arguments: &[Argument], find: fn(&Viewer, &str) -> Option<u32>) -> Result<Cell, Error> {
    let name = arguments.first().and_then(Argument::text);
    Ok(Cell::from(name.and_then(|name| find(viewer, name))))
}

/// OID to text: 0 is `-`, and what there is not is its number.
fn output(viewer: &Viewer, arguments: &[Argument], name: fn(&Viewer, u32) -> Option<String>) -> Result<Cell, Error> {
    let Some(oid) = arguments.first().and_then(Argument::oid) else { return Ok(Cell::Null) };
    if oid == 0 {
        return Ok(Cell::from("-"));
    }
    Ok(Cell::from(name(viewer, oid).unwrap_or_else(|| oid.to_string())))
}

fn class_oid(viewer: &Viewer, name: &str) -> Option<u32> {
    viewer.relation_by_name(name).map(|seen| seen.oid)
}

fn class_name(viewer: &Viewer, oid: u32) -> Option<String> {
    let seen = viewer.relation(oid)?;
    let name = quoted(seen.name);
    Some(if viewer.is_visible(&seen) { name } else { format!("{}.{name}", quoted(seen.schema)) })
}

fn type_oid(_: &Viewer, name: &str) -> Option<u32> {
    types::by_name(name.trim_start_matches("pg_catalog.")).map(|(found, _)| found.oid)
}

fn function_oid(_: &Viewer, name: &str) -> Option<u32> {
    let name = name.trim_start_matches("pg_catalog.");
    let own = own_functions().iter().find(|function| function.name == name).map(|function| function.oid);
    own.or_else(|| types::functions().iter().find(|(_, known)| *known == name).map(|(oid, _)| *oid))
}

fn function_name(_: &Viewer, oid: u32) -> Option<String> {
    types::function_name(oid).map(str::to_owned)
}

fn namespace_oid(viewer: &Viewer, name: &str) -> Option<u32> {
    viewer.schemas().iter().find(|schema| schema.name == name).map(|schema| schema.oid)
}

fn namespace_name(viewer: &Viewer, oid: u32) -> Option<String> {
    viewer.schemas().iter().find(|schema| schema.oid == oid).map(|schema| quoted(schema.name))
}

/// Folded unless it is quoted.
fn role_of_name(viewer: &Viewer, written: &str) -> Option<u32> {
    let names = identifiers(written);
    let [name] = names.as_slice() else { return None };
    viewer.snapshot.role_by_name(name).map(|role| role_oid(role.id))
}

fn role_name(viewer: &Viewer, oid: u32) -> Option<String> {
    viewer.role(oid).map(|role| quoted(&role.name))
}

/// What there is none of.
fn nothing(_: &Viewer, _: &str) -> Option<u32> {
    None
}

fn unknown_operator(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {name}"))
}

fn unknown_collation(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("collation \"{name}\" does not exist"))
}

fn unknown_configuration(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("text search configuration \"{name}\" does not exist"))
}

fn unknown_type(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn unknown_function(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist"))
}

fn unknown_schema(name: &str) -> Error {
    Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
}

fn unknown_role(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

fn pg_get_userbyid(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(oid) = arguments.first().and_then(Argument::oid) else { return Ok(Cell::Null) };
    let name = viewer.role(oid).map(|role| role.name.clone());
    Ok(Cell::from(name.unwrap_or_else(|| format!("unknown (OID={oid})"))))
}

/// The names of roles by their OIDs, in order: PUBLIC, OID 0, has none.
fn role_names(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let [Argument::List(_, oids)] = arguments else { return Ok(Cell::Null) };
    let mut names: Vec<String> =
        oids.iter().filter_map(|oid| viewer.role(*oid)).map(|role| role.name.clone()).collect();
    names.sort_unstable();
    Ok(Cell::from(names))
}

fn pg_table_is_visible(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let seen = arguments.first().and_then(Argument::oid).and_then(|oid| viewer.relation(oid));
    Ok(Cell::from(seen.map(|seen| viewer.is_visible(&seen))))
}

fn current_schemas(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let implicit = arguments.first().and_then(Argument::truth).unwrap_or(false);
    Ok(Cell::from(viewer.current_schemas(implicit)))
}

/// The role that an argument names, by OID or name.
pub(super) fn role_argument(viewer: &Viewer, argument: &Argument) -> Result<RoleId, Error> {
    let found = match (argument.text(), argument.oid()) {
        (Some(name), _) => viewer.snapshot.role_by_name(name),
        (None, Some(oid)) => viewer.role(oid),
        (None, None) => None,
    };
    found.map(|role| role.id).ok_or_else(|| unknown_role(argument.text().unwrap_or_default()))
}
