//! Too much at once: statements wait for their turn, in order and not for ever; roles have limits that they cannot lift;
//! administrators are never kept waiting.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, SimpleQueryMessage};
use tonic::Code;

use crate::flight_sql::client::{Raw, assert_refused};
use crate::harness::{Lab, tls};
use crate::limits::code;
use crate::protocol::block_on;

/// Rows that nobody wants to wait for.
const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b WHERE a + b < 0";

const SETUP: &str = "CREATE TABLE t (a int); INSERT INTO t SELECT * FROM generate_series(1, 20000);
    CREATE ROLE nurse LOGIN PASSWORD 'secret'; CREATE ROLE doctor LOGIN PASSWORD 'secret';
    GRANT SELECT ON t TO nurse, doctor";

fn lab(lines: &[(&str, &str)]) -> Lab {
    Lab::configured(lines, SETUP)
}

const ONE: (&str, &str) = ("concurrent_statements = 100", "concurrent_statements = 1");

/// A statement that runs on its own.
fn start(client: Client, sql: &'static str) -> JoinHandle<(Client, Result<String, Error>)> {
    tokio::spawn(async move {
        let outcome = client.simple_query(sql).await.map(|answer| first(&answer));
        (client, outcome)
    })
}

fn first(answer: &[SimpleQueryMessage]) -> String {
    let cell = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    cell.unwrap_or_default()
}

async fn ask(client: &Client, sql: &str) -> String {
    first(&client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")))
}

async fn refused(client: &Client, sql: &str) -> String {
    code(&client.simple_query(sql).await.map(drop).expect_err(sql))
}

/// Waits until so many statements run and wait.
async fn until(lab: &Lab, running: usize, waiting: usize) {
    let expected = format!("lakeward_statements_running {running}\n");
    let queue = format!("lakeward_statements_waiting {waiting}\n");
    let mut page = String::new();
    for _ in 0..200 {
        page = lab.server.http_get("/metrics").1;
        if page.contains(&expected) && page.contains(&queue) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let now: Vec<_> = page.lines().filter(|line| line.starts_with("lakeward_statements_")).take(2).collect();
    panic!("not {running} running and {waiting} waiting: {now:?}");
}

async fn cancel(lab: &Lab, token: &tokio_postgres::CancelToken) {
    token.cancel_query(tls::connector(&lab.server.data().join("ca.pem"))).await.unwrap();
}

#[test]
fn statements_wait_their_turn_and_administrators_do_not() {
    let lab = lab(&[ONE]);
    block_on(async {
        let (nurse, doctor, idle) =
            (lab.connect("nurse").await, lab.connect("doctor").await, lab.connect("doctor").await);
        let (admin, other) = (lab.connect("admin").await, nurse.cancel_token());
        let endless = start(nurse, ENDLESS);
        until(&lab, 1, 0).await;
        let waiting = start(doctor, "SELECT count(*) FROM t");
        until(&lab, 1, 1).await;
        let asked = Instant::now();
        let seen =
            "SELECT string_agg(usename || ' ' || state || ' ' || coalesce(wait_event, '-'), ', ' ORDER BY usename)
            FROM pg_stat_activity WHERE state = 'active' AND usename <> 'admin'";
        assert_eq!(ask(&admin, seen).await, "doctor active admission, nurse active -");
        let queries = "SELECT string_agg(user_name || ' ' || state, ', ' ORDER BY user_name) FROM system.queries WHERE user_name <> 'admin'";
        assert_eq!(ask(&admin, queries).await, "doctor queued, nurse running");
        assert_eq!(ask(&idle, queries).await, "doctor queued, doctor running", "one's own, this one too");
        assert_eq!(ask(&admin, "SELECT count(*) FROM t").await, "20000", "superusers do not wait");
        for sql in [
            "SHOW statement_timeout",
            "SET application_name = 'x'",
            "BEGIN",
            "ROLLBACK",
            "SELECT 1",
            "SELECT count(*) > 0 FROM pg_class",
        ] {
            ask(&idle, sql).await;
        }
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert!(!waiting.is_finished());
        let stop = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'nurse'";
        assert_eq!(ask(&admin, stop).await, "t");
        let (_nurse, outcome) = endless.await.unwrap();
        assert_eq!(code(&outcome.unwrap_err()), "57014");
        let (_doctor, outcome) = waiting.await.unwrap();
        assert_eq!(outcome.unwrap(), "20000");
        until(&lab, 0, 0).await;
        drop(other);
    });
}

#[test]
fn too_many_and_too_late_are_refused_and_recorded() {
    let lines = [
        ONE,
        ("queued_statements = 1000", "queued_statements = 1"),
        ("queue_timeout_ms = 60000", "queue_timeout_ms = 1500"),
    ];
    let lab = lab(&lines);
    block_on(async {
        let (nurse, doctor, third) =
            (lab.connect("nurse").await, lab.connect("doctor").await, lab.connect("doctor").await);
        let token = nurse.cancel_token();
        let endless = start(nurse, ENDLESS);
        until(&lab, 1, 0).await;
        let waiting = start(doctor, "SELECT a FROM t WHERE a = 1");
        until(&lab, 1, 1).await;
        let error = third.simple_query("SELECT a FROM t WHERE a = 2").await.map(drop).unwrap_err();
        assert_eq!(code(&error), "53400");
        assert!(error.as_db_error().unwrap().hint().is_some());
        let mut flight = Raw::login(&lab, "doctor").await;
        let info = flight.query("SELECT a FROM t WHERE a = 3").await.unwrap();
        assert_refused(flight.rows(&info).await, Code::ResourceExhausted, "53400");
        assert_eq!(ask(&third, "SELECT 1").await, "1", "the session goes on");
        let (_doctor, outcome) = waiting.await.unwrap();
        assert_eq!(code(&outcome.unwrap_err()), "53400", "it has waited long enough");
        cancel(&lab, &token).await;
        assert!(endless.await.unwrap().1.is_err());
        until(&lab, 0, 0).await;
    });
    let recorded = "SELECT phase, decision, protocol, count(*) FROM system.audit WHERE sqlstate = '53400'
        AND statement_class = 'SELECT' GROUP BY 1, 2, 3 ORDER BY 3";
    assert_eq!(lab.psql("admin").rows(recorded), "DENIED|deny|flight|1\nDENIED|deny|pg|2");
}

#[test]
fn who_is_cancelled_or_goes_away_while_waiting_leaves_nothing() {
    let lab = lab(&[ONE]);
    block_on(async {
        let (nurse, doctor) = (lab.connect("nurse").await, lab.connect("doctor").await);
        let (third, connection) = lab.server.connect_watched("doctor", "secret").await;
        let running = nurse.cancel_token();
        let endless = start(nurse, ENDLESS);
        until(&lab, 1, 0).await;
        let token = doctor.cancel_token();
        let waiting = start(doctor, "SELECT count(*) FROM t");
        until(&lab, 1, 1).await;
        cancel(&lab, &token).await;
        let (doctor, outcome) = waiting.await.unwrap();
        assert_eq!(code(&outcome.unwrap_err()), "57014");
        until(&lab, 1, 0).await;
        doctor.simple_query("SET statement_timeout = 300").await.unwrap();
        assert_eq!(refused(&doctor, "SELECT count(*) FROM t").await, "57014", "a time-out counts the waiting");
        doctor.simple_query("RESET statement_timeout").await.unwrap();
        let gone = start(third, "SELECT count(*) FROM t");
        until(&lab, 1, 1).await;
        gone.abort();
        connection.abort();
        assert!(gone.await.is_err());
        until(&lab, 1, 0).await;
        cancel(&lab, &running).await;
        assert!(endless.await.unwrap().1.is_err());
        until(&lab, 0, 0).await;
        assert_eq!(ask(&doctor, "SELECT count(*) FROM t").await, "20000");
    });
}

#[test]
fn a_role_has_a_limit_of_its_own_that_it_cannot_lift() {
    let lab = lab(&[]);
    let admin = lab.psql("admin");
    admin.rows("ALTER ROLE nurse SET max_concurrent_statements = 1");
    let nurse = lab.psql("nurse");
    assert_eq!(nurse.rows("SHOW max_concurrent_statements"), "1");
    assert_eq!(nurse.rows("SELECT setting FROM pg_settings WHERE name = 'max_concurrent_statements'"), "1");
    assert_eq!(nurse.fails("SET max_concurrent_statements = 9").0, "55P02");
    assert_eq!(nurse.fails("SET LOCAL max_concurrent_statements = 9").0, "55P02");
    assert_eq!(nurse.fails("RESET max_concurrent_statements").0, "55P02");
    assert_eq!(nurse.fails("SELECT set_config('max_concurrent_statements', '9', false)").0, "55P02");
    assert_eq!(nurse.fails("ALTER ROLE nurse SET max_concurrent_statements = 9").0, "42501");
    assert_eq!(nurse.fails("ALTER ROLE nurse RESET max_concurrent_statements").0, "42501");
    nurse.rows("ALTER ROLE nurse RESET ALL");
    assert_eq!(nurse.rows("SHOW max_concurrent_statements"), "1");
    let settings = "SELECT settings FROM system.roles WHERE role_name = 'nurse'";
    assert_eq!(nurse.rows(settings), "{max_concurrent_statements=1}");
    block_on(async {
        let (first, second, doctor) =
            (lab.connect("nurse").await, lab.connect("nurse").await, lab.connect("doctor").await);
        let token = first.cancel_token();
        let endless = start(first, ENDLESS);
        until(&lab, 1, 0).await;
        let waiting = start(second, "SELECT count(*) FROM t");
        until(&lab, 1, 1).await;
        assert_eq!(ask(&doctor, "SELECT count(*) FROM t").await, "20000", "others go on");
        cancel(&lab, &token).await;
        assert!(endless.await.unwrap().1.is_err());
        assert_eq!(waiting.await.unwrap().1.unwrap(), "20000");
        // A cursor and a result that is read in parts are of one session: the next statement does not wait for them.
        let session = lab.connect("nurse").await;
        ask(&session, "BEGIN; DECLARE c CURSOR FOR SELECT a FROM t").await;
        until(&lab, 1, 0).await;
        assert_eq!(ask(&session, "SELECT count(*) FROM t").await, "20000");
        ask(&session, "FETCH 5 FROM c").await;
        until(&lab, 1, 0).await;
        ask(&session, "COMMIT").await;
        until(&lab, 0, 0).await;
    });
    admin.rows("ALTER ROLE nurse RESET ALL");
    assert_eq!(nurse.rows("SHOW max_concurrent_statements"), "0");
    assert_eq!(admin.fails("ALTER ROLE nurse SET max_concurrent_statements = 'many'").0, "22023");
    let told = admin.run("CREATE ROLE staff; ALTER ROLE staff SET max_result_rows = 5");
    assert!(told.err.contains("do not inherit"), "{}", told.err);
}

#[test]
fn results_end_where_a_roles_limit_is() {
    let lab = lab(&[]);
    let (admin, nurse) = (lab.psql("admin"), lab.psql("nurse"));
    admin.rows("ALTER ROLE nurse SET max_result_rows = 10000");
    assert_eq!(nurse.rows("SELECT a FROM t LIMIT 10000").lines().count(), 10_000);
    assert_eq!(nurse.fails("SELECT a FROM t").0, "53400");
    assert_eq!(nurse.fails("COPY t TO STDOUT").0, "53400");
    assert_eq!(nurse.rows("SELECT count(*) FROM t"), "20000");
    assert_eq!(
        nurse.fails("BEGIN; DECLARE c CURSOR FOR SELECT a FROM t; FETCH 9000 FROM c; FETCH 9000 FROM c").0,
        "53400"
    );
    assert_eq!(admin.rows("SET ROLE nurse; SELECT a FROM t").lines().count(), 20_000, "it is the login's");
    admin.rows("ALTER ROLE nurse SET max_result_bytes = '64kB'; ALTER ROLE nurse RESET max_result_rows");
    assert_eq!(nurse.fails("SELECT a FROM t").0, "53400");
    assert_eq!(nurse.rows("SELECT a FROM t LIMIT 100").lines().count(), 100);
    block_on(async {
        let mut flight = Raw::login(&lab, "nurse").await;
        let info = flight.query("SELECT a FROM t").await.unwrap();
        assert_refused(flight.rows(&info).await, Code::ResourceExhausted, "53400");
    });
    let ended =
        "SELECT DISTINCT phase, rows <= 10000 FROM system.audit WHERE sqlstate = '53400' AND user_name = 'nurse'";
    assert_eq!(admin.rows(ended), "END|t");
}

#[test]
fn a_statement_takes_no_longer_than_its_role_may() {
    let lab = lab(&[]);
    lab.psql("admin").rows("ALTER ROLE nurse SET max_statement_time = '1s'");
    block_on(async {
        let nurse = lab.connect("nurse").await;
        for timeout in ["0", "1h"] {
            nurse.simple_query(&format!("SET statement_timeout = '{timeout}'")).await.unwrap();
            let asked = Instant::now();
            assert_eq!(refused(&nurse, ENDLESS).await, "57014");
            assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        }
        assert_eq!(ask(&nurse, "SELECT count(*) FROM t").await, "20000");
    });
}

#[test]
fn connections_of_a_role_are_limited() {
    let lab = lab(&[]);
    let admin = lab.psql("admin");
    admin.rows("ALTER ROLE nurse CONNECTION LIMIT 2");
    assert_eq!(
        admin.rows("SELECT rolconnlimit FROM pg_roles WHERE rolname IN ('nurse', 'doctor') ORDER BY 1"),
        "-1\n2"
    );
    block_on(async {
        let held = (lab.connect("nurse").await, lab.connect("nurse").await);
        let told = lab.psql("nurse").run("SELECT 1").err;
        assert!(told.contains("too many connections for role \"nurse\""), "{told}");
        assert_eq!(ask(&lab.connect("doctor").await, "SELECT 1").await, "1");
        drop(held.0);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(lab.psql("nurse").rows("SELECT 1"), "1");
    });
    assert_eq!(admin.fails("ALTER ROLE nurse CONNECTION LIMIT -2").0, "22023");
    assert_eq!(lab.psql("doctor").fails("ALTER ROLE doctor CONNECTION LIMIT 5").0, "42501");
    admin.rows("ALTER ROLE nurse CONNECTION LIMIT 0; CREATE ROLE guest LOGIN CONNECTION LIMIT 3");
    assert!(lab.psql("nurse").run("SELECT 1").err.contains("too many connections"));
    admin.rows("ALTER ROLE nurse CONNECTION LIMIT -1");
    assert_eq!(lab.psql("nurse").rows("SELECT 1"), "1");
}

#[test]
fn a_transaction_that_takes_too_long_ends_with_its_session() {
    let lab = lab(&[]);
    lab.psql("admin").rows("GRANT INSERT ON t TO nurse");
    block_on(async {
        // Silent in a block.
        let (client, ended) = lab.server.connect_watched("nurse", "secret").await;
        client.batch_execute("SET transaction_timeout = '4s'; BEGIN; INSERT INTO t VALUES (-1)").await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends").unwrap();
        assert_eq!(code(&ended.unwrap_err()), "25P04");
        // In the midst of a statement of a block, and of one without.
        for block in ["BEGIN", "SELECT 1"] {
            let (client, _) = lab.server.connect_watched("nurse", "secret").await;
            client.batch_execute("SET transaction_timeout = '2s'").await.unwrap();
            client.batch_execute(block).await.unwrap();
            let asked = Instant::now();
            assert_eq!(refused(&client, ENDLESS).await, "25P04");
            assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
            while !client.is_closed() {
                assert!(asked.elapsed() < Duration::from_secs(30), "the session ends with it");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        // The statement's own time-out comes first where it is shorter; a transaction in time goes on.
        let client = lab.connect("nurse").await;
        client.batch_execute("SET transaction_timeout = '1min'; SET statement_timeout = '500ms'").await.unwrap();
        assert_eq!(refused(&client, ENDLESS).await, "57014");
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(ask(&client, "SELECT count(*) FROM t").await, "20000", "what was written is rolled back");
        client.batch_execute("COMMIT").await.unwrap();
        // Flight SQL: the session is over, too.
        let mut flight = Raw::login(&lab, "nurse").await;
        for sql in ["SET transaction_timeout = '4s'", "BEGIN", "INSERT INTO t VALUES (-2)"] {
            flight.query(sql).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(4_200)).await;
        assert_refused(flight.query("COMMIT").await, Code::InvalidArgument, "25P04");
        assert_refused(flight.query("INSERT INTO t VALUES (-3)").await, Code::Unavailable, "57P01");
    });
    assert_eq!(lab.psql("admin").rows("SELECT count(*) FROM t WHERE a < 0"), "0");
}

#[test]
fn a_cursor_that_was_read_to_its_end_keeps_nobody_waiting() {
    let lab = lab(&[ONE]);
    block_on(async {
        let (nurse, doctor) = (lab.connect("nurse").await, lab.connect("doctor").await);
        nurse.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT a FROM t").await.unwrap();
        until(&lab, 1, 0).await;
        nurse.batch_execute("FETCH ALL FROM c").await.unwrap();
        until(&lab, 0, 0).await;
        assert_eq!(ask(&doctor, "SELECT count(*) FROM t").await, "20000");
        nurse.batch_execute("COMMIT").await.unwrap();
        // Rows that a select list makes are rows.
        let stop = nurse.cancel_token();
        let endless = "SELECT count(*) FROM (SELECT generate_series(1, 1000000) a) x, (SELECT generate_series(1, 1000000) b) y WHERE a + b < 0";
        let endless = start(nurse, endless);
        until(&lab, 1, 0).await;
        cancel(&lab, &stop).await;
        assert_eq!(code(&endless.await.unwrap().1.unwrap_err()), "57014");
    });
}
