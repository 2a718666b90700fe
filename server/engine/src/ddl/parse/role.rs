//! CREATE, ALTER, DROP ROLE.
//!
//! Invariant: no error here holds the text of a password.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;

use super::{Parsed, drop_list, role_name};
use crate::ddl::{AlterRole, CreateRole, Ddl, Membership, RoleName, RoleOptions};
use crate::error::Error;
use crate::statement::cursor::Cursor;
use crate::statement::{Setting, setting};

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.sees(&["create", "user", "mapping"])
        || cursor.sees(&["alter", "user", "mapping"])
        || cursor.sees(&["drop", "user", "mapping"])
    {
        return Ok(None);
    }
    if cursor.accept(&["create", "role"]) || cursor.accept(&["create", "group"]) {
        return create(cursor, false).map(Some);
    }
    if cursor.accept(&["create", "user"]) {
        return create(cursor, true).map(Some);
    }
    if cursor.accept(&["alter", "role"]) || cursor.accept(&["alter", "user"]) {
        return alter(cursor).map(Some);
    }
    if cursor.accept(&["alter", "group"]) {
        return alter_group(cursor).map(Some);
    }
    if cursor.accept(&["reassign", "owned", "by"]) {
        let from = cursor.list(role_name)?;
        cursor.expect(&["to"])?;
        return Ok(Some((Ddl::ReassignOwned { from, to: role_name(cursor)? }, "REASSIGN OWNED")));
    }
    if cursor.accept(&["drop", "owned", "by"]) {
        let roles = cursor.list(role_name)?;
        super::restrict(cursor)?;
        return Ok(Some((Ddl::DropOwned(roles), "DROP OWNED")));
    }
    let drops = [["drop", "role"], ["drop", "user"], ["drop", "group"]];
    if drops.iter().any(|words| cursor.accept(words)) {
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
    let (mut in_roles, mut members, mut admins) = (Vec::new(), Vec::new(), Vec::new());
    while !cursor.is_done() {
        if cursor.accept(&["in", "role"]) || cursor.accept(&["in", "group"]) {
            in_roles.extend(cursor.list(role_name)?);
        } else if cursor.accept(&["role"]) || cursor.accept(&["user"]) {
            members.extend(cursor.list(role_name)?);
        } else if cursor.accept(&["admin"]) {
            admins.extend(cursor.list(role_name)?);
        } else {
            option(cursor, &mut options)?;
        }
    }
    if is_user && options.login.is_none() {
        options.login = Some(true);
    }
    Ok((Ddl::CreateRole(CreateRole { name, options, in_roles, members, admins }), "CREATE ROLE"))
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
    if let Some(purposes) = allowed_purposes(cursor)? {
        return Ok((Ddl::AllowedPurposes { role, purposes }, "ALTER ROLE"));
    }
    if cursor.sees(&["in", "database"]) {
        return Err(cursor.unsupported("IN DATABASE", "Leave it out: there is one database."));
    }
    if cursor.sees(&["set"]) || cursor.sees(&["reset"]) {
        let (name, value) = role_setting(cursor)?;
        return Ok((Ddl::RoleSetting { role, name, value }, "ALTER ROLE"));
    }
    cursor.accept(&["with"]);
    let mut options = RoleOptions::default();
    option(cursor, &mut options)?;
    while !cursor.is_done() {
        option(cursor, &mut options)?;
    }
    Ok((Ddl::AlterRole(AlterRole { role, options }), "ALTER ROLE"))
}

/// `SET ALLOWED_PURPOSES = 'A,B'`, where DEFAULT, like RESET, leaves all open.
fn allowed_purposes(cursor: &mut Cursor<'_>) -> Result<Option<Option<Vec<String>>>, Error> {
    if cursor.accept(&["reset", "allowed_purposes"]) || cursor.accept(&["unset", "allowed_purposes"]) {
        return Ok(Some(None));
    }
    if !cursor.accept(&["set", "allowed_purposes"]) {
        return Ok(None);
    }
    if !cursor.accept_sign(&Token::Eq) {
        cursor.expect(&["to"])?;
    }
    if cursor.accept(&["default"]) {
        return Ok(Some(None));
    }
    let written = cursor.string()?.into_exposed();
    let codes = written.split(',').map(str::trim).filter(|code| !code.is_empty());
    Ok(Some(Some(codes.map(str::to_ascii_uppercase).collect())))
}

/// `SET name = value`, `SET name = DEFAULT`, `RESET name`, `RESET ALL`: the name, and the value where there is one.
fn role_setting(cursor: &mut Cursor<'_>) -> Result<(Option<String>, Option<String>), Error> {
    let position = cursor.position();
    let refused = || {
        let hint = "Settings of roles are those that SHOW ALL lists.";
        Error::unsupported("this setting of a role").with_hint(hint).with_position(position)
    };
    if cursor.accept(&["reset"]) {
        return match setting::reset(cursor)? {
            Setting::Reset(name) => Ok((name, None)),
            _ => Err(refused()),
        };
    }
    cursor.expect(&["set"])?;
    match setting::set(cursor)? {
        Setting::Set { name, value, local: false } => Ok((Some(name), value)),
        _ => Err(refused()),
    }
}

/// `ALTER GROUP g ADD | DROP USER u, …`, `ALTER GROUP g RENAME TO h`
fn alter_group(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let group = cursor.identifier()?;
    if cursor.accept(&["rename", "to"]) {
        return Ok((Ddl::RenameRole { role: group, to: cursor.identifier()? }, "ALTER ROLE"));
    }
    let Some(word) = cursor.accept_one(&["add", "drop"]) else { return Err(cursor.error()) };
    cursor.expect(&["user"])?;
    let members: Vec<RoleName> = cursor.list(role_name)?;
    let grant = word == "add";
    let membership = Membership { grant, roles: vec![group], members, admin_option: false, granted_by: None };
    Ok((Ddl::Membership(membership), if grant { "GRANT" } else { "REVOKE" }))
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
    if cursor.accept(&["connection", "limit"]) {
        let most = connections(cursor)?;
        return set(&mut options.connection_limit, most, twice);
    }
    if cursor.sees(&["sysid"]) {
        return Err(cursor.unsupported("SYSID", "Leave it out."));
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

/// A number of connections; -1 is any.
fn connections(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Error> {
    let position = cursor.position();
    let negative = cursor.accept_sign(&Token::Minus);
    let Some(Token::Number(digits, false)) = cursor.peek().map(|lexeme| &lexeme.token) else {
        return Err(cursor.error());
    };
    let number = digits.parse::<i32>().map_err(|_| cursor.error())?;
    cursor.advance();
    match (negative, u32::try_from(number)) {
        (false, Ok(number)) => Ok(Some(number)),
        (true, Ok(1)) => Ok(None),
        _ => {
            let message = format!("invalid connection limit: -{number}");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(position))
        }
    }
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
