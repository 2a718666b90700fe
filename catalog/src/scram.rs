//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677): what the catalog keeps instead of a password.
//!
//! Written in PostgreSQL's text form, `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, so that psql's `\password` and
//! dumps of PostgreSQL's roles work. Invariants: a password is never kept; every comparison takes the same time whatever
//! is compared; `Debug` prints nothing of a verifier.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::generic_array::GenericArray;
use hmac::{Hmac, Mac};
use lakeward_base::Redacted;
use rand::RngCore;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// PBKDF2 iterations of verifiers made here: PostgreSQL's `scram_iterations` default, and RFC 7677's minimum.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// More would let a role's own verifier keep the server busy at each login with a plain password.
const MAX_ITERATIONS: u32 = 1_000_000;
/// PostgreSQL's `SCRAM_DEFAULT_SALT_LEN`.
const SALT_BYTES: usize = 16;
const MAX_SALT_BYTES: usize = 1024;
const MECHANISM: &str = "SCRAM-SHA-256";

type Key = [u8; 32];

/// The text is not a SCRAM-SHA-256 verifier. Says nothing of the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a SCRAM-SHA-256 verifier")]
pub struct InvalidVerifier;

/// What a server needs to check a SCRAM-SHA-256 proof. `Display` writes it whole, for storage; `Debug` nothing.
#[derive(Clone)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl ScramVerifier {
    /// A verifier of `password`, with a fresh salt and [`DEFAULT_ITERATIONS`].
    #[must_use]
    pub fn from_password(password: &Redacted<String>) -> Self {
        let mut salt = vec![0; SALT_BYTES];
        rand::rng().fill_bytes(&mut salt);
        Self::derive(password.expose(), salt, DEFAULT_ITERATIONS)
    }

    /// What `PASSWORD '…'` means: a verifier as it is written, anything else a password.
    #[must_use]
    pub fn from_password_or_verifier(text: &Redacted<String>) -> Self {
        text.expose().parse().unwrap_or_else(|InvalidVerifier| Self::from_password(text))
    }

    /// A verifier for a user who cannot log in: the same salt each time that `user` asks, so that an unknown name looks
    /// like a known one. Its keys come from no password, so no proof matches.
    #[must_use]
    pub fn mock(seed: &[u8; 32], user: &str) -> Self {
        let derive = |label: &[u8]| hmac(seed, &[b"lakeward mock verifier ", label, &[0], user.as_bytes()]);
        let salt = derive(b"salt").iter().copied().take(SALT_BYTES).collect();
        Self {
            iterations: DEFAULT_ITERATIONS,
            salt,
            stored_key: derive(b"stored key"),
            server_key: derive(b"server key"),
        }
    }

    /// PBKDF2 iterations, for the server's first message.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt, for the server's first message.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether `password` is the one that the verifier was made of. Takes a whole PBKDF2.
    #[must_use]
    pub fn verify_password(&self, password: &str) -> bool {
        let candidate = Self::derive(password, self.salt.clone(), self.iterations);
        bool::from(candidate.stored_key.ct_eq(&self.stored_key) & candidate.server_key.ct_eq(&self.server_key))
    }

    /// Checks a client's proof over `auth_message` (RFC 5802 §3) and answers the server's signature. A proof of any
    /// length but 32 bytes is wrong.
    #[must_use]
    pub fn verify_proof(&self, auth_message: &[u8], proof: &[u8]) -> Option<[u8; 32]> {
        let proof: &Key = proof.try_into().ok()?;
        let signature = hmac(&self.stored_key, &[auth_message]);
        let mut client_key = Zeroizing::new([0_u8; 32]);
        for ((key, signed), proved) in client_key.iter_mut().zip(signature).zip(proof) {
            *key = signed ^ proved;
        }
        let matches = Sha256::digest(client_key.as_slice()).as_slice().ct_eq(&self.stored_key);
        bool::from(matches).then(|| hmac(&self.server_key, &[auth_message]))
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let password = prepare(password);
        let mut salted = Zeroizing::new([0_u8; 32]);
        // HMAC takes keys of every length, so this does not fail; if it did, the verifier would match no password.
        if pbkdf2::pbkdf2::<Hmac<Sha256>>(password.as_bytes(), &salt, iterations, salted.as_mut_slice()).is_err() {
            rand::rng().fill_bytes(salted.as_mut_slice());
        }
        let client_key = Zeroizing::new(hmac(&salted, &[b"Client Key"]));
        let server_key = hmac(&salted, &[b"Server Key"]);
        Self { iterations, salt, stored_key: Sha256::digest(client_key.as_slice()).into(), server_key }
    }
}

/// SASLprep (RFC 4013), or the password as it is where SASLprep refuses it, as PostgreSQL does.
fn prepare(password: &str) -> Zeroizing<String> {
    let prepared = match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared.into_owned(),
        Ok(_) | Err(_) => password.to_owned(),
    };
    Zeroizing::new(prepared)
}

/// HMAC-SHA-256 of `parts` one after the other. A key shorter than a block is padded with zeros (RFC 2104 §2), which is
/// done here because the constructor for whole blocks cannot fail.
fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let mut block = Zeroizing::new([0_u8; 64]);
    for (padded, byte) in block.iter_mut().zip(key) {
        *padded = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(GenericArray::from_slice(block.as_slice()));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| STANDARD.encode(bytes);
        let (salt, stored, server) = (encode(&self.salt), encode(&self.stored_key), encode(&self.server_key));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(<redacted>)")
    }
}

impl FromStr for ScramVerifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidVerifier> {
        let mut fields = text.split('$');
        let (Some(MECHANISM), Some(parameters), Some(keys), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(InvalidVerifier);
        };
        let (iterations, salt) = parameters.split_once(':').ok_or(InvalidVerifier)?;
        let (stored, server) = keys.split_once(':').ok_or(InvalidVerifier)?;
        if !iterations.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidVerifier);
        }
        let iterations = iterations.parse().map_err(|_| InvalidVerifier)?;
        let salt = decode(salt)?;
        if !(1..=MAX_ITERATIONS).contains(&iterations) || salt.is_empty() || salt.len() > MAX_SALT_BYTES {
            return Err(InvalidVerifier);
        }
        Ok(Self { iterations, salt, stored_key: decode_key(stored)?, server_key: decode_key(server)? })
    }
}

fn decode(text: &str) -> Result<Vec<u8>, InvalidVerifier> {
    STANDARD.decode(text).map_err(|_| InvalidVerifier)
}

fn decode_key(text: &str) -> Result<Key, InvalidVerifier> {
    decode(text)?.try_into().map_err(|_| InvalidVerifier)
}

impl Serialize for ScramVerifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScramVerifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
