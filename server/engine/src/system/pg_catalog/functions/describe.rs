//! Functions that describe types, settings, sizes, definitions.
//!
//! Invariant: what there is nothing to say of is NULL, never made up.

use lakeward_base::SqlState;

use super::super::cell::Cell;
use super::super::rows::{OwnFunction, UTF8, own_functions, view_definition};
use super::super::types;
use super::super::viewer::Viewer;
use super::answer::{Argument, Known, Returns};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Known] = &[
    Known { name: "format_type", returns: Returns::Text, strict: false, body: format_type },
    Known { name: "pg_get_expr", returns: Returns::Text, strict: false, body: pg_get_expr },
    Known::strict("pg_get_viewdef", Returns::Text, pg_get_viewdef),
    Known::strict("pg_encoding_to_char", Returns::Text, pg_encoding_to_char),
    Known::strict("pg_size_pretty", Returns::Text, pg_size_pretty),
    Known::strict("quote_ident", Returns::Text, quote_ident),
    Known::strict("current_setting", Returns::Text, current_setting),
    Known::strict("array_upper", Returns::Int4, array_upper),
    Known::strict("array_lower", Returns::Int4, array_lower),
    Known { name: "pg_my_temp_schema", returns: Returns::Oid, strict: false, body: |_, _| Ok(Cell::from(0_u32)) },
    Known { name: "getdatabaseencoding", returns: Returns::Text, strict: false, body: |_, _| Ok(Cell::from("UTF8")) },
    Known { name: "pg_client_encoding", returns: Returns::Text, strict: false, body: |_, _| Ok(Cell::from("UTF8")) },
    Known { name: "pg_is_in_recovery", returns: Returns::Truth, strict: false, body: |_, _| Ok(Cell::Bool(false)) },
    Known::falsehood("pg_relation_is_publishable"),
    Known::falsehood("pg_is_other_temp_schema"),
    Known::nothing("pg_get_constraintdef", Returns::Text),
    Known::nothing("pg_get_functiondef", Returns::Text),
    Known::strict("pg_get_function_arguments", Returns::Text, |_, given| own_function(given, |own| own.arguments)),
    Known::strict("pg_get_function_identity_arguments", Returns::Text, |_, given| {
        own_function(given, |own| own.arguments)
    }),
    Known::strict("pg_get_function_result", Returns::Text, |_, given| own_function(given, |own| own.returns)),
    Known::nothing("pg_get_function_sqlbody", Returns::Text),
    Known::nothing("pg_get_indexdef", Returns::Text),
    Known::nothing("pg_get_partition_constraintdef", Returns::Text),
    Known::nothing("pg_get_partkeydef", Returns::Text),
    Known::nothing("pg_get_ruledef", Returns::Text),
    Known::nothing("pg_get_serial_sequence", Returns::Text),
    Known::nothing("pg_get_statisticsobjdef_columns", Returns::Text),
    Known::nothing("pg_get_triggerdef", Returns::Text),
    Known::nothing("pg_tablespace_location", Returns::Text),
    Known::nothing("pg_tablespace_size", Returns::Int8),
    Known::strict("pg_char_to_encoding", Returns::Int4, pg_char_to_encoding),
    Known::nothing("inet_client_addr", Returns::Text),
    Known::nothing("inet_server_addr", Returns::Text),
    Known::nothing("inet_server_port", Returns::Int4),
    Known::nothing("pg_database_size", Returns::Int8),
    Known::nothing("pg_indexes_size", Returns::Int8),
    Known::nothing("pg_relation_size", Returns::Int8),
    Known::nothing("pg_table_size", Returns::Int8),
    Known::nothing("pg_total_relation_size", Returns::Int8),
];

fn format_type(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let modifier = arguments.get(1).and_then(Argument::number).and_then(|number| i32::try_from(number).ok());
    let oid = arguments.first().and_then(Argument::oid);
    Ok(Cell::from(oid.map(|oid| types::format(oid, modifier.unwrap_or(-1)))))
}

/// Expressions are kept as text, and only those that the viewer may see are in a relation.
fn pg_get_expr(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    Ok(Cell::from(arguments.first().and_then(Argument::text)))
}

fn pg_get_viewdef(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(given) = arguments.first() else { return Ok(Cell::Null) };
    let seen = match (given.oid(), given.text()) {
        (Some(oid), _) => viewer.relation(oid),
        (None, Some(name)) => viewer.relation_by_name(name),
        (None, None) => None,
    };
    // psql writes the text after CREATE VIEW … AS and wants the semicolon.
    let definition = seen.and_then(|seen| view_definition(viewer, &seen));
    Ok(Cell::from(definition.map(|text| format!(" {};", text.trim().trim_end_matches(';')))))
}

/// What is known of one of Lakeward's own functions.
fn own_function(arguments: &[Argument], tell: fn(&OwnFunction) -> &'static str) -> Result<Cell, Error> {
    let oid = arguments.first().and_then(Argument::oid);
    let found = oid.and_then(|oid| own_functions().iter().find(|function| function.oid == oid));
    Ok(Cell::from(found.map(tell)))
}

fn pg_char_to_encoding(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let name = arguments.first().and_then(Argument::text).unwrap_or_default().to_ascii_lowercase();
    Ok(Cell::from(if matches!(name.as_str(), "utf8" | "utf-8" | "unicode") { UTF8 } else { -1 }))
}

fn pg_encoding_to_char(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let number = arguments.first().and_then(Argument::number);
    Ok(Cell::from(number.map(|number| if number == UTF8 { "UTF8" } else { "" })))
}

fn pg_size_pretty(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(bytes) = arguments.first().and_then(Argument::number) else { return Ok(Cell::Null) };
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount.abs() >= 10 * 1024 && unit + 1 < units.len() {
        amount /= 1024;
        unit += 1;
    }
    Ok(Cell::from(format!("{amount} {}", units.get(unit).copied().unwrap_or_default())))
}

fn quote_ident(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    Ok(Cell::from(arguments.first().and_then(Argument::text).map(quoted)))
}

/// An identifier, quoted where it must be.
pub(super) fn quoted(name: &str) -> String {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if starts && plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn current_setting(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(name) = arguments.first().and_then(Argument::text) else { return Ok(Cell::Null) };
    let missing_ok = arguments.get(1).and_then(Argument::truth).unwrap_or(false);
    match viewer.setting(name) {
        Some(value) => Ok(Cell::from(value)),
        None if missing_ok => Ok(Cell::Null),
        None => {
            let message = format!("unrecognized configuration parameter \"{name}\"");
            Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
        }
    }
}

fn array_upper(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    Ok(Cell::from(length(arguments)))
}

fn array_lower(_: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    Ok(Cell::from(length(arguments).map(|_| 1_i64)))
}

/// The length of a list that is not empty; there is one dimension.
fn length(arguments: &[Argument]) -> Option<i64> {
    match arguments {
        [Argument::List(length, _), dimension] if *length > 0 && dimension.number() == Some(1) => {
            i64::try_from(*length).ok()
        }
        _ => None,
    }
}
