//! The changes that the log records, and what each does to a snapshot.
//!
//! Invariant: drafts and replay both go through [`Snapshot::apply`], so that a replayed log is what its writers saw. A
//! change carries the whole object as it is afterwards: replay needs no rule of the version that wrote it.

use std::sync::Arc;

use lakeward_base::{MaskingPolicyId, PolicyTestId, RoleId, SchemaId, TableId, TagId};
use serde::{Deserialize, Serialize};

use crate::error::CatalogError;
use crate::model::{
    BreakGlass, Grant, MaskingPolicy, PolicyTest, Relation, Role, Schema, SystemObject, Table, Tag, View,
};
use crate::snapshot::Snapshot;

/// One change. Putting adds an object or replaces the one with its identifier.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    PutRole(Arc<Role>),
    DropRole(RoleId),
    PutSchema(Arc<Schema>),
    DropSchema(SchemaId),
    PutTable(Arc<Table>),
    PutView(Arc<View>),
    DropRelation(TableId),
    PutMaskingPolicy(Arc<MaskingPolicy>),
    DropMaskingPolicy(MaskingPolicyId),
    PutPolicyTest(Arc<PolicyTest>),
    DropPolicyTest(PolicyTestId),
    PutTag(Arc<Tag>),
    DropTag(TagId),
    /// All grants on something of the server's own; none forgets it.
    PutSystemGrants {
        object: SystemObject,
        grants: Vec<Grant>,
    },
    PutBreakGlass(Arc<BreakGlass>),
}

impl Snapshot {
    /// Makes `change`, or fails and leaves the snapshot as it was.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), CatalogError> {
        match change {
            Change::PutRole(role) => {
                self.check_given_out(role.id.0)?;
                Arc::make_mut(&mut self.roles).put(Arc::clone(role))
            }
            Change::DropRole(id) => Arc::make_mut(&mut self.roles).remove(*id),
            Change::PutSchema(schema) => {
                self.check_given_out(schema.id.0)?;
                Arc::make_mut(&mut self.schemas).put(Arc::clone(schema))
            }
            Change::DropSchema(id) => self.drop_empty_schema(*id),
            Change::PutTable(table) => self.put_relation(Relation::Table(Arc::clone(table))),
            Change::PutView(view) => self.put_relation(Relation::View(Arc::clone(view))),
            Change::DropRelation(id) => Arc::make_mut(&mut self.relations).remove(*id),
            Change::PutMaskingPolicy(policy) => {
                self.check_given_out(policy.id.0)?;
                Arc::make_mut(&mut self.masking_policies).put(Arc::clone(policy))
            }
            Change::DropMaskingPolicy(id) => Arc::make_mut(&mut self.masking_policies).remove(*id),
            Change::PutPolicyTest(test) => {
                self.check_given_out(test.id.0)?;
                Arc::make_mut(&mut self.policy_tests).put(Arc::clone(test))
            }
            Change::DropPolicyTest(id) => Arc::make_mut(&mut self.policy_tests).remove(*id),
            Change::PutTag(tag) => {
                self.check_given_out(tag.id.0)?;
                Arc::make_mut(&mut self.tags).put(Arc::clone(tag))
            }
            Change::DropTag(id) => Arc::make_mut(&mut self.tags).remove(*id),
            Change::PutSystemGrants { object, grants } => {
                let all = Arc::make_mut(&mut self.system_grants);
                if grants.is_empty() {
                    all.remove(object);
                } else {
                    all.insert(object.clone(), grants.clone());
                }
                Ok(())
            }
            Change::PutBreakGlass(opened) => {
                Arc::make_mut(&mut self.break_glass).insert(opened.id, Arc::clone(opened));
                Ok(())
            }
        }
    }

    fn put_relation(&mut self, relation: Relation) -> Result<(), CatalogError> {
        self.check_given_out(relation.id().0)?;
        if self.schemas.get(relation.schema()).is_none() {
            return Err(CatalogError::Inconsistent("a relation is in no schema"));
        }
        Arc::make_mut(&mut self.relations).put(relation)
    }

    fn drop_empty_schema(&mut self, id: SchemaId) -> Result<(), CatalogError> {
        if self.relations.of_schema(id).next().is_some() {
            return Err(CatalogError::Inconsistent("a schema that is dropped holds relations"));
        }
        Arc::make_mut(&mut self.schemas).remove(id)
    }

    fn check_given_out(&self, id: u64) -> Result<(), CatalogError> {
        if id < self.counters.identifier {
            Ok(())
        } else {
            Err(CatalogError::Inconsistent("an identifier was not given out"))
        }
    }
}
