//! Policy tests: `CREATE POLICY TEST`, `DROP POLICY TEST`.

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;
use lakeward_catalog::Expectation;

use super::{Parsed, drop_list};
use crate::ddl::{CreatePolicyTest, Ddl};
use crate::error::Error;
use crate::statement::cursor::Cursor;
use crate::statement::simulate;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    // `CREATE POLICY test ON t` makes a policy.
    if cursor.peek_ahead(3).is_some_and(|next| next.is_word("on")) {
        return Ok(None);
    }
    if cursor.accept(&["create", "policy", "test"]) {
        return create(cursor).map(Some);
    }
    if cursor.accept(&["drop", "policy", "test"]) {
        let drop = drop_list(cursor, |cursor| cursor.identifier())?;
        return Ok(Some((Ddl::DropPolicyTest(drop), "DROP POLICY TEST")));
    }
    Ok(None)
}

fn create(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let name = cursor.identifier()?;
    cursor.expect(&["as", "role"])?;
    let role = cursor.identifier()?;
    let attributes = simulate::attributes(cursor)?;
    cursor.expect(&["query"])?;
    let query = cursor.string()?;
    cursor.expect(&["expect"])?;
    let expectation = expectation(cursor)?;
    let test = CreatePolicyTest { name, role, attributes, query, expectation };
    Ok((Ddl::CreatePolicyTest(test), "CREATE POLICY TEST"))
}

fn expectation(cursor: &mut Cursor<'_>) -> Result<Expectation, Error> {
    if cursor.accept(&["no", "rows"]) {
        return Ok(Expectation::NoRows);
    }
    if cursor.accept(&["some", "rows"]) {
        return Ok(Expectation::SomeRows);
    }
    if cursor.accept(&["denied"]) {
        return Ok(Expectation::Denied);
    }
    if cursor.accept(&["rows"]) {
        return rows(cursor).map(Expectation::Rows);
    }
    match cursor.accept_one(&["masked", "unmasked"]) {
        Some("masked") => cursor.parenthesized(Cursor::identifier).map(Expectation::Masked),
        Some(_) => cursor.parenthesized(Cursor::identifier).map(Expectation::Unmasked),
        None => Err(cursor.error()),
    }
}

fn rows(cursor: &mut Cursor<'_>) -> Result<u64, Error> {
    let Some(Token::Number(digits, false)) = cursor.peek().map(|lexeme| &lexeme.token) else {
        return Err(cursor.error());
    };
    let count = digits.parse().map_err(|_| {
        Error::new(SqlState::SYNTAX_ERROR, "a test expects a whole number of rows").with_position(cursor.position())
    })?;
    cursor.advance();
    Ok(count)
}
