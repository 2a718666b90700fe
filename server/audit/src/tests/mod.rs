//! Tests of the log as a whole. What they share: a log in a temporary directory, statements, and its rows.

mod crash;
mod evidence;
mod fault;
mod faulty;
mod search;
mod statement;
mod tamper;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use lakeward_base::{Epoch, SqlState, SystemClock};
use zeroize::Zeroizing;

use crate::log::{AuditConfig, AuditLog};
use crate::storage::Storage;
use crate::{
    Audit, AuditError, AuditKeys, BeginFacts, Begun, ObjectFacts, Outcome, Protocol, Recovery, Report, Trust, Who,
};

/// One row of `system.audit`, as far as the tests look.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    seq: i64,
    phase: String,
    class: Option<String>,
    statement_id: Option<String>,
    sqlstate: Option<String>,
    detail: Option<String>,
    prev_hash: String,
    hash: String,
}

const DONE: Outcome = Outcome { sqlstate: SqlState::SUCCESS, rows: 3, bytes: 99 };
const HOUR_MS: u64 = 3_600_000;

/// Head and heartbeats only when the log is opened and closed, so that nothing depends on time.
fn config(directory: &Path) -> AuditConfig {
    AuditConfig {
        head_ms: HOUR_MS,
        heartbeat_ms: HOUR_MS,
        retry_ms: 5,
        ..AuditConfig::new(directory, "node-1", keys())
    }
}

fn keys() -> AuditKeys {
    AuditKeys { wrapping: Zeroizing::new([7; 32]), tokens: Zeroizing::new([8; 32]), signing: Zeroizing::new([9; 32]) }
}

fn open(config: AuditConfig) -> (AuditLog, Recovery) {
    open_on(Arc::new(faulty::Faulty::default()), config).unwrap()
}

fn open_on(storage: Arc<dyn Storage>, config: AuditConfig) -> Result<(AuditLog, Recovery), AuditError> {
    AuditLog::open_on(storage, config, Arc::new(SystemClock))
}

fn who() -> Arc<Who> {
    Arc::new(Who {
        session_user: "alice".to_owned(),
        roles: vec!["alice".to_owned(), "analyst".to_owned()],
        auth_method: "scram-sha-256".to_owned(),
        client_addr: "10.0.0.7:4711".to_owned(),
        application_name: "psql".to_owned(),
        protocol: Protocol::Pg,
        purpose_of_use: None,
        external: false,
    })
}

fn facts() -> BeginFacts {
    BeginFacts {
        objects: vec![ObjectFacts {
            name: "public.patients".to_owned(),
            version: Some(3),
            projected: vec!["ssn".to_owned()],
            filtered: vec!["age".to_owned()],
            masked: vec!["ssn".to_owned()],
            subject_column: Some("patient_id".to_owned()),
        }],
        policies: vec!["own_hospital".to_owned()],
        policy_epoch: Epoch(7),
        bypass: false,
        break_glass: Some("glass-1".to_owned()),
    }
}

fn begin(log: &AuditLog) -> Result<Audit<Begun>, AuditError> {
    let mut token = log.receive(who())?;
    token.describe("SELECT", "SELECT ssn FROM patients WHERE age > ?");
    token.begin(facts())
}

fn trust() -> Trust {
    Trust { public_key: keys().public_key().unwrap(), heads: None }
}

fn verify(directory: &Path) -> Report {
    crate::verify(directory, &trust())
}

/// A statement from its arrival to its end; an error where no row may leave.
fn run_statement(log: &AuditLog) -> Result<(), AuditError> {
    let token = begin(log)?;
    token.durable().wait()?;
    token.end(DONE);
    Ok(())
}

fn rows(log: &AuditLog) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in log.scan().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        for row in 0..batch.num_rows() {
            rows.push(Row {
                seq: batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>().value(row),
                phase: text("phase", row).unwrap(),
                class: text("statement_class", row),
                statement_id: text("statement_id", row),
                sqlstate: text("sqlstate", row),
                detail: text("detail", row),
                prev_hash: text("prev_hash", row).unwrap(),
                hash: text("hash", row).unwrap(),
            });
        }
    }
    rows
}

/// Asserts that rows are numbered without gap and chained, and answers them.
fn chained_rows(log: &AuditLog) -> Vec<Row> {
    log.flushed().wait().unwrap();
    let rows = rows(log);
    let mut hash = "0".repeat(64);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.seq, index as i64 + 1);
        assert_eq!(row.prev_hash, hash, "record {} does not follow", row.seq);
        hash.clone_from(&row.hash);
    }
    rows
}

fn count(rows: &[Row], phase: &str) -> usize {
    rows.iter().filter(|row| row.phase == phase).count()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn copy_directory(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}
