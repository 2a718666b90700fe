//! SET, SHOW, RESET, DISCARD, UNLISTEN.
//!
//! Invariant: a SET that is accepted changes exactly what it names; which names there are is the session's business.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Setting;
use super::cursor::Cursor;
use crate::error::Error;

/// Parses one, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<(Setting, &'static str)>, Error> {
    if cursor.accept(&["set"]) {
        return Ok(Some((set(cursor)?, "SET")));
    }
    if cursor.accept(&["reset"]) {
        return Ok(Some((reset(cursor)?, "RESET")));
    }
    if cursor.accept(&["show"]) {
        return Ok(Some((show(cursor)?, "SHOW")));
    }
    if cursor.accept(&["discard"]) {
        if !cursor.accept(&["all"]) {
            return Err(cursor.unsupported("DISCARD of a part", "Use DISCARD ALL."));
        }
        return Ok(Some((Setting::Discard, "DISCARD")));
    }
    if cursor.accept(&["unlisten"]) {
        if !cursor.accept_sign(&Token::Mul) {
            let _ = cursor.identifier()?;
        }
        return Ok(Some((Setting::Unlisten, "UNLISTEN")));
    }
    if cursor.accept(&["deallocate"]) {
        let _ = cursor.accept(&["prepare"]);
        let name = if cursor.accept(&["all"]) { None } else { Some(cursor.identifier()?) };
        return Ok(Some((Setting::Deallocate(name), "DEALLOCATE")));
    }
    Ok(None)
}

pub(crate) fn set(cursor: &mut Cursor<'_>) -> Result<Setting, Error> {
    if cursor.sees(&["session", "authorization"]) {
        return Err(cursor.unsupported("SET SESSION AUTHORIZATION", "Use SET ROLE, or connect as that role."));
    }
    if cursor.sees(&["constraints"]) {
        return Err(cursor.unsupported("SET CONSTRAINTS", "Leave it out: there are no deferrable constraints."));
    }
    if cursor.accept(&["session", "characteristics", "as", "transaction"]) {
        return Ok(Setting::Characteristics(super::transaction::modes(cursor)?));
    }
    let local = match cursor.accept_one(&["session", "local"]) {
        Some("local") => true,
        Some(_) | None => false,
    };
    if cursor.accept(&["role"]) {
        let _ = cursor.accept_sign(&Token::Eq) || cursor.accept(&["to"]);
        return Ok(Setting::Role { name: role(cursor)?, local });
    }
    if cursor.accept(&["time", "zone"]) {
        let value = if cursor.accept_one(&["local", "default"]).is_some() { None } else { Some(value(cursor)?) };
        return Ok(Setting::Set { name: "timezone".to_owned(), value, local });
    }
    if cursor.accept(&["names"]) {
        let value = if cursor.accept(&["default"]) || cursor.is_done() { None } else { Some(value(cursor)?) };
        return Ok(Setting::Set { name: "client_encoding".to_owned(), value, local });
    }
    let name = name(cursor)?;
    if !(cursor.accept(&["to"]) || cursor.accept_sign(&Token::Eq)) {
        return Err(cursor.error());
    }
    let value = if cursor.accept(&["default"]) { None } else { Some(cursor.list(value)?.join(", ")) };
    Ok(Setting::Set { name, value, local })
}

/// `NONE` is no role; in quotes too, as in PostgreSQL.
fn role(cursor: &mut Cursor<'_>) -> Result<Option<String>, Error> {
    if cursor.accept(&["none"]) || cursor.accept(&["default"]) {
        return Ok(None);
    }
    let is_string = matches!(
        cursor.peek().map(|lexeme| &lexeme.token),
        Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_))
    );
    let name = if is_string { cursor.string()?.into_exposed() } else { cursor.identifier()? };
    Ok(if name == "none" { None } else { Some(name) })
}

pub(crate) fn reset(cursor: &mut Cursor<'_>) -> Result<Setting, Error> {
    if cursor.sees(&["session", "authorization"]) {
        return Err(cursor.unsupported("RESET SESSION AUTHORIZATION", "Use RESET ROLE."));
    }
    if cursor.accept(&["role"]) {
        return Ok(Setting::Role { name: None, local: false });
    }
    if cursor.accept(&["all"]) {
        return Ok(Setting::Reset(None));
    }
    if cursor.accept(&["time", "zone"]) {
        return Ok(Setting::Reset(Some("timezone".to_owned())));
    }
    Ok(Setting::Reset(Some(name(cursor)?)))
}

fn show(cursor: &mut Cursor<'_>) -> Result<Setting, Error> {
    let later = ["effective", "jobs", "tables", "columns", "databases", "schemas", "functions", "create"];
    if let Some(word) = later.iter().find(|word| cursor.sees(&[word])) {
        return Err(cursor.unsupported(
            &format!("SHOW {}", word.to_ascii_uppercase()),
            "SHOW takes the name of a setting; see psql's \\d, \\du and \\dp.",
        ));
    }
    if cursor.accept(&["all"]) {
        return Ok(Setting::ShowAll);
    }
    if cursor.accept(&["time", "zone"]) {
        return Ok(Setting::Show("timezone".to_owned()));
    }
    if cursor.accept(&["transaction", "isolation", "level"]) {
        return Ok(Setting::Show("transaction_isolation".to_owned()));
    }
    if cursor.accept(&["session", "authorization"]) {
        return Ok(Setting::Show("session_authorization".to_owned()));
    }
    Ok(Setting::Show(name(cursor)?))
}

/// `name` or `class.name`; `role` is one too.
fn name(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let mut name = cursor.identifier()?;
    while cursor.accept_sign(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.identifier()?);
    }
    Ok(name.to_ascii_lowercase())
}

/// A word, a string or a number with its sign.
fn value(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let sign = if cursor.accept_sign(&Token::Minus) { "-" } else { "" };
    match cursor.peek().map(|lexeme| &lexeme.token) {
        Some(Token::Number(number, false)) => {
            cursor.advance();
            Ok(format!("{sign}{number}"))
        }
        _ if !sign.is_empty() => Err(cursor.error()),
        Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_)) => {
            Ok(cursor.string()?.into_exposed())
        }
        // `on` and `true` are reserved, and values all the same.
        Some(Token::Word(word))
            if word.quote_style.is_none()
                && ["on", "true", "false"].iter().any(|value| word.value.eq_ignore_ascii_case(value)) =>
        {
            let value = word.value.to_ascii_lowercase();
            cursor.advance();
            Ok(value)
        }
        _ => cursor.identifier(),
    }
}
