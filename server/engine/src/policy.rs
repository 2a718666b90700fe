//! Policy texts to expressions: the compiler that `govern` asks, with every function but no table.
//!
//! Invariant: a policy's text is compiled with the functions and nothing else in reach.

use std::collections::HashMap;

use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use lakeward_govern::PolicyCompiler;

use crate::names::Names;

/// Compiles with the functions of one planning session.
pub(crate) struct Compiler<'a>(pub(crate) &'a SessionState);

impl PolicyCompiler for Compiler<'_> {
    fn compile(&self, sql: &str, schema: &DFSchema) -> Result<Expr> {
        let mut parsed =
            crate::statement::parse_expression(sql).map_err(|error| DataFusionError::External(Box::new(error)))?;
        crate::postgres::rewrite_expression(&mut parsed).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let names = Names::new(self.0, HashMap::new());
        let options = ParserOptions::from(&self.0.config_options().sql_parser);
        SqlToRel::new_with_options(&names, options).sql_to_expr(parsed, schema, &mut PlannerContext::new())
    }

    fn is_keyed(&self, function: &str) -> bool {
        lakeward_udfs::KEYED_FUNCTIONS.contains(&function)
    }
}
