//! Writing rows: INSERT, and the rows of CREATE TABLE AS.
//!
//! Invariant: every row was checked against NOT NULL and WITH CHECK before the store sees it, and the store commits
//! nothing of a statement that fails.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use lakeward_audit::ObjectFacts;
use lakeward_base::SqlState;
use lakeward_catalog::{StagedWrite, Table, VersionSelector, WriteMode};
use lakeward_govern::{Principal, ResolvedTable, WriteDecision};

use crate::error::Error;
use crate::execute::{commit_note, with_client};
use crate::lineage::{self, Lineage, Sources};
use crate::modifier::Modifiers;
use crate::policy::{self, Compiler};
use crate::postgres;
use crate::publish;
use crate::query::{QueryPlan, QueryPlanner};
use crate::sets::{self, Sets};
use crate::statement::Insert;
use crate::vantage::Vantage;

/// An INSERT that is ready to run.
pub(crate) struct InsertPlan {
    /// Rows in the target's columns and types.
    pub(crate) source: QueryPlan,
    /// More of them, after those.
    pub(crate) further: Vec<QueryPlan>,
    /// Where they go.
    pub(crate) target: ResolvedTable,
    /// What each of them must satisfy.
    pub(crate) check: WriteDecision,
    /// The check, compiled.
    pub(crate) predicate: Option<Arc<dyn PhysicalExpr>>,
    /// They take the place of all rows.
    pub(crate) overwrite: bool,
}

impl InsertPlan {
    /// What the audit keeps of the target.
    pub(crate) fn object(&self, vantage: &Vantage) -> ObjectFacts {
        ObjectFacts { name: vantage.snapshot.qualified_name(self.target.table.id), ..ObjectFacts::default() }
    }
}

/// Plans an INSERT: decides, types the source by the target, and adds what the statement leaves out as NULL.
pub(crate) async fn plan_insert(planner: &QueryPlanner<'_>, insert: &Insert, sets: &Sets) -> Result<InsertPlan, Error> {
    let (Some(target), Some(query)) = (&planner.resolved.target, &planner.resolved.query) else {
        return Err(publish::incident("planning", "insert"));
    };
    let vantage = planner.vantage;
    let schema = target.raw.schema();
    let columns = written_columns(planner, &schema, insert, query, Vec::new())?;
    let (check, predicate) = decided(planner, target, &columns)?;
    refuse_laundering(planner, target)?;
    if insert.overwrite && lakeward_govern::hides_rows(&vantage.principal, &target.table) {
        let message = format!("permission denied for table {}: its policies hide rows from you", target.table.name);
        let error = Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message);
        return Err(error.with_hint("DELETE and INSERT change only the rows that you see."));
    }
    if sets.count() > 1 && planner.resolved.tables.iter().any(|read| read.table.id == target.table.id) {
        let what = "an INSERT that reads its own table, with more than one row of parameters,";
        return Err(Error::unsupported(what).with_hint("Execute it once for each row."));
    }
    let logical = logical_insert(planner, query, &schema, &columns, Vec::new())?;
    must_cover(planner, target, &logical)?;
    let at_once = sets.as_table(vantage, query, &logical).map_err(|error| publish::planning(&error, None))?;
    let mut further = Vec::new();
    let source = match at_once {
        Some(logical) => planner.physical(logical, &[], query).await?,
        None => {
            for parameters in sets.all()?.iter().skip(1) {
                further.push(planner.physical(logical.clone(), parameters, query).await?);
            }
            planner.physical(logical, &sets.first, query).await?
        }
    };
    Ok(InsertPlan { source, further, target: target.clone(), check, predicate, overwrite: insert.overwrite })
}

/// What holds for new rows of `target` in which these columns are written: decided, and compiled.
///
/// # Errors
/// 42501 for a column that is masked for the principal.
pub(crate) fn decided(
    planner: &QueryPlanner<'_>,
    target: &ResolvedTable,
    columns: &[usize],
) -> Result<(WriteDecision, Option<Arc<dyn PhysicalExpr>>), Error> {
    let (schema, vantage) = (target.raw.schema(), planner.vantage);
    let names: Vec<String> = columns.iter().map(|index| schema.field(*index).name().clone()).collect();
    let compiler = Compiler { state: &vantage.state, mappings: &planner.resolved.mappings };
    let check = lakeward_govern::decide_check(&vantage.principal, &vantage.snapshot, target, &names, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    let predicate = check.check.as_ref().map(|check| compiled(vantage, check, &schema)).transpose()?;
    Ok((check, predicate))
}

/// Each column of the target is as protected as those that it is filled from.
fn must_cover(planner: &QueryPlanner<'_>, target: &ResolvedTable, rows: &LogicalPlan) -> Result<(), Error> {
    let open = !lineage::is_protected(&planner.vantage.snapshot, &planner.resolved.tables);
    if open || is_free(&planner.vantage.principal, &target.table) {
        return Ok(());
    }
    let lineage = Lineage::of(rows);
    let schema = target.raw.schema();
    let written: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).enumerate().collect();
    lineage::must_cover(&sources(planner, &lineage), &target.table, &written, None)
}

/// What is written comes from these.
pub(crate) fn sources<'a>(planner: &'a QueryPlanner<'_>, lineage: &'a Lineage) -> Sources<'a> {
    Sources {
        principal: &planner.vantage.principal,
        snapshot: &planner.vantage.snapshot,
        tables: &planner.resolved.tables,
        lineage,
    }
}

/// Whether a principal may write what it likes into a table: nothing is hidden from a superuser, and what is its
/// maker's alone shows nobody else anything.
pub(crate) fn is_free(principal: &Principal, target: &Table) -> bool {
    principal.superuser || (!target.grantable && target.owner == principal.session_role)
}

/// Row policies are not carried over: rows that they govern go only into the table that they came from, or into one that
/// is its maker's alone.
pub(crate) fn refuse_laundering(planner: &QueryPlanner<'_>, target: &ResolvedTable) -> Result<(), Error> {
    if is_free(&planner.vantage.principal, &target.table) {
        return Ok(());
    }
    let other = |source: &&ResolvedTable| hides_rows(&source.table) && source.table.id != target.table.id;
    match planner.resolved.tables.iter().find(other) {
        None => Ok(()),
        Some(source) => Err(laundering(&source.table.name, &target.table.name)),
    }
}

/// Whether policies hide rows of a table from somebody, or it is its maker's alone because it was made of such rows.
pub(crate) fn hides_rows(table: &Table) -> bool {
    table.row_security || !table.grantable
}

/// Why rows may not be written.
pub(crate) fn laundering(source: &str, target: &str) -> Error {
    let message = format!("rows of governed table {source} may not be written to table {target}");
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        .with_hint("CREATE TABLE AS makes a table that is yours alone.")
}

/// The source of an INSERT, in the target's columns and types.
pub(crate) fn logical_insert(
    planner: &QueryPlanner<'_>,
    query: &ast::Query,
    schema: &SchemaRef,
    columns: &[usize],
    parameter_types: Vec<Option<FieldRef>>,
) -> Result<LogicalPlan, Error> {
    let fields = columns.iter().filter_map(|index| schema.fields().get(*index)).cloned().collect::<Vec<_>>();
    let source = planner.logical_typed(query, &fields, parameter_types)?;
    let width = source.schema().fields().len();
    if width != columns.len() {
        let which =
            if width > columns.len() { "expressions than target columns" } else { "target columns than expressions" };
        return Err(Error::new(SqlState::SYNTAX_ERROR, format!("INSERT has more {which}")));
    }
    let project = || {
        let expr = |(index, field): (usize, &Arc<Field>)| match columns.iter().position(|column| *column == index) {
            Some(place) => {
                let column = Expr::Column(source.schema().columns().swap_remove(place));
                Ok(postgres::assigned(column, field, source.schema())?.alias(field.name()))
            }
            None => Ok(lit(ScalarValue::try_from(field.data_type())?).alias(field.name())),
        };
        let exprs = schema.fields().iter().enumerate().map(expr).collect::<Result<Vec<_>, DataFusionError>>()?;
        LogicalPlanBuilder::from(source.clone()).project(exprs)?.build()
    };
    project().map_err(|error| publish::planning(&error, Some(planner.text)))
}

/// The indices of the columns that an INSERT names, in the order in which it names them.
pub(crate) fn written_columns(
    planner: &QueryPlanner<'_>,
    schema: &SchemaRef,
    insert: &Insert,
    query: &ast::Query,
    parameter_types: Vec<Option<FieldRef>>,
) -> Result<Vec<usize>, Error> {
    match columns_by_syntax(schema, insert, query)? {
        Some(columns) => Ok(columns),
        None => Ok(leading(schema, planner.logical(query, parameter_types)?.schema().fields().len())),
    }
}

/// The same without planning; `None` where the syntax does not tell.
pub(crate) fn columns_by_syntax(
    schema: &SchemaRef,
    insert: &Insert,
    query: &ast::Query,
) -> Result<Option<Vec<usize>>, Error> {
    if !insert.columns.is_empty() {
        return places(schema, &insert.columns, &insert.table.name).map(Some);
    }
    Ok(given(&query.body).map(|given| leading(schema, given)))
}

/// As in PostgreSQL, columns at the end that no value is given for are NULL.
fn leading(schema: &SchemaRef, given: usize) -> Vec<usize> {
    let width = schema.fields().len();
    (0..if given == 0 { width } else { given.min(width) }).collect()
}

/// How many columns a query has, where its syntax tells.
fn given(body: &ast::SetExpr) -> Option<usize> {
    match body {
        ast::SetExpr::Values(values) => Some(values.rows.first().map_or(0, |row| row.content.len())),
        ast::SetExpr::Select(select) => {
            let plain = |item: &ast::SelectItem| {
                matches!(item, ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. })
            };
            select.projection.iter().all(plain).then_some(select.projection.len())
        }
        ast::SetExpr::Query(query) => given(&query.body),
        ast::SetExpr::SetOperation { left, .. } => given(left),
        _ => None,
    }
}

/// Where columns stand in a relation.
///
/// # Errors
/// 42703 for one that is not there, 42701 for one that is named twice.
pub(crate) fn places(schema: &SchemaRef, columns: &[String], relation: &str) -> Result<Vec<usize>, Error> {
    let mut indices = Vec::with_capacity(columns.len());
    for name in columns {
        let missing = || {
            let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        };
        let index = schema.index_of(name).map_err(|_| missing())?;
        if indices.contains(&index) {
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
        }
        indices.push(index);
    }
    Ok(indices)
}

/// The bare parameters of a `VALUES`, or of a SELECT's list: in which column each stands, and its index from 0.
pub(crate) fn placeholders(query: &ast::Query) -> Vec<(usize, usize)> {
    let cells: Vec<(usize, &ast::Expr)> = match query.body.as_ref() {
        ast::SetExpr::Values(values) => values.rows.iter().flat_map(|row| row.content.iter().enumerate()).collect(),
        ast::SetExpr::Select(select) => {
            let known = select.projection.iter().map_while(|item| match item {
                ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => Some(expr),
                _ => None,
            });
            known.enumerate().collect()
        }
        _ => Vec::new(),
    };
    let index = |(place, expr): (usize, &ast::Expr)| match expr {
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(name), .. }) => {
            let number: usize = name.trim_start_matches('$').parse().ok()?;
            Some((place, number.checked_sub(1)?))
        }
        _ => None,
    };
    cells.into_iter().filter_map(index).collect()
}

pub(crate) fn compiled(vantage: &Vantage, check: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>, Error> {
    let compile = || {
        let schema = DFSchema::try_from(schema.as_ref().clone())?;
        vantage.state.create_physical_expr(check.clone(), &schema)
    };
    // A policy's text must not show through an error.
    compile().map_err(|_| Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "a policy of the table could not be applied"))
}

/// Rows on their way into `table`: checked one batch at a time, as the store's schema has them.
pub(crate) fn checked(
    rows: SendableRecordBatchStream,
    schema: &SchemaRef,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    modifiers: Modifiers,
    table: &str,
) -> SendableRecordBatchStream {
    let table = table.to_owned();
    let target = Arc::clone(schema);
    let checked = rows.map(move |batch| {
        let batch = modifiers.fitted(conformed(&batch?, &target)?)?;
        check_not_null(&batch, &target, &table)?;
        if let Some(predicate) = &predicate {
            check_policy(&batch, predicate, &table)?;
        }
        Ok(batch)
    });
    Box::pin(RecordBatchStreamAdapter::new(nullable(schema), checked))
}

/// The batch under `schema`'s names and types; a value that does not fit is an error, never NULL.
fn conformed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields());
    let cast = columns.map(|(column, field)| cast_with_options(column, field.data_type(), &strict));
    Ok(RecordBatch::try_new(nullable(schema), cast.collect::<Result<Vec<_>, _>>()?)?)
}

/// NOT NULL is checked here, with PostgreSQL's error, rather than by Arrow with its own.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(crate) fn check_not_null(batch: &RecordBatch, schema: &SchemaRef, table: &str) -> Result<(), DataFusionError> {
    let required = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .find(|(field, column)| !field.is_nullable() && column.null_count() > 0);
    let Some((field, _)) = required else { return Ok(()) };
    let message =
        format!("null value in column \"{}\" of relation \"{table}\" violates not-null constraint", field.name());
    Err(external(Error::new(SqlState::NOT_NULL_VIOLATION, message)))
}

pub(crate) fn check_policy(
    batch: &RecordBatch,
    predicate: &Arc<dyn PhysicalExpr>,
    table: &str,
) -> Result<(), DataFusionError> {
    let refused = || {
        let message = format!("new row violates row-level security policy for table \"{table}\"");
        external(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message))
    };
    // An expression that fails refuses, and says nothing of the value that it failed on.
    let evaluated =
        predicate.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(|_| refused())?;
    let Some(passes) = evaluated.as_boolean_opt() else { return Err(refused()) };
    if passes.true_count() == batch.num_rows() { Ok(()) } else { Err(refused()) }
}

pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Writes the files of an INSERT.
pub(crate) async fn stage(vantage: &Vantage, plan: &InsertPlan, in_block: bool) -> Result<Arc<dyn StagedWrite>, Error> {
    policy::ready(vantage, &[plan.check.check.as_ref()]).await?;
    let target = &plan.target;
    let rows = sets::chained(&plan.source, &plan.further).map_err(|error| publish::execution(&error))?;
    let schema = target.raw.schema();
    let modifiers = Modifiers::of(&target.table, &schema);
    let checked = checked(rows, &schema, plan.predicate.clone(), modifiers, &target.table.name);
    let mode = if plan.overwrite { WriteMode::Replace(target.raw.version()) } else { WriteMode::Append };
    with_client(vantage, stage_rows(vantage, target, mode, checked, in_block)).await
}

/// Writes rows that were checked into files that no version has yet. In a block they stand on the version that it sees.
pub(crate) async fn stage_rows(
    vantage: &Vantage,
    target: &ResolvedTable,
    mode: WriteMode,
    rows: SendableRecordBatchStream,
    in_block: bool,
) -> Result<Arc<dyn StagedWrite>, Error> {
    let at = if in_block { VersionSelector::Exact(target.raw.version()) } else { VersionSelector::Latest };
    let store = &vantage.session.engine().shared.parts.store;
    let staged = store.stage(&target.table, at, mode, rows, &commit_note(vantage)).await;
    staged.map_err(|error| publish::store(&error, &target.table.name))
}

/// The schema that a query's result has as a table.
///
/// # Errors
/// 0A000 where a column's type cannot be stored.
pub(crate) fn storable_schema(schema: &SchemaRef, names: &[String]) -> Result<SchemaRef, Error> {
    let field = |(index, field): (usize, &Arc<Field>)| {
        let name = names.get(index).unwrap_or(field.name());
        match storable(field.data_type()) {
            Some(data_type) => Ok(Field::new(name, data_type, true)),
            None => Err(Error::unsupported(format!("storing column \"{name}\" of this type"))
                .with_hint("Cast it to a type that tables have.")),
        }
    };
    Ok(Arc::new(Schema::new(schema.fields().iter().enumerate().map(field).collect::<Result<Vec<_>, Error>>()?)))
}

fn storable(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 => data_type.clone(),
        DataType::Float32 | DataType::Float64 | DataType::Date32 => data_type.clone(),
        DataType::Decimal128(..) => data_type.clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Dictionary(_, values) => storable(values)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let element = storable(item.data_type()).filter(|element| !matches!(element, DataType::List(_)))?;
            DataType::List(Arc::new(Field::new("element", element, true)))
        }
        DataType::Struct(fields) => {
            let inside = |field: &FieldRef| Some(Field::new(field.name(), storable(field.data_type())?, true));
            DataType::Struct(fields.iter().map(inside).collect::<Option<_>>()?)
        }
        DataType::Map(..) => data_type.clone(),
        _ => return None,
    })
}
