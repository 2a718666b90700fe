//! Authenticated encryption of everything that a stream keeps on disk.
//!
//! AES-256-GCM under a key derived for each opening of a [`Vault`]: HMAC-SHA-256 of a random 96-bit prefix, with a counter
//! for the nonce. The prefix stands before the ciphertext, so that any later opening can derive the key again. What this
//! buys over one key with random nonces: no limit on how many blocks a server may write under its key (NIST SP 800-38D
//! allows 2^32 random nonces, four months of a busy stream; the construction is that of C2SP's XAES-256-GCM).
//!
//! Invariants: no nonce is used twice under one key; bytes open only where they were sealed (the place is authenticated).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that sealing adds: the prefix, the counter, GCM's tag.
pub(crate) const OVERHEAD_BYTES: usize = PREFIX_BYTES + COUNTER_BYTES + TAG_BYTES;
const PREFIX_BYTES: usize = 12;
const COUNTER_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
/// Keys of earlier openings that are kept at hand.
const KEYS_KEPT: usize = 256;
/// Keeps the derived keys apart from any other use of the same master key.
const LABEL: &[u8] = b"lakeward streams seal 1";

type Prefix = [u8; PREFIX_BYTES];

/// The bytes were not sealed here, under this key, or were changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes do not open under this key")]
pub struct Unopened;

/// Seals and opens bytes under one master key. Made once per process and key.
pub struct Vault {
    master: hmac::Key,
    prefix: Prefix,
    key: LessSafeKey,
    counter: AtomicU64,
    opened: Mutex<BTreeMap<Prefix, Arc<LessSafeKey>>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A vault under a master key of 32 random bytes.
    ///
    /// # Errors
    /// [`Unopened`] where the system has no random numbers to give.
    pub fn new(master: &Zeroizing<[u8; 32]>) -> Result<Self, Unopened> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, master.as_ref());
        let mut prefix = Prefix::default();
        SystemRandom::new().fill(&mut prefix).map_err(|_| Unopened)?;
        let key = derive(&master, &prefix)?;
        Ok(Self { master, prefix, key, counter: AtomicU64::new(0), opened: Mutex::default() })
    }

    /// Appends `plain`, sealed for `place`, to `out`: [`OVERHEAD_BYTES`] longer than it was.
    pub(crate) fn seal(&self, place: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Unopened> {
        // 2^64 blocks are out of reach of any process.
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        out.reserve(plain.len() + OVERHEAD_BYTES);
        out.extend(self.prefix);
        out.extend(counter);
        let start = out.len();
        out.extend(plain);
        let body = out.get_mut(start..).ok_or(Unopened)?;
        let tag = self.key.seal_in_place_separate_tag(nonce(counter), Aad::from(place), body).map_err(|_| Unopened)?;
        out.extend(tag.as_ref());
        Ok(())
    }

    /// Opens what was sealed for `place`, in place.
    pub(crate) fn open<'a>(&self, place: &[u8], sealed: &'a mut [u8]) -> Result<&'a mut [u8], Unopened> {
        let (prefix, rest) = sealed.split_first_chunk_mut::<PREFIX_BYTES>().ok_or(Unopened)?;
        let (counter, body) = rest.split_first_chunk_mut::<COUNTER_BYTES>().ok_or(Unopened)?;
        if *prefix == self.prefix {
            return self.key.open_in_place(nonce(*counter), Aad::from(place), body).map_err(|_| Unopened);
        }
        let key = self.key_of(prefix)?;
        key.open_in_place(nonce(*counter), Aad::from(place), body).map_err(|_| Unopened)
    }

    /// The key of an earlier opening.
    fn key_of(&self, prefix: &Prefix) -> Result<Arc<LessSafeKey>, Unopened> {
        let mut opened = self.opened.lock();
        if let Some(key) = opened.get(prefix) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(derive(&self.master, prefix)?);
        if opened.len() >= KEYS_KEPT {
            opened.pop_first();
        }
        opened.insert(*prefix, Arc::clone(&key));
        Ok(key)
    }
}

fn derive(master: &hmac::Key, prefix: &Prefix) -> Result<LessSafeKey, Unopened> {
    let mut message = LABEL.to_vec();
    message.extend(prefix);
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(hmac::sign(master, &message).as_ref()) {
        *to = *from;
    }
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Unopened);
    bytes.zeroize();
    key.map(LessSafeKey::new)
}

fn nonce(counter: [u8; COUNTER_BYTES]) -> Nonce {
    let mut bytes = [0; 12];
    for (to, from) in bytes.iter_mut().zip(counter) {
        *to = from;
    }
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(&Zeroizing::new([byte; 32])).expect("random numbers")
    }

    fn sealed(vault: &Vault, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        vault.seal(place, plain, &mut out).expect("seals");
        out
    }

    #[test]
    fn what_is_sealed_opens_in_this_vault_and_in_later_ones() {
        let first = vault(1);
        let bytes = sealed(&first, b"here", b"heart rate");
        assert_eq!(bytes.len(), 10 + OVERHEAD_BYTES);
        for vault in [&first, &vault(1)] {
            assert_eq!(vault.open(b"here", &mut bytes.clone()).expect("opens"), b"heart rate");
        }
    }

    #[test]
    fn another_key_another_place_and_any_changed_bit_do_not_open() {
        let one = vault(1);
        let bytes = sealed(&one, b"here", b"heart rate");
        assert_eq!(vault(2).open(b"here", &mut bytes.clone()), Err(Unopened));
        assert_eq!(one.open(b"there", &mut bytes.clone()), Err(Unopened));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(one.open(b"here", &mut changed), Err(Unopened), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(one.open(b"here", &mut bytes.clone()[..length]), Err(Unopened), "{length} bytes");
        }
    }

    #[test]
    fn no_two_sealings_are_the_same_bytes() {
        let (one, other) = (vault(1), vault(1));
        let sealings = [&one, &one, &other, &other].map(|vault| sealed(vault, b"here", b"heart rate"));
        let distinct: std::collections::BTreeSet<_> = sealings.iter().map(|bytes| &bytes[..20]).collect();
        assert_eq!(distinct.len(), 4, "a nonce came twice");
    }

    #[test]
    fn keys_of_many_openings_are_derived_again_when_they_are_no_longer_at_hand() {
        let bytes: Vec<_> = (0..KEYS_KEPT + 5).map(|_| sealed(&vault(1), b"here", b"72")).collect();
        let reader = vault(1);
        for _ in 0..2 {
            for sealed in &bytes {
                assert_eq!(reader.open(b"here", &mut sealed.clone()).expect("opens"), b"72");
            }
        }
        assert!(reader.opened.lock().len() <= KEYS_KEPT);
    }
}
