//! What each statement is, or with which code and at which character it is refused.

use lakeward_base::Coded;

use super::{accepted, refusal};
use crate::statement::{CLASSES, Kind, Modes, Setting, Transaction, parse};

#[test]
fn statements_and_their_classes() {
    let table = [
        ("", "EMPTY"),
        ("  -- nothing\n /* at /* all */ */ ;", "EMPTY"),
        ("SELECT 1", "SELECT"),
        ("  select 1 ; ", "SELECT"),
        ("(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 3 OFFSET 1", "SELECT"),
        ("WITH a AS (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b", "SELECT"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n", "SELECT"),
        ("VALUES (1, 'a'), (2, 'b')", "SELECT"),
        ("SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b", "SELECT"),
        (
            "SELECT a, count(*) FILTER (WHERE b > 1), row_number() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t GROUP BY a HAVING count(*) > 1",
            "SELECT",
        ),
        ("SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY b)", "SELECT"),
        ("SELECT * FROM a JOIN b USING (x) LEFT JOIN c ON a.y = c.y CROSS JOIN d NATURAL JOIN e", "SELECT"),
        ("SELECT * FROM t, LATERAL (SELECT t.x) l, generate_series(1, 3) g(i), unnest(ARRAY[1, 2]) u", "SELECT"),
        ("SELECT * FROM t VERSION AS OF 3 x", "SELECT"),
        ("SELECT * FROM t VERSION AS OF $1 AS x JOIN s.u FOR VERSION AS OF 2 ON true", "SELECT"),
        ("SELECT version AS of FROM t at", "SELECT"),
        ("SELECT * FROM t changes, u before, v version", "SELECT"),
        ("SELECT a FROM t FETCH FIRST 3 ROWS ONLY", "SELECT"),
        (
            "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, a::text, CAST(b AS numeric(10, 2)), DATE '2020-01-01', INTERVAL '1 day', a BETWEEN 1 AND 2, b IN (1, 2), c IS NOT DISTINCT FROM d, e LIKE 'x%', f ~ '^a' FROM t",
            "SELECT",
        ),
        (
            "SELECT extract(year FROM d), substring(a FROM 1 FOR 2), position('a' IN b), trim(BOTH ' ' FROM c), overlay(a PLACING 'b' FROM 1)",
            "SELECT",
        ),
        (
            "SELECT EXISTS (SELECT 1), (SELECT 2), a = ANY (ARRAY[1]), b IN (SELECT 3), current_user, current_role, now() AT TIME ZONE 'UTC' FROM t",
            "SELECT",
        ),
        ("SELECT a FROM t GROUP BY ROLLUP (a), GROUPING SETS ((a), ())", "SELECT"),
        (
            "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) AND c.oid = '1'::pg_catalog.regclass",
            "SELECT",
        ),
        ("SELECT $$a;b$$, $x$ $$ ; $x$, E'it\\'s', 'a'\n'b'", "SELECT"),
        ("SELECT f(a => 1)", "SELECT"),
        ("SELECT \"Select\" AS \"from\", t.\"A b\" FROM \"T\" t", "SELECT"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", "EXPLAIN"),
        ("EXPLAIN (ANALYZE, VERBOSE off, FORMAT JSON, COSTS off) (SELECT 1)", "EXPLAIN"),
        ("EXPLAIN (SELECT 1)", "EXPLAIN"),
        ("EXPLAIN (POLICIES, FORMAT JSON) DELETE FROM t WHERE a = 1", "EXPLAIN"),
        ("EXPLAIN (POLICIES) MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "EXPLAIN"),
        ("EXPLAIN (POLICIES) EXECUTE AS ROLE r SELECT 1", "EXECUTE AS ROLE"),
        ("EXECUTE AS ROLE r WITH ATTRIBUTES (a = '1', b = 'x') SELECT 1", "EXECUTE AS ROLE"),
        ("EXECUTE AS ROLE \"R\" WITH attributes (a) AS (SELECT 1) SELECT a FROM attributes", "EXECUTE AS ROLE"),
        ("DECLARE c CURSOR FOR EXECUTE AS ROLE r SELECT a FROM t", "EXECUTE AS ROLE"),
        ("RUN POLICY TESTS", "RUN POLICY TESTS"),
        ("SHOW EFFECTIVE POLICIES ON s.t FOR ROLE r", "SHOW"),
        ("COPY t FROM STDIN", "COPY FROM"),
        ("COPY (SELECT 1) TO STDOUT (FORMAT csv, HEADER)", "COPY TO"),
        ("INSERT INTO t VALUES (1)", "INSERT"),
        ("INSERT INTO s.t (a, \"B\") SELECT 1, 2", "INSERT"),
        ("INSERT INTO t (SELECT 1)", "INSERT"),
        ("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", "INSERT"),
        ("CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE AS"),
        (
            "CREATE TABLE IF NOT EXISTS s.t (a, b) PARTITIONED BY (a) LOCATION 'file:///x' AS VALUES (1, 2)",
            "CREATE TABLE AS",
        ),
        ("BEGIN", "BEGIN"),
        ("begin transaction isolation level repeatable read, read write", "BEGIN"),
        ("START TRANSACTION", "BEGIN"),
        ("START TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE", "BEGIN"),
        ("SET TRANSACTION READ ONLY", "SET"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET"),
        ("SAVEPOINT s", "SAVEPOINT"),
        ("DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR SELECT a FROM t", "DECLARE CURSOR"),
        ("FETCH c", "FETCH"),
        ("FETCH 10 FROM c", "FETCH"),
        ("FETCH FORWARD ALL IN \"C\"", "FETCH"),
        ("FETCH -2 c", "FETCH"),
        ("FETCH ABSOLUTE 3 FROM c", "FETCH"),
        ("MOVE RELATIVE 2 FROM c", "MOVE"),
        ("CLOSE ALL", "CLOSE CURSOR"),
        ("RELEASE SAVEPOINT s", "RELEASE SAVEPOINT"),
        ("ROLLBACK WORK TO SAVEPOINT \"S\"", "ROLLBACK TO SAVEPOINT"),
        ("COMMIT WORK", "COMMIT"),
        ("END", "COMMIT"),
        ("ROLLBACK AND NO CHAIN", "ROLLBACK"),
        ("ABORT", "ROLLBACK"),
        ("SET a = 1", "SET"),
        ("SET LOCAL statement_timeout TO '5s'", "SET"),
        ("SET SESSION search_path = public, \"S\"", "SET"),
        ("SET TIME ZONE 'UTC'", "SET"),
        ("SET NAMES 'UTF8'", "SET"),
        ("SET ROLE analyst", "SET"),
        ("RESET ALL", "RESET"),
        ("RESET ROLE", "RESET"),
        ("SHOW ALL", "SHOW"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "SHOW"),
        ("DISCARD ALL", "DISCARD"),
    ];
    for (sql, class) in table {
        assert_eq!(accepted(sql).class, class, "{sql}");
        assert!(class == "EMPTY" || CLASSES.contains(&class), "{class} is not among the classes");
    }
}

#[test]
fn errors_have_code_and_position() {
    let table = [
        ("SELECT * FORM t", "42601", Some(10), "syntax error at or near \"FORM\""),
        ("SELEC 1", "42601", Some(1), "syntax error at or near \"SELEC\""),
        ("SELECT 1 FROM", "42601", Some(14), "syntax error at end of input"),
        ("SELECT\n  ä, FROM t", "42601", Some(13), "syntax error at or near \"FROM\""),
        ("SELECT\n  ä FROM t WHERE", "42601", Some(24), "syntax error at end of input"),
        ("SELECT * FROM where x", "42601", Some(15), "syntax error at or near \"where\""),
        ("SELECT a FROM t AS order", "42601", Some(20), "syntax error at or near \"order\""),
        ("SELECT 1; SELECT 2", "42601", None, "cannot insert multiple commands into a prepared statement"),
        ("SELECT 'abc", "42601", Some(8), "unterminated quoted string"),
        ("SELECT \"abc", "42601", Some(8), "unterminated quoted identifier"),
        ("SELECT $x$abc", "42601", Some(8), "unterminated dollar-quoted string"),
        ("SELECT 1 /* x", "42601", Some(10), "unterminated /* comment"),
        ("SELECT 1a", "42601", Some(8), "trailing junk after numeric literal"),
        ("SELECT 'a' 'b'", "42601", Some(12), "syntax error at or near \"'…'\""),
        ("SELECT (1", "42601", Some(10), "syntax error at end of input"),
        ("SELECT 1)", "42601", Some(9), "syntax error at or near \")\""),
        ("SELECT 1 'x'", "42601", None, "syntax error at or near \"'…'\""),
        ("SELECT $0", "42P02", Some(8), "there is no parameter $0"),
        ("SET a = $1", "42601", Some(9), "syntax error at or near \"$1\""),
        ("CREATE VIEW v AS SELECT $1", "42P02", None, "there is no parameter $1"),
        ("CREATE ROLE r PASSWORD secret", "42601", Some(24), "syntax error in the PASSWORD clause"),
        ("SELECT a FROM t LIMIT 1, 2", "42601", None, ""),
        ("SELECT * FROM a JOIN b", "42601", None, ""),
        ("CREATE TABLE t", "42601", Some(15), "syntax error at end of input"),
        ("CREATE", "42601", Some(7), "syntax error at end of input"),
        ("INSERT INTO t", "42601", Some(14), "syntax error at end of input"),
        ("SELECT * FROM \"a\u{1}b\"", "42602", Some(15), ""),
        ("SELECT 'a\u{0}'", "22021", Some(10), ""),
        ("SELECT 1 COLLATE \"de_DE\"", "42704", Some(18), ""),
        ("INSERT INTO a.b.c VALUES (1)", "0A000", Some(13), "cross-database references are not implemented"),
        ("SELECT * FROM t VERSION AS OF 1.5", "22023", Some(15), ""),
    ];
    for (sql, code, position, message) in table {
        let (found_code, found_position, found_message) = refusal(sql);
        assert_eq!(found_code, code, "{sql}: {found_message}");
        if position.is_some() {
            assert_eq!(found_position, position, "{sql}: {found_message}");
        }
        if !message.is_empty() {
            assert_eq!(found_message, message, "{sql}");
        }
    }
}

#[test]
fn what_is_not_there_says_so_with_a_hint() {
    let table = [
        "UPDATE t SET a = 1 RETURNING a",
        "UPDATE ONLY t SET a = 1",
        "UPDATE t SET a = 1 WHERE CURRENT OF c",
        "DELETE FROM t RETURNING a",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET *",
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT *",
        "DESCRIBE t",
        "VACUUM",
        "VACUUM FULL t",
        "OPTIMIZE t WHERE a = 1",
        "CREATE OR REPLACE TABLE t (a int)",
        "SELECT * FROM t FOR SYSTEM_VERSION AS OF 3",
        "TRUNCATE t",
        "COPY t FROM '/x.csv'",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY (DELETE FROM t) TO STDOUT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "EXECUTE AS ROLE r EXECUTE AS ROLE s SELECT 1",
        "EXECUTE AS ROLE r SET a = 1",
        "EXPLAIN (POLICIES, ANALYZE) SELECT 1",
        "EXPLAIN (POLICIES) DROP TABLE t",
        "DECLARE c SCROLL CURSOR FOR SELECT 1",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SUBSCRIBE TO v",
        "CREATE CONTINUOUS VIEW v AS SELECT 1",
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE OR REPLACE TAG phi",
        "ANALYZE",
        "CALL f()",
        "LISTEN x",
        "CREATE INDEX i ON t (a)",
        "CREATE TEMP TABLE t (a int)",
        "CREATE DATABASE d",
        "CREATE FUNCTION f() RETURNS int AS 'x'",
        "CREATE EXTENSION x",
        "ALTER SYSTEM SET a = 1",
        "DROP FUNCTION f",
        "COMMIT AND CHAIN",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "PREPARE TRANSACTION 'x'",
        "SET SESSION AUTHORIZATION x",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET TRANSACTION SNAPSHOT 'x'",
        "SHOW JOBS",
        "DISCARD PLANS",
        "EXPLAIN INSERT INTO t VALUES (1)",
        "EXPLAIN (FORMAT xml) SELECT 1",
        "EXPLAIN (BUFFERS) SELECT 1",
        "INSERT INTO t DEFAULT VALUES",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (1) RETURNING a",
        "INSERT INTO t VALUES (DEFAULT)",
        "CREATE TABLE t AS SELECT 1 WITH NO DATA",
        "GRANT UPDATE (a) ON t TO r",
        "GRANT EXECUTE ON FUNCTION f(text) TO r",
    ];
    for sql in table {
        let error = parse(sql).err().unwrap_or_else(|| panic!("{sql} was accepted"));
        assert_eq!(error.sqlstate().as_str(), "0A000", "{sql}: {error}");
        assert!(error.hint().is_some(), "{sql} has no hint");
        assert!(error.message().ends_with("is not supported"), "{sql}: {error}");
    }
}

#[test]
fn parameters_are_counted() {
    assert_eq!(accepted("SELECT $2, $1, '$9', $$ $8 $$ -- $7").parameter_count, 2);
    assert_eq!(accepted("INSERT INTO t VALUES ($1, $65535)").parameter_count, 65_535);
    assert_eq!(refusal("SELECT $65536").0, "42P02");
    assert_eq!(refusal("SELECT $x").0, "42601");
}

#[test]
fn settings_are_read() {
    let set = |sql: &str| match accepted(sql).kind {
        Kind::Setting(Setting::Set { name, value, local }) => (name, value, local),
        _ => panic!("{sql}"),
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(set("SET Statement_Timeout = 5000"), ("statement_timeout".to_owned(), some("5000"), false));
    assert_eq!(set("SET LOCAL a.b TO on"), ("a.b".to_owned(), some("on"), true));
    assert_eq!(set("SET search_path TO a, 'B'"), ("search_path".to_owned(), some("a, B"), false));
    assert_eq!(set("SET x = -1"), ("x".to_owned(), some("-1"), false));
    assert_eq!(set("SET x TO DEFAULT"), ("x".to_owned(), None, false));
    assert_eq!(set("SET TIME ZONE LOCAL"), ("timezone".to_owned(), None, false));
    assert_eq!(set("SET TIME ZONE 'Europe/Berlin'"), ("timezone".to_owned(), some("Europe/Berlin"), false));
    assert_eq!(set("SET purpose_of_use = 'TREAT'"), ("purpose_of_use".to_owned(), some("TREAT"), false));
    for (sql, role) in [
        ("SET ROLE NONE", None),
        ("SET ROLE 'Alice'", some("Alice")),
        ("SET SESSION ROLE Alice", some("alice")),
        ("SET LOCAL ROLE Alice", some("alice")),
        ("RESET ROLE", None),
    ] {
        let within = sql.contains("LOCAL");
        let role_is =
            |kind| matches!(kind, Kind::Setting(Setting::Role { name, local }) if name == role && local == within);
        assert!(role_is(accepted(sql).kind), "{sql}");
    }
    for (sql, wanted) in [
        ("BEGIN", Transaction::Begin(Modes::default())),
        ("END TRANSACTION", Transaction::Commit),
        ("ABORT", Transaction::Rollback),
    ] {
        assert!(matches!(accepted(sql).kind, Kind::Transaction(found) if found == wanted), "{sql}");
    }
}

#[test]
fn changes_of_rows_have_a_class_and_a_query() {
    let table = [
        ("UPDATE t SET a = 1, b = DEFAULT WHERE c = 2", "UPDATE", 5),
        ("UPDATE s.t AS x SET (a, b) = (x.c, 2) FROM u WHERE u.id = x.id", "UPDATE", 5),
        ("DELETE FROM t", "DELETE", 3),
        ("DELETE FROM t x USING u, v WHERE x.a = u.a", "DELETE", 3),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "MERGE", 3),
        (
            "MERGE INTO t AS x USING (SELECT 1 AS a) AS s ON x.a = s.a WHEN MATCHED AND s.a > 1 THEN UPDATE SET a = 2
             WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, DEFAULT)
             WHEN NOT MATCHED BY SOURCE AND x.a < 0 THEN DELETE",
            "MERGE",
            6,
        ),
    ];
    for (sql, class, columns) in table {
        let statement = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(statement.class, class, "{sql}");
        let Kind::Change(change) = &statement.kind else { panic!("{sql}") };
        let crate::statement::ast::SetExpr::Select(select) = change.source.body.as_ref() else { panic!("{sql}") };
        assert_eq!(select.projection.len(), columns, "{sql}");
    }
    for sql in [
        "UPDATE t",
        "UPDATE t SET a = 1, a = 2",
        "UPDATE t SET (a, b) = (1)",
        "DELETE t",
        "MERGE INTO t USING s ON t.a = s.a",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN INSERT (a) VALUES (1)",
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN DELETE",
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT (a, b) VALUES (1)",
    ] {
        assert_eq!(parse(sql).err().map(|error| error.sqlstate().as_str()), Some("42601"), "{sql}");
    }
}

#[test]
fn work_on_tables_has_a_class() {
    for (sql, class) in [
        ("DESCRIBE HISTORY s.t", "DESCRIBE HISTORY"),
        ("RESTORE TABLE t TO VERSION AS OF 3", "RESTORE"),
        ("RESTORE t TO TIMESTAMP AS OF '2026-01-27'", "RESTORE"),
        ("OPTIMIZE t ZORDER BY (a, b)", "OPTIMIZE"),
        ("VACUUM t RETAIN 200 HOURS DRY RUN", "VACUUM"),
        ("INSERT OVERWRITE t SELECT 1", "INSERT OVERWRITE"),
        ("CREATE OR REPLACE TABLE t AS SELECT 1", "CREATE OR REPLACE TABLE AS"),
    ] {
        assert_eq!(parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).class, class, "{sql}");
    }
}
