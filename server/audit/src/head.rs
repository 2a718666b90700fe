//! The head file: beside the segments, how far the log had come.
//!
//! It is what tells a log that was cut at a record's border from a whole one. It is signed, written each second or 1,024
//! records on a thread of its own, and vouches for durable records only.
//!
//! Invariant: written atomically, so that a head that cannot be read was tampered with, not torn.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lakeward_proto::AuditHead;
use prost::Message;

use crate::keys::{self, PublicKey};
use crate::segment::{Chain, Hash, sealed_block};

const MAGIC: &[u8; 8] = b"LKAHEAD1";
/// Magic, length, check; digest.
const PREFIX_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// What is known of the head.
pub(crate) enum Head {
    /// There is none.
    Missing,
    /// There is one, but it contradicts itself.
    Altered,
    /// There is one.
    Is(AuditHead),
}

impl Head {
    /// The record up to which the head vouches for the log.
    pub(crate) fn covers(&self) -> Option<Chain> {
        match self {
            Self::Missing | Self::Altered => None,
            Self::Is(head) => Some(Chain { seq: head.seq, hash: hash_from(&head.hash) }),
        }
    }
}

/// What is signed of a head.
pub(crate) fn statement(head: &AuditHead) -> String {
    let (boot, root, hash) = (hex::encode(&head.boot_id), hex::encode(&head.tree_root), hex::encode(&head.hash));
    format!(
        "lakeward audit head 1\nnode {}\nboot {boot}\nsegment {}\nsize {}\nroot {root}\nhash {hash}\nclosed {}\nat_us {}\n",
        head.node,
        head.segment,
        head.seq,
        u8::from(head.closed),
        head.at_us
    )
}

/// Whether a head is signed with this key.
pub(crate) fn is_signed(head: &AuditHead, key: &PublicKey) -> bool {
    keys::is_signed(key, &statement(head), &head.signature)
}

/// The head file of the log in `directory`.
pub(crate) fn path_of(directory: &Path) -> PathBuf {
    directory.join("head")
}

/// The bytes of a head file.
pub(crate) fn encode(head: &AuditHead) -> Vec<u8> {
    sealed_block(MAGIC, head)
}

/// Reads the head of the log in `directory`.
pub(crate) fn read(directory: &Path) -> io::Result<Head> {
    match fs::read(path_of(directory)) {
        Ok(bytes) => Ok(decode(&bytes).map_or(Head::Altered, Head::Is)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Head::Missing),
        Err(error) => Err(error),
    }
}

/// The head whose file this is.
pub(crate) fn decode(bytes: &[u8]) -> Option<AuditHead> {
    let message = bytes.get(PREFIX_BYTES..bytes.len().checked_sub(DIGEST_BYTES)?)?;
    let head = AuditHead::decode(message).ok()?;
    (encode(&head) == bytes).then_some(head)
}

/// A stored hash; anything but 32 bytes is none, and equals none.
pub(crate) fn hash_from(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or_default()
}
