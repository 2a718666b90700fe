//! The `_id` of a view's row: the same whenever the row is computed again.
//!
//! The first 128 bits of a SHA-256, over numbers of fixed width and bytes at the end alone, so that no two things to be
//! named have the same bytes.
//!
//! Invariant: an id tells nothing of the row but where it comes from; ids of keys are hashes of what may be few values, and
//! are therefore shown to those alone who are shown the key.

use std::fmt;

use ring::digest::{Context, SHA256};

use crate::decode::Origin;

const ID_BYTES: usize = 16;

/// A view, at one version of its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ViewVersion {
    /// The view's number in the catalog.
    pub view: u64,
    /// Grows with every change of its definition.
    pub version: u32,
}

/// The id of a view's row. Shown as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub [u8; ID_BYTES]);

impl RowId {
    /// Of the row that `view` made of the record at `origin` of stream `source`; `ordinal` counts the rows of one record.
    #[must_use]
    pub fn of_event(view: ViewVersion, source: u64, origin: Origin, ordinal: u32) -> Self {
        let mut hash = begin(view, b'e');
        hash.update(&source.to_le_bytes());
        hash.update(&origin.partition.to_le_bytes());
        hash.update(&origin.offset.to_le_bytes());
        hash.update(&ordinal.to_le_bytes());
        finish(hash)
    }

    /// Of the row that `view` keeps for a key, the window's start among it.
    #[must_use]
    pub fn of_key(view: ViewVersion, key: &[u8]) -> Self {
        let mut hash = begin(view, b'k');
        hash.update(key);
        finish(hash)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn begin(view: ViewVersion, kind: u8) -> Context {
    let mut hash = Context::new(&SHA256);
    hash.update(&[kind]);
    hash.update(&view.view.to_le_bytes());
    hash.update(&view.version.to_le_bytes());
    hash
}

fn finish(hash: Context) -> RowId {
    let mut id = [0; ID_BYTES];
    for (to, from) in id.iter_mut().zip(hash.finish().as_ref()) {
        *to = *from;
    }
    RowId(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_told_apart_by_everything_they_are_made_of_and_stay_what_they_are() {
        let view = ViewVersion { view: 1, version: 2 };
        let origin = Origin { partition: 3, offset: 4 };
        let id = RowId::of_event(view, 9, origin, 0);
        assert_eq!(id, RowId::of_event(view, 9, origin, 0));
        let others = [
            id,
            RowId::of_event(ViewVersion { view: 2, ..view }, 9, origin, 0),
            RowId::of_event(ViewVersion { version: 3, ..view }, 9, origin, 0),
            RowId::of_event(view, 8, origin, 0),
            RowId::of_event(view, 9, Origin { partition: 4, ..origin }, 0),
            RowId::of_event(view, 9, Origin { offset: 5, ..origin }, 0),
            RowId::of_event(view, 9, origin, 1),
            RowId::of_key(view, b"key"),
            RowId::of_key(view, b"kez"),
            RowId::of_key(ViewVersion { version: 3, ..view }, b"key"),
        ];
        assert_eq!(others.iter().collect::<BTreeSet<_>>().len(), others.len());
        // Consumers drop duplicates by it, across releases.
        assert_eq!(id.to_string(), "9bdd5ba8aa5b790379656f96a0eb995f");
    }
}
