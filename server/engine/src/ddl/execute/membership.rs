//! Memberships: GRANT and REVOKE of roles, and who may give which.
//!
//! Invariant: a role is given by superusers and by those who were given the admin option on it (whoever makes a role has
//! it); a role that bypasses only by superusers; one that reaches a built-in role only by those who administer that too.

use lakeward_base::{RoleId, SqlState};
use lakeward_catalog::{CatalogError, Draft, Role, Snapshot};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, refused, warning};
use crate::ddl::Membership;
use crate::error::Error;
use crate::response::{Command, Notice};

pub(super) async fn change(context: &DdlContext<'_>, membership: &Membership) -> Result<Command, Error> {
    let tag = if membership.grant { "GRANT ROLE" } else { "REVOKE ROLE" };
    context.command(tag, |draft, actor| change_in(draft, actor, membership)).await
}

fn change_in(draft: &mut Draft, actor: &Actor, membership: &Membership) -> Edited {
    actor.must_be_granted_by(draft, membership.granted_by.as_ref())?;
    let mut notices = Vec::new();
    for name in &membership.roles {
        let role = actor::role(draft, name)?;
        must_administer(actor, draft, &role)?;
        for member in &membership.members {
            let member = actor.role(draft, member)?;
            if !change_one(draft, membership, &role, &member)? {
                notices.push(unchanged(membership.grant, &member, &role));
            }
        }
    }
    Ok(notices)
}

fn change_one(draft: &mut Draft, membership: &Membership, role: &Role, member: &Role) -> Result<bool, CatalogError> {
    match (membership.grant, membership.admin_option) {
        (true, admin) => {
            let joined = draft.grant_role(role.id, member.id)?;
            let raised = admin && draft.set_admin(role.id, member.id, true)?;
            Ok(joined || raised)
        }
        (false, true) => draft.set_admin(role.id, member.id, false),
        (false, false) => draft.revoke_role(role.id, member.id),
    }
}

fn unchanged(grant: bool, member: &Role, role: &Role) -> Notice {
    let (member, role) = (&member.name, &role.name);
    if grant {
        super::notice(format!("role \"{member}\" is already a member of role \"{role}\""))
    } else {
        warning(format!("role \"{member}\" is not a member of role \"{role}\""))
    }
}

/// See the module. PostgreSQL 16's rule: CREATEROLE alone gives no power over roles that others made.
pub(super) fn must_administer(actor: &Actor, snapshot: &Snapshot, role: &Role) -> Result<(), CatalogError> {
    if actor.superuser {
        return Ok(());
    }
    let reach = snapshot.effective_roles(role.id);
    let found = |id: &RoleId| snapshot.role(*id);
    if reach.iter().filter_map(found).any(|role| role.superuser || role.bypass_row_security) {
        return actor.must_be_superuser(&format!("grant or revoke role \"{}\"", role.name));
    }
    let closed = reach.iter().filter_map(found).filter(|reached| reached.id == role.id || reached.built_in);
    if closed.into_iter().all(|reached| snapshot.administers(&actor.roles, reached.id)) {
        return Ok(());
    }
    let message = format!("permission denied to grant or revoke role \"{}\"", role.name);
    let detail = format!("Only roles with the ADMIN option on role \"{}\" may do this.", role.name);
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_detail(detail)))
}
