//! Random texts: nothing that a user can type makes the parser panic, or shows a literal.

use lakeward_base::Coded;
use proptest::prelude::{Just, Strategy, any, prop, proptest};
use proptest::prop_oneof;

use crate::statement::{Kind, describe, normalize, parse, split};

/// Pieces of SQL, good and bad.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "SELECT",
        "FROM",
        "WHERE",
        "(",
        ")",
        ",",
        ";",
        "*",
        "t",
        "a",
        ".",
        "=",
        "+",
        "'x'",
        "1",
        "$1",
        "\"Q\"",
        "AS",
        "JOIN",
        "ON",
        "CREATE",
        "TABLE",
        "VIEW",
        "POLICY",
        "MASKING",
        "ROLE",
        "ALTER",
        "DROP",
        "GRANT",
        "REVOKE",
        "TO",
        "USING",
        "WITH",
        "CHECK",
        "INSERT",
        "INTO",
        "VALUES",
        "SET",
        "SHOW",
        "BEGIN",
        "EXPLAIN",
        "ANALYZE",
        "UNION",
        "ORDER",
        "BY",
        "LIMIT",
        "OVER",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "NOT",
        "NULL",
        "IN",
        "EXISTS",
        "VERSION",
        "OF",
        "FOR",
        "->",
        "::",
        "int",
        "text",
        "[",
        "]",
        "PASSWORD",
        "LOGIN",
        "IF",
        "OR",
        "REPLACE",
        "RETURNS",
        "COLUMN",
        "SCHEMA",
        "ENABLE",
        "ROW",
        "LEVEL",
        "SECURITY",
        "OWNER",
        "LOCATION",
        "INTERVAL",
        "DATE",
        "LATERAL",
        "/*",
        "*/",
        "--",
        "\n",
        "'",
        "\"",
        "$$",
        "E'\\",
        "U&'",
        "X'",
        "{",
        "}",
        "~",
        "@",
        "?",
        "#",
        "ä",
        "\u{1F600}",
        "0x",
        "1e",
        "..",
        ":",
    ];
    prop_oneof![9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn soup() -> impl Strategy<Value = String> {
    (prop::collection::vec(piece(), 0..40), Just(())).prop_map(|(pieces, ())| pieces.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(sql in soup()) {
        let _ = split(&sql);
        let _ = describe(&sql);
        if let Err(error) = parse(&sql)
            && let Some(position) = error.position()
        {
            assert!((1..=sql.chars().count() + 1).contains(&position), "{position} of {sql:?}");
        }
    }

    #[test]
    fn no_literal_survives(secret in "[a-z]{12}", quote in 0_usize..9, before in soup(), after in soup()) {
        let secret = format!("zq{secret}");
        let literal = match quote {
            0 => format!("'{secret}'"),
            1 => format!("E'\\'{secret}'"),
            2 => format!("U&'{secret}'"),
            3 => format!("$${secret}$$"),
            4 => format!("$tag${secret}$tag$"),
            5 => format!("N'{secret}'"),
            6 => format!("B'{secret}'"),
            7 => format!("'it''s {secret}'"),
            _ => format!("X'{secret}'"),
        };
        // On its own the literal is one; within a soup an open quote may turn it inside out, so only its own parts count.
        let alone = normalize(&format!("SELECT a FROM t WHERE b = {literal} AND c"));
        assert_eq!(alone, "SELECT a FROM t WHERE b = ? AND c");
        let closed = |text: &str| split(text).is_ok() && !text.contains("--");
        if closed(&before) {
            assert!(!normalize(&format!("{before} {literal} {after}")).contains(&secret));
        }
    }

    #[test]
    fn what_is_accepted_is_whole(sql in soup()) {
        // A statement that was accepted has no tail that was left unread: with one more word it is another one.
        if let Ok(statement) = parse(&sql)
            && !matches!(statement.kind, Kind::Empty)
            && let Ok(parts) = split(&sql)
        {
            assert!(parse(&format!("{} )", parts[0].text)).is_err());
        }
    }
}
