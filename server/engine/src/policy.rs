//! Policy texts to expressions: the compiler that `govern` asks, with every function and the tables that policies read.
//!
//! Invariants: a policy's text is compiled with the functions and its own mapping tables in reach and nothing else; those
//! are pinned as the statement's other tables are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError, Result, TableReference};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use lakeward_audit::ObjectFacts;
use lakeward_base::TableId;
use lakeward_catalog::{PolicyRead, RawTable, Relation, Table, VersionSelector};
use lakeward_govern::{Mapping, NamedSource, PolicyCompiler};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::Error;
use crate::names::Names;
use crate::policy_texts::PolicyTexts;
use crate::publish;
use crate::vantage::Vantage;
use crate::{mentioned, resolve};

/// The tables that the policies of a statement's tables read, and what they read of them.
#[derive(Default)]
pub(crate) struct Mappings {
    tables: BTreeMap<TableId, RawTable>,
    shared: Mutex<Vec<Arc<Mapping>>>,
    /// Whose keys are kept; `None` where a policy is only looked at.
    engine: Option<Engine>,
}

impl Mappings {
    /// Opens what policies read.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn open(vantage: &Vantage, read: BTreeSet<TableId>) -> std::result::Result<Self, Error> {
        let mut tables = BTreeMap::new();
        for id in read {
            // One that is gone is missing later, which denies.
            if let Some(table) = vantage.snapshot.table(id) {
                tables.insert(id, resolve::open(vantage, table, VersionSelector::Latest).await?);
            }
        }
        Ok(Self { tables, shared: Mutex::default(), engine: Some(vantage.session.engine().clone()) })
    }

    /// What the audit keeps of them: they were read, though nobody was shown a row.
    pub(crate) fn objects(&self, vantage: &Vantage) -> Vec<ObjectFacts> {
        let mut objects: Vec<ObjectFacts> = Vec::new();
        for read in self.shared.lock().iter().flat_map(|mapping| mapping.tables()) {
            let name = vantage.snapshot.qualified_name(read.table);
            let version = i64::try_from(read.version).ok();
            if !objects.iter().any(|known| known.name == name) {
                objects.push(ObjectFacts { name, version, filtered: read.columns.clone(), ..ObjectFacts::default() });
            }
        }
        objects
    }
}

/// The tables that policies of `table` read to decide about the principal.
pub(crate) fn needed(vantage: &Vantage, table: &Table) -> BTreeSet<TableId> {
    lakeward_govern::mapping_tables(&vantage.principal, table)
}

/// Compiles with the functions of one planning session.
pub(crate) struct Compiler<'a> {
    pub(crate) state: &'a SessionState,
    pub(crate) mappings: &'a Mappings,
}

impl PolicyCompiler for Compiler<'_> {
    fn compile(&self, sql: &str, schema: &DFSchema, tables: Vec<NamedSource>) -> Result<Expr> {
        let config = self.state.config();
        match config.get_extension::<PolicyTexts>() {
            Some(texts) if tables.is_empty() => {
                let time_zone = config.options().execution.time_zone.as_ref();
                texts.expression(sql, schema, time_zone, || self.planned(sql, schema, tables))
            }
            _ => self.planned(sql, schema, tables),
        }
    }

    fn mapping(&self, table: TableId) -> Option<RawTable> {
        self.mappings.tables.get(&table).cloned()
    }

    fn shared(&self, mapping: Arc<Mapping>) -> Arc<Mapping> {
        let mut shared = self.mappings.shared.lock();
        if let Some(known) = shared.iter().find(|known| known.answers_for(&mapping)) {
            return Arc::clone(known);
        }
        let found = match &self.mappings.engine {
            Some(engine) => engine.shared.keys_found.shared(mapping),
            None => mapping,
        };
        shared.push(Arc::clone(&found));
        found
    }

    fn is_keyed(&self, call: &ScalarFunction) -> bool {
        let operator = match call.args.get(lakeward_udfs::OPERATOR_ARGUMENT.2) {
            Some(Expr::Literal(value, _)) => value.try_as_str().flatten(),
            _ => None,
        };
        lakeward_udfs::needs_execute(call.name(), operator)
    }
}

impl Compiler<'_> {
    fn planned(&self, sql: &str, schema: &DFSchema, tables: Vec<NamedSource>) -> Result<Expr> {
        let mut parsed =
            crate::statement::parse_expression(sql).map_err(|error| DataFusionError::External(Box::new(error)))?;
        crate::postgres::rewrite_expression(&mut parsed).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let names = Names::new(self.state, tables.into_iter().collect());
        let options = ParserOptions::from(&self.state.config_options().sql_parser);
        SqlToRel::new_with_options(&names, options).sql_to_expr(parsed, schema, &mut PlannerContext::new())
    }
}

/// The tables that a new policy's text reads, their columns still unknown.
///
/// # Errors
/// 42P01 for a name that is not there, 0A000 for one that is no table's newest version.
pub(crate) fn reads(vantage: &Vantage, sql: &str) -> std::result::Result<Vec<PolicyRead>, Error> {
    let expression = crate::statement::parse_expression(sql)?;
    refuse_versions(&expression)?;
    let query = crate::statement::selecting(expression)?;
    let names = mentioned::names_in(&query)?;
    names.iter().map(|name| read(vantage, name)).collect()
}

fn read(vantage: &Vantage, name: &TableReference) -> std::result::Result<PolicyRead, Error> {
    let unsupported = |what: &str| {
        let error = Error::unsupported(format!("a policy that reads {what}"));
        error.with_hint("The subqueries of a policy read tables of the catalog.")
    };
    if !matches!(crate::system::table(vantage, name), Ok(None)) {
        return Err(unsupported("a system table"));
    }
    match resolve::named(vantage, name)? {
        Relation::Table(table) => Ok(PolicyRead {
            schema: name.schema().map(str::to_owned),
            name: name.table().to_owned(),
            table: table.id,
            columns: BTreeSet::new(),
        }),
        Relation::View(_) => Err(unsupported("a view")),
    }
}

/// The planner would drop a version without a word.
fn refuse_versions(expression: &ast::Expr) -> std::result::Result<(), Error> {
    match Finder::found(expression) {
        Some(Found::Version) => {
            Err(Error::unsupported("an old version of a table in a policy").with_hint("Leave the version out."))
        }
        Some(Found::Query) | None => Ok(()),
    }
}

/// Masks stand in a column's place, row by row: they read nothing else.
///
/// # Errors
/// 0A000 where there is a subquery.
pub(crate) fn refuse_queries(body: &str) -> std::result::Result<(), Error> {
    match Finder::found(&crate::statement::parse_expression(body)?) {
        Some(_) => Err(Error::unsupported("a subquery in a masking policy")
            .with_hint("Hand the policy another column of the table; row policies may have subqueries.")),
        None => Ok(()),
    }
}

/// What a policy's text holds.
enum Found {
    Query,
    Version,
}

/// Looks for subqueries, and for versions in them.
#[derive(Default)]
struct Finder {
    queries: bool,
}

impl Finder {
    fn found(expression: &ast::Expr) -> Option<Found> {
        let mut finder = Self::default();
        match ast::Visit::visit(expression, &mut finder) {
            ControlFlow::Break(()) => Some(Found::Version),
            ControlFlow::Continue(()) => finder.queries.then_some(Found::Query),
        }
    }
}

impl ast::Visitor for Finder {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.queries = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        match factor {
            ast::TableFactor::Table { version: Some(_), .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Reads the keys that checks of rows probe, before the first row is checked.
///
/// # Errors
/// 42501 where a subquery fails, 53200, 58030.
pub(crate) async fn ready(vantage: &Vantage, checks: &[Option<&Expr>]) -> std::result::Result<(), Error> {
    for check in checks.iter().flatten() {
        let read = lakeward_govern::read_mappings(check, vantage.privileged.as_ref(), vantage.state.runtime_env());
        read.await.map_err(|error| publish::execution(&error))?;
    }
    Ok(())
}
