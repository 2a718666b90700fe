//! EXPLAIN of queries; EXPLAIN (POLICIES) of queries and writes.
//!
//! Invariant: an option is done or refused; one that asks to leave out what is never shown is done.

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::Redacted;

use super::cursor::Cursor;
use super::front::{self, Parsed, starts_query};
use super::normalize::normalized;
use super::{InFull, Kind, Statement, simulate};
use crate::error::Error;

#[derive(Default)]
struct Options {
    analyze: bool,
    verbose: bool,
    json: bool,
    policies: bool,
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
    if options.policies && (options.analyze || options.verbose) {
        return Err(cursor.unsupported(
            "EXPLAIN (POLICIES) with ANALYZE or VERBOSE",
            "Leave them out: nothing is run, and everything is told.",
        ));
    }
    simulate::accept(cursor)?;
    let range = cursor.rest();
    if !starts_query(cursor) && !options.policies {
        return Err(cursor.unsupported("EXPLAIN of anything but a query", "Explain the statement's query."));
    }
    let lexed = cursor.lexed();
    let (kind, class) = if options.policies { explained(cursor)? } else { (Kind::Query(cursor.query()?), "SELECT") };
    let end = lexed.lexemes.get(cursor.at().wrapping_sub(1)).map_or(0, |last| last.bytes.end);
    let statement = Statement {
        // The whole text, so that positions stay places in it.
        text: Redacted::new(lexed.source.get(..end).unwrap_or_default().to_owned()),
        kind,
        class,
        normalized: normalized(lexed, &range),
        // The whole statement's is sealed.
        in_full: InFull::default(),
        parameter_count: 0,
        simulation: None,
    };
    let Options { analyze, verbose, json, policies } = options;
    if policies {
        return Ok((Kind::ExplainPolicies { json, statement: Box::new(statement) }, "EXPLAIN"));
    }
    Ok((Kind::Explain { analyze, verbose, json, statement: Box::new(statement) }, "EXPLAIN"))
}

/// What EXPLAIN (POLICIES) can be asked about.
fn explained(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let refused = cursor.unsupported(
        "EXPLAIN (POLICIES) of anything but a query, INSERT, UPDATE, DELETE, MERGE and CREATE TABLE AS",
        "Explain a query of the same tables.",
    );
    // What could begin with these words, and nothing else, is read: the rest has effects of its own to refuse.
    let words = ["insert", "update", "delete", "merge", "create"];
    if !starts_query(cursor) && !words.iter().any(|word| cursor.sees(&[word])) {
        return Err(refused);
    }
    match front::dispatch(cursor)? {
        parsed @ (Kind::Query(_) | Kind::Insert(_) | Kind::Change(_) | Kind::CreateTableAs(_), _) => Ok(parsed),
        _ => Err(refused),
    }
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
    if cursor.accept(&["policies"]) {
        options.policies = switch(cursor)?;
        return Ok(());
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
