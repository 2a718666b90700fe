//! The log is what was acknowledged: after a restart, after a crash, in other hands.

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::source::reader::EmbeddedSource;
use crate::source::{Limit, Source};

const ALL: Limit = Limit { records: usize::MAX, bytes: usize::MAX };
const SMALL: LogOptions = LogOptions { segment_bytes: 200, queue_bytes: 4_096 };

fn vault(byte: u8) -> Arc<Vault> {
    Arc::new(Vault::new(&Zeroizing::new([byte; 32])).expect("random numbers"))
}

fn open(directory: &TempDir, options: LogOptions) -> (Arc<EmbeddedLog>, Opened) {
    EmbeddedLog::open(7, directory.path(), vault(1), options).expect("opens")
}

fn close(log: Arc<EmbeddedLog>) {
    log.shut_down();
    assert_eq!(Arc::strong_count(&log), 1, "the writer is gone");
}

fn append(log: &EmbeddedLog, records: &[&str]) -> Range<u64> {
    log.append(records, 5).expect("queued").wait().expect("durable")
}

fn texts(log: &Arc<EmbeddedLog>, from: u64) -> Vec<String> {
    let records = EmbeddedSource::new(Arc::clone(log)).read(0, from, ALL).expect("reads");
    for (offset, record) in (from..).zip(&records) {
        assert_eq!((record.partition, record.offset, record.appended_us), (0, offset, 5));
    }
    records.into_iter().map(|record| String::from_utf8(record.bytes).expect("text")).collect()
}

#[test]
fn what_was_acknowledged_is_read_back_after_a_restart_from_any_offset() {
    let directory = TempDir::new().expect("a directory");
    let (log, _) = open(&directory, SMALL);
    assert_eq!(append(&log, &["a", "b"]), 0..2);
    assert_eq!(append(&log, &[]), 2..2);
    for number in 2..40 {
        assert_eq!(append(&log, &[&number.to_string()]), number..number + 1);
    }
    close(log);
    let (log, opened) = open(&directory, SMALL);
    assert_eq!(opened.cut_bytes, 0);
    assert!(segment::list(directory.path()).expect("lists").len() > 3, "several segments");
    let all: Vec<String> = ["a", "b"].map(String::from).into_iter().chain((2..40).map(|n| n.to_string())).collect();
    for from in 0..=40 {
        assert_eq!(texts(&log, from), all[usize::try_from(from).expect("small")..]);
    }
    assert_eq!(append(&log, &["next"]), 40..41);
    assert_eq!(texts(&log, 40), ["next"]);
    close(log);
}

#[test]
fn a_reader_goes_on_where_it_stopped_within_its_limits() {
    let directory = TempDir::new().expect("a directory");
    let (log, _) = open(&directory, SMALL);
    let mut reader = EmbeddedSource::new(Arc::clone(&log));
    let mut next = 0;
    for round in 0_u64..30 {
        append(&log, &["abc", "de", "f"]);
        let limit = Limit { records: 2, bytes: usize::MAX };
        let read = reader.read(0, next, limit).expect("reads");
        assert_eq!(read.len(), 2);
        next += 2;
        assert_eq!(read[1].offset + 1, next, "round {round}");
    }
    let rest = reader.read(0, next, ALL).expect("reads");
    assert_eq!(rest.len(), 30);
    assert_eq!(reader.read(0, 90, ALL).expect("reads").len(), 0);
    assert_eq!(
        reader.read(0, 0, Limit { records: 9, bytes: 4 }).expect("reads").len(),
        2,
        "the second reaches four bytes"
    );
    assert!(matches!(reader.read(0, 91, ALL), Err(StreamError::Damaged { .. })), "behind the end");
    close_readers(reader, log);
}

fn close_readers(reader: EmbeddedSource, log: Arc<EmbeddedLog>) {
    drop(reader);
    close(log);
}

#[test]
fn what_a_crash_cut_is_cut_off_and_what_is_damaged_is_told() {
    let directory = TempDir::new().expect("a directory");
    let options = LogOptions::default();
    let (log, _) = open(&directory, options);
    append(&log, &["first"]);
    let path = segment::path_of(directory.path(), 0);
    let first = fs::read(&path).expect("reads");
    append(&log, &["second"]);
    close(log);
    let whole = fs::read(&path).expect("reads");
    for length in first.len()..whole.len() {
        fs::write(&path, &whole[..length]).expect("writes");
        let (log, opened) = open(&directory, options);
        assert_eq!(opened.cut_bytes, (length - first.len()) as u64);
        assert_eq!(texts(&log, 0), ["first"], "cut at {length}");
        close(log);
    }
    fs::write(&path, [first.clone(), vec![0; 300]].concat()).expect("writes");
    let (log, _) = open(&directory, options);
    assert_eq!(append(&log, &["again"]), 1..2, "zeros are no records");
    assert_eq!(texts(&log, 0), ["first", "again"]);
    close(log);
    for bit in (0..whole.len() * 8).step_by(7) {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &changed).expect("writes");
        let result = EmbeddedLog::open(7, directory.path(), vault(1), options);
        assert!(matches!(result, Err(StreamError::Damaged { .. })), "bit {bit}");
    }
}

#[test]
fn nothing_can_be_read_of_it_without_the_key_nor_as_another_stream() {
    let directory = TempDir::new().expect("a directory");
    let (log, _) = open(&directory, SMALL);
    append(&log, &["heart rate of patient 17"]);
    let again = EmbeddedLog::open(7, directory.path(), vault(1), SMALL);
    assert!(matches!(again, Err(StreamError::InUse)));
    close(log);
    let bytes = fs::read(segment::path_of(directory.path(), 0)).expect("reads");
    assert!(!bytes.windows(5).any(|window| window == b"heart"));
    for (id, key) in [(7, 2), (8, 1)] {
        let result = EmbeddedLog::open(id, directory.path(), vault(key), SMALL);
        assert!(matches!(result, Err(StreamError::Damaged { .. })), "stream {id}, key {key}");
    }
}

#[test]
fn the_queue_is_bounded_and_a_closed_log_takes_nothing() {
    let directory = TempDir::new().expect("a directory");
    let (log, _) = open(&directory, SMALL);
    let large = ["x".repeat(5_000)];
    assert!(matches!(log.append(&large, 0), Err(StreamError::TooLarge { limit_bytes: 4_096 })));
    let (mut taken, mut refused) = (Vec::new(), 0);
    for _ in 0..2_000 {
        match log.append(&["x".repeat(1_000)], 5) {
            Ok(appending) => taken.push(appending),
            Err(StreamError::Busy) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "the disk is slower than the loop");
    let mut next = 0;
    for appending in taken {
        let range = appending.wait().expect("durable");
        assert_eq!(range, next..next + 1, "in the order of their appends");
        next += 1;
    }
    assert_eq!(log.durable_end(), next);
    assert_eq!(*log.growth().borrow(), next);
    log.shut_down();
    assert!(!log.is_open());
    assert!(matches!(log.append(&["x"], 0), Err(StreamError::Closed)));
    close(log);
}

#[test]
fn forgotten_are_whole_segments_whose_records_nobody_needs() {
    let directory = TempDir::new().expect("a directory");
    let (log, _) = open(&directory, SMALL);
    for number in 0..40 {
        append(&log, &[&number.to_string()]);
    }
    log.forget(5, 20).expect("forgets");
    assert_eq!(log.first_offset(), 0, "none is old");
    log.forget(6, 20).expect("forgets");
    let mut reader = EmbeddedSource::new(Arc::clone(&log));
    let first = reader.first_offset(0);
    assert!((1..=20).contains(&first), "{first}");
    assert_eq!(texts(&log, first).len() as u64, 40 - first);
    assert!(matches!(reader.read(0, 0, ALL), Err(StreamError::Damaged { .. })), "before the beginning");
    log.forget(i64::MAX, u64::MAX).expect("forgets");
    assert_eq!(append(&log, &["more"]), 40..41, "the newest segment stays");
    close_readers(reader, log);
}
