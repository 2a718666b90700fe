//! Row policies.
//!
//! Invariant: an expression is checked by the planner before it is kept; policies are made by the table's owner, by
//! members of `policy_admin` and by superusers.

use std::sync::Arc;

use lakeward_base::{Redacted, SqlState};
use lakeward_catalog::{CatalogError, Draft, Grantee, NewPolicy, PolicyCommand, PolicyRead, RowPolicy, Table};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, coded, notice, refused, skip_missing};
use crate::ddl::{AlterPolicy, CreatePolicy, GranteeName};
use crate::error::Error;
use crate::response::{Command, Notice};
use crate::statement::Name;

pub(super) async fn create(context: &DdlContext<'_>, create: &CreatePolicy) -> Result<Command, Error> {
    let expressions = [create.using.as_ref(), create.with_check.as_ref()];
    let reads = check_expressions(context, &create.table, expressions).await?;
    if create.shadow && !reads.is_empty() {
        return Err(subquery_in_shadow());
    }
    context.policy_command("CREATE POLICY", |draft, acting| create_in(context, draft, acting, (create, &reads))).await
}

fn create_in(
    context: &DdlContext<'_>,
    draft: &mut Draft,
    acting: &Actor,
    (create, reads): (&CreatePolicy, &[PolicyRead]),
) -> Edited {
    let table = governed(context, draft, acting, &create.table)?;
    let grantees = grantees(draft, acting, &create.grantees)?;
    let old = table.policies.iter().find(|policy| policy.name == create.name);
    if let Some(old) = old.filter(|_| create.or_replace) {
        draft.alter_policy(table.id, old.id, |policy| {
            policy.permissive = create.permissive;
            policy.command = create.command;
            policy.grantees = grantees;
            policy.using.clone_from(&create.using);
            policy.with_check.clone_from(&create.with_check);
            policy.shadow = create.shadow;
            // It calls keyed functions and reads tables with the rights of whoever wrote it last.
            policy.owner = acting.role;
            policy.reads = reads.to_vec();
        })?;
        let enables = old.shadow && !create.shadow && !table.row_security;
        return Ok(enables.then(|| enabled(&table)).into_iter().collect());
    }
    let created = draft.create_policy(
        table.id,
        NewPolicy {
            name: create.name.clone(),
            permissive: create.permissive,
            command: create.command,
            grantees,
            using: create.using.clone(),
            with_check: create.with_check.clone(),
            owner: acting.role,
            reads: reads.to_vec(),
            shadow: create.shadow,
        },
    )?;
    if created.enabled_row_security {
        return Ok(vec![enabled(&table)]);
    }
    Ok(Vec::new())
}

/// What a policy reads besides is read for those that are in force alone.
fn subquery_in_shadow() -> Error {
    Error::unsupported("a subquery in a policy in SHADOW").with_hint("Try it on a copy of the table.")
}

fn enabled(table: &Table) -> Notice {
    notice(format!("row level security is now enabled on table \"{}\"", table.name))
}

pub(super) async fn alter(context: &DdlContext<'_>, alter: &AlterPolicy) -> Result<Command, Error> {
    let rewritten = alter.using.is_some() || alter.with_check.is_some();
    let reads = check_altered(context, alter).await?;
    context
        .policy_command("ALTER POLICY", |draft, acting| {
            let table = governed(context, draft, acting, &alter.table)?;
            let policy = policy(&table, &alter.name)?;
            check_clauses(policy.command, alter)?;
            if let Some(to) = alter.rename.as_ref().filter(|to| table.policies.iter().any(|other| other.name == **to)) {
                return Err(CatalogError::PolicyExists { policy: to.clone(), table: table.name.clone() });
            }
            let grantees = alter.grantees.as_ref().map(|names| grantees(draft, acting, names)).transpose()?;
            let shadow = alter.shadow.unwrap_or(policy.shadow);
            if shadow && !(if rewritten { &reads } else { &policy.reads }).is_empty() {
                return Err(refused(subquery_in_shadow()));
            }
            draft.alter_policy(table.id, policy.id, |policy| {
                if let Some(name) = &alter.rename {
                    policy.name.clone_from(name);
                }
                if let Some(grantees) = grantees {
                    policy.grantees = grantees;
                }
                if alter.using.is_some() {
                    policy.using.clone_from(&alter.using);
                }
                if alter.with_check.is_some() {
                    policy.with_check.clone_from(&alter.with_check);
                }
                if rewritten {
                    policy.owner = acting.role;
                    policy.reads.clone_from(&reads);
                }
                policy.shadow = alter.shadow.unwrap_or(policy.shadow);
            })?;
            let enables = alter.shadow == Some(false) && !table.row_security;
            Ok(enables.then(|| enabled(&table)).into_iter().collect())
        })
        .await
}

fn check_clauses(command: PolicyCommand, alter: &AlterPolicy) -> Result<(), CatalogError> {
    let message = match command {
        PolicyCommand::Select | PolicyCommand::Delete if alter.with_check.is_some() => {
            "only USING expression allowed for SELECT, DELETE"
        }
        PolicyCommand::Insert if alter.using.is_some() => "only WITH CHECK expression allowed for INSERT",
        PolicyCommand::All
        | PolicyCommand::Select
        | PolicyCommand::Insert
        | PolicyCommand::Update
        | PolicyCommand::Delete => return Ok(()),
    };
    Err(refused(Error::new(SqlState::SYNTAX_ERROR, message)))
}

pub(super) async fn drop(
    context: &DdlContext<'_>,
    name: &str,
    table: &Name,
    if_exists: bool,
) -> Result<Command, Error> {
    context
        .policy_command("DROP POLICY", |draft, acting| {
            let mut notices = Vec::new();
            let found = governed(context, draft, acting, table);
            let Some(table) = skip_missing(found, if_exists, &mut notices)? else { return Ok(notices) };
            let found = policy(&table, name).map(|policy| policy.id);
            let Some(policy) = skip_missing(found, if_exists, &mut notices)? else { return Ok(notices) };
            draft.drop_policy(table.id, policy)?;
            Ok(notices)
        })
        .await
}

pub(super) async fn row_security(
    context: &DdlContext<'_>,
    name: &Name,
    if_exists: bool,
    enable: Option<bool>,
) -> Result<Command, Error> {
    context
        .policy_command("ALTER TABLE", |draft, acting| {
            let mut notices = Vec::new();
            let found = governed(context, draft, acting, name);
            let Some(table) = skip_missing(found, if_exists, &mut notices)? else { return Ok(notices) };
            if let Some(enable) = enable.filter(|enable| *enable != table.row_security) {
                draft.alter_table(table.id, |table| table.row_security = enable)?;
            }
            Ok(notices)
        })
        .await
}

/// The table, if the one who asks may make policies on it.
pub(super) fn governed(
    context: &DdlContext<'_>,
    snapshot: &lakeward_catalog::Snapshot,
    acting: &Actor,
    name: &Name,
) -> Result<Arc<Table>, CatalogError> {
    let table = actor::table(snapshot, context.search_path, name)?;
    acting.must_govern(&table)?;
    Ok(table)
}

fn policy<'a>(table: &'a Table, name: &str) -> Result<&'a RowPolicy, CatalogError> {
    let missing = || CatalogError::PolicyNotFound { policy: name.to_owned(), table: table.name.clone() };
    table.policies.iter().find(|policy| policy.name == name).ok_or_else(missing)
}

fn grantees(draft: &Draft, acting: &Actor, names: &[GranteeName]) -> Result<Vec<Grantee>, CatalogError> {
    names.iter().map(|name| acting.grantee(draft, name)).collect()
}

/// What an altered policy reads. Both expressions are looked at: whoever writes one anew answers for the other too.
async fn check_altered(context: &DdlContext<'_>, alter: &AlterPolicy) -> Result<Vec<PolicyRead>, Error> {
    let snapshot = context.catalog.snapshot();
    let acting = context.actor(&snapshot)?;
    let table = governed(context, &snapshot, &acting, &alter.table).map_err(|error| coded(&error))?;
    let old = policy(&table, &alter.name).map_err(|error| coded(&error))?;
    if alter.using.is_none() && alter.with_check.is_none() {
        return Ok(Vec::new());
    }
    let using = alter.using.as_ref().or(old.using.as_ref());
    let with_check = alter.with_check.as_ref().or(old.with_check.as_ref());
    check_expressions(context, &alter.table, [using, with_check]).await
}

/// Permission first, so that the planner's words about columns go to nobody else. Answers which tables are read.
async fn check_expressions(
    context: &DdlContext<'_>,
    table: &Name,
    expressions: [Option<&Redacted<String>>; 2],
) -> Result<Vec<PolicyRead>, Error> {
    let snapshot = context.catalog.snapshot();
    let acting = context.actor(&snapshot)?;
    let table = governed(context, &snapshot, &acting, table).map_err(|error| coded(&error))?;
    let mut reads: Vec<PolicyRead> = Vec::new();
    for expression in expressions.into_iter().flatten() {
        for read in context.validator.check_policy(&table, expression.expose(), None).await? {
            let same = |known: &&mut PolicyRead| (&known.schema, &known.name) == (&read.schema, &read.name);
            match reads.iter_mut().find(same) {
                Some(known) => known.columns.extend(read.columns),
                None => reads.push(read),
            }
        }
    }
    Ok(reads)
}
