//! Types, and what PostgreSQL has around them.
//!
//! Invariant: built-in objects only, under their true OIDs.

use super::super::cell::{Cell, Rows, row};
use super::super::definition::PG_CATALOG_OID;
use super::super::types::{self, TypeRow};
use super::super::viewer::{SYSTEM_SCHEMA_OID, Viewer, role_oid};

const TYPE: &[&str] = &[
    "oid",
    "typname",
    "typnamespace",
    "typowner",
    "typlen",
    "typbyval",
    "typtype",
    "typcategory",
    "typispreferred",
    "typisdefined",
    "typdelim",
    "typelem",
    "typarray",
    "typsubscript",
    "typinput",
    "typoutput",
    "typreceive",
    "typsend",
    "typmodin",
    "typmodout",
    "typalign",
    "typstorage",
    "typtypmod",
    "typcollation",
];

pub(super) fn pg_type(viewer: &Viewer) -> Rows {
    let owner = role_oid(viewer.system_owner());
    Rows::new(TYPE, types::all().iter().map(|found| type_row(found, owner)))
}

fn type_row(found: &TypeRow, owner: u32) -> Vec<Cell> {
    let mut row = row![
        found.oid,
        found.name,
        PG_CATALOG_OID,
        owner,
        found.length,
        found.by_value,
        found.kind,
        found.category,
        found.preferred,
        true,
        found.delimiter,
        found.element,
        found.array,
    ];
    row.extend(found.functions.map(Cell::from));
    row.extend(row![found.alignment, found.storage, -1, found.collation]);
    row
}

/// A function that PostgreSQL has not.
pub(in crate::system::pg_catalog) struct OwnFunction {
    pub(in crate::system::pg_catalog) oid: u32,
    pub(in crate::system::pg_catalog) name: &'static str,
    /// The types of its arguments, as SQL writes them.
    pub(in crate::system::pg_catalog) arguments: &'static str,
    pub(in crate::system::pg_catalog) returns: &'static str,
}

const fn own(oid: u32, name: &'static str, arguments: &'static str, returns: &'static str) -> OwnFunction {
    OwnFunction { oid, name, arguments, returns }
}

/// The functions for policies and masks, in the schema `system`.
const OWN: &[OwnFunction] = &[
    own(15200, "current_purpose", "", "text"),
    own(15201, "is_role_in_session", "text", "boolean"),
    own(15202, "mask_alphanum", "text", "text"),
    own(15203, "mask_hash", "anyelement, text", "text"),
    own(15204, "mask_null", "anyelement", "anyelement"),
    own(15205, "mask_partial", "text, integer, text, integer", "text"),
    own(15206, "mask_show_first", "text, integer", "text"),
    own(15207, "mask_show_last", "text, integer", "text"),
    own(15208, "principal_attribute", "text", "text"),
    own(15209, "safe_harbor_zip", "text", "text"),
    own(15210, "truncate_to_year", "anyelement", "anyelement"),
    own(15211, "date_shift", "anyelement, text", "anyelement"),
    own(15212, "de_identify", "text, text, text[], text, text[], text", "text"),
    own(15213, "fpe_decrypt", "anyelement, text", "anyelement"),
    own(15214, "fpe_encrypt", "anyelement, text", "anyelement"),
    own(15215, "hmac_token", "anyelement, text", "anyelement"),
    own(15216, "phi_contains", "text, text[]", "boolean"),
    own(15217, "phi_detect", "text, text[], double precision", "jsonb[]"),
    own(15218, "safe_harbor_age", "anyelement", "anyelement"),
    own(15219, "safe_harbor_year", "date", "date"),
    own(15220, "sha2", "text, integer", "text"),
];

/// See [`OwnFunction`].
pub(in crate::system::pg_catalog) fn own_functions() -> &'static [OwnFunction] {
    OWN
}

/// Lakeward's own functions, and those that types name: drivers join these to tell arrays from other types.
pub(super) fn pg_proc(viewer: &Viewer) -> Rows {
    let owner = role_oid(viewer.system_owner());
    let known = types::functions()
        .iter()
        .map(|(oid, name)| row![*oid, *name, PG_CATALOG_OID, owner, "f", true, "i", "s", *name]);
    let own = OWN.iter().map(|function| {
        row![function.oid, function.name, SYSTEM_SCHEMA_OID, owner, "f", true, "s", "s", function.name]
    });
    let rows = own.chain(known);
    let columns = &[
        "oid",
        "proname",
        "pronamespace",
        "proowner",
        "prokind",
        "proisstrict",
        "provolatile",
        "proparallel",
        "prosrc",
    ];
    Rows::new(columns, rows)
}

/// Range types with their elements and multiranges.
const RANGES: &[(u32, u32, u32)] = &[
    (3904, 23, 4451),
    (3906, 1700, 4532),
    (3908, 1114, 4533),
    (3910, 1184, 4534),
    (3912, 1082, 4535),
    (3926, 20, 4536),
];

pub(super) fn pg_range(_: &Viewer) -> Rows {
    let rows = RANGES.iter().map(|(range, element, multirange)| row![*range, *element, *multirange]);
    Rows::new(&["rngtypid", "rngsubtype", "rngmultitypid"], rows)
}

/// Collations: OID, name, provider, locale.
const COLLATIONS: &[(u32, &str, &str, Option<&str>)] =
    &[(100, "default", "d", None), (950, "C", "c", Some("C")), (951, "POSIX", "c", Some("POSIX"))];

pub(super) fn pg_collation(viewer: &Viewer) -> Rows {
    let owner = role_oid(viewer.system_owner());
    let rows = COLLATIONS.iter().map(|(oid, name, provider, locale)| {
        row![*oid, *name, PG_CATALOG_OID, owner, *provider, true, -1, *locale, *locale]
    });
    let columns = &[
        "oid",
        "collname",
        "collnamespace",
        "collowner",
        "collprovider",
        "collisdeterministic",
        "collencoding",
        "collcollate",
        "collctype",
    ];
    Rows::new(columns, rows)
}
