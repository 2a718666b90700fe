//! The only kind of lake table that a user's plan can name.
//!
//! It is made per statement and holds its decision, because the planner asks it which filters it takes without telling
//! for whom.
//!
//! Invariant: it has no logical plan to inline, and its schema is the same for every role.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::{DFSchema, Result};
use datafusion_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::ExecutionPlan;
use lakeward_base::TableId;
use lakeward_catalog::RawTable;

use crate::access::{Access, TableDecision};
use crate::error::BarrierError;
use crate::governed_scan::GovernedScanExec;
use crate::incident::redacted;
use crate::inner_plan;
use crate::leakproof::{Columns, is_leakproof, takes_predicates};
use crate::open_scan::OpenScanExec;
use crate::privileged::PrivilegedSessions;
use crate::scan_context::{ScanContext, require_stamp};
use crate::shadow;
use crate::stamp::Stamp;
use crate::subjects::Place;

/// A table as one principal may see it, for one statement.
pub struct GovernedTable {
    raw: RawTable,
    decision: Arc<TableDecision>,
    stamp: Stamp,
    privileged: Arc<dyn PrivilegedSessions>,
}

impl GovernedTable {
    /// The table behind `raw`, under a decision made for the statement that `stamp` names.
    #[must_use]
    pub fn new(
        raw: RawTable,
        decision: Arc<TableDecision>,
        stamp: Stamp,
        privileged: Arc<dyn PrivilegedSessions>,
    ) -> Self {
        Self { raw, decision, stamp, privileged }
    }

    /// The decision that it holds.
    #[must_use]
    pub fn decision(&self) -> &Arc<TableDecision> {
        &self.decision
    }

    /// The statement that it was made for.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Its table.
    #[must_use]
    pub fn table(&self) -> TableId {
        self.decision.table
    }

    /// Column privileges: whatever leaves the scan, or decides what leaves it, was granted.
    fn check_columns(&self, projection: Option<&[usize]>, filters: &[Expr]) -> Result<()> {
        let decision = &self.decision;
        let filtered = filters.iter().flat_map(Expr::column_refs).any(|column| {
            decision.schema.index_of(&column.name).map_or(true, |index| decision.withheld.contains(&index))
        });
        if decision.withholds(projection) || (filtered && !decision.withheld.is_empty()) {
            return Err(BarrierError::ColumnPrivilege { table: decision.name.clone() }.into());
        }
        Ok(())
    }

    fn take(&self, filter: &Expr) -> TableProviderFilterPushDown {
        if self.may_take(filter) {
            // The inner plan has a filter node for it: nothing is left to do above.
            TableProviderFilterPushDown::Exact
        } else {
            TableProviderFilterPushDown::Unsupported
        }
    }

    fn may_take(&self, filter: &Expr) -> bool {
        takes_predicates(&self.decision) && is_leakproof(filter, &Columns::shown(&self.decision))
    }

    async fn governed_scan(&self, projection: Option<&[usize]>, filters: &[Expr]) -> Result<GovernedScanExec> {
        if !filters.iter().all(|filter| self.may_take(filter)) {
            return Err(BarrierError::UnexpectedFilter.into());
        }
        let session = self.privileged.session();
        let counters = match self.privileged.shadow_counts() {
            Some(counts) => shadow::counting(&self.decision, &counts, session.as_ref()),
            None => Vec::new(),
        };
        let (mut extras, mut subject) = (counters, inner_plan::subject_place(&self.decision, projection));
        if let Some(column) = inner_plan::subject_column(&self.raw, &self.decision).filter(|_| subject.is_none()) {
            subject = Some(inner_plan::width(&self.decision, projection) + extras.len());
            extras.push(column);
        }
        let plan = inner_plan::build(&self.raw, &self.decision, projection, filters, extras)?;
        let inner = session.create_physical_plan(&plan).await?;
        let context = ScanContext::new(self.stamp, session.as_ref());
        GovernedScanExec::try_new(
            inner,
            Arc::clone(&self.decision),
            (projection, subject),
            self.raw.rows(),
            !filters.is_empty(),
            (context, Arc::clone(&self.privileged)),
        )
    }

    /// The filters that the scan was handed, over its columns: those of them that can be told by these.
    fn conditions(&self, session: &dyn Session, schema: &SchemaRef, filters: &[Expr]) -> Arc<[Arc<dyn PhysicalExpr>]> {
        if self.decision.subject.is_none() {
            return Arc::new([]);
        }
        let Ok(schema) = DFSchema::try_from(Arc::clone(schema)) else { return Arc::new([]) };
        let physical = |filter: &Expr| session.create_physical_expr(filter.clone(), &schema).ok();
        // What is not the same each time it is asked says nothing.
        filters.iter().filter(|filter| !filter.is_volatile()).filter_map(physical).collect()
    }

    async fn open_scan(
        &self,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<OpenScanExec> {
        let session = self.privileged.session();
        let mut raw_projection = inner_plan::raw_projection(&self.raw, &self.decision, projection)?;
        let mut subject = inner_plan::subject_place(&self.decision, projection);
        let column = self.decision.subject.as_ref().and_then(|name| self.raw.schema().index_of(name).ok());
        if let Some(column) = column.filter(|_| subject.is_none()) {
            subject = Some(raw_projection.len());
            raw_projection.push(column);
        }
        let inner = self.raw.scan(session.as_ref(), Some(&raw_projection), filters, limit).await?;
        let schema = inner_plan::projected_schema(&self.decision, projection)?;
        let context = ScanContext::new(self.stamp, session.as_ref());
        let subject =
            subject.map(|column| Place { column, conditions: self.conditions(session.as_ref(), &schema, filters) });
        OpenScanExec::try_new(inner, Arc::clone(&self.decision), (schema, subject), context)
    }
}

#[async_trait]
impl TableProvider for GovernedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.decision.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        match self.decision.access {
            Access::Governed { .. } => Ok(filters.iter().map(|filter| self.take(filter)).collect()),
            Access::Open => {
                let answer = self.raw.privileged_provider().supports_filters_pushdown(filters);
                answer.map_err(|error| redacted(&error, &self.decision.table))
            }
        }
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        require_stamp(state.config(), &self.stamp)?;
        let projection = projection.map(Vec::as_slice);
        self.check_columns(projection, filters)?;
        let scan: Result<Arc<dyn ExecutionPlan>> = match self.decision.access {
            Access::Governed { .. } => self.governed_scan(projection, filters).await.map(|scan| {
                let scan: Arc<dyn ExecutionPlan> = Arc::new(scan);
                scan.with_fetch(limit).unwrap_or(scan)
            }),
            Access::Open => self.open_scan(projection, filters, limit).await.map(|scan| Arc::new(scan) as _),
        };
        scan.map_err(|error| redacted(&error, &self.decision.table))
    }
}

impl fmt::Debug for GovernedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedTable").field("decision", &self.decision).finish_non_exhaustive()
    }
}
