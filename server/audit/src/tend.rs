//! The thread that tends the log beside the writer: the head file each second or 1,024 records, a heartbeat record each
//! minute, and the heads that are kept elsewhere.
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
use crate::publish;

/// A heartbeat that comes later than two of them and this after the last tells why.
const HEARTBEAT_SLACK: Duration = Duration::from_secs(30);

/// How long a log of this time between heartbeats may be silent.
pub(crate) fn longest_silence(heartbeat: Duration) -> Duration {
    heartbeat * 2 + HEARTBEAT_SLACK
}

/// The running thread.
pub(crate) struct Tender {
    thread: JoinHandle<()>,
    signal: Arc<Signal>,
}

/// What the thread waits for besides its time.
#[derive(Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    raised: bool,
}

impl Signal {
    /// Asks for a head now.
    pub(crate) fn raise(&self) {
        self.state.lock().raised = true;
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits; answers whether it is over.
    fn wait(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.stopped && !state.raised {
            self.changed.wait_for(&mut state, pause);
        }
        state.raised = false;
        state.stopped
    }
}

impl Tender {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, AuditError> {
        let (signal, log) = (Arc::clone(&shared.head_due), Arc::clone(shared));
        let thread = spawn("audit-tender", move || tend(&log), shared)?;
        Ok(Self { thread, signal })
    }

    /// Ends the thread.
    pub(crate) fn stop(self) {
        self.signal.stop();
        if self.thread.join().is_err() {
            tracing::error!("the thread that tends the audit log's head failed");
        }
    }
}

/// When there was a heartbeat last, by the machine's run and by the calendar, which goes on while it stands still.
struct LastBeat {
    ran: Instant,
    at_us: i64,
}

impl LastBeat {
    fn now(shared: &Shared) -> Self {
        Self { ran: Instant::now(), at_us: shared.clock.now().timestamp_micros() }
    }

    /// By the calendar.
    fn elapsed(&self, shared: &Shared) -> Duration {
        let micros = shared.clock.now().timestamp_micros().saturating_sub(self.at_us);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

fn tend(shared: &Shared) {
    let heartbeat = Duration::from_millis(shared.config.heartbeat_ms);
    let pause = Duration::from_millis(shared.config.head_ms.min(shared.config.heartbeat_ms));
    let publish_pause = Duration::from_millis(shared.config.publish_ms);
    let (mut last_beat, mut last_published) = (LastBeat::now(shared), None::<Instant>);
    let mut written: Option<Tip> = None;
    while !shared.head_due.wait(pause) {
        let tip = shared.tip();
        if written != Some(tip) {
            match write_head(shared) {
                Ok(()) => written = Some(tip),
                Err(error) => tracing::warn!(kind = ?error.kind(), "the audit log's head cannot be written"),
            }
        }
        if last_published.is_none_or(|last| last.elapsed() >= publish_pause) {
            last_published = Some(Instant::now());
            publish::publish(shared);
        }
        let silence = last_beat.elapsed(shared);
        let standstill = silence > longest_silence(heartbeat);
        // A log that cannot write would only pile them up; their absence is the evidence.
        if (last_beat.ran.elapsed() >= heartbeat || standstill) && shared.healthy() {
            last_beat = LastBeat::now(shared);
            let mut beat = plain_record(AuditPhase::Heartbeat, "", "");
            if standstill {
                beat.standstill_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                "no heartbeat for a while: the log could not be written, or the machine stood still"
                    .clone_into(&mut beat.detail);
            }
            shared.record(beat, None, 0);
        }
    }
}

/// Writes the head file as of now. Called by the tender, and by whoever opens or closes the log.
pub(crate) fn write_head(shared: &Shared) -> io::Result<()> {
    let _turn = shared.writing_head.lock();
    let content = head::encode(&shared.head(shared.tip()));
    shared.storage.replace(&head::path_of(&shared.config.directory), &content)
}
