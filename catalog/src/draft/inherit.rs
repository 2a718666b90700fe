//! What a table that is made of others has from them.
//!
//! Invariant: tags and masks stand on its columns from the entry on that makes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_base::{MaskingPolicyId, TableId, TagId};

use super::Draft;
use crate::change::Change;
use crate::error::CatalogError;
use crate::model::{MaskBinding, Table};

/// What a column has from those that it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Their tags.
    pub tags: BTreeMap<TagId, String>,
    /// Their mask, and the places of the columns that are handed to it, the column's own first.
    pub mask: Option<(MaskingPolicyId, Vec<usize>)>,
}

impl Draft {
    /// Puts tags and masks on a new table's columns, in their order. From then on they are not its owner's to change.
    ///
    /// # Errors
    /// 42P01 and 42704 where the table, a tag or a policy does not exist, else as for [`set_tag`](Self::set_tag) and
    /// [`set_mask`](Self::set_mask).
    pub fn inherit(&mut self, id: TableId, columns: &[Inherited]) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(id)?);
        let ids: Vec<_> = table.columns.iter().map(|column| column.id).collect();
        for (column, inherited) in table.columns.iter_mut().zip(columns) {
            column.tags.clone_from(&inherited.tags);
            column.mask = inherited.mask.as_ref().map(|(policy, places)| MaskBinding {
                policy: *policy,
                arguments: places.iter().filter_map(|place| ids.get(*place).copied()).collect(),
            });
        }
        for column in &table.columns {
            column.tags.keys().try_for_each(|tag| self.existing_tag(*tag).map(drop))?;
            self.check_tag_masks(&table, column)?;
            if let Some(mask) = &column.mask {
                self.check_mask(&table, column.id, mask)?;
            }
        }
        table.inherits = columns.iter().any(|inherited| *inherited != Inherited::default());
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Lets others be granted privileges on a table that was its maker's alone.
    ///
    /// # Errors
    /// 42P01 where it does not exist.
    pub fn release(&mut self, id: TableId) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(id)?);
        table.grantable = true;
        self.make(Change::PutTable(Arc::new(table)))
    }
}
