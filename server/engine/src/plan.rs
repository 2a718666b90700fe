//! Stage 5: from a resolved and decided statement to work that can be started, and to what the audit keeps of it.

use arrow::array::RecordBatch;
use lakeward_audit::{BeginFacts, ObjectFacts};
use lakeward_base::Redacted;
use lakeward_govern::Decision;

use std::sync::Arc;

use crate::change::{self, ChangePlan};
use crate::copy::{self, CopyPlan};
use crate::create::{self, CreatePlan};
use crate::ddl::Ddl;
use crate::error::Error;
use crate::explain;
use crate::lineage::Lineage;
use crate::maintain::{self, MaintainPlan};
use crate::query::{QueryPlan, QueryPlanner};
use crate::resolve::Resolved;
use crate::response::RowTag;
use crate::sets::Sets;
use crate::statement::{CopyOptions, CursorStatement, Kind, Statement, Transaction};
use crate::vantage::Vantage;
use crate::watch::Watch;
use crate::write::{self, InsertPlan};
use crate::{simulate, system};

/// A statement that is ready to be begun and started.
pub(crate) struct Planned {
    /// For the audit's BEGIN record.
    pub(crate) facts: BeginFacts,
    /// Whether that record is waited for: always, unless the statement touches neither the lake nor the audit.
    pub(crate) waited: bool,
    /// What to do.
    pub(crate) work: Work,
    /// The statement's class.
    pub(crate) class: &'static str,
    /// Who does it.
    pub(crate) vantage: Vantage,
    /// Looks after rows that have not left yet, or are not committed, where there are any.
    pub(crate) watch: Option<Watch>,
    /// It is to be executed for each of no sets of parameters.
    pub(crate) none: bool,
}

/// A cursor to be opened.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) binary: bool,
    pub(crate) text: Redacted<String>,
}

/// What a statement does.
pub(crate) enum Work {
    /// Return rows, of one plan after the other.
    Rows(Box<QueryPlan>, Vec<QueryPlan>),
    /// Open a cursor.
    Declare(Box<QueryPlan>, Declared),
    /// Return these rows, which are made already.
    Answer(RecordBatch, RowTag),
    /// Show a plan.
    Explain(Box<QueryPlan>, explain::Form),
    /// Return rows in a form of COPY's.
    CopyOut(Box<QueryPlan>, Arc<CopyOptions>),
    /// Append rows that the client sends.
    CopyIn(Box<CopyPlan>),
    /// Append rows.
    Insert(Box<InsertPlan>),
    /// Change rows.
    Change(Box<ChangePlan>),
    /// Work on a table.
    Maintain(Box<MaintainPlan>),
    /// Make a table of rows.
    CreateTable(Box<CreatePlan>),
    /// Change the catalog, the session, or nothing; the statement says how.
    Command(Arc<Statement>),
}

impl Work {
    /// Whether rows of tables are read for it.
    fn reads_rows(&self) -> bool {
        match self {
            Self::Rows(..)
            | Self::Declare(..)
            | Self::CopyOut(..)
            | Self::Insert(_)
            | Self::Change(_)
            | Self::CreateTable(_) => true,
            Self::Explain(_, form) => form.analyze,
            Self::Answer(..) | Self::CopyIn(_) | Self::Maintain(_) | Self::Command(_) => false,
        }
    }
}

/// Stage 5.
pub(crate) async fn build(
    vantage: Vantage,
    statement: &Arc<Statement>,
    resolved: Resolved,
    decision: Decision,
    sets: &Sets,
) -> Result<Planned, Error> {
    let planner =
        QueryPlanner { vantage: &vantage, resolved: &resolved, decision: &decision, text: statement.text.expose() };
    let mut facts = BeginFacts {
        objects: Vec::new(),
        policies: decision.policies(),
        policy_epoch: vantage.snapshot.epoch(),
        bypass: decision.bypass() || (vantage.principal.superuser && resolved.touches_data),
        break_glass: vantage.principal.glass.as_ref().map(|glass| glass.id.clone()),
    };
    let work = work(&planner, statement, sets, &mut facts).await?;
    if work.reads_rows() {
        decision.tables().iter().for_each(|table| vantage.subjects.expect(table));
    }
    let fetched = match &statement.kind {
        Kind::Cursor(CursorStatement::Fetch { name, .. }) => Some(vantage.session.transaction().cursor(name)?),
        _ => None,
    };
    if let Some(cursor) = &fetched {
        let then = cursor.facts.clone();
        facts.objects.extend(then.objects);
        facts.policies.extend(then.policies);
        facts.bypass |= then.bypass;
    }
    if let Kind::Ddl(ddl) = &statement.kind
        && matches!(ddl.as_ref(), Ddl::Forced(_))
    {
        facts.policies.push("policy tests passed over by FORCE".to_owned());
    }
    facts.objects.extend(vantage.simulated());
    facts.objects.extend(resolved.described.iter().cloned());
    facts.policies.extend(vantage.principal.glass.as_ref().map(|glass| format!("break glass {}", glass.id)));
    facts.objects.extend(resolved.mappings.objects(&vantage));
    // Permissions are not asked of superusers.
    facts.bypass |= vantage.principal.superuser && matches!(statement.kind, Kind::Ddl(_));
    let written = match &statement.kind {
        Kind::Transaction(Transaction::Commit) => vantage.session.transaction().written(),
        _ => None,
    };
    let waited = resolved.touches_data
        || written.is_some()
        || fetched.is_some_and(|cursor| cursor.waited)
        || matches!(statement.kind, Kind::Ddl(_) | Kind::CreateTableAs(_) | Kind::RunPolicyTests);
    facts.objects.extend(written.map(|name| ObjectFacts { name, ..ObjectFacts::default() }));
    let watched = resolved.touches_data
        && matches!(
            work,
            Work::Rows(..)
                | Work::Declare(..)
                | Work::CopyOut(..)
                | Work::CopyIn(_)
                | Work::Insert(_)
                | Work::Change(_)
                | Work::CreateTable(_)
        );
    let watch = watched.then(|| Watch::new(&vantage, statement, &sets.first, decision));
    Ok(Planned { facts, waited, work, class: statement.class, vantage, watch, none: sets.none })
}

/// What a statement does, and what the audit keeps of the tables and policies that it does it with.
async fn work(
    planner: &QueryPlanner<'_>,
    statement: &Arc<Statement>,
    sets: &Sets,
    facts: &mut BeginFacts,
) -> Result<Work, Error> {
    match &statement.kind {
        Kind::Query(_) => {
            let (plan, further) = plan_queries(planner, sets).await?;
            facts.objects = planner.objects(&plan.logical);
            Ok(Work::Rows(Box::new(plan), further))
        }
        Kind::CopyOut(_) | Kind::Explain { .. } | Kind::Cursor(CursorStatement::Declare { .. }) => {
            let plan = plan_query(planner, &sets.first).await?;
            facts.objects = planner.objects(&plan.logical);
            reading(planner, statement, Box::new(plan))
        }
        Kind::CopyIn(_) | Kind::Insert(_) | Kind::Change(_) | Kind::Maintain(_) | Kind::CreateTableAs(_) => {
            writing(planner, statement, sets, facts).await
        }
        Kind::EffectivePolicies { table, role } => {
            let rows = system::effective_policies(planner.vantage, table, role.as_deref())?;
            Ok(Work::Answer(rows, RowTag::Show))
        }
        // Planned by itself, ahead of a decision that would fail.
        Kind::ExplainPolicies { .. } => Err(crate::publish::incident("planning", "trace")),
        Kind::RunPolicyTests => {
            simulate::require(&planner.vantage.principal)?;
            Ok(Work::Command(Arc::clone(statement)))
        }
        Kind::Empty | Kind::Ddl(_) | Kind::Setting(_) | Kind::Transaction(_) | Kind::Cursor(_) => {
            Ok(Work::Command(Arc::clone(statement)))
        }
    }
}

/// What is done with the rows of one query.
fn reading(planner: &QueryPlanner<'_>, statement: &Statement, plan: Box<QueryPlan>) -> Result<Work, Error> {
    match &statement.kind {
        Kind::CopyOut(copy) => {
            copy::check_forced(&plan.schema, planner.resolved, copy)?;
            Ok(Work::CopyOut(plan, Arc::clone(&copy.options)))
        }
        Kind::Explain { analyze, verbose, json, .. } => {
            Ok(Work::Explain(plan, explain::Form { analyze: *analyze, verbose: *verbose, json: *json }))
        }
        Kind::Cursor(CursorStatement::Declare { name, binary, .. }) => {
            planner.vantage.session.transaction().free_cursor_name(name)?;
            Ok(Work::Declare(plan, Declared { name: name.clone(), binary: *binary, text: statement.text.clone() }))
        }
        _ => Err(crate::publish::incident("planning", "query")),
    }
}

async fn writing(
    planner: &QueryPlanner<'_>,
    statement: &Arc<Statement>,
    sets: &Sets,
    facts: &mut BeginFacts,
) -> Result<Work, Error> {
    let vantage = planner.vantage;
    match &statement.kind {
        Kind::CopyIn(copy) => {
            let plan = copy::plan(planner, copy)?;
            facts.objects.push(plan.object(vantage));
            facts.policies.extend(plan.check.policies.iter().cloned());
            facts.bypass |= plan.check.bypass;
            Ok(Work::CopyIn(Box::new(plan)))
        }
        Kind::Insert(insert) => {
            let plan = write::plan_insert(planner, insert, sets).await?;
            facts.objects = planner.objects(&plan.source.logical);
            facts.objects.push(plan.object(vantage));
            facts.policies.extend(plan.check.policies.iter().cloned());
            facts.bypass |= plan.check.bypass;
            Ok(Work::Insert(Box::new(plan)))
        }
        Kind::Change(_) => {
            let plan = change::plan(planner, statement, sets.all()?).await?;
            facts.objects = planner.objects(&plan.source.logical);
            facts.policies.extend(plan.decision.policies.iter().cloned());
            facts.bypass |= plan.decision.bypass;
            Ok(Work::Change(Box::new(plan)))
        }
        Kind::Maintain(work) => {
            let plan = maintain::plan(vantage, planner.resolved, work)?;
            facts.objects.push(plan.object(vantage));
            Ok(Work::Maintain(Box::new(plan)))
        }
        Kind::CreateTableAs(create) => {
            let Some(query) = &planner.resolved.query else {
                return Err(crate::publish::incident("planning", "query"));
            };
            let logical = planner.logical(query, Vec::new())?;
            let lineage = Lineage::of(&logical);
            let source = planner.physical(logical, &sets.first, query).await?;
            facts.objects = planner.objects(&source.logical);
            Ok(Work::CreateTable(Box::new(create::plan(create, source, lineage, planner)?)))
        }
        _ => Err(crate::publish::incident("planning", "write")),
    }
}

/// A plan for each set of parameters.
async fn plan_queries(planner: &QueryPlanner<'_>, sets: &Sets) -> Result<(QueryPlan, Vec<QueryPlan>), Error> {
    let first = plan_query(planner, &sets.first).await?;
    let mut further = Vec::new();
    for parameters in sets.all()?.iter().skip(1) {
        further.push(plan_query(planner, parameters).await?);
    }
    Ok((first, further))
}

async fn plan_query(
    planner: &QueryPlanner<'_>,
    parameters: &[datafusion::common::ScalarValue],
) -> Result<QueryPlan, Error> {
    let Some(query) = &planner.resolved.query else {
        return Err(crate::publish::incident("planning", "query"));
    };
    let logical = planner.logical(query, Vec::new())?;
    planner.physical(logical, parameters, query).await
}
