//! Policy tests: what a role must, or must not, be shown; run by RUN POLICY TESTS, and over a changed catalog before a
//! change of policies is committed.
//!
//! A test's query goes the way of every other, as a simulation in its owner's name, with an audit record of its own.
//! Invariants: a test is stopped at ten seconds; what is told of it holds no value and no count of what it read.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use lakeward_audit::{Audit, BeginFacts, Begun, Outcome};
use lakeward_base::{Coded, SqlState, StatementId};
use lakeward_catalog::{Expectation, PolicyTest, Snapshot, VersionSelector};
use lakeward_govern::{Principal, Subjects};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::lineage::{Lineage, Origin};
use crate::names::TABLE_FUNCTIONS;
use crate::plan::Work;
use crate::policy::Compiler;
use crate::query::QueryPlan;
use crate::session::Session;
use crate::sets::Sets;
use crate::statement::Statement;
use crate::stream::{AbortOnDrop, subject_facts};
use crate::vantage::Vantage;
use crate::version::{self, Mark, Moment};
use crate::{in_full, mentioned, plan, publish, resolve, run, simulate};

/// How long a test may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The class of a test's query in the audit.
const CLASS: &str = "POLICY TEST";

/// What came of a test.
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) detail: String,
}

/// The columns of RUN POLICY TESTS.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("test_name", DataType::Utf8, false),
        Field::new("passed", DataType::Boolean, false),
        Field::new("detail", DataType::Utf8, false),
    ]))
}

/// RUN POLICY TESTS.
///
/// # Errors
/// None but the server's own fault: what fails in a test is its verdict.
pub(crate) async fn run_all(vantage: &Vantage) -> Result<RecordBatch, Error> {
    let mut verdicts = Vec::new();
    let tests: Vec<Arc<PolicyTest>> = vantage.snapshot.policy_tests().cloned().collect();
    for test in &tests {
        verdicts.push(run_one(&vantage.session, &vantage.snapshot, test).await);
    }
    let names: StringArray = verdicts.iter().map(|verdict| Some(verdict.name.as_str())).collect();
    let passed: BooleanArray = verdicts.iter().map(|verdict| Some(verdict.passed)).collect();
    let details: StringArray = verdicts.iter().map(|verdict| Some(verdict.detail.as_str())).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(passed), Arc::new(details)];
    RecordBatch::try_new(schema(), columns).map_err(|error| publish::execution(&error.into()))
}

/// The first test that passes under `base` and fails under `proposed`. One that fails already breaks nothing.
pub(crate) async fn first_broken(
    session: &Arc<Session>,
    base: &Arc<Snapshot>,
    proposed: &Arc<Snapshot>,
) -> Option<Verdict> {
    let tests: Vec<Arc<PolicyTest>> = base.policy_tests().cloned().collect();
    for test in &tests {
        let after = run_one(session, proposed, test).await;
        if !after.passed && run_one(session, base, test).await.passed {
            return Some(after);
        }
    }
    None
}

/// Whether every table of a query is read at a version that it names.
///
/// # Errors
/// What is wrong with the versions.
pub(crate) fn stands_still(query: &ast::Query) -> Result<bool, Error> {
    let mut query = query.clone();
    version::mark(&mut query, Moment::UTC)?;
    for name in mentioned::names_in(&query)? {
        let (name, mark) = version::unmark(&name)?;
        let is_function = name.schema().is_none() && TABLE_FUNCTIONS.contains(&name.table());
        if !is_function && !matches!(mark, Mark::At(VersionSelector::Exact(_))) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn run_one(session: &Arc<Session>, snapshot: &Arc<Snapshot>, test: &Arc<PolicyTest>) -> Verdict {
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let attempt = attempt(Arc::clone(session), Arc::clone(snapshot), Arc::clone(test), stop);
    let runtime = &session.engine().shared.parts.query_runtime;
    let mut task = AbortOnDrop(runtime.spawn(attempt));
    let judged = match tokio::time::timeout(LIMIT, &mut task.0).await {
        Err(_) => Err(format!("stopped after {} seconds", LIMIT.as_secs())),
        Ok(Err(_)) => Err("the test could not be run".to_owned()),
        Ok(Ok(judged)) => judged,
    };
    let (passed, detail) = match judged {
        Ok(()) => (true, String::new()),
        Err(why) => (false, why),
    };
    Verdict { name: test.name.clone(), passed, detail }
}

/// What is seen of a test's query.
enum Seen {
    /// So many rows, or more.
    Rows(u64),
    /// Per column of the result: its name, and whether something that it is made of is masked.
    Columns(Vec<(String, bool)>),
}

async fn attempt(
    session: Arc<Session>,
    snapshot: Arc<Snapshot>,
    test: Arc<PolicyTest>,
    stop: CancellationToken,
) -> Result<(), String> {
    let Some((asking, simulated)) = principals(&snapshot, &test) else {
        return Err("its owner may no longer act as the role".to_owned());
    };
    // Names are looked up where its maker did.
    let id = StatementId::generate();
    let mut vantage = Vantage::tested(&session, (snapshot, asking), id, test.search_path.clone(), stop);
    vantage.act_as(simulated);
    match observe(vantage, &test).await {
        Ok(seen) => judge(&test.expectation, &seen),
        Err(error) => judge_failure(&test.expectation, error.sqlstate()),
    }
}

/// The test's owner, and the role as which it asks.
fn principals(snapshot: &Snapshot, test: &PolicyTest) -> Option<(Principal, Principal)> {
    let none = std::collections::BTreeMap::new();
    let (owner, role) = (snapshot.role(test.owner)?, snapshot.role(test.role)?);
    let asking = simulate::of_role(snapshot, owner, &none, None);
    simulate::may_act_as(snapshot, &asking, role).ok()?;
    Some((asking, simulate::of_role(snapshot, role, &test.attributes, None)))
}

fn judge(expectation: &Expectation, seen: &Seen) -> Result<(), String> {
    let outcome = match (expectation, seen) {
        (Expectation::NoRows, Seen::Rows(rows)) => (*rows == 0, "rows where none were expected".to_owned()),
        (Expectation::SomeRows, Seen::Rows(rows)) => (*rows > 0, "no rows where some were expected".to_owned()),
        (Expectation::Rows(count), Seen::Rows(rows)) => (rows == count, format!("another number of rows than {count}")),
        (Expectation::Denied, _) => (false, "not denied".to_owned()),
        (Expectation::Masked(columns), Seen::Columns(shown)) => return each(columns, shown, true),
        (Expectation::Unmasked(columns), Seen::Columns(shown)) => return each(columns, shown, false),
        _ => (false, "the test could not be run".to_owned()),
    };
    if outcome.0 { Ok(()) } else { Err(outcome.1) }
}

fn each(columns: &[String], shown: &[(String, bool)], wanted: bool) -> Result<(), String> {
    for column in columns {
        match shown.iter().find(|(name, _)| name == column).map(|(_, masked)| *masked) {
            None => return Err(format!("the query has no column {column}")),
            Some(found) if found == wanted => {}
            Some(true) => return Err(format!("column {column} is masked")),
            Some(false) => return Err(format!("column {column} is not masked")),
        }
    }
    Ok(())
}

fn judge_failure(expectation: &Expectation, sqlstate: SqlState) -> Result<(), String> {
    match expectation {
        Expectation::Denied if sqlstate == SqlState::INSUFFICIENT_PRIVILEGE => Ok(()),
        _ if sqlstate == SqlState::INSUFFICIENT_PRIVILEGE => Err("denied (42501)".to_owned()),
        _ => Err(format!("the query fails with {sqlstate}")),
    }
}

async fn observe(vantage: Vantage, test: &PolicyTest) -> Result<Seen, Error> {
    let session = Arc::clone(&vantage.session);
    let mut audit = run::receive(&session)?;
    let statement = Arc::new(crate::statement::parse(test.query.expose())?);
    audit.describe(CLASS, &statement.normalized);
    in_full::tell(&mut audit, &statement.in_full, None)?;
    let (epoch, subjects) = (vantage.snapshot.epoch(), Arc::clone(&vantage.subjects));
    let (plan, facts) = match Box::pin(planned(vantage, &statement)).await {
        Ok(planned) => planned,
        Err(error) => {
            audit.deny(error.sqlstate(), epoch);
            return Err(error);
        }
    };
    let begun = audit.begin(facts).map_err(|error| Error::from_coded(&error))?;
    let durable = begun.durable();
    let mut reading = Reading { audit: Some(begun), subjects };
    durable.await.map_err(|error| Error::from_coded(&error))?;
    let seen = match &test.expectation {
        Expectation::Masked(_) | Expectation::Unmasked(_) => Ok(Seen::Columns(columns(&plan))),
        Expectation::NoRows | Expectation::SomeRows => rows(plan, 0).await.map(Seen::Rows),
        Expectation::Rows(count) => rows(plan, *count).await.map(Seen::Rows),
        Expectation::Denied => rows(plan, u64::MAX).await.map(Seen::Rows),
    };
    let sqlstate = seen.as_ref().map_or_else(|error: &Error| error.sqlstate(), |_| SqlState::SUCCESS);
    reading.end(sqlstate);
    seen
}

/// The record of a test's query, ended also where the test is stopped. No row leaves, but the verdict tells of those that
/// were read.
struct Reading {
    audit: Option<Audit<Begun>>,
    subjects: Arc<Subjects>,
}

impl Reading {
    fn end(&mut self, sqlstate: SqlState) {
        if let Some(mut audit) = self.audit.take() {
            audit.disclosed(subject_facts(&self.subjects, false));
            audit.end(Outcome { sqlstate, rows: 0, bytes: 0 });
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end(SqlState::QUERY_CANCELED);
    }
}

async fn planned(vantage: Vantage, statement: &Arc<Statement>) -> Result<(QueryPlan, BeginFacts), Error> {
    let resolved = resolve::tables(&vantage, statement, &[]).await?;
    let compiler = Compiler { state: &vantage.state, mappings: &resolved.mappings };
    let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    let planned = plan::build(vantage, statement, resolved, decision, &Sets::one(Vec::new())).await?;
    match planned.work {
        Work::Rows(plan, _) => Ok((*plan, planned.facts)),
        _ => Err(publish::incident("planning", "test")),
    }
}

/// How many rows there are; more than `enough` are not counted.
async fn rows(plan: QueryPlan, enough: u64) -> Result<u64, Error> {
    let mut stream = execute_stream(plan.physical, plan.task).map_err(|error| publish::execution(&error))?;
    let mut count: u64 = 0;
    while let Some(batch) = stream.next().await {
        count = count.saturating_add(batch.map_err(|error| publish::execution(&error))?.num_rows() as u64);
        if count > enough {
            break;
        }
    }
    Ok(count)
}

fn columns(plan: &QueryPlan) -> Vec<(String, bool)> {
    let lineage = Lineage::of(&plan.logical);
    let masks = |origin: &Origin| {
        let mut decisions = lineage.decisions.iter().filter(|decision| decision.table == origin.table);
        decisions.any(|decision| decision.masked.contains(&origin.column))
    };
    let names = plan.schema.fields().iter().map(|field| field.name().clone());
    names.zip(&lineage.columns).map(|(name, source)| (name, source.origins.iter().any(masks))).collect()
}
