//! Hands filters from above a scan to the plan inside it, by the optimizer's own rule.
//!
//! Invariant: only scans call it, with filters that they have classified.

use std::fmt;
use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_optimizer::PhysicalOptimizerRule;
use datafusion_physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion_physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
    PushedDown,
};
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use parking_lot::Mutex;

/// Offers `filters` (over the columns of `inner`'s output) to `inner`. Returns the plan that took what it could, and
/// one answer per filter.
pub(crate) fn offer(
    inner: &Arc<dyn ExecutionPlan>,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    phase: FilterPushdownPhase,
    config: &ConfigOptions,
) -> Result<(Arc<dyn ExecutionPlan>, Vec<PushedDown>)> {
    let answers = Arc::new(Mutex::new(vec![PushedDown::No; filters.len()]));
    let carrier = Arc::new(FilterCarrier { inner: Arc::clone(inner), filters, phase, answers: Arc::clone(&answers) });
    let rule = match phase {
        FilterPushdownPhase::Pre => FilterPushdown::new(),
        FilterPushdownPhase::Post => FilterPushdown::new_post_optimization(),
    };
    let optimized = rule.optimize(carrier, config)?;
    let children = optimized.children();
    let Some(taken) = children.first() else { return internal_err!("filter pushdown dropped its carrier") };
    let answers = answers.lock().clone();
    Ok((Arc::clone(taken), answers))
}

/// Whether some node of `plan` evaluates `filter`. Joins compute their dynamic filter only for a consumer.
pub(crate) fn is_consumed(plan: &Arc<dyn ExecutionPlan>, filter: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let Some(id) = filter.expression_id() else { return Ok(false) };
    let mut found = false;
    plan.apply(|node| {
        node.apply_expressions(&mut |root| {
            root.apply(|expr| {
                found |= expr.expression_id() == Some(id);
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A node that exists only while the rule runs: it puts the filters in at the top.
#[derive(Debug)]
struct FilterCarrier {
    inner: Arc<dyn ExecutionPlan>,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    phase: FilterPushdownPhase,
    answers: Arc<Mutex<Vec<PushedDown>>>,
}

impl DisplayAs for FilterCarrier {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("FilterCarrier")
    }
}

impl ExecutionPlan for FilterCarrier {
    fn name(&self) -> &'static str {
        "FilterCarrier"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(inner) = children.into_iter().next() else { return internal_err!("a carrier has one child") };
        Ok(Arc::new(Self {
            inner,
            filters: self.filters.clone(),
            phase: self.phase,
            answers: Arc::clone(&self.answers),
        }))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a filter carrier is never executed")
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        _: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let mut child = ChildFilterDescription::from_child(&[], &self.inner)?;
        if phase == self.phase {
            child = child.with_self_filters(self.filters.clone());
        }
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        if let Some(own) = result.self_filters.first().filter(|own| own.len() == self.filters.len()) {
            *self.answers.lock() = own.iter().map(|filter| filter.discriminant).collect();
        }
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![]))
    }
}
