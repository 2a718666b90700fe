//! The token that a statement carries: [`Audit<Received>`] from its arrival, [`Audit<Begun>`] once its record is queued.
//!
//! Whoever runs a statement takes `Audit<Begun>` by value; there is no other way to get one than [`Audit::begin`].
//!
//! Invariant: every token leaves exactly one last record, also when it is dropped by an error, a cancel or a panic.

use std::collections::HashSet;
use std::fmt;
use std::mem::take;
use std::sync::Arc;
use std::time::Instant;

use lakeward_base::{Epoch, SqlState, StatementId};
use lakeward_proto::{
    AuditDecision, AuditDisclosure, AuditObject, AuditParameter, AuditPhase, AuditRecord, AuditStatement,
    AuditStatementText,
};

use crate::durable::Durable;
use crate::error::AuditError;
use crate::facts::{Asked, BeginFacts, Outcome, SubjectFacts, Who};
use crate::keys::TOKEN_BYTES;
use crate::log::Shared;

/// Records that a token may make in all: BEGIN and END.
const RECORDS_PER_TOKEN: usize = 2;
/// Different values of one statement that are told by tokens.
const MAX_VALUES: usize = 10_000;
const NOT_LISTED: &str = "more subjects than are listed: rebuild them from the text, the versions and the policy epoch";

/// Bytes of a statement's text that are kept, and of its parameters' values in all: a record has room for both.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// A text, or where it is longer than `room` its beginning, its length and the SHA-256 of all of it.
fn excerpt(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let start = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("{start} … ({} bytes, SHA-256 {})", text.len(), hex::encode(digest))
}

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
            statement.record.statement = Some(AuditStatement {
                class: class.to_owned(),
                sql_normalized: excerpt(sql_normalized, MAX_TEXT_BYTES),
                ..AuditStatement::default()
            });
        }
    }

    /// Says what the statement is in full: sealed and as tokens, it goes into the statement's first record. To be called
    /// after [`describe`](Self::describe).
    ///
    /// # Errors
    /// [`AuditError::Keys`]: then nothing may run.
    pub fn ask(&mut self, asked: &Asked<'_>) -> Result<(), AuditError> {
        let Some(Statement { log, record, .. }) = &mut self.statement else { return Ok(()) };
        let Some(statement) = &mut record.statement else { return Ok(()) };
        let mut known = HashSet::new();
        let values = asked.literals.iter().chain(asked.parameters.iter().flatten());
        statement.values_over = asked.more;
        for token in values.flat_map(|value| log.tokens.of_value(value)) {
            if known.len() == MAX_VALUES {
                statement.values_over = true;
                break;
            }
            if known.insert(token) {
                statement.value_tokens.extend(token);
            }
        }
        let mut room = MAX_TEXT_BYTES;
        let kept = |value: &Option<String>| {
            let value = value.as_ref().map(|value| excerpt(value, room));
            room = room.saturating_sub(value.as_ref().map_or(0, String::len));
            AuditParameter { value }
        };
        let parameters = asked.parameters.iter().map(kept).collect();
        let text = AuditStatementText { sql: excerpt(asked.sql, MAX_TEXT_BYTES), parameters };
        let at_us = log.clock.now().timestamp_micros();
        statement.sealed = Some(log.sealer.seal(&text, &record.statement_id, at_us)?);
        Ok(())
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
        statement.record.break_glass = facts.break_glass.unwrap_or_default();
        statement.record.policy_epoch = Some(facts.policy_epoch.0);
        if !statement.log.healthy() {
            statement.record.decision = AuditDecision::Deny.into();
            statement.log.refuse();
            statement.finish(AuditPhase::Denied, SqlState::IO_ERROR);
            return Err(AuditError::Unavailable);
        }
        statement.record.decision = AuditDecision::Allow.into();
        let in_full =
            statement.record.statement.as_mut().map(|asked| (asked.sealed.take(), take(&mut asked.value_tokens)));
        let mut begin = statement.record.clone();
        begin.phase = AuditPhase::Begin.into();
        if let (Some(asked), Some(in_full)) = (&mut begin.statement, in_full) {
            (asked.sealed, asked.value_tokens) = in_full;
        }
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

    /// Says whose rows were read for what has left; END tells it.
    pub fn disclosed(&mut self, tables: Vec<SubjectFacts>) {
        let Some(Statement { log, record, .. }) = &mut self.statement else { return };
        if tables.is_empty() {
            return;
        }
        let (mut all, mut over) = (HashSet::new(), false);
        for table in tables {
            let mut tokens = Vec::with_capacity(table.subjects.len() * TOKEN_BYTES);
            for token in table.subjects.iter().map(|subject| log.tokens.of_subject(subject)) {
                tokens.extend(token);
                all.insert(token);
            }
            over |= table.over;
            let SubjectFacts { object, version, over, .. } = table;
            record.disclosures.push(AuditDisclosure { object, version, tokens, over });
        }
        record.subjects = (!over || !all.is_empty()).then_some(all.len() as u64);
        if over {
            NOT_LISTED.clone_into(&mut record.detail);
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
