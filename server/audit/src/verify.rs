//! `lakeward audit verify`: is the log as it was written, and is all of it there?
//!
//! Reads the files only; works on a copy, and beside a running server (which holds the directory's lock: then an open end
//! is no finding).
//!
//! Invariant: exit codes are 0 intact, 1 no log to verify, 2 altered, 3 not cleanly closed or tail missing.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use lakeward_proto::{AuditHead, AuditRecovery};

use crate::head::{self, Head};
use crate::keys::PublicKey;
use crate::log::lock_path;
use crate::publish::HeadDirectory;
use crate::segment::{self, Opening, SegmentReader};
use crate::walk::{Fault, FaultKind, Silence, Visit, Walk, Walked};

/// What verifying a log found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The finding.
    pub verdict: Verdict,
    /// One sentence: what was found, at which record and where; empty where there is nothing to say.
    pub finding: String,
    /// Records whose place in the chain was checked.
    pub records: u64,
    /// The last of them.
    pub last_seq: u64,
    /// Its hash, in hexadecimal.
    pub last_hash: String,
    /// Segments in the directory.
    pub segments: u64,
    /// Whether a server has the log open.
    pub in_use: bool,
}

/// The finding, from best to worst but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is there, and as it was written.
    Intact,
    /// The end is open or missing.
    Incomplete,
    /// Something is not as it was written.
    Altered,
    /// There is nothing to verify, or it cannot be read.
    Unreadable,
}

impl Report {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Intact => 0,
            Verdict::Unreadable => 1,
            Verdict::Altered => 2,
            Verdict::Incomplete => 3,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Intact => "intact",
            Verdict::Unreadable => "cannot be verified",
            Verdict::Altered => "ALTERED",
            Verdict::Incomplete => "INCOMPLETE",
        };
        write!(f, "audit log {word}")?;
        if !self.finding.is_empty() {
            write!(f, ": {}", self.finding)?;
        }
        write!(f, " ({} records checked in {} segments", self.records, self.segments)?;
        if self.records > 0 {
            write!(f, ", the last is {} with hash {}", self.last_seq, self.last_hash)?;
        }
        f.write_str(if self.in_use { "; in use by a server)" } else { ")" })
    }
}

/// What a log is verified with.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The key that its heads are signed with.
    pub public_key: PublicKey,
    /// Heads that were kept elsewhere.
    pub heads: Option<HeadDirectory>,
}

/// Verifies the log in `directory`. Blocks; streams through the files.
#[must_use]
pub fn verify(directory: &Path, trust: &Trust) -> Report {
    examine(directory, trust).unwrap_or_else(|error| Report {
        verdict: Verdict::Unreadable,
        finding: format!("{}: {}", directory.display(), error.kind()),
        records: 0,
        last_seq: 0,
        last_hash: String::new(),
        segments: 0,
        in_use: false,
    })
}

fn examine(directory: &Path, trust: &Trust) -> io::Result<Report> {
    let in_use = in_use(directory)?;
    // The head first: a running server only ever adds to what it vouches for.
    let head = head::read(directory)?;
    let mut kept = Kept::read(trust, node_of(directory, &head)?)?;
    let segments = segment::list(directory)?;
    let mut admitted = Admitted::default();
    let walked = Walk::from_start(directory, &head).run(&segments, &mut |visit| {
        let noted = visit.key.recovery.as_ref().and_then(|recovery| admitted.note(visit.key.seq, recovery));
        noted.or_else(|| root_contradicts(visit, &head)).or_else(|| kept.compare(visit))
    })?;
    let seen = Seen { walked: &walked, head: &head, trust, kept: &kept, admitted: &admitted };
    let (verdict, finding) = seen.judge(segments.is_empty(), in_use);
    Ok(Report {
        verdict,
        finding,
        records: walked.records,
        last_seq: walked.chain.seq,
        last_hash: hex::encode(walked.chain.hash),
        segments: segments.len() as u64,
        in_use,
    })
}

/// What earlier restarts admitted to be missing.
#[derive(Default)]
struct Admitted {
    missing: Option<String>,
}

impl Admitted {
    /// Keeps the first admission; an alteration ends the walk.
    fn note(&mut self, seq: u64, recovery: &AuditRecovery) -> Option<&'static str> {
        if recovery.altered {
            return Some("a restart found the log before this record altered");
        }
        let what = if recovery.missing_records > 0 {
            let (first, count) = (recovery.last_seq + 1, recovery.missing_records);
            format!("{count} records from record {first} on were missing at the restart recorded in record {seq}")
        } else if recovery.head_missing {
            format!("the head was missing at the restart recorded in record {seq}, so records may be")
        } else {
            return None;
        };
        self.missing.get_or_insert(what);
        None
    }
}

/// Whether the head vouches for another tree.
fn root_contradicts(visit: &Visit<'_>, head: &Head) -> Option<&'static str> {
    let Head::Is(head) = head else { return None };
    let here = head.seq == visit.key.seq && !head.signature.is_empty();
    let root = visit.tree.filter(|_| here)?.root();
    (root.as_slice() != head.tree_root).then_some("the records up to here are not those that the head vouches for")
}

/// The server whose log it is.
fn node_of(directory: &Path, head: &Head) -> io::Result<Option<String>> {
    if let Head::Is(head) = head {
        return Ok(Some(head.node.clone()));
    }
    let Some(first) = segment::list(directory)?.first().copied() else { return Ok(None) };
    match SegmentReader::open(&segment::path_of(directory, first), None)? {
        Opening::Ready(_, header) => Ok(Some(header.node)),
        Opening::Cut { .. } | Opening::Garbled => Ok(None),
    }
}

/// Heads that were kept elsewhere.
#[derive(Default)]
struct Kept {
    /// Those that the walk has not passed yet, the next last.
    ahead: Vec<(String, AuditHead)>,
    /// One that is none.
    forged: Option<String>,
    /// There should be some.
    expected: bool,
    found: bool,
}

impl Kept {
    fn read(trust: &Trust, node: Option<String>) -> io::Result<Self> {
        let (Some(directory), Some(node)) = (&trust.heads, node) else {
            return Ok(Self { expected: trust.heads.is_some(), ..Self::default() });
        };
        let mut kept = Self { expected: true, ..Self::default() };
        for (size, name, content) in directory.read(&node)? {
            kept.found = true;
            let genuine =
                |kept: &AuditHead| kept.seq == size && kept.node == node && head::is_signed(kept, &trust.public_key);
            match head::decode(&content).filter(genuine) {
                Some(head) => kept.ahead.push((name, head)),
                None => _ = kept.forged.get_or_insert(name),
            }
        }
        kept.ahead.reverse();
        Ok(kept)
    }

    /// Compares the log with the heads that vouch for it up to a record.
    fn compare(&mut self, visit: &Visit<'_>) -> Option<&'static str> {
        while let Some((_, head)) = self.ahead.last().filter(|(_, head)| head.seq <= visit.key.seq) {
            // One that vouched for records which a restart found missing is told by the restart.
            let contradicts = head.seq == visit.key.seq
                && visit.tree.is_some_and(|tree| tree.root().as_slice() != head.tree_root.as_slice());
            if contradicts {
                return Some("the records up to here are not those that a head kept elsewhere vouches for");
            }
            self.ahead.pop();
        }
        None
    }

    fn judge(&self, last_seq: u64) -> Option<(Verdict, String)> {
        if let Some(name) = &self.forged {
            return Some((Verdict::Altered, format!("the head {name} that was kept elsewhere is forged")));
        }
        if let Some((name, head)) = self.ahead.first() {
            let missing = missing_tail(last_seq, head.seq);
            return Some((Verdict::Incomplete, format!("{missing}: the head {name} that was kept elsewhere has them")));
        }
        let none = self.expected && !self.found;
        none.then(|| (Verdict::Incomplete, "there is no head of this server among those kept elsewhere".to_owned()))
    }
}

/// All that was seen of a log.
struct Seen<'a> {
    walked: &'a Walked,
    head: &'a Head,
    trust: &'a Trust,
    kept: &'a Kept,
    admitted: &'a Admitted,
}

impl Seen<'_> {
    fn judge(&self, empty: bool, in_use: bool) -> (Verdict, String) {
        let Self { walked, head, trust, kept, admitted } = *self;
        let incomplete = |finding: String| (Verdict::Incomplete, finding);
        if let Some(fault) = walked.fault.filter(|fault| !(in_use && is_open_end(fault))) {
            return judge_fault(&fault, head, walked.chain.seq);
        }
        match head {
            Head::Altered => return (Verdict::Altered, "the head file was changed".to_owned()),
            Head::Missing if empty => return (Verdict::Unreadable, "there is no audit log here".to_owned()),
            Head::Missing => return incomplete("the head file is missing, so records at the end may be".to_owned()),
            Head::Is(signed) => {
                let forged = if signed.signature.is_empty() {
                    walked.signs
                } else {
                    !head::is_signed(signed, &trust.public_key)
                };
                if forged {
                    return (Verdict::Altered, "the head is forged: it is not signed with the log's key".to_owned());
                }
                if signed.seq > walked.chain.seq {
                    return incomplete(missing_tail(walked.chain.seq, signed.seq));
                }
            }
        }
        if let Some(found) = kept.judge(walked.chain.seq) {
            return found;
        }
        if let Some(finding) = &admitted.missing {
            return incomplete(finding.clone());
        }
        if let Some(Silence { after_seq, ms }) = walked.silence.filter(|_| !in_use) {
            let seconds = ms / 1_000;
            return incomplete(format!("no heartbeat for {seconds} s after record {after_seq}, and nothing says why"));
        }
        if !walked.closed && !in_use {
            return incomplete(format!("the log was not closed after record {}", walked.chain.seq));
        }
        (Verdict::Intact, String::new())
    }
}

fn judge_fault(fault: &Fault, head: &Head, last_seq: u64) -> (Verdict, String) {
    let place = format!("record {} in segment {} at byte {}", fault.seq, fault.segment, fault.offset);
    match fault.kind {
        FaultKind::Altered(what) => (Verdict::Altered, format!("{place}: {what}")),
        FaultKind::Torn { bytes, .. } => {
            let torn = format!("{place}: the log ends in {bytes} bytes that are no whole record");
            let covered = head.covers().map_or(0, |head| head.seq);
            let missing =
                if covered > last_seq { format!("; {}", missing_tail(last_seq, covered)) } else { String::new() };
            (Verdict::Incomplete, torn + &missing)
        }
    }
}

fn missing_tail(last: u64, covered: u64) -> String {
    format!("records {} to {covered} are missing at the end", last + 1)
}

/// Whether a fault is what a running server's next records look like half-way to the file.
fn is_open_end(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Torn { garbled: false, .. })
}

/// Whether a server holds the directory's lock.
fn in_use(directory: &Path) -> io::Result<bool> {
    let file = match File::open(lock_path(directory)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
