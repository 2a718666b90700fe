//! What each word may be: a name, an ordinary word, a clinical term, the beginning of an address.
//!
//! The lists stand in `lexicon/` (their sources: `lexicon/README.md`) and become one hash table of fingerprints, built
//! when the first note is read: 8 bytes a slot, 4 MiB. Invariant: a word is looked up in lower case without accents, by
//! at most its first 24 bytes; a chance hit of a word that is on no list is as likely as one in billions.

use std::sync::LazyLock;

/// What a word may be, as bits.
pub(crate) mod kind {
    /// One of the commonest first names.
    pub(crate) const FIRST_COMMON: u32 = 1;
    /// A first name.
    pub(crate) const FIRST: u32 = 1 << 1;
    /// A common last name.
    pub(crate) const LAST_COMMON: u32 = 1 << 2;
    /// A last name.
    pub(crate) const LAST: u32 = 1 << 3;
    /// An ordinary English word.
    pub(crate) const WORD: u32 = 1 << 4;
    /// A rarer English word.
    pub(crate) const RARE_WORD: u32 = 1 << 5;
    /// A clinical term, abbreviation or drug.
    pub(crate) const CLINICAL: u32 = 1 << 6;
    /// A name that diseases, signs and devices bear.
    pub(crate) const EPONYM: u32 = 1 << 7;
    /// Mr, Dr and the like.
    pub(crate) const TITLE: u32 = 1 << 8;
    /// Wife, patient, nurse: whom a name follows.
    pub(crate) const ROLE: u32 = 1 << 9;
    /// MD, RN: what follows a name.
    pub(crate) const CREDENTIAL: u32 = 1 << 10;
    /// What streets end with.
    pub(crate) const STREET: u32 = 1 << 11;
    /// A month.
    pub(crate) const MONTH: u32 = 1 << 12;
    /// A city of one word.
    pub(crate) const CITY: u32 = 1 << 13;
    /// The first word of a city of several.
    pub(crate) const CITY_BEGINS: u32 = 1 << 14;
    /// All words of such a city, written together.
    pub(crate) const CITY_JOINED: u32 = 1 << 15;
    /// A state of the USA, by name or by its two letters.
    pub(crate) const STATE: u32 = 1 << 16;
    /// What hospitals and the like are called.
    pub(crate) const FACILITY: u32 = 1 << 17;
    /// What says nothing about which of them.
    pub(crate) const GENERIC: u32 = 1 << 18;
    /// A word that says what a number or a name beside it is.
    pub(crate) const LABEL: u32 = 1 << 19;
    /// A word of grammar: never a name, whatever stands before it.
    pub(crate) const GRAMMAR: u32 = 1 << 20;
    /// A preposition that places follow.
    pub(crate) const WHERE: u32 = 1 << 21;
    /// What stands between the parts of a name.
    pub(crate) const PARTICLE: u32 = 1 << 22;
    /// A number in words.
    pub(crate) const NUMERAL: u32 = 1 << 23;
    /// What web addresses end with.
    pub(crate) const DOMAIN: u32 = 1 << 24;
    /// What a person does, after the name.
    pub(crate) const DOES: u32 = 1 << 25;

    /// Any name.
    pub(crate) const NAME: u32 = FIRST_COMMON | FIRST | LAST_COMMON | LAST;
    /// Any first name.
    pub(crate) const ANY_FIRST: u32 = FIRST_COMMON | FIRST;
    /// What is not a name unless something says so.
    pub(crate) const NO_NAME: u32 = WORD | CLINICAL | MONTH | GRAMMAR | STREET | FACILITY;
}

/// The longest word that is told apart from one that goes on.
const LENGTH: usize = 24;
const SLOT_BITS: u32 = 19;

/// The table.
pub(crate) struct Lexicon {
    slots: Vec<u64>,
}

impl Lexicon {
    /// The one lexicon of the process.
    pub(crate) fn get() -> &'static Self {
        static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::build);
        &LEXICON
    }

    fn build() -> Self {
        let mut lexicon = Self { slots: vec![0; 1 << SLOT_BITS] };
        for (words, kinds) in super::vocabulary::LISTS {
            for word in words.split_ascii_whitespace() {
                lexicon.insert(word.as_bytes(), *kinds);
            }
        }
        for city in super::vocabulary::CITIES.lines() {
            let joined: String = city.split(' ').collect();
            match city.split_once(' ') {
                None => lexicon.insert(city.as_bytes(), kind::CITY),
                Some((first, _)) => {
                    lexicon.insert(first.as_bytes(), kind::CITY_BEGINS);
                    lexicon.insert(joined.as_bytes(), kind::CITY_JOINED);
                }
            }
        }
        lexicon
    }

    fn insert(&mut self, word: &[u8], kinds: u32) {
        let hash = hash(word);
        let print = hash & 0xFFFF_FFFF;
        let mut slot = slot(hash);
        // The lists fill half of the table: there is always an empty slot.
        while let Some(entry) = self.slots.get_mut(slot) {
            if *entry == 0 || *entry >> 32 == print {
                *entry = (print << 32) | (*entry & 0xFFFF_FFFF) | u64::from(kinds);
                return;
            }
            slot = (slot + 1) & ((1 << SLOT_BITS) - 1);
        }
    }

    /// What the word of the hash may be; 0 where it is on no list.
    pub(crate) fn kinds(&self, hash: u64) -> u32 {
        let print = hash & 0xFFFF_FFFF;
        let mut slot = slot(hash);
        while let Some(entry) = self.slots.get(slot) {
            if *entry == 0 {
                return 0;
            }
            if *entry >> 32 == print {
                return (*entry & 0xFFFF_FFFF) as u32;
            }
            slot = (slot + 1) & ((1 << SLOT_BITS) - 1);
        }
        0
    }
}

const fn slot(hash: u64) -> usize {
    (hash >> (64 - SLOT_BITS)) as usize
}

/// The hash of a word, its ASCII letters in lower case.
pub(crate) fn hash(word: &[u8]) -> u64 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let word = word.get(..LENGTH).unwrap_or(word);
    let mut state = word.len() as u64;
    let (chunks, rest) = word.as_chunks::<8>();
    for chunk in chunks {
        state = (state ^ (u64::from_le_bytes(*chunk) | CASE)).wrapping_mul(FACTOR);
        state ^= state >> 29;
    }
    let last = rest.iter().rev().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte | 0x20));
    state = (state ^ last).wrapping_mul(FACTOR);
    state ^= state >> 32;
    state.wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_their_lists_say() {
        let lexicon = Lexicon::get();
        for (word, kinds) in [
            ("Maria", kind::FIRST_COMMON),
            ("SMITH", kind::LAST_COMMON),
            ("heparin", kind::CLINICAL),
            ("Parkinson", kind::EPONYM),
            ("the", kind::WORD),
            ("boston", kind::CITY),
            ("daughter", kind::ROLE),
            ("Dr", kind::TITLE),
        ] {
            assert_eq!(lexicon.kinds(hash(word.as_bytes())) & kinds, kinds, "{word}");
        }
        assert_eq!(lexicon.kinds(hash(b"qzxvkj")), 0);
        assert_ne!(lexicon.kinds(hash(b"newyork")) & kind::CITY_JOINED, 0);
        assert!(lexicon.slots.iter().filter(|slot| **slot != 0).count() * 10 < lexicon.slots.len() * 7);
    }
}
