//! Tags, and the columns that have them.
//!
//! Invariant: tags are made, changed, set and taken away by those who answer for all tables. An owner who may govern its
//! own table does not take off what somebody else marked it with.

use std::sync::Arc;

use lakeward_base::SqlState;
use lakeward_catalog::{CatalogError, Draft, NewTag, ObjectKind, Snapshot, Tag};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, notice, refused, skip_missing};
use crate::ddl::{TagChange, TagDdl};
use crate::error::Error;
use crate::response::Command;
use crate::statement::Name;

pub(super) async fn execute(context: &DdlContext<'_>, ddl: &TagDdl) -> Result<Command, Error> {
    let tag = match ddl {
        TagDdl::Create { .. } => "CREATE TAG",
        TagDdl::Drop(_) => "DROP TAG",
        TagDdl::Alter { .. } => "ALTER TAG",
        TagDdl::SetOnColumn { .. } => "ALTER TABLE",
    };
    context.policy_command(tag, |draft, acting| change(context, draft, acting, ddl)).await
}

fn change(context: &DdlContext<'_>, draft: &mut Draft, acting: &Actor, ddl: &TagDdl) -> Edited {
    must_make_tags(acting)?;
    let mut notices = Vec::new();
    match ddl {
        TagDdl::Create { name, if_not_exists, .. } if *if_not_exists && draft.tag_by_name(name).is_some() => {
            notices.push(notice(format!("tag \"{name}\" already exists, skipping")));
        }
        TagDdl::Create { name, allowed_values, .. } => {
            let allowed_values = allowed_values.as_ref().map(|values| added(&[], values));
            draft.create_tag(NewTag { name: name.clone(), allowed_values, owner: acting.role })?;
        }
        TagDdl::Drop(drop) => {
            for name in &drop.names {
                let found = tag(draft, name);
                let Some(tag) = skip_missing(found, drop.if_exists, &mut notices)? else { continue };
                draft.drop_tag(tag.id)?;
            }
        }
        TagDdl::Alter { name, if_exists, change } => {
            let found = tag(draft, name);
            let Some(tag) = skip_missing(found, *if_exists, &mut notices)? else { return Ok(notices) };
            alter(draft, &tag, change)?;
        }
        TagDdl::SetOnColumn { table, column, tags } => set(context, draft, table, column, tags)?,
    }
    Ok(notices)
}

fn alter(draft: &mut Draft, tag: &Tag, change: &TagChange) -> Result<(), CatalogError> {
    let policy = match change {
        TagChange::SetMask { policy, .. } => Some(super::mask::masking_policy(draft, policy)?.id),
        TagChange::Rename(_)
        | TagChange::Allow(_)
        | TagChange::Forbid(_)
        | TagChange::AllowAll
        | TagChange::UnsetMask { .. } => None,
    };
    draft.alter_tag(tag.id, |tag| match change {
        TagChange::Rename(name) => tag.name.clone_from(name),
        TagChange::Allow(values) => {
            tag.allowed_values = Some(added(tag.allowed_values.as_deref().unwrap_or_default(), values));
        }
        TagChange::Forbid(values) => {
            if let Some(allowed) = &mut tag.allowed_values {
                allowed.retain(|value| !values.contains(value));
            }
        }
        TagChange::AllowAll => tag.allowed_values = None,
        TagChange::SetMask { value, .. } => {
            if let Some(policy) = policy {
                tag.masks.insert(value.clone(), policy);
            }
        }
        TagChange::UnsetMask { value } => {
            tag.masks.remove(value);
        }
    })
}

/// The values with more of them, each once, in the order in which they were given.
fn added(values: &[String], more: &[String]) -> Vec<String> {
    let mut all = values.to_vec();
    for value in more {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
    all
}

fn set(
    context: &DdlContext<'_>,
    draft: &mut Draft,
    table: &Name,
    column: &str,
    tags: &[(String, Option<String>)],
) -> Result<(), CatalogError> {
    let table = actor::table(draft, context.search_path, table)?;
    let column = super::mask::find_column(&table, column)?.id;
    for (name, value) in tags {
        let tag = tag(draft, name)?;
        draft.set_tag(table.id, column, tag.id, value.clone())?;
    }
    Ok(())
}

fn tag(snapshot: &Snapshot, name: &str) -> Result<Arc<Tag>, CatalogError> {
    snapshot.tag_by_name(name).cloned().ok_or_else(|| CatalogError::not_found(ObjectKind::Tag, name))
}

fn must_make_tags(acting: &Actor) -> Result<(), CatalogError> {
    if acting.superuser || acting.policy_admin {
        return Ok(());
    }
    let message = "must be superuser or a member of policy_admin to make and to set tags";
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)))
}
