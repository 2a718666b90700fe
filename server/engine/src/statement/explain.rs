//! EXPLAIN of queries.
//!
//! Invariant: an option is done or refused; one that asks to leave out what is never shown is done.

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::Redacted;

use super::cursor::Cursor;
use super::front::{Parsed, starts_query};
use super::normalize::normalized;
use super::{Kind, Statement};
use crate::error::Error;

#[derive(Default)]
struct Options {
    analyze: bool,
    verbose: bool,
    json: bool,
}

pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    cursor.expect(&["explain"])?;
    let mut options = Options::default();
    if cursor.sees_sign(&Token::LParen) && !starts_query(cursor) {
        cursor.parenthesized(|cursor| option(cursor, &mut options))?;
    } else {
        options.analyze = cursor.accept_one(&["analyze", "analyse"]).is_some();
        options.verbose = cursor.accept(&["verbose"]);
    }
    if cursor.is_done() {
        return Err(cursor.error());
    }
    if !starts_query(cursor) {
        return Err(cursor.unsupported("EXPLAIN of anything but a query", "Explain the statement's query."));
    }
    let range = cursor.rest();
    let lexed = cursor.lexed();
    let query = cursor.query()?;
    let end = lexed.lexemes.get(cursor.at().wrapping_sub(1)).map_or(0, |last| last.bytes.end);
    let statement = Statement {
        // The whole text, so that positions stay places in it.
        text: Redacted::new(lexed.source.get(..end).unwrap_or_default().to_owned()),
        kind: Kind::Query(query),
        class: "SELECT",
        normalized: normalized(lexed, &range),
        parameter_count: 0,
    };
    let Options { analyze, verbose, json } = options;
    Ok((Kind::Explain { analyze, verbose, json, statement: Box::new(statement) }, "EXPLAIN"))
}

fn option(cursor: &mut Cursor<'_>, options: &mut Options) -> Result<(), Error> {
    if cursor.accept_one(&["analyze", "analyse"]).is_some() {
        options.analyze = switch(cursor)?;
        return Ok(());
    }
    if cursor.accept(&["verbose"]) {
        options.verbose = switch(cursor)?;
        return Ok(());
    }
    if cursor.accept(&["format"]) {
        match cursor.accept_one(&["text", "json"]) {
            Some(format) => options.json = format == "json",
            None => return Err(cursor.unsupported("this format of EXPLAIN", "Use FORMAT TEXT or FORMAT JSON.")),
        }
        return Ok(());
    }
    if cursor.sees(&["policies"]) {
        return Err(cursor.unsupported("EXPLAIN (POLICIES)", "EXPLAIN names the policies that a scan applies."));
    }
    for name in ["costs", "settings", "generic_plan", "buffers", "wal", "timing", "summary"] {
        if cursor.sees(&[name]) {
            let refused = cursor.unsupported(
                &format!("EXPLAIN ({})", name.to_ascii_uppercase()),
                "Leave the option out, or turn it off.",
            );
            cursor.accept(&[name]);
            return if switch(cursor)? { Err(refused) } else { Ok(()) };
        }
    }
    Err(cursor.error())
}

/// An option without a value is on.
fn switch(cursor: &mut Cursor<'_>) -> Result<bool, Error> {
    if cursor.accept_one(&["on", "true"]).is_some() {
        return Ok(true);
    }
    if cursor.accept_one(&["off", "false"]).is_some() {
        return Ok(false);
    }
    match cursor.peek().map(|lexeme| &lexeme.token) {
        Some(Token::Comma | Token::RParen) => Ok(true),
        Some(Token::Number(number, _)) if number == "1" || number == "0" => {
            let on = number == "1";
            cursor.advance();
            Ok(on)
        }
        _ => Err(cursor.error()),
    }
}
