//! Objects by identifier and by name, with the two kept in step.
//!
//! Invariant: a name stands for at most one object, and every object is found under exactly its own name.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_base::{MaskingPolicyId, PolicyTestId, RoleId, SchemaId, TableId, TagId};

use crate::error::CatalogError;
use crate::model::{Grant, MaskingPolicy, PolicyTest, Relation, Role, Schema, Tag};

/// What has an identifier and a name that is unique in the catalog.
pub(crate) trait Named {
    type Id: Copy + Ord;
    fn id(&self) -> Self::Id;
    fn name(&self) -> &str;
}

macro_rules! named {
    ($($type:ty => $id:ty),*) => {$(
        impl Named for $type {
            type Id = $id;
            fn id(&self) -> $id {
                self.id
            }
            fn name(&self) -> &str {
                &self.name
            }
        }
    )*};
}
named!(Role => RoleId, Schema => SchemaId, MaskingPolicy => MaskingPolicyId, PolicyTest => PolicyTestId, Tag => TagId);

/// All objects of one kind.
#[derive(Clone)]
pub(crate) struct Index<T: Named> {
    by_id: BTreeMap<T::Id, Arc<T>>,
    by_name: BTreeMap<String, T::Id>,
}

impl<T: Named> Default for Index<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_name: BTreeMap::new() }
    }
}

impl<T: Named> Index<T> {
    pub(crate) fn get(&self, id: T::Id) -> Option<&Arc<T>> {
        self.by_id.get(&id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<T>> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    /// In name order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// Adds or replaces an object.
    pub(crate) fn put(&mut self, object: Arc<T>) -> Result<(), CatalogError> {
        let id = object.id();
        if self.by_name.get(object.name()).is_some_and(|holder| *holder != id) {
            return Err(CatalogError::Inconsistent("a name stands for two objects"));
        }
        if let Some(old) = self.by_id.get(&id)
            && old.name() != object.name()
        {
            self.by_name.remove(old.name());
        }
        self.by_name.insert(object.name().to_owned(), id);
        self.by_id.insert(id, object);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: T::Id) -> Result<(), CatalogError> {
        let object = self.by_id.remove(&id).ok_or(CatalogError::Inconsistent("what is dropped does not exist"))?;
        self.by_name.remove(object.name());
        Ok(())
    }
}

/// Tables and views: they share identifiers, and names within a schema.
#[derive(Clone, Default)]
pub(crate) struct Relations {
    by_id: BTreeMap<TableId, Relation>,
    by_name: BTreeMap<SchemaId, BTreeMap<String, TableId>>,
}

impl Relation {
    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> TableId {
        match self {
            Self::Table(table) => table.id,
            Self::View(view) => view.id,
        }
    }

    /// The schema that it is in.
    #[must_use]
    pub fn schema(&self) -> SchemaId {
        match self {
            Self::Table(table) => table.schema,
            Self::View(view) => view.schema,
        }
    }

    /// Its name within the schema.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
        }
    }

    /// Its owner.
    #[must_use]
    pub fn owner(&self) -> RoleId {
        match self {
            Self::Table(table) => table.owner,
            Self::View(view) => view.owner,
        }
    }

    /// What has been granted on it.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        match self {
            Self::Table(table) => &table.grants,
            Self::View(view) => &view.grants,
        }
    }
}

impl Relations {
    pub(crate) fn get(&self, id: TableId) -> Option<&Relation> {
        self.by_id.get(&id)
    }

    pub(crate) fn by_name(&self, schema: SchemaId, name: &str) -> Option<&Relation> {
        self.by_name.get(&schema).and_then(|names| names.get(name)).and_then(|id| self.by_id.get(id))
    }

    /// Those of one schema, in name order.
    pub(crate) fn of_schema(&self, schema: SchemaId) -> impl Iterator<Item = &Relation> {
        self.by_name.get(&schema).into_iter().flat_map(BTreeMap::values).filter_map(|id| self.by_id.get(id))
    }

    /// Adds or replaces a relation. A table never becomes a view, nor the other way round.
    pub(crate) fn put(&mut self, relation: Relation) -> Result<(), CatalogError> {
        let id = relation.id();
        if self.by_name(relation.schema(), relation.name()).is_some_and(|holder| holder.id() != id) {
            return Err(CatalogError::Inconsistent("a name stands for two objects"));
        }
        if let Some(old) = self.by_id.get(&id) {
            if std::mem::discriminant(old) != std::mem::discriminant(&relation) {
                return Err(CatalogError::Inconsistent("an identifier stands for a table and a view"));
            }
            let (schema, name) = (old.schema(), old.name().to_owned());
            self.forget(schema, &name);
        }
        self.by_name.entry(relation.schema()).or_default().insert(relation.name().to_owned(), id);
        self.by_id.insert(id, relation);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: TableId) -> Result<(), CatalogError> {
        let relation = self.by_id.remove(&id).ok_or(CatalogError::Inconsistent("what is dropped does not exist"))?;
        self.forget(relation.schema(), relation.name());
        Ok(())
    }

    fn forget(&mut self, schema: SchemaId, name: &str) {
        if let Some(names) = self.by_name.get_mut(&schema) {
            names.remove(name);
            if names.is_empty() {
                self.by_name.remove(&schema);
            }
        }
    }
}
