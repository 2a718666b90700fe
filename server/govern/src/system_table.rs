//! Tables that Lakeward makes itself: `system.*`, `pg_catalog.*`, `information_schema.*`.
//!
//! Their rows are filtered for the principal when they are made, so they need no policy; the wrapper is what lets the
//! leaf guard tell them from a raw table.
//!
//! Invariant: only rows that the principal may see are in the wrapped provider, and it is read only under its stamp.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, Statistics};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::execution_plan::reset_plan_states;
use datafusion_physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use crate::incident::redacted;
use crate::privileged::PrivilegedSessions;
use crate::scan_context::{ScanContext, require_stamp};
use crate::scan_stream::{Egress, ScanMetrics, ScanStream};
use crate::stamp::Stamp;

/// A table that Lakeward makes itself, also the result of an allowed table function (`generate_series`).
pub struct SystemTable {
    name: Arc<str>,
    provider: Arc<dyn TableProvider>,
    stamp: Stamp,
    privileged: Arc<dyn PrivilegedSessions>,
}

impl SystemTable {
    /// Wraps `provider`, whose rows are already filtered for the principal of `stamp`.
    #[must_use]
    pub fn new(
        name: &str,
        provider: Arc<dyn TableProvider>,
        stamp: Stamp,
        privileged: Arc<dyn PrivilegedSessions>,
    ) -> Self {
        Self { name: name.into(), provider, stamp, privileged }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The statement that it was made for.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    fn table_type(&self) -> TableType {
        self.provider.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.provider.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        require_stamp(state.config(), &self.stamp)?;
        let session = self.privileged.session();
        let inner = self.provider.scan(session.as_ref(), projection, filters, limit).await;
        let inner = inner.map_err(|error| redacted(&error, &self.name))?;
        let context = Arc::new(ScanContext::new(self.stamp, session.as_ref()));
        let egress = vec![Egress::AsIs; inner.schema().fields().len()].into();
        Ok(Arc::new(SystemScanExec {
            name: Arc::clone(&self.name),
            inner,
            context,
            egress,
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The scan of a [`SystemTable`].
#[derive(Clone)]
pub(crate) struct SystemScanExec {
    name: Arc<str>,
    inner: Arc<dyn ExecutionPlan>,
    context: Arc<ScanContext>,
    egress: Arc<[Egress]>,
    metrics: ExecutionPlanMetricsSet,
}

impl SystemScanExec {
    /// The statement that it was made for.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        self.context.stamp()
    }
}

impl ExecutionPlan for SystemScanExec {
    fn name(&self) -> &'static str {
        "SystemScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = reset_plan_states(Arc::clone(&self.inner)).map_err(|error| redacted(&error, &self.name))?;
        Ok(Arc::new(Self { inner, metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = self.context.inner(&context)?;
        let inner = self.inner.execute(partition, context).map_err(|error| redacted(&error, &self.name))?;
        Ok(Box::pin(ScanStream {
            inner,
            schema: self.schema(),
            egress: Arc::clone(&self.egress),
            table: Arc::new(Arc::clone(&self.name)),
            remaining: None,
            tally: None,
            metrics: ScanMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(self.inner.as_ref(), args)
    }
}

impl DisplayAs for SystemScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SystemScan: {}", self.name)
    }
}

impl fmt::Debug for SystemScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemScanExec").field("name", &self.name).finish_non_exhaustive()
    }
}
