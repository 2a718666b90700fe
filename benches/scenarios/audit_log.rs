//! What the audit log costs by itself: the time that a statement waits for its BEGIN beside that of a bare `fdatasync`,
//! records a second, and how fast a log is verified.
//!
//! Writers do nothing but begin and end statements of one literal and one parameter, so that the log is all that they
//! wait for. The directory must be on the disk that is meant: by default the temporary one.
//!
//! `cargo bench --workspace --bench audit_log [-- seconds [records [directory]]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lakeward_audit::{
    Asked, Audit, AuditConfig, AuditKeys, AuditLog, BeginFacts, Begun, ObjectFacts, Outcome, Protocol, Trust, Who,
    verify,
};
use lakeward_base::{Epoch, SqlState, SystemClock};
use zeroize::Zeroizing;

const WRITERS: [usize; 4] = [1, 8, 64, 256];
const DONE: Outcome = Outcome { sqlstate: SqlState::SUCCESS, rows: 1, bytes: 100 };

fn keys() -> AuditKeys {
    let key = |byte| Zeroizing::new([byte; 32]);
    AuditKeys { wrapping: key(1), tokens: key(2), signing: key(3) }
}

fn config(directory: &Path) -> AuditConfig {
    AuditConfig::new(directory, "bench", keys())
}

fn who() -> Who {
    Who {
        session_user: "alice".to_owned(),
        roles: vec!["alice".to_owned(), "analyst".to_owned()],
        auth_method: "scram-sha-256".to_owned(),
        client_addr: "10.0.0.7:4711".to_owned(),
        application_name: "psql".to_owned(),
        protocol: Protocol::Pg,
        purpose_of_use: Some("TREAT".to_owned()),
        external: false,
    }
}

fn begin(log: &AuditLog, who: &Who, literals: &[String]) -> Audit<Begun> {
    let mut token = log.receive(who).unwrap();
    token.describe("SELECT", "SELECT name, ssn FROM patients WHERE patient_id = $1 AND ward = ?");
    let sql = "SELECT name, ssn FROM patients WHERE patient_id = $1 AND ward = '7'";
    let parameters = [Some("4711".to_owned())];
    token.ask(&Asked { sql, literals, parameters: &parameters, more: false }).unwrap();
    let object = ObjectFacts {
        name: "public.patients".to_owned(),
        version: Some(3),
        projected: vec!["name".to_owned(), "ssn".to_owned()],
        filtered: vec!["patient_id".to_owned(), "ward".to_owned()],
        masked: vec!["ssn".to_owned()],
        subject_column: Some("patient_id".to_owned()),
    };
    let policies = vec!["own_hospital on public.patients".to_owned()];
    let facts =
        BeginFacts { objects: vec![object], policies, policy_epoch: Epoch(7), bypass: false, break_glass: None };
    token.begin(facts).unwrap()
}

/// The median and the 99th percentile, in milliseconds.
fn shown(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99))
}

/// One thread that appends a record's bytes and calls `fdatasync`, again and again.
fn bare(directory: &Path, time: Duration) -> f64 {
    let mut file = OpenOptions::new().create(true).append(true).open(directory.join("bare")).unwrap();
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        let begun = Instant::now();
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
        times.push(begun.elapsed());
    }
    shown(times).0
}

fn written(directory: &Path, writers: usize, time: Duration) {
    let bare = bare(directory, time);
    let (log, _) = AuditLog::open(config(&directory.join(format!("audit-{writers}"))), Arc::new(SystemClock)).unwrap();
    let before = log.stats();
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let writer = || {
            let (who, literals, mut times) = (who(), vec!["7".to_owned()], Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let token = begin(&log, &who, &literals);
                token.durable().wait().unwrap();
                times.push(begun.elapsed());
                token.end(DONE);
            }
            times
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(writer)).collect();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    log.flushed().wait().unwrap();
    let (stats, seconds) = (log.stats(), started.elapsed().as_secs_f64());
    let (records, syncs) = ((stats.records - before.records) as f64, (stats.syncs - before.syncs) as f64);
    let (median, most) = shown(times);
    println!(
        "| {writers} | {:.0} | {:.1} | {median:.2} | {most:.2} | {bare:.2} | {:.2} |",
        records / seconds,
        records / syncs,
        median / bare
    );
    log.shutdown().unwrap();
}

fn verified(directory: &Path, records: usize) {
    let directory = directory.join("verified");
    let (log, _) = AuditLog::open(config(&directory), Arc::new(SystemClock)).unwrap();
    let (who, literals) = (who(), vec!["7".to_owned()]);
    let started = Instant::now();
    for statement in 0..records / 2 {
        begin(&log, &who, &literals).end(DONE);
        if statement % 4_096 == 0 {
            log.flushed().wait().unwrap();
        }
    }
    log.flushed().wait().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    println!("\none thread that waits for none of them: {:.0} records a second", records as f64 / seconds);
    let bytes = log.stats().bytes;
    log.shutdown().unwrap();
    let trust = Trust { public_key: keys().public_key().unwrap(), heads: None };
    let rounds = (0..3).map(|_| {
        let started = Instant::now();
        let report = verify(&directory, &trust);
        assert_eq!(report.exit_code(), 0, "{report}");
        started.elapsed().as_secs_f64()
    });
    let seconds = rounds.fold(f64::INFINITY, f64::min);
    println!(
        "verify: {:.0} records a second, {:.0} MB/s, {:.0} bytes a record",
        records as f64 / seconds,
        bytes as f64 / seconds / 1e6,
        bytes as f64 / records as f64
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (time, records) = (Duration::from_secs(number(0, 5)), number(1, 1_000_000) as usize);
    let place = arguments.get(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(place).unwrap();
    println!(
        "| Writers | Records/s | Records a sync | BEGIN durable, median ms | p99 ms | bare fdatasync ms | ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    for writers in WRITERS {
        written(directory.path(), writers, time);
    }
    verified(directory.path(), records);
}
