//! What a server finds when it opens a log: whether the last one closed it, what is torn or missing, which statements
//! never said how they ended. And the reaper: the records that say so.
//!
//! Invariant: only what no head vouches for is ever cut off, or what cannot be a record any more; evidence of a change is
//! left as it is, and recorded.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use lakeward_proto::{AuditPhase, AuditRecord, AuditRecordKey, AuditRecovery};
use prost::Message;

use crate::error::AuditError;
use crate::head::{self, Head};
use crate::keys::PublicKey;
use crate::log::{Tip, plain_record};
use crate::merkle::Tree;
use crate::segment::{self, Chain, Opening, SegmentReader};
use crate::storage::Storage;
use crate::walk::{Fault, FaultKind, MAX_GAP, Visit, Walk, Walked};

/// What was found when the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// There was no log before.
    pub first_start: bool,
    /// The last server closed the log, and nothing is missing.
    pub clean: bool,
    /// Bytes of unfinished records that were cut off.
    pub torn_bytes: u64,
    /// Durable records that are gone.
    pub missing_records: u64,
    /// The head file was gone or unreadable.
    pub head_missing: bool,
    /// The log contradicts itself or its head.
    pub altered: bool,
    /// Statements that began and never said how they ended: taken as disclosed.
    pub unknown_outcomes: u64,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first_start {
            return f.write_str("new audit log");
        }
        f.write_str(if self.clean { "audit log was closed cleanly" } else { "audit log was not closed cleanly" })?;
        if self.torn_bytes > 0 {
            write!(f, "; {} bytes of an unfinished record were cut off", self.torn_bytes)?;
        }
        if self.missing_records > 0 {
            write!(f, "; {} durable records are missing", self.missing_records)?;
        }
        if self.head_missing {
            f.write_str("; its head is missing or unreadable")?;
        }
        if self.altered {
            f.write_str("; it was altered")?;
        }
        if self.unknown_outcomes > 0 {
            write!(f, "; statements of unknown outcome, assume disclosed: {}", self.unknown_outcomes)?;
        }
        Ok(())
    }
}

/// A look at the log before it is continued.
pub(crate) struct Survey {
    segments: Vec<u64>,
    head: Head,
    walked: Walked,
    orphans: HashMap<Vec<u8>, Orphan>,
    last_length: u64,
}

/// A BEGIN without an END.
struct Orphan {
    segment: u64,
    begin: AuditRecord,
}

impl Survey {
    /// Looks at the log in `directory`, as far back as a statement may be open.
    pub(crate) fn of(directory: &Path, key: &PublicKey) -> Result<Self, AuditError> {
        let failed = |source| AuditError::file("read", directory)(source);
        let segments = segment::list(directory).map_err(failed)?;
        let mut head = head::read(directory).map_err(failed)?;
        if matches!(&head, Head::Is(head) if !head.signature.is_empty() && !head::is_signed(head, key)) {
            head = Head::Altered;
        }
        let start = first_of_interest(directory, &segments, &head)?;
        let recent: Vec<u64> = segments.iter().copied().filter(|number| *number >= start).collect();
        let mut orphans = HashMap::new();
        let mut visit = |visit: &Visit<'_>| {
            note_statement(&mut orphans, visit.segment, visit.key, visit.record);
            None
        };
        let mut walked = Walk::from_segment(directory, &head).run(&recent, &mut visit).map_err(failed)?;
        if walked.tree.is_none() && walked.fault.is_none() {
            // An older server's segments do not tell of the tree.
            walked = Walk::from_start(directory, &head).run(&segments, &mut visit).map_err(failed)?;
        }
        let beyond = head.covers().map_or(0, |head| head.seq).saturating_sub(walked.chain.seq) > MAX_GAP;
        if beyond || (walked.signs && is_unsigned(&head)) {
            head = Head::Altered;
        }
        let mut survey = Self { segments, head, walked, orphans, last_length: 0 };
        survey.last_length = survey.length_of_last(directory)?;
        Ok(survey)
    }

    /// Cuts off what a crash left at the end.
    pub(crate) fn repair(&mut self, storage: &dyn Storage, directory: &Path) -> Result<(), AuditError> {
        let Some(Fault { segment, offset, kind: FaultKind::Torn { .. }, .. }) = self.walked.fault else {
            return Ok(());
        };
        let path = segment::path_of(directory, segment);
        if offset == 0 {
            storage.remove(&path).map_err(AuditError::file("remove", &path))?;
            storage.sync_directory(directory).map_err(AuditError::file("write", directory))?;
            self.segments.retain(|number| *number != segment);
        } else {
            storage.truncate(&path, offset).map_err(AuditError::file("repair", &path))?;
        }
        self.last_length = self.length_of_last(directory)?;
        Ok(())
    }

    /// Whether there was no log at all.
    pub(crate) fn first_start(&self) -> bool {
        self.segments.is_empty() && self.walked.fault.is_none() && matches!(self.head, Head::Missing)
    }

    /// The number of the segment to begin with.
    pub(crate) fn next_segment(&self) -> u64 {
        self.segments.last().copied().unwrap_or(0) + 1
    }

    /// The record to continue from. Numbers that the head vouches for are not used again.
    pub(crate) fn continues_from(&self) -> Chain {
        Chain { seq: self.walked.chain.seq + self.missing_records(), hash: self.walked.chain.hash }
    }

    /// The tree over the records up to there.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = self.walked.tree.clone().unwrap_or_default();
        tree.pad(self.continues_from().seq);
        tree
    }

    /// Whether the head is of a server that did not sign it.
    pub(crate) fn head_is_unsigned(&self) -> bool {
        is_unsigned(&self.head)
    }

    /// Statements that are open, with the segments that they began in.
    pub(crate) fn open_statements(&self) -> HashMap<Vec<u8>, u64> {
        self.orphans.iter().map(|(id, orphan)| (id.clone(), orphan.segment)).collect()
    }

    /// How far the log is durable.
    pub(crate) fn tip(&self) -> Tip {
        let segment = self.segments.last().copied().unwrap_or(0);
        let (chain, root) = (self.continues_from(), self.tree().root());
        Tip { segment, length: self.last_length, chain, root, closed: false }
    }

    /// What to tell the operator.
    pub(crate) fn recovery(&self) -> Recovery {
        let torn_bytes = self.torn_bytes();
        let (missing_records, head_missing, altered) = (self.missing_records(), self.head_missing(), self.altered());
        let whole = torn_bytes == 0 && missing_records == 0 && !head_missing && !altered;
        Recovery {
            first_start: self.first_start(),
            clean: self.first_start() || (whole && self.walked.closed),
            torn_bytes,
            missing_records,
            head_missing,
            altered,
            unknown_outcomes: self.orphans.len() as u64,
        }
    }

    /// The first records of the new start: what was found, the start itself, and one for each statement whose outcome is
    /// unknown.
    #[expect(clippy::vec_box, reason = "records stand in boxes in the queue that takes them")]
    pub(crate) fn into_records(self) -> Vec<Box<AuditRecord>> {
        let recovery = self.recovery();
        let mut records = Vec::with_capacity(self.orphans.len() + 2);
        if !recovery.clean {
            let mut found = plain_record(AuditPhase::Recovered, "RECOVERY", &recovery.to_string());
            found.recovery = Some(self.found());
            records.push(found);
        }
        records.push(plain_record(AuditPhase::Admin, "START", ""));
        let mut orphans: Vec<AuditRecord> = self.orphans.into_values().map(|orphan| orphan.begin).collect();
        orphans.sort_by_key(|begin| begin.seq);
        records.extend(orphans.into_iter().map(|mut record| {
            record.phase = AuditPhase::Recovered.into();
            if let Some(asked) = &mut record.statement {
                // It stands in its BEGIN.
                (asked.sealed, asked.value_tokens) = (None, Vec::new());
            }
            record.detail = "outcome unknown: assume disclosed".to_owned();
            Box::new(record)
        }));
        records
    }

    fn found(&self) -> AuditRecovery {
        let head = self.head.covers().unwrap_or_default();
        AuditRecovery {
            head_seq: head.seq,
            head_hash: head.hash.to_vec(),
            last_seq: self.walked.chain.seq,
            last_hash: self.walked.chain.hash.to_vec(),
            torn_bytes: self.torn_bytes(),
            missing_records: self.missing_records(),
            head_missing: self.head_missing(),
            altered: self.altered(),
        }
    }

    fn torn_bytes(&self) -> u64 {
        match self.walked.fault {
            Some(Fault { kind: FaultKind::Torn { bytes, .. }, .. }) => bytes,
            Some(Fault { kind: FaultKind::Altered(_), .. }) | None => 0,
        }
    }

    fn missing_records(&self) -> u64 {
        self.head.covers().map_or(0, |head| head.seq.saturating_sub(self.walked.chain.seq))
    }

    fn head_missing(&self) -> bool {
        !matches!(self.head, Head::Is(_)) && !self.first_start()
    }

    fn altered(&self) -> bool {
        matches!(self.walked.fault, Some(Fault { kind: FaultKind::Altered(_), .. }))
    }

    fn length_of_last(&self, directory: &Path) -> Result<u64, AuditError> {
        let Some(last) = self.segments.last() else { return Ok(0) };
        let path = segment::path_of(directory, *last);
        fs::metadata(&path).map(|status| status.len()).map_err(AuditError::file("read", &path))
    }
}

/// The first segment that must be read: where the oldest open statement of the last server began, or where the head is.
fn first_of_interest(directory: &Path, segments: &[u64], head: &Head) -> Result<u64, AuditError> {
    let mut oldest = None;
    for number in segments.iter().rev() {
        let path = segment::path_of(directory, *number);
        let opening = SegmentReader::open(&path, None).map_err(AuditError::file("read", &path))?;
        if let Opening::Ready(_, header) = opening {
            oldest = Some(header.oldest_open_segment.min(*number));
            break;
        }
    }
    let covered = if let Head::Is(head) = head { head.segment } else { u64::MAX };
    Ok(oldest.unwrap_or(0).min(covered))
}

fn is_unsigned(head: &Head) -> bool {
    matches!(head, Head::Is(head) if head.signature.is_empty())
}

/// Keeps account of the statements that have begun and not ended.
fn note_statement(orphans: &mut HashMap<Vec<u8>, Orphan>, segment: u64, key: &AuditRecordKey, record: &[u8]) {
    if key.phase != i32::from(AuditPhase::Begin) {
        orphans.remove(&key.statement_id);
    } else if let Ok(begin) = AuditRecord::decode(record) {
        orphans.insert(key.statement_id.clone(), Orphan { segment, begin });
    }
}
