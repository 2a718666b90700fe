//! The front parser: Lakeward's own statements, by hand.
//!
//! Invariant: a parser here reads its statement to the end or refuses it; the caller checks that nothing is left.

mod comment;
mod default_privileges;
mod glass;
mod grant;
mod policy;
mod policy_test;
mod role;
mod table;
mod tag;
#[cfg(test)]
mod tests;
mod view;

use super::{Ddl, Drop, GranteeName, RoleName};
use crate::error::Error;
use crate::statement::cursor::Cursor;

/// A statement and its audit class.
type Parsed = (Ddl, &'static str);

/// Parses a change of the catalog, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    let parsers = [
        role::parse,
        grant::parse,
        default_privileges::parse,
        view::parse,
        policy_test::parse,
        policy::parse,
        tag::parse,
        table::parse,
        comment::parse,
        glass::parse,
    ];
    for parser in parsers {
        if let Some((ddl, class)) = parser(cursor)? {
            let forced = ddl.changes_policies() && cursor.accept(&["force"]);
            return Ok(Some((if forced { Ddl::Forced(Box::new(ddl)) } else { ddl }, class)));
        }
    }
    Ok(None)
}

/// `[IF EXISTS] name, … [RESTRICT]`
fn drop_list<T>(
    cursor: &mut Cursor<'_>,
    item: impl FnMut(&mut Cursor<'_>) -> Result<T, Error>,
) -> Result<Drop<T>, Error> {
    let if_exists = cursor.if_exists();
    let names = cursor.list(item)?;
    restrict(cursor)?;
    Ok(Drop { names, if_exists })
}

/// `[RESTRICT]`: nothing else is ever done.
fn restrict(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    if cursor.sees(&["cascade"]) {
        return Err(cursor.unsupported("CASCADE", "Drop what depends on it first."));
    }
    cursor.accept(&["restrict"]);
    Ok(())
}

/// A role's name where it must exist.
fn role_name(cursor: &mut Cursor<'_>) -> Result<RoleName, Error> {
    if cursor.accept_one(&["current_role", "current_user"]).is_some() {
        return Ok(RoleName::Current);
    }
    if cursor.accept(&["session_user"]) {
        return Ok(RoleName::Session);
    }
    cursor.identifier().map(RoleName::Named)
}

/// PUBLIC or a role.
fn grantee_name(cursor: &mut Cursor<'_>) -> Result<GranteeName, Error> {
    if cursor.accept(&["public"]) {
        return Ok(GranteeName::Public);
    }
    cursor.accept(&["group"]);
    role_name(cursor).map(GranteeName::Role)
}
