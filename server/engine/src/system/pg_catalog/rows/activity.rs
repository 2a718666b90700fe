//! `pg_stat_activity`: who is connected, and what they run.
//!
//! Invariant: a statement's text is its own login's to see; superusers and operators see it with the literals taken out,
//! everybody else `<insufficient privilege>`.

use lakeward_base::Redacted;

use super::super::cell::{Cell, Rows, row};
use super::super::viewer::{DATABASE_OID, Viewer, role_oid};
use crate::activity::Seen;
use crate::functions::DATABASE;
use crate::transaction::TransactionStatus;

const ACTIVITY: &[&str] = &[
    "datid",
    "datname",
    "pid",
    "usesysid",
    "usename",
    "application_name",
    "client_addr",
    "client_port",
    "backend_start",
    "query_start",
    "state_change",
    "state",
    "query",
    "backend_type",
];

pub(super) fn pg_stat_activity(viewer: &Viewer) -> Rows {
    Rows::new(ACTIVITY, viewer.engine.activity().iter().map(|seen| activity_row(viewer, seen)))
}

fn activity_row(viewer: &Viewer, seen: &Seen) -> Vec<Cell> {
    let own = !viewer.simulated && viewer.principal.session_role == seen.role;
    let member = viewer.principal.effective_roles.contains(&seen.role);
    let privileged = !viewer.simulated && (own || viewer.is_operator() || member);
    let (address, port) = seen.client_addr.rsplit_once(':').unwrap_or((&seen.client_addr, ""));
    let since = seen.latest.as_ref().map(|(since, ..)| since.timestamp_micros());
    let query = match &seen.latest {
        _ if !privileged => "<insufficient privilege>".to_owned(),
        Some((_, text, _)) if own => Redacted::expose(text).clone(),
        Some((_, _, normalized)) => normalized.clone(),
        None => String::new(),
    };
    row![
        DATABASE_OID,
        DATABASE,
        seen.process_id,
        role_oid(seen.role),
        seen.user.as_str(),
        seen.application_name.as_str(),
        privileged.then(|| address.trim_matches(['[', ']']).to_owned()),
        port.parse::<i32>().ok().filter(|_| privileged),
        privileged.then(|| seen.opened_at.timestamp_micros()),
        since.filter(|_| privileged),
        since.filter(|_| privileged),
        privileged.then(|| state(seen)),
        query,
        "client backend",
    ]
}

/// The session's own cursors.
pub(super) fn pg_cursors(viewer: &Viewer) -> Rows {
    let columns = &["name", "statement", "is_holdable", "is_binary", "is_scrollable", "creation_time"];
    let cursor = |cursor: &crate::portal::OpenCursor| {
        let at = cursor.opened_at.timestamp_micros();
        row![cursor.name.as_str(), cursor.text.expose().as_str(), false, cursor.binary, false, at]
    };
    Rows::new(columns, viewer.cursors.iter().map(cursor))
}

fn state(seen: &Seen) -> &'static str {
    match seen.transaction {
        _ if seen.running => "active",
        TransactionStatus::Idle => "idle",
        TransactionStatus::InBlock => "idle in transaction",
        TransactionStatus::Failed => "idle in transaction (aborted)",
    }
}
