//! What statements leave in the log, and what they pay for it.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lakeward_base::{Coded, Epoch, SqlState, SystemClock};

use super::*;
use crate::AuditError;

#[test]
fn statements_of_many_threads_share_syncs_and_one_chain() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig { segment_bytes: 100_000, ..config(directory.path()) };
    // The real disk: this is also the test of its storage.
    let (log, recovery) = AuditLog::open(config, Arc::new(SystemClock)).unwrap();
    assert!(recovery.first_start && recovery.clean);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..40).for_each(|_| run_statement(&log).unwrap()));
        }
    });
    let rows = chained_rows(&log);
    assert_eq!((count(&rows, "BEGIN"), count(&rows, "END")), (640, 640));
    for end in rows.iter().filter(|row| row.phase == "END") {
        let begun = rows.iter().find(|row| row.phase == "BEGIN" && row.statement_id == end.statement_id).unwrap();
        assert!(begun.seq < end.seq);
    }
    wait_until("an empty queue", || log.stats().queue_depth == 0);
    let stats = log.stats();
    assert_eq!((stats.records, stats.failures, stats.lost, stats.queue_depth), (1281, 0, 0, 0));
    assert!(stats.syncs < 900, "{} syncs for 640 statements of 16 threads", stats.syncs);
    assert!(std::fs::read_dir(directory.path()).unwrap().count() > 4, "no segment was followed by another");
    log.shutdown().unwrap();
    let report = verify(directory.path());
    assert_eq!((report.exit_code(), report.records), (0, 1282), "{report}");
}

#[test]
fn records_tell_who_did_what_and_stand_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    let token = begin(&log).unwrap();
    let id = token.statement_id().to_string();
    token.end(DONE);
    log.flushed().wait().unwrap();
    let batches: Vec<_> = log.scan().unwrap().map(Result::unwrap).collect();
    let shown = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let end = shown.lines().find(|line| line.contains("| END ")).unwrap();
    let object = r#"[{"name":"public.patients","version":3,"projected":["ssn"],"filtered":["age"],"masked":["ssn"]}]"#;
    for part in [&id, "alice", "[alice, analyst]", "scram-sha-256", "10.0.0.7:4711", "psql", "pg", "SELECT", object] {
        assert!(end.contains(part), "{part} is not in {end}");
    }
    for part in [r#"["own_hospital"]"#, "| 7 ", "allow", "00000", "| 3 ", "| 99 ", "WHERE age > ?"] {
        assert!(end.contains(part), "{part} is not in {end}");
    }
    assert_eq!(batches[0].schema(), AuditLog::schema());
}

#[test]
fn every_token_leaves_a_last_record() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    drop(log.receive(who()).unwrap());
    drop(begin(&log).unwrap());
    log.receive(who()).unwrap().deny(SqlState::INSUFFICIENT_PRIVILEGE, Epoch(7));
    log.login_failed(who(), SqlState::INVALID_PASSWORD).unwrap().wait().unwrap();
    log.admin(who(), "INIT", "made the data directory").unwrap().wait().unwrap();
    let rows = chained_rows(&log);
    let seen: Vec<_> = rows.iter().map(|row| (row.phase.as_str(), row.sqlstate.as_deref().unwrap_or("-"))).collect();
    let expected = [
        ("ADMIN", "-"),
        ("RECEIVED", "57014"),
        ("BEGIN", "-"),
        ("END", "57014"),
        ("DENIED", "42501"),
        ("DENIED", "28P01"),
        ("ADMIN", "00000"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(rows[5].class.as_deref(), Some("CONNECT"));
}

#[test]
fn a_full_queue_refuses_and_never_loses_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(AuditConfig { queue_records: 20, ..config(directory.path()) });
    wait_until("an empty queue", || log.stats().queue_depth == 0);
    let mut tokens = Vec::new();
    let refused = loop {
        match log.receive(who()) {
            Ok(token) => tokens.push(token),
            Err(error) => break error,
        }
    };
    assert_eq!(tokens.len(), 10);
    assert!(matches!(refused, AuditError::Busy));
    assert_eq!(log.stats().refused, 1);
    drop(tokens);
    log.flushed().wait().unwrap();
    wait_until("room in the queue", || run_statement(&log).is_ok());
    assert_eq!(count(&chained_rows(&log), "RECEIVED"), 10);
}

#[test]
fn one_server_at_a_time_and_nobody_elses_eyes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit");
    let (log, _) = AuditLog::open(config(&path), Arc::new(SystemClock)).unwrap();
    run_statement(&log).unwrap();
    assert!(matches!(AuditLog::open(config(&path), Arc::new(SystemClock)), Err(AuditError::InUse)));
    let report = verify(&path);
    assert!(report.in_use && report.exit_code() == 0, "{report}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
    }
    log.shutdown().unwrap();
    assert!(!verify(&path).in_use);
}

#[test]
fn after_shutdown_nothing_is_accepted_and_what_comes_late_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    let late = begin(&log).unwrap();
    let other = log.clone();
    log.shutdown().unwrap();
    assert_eq!(other.receive(who()).unwrap_err().sqlstate(), SqlState::IO_ERROR);
    late.end(DONE);
    assert_eq!(other.stats().lost, 1);
    assert!(other.flushed().wait().is_err());
    drop(other);
    let (log, recovery) = open(config(directory.path()));
    assert!(recovery.clean && recovery.unknown_outcomes == 1, "{recovery}");
    assert_eq!(count(&chained_rows(&log), "RECOVERED"), 1);
}

#[test]
fn heartbeats_and_the_head_come_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(AuditConfig { heartbeat_ms: 5, head_ms: 5, ..config(directory.path()) });
    wait_until("a heartbeat", || count(&rows(&log), "HEARTBEAT") > 1);
    wait_until(
        "a head that covers it",
        || matches!(crate::head::read(directory.path()).unwrap(), crate::head::Head::Is(head) if head.seq > 2),
    );
}

#[test]
fn durable_wakes_async_waiters_and_its_clones() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let token = begin(&log).unwrap();
    let (one, two) = (token.durable(), token.durable().clone());
    runtime.block_on(async { (one.await.unwrap(), two.await.unwrap()) });
    token.end(DONE);
}

#[test]
fn short_writes_are_carried_on() {
    let directory = tempfile::tempdir().unwrap();
    let storage = faulty::Faulty::default();
    storage.0.short.store(7, Ordering::SeqCst);
    let (log, _) = open_on(Arc::new(storage), config(directory.path())).unwrap();
    run_statement(&log).unwrap();
    assert_eq!(chained_rows(&log).len(), 3);
}
