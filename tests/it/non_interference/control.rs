//! The control: the same decisions, inlined into the plan as ordinary nodes. It must fail the test.
//!
//! Invariant: it differs from the engine in the barrier; tables, decisions and functions are the same.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::{DFSchema, DataFusionError, ParamValues, Result, ScalarValue, TableReference};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{SessionConfig, SessionContext};
use lakeward_base::TableId;
use lakeward_catalog::{RawTable, Relation, Snapshot, TableStore, VersionSelector};
use lakeward_govern::{
    Mapping, NamedSource, PolicyCompiler, Principal, ResolvedTable, SESSION_FUNCTIONS, decide, naive_inline,
};
use lakeward_tests::local_engine::FixedKeys;

use super::fixture::{ANALYST, Answer, Fixture, Layout};

/// A plain session over inlined policies.
pub struct Inlined(SessionContext);

impl Inlined {
    /// The schemas of `layout`, as the analyst may see them.
    pub async fn new(fixture: &Fixture, layout: Layout) -> Self {
        let context = context();
        let snapshot = fixture.local.catalog.snapshot();
        let principal = principal(&snapshot);
        let compiler = Compiler(context.clone());
        for schema in [layout.governed(), layout.copies()] {
            let schemas = context.catalog("datafusion").unwrap();
            schemas.register_schema(schema, Arc::new(MemorySchemaProvider::new())).unwrap();
            for name in ["patients", "visits", "wards"] {
                // Policies that read other tables have no inlined form: of those tables it takes the copies.
                let from = if name == "patients" { schema } else { layout.copies() };
                let Some(Relation::Table(table)) = snapshot.relation(from, name) else { panic!("{from}.{name}") };
                let raw = fixture.local.store.open(&table, VersionSelector::Latest).await.unwrap();
                let tables = [ResolvedTable { table, raw: raw.clone(), reader: principal.role_set() }];
                let decision = decide(&principal, &snapshot, &tables, &compiler).unwrap();
                let inlined = naive_inline(&raw, &decision.tables()[0]).unwrap();
                context.register_table(TableReference::partial(schema, name), inlined).unwrap();
            }
        }
        Self(context)
    }

    /// Runs a query.
    pub async fn run(&self, sql: &str, parameters: &[i64]) -> Result<Answer> {
        let plan = self.0.state().create_logical_plan(sql).await?;
        let values = parameters.iter().map(|value| ScalarValue::Int64(Some(*value))).collect::<Vec<_>>();
        let plan = if values.is_empty() { plan } else { plan.with_param_values(ParamValues::from(values))? };
        let schema = Arc::clone(plan.schema().inner());
        Ok((schema, self.0.execute_logical_plan(plan).await?.collect().await?))
    }
}

/// What kind of error it is: enough to tell an expression that failed from a plan that could not be made.
pub fn kind(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => "data".to_owned(),
        _ => "other".to_owned(),
    }
}

fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let context = SessionContext::new_with_config(config);
    for function in lakeward_udfs::scalar_functions(Arc::new(FixedKeys)) {
        context.register_udf(function.as_ref().clone());
    }
    SESSION_FUNCTIONS.iter().for_each(|name| context.register_udf(session_function(name)));
    context
}

/// Only its name and its signature count: `decide` puts literals in its place.
fn session_function(name: &str) -> ScalarUDF {
    let arguments = usize::from(matches!(name, "is_role_in_session" | "principal_attribute"));
    let returns = if name == "is_role_in_session" { DataType::Boolean } else { DataType::Utf8 };
    let body = |_: &[ColumnarValue]| Err(DataFusionError::Internal("a session function ran".to_owned()));
    create_udf(name, vec![DataType::Utf8; arguments], returns, Volatility::Stable, Arc::new(body))
}

struct Compiler(SessionContext);

impl PolicyCompiler for Compiler {
    fn compile(&self, sql: &str, schema: &DFSchema, _: Vec<NamedSource>) -> Result<Expr> {
        self.0.state().create_logical_expr(sql, schema)
    }

    fn mapping(&self, _: TableId) -> Option<RawTable> {
        None
    }

    fn shared(&self, mapping: Arc<Mapping>) -> Arc<Mapping> {
        mapping
    }

    fn is_keyed(&self, _: &datafusion::logical_expr::expr::ScalarFunction) -> bool {
        false
    }
}

fn principal(snapshot: &Snapshot) -> Principal {
    let role = snapshot.role_by_name(ANALYST).unwrap();
    let effective_roles = snapshot.effective_roles(role.id);
    Principal {
        session_user: ANALYST.to_owned(),
        current_user: ANALYST.to_owned(),
        session_role: role.id,
        current_role: role.id,
        role_names: effective_roles.iter().map(|id| snapshot.role(*id).unwrap().name.clone()).collect(),
        effective_roles,
        attributes: role.attributes.clone(),
        superuser: false,
        bypass_row_security: false,
        purpose: None,
        glass: None,
    }
}
