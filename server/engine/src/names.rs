//! The planner's view of names: exactly the tables, views and functions that this statement resolved.
//!
//! Invariant: a name that stage 3 did not resolve cannot be planned; table functions are allowed one by one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::TableReference;
use datafusion::common::{DFSchema, Result, not_impl_err, plan_datafusion_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use lakeward_govern::SystemTable;

use crate::vantage::Vantage;

/// Table functions that read nothing but their arguments.
pub(crate) const TABLE_FUNCTIONS: &[&str] = &["generate_series", "range"];

/// Functions of DataFusion that tell where the lake keeps its files.
const CLOSED_FUNCTIONS: &[&str] = &["input_file_name"];

/// The names of one statement, or of one view in it.
pub(crate) struct Names<'a> {
    state: &'a SessionState,
    sources: HashMap<TableReference, Arc<dyn TableSource>>,
    /// For table functions, whose rows are stamped like any other leaf.
    vantage: Option<&'a Vantage>,
}

impl<'a> Names<'a> {
    /// Functions, and these tables.
    pub(crate) fn new(state: &'a SessionState, sources: HashMap<TableReference, Arc<dyn TableSource>>) -> Self {
        Self { state, sources, vantage: None }
    }

    /// Table functions too.
    pub(crate) fn with_table_functions(mut self, vantage: &'a Vantage) -> Self {
        self.vantage = Some(vantage);
        self
    }

    fn simplified(&self, arguments: Vec<Expr>) -> Result<Vec<Expr>> {
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let simplify = |expr| simplifier.coerce(expr, &schema).and_then(|expr| simplifier.simplify(expr));
        arguments.into_iter().map(simplify).collect()
    }
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let key = crate::mentioned::without_database(name);
        self.sources
            .get(&key)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("relation \"{}\" does not exist", key.table()))
    }

    fn get_table_function_source(&self, name: &str, arguments: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let allowed = TABLE_FUNCTIONS.contains(&name).then(|| self.state.table_functions().get(name)).flatten();
        let (Some(function), Some(vantage)) = (allowed, self.vantage) else {
            return plan_err!("table function {name} not found");
        };
        let arguments = crate::postgres::series_arguments(self.simplified(arguments)?)?;
        let rows = function.create_table_provider_with_args(TableFunctionArgs::new(&arguments, self.state));
        let rows = rows.map_err(crate::postgres::series_error)?;
        let table = SystemTable::new(name, rows, *vantage.stamp, Arc::clone(&vantage.privileged));
        Ok(provider_as_source(Arc::new(table)))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &[]
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
        if CLOSED_FUNCTIONS.contains(&name) {
            return None;
        }
        let known = self.state.scalar_functions().get(name).cloned();
        // Only statements have a vantage: a policy cannot ask about the catalog.
        known.or_else(|| self.vantage.and_then(|vantage| crate::system::function(vantage, name)))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn get_file_type(
        &self,
        _extension: &str,
    ) -> Result<Arc<dyn datafusion::common::file_options::file_type::FileType>> {
        not_impl_err!("files in statements")
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
