//! Roles.
//!
//! Invariants: only a superuser makes, or touches, a role that bypasses anything; whoever has CREATEROLE touches only the
//! roles on which it was given the admin option, such as those that it made.

use lakeward_base::{Redacted, RoleId, SqlState};
use lakeward_catalog::{CatalogError, Described, Draft, NewRole, Relation, Role, RoleLimits, ScramVerifier, Snapshot};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, notice, refused, skip_missing};
use crate::ddl::{AlterRole, CreateRole, Drop, RoleName, RoleOptions};
use crate::error::Error;
use crate::limits;
use crate::response::Command;

pub(super) async fn create(context: &DdlContext<'_>, create: &CreateRole) -> Result<Command, Error> {
    let verifier = verifier(&create.options).await?;
    context.command("CREATE ROLE", |draft, actor| create_in(draft, actor, create, verifier.clone().flatten())).await
}

fn create_in(draft: &mut Draft, actor: &Actor, create: &CreateRole, verifier: Option<ScramVerifier>) -> Edited {
    must_create_roles(actor, "create role")?;
    let options = &create.options;
    must_not_raise(actor, options)?;
    let mut new = NewRole {
        name: create.name.clone(),
        login: options.login.unwrap_or(false),
        superuser: options.superuser.unwrap_or(false),
        bypass_row_security: options.bypass_row_security.unwrap_or(false),
        create_role: options.create_role.unwrap_or(false),
        verifier,
        valid_until: options.valid_until.flatten(),
        limits: RoleLimits { connections: options.connection_limit.flatten(), ..RoleLimits::default() },
        ..NewRole::default()
    };
    for name in &create.in_roles {
        let parent = actor.role(draft, name)?;
        super::membership::must_administer(actor, draft, &parent)?;
        new.member_of.insert(parent.id);
    }
    let find = |names: &[RoleName]| names.iter().map(|name| actor.role(draft, name)).collect::<Result<Vec<_>, _>>();
    let (members, admins) = (find(&create.members)?, find(&create.admins)?);
    let id = draft.create_role(new)?;
    for member in members.iter().chain(&admins) {
        must_not_be_strong(actor, draft, member)?;
        draft.grant_role(id, member.id)?;
    }
    for admin in &admins {
        draft.set_admin(id, admin.id, true)?;
    }
    if !actor.superuser {
        draft.set_admin(id, actor.role, true)?;
    }
    Ok(Vec::new())
}

pub(super) async fn alter(context: &DdlContext<'_>, alter: &AlterRole) -> Result<Command, Error> {
    let verifier = verifier(&alter.options).await?;
    context
        .command("ALTER ROLE", |draft, actor| {
            alter_in(draft, actor, context.principal.session_role, alter, verifier.as_ref())
        })
        .await
}

fn alter_in(
    draft: &mut Draft,
    actor: &Actor,
    session_role: RoleId,
    alter: &AlterRole,
    verifier: Option<&Option<ScramVerifier>>,
) -> Edited {
    let role = actor.role(draft, &alter.role)?;
    let options = &alter.options;
    // Not the role of SET ROLE: its attributes would come with its password.
    let own_password_only = role.id == session_role
        && options.login.is_none()
        && options.superuser.is_none()
        && options.bypass_row_security.is_none()
        && options.create_role.is_none()
        && options.valid_until.is_none()
        && options.connection_limit.is_none();
    if !own_password_only {
        must_create_roles(actor, "alter role")?;
        must_touch(actor, draft, &role)?;
        must_not_raise(actor, options)?;
    }
    draft.alter_role(role.id, |role| {
        role.login = options.login.unwrap_or(role.login);
        role.superuser = options.superuser.unwrap_or(role.superuser);
        role.bypass_row_security = options.bypass_row_security.unwrap_or(role.bypass_row_security);
        role.create_role = options.create_role.unwrap_or(role.create_role);
        if let Some(verifier) = verifier {
            role.verifier.clone_from(verifier);
        }
        if let Some(valid_until) = options.valid_until {
            role.valid_until = valid_until;
        }
        if let Some(most) = options.connection_limit {
            role.limits.connections = most;
        }
    })?;
    Ok(Vec::new())
}

/// To derive a verifier takes milliseconds: once, and not on the thread that serves others.
async fn verifier(options: &RoleOptions) -> Result<Option<Option<ScramVerifier>>, Error> {
    match options.password.clone() {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(text)) => {
            if text.expose().is_empty() {
                let message = "an empty password is not allowed";
                return Err(
                    Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Use PASSWORD NULL to have none.")
                );
            }
            let derive = tokio::task::spawn_blocking(move || ScramVerifier::from_password_or_verifier(&text));
            let verifier = derive
                .await
                .map_err(|_| Error::new(SqlState::INTERNAL_ERROR, "the password's verifier could not be made"))?;
            Ok(Some(Some(verifier)))
        }
    }
}

pub(super) async fn rename(context: &DdlContext<'_>, name: &str, to: &str) -> Result<Command, Error> {
    context
        .command("ALTER ROLE", |draft, actor| {
            let role = actor::role(draft, name)?;
            must_create_roles(actor, "rename role")?;
            must_touch(actor, draft, &role)?;
            if role.name == context.principal.session_user {
                return Err(refused(Error::unsupported("to rename the session's own user")));
            }
            super::mention::must_not_be_mentioned(draft, &role, "renamed")?;
            draft.alter_role(role.id, |role| to.clone_into(&mut role.name))?;
            Ok(Vec::new())
        })
        .await
}

/// Attributes decide which rows a role sees: they are policy, and not the role's own business.
pub(super) async fn set_attribute(
    context: &DdlContext<'_>,
    name: &RoleName,
    attribute: &str,
    value: Option<&Redacted<String>>,
) -> Result<Command, Error> {
    context
        .command("ALTER ROLE", |draft, actor| {
            let role = actor.role(draft, name)?;
            must_set_policy(actor, "attributes")?;
            must_not_bypass(actor, draft, &role)?;
            draft.alter_role(role.id, |role| {
                match value {
                    Some(value) => role.attributes.insert(attribute.to_owned(), value.expose().clone()),
                    None => role.attributes.remove(attribute),
                };
            })?;
            Ok(Vec::new())
        })
        .await
}

/// A setting that a role's sessions begin with: by the login itself, or by whoever may alter the role. A limit: by
/// superusers.
pub(super) async fn set(
    context: &DdlContext<'_>,
    name: &RoleName,
    setting: Option<&str>,
    value: Option<&str>,
) -> Result<Command, Error> {
    if let Some(limit) = setting.filter(|setting| limits::is_limit(setting)) {
        return set_limit(context, name, &limit.to_ascii_lowercase(), value).await;
    }
    let kept = match (setting, value) {
        (Some(setting), Some(value)) => Some(crate::settings::admitted(setting, value)?),
        (Some(setting), None) => Some((crate::settings::known(setting)?, String::new())),
        (None, _) => None,
    };
    context
        .command("ALTER ROLE", |draft, actor| {
            let role = actor.role(draft, name)?;
            if role.id != context.principal.session_role {
                must_create_roles(actor, "alter role")?;
                must_touch(actor, draft, &role)?;
            }
            if let Some((setting, value)) = &kept
                && setting == "purpose_of_use"
                && let Some(allowed) = role.allowed_purposes.as_ref()
                && !(value.is_empty() || allowed.contains(value))
            {
                return Err(refused(crate::session::purpose_denied(value)));
            }
            draft.alter_role(role.id, |role| match (&kept, value) {
                (Some((setting, kept)), Some(_)) => {
                    role.settings.insert(setting.clone(), kept.clone());
                }
                (Some((setting, _)), None) => {
                    role.settings.remove(setting);
                }
                (None, _) => {
                    role.settings.clear();
                    if actor.superuser {
                        limits::clear(&mut role.limits);
                    }
                }
            })?;
            Ok(Vec::new())
        })
        .await
}

async fn set_limit(
    context: &DdlContext<'_>,
    name: &RoleName,
    limit: &str,
    value: Option<&str>,
) -> Result<Command, Error> {
    limits::put(&mut RoleLimits::default(), limit, value)?;
    context
        .command("ALTER ROLE", |draft, actor| {
            actor.must_be_superuser("set limits of roles")?;
            let role = actor.role(draft, name)?;
            let mut changed = role.limits;
            limits::put(&mut changed, limit, value).map_err(refused)?;
            draft.alter_role(role.id, |role| role.limits = changed)?;
            if role.login || value.is_none() {
                return Ok(Vec::new());
            }
            let message = format!("role \"{}\" cannot log in, and its members do not inherit its limits", role.name);
            Ok(vec![notice(message)])
        })
        .await
}

/// Which purposes a role's sessions may state is policy, like attributes.
pub(super) async fn set_purposes(
    context: &DdlContext<'_>,
    name: &RoleName,
    purposes: Option<&[String]>,
) -> Result<Command, Error> {
    for purpose in purposes.unwrap_or_default() {
        crate::settings::admitted("purpose_of_use", purpose)?;
    }
    context
        .command("ALTER ROLE", |draft, actor| {
            let role = actor.role(draft, name)?;
            must_set_policy(actor, "ALLOWED_PURPOSES")?;
            must_not_bypass(actor, draft, &role)?;
            let allowed = purposes.map(|purposes| purposes.iter().cloned().collect());
            draft.alter_role(role.id, |role| role.allowed_purposes = allowed)?;
            Ok(Vec::new())
        })
        .await
}

fn must_set_policy(actor: &Actor, what: &str) -> Result<(), CatalogError> {
    if actor.superuser || actor.policy_admin {
        return Ok(());
    }
    let message = format!("must be superuser or a member of policy_admin to set {what}");
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)))
}

/// A comment on a role.
pub(super) fn comment(draft: &mut Draft, actor: &Actor, name: &RoleName, text: Option<String>) -> Edited {
    let role = actor.role(draft, name)?;
    must_create_roles(actor, "comment on role")?;
    must_touch(actor, draft, &role)?;
    draft.comment(Described::Role(role.id), text)?;
    Ok(Vec::new())
}

/// Everything that some roles own goes to another: by whoever could act as all of them.
pub(super) async fn reassign(context: &DdlContext<'_>, from: &[RoleName], to: &RoleName) -> Result<Command, Error> {
    context
        .command("REASSIGN OWNED", |draft, actor| {
            let to = actor.role(draft, to)?;
            actor.must_be_member_of(&to)?;
            for name in from {
                let role = actor.role(draft, name)?;
                actor.must_be_member_of(&role)?;
                reassign_one(draft, role.id, to.id)?;
            }
            Ok(Vec::new())
        })
        .await
}

fn reassign_one(draft: &mut Draft, from: RoleId, to: RoleId) -> Result<(), CatalogError> {
    let schemas: Vec<_> = draft.schemas().filter(|schema| schema.owner == from).map(|schema| schema.id).collect();
    for schema in schemas {
        draft.give_schema(schema, to)?;
    }
    let relations: Vec<Relation> = draft.relations().cloned().collect();
    for relation in relations {
        match relation {
            Relation::Table(table) => {
                if table.owner == from && !table.grantable && from != to {
                    return Err(refused(Error::unsupported(format!(
                        "another owner for \"{}\", which was made from other tables,",
                        table.name
                    ))));
                }
                if table.owner == from {
                    draft.alter_table(table.id, |table| table.owner = to)?;
                }
                for policy in table.policies.iter().filter(|policy| policy.owner == from) {
                    draft.alter_policy(table.id, policy.id, |policy| policy.owner = to)?;
                }
            }
            Relation::View(view) if view.owner == from => draft.alter_view(view.id, |view| view.owner = to)?,
            Relation::View(_) => {}
        }
    }
    let masks: Vec<_> =
        draft.masking_policies().filter(|policy| policy.owner == from).map(|policy| policy.id).collect();
    masks.into_iter().try_for_each(|mask| draft.alter_masking_policy(mask, |policy| policy.owner = to))?;
    let tags: Vec<_> = draft.tags().filter(|tag| tag.owner == from).map(|tag| tag.id).collect();
    tags.into_iter().try_for_each(|tag| draft.alter_tag(tag, |tag| tag.owner = to))
}

/// Takes away what roles were granted; what they own must have been reassigned.
pub(super) async fn drop_owned(context: &DdlContext<'_>, roles: &[RoleName]) -> Result<Command, Error> {
    context
        .command("DROP OWNED", |draft, actor| {
            for name in roles {
                let role = actor.role(draft, name)?;
                actor.must_be_member_of(&role)?;
                let owns = draft.schemas().any(|schema| schema.owner == role.id)
                    || draft.relations().any(|relation| relation.owner() == role.id)
                    || draft.masking_policies().any(|policy| policy.owner == role.id)
                    || draft.tags().any(|tag| tag.owner == role.id);
                if owns {
                    let error =
                        Error::unsupported("DROP OWNED of a role that owns tables, views, schemas, policies or tags");
                    return Err(refused(error.with_hint("Run REASSIGN OWNED first, or drop them.")));
                }
                draft.revoke_all(role.id)?;
            }
            Ok(Vec::new())
        })
        .await
}

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<String>) -> Result<Command, Error> {
    context
        .command("DROP ROLE", |draft, actor| {
            must_create_roles(actor, "drop role")?;
            let mut notices = Vec::new();
            for name in &drop.names {
                let Some(role) = skip_missing(actor::role(draft, name), drop.if_exists, &mut notices)? else {
                    continue;
                };
                if role.id == actor.role || role.name == context.principal.session_user {
                    return Err(in_use("current user cannot be dropped"));
                }
                must_touch(actor, draft, &role)?;
                super::mention::must_not_be_mentioned(draft, &role, "dropped")?;
                draft.drop_role(role.id)?;
            }
            Ok(notices)
        })
        .await
}

fn in_use(message: &str) -> CatalogError {
    refused(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message))
}

fn must_create_roles(actor: &Actor, what: &str) -> Result<(), CatalogError> {
    if actor.superuser || actor.create_role {
        return Ok(());
    }
    Err(refused(
        Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to {what}"))
            .with_detail("It needs CREATEROLE."),
    ))
}

/// Whoever cannot bypass makes nobody who can.
fn must_not_raise(actor: &Actor, options: &RoleOptions) -> Result<(), CatalogError> {
    if options.superuser.is_some() {
        actor.must_be_superuser("change SUPERUSER")?;
    }
    if options.bypass_row_security.is_some() {
        actor.must_be_superuser("change BYPASSRLS")?;
    }
    Ok(())
}

/// Who alters a role: superusers, and those who have CREATEROLE and the admin option on it.
fn must_touch(actor: &Actor, snapshot: &Snapshot, role: &Role) -> Result<(), CatalogError> {
    must_not_be_strong(actor, snapshot, role)?;
    if actor.superuser || snapshot.administers(&actor.roles, role.id) {
        return Ok(());
    }
    let detail = format!("The current user must have the ADMIN option on role \"{}\".", role.name);
    let message = format!("permission denied to alter role \"{}\"", role.name);
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_detail(detail)))
}

/// A password, or a membership, of a role that reaches one that bypasses is as good as bypassing.
fn must_not_be_strong(actor: &Actor, snapshot: &Snapshot, role: &Role) -> Result<(), CatalogError> {
    let reach = snapshot.effective_roles(role.id);
    let strong = |id: &RoleId| {
        snapshot.role(*id).is_some_and(|role| role.superuser || role.bypass_row_security || role.built_in)
    };
    if reach.iter().any(strong) {
        return actor.must_be_superuser("alter roles that bypass policies, or are members of built-in roles");
    }
    Ok(())
}

/// Attributes are policy: `policy_admin` may set those of its own members and the auditors too, but of nobody who
/// bypasses.
fn must_not_bypass(actor: &Actor, snapshot: &Snapshot, role: &Role) -> Result<(), CatalogError> {
    let reach = snapshot.effective_roles(role.id);
    let bypasses = |id: &RoleId| snapshot.role(*id).is_some_and(|role| role.superuser || role.bypass_row_security);
    if reach.iter().any(bypasses) {
        return actor.must_be_superuser("alter roles that bypass policies");
    }
    Ok(())
}
