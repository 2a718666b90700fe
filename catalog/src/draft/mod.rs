//! A snapshot being edited: every rule about what may be made, changed and dropped.
//!
//! Invariants: a mutator either makes its whole change or fails and leaves every object as it was (it may have used up a
//! number); what it lets through keeps every reference inside the catalog pointing at something.

mod column;
mod default_grant;
mod describe;
mod glass;
mod grant;
mod inherit;
mod policy;
mod policy_test;
mod reading;
mod relation;
mod role;
mod schema;
mod tag;

#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

use lakeward_base::{MaskingPolicyId, RoleId, SchemaId, TableId, TagId};

pub use describe::Described;
pub use grant::Revocation;
pub use inherit::Inherited;
pub use policy::{CreatedPolicy, NewMaskingPolicy, NewPolicy};
pub use policy_test::NewPolicyTest;
pub use relation::{NewColumn, NewTable, NewView};
pub use role::NewRole;
pub use tag::NewTag;

use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{MaskingPolicy, Role, Schema, Table, Tag, View};
use crate::snapshot::Snapshot;

/// A snapshot being edited. Reads see the edits made so far.
#[derive(Clone)]
pub struct Draft {
    snapshot: Snapshot,
    changes: Vec<Change>,
}

impl Deref for Draft {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Draft {
    /// A draft that starts as `base`. Nothing is durable but through [`Catalog::change`](crate::Catalog::change); a
    /// draft by itself serves to try an edit.
    #[must_use]
    pub fn new(base: &Snapshot) -> Self {
        Self { snapshot: base.clone(), changes: Vec::new() }
    }

    /// The edited snapshot, with the epoch that the draft started from.
    #[must_use]
    pub fn into_snapshot(self) -> Snapshot {
        self.snapshot
    }

    pub(crate) fn into_changes(self) -> (Snapshot, Vec<Change>) {
        (self.snapshot, self.changes)
    }

    fn make(&mut self, change: Change) -> Result<(), CatalogError> {
        self.snapshot.apply(&change)?;
        self.changes.push(change);
        Ok(())
    }

    fn identifier(&mut self) -> Result<u64, CatalogError> {
        self.snapshot.counters.identifier()
    }

    fn existing_role(&self, id: RoleId) -> Result<&Arc<Role>, CatalogError> {
        self.role(id).ok_or(CatalogError::Vanished { kind: ObjectKind::Role, id: id.0 })
    }

    fn existing_schema(&self, id: SchemaId) -> Result<&Arc<Schema>, CatalogError> {
        self.schema(id).ok_or(CatalogError::Vanished { kind: ObjectKind::Schema, id: id.0 })
    }

    fn existing_table(&self, id: TableId) -> Result<&Arc<Table>, CatalogError> {
        self.table(id).ok_or(CatalogError::Vanished { kind: ObjectKind::Table, id: id.0 })
    }

    fn existing_view(&self, id: TableId) -> Result<&Arc<View>, CatalogError> {
        self.view(id).ok_or(CatalogError::Vanished { kind: ObjectKind::View, id: id.0 })
    }

    fn existing_tag(&self, id: TagId) -> Result<&Arc<Tag>, CatalogError> {
        self.tag(id).ok_or(CatalogError::Vanished { kind: ObjectKind::Tag, id: id.0 })
    }

    fn existing_masking_policy(&self, id: MaskingPolicyId) -> Result<&Arc<MaskingPolicy>, CatalogError> {
        self.masking_policy(id).ok_or(CatalogError::Vanished { kind: ObjectKind::MaskingPolicy, id: id.0 })
    }
}
