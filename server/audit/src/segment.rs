//! The format of a segment file: a checked header, then frames of one record each, chained by SHA-256.
//!
//! ```text
//! file   = "LKAUDIT1" block frame*
//! block  = length:u32 check:u32 header:bytes[length] sha256("LKAUDIT1" block-so-far):bytes[32]
//! frame  = length:u32 check:u32 record:bytes[length] hash:bytes[32]     hash = sha256(hash before ‖ record)
//! check  = !length, so that a changed length is told from a file cut short            (little-endian throughout)
//! ```
//!
//! Invariant: a reader of damaged bytes answers [`Step::Cut`] or [`Step::Garbled`]; it neither panics nor allocates
//! more than [`MAX_RECORD_BYTES`].

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use lakeward_proto::{AuditRecord, AuditSegmentHeader};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::merkle::{Tree, leaf};

/// First bytes of a segment; the digit is the format's version.
pub(crate) const MAGIC: &[u8; 8] = b"LKAUDIT1";
/// No record is longer.
pub(crate) const MAX_RECORD_BYTES: usize = 16 << 20;
/// Bytes of a frame besides its record.
const FRAME_OVERHEAD: u64 = 8 + 32;
const SUFFIX: &str = ".seg";
const READ_BUFFER_BYTES: usize = 1 << 20;

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// The end of the chain so far: the last record's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
}

impl Chain {
    /// The hash of `record`, if it comes next.
    pub(crate) fn hash_of_next(&self, record: &[u8]) -> Hash {
        Sha256::new().chain_update(self.hash).chain_update(record).finalize().into()
    }
}

/// The file of segment `number`.
pub(crate) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}{SUFFIX}"))
}

/// Numbers of the segments in `directory`, in order.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 20);
        numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// `magic`, then `message` with its length and a SHA-256 over everything: the header of a segment, or a head file.
pub(crate) fn sealed_block(magic: &[u8; 8], message: &impl Message) -> Vec<u8> {
    let mut block = magic.to_vec();
    push_length(&mut block, message.encoded_len());
    block.extend(message.encode_to_vec());
    let digest = Sha256::digest(&block);
    block.extend(digest);
    block
}

/// Appends `record` as a frame, and moves the chain's end and the tree to it.
pub(crate) fn push_frame(buffer: &mut Vec<u8>, record: &AuditRecord, chain: &mut Chain, tree: &mut Tree) {
    let bytes = record.encode_to_vec();
    push_length(buffer, bytes.len());
    let hash = chain.hash_of_next(&bytes);
    tree.push(leaf(&bytes));
    buffer.extend(bytes);
    buffer.extend(hash);
    *chain = Chain { seq: record.seq, hash };
}

fn push_length(buffer: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    buffer.extend(length.to_le_bytes());
    buffer.extend((!length).to_le_bytes());
}

/// A frame as it was read.
pub(crate) struct Frame<'a> {
    /// The record.
    pub(crate) record: &'a [u8],
    /// The hash that stands behind it.
    pub(crate) hash: Hash,
}

/// What a segment holds next.
pub(crate) enum Step<'a> {
    /// A frame; whether its hash is right is for the caller to say.
    Frame(Frame<'a>),
    /// Nothing.
    End,
    /// Not all of a frame, or only zeros: what a crash leaves.
    Cut { bytes: u64 },
    /// Bytes that cannot be a frame.
    Garbled,
}

/// A segment's first step.
pub(crate) enum Opening {
    /// Its header, and a reader at its first frame.
    Ready(SegmentReader, Box<AuditSegmentHeader>),
    /// Not all of a header, or only zeros.
    Cut { bytes: u64 },
    /// Bytes that cannot be a header.
    Garbled,
}

/// Reads one segment, frame after frame.
pub(crate) struct SegmentReader {
    input: BufReader<File>,
    offset: u64,
    limit: u64,
    frame: Vec<u8>,
}

impl SegmentReader {
    /// Opens a segment, to be read up to `limit` bytes, or to its end.
    pub(crate) fn open(path: &Path, limit: Option<u64>) -> io::Result<Opening> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let limit = limit.map_or(length, |limit| limit.min(length));
        let mut reader =
            Self { input: BufReader::with_capacity(READ_BUFFER_BYTES, file), offset: 0, limit, frame: Vec::new() };
        Ok(match reader.read_header()? {
            Header::Is(header) => Opening::Ready(reader, Box::new(header)),
            Header::Cut => Opening::Cut { bytes: limit },
            Header::Garbled => Opening::Garbled,
        })
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes from there to the end.
    pub(crate) fn left(&self) -> u64 {
        self.limit - self.offset
    }

    /// The next frame.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        let left = self.left();
        match self.read_frame(left) {
            Ok(Read::Frame(hash)) => Ok(Step::Frame(Frame { record: &self.frame, hash })),
            Ok(Read::End) => Ok(Step::End),
            Ok(Read::Garbled) => Ok(Step::Garbled),
            Ok(Read::Cut) => Ok(Step::Cut { bytes: left }),
            // The file was cut by its server since it was opened.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Step::Cut { bytes: left }),
            Err(error) => Err(error),
        }
    }

    fn read_frame(&mut self, left: u64) -> io::Result<Read> {
        if left == 0 {
            return Ok(Read::End);
        }
        let length = match self.read_length(left)? {
            Length::Is(length) => length,
            Length::Cut => return Ok(Read::Cut),
            Length::Garbled => return Ok(Read::Garbled),
        };
        if length as u64 + FRAME_OVERHEAD > left {
            return Ok(Read::Cut);
        }
        self.frame.resize(length, 0);
        self.input.read_exact(&mut self.frame)?;
        let mut hash = Hash::default();
        self.input.read_exact(&mut hash)?;
        self.offset += length as u64 + FRAME_OVERHEAD;
        Ok(Read::Frame(hash))
    }

    fn read_header(&mut self) -> io::Result<Header> {
        let mut magic = [0; 8];
        if self.limit < 8 {
            return Ok(Header::Cut);
        }
        self.input.read_exact(&mut magic)?;
        if magic == [0; 8] {
            return Ok(if self.only_zeros_left()? { Header::Cut } else { Header::Garbled });
        }
        if &magic != MAGIC {
            return Ok(Header::Garbled);
        }
        let length = match self.read_length(self.limit - 8)? {
            Length::Is(length) => length,
            Length::Cut => return Ok(Header::Cut),
            Length::Garbled => return Ok(Header::Garbled),
        };
        if 8 + FRAME_OVERHEAD + length as u64 > self.limit {
            return Ok(Header::Cut);
        }
        let mut bytes = vec![0; length];
        let mut digest = Hash::default();
        self.input.read_exact(&mut bytes)?;
        self.input.read_exact(&mut digest)?;
        let mut covered = MAGIC.to_vec();
        push_length(&mut covered, length);
        covered.extend(&bytes);
        if Hash::from(Sha256::digest(&covered)) != digest {
            return Ok(Header::Garbled);
        }
        self.offset = 8 + FRAME_OVERHEAD + length as u64;
        Ok(AuditSegmentHeader::decode(bytes.as_slice()).map_or(Header::Garbled, Header::Is))
    }

    /// Reads a length and its check, of which `left` bytes are there.
    fn read_length(&mut self, left: u64) -> io::Result<Length> {
        if left < 8 {
            return Ok(Length::Cut);
        }
        let (mut length, mut check) = ([0; 4], [0; 4]);
        self.input.read_exact(&mut length)?;
        self.input.read_exact(&mut check)?;
        let (length, check) = (u32::from_le_bytes(length), u32::from_le_bytes(check));
        if length == 0 && check == 0 {
            return Ok(if self.only_zeros_left()? { Length::Cut } else { Length::Garbled });
        }
        let fits = usize::try_from(length).ok().filter(|length| *length <= MAX_RECORD_BYTES);
        Ok(if check == !length { fits.map_or(Length::Garbled, Length::Is) } else { Length::Garbled })
    }

    /// Whether nothing but zeros follows: space that was given to the file but never written.
    fn only_zeros_left(&mut self) -> io::Result<bool> {
        let mut chunk = vec![0; 1 << 16];
        loop {
            let count = self.input.read(&mut chunk)?;
            if count == 0 {
                return Ok(true);
            }
            if chunk.iter().take(count).any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
}

enum Read {
    Frame(Hash),
    End,
    Cut,
    Garbled,
}

enum Header {
    Is(AuditSegmentHeader),
    Cut,
    Garbled,
}

enum Length {
    Is(usize),
    Cut,
    Garbled,
}
