//! A statement in full, for the audit to seal: its text without passwords, and its literals.
//!
//! Invariant: a password is in neither, also where the text cannot be read as a statement.

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::Redacted;

use super::lex::{Lexed, Lexeme, is_string};
use super::normalize::looks_like_identifier;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct InFull {
    /// The text.
    pub text: Redacted<String>,
    /// Literals as they are meant, in order.
    pub literals: Redacted<Vec<String>>,
}

impl InFull {
    /// A text that was refused, as far as it can be read.
    #[must_use]
    pub fn of_text(sql: &str) -> Self {
        if super::limits::check_text(sql).is_err() {
            return Self::default();
        }
        let (lexed, error) = Lexed::read_prefix(sql);
        let mut in_full = Self::of(&lexed, &(0..lexed.lexemes.len()));
        if error.is_some() {
            let read = lexed.lexemes.last().map_or(0, |last| last.bytes.end);
            let rest = sql.get(read..).unwrap_or_default();
            let mut text = in_full.text.into_exposed();
            // What stands there cannot be told from a password.
            let names_one = |text: &str| text.to_ascii_lowercase().contains("password");
            text.push_str(if names_one(&text) || names_one(rest) { " …" } else { rest });
            in_full.text = Redacted::new(text);
        }
        in_full
    }

    /// Some tokens of a text.
    pub(crate) fn of(lexed: &Lexed<'_>, range: &Range<usize>) -> Self {
        let lexemes = lexed.lexemes.get(range.clone()).unwrap_or_default();
        let mut text = String::with_capacity(lexed.text(range).len());
        let (mut literals, mut copied) = (Vec::new(), lexemes.first().map_or(0, |first| first.bytes.start));
        for (at, lexeme) in lexemes.iter().enumerate() {
            let before = lexemes.get(..at).unwrap_or_default();
            text.push_str(lexed.source.get(copied..lexeme.bytes.start).unwrap_or_default());
            copied = lexeme.bytes.end;
            if is_secret(before, lexeme) {
                text.push('?');
                continue;
            }
            text.push_str(lexed.source.get(lexeme.bytes.clone()).unwrap_or_default());
            literals.extend(literal(&lexeme.token));
        }
        Self { text: Redacted::new(text), literals: Redacted::new(literals) }
    }
}

/// Whether a token is a password: it follows the word, or is given to a setting that is called one.
fn is_secret(before: &[Lexeme], lexeme: &Lexeme) -> bool {
    match before {
        [.., last] if last.is_word("password") => !lexeme.is_word("null"),
        [.., name, equals] if equals.token == Token::Eq && is_string(&lexeme.token) => {
            let name = name.token.to_string().to_ascii_lowercase();
            name.contains("password") || name.contains("secret")
        }
        _ => false,
    }
}

/// The value of a literal, and of a quoted word that is no name: people put values into double quotes.
fn literal(token: &Token) -> Option<String> {
    match token {
        Token::Number(digits, _) => Some(digits.clone()),
        Token::SingleQuotedString(value)
        | Token::NationalStringLiteral(value)
        | Token::EscapedStringLiteral(value)
        | Token::UnicodeStringLiteral(value) => Some(value.clone()),
        Token::DollarQuotedString(quoted) => Some(quoted.value.clone()),
        Token::Word(word) if word.quote_style.is_some() && !looks_like_identifier(&word.value) => {
            Some(word.value.clone())
        }
        // With its quotes, which stand around parts of values.
        token => is_string(token).then(|| token.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> (String, Vec<String>) {
        let in_full = crate::statement::parse(sql).map_or_else(|_| InFull::of_text(sql), |parsed| parsed.in_full);
        (in_full.text.into_exposed(), in_full.literals.into_exposed())
    }

    #[test]
    fn text_and_literals_are_the_statements_own() {
        let sql = "SELECT a FROM t WHERE ssn = '412-68-1073' AND n IN (17, 1.5) AND b LIKE $$it's$$ -- why";
        let (text, literals) = parsed(sql);
        assert_eq!(text, sql.trim_end_matches(" -- why"));
        assert_eq!(literals, ["412-68-1073", "17", "1.5", "it's"]);
        assert_eq!(parsed("SELECT E'a\\'b', 'it''s'").1, ["a'b", "it's"]);
        assert_eq!(parsed("SELECT \"412-68-1073\" FROM t").1, ["412-68-1073"]);
    }

    #[test]
    fn passwords_are_in_neither() {
        for sql in [
            "CREATE ROLE alice LOGIN PASSWORD 'hunter2'",
            "ALTER ROLE alice PASSWORD 'hunter2'",
            "ALTER ROLE alice PASSWORD hunter2",
            "CREATE USER alice PASSWORD 'hunter2",
            "CREATE ROL alice PASSWORD E'hunter2' x",
            "CREATE TABLE t (a int) WITH ('properties.ssl.keystore.password' = 'hunter2')",
        ] {
            let (text, literals) = parsed(sql);
            assert!(!text.contains("hunter2") && !literals.join(" ").contains("hunter2"), "{text} {literals:?}");
            assert!(text.starts_with(&sql[..8]), "{text}");
        }
        assert_eq!(parsed("ALTER ROLE alice PASSWORD NULL").0, "ALTER ROLE alice PASSWORD NULL");
    }
}
