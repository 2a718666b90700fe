//! Making things: CREATE TABLE AS, and what DDL asks of the planner (a view's columns, whether a policy compiles).
//!
//! Invariant: a table that is made of rows has the tags and masks of what they are made of before there is a row in it, is
//! its maker's alone where these do not protect it, and is gone again where the rows fail, are stopped, or do not come.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::{DFSchema, TableReference};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast;
use lakeward_catalog::{
    MaskingPolicy, PolicyRead, RowPolicy, Snapshot, StoreError, Table, VersionSelector, WriteMode, WriteResult,
};
use lakeward_govern::{CompileError, ResolvedTable};

use crate::ddl::{self, Created, Creation, DdlContext, DdlValidator, Derivation};
use crate::error::Error;
use crate::execute::{Done, commit_note, with_client};
use crate::keyed;
use crate::lineage::{self, Lineage, Sources};
use crate::modifier::Modifiers;
use crate::policy::{self, Compiler, Mappings};
use crate::query::{QueryPlan, QueryPlanner};
use crate::replace::{self, Replacement};
use crate::response::Command;
use crate::statement::CreateTableAs;
use crate::stream::Deadline;
use crate::vantage::Vantage;
use crate::watch::Watch;
use crate::{output, policy_tests, publish, resolve, version, write};

/// A CREATE TABLE AS that is ready to run.
pub(crate) struct CreatePlan {
    source: QueryPlan,
    statement: CreateTableAs,
    schema: arrow::datatypes::SchemaRef,
    /// The tables that the rows come from.
    sources: Vec<ResolvedTable>,
    /// Which of their columns each column is made of.
    lineage: Lineage,
}

/// Plans a CREATE TABLE AS over its planned source.
///
/// # Errors
/// 42601 where names and columns do not match, 0A000 where a column's type cannot be stored.
pub(crate) fn plan(
    create: &CreateTableAs,
    source: QueryPlan,
    lineage: Lineage,
    planner: &QueryPlanner<'_>,
) -> Result<CreatePlan, Error> {
    if create.columns.len() > source.schema.fields().len() {
        return Err(Error::new(lakeward_base::SqlState::SYNTAX_ERROR, "too many column names were specified"));
    }
    let schema = write::storable_schema(&source.schema, &create.columns)?;
    let sources = planner.resolved.tables.clone();
    Ok(CreatePlan { source, statement: create.clone(), schema, sources, lineage })
}

/// Runs a CREATE TABLE AS.
pub(crate) async fn table_as(
    vantage: &Vantage,
    plan: CreatePlan,
    deadline: &Deadline,
    watch: Option<Watch>,
) -> Result<Done, Error> {
    let CreatePlan { source, statement, schema, sources, lineage } = plan;
    let validator = Validator { vantage };
    let search_path = vantage.search_path.clone();
    if statement.or_replace
        && let Some(existing) = ddl::existing_table(&vantage.snapshot, &search_path, &statement.table)?
    {
        let governed = sources.iter().find(|source| write::hides_rows(&source.table));
        if let (Some(governed), false) = (governed, write::is_free(&vantage.principal, &existing)) {
            return Err(write::laundering(&governed.table.name, &existing.name));
        }
        let own = sources.iter().find(|source| source.table.id == existing.id);
        let read_version = own.map(|source| source.raw.version());
        let replacement = Replacement { source, statement, schema, read_version, sources, lineage };
        return replace::table(vantage, &validator, &existing, replacement, (deadline, watch)).await;
    }
    let context = ddl_context(vantage, &search_path, &validator);
    // What the client has sent is nobody's data that policies would have to follow.
    let sent = vantage.client.is_some();
    let types: Vec<_> = schema.fields().iter().map(|field| ddl::types::sql_type(field.data_type())).collect();
    let known =
        Sources { principal: &vantage.principal, snapshot: &vantage.snapshot, tables: &sources, lineage: &lineage };
    let derived = lineage::carried(&known, &types);
    let creation = Creation {
        name: &statement.table,
        if_not_exists: statement.if_not_exists,
        schema: Arc::clone(&schema),
        partition_by: &statement.partition_by,
        location: statement.location.as_deref(),
        grantable: sent || derived.complete,
        from: (!sent).then_some(Derivation { columns: &derived.columns, tables: &sources }),
        properties: &BTreeMap::new(),
    };
    let table = match ddl::create_table(&context, &creation).await? {
        Created::Table(table) => table,
        Created::Existed(notice) => {
            let command = Command { tag: "CREATE TABLE AS".to_owned(), notices: vec![notice], ..Command::default() };
            return Ok(Done::only(command));
        }
    };
    match fill(vantage, &table, source, &schema, (deadline, watch)).await {
        Ok(WriteResult { rows, version }) => {
            let command = Command { tag: format!("SELECT {rows}"), ..Command::default() };
            let name = context.catalog.snapshot().qualified_name(table.id);
            Ok(Done { command, rows, committed: Some((name, version)) })
        }
        Err(error) => {
            if ddl::undo_create(&context, &table).await.is_err() {
                tracing::warn!(table = %table.id, "a table whose rows failed could not be removed");
            }
            Err(error)
        }
    }
}

/// Writes the rows of a new table; it may be stopped until it commits, as it is by a client that does not send all rows.
async fn fill(
    vantage: &Vantage,
    table: &Table,
    source: QueryPlan,
    schema: &arrow::datatypes::SchemaRef,
    (deadline, watch): (&Deadline, Option<Watch>),
) -> Result<WriteResult, Error> {
    let failed = |error: StoreError| publish::store(&error, &table.name);
    let staging = async {
        let rows = execute_stream(source.physical, source.task).map_err(|error| publish::execution(&error))?;
        let checked = write::checked(rows, schema, None, Modifiers::of(table, schema), &table.name);
        let store = &vantage.session.engine().shared.parts.store;
        let note = commit_note(vantage);
        let staged = store.stage(table, VersionSelector::Latest, WriteMode::Append, checked, &note).await;
        let staged = staged.map_err(failed)?;
        check_again(watch).await?;
        Ok::<_, Error>(staged)
    };
    let staged = deadline.enforce(with_client(vantage, staging)).await?;
    Ok(WriteResult { version: staged.commit().await.map_err(failed)?, rows: staged.rows() })
}

/// Decides again about rows that are about to be committed.
pub(crate) async fn check_again(watch: Option<Watch>) -> Result<(), Error> {
    match watch {
        Some(mut watch) => watch.check().await,
        None => Ok(()),
    }
}

/// What DDL runs with, for this statement.
pub(crate) fn ddl_context<'a>(
    vantage: &'a Vantage,
    search_path: &'a [String],
    validator: &'a Validator<'a>,
) -> DdlContext<'a> {
    let parts = &vantage.session.engine().shared.parts;
    DdlContext {
        catalog: &parts.catalog,
        store: parts.store.as_ref(),
        principal: &vantage.principal,
        search_path,
        managed_root_url: &parts.managed_root_url,
        reserved_urls: &parts.reserved_urls,
        note: commit_note(vantage),
        validator,
        force: false,
    }
}

/// Asks the planner.
pub(crate) struct Validator<'a> {
    pub(crate) vantage: &'a Vantage,
}

impl Validator<'_> {
    /// Keyed functions in a policy run with the rights of its owner, who is the one who makes it.
    fn check_keyed(&self, sql: &str) -> Result<(), Error> {
        keyed::check(&self.vantage.principal, &self.vantage.snapshot, &crate::statement::parse_expression(sql)?)
    }
}

#[async_trait]
impl DdlValidator for Validator<'_> {
    async fn view_columns(&self, query: &ast::Query) -> Result<Vec<(String, String)>, Error> {
        let mut query = query.clone();
        version::mark(&mut query, version::Moment::UTC)?;
        let resolved = resolve::query(self.vantage, query).await?;
        let compiler = Compiler { state: &self.vantage.state, mappings: &resolved.mappings };
        let decision =
            lakeward_govern::decide(&self.vantage.principal, &self.vantage.snapshot, &resolved.tables, &compiler)
                .map_err(|error| Error::from_coded(&error))?;
        let planner = QueryPlanner { vantage: self.vantage, resolved: &resolved, decision: &decision, text: "" };
        let Some(query) = &resolved.query else { return Err(publish::incident("planning", "view")) };
        let plan = planner.logical(query, Vec::new())?;
        let fields = plan.schema().fields();
        let names = output::column_names(resolved.naming(query), fields.len());
        let column = |(name, field): (Option<String>, &Arc<arrow::datatypes::Field>)| {
            (name.unwrap_or_else(|| field.name().clone()), ddl::types::sql_type(field.data_type()))
        };
        Ok(names.into_iter().zip(fields.iter()).map(column).collect())
    }

    async fn check_policy(
        &self,
        table: &Table,
        sql: &str,
        bound: Option<&RowPolicy>,
    ) -> Result<Vec<PolicyRead>, Error> {
        let (owner, reads) = match bound {
            Some(policy) => (policy.owner, policy.reads.clone()),
            None => {
                self.check_keyed(sql)?;
                (self.vantage.principal.current_role, policy::reads(self.vantage, sql)?)
            }
        };
        let field = |column: &lakeward_catalog::Column| {
            arrow::datatypes::Field::new(&column.name, ddl::types::arrow_type(&column.sql_type), true)
        };
        let schema = arrow::datatypes::Schema::new(table.columns.iter().map(field).collect::<Vec<_>>());
        let qualified = DFSchema::try_from_qualified_schema(TableReference::bare(table.name.as_str()), &schema);
        let schema = qualified.map_err(|error| publish::planning(&error, None))?;
        let mappings = Mappings::open(self.vantage, reads.iter().map(|read| read.table).collect()).await?;
        let compiler = Compiler { state: &self.vantage.state, mappings: &mappings };
        let owner = (self.vantage.snapshot.as_ref(), owner);
        lakeward_govern::check_row_policy(sql, &schema, &reads, owner, &compiler).map_err(|error| refused(&error))
    }

    async fn broken_test(&self, base: &Arc<Snapshot>, proposed: &Arc<Snapshot>) -> Option<(String, String)> {
        let broken = policy_tests::first_broken(&self.vantage.session, base, proposed).await?;
        Some((broken.name, broken.detail))
    }

    async fn check_mask(&self, policy: &MaskingPolicy) -> Result<(), Error> {
        let body = policy.body.expose();
        policy::refuse_queries(body)?;
        self.check_keyed(body)?;
        let compiler = Compiler { state: &self.vantage.state, mappings: &Mappings::default() };
        lakeward_govern::check_masking_policy(policy, None, &compiler).map_err(|error| refused(&error))
    }
}

/// Whoever makes a policy may see what the planner says of its text.
fn refused(error: &CompileError) -> Error {
    match error {
        CompileError::Planner(error) => publish::planning(error, None),
        other => Error::from_coded(other),
    }
}
