//! The writer thread: takes what is queued, writes it as frames, makes it durable with one `fdatasync`, says so.
//!
//! While one group is on its way to the disk, the next gathers in the queue: however many statements run, each waits for
//! one `fdatasync`, at most two. Nothing leaves memory before it is durable. After a failed write or `fdatasync` the
//! file's state is unknown: it is cut back to what was durable, and everything since is written anew to a new segment.
//!
//! Invariant: sequence numbers and hashes move on only after `fdatasync` succeeded, so a record keeps its place in the
//! chain through any number of failed attempts.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeward_proto::{AuditPhase, AuditRecord, AuditSegmentHeader};
use prost::Message;

use crate::error::AuditError;
use crate::log::{Shared, Tip, plain_record};
use crate::merkle::Tree;
use crate::queue::{Entry, Stop};
use crate::recovery::Survey;
use crate::segment::{self, Chain, MAGIC, MAX_RECORD_BYTES, push_frame, sealed_block};
use crate::stats::add;
use crate::storage::{LogFile, write_all};

/// Bytes after which a group is closed, to bound the time that its first record waits.
const GROUP_BYTES: usize = 4 << 20;
/// Room for the remark that parts of a record were left out.
const REMARK_BYTES: usize = 256;
/// A head is written after so many records, at the latest.
const RECORDS_PER_HEAD: u64 = 1_024;

/// The state of the writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    segment: Segment,
    chain: Chain,
    tree: Tree,
    /// Records since the last head was asked for.
    since_head: u64,
    pending: VecDeque<Entry>,
    /// Statements whose BEGIN is durable and whose END is not, with the segment of the BEGIN.
    open: HashMap<Vec<u8>, u64>,
    group: Vec<u8>,
    /// When the last attempt failed, if it did.
    failed: Option<Instant>,
    /// Whether space is short.
    low: bool,
}

/// The segment that is being written.
struct Segment {
    file: Box<dyn LogFile>,
    number: u64,
    /// Bytes that are durable.
    length: u64,
    holds_records: bool,
    /// Whether what lies beyond `length` is known: nothing.
    trusted: bool,
    /// Up to where space is set aside.
    reserved: u64,
}

impl Writer {
    /// Makes the first segment of this server's start.
    pub(crate) fn start(shared: Arc<Shared>, survey: &Survey) -> Result<Self, AuditError> {
        let (number, chain, open) = (survey.next_segment(), survey.continues_from(), survey.open_statements());
        let tree = survey.tree();
        let segment = create_segment(&shared, number, (chain, &tree), &open)
            .map_err(AuditError::file("make", &segment::path_of(&shared.config.directory, number)))?;
        let (pending, group) = (VecDeque::new(), Vec::new());
        Ok(Self { shared, segment, chain, tree, since_head: 0, pending, open, group, failed: None, low: false })
    }

    /// Works until the queue is stopped. Answers whether everything that was queued is durable.
    pub(crate) fn run(mut self) -> bool {
        let patience = Duration::from_millis(self.shared.config.retry_ms);
        loop {
            let taken = self.shared.queue.take(self.pending.len(), patience);
            self.pending.extend(taken.entries);
            if taken.stop == Some(Stop::Clean) {
                self.pending.push_back(Entry { record: Some(self.closing_record()), waiter: None });
            }
            let resting = self.failed.is_some_and(|since| since.elapsed() < patience);
            if resting && taken.stop.is_none() {
                self.disappoint();
            } else {
                self.attempt();
            }
            if let Some(stop) = taken.stop {
                return self.finish(stop);
            }
        }
    }

    fn closing_record(&self) -> Box<AuditRecord> {
        let mut record = plain_record(AuditPhase::Admin, "SHUTDOWN", "");
        self.shared.stamp(&mut record);
        record.at_us = self.shared.clock.now().timestamp_micros();
        record.closing = true;
        record
    }

    fn finish(self, stop: Stop) -> bool {
        let lost = self.pending.iter().filter(|entry| entry.record.is_some()).count();
        add(&self.shared.counters.lost, lost as u64);
        if lost == 0 && stop == Stop::Clean {
            self.shared.set_tip(Tip { closed: true, ..self.shared.tip() });
        }
        lost == 0
    }

    /// Tries to make everything that is pending durable.
    fn attempt(&mut self) {
        match self.write_pending() {
            Ok(()) => {
                self.failed = None;
                if self.shared.set_healthy(!self.low) == self.low {
                    tracing::warn!(healthy = !self.low, "the audit log's space changed");
                }
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(kind = ?error.kind(), "audit records cannot be made durable; statements are refused");
                }
                add(&self.shared.counters.failures, 1);
                self.shared.set_healthy(false);
                self.disappoint();
            }
        }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        if !self.segment.trusted {
            self.replace_segment()?;
        }
        self.low = self.space_is_low();
        if !self.low && self.segment.holds_records && self.segment.length >= self.shared.config.segment_bytes {
            self.roll();
        }
        while !self.pending.is_empty() {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes one group, and tells those who wait for it.
    fn write_group(&mut self) -> io::Result<()> {
        self.group.clear();
        let (mut chain, mut tree, mut entries, mut records) = (self.chain, self.tree.clone(), 0, 0);
        for entry in &mut self.pending {
            if self.group.len() >= GROUP_BYTES {
                break;
            }
            entries += 1;
            if let Some(record) = &mut entry.record {
                record.seq = chain.seq + 1;
                shorten(record);
                records += 1;
                push_frame(&mut self.group, record, &mut chain, &mut tree);
            }
        }
        if records > 0 {
            self.segment.trusted = false;
            write_all(self.segment.file.as_mut(), &self.group)?;
            self.segment.file.sync()?;
            self.segment.trusted = true;
            self.advance(chain, tree, records);
        }
        self.settle(entries);
        Ok(())
    }

    /// A group is durable.
    fn advance(&mut self, chain: Chain, tree: Tree, records: u64) {
        let bytes = self.group.len() as u64;
        self.chain = chain;
        self.segment.length += bytes;
        self.segment.holds_records = true;
        let (segment, length) = (self.segment.number, self.segment.length);
        let root = tree.root();
        self.tree = tree;
        self.shared.set_tip(Tip { segment, length, chain, root, closed: false });
        self.since_head += records;
        if self.since_head >= RECORDS_PER_HEAD {
            self.since_head = 0;
            self.shared.head_due.raise();
        }
        let counters = &self.shared.counters;
        add(&counters.records, records);
        add(&counters.bytes, bytes);
        add(&counters.syncs, 1);
    }

    /// The first `entries` of what was pending are durable.
    fn settle(&mut self, entries: usize) {
        for entry in self.pending.drain(..entries) {
            let mut begins = false;
            if let Some(record) = entry.record {
                begins = record.phase == i32::from(AuditPhase::Begin);
                if begins {
                    self.open.insert(record.statement_id, self.segment.number);
                } else {
                    self.open.remove(&record.statement_id);
                }
            }
            if let Some(waiter) = entry.waiter {
                // On a full disk the reserve is for those who already run: who only begins is refused.
                waiter.settle(!(begins && self.low));
            }
        }
    }

    /// Tells everybody who waits that it failed. Their records stay.
    fn disappoint(&mut self) {
        for entry in &mut self.pending {
            if let Some(waiter) = entry.waiter.take() {
                waiter.settle(false);
            }
        }
        self.pending.retain(|entry| entry.record.is_some());
    }

    /// Whether the disk is full or nearly so; sets space aside where there is some.
    fn space_is_low(&mut self) -> bool {
        let config = &self.shared.config;
        let scarce =
            self.shared.storage.available(&config.directory).map_or(true, |bytes| bytes < config.min_free_bytes);
        if scarce {
            return true;
        }
        let Segment { length, reserved, .. } = self.segment;
        if reserved.saturating_sub(length) >= config.reserve_bytes / 2 {
            return false;
        }
        match self.segment.file.reserve(length, config.reserve_bytes) {
            Ok(true) => self.segment.reserved = length + config.reserve_bytes,
            Ok(false) => self.segment.reserved = u64::MAX,
            Err(_) => return true,
        }
        false
    }

    /// Goes on in the next segment. Where that cannot be made, the current one goes on, and statements are refused.
    fn roll(&mut self) {
        match create_segment(&self.shared, self.segment.number + 1, (self.chain, &self.tree), &self.open) {
            Ok(segment) => {
                let mut sealed = std::mem::replace(&mut self.segment, segment);
                if sealed.file.release(sealed.length).is_err() {
                    tracing::warn!("space set aside for a sealed audit segment could not be given back");
                }
            }
            Err(error) => {
                tracing::error!(kind = ?error.kind(), "the next audit segment cannot be made");
                self.low = true;
            }
        }
    }

    /// Leaves a segment whose last write failed: cuts it back to what was durable, and goes on in a new one.
    fn replace_segment(&mut self) -> io::Result<()> {
        let (storage, directory) = (&self.shared.storage, &self.shared.config.directory);
        let mut number = self.segment.number;
        let path = segment::path_of(directory, number);
        if self.segment.holds_records {
            storage.truncate(&path, self.segment.length)?;
            number += 1;
        }
        self.segment = create_segment(&self.shared, number, (self.chain, &self.tree), &self.open)?;
        tracing::warn!(segment = number, "audit records go on in a new segment");
        Ok(())
    }
}

/// Keeps a record within what a frame may hold, leaving out no more than it must; only an absurd statement does not fit.
/// What it touched and whose rows these are is never left out: recovery and searches go by it.
fn shorten(record: &mut AuditRecord) {
    type Step = fn(&mut AuditRecord);
    const STEPS: [(&str, Step); 5] = [
        ("roles, policies", |record| {
            record.policies.clear();
            record.who.iter_mut().for_each(|who| who.roles.clear());
        }),
        ("columns", |record| {
            for object in &mut record.objects {
                object.projected.clear();
                object.filtered.clear();
                object.masked.clear();
            }
        }),
        ("text", |record| {
            record.statement.iter_mut().for_each(|asked| (asked.sealed, asked.sql_normalized) = Default::default());
        }),
        ("values", |record| {
            record.statement.iter_mut().for_each(|asked| (asked.value_tokens, asked.values_over) = (Vec::new(), true));
        }),
        ("subjects", |record| {
            record.disclosures.iter_mut().for_each(|shown| (shown.tokens, shown.over) = (Vec::new(), true));
        }),
    ];
    let mut left_out = Vec::new();
    for (what, leave_out) in STEPS {
        if record.encoded_len() <= MAX_RECORD_BYTES - REMARK_BYTES {
            break;
        }
        leave_out(record);
        left_out.push(what);
    }
    if !left_out.is_empty() {
        record.detail = format!("too long, left out: {}", left_out.join(", "));
    }
}

/// Makes a segment with its header, durably, with its reserve.
fn create_segment(
    shared: &Shared,
    number: u64,
    (chain, tree): (Chain, &Tree),
    open: &HashMap<Vec<u8>, u64>,
) -> io::Result<Segment> {
    let path = segment::path_of(&shared.config.directory, number);
    let header = sealed_block(
        MAGIC,
        &AuditSegmentHeader {
            node: shared.config.node.clone(),
            boot_id: shared.boot_id.as_bytes().to_vec(),
            segment: number,
            first_seq: chain.seq + 1,
            prev_hash: chain.hash.to_vec(),
            oldest_open_segment: open.values().copied().min().unwrap_or(number),
            created_at_us: shared.clock.now().timestamp_micros(),
            tree_peaks: tree.peaks(),
            heartbeat_ms: shared.config.heartbeat_ms,
            token_key: shared.tokens.fingerprint().to_vec(),
        },
    );
    let made = fill_segment(shared, &path, &header);
    if made.is_err() {
        // What may be left of it is overwritten by the next attempt, or repaired at the next start.
        let _ = shared.storage.remove(&path);
    }
    let (file, reserved) = made?;
    Ok(Segment { file, number, length: header.len() as u64, holds_records: false, trusted: true, reserved })
}

fn fill_segment(shared: &Shared, path: &std::path::Path, header: &[u8]) -> io::Result<(Box<dyn LogFile>, u64)> {
    let mut file = shared.storage.create(path)?;
    let reserve = shared.config.reserve_bytes;
    let reserved = if file.reserve(0, reserve)? { reserve } else { u64::MAX };
    write_all(file.as_mut(), header)?;
    file.sync()?;
    shared.storage.sync_directory(&shared.config.directory)?;
    Ok((file, reserved))
}
