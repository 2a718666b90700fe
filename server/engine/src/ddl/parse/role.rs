//! CREATE, ALTER, DROP ROLE.
//!
//! Invariant: no error here holds the text of a password.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;

use super::{Parsed, drop_list, role_name};
use crate::ddl::{AlterRole, CreateRole, Ddl, RoleOptions};
use crate::error::Error;
use crate::statement::cursor::Cursor;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.sees(&["create", "user", "mapping"])
        || cursor.sees(&["alter", "user", "mapping"])
        || cursor.sees(&["drop", "user", "mapping"])
    {
        return Ok(None);
    }
    if cursor.accept(&["create", "role"]) {
        return create(cursor, false).map(Some);
    }
    if cursor.accept(&["create", "user"]) {
        return create(cursor, true).map(Some);
    }
    if cursor.accept(&["alter", "role"]) || cursor.accept(&["alter", "user"]) {
        return alter(cursor).map(Some);
    }
    if cursor.accept(&["drop", "role"]) || cursor.accept(&["drop", "user"]) {
        return Ok(Some((Ddl::DropRole(drop_list(cursor, |cursor| cursor.identifier())?), "DROP ROLE")));
    }
    Ok(None)
}

fn create(cursor: &mut Cursor<'_>, is_user: bool) -> Result<Parsed, Error> {
    if cursor.sees(&["if", "not", "exists"]) {
        return Err(cursor.unsupported("CREATE ROLE IF NOT EXISTS", "Create it, and accept the error 42710."));
    }
    let name = cursor.identifier()?;
    cursor.accept(&["with"]);
    let mut options = RoleOptions::default();
    let (mut in_roles, mut members) = (Vec::new(), Vec::new());
    while !cursor.is_done() {
        if cursor.accept(&["in", "role"]) || cursor.accept(&["in", "group"]) {
            in_roles.extend(cursor.list(role_name)?);
        } else if cursor.accept(&["role"]) || cursor.accept(&["user"]) {
            members.extend(cursor.list(role_name)?);
        } else {
            option(cursor, &mut options)?;
        }
    }
    if is_user && options.login.is_none() {
        options.login = Some(true);
    }
    Ok((Ddl::CreateRole(CreateRole { name, options, in_roles, members }), "CREATE ROLE"))
}

fn alter(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    if cursor.sees(&["all"]) {
        return Err(cursor.unsupported("ALTER ROLE ALL", "Alter each role."));
    }
    let role = role_name(cursor)?;
    if cursor.sees(&["rename"]) {
        let super::RoleName::Named(role) = role else { return Err(cursor.error()) };
        cursor.expect(&["rename", "to"])?;
        return Ok((Ddl::RenameRole { role, to: cursor.identifier()? }, "ALTER ROLE"));
    }
    if cursor.accept(&["set", "attribute"]) {
        let name = cursor.identifier()?;
        if !cursor.accept_sign(&Token::Eq) {
            cursor.expect(&["to"])?;
        }
        return Ok((Ddl::SetAttribute { role, name, value: Some(cursor.string()?) }, "ALTER ROLE"));
    }
    if cursor.accept(&["reset", "attribute"]) || cursor.accept(&["unset", "attribute"]) {
        return Ok((Ddl::SetAttribute { role, name: cursor.identifier()?, value: None }, "ALTER ROLE"));
    }
    if cursor.sees(&["set", "allowed_purposes"]) {
        return Err(cursor.unsupported("ALLOWED_PURPOSES", "Leave it out."));
    }
    if cursor.sees(&["set"]) || cursor.sees(&["reset"]) || cursor.sees(&["in"]) {
        return Err(cursor.unsupported("a setting of a role", "Use SET in the session, or the connection's options."));
    }
    cursor.accept(&["with"]);
    let mut options = RoleOptions::default();
    option(cursor, &mut options)?;
    while !cursor.is_done() {
        option(cursor, &mut options)?;
    }
    Ok((Ddl::AlterRole(AlterRole { role, options }), "ALTER ROLE"))
}

fn option(cursor: &mut Cursor<'_>, options: &mut RoleOptions) -> Result<(), Error> {
    let position = cursor.position();
    let twice = || Error::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").with_position(position);
    if cursor.accept_one(&["encrypted"]).is_some() && !cursor.sees(&["password"]) {
        return Err(cursor.error());
    }
    if cursor.accept(&["password"]) {
        let password = if cursor.accept(&["null"]) { None } else { Some(cursor.string()?) };
        return set(&mut options.password, password, twice);
    }
    if cursor.accept(&["valid", "until"]) {
        let place = cursor.position();
        let until = time(cursor.string()?.expose()).map_err(|error| error.with_position(place))?;
        return set(&mut options.valid_until, until, twice);
    }
    for (yes, no) in [("inherit", "noinherit"), ("createdb", "nocreatedb"), ("replication", "noreplication")] {
        let (kept, refused) = if yes == "inherit" { (yes, no) } else { (no, yes) };
        if cursor.accept(&[kept]) {
            return Ok(());
        }
        if cursor.sees(&[refused]) {
            return Err(cursor.unsupported(&refused.to_ascii_uppercase(), "Leave it out."));
        }
    }
    if cursor.sees(&["connection", "limit"]) || cursor.sees(&["admin"]) || cursor.sees(&["sysid"]) {
        return Err(cursor.unsupported("this option of a role", "Leave it out."));
    }
    let switches = [
        ("login", "nologin", &mut options.login),
        ("superuser", "nosuperuser", &mut options.superuser),
        ("bypassrls", "nobypassrls", &mut options.bypass_row_security),
        ("createrole", "nocreaterole", &mut options.create_role),
    ];
    for (yes, no, field) in switches {
        if let Some(word) = cursor.accept_one(&[yes, no]) {
            return set(field, word == yes, twice);
        }
    }
    Err(cursor.error())
}

fn set<T>(field: &mut Option<T>, value: T, twice: impl FnOnce() -> Error) -> Result<(), Error> {
    if field.is_some() {
        return Err(twice());
    }
    *field = Some(value);
    Ok(())
}

/// A moment, in UTC unless it says otherwise; `infinity` is none.
fn time(text: &str) -> Result<Option<DateTime<Utc>>, Error> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("infinity") {
        return Ok(None);
    }
    let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z"];
    let plain = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let parsed = DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc());
    let parsed = parsed.or_else(|| {
        zoned.iter().find_map(|format| DateTime::parse_from_str(text, format).ok()).map(|moment| moment.to_utc())
    });
    let parsed = parsed.or_else(|| {
        plain.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).map(|moment| moment.and_utc())
    });
    let day = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .and_then(|day| day.and_hms_opt(0, 0, 0))
            .map(|moment| moment.and_utc())
    };
    match parsed.or_else(day) {
        Some(moment) => Ok(Some(moment)),
        None => {
            Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, "invalid input syntax for type timestamp with time zone")
                .with_hint("Write VALID UNTIL '2027-01-01' or '2027-01-01 12:00:00+00'."))
        }
    }
}
