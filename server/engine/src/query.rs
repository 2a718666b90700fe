//! Queries: from a syntax tree and its Decision to a physical plan over governed leaves.
//!
//! Invariant: the only table sources handed to the planner are [`GovernedTable`]s, system tables and views over them,
//! and [`LeafGuard`] checks it three times.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ParamValues, ScalarValue, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableSource, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use lakeward_audit::ObjectFacts;
use lakeward_base::SqlState;
use lakeward_govern::{Decision, GovernedTable, LeafGuard, TableDecision};

use crate::bytea;
use crate::error::Error;
use crate::expansion;
use crate::functions::substitute;
use crate::lineage::{Origin, Uses};
use crate::names::Names;
use crate::output;
use crate::publish;
use crate::resolve::{Resolved, Scope, Target};
use crate::stoppable;
use crate::template;
use crate::vantage::Vantage;

/// What planning a query needs besides its syntax tree.
pub(crate) struct QueryPlanner<'a> {
    pub(crate) vantage: &'a Vantage,
    pub(crate) resolved: &'a Resolved,
    pub(crate) decision: &'a Decision,
    /// The statement's text, for positions of errors.
    pub(crate) text: &'a str,
}

/// A query that is ready to run.
pub(crate) struct QueryPlan {
    /// The optimised logical plan.
    pub(crate) logical: LogicalPlan,
    /// The physical plan.
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    /// What it runs with.
    pub(crate) task: Arc<TaskContext>,
    /// The result's columns, named as PostgreSQL names them.
    pub(crate) schema: SchemaRef,
}

impl QueryPlanner<'_> {
    /// The logical plan of `query`, before its parameters have values.
    pub(crate) fn logical(
        &self,
        query: &ast::Query,
        parameter_types: Vec<Option<FieldRef>>,
    ) -> Result<LogicalPlan, Error> {
        self.check_calls(query)?;
        let context = PlannerContext::new().with_prepare_param_data_types(parameter_types);
        self.scoped(query, &self.resolved.scope, context).map_err(|error| publish::planning(&error, Some(self.text)))
    }

    /// The planner would drop `DISTINCT`, `FILTER` and the like on a scalar function without a word.
    fn check_calls(&self, query: &ast::Query) -> Result<(), Error> {
        let state = &self.vantage.state;
        let scalar_only = |name: &str| {
            let aggregate =
                state.aggregate_functions().contains_key(name) || state.window_functions().contains_key(name);
            state.scalar_functions().contains_key(name) && !aggregate
        };
        match crate::statement::aggregate_syntax(query).into_iter().find(|call| scalar_only(&call.function)) {
            None => Ok(()),
            Some(call) => {
                let kind = if call.clause == "OVER" {
                    "a window function nor an aggregate function"
                } else {
                    "an aggregate function"
                };
                let message = format!("{} specified, but {} is not {kind}", call.clause, call.function);
                Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message))
            }
        }
    }

    /// The same for rows that go into columns of these types: a bare `VALUES` and its parameters take them over.
    pub(crate) fn logical_typed(
        &self,
        query: &ast::Query,
        fields: &[FieldRef],
        parameter_types: Vec<Option<FieldRef>>,
    ) -> Result<LogicalPlan, Error> {
        self.check_calls(query)?;
        let plan = || {
            let mut context = PlannerContext::new().with_prepare_param_data_types(parameter_types);
            let nullable = fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
            if !matches!(query.body.as_ref(), ast::SetExpr::Values(_)) {
                return self.scoped(query, &self.resolved.scope, context);
            }
            let schema = DFSchema::from_unqualified_fields(nullable.into(), std::collections::HashMap::new())?;
            context.set_table_schema(Some(Arc::new(schema)));
            crate::postgres::assigned_values(self.scoped(query, &self.resolved.scope, context)?, fields)
        };
        plan().map_err(|error| publish::planning(&error, Some(self.text)))
    }

    fn scoped(
        &self,
        query: &ast::Query,
        scope: &Scope,
        mut context: PlannerContext,
    ) -> Result<LogicalPlan, DataFusionError> {
        self.vantage.check_keyed(query).map_err(|error| DataFusionError::External(Box::new(error)))?;
        expansion::check_query(query)?;
        let names = Names::new(&self.vantage.state, self.sources(scope)?).with_table_functions(self.vantage);
        let options = ParserOptions::from(&self.vantage.state.config_options().sql_parser);
        let planner = SqlToRel::new_with_options(&names, options);
        let mut meant = query.clone();
        crate::postgres::rewrite(&mut meant).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let statement = ast::Statement::Query(Box::new(meant));
        self.go_on()?;
        let plan = planner.sql_statement_to_plan_with_context(statement, &mut context)?;
        self.go_on()?;
        expansion::check_plan(&plan)?;
        self.substituted(plan)
    }

    fn sources(&self, scope: &Scope) -> Result<HashMap<TableReference, Arc<dyn TableSource>>, DataFusionError> {
        let source = |target: &Target| -> Result<Arc<dyn TableSource>, DataFusionError> {
            let provider: Arc<dyn TableProvider> = match target {
                Target::Table(index) => self.governed(*index)?,
                Target::System(provider) => Arc::clone(provider),
                Target::View { query, scope, columns } => {
                    let plan = self.scoped(query, scope, PlannerContext::new())?;
                    Arc::new(ViewTable::new(renamed(plan, columns)?, None))
                }
            };
            Ok(provider_as_source(provider))
        };
        scope.targets.iter().map(|(name, target)| Ok((name.clone(), source(target)?))).collect()
    }

    fn governed(&self, index: usize) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let (Some(resolved), Some(decision)) = (self.resolved.tables.get(index), self.decision.tables().get(index))
        else {
            return Err(DataFusionError::Internal("a table without a decision".to_owned()));
        };
        let raw = resolved.raw.clone();
        let privileged = Arc::clone(&self.vantage.privileged);
        let table = GovernedTable::new(raw, Arc::clone(decision), *self.vantage.stamp, privileged);
        Ok(Arc::new(table))
    }

    /// Functions about the session become literals, under the names that they had.
    fn substituted(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let replaced = plan.transform_up_with_subqueries(|node| {
            let preserver = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = preserver.save(&expr);
                let replaced = substitute(expr, &self.vantage.facts())?;
                Ok(Transformed::yes(name.restore(replaced)))
            })
        })?;
        Ok(replaced.data)
    }

    /// Binds parameters, optimises, and makes the physical plan.
    pub(crate) async fn physical(
        &self,
        logical: LogicalPlan,
        parameters: &[ScalarValue],
        query: &ast::Query,
    ) -> Result<QueryPlan, Error> {
        let names = output::column_names(self.resolved.naming(query), logical.schema().fields().len());
        let planned = self.optimised(logical, parameters).await;
        let (logical, physical) = planned.map_err(|error| publish::planning(&error, Some(self.text)))?;
        let schema = Arc::new(output::result_schema(physical.schema().as_ref(), &names));
        Ok(QueryPlan { logical, physical, task: self.vantage.state.task_ctx(), schema })
    }

    /// Whether anybody still waits for the statement: planning does not give way, and looks instead.
    fn go_on(&self) -> Result<(), DataFusionError> {
        stoppable::go_on(&self.vantage.stop)
    }

    async fn optimised(
        &self,
        logical: LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>), DataFusionError> {
        let (optimised, state) = self.optimised_logical(logical, parameters)?;
        let physical = state.query_planner().create_physical_plan(&optimised, &state).await?;
        Ok((optimised, physical))
    }

    fn optimised_logical(
        &self,
        logical: LogicalPlan,
        parameters: &[ScalarValue],
    ) -> Result<(LogicalPlan, SessionState), DataFusionError> {
        let bound = if parameters.is_empty() {
            logical
        } else {
            logical.with_param_values(ParamValues::from(parameters.to_vec()))?
        };
        let bound = bytea::converted(bound)?;
        self.go_on()?;
        let guard = LeafGuard::new(*self.vantage.stamp, self.decision);
        guard.check_logical(&bound)?;
        let state = template::guarded(&self.vantage.state, &guard, &self.vantage.stop);
        Ok((state.optimize(&bound)?, state))
    }

    /// The tables that a plan would scan, with their columns.
    pub(crate) fn scanned(&self, logical: LogicalPlan, parameters: &[ScalarValue]) -> Result<Vec<ObjectFacts>, Error> {
        let optimised = self.optimised_logical(logical, parameters);
        let (optimised, _) = optimised.map_err(|error| publish::planning(&error, Some(self.text)))?;
        Ok(self.objects(&optimised))
    }

    /// What the audit keeps of the tables read: versions, and columns by what was done with them.
    pub(crate) fn objects(&self, optimised: &LogicalPlan) -> Vec<ObjectFacts> {
        let mut scanned: Vec<ObjectFacts> = Vec::new();
        let uses = Uses::of(optimised);
        // The closure never fails, so neither does the walk.
        let _ = optimised.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Ok(provider) = source_as_provider(&scan.source)
                && let Some(table) = provider.downcast_ref::<GovernedTable>()
            {
                note_scan(&mut scanned, scan, table.decision(), &uses);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        for table in &self.resolved.tables {
            let name = self.vantage.snapshot.qualified_name(table.table.id);
            // The optimiser may have proved that a table need not be read: it was named all the same.
            if !scanned.iter().any(|object| object.name == name) {
                let version = i64::try_from(table.raw.version()).ok();
                scanned.push(ObjectFacts { name, version, ..ObjectFacts::default() });
            }
        }
        scanned
    }
}

/// Adds what a scan reads; what is read of a table twice is one object.
fn note_scan(scanned: &mut Vec<ObjectFacts>, scan: &TableScan, decision: &TableDecision, uses: &Uses) {
    let (name, version) = (&decision.qualified_name, i64::try_from(decision.version).ok());
    let known = scanned.iter().position(|object| object.name == *name && object.version == version);
    let at = known.unwrap_or_else(|| {
        let subject_column = decision.subject.clone();
        scanned.push(ObjectFacts { name: name.clone(), version, subject_column, ..ObjectFacts::default() });
        scanned.len() - 1
    });
    let Some(object) = scanned.get_mut(at) else { return };
    let filters = scan.filters.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str());
    let read = scan.projected_schema.fields().iter().map(|field| field.name().as_str()).chain(filters);
    // Numbers of rows are no columns.
    for column in read.filter(|name| !name.starts_with('\u{1}')) {
        let origin = Origin { table: decision.table, version: decision.version, column: column.to_owned() };
        let add = |names: &mut Vec<String>| {
            if !names.iter().any(|known| known == column) {
                names.push(column.to_owned());
            }
        };
        let left = uses.left.contains(&origin);
        if left {
            add(&mut object.projected);
        }
        if !left || uses.chosen.contains(&origin) {
            add(&mut object.filtered);
        }
        if decision.masked.iter().any(|masked| masked == column) {
            add(&mut object.masked);
        }
    }
}

/// A view's plan under the column names that the view was made with.
fn renamed(plan: LogicalPlan, columns: &[String]) -> Result<LogicalPlan, DataFusionError> {
    if plan.schema().fields().len() != columns.len() {
        return Err(DataFusionError::Plan("a view's tables have changed: create it again".to_owned()));
    }
    let fields = plan.schema().columns();
    let renamed = fields.into_iter().zip(columns).map(|(field, name)| col(field).alias(name)).collect::<Vec<_>>();
    LogicalPlanBuilder::from(plan).project(renamed)?.build()
}
