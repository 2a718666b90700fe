//! Syntax errors in PostgreSQL's words, with a position.
//!
//! Invariant: no message holds a string literal, so that no password reaches an error.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Location;
use lakeward_base::SqlState;

use super::lex::{Lexed, Lexeme, is_string, position};
use super::limits;
use crate::error::Error;

/// The longest piece of a statement that a message repeats, in characters.
const SHOWN_CHARACTERS: usize = 64;

/// `syntax error at or near "…"`.
pub(crate) fn near_lexeme(source: &str, lexeme: &Lexeme) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", shown(source, lexeme)))
        .with_position(lexeme.position)
}

/// `syntax error at end of input`.
pub(crate) fn at_end(source: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").with_position(position(source, source.len()))
}

/// A syntax error at a token, or at the end.
pub(crate) fn at(lexed: &Lexed<'_>, index: usize) -> Error {
    match lexed.lexemes.get(index) {
        // Within a password clause nothing is repeated: an unquoted password is a likely mistake.
        Some(lexeme) if index > 0 && lexed.lexemes[index - 1].is_word("password") => {
            Error::new(SqlState::SYNTAX_ERROR, "syntax error in the PASSWORD clause").with_position(lexeme.position)
        }
        // PostgreSQL knows these words; the parser does not.
        Some(lexeme) if ["symmetric", "exclude", "only"].iter().any(|word| lexeme.is_word(word)) => {
            let word = shown(lexed.source, lexeme).to_uppercase();
            Error::unsupported(format!("{word} here")).with_position(lexeme.position).with_hint("Leave it out.")
        }
        Some(lexeme) => near_lexeme(lexed.source, lexeme),
        None => at_end(lexed.source),
    }
}

/// What sqlparser says, in our words: only the place is taken from its message.
pub(crate) fn from_parser(lexed: &Lexed<'_>, error: &ParserError) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => return limits::nested_too_deeply(),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    match location(message) {
        Some(place) => lexed.find(place).map_or_else(|| at_end(lexed.source), |index| at(lexed, index)),
        None if message.contains("found: EOF") => at_end(lexed.source),
        None => Error::new(SqlState::SYNTAX_ERROR, "syntax error"),
    }
}

/// The last `at Line: x, Column: y` of a message.
fn location(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once("at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location::new(line.parse().ok()?, column.parse().ok()?))
}

/// A token as a message shows it.
fn shown(source: &str, lexeme: &Lexeme) -> String {
    if is_string(&lexeme.token) {
        return "'…'".to_owned();
    }
    let text = source.get(lexeme.bytes.clone()).unwrap_or_default();
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
}
