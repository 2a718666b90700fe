//! The scan of a table of which nothing is hidden from the principal: full speed, same leaf.
//!
//! Statistics are exact and filters pass, so that COUNT, MIN, MAX and TopK are as fast as on the raw table; it still
//! reads with the lake's credentials, and its errors still lose their text.
//!
//! Invariant: it is made only where the decision is [`Access::Open`](crate::Access::Open).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, Statistics};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion_physical_plan::execution_plan::reset_plan_states;
use datafusion_physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion_physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::sort_pushdown::SortOrderPushdownResult;
use datafusion_physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use lakeward_base::TableId;

use crate::access::TableDecision;
use crate::dynamic_filter::offer;
use crate::error::BarrierError;
use crate::incident::redacted;
use crate::scan_context::ScanContext;
use crate::scan_stream::{Egress, ScanMetrics, ScanStream};
use crate::stamp::Stamp;
use crate::subjects::Place;

/// One open scan.
#[derive(Clone)]
pub(crate) struct OpenScanExec {
    inner: Arc<dyn ExecutionPlan>,
    decision: Arc<TableDecision>,
    context: Arc<ScanContext>,
    properties: Arc<PlanProperties>,
    egress: Arc<[Egress]>,
    /// Where the raw scan's batches have their subjects.
    subject: Option<Place>,
    metrics: ExecutionPlanMetricsSet,
}

impl OpenScanExec {
    /// Wraps the raw scan `inner`, whose first columns are `schema`'s; at `subject` it says whose each row is.
    pub(crate) fn try_new(
        inner: Arc<dyn ExecutionPlan>,
        decision: Arc<TableDecision>,
        (schema, subject): (SchemaRef, Option<Place>),
        context: ScanContext,
    ) -> Result<Self> {
        if !matches!(decision.access, crate::access::Access::Open) {
            return Err(BarrierError::UngovernedLeaf { leaf: "open scan of a governed table".into() }.into());
        }
        Ok(Self {
            properties: published_properties(&inner, &schema)?,
            egress: vec![Egress::AsIs; schema.fields().len()].into(),
            inner,
            decision,
            subject,
            context: Arc::new(context),
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

    fn with_inner(&self, inner: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let properties = published_properties(&inner, &self.schema())?;
        Ok(Self { inner, properties, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() })
    }

    fn wrapped(&self, inner: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_inner(inner)?))
    }

    fn redact<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| redacted(&error, &self.decision.table))
    }
}

/// The inner plan's properties, over the published schema.
fn published_properties(inner: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<Arc<PlanProperties>> {
    let own = inner.properties();
    let equivalences = match own.equivalence_properties().clone().with_new_schema(Arc::clone(schema)) {
        Ok(equivalences) => equivalences,
        Err(_) => EquivalenceProperties::new(Arc::clone(schema)),
    };
    Ok(Arc::new(own.as_ref().clone().with_eq_properties(equivalences)))
}

impl ExecutionPlan for OpenScanExec {
    fn name(&self) -> &'static str {
        "OpenScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    /// Visits what the raw scan evaluates, so that a join sees whether its dynamic filter has a consumer.
    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply(|node| node.apply_expressions(f))
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        self.wrapped(self.redact(reset_plan_states(Arc::clone(&self.inner)))?)
    }

    fn repartitioned(&self, target_partitions: usize, _: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let inner = self.redact(self.inner.repartitioned(target_partitions, self.context.config().options()))?;
        inner.map(|inner| self.wrapped(inner)).transpose()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let tally = ScanContext::tally(&context, &self.decision, self.subject.as_ref());
        let context = self.context.inner(&context)?;
        Ok(Box::pin(ScanStream {
            inner: self.redact(self.inner.execute(partition, context))?,
            schema: self.schema(),
            egress: Arc::clone(&self.egress),
            table: Arc::new(self.decision.table),
            remaining: None,
            tally,
            metrics: ScanMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let inner = self.redact(StatisticsContext::new().compute(self.inner.as_ref(), args))?;
        let columns = self.schema().fields().len();
        if inner.column_statistics.len() <= columns {
            return Ok(inner);
        }
        let mut published = inner.as_ref().clone();
        published.column_statistics.truncate(columns);
        Ok(Arc::new(published))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.wrapped(self.inner.with_fetch(limit)?).ok()
    }

    fn fetch(&self) -> Option<usize> {
        self.inner.fetch()
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        self.redact(self.inner.try_pushdown_sort(order))?.try_map(|inner| self.wrapped(inner))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        if result.parent_filters.is_empty() {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![]));
        }
        let filters = result.parent_filters.into_iter().map(|parent| parent.filter).collect();
        let (inner, answers) = self.redact(offer(&self.inner, filters, phase, self.context.config().options()))?;
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers).with_updated_node(self.wrapped(inner)?))
    }
}

impl DisplayAs for OpenScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "OpenScan: {} policy=v{}", self.decision.name, self.decision.epoch)
            }
            DisplayFormatType::TreeRender => write!(f, "{} policy=v{}", self.decision.name, self.decision.epoch),
        }
    }
}

impl fmt::Debug for OpenScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenScanExec").field("decision", &self.decision).finish_non_exhaustive()
    }
}
