//! SQL cursors: a query that is open within a transaction block, and read a piece at a time.
//!
//! A cursor holds its query's stream, as a protocol's portal does: it is decided again wherever the catalog has changed,
//! runs while a statement fetches from it and within that statement's time, and keeps its audit record open until it is closed. A FETCH has a
//! record of its own. Invariant: a row counts in both records if, and only if, a FETCH has handed it out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use lakeward_audit::BeginFacts;
use lakeward_base::{Coded, Redacted, SqlState};
use tokio::sync::OwnedMutexGuard;

use crate::error::Error;
use crate::response::{RowStream, RowTag};
use crate::statement::Direction;
use crate::stream::{Deadline, Ending};

/// A cursor as its block keeps it.
#[derive(Clone)]
pub(crate) struct OpenCursor {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) binary: bool,
    /// What it reads, for the records of its fetches.
    pub(crate) facts: BeginFacts,
    /// Whether those are waited for.
    pub(crate) waited: bool,
    /// The statement, for its own session.
    pub(crate) text: Redacted<String>,
    pub(crate) opened_at: DateTime<Utc>,
    rows: Arc<tokio::sync::Mutex<Reader>>,
}

/// Where a cursor stands.
pub(crate) struct Reader {
    stream: RowStream,
    /// A batch of which some rows are handed out, and the first that is not.
    rest: Option<(RecordBatch, usize)>,
    /// The stream has ended, and must not be asked again.
    ended: bool,
    /// Rows that it has passed, handed out or not.
    position: u64,
    /// Rows that were taken from the stream and not handed out.
    withheld: Arc<AtomicU64>,
}

impl OpenCursor {
    /// A cursor over a stream, whose record does not count `withheld`.
    pub(crate) fn new(
        (name, binary): (String, bool),
        stream: RowStream,
        withheld: Arc<AtomicU64>,
        (facts, waited): (BeginFacts, bool),
        (text, opened_at): (Redacted<String>, DateTime<Utc>),
    ) -> Self {
        let schema = Arc::clone(stream.schema());
        let rows =
            Arc::new(tokio::sync::Mutex::new(Reader { stream, rest: None, ended: false, position: 0, withheld }));
        Self { name, schema, binary, facts, waited, text, opened_at, rows }
    }

    /// Reads on.
    ///
    /// # Errors
    /// 55006 where a fetch of it is under way.
    pub(crate) fn reader(&self) -> Result<OwnedMutexGuard<Reader>, Error> {
        Arc::clone(&self.rows).try_lock_owned().map_err(|_| {
            Error::new(SqlState::OBJECT_IN_USE, format!("cursor \"{}\" is already being fetched from", self.name))
        })
    }
}

/// How far a fetch goes: the rows that it passes over, then those that it hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    skip: u64,
    take: u64,
}

impl Reader {
    /// What a direction means here.
    ///
    /// # Errors
    /// 55000 where it leads back.
    pub(crate) fn stretch(&self, direction: Direction) -> Result<Stretch, Error> {
        match direction {
            Direction::All => Ok(Stretch { skip: 0, take: u64::MAX }),
            Direction::Forward(rows) => Ok(Stretch { skip: 0, take: rows }),
            Direction::By(rows) => Ok(Stretch { skip: rows.saturating_sub(1), take: 1 }),
            Direction::To(row) if row > self.position => {
                Ok(Stretch { skip: row.saturating_sub(self.position).saturating_sub(1), take: 1 })
            }
            Direction::To(_) | Direction::Backward => {
                Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward"))
            }
        }
    }

    /// Asks again whether its rows may be handed out.
    async fn recheck(&mut self) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        let checked = self.stream.recheck().await;
        if checked.is_err() {
            (self.rest, self.ended) = (None, true);
        }
        checked
    }

    /// The next rows, at most so many; `None` where there are no more.
    async fn next(&mut self, most: u64) -> Result<Option<RecordBatch>, Error> {
        if self.rest.is_some() {
            // They had waited here, perhaps for long.
            self.recheck().await?;
        }
        let (batch, first) = loop {
            match self.rest.take() {
                Some(rest) => break rest,
                None if self.ended => return Ok(None),
                None => match self.stream.next().await {
                    Some(Ok(batch)) if batch.num_rows() == 0 => {}
                    Some(Ok(batch)) => {
                        self.withheld.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                        self.rest = Some((batch, 0));
                    }
                    end => {
                        self.ended = true;
                        return end.transpose();
                    }
                },
            }
        };
        let left = batch.num_rows() - first;
        let count = usize::try_from(most).map_or(left, |most| most.min(left));
        let piece = batch.slice(first, count);
        if count < left {
            self.rest = Some((batch, first + count));
        }
        self.position = self.position.saturating_add(count as u64);
        Ok(Some(piece))
    }

    /// Rows of a stretch on their way out; those before it are passed over.
    async fn step(&mut self, stretch: &mut Stretch) -> Result<Option<RecordBatch>, Error> {
        while stretch.skip > 0 {
            match self.next(stretch.skip).await? {
                None => return Ok(None),
                Some(passed) => stretch.skip = stretch.skip.saturating_sub(passed.num_rows() as u64),
            }
        }
        if stretch.take == 0 {
            return Ok(None);
        }
        let piece = self.next(stretch.take).await?;
        if let Some(piece) = &piece {
            stretch.take = stretch.take.saturating_sub(piece.num_rows() as u64);
            self.withheld.fetch_sub(piece.num_rows() as u64, Ordering::Relaxed);
        }
        Ok(piece)
    }

    /// MOVE: passes over a stretch; answers how many rows FETCH would have handed out.
    pub(crate) async fn pass(&mut self, mut stretch: Stretch) -> Result<u64, Error> {
        let mut passed = 0;
        while stretch.skip > 0 {
            match self.next(stretch.skip).await? {
                None => return Ok(0),
                Some(piece) => stretch.skip = stretch.skip.saturating_sub(piece.num_rows() as u64),
            }
        }
        while passed < stretch.take {
            match self.next(stretch.take - passed).await? {
                None => break,
                Some(piece) => passed += piece.num_rows() as u64,
            }
        }
        Ok(passed)
    }
}

/// A FETCH under way.
struct Fetching {
    reader: OwnedMutexGuard<Reader>,
    stretch: Stretch,
    durable: Option<lakeward_audit::Durable>,
    deadline: Deadline,
    ending: Ending,
    done: bool,
}

impl Fetching {
    async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        if self.done {
            return None;
        }
        let deadline = self.deadline.clone();
        let step = deadline.enforce(self.step()).await;
        match &step {
            Ok(Some(batch)) => self.ending.count(batch),
            Ok(None) => self.finish(SqlState::SUCCESS),
            Err(error) => self.finish(error.sqlstate()),
        }
        step.transpose()
    }

    async fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        if let Some(durable) = &self.durable {
            durable.clone().await.map_err(|error| Error::from_coded(&error))?;
            self.durable = None;
        }
        if self.stretch.take == 0 {
            // What was handed out last may not have left.
            self.reader.recheck().await?;
        }
        self.reader.step(&mut self.stretch).await
    }

    fn finish(&mut self, sqlstate: SqlState) {
        self.done = true;
        self.ending.finish(sqlstate);
    }
}

/// Hands out a stretch of a cursor's rows.
///
/// # Errors
/// 55000 where the direction leads back, 55006 where a fetch is under way.
pub(crate) fn fetch(
    cursor: &OpenCursor,
    direction: Direction,
    mut ending: Ending,
    deadline: Deadline,
) -> Result<RowStream, Error> {
    let begun = cursor.reader().and_then(|reader| Ok((reader.stretch(direction)?, reader)));
    let (stretch, reader) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            ending.finish(error.sqlstate());
            return Err(error);
        }
    };
    let durable = if cursor.waited { ending.durable() } else { None };
    // Rows that have left the cursor may wait at the protocol's door.
    let watch = reader.stream.watch();
    let fetching = Fetching { reader, stretch, durable, deadline, ending, done: false };
    let batches = futures::stream::unfold(fetching, |mut fetching| async move {
        let item = fetching.next().await?;
        Some((item, fetching))
    });
    let stream = RowStream::watched(Arc::clone(&cursor.schema), RowTag::Fetch, batches.boxed(), watch);
    Ok(stream.in_binary(cursor.binary))
}
