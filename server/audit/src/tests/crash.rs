//! Logs that were not closed: opened again, repaired, and honest about it.

use super::*;
use crate::head::{self, Head};
use crate::segment;

/// Ends a server without a closing record.
fn crash(log: AuditLog) {
    log.flushed().wait().unwrap();
    drop(log);
}

fn reopen_and_close(directory: &Path) -> (Recovery, Report) {
    let (log, recovery) = open(config(directory));
    run_statement(&log).unwrap();
    log.shutdown().unwrap();
    (recovery, verify(directory))
}

#[test]
fn a_clean_restart_continues_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let (log, recovery) = open(config(directory.path()));
        assert!(recovery.clean && recovery.first_start == (round == 0), "{recovery}");
        run_statement(&log).unwrap();
        assert_eq!(chained_rows(&log).len(), round * 4 + 3);
        log.shutdown().unwrap();
        assert_eq!(verify(directory.path()).exit_code(), 0);
    }
}

#[test]
fn a_statement_without_an_end_is_recorded_once_as_of_unknown_outcome() {
    let directory = tempfile::tempdir().unwrap();
    // A segment for each group: the open BEGIN is several segments back.
    let small = || AuditConfig { segment_bytes: 1, ..config(directory.path()) };
    let (log, _) = open(small());
    let running = begin(&log).unwrap();
    let id = running.statement_id().to_string();
    running.durable().wait().unwrap();
    std::mem::forget(running);
    (0..5).for_each(|_| run_statement(&log).unwrap());
    crash(log);
    assert_eq!(verify(directory.path()).exit_code(), 3);

    let (log, recovery) = open(small());
    assert_eq!((recovery.clean, recovery.unknown_outcomes), (false, 1), "{recovery}");
    let rows = chained_rows(&log);
    let reaped: Vec<_> = rows.iter().filter(|row| row.phase == "RECOVERED" && row.statement_id.is_some()).collect();
    assert_eq!(reaped.len(), 1);
    assert_eq!(reaped[0].statement_id.as_deref(), Some(id.as_str()));
    assert_eq!(reaped[0].detail.as_deref(), Some("outcome unknown: assume disclosed"));
    let found = "audit log was not closed cleanly; statements of unknown outcome, assume disclosed: 1";
    assert_eq!(rows.iter().filter(|row| row.detail.as_deref() == Some(found)).count(), 1);
    crash(log);

    let (_, recovery) = open(small());
    assert_eq!(recovery.unknown_outcomes, 0, "{recovery}");
}

#[test]
fn a_tail_cut_at_any_byte_is_found_and_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    run_statement(&log).unwrap();
    crash(log);
    let (number, covered) = match head::read(directory.path()).unwrap() {
        Head::Is(head) => (head.segment, head.seq),
        Head::Missing | Head::Altered => panic!("no head"),
    };
    let length = std::fs::metadata(segment::path_of(directory.path(), number)).unwrap().len();
    let (mut whole, mut missing) = (0, 0);
    for cut in 0..length {
        let copy = copy_directory(directory.path());
        let file = std::fs::OpenOptions::new().write(true).open(segment::path_of(copy.path(), number)).unwrap();
        file.set_len(cut).unwrap();
        let before = verify(copy.path());
        assert_eq!(before.exit_code(), 3, "cut at {cut}: {before}");
        let (recovery, after) = reopen_and_close(copy.path());
        assert!(!recovery.clean && !recovery.altered, "cut at {cut}: {recovery}");
        // Only what the head does not vouch for may be gone without a trace.
        if before.last_seq >= covered {
            whole += 1;
            assert_eq!((recovery.missing_records, after.exit_code()), (0, 0), "cut at {cut}: {after}");
        } else {
            missing += 1;
            assert_eq!((recovery.missing_records, after.exit_code()), (covered - before.last_seq, 3), "cut at {cut}");
        }
    }
    assert!(whole > 100 && missing > 100, "{whole} {missing}");
}

#[test]
fn zeros_or_garbage_beyond_the_head_are_a_torn_tail() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    run_statement(&log).unwrap();
    crash(log);
    let path = segment::path_of(directory.path(), 1);
    let content = std::fs::read(&path).unwrap();
    for tail in [&[0; 5000][..], &[0; 3], &[7; 100], &[7; 3]] {
        let copy = copy_directory(directory.path());
        std::fs::write(segment::path_of(copy.path(), 1), [&content, tail].concat()).unwrap();
        assert_eq!(verify(copy.path()).exit_code(), 3);
        let (recovery, after) = reopen_and_close(copy.path());
        assert_eq!((recovery.torn_bytes, after.exit_code()), (tail.len() as u64, 0), "{after}");
    }
}

#[test]
fn a_segment_torn_in_its_header_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    run_statement(&log).unwrap();
    crash(log);
    for length in [0, 1, 8, 20] {
        let copy = copy_directory(directory.path());
        let header = std::fs::read(segment::path_of(copy.path(), 1)).unwrap();
        std::fs::write(segment::path_of(copy.path(), 2), &header[..length]).unwrap();
        assert_eq!(verify(copy.path()).exit_code(), 3);
        let (recovery, after) = reopen_and_close(copy.path());
        assert_eq!((recovery.clean, recovery.missing_records, after.exit_code()), (false, 0, 0), "{after}");
    }
}

#[test]
fn a_missing_head_is_recorded_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    run_statement(&log).unwrap();
    log.shutdown().unwrap();
    std::fs::remove_file(head::path_of(directory.path())).unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 3);
    let (recovery, after) = reopen_and_close(directory.path());
    assert!(recovery.head_missing && !recovery.clean, "{recovery}");
    assert_eq!(after.exit_code(), 3, "{after}");
}

#[test]
fn opening_and_tending_do_not_write_the_head_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..40 {
        let config = AuditConfig { head_ms: 1, heartbeat_ms: 1, ..config(directory.path()) };
        let (log, _) = AuditLog::open(config, Arc::new(SystemClock)).unwrap_or_else(|error| panic!("{round}: {error}"));
        log.shutdown().unwrap_or_else(|error| panic!("{round}: {error}"));
        assert!(matches!(crate::head::read(directory.path()), Ok(crate::head::Head::Is(_))), "{round}");
    }
}
