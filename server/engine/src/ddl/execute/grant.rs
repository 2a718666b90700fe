//! GRANT and REVOKE.
//!
//! Invariant: nobody grants what they do not own, nor membership of a role that bypasses or governs.

use lakeward_base::{RoleId, SqlState};
use lakeward_catalog::{CatalogError, Draft, Grantee, Privilege, Relation, Role, Securable, Snapshot};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, refused, warning};
use crate::ddl::{GrantTarget, Membership, Privileges};
use crate::error::Error;
use crate::response::{Command, Notice};

const ALL_ON_RELATIONS: &[Privilege] = &[Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete];
const ALL_ON_SCHEMAS: &[Privilege] = &[Privilege::Usage, Privilege::Create];

pub(super) async fn membership(context: &DdlContext<'_>, membership: &Membership) -> Result<Command, Error> {
    let tag = if membership.grant { "GRANT ROLE" } else { "REVOKE ROLE" };
    context.command(tag, |draft, actor| membership_in(draft, actor, membership)).await
}

fn membership_in(draft: &mut Draft, actor: &Actor, membership: &Membership) -> Edited {
    let mut notices = Vec::new();
    for name in &membership.roles {
        let role = actor::role(draft, name)?;
        must_administer(actor, draft, &role)?;
        for member in &membership.members {
            let member = actor.role(draft, member)?;
            let changed = if membership.grant {
                draft.grant_role(role.id, member.id)?
            } else {
                draft.revoke_role(role.id, member.id)?
            };
            if !changed {
                notices.push(unchanged(membership.grant, &member, &role));
            }
        }
    }
    Ok(notices)
}

fn unchanged(grant: bool, member: &Role, role: &Role) -> Notice {
    let (member, role) = (&member.name, &role.name);
    if grant {
        super::notice(format!("role \"{member}\" is already a member of role \"{role}\""))
    } else {
        warning(format!("role \"{member}\" is not a member of role \"{role}\""))
    }
}

/// Membership in a role is given by superusers, and for plain roles by whoever has CREATEROLE. A role that bypasses, that
/// is built in, or that is itself a member of one, only superusers give.
pub(super) fn must_administer(actor: &Actor, snapshot: &Snapshot, role: &Role) -> Result<(), CatalogError> {
    if actor.superuser {
        return Ok(());
    }
    let reach = snapshot.effective_roles(role.id);
    let is_strong = |id: &RoleId| {
        snapshot.role(*id).is_some_and(|role| role.superuser || role.bypass_row_security || role.built_in)
    };
    if reach.iter().any(is_strong) {
        return actor.must_be_superuser(&format!("grant or revoke role \"{}\"", role.name));
    }
    if actor.create_role {
        return Ok(());
    }
    let message = format!("permission denied to grant or revoke role \"{}\"", role.name);
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_detail("It needs CREATEROLE.")))
}

pub(super) async fn privileges(context: &DdlContext<'_>, privileges: &Privileges) -> Result<Command, Error> {
    let tag = if privileges.grant { "GRANT" } else { "REVOKE" };
    context.command(tag, |draft, actor| privileges_in(context, draft, actor, privileges)).await
}

fn privileges_in(context: &DdlContext<'_>, draft: &mut Draft, actor: &Actor, privileges: &Privileges) -> Edited {
    let grantees = privileges.grantees.iter().map(|name| actor.grantee(draft, name)).collect::<Result<Vec<_>, _>>()?;
    let objects = objects(context, draft, actor, privileges)?;
    for (object, owner) in objects {
        let all = match object {
            Securable::Schema(_) => ALL_ON_SCHEMAS,
            Securable::Relation(_) => ALL_ON_RELATIONS,
        };
        let wanted = if privileges.privileges.is_empty() { all } else { &privileges.privileges };
        for privilege in wanted {
            for grantee in &grantees {
                change(draft, privileges.grant, object, *privilege, *grantee, owner)?;
            }
        }
    }
    Ok(Vec::new())
}

fn change(
    draft: &mut Draft,
    grant: bool,
    object: Securable,
    privilege: Privilege,
    grantee: Grantee,
    owner: RoleId,
) -> Result<(), CatalogError> {
    // As in PostgreSQL, whoever may grant as the owner grants as the owner.
    let changed = if grant {
        draft.grant(object, privilege, grantee, owner)?
    } else {
        draft.revoke(object, privilege, grantee)?
    };
    // That a grant was there already is no news.
    let _: bool = changed;
    Ok(())
}

fn objects(
    context: &DdlContext<'_>,
    draft: &Draft,
    actor: &Actor,
    privileges: &Privileges,
) -> Result<Vec<(Securable, RoleId)>, CatalogError> {
    match &privileges.on {
        GrantTarget::Relations(names) => names
            .iter()
            .map(|name| {
                let relation = actor::relation(draft, context.search_path, name)?;
                grantable(actor, &relation, privileges.grant)
            })
            .collect(),
        GrantTarget::AllInSchemas(names) => {
            let mut found = Vec::new();
            for name in names {
                let schema = actor::schema(draft, name)?;
                let inside = draft.relations().filter(|relation| schema_of(relation) == schema.id);
                for relation in inside {
                    found.push(grantable(actor, relation, privileges.grant)?);
                }
            }
            Ok(found)
        }
        GrantTarget::Schemas(names) => names
            .iter()
            .map(|name| {
                let schema = actor::schema(draft, name)?;
                if !actor.owns(schema.owner) {
                    return Err(refused(Error::denied("schema", &schema.name)));
                }
                Ok((Securable::Schema(schema.id), schema.owner))
            })
            .collect(),
    }
}

fn schema_of(relation: &Relation) -> lakeward_base::SchemaId {
    match relation {
        Relation::Table(table) => table.schema,
        Relation::View(view) => view.schema,
    }
}

fn grantable(actor: &Actor, relation: &Relation, grant: bool) -> Result<(Securable, RoleId), CatalogError> {
    let (kind, id, name, owner, grantable) = match relation {
        Relation::Table(table) => ("table", table.id, &table.name, table.owner, table.grantable),
        Relation::View(view) => ("view", view.id, &view.name, view.owner, true),
    };
    if !actor.owns(owner) {
        return Err(refused(Error::denied(kind, name)));
    }
    if grant && !grantable {
        let error = Error::unsupported(format!("GRANT on \"{name}\", which was made from other tables,"))
            .with_hint("Grant on a view over the tables that it was made from.");
        return Err(refused(error));
    }
    Ok((Securable::Relation(id), owner))
}
