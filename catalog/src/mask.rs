//! The mask in effect on a column: its own, or the one that a tag of it brings along.
//!
//! Invariant: whoever asks whether a column has a mask asks [`Snapshot::mask_of`], which alone knows that there are two
//! ways to have one.

use lakeward_base::TagId;

use crate::model::{Column, MaskBinding, Table};
use crate::snapshot::Snapshot;

/// A mask in effect on a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveMask {
    /// The policy, and the columns handed to it.
    pub binding: MaskBinding,
    /// Where it comes from.
    pub source: MaskSource,
}

/// Where a mask in effect comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskSource {
    /// It is set on the column itself.
    Column,
    /// The value of a tag brings it along.
    Tag(TagId),
}

impl Snapshot {
    /// The mask in effect on a column. Its own beats its tags'; no two tags of a column bring one along.
    #[must_use]
    pub fn mask_of(&self, column: &Column) -> Option<EffectiveMask> {
        let own = column.mask.clone().map(|binding| EffectiveMask { binding, source: MaskSource::Column });
        own.or_else(|| self.tag_masks(column).next())
    }

    /// The masks that a column's tags bring along: at most one, in a catalog that keeps its rules.
    pub fn tag_masks<'a>(&'a self, column: &'a Column) -> impl Iterator<Item = EffectiveMask> + 'a {
        column.tags.iter().filter_map(|(tag, value)| {
            let policy = *self.tag(*tag)?.masks.get(value)?;
            let binding = MaskBinding { policy, arguments: vec![column.id] };
            Some(EffectiveMask { binding, source: MaskSource::Tag(*tag) })
        })
    }

    /// Whether any column of a table has a mask.
    #[must_use]
    pub fn has_masks(&self, table: &Table) -> bool {
        table.columns.iter().any(|column| self.mask_of(column).is_some())
    }
}
