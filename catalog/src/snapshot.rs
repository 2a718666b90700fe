//! Everything the catalog holds at one epoch, with look-ups by identifier and by name.
//!
//! Invariant: a snapshot that somebody else can see never changes. Copies share what they have in common, so that a
//! draft costs one map, not one catalog.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakeward_base::{Epoch, MaskingPolicyId, RoleId, SchemaId, TableId};
use serde::{Deserialize, Serialize};

use crate::error::CatalogError;
use crate::index::{Index, Relations};
use crate::model::{Grant, Grantee, MaskingPolicy, Privilege, Relation, Role, Schema, Table, View};
use crate::name::quote_identifier;

/// The first identifier, PostgreSQL's `FirstNormalObjectId`: identifiers can serve as OIDs beside the system's own.
const FIRST_IDENTIFIER: u64 = 16_384;

/// The next numbers to give out. Kept in the log, so that none is given out twice, whatever was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    /// For every object but columns; no two objects share one, of whatever kind.
    pub(crate) identifier: u64,
    /// For columns of all tables.
    pub(crate) column: u32,
}

impl Default for Counters {
    fn default() -> Self {
        Self { identifier: FIRST_IDENTIFIER, column: 1 }
    }
}

impl Counters {
    pub(crate) fn identifier(&mut self) -> Result<u64, CatalogError> {
        // OIDs of the PostgreSQL protocol have 32 bits.
        let next = self.identifier.checked_add(1).filter(|next| *next < u64::from(u32::MAX));
        let identifier = std::mem::replace(&mut self.identifier, next.ok_or(CatalogError::OutOfIdentifiers)?);
        Ok(identifier)
    }

    pub(crate) fn column(&mut self) -> Result<u32, CatalogError> {
        let next = self.column.checked_add(1).ok_or(CatalogError::OutOfIdentifiers)?;
        Ok(std::mem::replace(&mut self.column, next))
    }
}

/// The catalog at one epoch.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(crate) epoch: u64,
    pub(crate) changed_at: DateTime<Utc>,
    /// SHA-256 of the log entry that led here; zeros before the first.
    pub(crate) head: [u8; 32],
    pub(crate) counters: Counters,
    pub(crate) roles: Arc<Index<Role>>,
    pub(crate) schemas: Arc<Index<Schema>>,
    pub(crate) masking_policies: Arc<Index<MaskingPolicy>>,
    pub(crate) relations: Arc<Relations>,
}

impl Snapshot {
    /// The catalog's version. In a draft: the version that it started from.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// When the epoch began.
    #[must_use]
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.changed_at
    }

    /// All roles, in name order.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.iter()
    }

    /// All schemas, in name order. The system's own are not among them.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.iter()
    }

    /// All tables and views, in the order of schema and name.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.schemas.iter().flat_map(|schema| self.relations.of_schema(schema.id))
    }

    /// All tables, in the order of schema and name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.relations().filter_map(|relation| match relation {
            Relation::Table(table) => Some(table),
            Relation::View(_) => None,
        })
    }

    /// All views, in the order of schema and name.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.relations().filter_map(|relation| match relation {
            Relation::View(view) => Some(view),
            Relation::Table(_) => None,
        })
    }

    /// All masking policies, in name order.
    pub fn masking_policies(&self) -> impl Iterator<Item = &Arc<MaskingPolicy>> {
        self.masking_policies.iter()
    }

    /// A role.
    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<&Arc<Role>> {
        self.roles.get(id)
    }

    /// A role by its name, as folded.
    #[must_use]
    pub fn role_by_name(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.by_name(name)
    }

    /// The role and every role that it is a member of, directly or through others. Empty where there is no such role,
    /// so that a session whose role was dropped holds nothing.
    #[must_use]
    pub fn effective_roles(&self, id: RoleId) -> BTreeSet<RoleId> {
        let mut effective = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            if let Some(role) = self.role(next)
                && effective.insert(next)
            {
                open.extend(role.member_of.iter().copied());
            }
        }
        effective
    }

    /// A schema.
    #[must_use]
    pub fn schema(&self, id: SchemaId) -> Option<&Arc<Schema>> {
        self.schemas.get(id)
    }

    /// A schema by its name, as folded.
    #[must_use]
    pub fn schema_by_name(&self, name: &str) -> Option<&Arc<Schema>> {
        self.schemas.by_name(name)
    }

    /// A table; `None` also where a view has the identifier.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&Arc<Table>> {
        match self.relations.get(id)? {
            Relation::Table(table) => Some(table),
            Relation::View(_) => None,
        }
    }

    /// A view; `None` also where a table has the identifier.
    #[must_use]
    pub fn view(&self, id: TableId) -> Option<&Arc<View>> {
        match self.relations.get(id)? {
            Relation::View(view) => Some(view),
            Relation::Table(_) => None,
        }
    }

    /// The table or view of that name.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<Relation> {
        let schema = self.schema_by_name(schema)?;
        self.relations.by_name(schema.id, name).cloned()
    }

    /// The table or view with that identifier.
    #[must_use]
    pub fn relation_by_id(&self, id: TableId) -> Option<&Relation> {
        self.relations.get(id)
    }

    /// A masking policy.
    #[must_use]
    pub fn masking_policy(&self, id: MaskingPolicyId) -> Option<&Arc<MaskingPolicy>> {
        self.masking_policies.get(id)
    }

    /// A masking policy by its name, as folded.
    #[must_use]
    pub fn masking_policy_by_name(&self, name: &str) -> Option<&Arc<MaskingPolicy>> {
        self.masking_policies.by_name(name)
    }

    /// `schema.name` of a table or view, quoted where it must be. Where there is none any more, its number.
    #[must_use]
    pub fn qualified_name(&self, id: TableId) -> String {
        let Some(relation) = self.relations.get(id) else {
            return format!("relation {id}");
        };
        let schema = self.schema(relation.schema()).map_or("", |schema| &schema.name);
        format!("{}.{}", quote_identifier(schema), quote_identifier(relation.name()))
    }

    /// Whether one of `roles` owns the object or was granted `privilege` on it, or everybody was. Superusers are the
    /// caller's business.
    #[must_use]
    pub fn holds(&self, roles: &BTreeSet<RoleId>, owner: RoleId, grants: &[Grant], privilege: Privilege) -> bool {
        roles.contains(&owner)
            || grants.iter().filter(|grant| grant.privilege == privilege).any(|grant| match grant.grantee {
                Grantee::Public => true,
                Grantee::Role(role) => roles.contains(&role),
            })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
