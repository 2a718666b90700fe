//! What strangers' texts reach first, as functions that take anything: for the fuzzers, and for the tests that replay
//! what they found (`tests/hostile`).
//!
//! Invariant: a function here panics where a promise is broken, and for no other reason.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::Redacted;

use crate::ddl::Ddl;
use crate::output;
use crate::postgres::{self, read_text, text_of};
use crate::statement::{
    Kind, Lexed, Lexeme, Statement, describe, first_refused, is_string, normalize, parse, parse_expression, parse_name,
    split,
};

/// Statements of more tokens than this are not taken apart token by token: it takes the square of them.
const TOKENS: usize = 80;

/// Words and signs that may stand or not, to no effect, as PostgreSQL has them
/// (`count(ALL a)`, `a IS NOT NULL`, `FETCH FIRST 2 ROWS ONLY`, `GRANT … ON TABLE t`).
const NOISE: &[&str] = &[
    ";",
    "(",
    ")",
    ",",
    "+",
    "=",
    "ALL",
    "AS",
    "ASC",
    "BY",
    "COLUMN",
    "DISTINCT",
    "FIRST",
    "FORWARD",
    "FROM",
    "IN",
    "INNER",
    "INTERVAL",
    "INTO",
    "IS",
    "NEXT",
    "ONLY",
    "OUTER",
    "PERMISSIVE",
    "PRECISION",
    "RESTRICT",
    "ROW",
    "ROWS",
    "SESSION",
    "TABLE",
    "TO",
    "TRANSACTION",
    "WITH",
    "WITHOUT",
    "WORK",
];

/// Reads a text as the doors do, statement by statement: the audit's text keeps no literal, and what is accepted is
/// what was written.
pub fn statements(text: &str) {
    assert_without_literals(&normalize(text));
    assert_without_literals(&describe(text).1);
    let Ok(parts) = split(text) else { return };
    let _ = first_refused(&parts);
    for part in &parts {
        if let Ok(parsed) = parse(&part.text) {
            assert_without_literals(&parsed.normalized);
            assert_nothing_dropped(&part.text, &parsed);
            mean(&parsed.kind);
        }
    }
}

/// Reads a text as an expression, and as the body of a policy and of a mask.
pub fn expressions(text: &str) {
    if let Ok(mut expression) = parse_expression(text) {
        let _ = postgres::rewrite_expression(&mut expression);
    }
    let _ = parse_name(text);
    for sql in [
        format!("CREATE POLICY p ON t USING ({text})"),
        format!("CREATE POLICY p ON t FOR UPDATE TO r USING (true) WITH CHECK ({text})"),
        format!("ALTER POLICY p ON t USING ({text})"),
        format!("CREATE MASKING POLICY m AS (val text, other int) RETURNS text -> {text}"),
    ] {
        statements(&sql);
    }
}

/// Reads a value, the first byte says of which type: what is read and shown is read again as the same.
pub fn value(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let types = types();
    let Some(wanted) = types.get(usize::from(*kind) % (types.len() + 1)) else {
        return json(&text);
    };
    let zone: Option<Tz> = if kind & 0x80 == 0 { None } else { "Europe/Zurich".parse().ok() };
    let utc: Tz = "UTC".parse().expect("a zone");
    let Ok(value) = read_text(&text, wanted, zone) else { return };
    let Some(shown) = text_of(&value, zone.unwrap_or(utc)) else { return };
    match read_text(&shown, wanted, zone) {
        Ok(again) => assert_eq!(text_of(&again, zone.unwrap_or(utc)), Some(shown), "of {text:?}"),
        Err(error) => panic!("{shown:?}, which {text:?} was shown as, is not read: {error}"),
    }
}

fn json(text: &str) {
    if let Some((once, twice)) = postgres::shown_twice(text) {
        assert_eq!(twice.as_ref(), Some(&once), "of {text:?}");
    }
}

/// The types that columns and parameters have.
#[must_use]
pub fn types() -> Vec<DataType> {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    vec![
        DataType::Boolean,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(38, 10),
        DataType::Decimal128(5, 2),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Interval(IntervalUnit::MonthDayNano),
        list(DataType::Int32),
        list(DataType::Utf8),
        list(list(DataType::Date32)),
    ]
}

/// What is kept for the audit, read again, has no literal.
fn assert_without_literals(normalized: &str) {
    let (lexed, _) = Lexed::read_prefix(normalized);
    let literal = |lexeme: &&Lexeme| is_string(&lexeme.token) || matches!(lexeme.token, Token::Number(..));
    let kept = lexed.lexemes.iter().find(literal).map(|lexeme| &normalized[lexeme.bytes.clone()]);
    assert_eq!(kept, None, "a literal is kept: {normalized}");
}

/// Every token of an accepted statement means something: without it, the statement is refused or another one.
fn assert_nothing_dropped(text: &str, parsed: &Statement) {
    let Ok(lexed) = Lexed::read(text) else { return };
    // Of FETCH's and MOVE's many forms several say the same.
    if lexed.lexemes.len() > TOKENS || matches!(parsed.kind, Kind::Cursor(_)) {
        return;
    }
    let whole = meaning(&parsed.kind);
    for lexeme in &lexed.lexemes {
        let token = &text[lexeme.bytes.clone()];
        // Nothing depends on a default privilege.
        let moot = parsed.class == "ALTER DEFAULT PRIVILEGES" && token.eq_ignore_ascii_case("cascade");
        if moot || NOISE.iter().any(|noise| token.eq_ignore_ascii_case(noise)) {
            continue;
        }
        // Blanks in its place: what follows stays where it was.
        let blank: String = token.chars().map(|_| ' ').collect();
        let without = [&text[..lexeme.bytes.start], &blank, &text[lexeme.bytes.end..]].concat();
        if let Ok(without) = parse(&without) {
            let other = without.class != parsed.class || meaning(&without.kind) != whole;
            assert!(other, "{token:?} is dropped from {text:?}");
        }
    }
}

/// A statement's syntax tree as text, with what it redacts.
fn meaning(kind: &Kind) -> String {
    let Kind::Ddl(ddl) = kind else { return format!("{kind:?}") };
    let redacted: Vec<Option<&Redacted<String>>> = match ddl.as_ref() {
        Ddl::SetAttribute { value, .. } => vec![value.as_ref()],
        Ddl::Comment { text, .. } => vec![text.as_ref()],
        Ddl::BreakGlass(opening) => vec![Some(&opening.subject), Some(&opening.reason), opening.ticket.as_ref()],
        Ddl::ReviewBreakGlass { id, note } => vec![Some(id), Some(note)],
        Ddl::CreateView(view) => vec![Some(&view.definition)],
        Ddl::CreatePolicy(policy) => vec![policy.using.as_ref(), policy.with_check.as_ref()],
        Ddl::AlterPolicy(policy) => vec![policy.using.as_ref(), policy.with_check.as_ref()],
        Ddl::CreateMaskingPolicy(mask) => vec![Some(&mask.body)],
        Ddl::AlterMaskingPolicy { body, .. } => vec![Some(body)],
        Ddl::CreatePolicyTest(test) => test.attributes.values().chain(std::iter::once(&test.query)).map(Some).collect(),
        _ => Vec::new(),
    };
    let redacted: Vec<&str> = redacted.into_iter().flatten().map(|part| part.expose().as_str()).collect();
    format!("{ddl:?}\n{}", redacted.join("\n"))
}

/// A query, as the planner is given it.
fn mean(kind: &Kind) {
    let query = match kind {
        Kind::Query(query) => query,
        Kind::Insert(insert) => &insert.source,
        Kind::Change(change) => &change.source,
        Kind::CopyOut(copy) => &copy.source,
        _ => return,
    };
    let _ = output::column_names(query, 3);
    let _ = postgres::rewrite(&mut query.as_ref().clone());
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{assert_nothing_dropped, expressions, statements, value};
    use crate::statement::{parse, split};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
    }

    fn files(directory: &Path) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                found.push(std::fs::read(&path).unwrap());
            }
        }
        assert!(!found.is_empty());
        found
    }

    #[test]
    fn the_corpus_of_statements_is_read() {
        files(&root().join("hostile/front")).iter().for_each(|bytes| statements(&String::from_utf8_lossy(bytes)));
    }

    #[test]
    fn the_corpus_of_expressions_is_read() {
        files(&root().join("hostile/policy")).iter().for_each(|bytes| expressions(&String::from_utf8_lossy(bytes)));
    }

    #[test]
    fn the_corpus_of_values_is_read_and_read_again() {
        files(&root().join("hostile/input")).iter().for_each(|bytes| value(bytes));
    }

    /// Every statement of the tests' scripts.
    #[test]
    fn no_token_of_an_accepted_statement_is_dropped() {
        let mut accepted = 0;
        for bytes in files(&root().join("slt")) {
            let script = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
            for record in script.split("\n\n") {
                let lines = record.lines().skip_while(|line| line.starts_with('#'));
                let mut lines = lines.skip_while(|line| line.starts_with("statement") || line.starts_with("query"));
                let sql: Vec<&str> = lines.by_ref().take_while(|line| *line != "----").collect();
                let Ok(parts) = split(&sql.join("\n")) else { continue };
                for part in &parts {
                    if let Ok(parsed) = parse(&part.text) {
                        accepted += 1;
                        assert_nothing_dropped(&part.text, &parsed);
                    }
                }
            }
        }
        assert!(accepted > 500, "{accepted}");
    }
}
