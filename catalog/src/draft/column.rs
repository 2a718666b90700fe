//! Replacing the columns of a table.
//!
//! Invariant: a column keeps its identifier and mask exactly where its name and type stay, so that nothing that a policy
//! is bound to comes to mean something else.

use std::sync::Arc;

use lakeward_base::TableId;

use super::{Draft, NewColumn};
use crate::change::Change;
use crate::error::CatalogError;
use crate::model::{Column, Table};

impl Draft {
    /// Replaces all columns, by a commit that made `version` of the table's log. Whether row policies still fit is the
    /// caller's business.
    ///
    /// # Errors
    /// 42P01 where the table does not exist, 42701 for a column that stands twice, 2BP01 where a mask is set on a column
    /// that would go or change its type, or reads one, and where such a column has a tag.
    pub fn replace_columns(&mut self, id: TableId, new: &[NewColumn], version: u64) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_table(id)?);
        let mut columns = Vec::with_capacity(new.len());
        for column in new {
            if columns.iter().any(|known: &Column| known.name == column.name) {
                return Err(CatalogError::ColumnTwice { column: column.name.clone() });
            }
            let same = |known: &&Column| known.name == column.name && known.sql_type == column.sql_type;
            columns.push(match old.columns.iter().find(same) {
                Some(known) => known.clone(),
                None => {
                    let meant_another = old.former_columns.contains(&column.name)
                        || old.columns.iter().any(|known| known.name == column.name);
                    Column { since: meant_another.then_some(version), ..self.number_column(column.clone())? }
                }
            });
        }
        let gone = |column: &&Column| !columns.iter().any(|kept| kept.id == column.id);
        for column in old.columns.iter().filter(gone) {
            self.check_unmasked(&old, column)?;
            self.check_untagged(&old, column)?;
        }
        self.check_columns_unread(&old, &columns.iter().map(|column| column.id).collect())?;
        if let Some(subject) = old.columns.iter().find(|column| gone(column) && old.subject == Some(column.id)) {
            return Err(CatalogError::InUse {
                message: format!(
                    "cannot replace column {} of table {}: it is its SUBJECT COLUMN",
                    subject.name, old.name
                ),
                detail: format!("column {} says whose data a row is", subject.name),
                hint: Some("Name another one with ALTER TABLE … SUBJECT COLUMN first."),
            });
        }
        let mut table = Table::clone(&old);
        table.former_columns.extend(old.columns.iter().filter(gone).map(|column| column.name.clone()));
        table.columns = columns;
        // What was granted on a column goes with it; its number is never another's.
        let Table { columns, grants, .. } = &mut table;
        grants.retain(|grant| grant.column.is_none_or(|column| columns.iter().any(|kept| kept.id == column)));
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// A tag goes from a column by UNSET TAG alone: whoever may replace a table need not be one who tags.
    fn check_untagged(&self, table: &Table, gone: &Column) -> Result<(), CatalogError> {
        let Some(tag) = gone.tags.keys().next() else { return Ok(()) };
        let tag = self.tag(*tag).map_or("a tag", |tag| tag.name.as_str());
        Err(CatalogError::InUse {
            message: format!("cannot replace column {} of table {}: it is tagged", gone.name, table.name),
            detail: format!("tag {tag} is set on column {}", gone.name),
            hint: Some("Unset the tag first."),
        })
    }

    fn check_unmasked(&self, table: &Table, gone: &Column) -> Result<(), CatalogError> {
        let reads = |column: &&Column| column.mask.as_ref().is_some_and(|mask| mask.arguments.contains(&gone.id));
        let Some(user) = table.columns.iter().find(reads) else { return Ok(()) };
        let policy = user.mask.as_ref().and_then(|mask| self.masking_policy(mask.policy));
        let policy = policy.map_or("a masking policy", |policy| policy.name.as_str());
        Err(CatalogError::InUse {
            message: format!("cannot replace column {} of table {}: other objects depend on it", gone.name, table.name),
            detail: format!("masking policy {policy} on column {} depends on column {}", user.name, gone.name),
            hint: Some("Unset the masking policy first."),
        })
    }
}
