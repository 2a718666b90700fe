//! Rows on their way out: held until the audit record is durable, counted, and ended exactly once.
//!
//! The query runs on the query runtime and fills a short queue ([`handover`]), so that reading starts at once; the queue
//! is not emptied before the BEGIN record is durable. Invariant: no batch leaves before that; end, error and drop all end the
//! audit token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::util::display::FormatOptions;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use lakeward_audit::{Audit, Begun, Outcome, SubjectFacts};
use lakeward_base::{Coded, SqlState};
use lakeward_govern::{Subjects, TableSubjects};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::Slot;
use crate::engine::Engine;
use crate::error::Error;
use crate::handover::{self, Held, Pace, Step};
use crate::limits::ResultLimit;
use crate::publish;
use crate::response::{RowStream, RowTag};
use crate::tally::Counted;
use crate::watch::{SharedWatch, Watch};

/// What does not fit is an error, never a NULL.
const EXACT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

/// When a statement must stop: its time-out, and the user's cancel.
#[derive(Clone)]
pub(crate) struct Deadline {
    pub(crate) at: Option<Instant>,
    pub(crate) cancelled: CancellationToken,
    /// It is the transaction's time that is over then, not the statement's.
    ends_transaction: bool,
    gate: Arc<AtomicU8>,
}

/// The gate of a [`Deadline`]: whether what it bounds may be stopped, may not, may not although it should be, or was.
const OPEN: u8 = 0;
const HELD: u8 = 1;
const OVERDUE: u8 = 2;
const STOPPED: u8 = 3;

impl Deadline {
    pub(crate) fn new(timeout: Option<Duration>, cancelled: CancellationToken) -> Self {
        let at = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { at, cancelled, ends_transaction: false, gate: Arc::default() }
    }

    /// The same, no later than its transaction must end.
    pub(crate) fn within(self, transaction: Option<std::time::Instant>) -> Self {
        match transaction.map(Instant::from_std) {
            Some(end) if self.at.is_none_or(|at| end < at) => Self { at: Some(end), ends_transaction: true, ..self },
            _ => self,
        }
    }

    /// Whether the work may go on: for what does not wait for anything, and so is not stopped by
    /// [`enforce`](Self::enforce).
    ///
    /// # Errors
    /// 57014 where nobody waits for it any more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancelled.is_cancelled() { Err(cancelled("canceling statement due to user request")) } else { Ok(()) }
    }

    /// From here on the work is not stopped: a commit begins.
    ///
    /// # Errors
    /// 57014 where it was stopped before.
    pub(crate) fn hold(&self) -> Result<(), Error> {
        self.step(OPEN, HELD)
    }

    /// The commit came to nothing: the work may be stopped again.
    ///
    /// # Errors
    /// 57014 where it should have been stopped meanwhile.
    pub(crate) fn release(&self) -> Result<(), Error> {
        self.step(HELD, OPEN)
    }

    /// The same time-out and cancel for the parts of some work that does not stop elsewhere.
    pub(crate) fn of_parts(&self) -> Self {
        Self { gate: Arc::default(), ..self.clone() }
    }

    fn step(&self, from: u8, to: u8) -> Result<(), Error> {
        let stepped = self.gate.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        stepped.map(drop).map_err(|_| cancelled("canceling statement due to user request"))
    }

    /// Whether the work stops.
    fn stop(&self) -> bool {
        let before = self.gate.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |gate| match gate {
            OPEN | STOPPED => Some(STOPPED),
            _ => Some(OVERDUE),
        });
        matches!(before, Ok(OPEN | STOPPED))
    }

    /// Runs `work` until it is done, cancelled or too late.
    pub(crate) async fn enforce<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = async {
            match self.at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let mut work = std::pin::pin!(work);
        let error = tokio::select! {
            biased;
            () = self.cancelled.cancelled() => cancelled("canceling statement due to user request"),
            () = late => self.too_late(),
            done = &mut work => return done,
        };
        if !self.stop() {
            return work.await;
        }
        // What cannot be dropped in the midst of its work looks for this.
        self.cancelled.cancel();
        Err(error)
    }

    fn too_late(&self) -> Error {
        if self.ends_transaction {
            return transaction_timed_out();
        }
        cancelled("canceling statement due to statement timeout")
    }
}

/// `25P04`, as PostgreSQL 17 says it.
pub(crate) fn transaction_timed_out() -> Error {
    Error::new(SqlState::TRANSACTION_TIMEOUT, "terminating connection due to transaction timeout")
}

fn cancelled(message: &str) -> Error {
    Error::new(SqlState::QUERY_CANCELED, message)
}

/// The audit's end of a statement, whichever way it ends.
pub(crate) struct Ending {
    audit: Option<Audit<Begun>>,
    counted: Counted,
    rows: u64,
    bytes: u64,
    /// What is recorded where nobody says how it ended.
    dropped: SqlState,
    /// Rows that were counted and not handed out: those of a cursor, whose record stays open until it is closed.
    withheld: Option<Arc<AtomicU64>>,
    /// The right to run, until the end.
    slot: Option<Arc<Slot>>,
    /// Whose rows have been read.
    subjects: Option<Arc<Subjects>>,
}

impl Ending {
    pub(crate) fn new(audit: Audit<Begun>, counted: Counted) -> Self {
        let dropped = SqlState::QUERY_CANCELED;
        Self { audit: Some(audit), counted, rows: 0, bytes: 0, dropped, withheld: None, slot: None, subjects: None }
    }

    /// The record tells whose rows were read.
    pub(crate) fn tells(&mut self, subjects: Arc<Subjects>) {
        self.subjects = Some(subjects);
    }

    /// Keeps the right to run for as long as the statement does.
    pub(crate) fn holds(&mut self, slot: Option<Arc<Slot>>) {
        self.slot = slot;
    }

    /// The statement has been answered, and its outcome is its block's to decide: unless it is said, it is rolled back.
    pub(crate) fn waits(&mut self) {
        self.dropped = crate::pending::ROLLED_BACK;
        self.slot = None;
        self.counted.rest();
    }

    /// The statement is a cursor's: it ends well, whenever it is closed.
    pub(crate) fn lasts(&mut self, withheld: Arc<AtomicU64>) {
        self.dropped = SqlState::SUCCESS;
        self.withheld = Some(withheld);
        self.counted.rest();
    }

    /// The record, to be ended elsewhere; what stays behind has none.
    pub(crate) fn take(&mut self) -> Self {
        let (audit, withheld, counted) = (self.audit.take(), self.withheld.take(), self.counted.clone());
        let (slot, subjects) = (self.slot.take(), self.subjects.take());
        Self { audit, counted, rows: self.rows, bytes: self.bytes, dropped: self.dropped, withheld, slot, subjects }
    }

    /// A commit was made: the record tells the version.
    pub(crate) fn committed(&mut self, object: &str, version: u64) {
        if let Some(audit) = &mut self.audit {
            audit.committed(object, i64::try_from(version).unwrap_or(i64::MAX));
        }
    }

    /// Resolves when the BEGIN record is on disk; `None` where the statement has ended.
    pub(crate) fn durable(&self) -> Option<lakeward_audit::Durable> {
        self.audit.as_ref().map(Audit::durable)
    }

    pub(crate) fn count(&mut self, batch: &RecordBatch) {
        (self.rows, self.bytes) = self.with(batch);
    }

    /// Rows and bytes that have left once `batch` has.
    fn with(&self, batch: &RecordBatch) -> (u64, u64) {
        (self.rows + batch.num_rows() as u64, self.bytes + batch.get_array_memory_size() as u64)
    }

    pub(crate) fn finish(&mut self, sqlstate: SqlState) {
        self.slot = None;
        if let Some(mut audit) = self.audit.take() {
            let withheld = self.withheld.take().map_or(0, |rows| rows.load(Ordering::Relaxed));
            self.rows = self.rows.saturating_sub(withheld);
            self.counted.finish(sqlstate, self.rows);
            let subjects = self.subjects.take();
            audit.disclosed(subjects.map(|subjects| subject_facts(&subjects, self.rows > 0)).unwrap_or_default());
            audit.end(Outcome { sqlstate, rows: self.rows, bytes: self.bytes });
        }
    }

    /// Ends a statement that wrote rows rather than returning them.
    pub(crate) fn wrote(&mut self, rows: u64) {
        self.rows = rows;
        self.finish(SqlState::SUCCESS);
    }
}

/// Whose rows were read. Those that were read are told whether or not a row came of it: that none did, an error, and rows
/// that a later statement of the block shows before it is rolled back, all tell of them. A table that was never scanned
/// is told only where a row left, which its statistics may have made.
pub(crate) fn subject_facts(subjects: &Subjects, rows_left: bool) -> Vec<SubjectFacts> {
    let told = |table: &TableSubjects| table.scanned || rows_left;
    let facts = |TableSubjects { table, version, subjects, over, scanned: _ }| {
        let version = i64::try_from(version).ok();
        SubjectFacts { object: table, version, subjects, over }
    };
    subjects.take().into_iter().filter(told).map(facts).collect()
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.finish(self.dropped);
    }
}

/// A task that stops when nobody wants its rows any more.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Outgoing {
    queue: mpsc::Receiver<Step>,
    /// A cursor's: its next batch is made when it is asked for.
    wanted: Option<Arc<Semaphore>>,
    /// What is being sent: its memory is reserved until the next batch is asked for.
    held: Option<Held>,
    _task: AbortOnDrop<()>,
    _stop: DropGuard,
    durable: Option<lakeward_audit::Durable>,
    deadline: Deadline,
    ending: Ending,
    schema: SchemaRef,
    watch: Option<SharedWatch>,
    limit: ResultLimit,
    done: bool,
}

impl Outgoing {
    async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        if self.done {
            return None;
        }
        let deadline = self.deadline.clone();
        let step = deadline.enforce(self.step()).await;
        match &step {
            Ok(Some(batch)) => self.ending.count(batch),
            // A cursor's last rows may not be handed out yet.
            Ok(None) if self.ending.withheld.is_some() => {
                self.done = true;
                self.ending.holds(None);
            }
            Ok(None) => self.finish(SqlState::SUCCESS),
            Err(error) => self.finish(error.sqlstate()),
        }
        step.transpose()
    }

    async fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        self.held = None;
        if let Some(durable) = &self.durable {
            durable.clone().await.map_err(|error| Error::from_coded(&error))?;
            self.durable = None;
        }
        self.still_allowed().await?;
        if let Some(wanted) = &self.wanted
            && self.queue.is_empty()
            && wanted.available_permits() == 0
        {
            wanted.add_permits(1);
        }
        match self.queue.recv().await {
            None => Err(publish::incident("execution", "panic")),
            Some(Err(error)) => Err(publish::execution(&error)),
            Some(Ok(None)) => Ok(None),
            Some(Ok(Some(held))) => {
                // It may have been a long wait.
                self.still_allowed().await?;
                let published = self.published(&held.batch)?;
                self.held = Some(held);
                let (rows, bytes) = self.ending.with(&published);
                self.limit.check(rows, bytes)?;
                Ok(Some(published))
            }
        }
    }

    async fn still_allowed(&self) -> Result<(), Error> {
        match &self.watch {
            Some(watch) => watch.lock().await.check().await,
            None => Ok(()),
        }
    }

    /// A batch as it leaves: it is compact already.
    fn published(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let settled = |(column, field): (&ArrayRef, &FieldRef)| {
            // A timestamp is in microseconds, whatever the function that made it counts in.
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &EXACT)
            }
        };
        let columns: Result<Vec<ArrayRef>, _> = batch.columns().iter().zip(self.schema.fields()).map(settled).collect();
        let columns = columns.map_err(|error| publish::execution(&error.into()))?;
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(|error| publish::execution(&error.into()))
    }

    fn finish(&mut self, sqlstate: SqlState) {
        self.done = true;
        self.queue.close();
        self.held = None;
        self.ending.finish(sqlstate);
    }
}

/// Rows that can be handed out.
pub(crate) struct Started {
    pub(crate) rows: SendableRecordBatchStream,
    pub(crate) schema: SchemaRef,
    pub(crate) tag: RowTag,
    /// Where false, neither the lake nor the audit is read, and the audit record is queued but not waited for.
    pub(crate) waited: bool,
    /// Looks after them until they have left.
    pub(crate) watch: Option<Watch>,
    /// How many there may be.
    pub(crate) limit: ResultLimit,
}

/// Starts the rows on the query runtime and hands out their batches once the audit record is durable.
pub(crate) fn start(started: Started, ending: Ending, deadline: Deadline, engine: &Engine) -> RowStream {
    let shared = &engine.shared;
    let (runtime, memory) = (&shared.parts.query_runtime, shared.templates.memory());
    let Started { rows, schema, tag, waited, watch, limit } = started;
    let watch = watch.map(|watch| Arc::new(tokio::sync::Mutex::new(watch)));
    let durable = if waited { ending.durable() } else { None };
    let wanted = ending.withheld.is_some().then(|| Arc::new(Semaphore::new(0)));
    let pace = wanted.clone().map_or(Pace::Ahead, Pace::OnDemand);
    let (queue, pump) = handover::queue(rows, memory, pace);
    let task = runtime.spawn(pump);
    let outgoing = Outgoing {
        queue,
        wanted,
        held: None,
        _task: AbortOnDrop(task),
        _stop: deadline.cancelled.clone().drop_guard(),
        durable,
        deadline,
        ending,
        schema: Arc::clone(&schema),
        watch: watch.clone(),
        limit,
        done: false,
    };
    let batches = futures::stream::unfold(outgoing, |mut outgoing| async move {
        let item = outgoing.next().await?;
        Some((item, outgoing))
    });
    RowStream::watched(schema, tag, batches.boxed(), watch)
}
