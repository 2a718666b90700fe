//! Counts of finished statements, for the metrics.
//!
//! Invariant: a count's labels are a statement class and a SQLSTATE, both of fixed lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_base::SqlState;
use parking_lot::Mutex;

use crate::activity::Running;
use crate::engine::Engine;

/// Statements finished since the start, by class and SQLSTATE, and rows handed out or written.
#[derive(Debug, Clone, Default)]
pub struct StatementCounts {
    /// How many, by class (`SELECT`, `CREATE POLICY`, …) and SQLSTATE (`00000` for success).
    pub finished: BTreeMap<(&'static str, SqlState), u64>,
    /// Rows.
    pub rows: u64,
}

/// The engine's counts.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<StatementCounts>);

impl Tally {
    pub(crate) fn count(&self, class: &'static str, sqlstate: SqlState, rows: u64) {
        let mut counts = self.0.lock();
        *counts.finished.entry((class, sqlstate)).or_default() += 1;
        counts.rows += rows;
    }

    pub(crate) fn read(&self) -> StatementCounts {
        self.0.lock().clone()
    }
}

/// One statement that will be counted when it ends.
#[derive(Clone)]
pub(crate) struct Counted {
    pub(crate) engine: Engine,
    pub(crate) class: &'static str,
    /// What the session shows as running until then.
    pub(crate) running: Option<Arc<Running>>,
}

impl Counted {
    pub(crate) fn finish(&self, sqlstate: SqlState, rows: u64) {
        self.engine.shared.tally.count(self.class, sqlstate, rows);
        self.rest();
    }

    /// The session does not show as running it any more.
    pub(crate) fn rest(&self) {
        if let Some(running) = &self.running {
            running.end();
        }
    }
}
