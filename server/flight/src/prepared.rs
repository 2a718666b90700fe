//! Prepared statements of one session, and the parameters bound to them.
//!
//! Invariant: handles are random and of this session only; their number is bounded, and one that is not used is
//! forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use lakeward_base::SqlState;
use lakeward_engine::statement::{Kind, Transaction};
use lakeward_engine::{Error, Prepared, Request};
use parking_lot::Mutex;
use rand::RngCore;

/// Prepared statements of one session.
const MAX_PREPARED: usize = 1000;
/// A prepared statement that nobody has used for this long is forgotten.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A prepared statement with what is bound to it.
#[derive(Clone)]
pub(crate) struct Bound {
    /// The statement.
    pub(crate) prepared: Arc<Prepared>,
    /// Sets of values of `$1`, `$2`, …, one a row. Without one there is nothing bound.
    pub(crate) sets: Vec<RecordBatch>,
    /// There is no set, although they were sent: to be done for each of no rows.
    pub(crate) none: bool,
}

impl Bound {
    /// One that takes no parameters, or has not got them yet.
    pub(crate) fn plain(prepared: Arc<Prepared>) -> Self {
        Self { prepared, sets: Vec::new(), none: false }
    }

    /// Whether there are as many values as the statement takes: asked before it waits to be fetched. Their types are
    /// looked at when it runs.
    ///
    /// # Errors
    /// 08P01 where there are not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wanted = self.prepared.parameter_types.len();
        let filled = self.sets.iter().filter(|batch| batch.num_rows() > 0);
        let widths: Vec<usize> = filled.map(RecordBatch::num_columns).collect();
        let bound = widths.iter().find(|width| **width != wanted).or(widths.first()).copied().unwrap_or(0);
        if bound == wanted {
            return Ok(());
        }
        let message = format!("{bound} parameters are bound, but the statement takes {wanted}");
        let error = Error::new(SqlState::PROTOCOL_VIOLATION, message);
        Err(error.with_hint("Bind a value to each parameter before the statement is executed."))
    }

    /// Whether it is a COMMIT.
    pub(crate) fn is_commit(&self) -> bool {
        matches!(self.prepared.statement.kind, Kind::Transaction(Transaction::Commit))
    }

    /// To be run.
    pub(crate) fn request(self) -> Request {
        if self.none { Request::for_none(self.prepared) } else { Request::for_each(self.prepared, self.sets) }
    }
}

struct Kept {
    bound: Bound,
    last_used: Instant,
}

/// The prepared statements of one session.
#[derive(Default)]
pub(crate) struct PreparedStatements {
    by_handle: Mutex<HashMap<Vec<u8>, Kept>>,
}

impl PreparedStatements {
    /// Keeps a statement and answers its handle.
    ///
    /// # Errors
    /// 54000 where there are too many.
    pub(crate) fn add(&self, prepared: Arc<Prepared>, now: Instant) -> Result<Vec<u8>, Error> {
        self.sweep(now);
        let mut statements = self.by_handle.lock();
        if statements.len() >= MAX_PREPARED {
            let message = format!("a session has at most {MAX_PREPARED} prepared statements");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Close some of them."));
        }
        let handle = random_handle();
        statements.insert(handle.clone(), Kept { bound: Bound::plain(prepared), last_used: now });
        Ok(handle)
    }

    /// The statement of a handle.
    ///
    /// # Errors
    /// 26000 where there is none.
    pub(crate) fn find(&self, handle: &[u8], now: Instant) -> Result<Bound, Error> {
        let mut statements = self.by_handle.lock();
        let kept = statements.get_mut(handle).filter(|kept| !kept.is_over(now)).ok_or_else(unknown)?;
        kept.last_used = now;
        Ok(kept.bound.clone())
    }

    /// Binds sets of values to a statement, in place of those that were bound before.
    ///
    /// # Errors
    /// 26000 where there is none.
    pub(crate) fn bind(&self, handle: &[u8], sets: Vec<RecordBatch>, now: Instant) -> Result<(), Error> {
        let mut statements = self.by_handle.lock();
        let kept = statements.get_mut(handle).filter(|kept| !kept.is_over(now)).ok_or_else(unknown)?;
        kept.last_used = now;
        kept.bound.sets = sets;
        Ok(())
    }

    /// Forgets a statement; one that is unknown is none to forget.
    pub(crate) fn close(&self, handle: &[u8]) {
        self.by_handle.lock().remove(handle);
    }

    /// Forgets what has not been used for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_handle.lock().retain(|_, kept| !kept.is_over(now));
    }
}

impl Kept {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_used) >= IDLE_TIMEOUT
    }
}

fn unknown() -> Error {
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, "the prepared statement does not exist")
        .with_hint("It was closed, has expired, or is another session's.")
}

/// A handle that cannot be guessed.
pub(crate) fn random_handle() -> Vec<u8> {
    let mut handle = vec![0; 16];
    rand::rng().fill_bytes(&mut handle);
    handle
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::DataType;
    use lakeward_base::Coded;
    use lakeward_engine::statement::parse;

    use super::*;

    fn prepared(parameter_types: Vec<DataType>) -> Arc<Prepared> {
        Arc::new(Prepared { statement: Arc::new(parse("SELECT 1").unwrap()), parameter_types, columns: None })
    }

    fn rows(columns: usize, rows: usize) -> RecordBatch {
        let column = || Arc::new(Int32Array::from(vec![1; rows])) as ArrayRef;
        RecordBatch::try_from_iter((0..columns).map(|index| (index.to_string(), column()))).unwrap()
    }

    #[test]
    fn as_many_values_are_bound_as_the_statement_takes() {
        let takes_one = |sets| Bound { sets, ..Bound::plain(prepared(vec![DataType::Int32])) }.check();
        assert!(takes_one(vec![rows(1, 2), rows(1, 3)]).is_ok());
        assert!(Bound::plain(prepared(Vec::new())).check().is_ok());
        for wrong in [vec![], vec![rows(1, 0)], vec![rows(2, 1)], vec![rows(1, 1), rows(2, 1)]] {
            assert_eq!(takes_one(wrong).unwrap_err().sqlstate(), SqlState::PROTOCOL_VIOLATION);
        }
    }

    #[test]
    fn what_is_not_used_expires() {
        let (statements, now) = (PreparedStatements::default(), Instant::now());
        let handle = statements.add(prepared(Vec::new()), now).unwrap();
        let (half, late) = (now + IDLE_TIMEOUT / 2, now + IDLE_TIMEOUT / 2 * 3);
        assert!(statements.find(&handle, half).is_ok());
        assert_eq!(statements.find(&handle, late).err().unwrap().sqlstate(), SqlState::INVALID_SQL_STATEMENT_NAME);
        assert!(statements.bind(&handle, Vec::new(), late).is_err());
        statements.sweep(late);
        assert!(statements.find(&handle, half).is_err());
    }
}
