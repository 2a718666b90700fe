//! `pg_cancel_backend`, `pg_terminate_backend`, `set_config`.
//!
//! Invariant: as in PostgreSQL, a session is signalled by those who act with its role's rights, by operators, and, where its
//! role is a superuser, by superusers alone.

use lakeward_base::SqlState;

use super::super::cell::Cell;
use super::super::viewer::Viewer;
use super::answer::{Argument, Known, Returns};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Known] = &[
    Known { name: "set_config", returns: Returns::Text, strict: false, body: set_config },
    // There are no advisory locks, which connection pools release.
    Known { name: "pg_advisory_unlock_all", returns: Returns::Text, strict: false, body: |_, _| Ok(Cell::from("")) },
    Known::strict("pg_cancel_backend", Returns::Truth, |viewer, given| signal(viewer, given, false)),
    Known::strict("pg_terminate_backend", Returns::Truth, |viewer, given| signal(viewer, given, true)),
];

fn set_config(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    refuse_simulated(viewer, "set_config")?;
    let [name, value, local] = arguments else {
        return Err(Error::new(
            SqlState::UNDEFINED_FUNCTION,
            "set_config takes a name, a value, and whether it is local",
        ));
    };
    let (Some(session), Some(name)) = (viewer.session.upgrade(), name.text()) else { return Ok(Cell::Null) };
    crate::execute::configure(&session, name, value.text(), local.truth().unwrap_or(false)).map(Cell::from)
}

/// A simulation only reads.
fn refuse_simulated(viewer: &Viewer, function: &str) -> Result<(), Error> {
    if viewer.simulated { Err(Error::unsupported(format!("{function} in a simulation"))) } else { Ok(()) }
}

fn signal(viewer: &Viewer, arguments: &[Argument], end: bool) -> Result<Cell, Error> {
    refuse_simulated(viewer, "a signal")?;
    let process_id = arguments.first().and_then(Argument::number).and_then(|number| i32::try_from(number).ok());
    let Some(process_id) = process_id else { return Ok(Cell::Bool(false)) };
    let Some(role) = viewer.engine.session_role(process_id) else { return Ok(Cell::Bool(false)) };
    let verb = if end { "terminate" } else { "cancel" };
    let denied = |message: String| Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
    let is_superuser = viewer.snapshot.role(role).is_some_and(|role| role.superuser);
    if is_superuser && !viewer.principal.superuser {
        return denied(format!("must be a superuser to {verb} a superuser's session"));
    }
    if !viewer.is_operator() && !viewer.principal.effective_roles.contains(&role) {
        return denied(format!("must be a member of the role whose session it is, or of operator, to {verb} it"));
    }
    Ok(Cell::Bool(viewer.engine.signal(process_id, end)))
}
