//! CREATE OR REPLACE TABLE AS over a table that is there: it keeps its identity, owner, grants and policies.
//!
//! The Delta commit comes first, the catalog's entry after it. Between the two, policies are those of the old columns:
//! columns that the catalog does not know are not shown, and a governed column that is gone closes the table. Invariant:
//! there is no moment at which a row stands without the policies of its table.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_plan::execute_stream;
use lakeward_base::{Coded, SqlState};
use lakeward_catalog::{
    CatalogError, Column, Draft, NewColumn, NewFiles, RowPolicy, StagedWrite, Table, VersionSelector,
};
use lakeward_govern::ResolvedTable;

use crate::create::check_again;
use crate::ddl::{self, DdlValidator};
use crate::error::Error;
use crate::execute::{Done, commit_note, with_client};
use crate::lineage::{self, Lineage, Sources};
use crate::modifier::{Modifiers, marked};
use crate::policy::{self, Compiler, Mappings};
use crate::query::QueryPlan;
use crate::response::Command;
use crate::statement::CreateTableAs;
use crate::stream::Deadline;
use crate::vantage::Vantage;
use crate::watch::Watch;
use crate::{publish, resolve, write};

/// What replaces a table.
pub(crate) struct Replacement {
    pub(crate) source: QueryPlan,
    pub(crate) statement: CreateTableAs,
    pub(crate) schema: SchemaRef,
    /// The version of the table itself that the rows are made from, where they are.
    pub(crate) read_version: Option<u64>,
    /// The tables that the rows come from.
    pub(crate) sources: Vec<ResolvedTable>,
    /// Which of their columns each column is made of.
    pub(crate) lineage: Lineage,
}

/// Replaces `table`.
///
/// # Errors
/// 42501 but for its owner, and for a column that is less protected than what it is made of; 2BP01 where a policy or mask
/// names a column that would go.
pub(crate) async fn table(
    vantage: &Vantage,
    validator: &dyn DdlValidator,
    table: &Arc<Table>,
    replacement: Replacement,
    (deadline, watch): (&Deadline, Option<Watch>),
) -> Result<Done, Error> {
    let staging = async {
        let staged = with_client(vantage, stage(vantage, validator, table, replacement)).await?;
        check_again(watch).await?;
        Ok::<_, Error>(staged)
    };
    let Staged { files, columns, replaced } = deadline.enforce(staging).await?;
    // From here on it goes to its end: rows and columns change together.
    let version = files.commit().await.map_err(|error| publish::store(&error, &table.name))?;
    let catalog = &vantage.session.engine().shared.parts.catalog;
    let entered = catalog.change(&vantage.principal.session_user, |draft| {
        let policies = |draft: &Draft| draft.table(table.id).map(|table| table.policies.clone());
        if policies(draft) != Some(replaced.policies.clone()) {
            // They were checked against the new columns as they were.
            return Err(CatalogError::refused(Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "the table's policies were changed concurrently",
            )));
        }
        draft.replace_columns(table.id, &columns, version)
    });
    if let Err(error) = entered.await {
        tracing::warn!(table = %table.id, sqlstate = %error.sqlstate(), "a table was replaced whose columns were not");
        let hint = "The rows are replaced and the table is closed: run the statement again.";
        return Err(Error::from_coded(&error).with_hint(hint));
    }
    let rows = files.rows();
    let command = Command { tag: format!("SELECT {rows}"), ..Command::default() };
    Ok(Done { command, rows, committed: Some((vantage.snapshot.qualified_name(table.id), version)) })
}

/// A replacement whose rows are written.
struct Staged {
    files: Arc<dyn StagedWrite>,
    columns: Vec<NewColumn>,
    /// The table as it will be.
    replaced: Arc<Table>,
}

async fn stage(
    vantage: &Vantage,
    validator: &dyn DdlValidator,
    table: &Arc<Table>,
    replacement: Replacement,
) -> Result<Staged, Error> {
    let Replacement { source, statement, schema, read_version, sources, lineage } = replacement;
    must_own(vantage, table)?;
    if statement.location.is_some() {
        return Err(Error::unsupported("LOCATION of a table that is replaced").with_hint("Leave it out."));
    }
    let columns: Vec<NewColumn> = schema.fields().iter().map(|field| renewed(table, field)).collect();
    let mut trial = Draft::new(&vantage.snapshot);
    trial.replace_columns(table.id, &columns, u64::MAX).map_err(|error| Error::from_coded(&error))?;
    let replaced = trial.table(table.id).cloned().ok_or_else(|| publish::incident("execution", "replace"))?;
    check_policies(validator, &replaced).await?;
    if !write::is_free(&vantage.principal, table) {
        let written: Vec<_> = columns.iter().map(|column| column.name.clone()).enumerate().collect();
        let sources =
            Sources { principal: &vantage.principal, snapshot: &vantage.snapshot, tables: &sources, lineage: &lineage };
        lineage::must_cover(&sources, &replaced, &written, None)?;
    }
    let predicate = check(vantage, table, &schema).await?;
    let rows = execute_stream(source.physical, source.task).map_err(|error| publish::execution(&error))?;
    let checked = write::checked(rows, &schema, predicate, Modifiers::of(&replaced, &schema), &table.name);
    let partition_by = Some(statement.partition_by.as_slice()).filter(|columns| !columns.is_empty());
    let marked =
        schema.fields().iter().zip(&columns).map(|(field, column)| marked(Field::clone(field), &column.sql_type));
    let schema = Arc::new(Schema::new(marked.collect::<Vec<_>>()));
    let files = NewFiles { schema, partition_by, read_version };
    let store = &vantage.session.engine().shared.parts.store;
    let staged = store.stage_replacement(table, files, checked, &commit_note(vantage)).await;
    let files = staged.map_err(|error| publish::store(&error, &table.name))?;
    Ok(Staged { files, columns, replaced })
}

/// A column of the new table. One whose name and kind of values stay keeps its length, or its digits.
fn renewed(table: &Table, field: &Field) -> NewColumn {
    let sql_type = ddl::types::sql_type(field.data_type());
    let known = table.columns.iter().find(|known| known.name == *field.name());
    let known = known.filter(|known| known.kind() == sql_type);
    NewColumn { name: field.name().clone(), sql_type: known.map_or(sql_type, |known| known.sql_type.clone()) }
}

fn must_own(vantage: &Vantage, table: &Table) -> Result<(), Error> {
    let principal = &vantage.principal;
    if principal.superuser || principal.effective_roles.contains(&table.owner) {
        return Ok(());
    }
    Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be owner of table {}", table.name)))
}

/// Every row policy must still be about columns that there are.
async fn check_policies(validator: &dyn DdlValidator, replaced: &Table) -> Result<(), Error> {
    for policy in &replaced.policies {
        let RowPolicy { name, using, with_check, .. } = policy;
        for sql in [using, with_check].into_iter().flatten() {
            if validator.check_policy(replaced, sql.expose(), Some(policy)).await.is_err() {
                let message = format!("cannot replace table {} because other objects depend on it", replaced.name);
                return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(format!("policy {name} depends on a column that would go or change"))
                    .with_hint("Alter or drop the policy first."));
            }
        }
    }
    Ok(())
}

/// What the owner may write: no masked column, and no row that its policies refuse.
async fn check(
    vantage: &Vantage,
    table: &Arc<Table>,
    schema: &SchemaRef,
) -> Result<Option<Arc<dyn datafusion::physical_expr::PhysicalExpr>>, Error> {
    let raw = resolve::open(vantage, table, VersionSelector::Latest).await?;
    let target = ResolvedTable { table: Arc::clone(table), raw, reader: vantage.principal.role_set() };
    let known = |name: &&String| table.columns.iter().any(|column: &Column| column.name == **name);
    let names: Vec<String> = schema.fields().iter().map(|field| field.name()).filter(known).cloned().collect();
    let mappings = Mappings::open(vantage, policy::needed(vantage, table)).await?;
    let compiler = Compiler { state: &vantage.state, mappings: &mappings };
    let decision = lakeward_govern::decide_check(&vantage.principal, &vantage.snapshot, &target, &names, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    policy::ready(vantage, &[decision.check.as_ref()]).await?;
    decision.check.as_ref().map(|check| write::compiled(vantage, check, schema)).transpose()
}
