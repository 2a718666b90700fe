//! EXPLAIN (POLICIES): what is decided about each table and column of a statement, and why, in rows or as JSON.
//!
//! The statement goes the way of every other up to its decision, and no further; what it would be refused for is told
//! as `deny`, and everything else goes on. Invariant: nothing is read but what the decision itself is made of, and a
//! policy's text is told, in part or whole, only to those who may read it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use lakeward_audit::{BeginFacts, ObjectFacts};
use lakeward_base::{Coded, Redacted, RoleId, TableId};
use lakeward_catalog::{POLICY_ADMIN, Privilege, Relation, View};
use lakeward_govern::{Decision, Effect, ResolvedTable, RoleSet, Route, Step, Tracer};
use serde_json::{Value, json};

use crate::error::Error;
use crate::plan::{Planned, Work};
use crate::policy::Compiler;
use crate::query::QueryPlanner;
use crate::resolve::{self, Resolved};
use crate::response::RowTag;
use crate::sets::Sets;
use crate::statement::{Change, ChangeAction, Kind, Name, Statement};
use crate::vantage::Vantage;
use crate::{asks, change, explain, publish, version, write};

/// The columns of a trace.
pub(crate) fn schema(json: bool) -> SchemaRef {
    if json {
        return explain::schema();
    }
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("table_name", false),
        text("column_name", true),
        text("effect", false),
        text("policy_name", true),
        text("source", true),
        text("reason", false),
    ]))
}

/// A line, and the table that it is about.
type Line = (String, Step);

/// Plans the trace of a resolved statement.
///
/// # Errors
/// The planner's, of a statement that would fail for other reasons than its policies.
pub(crate) fn plan(vantage: Vantage, statement: &Statement, resolved: Resolved, sets: &Sets) -> Result<Planned, Error> {
    let Kind::ExplainPolicies { json, statement: explained } = &statement.kind else {
        return Err(publish::incident("planning", "trace"));
    };
    let lines = lines(&vantage, explained, &resolved, sets)?;
    let names: BTreeSet<&String> = lines.iter().map(|(table, _)| table).collect();
    let objects = names.into_iter().map(|name| ObjectFacts { name: name.clone(), ..ObjectFacts::default() });
    let policies: BTreeSet<String> =
        lines.iter().filter_map(|(table, step)| Some(format!("{} on {table}", step.policy.as_ref()?))).collect();
    let mut facts = BeginFacts {
        objects: objects.collect(),
        policies: policies.into_iter().collect(),
        policy_epoch: vantage.snapshot.epoch(),
        bypass: false,
        break_glass: None,
    };
    facts.objects.extend(vantage.simulated());
    let rows = if *json { document(&vantage, &lines)? } else { rows(&lines)? };
    Ok(Planned {
        facts,
        waited: resolved.touches_data,
        work: Work::Answer(rows, RowTag::Explain),
        class: statement.class,
        vantage,
        watch: None,
        none: false,
    })
}

fn lines(vantage: &Vantage, explained: &Statement, resolved: &Resolved, sets: &Sets) -> Result<Vec<Line>, Error> {
    let compiler = Compiler { state: &vantage.state, mappings: &resolved.mappings };
    let knows_text = |owner: RoleId| knows_text(vantage, owner);
    let asks = |text: &Redacted<String>| asks::of_policy(text.expose(), &vantage.principal);
    let tracer = Tracer {
        principal: &vantage.principal,
        snapshot: &vantage.snapshot,
        compiler: &compiler,
        knows_text: &knows_text,
        asks: &asks,
    };
    let refused = resolved.refused.iter().map(|(name, reason)| (name.clone(), Step::denied(reason.clone())));
    let mut lines: Vec<Line> = refused.collect();
    if let Some(target) = &resolved.target {
        let name = shown_name(vantage, target.table.id);
        let steps = written(&tracer, vantage, explained, target)?;
        lines.extend(steps.into_iter().map(|step| (name.clone(), step)));
    }
    let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler);
    let used = match decision {
        Ok(decision) if resolved.refused.is_empty() => {
            let planner = QueryPlanner { vantage, resolved, decision: &decision, text: explained.text.expose() };
            lines.extend(laundered(&planner, explained));
            Some(used(&planner, explained, &decision, sets)?)
        }
        // It would not be planned: every column that there is is told of.
        Ok(_) | Err(_) => None,
    };
    let mut told = BTreeSet::new();
    for (index, route) in &resolved.reached {
        let Some(table) = resolved.tables.get(*index) else { continue };
        let columns = used.as_ref().and_then(|used| used.get(*index));
        let view = route.view.as_ref().map(|(view, _)| view.clone());
        if told.insert((*index, view)) {
            let name = shown_name(vantage, table.table.id);
            let steps = tracer.read(table, route, columns);
            lines.extend(steps.into_iter().map(|step| (name.clone(), step)));
        }
    }
    lines.dedup();
    Ok(lines)
}

/// Whether the one who asks may read the text of policies of that owner.
fn knows_text(vantage: &Vantage, owner: RoleId) -> bool {
    let who = vantage.simulator.as_ref().unwrap_or(&vantage.principal);
    who.superuser || who.effective_roles.contains(&owner) || who.role_names.contains(POLICY_ADMIN)
}

/// What is written, and by what right.
fn written(
    tracer: &Tracer<'_>,
    vantage: &Vantage,
    explained: &Statement,
    target: &ResolvedTable,
) -> Result<Vec<Step>, Error> {
    let schema = target.raw.schema();
    let mut steps = Vec::new();
    match &explained.kind {
        Kind::Insert(insert) => {
            let places = match explained.query() {
                Some(query) => write::columns_by_syntax(&schema, insert, query)?,
                None => None,
            };
            let places = places.unwrap_or_else(|| (0..schema.fields().len()).collect());
            let names = places.iter().filter_map(|place| schema.fields().get(*place));
            let names: Vec<String> = names.map(|field| field.name().clone()).collect();
            if insert.overwrite {
                steps.extend(tracer.write(target, Privilege::Delete, &[]));
                if lakeward_govern::hides_rows(&vantage.principal, &target.table) {
                    steps.push(Step::denied("INSERT OVERWRITE: policies hide rows from you"));
                }
            }
            steps.extend(tracer.write(target, Privilege::Insert, &names));
        }
        Kind::Change(change) => {
            let all: Vec<String> = target.table.columns.iter().map(|column| column.name.clone()).collect();
            for (privilege, columns) in changed(change, &all) {
                steps.extend(tracer.write(target, privilege, &columns));
            }
        }
        _ => {}
    }
    Ok(steps)
}

/// The privileges that a change needs, and the columns that it gives values.
fn changed(change: &Change, all: &[String]) -> Vec<(Privilege, Vec<String>)> {
    let mut needed: Vec<(Privilege, Vec<String>)> = Vec::new();
    for action in &change.actions {
        let (privilege, columns) = (resolve::privilege_for(action), columns_of(action, all));
        match needed.iter_mut().find(|(known, _)| *known == privilege) {
            Some((_, known)) => {
                let new: Vec<String> = columns.into_iter().filter(|column| !known.contains(column)).collect();
                known.extend(new);
            }
            None => needed.push((privilege, columns)),
        }
    }
    needed
}

fn columns_of(action: &ChangeAction, all: &[String]) -> Vec<String> {
    match action {
        ChangeAction::Update(values) => values.iter().map(|(column, _)| column.clone()).collect(),
        ChangeAction::Insert(columns, values) if columns.is_empty() => all.iter().take(values.len()).cloned().collect(),
        ChangeAction::Insert(columns, _) => columns.clone(),
        ChangeAction::Delete => Vec::new(),
    }
}

/// Whether governed rows would go where they must not.
fn laundered(planner: &QueryPlanner<'_>, explained: &Statement) -> Option<Line> {
    let target =
        planner.resolved.target.as_ref().filter(|_| matches!(explained.kind, Kind::Insert(_) | Kind::Change(_)))?;
    let refused = write::refuse_laundering(planner, target).err()?;
    Some((shown_name(planner.vantage, target.table.id), Step::denied(refused.message())))
}

/// The columns that the statement reads of each table, by the table's place.
fn used(
    planner: &QueryPlanner<'_>,
    explained: &Statement,
    decision: &Decision,
    sets: &Sets,
) -> Result<Vec<BTreeSet<String>>, Error> {
    let Some(query) = &planner.resolved.query else { return Ok(Vec::new()) };
    let logical = match (&explained.kind, &planner.resolved.target) {
        (Kind::Insert(insert), Some(target)) => {
            let schema = target.raw.schema();
            let columns = write::written_columns(planner, &schema, insert, query, Vec::new())?;
            write::logical_insert(planner, query, &schema, &columns, Vec::new())?
        }
        (Kind::Change(change), Some(_)) => change::logical(planner, change, query, Vec::new())?,
        _ => planner.logical(query, Vec::new())?,
    };
    let scanned = planner.scanned(logical, &sets.first)?;
    let of = |table: &Arc<lakeward_govern::TableDecision>| -> BTreeSet<String> {
        let version = i64::try_from(table.version).ok();
        let scans = scanned.iter().filter(|scan| scan.name == table.qualified_name && scan.version == version);
        scans.flat_map(|scan| scan.projected.iter().chain(&scan.filtered)).cloned().collect()
    };
    Ok(decision.tables().iter().map(of).collect())
}

/// Through which view a table is reached.
pub(crate) fn route(vantage: &Vantage, view: Option<&View>) -> Route {
    Route { view: view.map(|view| (shown_name(vantage, view.id), view.owner)) }
}

/// Why a name of a query is refused to those who read it.
///
/// # Errors
/// None but of a name that was not made by the parser.
pub(crate) fn refusal(
    vantage: &Vantage,
    marked: &TableReference,
    (reader, path, view): (&RoleSet, &[String], Option<&View>),
    error: &Error,
) -> Result<(String, String), Error> {
    let (name, _) = version::unmark(marked)?;
    let written = name.schema().map_or_else(|| name.table().to_owned(), |schema| format!("{schema}.{}", name.table()));
    let snapshot = &vantage.snapshot;
    let whose = view.map(|view| {
        let owner = snapshot.role(view.owner).map(|role| role.name.clone()).unwrap_or_default();
        format!(": not for {owner}, the owner of view {}", shown_name(vantage, view.id))
    });
    let whose = whose.unwrap_or_default();
    if let Some(schema) = name.schema().filter(|schema| !resolve::may_use(snapshot, reader, schema))
        && snapshot.schema_by_name(schema).is_some()
    {
        return Ok((written, format!("no USAGE on schema {schema}{whose}")));
    }
    let found = match name.schema() {
        Some(schema) => snapshot.relation(schema, name.table()),
        None => path.iter().find_map(|schema| snapshot.relation(schema, name.table())),
    };
    Ok(match found {
        Some(Relation::Table(table)) => {
            let held = resolve::may(snapshot, reader, &table, Privilege::Select);
            let why = if held { error.message() } else { format!("no SELECT on table{whose}") };
            (shown_name(vantage, table.id), why)
        }
        Some(Relation::View(inner)) => (shown_name(vantage, inner.id), format!("no SELECT on view{whose}")),
        None => (written, error.hint().unwrap_or_else(|| error.message())),
    })
}

/// Why a write is refused.
pub(crate) fn refused_target(vantage: &Vantage, statement: &Statement, error: &Error) -> (String, String) {
    let (name, privileges): (&Name, Vec<Privilege>) = match &statement.kind {
        Kind::Change(change) => {
            (&change.table, changed(change, &[]).into_iter().map(|(privilege, _)| privilege).collect())
        }
        Kind::Insert(insert) if insert.overwrite => (&insert.table, vec![Privilege::Insert, Privilege::Delete]),
        Kind::Insert(insert) => (&insert.table, vec![Privilege::Insert]),
        _ => return (String::new(), error.message()),
    };
    let (snapshot, reader) = (&vantage.snapshot, vantage.principal.role_set());
    let found = match &name.schema {
        Some(schema) => snapshot.relation(schema, &name.name),
        None => vantage.search_path.iter().find_map(|schema| snapshot.relation(schema, &name.name)),
    };
    let Some(Relation::Table(table)) = found else { return (name.name.clone(), error.message()) };
    let missing = privileges.iter().filter(|privilege| !resolve::may(snapshot, &reader, &table, **privilege));
    let missing: Vec<&str> = missing.map(|privilege| verb(*privilege)).collect();
    let reason = if missing.is_empty() { error.message() } else { format!("no {} on table", missing.join(", no ")) };
    (shown_name(vantage, table.id), reason)
}

fn verb(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Insert => "INSERT",
        Privilege::Update => "UPDATE",
        Privilege::Delete => "DELETE",
        _ => "SELECT",
    }
}

/// A relation's name as PostgreSQL shows it: with its schema where it is not found without.
fn shown_name(vantage: &Vantage, id: TableId) -> String {
    let snapshot = &vantage.snapshot;
    let Some(relation) = snapshot.relation_by_id(id) else { return snapshot.qualified_name(id) };
    let (schema, name) = match relation {
        Relation::Table(table) => (table.schema, &table.name),
        Relation::View(view) => (view.schema, &view.name),
    };
    let first = vantage.search_path.iter().find_map(|schema| snapshot.relation(schema, name));
    let is_first = first.is_some_and(|first| match first {
        Relation::Table(table) => table.id == id,
        Relation::View(view) => view.id == id,
    });
    if is_first {
        return name.clone();
    }
    let schema = snapshot.schema(schema).map_or("", |schema| schema.name.as_str());
    format!("{schema}.{name}")
}

fn rows(lines: &[Line]) -> Result<RecordBatch, Error> {
    let column =
        |value: fn(&Line) -> Option<&str>| -> ArrayRef { Arc::new(lines.iter().map(value).collect::<StringArray>()) };
    let columns = vec![
        column(|(table, _)| Some(table)),
        column(|(_, step)| step.column.as_deref()),
        column(|(_, step)| Some(step.effect.name())),
        column(|(_, step)| step.policy.as_deref()),
        column(|(_, step)| step.source.as_deref()),
        column(|(_, step)| Some(&step.reason)),
    ];
    RecordBatch::try_new(schema(false), columns).map_err(|error| publish::execution(&error.into()))
}

fn document(vantage: &Vantage, lines: &[Line]) -> Result<RecordBatch, Error> {
    let mut names: Vec<&String> = Vec::new();
    for (table, _) in lines {
        if !names.contains(&table) {
            names.push(table);
        }
    }
    let tables: Vec<Value> = names.into_iter().map(|name| table_document(name, lines)).collect();
    let document = json!({ "policy_epoch": vantage.snapshot.epoch().0, "tables": tables });
    let text = serde_json::to_string_pretty(&document).map_err(|_| publish::incident("planning", "trace"))?;
    let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
    RecordBatch::try_new(schema(true), vec![column]).map_err(|error| publish::execution(&error.into()))
}

fn table_document(name: &str, lines: &[Line]) -> Value {
    let of_table = || lines.iter().filter(move |(table, _)| table == name).map(|(_, step)| step);
    let of_rows: Vec<&Step> = of_table().filter(|step| step.column.is_none()).collect();
    let effect = of_rows.iter().map(|step| step.effect).max().unwrap_or(Effect::Allow);
    let mut policies: Vec<&String> = Vec::new();
    for policy in of_rows.iter().filter_map(|step| step.policy.as_ref()) {
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    let because = of_rows.iter().map(|step| {
        json!({
            "effect": step.effect.name(), "policy": step.policy, "source": step.source, "reason": step.reason,
        })
    });
    let columns = of_table().filter(|step| step.column.is_some()).map(|step| {
        json!({
            "column": step.column, "effect": step.effect.name(), "policy": step.policy, "source": step.source,
            "reason": step.reason,
        })
    });
    json!({
        "table": name,
        "rows": { "effect": effect.name(), "policies": policies, "because": because.collect::<Vec<_>>() },
        "columns": columns.collect::<Vec<_>>(),
    })
}
