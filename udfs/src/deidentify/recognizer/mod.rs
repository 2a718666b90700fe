//! The rules, each kind of identifier in its own file.
//!
//! Invariant: a rule looks at a bounded number of tokens around the one that set it off, so that all of them together
//! are linear in the length of the text.

pub(crate) mod address;
pub(crate) mod age;
pub(crate) mod contact;
pub(crate) mod date;
pub(crate) mod identifier;
pub(crate) mod name;
pub(crate) mod organization;
pub(crate) mod phone;

use super::candidate::Candidate;
use super::entity::Entity;

/// What a rule adds its finds to.
#[derive(Default)]
pub(crate) struct Finds {
    pub(crate) candidates: Vec<Candidate>,
}

impl Finds {
    pub(crate) fn add(&mut self, start: u32, end: u32, entity: Entity, score: u8, recognizer: &'static str) {
        self.candidates.push(Candidate { start, end, entity, score, recognizer });
    }
}
