//! BREAK GLASS, END BREAK GLASS, REVIEW BREAK GLASS.
//!
//! Invariant: a subject, a reason and a note are secret from the first token on: they name a patient.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::{Redacted, SqlState};

use super::Parsed;
use crate::ddl::{Ddl, Opening};
use crate::error::Error;
use crate::statement::cursor::Cursor;

const DAY_MICROS: i64 = 86_400_000_000;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.accept(&["break", "glass"]) {
        return opening(cursor).map(|opening| Some((Ddl::BreakGlass(opening), "BREAK GLASS")));
    }
    if cursor.accept(&["end", "break", "glass"]) {
        return Ok(Some((Ddl::EndBreakGlass, "END BREAK GLASS")));
    }
    if cursor.accept(&["review", "break", "glass"]) {
        let id = cursor.string()?;
        cursor.expect(&["note"])?;
        let note = cursor.string()?;
        return Ok(Some((Ddl::ReviewBreakGlass { id, note }, "REVIEW BREAK GLASS")));
    }
    Ok(None)
}

/// `FOR SUBJECT id REASON '…' [TICKET '…'] [FOR INTERVAL '…']`
fn opening(cursor: &mut Cursor<'_>) -> Result<Opening, Error> {
    cursor.expect(&["for", "subject"])?;
    let subject = subject(cursor)?;
    cursor.expect(&["reason"])?;
    let reason = cursor.string()?;
    let ticket = if cursor.accept(&["ticket"]) { Some(cursor.string()?) } else { None };
    let micros = if cursor.accept(&["for", "interval"]) { Some(micros(cursor)?) } else { None };
    Ok(Opening { subject, reason, ticket, micros })
}

/// A number or a string.
fn subject(cursor: &mut Cursor<'_>) -> Result<Redacted<String>, Error> {
    let minus = cursor.accept_sign(&Token::Minus);
    if let Some(Token::Number(number, false)) = cursor.peek().map(|lexeme| &lexeme.token) {
        let number = if minus { format!("-{number}") } else { number.clone() };
        cursor.advance();
        return Ok(Redacted::new(number));
    }
    if minus { Err(cursor.error()) } else { cursor.string() }
}

/// An interval without months, which have no length.
fn micros(cursor: &mut Cursor<'_>) -> Result<i64, Error> {
    let position = cursor.position();
    let text = cursor.string()?;
    let wanted = DataType::Interval(IntervalUnit::MonthDayNano);
    let read =
        crate::postgres::read_text(text.expose(), &wanted, None).map_err(|error| error.with_position(position))?;
    let micros = match read {
        ScalarValue::IntervalMonthDayNano(Some(parts)) if parts.months == 0 => {
            i64::from(parts.days).checked_mul(DAY_MICROS).and_then(|days| days.checked_add(parts.nanoseconds / 1000))
        }
        _ => None,
    };
    let wrong = || Error::new(SqlState::INVALID_PARAMETER_VALUE, "the interval is positive, and at most 4 hours");
    micros.ok_or_else(|| wrong().with_position(position))
}
