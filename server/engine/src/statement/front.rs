//! Which statement it is: told by its first words, and read by the part that knows it.
//!
//! Invariant: what no part knows is refused by name in [`super::refuse`].

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::{Redacted, SqlState};

use super::cursor::Cursor;
use super::in_full::InFull;
use super::lex::Lexed;
use super::normalize::normalized;
use super::{
    CursorStatement, Kind, Statement, change, copy, declare, explain, insert, listing, maintain, refuse, setting,
    simulate, transaction,
};
use crate::ddl;
use crate::error::Error;

/// The most parameters that the protocol can carry.
const PARAMETERS: usize = 65_535;

/// A kind and its class.
pub(crate) type Parsed = (Kind, &'static str);

/// Parses the tokens of one statement.
pub(crate) fn parse(lexed: &Lexed<'_>, range: Range<usize>) -> Result<Statement, Error> {
    let parameter_count = count_parameters(lexed, range.clone())?;
    let mut cursor = Cursor::new(lexed, range.clone());
    simulate::accept(&mut cursor)?;
    let (kind, mut class) = dispatch(&mut cursor)?;
    cursor.finish()?;
    let simulation = cursor.simulation.take();
    if simulation.is_some() {
        simulate::check(&kind, class)?;
        class = simulate::CLASS;
    }
    let takes_parameters = matches!(
        kind,
        Kind::Query(_)
            | Kind::Explain { .. }
            | Kind::ExplainPolicies { .. }
            | Kind::Insert(_)
            | Kind::CreateTableAs(_)
            | Kind::Change(_)
            | Kind::Cursor(CursorStatement::Declare { .. })
    );
    if parameter_count > 0 && !takes_parameters {
        return Err(no_parameter(parameter_count));
    }
    let end = lexed.lexemes.get(range.end.wrapping_sub(1)).map_or(0, |last| last.bytes.end);
    let text = Redacted::new(lexed.source.get(..end).unwrap_or_default().to_owned());
    let (normalized, in_full) = (normalized(lexed, &range), InFull::of(lexed, &range));
    Ok(Statement { text, kind, class, normalized, in_full, parameter_count, simulation })
}

/// The part that knows the statement's first words reads it.
pub(super) fn dispatch(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    if starts_query(cursor) {
        return Ok((Kind::Query(cursor.query()?), "SELECT"));
    }
    if let Some(parsed) = transaction::parse(cursor)? {
        return Ok((Kind::Transaction(parsed.0), parsed.1));
    }
    if let Some(parsed) = declare::parse(cursor)? {
        return Ok(parsed);
    }
    if let Some(parsed) = listing::parse(cursor)? {
        return Ok(parsed);
    }
    if let Some(parsed) = setting::parse(cursor)? {
        return Ok((Kind::Setting(parsed.0), parsed.1));
    }
    if cursor.sees(&["explain"]) {
        return explain::parse(cursor);
    }
    if cursor.sees(&["insert"]) {
        return insert::parse(cursor);
    }
    if cursor.sees(&["copy"]) {
        return copy::parse(cursor);
    }
    if let Some(parsed) = change::parse(cursor)? {
        return Ok(parsed);
    }
    if let Some(parsed) = maintain::parse(cursor)? {
        return Ok(parsed);
    }
    if let Some(parsed) = insert::parse_create_table_as(cursor)? {
        return Ok(parsed);
    }
    if let Some((change, class)) = ddl::parse(cursor)? {
        return Ok((Kind::Ddl(Box::new(change)), class));
    }
    Err(refuse::refuse(cursor))
}

/// Does a query begin here?
pub(crate) fn starts_query(cursor: &Cursor<'_>) -> bool {
    let mut ahead = 0;
    while cursor.peek_ahead(ahead).is_some_and(|lexeme| lexeme.token == Token::LParen) {
        ahead += 1;
    }
    let words = ["select", "with", "values", "table"];
    cursor.peek_ahead(ahead).is_some_and(|lexeme| words.iter().any(|word| lexeme.is_word(word)))
}

/// The statement class of a text that was not parsed: its first words, from a fixed list.
pub(crate) fn class(lexed: &Lexed<'_>) -> &'static str {
    let cursor = Cursor::new(lexed, 0..lexed.lexemes.len());
    if cursor.is_done() {
        return "EMPTY";
    }
    if starts_query(&cursor) {
        return "SELECT";
    }
    refuse::class(&cursor)
}

/// The highest `$n`.
fn count_parameters(lexed: &Lexed<'_>, range: Range<usize>) -> Result<usize, Error> {
    let mut highest = 0;
    for lexeme in lexed.lexemes.get(range).unwrap_or_default() {
        let Token::Placeholder(name) = &lexeme.token else { continue };
        let at = lexeme.position;
        let number = name
            .strip_prefix('$')
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let Some(number) = number else {
            return Err(super::syntax::near_lexeme(lexed.source, lexeme));
        };
        match number.parse::<usize>() {
            Ok(number) if (1..=PARAMETERS).contains(&number) => highest = highest.max(number),
            _ => {
                return Err(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"))
                    .with_position(at));
            }
        }
    }
    Ok(highest)
}

fn no_parameter(number: usize) -> Error {
    Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter ${number}"))
        .with_hint("Only queries and statements that change rows take parameters; write the value itself.")
}
