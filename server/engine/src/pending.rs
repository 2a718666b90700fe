//! Writes: staged, then committed at once, or kept for the end of their transaction block.
//!
//! A write that waits keeps its audit record open: its END tells the version that it became, or that it was rolled back
//! (40000). Invariants: what is committed was decided again under the grants and policies of that moment; once a commit
//! has begun, neither a time-out nor a client that goes away keeps its outcome from the audit.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use lakeward_base::{Coded, SqlState, TableId};
use lakeward_catalog::{RawTable, StagedWrite, StoreError, Table};
use tokio::sync::OnceCell;

use crate::change::{self, ChangePlan};
use crate::error::Error;
use crate::plan::Work;
use crate::publish;
use crate::response::{Command, Response};
use crate::session::Session;
use crate::statement::Transaction;
use crate::stream::{Deadline, Ending};
use crate::transaction::{Ended, TransactionStatus, Undo};
use crate::vantage::Vantage;
use crate::watch::Watch;
use crate::write::{self, InsertPlan};

/// How often a change is made again after another writer took rows that it had found.
const ATTEMPTS: usize = 6;

/// A write that waits for the end of its block. Dropped, it is rolled back.
pub(crate) struct Pending {
    staged: Arc<dyn StagedWrite>,
    /// For the block's own reads.
    pub(crate) own: Arc<OwnRows>,
    /// The qualified name of the table.
    pub(crate) object: String,
    table: Arc<Table>,
    ending: Ending,
    watch: Watch,
    rules: WriteRules,
}

/// A table as the block that has written to it reads it.
pub(crate) struct OwnRows {
    pub(crate) table: TableId,
    staged: Arc<dyn StagedWrite>,
    view: OnceCell<RawTable>,
}

impl OwnRows {
    pub(crate) async fn open(&self) -> Result<RawTable, StoreError> {
        self.view.get_or_try_init(|| self.staged.preview()).await.cloned()
    }
}

/// What was decided about the rows of a write.
#[derive(Clone, PartialEq)]
pub(crate) struct WriteRules {
    table: TableId,
    checks: Vec<Option<Expr>>,
    bypass: bool,
}

impl WriteRules {
    /// Those of a planned statement, where it writes rows.
    pub(crate) fn of(work: &Work) -> Option<Self> {
        match work {
            Work::Insert(plan) => Some(Self {
                table: plan.target.table.id,
                checks: vec![plan.check.check.clone()],
                bypass: plan.check.bypass,
            }),
            Work::CopyIn(plan) => Some(Self {
                table: plan.target.table.id,
                checks: vec![plan.check.check.clone()],
                bypass: plan.check.bypass,
            }),
            Work::Change(plan) => {
                let rules = &plan.decision;
                let checks = [&rules.update, &rules.updated, &rules.delete, &rules.insert];
                Some(Self {
                    table: plan.target.table.id,
                    checks: checks.into_iter().cloned().collect(),
                    bypass: rules.bypass,
                })
            }
            _ => None,
        }
    }
}

/// A planned write.
pub(crate) enum Write {
    Insert(Box<InsertPlan>),
    Change(Box<ChangePlan>),
}

impl Write {
    fn table(&self) -> &Arc<Table> {
        match self {
            Self::Insert(plan) => &plan.target.table,
            Self::Change(plan) => &plan.target.table,
        }
    }

    /// Writes the files; `None` where no row changes. Can be done once for an INSERT.
    async fn stage(&mut self, vantage: &Vantage, in_block: bool) -> Result<Option<Arc<dyn StagedWrite>>, Error> {
        match self {
            Self::Insert(plan) => {
                let staged = write::stage(vantage, plan, in_block).await?;
                // A block has one write: it is not spent on none.
                Ok(Some(staged).filter(|staged| !in_block || plan.overwrite || staged.rows() > 0))
            }
            Self::Change(plan) => change::stage(vantage, plan).await,
        }
    }

    fn tag(&self, rows: u64) -> String {
        match self {
            Self::Insert(_) => format!("INSERT 0 {rows}"),
            Self::Change(plan) => format!("{} {rows}", plan.command.name()),
        }
    }
}

/// A write under way.
pub(crate) struct Writing<'a> {
    pub(crate) vantage: &'a Vantage,
    pub(crate) deadline: &'a Deadline,
    pub(crate) ending: Ending,
    pub(crate) watch: Watch,
    pub(crate) rules: WriteRules,
}

/// Runs a write: staged, then committed or kept.
pub(crate) async fn write(mut writing: Writing<'_>, mut work: Write) -> Result<Response, Error> {
    let in_block = writing.vantage.session.transaction_status() == TransactionStatus::InBlock;
    let table = Arc::clone(work.table());
    let (staged, tag) = match staged(&writing, &mut work, in_block).await {
        Ok(done) => done,
        Err(error) => {
            writing.ending.finish(error.sqlstate());
            return Err(error);
        }
    };
    let answer = |tag: String| Response::Command(Command { tag, ..Command::default() });
    let Some(staged) = staged else {
        writing.ending.wrote(0);
        return Ok(answer(tag));
    };
    if in_block {
        keep(writing, staged, table)?;
        return Ok(answer(tag));
    }
    commit_now(writing, staged, work, &table).await.map(answer)
}

type Staged = Option<Arc<dyn StagedWrite>>;

async fn staged(writing: &Writing<'_>, work: &mut Write, in_block: bool) -> Result<(Staged, String), Error> {
    if let Some(durable) = writing.ending.durable() {
        durable.await.map_err(|error| Error::from_coded(&error))?;
    }
    let staged = work.stage(writing.vantage, in_block).await?;
    let tag = work.tag(staged.as_ref().map_or(0, |staged| staged.rows()));
    Ok((staged, tag))
}

/// Commits what a client has sent, or keeps it for the end of the block that it was staged in; answers the rows.
pub(crate) async fn conclude(
    mut writing: Writing<'_>,
    staged: Arc<dyn StagedWrite>,
    table: Arc<Table>,
    in_block: bool,
) -> Result<u64, Error> {
    let rows = staged.rows();
    if in_block && rows == 0 {
        // A block has one write: it is not spent on none.
        writing.ending.wrote(0);
        return Ok(0);
    }
    if in_block {
        return keep(writing, staged, table).map(|()| rows);
    }
    let object = writing.vantage.snapshot.qualified_name(table.id);
    match commit_held(writing.vantage, writing.deadline, staged, writing.ending, object).await? {
        Ok(rows) => Ok(rows),
        Err((error, mut ending)) => {
            let error = publish::store(&error, &table.name);
            ending.finish(error.sqlstate());
            Err(error)
        }
    }
}

fn keep(writing: Writing<'_>, staged: Arc<dyn StagedWrite>, table: Arc<Table>) -> Result<(), Error> {
    let Writing { vantage, mut ending, watch, rules, .. } = writing;
    ending.waits();
    let own = OwnRows { table: table.id, staged: Arc::clone(&staged), view: OnceCell::new() };
    let object = vantage.snapshot.qualified_name(table.id);
    let pending = Pending { staged, own: Arc::new(own), object, table, ending, watch, rules };
    vantage.session.transaction().keep(pending)
}

/// Commits a statement of its own; a change that another writer was quicker than is made again.
async fn commit_now(
    writing: Writing<'_>,
    mut staged: Arc<dyn StagedWrite>,
    mut work: Write,
    table: &Arc<Table>,
) -> Result<String, Error> {
    let Writing { vantage, deadline, mut ending, .. } = writing;
    let object = vantage.snapshot.qualified_name(table.id);
    for attempt in 1..=ATTEMPTS {
        let committed = commit_held(vantage, deadline, staged, ending, object.clone()).await?;
        let error = match committed {
            Ok(rows) => return Ok(work.tag(rows)),
            Err((error, back)) => {
                ending = back;
                error
            }
        };
        let again = match (&mut work, &error) {
            (Write::Change(plan), StoreError::Conflict(_)) if attempt < ATTEMPTS => match deadline.release() {
                Ok(()) => restage(vantage, plan).await,
                Err(stopped) => Err(stopped),
            },
            _ => Err(publish::store(&error, &table.name)),
        };
        staged = match again {
            Ok(Some(staged)) => staged,
            Ok(None) => {
                ending.wrote(0);
                return Ok(work.tag(0));
            }
            Err(error) => {
                ending.finish(error.sqlstate());
                return Err(error);
            }
        };
    }
    Err(publish::incident("execution", "change"))
}

async fn restage(vantage: &Vantage, plan: &mut Box<ChangePlan>) -> Result<Option<Arc<dyn StagedWrite>>, Error> {
    **plan = change::again(vantage, plan).await?;
    change::stage(vantage, plan).await
}

/// Rows committed, or why not, with the record that is still open.
type Committed = Result<u64, (StoreError, Ending)>;

/// Commits in a task of its own: neither a time-out nor the client's going away stops it half-way.
async fn commit_held(
    vantage: &Vantage,
    deadline: &Deadline,
    staged: Arc<dyn StagedWrite>,
    mut ending: Ending,
    object: String,
) -> Result<Committed, Error> {
    if let Err(error) = deadline.hold() {
        ending.finish(error.sqlstate());
        return Err(error);
    }
    let committing = async move {
        match staged.commit().await {
            Ok(version) => {
                ending.committed(&object, version);
                ending.wrote(staged.rows());
                Ok(staged.rows())
            }
            Err(error) => Err((error, ending)),
        }
    };
    let task = vantage.session.engine().shared.parts.query_runtime.spawn(committing);
    task.await.map_err(|_| publish::incident("execution", "panic"))
}

impl Pending {
    /// Decides again, and commits; answers the table's name and the version.
    async fn commit(mut self) -> Result<(String, u64), Error> {
        let committed = match self.watch.check_write(&self.rules).await {
            Ok(()) => self.staged.commit().await.map_err(|error| publish::store(&error, &self.table.name)),
            Err(error) => Err(error),
        };
        match committed {
            Ok(version) => {
                self.ending.committed(&self.object, version);
                self.ending.wrote(self.staged.rows());
                Ok((self.object, version))
            }
            Err(error) => {
                self.ending.finish(error.sqlstate());
                Err(error)
            }
        }
    }
}

/// Ends the session's block as COMMIT does: what it has written is committed, and where that fails, all of it is rolled
/// back. In a task of its own, to its end.
pub(crate) async fn commit(session: &Arc<Session>, mut ending: Option<Ending>) -> Result<Ended, Error> {
    let owner = Arc::clone(session);
    let committing = async move {
        let write = owner.transaction().take_write();
        let committed = match write {
            Some(write) => write.commit().await.map(Some),
            None => Ok(None),
        };
        let ends = if committed.is_ok() { Transaction::Commit } else { Transaction::Rollback };
        let now = owner.saved();
        let ended = owner.transaction().execute(&ends, now);
        match committed {
            Ok(made) => {
                if let (Some(ending), Some((object, version))) = (&mut ending, made) {
                    ending.committed(&object, version);
                }
                if let Some(ending) = &mut ending {
                    ending.wrote(0);
                }
                ended
            }
            Err(error) => {
                if let Some(ending) = &mut ending {
                    ending.finish(error.sqlstate());
                }
                if let Ok(Ended { undo: Some(Undo::All(before)), .. }) = ended {
                    let reported = owner.restore(before);
                    owner.report_later(reported);
                }
                Err(error)
            }
        }
    };
    let task = session.engine().shared.parts.query_runtime.spawn(committing);
    task.await.unwrap_or_else(|_| Err(publish::incident("execution", "panic")))
}

/// Ends the transaction that a text of several statements is: commits what it has written. Nothing where there is none.
///
/// # Errors
/// 40001 where a concurrent writer won, 42501 where what may be written has changed: then all of the text is undone.
pub async fn settle(session: &Arc<Session>) -> Result<(), Error> {
    if !session.transaction().is_implicit() {
        return Ok(());
    }
    let ended = commit(session, None).await?;
    let reported = session.apply(ended.undo)?;
    session.report_later(reported);
    Ok(())
}

/// What a rolled back write's record says.
pub(crate) const ROLLED_BACK: SqlState = SqlState::TRANSACTION_ROLLBACK;
