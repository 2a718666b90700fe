//! Walking the chain: every record of a run of segments, in order, each checked against the one before it.
//!
//! Opening a log and verifying one ask the same question and share the answer: up to where is it whole, and is what
//! follows something that a crash leaves, or something that a crash does not leave?
//!
//! Invariant: streaming; memory does not grow with the log.

use std::io;
use std::path::Path;
use std::time::Duration;

use lakeward_proto::{AuditPhase, AuditRecordKey, AuditSegmentHeader};
use prost::Message;

use crate::head::{Head, hash_from};
use crate::merkle::{Tree, leaf};
use crate::segment::{self, Chain, Frame, Hash, Opening, SegmentReader, Step};
use crate::tend::longest_silence;

/// Version of the record message from which on heads are signed.
const FIRST_SIGNING_VERSION: u32 = 2;
/// A restart that says that more records are missing is not believed: their places in the tree would have to be filled.
pub(crate) const MAX_GAP: u64 = 1 << 24;

/// A record on the way.
pub(crate) struct Visit<'a> {
    pub(crate) segment: u64,
    pub(crate) key: &'a AuditRecordKey,
    pub(crate) record: &'a [u8],
    /// The tree up to it, where the walk knows what came before.
    pub(crate) tree: Option<&'a Tree>,
}

/// Looks at each record; may find one that contradicts the log.
pub(crate) type Visitor<'a> = dyn FnMut(&Visit<'_>) -> Option<&'static str> + 'a;

/// A heartbeat is measured a moment before it is recorded.
const EXPLANATION_SLACK_MS: u64 = 5_000;

/// A time without a record that no heartbeat has explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    /// The record before it.
    pub(crate) after_seq: u64,
    pub(crate) ms: u64,
}

/// Whether the log was alive all the time: a heartbeat comes each minute, or says later why it did not.
#[derive(Default)]
struct Pulse {
    /// Zero where the segment does not tell.
    heartbeat: Duration,
    /// The server's start that the last record is of, its number and its time.
    boot_id: Vec<u8>,
    last: Option<(u64, i64)>,
    /// Waits for a heartbeat that explains it.
    pending: Option<Silence>,
    unexplained: Option<Silence>,
}

impl Pulse {
    fn note(&mut self, key: &AuditRecordKey) {
        let before = self.last.replace((key.seq, key.at_us));
        if self.boot_id != key.boot_id {
            // Of a server that was not running nothing is expected.
            self.unexplained = self.unexplained.or(self.pending.take());
            self.boot_id.clone_from(&key.boot_id);
            return;
        }
        let Some((after_seq, at_us)) = before else { return };
        let silence = Duration::from_micros(u64::try_from(key.at_us.saturating_sub(at_us)).unwrap_or(0));
        if !self.heartbeat.is_zero() && silence > longest_silence(self.heartbeat) {
            let ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
            self.unexplained = self.unexplained.or(self.pending.replace(Silence { after_seq, ms }));
        }
        let explains = key.standstill_ms.saturating_add(if key.standstill_ms > 0 { EXPLANATION_SLACK_MS } else { 0 });
        if self.pending.is_some_and(|silence| explains >= silence.ms) {
            self.pending = None;
        }
    }

    fn silence(&self) -> Option<Silence> {
        self.unexplained.or(self.pending)
    }
}

/// Where a walk ended before the log did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The record that should stand there.
    pub(crate) seq: u64,
    pub(crate) kind: FaultKind,
}

/// What was found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// What a crash leaves, at the very end.
    Torn { bytes: u64, garbled: bool },
    /// What no crash leaves.
    Altered(&'static str),
}

/// What a walk found.
#[derive(Debug, Clone)]
pub(crate) struct Walked {
    /// The last good record.
    pub(crate) chain: Chain,
    /// Records that were checked.
    pub(crate) records: u64,
    /// Whether the last of them closed the log.
    pub(crate) closed: bool,
    /// The tree over the records so far; `None` where the walk began in a segment that does not tell of it.
    pub(crate) tree: Option<Tree>,
    /// Whether there are records of a server that signs heads.
    pub(crate) signs: bool,
    /// The first time that the log was silent for too long without saying why.
    pub(crate) silence: Option<Silence>,
    pub(crate) fault: Option<Fault>,
}

/// A walk on its way.
pub(crate) struct Walk<'a> {
    directory: &'a Path,
    /// Up to where the head vouches for the log.
    head: Option<Chain>,
    chain: Option<Chain>,
    records: u64,
    closed: bool,
    /// Whether this segment is the last.
    last: bool,
    /// Whether the closing record stands in this segment: then nothing can follow in it.
    sealed: bool,
    tree: Option<Tree>,
    signs: bool,
    pulse: Pulse,
}

impl<'a> Walk<'a> {
    /// A walk that begins with the log's first record.
    pub(crate) fn from_start(directory: &'a Path, head: &Head) -> Self {
        let (chain, tree) = (Some(Chain::default()), Some(Tree::default()));
        Self { chain, tree, ..Self::from_segment(directory, head) }
    }

    /// A walk that begins with some segment, and believes that segment's header what came before it.
    pub(crate) fn from_segment(directory: &'a Path, head: &Head) -> Self {
        Self {
            directory,
            head: head.covers(),
            chain: None,
            records: 0,
            closed: false,
            last: false,
            sealed: false,
            tree: None,
            signs: false,
            pulse: Pulse::default(),
        }
    }

    /// Walks `segments`; the last of them must be the log's last.
    pub(crate) fn run(mut self, segments: &[u64], visit: &mut Visitor<'_>) -> io::Result<Walked> {
        let mut expected = if self.chain.is_some() { Some(1) } else { segments.first().copied() };
        let mut fault = None;
        for number in segments {
            self.last = segments.last() == Some(number);
            fault = if expected == Some(*number) {
                self.segment(*number, visit)?
            } else {
                Some(self.fault(expected.unwrap_or(0), 0, FaultKind::Altered("the segment is missing")))
            };
            if fault.is_some() {
                break;
            }
            expected = number.checked_add(1);
        }
        let (chain, records, closed) = (self.end(), self.records, self.closed);
        let silence = self.pulse.silence();
        Ok(Walked { chain, records, closed, tree: self.tree, signs: self.signs, silence, fault })
    }

    fn end(&self) -> Chain {
        self.chain.unwrap_or_default()
    }

    /// A fault at the end of the log where a crash may leave it, an alteration elsewhere.
    fn fault_at_end(&self, segment: u64, offset: u64, torn: FaultKind, otherwise: &'static str) -> Fault {
        let kind = if self.sealed {
            FaultKind::Altered("something follows the record that closed the log")
        } else if self.last {
            torn
        } else {
            FaultKind::Altered(otherwise)
        };
        self.fault(segment, offset, kind)
    }

    fn fault(&self, segment: u64, offset: u64, kind: FaultKind) -> Fault {
        Fault { segment, offset, seq: self.end().seq + 1, kind }
    }

    fn segment(&mut self, number: u64, visit: &mut Visitor<'_>) -> io::Result<Option<Fault>> {
        self.sealed = false;
        let path = segment::path_of(self.directory, number);
        let (mut reader, header) = match SegmentReader::open(&path, None) {
            Ok(Opening::Ready(reader, header)) => (reader, header),
            Ok(Opening::Cut { bytes }) => return Ok(Some(self.cut(number, 0, bytes))),
            Ok(Opening::Garbled) => {
                return Ok(Some(self.fault(number, 0, FaultKind::Altered("the segment's header was changed"))));
            }
            // A running server took an empty segment back since the directory was read.
            Err(error) if self.last && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(self.cut(number, 0, 0)));
            }
            Err(error) => return Err(error),
        };
        if let Some(what) = self.header_contradicts(number, &header) {
            return Ok(Some(self.fault(number, 0, FaultKind::Altered(what))));
        }
        self.pulse.heartbeat = Duration::from_millis(header.heartbeat_ms);
        self.frames(number, &header, &mut reader, visit)
    }

    fn frames(
        &mut self,
        number: u64,
        header: &AuditSegmentHeader,
        reader: &mut SegmentReader,
        visit: &mut Visitor<'_>,
    ) -> io::Result<Option<Fault>> {
        let mut first = true;
        loop {
            let (offset, left) = (reader.offset(), reader.left());
            let frame = match reader.step()? {
                Step::End => return Ok(None),
                Step::Cut { bytes } => return Ok(Some(self.cut(number, offset, bytes))),
                Step::Garbled => return Ok(Some(self.garbled(number, offset, left))),
                Step::Frame(frame) => frame,
            };
            if self.end().hash_of_next(frame.record) != frame.hash {
                let stored = frame.hash;
                return Ok(Some(self.mismatch(number, offset, left, stored, reader)?));
            }
            if let Some(what) = self.accept(&frame, header, number, first, visit) {
                return Ok(Some(self.fault(number, offset, FaultKind::Altered(what))));
            }
            first = false;
        }
    }

    /// Checks a frame whose hash is right, and moves on to it.
    fn accept(
        &mut self,
        frame: &Frame<'_>,
        header: &AuditSegmentHeader,
        segment: u64,
        first: bool,
        visit: &mut Visitor<'_>,
    ) -> Option<&'static str> {
        let Ok(key) = AuditRecordKey::decode(frame.record) else { return Some("the record cannot be read") };
        if key.boot_id != header.boot_id {
            return Some("the record is of another start of the server than its segment");
        }
        let expected = self.end().seq + 1;
        if key.seq != expected && (!declares_gap(&key, expected, first) || key.seq - expected > MAX_GAP) {
            return Some("the record has another number");
        }
        if first && key.seq != header.first_seq {
            return Some("the segment's header tells of another first record");
        }
        if self.head.is_some_and(|head| head.seq == key.seq && head.hash != frame.hash) {
            return Some("the record is not the one that the head vouches for");
        }
        self.chain = Some(Chain { seq: key.seq, hash: frame.hash });
        self.records += 1;
        self.closed = key.closing;
        self.sealed = key.closing;
        self.signs |= key.version >= FIRST_SIGNING_VERSION;
        self.pulse.note(&key);
        if let Some(tree) = &mut self.tree {
            tree.pad(key.seq - 1);
            tree.push(leaf(frame.record));
        }
        visit(&Visit { segment, key: &key, record: frame.record, tree: self.tree.as_ref() })
    }

    fn header_contradicts(&mut self, number: u64, header: &AuditSegmentHeader) -> Option<&'static str> {
        let says = Chain { seq: header.first_seq.saturating_sub(1), hash: hash_from(&header.prev_hash) };
        let before = *self.chain.get_or_insert(says);
        if self.tree.is_none() {
            self.tree = Tree::of_peaks(says.seq, &header.tree_peaks);
        }
        if header.segment != number {
            Some("the segment has another number")
        } else if says.hash != before.hash || says.seq < before.seq {
            Some("records before the segment are missing")
        } else if !header.tree_peaks.is_empty() && says.seq - before.seq <= MAX_GAP && self.has_other_tree(says, header)
        {
            Some("the segment's header tells of other records before it")
        } else {
            None
        }
    }

    fn has_other_tree(&self, says: Chain, header: &AuditSegmentHeader) -> bool {
        self.tree.clone().is_some_and(|mut tree| {
            tree.pad(says.seq);
            tree.peaks() != header.tree_peaks
        })
    }

    /// Whether the head vouches for the record that should come next, or there is no head to say that it does not.
    fn covered(&self) -> bool {
        self.head.is_none_or(|head| head.seq > self.end().seq)
    }

    fn cut(&self, segment: u64, offset: u64, bytes: u64) -> Fault {
        let torn = FaultKind::Torn { bytes, garbled: false };
        self.fault_at_end(segment, offset, torn, "the segment ends in the middle of a record")
    }

    fn garbled(&self, segment: u64, offset: u64, bytes: u64) -> Fault {
        let what = "the record's length was changed";
        if self.covered() {
            return self.fault(segment, offset, FaultKind::Altered(what));
        }
        self.fault_at_end(segment, offset, FaultKind::Torn { bytes, garbled: true }, what)
    }

    /// A record whose hash is wrong. Where the head does not vouch for it, it may be a page that a crash kept from the
    /// disk; but not where the next record still follows from it.
    fn mismatch(
        &self,
        segment: u64,
        offset: u64,
        bytes: u64,
        stored: Hash,
        reader: &mut SegmentReader,
    ) -> io::Result<Fault> {
        let follows = match reader.step()? {
            Step::Frame(next) => Chain { seq: 0, hash: stored }.hash_of_next(next.record) == next.hash,
            Step::End | Step::Cut { .. } | Step::Garbled => false,
        };
        let what = "the record was changed, or others were removed or moved before it";
        if follows || self.covered() {
            return Ok(self.fault(segment, offset, FaultKind::Altered(what)));
        }
        Ok(self.fault_at_end(segment, offset, FaultKind::Torn { bytes, garbled: true }, what))
    }
}

/// Whether `key` is a restart's own admission of how many records before it are missing.
fn declares_gap(key: &AuditRecordKey, expected: u64, first: bool) -> bool {
    let missing = key.recovery.as_ref().map_or(0, |recovery| recovery.missing_records);
    first && key.phase == i32::from(AuditPhase::Recovered) && expected.checked_add(missing) == Some(key.seq)
}
