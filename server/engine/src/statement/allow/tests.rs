//! Clauses that the planner would ignore, one by one.

use lakeward_base::{Coded, SqlState};

use crate::statement::{parse, parse_expression};

#[test]
fn every_clause_that_would_be_ignored_is_refused() {
    let table = [
        ("SELECT * FROM t TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
        ("SELECT * FROM (SELECT 1) x TABLESAMPLE SYSTEM (1)", "TABLESAMPLE"),
        ("SELECT * FROM t FOR UPDATE", "FOR UPDATE"),
        ("SELECT * FROM t FOR SHARE OF t NOWAIT", "FOR UPDATE"),
        ("SELECT (SELECT a FROM t FOR UPDATE)", "FOR UPDATE"),
        ("SELECT 1 INTO x", "SELECT INTO"),
        ("SELECT * INTO TEMP x FROM t", "SELECT INTO"),
        ("SELECT a FROM t FETCH FIRST 3 ROWS WITH TIES", "FETCH … WITH TIES"),
        ("SELECT a FROM t FETCH FIRST 3 PERCENT ROWS ONLY", "FETCH … PERCENT"),
        ("SELECT TOP 3 a FROM t", ""),
        ("SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a) = 1", "QUALIFY"),
        ("SELECT a FROM t LATERAL VIEW explode(b) c", ""),
        ("SELECT a FROM t SORT BY a", ""),
        ("SELECT a FROM t CLUSTER BY a", ""),
        ("SELECT a FROM t GROUP BY ALL", ""),
        ("SELECT a FROM t UNION BY NAME SELECT b FROM u", "BY NAME"),
        ("SELECT a FROM t MINUS SELECT b FROM u", ""),
        ("SELECT * FROM generate_series(1, 2) WITH ORDINALITY", "WITH ORDINALITY"),
        ("SELECT * FROM unnest(ARRAY[1]) WITH ORDINALITY x(a, b)", "WITH ORDINALITY"),
        ("SELECT * FROM unnest(ARRAY[1]) WITH OFFSET", "WITH OFFSET"),
        ("SELECT * FROM JSON_TABLE('{}', '$' COLUMNS (a int PATH '$.a'))", "JSON_TABLE"),
        ("SELECT * FROM TABLE(f(1))", "TABLE (…)"),
        ("SELECT * FROM other.f(1)", "a function outside of pg_catalog"),
        ("SELECT * FROM f(a => 1)", "a named argument"),
        ("SELECT * FROM t AS x(a int)", "a column definition list"),
        ("SELECT * FROM t x PIVOT (sum(a) FOR b IN ('x'))", ""),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x", "INSERT, UPDATE, DELETE or MERGE"),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", "INSERT, UPDATE, DELETE or MERGE"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT, UPDATE, DELETE or MERGE"),
        ("WITH x AS MATERIALIZED (SELECT 1) SELECT * FROM x", "AS MATERIALIZED"),
        ("TABLE t", "TABLE name"),
        ("SELECT sum(a) OVER (w ORDER BY b) FROM t WINDOW w AS (PARTITION BY c)", "a window that extends another"),
        ("SELECT a FROM t WINDOW w AS (PARTITION BY c) ORDER BY sum(a) OVER w", "a named window"),
        ("SELECT TRY_CAST(a AS int)", "TRY_CAST"),
        ("SELECT a::char(3)", "a cast to text of a given length"),
        ("SELECT INTERVAL '1' DAY TO SECOND", "an interval"),
        ("SELECT X'4D'", "a bit string"),
        ("SELECT B'01'", "a bit string"),
        ("SELECT * EXCEPT (a) FROM t", ""),
        ("SELECT * FROM a SEMI JOIN b ON a.x = b.x", ""),
        ("SELECT * FROM a LEFT SEMI JOIN b ON a.x = b.x", "SEMI JOIN"),
        ("SELECT a #- 'x' FROM t", "the operator"),
        ("SELECT 5!", "the prefix operator"),
        ("SELECT LISTAGG(a, ',') FROM t LIMIT 1 BY a", ""),
        ("SELECT * FROM t PREWHERE a = 1", ""),
        ("SELECT a FROM t START WITH a = 1 CONNECT BY PRIOR a = b", ""),
        ("SELECT * FROM t SETTINGS x = 1", ""),
        ("SELECT * FROM t FORMAT JSON", ""),
        ("SELECT * FROM t |> WHERE a = 1", ""),
        ("SELECT * FROM t USE INDEX (i)", ""),
        ("SELECT * FROM t WITH (NOLOCK)", "a table hint"),
        ("SELECT * FROM 'file.parquet'", ""),
        ("SELECT * FROM t FOR JSON AUTO", ""),
        ("SELECT CONVERT(a USING utf8)", ""),
        ("SELECT {fn upper('a')}", ""),
        ("SELECT {d '2020-01-01'}", ""),
    ];
    for (sql, what) in table {
        let error = parse(sql).err().unwrap_or_else(|| panic!("{sql} was accepted"));
        let code = error.sqlstate().as_str();
        assert!(code == "0A000" || (what.is_empty() && code == "42601"), "{sql}: {code} {error}");
        assert!(error.message().starts_with(what), "{sql}: {error}");
        assert!(code != "0A000" || error.hint().is_some(), "{sql} has no hint");
    }
}

/// In a query it is rewritten before it is planned; in a policy's expression nothing would, and the planner drops it.
#[test]
fn an_array_of_a_query_is_for_queries_only() {
    assert!(parse("SELECT ARRAY(SELECT 1)").is_ok());
    for expression in ["ARRAY(SELECT 1) IS NULL", "a IN (SELECT b FROM t WHERE ARRAY(SELECT 1) IS NULL)"] {
        let Err(error) = parse_expression(expression) else { panic!("{expression} was accepted") };
        assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED, "{expression}: {error}");
    }
}
