//! Who asks for a change, and what they may do; and what the names in their statement stand for.
//!
//! Invariant: everything here is asked of the snapshot that is changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use lakeward_base::{RoleId, SqlState};
use lakeward_catalog::{
    CatalogError, Grantee, ObjectKind, POLICY_ADMIN, Privilege, Relation, Role, Schema, Snapshot, Table, View,
};

use super::refused;
use crate::ddl::{GranteeName, RoleName};
use crate::error::Error;
use crate::statement::Name;

/// Schemas that are shown but not kept in the catalog.
const SYSTEM_SCHEMAS: &[&str] = &["pg_catalog", "information_schema", "system"];

/// The acting role.
pub(super) struct Actor {
    /// It.
    pub(super) role: RoleId,
    /// Who logged in.
    session_user: String,
    /// It, and all that it inherits.
    pub(super) roles: BTreeSet<RoleId>,
    pub(super) superuser: bool,
    pub(super) create_role: bool,
    /// A member of `policy_admin`.
    pub(super) policy_admin: bool,
}

impl Actor {
    /// As this snapshot knows it.
    pub(super) fn of(snapshot: &Snapshot, role: RoleId, session_user: &str) -> Result<Self, CatalogError> {
        let gone = || {
            refused(Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "the session's role does not exist any more",
            ))
        };
        let entry = snapshot.role(role).ok_or_else(gone)?;
        let roles = snapshot.effective_roles(role);
        let policy_admin =
            snapshot.role_by_name(POLICY_ADMIN).is_some_and(|admin| admin.built_in && roles.contains(&admin.id));
        let (superuser, create_role) = (entry.superuser, entry.create_role);
        Ok(Self { role, session_user: session_user.to_owned(), roles, superuser, create_role, policy_admin })
    }

    /// May act as the owner of something.
    pub(super) fn owns(&self, owner: RoleId) -> bool {
        self.superuser || self.roles.contains(&owner)
    }

    /// `42501: must be owner of …`
    pub(super) fn must_own(&self, owner: RoleId, kind: &str, name: &str) -> Result<(), CatalogError> {
        if self.owns(owner) {
            return Ok(());
        }
        Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be owner of {kind} {name}"))))
    }

    /// Makes policies on a table: its owner, and policy_admin.
    pub(super) fn must_govern(&self, table: &Table) -> Result<(), CatalogError> {
        if self.policy_admin { Ok(()) } else { self.must_own(table.owner, "table", &table.name) }
    }

    /// `42501: permission denied for schema …`
    pub(super) fn must_create_in(&self, snapshot: &Snapshot, schema: &Schema) -> Result<(), CatalogError> {
        if self.superuser || snapshot.holds(&self.roles, schema.owner, &schema.grants, Privilege::Create) {
            return Ok(());
        }
        Err(refused(Error::denied("schema", &schema.name)))
    }

    /// `42501` for what superusers alone do.
    pub(super) fn must_be_superuser(&self, what: &str) -> Result<(), CatalogError> {
        if self.superuser {
            return Ok(());
        }
        Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be superuser to {what}"))))
    }

    /// Gives something to a role: only to one that it could act as.
    pub(super) fn must_be_member_of(&self, role: &Role) -> Result<(), CatalogError> {
        if self.superuser || self.roles.contains(&role.id) {
            return Ok(());
        }
        Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be member of role \"{}\"", role.name))))
    }

    /// `GRANTED BY`: nobody but the one who asks.
    pub(super) fn must_be_granted_by(&self, snapshot: &Snapshot, by: Option<&RoleName>) -> Result<(), CatalogError> {
        match by {
            Some(name) if self.role(snapshot, name)?.id != self.role => {
                Err(refused(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "grantor must be current user")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether keyed functions, by name, may be called.
    pub(super) fn may_execute(&self, snapshot: &Snapshot, functions: &[&str]) -> bool {
        self.superuser || functions.iter().all(|function| snapshot.may_execute(&self.roles, function))
    }

    /// `42501` for a LOCATION without SUPERUSER and USAGE ON STORAGE.
    pub(super) fn must_use_storage(&self, snapshot: &Snapshot, location: &str) -> Result<(), CatalogError> {
        if self.superuser || snapshot.may_use_storage(&self.roles, location) {
            return Ok(());
        }
        let message = "permission denied for the LOCATION";
        let hint = "It needs SUPERUSER, or USAGE ON STORAGE of a location above it.";
        Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(hint)))
    }

    /// The role that a name stands for.
    pub(super) fn role(&self, snapshot: &Snapshot, name: &RoleName) -> Result<Arc<Role>, CatalogError> {
        match name {
            RoleName::Current => snapshot
                .role(self.role)
                .cloned()
                .ok_or_else(|| CatalogError::not_found(ObjectKind::Role, "current_role")),
            RoleName::Session => role(snapshot, &self.session_user),
            RoleName::Named(name) => role(snapshot, name),
        }
    }

    /// The grantee that a name stands for.
    pub(super) fn grantee(&self, snapshot: &Snapshot, name: &GranteeName) -> Result<Grantee, CatalogError> {
        match name {
            GranteeName::Public => Ok(Grantee::Public),
            GranteeName::Role(name) => self.role(snapshot, name).map(|role| Grantee::Role(role.id)),
        }
    }
}

/// A role by name.
pub(super) fn role(snapshot: &Snapshot, name: &str) -> Result<Arc<Role>, CatalogError> {
    snapshot.role_by_name(name).cloned().ok_or_else(|| CatalogError::not_found(ObjectKind::Role, name))
}

/// A schema by name.
pub(super) fn schema(snapshot: &Snapshot, name: &str) -> Result<Arc<Schema>, CatalogError> {
    if SYSTEM_SCHEMAS.contains(&name) {
        return Err(refused(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for schema {name}"),
        )));
    }
    snapshot.schema_by_name(name).cloned().ok_or_else(|| CatalogError::not_found(ObjectKind::Schema, name))
}

/// The schema that a new relation goes into.
pub(super) fn schema_for(
    snapshot: &Snapshot,
    search_path: &[String],
    name: &Name,
) -> Result<Arc<Schema>, CatalogError> {
    match &name.schema {
        Some(written) => schema(snapshot, written),
        None => search_path.iter().find_map(|candidate| snapshot.schema_by_name(candidate)).cloned().ok_or_else(|| {
            refused(Error::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in"))
        }),
    }
}

/// The relation that a name stands for.
pub(super) fn relation(snapshot: &Snapshot, search_path: &[String], name: &Name) -> Result<Relation, CatalogError> {
    let missing = |kind: ObjectKind, shown: &str| placed(CatalogError::not_found(kind, shown), name);
    match &name.schema {
        Some(written) => {
            schema(snapshot, written)?;
            snapshot
                .relation(written, &name.name)
                .ok_or_else(|| missing(ObjectKind::Relation, &format!("{written}.{}", name.name)))
        }
        None => search_path
            .iter()
            .find_map(|schema| snapshot.relation(schema, &name.name))
            .ok_or_else(|| missing(ObjectKind::Relation, &name.name)),
    }
}

/// The table that a name stands for.
pub(super) fn table(snapshot: &Snapshot, search_path: &[String], name: &Name) -> Result<Arc<Table>, CatalogError> {
    match relation(snapshot, search_path, name)? {
        Relation::Table(table) => Ok(table),
        Relation::View(_) => Err(wrong_kind(&name.name, "a table", "Use DROP VIEW to remove a view.")),
    }
}

/// The view that a name stands for.
pub(super) fn view(snapshot: &Snapshot, search_path: &[String], name: &Name) -> Result<Arc<View>, CatalogError> {
    match relation(snapshot, search_path, name)? {
        Relation::View(view) => Ok(view),
        Relation::Table(_) => Err(wrong_kind(&name.name, "a view", "Use DROP TABLE to remove a table.")),
    }
}

fn wrong_kind(name: &str, wanted: &str, hint: &str) -> CatalogError {
    refused(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not {wanted}")).with_hint(hint))
}

/// Adds where the name stands in the statement.
fn placed(error: CatalogError, name: &Name) -> CatalogError {
    match name.position {
        0 => error,
        position => refused(super::coded(&error).with_position(position)),
    }
}
