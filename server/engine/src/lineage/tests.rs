//! Queries, and what each of their columns is made of.

use std::sync::Arc;

use lakeward_base::StatementId;
use tokio_util::sync::CancellationToken;

use super::{Lineage, Source};
use crate::policy::{Compiler, Mappings};
use crate::query::QueryPlanner;
use crate::resolve;
use crate::session::Session;
use crate::statement::parse;
use crate::testing::TestEngine;
use crate::vantage::Vantage;

async fn lineage(session: &Arc<Session>, sql: &str) -> Lineage {
    let statement = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let vantage = Vantage::take(session, StatementId::generate(), &statement, CancellationToken::new()).unwrap();
    let resolved = resolve::tables(&vantage, &statement, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mappings = Mappings::default();
    let compiler = Compiler { state: &vantage.state, mappings: &mappings };
    let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler).unwrap();
    let planner = QueryPlanner { vantage: &vantage, resolved: &resolved, decision: &decision, text: sql };
    let query = resolved.query.as_ref().unwrap();
    let plan = planner.logical(query, Vec::new()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    Lineage::of(&plan)
}

/// `t.a+t.b`: made of these; `~` of one row of one scan; `=` just the column; `-` of nothing.
fn shown(lineage: &Lineage, source: &Source) -> String {
    let name = |table| {
        let decision = lineage.decisions.iter().find(|one| one.table == table);
        decision.map_or("?", |one| one.name.as_str())
    };
    let parts: Vec<_> =
        source.origins.iter().map(|origin| format!("{}.{}", name(origin.table), origin.column)).collect();
    let sign = match (source.exact, source.scan) {
        _ if parts.is_empty() => "-",
        (true, Some(_)) => "=",
        (_, Some(_)) => "~",
        (_, None) => "",
    };
    format!("{sign}{}", parts.join("+"))
}

async fn engine() -> TestEngine {
    TestEngine::open(&[
        "CREATE TABLE p (id bigint, ssn text, zip text, born date, ward int)",
        "CREATE TABLE v (id bigint, note text, cost int)",
        "CREATE VIEW w AS SELECT id AS key, upper(ssn) AS loud FROM p WHERE zip = '1'",
    ])
    .await
}

async fn check(table: &[(&str, &str)]) {
    let engine = engine().await;
    let session = engine.login("admin");
    for (sql, expected) in table {
        let lineage = lineage(&session, sql).await;
        let columns: Vec<_> = lineage.columns.iter().map(|source| shown(&lineage, source)).collect();
        assert_eq!(columns.join(", "), *expected, "{sql}");
    }
}

#[tokio::test]
async fn values_follow_expressions() {
    check(&[
        ("SELECT id, ssn AS s FROM p", "=p.id, =p.ssn"),
        ("SELECT * FROM v", "=v.id, =v.note, =v.cost"),
        ("SELECT upper(ssn), ssn || zip, length(ssn) FROM p", "~p.ssn, ~p.ssn+p.zip, ~p.ssn"),
        ("SELECT CASE WHEN ssn = 'x' THEN 1 ELSE 0 END FROM p", "~p.ssn"),
        ("SELECT ssn = 'x', ssn LIKE '4%', ssn IS NULL, ssn IN ('a', 'b') FROM p", "~p.ssn, ~p.ssn, ~p.ssn, ~p.ssn"),
        ("SELECT coalesce(ssn, zip), nullif(ssn, ''), substr(ssn, 1, 3) FROM p", "~p.ssn+p.zip, ~p.ssn, ~p.ssn"),
        ("SELECT extract(year FROM born), born + 1, born::text FROM p", "~p.born, ~p.born, ~p.born"),
        ("SELECT 1, 'x', now() FROM p", "-, -, -"),
        ("SELECT ARRAY[ssn, zip] FROM p", "~p.ssn+p.zip"),
        ("SELECT unnest(ARRAY[ssn, 'x']) FROM p", "p.ssn"),
        ("VALUES (1, 'x')", "-, -"),
    ])
    .await;
}

#[tokio::test]
async fn what_chooses_rows_makes_no_values() {
    check(&[
        ("SELECT id FROM p WHERE ssn = 'x' ORDER BY zip LIMIT 3", "=p.id"),
        ("SELECT p.id FROM p JOIN v ON p.ssn = v.note", "=p.id"),
        ("SELECT id FROM p WHERE EXISTS (SELECT 1 FROM v WHERE v.note = p.ssn)", "=p.id"),
        ("SELECT id FROM p WHERE ssn IN (SELECT note FROM v)", "=p.id"),
        ("SELECT DISTINCT id FROM p", "=p.id"),
        ("SELECT DISTINCT ON (ssn) id, zip FROM p ORDER BY ssn", "=p.id, =p.zip"),
        ("SELECT ward FROM p GROUP BY ward, ssn HAVING max(zip) > 'x'", "=p.ward"),
    ])
    .await;
}

#[tokio::test]
async fn named_functions_and_count_end_a_way() {
    check(&[
        (
            "SELECT mask_hash(ssn, 'd'), mask_null(ssn), truncate_to_year(born), safe_harbor_zip(zip) FROM p",
            "-, -, -, -",
        ),
        ("SELECT count(ssn), count(*), count(DISTINCT ssn) FROM p", "-, -, -"),
        ("SELECT count(*) OVER (PARTITION BY ssn) FROM p", "-"),
        ("SELECT mask_hash(ssn, 'd') || zip FROM p", "~p.zip"),
        (
            "SELECT de_identify(ssn), de_identify(ssn, 'mask', NULL, 'strict'), de_identify(ssn, hints => ARRAY[zip]) FROM p",
            "-, -, -",
        ),
        // A list of kinds says what stays.
        ("SELECT de_identify(ssn, entities => ARRAY['EMAIL']) FROM p", "~p.ssn"),
        ("SELECT de_identify(ssn, entities => '{EMAIL}') FROM p", "~p.ssn"),
        // What is encrypted can be decrypted, in the same expression or around it.
        ("SELECT fpe_encrypt(ssn, 'd') FROM p", "-"),
        ("SELECT fpe_decrypt(fpe_encrypt(ssn, 'd'), 'd') FROM p", "~p.ssn"),
        ("SELECT upper(fpe_decrypt(e, 'd')) FROM (SELECT fpe_encrypt(ssn, 'd') AS e FROM p) AS s", "~p.ssn"),
        ("SELECT fpe_decrypt((SELECT max(fpe_encrypt(ssn, 'd')) FROM p), 'd')", "p.ssn"),
        ("SELECT mask_hash(fpe_decrypt(ssn, 'd'), 'd') FROM p", "-"),
        // Not among them: whoever calls them chooses how much they hide.
        ("SELECT mask_show_last(ssn, 99), mask_partial(ssn, 9, 'x', 9) FROM p", "~p.ssn, ~p.ssn"),
    ])
    .await;
}

#[tokio::test]
async fn aggregates_and_windows_carry() {
    check(&[
        ("SELECT min(ssn), max(ssn), array_agg(ssn), sum(ward) FROM p", "p.ssn, p.ssn, p.ssn, p.ward"),
        ("SELECT zip, max(ssn) FROM p GROUP BY zip", "=p.zip, p.ssn"),
        ("SELECT upper(ssn) FROM p GROUP BY upper(ssn)", "~p.ssn"),
        ("SELECT zip, ward, count(*) FROM p GROUP BY ROLLUP (zip, ward)", "p.zip, p.ward, -"),
        ("SELECT sum(ward) FILTER (WHERE ssn = 'x') FROM p", "p.ssn+p.ward"),
        ("SELECT string_agg(zip, ',' ORDER BY ssn) FROM p", "p.ssn+p.zip"),
        ("SELECT max(ssn) OVER (PARTITION BY zip), lag(ssn) OVER (ORDER BY id) FROM p", "p.ssn+p.zip, p.id+p.ssn"),
        ("SELECT row_number() OVER (ORDER BY ssn), id FROM p", "p.ssn, =p.id"),
        ("SELECT first_value(ssn) OVER (ORDER BY id) FROM p", "p.id+p.ssn"),
    ])
    .await;
}

#[tokio::test]
async fn views_and_queries_within_queries_are_looked_through() {
    check(&[
        ("SELECT key, loud FROM w", "=p.id, ~p.ssn"),
        ("WITH a AS (SELECT ssn AS x, id FROM p), b AS (SELECT x || '!' AS y FROM a) SELECT y FROM b", "~p.ssn"),
        ("SELECT x FROM (SELECT ssn AS x FROM p) AS d (x)", "=p.ssn"),
        ("SELECT ssn FROM p UNION ALL SELECT note FROM v", "p.ssn+v.note"),
        ("SELECT 'x' UNION SELECT note FROM v", "v.note"),
        ("SELECT ssn FROM p EXCEPT SELECT note FROM v", "=p.ssn"),
        ("SELECT ssn FROM p INTERSECT SELECT note FROM v", "=p.ssn"),
        ("SELECT (SELECT max(note) FROM v), id FROM p", "v.note, =p.id"),
        ("SELECT (SELECT p.ssn || v.note FROM v LIMIT 1) FROM p", "p.ssn+v.note"),
        ("SELECT EXISTS (SELECT 1 FROM v WHERE note = 'x') FROM p", "v.cost+v.id+v.note"),
        ("SELECT ssn IN (SELECT note FROM v) FROM p", "p.ssn+v.cost+v.id+v.note"),
        ("SELECT p.id, s.n FROM p, LATERAL (SELECT p.ssn || v.note AS n FROM v) s", "=p.id, p.ssn+v.note"),
        ("SELECT a.ssn, b.ssn FROM p a JOIN p b ON a.id = b.id", "=p.ssn, =p.ssn"),
        ("SELECT coalesce(p.id, v.id), note, ssn FROM p FULL JOIN v ON p.id = v.id", "p.id+v.id, =v.note, =p.ssn"),
        (
            "WITH RECURSIVE r AS (SELECT id, ssn FROM p UNION ALL SELECT id + 1, ssn FROM r WHERE id < 3) SELECT ssn FROM r",
            "p.born+p.id+p.ssn+p.ward+p.zip",
        ),
    ])
    .await;
}

/// The same column twice is two scans: the one's values do not stand in the other's rows.
#[tokio::test]
async fn scans_are_told_apart_even_those_of_one_query_named_twice() {
    let engine = engine().await;
    let session = engine.login("admin");
    for sql in
        ["SELECT a.ssn, b.ward FROM p a, p b", "WITH c AS (SELECT ssn, ward FROM p) SELECT a.ssn, b.ward FROM c a, c b"]
    {
        let columns = lineage(&session, sql).await.columns;
        assert_ne!(columns[0].scan, columns[1].scan, "{sql}");
    }
    let columns = lineage(&session, "SELECT ssn, ward FROM p JOIN v ON p.id = v.id").await.columns;
    assert_eq!(columns[0].scan, columns[1].scan);
}

#[tokio::test]
async fn the_servers_own_views_are_foreign() {
    let engine = engine().await;
    let session = engine.login("admin");
    assert!(lineage(&session, "SELECT rolname FROM pg_roles").await.foreign);
    assert!(lineage(&session, "SELECT (SELECT max(rolname) FROM pg_roles), id FROM p").await.foreign);
    assert!(!lineage(&session, "SELECT generate_series, id FROM generate_series(1, 3), p").await.foreign);
}
