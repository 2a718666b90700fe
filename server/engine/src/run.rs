//! The way of every statement, on every protocol: received, parsed, resolved, decided, planned, begun, started.
//!
//! Invariant: [`execute::start`] takes the audit token of a begun statement, so nothing runs unaudited; whatever is
//! refused on the way is recorded as denied.

use std::sync::Arc;

use lakeward_audit::{Audit, Received};
use lakeward_base::{Coded, SqlState};

use crate::admission::needs_slot;
use crate::cooperate::lend_thread;
use crate::error::Error;
use crate::plan::{self, Planned};
use crate::policy::Compiler;
use crate::request::Request;
use crate::response::Response;
use crate::session::Session;
use crate::sets::Sets;
use crate::statement::Kind;
use crate::stream::Deadline;
use crate::transaction::ends_implicitly;
use crate::vantage::Vantage;
use crate::{execute, in_full, pending, resolve, trace};

/// Runs one statement of a session. Dropping the future, or the rows it answers, cancels the statement.
///
/// # Errors
/// What PostgreSQL would say, under its SQLSTATE; 58030 where the statement could not be audited.
pub async fn run(session: &Arc<Session>, request: Request) -> Result<Response, Error> {
    let deadline = session.deadline();
    let runtime = session.engine().shared.parts.query_runtime.clone();
    // A client that goes away stops what is being planned, too: that looks for it.
    let gone = deadline.cancelled.clone().drop_guard();
    let stages = stages(Arc::clone(session), request, deadline.clone());
    let mut task = crate::stream::AbortOnDrop(runtime.spawn(stages));
    // Enforced out here: planning does not yield, and must not keep the client waiting.
    let finished = async { (&mut task.0).await.unwrap_or_else(|_| Err(crate::publish::incident("planning", "panic"))) };
    let outcome = deadline.enforce(finished).await;
    match &outcome {
        Ok(_) => drop(gone.disarm()),
        Err(error) if error.sqlstate() == SqlState::TRANSACTION_TIMEOUT => session.end_late(),
        Err(_) => {}
    }
    outcome
}

async fn stages(session: Arc<Session>, request: Request, deadline: Deadline) -> Result<Response, Error> {
    let mut audit = receive(&session)?;
    // Parsing and planning do not yield: whatever waits for this thread goes on elsewhere.
    lend_thread();
    match Box::pin(build(&session, &request, &mut audit, &deadline)).await {
        Ok(planned) => {
            let audit = audit.begin(planned.facts.clone()).map_err(|error| Error::from_coded(&error))?;
            Box::pin(execute::start(planned, audit, deadline)).await
        }
        Err(error) => {
            audit.deny(error.sqlstate(), session.epoch());
            session.engine().shared.tally.count(request.class(), error.sqlstate(), 0);
            Err(error)
        }
    }
}

/// Stage 1: nothing is looked at before the audit knows that somebody asked.
pub(crate) fn receive(session: &Session) -> Result<Audit<Received>, Error> {
    let who = session.who();
    session.engine().audit().receive(&who).map_err(|error| Error::from_coded(&error))
}

/// Leaves a record of a statement that a protocol has refused by itself, before there was anything to run: `class` and
/// `normalized` say which. Answers `error`, or that it could not be recorded (58030).
pub fn refuse(session: &Session, class: &'static str, normalized: &str, error: Error) -> Error {
    match receive(session) {
        Ok(mut audit) => {
            audit.describe(class, normalized);
            audit.deny(error.sqlstate(), session.epoch());
            session.engine().shared.tally.count(class, error.sqlstate(), 0);
            error
        }
        Err(unrecorded) => unrecorded,
    }
}

/// How often a statement is resolved again because the catalog has changed meanwhile.
const ATTEMPTS: usize = 5;

/// Stages 2 to 5.
async fn build(
    session: &Arc<Session>,
    request: &Request,
    audit: &mut Audit<Received>,
    deadline: &Deadline,
) -> Result<Planned, Error> {
    let statement = request.statement(session).inspect_err(|_| {
        let (class, normalized) = request.refused();
        audit.describe(class, &normalized);
    });
    let statement = match statement {
        Ok(statement) => statement,
        Err(error) => {
            in_full::tell(audit, &request.refused_in_full(), Some(request))?;
            return Err(error);
        }
    };
    audit.describe(statement.class, &statement.normalized);
    in_full::tell(audit, &statement.in_full, Some(request))?;
    if ends_implicitly(&statement.kind) {
        pending::settle_before(session, deadline).await?;
    } else if session.transaction().is_next_write(&statement.kind) {
        // A transaction has one write: the next one of a text begins another.
        pending::settle_before(session, deadline).await?;
        session.enter_text();
    }
    session.admit(&statement)?;
    let sets = Sets::of(request)?;
    sets.admit(&statement)?;
    session.transaction().settle_modes(&statement);
    let block = session.transaction().open_block();
    let running = session.begin(&statement);
    let slot = if needs_slot(&statement) { Some(session.take_turn(&running).await?) } else { None };
    // It may have been a long wait: it is decided from here on, and another call may have ended the block meanwhile.
    if session.transaction().open_block() != block {
        return Err(Error::new(
            SqlState::NO_ACTIVE_SQL_TRANSACTION,
            "the transaction block that the statement waited in has ended",
        ));
    }
    session.admit(&statement)?;
    let running = Arc::new(running);
    let mut attempt = 0;
    let (vantage, resolved) = loop {
        let mut vantage = Vantage::take(session, audit.statement_id(), &statement, deadline.cancelled.clone())?;
        (vantage.running, vantage.slot, vantage.block) = (Arc::clone(&running), slot.clone(), block);
        vantage.client = request.client_rows();
        let resolved = resolve::tables(&vantage, &statement, &sets.first).await;
        deadline.check()?;
        attempt += 1;
        match resolved {
            // Its catalog was older than what it read, and is not any more.
            Err(error)
                if error.sqlstate() == SqlState::SERIALIZATION_FAILURE
                    && attempt < ATTEMPTS
                    && session.epoch() > vantage.snapshot.epoch() => {}
            resolved => break (vantage, resolved?),
        }
    };
    if matches!(statement.kind, Kind::ExplainPolicies { .. }) {
        return trace::plan(vantage, &statement, resolved, &sets);
    }
    let compiler = Compiler { state: &vantage.state, mappings: &resolved.mappings };
    let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler)
        .map_err(|error| Error::from_coded(&error))?;
    plan::build(vantage, &statement, resolved, decision, &sets).await
}
