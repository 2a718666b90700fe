//! What a session is doing, for `pg_stat_activity`.
//!
//! Invariant: a statement's text is shown to those who act as its session's role; to operators only with its literals
//! taken out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
    class: &'static str,
    since: DateTime<Utc>,
    progress: Arc<AtomicU8>,
}

/// How far a statement is.
const ENDED: u8 = 0;
const RUNNING: u8 = 1;
const QUEUED: u8 = 2;

impl Activity {
    /// A statement begins; it ends with what is answered.
    pub(crate) fn begin(&mut self, statement: &Statement, since: DateTime<Utc>) -> Running {
        let progress = Arc::new(AtomicU8::new(RUNNING));
        let (text, normalized) = (statement.text.clone(), statement.normalized.clone());
        let class = statement.class;
        self.latest = Some(Latest { text, normalized, class, since, progress: Arc::clone(&progress) });
        Running(progress)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.progress.load(Ordering::Relaxed) != ENDED)
    }

    /// Whether it waits for its turn.
    pub(crate) fn is_queued(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.progress.load(Ordering::Relaxed) == QUEUED)
    }

    /// Its class.
    pub(crate) fn class(&self) -> Option<&'static str> {
        self.latest.as_ref().map(|latest| latest.class)
    }

    /// Since when, as it was typed, and with its literals taken out.
    pub(crate) fn latest(&self) -> Option<(DateTime<Utc>, Redacted<String>, String)> {
        self.latest.as_ref().map(|latest| (latest.since, latest.text.clone(), latest.normalized.clone()))
    }
}

/// A statement under way; by itself, one that nobody is told of.
#[derive(Debug, Default)]
pub(crate) struct Running(Arc<AtomicU8>);

impl Running {
    /// It waits for its turn.
    pub(crate) fn queue(&self) {
        self.0.store(QUEUED, Ordering::Relaxed);
    }

    /// It is its turn.
    pub(crate) fn go_on(&self) {
        self.0.store(RUNNING, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.0.store(ENDED, Ordering::Relaxed);
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
    pub(crate) auth_method: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) class: Option<&'static str>,
    pub(crate) application_name: String,
    pub(crate) client_addr: String,
    pub(crate) opened_at: DateTime<Utc>,
    pub(crate) transaction: TransactionStatus,
    pub(crate) running: bool,
    /// It waits for its turn to run.
    pub(crate) queued: bool,
    pub(crate) latest: Option<(DateTime<Utc>, Redacted<String>, String)>,
}
