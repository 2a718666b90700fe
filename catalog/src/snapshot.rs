//! Everything the catalog holds at one epoch, with look-ups by identifier and by name.
//!
//! Invariant: a snapshot that somebody else can see never changes. Copies share what they have in common, so that a
//! draft costs one map, not one catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakeward_base::{ColumnId, Epoch, MaskingPolicyId, PolicyTestId, RoleId, SchemaId, TableId, TagId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::CatalogError;
use crate::index::{Index, Relations};
use crate::model::{
    BreakGlass, Grant, Grantee, MaskingPolicy, PolicyTest, Privilege, Relation, Role, Schema, SystemObject, Table, Tag,
    View,
};
use crate::name::quote_identifier;

/// The first identifier, PostgreSQL's `FirstNormalObjectId`: identifiers can serve as OIDs beside the system's own.
const FIRST_IDENTIFIER: u64 = 16_384;

/// Who granted what superusers grant on things that nobody owns: no role has this identifier.
pub const SYSTEM: RoleId = RoleId(0);

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
    pub(crate) policy_tests: Arc<Index<PolicyTest>>,
    pub(crate) tags: Arc<Index<Tag>>,
    pub(crate) relations: Arc<Relations>,
    pub(crate) system_grants: Arc<BTreeMap<SystemObject, Vec<Grant>>>,
    pub(crate) break_glass: Arc<BTreeMap<Uuid, Arc<BreakGlass>>>,
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

    /// All policy tests, in name order.
    pub fn policy_tests(&self) -> impl Iterator<Item = &Arc<PolicyTest>> {
        self.policy_tests.iter()
    }

    /// A policy test.
    #[must_use]
    pub fn policy_test(&self, id: PolicyTestId) -> Option<&Arc<PolicyTest>> {
        self.policy_tests.get(id)
    }

    /// A policy test by its name, as folded.
    #[must_use]
    pub fn policy_test_by_name(&self, name: &str) -> Option<&Arc<PolicyTest>> {
        self.policy_tests.by_name(name)
    }

    /// All tags, in name order.
    pub fn tags(&self) -> impl Iterator<Item = &Arc<Tag>> {
        self.tags.iter()
    }

    /// A tag.
    #[must_use]
    pub fn tag(&self, id: TagId) -> Option<&Arc<Tag>> {
        self.tags.get(id)
    }

    /// A tag by its name, as folded.
    #[must_use]
    pub fn tag_by_name(&self, name: &str) -> Option<&Arc<Tag>> {
        self.tags.by_name(name)
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
        let whole = |grant: &&Grant| grant.privilege == privilege && grant.column.is_none();
        roles.contains(&owner) || grants.iter().filter(whole).any(|grant| is_for(grant, roles))
    }

    /// The columns on which one of `roles`, or everybody, was granted `privilege` by name. What is held on the whole
    /// table is [`holds`](Self::holds)'s business.
    #[must_use]
    pub fn columns_held(&self, roles: &BTreeSet<RoleId>, grants: &[Grant], privilege: Privilege) -> BTreeSet<ColumnId> {
        let fitting = grants.iter().filter(|grant| grant.privilege == privilege && is_for(grant, roles));
        fitting.filter_map(|grant| grant.column).collect()
    }

    /// In whose name one of `roles` may grant `privilege` on the object, or on a column of it: the owner's, else that of
    /// the role that was given the grant option.
    #[must_use]
    pub fn grantor(
        &self,
        roles: &BTreeSet<RoleId>,
        owner: RoleId,
        grants: &[Grant],
        privilege: Privilege,
        column: Option<ColumnId>,
    ) -> Option<RoleId> {
        if roles.contains(&owner) {
            return Some(owner);
        }
        let covers = |grant: &&Grant| {
            grant.grantable && grant.privilege == privilege && (grant.column.is_none() || grant.column == column)
        };
        grants.iter().filter(covers).find_map(|grant| match grant.grantee {
            Grantee::Role(role) if roles.contains(&role) => Some(role),
            Grantee::Role(_) | Grantee::Public => None,
        })
    }

    /// What was granted on something of the server's own.
    #[must_use]
    pub fn system_grants(&self, object: &SystemObject) -> &[Grant] {
        self.system_grants.get(object).map(Vec::as_slice).unwrap_or_default()
    }

    /// Everything of the server's own that something was granted on.
    pub fn system_objects(&self) -> impl Iterator<Item = (&SystemObject, &[Grant])> {
        self.system_grants.iter().map(|(object, grants)| (object, grants.as_slice()))
    }

    /// Every use of BREAK GLASS, in the order of their numbers, which is that of time.
    pub fn break_glasses(&self) -> impl Iterator<Item = &Arc<BreakGlass>> {
        self.break_glass.values()
    }

    /// One use of BREAK GLASS.
    #[must_use]
    pub fn break_glass(&self, id: Uuid) -> Option<&Arc<BreakGlass>> {
        self.break_glass.get(&id)
    }

    /// Whether one of `roles` may break the glass. Superusers are the caller's business.
    #[must_use]
    pub fn may_break_glass(&self, roles: &BTreeSet<RoleId>) -> bool {
        self.holds(roles, SYSTEM, self.system_grants(&SystemObject::BreakGlass), Privilege::BreakGlass)
    }

    /// Whether one of `roles` may call a keyed function. Superusers are the caller's business.
    #[must_use]
    pub fn may_execute(&self, roles: &BTreeSet<RoleId>, function: &str) -> bool {
        let object = SystemObject::Function(function.to_owned());
        self.holds(roles, SYSTEM, self.system_grants(&object), Privilege::Execute)
    }

    /// Whether one of `roles` may put tables at a canonical location: it lies below one that was granted.
    #[must_use]
    pub fn may_use_storage(&self, roles: &BTreeSet<RoleId>, location: &str) -> bool {
        self.system_objects().any(|(object, grants)| match object {
            SystemObject::Storage(prefix) => {
                location.starts_with(prefix.as_str()) && self.holds(roles, SYSTEM, grants, Privilege::Usage)
            }
            SystemObject::Function(_) | SystemObject::BreakGlass => false,
        })
    }

    /// Whether one of `roles` was given the admin option on `role`.
    #[must_use]
    pub fn administers(&self, roles: &BTreeSet<RoleId>, role: RoleId) -> bool {
        roles.iter().filter_map(|id| self.role(*id)).any(|holder| holder.admin_of.contains(&role))
    }
}

fn is_for(grant: &Grant, roles: &BTreeSet<RoleId>) -> bool {
    match grant.grantee {
        Grantee::Public => true,
        Grantee::Role(role) => roles.contains(&role),
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
