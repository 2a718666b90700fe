//! The bounded queue between the statements' tokens and the writer thread.
//!
//! A token is promised room for the records that it may still make when it is handed out. So a statement that began can
//! always say how it ended, also when the disk is full, and nobody who ends one ever waits.
//!
//! Invariant: queued, written-but-not-durable and promised records together never exceed the capacity, except by the
//! few records that the log makes of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeward_base::Clock;
use lakeward_proto::AuditRecord;
use parking_lot::{Condvar, Mutex};

use crate::durable::Durable;
use crate::error::AuditError;
use crate::stats::{Counters, add};

/// Records that nobody waits for are written once there are this many, at the latest.
const GROUP_ENTRIES: usize = 1_024;

/// Something for the writer.
pub(crate) struct Entry {
    /// A record to write; `None` where somebody only waits for those before.
    pub(crate) record: Option<Box<AuditRecord>>,
    /// Who waits for it.
    pub(crate) waiter: Option<Durable>,
}

/// How the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With a closing record.
    Clean,
    /// Without: its owner went away.
    Abrupt,
}

/// What the writer takes at a time.
pub(crate) struct Taken {
    pub(crate) entries: Vec<Entry>,
    pub(crate) stop: Option<Stop>,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    capacity: usize,
    linger: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Entries that the writer holds.
    held: usize,
    /// Records that tokens may still make.
    promised: usize,
    poked: bool,
    /// Whether somebody waits for one of the entries.
    urgent: bool,
    stop: Option<Stop>,
}

impl Queue {
    pub(crate) fn new(capacity: usize, linger: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), capacity, linger, clock }
    }

    /// Sets room aside for `records` records.
    pub(crate) fn promise(&self, records: usize) -> Result<(), AuditError> {
        let mut state = self.state.lock();
        if state.stop.is_some() {
            return Err(AuditError::Closed);
        }
        if state.entries.len() + state.held + state.promised + records > self.capacity {
            return Err(AuditError::Busy);
        }
        state.promised += records;
        Ok(())
    }

    /// Queues a record, using up `promised` of what was promised (0: a record of the log's own). The time of the record
    /// is set here, so that times follow the records' order.
    pub(crate) fn push(
        &self,
        mut record: Box<AuditRecord>,
        waiter: Option<Durable>,
        promised: usize,
        counters: &Counters,
    ) {
        let mut state = self.state.lock();
        state.promised = state.promised.saturating_sub(promised);
        if state.stop.is_some() {
            drop(state);
            add(&counters.lost, 1);
            tracing::error!("an audit record came after the log was shut down and is lost");
            if let Some(waiter) = waiter {
                waiter.settle(false);
            }
            return;
        }
        record.at_us = self.clock.now().timestamp_micros();
        state.urgent |= waiter.is_some();
        // What nobody waits for wakes the writer once, not each time.
        let wakes = state.urgent || state.entries.is_empty() || state.entries.len() >= GROUP_ENTRIES;
        state.entries.push(Entry { record: Some(record), waiter });
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// Resolves once everything queued so far is durable.
    pub(crate) fn push_barrier(&self, waiter: Durable) {
        let mut state = self.state.lock();
        if state.stop.is_some() {
            drop(state);
            waiter.settle(false);
            return;
        }
        state.urgent = true;
        state.entries.push(Entry { record: None, waiter: Some(waiter) });
        drop(state);
        self.filled.notify_one();
    }

    /// Asks the writer for another attempt.
    pub(crate) fn poke(&self) {
        self.state.lock().poked = true;
        self.filled.notify_one();
    }

    /// Ends the queue: what is in it is still written, nothing more is taken. The first to say how, says it.
    pub(crate) fn stop(&self, stop: Stop) {
        self.state.lock().stop.get_or_insert(stop);
        self.filled.notify_one();
    }

    /// Waits for something to do, at most for `patience`. Records that nobody waits for linger for a moment: the END of one
    /// statement then shares its `fdatasync` with the BEGIN of the next, instead of delaying it by one. `held` is what the writer still holds from before.
    pub(crate) fn take(&self, held: usize, patience: Duration) -> Taken {
        let mut state = self.state.lock();
        state.held = held;
        if state.entries.is_empty() && state.stop.is_none() && !state.poked {
            self.filled.wait_for(&mut state, patience);
        }
        let deadline = Instant::now() + self.linger;
        while !state.urgent && state.stop.is_none() && (1..GROUP_ENTRIES).contains(&state.entries.len()) {
            if self.filled.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let entries = std::mem::take(&mut state.entries);
        state.urgent = false;
        state.held = held + entries.len();
        state.poked = false;
        Taken { entries, stop: state.stop }
    }

    /// Entries that wait to be made durable.
    pub(crate) fn depth(&self) -> usize {
        let state = self.state.lock();
        state.entries.len() + state.held
    }
}
