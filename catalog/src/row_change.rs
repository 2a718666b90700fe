//! Changing rows that are there: what a statement found, what becomes of each row, and who has a say in it.
//!
//! A statement finds rows above the barrier, by the number of their file and their number in it, and computes new
//! values from what its principal sees. The store then rewrites those files below the barrier, asking a
//! [`ChangeGuard`] about each raw row. Invariant: a raw row reaches the guard and the store, never the statement.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use datafusion_common::{DataFusionError, Result};

use crate::store::RawTable;

/// The column that holds the number of a row's file. No statement can type it.
pub const FILE_COLUMN: &str = "\u{1}file";

/// The column that holds a row's number in its file.
pub const ROW_COLUMN: &str = "\u{1}row";

/// A table whose rows are numbered: the raw columns, then [`FILE_COLUMN`] and [`ROW_COLUMN`], both bigint.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// The table at one version, with the two columns at its end.
    pub raw: RawTable,
    /// What the numbers count in.
    pub base: ChangeBase,
}

/// The files that row numbers count in. Only the store that made it can look inside.
#[derive(Clone)]
pub struct ChangeBase(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for ChangeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangeBase")
    }
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowAction {
    /// It gets new values: pairs of a column of the table and the column of what was found that holds its value.
    Update(Vec<(usize, usize)>),
    /// It goes.
    Delete,
    /// There is a new row: for each column of the table, the column that holds its value; `None` is NULL.
    Insert(Vec<Option<usize>>),
}

/// A kind of row change, for the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowUse {
    /// A row gets new values.
    Update,
    /// A row goes.
    Delete,
    /// A row comes.
    Insert,
}

impl RowAction {
    /// Its kind.
    #[must_use]
    pub fn row_use(&self) -> RowUse {
        match self {
            Self::Update(_) => RowUse::Update,
            Self::Delete => RowUse::Delete,
            Self::Insert(_) => RowUse::Insert,
        }
    }
}

/// Decides about raw rows while they are changed.
pub trait ChangeGuard: Send + Sync {
    /// Which of the `old` rows may be updated or deleted; the others stay as they are.
    ///
    /// # Errors
    /// Where one may not, and the statement fails for it.
    fn permits(&self, row_use: RowUse, old: &RecordBatch) -> Result<BooleanArray>;

    /// Checks rows as they will be: NOT NULL, WITH CHECK.
    ///
    /// # Errors
    /// Where one may not be so.
    fn admits(&self, row_use: RowUse, new: &RecordBatch) -> Result<()>;

    /// A row was found twice: `None` goes on with what was found first.
    fn found_twice(&self) -> Option<DataFusionError>;
}

/// What a statement does to the rows of a table.
pub struct RowChanges {
    /// What was found: the row's file, its number (both NULL for new rows), the index of its action in `actions`, then
    /// the columns with values.
    pub found: Vec<RecordBatch>,
    /// The statement's actions.
    pub actions: Vec<RowAction>,
    /// What the numbers count in.
    pub base: ChangeBase,
    /// Who has a say.
    pub guard: Arc<dyn ChangeGuard>,
    /// `UPDATE`, `DELETE` or `MERGE`, for the table's history.
    pub operation: &'static str,
}

impl fmt::Debug for RowChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowChanges").field("operation", &self.operation).finish_non_exhaustive()
    }
}
