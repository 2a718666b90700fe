//! kill −9 in the middle of many running queries and writes, again and again: no returned row and no committed version without its BEGIN
//! record, no answered write lost, nothing recorded twice, and the chain verifies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::{Psql, Server, init, verify};

const ROUNDS: u64 = 5;
const QUERIES: u64 = 600;
/// More than a round's statements.
const MARKERS_PER_ROUND: u64 = 1_000_000;
const CONNECTIONS: u64 = 20;
/// So many of them write, each to a table of its own.
const WRITERS: u64 = 4;
/// After which queries that do not begin never will.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_killed_server_has_recorded_every_row_that_left_and_every_version() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let mut server = Arc::new(Server::serve(&data));
    let tables: String = (0..WRITERS).map(|writer| format!("CREATE TABLE w{writer} (n bigint);")).collect();
    Psql::admin(&server, "admin", "secret")
        .rows(&format!("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y'); {tables}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut all = Answered { read: BTreeSet::new(), written: BTreeSet::new() };
    for round in 0..ROUNDS {
        let Answered { read, written } = runtime.block_on(run_until_killed(&server, round * MARKERS_PER_ROUND));
        assert!(read.len() as u64 > QUERIES / 4, "round {round}: only {} queries were answered", read.len());
        assert!(!written.is_empty(), "round {round}: no write was answered before the kill");
        assert_eq!(verify(&data).0, 3, "a killed server's log is not cleanly closed");
        all.read.extend(read);
        all.written.extend(written);
        server = Arc::new(Server::serve(&data));
        assert_recorded(&Psql::admin(&server, "admin", "secret"), &all);
    }
    server.terminate();
    let (code, text) = verify(&data);
    assert_eq!(code, 0, "{text}");
}

/// Whatever was answered is on record, whatever is in the tables too, and nothing is there twice.
fn assert_recorded(admin: &Psql, answered: &Answered) {
    let recorded: BTreeSet<u64> = admin
        .rows("SELECT sql_normalized FROM system.audit WHERE phase = 'BEGIN' AND sql_normalized LIKE '%marker_%'")
        .lines()
        .map(marker)
        .collect();
    let missing: Vec<_> = answered.read.difference(&recorded).collect();
    assert!(missing.is_empty(), "rows left without a BEGIN record: {missing:?}");
    let committed = committed(admin);
    let missing: Vec<_> = committed.difference(&recorded).collect();
    assert!(missing.is_empty(), "versions were committed without a BEGIN record: {missing:?}");
    let lost: Vec<_> = answered.written.difference(&committed).collect();
    assert!(lost.is_empty(), "writes were answered and are not there: {lost:?}");
    let unknown =
        admin.rows("SELECT count(*) FROM system.audit WHERE phase = 'RECOVERED' AND statement_id IS NOT NULL");
    assert_ne!(unknown, "0", "statements without an end are accounted for");
    for (what, twice) in [
        ("a record", "SELECT event_id FROM system.audit GROUP BY event_id HAVING count(*) > 1"),
        ("a number", "SELECT seq FROM system.audit GROUP BY seq HAVING count(*) > 1"),
        (
            "an outcome",
            "SELECT statement_id FROM system.audit WHERE phase IN ('END', 'RECOVERED') AND statement_id IS NOT NULL
             GROUP BY statement_id HAVING count(*) > 1",
        ),
    ] {
        assert_eq!(admin.rows(twice), "", "{what} is there twice");
    }
    let open = "SELECT count(*) FROM system.audit b WHERE b.phase = 'BEGIN' AND b.sql_normalized LIKE '%marker_%' AND NOT EXISTS
                (SELECT 1 FROM system.audit e WHERE e.statement_id = b.statement_id AND e.phase IN ('END', 'RECOVERED'))";
    assert_eq!(admin.rows(open), "0", "every statement has an outcome");
}

fn marker(sql: &str) -> u64 {
    let digits = sql.split("marker_").nth(1).unwrap();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// The numbers of the writes that are in the tables, one version each.
fn committed(admin: &Psql) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for writer in 0..WRITERS {
        let rows = admin.rows(&format!("SELECT n FROM w{writer}"));
        all.extend(rows.lines().map(|number| number.parse::<u64>().unwrap()));
        let versions = admin.rows(&format!("DESCRIBE HISTORY w{writer}"));
        assert_eq!(versions.lines().count(), rows.lines().count() + 1, "each row is a version, after the first");
    }
    all
}

/// The numbers of the statements that were answered.
struct Answered {
    read: BTreeSet<u64>,
    written: BTreeSet<u64>,
}

/// Runs queries and writes, each with an alias of its own (names are no literals, so the audit keeps them), and kills the
/// server when half of them are under way.
async fn run_until_killed(server: &Arc<Server>, first: u64) -> Answered {
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = server.connect("admin", "secret").await;
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let (writes, mut answered) = (connection < WRITERS, BTreeSet::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let sql = if writes {
                    format!("INSERT INTO w{connection} SELECT {number} AS marker_{number}")
                } else {
                    format!("SELECT a AS marker_{number}, b FROM t")
                };
                match client.simple_query(&sql).await {
                    Ok(_) => answered.insert(number),
                    Err(_) => return (writes, answered),
                };
            }
        });
    }
    let half = async {
        while next.load(Ordering::Relaxed) < first + QUERIES / 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, half).await.expect("half of the queries begin");
    server.kill();
    let mut all = Answered { read: BTreeSet::new(), written: BTreeSet::new() };
    while let Some(ended) = tasks.join_next().await {
        let (writes, answered) = ended.unwrap();
        let side = if writes { &mut all.written } else { &mut all.read };
        side.extend(answered);
    }
    all
}
