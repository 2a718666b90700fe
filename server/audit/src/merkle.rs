//! The Merkle tree over the log's records, as RFC 6962, section 2.1, has it: record n is leaf n − 1.
//!
//! The log keeps the tree's peaks only: the roots of its whole subtrees, one for each bit of its size. Invariant: a tree's
//! root depends on every record, its place, and how many there are.

use sha2::{Digest, Sha256};

use crate::segment::Hash;

/// What stands in the place of a record that a restart found missing.
const MISSING: &[u8] = b"";

/// A tree that grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree {
    size: u64,
    /// Of the largest subtree first.
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree of `size` leaves with these peaks; `None` where there is no such tree.
    pub(crate) fn of_peaks(size: u64, peaks: &[Vec<u8>]) -> Option<Self> {
        let peaks = peaks.iter().map(|peak| Hash::try_from(peak.as_slice()).ok()).collect::<Option<Vec<_>>>()?;
        (peaks.len() as u64 == u64::from(size.count_ones())).then_some(Self { size, peaks })
    }

    pub(crate) fn peaks(&self) -> Vec<Vec<u8>> {
        self.peaks.iter().map(|peak| peak.to_vec()).collect()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each subtree that is whole already joins the new one of its size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Leaves places empty up to `size`.
    pub(crate) fn pad(&mut self, size: u64) {
        let missing = leaf(MISSING);
        while self.size < size {
            self.push(missing);
        }
    }

    /// The tree's root.
    pub(crate) fn root(&self) -> Hash {
        let mut smallest_first = self.peaks.iter().rev();
        let Some(last) = smallest_first.next() else { return Sha256::digest(b"").into() };
        smallest_first.fold(*last, |right, left| node(left, &right))
    }
}

/// The hash of a record as a leaf.
pub(crate) fn leaf(record: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(record).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Makes the audit path of one leaf while all of them pass by.
pub(crate) struct Path {
    /// The subtrees beside the way to the root, nearest first: where they end, and what of them has passed.
    beside: Vec<(std::ops::Range<u64>, Tree)>,
}

impl Path {
    /// Of leaf `index` in a tree of `size` leaves.
    pub(crate) fn of(index: u64, size: u64) -> Self {
        let (mut beside, mut within) = (Vec::new(), 0..size);
        while within.end - within.start > 1 {
            let length = within.end - within.start;
            let middle = within.start + (length.next_power_of_two() / 2);
            let (left, right) = (within.start..middle, middle..within.end);
            let (towards, other) = if index < middle { (left, right) } else { (right, left) };
            beside.push((other, Tree::default()));
            within = towards;
        }
        beside.reverse();
        Self { beside }
    }

    /// The leaf at `index` passes.
    pub(crate) fn push(&mut self, index: u64, leaf: Hash) {
        if let Some((_, tree)) = self.beside.iter_mut().find(|(range, _)| range.contains(&index)) {
            tree.push(leaf);
        }
    }

    /// The path, from the leaf to the root; `None` while a leaf of it has not passed.
    pub(crate) fn hashes(&self) -> Option<Vec<Hash>> {
        let whole = |(range, tree): &(std::ops::Range<u64>, Tree)| {
            (tree.size() == range.end - range.start).then(|| tree.root())
        };
        self.beside.iter().map(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962's definition, word for word.
    fn root_of(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest(b"").into(),
            [only] => *only,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node(&root_of(&leaves[..k]), &root_of(&leaves[k..]))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf(&number.to_le_bytes())).collect()
    }

    fn tree(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        for count in 0..130 {
            let leaves = leaves(count);
            let tree = tree(&leaves);
            assert_eq!(tree.root(), root_of(&leaves), "{count}");
            assert_eq!(Tree::of_peaks(count, &tree.peaks()), Some(tree));
        }
        assert_eq!(Tree::of_peaks(3, &[vec![0; 32]]), None);
        assert_eq!(Tree::of_peaks(1, &[vec![0; 31]]), None);
    }

    #[test]
    fn known_roots() {
        // The test vectors of RFC 6962's reference log: the empty tree, and one empty leaf.
        let hex_root = |leaves: &[Hash]| hex::encode(tree(leaves).root());
        assert_eq!(hex_root(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex_root(&[leaf(b"")]), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }

    #[test]
    fn a_path_leads_every_leaf_to_the_root_and_no_other() {
        for count in 1..40 {
            let leaves = leaves(count);
            let root = tree(&leaves).root();
            for index in 0..count {
                let mut path = Path::of(index, count);
                leaves.iter().zip(0..).for_each(|(leaf, at)| path.push(at, *leaf));
                let hashes = path.hashes().unwrap();
                let led = |leaf: Hash| led(leaf, index, count, &hashes);
                assert_eq!(led(leaves[index as usize]), Some(root), "{index} of {count}");
                assert_ne!(led(leaf(b"another")), Some(root));
            }
        }
    }

    /// RFC 9162, section 2.1.3.2.
    fn led(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
        let (mut at, mut last, mut hash) = (index, size - 1, leaf);
        for beside in path {
            if last == 0 {
                return None;
            }
            if at % 2 == 1 || at == last {
                hash = node(beside, &hash);
                while at.is_multiple_of(2) && at != 0 {
                    at /= 2;
                    last /= 2;
                }
            } else {
                hash = node(&hash, beside);
            }
            at /= 2;
            last /= 2;
        }
        (last == 0).then_some(hash)
    }
}
