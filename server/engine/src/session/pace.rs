//! How long a session's statements, transactions and silences may take, and when it is their turn to run.
//!
//! Invariant: the role's limits are read from the catalog at each statement; no setting of the session goes over them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeward_base::SqlState;
use lakeward_catalog::RoleLimits;

use super::Session;
use crate::activity::Running;
use crate::admission::{Applicant, Slot};
use crate::cooperate::lend_thread;
use crate::engine::Protocol;
use crate::error::Error;
use crate::stream::{Deadline, transaction_timed_out};
use crate::transaction::TransactionStatus;

impl Session {
    /// How long the client may be silent at this moment, and what it is told when the session ends for it.
    #[must_use]
    pub fn idle_limit(&self) -> Option<(Duration, Error)> {
        let silence = self.silence_limit();
        let Some(end) = self.transaction_end().filter(|_| self.transaction_status() != TransactionStatus::Idle) else {
            return silence;
        };
        let left = end.saturating_duration_since(Instant::now());
        match silence {
            Some((limit, error)) if limit <= left => Some((limit, error)),
            _ => Some((left, transaction_timed_out())),
        }
    }

    fn silence_limit(&self) -> Option<(Duration, Error)> {
        let (name, sqlstate, message) = match self.transaction_status() {
            TransactionStatus::Idle => (
                "idle_session_timeout",
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            TransactionStatus::InBlock | TransactionStatus::Failed => (
                "idle_in_transaction_session_timeout",
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
        };
        let limit = self.settings.lock().duration(name)?;
        Some((limit, Error::new(sqlstate, message)))
    }

    /// What the login role may take at this moment.
    pub(crate) fn limits(&self) -> RoleLimits {
        let snapshot = self.engine.shared.parts.catalog.snapshot();
        snapshot.role(self.login_role).map(|role| role.limits).unwrap_or_default()
    }

    /// When the transaction of a statement that begins now has taken too long.
    fn transaction_end(&self) -> Option<Instant> {
        let limit = self.settings.lock().duration("transaction_timeout")?;
        let began = self.transaction.lock().began_at().unwrap_or_else(Instant::now);
        began.checked_add(limit)
    }

    /// When a statement that begins now must stop, by its settings and by its role's limit.
    pub(crate) fn deadline(&self) -> Deadline {
        let asked = self.settings.lock().statement_timeout();
        let most = self.limits().statement_ms.map(Duration::from_millis);
        let timeout = asked.into_iter().chain(most).min();
        Deadline::new(timeout, self.start_statement()).within(self.transaction_end())
    }

    /// A transaction has taken too long: it is rolled back, and the session is over.
    pub(crate) fn end_late(&self) {
        self.abandon();
        self.terminated.cancel();
    }

    /// Waits for the statement's turn to run. What one connection has open counts once: of a block, and over the
    /// PostgreSQL protocol, where one statement runs at a time, a suspended result or a cursor must not keep the next
    /// statement waiting.
    pub(crate) async fn take_turn(&self, running: &Running) -> Result<Arc<Slot>, Error> {
        let shares = self.login.protocol == Protocol::Pg || self.transaction_status() != TransactionStatus::Idle;
        if let Some(slot) = self.slot.lock().upgrade().filter(|_| shares) {
            return Ok(slot);
        }
        let applicant = {
            let snapshot = self.engine.shared.parts.catalog.snapshot();
            let role = snapshot.role(self.login_role);
            let most = role.and_then(|role| role.limits.concurrent_statements);
            Applicant {
                role: self.login_role,
                most: most.and_then(|most| usize::try_from(most).ok()),
                waits: role.is_none_or(|role| !role.superuser),
            }
        };
        let admission = &self.engine.shared.admission;
        let slot = match admission.try_enter(applicant) {
            Some(slot) => slot,
            None => {
                running.queue();
                let slot = admission.enter(applicant).await?;
                running.go_on();
                // On another thread than before, perhaps, and planning does not yield.
                lend_thread();
                slot
            }
        };
        let slot = Arc::new(slot);
        *self.slot.lock() = Arc::downgrade(&slot);
        Ok(slot)
    }
}
