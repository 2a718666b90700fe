//! `obj_description` and its like.
//!
//! Invariant: a comment is told to those who may see what it is about.

use super::super::cell::Cell;
use super::super::rows::{AUTHID, CLASS, NAMESPACE, on_schema};
use super::super::viewer::Viewer;
use super::answer::{Argument, Known, Returns};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Known] = &[
    Known::strict("col_description", Returns::Text, col_description),
    Known::strict("obj_description", Returns::Text, obj_description),
    Known::strict("shobj_description", Returns::Text, shobj_description),
];

fn col_description(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let [relation, place] = arguments else { return Ok(Cell::Null) };
    let (Some(oid), Some(place)) = (relation.oid(), place.number()) else { return Ok(Cell::Null) };
    let Some(seen) = viewer.relation(oid) else { return Ok(Cell::Null) };
    let found = seen.column_comments().into_iter().find(|(known, _)| i64::from(*known) == place);
    Ok(Cell::from(found.map(|(_, text)| text)))
}

fn obj_description(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(oid) = arguments.first().and_then(Argument::oid) else { return Ok(Cell::Null) };
    // The form with one argument is PostgreSQL's old one: any catalog.
    let catalog = catalog(arguments);
    let of_relation = || viewer.relation(oid).and_then(|seen| seen.comment().map(str::to_owned));
    let of_schema = || {
        let visible = viewer.schemas().iter().any(|schema| schema.oid == oid);
        on_schema(viewer, oid).filter(|_| visible).map(str::to_owned)
    };
    Ok(Cell::from(match catalog {
        Some(CLASS) => of_relation(),
        Some(NAMESPACE) => of_schema(),
        Some(_) => None,
        None => of_relation().or_else(of_schema),
    }))
}

fn shobj_description(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(oid) = arguments.first().and_then(Argument::oid) else { return Ok(Cell::Null) };
    let is_role = catalog(arguments) == Some(AUTHID);
    let role = viewer.role(oid).filter(|_| is_role);
    Ok(Cell::from(role.and_then(|role| role.comment.as_deref())))
}

/// The catalog that the second argument names; 0 where it is another.
fn catalog(arguments: &[Argument]) -> Option<u32> {
    let name = arguments.get(1).map(|name| name.text().unwrap_or_default());
    name.map(|name| match name.trim_start_matches("pg_catalog.") {
        "pg_class" => CLASS,
        "pg_namespace" => NAMESPACE,
        "pg_authid" => AUTHID,
        _ => 0,
    })
}
