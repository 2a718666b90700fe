//! COPY: what of it is the engine's. The adapter turns rows into bytes and bytes into rows; here is decided what may be
//! read and written, and the rows that a client sends go the way of INSERT's.
//!
//! Invariant: nothing is committed before the client has said that it is done: a [`CopyWriter`] that is dropped, or
//! whose client failed, leaves the table as it was.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use lakeward_audit::ObjectFacts;
use lakeward_base::{Coded, SqlState};
use lakeward_catalog::{StagedWrite, Table, WriteMode};
use lakeward_govern::{ResolvedTable, WriteDecision};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::modifier::Modifiers;
use crate::pending::{self, WriteRules, Writing};
use crate::policy;
use crate::publish;
use crate::query::QueryPlanner;
use crate::resolve::Resolved;
use crate::response::{Command, Response};
use crate::statement::{CopyIn, CopyOptions, CopyOut, Quoted};
use crate::stream::{AbortOnDrop, Deadline, Ending};
use crate::vantage::Vantage;
use crate::watch::Watch;
use crate::write;

/// Batches between the client and the store.
const QUEUE_BATCHES: usize = 2;

/// A COPY FROM that is ready to run.
pub(crate) struct CopyPlan {
    /// What holds for the rows.
    pub(crate) check: WriteDecision,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) target: ResolvedTable,
    columns: Vec<usize>,
    options: Arc<CopyOptions>,
}

impl CopyPlan {
    /// What the audit keeps of the target.
    pub(crate) fn object(&self, vantage: &Vantage) -> ObjectFacts {
        ObjectFacts { name: vantage.snapshot.qualified_name(self.target.table.id), ..ObjectFacts::default() }
    }
}

/// Plans a COPY FROM: the same privileges, masks and checks as for INSERT.
pub(crate) fn plan(planner: &QueryPlanner<'_>, copy: &CopyIn) -> Result<CopyPlan, Error> {
    let Some(target) = &planner.resolved.target else { return Err(publish::incident("planning", "copy")) };
    let schema = target.raw.schema();
    let columns = if copy.columns.is_empty() {
        (0..schema.fields().len()).collect()
    } else {
        write::places(&schema, &copy.columns, &copy.table.name)?
    };
    let (check, predicate) = write::decided(planner, target, &columns)?;
    let names: Vec<&str> = columns.iter().map(|index| schema.field(*index).name().as_str()).collect();
    let relation = Some(copy.table.name.as_str());
    referenced("FORCE_NOT_NULL", &copy.options.force_not_null, &names, &schema, relation)?;
    referenced("FORCE_NULL", &copy.options.force_null, &names, &schema, relation)?;
    Ok(CopyPlan { check, predicate, target: target.clone(), columns, options: Arc::clone(&copy.options) })
}

/// Columns that are to be quoted must be among those that are sent.
pub(crate) fn check_forced(schema: &SchemaRef, resolved: &Resolved, copy: &CopyOut) -> Result<(), Error> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let relation = copy.table.as_ref().map(|table| table.name.as_str());
    let table = copy.table.as_ref().and_then(|_| resolved.only_table());
    let known = table.as_ref().unwrap_or(schema);
    referenced("FORCE_QUOTE", &copy.options.force_quote, &names, known, relation)
}

fn referenced(
    option: &str,
    forced: &Quoted,
    copied: &[&str],
    schema: &SchemaRef,
    relation: Option<&str>,
) -> Result<(), Error> {
    for name in forced.names() {
        if copied.contains(&name.as_str()) {
            continue;
        }
        let message = format!("{option} column \"{name}\" not referenced by COPY");
        return Err(match (schema.index_of(name), relation) {
            (Ok(_), _) => Error::new(SqlState::INVALID_COLUMN_REFERENCE, message),
            (Err(_), Some(relation)) => {
                let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
                Error::new(SqlState::UNDEFINED_COLUMN, message)
            }
            (Err(_), None) => Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")),
        });
    }
    Ok(())
}

/// What the adapter hands over; the end is said in so many words.
type Step = Option<RecordBatch>;

/// Rows on their way from a client into a table. To be [finished](Self::finish), or nothing of them is kept.
pub struct CopyWriter {
    columns: SchemaRef,
    table: Arc<Table>,
    options: Arc<CopyOptions>,
    rows: Option<mpsc::Sender<Step>>,
    task: AbortOnDrop<Result<Arc<dyn StagedWrite>, Error>>,
    ending: Ending,
    deadline: Deadline,
    vantage: Arc<Vantage>,
    /// To decide again when it is committed.
    watch: Watch,
    rules: WriteRules,
    /// The block that it is a part of.
    block: Option<u64>,
}

/// Begins to take rows, once the audit record is durable.
pub(crate) async fn start(
    vantage: Vantage,
    plan: CopyPlan,
    (watch, rules): (Watch, WriteRules),
    mut ending: Ending,
    deadline: Deadline,
) -> Result<Response, Error> {
    if let Some(durable) = ending.durable()
        && let Err(error) = durable.await
    {
        ending.finish(error.sqlstate());
        return Err(Error::from_coded(&error));
    }
    let schema = plan.target.raw.schema();
    let nullable = |index: &usize| schema.fields().get(*index).map(|field| field.as_ref().clone().with_nullable(true));
    let columns = Arc::new(Schema::new(plan.columns.iter().filter_map(nullable).collect::<Vec<_>>()));
    let (rows, queue) = mpsc::channel(QUEUE_BATCHES);
    let (table, options) = (Arc::clone(&plan.target.table), Arc::clone(&plan.options));
    let runtime = vantage.session.engine().shared.parts.query_runtime.clone();
    let block = vantage.block;
    let vantage = Arc::new(vantage);
    let task = AbortOnDrop(runtime.spawn(stage(Arc::clone(&vantage), plan, queue, block.is_some())));
    let rows = Some(rows);
    let writer = CopyWriter { columns, table, options, rows, task, ending, deadline, vantage, watch, rules, block };
    Ok(Response::CopyIn(Box::new(writer)))
}

/// The way of INSERT's rows.
async fn stage(
    vantage: Arc<Vantage>,
    plan: CopyPlan,
    queue: mpsc::Receiver<Step>,
    in_block: bool,
) -> Result<Arc<dyn StagedWrite>, Error> {
    policy::ready(&vantage, &[plan.check.check.as_ref()]).await?;
    let schema = plan.target.raw.schema();
    let rows = widened(queue, &schema, plan.columns);
    let modifiers = Modifiers::of(&plan.target.table, &schema);
    let checked = write::checked(rows, &schema, plan.predicate, modifiers, &plan.target.table.name);
    write::stage_rows(&vantage, &plan.target, WriteMode::Append, checked, in_block).await
}

/// Rows with all of the table's columns: those that are not copied are NULL.
fn widened(queue: mpsc::Receiver<Step>, schema: &SchemaRef, columns: Vec<usize>) -> SendableRecordBatchStream {
    let fields: Vec<FieldRef> =
        schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
    let whole = Arc::new(Schema::new(fields));
    let target = Arc::clone(&whole);
    let widen = move |batch: &RecordBatch| -> Result<RecordBatch, DataFusionError> {
        let column = |(index, field): (usize, &FieldRef)| -> ArrayRef {
            let given = columns.iter().position(|column| *column == index);
            given.map_or_else(
                || new_null_array(field.data_type(), batch.num_rows()),
                |place| Arc::clone(batch.column(place)),
            )
        };
        let all = target.fields().iter().enumerate().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&target), all, &options)?)
    };
    let steps = futures::stream::unfold(Some(queue), |queue| async move {
        let mut queue = queue?;
        match queue.recv().await {
            Some(Some(batch)) => Some((Ok(batch), Some(queue))),
            Some(None) => None,
            // Nobody has said that this was all.
            None => Some((Err(write::external(given_up())), None)),
        }
    });
    let rows = steps.map(move |batch: Result<RecordBatch, DataFusionError>| widen(&batch?));
    Box::pin(RecordBatchStreamAdapter::new(whole, rows))
}

fn given_up() -> Error {
    Error::new(SqlState::QUERY_CANCELED, "COPY from stdin failed")
}

impl CopyWriter {
    /// The columns that rows have, in this order, all of them nullable: NOT NULL is checked with the policies.
    #[must_use]
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table.name
    }

    /// The form of the data.
    #[must_use]
    pub fn options(&self) -> &Arc<CopyOptions> {
        &self.options
    }

    /// Hands rows over; waits while the store is behind.
    ///
    /// # Errors
    /// What became of the rows before: a policy that they violate, a store that fails, a cancel. The statement has
    /// ended then.
    pub async fn write(&mut self, rows: RecordBatch) -> Result<(), Error> {
        let deadline = self.deadline.clone();
        let sent = deadline.enforce(self.hand_over(Some(rows))).await;
        sent.inspect_err(|error| self.ending.finish(error.sqlstate()))
    }

    async fn hand_over(&mut self, step: Step) -> Result<(), Error> {
        let Some(rows) = &self.rows else { return Err(publish::incident("execution", "copy")) };
        if rows.send(step).await.is_ok() {
            return Ok(());
        }
        // The other end is only gone where the rows before were refused.
        self.rows = None;
        self.outcome().await?;
        Err(publish::incident("execution", "copy"))
    }

    async fn outcome(&mut self) -> Result<Arc<dyn StagedWrite>, Error> {
        (&mut self.task.0).await.unwrap_or_else(|_| Err(publish::incident("execution", "panic")))
    }

    /// The client has sent everything: commits, or keeps it for the end of the transaction block.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn finish(mut self) -> Result<Command, Error> {
        let deadline = self.deadline.clone();
        let staging = async {
            self.hand_over(None).await?;
            self.rows = None;
            self.outcome().await
        };
        let staged = match deadline.enforce(staging).await {
            Ok(staged) => staged,
            Err(error) => {
                self.ending.finish(error.sqlstate());
                return Err(error);
            }
        };
        let Self { vantage, ending, watch, rules, table, block, .. } = self;
        let writing = Writing { vantage: &vantage, deadline: &deadline, ending, watch, rules };
        let rows = pending::conclude(writing, staged, table, block).await?;
        Ok(Command { tag: format!("COPY {rows}"), ..Command::default() })
    }

    /// The client, or what it sent, failed: the audit keeps why, the table nothing.
    pub fn fail(mut self, error: &Error) {
        self.ending.finish(error.sqlstate());
    }

    /// Resolves when the statement is cancelled or too late.
    pub async fn interrupted(&self) -> Error {
        let forever = std::future::pending::<Result<std::convert::Infallible, Error>>();
        match self.deadline.clone().enforce(forever).await {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }
}

impl fmt::Debug for CopyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyWriter").field("table", &self.table.id).finish_non_exhaustive()
    }
}
