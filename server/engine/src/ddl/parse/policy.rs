//! Row policies and masking policies.
//!
//! Invariant: an expression is kept as it was typed, and parses.

use std::ops::Range;

use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType};
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::{Redacted, SqlState};
use lakeward_catalog::{PolicyCommand, type_kind};

use super::{Parsed, drop_list, grantee_name, restrict};
use crate::ddl::{AlterPolicy, CreateMaskingPolicy, CreatePolicy, Ddl, GranteeName, Mask, types};
use crate::error::Error;
use crate::statement::Name;
use crate::statement::cursor::Cursor;

/// As many as PostgreSQL's functions have.
const PARAMETERS: usize = 100;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    for (words, or_replace) in
        [(&["create", "masking", "policy"][..], false), (&["create", "or", "replace", "masking", "policy"], true)]
    {
        if cursor.accept(words) {
            return create_mask(cursor, or_replace).map(Some);
        }
    }
    for (words, or_replace) in [(&["create", "policy"][..], false), (&["create", "or", "replace", "policy"], true)] {
        if cursor.accept(words) {
            return create(cursor, or_replace).map(Some);
        }
    }
    if cursor.accept(&["alter", "policy"]) {
        return alter(cursor).map(Some);
    }
    if cursor.sees(&["drop", "policy"]) {
        return drop(cursor);
    }
    if cursor.accept(&["alter", "masking", "policy"]) {
        return alter_mask(cursor).map(Some);
    }
    if cursor.accept(&["drop", "masking", "policy"]) {
        return Ok(Some((
            Ddl::DropMaskingPolicy(drop_list(cursor, |cursor| cursor.identifier())?),
            "DROP MASKING POLICY",
        )));
    }
    Ok(None)
}

fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Parsed, Error> {
    let name = cursor.identifier()?;
    cursor.expect(&["on"])?;
    let table = cursor.name()?;
    let permissive = if cursor.accept(&["as"]) {
        match cursor.accept_one(&["permissive", "restrictive"]) {
            Some(word) => word == "permissive",
            None => return Err(cursor.error()),
        }
    } else {
        true
    };
    let command = if cursor.accept(&["for"]) { command(cursor)? } else { PolicyCommand::All };
    let grantees = if cursor.accept(&["to"]) { cursor.list(grantee_name)? } else { vec![GranteeName::Public] };
    let (using, with_check) = expressions(cursor)?;
    check_clauses(command, using.is_some(), with_check.is_some())?;
    let shadow = cursor.accept(&["shadow"]);
    let policy = CreatePolicy { name, table, or_replace, permissive, command, grantees, using, with_check, shadow };
    Ok((Ddl::CreatePolicy(policy), "CREATE POLICY"))
}

fn command(cursor: &mut Cursor<'_>) -> Result<PolicyCommand, Error> {
    match cursor.accept_one(&["all", "select", "insert", "update", "delete"]) {
        Some("all") => Ok(PolicyCommand::All),
        Some("select") => Ok(PolicyCommand::Select),
        Some("insert") => Ok(PolicyCommand::Insert),
        Some("update") => Ok(PolicyCommand::Update),
        Some(_) => Ok(PolicyCommand::Delete),
        None => Err(cursor.error()),
    }
}

/// PostgreSQL's rules of which clause goes with which command.
fn check_clauses(command: PolicyCommand, using: bool, with_check: bool) -> Result<(), Error> {
    let message = match command {
        PolicyCommand::Select | PolicyCommand::Delete if with_check => {
            "WITH CHECK cannot be applied to SELECT or DELETE"
        }
        PolicyCommand::Insert if using => "only WITH CHECK expression allowed for INSERT",
        PolicyCommand::All
        | PolicyCommand::Select
        | PolicyCommand::Insert
        | PolicyCommand::Update
        | PolicyCommand::Delete => return Ok(()),
    };
    Err(Error::new(SqlState::SYNTAX_ERROR, message))
}

type Expressions = (Option<Redacted<String>>, Option<Redacted<String>>);

/// `[USING (…)] [WITH CHECK (…)]`
fn expressions(cursor: &mut Cursor<'_>) -> Result<Expressions, Error> {
    let using = if cursor.accept(&["using"]) { Some(parenthesized(cursor)?) } else { None };
    let with_check = if cursor.accept(&["with", "check"]) { Some(parenthesized(cursor)?) } else { None };
    Ok((using, with_check))
}

fn parenthesized(cursor: &mut Cursor<'_>) -> Result<Redacted<String>, Error> {
    let before = cursor.position();
    let range = cursor.cut_parentheses()?;
    if range.is_empty() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "an expression is missing").with_position(before));
    }
    expression(cursor, range)
}

/// Checks some tokens as an expression, and cuts out their text.
fn expression(cursor: &Cursor<'_>, range: Range<usize>) -> Result<Redacted<String>, Error> {
    let lexed = cursor.lexed();
    let mut inner = Cursor::new(lexed, range.clone());
    inner.expression()?;
    inner.finish()?;
    Ok(Redacted::new(lexed.text(&range).to_owned()))
}

fn alter(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let name = cursor.identifier()?;
    cursor.expect(&["on"])?;
    let table = cursor.name()?;
    let mut policy =
        AlterPolicy { name, table, rename: None, grantees: None, using: None, with_check: None, shadow: None };
    if cursor.accept(&["rename", "to"]) {
        policy.rename = Some(cursor.identifier()?);
    } else if let Some(state) = cursor.accept_one(&["shadow", "enforce"]) {
        policy.shadow = Some(state == "shadow");
    } else {
        if cursor.accept(&["to"]) {
            policy.grantees = Some(cursor.list(grantee_name)?);
        }
        (policy.using, policy.with_check) = expressions(cursor)?;
        let ends = cursor.is_done() || cursor.sees(&["force"]);
        if policy.grantees.is_none() && policy.using.is_none() && policy.with_check.is_none() && ends {
            return Err(cursor.error());
        }
    }
    Ok((Ddl::AlterPolicy(policy), "ALTER POLICY"))
}

fn drop(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    let mut ahead = Cursor::new(cursor.lexed(), cursor.rest());
    ahead.expect(&["drop", "policy"])?;
    let if_exists = ahead.if_exists();
    let name = ahead.identifier()?;
    ahead.expect(&["on"])?;
    let table = ahead.name()?;
    restrict(&mut ahead)?;
    *cursor = ahead;
    Ok(Some((Ddl::DropPolicy { name, table, if_exists }, "DROP POLICY")))
}

fn create_mask(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Parsed, Error> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.identifier()?;
    cursor.expect(&["as"])?;
    let parameters = cursor.parenthesized(parameter)?;
    cursor.expect(&["returns"])?;
    let returns = data_type(cursor)?;
    cursor.expect_sign(&Token::Arrow)?;
    let body = body(cursor)?;
    check_signature(&parameters, &returns)?;
    let policy = CreateMaskingPolicy { name, or_replace, if_not_exists, parameters, returns, body };
    Ok((Ddl::CreateMaskingPolicy(policy), "CREATE MASKING POLICY"))
}

fn parameter(cursor: &mut Cursor<'_>) -> Result<(String, String), Error> {
    let name = cursor.identifier()?;
    Ok((name, data_type(cursor)?))
}

/// Lengths are the column's affair, not the mask's. Structs and maps are `jsonb`.
fn data_type(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let position = cursor.position();
    let written = cursor.data_type()?;
    match &written {
        DataType::JSONB => return Ok("jsonb".to_owned()),
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, None)) if **inner == DataType::JSONB => {
            return Ok("jsonb[]".to_owned());
        }
        _ => {}
    }
    let (sql_type, _) = types::from_written(&written).map_err(|error| error.with_position(position))?;
    Ok(type_kind(&sql_type).to_owned())
}

fn check_signature(parameters: &[(String, String)], returns: &str) -> Result<(), Error> {
    if parameters.len() > PARAMETERS {
        let message = format!("a masking policy can have at most {PARAMETERS} parameters");
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    for (index, (name, _)) in parameters.iter().enumerate() {
        if parameters[..index].iter().any(|(other, _)| other == name) {
            return Err(Error::new(
                SqlState::INVALID_OBJECT_DEFINITION,
                format!("parameter name \"{name}\" used more than once"),
            ));
        }
    }
    match parameters.first() {
        Some((_, first)) if first != returns => {
            Err(Error::new(SqlState::DATATYPE_MISMATCH, "a mask keeps the column's type")
                .with_detail(format!("The first parameter is {first}, the result is {returns}.")))
        }
        _ => Ok(()),
    }
}

/// All that is left is the expression.
fn body(cursor: &mut Cursor<'_>) -> Result<Redacted<String>, Error> {
    let start = cursor.at();
    cursor.expression()?;
    Ok(Redacted::new(cursor.lexed().text(&(start..cursor.at())).to_owned()))
}

fn alter_mask(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let name = cursor.identifier()?;
    if cursor.sees(&["rename"]) || cursor.sees(&["set", "tag"]) || cursor.sees(&["set", "comment"]) {
        return Err(cursor.unsupported("this change of a masking policy", "Use SET BODY -> …."));
    }
    cursor.expect(&["set", "body"])?;
    cursor.expect_sign(&Token::Arrow)?;
    Ok((Ddl::AlterMaskingPolicy { name, body: body(cursor)? }, "ALTER MASKING POLICY"))
}

/// `ALTER TABLE t ALTER [COLUMN] c SET MASKING POLICY p [USING (…)] | UNSET MASKING POLICY`, and the same of tags
pub(super) fn mask(cursor: &mut Cursor<'_>, table: Name, if_exists: bool) -> Result<Ddl, Error> {
    if if_exists {
        return Err(cursor.unsupported("IF EXISTS with ALTER COLUMN", "Leave it out."));
    }
    let column = cursor.identifier()?;
    if cursor.accept(&["unset", "masking", "policy"]) {
        return Ok(Ddl::SetMask { table, column, mask: None });
    }
    if !cursor.accept(&["set", "masking", "policy"]) {
        if let Some(tags) = super::tag::of_column(cursor, &table, &column)? {
            return Ok(tags);
        }
        let (what, hint) = ("this change of a column", "Make a new table with CREATE TABLE AS.");
        return Err(if cursor.is_done() { cursor.error() } else { cursor.unsupported(what, hint) });
    }
    let policy = cursor.identifier()?;
    let arguments = if cursor.accept(&["using"]) { cursor.parenthesized(Cursor::identifier)? } else { Vec::new() };
    Ok(Ddl::SetMask { table, column, mask: Some(Mask { policy, arguments }) })
}
