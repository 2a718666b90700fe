//! The database, its settings, its access method.
//!
//! Invariant: nothing about where the lake keeps its files.

use super::super::cell::{Rows, row};
use super::super::viewer::{DATABASE_OID, DELTA_OID, Viewer, role_oid};
use crate::functions::DATABASE;

/// PostgreSQL's number for UTF-8.
pub(in crate::system::pg_catalog) const UTF8: i64 = 6;
const DEFAULT_TABLESPACE_OID: u32 = 1663;

pub(super) fn pg_database(viewer: &Viewer) -> Rows {
    let owner = role_oid(viewer.system_owner());
    let columns = &[
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "datcollate",
        "datctype",
    ];
    Rows::new(columns, [row![DATABASE_OID, DATABASE, owner, UTF8, "c", true, -1, DEFAULT_TABLESPACE_OID, "C", "C"]])
}

pub(super) fn pg_tablespace(viewer: &Viewer) -> Rows {
    let owner = role_oid(viewer.system_owner());
    Rows::new(&["oid", "spcname", "spcowner"], [row![DEFAULT_TABLESPACE_OID, "pg_default", owner]])
}

pub(super) fn pg_am(_: &Viewer) -> Rows {
    Rows::new(&["oid", "amname", "amtype"], [row![DELTA_OID, "delta", "t"]])
}

pub(super) fn pg_settings(viewer: &Viewer) -> Rows {
    let rows = viewer.settings.iter().map(|(name, value)| {
        row![*name, value.as_str(), "Lakeward", "user", "string", "session", value.as_str(), value.as_str(), false]
    });
    let columns =
        &["name", "setting", "category", "context", "vartype", "source", "boot_val", "reset_val", "pending_restart"];
    Rows::new(columns, rows)
}
