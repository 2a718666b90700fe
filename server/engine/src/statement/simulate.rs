//! `EXECUTE AS ROLE r [WITH ATTRIBUTES (a = 'v', …)]`, before a query: it runs as that role would run it.
//!
//! Invariant: a simulation only reads, and does not stand within another.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::{Redacted, SqlState};

use super::cursor::Cursor;
use super::{CursorStatement, Kind, Simulation};
use crate::error::Error;

/// The class of a statement that is run as another role.
pub(crate) const CLASS: &str = "EXECUTE AS ROLE";

/// Takes the words, where they stand here, and leaves what they say with the cursor.
pub(crate) fn accept(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    if !cursor.sees(&["execute", "as"]) {
        return Ok(());
    }
    if cursor.simulation.is_some() {
        return Err(cursor.unsupported("EXECUTE AS ROLE within another", "Simulate one role at a time."));
    }
    cursor.expect(&["execute", "as", "role"])?;
    let role = cursor.identifier()?;
    let attributes = attributes(cursor)?;
    cursor.simulation = Some(Arc::new(Simulation { role, attributes }));
    // What is left out would be a syntax error of the statement before it.
    if cursor.is_done() || cursor.sees(&["execute"]) {
        return Err(if cursor.is_done() { cursor.error() } else { nested(cursor) });
    }
    Ok(())
}

fn nested(cursor: &Cursor<'_>) -> Error {
    cursor.unsupported("EXECUTE within a simulation", "Simulate one role at a time, and run the statement itself.")
}

/// `[WITH ATTRIBUTES (name = 'value', …)]`
pub(crate) fn attributes(cursor: &mut Cursor<'_>) -> Result<BTreeMap<String, Redacted<String>>, Error> {
    // `WITH attributes (a) AS (…)` is a query.
    let is_equation = cursor.peek_ahead(4).is_some_and(|lexeme| lexeme.token == Token::Eq);
    let mut given = BTreeMap::new();
    if !(cursor.sees(&["with", "attributes"]) && is_equation) {
        return Ok(given);
    }
    cursor.expect(&["with", "attributes"])?;
    for (name, value) in cursor.parenthesized(attribute)? {
        if given.insert(name.clone(), value).is_some() {
            let message = format!("attribute \"{name}\" specified more than once");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
    }
    Ok(given)
}

fn attribute(cursor: &mut Cursor<'_>) -> Result<(String, Redacted<String>), Error> {
    let name = cursor.identifier()?;
    cursor.expect_sign(&Token::Eq)?;
    Ok((name, cursor.string()?))
}

/// Refuses what is not read only.
pub(crate) fn check(kind: &Kind, class: &str) -> Result<(), Error> {
    match kind {
        Kind::Query(_)
        | Kind::Explain { .. }
        | Kind::ExplainPolicies { .. }
        | Kind::Cursor(CursorStatement::Declare { .. }) => Ok(()),
        Kind::Insert(_)
        | Kind::CreateTableAs(_)
        | Kind::Change(_)
        | Kind::CopyIn(_)
        | Kind::Maintain(_)
        | Kind::Ddl(_) => {
            let message = format!("cannot execute {class} in a simulation");
            Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message)
                .with_hint("EXECUTE AS ROLE runs queries and EXPLAIN."))
        }
        Kind::Empty
        | Kind::CopyOut(_)
        | Kind::EffectivePolicies { .. }
        | Kind::RunPolicyTests
        | Kind::Setting(_)
        | Kind::Transaction(_)
        | Kind::Cursor(_) => Err(Error::unsupported(format!("{class} in a simulation"))
            .with_hint("EXECUTE AS ROLE runs queries and EXPLAIN.")),
    }
}
