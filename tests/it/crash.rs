//! kill −9 in the middle of many running queries: no returned row without its BEGIN record, and the chain verifies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::{Psql, Server, init, verify};

const QUERIES: u64 = 1_000;
const CONNECTIONS: u64 = 20;
/// After which queries that do not begin never will.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_killed_server_has_recorded_every_row_that_left() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let server = Arc::new(Server::serve(&data));
    Psql::admin(&server, "admin", "secret")
        .rows("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y');");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answered = runtime.block_on(query_until_killed(&server));
    assert!(answered.len() as u64 > QUERIES / 4, "only {} queries were answered before the kill", answered.len());
    assert_eq!(verify(&data).0, 3, "a killed server's log is not cleanly closed");

    let server = Server::serve(&data);
    let recorded: BTreeSet<u64> = Psql::admin(&server, "admin", "secret")
        .rows("SELECT sql_normalized FROM system.audit WHERE phase = 'BEGIN' AND sql_normalized LIKE '%marker_%'")
        .lines()
        .map(marker)
        .collect();
    let missing: Vec<_> = answered.difference(&recorded).collect();
    assert!(missing.is_empty(), "rows left without a BEGIN record: {missing:?}");
    let unknown =
        Psql::admin(&server, "admin", "secret").rows("SELECT count(*) FROM system.audit WHERE phase = 'RECOVERED'");
    assert_ne!(unknown, "0", "statements without an end are accounted for");
    server.terminate();
    let (code, text) = verify(&data);
    assert_eq!(code, 0, "{text}");
}

fn marker(sql: &str) -> u64 {
    let digits = sql.split("marker_").nth(1).unwrap();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Runs queries, each with an alias of its own (names are no literals, so the audit keeps them), and kills the server
/// when half of them are under way. Answers those whose rows arrived.
async fn query_until_killed(server: &Arc<Server>) -> BTreeSet<u64> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = server.connect("admin", "secret").await;
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut answered = BTreeSet::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let sql = format!("SELECT a AS marker_{number}, b FROM t");
                match client.simple_query(&sql).await {
                    Ok(_) => answered.insert(number),
                    Err(_) => return answered,
                };
            }
        });
    }
    let half = async {
        while next.load(Ordering::Relaxed) < QUERIES / 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, half).await.expect("half of the queries begin");
    server.kill();
    let mut all = BTreeSet::new();
    while let Some(answered) = tasks.join_next().await {
        all.extend(answered.unwrap());
    }
    all
}
