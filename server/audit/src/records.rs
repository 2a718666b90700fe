//! The log's records, one after the other, as they stand in its files.
//!
//! Invariant: exactly the records up to where the log is read, each once, in order; damage is an error, but for what a
//! server that is writing, or was killed, leaves at the very end.

use std::path::{Path, PathBuf};

use lakeward_proto::AuditRecord;
use prost::Message;

use crate::error::AuditError;
use crate::keys::Token;
use crate::log::Tip;
use crate::segment::{self, Hash, Opening, SegmentReader, Step};

/// Reads the log.
pub(crate) struct Records {
    directory: PathBuf,
    /// Segments yet to read, last first.
    segments: Vec<u64>,
    /// Up to where it is read; `None`: to its end.
    tip: Option<Tip>,
    current: Option<Current>,
    failed: bool,
}

struct Current {
    reader: SegmentReader,
    number: u64,
    before: Hash,
    token_key: Option<Token>,
}

/// A record with its place in the chain.
pub(crate) struct Recorded {
    pub(crate) record: AuditRecord,
    pub(crate) before: Hash,
    pub(crate) hash: Hash,
    /// Fingerprint of the key of its tokens, where its segment tells.
    pub(crate) token_key: Option<Token>,
}

impl Records {
    pub(crate) fn of(directory: &Path, tip: Option<Tip>) -> Result<Self, AuditError> {
        let mut segments = segment::list(directory).map_err(AuditError::file("read", directory))?;
        segments.retain(|number| tip.is_none_or(|tip| *number <= tip.segment));
        segments.reverse();
        Ok(Self { directory: directory.to_owned(), segments, tip, current: None, failed: false })
    }

    fn read(&mut self) -> Result<Option<Recorded>, AuditError> {
        loop {
            let may_be_open = self.tip.is_none() && self.segments.is_empty();
            let Some(current) = &mut self.current else {
                if self.open_next()? {
                    continue;
                }
                return Ok(None);
            };
            let (segment, offset) = (current.number, current.reader.offset());
            let damaged = AuditError::Damaged { segment, offset };
            let step = current.reader.step();
            match step.map_err(AuditError::file("read", &segment::path_of(&self.directory, segment)))? {
                Step::Frame(frame) => {
                    let record = AuditRecord::decode(frame.record).map_err(|_| damaged)?;
                    let before = std::mem::replace(&mut current.before, frame.hash);
                    return Ok(Some(Recorded { record, before, hash: frame.hash, token_key: current.token_key }));
                }
                Step::End => self.current = None,
                Step::Cut { .. } if may_be_open => return Ok(None),
                Step::Cut { .. } | Step::Garbled => return Err(damaged),
            }
        }
    }

    fn open_next(&mut self) -> Result<bool, AuditError> {
        let Some(number) = self.segments.pop() else { return Ok(false) };
        let limit = self.tip.filter(|tip| number == tip.segment).map(|tip| tip.length);
        let path = segment::path_of(&self.directory, number);
        match SegmentReader::open(&path, limit).map_err(AuditError::file("read", &path))? {
            Opening::Ready(reader, header) => {
                let before = crate::head::hash_from(&header.prev_hash);
                let token_key = Token::try_from(header.token_key.as_slice()).ok();
                self.current = Some(Current { reader, number, before, token_key });
                Ok(true)
            }
            Opening::Cut { .. } if self.tip.is_none() && self.segments.is_empty() => Ok(false),
            Opening::Cut { .. } | Opening::Garbled => Err(AuditError::Damaged { segment: number, offset: 0 }),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Recorded, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
