//! What one batch of rows may take of memory and time: a function's result is not charged to the memory pool, and the
//! function is not asked to give way.
//!
//! Invariant: a body that can make far more than it is given asks [`Room::holds`] before it allocates, and what each row
//! has made is taken off for the next.

use std::cell::Cell;
use std::time::{Duration, Instant};

use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::Fault;
use crate::bounded::BATCH_BYTES;

/// How long one batch may take: nothing stops a function in the midst of it.
const BATCH_TIME: Duration = Duration::from_secs(60);

/// Bytes that are left, and since when they are used.
pub(super) struct Room {
    left: Cell<u64>,
    begun: Instant,
}

impl Default for Room {
    fn default() -> Self {
        Self { left: Cell::new(BATCH_BYTES), begun: Instant::now() }
    }
}

impl Room {
    /// Refuses what has taken too long: for loops whose steps are many times the length of what they are given.
    ///
    /// # Errors
    /// 54000.
    pub(super) fn lasts(&self) -> Result<(), Fault> {
        if self.begun.elapsed() < BATCH_TIME {
            return Ok(());
        }
        Err(Fault::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a function takes too much time"))
    }

    /// Refuses what has no room.
    ///
    /// # Errors
    /// 54000.
    pub(super) fn holds(&self, bytes: usize) -> Result<(), Fault> {
        if bytes as u64 <= self.left.get() {
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
        self.left.set(self.left.get().saturating_sub(bytes as u64));
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
