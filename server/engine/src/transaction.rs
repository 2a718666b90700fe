//! Transaction blocks: which versions they have pinned, and whether they have failed.
//!
//! Invariant: within a block a table is read at the version that it had at its first use.

use std::collections::{BTreeMap, HashMap};

use lakeward_base::{SqlState, TableId};

use crate::error::Error;
use crate::statement::{Kind, Statement, Transaction};

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

#[derive(Debug, Default)]
struct Block {
    failed: bool,
    pinned: HashMap<TableId, u64>,
    /// Values that SET LOCAL has covered, by name, to be put back at the block's end.
    covered: BTreeMap<String, String>,
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

    /// Executes BEGIN, COMMIT or ROLLBACK; answers the command tag and, where PostgreSQL warns, the warning.
    ///
    /// Values to put back come from [`take_covered`](Self::take_covered), to be called first where the block ends.
    pub(crate) fn execute(&mut self, statement: Transaction) -> (&'static str, Option<(SqlState, &'static str)>) {
        const NO_BLOCK: (SqlState, &str) = (SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
        const IN_BLOCK: (SqlState, &str) =
            (SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
        match (statement, self.status()) {
            (Transaction::Begin, TransactionStatus::Idle) => {
                self.block = Some(Block::default());
                ("BEGIN", None)
            }
            (Transaction::Begin, _) => ("BEGIN", Some(IN_BLOCK)),
            (Transaction::Commit, TransactionStatus::Idle) => ("COMMIT", Some(NO_BLOCK)),
            (Transaction::Rollback, TransactionStatus::Idle) => ("ROLLBACK", Some(NO_BLOCK)),
            (Transaction::Commit, TransactionStatus::InBlock) => {
                self.block = None;
                ("COMMIT", None)
            }
            (Transaction::Commit | Transaction::Rollback, _) => {
                self.block = None;
                ("ROLLBACK", None)
            }
        }
    }

    /// Remembers what SET LOCAL covers; false where there is no block, so that it has no effect.
    pub(crate) fn cover(&mut self, name: &str, value: String) -> bool {
        let Some(block) = &mut self.block else { return false };
        block.covered.entry(name.to_owned()).or_insert(value);
        true
    }

    /// What SET LOCAL has covered, where `statement` ends the block.
    pub(crate) fn take_covered(&mut self, statement: Transaction) -> BTreeMap<String, String> {
        match (statement, &mut self.block) {
            (Transaction::Commit | Transaction::Rollback, Some(block)) => std::mem::take(&mut block.covered),
            _ => BTreeMap::new(),
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

fn admit_in_block(statement: &Statement) -> Result<(), Error> {
    match &statement.kind {
        Kind::Insert(_) | Kind::CreateTableAs(_) => {
            Err(Error::unsupported(format!("{} inside a transaction block", statement.class))
                .with_hint("Commit first, or switch the client to autocommit."))
        }
        Kind::Ddl(_) => {
            let message = format!("{} cannot run inside a transaction block", statement.class);
            Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
        }
        Kind::Empty | Kind::Query(_) | Kind::Explain { .. } | Kind::Setting(_) | Kind::Transaction(_) => Ok(()),
    }
}
