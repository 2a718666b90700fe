//! Keys that policies' subqueries found, kept from one statement to the next.
//!
//! A set is kept under what the subquery means to one principal and the versions of the tables that it reads, and the very
//! reading of their logs (a table may be replaced at its location, under the same number): a change of any of them is
//! another set. Invariants: so many sets and so many bytes at most, counted as queries' memory; nothing is
//! kept of rows that are not committed, or of a subquery that asks for the time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use lakeward_govern::Mapping;
use parking_lot::Mutex;

/// The most sets.
const SETS: usize = 64;

/// See the module.
pub(crate) struct KeyCache {
    kept: Mutex<VecDeque<Arc<Mapping>>>,
    most_bytes: usize,
}

impl KeyCache {
    /// One that holds so many bytes from one statement to the next.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { kept: Mutex::default(), most_bytes }
    }

    /// The set that is kept for this subquery, or the subquery itself, which is kept from now on.
    pub(crate) fn shared(&self, mapping: Arc<Mapping>) -> Arc<Mapping> {
        if !mapping.is_lasting() {
            return mapping;
        }
        let mut kept = self.kept.lock();
        let known = kept.iter().position(|known| known.answers_for(&mapping)).and_then(|place| kept.remove(place));
        // The same at another version is not asked for again.
        kept.retain(|known| **known != *mapping);
        let found = known.unwrap_or(mapping);
        kept.push_back(Arc::clone(&found));
        self.trim_to_size(&mut kept);
        found
    }

    /// Lets go of what is too much: how large a set is, is known once a statement has read it.
    pub(crate) fn trim(&self) {
        self.trim_to_size(&mut self.kept.lock());
    }

    fn trim_to_size(&self, kept: &mut VecDeque<Arc<Mapping>>) {
        while kept.len() > SETS || kept.iter().map(|known| known.held_bytes()).sum::<usize>() > self.most_bytes {
            kept.pop_front();
        }
    }
}

/// Sets hold keys.
impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").field("sets", &self.kept.lock().len()).finish_non_exhaustive()
    }
}
