//! The rules for names: which are reserved, which cannot be names at all, and how one is written in SQL.
//!
//! Invariant: no object made here has a name that a system object could need.

use std::borrow::Cow;

use lakeward_base::NAME_BYTES;

use crate::error::{CatalogError, ObjectKind};

const SYSTEM_SCHEMAS: [&str; 2] = ["system", "information_schema"];
/// `NONE` and `PUBLIC` mean something else wherever a role may be named.
const RESERVED_ROLES: [&str; 2] = ["none", "public"];

/// Checks the name of a new or renamed object.
pub(crate) fn check_name(kind: ObjectKind, name: &str) -> Result<(), CatalogError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES {
        "it is longer than 63 bytes"
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else {
        return check_reserved(kind, name);
    };
    Err(CatalogError::InvalidName { kind, reason })
}

fn check_reserved(kind: ObjectKind, name: &str) -> Result<(), CatalogError> {
    let prefixed = name.starts_with("pg_");
    let reserved = |message, detail| Err(CatalogError::Reserved { message, detail });
    match kind {
        ObjectKind::Role if prefixed => {
            reserved(format!("role name \"{name}\" is reserved"), "Role names starting with \"pg_\" are reserved.")
        }
        ObjectKind::Role if RESERVED_ROLES.contains(&name) => {
            reserved(format!("role name \"{name}\" is reserved"), "The names \"none\" and \"public\" are reserved.")
        }
        ObjectKind::Schema if prefixed => reserved(
            format!("unacceptable schema name \"{name}\""),
            "The prefix \"pg_\" is reserved for system schemas.",
        ),
        ObjectKind::Schema if SYSTEM_SCHEMAS.contains(&name) => {
            reserved(format!("unacceptable schema name \"{name}\""), "The name is reserved for a system schema.")
        }
        // psql and drivers look for system relations without naming their schema.
        ObjectKind::Relation | ObjectKind::Table | ObjectKind::View if prefixed => reserved(
            format!("unacceptable relation name \"{name}\""),
            "The prefix \"pg_\" is reserved for system relations.",
        ),
        ObjectKind::Role
        | ObjectKind::Schema
        | ObjectKind::Relation
        | ObjectKind::Table
        | ObjectKind::View
        | ObjectKind::Policy
        | ObjectKind::MaskingPolicy
        | ObjectKind::PolicyTest
        | ObjectKind::Tag
        | ObjectKind::Function
        | ObjectKind::Storage
        | ObjectKind::BreakGlass => Ok(()),
    }
}

/// Writes a name as SQL reads it back: as it is where that is unambiguous, else in double quotes.
#[must_use]
pub(crate) fn quote_identifier(name: &str) -> Cow<'_, str> {
    let starts_plainly = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let plain = starts_plainly && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'$'));
    if plain { Cow::Borrowed(name) } else { Cow::Owned(format!("\"{}\"", name.replace('"', "\"\""))) }
}

#[cfg(test)]
mod tests {
    use lakeward_base::{Coded, SqlState};

    use super::{check_name, quote_identifier};
    use crate::error::ObjectKind;

    #[test]
    fn system_names_are_reserved_for_each_kind() {
        let reserved = [
            (ObjectKind::Role, "pg_monitor"),
            (ObjectKind::Role, "public"),
            (ObjectKind::Role, "none"),
            (ObjectKind::Schema, "pg_catalog"),
            (ObjectKind::Schema, "pg_x"),
            (ObjectKind::Schema, "system"),
            (ObjectKind::Schema, "information_schema"),
            (ObjectKind::Table, "pg_class"),
            (ObjectKind::View, "pg_stat_activity"),
        ];
        for (kind, name) in reserved {
            let error = check_name(kind, name).expect_err(name);
            assert_eq!(error.sqlstate(), SqlState::RESERVED_NAME, "{kind} {name}");
        }
        for (kind, name) in
            [(ObjectKind::Role, "pgadmin"), (ObjectKind::Table, "system"), (ObjectKind::Schema, "public")]
        {
            assert!(check_name(kind, name).is_ok(), "{kind} {name}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for name in ["", "a\0b", "line\nbreak", &"x".repeat(64)] {
            let error = check_name(ObjectKind::Table, name).expect_err(name);
            assert_eq!(error.sqlstate(), SqlState::INVALID_NAME);
        }
        assert!(check_name(ObjectKind::Table, &"x".repeat(63)).is_ok());
    }

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        for (name, written) in [
            ("patients", "patients"),
            ("_x$1", "_x$1"),
            ("Älter", "\"Älter\""),
            ("1a", "\"1a\""),
            ("a.b", "\"a.b\""),
            ("q\"q", "\"q\"\"q\""),
        ] {
            assert_eq!(quote_identifier(name), written);
        }
    }
}
