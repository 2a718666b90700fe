//! The inlined policy: what the barrier replaces, kept as the non-interference test's control.
//!
//! It hands the planner its policy as ordinary nodes, which leaks. The test must find that it does, else the test finds
//! nothing. Behind the cargo feature `control`, which only tests enable.
//!
//! Invariant: no crate enables the feature outside its dev-dependencies.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{Expr, LogicalPlan, TableType};
use datafusion_physical_plan::ExecutionPlan;
use lakeward_catalog::RawTable;

use crate::access::TableDecision;
use crate::inner_plan;

/// A table whose policy is inlined into the user's plan.
pub struct NaiveTable {
    plan: LogicalPlan,
}

/// Inlines a decision.
///
/// # Errors
/// Where the plan cannot be built.
pub fn naive_inline(raw: &RawTable, decision: &TableDecision) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(NaiveTable { plan: inner_plan::build(raw, decision, None, &[], Vec::new())? }))
}

#[async_trait]
impl TableProvider for NaiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("an inlined table is never scanned")
    }
}

impl fmt::Debug for NaiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NaiveTable")
    }
}
