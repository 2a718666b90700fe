//! The token that a statement carries: [`Audit<Received>`] from its arrival, [`Audit<Begun>`] once its record is queued.
//!
//! Whoever runs a statement takes `Audit<Begun>` by value; there is no other way to get one than [`Audit::begin`].
//!
//! Invariant: every token leaves exactly one last record, also when it is dropped by an error, a cancel or a panic.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use lakeward_base::{Epoch, SqlState, StatementId};
use lakeward_proto::{AuditDecision, AuditObject, AuditPhase, AuditRecord, AuditStatement};

use crate::durable::Durable;
use crate::error::AuditError;
use crate::facts::{BeginFacts, Outcome, Who};
use crate::log::Shared;

/// Records that a token may make in all: BEGIN and END.
const RECORDS_PER_TOKEN: usize = 2;

/// A statement's token. Its last record is written when it is dropped, at the latest.
pub struct Audit<S: Stage> {
    statement: Option<Statement>,
    stage: S,
}

/// How far a statement has come.
pub trait Stage: sealed::Sealed {}

/// The statement has arrived; nothing of it may run.
pub struct Received(());

/// The statement's BEGIN record is queued; it may run, but no row may leave before [`Audit::durable`].
pub struct Begun {
    durable: Durable,
}

mod sealed {
    use lakeward_proto::AuditPhase;

    pub trait Sealed {
        /// The phase of the record that a dropped token leaves.
        const DROPPED: AuditPhase;
    }

    impl Sealed for super::Received {
        const DROPPED: AuditPhase = AuditPhase::Received;
    }

    impl Sealed for super::Begun {
        const DROPPED: AuditPhase = AuditPhase::End;
    }
}

impl Stage for Received {}
impl Stage for Begun {}

/// What every record of a statement repeats.
struct Statement {
    log: Arc<Shared>,
    id: StatementId,
    received: Instant,
    record: Box<AuditRecord>,
    promised: usize,
}

impl Statement {
    /// Queues the last record.
    fn finish(mut self, phase: AuditPhase, sqlstate: SqlState) {
        self.record.phase = phase.into();
        self.record.sqlstate = sqlstate.as_str().to_owned();
        self.record.duration_ms = Some(self.received.elapsed().as_secs_f64() * 1e3);
        self.log.record(self.record, None, self.promised);
    }
}

impl Audit<Received> {
    pub(crate) fn receive(log: Arc<Shared>, who: &Who) -> Result<Self, AuditError> {
        log.queue.promise(RECORDS_PER_TOKEN)?;
        let id = StatementId::generate();
        let record = Box::new(AuditRecord {
            statement_id: id.0.as_bytes().to_vec(),
            who: Some(who.stored()),
            ..AuditRecord::default()
        });
        let statement = Statement { log, id, received: Instant::now(), record, promised: RECORDS_PER_TOKEN };
        Ok(Self { statement: Some(statement), stage: Received(()) })
    }

    /// Says what the statement is: its class (`SELECT`), and its text with every literal replaced.
    pub fn describe(&mut self, class: &str, sql_normalized: &str) {
        if let Some(statement) = &mut self.statement {
            statement.record.statement =
                Some(AuditStatement { class: class.to_owned(), sql_normalized: sql_normalized.to_owned() });
        }
    }

    /// The statement was refused, or failed before it could run.
    pub fn deny(mut self, sqlstate: SqlState, policy_epoch: Epoch) {
        if let Some(mut statement) = self.statement.take() {
            statement.record.policy_epoch = Some(policy_epoch.0);
            statement.record.decision = AuditDecision::Deny.into();
            statement.finish(AuditPhase::Denied, sqlstate);
        }
    }

    /// The statement is about to run: queues BEGIN. Errs where the log has become unavailable since; the refusal is
    /// recorded.
    pub fn begin(mut self, facts: BeginFacts) -> Result<Audit<Begun>, AuditError> {
        let Some(mut statement) = self.statement.take() else { return Err(AuditError::Closed) };
        statement.record.objects = BeginFacts::stored_objects(facts.objects);
        statement.record.policies = facts.policies;
        statement.record.bypass = facts.bypass;
        statement.record.policy_epoch = Some(facts.policy_epoch.0);
        if !statement.log.healthy() {
            statement.record.decision = AuditDecision::Deny.into();
            statement.log.refuse();
            statement.finish(AuditPhase::Denied, SqlState::IO_ERROR);
            return Err(AuditError::Unavailable);
        }
        statement.record.decision = AuditDecision::Allow.into();
        let mut begin = statement.record.clone();
        begin.phase = AuditPhase::Begin.into();
        let durable = Durable::new();
        statement.log.record(begin, Some(durable.clone()), 1);
        statement.promised -= 1;
        Ok(Audit { statement: Some(statement), stage: Begun { durable } })
    }
}

impl Audit<Begun> {
    /// Resolves once BEGIN is on the disk. An error means that no row may leave (58030).
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.stage.durable.clone()
    }

    /// A commit was made: END tells the version that it became.
    pub fn committed(&mut self, object: &str, version: i64) {
        let Some(statement) = &mut self.statement else { return };
        let objects = &mut statement.record.objects;
        match objects.iter_mut().find(|known| known.name == object && known.version.is_none()) {
            Some(known) => known.version = Some(version),
            None => {
                objects.push(AuditObject { name: object.to_owned(), version: Some(version), ..AuditObject::default() })
            }
        }
    }

    /// The statement ended: queues END.
    pub fn end(mut self, outcome: Outcome) {
        if let Some(mut statement) = self.statement.take() {
            statement.record.rows = Some(outcome.rows);
            statement.record.bytes = Some(outcome.bytes);
            statement.finish(AuditPhase::End, outcome.sqlstate);
        }
    }
}

impl<S: Stage> Audit<S> {
    /// Identifies this execution in `system.audit`.
    #[must_use]
    pub fn statement_id(&self) -> StatementId {
        self.statement.as_ref().map_or(StatementId(uuid::Uuid::nil()), |statement| statement.id)
    }
}

impl<S: Stage> Drop for Audit<S> {
    fn drop(&mut self) {
        if let Some(statement) = self.statement.take() {
            statement.finish(S::DROPPED, SqlState::QUERY_CANCELED);
        }
    }
}

impl<S: Stage> fmt::Debug for Audit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audit").field(&self.statement_id()).finish()
    }
}
