//! Transaction blocks: which versions they have pinned, what they have set and written, their savepoints, and whether
//! they have failed.
//!
//! A text of several statements is a block too, an implicit one, as in PostgreSQL. Invariant: within a block a table is
//! read at the version that it had at its first use, with what the block has written; what a block that is rolled back
//! has set is set back, and what it has written is gone. A block that commits is its session's no more: until storage
//! has answered, the session does nothing else, so that no end is another block's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use lakeward_base::{RoleId, SqlState, TableId};

use crate::error::Error;
use crate::pending::{OwnRows, Pending};
use crate::portal::OpenCursor;
use crate::settings::Settings;
use crate::statement::{CursorStatement, Isolation, Kind, Modes, Setting, Statement, Transaction};

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
#[derive(Default)]
pub(crate) struct TransactionState {
    block: Option<Block>,
    /// A block was taken out to be committed, and nobody knows yet what became of it.
    committing: bool,
    /// Blocks so far.
    begun: u64,
}

struct Block {
    /// Which of its session's it is.
    number: u64,
    /// It is a text of several statements rather than what BEGIN has begun.
    implicit: bool,
    failed: bool,
    /// A statement has read or written: modes are settled.
    used: bool,
    read_only: bool,
    isolation: Isolation,
    pinned: HashMap<TableId, u64>,
    began_at: Instant,
    /// How the session was at BEGIN.
    begun: Saved,
    covered: Covered,
    /// What it has written, and when.
    write: Option<(u64, Pending)>,
    savepoints: Vec<Savepoint>,
    /// What is open, and since when.
    cursors: Vec<(u64, OpenCursor)>,
    /// Counts what happens: tells what came before a savepoint.
    ticks: u64,
}

/// What SET LOCAL has covered.
#[derive(Clone, Default)]
struct Covered {
    /// Values by name, to be put back at the block's end.
    settings: BTreeMap<String, String>,
    role: Option<Option<RoleId>>,
}

/// A place in a block that it can be rolled back to.
struct Savepoint {
    name: String,
    at: u64,
    /// How the session was.
    saved: Saved,
    covered: Covered,
    read_only: bool,
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

/// What came of BEGIN, COMMIT, ROLLBACK and the like.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) tag: &'static str,
    /// Where PostgreSQL warns.
    pub(crate) warning: Option<(SqlState, &'static str)>,
    pub(crate) undo: Option<Undo>,
}

impl Ended {
    fn only(tag: &'static str) -> Self {
        Self { tag, warning: None, undo: None }
    }
}

/// A block that was taken out of its session to be committed.
pub(crate) struct Leaving(Option<Block>);

impl Leaving {
    /// What is to be committed.
    pub(crate) fn take_write(&mut self) -> Option<Pending> {
        let block = self.0.as_mut().filter(|block| !block.failed)?;
        block.write.take().map(|(_, write)| write)
    }

    /// What its end undoes, now that its write is committed, or not.
    pub(crate) fn ended(self, committed: bool) -> Ended {
        ended(self.0, committed, "COMMIT")
    }
}

/// What the end of a block, where there is one, says and undoes.
fn ended(block: Option<Block>, commits: bool, tag: &'static str) -> Ended {
    let Some(block) = block else { return Ended { warning: Some(NO_BLOCK), ..Ended::only(tag) } };
    let warning = block.implicit.then_some(NO_BLOCK);
    if commits && !block.failed {
        let undo = Undo::Local { settings: block.covered.settings, role: block.covered.role };
        return Ended { tag: "COMMIT", warning, undo: Some(undo) };
    }
    Ended { tag: "ROLLBACK", warning, undo: Some(Undo::All(block.begun)) }
}

const NO_BLOCK: (SqlState, &str) = (SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
const IN_BLOCK: (SqlState, &str) = (SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");

impl TransactionState {
    pub(crate) fn status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InBlock,
        }
    }

    /// When the block began; `None` where there is none.
    pub(crate) fn began_at(&self) -> Option<Instant> {
        self.block.as_ref().map(|block| block.began_at)
    }

    /// A statement has failed. An implicit block ends with it: then this is what to put back.
    #[must_use]
    pub(crate) fn fail(&mut self) -> Option<Saved> {
        if self.is_implicit() {
            return self.block.take().map(|block| block.begun);
        }
        let block = self.block.as_mut()?;
        block.failed = true;
        let saved_after = |at: u64| block.savepoints.iter().any(|savepoint| savepoint.at > at);
        if block.write.as_ref().is_some_and(|(at, _)| !saved_after(*at)) {
            block.write = None;
        }
        block.cursors.retain(|(at, _)| block.savepoints.iter().any(|savepoint| savepoint.at > *at));
        None
    }

    /// Begins an implicit block, where there is no block.
    pub(crate) fn enter_text(&mut self, now: impl FnOnce() -> Saved) {
        if self.block.is_none() && !self.committing {
            self.begun += 1;
            self.block = Some(Block::begin(self.begun, now(), true));
        }
    }

    /// Takes out the block that is to be committed; [`decided`](Self::decided) is to be called afterwards.
    ///
    /// # Errors
    /// 55006 where that is being done already.
    pub(crate) fn begin_commit(&mut self) -> Result<Leaving, Error> {
        self.free()?;
        self.committing = true;
        Ok(Leaving(self.block.take()))
    }

    /// What became of the block that was taken out is known.
    pub(crate) fn decided(&mut self) {
        self.committing = false;
    }

    fn free(&self) -> Result<(), Error> {
        if !self.committing {
            return Ok(());
        }
        let message = "the session's transaction is still being committed";
        Err(Error::new(SqlState::OBJECT_IN_USE, message).with_hint("Wait for the end of its COMMIT, and try again."))
    }

    /// The block that is open and has not failed, by its number.
    pub(crate) fn open_block(&self) -> Option<u64> {
        self.block.as_ref().filter(|block| !block.failed).map(|block| block.number)
    }

    pub(crate) fn is_implicit(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.implicit)
    }

    /// Whether a statement writes where an implicit block has written already.
    pub(crate) fn is_next_write(&self, kind: &Kind) -> bool {
        writes(kind) && self.block.as_ref().is_some_and(|block| block.implicit && block.write.is_some())
    }

    /// Executes BEGIN, ROLLBACK and what goes with them; `now` is how the session is. COMMIT of what has written begins
    /// with [`begin_commit`](Self::begin_commit).
    pub(crate) fn execute(&mut self, statement: &Transaction, now: Saved) -> Result<Ended, Error> {
        self.free()?;
        match statement {
            Transaction::Begin(modes) => {
                let open = self.block.as_ref().is_some_and(|block| !block.implicit);
                self.begun += 1;
                let block = self.block.get_or_insert_with(|| Block::begin(self.begun, now, false));
                block.implicit = false;
                block.set_modes(*modes)?;
                Ok(Ended { warning: open.then_some(IN_BLOCK), ..Ended::only("BEGIN") })
            }
            Transaction::Commit => Ok(ended(self.block.take(), true, "COMMIT")),
            Transaction::Rollback => Ok(ended(self.block.take(), false, "ROLLBACK")),
            Transaction::Modes(modes) => {
                let warning =
                    (SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET TRANSACTION can only be used in transaction blocks");
                match &mut self.block {
                    Some(block) => block.set_modes(*modes).map(|()| Ended::only("SET")),
                    None => Ok(Ended { warning: Some(warning), ..Ended::only("SET") }),
                }
            }
            Transaction::Savepoint(name) => self.named("SAVEPOINT")?.save(name, now),
            Transaction::Release(name) => self.named("RELEASE SAVEPOINT")?.release(name),
            Transaction::RollbackTo(name) => self.named("ROLLBACK TO SAVEPOINT")?.rollback_to(name),
        }
    }

    /// The block that BEGIN has begun, for what needs one.
    fn named(&mut self, what: &str) -> Result<&mut Block, Error> {
        self.block.as_mut().filter(|block| !block.implicit).ok_or_else(|| outside(what))
    }

    /// Keeps a cursor until the block's end.
    pub(crate) fn open_cursor(&mut self, cursor: OpenCursor) -> Result<(), Error> {
        self.free_cursor_name(&cursor.name)?;
        let Some(block) = &mut self.block else { return Err(outside("DECLARE CURSOR")) };
        let at = block.tick();
        block.cursors.push((at, cursor));
        Ok(())
    }

    /// Refuses a name that a cursor has.
    pub(crate) fn free_cursor_name(&self, name: &str) -> Result<(), Error> {
        if self.cursor(name).is_err() {
            return Ok(());
        }
        Err(Error::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")))
    }

    /// The cursor of that name.
    pub(crate) fn cursor(&self, name: &str) -> Result<OpenCursor, Error> {
        let missing = || Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"));
        self.cursors().into_iter().find(|cursor| cursor.name == name).ok_or_else(missing)
    }

    /// The open cursors.
    pub(crate) fn cursors(&self) -> Vec<OpenCursor> {
        let open = self.block.iter().flat_map(|block| block.cursors.iter());
        open.map(|(_, cursor)| cursor.clone()).collect()
    }

    /// Closes a cursor, or all.
    pub(crate) fn close_cursor(&mut self, name: Option<&str>) -> Result<(), Error> {
        if let Some(name) = name {
            self.cursor(name)?;
        }
        if let Some(block) = &mut self.block {
            block.cursors.retain(|(_, cursor)| name.is_some_and(|name| cursor.name != name));
        }
        Ok(())
    }

    /// Remembers what SET LOCAL covers; false where there is no block, so that it has no effect.
    pub(crate) fn cover(&mut self, name: &str, value: String) -> bool {
        let Some(block) = &mut self.block else { return false };
        block.covered.settings.entry(name.to_owned()).or_insert(value);
        true
    }

    /// The same for SET LOCAL ROLE.
    pub(crate) fn cover_role(&mut self, role: Option<RoleId>) -> bool {
        let Some(block) = &mut self.block else { return false };
        block.covered.role.get_or_insert(role);
        true
    }

    /// SET and RESET after SET LOCAL stay beyond the block; `None` is RESET ALL.
    pub(crate) fn uncover(&mut self, name: Option<&str>) {
        match (&mut self.block, name) {
            (Some(block), Some(name)) => drop(block.covered.settings.remove(name)),
            (Some(block), None) => block.covered.settings.clear(),
            (None, _) => {}
        }
    }

    /// The same for SET ROLE and RESET ROLE.
    pub(crate) fn uncover_role(&mut self) {
        if let Some(block) = &mut self.block {
            block.covered.role = None;
        }
    }

    /// Refuses what the block's state does not allow: anything but its end once it has failed, writing where it only
    /// reads, and changes that could not be undone. `read_only` is what a statement without a block is. While a block is
    /// being committed, nothing is allowed.
    pub(crate) fn admit(&self, statement: &Statement, read_only: bool) -> Result<(), Error> {
        self.free()?;
        let ends = matches!(
            statement.kind,
            Kind::Empty | Kind::Transaction(Transaction::Commit | Transaction::Rollback | Transaction::RollbackTo(_))
        );
        if ends {
            return Ok(());
        }
        if self.status() == TransactionStatus::Failed {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message));
        }
        let writes = writes(&statement.kind);
        if (writes || changes_catalog(&statement.kind))
            && self.block.as_ref().map_or(read_only, |block| block.read_only)
        {
            let message = format!("cannot execute {} in a read-only transaction", statement.class);
            return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        let Some(block) = &self.block else {
            return match &statement.kind {
                Kind::Cursor(CursorStatement::Declare { .. }) => Err(outside("DECLARE CURSOR")),
                _ => Ok(()),
            };
        };
        if writes && block.write.is_some() {
            return Err(second_write());
        }
        if ends_implicitly(&statement.kind) {
            let message = format!("{} cannot run inside a transaction block", statement.class);
            return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        Ok(())
    }

    /// A statement is about to read or to write: from here on the block's modes stand.
    pub(crate) fn settle_modes(&mut self, statement: &Statement) {
        if let Some(block) = &mut self.block {
            block.used |= statement.query().is_some();
        }
    }

    /// What SHOW says of the block's modes; `None` where there is no block.
    pub(crate) fn modes(&self) -> Option<(Isolation, bool)> {
        self.block.as_ref().map(|block| (block.isolation, block.read_only))
    }

    pub(crate) fn pinned(&self, table: TableId) -> Option<u64> {
        self.block.as_ref().and_then(|block| block.pinned.get(&table).copied())
    }

    pub(crate) fn pin(&mut self, table: TableId, version: u64) {
        if let Some(block) = &mut self.block {
            block.pinned.entry(table).or_insert(version);
        }
    }

    /// What the block has written to a table.
    pub(crate) fn own(&self, table: TableId) -> Option<Arc<OwnRows>> {
        let (_, write) = self.block.as_ref()?.write.as_ref()?;
        (write.own.table == table).then(|| Arc::clone(&write.own))
    }

    /// The name of the table that the block has written to.
    pub(crate) fn written(&self) -> Option<String> {
        let block = self.block.as_ref().filter(|block| !block.failed)?;
        block.write.as_ref().map(|(_, write)| write.object.clone())
    }

    /// Keeps a write for the end of the block of that number, in which it was made.
    pub(crate) fn keep(&mut self, write: Pending, number: u64) -> Result<(), Error> {
        match self.block.as_mut().filter(|block| !block.failed && block.number == number) {
            None => Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, "the transaction block has ended meanwhile")),
            Some(block) if block.write.is_some() => Err(second_write()),
            Some(block) => {
                let at = block.tick();
                block.write = Some((at, write));
                Ok(())
            }
        }
    }
}

impl Block {
    fn begin(number: u64, now: Saved, implicit: bool) -> Self {
        let read_only = now.settings.get("default_transaction_read_only").as_deref() == Some("on");
        let isolation = now.settings.get("default_transaction_isolation");
        Self {
            number,
            implicit,
            failed: false,
            used: false,
            read_only,
            isolation: isolation.and_then(|name| Isolation::named(&name)).unwrap_or_default(),
            pinned: HashMap::new(),
            began_at: Instant::now(),
            begun: now,
            covered: Covered::default(),
            write: None,
            savepoints: Vec::new(),
            cursors: Vec::new(),
            ticks: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn set_modes(&mut self, modes: Modes) -> Result<(), Error> {
        let late = |message: &str| Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        if let Some(isolation) = modes.isolation {
            if self.used && isolation != self.isolation {
                return late("SET TRANSACTION ISOLATION LEVEL must be called before any query");
            }
            self.isolation = isolation;
        }
        if let Some(read_only) = modes.read_only {
            if self.used && self.read_only && !read_only {
                return late("transaction read-write mode must be set before any query");
            }
            self.read_only = read_only;
        }
        Ok(())
    }

    fn save(&mut self, name: &str, saved: Saved) -> Result<Ended, Error> {
        let (at, covered) = (self.tick(), self.covered.clone());
        if self.savepoints.len() >= SAVEPOINTS {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many savepoints in this transaction block"));
        }
        let read_only = self.read_only;
        self.savepoints.push(Savepoint { name: name.to_owned(), at, saved, covered, read_only });
        Ok(Ended::only("SAVEPOINT"))
    }

    fn find(&self, name: &str) -> Result<usize, Error> {
        let missing = || {
            let message = format!("savepoint \"{name}\" does not exist");
            Error::new(SqlState::INVALID_SAVEPOINT_SPECIFICATION, message)
        };
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name).ok_or_else(missing)
    }

    fn release(&mut self, name: &str) -> Result<Ended, Error> {
        let index = self.find(name)?;
        self.savepoints.truncate(index);
        Ok(Ended::only("RELEASE"))
    }

    /// The savepoint stays, what came after it is undone. Pinned versions stay, too.
    fn rollback_to(&mut self, name: &str) -> Result<Ended, Error> {
        let index = self.find(name)?;
        self.savepoints.truncate(index + 1);
        let Some(savepoint) = self.savepoints.last() else { return Ok(Ended::only("ROLLBACK")) };
        self.cursors.retain(|(at, _)| *at < savepoint.at);
        self.failed = false;
        self.covered = savepoint.covered.clone();
        self.read_only = savepoint.read_only;
        if self.write.as_ref().is_some_and(|(at, _)| *at > savepoint.at) {
            self.write = None;
        }
        Ok(Ended { undo: Some(Undo::All(savepoint.saved.clone())), ..Ended::only("ROLLBACK") })
    }
}

/// `25P01` for what needs a block.
fn outside(what: &str) -> Error {
    let message = format!("{what} can only be used in transaction blocks");
    Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
}

/// Savepoints that a block may have at once: each holds the session's settings.
const SAVEPOINTS: usize = 10_000;

/// Whether a statement writes rows, and so waits for its block's end.
pub(crate) fn writes(kind: &Kind) -> bool {
    matches!(kind, Kind::Insert(_) | Kind::CopyIn(_) | Kind::Change(_))
}

fn changes_catalog(kind: &Kind) -> bool {
    matches!(kind, Kind::Ddl(_) | Kind::CreateTableAs(_) | Kind::Maintain(_))
}

/// Whether a statement cannot be undone: it runs in no block, and commits an implicit one that stands before it.
pub(crate) fn ends_implicitly(kind: &Kind) -> bool {
    changes_catalog(kind) || matches!(kind, Kind::Setting(Setting::Discard))
}

/// `0A000` for the second write of a block.
pub(crate) fn second_write() -> Error {
    Error::unsupported("a second write in a transaction block")
        .with_hint("A block commits one write: COMMIT before the next, or put both into one MERGE or INSERT.")
}
