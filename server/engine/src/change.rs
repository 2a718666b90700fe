//! UPDATE, DELETE and MERGE: finding rows above the barrier, and having the store change them below it.
//!
//! Predicates and values are planned as a query and see what the principal sees. The store rewrites raw rows and asks
//! the [`Guard`] about each: may this row be changed, may it be so. Invariant: a raw row is seen by policies only, and
//! nothing of it comes back but how many rows there were.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use lakeward_base::SqlState;
use lakeward_catalog::{ChangeBase, ChangeGuard, RowAction, RowChanges, RowUse, StagedWrite};
use lakeward_govern::{ChangeDecision, ChangeRequest, ResolvedTable};

use crate::error::Error;
use crate::execute::commit_note;
use crate::policy::{self, Compiler};
use crate::query::{QueryPlan, QueryPlanner};
use crate::statement::{Change, ChangeAction, ChangeCommand, Kind, Statement};
use crate::vantage::Vantage;
use crate::{publish, resolve, write};

/// Columns of what is found before the values: file, row, action.
const FOUND_COLUMNS: usize = 3;

/// A change that is ready to run.
pub(crate) struct ChangePlan {
    /// Finds the rows.
    pub(crate) source: QueryPlan,
    /// Finds more of them, with further sets of parameters.
    further: Vec<QueryPlan>,
    /// What was decided about them.
    pub(crate) decision: ChangeDecision,
    pub(crate) target: ResolvedTable,
    base: ChangeBase,
    actions: Vec<RowAction>,
    guard: Arc<Guard>,
    pub(crate) command: ChangeCommand,
    /// To plan it again.
    statement: Arc<Statement>,
    sets: Vec<Vec<ScalarValue>>,
}

/// Plans a change, with each of these sets of parameters.
///
/// # Errors
/// 42501 for a privilege, a masked column or a governed source, 42703 for a column that is not there.
pub(crate) async fn plan(
    planner: &QueryPlanner<'_>,
    statement: &Arc<Statement>,
    sets: Vec<Vec<ScalarValue>>,
) -> Result<ChangePlan, Error> {
    let resolved = planner.resolved;
    let (Kind::Change(change), Some(target), Some(base), Some(query)) =
        (&statement.kind, &resolved.target, &resolved.base, &resolved.query)
    else {
        return Err(publish::incident("planning", "change"));
    };
    let vantage = planner.vantage;
    let schema = table_schema(target);
    let actions = row_actions(change, &schema)?;
    let mut request = ChangeRequest::default();
    for action in &actions {
        match action {
            RowAction::Update(values) => {
                request.updates = true;
                request.columns.extend(values.iter().map(|(column, _)| schema.field(*column).name().clone()));
            }
            RowAction::Delete => request.deletes = true,
            RowAction::Insert(values) => {
                request.inserts = true;
                let written = schema.fields().iter().zip(values).filter(|(_, value)| value.is_some());
                request.columns.extend(written.map(|(field, _)| field.name().clone()));
            }
        }
    }
    let compiler = Compiler { state: &vantage.state, mappings: &resolved.mappings };
    let decision = lakeward_govern::decide_change(&vantage.principal, &vantage.snapshot, target, &request, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    write::refuse_laundering(planner, target)?;
    refuse_spreading(planner, change, target)?;
    let logical = logical(planner, change, query, Vec::new())?;
    let mut guard = Guard::new(vantage, &decision, target, schema, change.command)?;
    if sets.len() > 1 {
        independent(planner, change, query)?;
        guard.once = change.command == ChangeCommand::Update;
    }
    let mut plans = Vec::with_capacity(sets.len());
    for parameters in &sets {
        plans.push(planner.physical(logical.clone(), parameters, query).await?);
    }
    let further = plans.split_off(1.min(plans.len()));
    let Some(source) = plans.pop() else { return Err(publish::incident("planning", "change")) };
    Ok(ChangePlan {
        source,
        further,
        decision,
        target: target.clone(),
        base: base.clone(),
        actions,
        guard: Arc::new(guard),
        command: change.command,
        statement: Arc::clone(statement),
        sets,
    })
}

/// The target's columns, without the two that number its rows.
fn table_schema(target: &ResolvedTable) -> SchemaRef {
    let numbered = target.raw.schema();
    let columns = numbered.fields().len().saturating_sub(2);
    Arc::new(Schema::new(numbered.fields().iter().take(columns).cloned().collect::<Vec<_>>()))
}

fn row_actions(change: &Change, schema: &SchemaRef) -> Result<Vec<RowAction>, Error> {
    let mut next = FOUND_COLUMNS;
    let mut value = || {
        next += 1;
        next - 1
    };
    let index = |name: &String| {
        let message = || format!("column \"{name}\" of relation \"{}\" does not exist", change.table.name);
        schema.index_of(name).map_err(|_| Error::new(SqlState::UNDEFINED_COLUMN, message()))
    };
    let action = |action: &ChangeAction| match action {
        ChangeAction::Delete => Ok(RowAction::Delete),
        ChangeAction::Update(assignments) => {
            let pairs = assignments.iter().map(|(column, _)| Ok((index(column)?, value())));
            Ok(RowAction::Update(pairs.collect::<Result<_, Error>>()?))
        }
        ChangeAction::Insert(columns, values) => {
            let places: Vec<usize> = if columns.is_empty() {
                (0..schema.fields().len().min(values.len())).collect()
            } else {
                columns.iter().map(index).collect::<Result<_, _>>()?
            };
            if places.len() < values.len() {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT has more expressions than target columns"));
            }
            let mut row = vec![None; schema.fields().len()];
            for place in places {
                let Some(slot @ None) = row.get_mut(place) else {
                    return Err(Error::new(SqlState::DUPLICATE_COLUMN, "a column is specified more than once"));
                };
                *slot = Some(value());
            }
            Ok(RowAction::Insert(row))
        }
    };
    change.actions.iter().map(action).collect()
}

/// The query that finds rows, with its values in the types of their columns.
pub(crate) fn logical(
    planner: &QueryPlanner<'_>,
    change: &Change,
    query: &ast::Query,
    parameter_types: Vec<Option<FieldRef>>,
) -> Result<LogicalPlan, Error> {
    let Some(target) = &planner.resolved.target else { return Err(publish::incident("planning", "change")) };
    let schema = table_schema(target);
    let wanted = value_fields(change, &schema)?;
    let found = planner.logical(query, parameter_types)?;
    let project = || {
        let columns = found.schema().columns().into_iter().enumerate().map(|(index, column)| {
            let name = column.name.clone();
            let number = Field::new(&name, DataType::Int64, true);
            let wanted = wanted.get(index).unwrap_or(&number);
            Ok(crate::postgres::assigned(Expr::Column(column), wanted, found.schema())?.alias(name))
        });
        let columns = columns.collect::<Result<Vec<_>, DataFusionError>>()?;
        LogicalPlanBuilder::from(found.clone()).project(columns)?.build()
    };
    project().map_err(|error| publish::planning(&error, Some(planner.text)))
}

/// What is found: file, row, action, then each value as the column that it goes to.
fn value_fields(change: &Change, schema: &SchemaRef) -> Result<Vec<Field>, Error> {
    let number = |name: &str, data_type| Field::new(name, data_type, true);
    let mut fields =
        vec![number("file", DataType::Int64), number("row", DataType::Int64), number("action", DataType::Int32)];
    for action in row_actions(change, schema)? {
        let mut values: Vec<(usize, usize)> = match action {
            RowAction::Update(values) => values.into_iter().map(|(column, value)| (value, column)).collect(),
            RowAction::Delete => Vec::new(),
            RowAction::Insert(values) => {
                values.into_iter().enumerate().filter_map(|(column, value)| Some((value?, column))).collect()
            }
        };
        values.sort_unstable();
        fields.extend(values.into_iter().map(|(_, column)| schema.field(column).clone()));
    }
    Ok(fields)
}

/// The types of parameters that stand alone as a column's value: index from 0 and field.
pub(crate) fn placeholder_types(planner: &QueryPlanner<'_>, change: &Change) -> Result<Vec<(usize, FieldRef)>, Error> {
    let Some(target) = &planner.resolved.target else { return Err(publish::incident("planning", "change")) };
    let fields = value_fields(change, &table_schema(target))?;
    let values = change.actions.iter().flat_map(ChangeAction::values);
    let typed = values.zip(fields.into_iter().skip(FOUND_COLUMNS)).filter_map(|(value, field)| {
        let ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(name), .. }) = value else {
            return None;
        };
        let number: usize = name.trim_start_matches('$').parse().ok()?;
        let field: FieldRef = Arc::new(field.with_name("").with_nullable(true));
        Some((number.checked_sub(1)?, field))
    });
    Ok(typed.collect())
}

/// Until lineage carries masks over, what a masked column holds goes into no column with another mask or none: its other
/// readers might be shown what this one is.
fn refuse_spreading(planner: &QueryPlanner<'_>, change: &Change, target: &ResolvedTable) -> Result<(), Error> {
    let table = &target.table;
    let snapshot = &planner.vantage.snapshot;
    let masked: Vec<_> = table.columns.iter().filter(|column| snapshot.mask_of(column).is_some()).collect();
    let private = !table.grantable && table.owner == planner.vantage.principal.session_role;
    if masked.is_empty() || private || planner.vantage.principal.superuser {
        return Ok(());
    }
    // One of its rows is the target; a second is a source, whose columns may go by any name.
    let reads_itself = planner.resolved.tables.iter().filter(|other| other.table.id == table.id).count() > 1;
    let policy_of = |name: &str| {
        let column = table.columns.iter().find(|column| column.name == name);
        column.and_then(|column| Some(snapshot.mask_of(column)?.binding.policy))
    };
    let refused = |column: &str| {
        let message = format!("values of masked column {column} of table {} may not be written to it", table.name);
        Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
    };
    if let (true, Some(column)) = (reads_itself, masked.first()) {
        return Err(refused(&column.name));
    }
    for action in &change.actions {
        let columns: Vec<String> = match action {
            ChangeAction::Update(assignments) => assignments.iter().map(|(column, _)| column.clone()).collect(),
            ChangeAction::Delete => Vec::new(),
            ChangeAction::Insert(columns, _) if columns.is_empty() => {
                table.columns.iter().map(|column| column.name.clone()).collect()
            }
            ChangeAction::Insert(columns, _) => columns.clone(),
        };
        for (to, value) in columns.iter().zip(action.values()) {
            let read = masked.iter().find(|column| names(value, &column.name));
            if let Some(read) = read
                && policy_of(to) != policy_of(&read.name)
            {
                return Err(refused(&read.name));
            }
        }
    }
    Ok(())
}

/// Refuses a change with many sets of parameters where one set could see what another has changed: then all of them at
/// once is not one after the other.
fn independent(planner: &QueryPlanner<'_>, change: &Change, query: &ast::Query) -> Result<(), Error> {
    let target = planner.resolved.target.as_ref().map(|target| target.table.id);
    let reads = planner.resolved.tables.iter().filter(|read| Some(read.table.id) == target).count();
    let assigned = change.actions.iter().flat_map(|action| match action {
        ChangeAction::Update(assignments) => assignments.iter().map(|(column, _)| column.as_str()).collect(),
        ChangeAction::Delete | ChangeAction::Insert(..) => Vec::new(),
    });
    if reads <= 1 && !assigned.into_iter().any(|column| names(query, column)) {
        return Ok(());
    }
    let what = "a change that reads what it changes, with more than one row of parameters,";
    Err(Error::unsupported(what).with_hint("Execute it once for each row."))
}

/// Whether a part of a statement names a column so, of whatever table.
fn names(value: &impl ast::Visit, column: &str) -> bool {
    let same = |ident: &ast::Ident| match ident.quote_style {
        Some(_) => ident.value == column,
        None => ident.value.eq_ignore_ascii_case(column),
    };
    let found: ControlFlow<()> = ast::visit_expressions(value, |expr| match expr {
        ast::Expr::Identifier(ident) if same(ident) => ControlFlow::Break(()),
        ast::Expr::CompoundIdentifier(parts) if parts.last().is_some_and(same) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Finds the rows, and writes the files that change them; `None` where none changes.
pub(crate) async fn stage(vantage: &Vantage, plan: &ChangePlan) -> Result<Option<Arc<dyn StagedWrite>>, Error> {
    let ChangeDecision { update, updated, delete, insert, .. } = &plan.decision;
    policy::ready(vantage, &[update, updated, delete, insert].map(Option::as_ref)).await?;
    let changes = RowChanges {
        found: find(std::iter::once(&plan.source).chain(&plan.further)).await?,
        actions: plan.actions.clone(),
        base: plan.base.clone(),
        guard: Arc::clone(&plan.guard) as Arc<dyn ChangeGuard>,
        operation: plan.command.name(),
    };
    let (store, table) = (&vantage.session.engine().shared.parts.store, &plan.target.table);
    let staged = store.stage_change(table, changes, &commit_note(vantage)).await;
    staged.map_err(|error| publish::store(&error, &table.name))
}

/// What the query finds, in memory that is accounted for.
async fn find(sources: impl Iterator<Item = &QueryPlan>) -> Result<Vec<RecordBatch>, Error> {
    let failed = |error: DataFusionError| publish::execution(&error);
    let mut found = Vec::new();
    for source in sources {
        let memory = MemoryConsumer::new("rows to be changed").register(source.task.memory_pool());
        let mut rows = execute_stream(Arc::clone(&source.physical), Arc::clone(&source.task)).map_err(failed)?;
        while let Some(batch) = rows.try_next().await.map_err(failed)? {
            memory.try_grow(batch.get_array_memory_size()).map_err(failed)?;
            found.push(batch);
        }
    }
    Ok(found)
}

/// The same statement over the newest version, under the policies that it began with.
pub(crate) async fn again(vantage: &Vantage, plan: &ChangePlan) -> Result<ChangePlan, Error> {
    let parameters = plan.sets.first().map(Vec::as_slice).unwrap_or_default();
    let resolved = resolve::tables(vantage, &plan.statement, parameters).await?;
    let compiler = Compiler { state: &vantage.state, mappings: &resolved.mappings };
    let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    let text = plan.statement.text.expose();
    let planner = QueryPlanner { vantage, resolved: &resolved, decision: &decision, text };
    Box::pin(self::plan(&planner, &plan.statement, plan.sets.clone())).await
}

/// What holds for raw rows that are changed.
struct Guard {
    table: String,
    schema: SchemaRef,
    update: Option<Arc<dyn PhysicalExpr>>,
    delete: Option<Arc<dyn PhysicalExpr>>,
    updated: Option<Arc<dyn PhysicalExpr>>,
    insert: Option<Arc<dyn PhysicalExpr>>,
    /// MERGE fails for a row that it may not change, and for one that it meets twice.
    strict: bool,
    /// So does an UPDATE with many sets of parameters for a row that it meets twice.
    once: bool,
}

impl Guard {
    fn new(
        vantage: &Vantage,
        decision: &ChangeDecision,
        target: &ResolvedTable,
        schema: SchemaRef,
        command: ChangeCommand,
    ) -> Result<Self, Error> {
        let compiled = |check: Option<&Expr>| check.map(|check| write::compiled(vantage, check, &schema)).transpose();
        Ok(Self {
            table: target.table.name.clone(),
            update: compiled(decision.old(RowUse::Update))?,
            delete: compiled(decision.old(RowUse::Delete))?,
            updated: compiled(decision.new_rows(RowUse::Update))?,
            insert: compiled(decision.new_rows(RowUse::Insert))?,
            strict: command == ChangeCommand::Merge,
            once: false,
            schema,
        })
    }
}

impl ChangeGuard for Guard {
    fn permits(&self, row_use: RowUse, old: &RecordBatch) -> Result<BooleanArray, DataFusionError> {
        let predicate = match row_use {
            RowUse::Update => self.update.as_ref(),
            RowUse::Delete => self.delete.as_ref(),
            RowUse::Insert => None,
        };
        let Some(predicate) = predicate else { return Ok(BooleanArray::from(vec![true; old.num_rows()])) };
        let refused = |message: String| write::external(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        let failed = |_| refused(format!("a policy of table \"{}\" could not be applied", self.table));
        // An expression that fails says nothing of the value that it failed on.
        let passes = predicate.evaluate(old).and_then(|value| value.into_array(old.num_rows())).map_err(failed)?;
        let Some(passes) = passes.as_boolean_opt() else {
            return Err(failed(DataFusionError::Internal(String::new())));
        };
        if self.strict && (passes.null_count() > 0 || passes.true_count() < old.num_rows()) {
            let policy = "row-level security policy (USING expression)";
            return Err(refused(format!("target row violates {policy} for table \"{}\"", self.table)));
        }
        Ok(passes.clone())
    }

    fn admits(&self, row_use: RowUse, new: &RecordBatch) -> Result<(), DataFusionError> {
        write::check_not_null(new, &self.schema, &self.table)?;
        let predicate = match row_use {
            RowUse::Update => self.updated.as_ref(),
            RowUse::Insert => self.insert.as_ref(),
            RowUse::Delete => None,
        };
        predicate.map_or(Ok(()), |predicate| write::check_policy(new, predicate, &self.table))
    }

    fn found_twice(&self) -> Option<DataFusionError> {
        let error = || {
            Error::new(SqlState::CARDINALITY_VIOLATION, "MERGE command cannot affect row a second time")
                .with_hint("Ensure that not more than one source row matches any one target row.")
        };
        let many = || {
            Error::new(SqlState::CARDINALITY_VIOLATION, "two rows of parameters change the same row")
                .with_hint("Execute the statement once for each row of parameters.")
        };
        let error = self.strict.then(error).or_else(|| self.once.then(many));
        error.map(write::external)
    }
}
