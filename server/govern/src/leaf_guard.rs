//! Checks that a plan reads from nothing but governed, open and system scans and constants.
//!
//! It runs three times: on the logical plan, and as the first and the last physical rule, because a rule in between
//! could put a raw scan in a scan's place.
//!
//! Invariant: by allow-list; a leaf is matched by its concrete type, because `is::<T>()` believes a node that claims to
//! be another.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_catalog::cte_worktable::CteWorkTable;
use datafusion_catalog::default_table_source::source_as_provider;
use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_datasource::memory::MemorySourceConfig;
use datafusion_datasource::source::DataSourceExec;
use datafusion_expr::LogicalPlan;
use datafusion_expr::logical_plan::{TableScan, Values};
use datafusion_physical_optimizer::PhysicalOptimizerRule;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::empty::EmptyExec;
use datafusion_physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion_physical_plan::work_table::WorkTableExec;
use lakeward_base::TableId;
use parking_lot::RwLock;

use crate::access::Decision;
use crate::error::BarrierError;
use crate::governed_scan::GovernedScanExec;
use crate::governed_table::GovernedTable;
use crate::open_scan::OpenScanExec;
use crate::stamp::Stamp;
use crate::system_table::{SystemScanExec, SystemTable};

/// The guard of one statement.
#[derive(Debug)]
pub struct LeafGuard {
    stamp: Stamp,
    tables: BTreeSet<TableId>,
    /// The VALUES lists of the logical plan: a memory scan is allowed only where it is one of them.
    constants: RwLock<Vec<Constants>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Constants {
    schema: SchemaRef,
    rows: usize,
}

impl LeafGuard {
    /// A guard for the statement that `stamp` names, over the tables of its decision.
    #[must_use]
    pub fn new(stamp: Stamp, decision: &Decision) -> Arc<Self> {
        let tables = decision.tables().iter().map(|table| table.table).collect();
        Arc::new(Self { stamp, tables, constants: RwLock::default() })
    }

    /// The physical rule; put it first and last.
    #[must_use]
    pub fn rule(self: &Arc<Self>) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
        Arc::new(LeafGuardRule(Arc::clone(self)))
    }

    /// Checks every leaf of a logical plan, subqueries' too, and takes note of its VALUES lists. Call it before
    /// physical planning: until then no VALUES list passes the physical rule.
    ///
    /// # Errors
    /// [`BarrierError::UngovernedLeaf`], [`BarrierError::WrongStamp`].
    pub fn check_logical(&self, plan: &LogicalPlan) -> Result<()> {
        plan.apply_with_subqueries(|node| {
            self.check_logical_node(node)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn check_logical_node(&self, node: &LogicalPlan) -> Result<()> {
        match node {
            LogicalPlan::TableScan(scan) => self.check_table_scan(scan),
            LogicalPlan::Values(values) => {
                self.remember(values);
                Ok(())
            }
            LogicalPlan::EmptyRelation(_) => Ok(()),
            LogicalPlan::Copy(_) | LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Extension(_) => {
                Err(ungoverned(node.display().to_string().split([':', ' ']).next().unwrap_or_default()))
            }
            node if node.inputs().is_empty() => Err(ungoverned("a logical leaf")),
            _ => Ok(()),
        }
    }

    fn check_table_scan(&self, scan: &TableScan) -> Result<()> {
        let provider = source_as_provider(&scan.source)?;
        let provider: &dyn Any = provider.as_ref();
        if let Some(table) = provider.downcast_ref::<GovernedTable>() {
            return self.check_scan(table.stamp(), Some(table.table()));
        }
        if let Some(table) = provider.downcast_ref::<SystemTable>() {
            return self.check_scan(table.stamp(), None);
        }
        if provider.is::<CteWorkTable>() { Ok(()) } else { Err(ungoverned("a table that is not governed")) }
    }

    fn check_scan(&self, stamp: &Stamp, table: Option<TableId>) -> Result<()> {
        if *stamp == self.stamp && table.is_none_or(|table| self.tables.contains(&table)) {
            return Ok(());
        }
        Err(BarrierError::WrongStamp.into())
    }

    fn remember(&self, values: &Values) {
        let found = Constants { schema: Arc::clone(values.schema.inner()), rows: values.values.len() };
        let mut constants = self.constants.write();
        if !constants.contains(&found) {
            constants.push(found);
        }
    }

    /// Checks every leaf of a physical plan.
    ///
    /// # Errors
    /// [`BarrierError::UngovernedLeaf`], [`BarrierError::WrongStamp`].
    pub fn check_physical(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        plan.apply(|node| {
            if node.children().is_empty() {
                self.check_leaf(node.as_ref())?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn check_leaf(&self, leaf: &dyn ExecutionPlan) -> Result<()> {
        let concrete: &dyn Any = leaf;
        if let Some(scan) = concrete.downcast_ref::<GovernedScanExec>() {
            return self.check_scan(scan.stamp(), Some(scan.table()));
        }
        if let Some(scan) = concrete.downcast_ref::<OpenScanExec>() {
            return self.check_scan(scan.stamp(), Some(scan.table()));
        }
        if let Some(scan) = concrete.downcast_ref::<SystemScanExec>() {
            return self.check_scan(scan.stamp(), None);
        }
        let constant =
            concrete.is::<EmptyExec>() || concrete.is::<PlaceholderRowExec>() || concrete.is::<WorkTableExec>();
        if constant || concrete.downcast_ref::<DataSourceExec>().is_some_and(|source| self.is_values(source)) {
            return Ok(());
        }
        Err(ungoverned(leaf.name()))
    }

    /// Whether a memory scan holds one of the statement's VALUES lists: one batch with its schema and number of rows.
    fn is_values(&self, source: &DataSourceExec) -> bool {
        let source: &dyn Any = source.data_source().as_ref();
        let Some(memory) = source.downcast_ref::<MemorySourceConfig>() else { return false };
        let [batches] = memory.partitions() else { return false };
        let [batch] = batches.as_slice() else { return false };
        let found = Constants { schema: memory.original_schema(), rows: batch.num_rows() };
        self.constants.read().contains(&found)
    }
}

fn ungoverned(leaf: &str) -> datafusion_common::DataFusionError {
    BarrierError::UngovernedLeaf { leaf: leaf.to_owned() }.into()
}

/// [`LeafGuard`] as a physical rule.
#[derive(Debug)]
pub(crate) struct LeafGuardRule(Arc<LeafGuard>);

impl PhysicalOptimizerRule for LeafGuardRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.check_physical(&plan)?;
        Ok(plan)
    }

    fn name(&self) -> &'static str {
        "leaf_guard"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "leaf_guard_tests.rs"]
mod tests;
