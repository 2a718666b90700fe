//! Texts of several statements, positions in them, spellings that are rewritten, and texts without literals.

use lakeward_base::Coded;

use super::{accepted, refusal};
use crate::statement::{AggregateSyntax, Kind, aggregate_syntax, describe, normalize, split};

#[test]
fn a_simple_query_is_split_as_psql_would() {
    let parts = split("SELECT ';'; ;\n-- x;y\nSELECT $$;$$ /* ; */ ; SELECT \";\" ").unwrap();
    let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
    assert_eq!(texts, ["SELECT ';'", "SELECT $$;$$", "SELECT \";\""]);
    assert_eq!(parts.iter().map(|part| part.before).collect::<Vec<_>>(), [0, 21, 44]);
    assert!(split(" ; -- x").unwrap().is_empty());
    let error = split("SELECT 1; SELECT 'x").unwrap_err();
    assert_eq!((error.sqlstate().as_str(), error.position()), ("42601", Some(18)));
}

#[test]
fn positions_are_places_in_the_text_that_was_parsed() {
    let statement = accepted("  INSERT INTO S.\"T\" VALUES (1) ; ");
    assert_eq!(statement.text.expose(), "  INSERT INTO S.\"T\" VALUES (1)");
    let Kind::Insert(insert) = statement.kind else { panic!() };
    assert_eq!(
        (insert.table.schema.as_deref(), insert.table.name.as_str(), insert.table.position),
        (Some("s"), "T", 15)
    );
    let Kind::Explain { statement, .. } = accepted("EXPLAIN SELECT 1").kind else { panic!() };
    assert_eq!((statement.text.expose().as_str(), statement.normalized.as_str()), ("EXPLAIN SELECT 1", "SELECT ?"));
}

#[test]
fn foreign_spellings_are_rewritten() {
    let query = |sql: &str| match accepted(sql).kind {
        Kind::Query(query) => query.to_string(),
        _ => panic!("{sql}"),
    };
    assert_eq!(query("SELECT a FROM t FETCH FIRST 3 ROWS ONLY"), "SELECT a FROM t LIMIT 3");
    assert_eq!(query("SELECT a FROM t OFFSET 2 FETCH NEXT ROW ONLY"), "SELECT a FROM t LIMIT 1 OFFSET 2");
    assert_eq!(query("SELECT current_role, \"current_role\""), "SELECT current_role, \"current_role\"");
    assert_eq!(query("SELECT a OPERATOR(pg_catalog.~) 'x' COLLATE pg_catalog.default"), "SELECT a ~ 'x'");
    assert_eq!(query("SELECT pg_catalog.upper('x')::pg_catalog.text"), "SELECT upper('x')::TEXT");
    // sqlparser prints a version after the alias.
    assert_eq!(query("SELECT * FROM t FOR VERSION AS OF 2 AS x"), "SELECT * FROM t AS x VERSION AS OF 2");
    assert_eq!(refusal("SELECT 1 LIMIT 1 FETCH FIRST 2 ROWS ONLY").0, "42601");
}

#[test]
fn calls_that_only_aggregates_may_have_are_told() {
    let Kind::Query(query) =
        accepted("SELECT upper(DISTINCT a), Count(*) FILTER (WHERE b), lower(c) OVER (), abs(d)").kind
    else {
        panic!()
    };
    let expected = [("upper", "DISTINCT"), ("count", "FILTER"), ("lower", "OVER")];
    let expected: Vec<_> = expected
        .iter()
        .map(|(function, clause)| AggregateSyntax { function: (*function).to_owned(), clause })
        .collect();
    assert_eq!(aggregate_syntax(&query), expected);
}

#[test]
fn normalized_text_holds_no_literal() {
    let table = [
        ("SELECT  1,\n 'x'  -- Mary\n FROM t", "SELECT ?, ? FROM t"),
        (
            "SELECT E'Mary\\'', U&'Mary', B'01', X'4D', N'Mary', $$Mary$$, $q$Mary$q$, 1.5e10, 0x1F, .5",
            "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
        ),
        ("select a from T where b=$1 and c='O''Brien'", "select a from T where b=$1 and c=?"),
        ("SELECT * FROM t WHERE ssn = \"412-68-1073\"", "SELECT * FROM t WHERE ssn = \"?\""),
        ("SELECT \"Some_name\"", "SELECT \"Some_name\""),
        ("CREATE ROLE a PASSWORD 'geheim'", "CREATE ROLE a PASSWORD ?"),
        ("CREATE ROLE a PASSWORD geheim", "CREATE ROLE a PASSWORD ?"),
        ("SELECT 'Mary", "SELECT ?"),
        ("SELECT 1 /* Mary", "SELECT ? ?"),
        ("", ""),
    ];
    for (sql, expected) in table {
        assert_eq!(normalize(sql), expected, "{sql}");
    }
}

#[test]
fn a_refused_text_has_a_class() {
    let table = [
        ("SELECT FROM WHERE", "SELECT"),
        ("UPDATE t SET", "UPDATE"),
        ("CREATE ROLE", "CREATE ROLE"),
        ("CREATE OR REPLACE POLICY p", "CREATE POLICY"),
        ("CREATE SOMETHING", "CREATE"),
        ("geheim 'x'", "UNKNOWN"),
        ("'", "EMPTY"),
        ("", "EMPTY"),
        ("EXPLAIN x", "EXPLAIN"),
    ];
    for (sql, class) in table {
        assert_eq!(describe(sql).0, class, "{sql}");
    }
}
