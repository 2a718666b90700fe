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
use crate::stream::{Deadline, Ending};
use crate::transaction::{Ended, Leaving};
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
    let block = writing.vantage.block;
    let table = Arc::clone(work.table());
    let (staged, tag) = match staged(&writing, &mut work, block.is_some()).await {
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
    if let Some(block) = block {
        keep(writing, staged, table, block)?;
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
    block: Option<u64>,
) -> Result<u64, Error> {
    let rows = staged.rows();
    match block {
        Some(_) if rows == 0 => {
            // A block has one write: it is not spent on none.
            writing.ending.wrote(0);
            Ok(0)
        }
        Some(block) => keep(writing, staged, table, block).map(|()| rows),
        None => match commit_held(&mut writing, staged, &table).await? {
            Ok(rows) => Ok(rows),
            Err(error) => Err(writing.fail(publish::store(&error, &table.name))),
        },
    }
}

fn keep(writing: Writing<'_>, staged: Arc<dyn StagedWrite>, table: Arc<Table>, block: u64) -> Result<(), Error> {
    let Writing { vantage, mut ending, watch, rules, .. } = writing;
    ending.waits();
    let own = OwnRows { table: table.id, staged: Arc::clone(&staged), view: OnceCell::new() };
    let object = vantage.snapshot.qualified_name(table.id);
    let pending = Pending { staged, own: Arc::new(own), object, table, ending, watch, rules };
    vantage.session.transaction().keep(pending, block)
}

/// Commits a statement of its own; a change that another writer was quicker than is made again.
async fn commit_now(
    mut writing: Writing<'_>,
    mut staged: Arc<dyn StagedWrite>,
    mut work: Write,
    table: &Arc<Table>,
) -> Result<String, Error> {
    for attempt in 1..=ATTEMPTS {
        let error = match commit_held(&mut writing, staged, table).await? {
            Ok(rows) => return Ok(work.tag(rows)),
            Err(error) => error,
        };
        let again = match (&mut work, &error) {
            (Write::Change(plan), StoreError::Conflict(_)) if attempt < ATTEMPTS => match writing.deadline.release() {
                Ok(()) => restage(writing.vantage, plan).await,
                Err(stopped) => Err(stopped),
            },
            _ => Err(publish::store(&error, &table.name)),
        };
        staged = match again {
            Ok(Some(staged)) => staged,
            Ok(None) => {
                writing.ending.wrote(0);
                return Ok(work.tag(0));
            }
            Err(error) => return Err(writing.fail(error)),
        };
    }
    Err(publish::incident("execution", "change"))
}

async fn restage(vantage: &Vantage, plan: &mut Box<ChangePlan>) -> Result<Option<Arc<dyn StagedWrite>>, Error> {
    **plan = change::again(vantage, plan).await?;
    change::stage(vantage, plan).await
}

impl Writing<'_> {
    /// Ends the record with an error.
    fn fail(&mut self, error: Error) -> Error {
        self.ending.finish(error.sqlstate());
        error
    }
}

/// Decides again, and commits in a task of its own: neither a time-out nor the client's going away stops it half-way.
/// Answers the rows, or why storage did not take them: then the record is still open.
async fn commit_held(
    writing: &mut Writing<'_>,
    staged: Arc<dyn StagedWrite>,
    table: &Table,
) -> Result<Result<u64, StoreError>, Error> {
    if let Err(error) = writing.watch.check_write(&writing.rules).await {
        return Err(writing.fail(error));
    }
    if let Err(error) = writing.deadline.hold() {
        return Err(writing.fail(error));
    }
    let vantage = writing.vantage;
    let (object, mut ending) = (vantage.snapshot.qualified_name(table.id), writing.ending.take());
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
    match task.await.map_err(|_| publish::incident("execution", "panic"))? {
        Ok(rows) => Ok(Ok(rows)),
        Err((error, back)) => {
            writing.ending = back;
            Ok(Err(error))
        }
    }
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

/// What a COMMIT has done.
pub(crate) struct Concluded {
    /// ROLLBACK where the block had failed.
    pub(crate) tag: &'static str,
    /// Where PostgreSQL warns.
    pub(crate) warning: Option<(SqlState, &'static str)>,
    /// Settings that changed and that the protocol reports.
    pub(crate) reported: Vec<(String, String)>,
}

/// While a session's block is its no more, and nobody knows yet what becomes of it.
struct Deciding(Arc<Session>);

impl Drop for Deciding {
    fn drop(&mut self) {
        self.0.transaction().decided();
    }
}

/// Ends the session's block as COMMIT does: what it has written is committed, and where that fails, all of it is rolled
/// back. In a task of its own, to its end; meanwhile the session has no block, and refuses to do anything.
///
/// # Errors
/// 55006 where another COMMIT is under way; otherwise why the block was rolled back.
pub(crate) async fn commit(session: &Arc<Session>, mut ending: Option<Ending>) -> Result<Concluded, Error> {
    let begun = session.transaction().begin_commit();
    let leaving = match begun {
        Ok(leaving) => leaving,
        Err(error) => {
            if let Some(ending) = &mut ending {
                ending.finish(error.sqlstate());
            }
            return Err(error);
        }
    };
    let deciding = Deciding(Arc::clone(session));
    let task = session.engine().shared.parts.query_runtime.spawn(leave(deciding, leaving, ending));
    task.await.unwrap_or_else(|_| Err(publish::incident("execution", "panic")))
}

async fn leave(deciding: Deciding, mut leaving: Leaving, mut ending: Option<Ending>) -> Result<Concluded, Error> {
    let session = &deciding.0;
    let committed = match leaving.take_write() {
        Some(write) => write.commit().await.map(Some),
        None => Ok(None),
    };
    let Ended { tag, warning, undo } = leaving.ended(committed.is_ok());
    let applied = session.apply(undo);
    match committed {
        Ok(made) => {
            if let Some(ending) = &mut ending {
                if let Some((object, version)) = made {
                    ending.committed(&object, version);
                }
                ending.wrote(0);
            }
            applied.map(|reported| Concluded { tag, warning, reported })
        }
        Err(error) => {
            if let Some(ending) = &mut ending {
                ending.finish(error.sqlstate());
            }
            session.report_later(applied.unwrap_or_default());
            Err(error)
        }
    }
}

/// Ends the transaction that a text of several statements is: commits what it has written. Nothing where there is none.
///
/// # Errors
/// 40001 where a concurrent writer won, 42501 where what may be written has changed: then all of the text is undone.
pub async fn settle(session: &Arc<Session>) -> Result<(), Error> {
    if !session.transaction().is_implicit() {
        return Ok(());
    }
    let concluded = commit(session, None).await?;
    session.report_later(concluded.reported);
    Ok(())
}

/// The same before a statement that must not begin while it is undecided: `deadline` does not cut it off.
pub(crate) async fn settle_before(session: &Arc<Session>, deadline: &Deadline) -> Result<(), Error> {
    if !session.transaction().is_implicit() {
        return Ok(());
    }
    deadline.hold()?;
    settle(session).await?;
    deadline.release()
}

/// What a rolled back write's record says.
pub(crate) const ROLLED_BACK: SqlState = SqlState::TRANSACTION_ROLLBACK;
