//! The thread that tends the log beside the writer: the head file each second, a heartbeat record each minute.
//!
//! Its own thread, so that the head's `fsync` delays no group of records.
//!
//! Invariant: the head never vouches for a record that is not durable.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lakeward_proto::AuditPhase;
use parking_lot::{Condvar, Mutex};

use crate::error::AuditError;
use crate::head;
use crate::log::{Shared, Tip, plain_record, spawn};

/// The running thread.
pub(crate) struct Tender {
    thread: JoinHandle<()>,
    signal: Arc<Signal>,
}

#[derive(Default)]
struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Tender {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, AuditError> {
        let signal = Arc::<Signal>::default();
        let (theirs, log) = (Arc::clone(&signal), Arc::clone(shared));
        let thread = spawn("audit-tender", move || tend(&log, &theirs), shared)?;
        Ok(Self { thread, signal })
    }

    /// Ends the thread.
    pub(crate) fn stop(self) {
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread that tends the audit log's head failed");
        }
    }
}

fn tend(shared: &Shared, signal: &Signal) {
    let heartbeat = Duration::from_millis(shared.config.heartbeat_ms);
    let pause = Duration::from_millis(shared.config.head_ms.min(shared.config.heartbeat_ms));
    let mut last_beat = Instant::now();
    let mut written: Option<Tip> = None;
    loop {
        let mut stopped = signal.stopped.lock();
        if !*stopped {
            signal.changed.wait_for(&mut stopped, pause);
        }
        if *stopped {
            return;
        }
        drop(stopped);
        let tip = shared.tip();
        if written != Some(tip) {
            match write_head(shared) {
                Ok(()) => written = Some(tip),
                Err(error) => tracing::warn!(kind = ?error.kind(), "the audit log's head cannot be written"),
            }
        }
        if last_beat.elapsed() >= heartbeat {
            last_beat = Instant::now();
            // A log that cannot write would only pile them up; their absence is the evidence.
            if shared.healthy() {
                shared.record(plain_record(AuditPhase::Heartbeat, "", ""), None, 0);
            }
        }
    }
}

/// Writes the head file as of now. Called by the tender, and by whoever opens or closes the log.
pub(crate) fn write_head(shared: &Shared) -> io::Result<()> {
    let _turn = shared.writing_head.lock();
    let content = head::encode(&shared.head(shared.tip()));
    shared.storage.replace(&head::path_of(&shared.config.directory), &content)
}
