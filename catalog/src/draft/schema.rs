//! Schemas.
//!
//! Invariant: a schema that holds something is not dropped.

use std::sync::Arc;

use lakeward_base::{RoleId, SchemaId};

use super::Draft;
use super::grant::hand_over;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Relation, Schema};
use crate::name::{check_name, quote_identifier};

impl Draft {
    /// Makes a schema.
    ///
    /// # Errors
    /// 42P06 where the name is taken, 42939 where it is reserved, 42602 where it cannot be one, 42704 for an unknown
    /// owner.
    pub fn create_schema(&mut self, name: &str, owner: RoleId) -> Result<SchemaId, CatalogError> {
        check_name(ObjectKind::Schema, name)?;
        if self.schema_by_name(name).is_some() {
            return Err(CatalogError::exists(ObjectKind::Schema, name));
        }
        self.existing_role(owner)?;
        let id = SchemaId(self.identifier()?);
        self.make(Change::PutSchema(Arc::new(Schema {
            id,
            name: name.to_owned(),
            owner,
            grants: Vec::new(),
            comment: None,
        })))?;
        Ok(id)
    }

    /// Gives a schema to another owner.
    ///
    /// # Errors
    /// 3F000 and 42704 where the schema or the role does not exist.
    pub fn give_schema(&mut self, id: SchemaId, owner: RoleId) -> Result<(), CatalogError> {
        let mut schema = Schema::clone(self.existing_schema(id)?);
        self.existing_role(owner)?;
        let old = std::mem::replace(&mut schema.owner, owner);
        hand_over(&mut schema.grants, old, owner);
        self.make(Change::PutSchema(Arc::new(schema)))
    }

    /// Drops an empty schema.
    ///
    /// # Errors
    /// 3F000 where it does not exist, 2BP01 where it holds something.
    pub fn drop_schema(&mut self, id: SchemaId) -> Result<(), CatalogError> {
        let schema = quote_identifier(&self.existing_schema(id)?.name).into_owned();
        let held = self.relations().filter(|relation| relation.schema() == id).map(|relation| {
            let kind = match relation {
                Relation::Table(_) => "table",
                Relation::View(_) => "view",
            };
            format!("{kind} {} depends on schema {schema}", self.qualified_name(relation.id()))
        });
        let held: Vec<_> = held.collect();
        if !held.is_empty() {
            let message = format!("cannot drop schema {schema} because other objects depend on it");
            return Err(CatalogError::InUse {
                message,
                detail: held.join("\n"),
                hint: Some("Drop the dependent objects first."),
            });
        }
        self.forget_defaults_in(id)?;
        self.make(Change::DropSchema(id))
    }
}
