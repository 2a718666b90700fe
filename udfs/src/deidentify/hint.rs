//! What other columns of a row say about its text: the patient's name, a record number.
//!
//! Invariant: a hint of letters is found word by word, in any case; one with digits is found whole, whatever separators
//! stand within it.

use std::collections::HashSet;

use super::candidate::HINT;
use super::entity::Entity;
use super::lexicon::{hash, kind};
use super::normalize::Normalized;
use super::recognizer::Finds;
use super::token::{Page, Shape};

/// The longest text that is a hint, in bytes.
const LENGTH: usize = 4096;

/// The hints of one text.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Hashes of words.
    words: HashSet<u64>,
    /// Letters and digits of numbers, in lower case and in order.
    numbers: Vec<String>,
}

impl Hints {
    /// The hints that these texts are.
    #[must_use]
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hints = Self::default();
        for text in texts {
            // A longer one is no name and no number.
            let Some(plain) = Normalized::within(text, LENGTH) else { continue };
            if plain.text.bytes().any(|byte| byte.is_ascii_digit()) {
                let number: String = plain.text.chars().filter(char::is_ascii_alphanumeric).collect();
                // A room, an age, a year of two digits: too short to be looked for in a note.
                if number.len() >= 4 {
                    hints.numbers.push(number.to_ascii_lowercase());
                }
                continue;
            }
            let words = plain.text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 1);
            hints.words.extend(words.map(|word| hash(word.as_bytes())));
        }
        hints.numbers.sort_unstable();
        hints.numbers.dedup();
        hints
    }

    /// Adds what is found of them.
    pub(crate) fn find(&self, page: &Page<'_>, finds: &mut Finds) {
        if self.words.is_empty() && self.numbers.is_empty() {
            return;
        }
        for (index, token) in page.tokens.iter().enumerate() {
            let word = page.between(token.start, token.end);
            // Small words that are grammar are names only where they are written as such: "Will".
            let grammar = token.is(kind::GRAMMAR | kind::WORD) && token.shape == Shape::Lower;
            if token.is_word() && !grammar && self.words.contains(&hash(word.as_bytes())) {
                finds.add(token.start, token.end, Entity::Person, 90, HINT);
            }
            if self.numbers.is_empty() {
                continue;
            }
            let word = word.to_ascii_lowercase();
            let first = self.numbers.partition_point(|number| *number < word);
            for number in self.numbers.iter().skip(first).take_while(|number| number.starts_with(&word)) {
                if let Some(end) = whole(page, index, number) {
                    finds.add(token.start, end, Entity::MedicalRecordNumber, 89, HINT);
                }
            }
        }
    }
}

/// The end of `number` where it begins at token `index`.
fn whole(page: &Page<'_>, index: usize, number: &str) -> Option<u32> {
    let mut rest = number;
    for at in index..index + 12 {
        let token = page.token(at)?;
        if token.shape == Shape::Lower && at == index && rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let word = page.word(at).to_ascii_lowercase();
        rest = rest.strip_prefix(word.as_str())?;
        if rest.is_empty() {
            return Some(token.end);
        }
        let gap = page.gap(at);
        if gap.len() > 3 || !gap.bytes().all(|byte| b"-. /()\n\r".contains(&byte)) {
            return None;
        }
    }
    None
}
