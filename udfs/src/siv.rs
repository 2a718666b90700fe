//! AES-SIV, RFC 5297, with two keys of 128 bits: deterministic encryption that authenticates what it encrypts.
//!
//! The modes (CMAC, CTR) are libraries'; the ready-made crate of SIV would have half of the tree built again with a
//! random source. Invariant: the RFC's example holds.

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::generic_array::typenum::U16;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher};
use cmac::{Cmac, Mac};
use ctr::{Ctr128BE, CtrCore};
use dbl::Dbl;

type Block = GenericArray<u8, U16>;

/// A key of AES-SIV.
pub(crate) struct Siv {
    mac: Cmac<Aes128>,
    cipher: Aes128,
}

impl Siv {
    /// The first half of `key` authenticates, the second encrypts.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let (mac, cipher) = key.split_at(16);
        Self {
            mac: <Cmac<Aes128> as KeyInit>::new(Block::from_slice(mac)),
            cipher: Aes128::new(Block::from_slice(cipher)),
        }
    }

    /// The synthetic initialisation vector, then the encrypted bytes; `kind` is authenticated with them.
    pub(crate) fn seal(&self, kind: &[u8], value: &[u8]) -> Vec<u8> {
        let vector = self.vector(kind, value);
        let mut counter = vector;
        for (place, byte) in counter.iter_mut().enumerate() {
            if matches!(place, 8 | 12) {
                *byte &= 0x7f;
            }
        }
        let mut sealed = value.to_vec();
        let core = CtrCore::inner_iv_init(self.cipher.clone(), &counter);
        Ctr128BE::from_core(core).apply_keystream(&mut sealed);
        vector.into_iter().chain(sealed).collect()
    }

    /// S2V of one associated string and the value.
    fn vector(&self, kind: &[u8], value: &[u8]) -> Block {
        let mixed = exclusive_or(self.mac(&[&[0; 16]]).dbl(), &self.mac(&[kind]));
        match value.len().checked_sub(16) {
            Some(from) => {
                let (start, end) = value.split_at(from);
                self.mac(&[start, &exclusive_or(mixed, end)])
            }
            None => {
                let padded: Vec<u8> = value.iter().copied().chain([0x80]).chain([0; 16]).take(16).collect();
                self.mac(&[&exclusive_or(mixed.dbl(), &padded)])
            }
        }
    }

    fn mac(&self, parts: &[&[u8]]) -> Block {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    }
}

fn exclusive_or(mut block: Block, other: &[u8]) -> Block {
    block.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5297, A.1.
    #[test]
    fn the_published_example_holds() {
        let key = hex::decode("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").unwrap();
        let kind = hex::decode("101112131415161718191a1b1c1d1e1f2021222324252627").unwrap();
        let value = hex::decode("112233445566778899aabbccddee").unwrap();
        let sealed = Siv::new(&key.try_into().unwrap()).seal(&kind, &value);
        assert_eq!(hex::encode(sealed), "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c");
    }

    #[test]
    fn a_long_value_is_sealed_too_and_kinds_differ() {
        let siv = Siv::new(&[7; 32]);
        let long = siv.seal(b"PERSON", &[b'x'; 100]);
        assert_eq!(long.len(), 116);
        assert_ne!(long, siv.seal(b"DATE_TIME", &[b'x'; 100]));
        assert_eq!(siv.seal(b"PERSON", b"").len(), 16);
    }
}
