//! `EXECUTE AS ROLE`: who may run a query as somebody else, and who they are then.
//!
//! The simulated role is both `current_user` and `session_user`, as after SET SESSION AUTHORIZATION, so that it is shown
//! what the role itself would be shown; the audit keeps who asked. Invariants: a simulation is for superusers and members
//! of `policy_admin`; it never reaches what is not a policy's to give: SUPERUSER, BYPASSRLS, a built-in role, or a keyed
//! function that the one who asks does not hold, too. No attribute of the one who asks is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_audit::ObjectFacts;
use lakeward_base::{Redacted, SqlState};
use lakeward_catalog::{POLICY_ADMIN, Role, Snapshot};
use lakeward_govern::Principal;

use crate::error::Error;
use crate::session::may_state;
use crate::statement::Simulation;

/// The principal of a simulation that `asking` asks for.
///
/// # Errors
/// 42501 where it may not, 42704 for an unknown role.
pub(crate) fn principal(snapshot: &Snapshot, asking: &Principal, wanted: &Simulation) -> Result<Principal, Error> {
    require(asking)?;
    let missing = || Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{}\" does not exist", wanted.role));
    let role = snapshot.role_by_name(&wanted.role).ok_or_else(missing)?;
    may_act_as(snapshot, asking, role)?;
    let simulated = of_role(snapshot, role, &wanted.attributes, asking.purpose.clone());
    may_state(snapshot, role.id, simulated.purpose.as_deref())?;
    Ok(simulated)
}

/// `42501` for who may not simulate.
pub(crate) fn require(asking: &Principal) -> Result<(), Error> {
    if asking.superuser || asking.role_names.contains(POLICY_ADMIN) {
        return Ok(());
    }
    let error = Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied to act as another role");
    Err(error.with_hint("EXECUTE AS ROLE and policy tests are for members of policy_admin."))
}

/// Whether `asking` may run queries as `role`.
///
/// # Errors
/// 42501 where it may not.
pub(crate) fn may_act_as(snapshot: &Snapshot, asking: &Principal, role: &Role) -> Result<(), Error> {
    require(asking)?;
    if asking.superuser {
        return Ok(());
    }
    let denied = |why: &str| {
        let message = format!("permission denied to act as role \"{}\"", role.name);
        Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_detail(why.to_owned()))
    };
    if role.superuser || (role.bypass_row_security && !asking.bypass_row_security) {
        return denied("It bypasses policies.");
    }
    let beyond = snapshot.effective_roles(role.id).into_iter().filter(|id| !asking.effective_roles.contains(id));
    let built_in = beyond.filter_map(|id| snapshot.role(id)).any(|role| role.built_in);
    if built_in { denied("It holds a built-in role that you do not hold.") } else { Ok(()) }
}

/// A role as its own sessions are, with these attributes over its own.
pub(crate) fn of_role(
    snapshot: &Snapshot,
    role: &Arc<Role>,
    attributes: &BTreeMap<String, Redacted<String>>,
    purpose: Option<String>,
) -> Principal {
    let effective_roles = snapshot.effective_roles(role.id);
    let names = effective_roles.iter().filter_map(|id| snapshot.role(*id)).map(|role| role.name.clone());
    let mut all = role.attributes.clone();
    all.extend(attributes.iter().map(|(name, value)| (name.clone(), value.expose().clone())));
    Principal {
        session_user: role.name.clone(),
        current_user: role.name.clone(),
        session_role: role.id,
        current_role: role.id,
        role_names: names.collect(),
        effective_roles,
        attributes: all,
        superuser: role.superuser,
        bypass_row_security: role.bypass_row_security,
        purpose,
        // Whose glass was broken is who broke it.
        glass: None,
    }
}

/// What the audit keeps of it besides who asked.
pub(crate) fn object(role: &str) -> ObjectFacts {
    ObjectFacts { name: format!("role {role}"), ..ObjectFacts::default() }
}
