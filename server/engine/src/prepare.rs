//! Preparing a statement: its parameters' types and its columns, without running it.
//!
//! Nothing of the plan is kept: names, policies and versions are taken anew at each execution. Invariant: what fails
//! here leaves a record in the audit as a refused statement does; what succeeds is recorded when it is executed.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use lakeward_base::{Coded, SqlState, StatementId};
use tokio_util::sync::CancellationToken;

use crate::cooperate::lend_thread;
use crate::error::Error;
use crate::policy::Compiler;
use crate::query::QueryPlanner;
use crate::request::Prepared;
use crate::resolve::{self, Resolved};
use crate::session::Session;
use crate::statement::{CursorStatement, InFull, Insert, Kind, Setting, Statement};
use crate::vantage::Vantage;
use crate::{
    change, execute, explain, in_full, output, placeholder, policy_tests, publish, run, system, trace, version, write,
};

/// Prepares one statement. `parameter_types` are the types that the client has named, by position.
///
/// # Errors
/// As [`run`](crate::run) before it reads anything; 42P18 where a parameter's type cannot be told.
pub async fn prepare(
    session: &Arc<Session>,
    sql: &str,
    parameter_types: &[Option<DataType>],
) -> Result<Arc<Prepared>, Error> {
    let runtime = session.engine().shared.parts.query_runtime.clone();
    let deadline = session.deadline();
    // What does not give way looks for this: also when the client is gone.
    let (stop, _gone) = (deadline.cancelled.clone(), deadline.cancelled.clone().drop_guard());
    let (owner, sql, types) = (Arc::clone(session), sql.to_owned(), parameter_types.to_vec());
    let mut task = crate::stream::AbortOnDrop(runtime.spawn(async move {
        lend_thread();
        described(&owner, &sql, &types, &stop).await
    }));
    let described =
        async { Ok((&mut task.0).await.unwrap_or_else(|_| Err(unplanned(publish::incident("planning", "panic"))))) };
    let outcome = deadline.enforce(described).await.unwrap_or_else(|error| Err(unplanned(error)));
    let (asked, class, error) = match outcome {
        Ok(prepared) => return Ok(Arc::new(prepared)),
        Err(refused) => *refused,
    };
    if error.sqlstate() == SqlState::TRANSACTION_TIMEOUT {
        session.end_late();
    }
    let mut audit = run::receive(session)?;
    audit.describe(class, &asked.0);
    in_full::tell(&mut audit, &asked.1, None)?;
    audit.deny(error.sqlstate(), session.epoch());
    Err(error)
}

fn unplanned(error: Error) -> Refused {
    Box::new(((String::new(), InFull::unread()), "PREPARE", error))
}

/// The text without its literals and in full, the class, and why.
type Refused = Box<((String, InFull), &'static str, Error)>;

async fn described(
    session: &Arc<Session>,
    sql: &str,
    types: &[Option<DataType>],
    stop: &CancellationToken,
) -> Result<Prepared, Refused> {
    let statement = crate::statement::parse(sql).map_err(|error| {
        let (class, normalized) = crate::statement::describe(sql);
        Box::new(((normalized, InFull::of_text(sql)), class, error))
    })?;
    let refused = |error| Box::new(((statement.normalized.clone(), statement.in_full.clone()), statement.class, error));
    session.admit(&statement).map_err(refused)?;
    let shape = shape(session, &statement, types, stop).await.map_err(refused)?;
    Ok(Prepared { parameter_types: shape.0, columns: shape.1, statement: Arc::new(statement) })
}

/// The type of a parameter that the client says is a `numeric`, which has no precision and scale of its own.
pub const NUMERIC: DataType = DataType::Decimal256(76, 38);

/// As which a `numeric` parameter is compared with whole numbers: it holds the largest, and has a fraction.
const BESIDE_WHOLE: DataType = DataType::Decimal128(38, 18);

/// Parameter types, and columns where there are rows.
async fn shape(
    session: &Arc<Session>,
    statement: &Statement,
    types: &[Option<DataType>],
    stop: &CancellationToken,
) -> Result<(Vec<DataType>, Option<SchemaRef>), Error> {
    let numeric: Vec<bool> = types.iter().map(|said| said.as_ref() == Some(&NUMERIC)).collect();
    let types: &[Option<DataType>] =
        &types.iter().map(|said| said.clone().filter(|said| *said != NUMERIC)).collect::<Vec<_>>();
    if let Kind::CopyOut(_) | Kind::CopyIn(_) = &statement.kind {
        // As in PostgreSQL, what COPY is about is looked at when it is executed.
        return Ok((Vec::new(), None));
    }
    if let Kind::ExplainPolicies { json, .. } = &statement.kind {
        // It may be refused where it would be planned: types are those that were named.
        let named = |index: usize| types.get(index).cloned().flatten().unwrap_or(DataType::Utf8);
        return Ok(((0..statement.parameter_count).map(named).collect(), Some(trace::schema(*json))));
    }
    if statement.query().is_none() {
        return Ok((Vec::new(), columns_without_query(session, &statement.kind)?));
    }
    let vantage = Vantage::take(session, StatementId::generate(), statement, stop.clone())?;
    let resolved = resolve::tables(&vantage, statement, &[]).await?;
    let compiler = Compiler { state: &vantage.state, mappings: &resolved.mappings };
    let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    let planner =
        QueryPlanner { vantage: &vantage, resolved: &resolved, decision: &decision, text: statement.text.expose() };
    let Some(query) = &resolved.query else { return Err(publish::incident("planning", "query")) };
    let mut hints = placeholder::hints(query, types, statement.parameter_count);
    for (index, data_type) in statement.query().map(version::parameter_types).unwrap_or_default() {
        if let Some(hint @ None) = hints.get_mut(index) {
            *hint = Some(Arc::new(Field::new("", data_type, true)));
        }
    }
    let plan = match &statement.kind {
        Kind::Insert(insert) => insert_plan(&planner, insert, &resolved, query, &mut hints)?,
        Kind::Change(change) => {
            for (index, field) in change::placeholder_types(&planner, change)? {
                if let Some(hint @ None) = hints.get_mut(index) {
                    *hint = Some(field);
                }
            }
            change::logical(&planner, change, query, hints.clone())?
        }
        _ => planner.logical(query, hints.clone())?,
    };
    let parameters = parameter_types(&plan, &hints, &numeric)?;
    let columns = match &statement.kind {
        Kind::Query(_) => {
            let plan = if parameters.is_empty() { plan } else { planner.logical(query, fields(&parameters))? };
            Some(result_columns(&planner, plan, &parameters, resolved.naming(query))?)
        }
        Kind::Explain { .. } => Some(explain::schema()),
        _ => None,
    };
    Ok((parameters, columns))
}

fn fields(types: &[DataType]) -> Vec<Option<FieldRef>> {
    types.iter().map(|data_type| Some(Arc::new(Field::new("", data_type.clone(), true)) as FieldRef)).collect()
}

fn columns_without_query(session: &Session, kind: &Kind) -> Result<Option<SchemaRef>, Error> {
    Ok(match kind {
        Kind::Setting(setting @ (Setting::Show(_) | Setting::ShowAll)) => Some(execute::show_schema(setting)),
        Kind::RunPolicyTests => Some(policy_tests::schema()),
        Kind::EffectivePolicies { .. } => Some(system::effective_policies_schema()),
        Kind::Cursor(CursorStatement::Fetch { name, moves: false, .. }) => {
            Some(session.transaction().cursor(name)?.schema)
        }
        _ => None,
    })
}

fn insert_plan(
    planner: &QueryPlanner<'_>,
    insert: &Insert,
    resolved: &Resolved,
    query: &ast::Query,
    hints: &mut [Option<FieldRef>],
) -> Result<LogicalPlan, Error> {
    let Some(target) = &resolved.target else { return Err(publish::incident("planning", "insert")) };
    let schema = target.raw.schema();
    let columns = write::written_columns(planner, &schema, insert, query, hints.to_vec())?;
    for (place, index) in write::placeholders(query) {
        let field = columns.get(place).and_then(|column| schema.fields().get(*column));
        if let (Some(hint @ None), Some(field)) = (hints.get_mut(index), field) {
            *hint = Some(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    write::logical_insert(planner, query, &schema, &columns, hints.to_vec())
}

/// The hints, else what the plan says, else what stands beside it, else text, as PostgreSQL does for `unknown`.
fn parameter_types(plan: &LogicalPlan, hints: &[Option<FieldRef>], numeric: &[bool]) -> Result<Vec<DataType>, Error> {
    if hints.len() > usize::from(u16::MAX) {
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a statement takes at most 65535 parameters"));
    }
    let inferred = plan.get_parameter_types().map_err(|error| publish::planning(&error, None))?;
    let beside = placeholder::beside(plan).map_err(|error| publish::planning(&error, None))?;
    let known = |(index, hint): (usize, &Option<FieldRef>)| {
        let said = hint.as_ref().map(|field| field.data_type().clone());
        let name = format!("${}", index + 1);
        let guessed = || inferred.get(&name).cloned().flatten().or_else(|| beside.get(&name).cloned());
        if let Some(said) = said {
            return said;
        }
        match guessed() {
            // What is written is rounded; what is compared keeps its fraction.
            Some(whole) if whole.is_integer() && numeric.get(index) == Some(&true) => BESIDE_WHOLE,
            guessed => guessed.unwrap_or(DataType::Utf8),
        }
    };
    Ok(hints.iter().enumerate().map(known).collect())
}

/// The columns of a plan whose parameters have types: those that it has once its expressions are brought to common
/// types, which only happens to a plan with values in it.
fn result_columns(
    planner: &QueryPlanner<'_>,
    plan: LogicalPlan,
    parameters: &[DataType],
    query: &ast::Query,
) -> Result<SchemaRef, Error> {
    let state = &planner.vantage.state;
    let analysed = || {
        let values = parameters.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>, _>>()?;
        let bound = if values.is_empty() { plan } else { plan.with_param_values(ParamValues::from(values))? };
        state.analyzer().execute_and_check(bound, state.config_options(), |_, _| {})
    };
    let analysed = analysed().map_err(|error| publish::planning(&error, Some(planner.text)))?;
    let schema: &Schema = analysed.schema().as_arrow();
    Ok(Arc::new(output::result_schema(schema, &output::column_names(query, schema.fields().len()))))
}
