//! BREAK GLASS: one subject's rows, opened in an emergency, for one session, for some hours.
//!
//! The catalog's log keeps every use, before the session may use it, and what somebody else said of it afterwards.
//! Invariants: a session's glass is asked of the catalog for every statement; whoever opened one does not review it.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use lakeward_base::{Redacted, RoleId, SqlState};
use lakeward_catalog::{BreakGlass, CatalogError, Draft, POLICY_ADMIN, Review, Snapshot};
use lakeward_govern::Principal;
use uuid::Uuid;

use crate::ddl::Opening;
use crate::error::Error;
use crate::response::{Command, Notice};
use crate::vantage::Vantage;

/// Who is told before the glass is broken, where that is demanded ([`Engine::demand_witness`](crate::Engine::demand_witness)).
#[async_trait]
pub trait GlassWitness: fmt::Debug + Send + Sync {
    /// Whether the witness has taken notice of what is about to be opened.
    async fn sees_opening(&self, opening: &BreakGlass) -> bool;
}

/// How long it is open where nothing is said.
const DEFAULT_MINUTES: i64 = 60;
/// How long it may be open.
const LONGEST_MINUTES: i64 = 4 * 60;

/// What a session keeps of the glass that it has broken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) id: Uuid,
    /// The role that acted: another one has no part in it.
    pub(crate) role: RoleId,
}

/// BREAK GLASS FOR SUBJECT …
///
/// # Errors
/// 42501 without the grant, 22023 for a reason or a time that will not do, 55000 where it is broken already, 58030 where it
/// cannot be recorded, or a witness is demanded and does not see it.
pub(crate) async fn open(vantage: &Vantage, opening: &Opening) -> Result<Command, Error> {
    let (session, principal) = (&vantage.session, &vantage.principal);
    let parts = &session.engine().shared.parts;
    if session.glass(&vantage.snapshot).is_some() {
        let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the glass is broken already");
        return Err(error.with_hint("END BREAK GLASS first."));
    }
    must_say_something("reason", &opening.reason)?;
    let now = parts.clock.now();
    let expires_at = now + lasting(opening.micros)?;
    let opened = BreakGlass {
        id: Uuid::now_v7(),
        login: principal.session_role,
        user_name: principal.session_user.clone(),
        role: principal.current_role,
        subject: opening.subject.clone(),
        reason: opening.reason.clone(),
        ticket: opening.ticket.clone(),
        opened_at: now,
        expires_at,
        ended_at: None,
        review: None,
    };
    may_open(&vantage.snapshot, principal).map_err(|error| Error::from_coded(&error))?;
    if let Some(witness) = session.engine().shared.glass_witness.get()
        && !witness.sees_opening(&opened).await
    {
        let error = Error::new(SqlState::IO_ERROR, "the glass is not broken: the notice of it could not be delivered");
        return Err(error.with_hint("Tell an operator: the receiver of the notices does not answer."));
    }
    let entered = parts.catalog.change(&principal.session_user, |draft| {
        may_open(draft, principal)?;
        draft.open_break_glass(opened.clone())
    });
    entered.await.map_err(|error| Error::from_coded(&error))?;
    session.hold_glass(Held { id: opened.id, role: opened.role });
    tracing::warn!(id = %opened.id, role = %opened.login, "the glass was broken for a subject");
    let message = format!("break glass {} is open until {}, and until it is reviewed", opened.id, shown(expires_at));
    Ok(command("BREAK GLASS", Some(message)))
}

fn may_open(snapshot: &Snapshot, principal: &Principal) -> Result<(), CatalogError> {
    let superuser = snapshot.role(principal.current_role).is_some_and(|role| role.superuser);
    if superuser || snapshot.may_break_glass(&snapshot.effective_roles(principal.current_role)) {
        return Ok(());
    }
    Err(refused("permission denied to break the glass", "It needs GRANT BREAK GLASS."))
}

/// END BREAK GLASS: whatever becomes of the record, it is over in this session.
///
/// # Errors
/// 55000 where none is broken, 58030.
pub(crate) async fn end(vantage: &Vantage) -> Result<Command, Error> {
    let session = &vantage.session;
    let parts = &session.engine().shared.parts;
    let Some(held) = session.drop_glass() else {
        let message = "no glass is broken in this session";
        return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
    };
    let now = parts.clock.now();
    let entered = parts.catalog.change(&vantage.principal.session_user, |draft| draft.end_break_glass(held.id, now));
    entered.await.map_err(|error| Error::from_coded(&error))?;
    Ok(command("END BREAK GLASS", None))
}

/// REVIEW BREAK GLASS: by a policy administrator who did not open it.
///
/// # Errors
/// 42501, 22P02 for what is no number of one, 42704 where there is none, 55000 where it was reviewed.
pub(crate) async fn review(
    vantage: &Vantage,
    id: &Redacted<String>,
    note: &Redacted<String>,
) -> Result<Command, Error> {
    let principal = &vantage.principal;
    let parts = &vantage.session.engine().shared.parts;
    must_say_something("note", note)?;
    let wrong = |_| Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type uuid");
    let id: Uuid = id.expose().trim().parse().map_err(wrong)?;
    let review = Review { by: principal.session_user.clone(), at: parts.clock.now(), note: note.clone() };
    let entered = parts.catalog.change(&principal.session_user, |draft| {
        may_review(draft, principal, id)?;
        draft.review_break_glass(id, review.clone())
    });
    entered.await.map_err(|error| Error::from_coded(&error))?;
    Ok(command("REVIEW BREAK GLASS", None))
}

fn may_review(draft: &Draft, principal: &Principal, id: Uuid) -> Result<(), CatalogError> {
    let superuser = draft.role(principal.current_role).is_some_and(|role| role.superuser);
    let roles = draft.effective_roles(principal.current_role);
    let admin = draft.role_by_name(POLICY_ADMIN).is_some_and(|admin| admin.built_in && roles.contains(&admin.id));
    if !superuser && !admin {
        return Err(refused("permission denied to review BREAK GLASS", "Only members of policy_admin may."));
    }
    let missing = || Error::new(SqlState::UNDEFINED_OBJECT, "there is no BREAK GLASS of this number");
    let opened = draft.break_glass(id).ok_or_else(|| CatalogError::refused(missing()))?;
    if opened.login == principal.session_role {
        return Err(refused("permission denied to review one's own BREAK GLASS", "Another policy_admin must."));
    }
    if opened.review.is_some() {
        let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "it was reviewed already");
        return Err(CatalogError::refused(error));
    }
    Ok(())
}

/// How long it is to last.
fn lasting(micros: Option<i64>) -> Result<Duration, Error> {
    let lasting = micros.map_or(Duration::minutes(DEFAULT_MINUTES), Duration::microseconds);
    if lasting > Duration::zero() && lasting <= Duration::minutes(LONGEST_MINUTES) {
        return Ok(lasting);
    }
    let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, "the glass cannot be broken for this long");
    Err(error.with_hint("The interval is positive, and at most 4 hours."))
}

fn must_say_something(what: &str, text: &Redacted<String>) -> Result<(), Error> {
    if text.expose().trim().is_empty() {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("the {what} is empty")));
    }
    Ok(())
}

fn refused(message: &str, hint: &'static str) -> CatalogError {
    CatalogError::refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(hint))
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn command(tag: &str, message: Option<String>) -> Command {
    let notice = message.map(|message| Notice { severity: "NOTICE", sqlstate: SqlState::SUCCESS, message });
    Command { tag: tag.to_owned(), notices: notice.into_iter().collect(), ..Command::default() }
}
