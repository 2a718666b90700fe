//! Comments.
//!
//! Invariant: see [`super::relation`].

use super::super::cell::{Rows, row};
use super::super::viewer::{Viewer, role_oid, schema_oid};

/// OIDs of the catalogs that comments are about: `pg_class`, `pg_namespace`, `pg_authid`.
pub(in crate::system::pg_catalog) const CLASS: u32 = 1259;
pub(in crate::system::pg_catalog) const NAMESPACE: u32 = 2615;
pub(in crate::system::pg_catalog) const AUTHID: u32 = 1260;

pub(super) fn pg_description(viewer: &Viewer) -> Rows {
    let mut rows = Vec::new();
    for seen in viewer.user_relations() {
        rows.extend(seen.comment().map(|comment| row![seen.oid, CLASS, 0, comment]));
        rows.extend(seen.column_comments().into_iter().map(|(place, text)| row![seen.oid, CLASS, place, text]));
    }
    for schema in viewer.schemas() {
        rows.extend(on_schema(viewer, schema.oid).map(|comment| row![schema.oid, NAMESPACE, 0, comment]));
    }
    Rows::new(&["objoid", "classoid", "objsubid", "description"], rows)
}

pub(super) fn pg_shdescription(viewer: &Viewer) -> Rows {
    let described = viewer.snapshot.roles().filter_map(|role| Some((role, role.comment.as_deref()?)));
    let rows = described.map(|(role, comment)| row![role_oid(role.id), AUTHID, comment]);
    Rows::new(&["objoid", "classoid", "description"], rows.collect::<Vec<_>>())
}

/// What is said of a schema.
pub(in crate::system::pg_catalog) fn on_schema(viewer: &Viewer, oid: u32) -> Option<&str> {
    let schema = viewer.snapshot.schemas().find(|schema| schema_oid(schema.id) == oid)?;
    schema.comment.as_deref()
}
