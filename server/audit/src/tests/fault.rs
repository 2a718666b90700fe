//! A disk that is full, read-only or failing: statements are refused with 58030, nothing is lost, no restart is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lakeward_base::{Coded, SqlState};

use super::faulty::{Faults, Faulty};
use super::*;

type Switch = fn(&Faults) -> &AtomicBool;

const SWITCHES: [(&str, Switch); 4] = [
    ("full", |faults| &faults.full),
    ("read-only", |faults| &faults.read_only),
    ("fdatasync fails", |faults| &faults.sync_fails),
    ("space is scarce", |faults| &faults.scarce),
];

fn open_faulty(directory: &Path) -> (AuditLog, Arc<Faults>) {
    let storage = Faulty::default();
    let faults = Arc::clone(&storage.0);
    (open_on(Arc::new(storage), config(directory)).unwrap().0, faults)
}

#[test]
fn faults_refuse_statements_and_pass_without_a_restart() {
    for (name, switch) in SWITCHES {
        let directory = tempfile::tempdir().unwrap();
        let (log, faults) = open_faulty(directory.path());
        run_statement(&log).unwrap();
        let running = begin(&log).unwrap();
        running.durable().wait().unwrap();

        for round in 0..3 {
            switch(&faults).store(true, Ordering::SeqCst);
            let refused = begin(&log).and_then(|token| token.durable().wait());
            assert_eq!(refused.unwrap_err().sqlstate(), SqlState::IO_ERROR, "{name}");
            wait_until("the log notices", || !log.healthy());
            assert_eq!(log.receive(who()).unwrap_err().sqlstate(), SqlState::IO_ERROR, "{name}");

            switch(&faults).store(false, Ordering::SeqCst);
            wait_until("the log recovers", || log.healthy());
            let report = verify(directory.path());
            assert_eq!(report.exit_code(), 0, "{name}: {report}");
            run_statement(&log).unwrap_or_else(|_| panic!("{name}: refused in round {round} after the fault"));
        }

        running.end(DONE);
        let rows = chained_rows(&log);
        // Each statement that the fault refused had begun, and its token was dropped.
        let begun = count(&rows, "BEGIN");
        assert_eq!(begun, count(&rows, "END"), "{name}");
        assert_eq!(begun + count(&rows, "DENIED"), 8, "{name}");
        assert_eq!(log.stats().lost, 0, "{name}");
        log.shutdown().unwrap();
        let report = verify(directory.path());
        assert_eq!(report.exit_code(), 0, "{name}: {report}");
    }
}

#[test]
fn what_ends_while_the_disk_is_failing_is_recorded_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let (log, faults) = open_faulty(directory.path());
    let tokens: Vec<_> = (0..50).map(|_| begin(&log).unwrap()).collect();
    log.flushed().wait().unwrap();
    let waiting = log.receive(who()).unwrap();
    faults.full.store(true, Ordering::SeqCst);
    for token in tokens {
        token.end(DONE);
    }
    assert!(log.flushed().wait().is_err());
    // It had been received while all was well: it may not begin any more, and its refusal is recorded.
    wait_until("the log notices", || !log.healthy());
    assert_eq!(waiting.begin(facts()).unwrap_err().sqlstate(), SqlState::IO_ERROR);
    faults.full.store(false, Ordering::SeqCst);
    wait_until("the log recovers", || log.healthy());
    let rows = chained_rows(&log);
    assert_eq!((count(&rows, "END"), count(&rows, "DENIED")), (50, 1));
    assert_eq!(rows.last().unwrap().sqlstate.as_deref(), Some("58030"));
}

#[test]
fn a_crash_on_a_failing_disk_leaves_a_log_that_opens() {
    for (name, switch) in SWITCHES {
        let directory = tempfile::tempdir().unwrap();
        let (log, faults) = open_faulty(directory.path());
        run_statement(&log).unwrap();
        log.flushed().wait().unwrap();
        switch(&faults).store(true, Ordering::SeqCst);
        assert!(begin(&log).and_then(|token| token.durable().wait()).is_err(), "{name}");
        drop(log);
        let (log, recovery) = open(config(directory.path()));
        assert!(!recovery.clean && !recovery.altered && recovery.missing_records == 0, "{name}: {recovery}");
        run_statement(&log).unwrap();
        log.shutdown().unwrap();
        let report = verify(directory.path());
        assert_eq!(report.exit_code(), 0, "{name}: {report}");
    }
}

#[test]
fn a_record_that_is_too_long_leaves_out_what_it_must() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open_faulty(directory.path());
    let mut token = log.receive(who()).unwrap();
    token.describe("SELECT", &"?, ".repeat(6 << 20));
    token.begin(BeginFacts { policies: vec!["p".repeat(17 << 20)], ..facts() }).unwrap().end(DONE);
    let mut token = log.receive(who()).unwrap();
    token.describe("SELECT", &"?, ".repeat(6 << 20));
    token.deny(SqlState::PROGRAM_LIMIT_EXCEEDED, lakeward_base::Epoch(1));
    let rows = chained_rows(&log);
    for row in &rows[1..3] {
        assert_eq!(row.detail.as_deref(), Some("too long, left out: roles, policies"));
    }
    assert_eq!((rows[3].phase.as_str(), rows[3].detail.as_deref()), ("DENIED", None), "its text was excerpted");
    log.shutdown().unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 0);
}
