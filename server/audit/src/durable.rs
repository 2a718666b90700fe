//! Waiting for a record to be on the disk, from async code or from a thread.
//!
//! Not tied to any runtime: a list of wakers, woken once by the writer thread after its `fdatasync`.
//!
//! Invariant: settled once; what was said first stays.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use parking_lot::Mutex;

use crate::error::AuditError;

/// Resolves once a record is on the disk, or certain not to be in time. Clones wait for the same record.
#[derive(Clone)]
pub struct Durable(Arc<Mutex<State>>);

enum State {
    Waiting(Vec<Waker>),
    Settled { durable: bool },
}

impl Durable {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Waiting(Vec::new()))))
    }

    /// Says how it went, and wakes everybody. Only the first call counts.
    pub(crate) fn settle(&self, durable: bool) {
        let mut state = self.0.lock();
        if let State::Waiting(wakers) = &mut *state {
            let wakers = std::mem::take(wakers);
            *state = State::Settled { durable };
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Waits on the current thread. Not for async code.
    pub fn wait(&self) -> Result<(), AuditError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match self.look(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => thread::park(),
            }
        }
    }

    fn look(&self, context: &mut Context<'_>) -> Poll<Result<(), AuditError>> {
        match &mut *self.0.lock() {
            State::Settled { durable: true } => Poll::Ready(Ok(())),
            State::Settled { durable: false } => Poll::Ready(Err(AuditError::Unavailable)),
            State::Waiting(wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Future for Durable {
    type Output = Result<(), AuditError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.look(context)
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Durable")
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
