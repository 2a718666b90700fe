//! Default privileges: what a role grants on the tables and views that it will make.
//!
//! Invariant: a default is the maker's own grant, given when a relation is made and never later; it says nothing about
//! what is there already.

use std::sync::Arc;

use lakeward_base::{RoleId, SchemaId, TableId};

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{DefaultGrant, Grant, Grantee, Relation, Role, Securable};

impl Draft {
    /// Grants a privilege on what `maker` makes from now on.
    ///
    /// # Errors
    /// 3F000 and 42704 where a schema or a role does not exist, 42809 for a privilege that tables do not have, 0LP01 for a
    /// grant option to everybody.
    pub fn give_default(&mut self, maker: RoleId, new: DefaultGrant) -> Result<(), CatalogError> {
        let mut role = Role::clone(self.existing_role(maker)?);
        if let Some(schema) = new.schema {
            self.existing_schema(schema)?;
        }
        if !Securable::Relation(TableId(0)).privileges().contains(&new.privilege) {
            let privilege = new.privilege.as_sql();
            return Err(CatalogError::InvalidGrant { privilege, kind: ObjectKind::Relation });
        }
        match new.grantee {
            Grantee::Role(grantee) => {
                self.existing_role(grantee)?;
            }
            Grantee::Public if new.grantable => {
                return Err(CatalogError::GrantOption("grant options can only be granted to roles"));
            }
            Grantee::Public => {}
        }
        match role.default_grants.iter_mut().find(|old| is_same(old, &new)) {
            Some(old) => old.grantable |= new.grantable,
            None => role.default_grants.push(new),
        }
        self.put_defaults(role)
    }

    /// Takes a default privilege of `maker`, or its grant option alone, away. What is granted for all schemas is not
    /// taken for one.
    ///
    /// # Errors
    /// 42704 where the role does not exist.
    pub fn take_default(&mut self, maker: RoleId, gone: &DefaultGrant, option_only: bool) -> Result<(), CatalogError> {
        let mut role = Role::clone(self.existing_role(maker)?);
        if option_only {
            let fitting = role.default_grants.iter_mut().filter(|old| is_same(old, gone));
            fitting.for_each(|old| old.grantable = false);
        } else {
            role.default_grants.retain(|old| !is_same(old, gone));
        }
        self.put_defaults(role)
    }

    /// Grants what its owner grants by default on a relation that was just made.
    ///
    /// # Errors
    /// 42P01 where it does not exist.
    pub fn grant_defaults(&mut self, id: TableId) -> Result<(), CatalogError> {
        let missing = CatalogError::Vanished { kind: ObjectKind::Relation, id: id.0 };
        let relation = self.relation_by_id(id).ok_or(missing)?;
        let (schema, owner) = (relation.schema(), Relation::owner(relation));
        let defaults = &self.existing_role(owner)?.default_grants;
        let here =
            |one: &&DefaultGrant| one.schema.is_none_or(|only| only == schema) && one.grantee != Grantee::Role(owner);
        let granted: Vec<Grant> = defaults.iter().filter(here).map(|one| one.granted_by(owner)).collect();
        for grant in granted {
            self.give(&Securable::Relation(id), grant)?;
        }
        Ok(())
    }

    /// Forgets the default privileges that a role has set, and those that are for it.
    pub(super) fn forget_defaults(&mut self, role: RoleId) -> Result<(), CatalogError> {
        self.retain_defaults(|maker, one| maker != role && one.grantee != Grantee::Role(role))
    }

    /// Forgets the default privileges in a schema.
    pub(super) fn forget_defaults_in(&mut self, schema: SchemaId) -> Result<(), CatalogError> {
        self.retain_defaults(|_, one| one.schema != Some(schema))
    }

    fn retain_defaults(&mut self, kept: impl Fn(RoleId, &DefaultGrant) -> bool) -> Result<(), CatalogError> {
        let changes = |role: &&Arc<Role>| role.default_grants.iter().any(|one| !kept(role.id, one));
        let changed: Vec<Arc<Role>> = self.roles().filter(changes).cloned().collect();
        for old in changed {
            let mut role = Role::clone(&old);
            role.default_grants.retain(|one| kept(old.id, one));
            self.make(Change::PutRole(Arc::new(role)))?;
        }
        Ok(())
    }

    /// Nothing is recorded where nothing changes.
    fn put_defaults(&mut self, mut role: Role) -> Result<(), CatalogError> {
        role.default_grants.sort();
        if self.existing_role(role.id)?.default_grants == role.default_grants {
            return Ok(());
        }
        self.make(Change::PutRole(Arc::new(role)))
    }
}

fn is_same(a: &DefaultGrant, b: &DefaultGrant) -> bool {
    (a.schema, a.privilege, a.grantee) == (b.schema, b.privilege, b.grantee)
}
