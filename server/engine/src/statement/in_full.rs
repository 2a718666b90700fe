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
    /// There are values that are not told: withheld, or not read.
    pub more: bool,
}

impl InFull {
    /// What could not be read at all.
    #[must_use]
    pub fn unread() -> Self {
        Self { more: true, ..Self::default() }
    }

    /// A text that was refused, as far as it can be read.
    #[must_use]
    pub fn of_text(sql: &str) -> Self {
        if super::limits::check_text(sql).is_err() {
            return Self::unread();
        }
        let (lexed, error) = Lexed::read_prefix(sql);
        let mut in_full = Self::of(&lexed, &(0..lexed.lexemes.len()));
        if error.is_some() {
            let read = lexed.lexemes.last().map_or(0, |last| last.bytes.end);
            let rest = sql.get(read..).unwrap_or_default();
            let mut text = in_full.text.into_exposed();
            // What stands there cannot be told from a password.
            let names_one = |text: &str| text.to_ascii_lowercase().contains("password");
            let last = lexed.lexemes.rsplit(|lexeme| lexeme.token == Token::SemiColon).next();
            let may_hide_one = last.is_some_and(|last| Form::of(last) != Form::Query && names_secret(sql));
            text.push_str(if names_one(&text) || names_one(rest) || may_hide_one { " …" } else { rest });
            (in_full.text, in_full.more) = (Redacted::new(text), true);
        }
        in_full
    }

    /// Some tokens of a text.
    pub(crate) fn of(lexed: &Lexed<'_>, range: &Range<usize>) -> Self {
        let lexemes = lexed.lexemes.get(range.clone()).unwrap_or_default();
        let mut text = String::with_capacity(lexed.text(range).len());
        let (mut literals, mut copied) = (Vec::new(), lexemes.first().map_or(0, |first| first.bytes.start));
        let secret = secret(lexemes);
        for (lexeme, secret) in lexemes.iter().zip(&secret) {
            text.push_str(lexed.source.get(copied..lexeme.bytes.start).unwrap_or_default());
            copied = lexeme.bytes.end;
            if *secret {
                text.push('?');
                continue;
            }
            text.push_str(lexed.source.get(lexeme.bytes.clone()).unwrap_or_default());
            literals.extend(literal(&lexeme.token));
        }
        Self { text: Redacted::new(text), literals: Redacted::new(literals), more: secret.contains(&true) }
    }
}

/// First words of statements that take no password: what a query calls one is a name.
const QUERIES: [&str; 14] = [
    "select", "with", "values", "table", "insert", "update", "delete", "merge", "explain", "declare", "fetch", "show",
    "prepare", "execute",
];
/// What CREATE and ALTER may make that has no password, but options perhaps.
const WITHOUT_PASSWORD: [&str; 10] =
    ["table", "view", "schema", "policy", "masking", "tag", "function", "or", "materialized", "default"];
/// What stands before a list of options in parentheses.
const OPTION_LISTS: [&str; 7] = ["with", "options", "option", "set", "properties", "tblproperties", "serdeproperties"];
/// A setting or option whose name holds one of these may be a secret.
const SECRETS: [&str; 8] = ["password", "passwd", "secret", "token", "key", "credential", "jaas", "authorization"];

/// What of a statement may be secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing.
    Query,
    /// Options in parentheses.
    Options,
    /// The value of a setting.
    Setting,
    /// What follows PASSWORD, settings, and options: roles, and what is not known.
    Role,
}

impl Form {
    fn of(statement: &[Lexeme]) -> Self {
        let word = |at: usize, words: &[&str]| {
            statement.get(at).is_some_and(|lexeme| words.iter().any(|word| lexeme.is_word(word)))
        };
        if word(0, &["set"]) {
            Self::Setting
        } else if word(0, &QUERIES) || statement.first().is_some_and(|first| first.token == Token::LParen) {
            Self::Query
        } else if word(0, &["copy"]) || word(0, &["create", "alter"]) && word(1, &WITHOUT_PASSWORD) {
            Self::Options
        } else {
            Self::Role
        }
    }
}

/// Which tokens are secret.
fn secret(lexemes: &[Lexeme]) -> Vec<bool> {
    let mut secret = Vec::with_capacity(lexemes.len());
    for statement in lexemes.split_inclusive(|lexeme| lexeme.token == Token::SemiColon) {
        let from = secret.len();
        secret.resize(from + statement.len(), false);
        if let Some(secret) = secret.get_mut(from..) {
            mark(statement, secret);
        }
    }
    secret
}

/// Marks what is secret of one statement.
fn mark(statement: &[Lexeme], secret: &mut [bool]) {
    let form = Form::of(statement);
    if form == Form::Query {
        return;
    }
    let mut hide = |range: Range<usize>| {
        secret.get_mut(range).into_iter().flatten().for_each(|secret| *secret = true);
    };
    let token = |at: usize| statement.get(at).map(|lexeme| &lexeme.token);
    for (at, lexeme) in statement.iter().enumerate() {
        let next = at + 1;
        if OPTION_LISTS.iter().any(|word| lexeme.is_word(word)) && token(next) == Some(&Token::LParen) {
            options(statement, next + 1).into_iter().for_each(&mut hide);
        }
        if form == Form::Role && lexeme.is_word("password") {
            hide(password(statement, next));
        }
        let assigns = token(next) == Some(&Token::Eq) || statement.get(next).is_some_and(|word| word.is_word("to"));
        if matches!(form, Form::Role | Form::Setting) && assigns && names_secret(&setting(statement, at)) {
            let values = statement.get(next + 1..).unwrap_or_default();
            let ends = values.iter().position(|lexeme| lexeme.token == Token::SemiColon);
            hide(next + 1..next + 1 + ends.unwrap_or(values.len()));
        }
    }
}

/// The name of the setting that ends at `at`: words with points between.
fn setting(statement: &[Lexeme], at: usize) -> String {
    let before = statement.get(..at).unwrap_or_default().iter().rev().step_by(2);
    let points = before.take_while(|lexeme| lexeme.token == Token::Period).count();
    let name = statement.get(at.saturating_sub(2 * points)..=at).unwrap_or_default();
    name.iter().map(|lexeme| lexeme.token.to_string()).collect()
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// Where the value of PASSWORD stands, from `at`: one token, or all pieces of a string.
fn password(statement: &[Lexeme], at: usize) -> Range<usize> {
    let after = statement.get(at..).unwrap_or_default();
    let signs = after.iter().take_while(|lexeme| lexeme.token == Token::Eq).count();
    let value = after.get(signs..).unwrap_or_default();
    let pieces = value.iter().take_while(|lexeme| is_piece(&lexeme.token)).count();
    let other = value.first().is_some_and(|first| !first.is_word("null") && first.token != Token::SemiColon);
    let length = if pieces == 0 && other { 1 } else { pieces };
    at + signs..at + signs + length
}

/// Whether a token is a string, or stands in double quotes as one.
fn is_piece(token: &Token) -> bool {
    literal(token).is_some() && !matches!(token, Token::Number(..))
}

/// Where the values stand, of options that begin at `from`, whose names say that they may be secret.
fn options(statement: &[Lexeme], from: usize) -> Vec<Range<usize>> {
    let (mut hidden, mut depth, mut begun) = (Vec::new(), 0_usize, from);
    for at in from..=statement.len() {
        let token = statement.get(at).map(|lexeme| &lexeme.token);
        let ends = matches!((token, depth), (None, _) | (Some(Token::RParen | Token::Comma), 0));
        match token {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if ends {
            hidden.extend(option(statement.get(begun..at).unwrap_or_default(), begun));
            begun = at + 1;
            if token != Some(&Token::Comma) {
                break;
            }
        }
    }
    hidden
}

/// Where the value of one option stands, whose tokens begin at `begun`, if it may be secret.
fn option(tokens: &[Lexeme], begun: usize) -> Option<Range<usize>> {
    let assigned = tokens.iter().position(|lexeme| matches!(lexeme.token, Token::Eq | Token::RArrow));
    // Without a sign the name is a string, or words with points between.
    let points = || tokens.iter().skip(1).step_by(2).take_while(|lexeme| lexeme.token == Token::Period).count();
    let (name, value) = assigned.map_or_else(|| (1 + 2 * points(), 1 + 2 * points()), |sign| (sign, sign + 1));
    let named = tokens.get(..name)?.iter().map(|lexeme| lexeme.token.to_string()).collect::<String>();
    (names_secret(&named) && value < tokens.len()).then_some(begun + value..begun + tokens.len())
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

    fn in_full(sql: &str) -> (String, Vec<String>, bool) {
        let in_full = crate::statement::parse(sql).map_or_else(|_| InFull::of_text(sql), |parsed| parsed.in_full);
        (in_full.text.into_exposed(), in_full.literals.into_exposed(), in_full.more)
    }

    fn parsed(sql: &str) -> (String, Vec<String>) {
        let (text, literals, _) = in_full(sql);
        (text, literals)
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
            "CREATE ROLE alice PASSWORD 'hun'\n'hunter2'",
            "ALTER ROLE alice PASSWORD = 'hunter2'",
            "ALTER ROLE alice SET api_token TO 'hunter2'",
            "SELECT 1; ALTER ROLE alice PASSWORD 'hunter2'",
            "SET vault.secret = 'hunter2'",
            "SET secret.of.vault = 'hunter2'",
            "COPY t FROM 's3://b/t' WITH (secret_access_key 'hunter2', format 'csv')",
            "CREATE TABLE t (a int) WITH ('properties.ssl.keystore.password' = 'hunter2')",
            "CREATE TABLE t (a int) WITH (format = 'x', properties.sasl.jaas.config 'hunter2' hunter2, b = 1)",
            "ALTER TABLE t SET (fs.azure.account.key = 'hunter2', b = ('a', 'b'))",
            "CREATE TABLE t (a int) OPTIONS ('Authorization' => ('Bearer', 'hunter2'), b 1)",
        ] {
            let (text, literals, more) = in_full(sql);
            assert!(more, "{sql}");
            assert!(!text.contains("hunter2") && !literals.join(" ").contains("hunter2"), "{text} {literals:?}");
            assert!(text.starts_with(&sql[..8]), "{text}");
        }
        assert_eq!(parsed("ALTER ROLE alice PASSWORD NULL").0, "ALTER ROLE alice PASSWORD NULL");
    }

    #[test]
    fn what_a_query_calls_a_password_is_told() {
        for sql in [
            "SELECT * FROM (SELECT ssn AS password FROM p) q WHERE password = '412-68-1073'",
            "(SELECT ssn AS password FROM p WHERE password = '412-68-1073')",
            "CREATE TABLE t AS SELECT * FROM (SELECT ssn AS api_key FROM p) q WHERE api_key = '412-68-1073'",
            "UPDATE p SET password = '412-68-1073' WHERE a = 1",
            "CREATE TABLE t (a int) WITH (format = '412-68-1073', mode 'x')",
            "SET purpose_of_use = '412-68-1073'",
        ] {
            let (text, literals, more) = in_full(sql);
            assert!(!more && text == sql && literals.contains(&"412-68-1073".to_owned()), "{text} {literals:?}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_marked() {
        assert!(in_full("SELECT '412-68-1073").2);
        assert!(in_full("SELECT 1 \0 '412-68-1073'").2);
        let long = format!("SELECT '{}'", "x".repeat(crate::statement::limits::TEXT_BYTES));
        assert!(in_full(&long).2 && in_full(&long).0.is_empty());
        assert!(!in_full("SELEC '412-68-1073'").2);
    }
}
