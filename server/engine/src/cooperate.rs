//! Makes joins give way, so that a query can be cancelled and leaves room for others.
//!
//! DataFusion makes leaves give way. A join can make rows for hours out of what it has read, and an aggregate above it
//! takes them without a pause: such a query would hold its thread until the end, cancelled or not.
//!
//! A nested loop join pairs a batch with all rows of the other side before it looks up, and may keep none of the pairs:
//! its condition looks whether the statement has been stopped, and lends its thread's other work to another thread.
//!
//! Each operator on the way down to a leaf takes a share of what a task may do at a time, and there are 128 of them: a
//! plan that is deeper would give way for ever, and is refused. Invariant: no operator that makes more rows than it
//! reads runs without giving way.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::unnest::UnnestExec;
use lakeward_base::SqlState;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How many operators that give way may stand on top of each other.
const DEPTH: usize = 120;

/// How many batches a condition is evaluated on before the thread's other work goes elsewhere.
const BATCHES: usize = 16;

/// The rule, for one statement.
#[derive(Debug)]
pub(crate) struct Cooperate {
    /// Cancelled when nobody waits for the statement any more.
    pub(crate) stop: CancellationToken,
}

impl PhysicalOptimizerRule for Cooperate {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let giving_way = plan
            .transform_up(|node| {
                if node.children().len() < 2 && !node.is::<UnnestExec>() {
                    return Ok(Transformed::no(node));
                }
                let node = self.interruptible(node)?;
                let giving_way: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
                Ok(Transformed::yes(giving_way))
            })
            .data()?;
        if depth(&giving_way) > DEPTH {
            let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "the statement joins too many tables")
                .with_hint("Keep the result of some of the joins in a table.");
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(giving_way)
    }

    fn name(&self) -> &str {
        "cooperate"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl Cooperate {
    fn interruptible(&self, node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() else { return Ok(node) };
        let Some(filter) = join.filter() else { return Ok(node) };
        let condition = Condition {
            inner: Arc::clone(filter.expression()),
            stop: self.stop.clone(),
            evaluated: AtomicUsize::new(0),
        };
        let (indices, schema) = (filter.column_indices().to_vec(), Arc::clone(filter.schema()));
        let filter = JoinFilter::new(Arc::new(condition), indices, schema);
        Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?))
    }
}

/// A join's condition that can be stopped.
#[derive(Debug)]
struct Condition {
    inner: Arc<dyn PhysicalExpr>,
    stop: CancellationToken,
    evaluated: AtomicUsize,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Condition {}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Condition {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stop.is_cancelled() {
            let error = Error::new(SqlState::QUERY_CANCELED, "canceling statement");
            return Err(DataFusionError::External(Box::new(error)));
        }
        if self.evaluated.fetch_add(1, Ordering::Relaxed) % BATCHES == BATCHES - 1 {
            lend_thread();
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(inner) = children.pop() else { return internal_err!("a condition without an expression") };
        Ok(Arc::new(Self { inner, stop: self.stop.clone(), evaluated: AtomicUsize::new(0) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Tasks that wait for this thread go on, on another one; this task keeps the thread until it gives way.
pub(crate) fn lend_thread() {
    let runtime = tokio::runtime::Handle::try_current();
    if runtime.is_ok_and(|runtime| runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread) {
        tokio::task::block_in_place(|| {});
    }
}

fn depth(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below = plan.children().into_iter().map(depth).max().unwrap_or_default();
    below + usize::from(plan.is::<CooperativeExec>())
}
