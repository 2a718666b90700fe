//! Statements on their way from GetFlightInfo to DoGet, and while their rows are fetched.
//!
//! Invariant: a statement is handed out once, to the session that asked for it, within its ticket's life; until its last
//! row is fetched it can be cancelled, which ends it at once, whether or not anybody reads.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::{Stream, StreamExt};
use lakeward_base::SqlState;
use lakeward_engine::{Error, RowStream};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::prepared::{Bound, random_handle};
use crate::ticket::{LIFETIME_MS, spent};

/// Statements of one session that wait to be fetched.
const MAX_PENDING: usize = 256;

enum Stage {
    Waiting { bound: Bound, since: Instant },
    Running(Arc<Flow>),
}

impl Stage {
    fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Waiting { since, .. } => {
                now.saturating_duration_since(*since) >= Duration::from_millis(LIFETIME_MS.unsigned_abs())
            }
            Self::Running(_) => false,
        }
    }
}

/// The rows of one statement, until they are fetched or cancelled.
#[derive(Default)]
struct Flow {
    cancelled: CancellationToken,
    rows: Mutex<Option<RowStream>>,
}

type Stages = Mutex<HashMap<Vec<u8>, Stage>>;

/// The statements of one session.
#[derive(Default)]
pub(crate) struct PendingStatements {
    by_handle: Arc<Stages>,
}

impl PendingStatements {
    /// Keeps a statement and answers its handle.
    ///
    /// # Errors
    /// 54000 where too many wait.
    pub(crate) fn add(&self, bound: Bound, now: Instant) -> Result<Vec<u8>, Error> {
        self.sweep(now);
        let mut statements = self.by_handle.lock();
        if statements.len() >= MAX_PENDING {
            let message = format!("{MAX_PENDING} statements of this session wait to be fetched");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Call DoGet for them first."));
        }
        let handle = random_handle();
        statements.insert(handle.clone(), Stage::Waiting { bound, since: now });
        Ok(handle)
    }

    /// Hands a statement out, for the first and only time.
    ///
    /// # Errors
    /// 22023 where it was handed out already, or waited too long.
    pub(crate) fn take(&self, handle: &[u8], now: Instant) -> Result<(Bound, Running), Error> {
        let refused = || spent("the ticket was used already, or has expired");
        let mut statements = self.by_handle.lock();
        let waits = statements.get(handle).is_some_and(|stage| matches!(stage, Stage::Waiting { .. }));
        if !waits {
            return Err(refused());
        }
        let stage = statements.remove(handle).filter(|stage| !stage.is_over(now));
        let Some(Stage::Waiting { bound, .. }) = stage else { return Err(refused()) };
        let flow = Arc::new(Flow::default());
        statements.insert(handle.to_vec(), Stage::Running(Arc::clone(&flow)));
        Ok((bound, Running { stages: Arc::clone(&self.by_handle), handle: handle.to_vec(), flow }))
    }

    /// Cancels a statement that waits or runs; false where there is none, any more.
    pub(crate) fn cancel(&self, handle: &[u8]) -> bool {
        let stage = self.by_handle.lock().remove(handle);
        if let Some(Stage::Running(flow)) = &stage {
            flow.cancelled.cancel();
            // Ended now, and recorded so: nobody may ever read on.
            let rows = flow.rows.lock().take();
            drop(rows);
        }
        stage.is_some()
    }

    /// Forgets what has waited too long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_handle.lock().retain(|_, stage| !stage.is_over(now));
    }
}

/// A statement that runs. When it is dropped, it can no longer be cancelled.
pub(crate) struct Running {
    stages: Arc<Stages>,
    handle: Vec<u8>,
    flow: Arc<Flow>,
}

impl Running {
    /// Does `work`, unless the statement is cancelled first.
    ///
    /// # Errors
    /// 57014 where it is.
    pub(crate) async fn watched<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.flow.cancelled.cancelled() => Err(cancelled()),
            done = work => done,
        }
    }

    /// The rows, which a cancel ends with 57014.
    pub(crate) fn rows(self, rows: RowStream) -> CancellableRows {
        *self.flow.rows.lock() = Some(rows);
        if self.flow.cancelled.is_cancelled() {
            // It came in between: whoever cancelled has found no rows to drop.
            drop(self.flow.rows.lock().take());
        }
        let waiting = Box::pin(self.flow.cancelled.clone().cancelled_owned());
        CancellableRows { running: self, waiting, done: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut stages = self.stages.lock();
        if matches!(stages.get(&self.handle), Some(Stage::Running(flow)) if Arc::ptr_eq(flow, &self.flow)) {
            stages.remove(&self.handle);
        }
    }
}

/// Rows that can be cancelled from another call.
pub(crate) struct CancellableRows {
    running: Running,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
    done: bool,
}

impl Stream for CancellableRows {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        if this.waiting.as_mut().poll(context).is_ready() {
            this.done = true;
            return Poll::Ready(Some(Err(cancelled())));
        }
        let mut rows = this.running.flow.rows.lock();
        let polled = rows.as_mut().map_or(Poll::Pending, |rows| rows.poll_next_unpin(context));
        if matches!(polled, Poll::Ready(None)) {
            *rows = None;
            this.done = true;
        }
        polled
    }
}

fn cancelled() -> Error {
    Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

#[cfg(test)]
mod tests {
    use lakeward_base::Coded;
    use lakeward_engine::Prepared;
    use lakeward_engine::statement::parse;

    use super::*;

    fn bound() -> Bound {
        let statement = Arc::new(parse("SELECT 1").unwrap());
        Bound::plain(Arc::new(Prepared { statement, parameter_types: Vec::new(), columns: None }))
    }

    #[test]
    fn a_statement_is_handed_out_once() {
        let (statements, now) = (PendingStatements::default(), Instant::now());
        let handle = statements.add(bound(), now).unwrap();
        assert!(statements.take(b"another", now).is_err());
        let running = statements.take(&handle, now).unwrap();
        assert!(statements.take(&handle, now).is_err(), "while it runs");
        drop(running);
        assert!(statements.take(&handle, now).is_err(), "and after it");
    }

    #[test]
    fn it_expires_and_their_number_is_bounded() {
        let (statements, now) = (PendingStatements::default(), Instant::now());
        let handle = statements.add(bound(), now).unwrap();
        let later = now + Duration::from_secs(60);
        assert!(statements.take(&handle, later).is_err());
        for _ in 0..MAX_PENDING {
            statements.add(bound(), now).unwrap();
        }
        assert_eq!(statements.add(bound(), now).err().map(|e| e.sqlstate()), Some(SqlState::PROGRAM_LIMIT_EXCEEDED));
        assert!(statements.add(bound(), later).is_ok());
    }

    #[tokio::test]
    async fn it_can_be_cancelled_while_it_waits_and_while_it_runs() {
        let (statements, now) = (PendingStatements::default(), Instant::now());
        let handle = statements.add(bound(), now).unwrap();
        assert!(statements.cancel(&handle));
        assert!(!statements.cancel(&handle));
        assert!(statements.take(&handle, now).is_err());
        let handle = statements.add(bound(), now).unwrap();
        let (_, running) = statements.take(&handle, now).unwrap();
        assert!(statements.cancel(&handle));
        let outcome: Result<(), Error> = running.watched(std::future::pending()).await;
        assert_eq!(outcome.unwrap_err().sqlstate(), SqlState::QUERY_CANCELED);
    }
}
