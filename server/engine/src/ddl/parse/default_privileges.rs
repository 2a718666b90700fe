//! ALTER DEFAULT PRIVILEGES.
//!
//! Invariant: see [`super`].

use super::grant::{no_columns, privilege};
use super::{Parsed, grantee_name, role_name};
use crate::ddl::{Ddl, DefaultPrivileges};
use crate::error::Error;
use crate::statement::cursor::Cursor;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if !cursor.accept(&["alter", "default", "privileges"]) {
        return Ok(None);
    }
    let for_role = cursor.accept(&["for", "role"]) || cursor.accept(&["for", "user"]);
    let makers = if for_role { cursor.list(role_name)? } else { Vec::new() };
    let schemas = if cursor.accept(&["in", "schema"]) { cursor.list(Cursor::identifier)? } else { Vec::new() };
    let grant = match cursor.accept_one(&["grant", "revoke"]) {
        Some(word) => word == "grant",
        None => return Err(cursor.error()),
    };
    let option_only = !grant && cursor.accept(&["grant", "option", "for"]);
    let mut privileges = Vec::new();
    if cursor.accept(&["all"]) {
        cursor.accept(&["privileges"]);
        no_columns(cursor)?;
    } else {
        for wanted in cursor.list(privilege)? {
            if !wanted.columns.is_empty() {
                return Err(cursor.unsupported("a default privilege on columns", "Grant on each table."));
            }
            privileges.push(wanted.privilege);
        }
    }
    cursor.expect(&["on"])?;
    if !cursor.accept(&["tables"]) {
        return Err(
            cursor.unsupported("default privileges on this kind of object", "Use ON TABLES: it is for views too.")
        );
    }
    cursor.expect(&[if grant { "to" } else { "from" }])?;
    let grantees = cursor.list(grantee_name)?;
    let grant_option = option_only || (grant && cursor.accept(&["with", "grant", "option"]));
    // Nothing depends on what will be granted.
    if !grant && !cursor.accept(&["cascade"]) {
        cursor.accept(&["restrict"]);
    }
    let change = DefaultPrivileges { makers, schemas, grant, privileges, grantees, grant_option };
    Ok(Some((Ddl::DefaultPrivileges(change), "ALTER DEFAULT PRIVILEGES")))
}
