//! Planning that can be stopped: each rule of the planners first looks whether anybody still waits for the statement.
//!
//! A planner does not give way, so that dropping its future does not end it. Invariant: the rules are DataFusion's, in
//! their order and under their names; nothing but an end is added.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use lakeward_base::SqlState;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// A rule, and what stops it.
#[derive(Debug)]
struct Stoppable<R: ?Sized> {
    stop: CancellationToken,
    rule: Arc<R>,
}

impl<R: ?Sized> Stoppable<R> {
    fn go_on(&self) -> Result<()> {
        go_on(&self.stop)
    }
}

/// Whether anybody still waits for the statement.
pub(crate) fn go_on(stop: &CancellationToken) -> Result<()> {
    if !stop.is_cancelled() {
        return Ok(());
    }
    let error = Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request");
    Err(DataFusionError::External(Box::new(error)))
}

impl AnalyzerRule for Stoppable<dyn AnalyzerRule + Send + Sync> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        self.go_on()?;
        self.rule.analyze(plan, config)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }
}

impl OptimizerRule for Stoppable<dyn OptimizerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        self.go_on()?;
        self.rule.rewrite(plan, config)
    }
}

impl PhysicalOptimizerRule for Stoppable<dyn PhysicalOptimizerRule + Send + Sync> {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.go_on()?;
        self.rule.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.go_on()?;
        self.rule.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

type Analyzers = Vec<Arc<dyn AnalyzerRule + Send + Sync>>;
type Optimizers = Vec<Arc<dyn OptimizerRule + Send + Sync>>;
type Physical = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rules of a session's logical plans, which `stop` ends.
pub(crate) fn logical(state: &SessionState, stop: &CancellationToken) -> (Analyzers, Optimizers) {
    let analyzers = state.analyzer().rules.iter().map(|rule| {
        let stoppable: Arc<dyn AnalyzerRule + Send + Sync> =
            Arc::new(Stoppable { stop: stop.clone(), rule: Arc::clone(rule) });
        stoppable
    });
    let optimizers = state.optimizers().iter().map(|rule| {
        let stoppable: Arc<dyn OptimizerRule + Send + Sync> =
            Arc::new(Stoppable { stop: stop.clone(), rule: Arc::clone(rule) });
        stoppable
    });
    (analyzers.collect(), optimizers.collect())
}

/// A rule of physical plans, which `stop` ends.
pub(crate) fn physical(rule: &Physical, stop: &CancellationToken) -> Physical {
    Arc::new(Stoppable { stop: stop.clone(), rule: Arc::clone(rule) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::SessionStateBuilder;
    use lakeward_base::Coded;

    #[tokio::test]
    async fn a_planner_stops_when_nobody_waits() {
        let plain = SessionStateBuilder::new().with_default_features().build();
        let stop = CancellationToken::new();
        let (analyzers, optimizers) = logical(&plain, &stop);
        let rules = plain.physical_optimizers().iter().map(|rule| physical(rule, &stop)).collect();
        let state = SessionStateBuilder::new_from_existing(plain.clone())
            .with_analyzer_rules(analyzers)
            .with_optimizer_rules(optimizers)
            .with_physical_optimizer_rules(rules)
            .build();
        let names = |state: &SessionState| {
            let optimizers = state.optimizers().iter().map(|rule| rule.name().to_owned());
            let physical = state.physical_optimizers().iter().map(|rule| rule.name().to_owned());
            optimizers.chain(physical).collect::<Vec<_>>()
        };
        assert_eq!(names(&state), names(&plain));
        let plan = plain.create_logical_plan("SELECT 1 + 1 AS a WHERE 2 > 1").await.unwrap();
        let optimised = state.optimize(&plan).unwrap();
        assert_eq!(optimised, plain.optimize(&plan).unwrap());
        state.query_planner().create_physical_plan(&optimised, &state).await.unwrap();
        stop.cancel();
        for error in [
            state.optimize(&plan).unwrap_err(),
            state.query_planner().create_physical_plan(&optimised, &state).await.unwrap_err(),
        ] {
            let published = crate::publish::planning(&error, None);
            assert_eq!(published.sqlstate(), SqlState::QUERY_CANCELED);
        }
    }
}
