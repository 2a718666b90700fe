//! The barrier: a leaf that runs the governed plan of one table inside itself.
//!
//! To the user's optimizer it has no children, no column statistics and no predicate to absorb; what comes out of it
//! is what the principal may see.
//!
//! Invariants: it runs only under its own stamp; every parent filter is answered `No`; only dynamic filters over
//! pass-through columns go inside; its row count is an estimate from the whole table, the same for every role.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::stats::Precision;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, Statistics, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion_physical_plan::execution_plan::{
    Boundedness, EmissionType, EvaluationType, SchedulingType, apply_expression_roots, replace_children_if_necessary,
    reset_plan_states,
};
use datafusion_physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion_physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::statistics::StatisticsArgs;
use datafusion_physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::TryStreamExt;
use lakeward_base::TableId;

use crate::access::{Access, TableDecision};
use crate::dynamic_filter::{is_consumed, offer};
use crate::incident::redacted;
use crate::inner_plan::projected_schema;
use crate::leakproof::{is_forwardable, takes_predicates};
use crate::mapping::{mappings, read_mappings};
use crate::privileged::PrivilegedSessions;
use crate::scan_context::ScanContext;
use crate::scan_stream::{Egress, ScanMetrics, ScanStream};
use crate::stamp::Stamp;
use crate::subjects::Place;

/// One governed scan.
#[derive(Clone)]
pub(crate) struct GovernedScanExec {
    /// The governed plan, without `fetch`.
    inner: Arc<dyn ExecutionPlan>,
    /// The governed plan that runs: `inner`, with `fetch` as far down as it may go.
    running: Arc<dyn ExecutionPlan>,
    decision: Arc<TableDecision>,
    egress: Arc<[Egress]>,
    rows: Precision<usize>,
    context: Arc<ScanContext>,
    /// For what the policies read besides.
    privileged: Arc<dyn PrivilegedSessions>,
    forwarded: Vec<Arc<dyn PhysicalExpr>>,
    fetch: Option<usize>,
    /// Where the inner plan's batches have their subjects.
    subject: Option<Place>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GovernedScanExec {
    /// Wraps `inner`, whose first columns are those at `projection`; at `subject` it says whose each row is.
    pub(crate) fn try_new(
        inner: Arc<dyn ExecutionPlan>,
        decision: Arc<TableDecision>,
        (projection, subject): (Option<&[usize]>, Option<usize>),
        table_rows: Precision<usize>,
        filtered: bool,
        (context, privileged): (ScanContext, Arc<dyn PrivilegedSessions>),
    ) -> Result<Self> {
        let schema = projected_schema(&decision, projection)?;
        let inner_schema = inner.schema();
        for (index, field) in schema.fields().iter().enumerate() {
            if inner_schema.fields().get(index).map(|inner| inner.data_type()) != Some(field.data_type()) {
                return internal_err!("a governed plan does not yield the table's types");
            }
        }
        let egress = match projection {
            None => (0..decision.schema.fields().len()).map(|index| egress(&decision, index)).collect(),
            Some(projection) => projection.iter().map(|&index| egress(&decision, index)).collect(),
        };
        let partitions = context.config().target_partitions();
        let inner = spread(inner, &context)?;
        Ok(Self {
            running: Arc::clone(&inner),
            properties: published_properties(partitions, schema),
            inner,
            decision,
            egress,
            rows: estimate(table_rows, filtered),
            context: Arc::new(context),
            privileged,
            forwarded: Vec::new(),
            fetch: None,
            subject: subject.map(Place::at),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The statement that it was made for.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        self.context.stamp()
    }

    /// The table that it reads.
    #[must_use]
    pub fn table(&self) -> TableId {
        self.decision.table
    }

    /// The plan inside, for tests that look at pruning.
    #[cfg(test)]
    pub(crate) fn inner_for_tests(&self) -> &Arc<dyn ExecutionPlan> {
        &self.inner
    }

    /// The same scan over another inner plan and limit.
    fn with_inner(&self, inner: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Result<Self> {
        let inner = spread(inner, &self.context)?;
        let running = match fetch {
            Some(rows) => limited(&inner, rows)?,
            None => Arc::clone(&inner),
        };
        Ok(Self { inner, running, fetch, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() })
    }

    /// The rows of the governed plan, once the keys that its policies probe were read.
    fn rows(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let filter = match &self.decision.access {
            Access::Governed { row_filter, .. } => row_filter.as_ref(),
            Access::Open => None,
        };
        let Some(filter) = filter.filter(|filter| !mappings(filter).is_empty()).cloned() else {
            return self.running.execute(partition, context);
        };
        let (running, privileged) = (Arc::clone(&self.running), Arc::clone(&self.privileged));
        let schema = running.schema();
        let rows = futures::stream::once(async move {
            read_mappings(&filter, privileged.as_ref(), &context.runtime_env()).await?;
            running.execute(partition, context)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.try_flatten())))
    }

    /// The filters from above that may go inside.
    fn forwardable(&self, result: &ChildPushdownResult) -> Vec<Arc<dyn PhysicalExpr>> {
        if !takes_predicates(&self.decision) {
            return Vec::new();
        }
        let schema = self.schema();
        let shows_raw = |index: usize| self.egress.get(index) == Some(&Egress::PassThrough);
        let filters = result.parent_filters.iter().map(|parent| &parent.filter);
        filters.filter(|filter| is_forwardable(filter, &schema, shows_raw)).cloned().collect()
    }

    /// The scan with `filters` inside; `None` where nothing inside would use them.
    fn with_dynamic_filters(&self, filters: Vec<Arc<dyn PhysicalExpr>>) -> Result<Option<Self>> {
        let config = self.context.config().options();
        let (inner, _) = offer(&self.inner, filters.clone(), FilterPushdownPhase::Post, config)?;
        let mut scan = self.with_inner(inner, self.fetch)?;
        for filter in filters {
            if is_consumed(&scan.inner, &filter)? {
                scan.forwarded.push(filter);
            }
        }
        Ok((scan.forwarded.len() > self.forwarded.len()).then_some(scan))
    }
}

fn egress(decision: &TableDecision, index: usize) -> Egress {
    if decision.passes_through(index) { Egress::PassThrough } else { Egress::Masked }
}

/// What the user's optimizer may know: as many partitions as the session has, and that they run. The same whatever is
/// inside: the number of files that pruning leaves would tell of hidden rows' values, and an ordering of the policy.
fn published_properties(partitions: usize, schema: SchemaRef) -> Arc<PlanProperties> {
    Arc::new(
        PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative)
        .with_evaluation_type(EvaluationType::Lazy),
    )
}

/// The plan inside, over as many partitions as are published where it can be split, and over no more.
fn spread(inner: Arc<dyn ExecutionPlan>, context: &ScanContext) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = context.config().target_partitions().max(1);
    let found = inner.properties().output_partitioning().partition_count();
    if found > partitions {
        return Ok(Arc::new(CoalescePartitionsExec::new(inner)));
    }
    // Only the raw scan itself: above it, the inner plan's own optimizer has seen to this.
    if found < partitions && inner.children().is_empty() {
        return Ok(inner.repartitioned(partitions, context.config().options())?.unwrap_or(inner));
    }
    Ok(inner)
}

/// The published row count: the whole table's, rounded up to a power of two. Leakproof predicates, which the user knows
/// of, make it a quarter.
fn estimate(table_rows: Precision<usize>, filtered: bool) -> Precision<usize> {
    match table_rows.get_value().map(|rows| rows.max(&1).checked_next_power_of_two()) {
        Some(Some(rows)) => Precision::Inexact(if filtered { (rows / 4).max(1) } else { rows }),
        Some(None) | None => Precision::Absent,
    }
}

/// Puts a limit on each partition of `plan`, below nodes that keep each row, so that a filter stops early.
fn limited(plan: &Arc<dyn ExecutionPlan>, rows: usize) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(limited) = plan.with_fetch(Some(rows)) {
        return Ok(limited);
    }
    let children = plan.children();
    match (children.as_slice(), plan.supports_limit_pushdown()) {
        ([child], true) => replace_children_if_necessary(Arc::clone(plan), vec![limited(child, rows)?]),
        _ => Ok(Arc::clone(plan)),
    }
}

impl ExecutionPlan for GovernedScanExec {
    fn name(&self) -> &'static str {
        "GovernedScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    /// Visits the forwarded dynamic filters only: they are the user's plan's own.
    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.forwarded.iter(), f)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner =
            reset_plan_states(Arc::clone(&self.inner)).map_err(|error| redacted(&error, &self.decision.table))?;
        Ok(Arc::new(self.with_inner(inner, self.fetch)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let tally = ScanContext::tally(&context, &self.decision, self.subject.as_ref());
        let context = self.context.inner(&context)?;
        if partition >= self.running.properties().output_partitioning().partition_count() {
            return Ok(Box::pin(EmptyRecordBatchStream::new(self.schema())));
        }
        let inner = self.rows(partition, context).map_err(|error| redacted(&error, &self.decision.table))?;
        Ok(Box::pin(ScanStream {
            inner,
            schema: self.schema(),
            egress: Arc::clone(&self.egress),
            table: Arc::new(self.decision.table),
            remaining: self.fetch,
            tally,
            metrics: ScanMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let partitions = self.properties.output_partitioning().partition_count().max(1);
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = match (self.rows, args.partition()) {
            (Precision::Inexact(rows), Some(_)) => Precision::Inexact((rows / partitions).max(1)),
            (rows, _) => rows,
        };
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.with_inner(Arc::clone(&self.inner), limit).ok().map(|scan| Arc::new(scan) as _)
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let refused =
            FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; result.parent_filters.len()]);
        if phase != FilterPushdownPhase::Post {
            return Ok(refused);
        }
        let filters = self.forwardable(&result);
        if filters.is_empty() {
            return Ok(refused);
        }
        match self.with_dynamic_filters(filters) {
            Ok(Some(scan)) => Ok(refused.with_updated_node(Arc::new(scan))),
            Ok(None) => Ok(refused),
            Err(error) => Err(redacted(&error, &self.decision.table)),
        }
    }
}

impl DisplayAs for GovernedScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "GovernedScan: {} policy=v{}", self.decision.name, self.decision.epoch)?;
                self.fetch.map_or(Ok(()), |rows| write!(f, ", fetch={rows}"))
            }
            DisplayFormatType::TreeRender => write!(f, "{} policy=v{}", self.decision.name, self.decision.epoch),
        }
    }
}

/// The inner plan holds policy expressions: it does not print.
impl fmt::Debug for GovernedScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<DataType> = self.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        f.debug_struct("GovernedScanExec")
            .field("decision", &self.decision)
            .field("types", &types)
            .finish_non_exhaustive()
    }
}
