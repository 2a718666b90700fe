//! The two notations of COPY's options: `WITH (FORMAT csv, HEADER)`, and the older `WITH CSV HEADER`.
//!
//! Invariant: an option stands once.

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;

use super::super::cursor::Cursor;
use super::Way;
use super::options::{CopyHeader, CopyOptions, CopyStyle, Quoted, Written};
use crate::error::Error;

/// All options, up to the statement's end or what follows them.
pub(super) fn options(cursor: &mut Cursor<'_>, way: Way, binary: bool) -> Result<CopyOptions, Error> {
    let mut written = Written { style: binary.then_some(CopyStyle::Binary), ..Written::default() };
    if cursor.sees(&["delimiters"]) || cursor.sees(&["using", "delimiters"]) {
        cursor.accept(&["using"]);
        cursor.accept(&["delimiters"]);
        written.delimiter = Some(text(cursor)?);
    }
    let with = cursor.accept(&["with"]);
    if cursor.sees_sign(&Token::LParen) {
        cursor.parenthesized(|cursor| option(cursor, way, &mut written))?;
        return written.checked(way);
    }
    let mut any = false;
    while old_option(cursor, &mut written)? {
        any = true;
    }
    // `WITH` alone is allowed there, too; but then nothing may follow.
    if with && !any && !cursor.is_done() {
        return Err(cursor.error());
    }
    written.checked(way)
}

fn set<T>(slot: &mut Option<T>, value: T, position: usize) -> Result<(), Error> {
    if slot.is_some() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").with_position(position));
    }
    *slot = Some(value);
    Ok(())
}

fn text(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    cursor.string().map(lakeward_base::Redacted::into_exposed)
}

/// One of `(FORMAT csv, …)`.
fn option(cursor: &mut Cursor<'_>, way: Way, written: &mut Written) -> Result<(), Error> {
    let position = cursor.position();
    let Some(name) = label(cursor) else { return Err(cursor.error()) };
    match name.as_str() {
        "format" => {
            let style = style(cursor, position)?;
            set(&mut written.style, style, position)
        }
        "delimiter" => set(&mut written.delimiter, word(cursor)?, position),
        "null" => set(&mut written.null, word(cursor)?, position),
        "header" => {
            let header = header(cursor, way)?;
            set(&mut written.header, header, position)
        }
        "quote" => set(&mut written.quote, word(cursor)?, position),
        "escape" => set(&mut written.escape, word(cursor)?, position),
        "encoding" => set(&mut written.encoding, word(cursor)?, position),
        "freeze" => {
            let freeze = switch(cursor, "freeze")?;
            set(&mut written.freeze, freeze, position)
        }
        "force_quote" => {
            let columns = columns(cursor, true)?;
            set(&mut written.force_quote, columns, position)
        }
        "force_not_null" => {
            let columns = columns(cursor, false)?;
            set(&mut written.force_not_null, columns, position)
        }
        "force_null" => {
            let columns = columns(cursor, false)?;
            set(&mut written.force_null, columns, position)
        }
        other => {
            let message = format!("option \"{other}\" not recognized");
            Err(Error::new(SqlState::SYNTAX_ERROR, message).with_position(position))
        }
    }
}

/// One of the older options; false where none stands here.
fn old_option(cursor: &mut Cursor<'_>, written: &mut Written) -> Result<bool, Error> {
    let at = cursor.position();
    if cursor.accept(&["binary"]) {
        set(&mut written.style, CopyStyle::Binary, at)?;
    } else if cursor.accept(&["csv"]) {
        set(&mut written.style, CopyStyle::Csv, at)?;
    } else if cursor.accept(&["freeze"]) {
        set(&mut written.freeze, true, at)?;
    } else if cursor.accept(&["header"]) {
        set(&mut written.header, CopyHeader::On, at)?;
    } else if let Some(name) = cursor.accept_one(&["delimiter", "null", "quote", "escape", "encoding"]) {
        if name != "encoding" {
            cursor.accept(&["as"]);
        }
        let value = text(cursor)?;
        let slot = match name {
            "delimiter" => &mut written.delimiter,
            "null" => &mut written.null,
            "quote" => &mut written.quote,
            "escape" => &mut written.escape,
            _ => &mut written.encoding,
        };
        set(slot, value, at)?;
    } else if cursor.accept(&["force", "quote"]) {
        let columns = old_columns(cursor, true)?;
        set(&mut written.force_quote, columns, at)?;
    } else if cursor.accept(&["force", "not", "null"]) {
        let columns = old_columns(cursor, false)?;
        set(&mut written.force_not_null, columns, at)?;
    } else if cursor.accept(&["force", "null"]) {
        let columns = old_columns(cursor, false)?;
        set(&mut written.force_null, columns, at)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Any word, reserved or not.
fn label(cursor: &mut Cursor<'_>) -> Option<String> {
    let name = match cursor.peek().map(|lexeme| &lexeme.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
        Some(Token::Word(word)) if word.quote_style == Some('"') => word.value.clone(),
        _ => return None,
    };
    cursor.advance();
    Some(name)
}

/// A string, a number or a word.
fn word(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    if let Some(word) = label(cursor) {
        return Ok(word);
    }
    if let Some(Token::Number(number, _)) = cursor.peek().map(|lexeme| &lexeme.token) {
        cursor.advance();
        return Ok(number.clone());
    }
    text(cursor)
}

fn style(cursor: &mut Cursor<'_>, position: usize) -> Result<CopyStyle, Error> {
    let name = word(cursor)?;
    match name.as_str() {
        "text" => Ok(CopyStyle::Text),
        "csv" => Ok(CopyStyle::Csv),
        "binary" => Ok(CopyStyle::Binary),
        _ => {
            let message = format!("COPY format \"{name}\" not recognized");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(position))
        }
    }
}

/// An option without a value.
fn is_bare(cursor: &Cursor<'_>) -> bool {
    cursor.sees_sign(&Token::Comma) || cursor.sees_sign(&Token::RParen)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn header(cursor: &mut Cursor<'_>, way: Way) -> Result<CopyHeader, Error> {
    if is_bare(cursor) {
        return Ok(CopyHeader::On);
    }
    let value = word(cursor)?;
    match boolean(&value) {
        Some(true) => Ok(CopyHeader::On),
        Some(false) => Ok(CopyHeader::Off),
        None if value.eq_ignore_ascii_case("match") && way == Way::In => Ok(CopyHeader::Match),
        None if value.eq_ignore_ascii_case("match") => {
            let message = format!("cannot use \"{value}\" with HEADER in COPY TO");
            Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message))
        }
        None => Err(Error::new(SqlState::SYNTAX_ERROR, "header requires a Boolean value or \"match\"")),
    }
}

fn switch(cursor: &mut Cursor<'_>, name: &str) -> Result<bool, Error> {
    if is_bare(cursor) {
        return Ok(true);
    }
    let value = word(cursor)?;
    boolean(&value).ok_or_else(|| Error::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value")))
}

/// `(a, b)`, or `*` where all may be meant.
fn columns(cursor: &mut Cursor<'_>, all: bool) -> Result<Quoted, Error> {
    if all && cursor.accept_sign(&Token::Mul) {
        return Ok(Quoted::All);
    }
    cursor.parenthesized(Cursor::identifier).map(Quoted::Columns)
}

/// `a, b`, or `*`.
fn old_columns(cursor: &mut Cursor<'_>, all: bool) -> Result<Quoted, Error> {
    if all && cursor.accept_sign(&Token::Mul) {
        return Ok(Quoted::All);
    }
    cursor.list(Cursor::identifier).map(Quoted::Columns)
}
