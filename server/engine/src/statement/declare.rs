//! SQL cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! Invariant: a cursor reads forwards, within its transaction block; what would ask for more is refused.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;

use super::cursor::Cursor;
use super::{CursorStatement, Direction, Kind, simulate};
use crate::error::Error;

/// Parses one, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<(Kind, &'static str)>, Error> {
    if cursor.accept(&["declare"]) {
        return Ok(Some((Kind::Cursor(declare(cursor)?), "DECLARE CURSOR")));
    }
    if cursor.accept(&["fetch"]) {
        return Ok(Some((Kind::Cursor(fetch(cursor, false)?), "FETCH")));
    }
    if cursor.accept(&["move"]) {
        return Ok(Some((Kind::Cursor(fetch(cursor, true)?), "MOVE")));
    }
    if cursor.accept(&["close"]) {
        let name = if cursor.accept(&["all"]) { None } else { Some(cursor.identifier()?) };
        return Ok(Some((Kind::Cursor(CursorStatement::Close(name)), "CLOSE CURSOR")));
    }
    Ok(None)
}

fn declare(cursor: &mut Cursor<'_>) -> Result<CursorStatement, Error> {
    let name = cursor.identifier()?;
    let mut binary = false;
    loop {
        if cursor.accept(&["binary"]) {
            binary = true;
        } else if cursor.sees(&["scroll"]) {
            return Err(cursor.unsupported("a SCROLL cursor", "Leave SCROLL out: a cursor reads forwards."));
        } else if !(cursor.accept(&["no", "scroll"]) || cursor.accept_one(&["insensitive", "asensitive"]).is_some()) {
            break;
        }
    }
    cursor.expect(&["cursor"])?;
    if cursor.sees(&["with", "hold"]) {
        return Err(cursor.unsupported(
            "a cursor WITH HOLD",
            "Leave WITH HOLD out: fetch within the transaction block, or run the query without a cursor.",
        ));
    }
    let _ = cursor.accept(&["without", "hold"]);
    cursor.expect(&["for"])?;
    simulate::accept(cursor)?;
    let query: Box<ast::Query> = cursor.query()?;
    Ok(CursorStatement::Declare { name, binary, query })
}

fn fetch(cursor: &mut Cursor<'_>, moves: bool) -> Result<CursorStatement, Error> {
    let direction = direction(cursor)?;
    let _ = cursor.accept_one(&["from", "in"]);
    Ok(CursorStatement::Fetch { name: cursor.identifier()?, direction, moves })
}

fn direction(cursor: &mut Cursor<'_>) -> Result<Direction, Error> {
    if cursor.accept(&["next"]) {
        return Ok(Direction::Forward(1));
    }
    if cursor.accept(&["all"]) {
        return Ok(Direction::All);
    }
    if cursor.accept_one(&["prior", "last"]).is_some() {
        return Ok(Direction::Backward);
    }
    if cursor.accept(&["first"]) {
        return Ok(Direction::To(1));
    }
    if cursor.accept(&["absolute"]) {
        let row = number(cursor)?.ok_or_else(|| cursor.error())?;
        return Ok(u64::try_from(row).map_or(Direction::Backward, Direction::To));
    }
    if cursor.accept(&["relative"]) {
        let rows = number(cursor)?.ok_or_else(|| cursor.error())?;
        return Ok(u64::try_from(rows).ok().filter(|rows| *rows > 0).map_or(Direction::Backward, Direction::By));
    }
    let backward = cursor.accept(&["backward"]);
    let forward = !backward && cursor.accept(&["forward"]);
    if (backward || forward) && cursor.accept(&["all"]) {
        return Ok(if backward { Direction::Backward } else { Direction::All });
    }
    match number(cursor)? {
        None if backward => Ok(Direction::Backward),
        None => Ok(Direction::Forward(1)),
        Some(rows) => {
            let rows = if backward { rows.checked_neg() } else { Some(rows) };
            let forward = rows.and_then(|rows| u64::try_from(rows).ok()).filter(|rows| *rows > 0);
            Ok(forward.map_or(Direction::Backward, Direction::Forward))
        }
    }
}

/// A whole number with its sign, where one stands here.
fn number(cursor: &mut Cursor<'_>) -> Result<Option<i64>, Error> {
    let negative = cursor.accept_sign(&Token::Minus);
    let _ = !negative && cursor.accept_sign(&Token::Plus);
    let Some(Token::Number(digits, false)) = cursor.peek().map(|lexeme| &lexeme.token) else {
        return if negative { Err(cursor.error()) } else { Ok(None) };
    };
    let number = digits.parse::<i64>().map_err(|_| {
        Error::new(SqlState::SYNTAX_ERROR, "a cursor is moved by a whole number of rows")
            .with_position(cursor.position())
    })?;
    cursor.advance();
    Ok(Some(if negative { -number } else { number }))
}
