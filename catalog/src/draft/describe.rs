//! Comments.
//!
//! Invariant: a comment goes with what it describes: it is dropped, renamed and handed over with it.

use std::sync::Arc;

use lakeward_base::{ColumnId, RoleId, SchemaId, TableId};

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Column, Relation, Role, Schema, Table, View};

/// What a comment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Described {
    /// A role.
    Role(RoleId),
    /// A schema.
    Schema(SchemaId),
    /// A table or view.
    Relation(TableId),
    /// A column of a table or view.
    Column(TableId, ColumnId),
}

impl Draft {
    /// Sets a comment, or takes it away.
    ///
    /// # Errors
    /// 42704, 3F000, 42P01 and 42703 where there is no such thing.
    pub fn comment(&mut self, on: Described, text: Option<String>) -> Result<(), CatalogError> {
        let change = match on {
            Described::Role(id) => {
                let mut role = Role::clone(self.existing_role(id)?);
                role.comment = text;
                Change::PutRole(Arc::new(role))
            }
            Described::Schema(id) => {
                let mut schema = Schema::clone(self.existing_schema(id)?);
                schema.comment = text;
                Change::PutSchema(Arc::new(schema))
            }
            Described::Relation(id) => self.commented(id, |comment, _| {
                *comment = text;
                Ok(())
            })?,
            Described::Column(id, column) => self.commented(id, |_, columns| {
                let found = columns.iter_mut().find(|candidate| candidate.id == column);
                found.map(|column| column.comment = text).ok_or(())
            })?,
        };
        self.make(change)
    }

    fn commented(
        &self,
        id: TableId,
        edit: impl FnOnce(&mut Option<String>, &mut [Column]) -> Result<(), ()>,
    ) -> Result<Change, CatalogError> {
        let missing = |()| CatalogError::ColumnNotFound { column: "?".to_owned(), relation: self.qualified_name(id) };
        match self.relation_by_id(id) {
            Some(Relation::Table(table)) => {
                let mut table = Table::clone(table);
                edit(&mut table.comment, &mut table.columns).map_err(missing)?;
                Ok(Change::PutTable(Arc::new(table)))
            }
            Some(Relation::View(view)) => {
                let mut view = View::clone(view);
                edit(&mut view.comment, &mut view.columns).map_err(missing)?;
                Ok(Change::PutView(Arc::new(view)))
            }
            None => Err(CatalogError::Vanished { kind: ObjectKind::Relation, id: id.0 }),
        }
    }
}
