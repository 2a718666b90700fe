//! Commits whose answers are late: what a session may do meanwhile, and what cancels, clients that go away and revoked
//! grants do to what is under way.

mod gate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeward_engine::{Limits, Session};
use lakeward_tests::local_engine::{ADMIN, LocalEngine, ask, execute};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use gate::Gate;

const COMMIT: &str = ".json";
const DATA: &str = ".parquet";
/// Long enough for what must not happen to happen.
const LONG: Duration = Duration::from_millis(300);

/// An engine over a slow bucket.
struct Bench {
    runtime: Runtime,
    local: LocalEngine,
    gate: Arc<Gate>,
}

impl Bench {
    fn open(setup: &str) -> Self {
        let (runtime, gate) = (Runtime::new().unwrap(), Arc::new(Gate::open()));
        let limits = Limits { target_partitions: 1, ..Limits::default() };
        let local = LocalEngine::over(&runtime, "memory://lake", Arc::clone(&gate) as _, limits);
        runtime.block_on(execute(&local.login(ADMIN), setup));
        Self { runtime, local, gate }
    }

    fn admin(&self) -> Arc<Session> {
        self.local.login(ADMIN)
    }

    /// Cancels what a session runs.
    fn cancel(&self, session: &Session) {
        let (process_id, secret) = session.cancel_key();
        assert!(self.local.engine.cancel(process_id, secret));
    }

    /// Begins a statement, and waits until storage has done what ends with `ending` and does not answer.
    async fn held(&self, session: &Arc<Session>, ending: &'static str, sql: &'static str) -> JoinHandle<String> {
        self.gate.shut(ending);
        let session = Arc::clone(session);
        let running = tokio::spawn(async move { ask(&session, sql).await });
        self.gate.reached().await;
        running
    }
}

/// Asks until the answer is the one that is expected.
async fn becomes(session: &Arc<Session>, sql: &str, expected: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = ask(session, sql).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < until, "{sql}: {found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const TABLES: &str = "CREATE TABLE t (a int); CREATE TABLE u (a int)";
const COUNTS: &str = "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)";

#[test]
fn while_a_block_commits_its_session_does_nothing_else() {
    let bench = Bench::open(TABLES);
    bench.runtime.block_on(async {
        let (session, other) = (bench.admin(), bench.admin());
        execute(&session, "BEGIN; INSERT INTO t VALUES (1)").await;
        let commit = bench.held(&session, COMMIT, "COMMIT").await;
        for sql in ["INSERT INTO u VALUES (1)", "SELECT 1", "BEGIN", "ROLLBACK", "COMMIT", "SET timezone = 'UTC'"] {
            assert_eq!(ask(&session, sql).await, "55006", "{sql}");
        }
        assert_eq!(ask(&other, "SELECT 1").await, "1", "others go on");
        bench.gate.let_go();
        assert_eq!(commit.await.unwrap(), "COMMIT");
        assert_eq!(ask(&session, "INSERT INTO u VALUES (1)").await, "INSERT 0 1");
        assert_eq!(ask(&other, COUNTS).await, "1|1");
    });
}

#[test]
fn a_commit_that_nobody_waits_for_ends_its_own_block_only() {
    let bench = Bench::open(TABLES);
    bench.runtime.block_on(async {
        let session = bench.admin();
        let before = ask(&session, "SHOW application_name").await;
        execute(&session, "BEGIN; SET LOCAL application_name = 'local'; INSERT INTO t VALUES (1)").await;
        let commit = bench.held(&session, COMMIT, "COMMIT").await;
        commit.abort();
        assert_eq!(ask(&session, "ROLLBACK").await, "55006");
        bench.gate.let_go();
        becomes(&session, "BEGIN", "BEGIN").await;
        assert_eq!(ask(&session, "SHOW application_name").await, before, "its end is a whole one");
        assert_eq!(ask(&session, "INSERT INTO u VALUES (1)").await, "INSERT 0 1");
        tokio::time::sleep(LONG).await;
        assert_eq!(ask(&session, "COMMIT").await, "COMMIT");
        assert_eq!(ask(&session, COUNTS).await, "1|1");
    });
}

#[test]
fn a_write_is_kept_by_the_block_that_it_was_made_in_or_by_none() {
    let bench = Bench::open(TABLES);
    bench.runtime.block_on(async {
        let session = bench.admin();
        execute(&session, "BEGIN").await;
        let insert = bench.held(&session, DATA, "INSERT INTO t VALUES (1)").await;
        execute(&session, "ROLLBACK; BEGIN").await;
        bench.gate.let_go();
        assert_eq!(insert.await.unwrap(), "25P01");
        assert_eq!(ask(&session, "COMMIT").await, "COMMIT");
        assert_eq!(ask(&session, COUNTS).await, "0|0");
    });
}

#[test]
fn the_commit_before_the_next_write_of_a_text_is_not_cut_off() {
    let bench = Bench::open(TABLES);
    bench.runtime.block_on(async {
        let session = bench.admin();
        session.enter_text();
        assert_eq!(ask(&session, "INSERT INTO t VALUES (1)").await, "INSERT 0 1");
        session.enter_text();
        let second = bench.held(&session, COMMIT, "INSERT INTO u VALUES (1)").await;
        bench.cancel(&session);
        tokio::time::sleep(LONG).await;
        assert!(!second.is_finished(), "what has become of the first is not known yet");
        bench.gate.let_go();
        assert_eq!(second.await.unwrap(), "57014");
        session.fail_transaction();
        assert_eq!(ask(&session, COUNTS).await, "1|0");
        assert_eq!(ask(&session, "BEGIN").await, "BEGIN");
        assert_eq!(ask(&session, "INSERT INTO u VALUES (1)").await, "INSERT 0 1");
        assert_eq!((ask(&session, "COMMIT").await, ask(&session, COUNTS).await), ("COMMIT".into(), "1|1".into()));
    });
}

/// How statements of a class have ended, with the versions that they made.
fn ended(class: &str) -> String {
    format!(
        "SELECT sqlstate, objects LIKE '%\"version\":2%' FROM system.audit
         WHERE phase = 'END' AND statement_class LIKE '{class}' ORDER BY seq"
    )
}

#[test]
fn what_has_begun_to_commit_goes_to_its_end_and_says_so() {
    let replace = "CREATE OR REPLACE TABLE t AS SELECT 'x' AS b";
    for (sql, tag, after) in [
        (replace, "SELECT 1", ("SELECT b FROM t", "x")),
        ("RESTORE TABLE t TO VERSION AS OF 0", "RESTORE", ("SELECT count(*) FROM t", "0")),
    ] {
        for abandoned in [false, true] {
            let bench = Bench::open("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
            bench.runtime.block_on(async {
                let (session, other) = (bench.admin(), bench.admin());
                let running = bench.held(&session, COMMIT, sql).await;
                if abandoned {
                    running.abort();
                    bench.gate.let_go();
                } else {
                    bench.cancel(&session);
                    tokio::time::sleep(LONG).await;
                    assert!(!running.is_finished(), "{sql}");
                    bench.gate.let_go();
                    assert_eq!(running.await.unwrap(), tag, "{sql}");
                }
                becomes(&other, after.0, after.1).await;
                let class = if sql == replace { "CREATE%AS" } else { "RESTORE%" };
                let told = if sql == replace { "00000|true" } else { "00000|false" };
                becomes(&other, &ended(class), told).await;
            });
        }
    }
}

#[test]
fn what_has_not_begun_to_commit_is_stopped_and_leaves_nothing() {
    for sql in ["CREATE OR REPLACE TABLE t AS SELECT 2 AS b", "OPTIMIZE t", "CREATE TABLE n AS SELECT 1 AS a"] {
        for abandoned in [false, true] {
            let bench = Bench::open("CREATE TABLE t (a int); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
            bench.runtime.block_on(async {
                let (session, other) = (bench.admin(), bench.admin());
                let running = bench.held(&session, DATA, sql).await;
                if abandoned {
                    running.abort();
                    becomes(&other, "SELECT a FROM n", "42P01").await;
                } else {
                    bench.cancel(&session);
                    assert_eq!(running.await.unwrap(), "57014", "{sql}");
                    assert_eq!(ask(&other, "SELECT a FROM n").await, "42P01", "it is gone before that is told");
                }
                bench.gate.let_go();
                let versions = "SELECT count(*), sum(a) FROM t VERSION AS OF 2";
                assert_eq!(ask(&other, versions).await, "2|3", "{sql}");
                assert_eq!(ask(&other, "SELECT a FROM t VERSION AS OF 3").await, "22023", "{sql}");
                let ended =
                    "SELECT sqlstate FROM system.audit WHERE phase = 'END' AND (statement_class LIKE 'CREATE%AS'
                    OR statement_class LIKE 'OPTIMIZE%')";
                becomes(&other, ended, "57014").await;
            });
        }
    }
}

#[test]
fn a_write_is_committed_under_the_grants_of_that_moment() {
    let setup = "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); CREATE ROLE nurse LOGIN;
        GRANT SELECT, INSERT, UPDATE ON t TO nurse; GRANT CREATE ON SCHEMA public TO nurse";
    for sql in ["INSERT INTO t VALUES (2, 'y')", "UPDATE t SET b = 'y'", "CREATE TABLE n AS SELECT a FROM t"] {
        for (change, outcome) in [
            ("REVOKE SELECT, INSERT, UPDATE ON t FROM nurse", "42501"),
            ("CREATE POLICY p ON t USING (a = 9)", "42501"),
            ("CREATE ROLE unrelated", ""),
        ] {
            let bench = Bench::open(setup);
            bench.runtime.block_on(async {
                let (nurse, admin) = (bench.local.login("nurse"), bench.admin());
                let writing = bench.held(&nurse, DATA, sql).await;
                execute(&admin, change).await;
                bench.gate.let_go();
                let told = writing.await.unwrap();
                let written = "SELECT count(*) FROM t WHERE b = 'y'";
                if outcome.is_empty() {
                    assert!(told.ends_with(" 1"), "{sql}; {change}: {told}");
                    let made = sql.starts_with("CREATE");
                    assert_eq!(ask(&admin, if made { "SELECT count(*) FROM n" } else { written }).await, "1");
                } else {
                    assert_eq!(told, outcome, "{sql}; {change}");
                    assert_eq!(ask(&admin, written).await, "0", "{sql}; {change}");
                    assert_eq!(ask(&admin, "SELECT count(*) FROM n").await, "42P01", "{sql}; {change}");
                }
            });
        }
    }
}
