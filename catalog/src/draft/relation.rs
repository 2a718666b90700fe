//! Tables and views.
//!
//! Invariants: no two tables share files, whatever their locations are called; a column keeps its identifier for good; a
//! table's columns, masks and policies change only through the mutators made for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lakeward_base::{ColumnId, Redacted, RoleId, SchemaId, TableId};

use super::Draft;
use super::grant::hand_over;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::location::{canonical_location, overlaps};
use crate::model::{Column, Table, View};
use crate::name::check_name;

/// A column to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumn {
    /// Name, exactly as in the Delta schema.
    pub name: String,
    /// SQL type.
    pub sql_type: String,
}

/// A table to be made.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// The schema that it will be in.
    pub schema: SchemaId,
    /// Name, as folded.
    pub name: String,
    /// Owner.
    pub owner: RoleId,
    /// Where its Delta log is: any spelling of an absolute URL; kept in its canonical one.
    pub location: String,
    /// Dropping the table deletes the files too.
    pub managed: bool,
    /// Columns, in order.
    pub columns: Vec<NewColumn>,
    /// False for derived tables.
    pub grantable: bool,
}

/// A view to be made.
#[derive(Clone)]
pub struct NewView {
    /// The schema that it will be in.
    pub schema: SchemaId,
    /// Name, as folded.
    pub name: String,
    /// Owner.
    pub owner: RoleId,
    /// The SELECT, as it was typed.
    pub definition: Redacted<String>,
    /// Where unqualified names in it are looked for.
    pub search_path: Vec<String>,
    /// Output columns, in order.
    pub columns: Vec<NewColumn>,
}

impl Draft {
    /// Makes a table.
    ///
    /// # Errors
    /// 42P07 where the name is taken, 42939 where it is reserved, 42602 where it cannot be one, 3F000 and 42704 for an
    /// unknown schema and owner, 42701 for a column that stands twice, 22023 for an unusable location, 42710 for one
    /// that is equal to, above or below another table's.
    pub fn create_table(&mut self, new: NewTable) -> Result<TableId, CatalogError> {
        self.check_new_relation(ObjectKind::Table, new.schema, &new.name)?;
        self.existing_role(new.owner)?;
        let location = canonical_location(&new.location)?;
        if let Some(other) = self.tables().find(|other| overlaps(&other.location, &location)) {
            return Err(CatalogError::LocationOverlaps { table: self.qualified_name(other.id) });
        }
        let columns = self.number_columns(new.columns)?;
        let id = TableId(self.identifier()?);
        let table = Table {
            id,
            schema: new.schema,
            name: new.name,
            owner: new.owner,
            location,
            managed: new.managed,
            columns,
            grants: Vec::new(),
            row_security: false,
            policies: Vec::new(),
            grantable: new.grantable,
            comment: None,
            former_columns: BTreeSet::new(),
            subject: None,
        };
        self.make(Change::PutTable(Arc::new(table)))?;
        Ok(id)
    }

    /// Changes a table's name, schema, owner or row security.
    ///
    /// # Errors
    /// 42P01 where it does not exist, 2BP01 where a column that a mask names would go, 0A000 for everything else that
    /// cannot be changed so; as for [`create_table`](Self::create_table) for the new name, schema and owner.
    pub fn alter_table(&mut self, id: TableId, edit: impl FnOnce(&mut Table)) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_table(id)?);
        let mut table = Table::clone(&old);
        edit(&mut table);
        self.check_masks_keep_columns(&old, &table)?;
        self.check_columns_unread(&old, &table.columns.iter().map(|column| column.id).collect())?;
        let kept = table.id == old.id
            && table.location == old.location
            && table.managed == old.managed
            && table.columns == old.columns
            && table.former_columns == old.former_columns
            && table.grants == old.grants
            && table.policies == old.policies
            && table.grantable == old.grantable
            && table.subject == old.subject;
        if !kept {
            return Err(CatalogError::Unsupported(
                "changing anything but a table's name, schema, owner and row security by altering it",
            ));
        }
        if (table.schema, &table.name) != (old.schema, &old.name) {
            self.check_new_relation(ObjectKind::Table, table.schema, &table.name)?;
        }
        self.existing_role(table.owner)?;
        hand_over(&mut table.grants, old.owner, table.owner);
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Adds a column at the end of a table, first in `version` of its log.
    ///
    /// # Errors
    /// 42P01 where the table does not exist, 42701 where it has such a column.
    pub fn add_column(&mut self, id: TableId, new: NewColumn, version: u64) -> Result<ColumnId, CatalogError> {
        let mut table = Table::clone(self.existing_table(id)?);
        if table.columns.iter().any(|column| column.name == new.name) {
            return Err(CatalogError::ColumnExists { column: new.name, relation: table.name });
        }
        let mut column = self.number_column(new)?;
        column.since = table.former_columns.contains(&column.name).then_some(version);
        let number = column.id;
        table.columns.push(column);
        self.make(Change::PutTable(Arc::new(table)))?;
        Ok(number)
    }

    /// Drops a table with its policies and grants. Deleting a managed table's files is the caller's business.
    ///
    /// # Errors
    /// 42P01 where it does not exist, 2BP01 where a policy reads it.
    pub fn drop_table(&mut self, id: TableId) -> Result<(), CatalogError> {
        self.check_unread(&Arc::clone(self.existing_table(id)?))?;
        self.make(Change::DropRelation(id))
    }

    /// Makes a view.
    ///
    /// # Errors
    /// As for [`create_table`](Self::create_table), less the location.
    pub fn create_view(&mut self, new: NewView) -> Result<TableId, CatalogError> {
        self.check_new_relation(ObjectKind::View, new.schema, &new.name)?;
        self.existing_role(new.owner)?;
        let columns = self.number_columns(new.columns)?;
        let id = TableId(self.identifier()?);
        let NewView { schema, name, owner, definition, search_path, .. } = new;
        let view =
            View { id, schema, name, owner, definition, search_path, columns, grants: Vec::new(), comment: None };
        self.make(Change::PutView(Arc::new(view)))?;
        Ok(id)
    }

    /// Replaces what a view selects (`CREATE OR REPLACE VIEW`). As in PostgreSQL, columns may be added at the end;
    /// those it has keep name and type.
    ///
    /// # Errors
    /// 42P01 where it does not exist, 42P17 where a column would go or change, 42701 for a column that stands twice.
    pub fn replace_view(
        &mut self,
        id: TableId,
        definition: Redacted<String>,
        search_path: Vec<String>,
        columns: Vec<NewColumn>,
    ) -> Result<(), CatalogError> {
        let mut view = View::clone(self.existing_view(id)?);
        if columns.len() < view.columns.len() {
            return Err(CatalogError::InvalidTable("cannot drop columns from view".to_owned()));
        }
        check_distinct(columns.iter().map(|column| &column.name))?;
        for (old, new) in view.columns.iter().zip(&columns) {
            check_view_column(old, new)?;
        }
        for added in columns.into_iter().skip(view.columns.len()) {
            view.columns.push(self.number_column(added)?);
        }
        view.definition = definition;
        view.search_path = search_path;
        self.make(Change::PutView(Arc::new(view)))
    }

    /// Changes a view's name, schema or owner.
    ///
    /// # Errors
    /// As for [`alter_table`](Self::alter_table).
    pub fn alter_view(&mut self, id: TableId, edit: impl FnOnce(&mut View)) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_view(id)?);
        let mut view = View::clone(&old);
        edit(&mut view);
        let kept = view.id == old.id
            && view.definition == old.definition
            && view.search_path == old.search_path
            && view.columns == old.columns
            && view.grants == old.grants;
        if !kept {
            return Err(CatalogError::Unsupported(
                "changing anything but a view's name, schema and owner by altering it",
            ));
        }
        if (view.schema, &view.name) != (old.schema, &old.name) {
            self.check_new_relation(ObjectKind::View, view.schema, &view.name)?;
        }
        self.existing_role(view.owner)?;
        hand_over(&mut view.grants, old.owner, view.owner);
        self.make(Change::PutView(Arc::new(view)))
    }

    /// Drops a view.
    ///
    /// # Errors
    /// 42P01 where it does not exist.
    pub fn drop_view(&mut self, id: TableId) -> Result<(), CatalogError> {
        self.existing_view(id)?;
        self.make(Change::DropRelation(id))
    }

    fn check_new_relation(&self, kind: ObjectKind, schema: SchemaId, name: &str) -> Result<(), CatalogError> {
        check_name(kind, name)?;
        self.existing_schema(schema)?;
        if self.snapshot.relations.by_name(schema, name).is_some() {
            return Err(CatalogError::exists(ObjectKind::Relation, name));
        }
        Ok(())
    }

    fn number_columns(&mut self, new: Vec<NewColumn>) -> Result<Vec<Column>, CatalogError> {
        check_distinct(new.iter().map(|column| &column.name))?;
        new.into_iter().map(|column| self.number_column(column)).collect()
    }

    pub(super) fn number_column(&mut self, new: NewColumn) -> Result<Column, CatalogError> {
        if new.name.is_empty() {
            return Err(CatalogError::InvalidTable("a column has no name".to_owned()));
        }
        let id = ColumnId(self.snapshot.counters.column()?);
        let (name, sql_type) = (new.name, new.sql_type);
        Ok(Column { id, name, sql_type, mask: None, tags: BTreeMap::new(), comment: None, since: None })
    }

    /// A mask whose argument is gone would fail every query, or worse, mean another column.
    fn check_masks_keep_columns(&self, old: &Table, new: &Table) -> Result<(), CatalogError> {
        let remaining: BTreeSet<_> = new.columns.iter().map(|column| column.id).collect();
        for column in old.columns.iter().filter(|column| !remaining.contains(&column.id)) {
            let users = old.columns.iter().filter_map(|user| {
                let mask = user.mask.as_ref().filter(|mask| mask.arguments.contains(&column.id))?;
                let policy = self.masking_policy(mask.policy)?;
                Some(format!(
                    "masking policy {} on column {} depends on column {}",
                    policy.name, user.name, column.name
                ))
            });
            let users: Vec<_> = users.collect();
            if !users.is_empty() {
                let message = format!(
                    "cannot drop column {} of table {} because other objects depend on it",
                    column.name, old.name
                );
                return Err(CatalogError::InUse {
                    message,
                    detail: users.join("\n"),
                    hint: Some("Unset the masking policy first."),
                });
            }
        }
        Ok(())
    }
}

fn check_distinct<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), CatalogError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(CatalogError::ColumnTwice { column: name.clone() });
        }
    }
    Ok(())
}

fn check_view_column(old: &Column, new: &NewColumn) -> Result<(), CatalogError> {
    if old.name != new.name {
        let message = format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name);
        return Err(CatalogError::InvalidTable(message));
    }
    if old.sql_type != new.sql_type {
        let message = format!(
            "cannot change data type of view column \"{}\" from {} to {}",
            old.name, old.sql_type, new.sql_type
        );
        return Err(CatalogError::InvalidTable(message));
    }
    Ok(())
}
