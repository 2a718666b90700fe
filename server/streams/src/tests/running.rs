//! The loop on its thread: from an append to an alert, views that come and go, sources and stores that fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeward_base::SystemClock;
use parking_lot::Mutex;

use super::faulty_disk::FaultyDisk;
use super::stream::{Records, STREAM, definition, open, vault};
use super::views;
use crate::epoch::Epochs;
use crate::error::StreamError;
use crate::runner::Runner;
use crate::source::embedded::{EmbeddedLog, LogOptions};
use crate::source::reader::EmbeddedSource;
use crate::source::{Limit, Record, Source};
use crate::store::Store;

const ALERT: &str = "{\"patient_id\": 1, \"heart_rate\": 125, \"oxygen\": 97}";

fn runner(epochs: Epochs) -> Runner {
    let (gather, interval) = (Duration::from_millis(20), Duration::from_secs(60));
    Runner::start(epochs, Arc::new(SystemClock), gather, interval).expect("starts")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

#[test]
fn an_appended_record_becomes_an_alert_of_a_view_that_was_made_meanwhile() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let (log, _) =
        EmbeddedLog::open(STREAM, &directory.path().join("log"), vault(), LogOptions::default()).expect("opens");
    let store = Arc::new(Store::open(&directory.path().join("state"), vault()).expect("opens"));
    let mut epochs = Epochs::new(store).expect("reads");
    epochs.add_stream(definition(1_000), Box::new(EmbeddedSource::new(Arc::clone(&log)))).expect("a stream");
    let runner = runner(epochs);
    runtime().block_on(async {
        let made = runner.with(|epochs| epochs.add_view(STREAM, views::alerts())).await.expect("runs");
        let mut alerts = made.expect("a view").subscribe(crate::subscribe::Position::behind(0));
        for number in 1..=5 {
            let begun = Instant::now();
            log.append(&[ALERT], 0).expect("queued").durable().await.expect("durable");
            runner.waker().wake();
            let delivery = alerts.next().await.expect("is told");
            assert_eq!(delivery.changes[0].ids.len(), 1, "alert {number}");
            assert!(begun.elapsed() < Duration::from_secs(30), "woken, not found by looking");
        }
        let jobs = runner.with(|epochs| epochs.jobs()).await.expect("runs");
        assert_eq!((jobs[0].lag_rows, jobs[0].offsets.clone()), (0, vec![(0, 5)]));
        runner.with(|epochs| epochs.drop_view(views::ALERTS)).await.expect("runs").expect("drops");
        assert!(matches!(alerts.next().await, Err(StreamError::Closed)));
    });
    assert!(runner.is_running());
    drop(runner);
    log.shut_down();
}

#[test]
fn a_store_that_fails_ends_the_loop_and_whoever_asks_is_told() {
    let (disk, records) = (FaultyDisk::default(), Records::default());
    records.append(0, ALERT);
    let (_, epochs) = open(&disk, &records, 10, &[views::alerts()]).expect("opens");
    disk.fail_after(0);
    let runner = runner(epochs);
    while runner.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(matches!(runtime().block_on(runner.with(|epochs| epochs.jobs())), Err(StreamError::Closed)));
}

/// A source that can be away, or have lost its beginning.
#[derive(Clone, Default)]
struct Fickle {
    records: Records,
    away: Arc<Mutex<bool>>,
    first: Arc<Mutex<u64>>,
}

impl Source for Fickle {
    fn partitions(&self) -> Vec<u32> {
        self.records.partitions()
    }

    fn first_offset(&self, _partition: u32) -> u64 {
        *self.first.lock()
    }

    fn end_offset(&self, partition: u32) -> u64 {
        self.records.end_offset(partition)
    }

    fn read(&mut self, partition: u32, from: u64, limit: Limit) -> Result<Vec<Record>, StreamError> {
        if *self.away.lock() {
            return Err(StreamError::Closed);
        }
        self.records.read(partition, from, limit)
    }
}

fn with_source(source: &Fickle) -> (FaultyDisk, Epochs) {
    let disk = FaultyDisk::default();
    let store = Arc::new(Store::over_disk(Box::new(disk.clone()), vault()).expect("opens"));
    let mut epochs = Epochs::new(store).expect("reads");
    epochs.add_stream(definition(2), Box::new(source.clone())).expect("a stream");
    epochs.add_view(STREAM, views::alerts()).expect("a view");
    (disk, epochs)
}

#[test]
fn a_source_that_is_away_keeps_its_views_waiting_and_loses_nothing() {
    let source = Fickle::default();
    for _ in 0..5 {
        source.records.append(0, ALERT);
    }
    let (_, mut epochs) = with_source(&source);
    assert!(epochs.tick(1).expect("works"));
    *source.away.lock() = true;
    assert!(!epochs.tick(2).expect("no error of the loop"));
    let job = epochs.jobs().remove(0);
    assert_eq!((job.lag_rows, job.failure, job.trouble.is_some()), (3, None, true));
    assert_eq!(epochs.needed_from(STREAM, 0), Some(2));
    *source.away.lock() = false;
    while epochs.tick(3).expect("works") {}
    let job = epochs.jobs().remove(0);
    assert_eq!((job.lag_rows, job.trouble), (0, None));
}

#[test]
fn a_view_whose_records_are_gone_stops_and_says_so_also_after_a_restart() {
    let source = Fickle::default();
    for _ in 0..5 {
        source.records.append(0, ALERT);
    }
    let (disk, mut epochs) = with_source(&source);
    assert!(epochs.tick(1).expect("works"));
    *source.first.lock() = 3;
    assert!(epochs.tick(2).expect("works"));
    let failure = epochs.jobs().remove(0).failure.expect("stopped");
    assert!(failure.contains("rebuild needed"), "{failure}");
    assert!(!epochs.tick(3).expect("works"), "nothing more happens");
    drop(epochs);
    let (_, epochs) = open(&disk, &source.records, 2, &[views::alerts()]).expect("opens");
    assert_eq!(epochs.jobs().remove(0).failure, Some(failure));
}

#[test]
fn state_of_another_version_is_not_read_and_numbers_are_of_one_thing_each() {
    let source = Fickle::default();
    source.records.append(0, ALERT);
    let (disk, mut epochs) = with_source(&source);
    assert!(epochs.tick(1).expect("works"));
    assert!(matches!(epochs.add_view(STREAM, views::alerts()), Err(StreamError::Definition { .. })));
    assert!(matches!(epochs.add_view(77, views::latest()), Err(StreamError::Definition { .. })));
    drop(epochs);
    let mut newer = views::alerts();
    newer.view.version = 2;
    assert!(matches!(open(&disk, &source.records, 2, &[newer]), Err(StreamError::RebuildNeeded)));
}
