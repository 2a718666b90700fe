//! What the metrics page shows of the log: plain counters, kept without locks.
//!
//! Invariant: numbers only; no label, so nothing about anybody.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of the log's counters since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditStats {
    /// Records made durable.
    pub records: u64,
    /// Bytes made durable.
    pub bytes: u64,
    /// Calls of `fdatasync` that succeeded; each made a group of records durable.
    pub syncs: u64,
    /// Attempts to make records durable that failed.
    pub failures: u64,
    /// Statements refused because the log was unavailable or its queue full.
    pub refused: u64,
    /// Records that could not be kept: the log had been shut down, or its queue was full.
    pub lost: u64,
    /// Heads that could not be kept in the second place.
    pub unpublished: u64,
    /// Records that wait to be made durable.
    pub queue_depth: u64,
    /// Number of the last durable record.
    pub last_seq: u64,
    /// Whether statements are accepted.
    pub healthy: bool,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) unpublished: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self, queue_depth: usize, last_seq: u64, healthy: bool) -> AuditStats {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuditStats {
            records: value(&self.records),
            bytes: value(&self.bytes),
            syncs: value(&self.syncs),
            failures: value(&self.failures),
            refused: value(&self.refused),
            lost: value(&self.lost),
            unpublished: value(&self.unpublished),
            queue_depth: queue_depth as u64,
            last_seq,
            healthy,
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
