//! `lakeward audit prove`: that a record stands in the log, for somebody who has neither the log nor its other records.
//!
//! The proof holds the record, its audit path (RFC 6962, section 2.1.1) and a signed head. Whoever has the public key
//! computes the root and checks the signature; `scripts/verify-audit-proof` does.
//!
//! Invariant: a proof is given only of a log that is whole up to its head.

use std::path::Path;

use lakeward_proto::{AuditHead, AuditRecord};
use prost::Message;
use serde::Serialize;

use crate::error::AuditError;
use crate::head::{self, Head};
use crate::keys::PublicKey;
use crate::merkle::{self, leaf};
use crate::names::uuid_text;
use crate::segment;
use crate::walk::Walk;

/// A proof that a record is in the log. Bytes are in hexadecimal.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// `lakeward audit proof 1`.
    pub format: &'static str,
    /// The record's id.
    pub event_id: String,
    /// Its place in the tree, from 0.
    pub leaf_index: u64,
    /// Leaves of the tree.
    pub tree_size: u64,
    /// The record's bytes (`AuditRecord` of `audit.proto`): the leaf is SHA-256 of a zero byte and these.
    pub record: String,
    /// The audit path, from the leaf to the root.
    pub path: Vec<String>,
    /// What is signed: it names the tree's size and root.
    pub head: String,
    /// The Ed25519 signature of that.
    pub signature: String,
    /// The key that it is of. A verifier must have it from elsewhere.
    pub public_key: String,
}

/// Proves that a record, by its `event_id` or its number, is in the log in `directory`, whose heads are signed with
/// `key`. Blocks; reads the log twice.
///
/// # Errors
/// [`AuditError::Unproven`] with why there is no proof.
pub fn prove(directory: &Path, event: &str, key: &PublicKey) -> Result<Proof, AuditError> {
    let read = || AuditError::file("read", directory);
    let Head::Is(signed) = head::read(directory).map_err(read())? else {
        return Err(AuditError::Unproven("the head is missing or was changed"));
    };
    if !head::is_signed(&signed, key) {
        return Err(AuditError::Unproven("the head is not signed with the log's key"));
    }
    let mut found = None;
    each(directory, &signed, &mut |seq, record| {
        if found.is_none()
            && let Ok(known) = AuditRecord::decode(record)
            && let Some(id) = uuid_text(&known.event_id)
            && (id.eq_ignore_ascii_case(event) || seq.to_string() == event)
        {
            found = Some((seq - 1, id, hex::encode(record)));
        }
    })?;
    let Some((leaf_index, event_id, record)) = found else {
        return Err(AuditError::Unproven("there is no such record among those that the head vouches for"));
    };
    let mut path = merkle::Path::of(leaf_index, signed.seq);
    let mut next = 0;
    each(directory, &signed, &mut |seq, record| {
        // Records that a restart found missing have left their places empty.
        (next..seq - 1).for_each(|index| path.push(index, leaf(b"")));
        path.push(seq - 1, leaf(record));
        next = seq;
    })?;
    let path = path.hashes().ok_or(AuditError::Unproven("records are missing"))?;
    Ok(Proof {
        format: "lakeward audit proof 1",
        event_id,
        leaf_index,
        tree_size: signed.seq,
        record,
        path: path.iter().map(hex::encode).collect(),
        head: head::statement(&signed),
        signature: hex::encode(&signed.signature),
        public_key: hex::encode(key),
    })
}

/// Passes the records that the head vouches for, by number.
fn each(directory: &Path, signed: &AuditHead, pass: &mut dyn FnMut(u64, &[u8])) -> Result<(), AuditError> {
    let read = || AuditError::file("read", directory);
    let segments = segment::list(directory).map_err(read())?;
    let mut root = None;
    let walked = Walk::from_start(directory, &Head::Is(signed.clone())).run(&segments, &mut |visit| {
        if visit.key.seq <= signed.seq {
            pass(visit.key.seq, visit.record);
        }
        if visit.key.seq == signed.seq {
            root = visit.tree.map(merkle::Tree::root);
        }
        None
    });
    walked.map_err(read())?;
    match root {
        Some(root) if root.as_slice() == signed.tree_root => Ok(()),
        _ => Err(AuditError::Unproven("the log is not as its head vouches for")),
    }
}
