//! GRANT and REVOKE.
//!
//! Invariant: see [`super`].

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;
use lakeward_catalog::Privilege;

use super::{Parsed, grantee_name, role_name};
use crate::ddl::{Ddl, GrantTarget, Membership, Privileges, RoleName, WantedPrivilege};
use crate::error::Error;
use crate::statement::cursor::Cursor;

const ON_TABLES: &[(&str, Privilege)] = &[
    ("select", Privilege::Select),
    ("insert", Privilege::Insert),
    ("update", Privilege::Update),
    ("delete", Privilege::Delete),
];
const ON_SCHEMAS: &[(&str, Privilege)] = &[("usage", Privilege::Usage), ("create", Privilege::Create)];
const ON_FUNCTIONS: &[(&str, Privilege)] = &[("execute", Privilege::Execute)];
const ON_STORAGE: &[(&str, Privilege)] = &[("usage", Privilege::Usage)];
/// PostgreSQL's others.
const ELSEWHERE: &[&str] = &["truncate", "references", "trigger", "connect", "temporary", "temp", "maintain"];

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    let (grant, class) = match cursor.accept_one(&["grant", "revoke"]) {
        Some("grant") => (true, "GRANT"),
        Some(_) => (false, "REVOKE"),
        None => return Ok(None),
    };
    let option_only = !grant && cursor.accept(&["grant", "option", "for"]);
    let admin_only = !grant && cursor.accept(&["admin", "option", "for"]);
    if !grant && (cursor.sees(&["inherit", "option"]) || cursor.sees(&["set", "option"])) {
        return Err(cursor.unsupported("this option of a membership", "Revoke the role itself."));
    }
    let change = if admin_only || (!option_only && is_membership(cursor, grant)) {
        membership(cursor, grant, admin_only)?
    } else {
        privileges(cursor, grant, option_only)?
    };
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

fn membership(cursor: &mut Cursor<'_>, grant: bool, admin_only: bool) -> Result<Ddl, Error> {
    let roles = cursor.list(Cursor::identifier)?;
    cursor.expect(&[if grant { "to" } else { "from" }])?;
    let members = cursor.list(role_name)?;
    let admin_option = admin_only || (grant && cursor.accept(&["with", "admin", "option"]));
    if grant && cursor.sees(&["with"]) {
        return Err(cursor.unsupported("this option of a membership", "Memberships are inherited; leave WITH … out."));
    }
    let granted_by = granted_by(cursor)?;
    if !grant {
        super::restrict(cursor)?;
    }
    Ok(Ddl::Membership(Membership { grant, roles, members, admin_option, granted_by }))
}

fn privileges(cursor: &mut Cursor<'_>, grant: bool, option_only: bool) -> Result<Ddl, Error> {
    let mut privileges = Vec::new();
    let on = if cursor.accept(&["break", "glass"]) {
        GrantTarget::BreakGlass
    } else {
        if cursor.accept(&["all"]) {
            cursor.accept(&["privileges"]);
            no_columns(cursor)?;
        } else {
            privileges = cursor.list(privilege)?;
        }
        cursor.expect(&["on"])?;
        target(cursor)?
    };
    check_kinds(&privileges, &on)?;
    cursor.expect(&[if grant { "to" } else { "from" }])?;
    let grantees = cursor.list(grantee_name)?;
    let grant_option = option_only || (grant && cursor.accept(&["with", "grant", "option"]));
    if grant && cursor.sees(&["with"]) {
        return Err(cursor.unsupported("this option of GRANT", "Use WITH GRANT OPTION, or leave it out."));
    }
    let granted_by = granted_by(cursor)?;
    let cascade = !grant && cursor.accept(&["cascade"]);
    if !grant && !cascade {
        cursor.accept(&["restrict"]);
    }
    Ok(Ddl::Privileges(Privileges { grant, privileges, on, grantees, grant_option, cascade, granted_by }))
}

fn check_kinds(privileges: &[WantedPrivilege], on: &GrantTarget) -> Result<(), Error> {
    let (known, kind) = match on {
        GrantTarget::Relations(_) | GrantTarget::AllInSchemas(_) => (ON_TABLES, "relation"),
        GrantTarget::Schemas(_) => (ON_SCHEMAS, "schema"),
        GrantTarget::Functions(_) => (ON_FUNCTIONS, "function"),
        GrantTarget::Storage(_) => (ON_STORAGE, "storage"),
        GrantTarget::BreakGlass => return Ok(()),
    };
    for wanted in privileges {
        if !known.iter().any(|(_, fitting)| *fitting == wanted.privilege) {
            let message = format!("invalid privilege type {} for {kind}", wanted.privilege.as_sql());
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        if !wanted.columns.is_empty() && !matches!(on, GrantTarget::Relations(_)) {
            let message = "column privileges are only valid for relations";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
    }
    Ok(())
}

fn granted_by(cursor: &mut Cursor<'_>) -> Result<Option<RoleName>, Error> {
    if cursor.accept(&["granted", "by"]) { role_name(cursor).map(Some) } else { Ok(None) }
}

pub(super) fn privilege(cursor: &mut Cursor<'_>) -> Result<WantedPrivilege, Error> {
    if ELSEWHERE.iter().any(|word| cursor.sees(&[word])) {
        let hint = "Privileges are SELECT, INSERT, UPDATE, DELETE, USAGE, CREATE and EXECUTE.";
        return Err(cursor.unsupported("this privilege", hint));
    }
    for (word, privilege) in ON_TABLES.iter().chain(ON_SCHEMAS).chain(ON_FUNCTIONS) {
        if cursor.accept(&[word]) {
            let columns = columns(cursor, *privilege)?;
            return Ok(WantedPrivilege { privilege: *privilege, columns });
        }
    }
    Err(cursor.error())
}

fn columns(cursor: &mut Cursor<'_>, privilege: Privilege) -> Result<Vec<String>, Error> {
    if privilege == Privilege::Select && cursor.sees_sign(&Token::LParen) {
        return cursor.parenthesized(Cursor::identifier);
    }
    no_columns(cursor)?;
    Ok(Vec::new())
}

pub(super) fn no_columns(cursor: &Cursor<'_>) -> Result<(), Error> {
    if cursor.sees_sign(&Token::LParen) {
        let hint = "SELECT alone is granted on columns; what may be written is for policies to say.";
        return Err(cursor.unsupported("this privilege on columns", hint));
    }
    Ok(())
}

/// A function, by its name: all of its forms.
fn function(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let name = cursor.name()?;
    if cursor.sees_sign(&Token::LParen) {
        return Err(cursor.unsupported("arguments of a function", "Leave them out: EXECUTE is on all of its forms."));
    }
    Ok(name.name)
}

fn target(cursor: &mut Cursor<'_>) -> Result<GrantTarget, Error> {
    if cursor.accept(&["all", "tables", "in", "schema"]) {
        return cursor.list(Cursor::identifier).map(GrantTarget::AllInSchemas);
    }
    if cursor.accept(&["schema"]) {
        return cursor.list(Cursor::identifier).map(GrantTarget::Schemas);
    }
    // A table may have such a name too.
    let is_kind = |cursor: &Cursor<'_>| {
        cursor.peek_ahead(1).is_some_and(|next| {
            !matches!(next.token, Token::Comma | Token::Period) && !next.is_word("to") && !next.is_word("from")
        })
    };
    if (cursor.sees(&["function"]) || cursor.sees(&["routine"])) && is_kind(cursor) {
        cursor.advance();
        return cursor.list(function).map(GrantTarget::Functions);
    }
    if cursor.sees(&["storage"]) && is_kind(cursor) {
        cursor.advance();
        let location = |cursor: &mut Cursor<'_>| cursor.string().map(lakeward_base::Redacted::into_exposed);
        return cursor.list(location).map(GrantTarget::Storage);
    }
    let elsewhere = [
        "procedure",
        "sequence",
        "database",
        "domain",
        "foreign",
        "language",
        "large",
        "parameter",
        "tablespace",
        "type",
        "all",
        "column",
    ];
    if elsewhere.iter().any(|word| cursor.sees(&[word])) && is_kind(cursor) {
        let hint = "Privileges are on tables, views, schemas, functions and storage.";
        return Err(cursor.unsupported("a privilege on this kind of object", hint));
    }
    cursor.accept(&["table"]);
    cursor.list(Cursor::name).map(GrantTarget::Relations)
}
