//! The two planning sessions: the user's, which can reach no storage, and the barrier's own, which can.
//!
//! Both are cloned from templates for each statement. Invariant: this file is the only one that builds a
//! `SessionState`; the user's has an object store registry that refuses every URL.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::Session as PlanningSession;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::object_store::ObjectStore;
use datafusion::prelude::SessionConfig;
use lakeward_base::SqlState;
use lakeward_govern::{LeafGuard, PrivilegedSessions, ShadowCounts, Stamp};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::bounded::bounded;
use crate::clock::clock_functions;
use crate::cooperate::Cooperate;
use crate::engine::Parts;
use crate::error::Error;
use crate::functions::session_functions;
use crate::policy_texts::PolicyTexts;
use crate::stoppable;

/// The templates.
pub(crate) struct Templates {
    user: SessionState,
    privileged: SessionState,
    memory: Arc<dyn MemoryPool>,
    shadow_counts: Arc<ShadowCounts>,
}

impl Templates {
    /// Builds both, once per engine.
    pub(crate) fn build(parts: &Parts) -> std::result::Result<Self, Error> {
        let memory: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(parts.limits.memory_bytes));
        let failed = |_| Error::new(SqlState::INTERNAL_ERROR, "the query runtime could not be set up");
        let user_runtime =
            runtime(&memory).with_object_store_registry(Arc::new(RefuseEveryStore)).build().map_err(failed)?;
        let lake_runtime = runtime(&memory).build().map_err(failed)?;
        let user = state(parts, Arc::new(user_runtime));
        let privileged = state(parts, Arc::new(lake_runtime));
        Ok(Self { user, privileged, memory, shadow_counts: Arc::default() })
    }

    /// The memory of all running queries.
    pub(crate) fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.memory
    }

    /// A session for one statement of one user.
    pub(crate) fn user_session(&self, stamp: &Arc<Stamp>, time_zone: &str) -> SessionState {
        let mut config = self.user.config().clone().with_extension(Arc::clone(stamp));
        config.options_mut().execution.time_zone = Some(time_zone.to_owned());
        let mut state = self.user.clone();
        *state.config_mut() = config;
        state.mark_start_execution();
        state
    }

    /// The barrier's sessions.
    pub(crate) fn privileged_sessions(&self) -> Arc<dyn PrivilegedSessions> {
        let shadow_counts = Arc::clone(&self.shadow_counts);
        Arc::new(BarrierSessions { template: self.privileged.clone(), shadow_counts })
    }

    /// What policies in shadow have counted.
    pub(crate) fn shadow_counts(&self) -> &ShadowCounts {
        &self.shadow_counts
    }
}

/// The rules of a user's session, the physical ones between two turns of the guard; `stop` ends planning, and what is
/// planned.
pub(crate) fn guarded(state: &SessionState, guard: &Arc<LeafGuard>, stop: &CancellationToken) -> SessionState {
    let mut rules = vec![guard.rule()];
    rules.extend(state.physical_optimizers().iter().map(|rule| stoppable::physical(rule, stop)));
    rules.push(Arc::new(Cooperate { stop: stop.clone() }));
    rules.push(guard.rule());
    let (analyzers, optimizers) = stoppable::logical(state, stop);
    let mut builder = SessionStateBuilder::new_from_existing(state.clone())
        .with_optimizer_rules(optimizers)
        .with_physical_optimizer_rules(rules);
    if let Some(analyzer) = builder.analyzer() {
        analyzer.rules = analyzers;
    }
    builder.build()
}

fn runtime(memory: &Arc<dyn MemoryPool>) -> RuntimeEnvBuilder {
    // Spilled rows would stand on disk in the clear: spilling stays off until an encrypted directory is configured.
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(memory))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
}

fn state(parts: &Parts, runtime: Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_extension(Arc::new(PolicyTexts::default()))
        .with_target_partitions(parts.limits.target_partitions)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    // What to_timestamp and its like answer is timestamptz; without a zone they would answer timestamp.
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.execution.parquet.pushdown_filters = false;
    // Wrong results in DataFusion 55: `min(a), max(b + 1)` drops rows that only the second needs (its issue 24816).
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_scalar_functions(scalar_functions(parts))
        .with_aggregate_functions(aggregate_functions())
        .with_expr_planners(expression_planners())
        .build()
}

/// DataFusion's functions, bounded, then Lakeward's, which win where names are equal.
fn scalar_functions(parts: &Parts) -> Vec<Arc<datafusion::logical_expr::ScalarUDF>> {
    let defaults = datafusion::execution::SessionStateDefaults::default_scalar_functions();
    let mut functions: Vec<_> = defaults.into_iter().map(bounded).collect();
    functions.extend(lakeward_udfs::scalar_functions(Arc::clone(&parts.keys)));
    functions.extend(session_functions());
    functions.extend(clock_functions());
    functions.extend(crate::postgres::scalar_functions().into_iter().map(bounded));
    functions.extend(crate::postgres::waiting_functions());
    functions
}

fn aggregate_functions() -> Vec<Arc<datafusion::logical_expr::AggregateUDF>> {
    let mut functions = datafusion::execution::SessionStateDefaults::default_aggregate_functions();
    functions.extend(crate::postgres::aggregate_functions());
    functions
}

/// Lakeward's first: the first that plans an operator has planned it.
fn expression_planners() -> Vec<Arc<dyn datafusion::logical_expr::planner::ExprPlanner>> {
    let mut planners = vec![crate::postgres::expression_planner()];
    planners.extend(datafusion::execution::SessionStateDefaults::default_expr_planners());
    planners
}

/// Hands the barrier a fresh planning session per scan.
struct BarrierSessions {
    template: SessionState,
    shadow_counts: Arc<ShadowCounts>,
}

impl PrivilegedSessions for BarrierSessions {
    fn session(&self) -> Arc<dyn PlanningSession> {
        let mut state = self.template.clone();
        state.mark_start_execution();
        Arc::new(state)
    }

    fn shadow_counts(&self) -> Option<Arc<ShadowCounts>> {
        Some(Arc::clone(&self.shadow_counts))
    }
}

impl fmt::Debug for BarrierSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BarrierSessions")
    }
}

/// The user's plans have no storage of their own.
#[derive(Debug)]
struct RefuseEveryStore;

impl ObjectStoreRegistry for RefuseEveryStore {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, _url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Err(DataFusionError::Plan("storage cannot be reached from a statement".to_owned()))
    }
}
