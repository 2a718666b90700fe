//! Roles.
//!
//! Invariant: only a superuser makes, or touches, a role that bypasses anything.

use lakeward_base::{Redacted, RoleId, SqlState};
use lakeward_catalog::{CatalogError, Draft, NewRole, Role, ScramVerifier, Snapshot};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, refused, skip_missing};
use crate::ddl::{AlterRole, CreateRole, Drop, RoleName, RoleOptions};
use crate::error::Error;
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
        ..NewRole::default()
    };
    for name in &create.in_roles {
        let parent = actor.role(draft, name)?;
        super::grant::must_administer(actor, draft, &parent)?;
        new.member_of.insert(parent.id);
    }
    let members = create.members.iter().map(|name| actor.role(draft, name)).collect::<Result<Vec<_>, _>>()?;
    let id = draft.create_role(new)?;
    for member in members {
        must_touch(actor, draft, &member)?;
        draft.grant_role(id, member.id)?;
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
        && options.valid_until.is_none();
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
            if !(actor.superuser || actor.policy_admin) {
                let message = "must be superuser or a member of policy_admin to set attributes";
                return Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)));
            }
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

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<String>) -> Result<Command, Error> {
    context
        .command("DROP ROLE", |draft, actor| {
            must_create_roles(actor, "drop role")?;
            let mut notices = Vec::new();
            for name in &drop.names {
                let Some(role) = skip_missing(actor::role(draft, name), drop.if_exists, &mut notices)? else {
                    continue;
                };
                must_touch(actor, draft, &role)?;
                if role.id == actor.role || role.name == context.principal.session_user {
                    return Err(in_use("current user cannot be dropped"));
                }
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

/// A password, or a membership, of a role that reaches one that bypasses is as good as bypassing.
fn must_touch(actor: &Actor, snapshot: &Snapshot, role: &Role) -> Result<(), CatalogError> {
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
