//! What the results of one batch of rows may take: a function's result is not charged to the memory pool.
//!
//! Invariant: a body that can make far more than it is given asks [`Room::holds`] before it allocates, and what each row
//! has made is taken off for the next.

use std::cell::Cell;

use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::Fault;
use crate::bounded::BATCH_BYTES;

/// Bytes that are left.
pub(super) struct Room(Cell<u64>);

impl Default for Room {
    fn default() -> Self {
        Self(Cell::new(BATCH_BYTES))
    }
}

impl Room {
    /// Refuses what has no room.
    ///
    /// # Errors
    /// 54000.
    pub(super) fn holds(&self, bytes: usize) -> Result<(), Fault> {
        if bytes as u64 <= self.0.get() {
            return Ok(());
        }
        Err(Fault::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "the results of a function would take too much memory"))
    }

    /// Takes off a row's result.
    ///
    /// # Errors
    /// 54000 where it has no room.
    pub(super) fn take(&self, result: &ScalarValue) -> Result<(), Fault> {
        let bytes = result.size();
        self.holds(bytes)?;
        self.0.set(self.0.get().saturating_sub(bytes as u64));
        Ok(())
    }

    /// Texts with a separator between them.
    ///
    /// # Errors
    /// 54000 where they have no room.
    pub(super) fn join(&self, texts: &[String], separator: &str) -> Result<String, Fault> {
        let between = separator.len().saturating_mul(texts.len().saturating_sub(1));
        self.holds(texts.iter().map(String::len).fold(between, usize::saturating_add))?;
        Ok(texts.join(separator))
    }
}
