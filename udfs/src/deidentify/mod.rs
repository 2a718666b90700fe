//! Identifiers in free text: what they are, where they stand, and what to put in their place.
//!
//! A note is normalised, cut into tokens that are looked up once, and read by rules that a token sets off; what overlaps
//! is settled; names that are certain are found again throughout the note. No model, no regular expressions, no state
//! between notes. Invariants: linear in the length of the text; spans are of whole characters of the original.

mod candidate;
mod checksum;
mod detector;
mod entity;
mod hint;
mod label;
mod lexicon;
mod marker;
mod normalize;
mod operator;
mod recognizer;
mod strict;
mod token;
mod vocabulary;

pub use detector::{Detector, Finding, Request};
pub use entity::{Entities, Entity};
pub use hint::Hints;
pub use operator::{Cipher, Operator};

#[cfg(test)]
mod tests;
