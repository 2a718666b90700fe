//! What a session is doing, for `pg_stat_activity`.
//!
//! Invariant: a statement's text is shown to those who act as its session's role; to operators only with its literals
//! taken out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use lakeward_base::{Redacted, RoleId};

use crate::statement::Statement;
use crate::transaction::TransactionStatus;

/// The statement that a session runs, or ran last.
#[derive(Default)]
pub(crate) struct Activity {
    latest: Option<Latest>,
}

struct Latest {
    text: Redacted<String>,
    normalized: String,
    since: DateTime<Utc>,
    running: Arc<AtomicBool>,
}

impl Activity {
    /// A statement begins; it ends with what is answered.
    pub(crate) fn begin(&mut self, statement: &Statement, since: DateTime<Utc>) -> Running {
        let running = Arc::new(AtomicBool::new(true));
        let (text, normalized) = (statement.text.clone(), statement.normalized.clone());
        self.latest = Some(Latest { text, normalized, since, running: Arc::clone(&running) });
        Running(running)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.running.load(Ordering::Relaxed))
    }

    /// Since when, as it was typed, and with its literals taken out.
    pub(crate) fn latest(&self) -> Option<(DateTime<Utc>, Redacted<String>, String)> {
        self.latest.as_ref().map(|latest| (latest.since, latest.text.clone(), latest.normalized.clone()))
    }
}

/// A statement under way; by itself, one that nobody is told of.
#[derive(Debug, Default)]
pub(crate) struct Running(Arc<AtomicBool>);

impl Running {
    /// It has ended.
    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// One session, as it is seen at one moment.
pub(crate) struct Seen {
    pub(crate) process_id: i32,
    pub(crate) role: RoleId,
    pub(crate) user: String,
    pub(crate) application_name: String,
    pub(crate) client_addr: String,
    pub(crate) opened_at: DateTime<Utc>,
    pub(crate) transaction: TransactionStatus,
    pub(crate) running: bool,
    pub(crate) latest: Option<(DateTime<Utc>, Redacted<String>, String)>,
}
