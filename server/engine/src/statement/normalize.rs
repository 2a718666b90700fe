//! A statement's text without its literals, for the audit log.
//!
//! Invariant: nothing of a literal survives, in whatever way it was written, nor of a comment, nor of a quoted identifier
//! that does not look like one (people put values into double quotes).

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::NAME_BYTES;

use super::lex::{Lexed, Lexeme, is_string};

/// The longest normalized text, in bytes.
const LENGTH_BYTES: usize = 64 << 10;

/// The text with every literal replaced by `?`; what cannot be read is left out.
#[must_use]
pub fn normalize(sql: &str) -> String {
    if super::limits::check_text(sql).is_err() {
        return "?".to_owned();
    }
    let (lexed, error) = Lexed::read_prefix(sql);
    let mut text = normalized(&lexed, &(0..lexed.lexemes.len()));
    if error.is_some() {
        text.push_str(if text.is_empty() { "?" } else { " ?" });
    }
    text
}

/// The same for a part of what was read.
pub(crate) fn normalized(lexed: &Lexed<'_>, range: &std::ops::Range<usize>) -> String {
    let mut text = String::new();
    let mut last: Option<&Lexeme> = None;
    let lexemes = lexed.lexemes.get(range.clone()).unwrap_or_default();
    let names_roles = lexemes.first().is_some_and(|first| ["create", "alter"].iter().any(|word| first.is_word(word)));
    for lexeme in lexemes {
        if last.is_some_and(|last| last.bytes.end < lexeme.bytes.start) {
            text.push(' ');
        }
        // An unquoted password is a syntax error, and a password all the same.
        if names_roles && last.is_some_and(|last| last.is_word("password")) && !lexeme.is_word("null") {
            text.push('?');
        } else {
            push(&mut text, lexed.source, lexeme);
        }
        last = Some(lexeme);
        if text.len() > LENGTH_BYTES {
            text.push_str(" …");
            break;
        }
    }
    text
}

fn push(text: &mut String, source: &str, lexeme: &Lexeme) {
    match &lexeme.token {
        Token::Number(..) => text.push('?'),
        token if is_string(token) => text.push('?'),
        Token::Word(word) if word.quote_style.is_some() && !looks_like_identifier(&word.value) => {
            text.push_str("\"?\"")
        }
        Token::Word(word) if word.quote_style.is_none() && word.value.len() > NAME_BYTES => text.push('?'),
        Token::Placeholder(name) if !name[1..].bytes().all(|byte| byte.is_ascii_digit()) => text.push('?'),
        Token::Char(character) if !character.is_ascii_punctuation() => text.push('?'),
        _ => text.push_str(source.get(lexeme.bytes.clone()).unwrap_or("?")),
    }
}

pub(super) fn looks_like_identifier(value: &str) -> bool {
    value.len() <= NAME_BYTES
        && !value.starts_with(|character: char| character.is_ascii_digit())
        && value.chars().all(|character| character.is_alphanumeric() || character == '_' || character == '$')
}
