//! How deep and how long a statement may be: what is refused, and that what is let through does no harm.

use std::time::{Duration, Instant};

use lakeward_base::Coded;

use super::{accepted, refusal};
use crate::statement::parse;

/// On a thread with a small stack, as a server's are.
fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap()
}

#[test]
fn hostile_shapes_are_refused_and_never_overflow() {
    let shapes = || {
        let many = 100_000;
        vec![
            format!("SELECT {}1{}", "(".repeat(many), ")".repeat(many)),
            format!("SELECT {}", "(".repeat(many)),
            format!("SELECT 1{}", "+1".repeat(many)),
            format!("SELECT 1{}", "::int".repeat(many)),
            format!("SELECT a{}", " IS NULL".repeat(many)),
            format!("SELECT a{}", "[1]".repeat(many)),
            format!("SELECT {}1", "- ".repeat(many)),
            format!("SELECT {}true", "NOT ".repeat(many)),
            format!("SELECT a{}", " OR a".repeat(many)),
            format!("SELECT a{}", " NOTNULL".repeat(many)),
            format!("SELECT a{}", " AT TIME ZONE 'UTC'".repeat(many)),
            format!("SELECT 1{}", " UNION SELECT 1, 2".repeat(many)),
            format!("SELECT {}1{}", "f(".repeat(many), ")".repeat(many)),
            format!("SELECT {}", "CASE WHEN ".repeat(many)),
            format!("SELECT * FROM {}", "(SELECT * FROM ".repeat(many)),
            format!("SELECT CAST(a AS {}", "ARRAY<".repeat(many)),
            format!("SELECT CAST(a AS int{})", "[]".repeat(many)),
            format!("SELECT {}", "INTERVAL ".repeat(many)),
            format!("SELECT {}", "EXISTS (SELECT ".repeat(many)),
            "EXPLAIN ".repeat(many),
            format!("{}SELECT 1", "WITH a AS (".repeat(many)),
            format!("SELECT * FROM JSON_TABLE(a, '$' COLUMNS({}", "NESTED PATH 'x' COLUMNS(".repeat(many)),
        ]
    };
    for sql in shapes() {
        let head: String = sql.chars().take(40).collect();
        let code =
            on_a_small_stack(move || parse(&sql).map(drop).map_err(|error| error.sqlstate().as_str())).unwrap_err();
        assert!(["54000", "42601", "0A000"].contains(&code), "{head}: {code}");
    }
}

#[test]
fn what_the_limits_let_through_does_not_overflow() {
    let operators = crate::statement::limits::OPERATORS - 2;
    let shapes = [
        format!("SELECT 1{}", "+1".repeat(operators)),
        format!("SELECT 1{}", "::int".repeat(crate::statement::limits::CALLS)),
        format!("SELECT a{}", " IS NULL".repeat(operators)),
        format!("SELECT 1{}", " UNION SELECT 1, 2".repeat(crate::statement::limits::SET_OPERATIONS)),
        format!("SELECT {}1{}", "(".repeat(80), ")".repeat(80)),
        format!("SELECT {}1{}", "f(".repeat(80), ")".repeat(80)),
        format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(25), ") x".repeat(25)),
    ];
    for sql in shapes {
        on_a_small_stack(move || drop(accepted(&sql)));
    }
}

#[test]
fn calls_in_a_row_are_counted_apart() {
    let calls = crate::statement::limits::CALLS;
    for operator in ["::int", " -> 'a'", "[1]", " AT TIME ZONE 'UTC'", " ^ 2", " -> 'a' + 1"] {
        accepted(&format!("SELECT a{} FROM t", operator.repeat(calls)));
        let (code, _, message) = refusal(&format!("SELECT a{} FROM t", operator.repeat(calls + 1)));
        assert_eq!((code.as_str(), message.as_str()), ("54000", "the expression is too long"), "{operator}");
    }
    for joint in [" AND ", " OR ", " = ", ", "] {
        accepted(&format!("SELECT {} FROM t", vec!["a::int"; calls * 3].join(joint)));
    }
}

#[test]
fn no_short_text_takes_long() {
    let depth = 40;
    let shapes = [
        format!("SELECT {}1", "f(".repeat(depth)),
        format!("SELECT * FROM {}", "((SELECT * FROM ".repeat(depth)),
        format!("SELECT * FROM {}", "((SELECT FROM ".repeat(depth)),
        format!("SELECT * FROM {}", "(SELECT ((SELECT * FROM ".repeat(depth / 2)),
        format!("SELECT 1 WHERE {}", "1 IN ((SELECT 1 WHERE ".repeat(depth / 2)),
        format!("SELECT {}", "CASE WHEN position(".repeat(depth)),
        format!("SELECT {}", "trim(DATE ".repeat(depth)),
        format!("SELECT * FROM {}", "(((a JOIN ".repeat(depth / 2)),
    ];
    for sql in shapes {
        let started = Instant::now();
        assert!(parse(&sql).is_err(), "{sql}");
        assert!(started.elapsed() < Duration::from_secs(10), "{sql} took {:?}", started.elapsed());
    }
}

#[test]
fn long_lists_take_linear_time() {
    let started = Instant::now();
    let names = format!("DROP TABLE a{}", ", a".repeat(200_000));
    assert_eq!(accepted(&names).class, "DROP TABLE");
    let versions = format!("SELECT * FROM t FOR VERSION AS OF 1{}", ", t FOR VERSION AS OF 1".repeat(50_000));
    assert_eq!(accepted(&versions).class, "SELECT");
    assert_eq!(refusal(&format!("CREATE TABLE t (a int{})", ", a int".repeat(100_000))).0, "54000");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn long_texts_are_read_or_refused() {
    let literal = format!("SELECT '{}'", "x".repeat(10 << 20));
    assert_eq!(accepted(&literal).normalized, "SELECT ?");
    assert_eq!(refusal(&"(".repeat(10 << 20)).0, "54000");
    assert_eq!(refusal(&" ".repeat(17 << 20)).0, "54000");
    let rows = format!("INSERT INTO t VALUES (1, 'a'){}", ", (1, 'a')".repeat(50_000));
    assert_eq!(accepted(&rows).class, "INSERT");
    assert!(accepted(&rows).normalized.len() < 100_000);
}

#[test]
fn subqueries_of_expressions_nest_less_deep_than_those_that_stand_for_tables() {
    let limit = crate::statement::limits::SUBQUERIES;
    let nested =
        |open: &str, close: &str, depth: usize| format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
    let expressions = [
        ("(SELECT ", ")"),
        ("((SELECT ", "))"),
        ("abs((SELECT ", "))"),
        ("1 IS DISTINCT FROM (SELECT ", ")"),
        ("extract(year FROM (SELECT ", "))"),
        ("a FROM t WHERE EXISTS (SELECT ", ")"),
        ("a FROM t WHERE a IN (SELECT ", ")"),
        ("a FROM t JOIN u ON a = (SELECT ", ")"),
        ("a FROM unnest(ARRAY(SELECT ", "))"),
        ("(WITH w AS (SELECT 2) SELECT ", ")"),
        ("CASE WHEN true THEN (SELECT ", ") END"),
    ];
    for (open, close) in expressions {
        if let Err(error) = parse(&nested(open, close, limit)) {
            assert_ne!(error.sqlstate().as_str(), "54000", "{open}");
        }
        let (code, position, _) = refusal(&nested(open, close, limit + 1));
        assert_eq!(code, "54000", "{open}");
        assert!(position.is_some(), "{open}");
    }
    for sql in [
        format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(25), ") x".repeat(25)),
        format!("SELECT * FROM a, {}t{}", "(SELECT * FROM b, ".repeat(20), ") x".repeat(20)),
        format!("SELECT * FROM {}t{}", "((SELECT * FROM a JOIN ".repeat(10), " ON true) x JOIN y ON true)".repeat(10)),
        format!("{}SELECT 1{}", "WITH w AS (".repeat(20), ") SELECT 1".repeat(20)),
        (0..20).fold("SELECT 1".to_owned(), |inner, _| format!("SELECT 1 UNION ({inner})")),
    ] {
        if let Err(error) = parse(&sql) {
            panic!("{sql}: {error}");
        }
    }
}
