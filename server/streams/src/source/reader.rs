//! Reading the embedded log by offset.
//!
//! Invariants: only what is durable is read; where the next records begin is remembered, so that reading on costs no search.

use std::fs::File;
use std::sync::Arc;

use crate::error::StreamError;
use crate::source::embedded::EmbeddedLog;
use crate::source::segment::{self, Step};
use crate::source::{Limit, Record, Source};

/// The one partition of an embedded log.
const PARTITION: u32 = 0;

const GAP: StreamError = StreamError::Damaged { what: "the log has a gap" };

/// A reader of an embedded log.
pub struct EmbeddedSource {
    log: Arc<EmbeddedLog>,
    cursor: Option<Cursor>,
}

/// A place at the beginning of a frame.
struct Cursor {
    file: File,
    /// First offset of its segment.
    segment: u64,
    at: u64,
    /// Offset of the frame's first record.
    next: u64,
}

impl EmbeddedSource {
    /// A reader of `log`.
    #[must_use]
    pub fn new(log: Arc<EmbeddedLog>) -> Self {
        Self { log, cursor: None }
    }

    /// A cursor at the frame that holds record `from`, which is durable, or at the end before it.
    fn cursor(&mut self, from: u64) -> Result<Cursor, StreamError> {
        let mut cursor = match self.cursor.take().filter(|cursor| cursor.next <= from) {
            Some(cursor) => cursor,
            None => self.open(self.log.segment_of(from)?)?,
        };
        while cursor.next < from {
            match self.step(&cursor)? {
                Step::Frame(head) if head.first == cursor.next && head.end() > from => break,
                Step::Frame(head) if head.first == cursor.next => {
                    cursor.at += head.bytes();
                    cursor.next = head.end();
                }
                Step::End if cursor.segment != cursor.next => cursor = self.open(cursor.next)?,
                _ => return Err(GAP),
            }
        }
        Ok(cursor)
    }

    fn open(&self, segment: u64) -> Result<Cursor, StreamError> {
        let path = segment::path_of(self.log.directory(), segment);
        let file = File::open(path).map_err(StreamError::file("open a segment"))?;
        Ok(Cursor { file, segment, at: 0, next: segment })
    }

    fn step(&self, cursor: &Cursor) -> Result<Step, StreamError> {
        let read = StreamError::file("read a segment");
        let end = cursor.file.metadata().map_err(&read)?.len();
        segment::step(&cursor.file, cursor.at, end).map_err(&read)
    }
}

impl Source for EmbeddedSource {
    fn partitions(&self) -> Vec<u32> {
        vec![PARTITION]
    }

    fn first_offset(&self, _partition: u32) -> u64 {
        self.log.first_offset()
    }

    fn end_offset(&self, _partition: u32) -> u64 {
        self.log.durable_end()
    }

    fn read(&mut self, _partition: u32, from: u64, limit: Limit) -> Result<Vec<Record>, StreamError> {
        let end = self.log.durable_end();
        if from > end {
            return Err(StreamError::Damaged { what: "the log ends before what was read of it" });
        }
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, from);
        while next < end && records.len() < limit.records && bytes < limit.bytes {
            let mut cursor = self.cursor(next)?;
            let head = match self.step(&cursor)? {
                Step::Frame(head) if head.first == cursor.next => head,
                // The segment ends: the next one begins with the next record.
                Step::End if cursor.segment != cursor.next => {
                    self.cursor = Some(self.open(cursor.next)?);
                    continue;
                }
                _ => return Err(GAP),
            };
            let frame = segment::read(&cursor.file, cursor.at, head, self.log.vault(), self.log.id(), PARTITION)?;
            let begin = next;
            for record in frame.into_iter().filter(|record| record.offset >= begin) {
                if records.len() >= limit.records || bytes >= limit.bytes {
                    break;
                }
                bytes += record.bytes.len();
                next = record.offset + 1;
                records.push(record);
            }
            if next == head.end() {
                cursor.at += head.bytes();
                cursor.next = next;
            }
            self.cursor = Some(cursor);
        }
        Ok(records)
    }
}
