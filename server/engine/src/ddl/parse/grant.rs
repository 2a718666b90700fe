//! GRANT and REVOKE.
//!
//! Invariant: see [`super`].

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;
use lakeward_catalog::Privilege;

use super::{Parsed, grantee_name, role_name};
use crate::ddl::{Ddl, GrantTarget, Membership, Privileges};
use crate::error::Error;
use crate::statement::cursor::Cursor;

const ON_TABLES: &[(&str, Privilege)] = &[
    ("select", Privilege::Select),
    ("insert", Privilege::Insert),
    ("update", Privilege::Update),
    ("delete", Privilege::Delete),
];
const ON_SCHEMAS: &[(&str, Privilege)] = &[("usage", Privilege::Usage), ("create", Privilege::Create)];
/// PostgreSQL's and Lakeward's others.
const ELSEWHERE: &[&str] =
    &["truncate", "references", "trigger", "connect", "temporary", "temp", "execute", "maintain", "break"];

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    let (grant, class) = match cursor.accept_one(&["grant", "revoke"]) {
        Some("grant") => (true, "GRANT"),
        Some(_) => (false, "REVOKE"),
        None => return Ok(None),
    };
    if !grant && (cursor.sees(&["grant", "option"]) || cursor.sees(&["admin", "option"])) {
        return Err(cursor.unsupported("REVOKE … OPTION FOR", "Revoke the privilege or role itself."));
    }
    let change = if is_membership(cursor, grant) { membership(cursor, grant)? } else { privileges(cursor, grant)? };
    options(cursor, grant)?;
    Ok(Some((change, class)))
}

/// Without ON before TO or FROM it is about roles.
fn is_membership(cursor: &Cursor<'_>, grant: bool) -> bool {
    let end = if grant { "to" } else { "from" };
    let mut ahead = 0;
    while let Some(lexeme) = cursor.peek_ahead(ahead) {
        if lexeme.is_word("on") {
            return false;
        }
        if lexeme.is_word(end) {
            return !cursor.sees(&["break", "glass"]);
        }
        ahead += 1;
    }
    false
}

fn membership(cursor: &mut Cursor<'_>, grant: bool) -> Result<Ddl, Error> {
    let roles = cursor.list(Cursor::identifier)?;
    cursor.expect(&[if grant { "to" } else { "from" }])?;
    let members = cursor.list(role_name)?;
    Ok(Ddl::Membership(Membership { grant, roles, members }))
}

fn privileges(cursor: &mut Cursor<'_>, grant: bool) -> Result<Ddl, Error> {
    let mut privileges = Vec::new();
    if cursor.accept(&["all"]) {
        cursor.accept(&["privileges"]);
        no_columns(cursor)?;
    } else {
        privileges = cursor.list(privilege)?;
    }
    cursor.expect(&["on"])?;
    let on = target(cursor)?;
    let is_schema = matches!(on, GrantTarget::Schemas(_));
    let known = if is_schema { ON_SCHEMAS } else { ON_TABLES };
    if let Some(wrong) = privileges.iter().find(|privilege| !known.iter().any(|(_, fitting)| fitting == *privilege)) {
        let kind = if is_schema { "schema" } else { "relation" };
        return Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("invalid privilege type {} for {kind}", wrong.as_sql()),
        ));
    }
    cursor.expect(&[if grant { "to" } else { "from" }])?;
    let grantees = cursor.list(grantee_name)?;
    Ok(Ddl::Privileges(Privileges { grant, privileges, on, grantees }))
}

fn privilege(cursor: &mut Cursor<'_>) -> Result<Privilege, Error> {
    if ELSEWHERE.iter().any(|word| cursor.sees(&[word])) {
        return Err(
            cursor.unsupported("this privilege", "Privileges are SELECT, INSERT, UPDATE, DELETE, USAGE and CREATE.")
        );
    }
    for (word, privilege) in ON_TABLES.iter().chain(ON_SCHEMAS) {
        if cursor.accept(&[word]) {
            no_columns(cursor)?;
            return Ok(*privilege);
        }
    }
    Err(cursor.error())
}

fn no_columns(cursor: &Cursor<'_>) -> Result<(), Error> {
    if cursor.sees_sign(&Token::LParen) {
        return Err(cursor
            .unsupported("a privilege on columns", "Grant on a view with these columns, or set masking policies."));
    }
    Ok(())
}

fn target(cursor: &mut Cursor<'_>) -> Result<GrantTarget, Error> {
    if cursor.accept(&["all", "tables", "in", "schema"]) {
        return cursor.list(Cursor::identifier).map(GrantTarget::AllInSchemas);
    }
    if cursor.accept(&["schema"]) {
        return cursor.list(Cursor::identifier).map(GrantTarget::Schemas);
    }
    let elsewhere = [
        "function",
        "procedure",
        "routine",
        "sequence",
        "database",
        "domain",
        "foreign",
        "language",
        "large",
        "parameter",
        "tablespace",
        "type",
        "storage",
        "all",
        "column",
    ];
    if elsewhere.iter().any(|word| cursor.sees(&[word]))
        && !cursor.peek_ahead(1).is_none_or(|next| matches!(next.token, Token::Comma | Token::Period))
        && !cursor.peek_ahead(1).is_some_and(|next| next.is_word("to") || next.is_word("from"))
    {
        return Err(
            cursor.unsupported("a privilege on this kind of object", "Privileges are on tables, views and schemas.")
        );
    }
    cursor.accept(&["table"]);
    cursor.list(Cursor::name).map(GrantTarget::Relations)
}

fn options(cursor: &mut Cursor<'_>, grant: bool) -> Result<(), Error> {
    if grant
        && (cursor.sees(&["with", "grant"])
            || cursor.sees(&["with", "admin"])
            || cursor.sees(&["with", "inherit"])
            || cursor.sees(&["with", "set"]))
    {
        return Err(cursor.unsupported("an option of GRANT", "The owner and superusers grant; leave WITH … out."));
    }
    if cursor.sees(&["granted", "by"]) {
        return Err(cursor.unsupported("GRANTED BY", "Leave it out."));
    }
    if grant { Ok(()) } else { super::restrict(cursor) }
}
