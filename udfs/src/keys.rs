//! Where keyed functions and the audit log get their keys from.
//!
//! A key is named by what it is for and by a domain that the policy's author chooses, so that the same value gets
//! unrelated hashes in two domains. Invariant: neither a key nor a domain's derivation appears in an error.

use std::fmt;

use lakeward_base::{Coded, SqlState};
use thiserror::Error;
use zeroize::Zeroizing;

/// What a key is for. Two purposes never share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyPurpose {
    /// `mask_hash(v, domain)`.
    MaskHash,
    /// `hmac_token(v, domain)`.
    HmacToken,
    /// `fpe_encrypt(v, domain)` and `fpe_decrypt(v, domain)`.
    FormatPreserving,
    /// `date_shift(d, subject)`.
    DateShift,
    /// `de_identify` with the operator hash; the domain is the subject.
    NoteHash,
    /// `de_identify` with the operator encrypt; the domain is the subject.
    NoteCipher,
    /// Wrapping the data keys that the audit log's texts are sealed with.
    AuditText,
    /// Tokens of values and subjects in the audit log.
    AuditTokens,
    /// Signing the audit log's heads; the domain is the server's name.
    AuditSigning,
}

impl KeyPurpose {
    /// A stable label for key derivation. Changing one changes every hash ever given out.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MaskHash => "lakeward/mask-hash/v1",
            Self::HmacToken => "lakeward/hmac-token/v1",
            Self::FormatPreserving => "lakeward/format-preserving/v1",
            Self::DateShift => "lakeward/date-shift/v1",
            Self::NoteHash => "lakeward/note-hash/v1",
            Self::NoteCipher => "lakeward/note-cipher/v1",
            Self::AuditText => "lakeward/audit-text/v1",
            Self::AuditTokens => "lakeward/audit-tokens/v1",
            Self::AuditSigning => "lakeward/audit-signing/v1",
        }
    }
}

/// Gives keys to keyed functions. Called once a batch, so an implementation should be quick, or cache.
pub trait KeyRing: fmt::Debug + Send + Sync {
    /// The key for `purpose` in `domain`: always the same for the same two.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] where the keys cannot be read.
    fn key(&self, purpose: KeyPurpose, domain: &str) -> Result<Zeroizing<[u8; 32]>, KeyError>;
}

/// Why there is no key. Travels as `DataFusionError::External`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The key provider cannot be reached, or its keys cannot be read.
    #[error("the key provider is unavailable")]
    Unavailable,
}

impl Coded for KeyError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Unavailable => SqlState::IO_ERROR,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable => Some("Ask an operator to look at the key provider.".to_owned()),
        }
    }
}
