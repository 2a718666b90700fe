//! The thread that the epoch loop runs on: a tick whenever there is something new, and at least every so often.
//!
//! Others reach the loop by sending it work ([`Runner::with`]), which runs between two epochs. So a view is made and dropped
//! at an epoch's edge, and nothing is locked while an epoch runs.
//!
//! Invariants: one epoch at a time; the queue of work is bounded; after an error of the store nothing runs any more.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lakeward_base::Clock;

use crate::epoch::Epochs;
use crate::error::StreamError;

/// Work that waits to be done between two epochs.
const QUEUE: usize = 64;

type Work = Box<dyn FnOnce(&mut Epochs) + Send>;

enum Message {
    Work(Work),
    Wake,
    Stop,
}

/// The running loop. Dropping it ends the loop after the epoch that is under way.
#[derive(Debug)]
pub struct Runner {
    queue: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the loop: for whoever appends to a source. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(SyncSender<Message>);

impl Waker {
    /// There is something new.
    pub fn wake(&self) {
        // A full queue wakes it as well.
        let _full_or_ended = self.0.try_send(Message::Wake);
    }
}

impl Runner {
    /// Starts the loop. An epoch takes what came within `gather`, so that many appends make one; where nobody wakes it, the
    /// loop looks every `interval`.
    ///
    /// # Errors
    /// [`StreamError::File`] where no thread can be started.
    pub fn start(
        epochs: Epochs,
        clock: Arc<dyn Clock>,
        gather: Duration,
        interval: Duration,
    ) -> Result<Self, StreamError> {
        let (queue, messages) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("streams".to_owned())
            .spawn(move || run(epochs, clock.as_ref(), &messages, gather, interval));
        Ok(Self { queue, thread: Some(thread.map_err(StreamError::file("start the epoch loop"))?) })
    }

    /// A handle to wake the loop with.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.queue.clone())
    }

    /// Runs `work` between two epochs, and waits for what it answers.
    ///
    /// # Errors
    /// [`StreamError::Busy`] where too much waits already, [`StreamError::Closed`] where the loop has ended.
    pub async fn with<T, F>(&self, work: F) -> Result<T, StreamError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Epochs) -> T + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let work = Box::new(move |epochs: &mut Epochs| {
            // Whoever asked may have left; the work is done all the same.
            let _left = answer.send(work(epochs));
        });
        match self.queue.try_send(Message::Work(work)) {
            Ok(()) => answered.await.map_err(|_| StreamError::Closed),
            Err(TrySendError::Full(_)) => Err(StreamError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StreamError::Closed),
        }
    }

    /// Whether the loop runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Where the loop has ended, nobody takes it.
        let _ended = self.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch loop ended by a panic");
        }
    }
}

fn run(mut epochs: Epochs, clock: &dyn Clock, messages: &Receiver<Message>, gather: Duration, interval: Duration) {
    loop {
        let begun = Instant::now();
        match epochs.tick(clock.now().timestamp_micros()) {
            // Something was there: there may be more, after what was gathered meanwhile.
            Ok(true) => {
                if !take(messages, &mut epochs, begun + gather, false) {
                    return;
                }
            }
            Ok(false) => {
                if !take(messages, &mut epochs, begun + interval, true) {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the epoch loop ended");
                return;
            }
        }
    }
}

/// Does the work that comes until `deadline`, or until it is woken; whether the loop goes on.
fn take(messages: &Receiver<Message>, epochs: &mut Epochs, deadline: Instant, wakes: bool) -> bool {
    loop {
        match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Message::Work(work)) => work(epochs),
            Ok(Message::Wake) if wakes => return true,
            Ok(Message::Wake) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}
