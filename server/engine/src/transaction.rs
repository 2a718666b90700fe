//! Transaction blocks: which versions they have pinned, what they have set, and whether they have failed.
//!
//! Invariant: within a block a table is read at the version that it had at its first use; what a block that is rolled
//! back has set is set back.

use std::collections::{BTreeMap, HashMap};

use lakeward_base::{RoleId, SqlState, TableId};

use crate::error::Error;
use crate::settings::Settings;
use crate::statement::{Kind, Setting, Statement, Transaction};

/// What `ReadyForQuery` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No block.
    Idle,
    /// In a block.
    InBlock,
    /// In a block that has failed: only ROLLBACK and COMMIT are heard.
    Failed,
}

/// A session's transaction block.
#[derive(Debug, Default)]
pub(crate) struct TransactionState {
    block: Option<Block>,
}

#[derive(Debug)]
struct Block {
    failed: bool,
    pinned: HashMap<TableId, u64>,
    /// How the session was at BEGIN.
    begun: Saved,
    /// Values that SET LOCAL has covered, by name, to be put back at the block's end.
    covered: BTreeMap<String, String>,
    /// The role that SET LOCAL ROLE has covered.
    covered_role: Option<Option<RoleId>>,
}

/// What a session can be put back to.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub(crate) settings: Settings,
    pub(crate) role: Option<RoleId>,
}

/// What the end of a block undoes.
#[derive(Debug)]
pub(crate) enum Undo {
    /// COMMIT: what SET LOCAL has set.
    Local { settings: BTreeMap<String, String>, role: Option<Option<RoleId>> },
    /// ROLLBACK: whatever has been set.
    All(Saved),
}

/// What came of BEGIN, COMMIT or ROLLBACK.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) tag: &'static str,
    /// Where PostgreSQL warns.
    pub(crate) warning: Option<(SqlState, &'static str)>,
    pub(crate) undo: Option<Undo>,
}

impl TransactionState {
    pub(crate) fn status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InBlock,
        }
    }

    pub(crate) fn fail(&mut self) {
        if let Some(block) = &mut self.block {
            block.failed = true;
        }
    }

    /// Executes BEGIN, COMMIT or ROLLBACK; `now` is how the session is.
    pub(crate) fn execute(&mut self, statement: Transaction, now: Saved) -> Ended {
        const NO_BLOCK: (SqlState, &str) = (SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
        const IN_BLOCK: (SqlState, &str) =
            (SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
        let only = |tag, warning| Ended { tag, warning, undo: None };
        if statement == Transaction::Begin {
            let warning = self.block.is_some().then_some(IN_BLOCK);
            self.block.get_or_insert_with(|| Block::begin(now));
            return only("BEGIN", warning);
        }
        let Some(block) = self.block.take() else {
            let tag = if statement == Transaction::Commit { "COMMIT" } else { "ROLLBACK" };
            return only(tag, Some(NO_BLOCK));
        };
        if statement == Transaction::Commit && !block.failed {
            let undo = Undo::Local { settings: block.covered, role: block.covered_role };
            return Ended { tag: "COMMIT", warning: None, undo: Some(undo) };
        }
        Ended { tag: "ROLLBACK", warning: None, undo: Some(Undo::All(block.begun)) }
    }

    /// Remembers what SET LOCAL covers; false where there is no block, so that it has no effect.
    pub(crate) fn cover(&mut self, name: &str, value: String) -> bool {
        let Some(block) = &mut self.block else { return false };
        block.covered.entry(name.to_owned()).or_insert(value);
        true
    }

    /// The same for SET LOCAL ROLE.
    pub(crate) fn cover_role(&mut self, role: Option<RoleId>) -> bool {
        let Some(block) = &mut self.block else { return false };
        block.covered_role.get_or_insert(role);
        true
    }

    /// SET and RESET after SET LOCAL stay beyond the block; `None` is RESET ALL.
    pub(crate) fn uncover(&mut self, name: Option<&str>) {
        match (&mut self.block, name) {
            (Some(block), Some(name)) => drop(block.covered.remove(name)),
            (Some(block), None) => block.covered.clear(),
            (None, _) => {}
        }
    }

    /// The same for SET ROLE and RESET ROLE.
    pub(crate) fn uncover_role(&mut self) {
        if let Some(block) = &mut self.block {
            block.covered_role = None;
        }
    }

    /// Refuses what the block's state does not allow: anything but its end once it has failed, and changes that could
    /// not be undone.
    pub(crate) fn admit(&self, statement: &Statement) -> Result<(), Error> {
        if matches!(statement.kind, Kind::Transaction(_) | Kind::Empty) {
            return Ok(());
        }
        match self.status() {
            TransactionStatus::Idle => Ok(()),
            TransactionStatus::Failed => {
                let message = "current transaction is aborted, commands ignored until end of transaction block";
                Err(Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message))
            }
            TransactionStatus::InBlock => admit_in_block(statement),
        }
    }

    pub(crate) fn pinned(&self, table: TableId) -> Option<u64> {
        self.block.as_ref().and_then(|block| block.pinned.get(&table).copied())
    }

    pub(crate) fn pin(&mut self, table: TableId, version: u64) {
        if let Some(block) = &mut self.block {
            block.pinned.entry(table).or_insert(version);
        }
    }
}

impl Block {
    fn begin(now: Saved) -> Self {
        Self { failed: false, pinned: HashMap::new(), begun: now, covered: BTreeMap::new(), covered_role: None }
    }
}

fn admit_in_block(statement: &Statement) -> Result<(), Error> {
    match &statement.kind {
        Kind::Insert(_) | Kind::CreateTableAs(_) | Kind::Change(_) | Kind::CopyIn(_) | Kind::Maintain(_) => {
            Err(Error::unsupported(format!("{} inside a transaction block", statement.class))
                .with_hint("Commit first, or switch the client to autocommit."))
        }
        Kind::Ddl(_) | Kind::Setting(Setting::Discard) => {
            let message = format!("{} cannot run inside a transaction block", statement.class);
            Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
        }
        Kind::Empty
        | Kind::Query(_)
        | Kind::CopyOut(_)
        | Kind::Explain { .. }
        | Kind::Setting(_)
        | Kind::Transaction(_) => Ok(()),
    }
}
