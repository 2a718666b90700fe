//! Masking policies, and the columns that they are set on.
//!
//! Invariant: a mask keeps its column's type; a body is checked by the planner before it is kept.

use std::sync::Arc;

use lakeward_base::{MaskingPolicyId, Redacted, SqlState};
use lakeward_catalog::{
    CatalogError, Column, Draft, MaskBinding, MaskingPolicy, NewMaskingPolicy, ObjectKind, Parameter, Snapshot, Table,
};

use super::actor::Actor;
use super::policy::governed;
use super::{DdlContext, Edited, coded, notice, refused, skip_missing};
use crate::ddl::{CreateMaskingPolicy, Drop, Mask};
use crate::error::Error;
use crate::response::Command;
use crate::statement::Name;

pub(super) async fn create(context: &DdlContext<'_>, create: &CreateMaskingPolicy) -> Result<Command, Error> {
    let snapshot = context.catalog.snapshot();
    let acting = context.actor(&snapshot)?;
    must_make_masks(&acting).map_err(|error| coded(&error))?;
    let new = NewMaskingPolicy {
        name: create.name.clone(),
        parameters: create
            .parameters
            .iter()
            .map(|(name, sql_type)| Parameter { name: name.clone(), sql_type: sql_type.clone() })
            .collect(),
        returns: create.returns.clone(),
        body: create.body.clone(),
        owner: acting.role,
    };
    context.validator.check_mask(&draft_policy(&new)).await?;
    context.policy_command("CREATE MASKING POLICY", |draft, acting| create_in(draft, acting, create, &new)).await
}

/// The policy as it will be; its number does not matter to the planner.
fn draft_policy(new: &NewMaskingPolicy) -> MaskingPolicy {
    MaskingPolicy {
        id: MaskingPolicyId(0),
        name: new.name.clone(),
        parameters: new.parameters.clone(),
        returns: new.returns.clone(),
        body: new.body.clone(),
        owner: new.owner,
    }
}

fn create_in(draft: &mut Draft, acting: &Actor, create: &CreateMaskingPolicy, new: &NewMaskingPolicy) -> Edited {
    must_make_masks(acting)?;
    match draft.masking_policy_by_name(&create.name).cloned() {
        Some(_) if create.if_not_exists => {
            Ok(vec![notice(format!("masking policy \"{}\" already exists, skipping", create.name))])
        }
        Some(old) if create.or_replace => {
            draft.alter_masking_policy(old.id, |policy| {
                policy.parameters.clone_from(&new.parameters);
                policy.returns.clone_from(&new.returns);
                policy.body = new.body.clone();
                policy.owner = acting.role;
            })?;
            Ok(Vec::new())
        }
        Some(_) | None => {
            let new = NewMaskingPolicy {
                name: new.name.clone(),
                parameters: new.parameters.clone(),
                returns: new.returns.clone(),
                body: new.body.clone(),
                owner: acting.role,
            };
            draft.create_masking_policy(new)?;
            Ok(Vec::new())
        }
    }
}

pub(super) async fn alter(context: &DdlContext<'_>, name: &str, body: &Redacted<String>) -> Result<Command, Error> {
    let snapshot = context.catalog.snapshot();
    let acting = context.actor(&snapshot)?;
    must_make_masks(&acting).map_err(|error| coded(&error))?;
    let mut changed = MaskingPolicy::clone(&*masking_policy(&snapshot, name).map_err(|error| coded(&error))?);
    changed.body = body.clone();
    changed.owner = acting.role;
    context.validator.check_mask(&changed).await?;
    context
        .policy_command("ALTER MASKING POLICY", |draft, acting| {
            must_make_masks(acting)?;
            let policy = masking_policy(draft, name)?;
            if policy.parameters != changed.parameters || policy.returns != changed.returns {
                return Err(CatalogError::Contended);
            }
            draft.alter_masking_policy(policy.id, |policy| {
                policy.body = body.clone();
                policy.owner = acting.role;
            })?;
            Ok(Vec::new())
        })
        .await
}

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<String>) -> Result<Command, Error> {
    context
        .policy_command("DROP MASKING POLICY", |draft, acting| {
            must_make_masks(acting)?;
            let mut notices = Vec::new();
            for name in &drop.names {
                let found = masking_policy(draft, name);
                let Some(policy) = skip_missing(found, drop.if_exists, &mut notices)? else { continue };
                draft.drop_masking_policy(policy.id)?;
            }
            Ok(notices)
        })
        .await
}

pub(super) async fn set(
    context: &DdlContext<'_>,
    table: &Name,
    column: &str,
    mask: Option<&Mask>,
) -> Result<Command, Error> {
    context
        .policy_command("ALTER TABLE", |draft, acting| {
            let table = governed(context, draft, acting, table)?;
            must_change_masks(acting, &table)?;
            let found = find_column(&table, column)?;
            let masked = found.id;
            must_undo_tags(draft, acting, &table, std::iter::once(found))?;
            let binding = mask.map(|mask| bind(draft, acting, &table, column, mask)).transpose()?;
            draft.set_mask(table.id, masked, binding)?;
            Ok(Vec::new())
        })
        .await
}

/// Matches a policy's parameters with columns.
fn bind(
    snapshot: &Snapshot,
    acting: &Actor,
    table: &Table,
    column: &str,
    mask: &Mask,
) -> Result<MaskBinding, CatalogError> {
    let policy = masking_policy(snapshot, &mask.policy)?;
    // Set on a column of guesses, a keyed mask would tell what its values elsewhere stand for.
    let keyed = keyed_in(policy.body.expose());
    if keyed.is_none_or(|functions| !acting.may_execute(snapshot, &functions)) {
        must_make_masks(acting)?;
    }
    let own = [column.to_owned()];
    let arguments = if mask.arguments.is_empty() { &own[..] } else { &mask.arguments };
    if arguments.first().map(String::as_str) != Some(column) {
        let message = "the first column after USING is the masked column itself";
        return Err(refused(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message)));
    }
    if arguments.len() != policy.parameters.len() {
        let message = format!(
            "masking policy \"{}\" takes {} columns, not {}",
            policy.name,
            policy.parameters.len(),
            arguments.len()
        );
        return Err(refused(
            Error::new(SqlState::INVALID_OBJECT_DEFINITION, message).with_hint("Name them: USING (column, …)."),
        ));
    }
    let mut bound = Vec::with_capacity(arguments.len());
    for (name, parameter) in arguments.iter().zip(&policy.parameters) {
        let argument = find_column(table, name)?;
        if argument.kind() != parameter.sql_type {
            let message = format!(
                "column \"{}\" is of type {}, but the masking policy takes {}",
                argument.name, argument.sql_type, parameter.sql_type
            );
            return Err(refused(Error::new(SqlState::DATATYPE_MISMATCH, message)));
        }
        bound.push(argument.id);
    }
    if parameter_type(&policy) != Some(policy.returns.as_str()) {
        return Err(refused(Error::new(SqlState::DATATYPE_MISMATCH, "a mask keeps the column's type")));
    }
    Ok(MaskBinding { policy: policy.id, arguments: bound })
}

/// The keyed functions that a mask calls; `None` where it cannot be read.
fn keyed_in(body: &str) -> Option<Vec<&'static str>> {
    crate::statement::parse_expression(body).ok().map(|body| crate::keyed::calls(&body))
}

fn parameter_type(policy: &MaskingPolicy) -> Option<&str> {
    policy.parameters.first().map(|parameter| parameter.sql_type.as_str())
}

pub(super) fn find_column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, CatalogError> {
    let missing = || CatalogError::ColumnNotFound { column: name.to_owned(), relation: table.name.clone() };
    table.columns.iter().find(|column| column.name == name).ok_or_else(missing)
}

pub(super) fn masking_policy(snapshot: &Snapshot, name: &str) -> Result<Arc<MaskingPolicy>, CatalogError> {
    snapshot
        .masking_policy_by_name(name)
        .cloned()
        .ok_or_else(|| CatalogError::not_found(ObjectKind::MaskingPolicy, name))
}

/// The masks that a table has from those that it was made from are not its maker's to take off.
fn must_change_masks(acting: &Actor, table: &Table) -> Result<(), CatalogError> {
    if !table.inherits || acting.superuser || acting.policy_admin {
        return Ok(());
    }
    let message = format!("the masks of table {} are those of the tables that it was made from", table.name);
    let hint = "Superusers and members of policy_admin may change them.";
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(hint)))
}

/// A column's own mask beats its tag's, which is not the owner's to undo.
fn must_undo_tags<'a>(
    snapshot: &Snapshot,
    acting: &Actor,
    table: &Table,
    mut columns: impl Iterator<Item = &'a Column>,
) -> Result<(), CatalogError> {
    if acting.superuser || acting.policy_admin || !columns.any(|column| snapshot.tag_masks(column).next().is_some()) {
        return Ok(());
    }
    let message = format!("a tag masks a column of table {}", table.name);
    let hint = "Superusers and members of policy_admin may change what is shown of it.";
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(hint)))
}

/// Whose data a row is says what BREAK GLASS shows: of masks that are not the owner's, it is not the owner's to say.
pub(super) fn must_lift_masks(snapshot: &Snapshot, acting: &Actor, table: &Table) -> Result<(), CatalogError> {
    must_change_masks(acting, table)?;
    must_undo_tags(snapshot, acting, table, table.columns.iter())
}

/// A masking policy is everybody's: only those who answer for all tables make one.
fn must_make_masks(acting: &Actor) -> Result<(), CatalogError> {
    if acting.superuser || acting.policy_admin {
        return Ok(());
    }
    let message = "must be superuser or a member of policy_admin to make masking policies";
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)))
}
