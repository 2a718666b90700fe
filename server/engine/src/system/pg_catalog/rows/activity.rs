//! `pg_stat_activity`, `system.sessions` and `system.queries`: who is connected, and what they run.
//!
//! Invariant: a statement's text is its own login's to see; superusers and operators see it with the literals taken out,
//! everybody else `<insufficient privilege>`, and in Lakeward's own views not even that the session is there.

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
    "wait_event_type",
    "wait_event",
    "state",
    "query",
    "backend_type",
];

pub(super) fn pg_stat_activity(viewer: &Viewer) -> Rows {
    Rows::new(ACTIVITY, viewer.engine.activity().iter().map(|seen| activity_row(viewer, seen)))
}

fn activity_row(viewer: &Viewer, seen: &Seen) -> Vec<Cell> {
    let privileged = may_know(viewer, seen);
    let (address, port) = seen.client_addr.rsplit_once(':').unwrap_or((&seen.client_addr, ""));
    let since = seen.latest.as_ref().map(|(since, ..)| since.timestamp_micros());
    let query = if privileged { text_of(viewer, seen) } else { "<insufficient privilege>".to_owned() };
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
        (privileged && seen.queued).then_some("Lock"),
        (privileged && seen.queued).then_some("admission"),
        privileged.then(|| state(seen)),
        query,
        "client backend",
    ]
}

/// Whose sessions the viewer may know of: its own, those of roles that it is a member of, and all for operators.
fn may_know(viewer: &Viewer, seen: &Seen) -> bool {
    let (role, principal) = (seen.role, &viewer.principal);
    principal.session_role == role || viewer.is_operator() || principal.effective_roles.contains(&role)
}

fn text_of(viewer: &Viewer, seen: &Seen) -> String {
    match &seen.latest {
        Some((_, text, _)) if viewer.principal.session_role == seen.role => Redacted::expose(text).clone(),
        Some((_, _, normalized)) => normalized.clone(),
        None => String::new(),
    }
}

/// The statements that run or wait for their turn.
pub(super) fn queries(viewer: &Viewer) -> Rows {
    let columns = &[
        "process_id",
        "user_name",
        "protocol",
        "application_name",
        "client_addr",
        "state",
        "started_at",
        "duration_ms",
        "statement_class",
        "query",
    ];
    let now = viewer.engine.shared.parts.clock.now();
    let known = viewer.engine.activity().into_iter().filter(|seen| seen.running && may_know(viewer, seen));
    let rows = known.map(|seen| {
        let since = seen.latest.as_ref().map(|(since, ..)| *since);
        let taken = since.map(|since| (now - since).num_milliseconds());
        row![
            seen.process_id,
            seen.user.as_str(),
            seen.protocol,
            seen.application_name.as_str(),
            seen.client_addr.as_str(),
            if seen.queued { "queued" } else { "running" },
            since.map(|since| since.timestamp_micros()),
            taken,
            seen.class,
            text_of(viewer, &seen),
        ]
    });
    Rows::new(columns, rows.collect::<Vec<_>>())
}

/// The open sessions.
pub(super) fn sessions(viewer: &Viewer) -> Rows {
    let columns = &[
        "process_id",
        "user_name",
        "auth_method",
        "protocol",
        "application_name",
        "client_addr",
        "opened_at",
        "state",
        "last_statement_at",
    ];
    let known = viewer.engine.activity().into_iter().filter(|seen| may_know(viewer, seen));
    let rows = known.map(|seen| {
        row![
            seen.process_id,
            seen.user.as_str(),
            seen.auth_method,
            seen.protocol,
            seen.application_name.as_str(),
            seen.client_addr.as_str(),
            seen.opened_at.timestamp_micros(),
            if seen.queued { "queued" } else { state(&seen) },
            seen.latest.as_ref().map(|(since, ..)| since.timestamp_micros()),
        ]
    });
    Rows::new(columns, rows.collect::<Vec<_>>())
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
