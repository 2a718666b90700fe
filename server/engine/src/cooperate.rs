//! Makes joins give way, so that a query can be cancelled and leaves room for others.
//!
//! DataFusion makes leaves give way. A join can make rows for hours out of what it has read, and an aggregate above it
//! takes them without a pause: such a query would hold its thread until the end, cancelled or not.
//!
//! Invariant: no operator that makes more rows than it reads runs without giving way.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::unnest::UnnestExec;

/// The rule.
#[derive(Debug)]
pub(crate) struct Cooperate;

impl PhysicalOptimizerRule for Cooperate {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if node.children().len() < 2 && !node.is::<UnnestExec>() {
                return Ok(Transformed::no(node));
            }
            let giving_way: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
            Ok(Transformed::yes(giving_way))
        })
        .data()
    }

    fn name(&self) -> &str {
        "cooperate"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
