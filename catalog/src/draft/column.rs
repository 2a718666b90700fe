//! Replacing, dropping and renaming the columns of a table.
//!
//! Invariant: a column keeps its identifier and mask exactly where its name and type stay, so that nothing that a policy
//! is bound to comes to mean something else.

use std::sync::Arc;

use lakeward_base::TableId;

use super::{Draft, NewColumn};
use crate::change::Change;
use crate::error::CatalogError;
use crate::model::{Column, FormerName, Table};

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
        old.columns.iter().filter(gone).try_for_each(|column| check_no_subject(&old, column))?;
        let mut table = Table::clone(&old);
        table.former_columns.extend(old.columns.iter().filter(gone).map(|column| column.name.clone()));
        table.columns = columns;
        // What was granted on a column goes with it; its number is never another's.
        let Table { columns, grants, .. } = &mut table;
        grants.retain(|grant| grant.column.is_none_or(|column| columns.iter().any(|kept| kept.id == column)));
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Drops a column, with what was granted on it.
    ///
    /// # Errors
    /// 42P01 and 42703 where table or column does not exist, 2BP01 where a mask is set on it or reads it, and where
    /// it has a tag.
    pub fn drop_column(&mut self, id: TableId, name: &str) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_table(id)?);
        let gone = find(&old, name)?;
        self.check_unmasked(&old, gone)?;
        self.check_untagged(&old, gone)?;
        self.check_column_unread(&old, gone)?;
        check_no_subject(&old, gone)?;
        let mut table = Table::clone(&old);
        table.columns.retain(|column| column.id != gone.id);
        table.grants.retain(|grant| grant.column != Some(gone.id));
        table.former_columns.insert(gone.name.clone());
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Renames a column, by a commit that made `version` of the table's log. It stays the same to masks and grants.
    ///
    /// # Errors
    /// 42P01 and 42703 where table or column does not exist, 42701 where the new name is taken.
    pub fn rename_column(&mut self, id: TableId, from: &str, to: &str, version: u64) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_table(id)?);
        self.check_column_unread(&old, find(&old, from)?)?;
        let mut table = Table::clone(&old);
        let renamed = find(&table, from)?.id;
        if table.columns.iter().any(|column| column.name == to) {
            return Err(CatalogError::ColumnExists { column: to.to_owned(), relation: table.name });
        }
        if to.is_empty() {
            return Err(CatalogError::InvalidTable("a column has no name".to_owned()));
        }
        for column in table.columns.iter_mut().filter(|column| column.id == renamed) {
            let name = std::mem::replace(&mut column.name, to.to_owned());
            let since = column.since.replace(version);
            column.former.push(FormerName { name, since, until: version });
        }
        table.former_columns.insert(from.to_owned());
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Policies on other tables read columns by their names.
    fn check_column_unread(&self, table: &Table, changed: &Column) -> Result<(), CatalogError> {
        let others = table.columns.iter().map(|column| column.id).filter(|id| *id != changed.id);
        self.check_columns_unread(table, &others.collect())
    }

    /// A tag goes from a column by UNSET TAG alone: whoever may replace a table need not be one who tags.
    fn check_untagged(&self, table: &Table, gone: &Column) -> Result<(), CatalogError> {
        let Some(tag) = gone.tags.keys().next() else { return Ok(()) };
        let tag = self.tag(*tag).map_or("a tag", |tag| tag.name.as_str());
        Err(CatalogError::InUse {
            message: format!("cannot drop column {} of table {}: it is tagged", gone.name, table.name),
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
            message: format!(
                "cannot drop column {} of table {} because other objects depend on it",
                gone.name, table.name
            ),
            detail: format!("masking policy {policy} on column {} depends on column {}", user.name, gone.name),
            hint: Some("Unset the masking policy first."),
        })
    }
}

/// BREAK GLASS goes by it.
fn check_no_subject(table: &Table, gone: &Column) -> Result<(), CatalogError> {
    if table.subject != Some(gone.id) {
        return Ok(());
    }
    Err(CatalogError::InUse {
        message: format!("cannot drop column {} of table {}: it is its SUBJECT COLUMN", gone.name, table.name),
        detail: format!("column {} says whose data a row is", gone.name),
        hint: Some("Name another one with ALTER TABLE … SUBJECT COLUMN first."),
    })
}

fn find<'a>(table: &'a Table, name: &str) -> Result<&'a Column, CatalogError> {
    let missing = || CatalogError::ColumnNotFound { column: name.to_owned(), relation: table.name.clone() };
    table.columns.iter().find(|column| column.name == name).ok_or_else(missing)
}
