//! Signed heads, those kept elsewhere, proofs, heartbeats: what a log shows to somebody who does not trust its keeper.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use lakeward_base::Clock;
use lakeward_proto::{AuditHead, AuditRecord};
use prost::Message;

use super::*;
use crate::head::{self, Head};
use crate::segment::{self, Chain, MAGIC};
use crate::{HeadDirectory, prove};

fn head_of(directory: &Path) -> AuditHead {
    match head::read(directory).unwrap() {
        Head::Is(head) => head,
        Head::Missing | Head::Altered => panic!("no head"),
    }
}

fn write_head(directory: &Path, head: &AuditHead) {
    std::fs::write(head::path_of(directory), head::encode(head)).unwrap();
}

fn run_server(config: AuditConfig, statements: usize) {
    let (log, _) = open(config);
    (0..statements).for_each(|_| run_statement(&log).unwrap());
    log.shutdown().unwrap();
}

#[test]
fn a_head_that_is_not_signed_with_the_logs_key_is_forged() {
    let directory = tempfile::tempdir().unwrap();
    run_server(config(directory.path()), 3);
    let head = head_of(directory.path());
    assert!(head::is_signed(&head, &trust().public_key));
    assert_eq!(verify(directory.path()).exit_code(), 0);
    let other = AuditKeys { signing: Zeroizing::new([1; 32]), ..keys() };
    let resigned = |mut head: AuditHead| {
        let key = crate::keys::signing_key(&other).unwrap();
        head.signature = key.sign(head::statement(&head).as_bytes()).as_ref().to_vec();
        head
    };
    for (what, forged) in [
        ("another key", resigned(head.clone())),
        ("no signature", AuditHead { signature: Vec::new(), ..head.clone() }),
        ("fewer records", AuditHead { seq: head.seq - 1, ..head.clone() }),
        ("another root", AuditHead { tree_root: vec![0; 32], ..head.clone() }),
        ("another time", AuditHead { at_us: head.at_us + 1, ..head.clone() }),
        ("another server", resigned(AuditHead { node: "node-2".to_owned(), ..head.clone() })),
    ] {
        write_head(directory.path(), &forged);
        let report = verify(directory.path());
        assert_eq!(report.exit_code(), 2, "{what}: {report}");
    }
    write_head(directory.path(), &resigned(head.clone()));
    assert!(verify(directory.path()).to_string().contains("the head is forged"));
    // A server does not go on as if nothing were.
    let (log, recovery) = open(config(directory.path()));
    assert!(!recovery.clean && recovery.head_missing, "{recovery}");
    log.shutdown().unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 3);
}

#[test]
fn a_log_cut_back_together_with_its_head_contradicts_the_heads_kept_elsewhere() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let heads = HeadDirectory(elsewhere.path().to_owned());
    let config = || AuditConfig { heads: Some(heads.clone()), ..config(directory.path()) };
    run_server(config(), 3);
    let earlier = copy_directory(directory.path());
    run_server(config(), 3);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 2);
    let trust = Trust { heads: Some(heads.clone()), ..trust() };
    let verify_with = |directory: &Path| crate::verify(directory, &trust);
    assert_eq!(verify_with(directory.path()).exit_code(), 0);
    // By itself it is whole, as it was at its earlier end.
    assert_eq!(verify(earlier.path()).exit_code(), 0);
    let report = verify_with(earlier.path());
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(report.to_string().contains("are missing at the end: the head node-1-"), "{report}");
    // Written anew with the log's own key.
    let anew = tempfile::tempdir().unwrap();
    run_server(super::config(anew.path()), 7);
    let report = verify_with(anew.path());
    assert_eq!(report.exit_code(), 2, "{report}");
    assert!(report.to_string().contains("a head kept elsewhere"), "{report}");
    // A head that is none.
    let name = std::fs::read_dir(elsewhere.path()).unwrap().next().unwrap().unwrap().path();
    let genuine = std::fs::read(&name).unwrap();
    for at in [0, 9, 20, genuine.len() / 2, genuine.len() - 1] {
        let mut forged = genuine.clone();
        forged[at] ^= 4;
        std::fs::write(&name, forged).unwrap();
        let report = verify_with(directory.path());
        assert_eq!(report.exit_code(), 2, "byte {at}: {report}");
        assert!(report.to_string().contains("is forged"), "{report}");
    }
    // All of them are gone.
    let none = tempfile::tempdir().unwrap();
    let trust = Trust { heads: Some(HeadDirectory(none.path().to_owned())), ..trust.clone() };
    assert_eq!(crate::verify(directory.path(), &trust).exit_code(), 3);
}

#[test]
fn heads_that_cannot_be_kept_elsewhere_stop_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let heads = HeadDirectory(directory.path().join("none"));
    let (log, _) = open(AuditConfig { heads: Some(heads), head_ms: 5, publish_ms: 5, ..config(directory.path()) });
    wait_until("a failure", || log.stats().unpublished > 1);
    run_statement(&log).unwrap();
    log.shutdown().unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 0);
}

#[test]
fn every_record_can_be_proved_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    run_server(AuditConfig { segment_bytes: 2_000, ..config(directory.path()) }, 9);
    let size = head_of(directory.path()).seq;
    assert!(size > 18);
    for seq in 1..=size {
        let proof = prove(directory.path(), &seq.to_string(), &trust().public_key).unwrap();
        assert_eq!((proof.leaf_index, proof.tree_size), (seq - 1, size));
        assert_eq!(AuditRecord::decode(hex::decode(&proof.record).unwrap().as_slice()).unwrap().seq, seq);
        let by_id = prove(directory.path(), &proof.event_id, &trust().public_key).unwrap();
        assert_eq!(by_id.path, proof.path);
        assert!(crate::keys::is_signed(&trust().public_key, &proof.head, &hex::decode(&proof.signature).unwrap()));
    }
    let refused = |event: &str, key: &crate::PublicKey| prove(directory.path(), event, key).unwrap_err().to_string();
    assert!(refused("0", &trust().public_key).contains("no such record"));
    assert!(refused("1", &[3; 32]).contains("not signed"));
    let file = segment::path_of(directory.path(), 1);
    let mut content = std::fs::read(&file).unwrap();
    let at = content.len() - 50;
    content[at] ^= 1;
    std::fs::write(&file, content).unwrap();
    assert!(refused("1", &trust().public_key).contains("not as its head"));
}

/// A clock that is put forward by hand.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_700_000_000_000_000 + self.0.load(Ordering::SeqCst)).unwrap()
    }
}

const HOUR_US: i64 = 3_600_000_000;

#[test]
fn a_silence_that_no_heartbeat_explains_is_found() {
    for explained in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand::default());
        // The tender looks at the clock each 5 ms, or not before the end.
        let head_ms = if explained { 5 } else { HOUR_MS };
        let config = AuditConfig { heartbeat_ms: 60_000, head_ms, ..config(directory.path()) };
        let storage = Arc::new(faulty::Faulty::default());
        let (log, _) = AuditLog::open_on(storage, config, Arc::clone(&clock) as _).unwrap();
        run_statement(&log).unwrap();
        clock.0.store(HOUR_US, Ordering::SeqCst);
        if explained {
            wait_until("a heartbeat", || count(&rows(&log), "HEARTBEAT") > 0);
        }
        run_statement(&log).unwrap();
        log.shutdown().unwrap();
        let report = verify(directory.path());
        assert_eq!(report.exit_code(), if explained { 0 } else { 3 }, "{report}");
        let told = "no heartbeat for 3600 s after record 3, and nothing says why";
        assert_eq!(report.to_string().contains(told), !explained, "{report}");
    }
}

/// A log as a server wrote it before there were trees and signatures.
fn old_log(directory: &Path) {
    let record = |seq: u64, closing: bool| AuditRecord {
        version: 1,
        seq,
        phase: lakeward_proto::AuditPhase::Admin.into(),
        event_id: vec![1; 16],
        boot_id: vec![2; 16],
        at_us: 1_700_000_000_000_000,
        node: "node-1".to_owned(),
        closing,
        ..AuditRecord::default()
    };
    let (mut chain, mut tree) = (Chain::default(), crate::merkle::Tree::default());
    for number in 1..=2 {
        let mut content = segment::sealed_block(
            MAGIC,
            &lakeward_proto::AuditSegmentHeader {
                node: "node-1".to_owned(),
                boot_id: vec![2; 16],
                segment: number,
                first_seq: chain.seq + 1,
                prev_hash: chain.hash.to_vec(),
                oldest_open_segment: number,
                ..Default::default()
            },
        );
        for _ in 0..3 {
            let next = record(chain.seq + 1, chain.seq == 5);
            segment::push_frame(&mut content, &next, &mut chain, &mut tree);
        }
        std::fs::write(segment::path_of(directory, number), content).unwrap();
    }
    let (boot_id, hash) = (vec![2; 16], chain.hash.to_vec());
    let head =
        AuditHead { node: "node-1".to_owned(), boot_id, segment: 2, seq: 6, hash, closed: true, ..Default::default() };
    write_head(directory, &head);
}

#[test]
fn an_older_servers_log_is_read_and_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    old_log(directory.path());
    let report = verify(directory.path());
    assert_eq!((report.exit_code(), report.records), (0, 6), "{report}");
    let (log, recovery) = open(config(directory.path()));
    assert!(recovery.clean, "{recovery}");
    run_statement(&log).unwrap();
    assert_eq!(chained_rows(&log).len(), 9);
    log.shutdown().unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 0);
    let proof = prove(directory.path(), "2", &trust().public_key).unwrap();
    assert_eq!((proof.tree_size, proof.path.len()), (10, 4));
    // The second start finds the tree in the segments' headers.
    run_server(config(directory.path()), 2);
    assert_eq!(verify(directory.path()).exit_code(), 0);
}

#[test]
fn records_that_are_gone_leave_their_places_in_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let heads = tempfile::tempdir().unwrap();
    let config = || AuditConfig { heads: Some(HeadDirectory(heads.path().to_owned())), ..config(directory.path()) };
    run_server(config(), 2);
    let path = segment::path_of(directory.path(), 1);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..content.len() - 300]).unwrap();
    run_server(config(), 2);
    let trust = Trust { heads: Some(HeadDirectory(heads.path().to_owned())), ..trust() };
    let report = crate::verify(directory.path(), &trust);
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(report.to_string().contains("were missing at the restart"), "{report}");
    run_server(config(), 1);
    assert_eq!(crate::verify(directory.path(), &trust).exit_code(), 3);
    assert!(prove(directory.path(), "1", &trust.public_key).is_ok());
}

#[test]
fn a_head_is_written_after_so_many_records() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    (0..600).for_each(|_| drop(log.receive(who()).unwrap()));
    (0..600).for_each(|_| drop(log.receive(who()).unwrap()));
    log.flushed().wait().unwrap();
    wait_until("a head", || head_of(directory.path()).seq >= 1_024);
}
