//! What this crate's tests share: a principal, tables in memory, a compiler over DataFusion's parser, and sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_catalog::{MemTable, Session, TableProvider};
use datafusion_common::DFSchema;
use datafusion_common::stats::Precision;
use datafusion_execution::object_store::ObjectStoreRegistry;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{ColumnarValue, Expr, ScalarUDF, Volatility, create_udf};
use lakeward_base::{Epoch, RoleId, StatementId, TableId};
use lakeward_catalog::RawTable;
use object_store::ObjectStore;

use crate::access::{Access, Decision, TableDecision};
use crate::compile::{NamedSource, PolicyCompiler};
use crate::governed_table::GovernedTable;
use crate::leaf_guard::LeafGuard;
use crate::mapping::Mapping;
use crate::principal::Principal;
use crate::privileged::PrivilegedSessions;
use crate::stamp::Stamp;

/// Somebody with no roles but their own.
pub(crate) fn principal(name: &str) -> Principal {
    Principal {
        session_user: name.into(),
        current_user: name.into(),
        session_role: RoleId(10),
        current_role: RoleId(10),
        effective_roles: BTreeSet::from([RoleId(10)]),
        role_names: BTreeSet::from([name.to_owned()]),
        attributes: BTreeMap::new(),
        superuser: false,
        bypass_row_security: false,
        purpose: None,
        glass: None,
    }
}

/// A call of a session function, as a compiler leaves it.
pub(crate) fn session_function(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(stub(name, arguments.len())), arguments))
}

fn stub(name: &str, arguments: usize) -> ScalarUDF {
    let returns = if name == "is_role_in_session" { DataType::Boolean } else { DataType::Utf8 };
    let body = Arc::new(|_: &[ColumnarValue]| datafusion_common::internal_err!("a session function ran"));
    create_udf(name, vec![DataType::Utf8; arguments], returns, Volatility::Stable, body)
}

/// Compiles with DataFusion's own parser and functions, and the session functions as stubs.
pub(crate) struct Compiler(SessionContext);

impl Compiler {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own session")]
        let context = SessionContext::new();
        for name in crate::SESSION_FUNCTIONS {
            let arguments = usize::from(matches!(*name, "is_role_in_session" | "principal_attribute"));
            context.register_udf(stub(name, arguments));
        }
        Self(context)
    }
}

impl PolicyCompiler for Compiler {
    fn compile(&self, sql: &str, schema: &DFSchema, _: Vec<NamedSource>) -> datafusion_common::Result<Expr> {
        self.0.state().create_logical_expr(sql, schema)
    }

    fn mapping(&self, _: TableId) -> Option<RawTable> {
        None
    }

    fn shared(&self, mapping: Arc<Mapping>) -> Arc<Mapping> {
        mapping
    }

    fn is_keyed(&self, call: &ScalarFunction) -> bool {
        call.name() == "md5"
    }
}

/// Sessions over DataFusion's defaults.
#[derive(Debug)]
pub(crate) struct Sessions;

impl PrivilegedSessions for Sessions {
    fn session(&self) -> Arc<dyn Session> {
        let mut state = state(SessionConfig::new().with_target_partitions(2));
        state.mark_start_execution();
        Arc::new(state)
    }
}

fn state(config: SessionConfig) -> SessionState {
    SessionStateBuilder::new().with_config(config).with_default_features().build()
}

/// A stamp of a statement of its own.
pub(crate) fn stamp() -> Stamp {
    Stamp { fingerprint: principal("alice").fingerprint(), epoch: Epoch(17), statement: StatementId::generate() }
}

/// A raw table in memory: one partition a slice.
pub(crate) fn raw(partitions: Vec<Vec<RecordBatch>>) -> RawTable {
    let schema = partitions[0][0].schema();
    let rows = partitions.iter().flatten().map(RecordBatch::num_rows).sum();
    let table = MemTable::try_new(schema, partitions).unwrap();
    RawTable::new(1, Precision::Exact(rows), Precision::Absent, 1, Arc::new(table))
}

/// A decision over every column of `raw`.
pub(crate) fn decision(raw: &RawTable, access: Access) -> Arc<TableDecision> {
    let fields =
        raw.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    Arc::new(TableDecision {
        table: TableId(7),
        name: "patients".into(),
        qualified_name: "public.patients".into(),
        version: 1,
        epoch: Epoch(17),
        access,
        schema: Arc::new(arrow::datatypes::Schema::new(fields)),
        withheld: BTreeSet::new(),
        policies: vec![],
        subject: None,
        masked: vec![],
        bypass: false,
        shadows: Vec::new(),
    })
}

/// The user's object stores: none, as in the engine.
#[derive(Debug)]
struct DenyAll;

impl ObjectStoreRegistry for DenyAll {
    fn register_store(&self, _: &url::Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, _: &url::Url) -> datafusion_common::Result<Arc<dyn ObjectStore>> {
        datafusion_common::internal_err!("a user's session has no object stores")
    }
}

/// A user's session that can name `patients`, guarded as the engine guards it.
pub(crate) struct User {
    pub(crate) context: SessionContext,
    pub(crate) guard: Arc<LeafGuard>,
}

impl User {
    pub(crate) fn new(raw: &RawTable, access: Access) -> Self {
        let stamp = stamp();
        let decision = decision(raw, access);
        let table = GovernedTable::new(raw.clone(), Arc::clone(&decision), stamp, Arc::new(Sessions));
        let whole = Decision::new(Epoch(17), stamp.fingerprint, vec![decision]);
        Self::naming(Arc::new(table), stamp, &whole)
    }

    pub(crate) fn naming(table: Arc<dyn TableProvider>, stamp: Stamp, decision: &Decision) -> Self {
        let guard = LeafGuard::new(stamp, decision);
        let config = SessionConfig::new().with_target_partitions(2).with_extension(Arc::new(stamp));
        let state = state(config);
        let mut rules = state.physical_optimizers().to_vec();
        rules.insert(0, guard.rule());
        rules.push(guard.rule());
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(DenyAll)).build_arc().unwrap();
        let state = SessionStateBuilder::new_from_existing(state)
            .with_physical_optimizer_rules(rules)
            .with_runtime_env(runtime)
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_table("patients", table).unwrap();
        Self { context, guard }
    }

    /// Runs `sql` as the engine does: plan, guard, execute.
    pub(crate) async fn query(&self, sql: &str) -> datafusion_common::Result<Vec<RecordBatch>> {
        let plan = self.context.state().create_logical_plan(sql).await?;
        self.guard.check_logical(&plan)?;
        self.context.execute_logical_plan(plan).await?.collect().await
    }

    /// The result of `sql` as text.
    pub(crate) async fn text(&self, sql: &str) -> datafusion_common::Result<String> {
        Ok(arrow::util::pretty::pretty_format_batches(&self.query(sql).await?)?.to_string())
    }
}
