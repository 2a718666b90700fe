//! Where the records of a stream come from: partitions of numbered records, read from any number on.
//!
//! A source keeps no place of its own. Which record is next is part of an epoch's transaction (`store`), so that a record
//! is taken exactly once into the state of each view, whatever happens between.
//!
//! Invariant: what a source gave once under an offset, it gives again under that offset, until retention removes it.

use crate::error::StreamError;

pub mod embedded;
pub mod reader;
mod segment;

/// One record as it came, before anything is known of its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Which partition it stands in.
    pub partition: u32,
    /// Its number in the partition.
    pub offset: u64,
    /// When it was appended to the source, in microseconds since 1970, UTC.
    pub appended_us: i64,
    /// What it says: one JSON object.
    pub bytes: Vec<u8>,
}

/// How much to read at once: reading stops behind the record that reaches either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Records at most.
    pub records: usize,
    /// Bytes, of which the last record may be beyond.
    pub bytes: usize,
}

/// A stream's source.
pub trait Source: Send {
    /// The partitions there are, in ascending order.
    fn partitions(&self) -> Vec<u32>;

    /// The offset of the oldest record that is still there.
    fn first_offset(&self, partition: u32) -> u64;

    /// The offset behind the newest record that can be read.
    fn end_offset(&self, partition: u32) -> u64;

    /// Records of `partition` from offset `from` on, in order and without a gap; empty where there are none yet.
    ///
    /// # Errors
    /// [`StreamError::Damaged`] where `from` is behind the end or before the beginning of what there is: records that were
    /// taken in are gone, or some that were not.
    fn read(&mut self, partition: u32, from: u64, limit: Limit) -> Result<Vec<Record>, StreamError>;
}
