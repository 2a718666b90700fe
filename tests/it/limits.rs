//! What a statement may take: memory, time, depth. Whatever is asked of the server, it answers, goes on, and leaves room
//! for others.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::harness::{block_on, demo, tls};
use crate::protocol::connect;

/// Rows that nobody wants to wait for.
const ENDLESS: &str = "SELECT count(*) FROM vitals a, vitals b, vitals c, vitals d \
     WHERE a.heart_rate + b.heart_rate + c.heart_rate + d.heart_rate = -1";

/// These tests take all that the server has: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn code(error: &tokio_postgres::Error) -> String {
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| format!("no answer: {error}"))
}

/// A fast query answers at once.
async fn answers(client: &tokio_postgres::Client) {
    let asked = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(20), client.query_one("SELECT count(*) FROM patients", &[]));
    answer.await.expect("an answer in time").unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn results_too_large_for_memory_are_refused_before_they_are_made() {
    let _alone = alone();
    let admin = demo().psql("admin");
    for sql in [
        "SELECT repeat('x', 1500000000)",
        "SELECT length(repeat('x', 2147483647))",
        "SELECT lpad('x', 1500000000)",
        "SELECT rpad('x', 1500000000, 'ab')",
        "SELECT replace(repeat('x', 2000000), 'x', repeat('y', 1000))",
        "SELECT array_repeat(1, 1500000000)",
        "SELECT range(1500000000)",
        "SELECT generate_series(1, 1500000000)",
        "SELECT sum(length(repeat('x', heart_rate * 1000000))) FROM vitals",
        "SELECT sum(length(concat(repeat('x', 10000000), heart_rate))) FROM vitals",
        "SELECT array_to_string(array_repeat(1, 1000000), repeat('x', 1000000))",
        "SELECT concat_ws(repeat('x', 200000000), 'a', 'b', 'c')",
        "SELECT format(repeat('%1$s', 1000000), repeat('x', 1000000))",
        r"SELECT regexp_replace(repeat('a', 1000000), '.*', repeat('\&', 1000000))",
        "SELECT sum(length(regexp_replace(repeat('a', 1000) || heart_rate, 'a', repeat('x', 60000), 'g'))) FROM vitals",
        "SELECT cardinality(regexp_split_to_array(repeat('ab', 20000000), 'b'))",
        "SELECT jsonb_array_length(('[1' || repeat(',1', 3000000) || ']')::jsonb)",
    ] {
        let asked = Instant::now();
        let (sqlstate, text) = admin.fails(sql);
        assert_eq!(sqlstate, "54000", "{sql}\n{text}");
        assert!(asked.elapsed() < Duration::from_secs(60), "{sql}");
    }
    assert!(admin.fails("SELECT repeat('x', 1500000000)").1.contains("requested length too large"));
    assert_eq!(
        admin.rows("SELECT length(repeat('ab', 1000000)), lpad('7', 3, '0'), rpad('7', 3), repeat('x', -1) = ''"),
        "2000000|007|7  |t"
    );
    assert_eq!(
        admin.rows("SELECT array_repeat(1, 3), replace('aXbX', 'X', '--'), concat('a', NULL, 1)"),
        "{1,1,1}|a--b--|a1"
    );
}

#[test]
fn a_query_without_end_is_stopped_by_the_timeout() {
    let _alone = alone();
    block_on(async {
        let (slow, other) = (connect("admin").await, connect("analyst").await);
        slow.simple_query("SET statement_timeout = 1500").await.unwrap();
        let asked = Instant::now();
        let (stopped, ()) = tokio::join!(slow.simple_query(ENDLESS), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            answers(&other).await;
        });
        assert_eq!(code(&stopped.unwrap_err()), "57014");
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        answers(&slow).await;
    });
}

/// As many as there are threads for queries, and more: each holds one, and gives it back.
#[test]
fn cancelled_queries_free_their_threads() {
    let _alone = alone();
    block_on(async {
        let threads = std::thread::available_parallelism().unwrap().get() + 1;
        for _ in 0..2 {
            let mut running = Vec::new();
            for _ in 0..threads {
                let client = connect("admin").await;
                let token = client.cancel_token();
                running.push((tokio::spawn(async move { client.simple_query(ENDLESS).await.map(drop) }), token));
            }
            let other = connect("analyst").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            answers(&other).await;
            for (query, token) in running {
                token.cancel_query(tls::connector(&demo().ca())).await.unwrap();
                let ended = tokio::time::timeout(Duration::from_secs(20), query).await.expect("it stops").unwrap();
                assert_eq!(code(&ended.unwrap_err()), "57014");
            }
            answers(&other).await;
        }
    });
}

fn list(count: usize, join: &str, item: &dyn Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(join)
}

fn same(text: &'static str) -> impl Fn(usize) -> String {
    move |_| text.to_owned()
}

/// Statements as long as the limits let through.
fn long() -> Vec<(&'static str, String)> {
    let chain = |count: usize| {
        let one = |index: usize| match index {
            0 => "w0 AS (SELECT 1 AS a)".to_owned(),
            _ => format!("w{index} AS (SELECT a FROM w{})", index - 1),
        };
        format!("WITH {} SELECT a FROM w{}", list(count, ", ", &one), count - 1)
    };
    vec![
        ("sums of columns", format!("SELECT {} FROM patients LIMIT 1", list(300, " + ", &same("age")))),
        ("targets", format!("SELECT {}", list(1_664, ", ", &|index| format!("{index} AS c{index}")))),
        ("sums", format!("SELECT {}", list(300, "+", &same("1")))),
        ("text", format!("SELECT {}", list(500, "||", &same("'a'")))),
        (
            "AND",
            format!("SELECT count(*) FROM patients WHERE {}", list(300, " AND ", &|index| format!("age <> {index}"))),
        ),
        ("OR", format!("SELECT count(*) FROM patients WHERE {}", list(300, " OR ", &|index| format!("age = {index}")))),
        ("IS NULL", format!("SELECT 1{}", " IS NULL".repeat(1_400))),
        ("CASE with many conditions", format!("SELECT CASE {}END", "WHEN false THEN 1 ".repeat(1_400))),
        ("UNION ALL", list(200, " UNION ALL ", &same("SELECT 1"))),
        ("UNION", list(150, " UNION ", &same("SELECT 1"))),
        (
            "IN",
            format!("SELECT count(*) FROM patients WHERE age IN ({})", list(20_000, ",", &|index| index.to_string())),
        ),
        ("rows", format!("SELECT count(*) FROM (VALUES {}) t", list(20_000, ",", &same("(1)")))),
        (
            "joins",
            format!("SELECT count(*) FROM {}", list(120, " CROSS JOIN ", &|index| format!("(SELECT 1 AS a) t{index}"))),
        ),
        ("WITH", chain(200)),
    ]
}

/// Statements that are too long.
fn too_long() -> Vec<(&'static str, String)> {
    let doubling = |index: usize| match index {
        0 => "w0 AS (SELECT 1 AS a)".to_owned(),
        _ => format!("w{index} AS (SELECT l.a FROM w{0} l, w{0} r)", index - 1),
    };
    vec![
        ("OR", format!("SELECT count(*) FROM patients WHERE {}", list(1_600, " OR ", &same("age > 1")))),
        ("casts", format!("SELECT age{} FROM patients LIMIT 1", "::int".repeat(700))),
        ("EXCEPT", list(200, " EXCEPT ", &same("SELECT 1"))),
        ("WITH that doubles", format!("WITH {} SELECT 1 FROM w39", list(40, ", ", &doubling))),
    ]
}

/// What nests: around an inner part, what opens and closes each level; the deepest that is taken; what comes beyond.
const NESTED: &[(&str, &str, &str, &str, usize, &str)] = &[
    ("NOT", "NOT ", "true", "", 64, "54000"),
    ("minus", "- ", "1", "", 64, "54000"),
    ("parentheses", "(", "1", ")", 98, "54000"),
    // The parser does not tell of its own limit there.
    ("CASE", "CASE WHEN true THEN ", "1", " END", 98, "42601"),
    ("functions", "abs(", "1", ")", 98, "54000"),
    ("arrays", "ARRAY[", "1", "]", 98, "54000"),
    ("coalesce", "coalesce(NULL, ", "1", ")", 98, "54000"),
    ("FROM", "* FROM (SELECT ", "* FROM (SELECT 1 AS a) t", ") t", 48, "54000"),
    ("scalar subqueries", "(SELECT ", "1", ")", 12, "54000"),
    ("EXISTS", "1 WHERE EXISTS (SELECT ", "1", ")", 12, "54000"),
];

/// Statements as deep or as long as the limits let through, and beyond; the SQLSTATE of those that are refused.
fn shapes() -> Vec<(&'static str, String, Option<&'static str>)> {
    let mut shapes: Vec<_> = long().into_iter().map(|(name, sql)| (name, sql, None)).collect();
    shapes.extend(too_long().into_iter().map(|(name, sql)| (name, sql, Some("54000"))));
    let targets = |count| format!("SELECT {} FROM patients", list(count, ", ", &|index| format!("age + {index}")));
    shapes.push(("targets", targets(1_664), None));
    shapes.push(("too many targets", targets(1_665), Some("54011")));
    for &(name, open, middle, close, limit, beyond) in NESTED {
        for depth in [limit / 2, limit, limit + 1, 3 * limit, 1_450] {
            let sql = format!("SELECT {}{middle}{}", open.repeat(depth), close.repeat(depth));
            shapes.push((name, sql, (depth > limit).then_some(beyond)));
        }
    }
    shapes
}

#[test]
fn deep_and_long_statements_answer_or_are_refused() {
    let _alone = alone();
    block_on(async {
        let client = connect("admin").await;
        client.simple_query("SET statement_timeout = '5min'").await.unwrap();
        for (name, sql, refused) in shapes() {
            let asked = Instant::now();
            let expected = refused.map_or(Ok(()), |code| Err(code.to_owned()));
            let simple = client.simple_query(&sql).await.map(drop).map_err(|error| code(&error));
            let length = sql.len();
            assert_eq!(simple, expected, "{name} ({length})");
            // What is not read is refused at once, what cannot be run when it is run.
            let prepared = client.prepare(&sql).await.map(drop).map_err(|error| code(&error));
            assert!(prepared.is_ok() || prepared == expected, "{name} ({length}): {prepared:?}");
            let explained = client.simple_query(&format!("EXPLAIN {sql}")).await.map(drop);
            let explained = explained.map_err(|error| code(&error));
            assert_eq!(explained, expected, "{name} ({length}), explained");
            assert!(asked.elapsed() < Duration::from_secs(300), "{name} ({length}): {:?}", asked.elapsed());
        }
        answers(&connect("analyst").await).await;
    });
}

#[test]
fn subqueries_that_would_be_planned_for_ever_say_what_to_do() {
    let admin = demo().psql("admin");
    let nested = |depth: usize| format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth));
    assert_eq!(admin.rows(&nested(12)), "1");
    let (sqlstate, text) = admin.fails(&nested(13));
    assert_eq!(sqlstate, "54000", "{text}");
    assert!(text.contains("nested too deeply") && text.contains("HINT") && text.contains("LINE 1"), "{text}");
}
