//! A server that is killed (kill -9) at any moment, while rows are appended and epochs run: nothing that was acknowledged is
//! lost, nothing counts twice.
//!
//! The test starts itself as the server. `LAKEWARD_STREAM_KILLS=100` for the long run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::stream::{STREAM, definition, rows, vault};
use super::views;
use crate::epoch::Epochs;
use crate::source::embedded::{EmbeddedLog, LogOptions};
use crate::source::reader::EmbeddedSource;
use crate::store::Store;

const DIRECTORY: &str = "LAKEWARD_STREAM_KILL_DIRECTORY";
const NAME: &str = "tests::kill::a_killed_server_loses_nothing_and_counts_nothing_twice";
const KILLS: u32 = 3;
const NOW_US: i64 = 1_769_500_000_000_000;

struct Server {
    log: Arc<EmbeddedLog>,
    store: Arc<Store>,
    epochs: Epochs,
}

impl Server {
    fn open(directory: &Path) -> Self {
        let options = LogOptions { segment_bytes: 20_000, ..LogOptions::default() };
        let (log, _) = EmbeddedLog::open(STREAM, &directory.join("log"), vault(), options).expect("opens");
        let store = Arc::new(Store::open(&directory.join("state"), vault()).expect("opens"));
        let mut epochs = Epochs::new(Arc::clone(&store)).expect("reads");
        let source = Box::new(EmbeddedSource::new(Arc::clone(&log)));
        epochs.add_stream(definition(500), source).expect("a stream");
        for view in [views::alerts(), views::keyed()] {
            epochs.add_view(STREAM, view).expect("a view");
        }
        Self { log, store, epochs }
    }
}

/// Appends and works until it is killed; prints the number of each acknowledged event.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn serve(directory: &Path) {
    let mut server = Server::open(directory);
    let log = Arc::clone(&server.log);
    std::thread::spawn(move || {
        loop {
            let seq = log.durable_end();
            let events: Vec<_> = (seq..seq + 7)
                .map(|seq| format!("{{\"patient_id\": {}, \"heart_rate\": 125, \"seq\": {seq}}}", seq % 11))
                .collect();
            let range = log.append(&events, NOW_US).expect("queued").wait().expect("durable");
            println!("acknowledged {}", range.end);
        }
    });
    loop {
        server.epochs.tick(NOW_US).expect("works");
    }
}

#[test]
fn a_killed_server_loses_nothing_and_counts_nothing_twice() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return serve(Path::new(&directory));
    }
    let kills = std::env::var("LAKEWARD_STREAM_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut random = StdRng::seed_from_u64(1);
    let mut acknowledged = 0;
    for _ in 0..kills {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", NAME, "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let lines = std::thread::spawn(move || {
            let told = output.lines().map_while(Result::ok);
            told.filter_map(|line| line.split_once("acknowledged ")?.1.parse::<u64>().ok()).last()
        });
        std::thread::sleep(Duration::from_millis(random.random_range(300..1_500)));
        child.kill().expect("killed");
        child.wait().expect("ended");
        acknowledged = lines.join().expect("read").unwrap_or(acknowledged);
        check(directory.path(), acknowledged);
    }
    assert!(acknowledged > 0, "the server did something between its deaths");
}

fn check(directory: &Path, acknowledged: u64) {
    let mut server = Server::open(directory);
    let end = server.log.durable_end();
    assert!(end >= acknowledged, "{acknowledged} were acknowledged, {end} are there");
    while server.epochs.tick(NOW_US).expect("works") {}
    let snapshot = server.store.snapshot().expect("reads");
    let (alerts, ids) = rows(&snapshot, &views::alerts());
    let mut seen: Vec<i64> = alerts.column(4).as_primitive::<Int64Type>().values().to_vec();
    seen.sort_unstable();
    assert_eq!(seen, (0..i64::try_from(end).expect("small")).collect::<Vec<_>>(), "an alert of each event");
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
    let (counts, _) = rows(&snapshot, &views::keyed());
    let total: i64 = counts.column(1).as_primitive::<Int64Type>().values().iter().sum();
    assert_eq!(u64::try_from(total).expect("positive"), end, "each event counts once");
    server.log.shut_down();
}
