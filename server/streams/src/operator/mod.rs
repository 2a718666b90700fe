//! The operators that a view is made of: from the rows of an epoch to the changes of the view.
//!
//! [`project`] makes rows of a stream into rows of the view; [`latest`] and [`aggregate`] keep one row for each key. Each
//! works on what it is given: no clock, no file, no other thread. What an operator has to remember goes out as
//! [`StateWrite`]s, which are committed with the epoch, and comes back by [`Operator::restore`].
//!
//! Invariant: the same state and the same input give the same output, whatever the epochs' sizes were before.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::decode::Rows;
use crate::error::StreamError;
use crate::row_id::RowId;

pub(crate) mod aggregate;
mod diff;
pub(crate) mod finish;
pub(crate) mod groups;
pub(crate) mod latest;
pub(crate) mod project;
pub(crate) mod window;

/// What happened to a row of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChangeKind {
    /// `+I`: it is new.
    Insert = 0,
    /// `-U`: it was so until now.
    UpdateBefore = 1,
    /// `+U`: it is so from now on.
    UpdateAfter = 2,
    /// `-D`: it is gone.
    Delete = 3,
}

impl ChangeKind {
    /// As `_op` shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    pub(crate) fn of(byte: u8) -> Result<Self, StreamError> {
        match byte {
            0 => Ok(Self::Insert),
            1 => Ok(Self::UpdateBefore),
            2 => Ok(Self::UpdateAfter),
            3 => Ok(Self::Delete),
            _ => Err(StreamError::Damaged { what: "a change is of no kind" }),
        }
    }
}

/// Changes of a view, in order.
#[derive(Clone)]
pub struct Changes {
    /// What happened to each row.
    pub kinds: Vec<ChangeKind>,
    /// The rows' ids.
    pub ids: Vec<RowId>,
    /// The rows.
    pub rows: RecordBatch,
    /// The keys under which rows are kept; empty where a view only ever gains rows.
    pub(crate) keys: Vec<Vec<u8>>,
}

impl Changes {
    pub(crate) fn none(schema: SchemaRef) -> Self {
        Self { kinds: Vec::new(), ids: Vec::new(), rows: RecordBatch::new_empty(schema), keys: Vec::new() }
    }
}

/// State to be kept, or no longer: the key and what goes with it.
pub(crate) type StateWrite = (Vec<u8>, Option<Vec<u8>>);

/// Why a view has no place for a row of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// All windows it belongs to were closed before it came.
    Late = 0,
    /// It has no event time, or one that no calendar has.
    NoEventTime = 1,
    /// An expression of the view fails for it (division by zero, a cast).
    Evaluation = 2,
}

/// What an operator is given.
pub(crate) struct Input<'a> {
    /// The stream's new rows.
    pub(crate) rows: &'a Rows,
    /// The watermark before them.
    pub(crate) watermark_before_us: Option<i64>,
    /// The watermark that they moved it to.
    pub(crate) watermark_us: Option<i64>,
    /// The epoch's time.
    pub(crate) now_us: i64,
}

/// What an operator made of it.
pub(crate) struct Output {
    /// What changed in the view.
    pub(crate) changes: Vec<Changes>,
    /// What is to be remembered.
    pub(crate) state: Vec<StateWrite>,
    /// Keys whose rows retention removes, without a word to subscribers.
    pub(crate) forgotten: Vec<Vec<u8>>,
    /// Rows of the input that found no place, each once.
    pub(crate) refused: Vec<(usize, Refusal)>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { changes: Vec::new(), state: Vec::new(), forgotten: Vec::new(), refused: Vec::new() }
    }
}

/// One view's computation.
pub(crate) trait Operator: Send {
    /// The view's columns.
    fn schema(&self) -> SchemaRef;

    /// Takes back what was remembered, before the first step.
    fn restore(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StreamError>;

    /// Takes an epoch's rows. After an error the operator's state is not to be used any more.
    fn step(&mut self, input: &Input<'_>, output: &mut Output) -> Result<(), StreamError>;

    /// Forgets some of what was last changed before `before_us`: a bounded part of its state at each call, in turn.
    fn expire(&mut self, before_us: i64, output: &mut Output);
}
