//! The format of the embedded log's segment files.
//!
//! ```text
//! segment = frame*                                                named by the offset of its first record
//! frame   = length:u32 check:u32 first:u64 count:u32 sealed:bytes[length]
//! sealed  = record*, sealed for (log, first, count)               record = appended_us:i64 length:u32 bytes
//! check   = !length                                               (little-endian throughout)
//! ```
//!
//! Invariant: a reader of damaged bytes answers [`Step::Cut`] or [`Step::Garbled`]; it neither panics nor allocates more
//! than [`FRAME_LIMIT_BYTES`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StreamError;
use crate::row::{take_array, take_sized};
use crate::seal::{OVERHEAD_BYTES, Vault};
use crate::source::Record;

/// The most that a frame's records may take.
pub(super) const FRAME_LIMIT_BYTES: usize = 64 << 20;
const HEADER_BYTES: usize = 20;
const SUFFIX: &str = ".log";

/// The file of the segment whose first record is `first`.
pub(super) fn path_of(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}{SUFFIX}"))
}

/// First offsets of the segments in `directory`, in order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 20);
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Offset of its first record.
    pub(super) first: u64,
    /// Records.
    pub(super) count: u32,
    /// Bytes of the sealed records.
    length: usize,
}

impl Head {
    /// The offset behind its last record.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// All of its bytes in the file.
    pub(super) fn bytes(&self) -> u64 {
        (HEADER_BYTES + self.length) as u64
    }
}

/// What a frame is sealed for.
fn place(log: u64, first: u64, count: u32) -> [u8; 20] {
    let mut place = [0; 20];
    let bytes = log.to_le_bytes().into_iter().chain(first.to_le_bytes()).chain(count.to_le_bytes());
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = from;
    }
    place
}

/// Appends a record to the plain content of a frame.
pub(super) fn push_record(plain: &mut Vec<u8>, appended_us: i64, bytes: &[u8]) {
    plain.extend(appended_us.to_le_bytes());
    // Appends are limited to far less.
    plain.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    plain.extend(bytes);
}

/// A frame of `count` records, sealed.
pub(super) fn seal(vault: &Vault, log: u64, first: u64, count: u32, plain: &[u8]) -> Result<Vec<u8>, StreamError> {
    let length = u32::try_from(plain.len() + OVERHEAD_BYTES).map_err(|_| StreamError::Busy)?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + plain.len() + OVERHEAD_BYTES);
    frame.extend(length.to_le_bytes());
    frame.extend((!length).to_le_bytes());
    frame.extend(first.to_le_bytes());
    frame.extend(count.to_le_bytes());
    let sealed = vault.seal(&place(log, first, count), plain, &mut frame);
    sealed.map_err(|_| StreamError::Damaged { what: "a frame cannot be sealed" })?;
    Ok(frame)
}

/// What a segment holds at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame, whole as far as its length goes.
    Frame(Head),
    /// Nothing more.
    End,
    /// Not all of a frame, or only zeros: what a crash leaves.
    Cut,
    /// Bytes that cannot be a frame.
    Garbled,
}

/// Looks at what begins at `at`, in a file that ends at `end`.
pub(super) fn step(file: &File, at: u64, end: u64) -> io::Result<Step> {
    let left = end.saturating_sub(at);
    if left == 0 {
        return Ok(Step::End);
    }
    if left < HEADER_BYTES as u64 {
        return Ok(Step::Cut);
    }
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, at)?;
    if header == [0; HEADER_BYTES] {
        return Ok(if only_zeros(file, at, end)? { Step::Cut } else { Step::Garbled });
    }
    let mut rest = header.as_slice();
    let (Ok(length), Ok(check)) = (take_array(&mut rest), take_array(&mut rest)) else { return Ok(Step::Garbled) };
    let (Ok(first), Ok(count)) = (take_array(&mut rest), take_array(&mut rest)) else { return Ok(Step::Garbled) };
    let length = u32::from_le_bytes(length);
    let fits = usize::try_from(length).ok().filter(|length| *length <= FRAME_LIMIT_BYTES + OVERHEAD_BYTES);
    let Some(length) = fits.filter(|_| u32::from_le_bytes(check) == !length) else { return Ok(Step::Garbled) };
    let head = Head { first: u64::from_le_bytes(first), count: u32::from_le_bytes(count), length };
    Ok(if head.bytes() > left { Step::Cut } else { Step::Frame(head) })
}

/// Reads the records of the frame at `at`.
pub(super) fn read(
    file: &File,
    at: u64,
    head: Head,
    vault: &Vault,
    log: u64,
    partition: u32,
) -> Result<Vec<Record>, StreamError> {
    let mut sealed = vec![0; head.length];
    file.read_exact_at(&mut sealed, at + HEADER_BYTES as u64).map_err(StreamError::file("read a segment"))?;
    let damaged = StreamError::Damaged { what: "a frame of the log does not open" };
    let opened = vault.open(&place(log, head.first, head.count), &mut sealed).map_err(|_| damaged)?;
    let mut rest: &[u8] = opened;
    let mut records = Vec::new();
    for offset in head.first..head.end() {
        let appended_us = i64::from_le_bytes(take_array(&mut rest)?);
        let bytes = take_sized(&mut rest)?.to_vec();
        records.push(Record { partition, offset, appended_us, bytes });
    }
    Ok(records)
}

fn only_zeros(file: &File, from: u64, end: u64) -> io::Result<bool> {
    let mut chunk = vec![0; 1 << 16];
    let mut at = from;
    while at < end {
        let count = file.read_at(&mut chunk, at)?;
        if count == 0 {
            break;
        }
        if chunk.iter().take(count).any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}
