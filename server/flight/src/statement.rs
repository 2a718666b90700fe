//! Statements on their way from GetFlightInfo to DoGet.
//!
//! Invariant: a statement is handed out once, to the session that asked for it, within its ticket's life.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lakeward_base::SqlState;
use lakeward_engine::Error;
use parking_lot::Mutex;

use crate::prepared::{Bound, random_handle};
use crate::ticket::{LIFETIME_MS, spent};

/// Statements of one session that wait to be fetched.
const MAX_PENDING: usize = 256;

struct Pending {
    bound: Bound,
    since: Instant,
}

impl Pending {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= Duration::from_millis(LIFETIME_MS.unsigned_abs())
    }
}

/// The waiting statements of one session.
#[derive(Default)]
pub(crate) struct PendingStatements {
    by_handle: Mutex<HashMap<Vec<u8>, Pending>>,
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
        statements.insert(handle.clone(), Pending { bound, since: now });
        Ok(handle)
    }

    /// Hands a statement out, for the first and only time.
    ///
    /// # Errors
    /// 22023 where it was handed out already, or waited too long.
    pub(crate) fn take(&self, handle: &[u8], now: Instant) -> Result<Bound, Error> {
        let pending = self.by_handle.lock().remove(handle).filter(|pending| !pending.is_over(now));
        pending.map(|pending| pending.bound).ok_or_else(|| spent("the ticket was used already, or has expired"))
    }

    /// Forgets what has waited too long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_handle.lock().retain(|_, pending| !pending.is_over(now));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lakeward_base::Coded;
    use lakeward_engine::Prepared;
    use lakeward_engine::statement::parse;

    use super::*;

    fn bound() -> Bound {
        let statement = Arc::new(parse("SELECT 1").unwrap());
        Bound {
            prepared: Arc::new(Prepared { statement, parameter_types: Vec::new(), columns: None }),
            parameters: Vec::new(),
        }
    }

    #[test]
    fn a_statement_is_handed_out_once() {
        let (statements, now) = (PendingStatements::default(), Instant::now());
        let handle = statements.add(bound(), now).unwrap();
        assert!(statements.take(b"another", now).is_err());
        assert!(statements.take(&handle, now).is_ok());
        assert!(statements.take(&handle, now).is_err());
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
}
