//! Roles and memberships.
//!
//! Invariants: memberships form no cycle; built-in roles stay as they are; somebody can always log in as a superuser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakeward_base::RoleId;

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{DefaultGrant, Grant, Grantee, Relation, Role, RoleLimits, Table};
use crate::name::{check_name, quote_identifier};
use crate::scram::ScramVerifier;
use crate::snapshot::Snapshot;

/// A role to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRole {
    /// Name, as folded.
    pub name: String,
    /// May connect.
    pub login: bool,
    /// Bypasses grants, row policies and masks.
    pub superuser: bool,
    /// Bypasses row policies only.
    pub bypass_row_security: bool,
    /// May create and alter roles.
    pub create_role: bool,
    /// The password's verifier.
    pub verifier: Option<ScramVerifier>,
    /// From when on the password is refused.
    pub valid_until: Option<DateTime<Utc>>,
    /// Attributes that policies may read.
    pub attributes: BTreeMap<String, String>,
    /// Roles that it is a member of from the start.
    pub member_of: BTreeSet<RoleId>,
    /// What its sessions may take.
    pub limits: RoleLimits,
}

impl Draft {
    /// Makes a role.
    ///
    /// # Errors
    /// 42710 where the name is taken, 42939 where it is reserved, 42602 where it cannot be one, 42704 for an unknown
    /// role in `member_of`.
    pub fn create_role(&mut self, new: NewRole) -> Result<RoleId, CatalogError> {
        self.put_new_role(new, false)
    }

    pub(crate) fn put_new_role(&mut self, new: NewRole, built_in: bool) -> Result<RoleId, CatalogError> {
        self.check_new_role_name(&new.name)?;
        for parent in &new.member_of {
            self.existing_role(*parent)?;
        }
        let id = RoleId(self.identifier()?);
        let NewRole {
            name,
            login,
            superuser,
            bypass_row_security,
            create_role,
            verifier,
            valid_until,
            attributes,
            member_of,
            limits,
        } = new;
        let role = Role {
            id,
            name,
            login,
            superuser,
            bypass_row_security,
            create_role,
            verifier,
            valid_until,
            attributes,
            member_of,
            built_in,
            admin_of: BTreeSet::new(),
            settings: BTreeMap::new(),
            allowed_purposes: None,
            limits,
            comment: None,
            default_grants: Vec::new(),
        };
        self.make(Change::PutRole(Arc::new(role)))?;
        Ok(id)
    }

    /// Changes a role: anything but its identifier, memberships and being built in.
    ///
    /// # Errors
    /// 42704 where it does not exist, 2BP01 for a built-in role and for the last superuser, 42710, 42939 and 42602 for
    /// its new name, 0A000 for what cannot be changed so.
    pub fn alter_role(&mut self, id: RoleId, edit: impl FnOnce(&mut Role)) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_role(id)?);
        let mut role = Role::clone(&old);
        edit(&mut role);
        if old.built_in {
            return Err(CatalogError::BuiltIn { action: "alter", kind: ObjectKind::Role, name: old.name.clone() });
        }
        let memberships = role.member_of == old.member_of && role.admin_of == old.admin_of;
        if role.id != old.id || role.built_in || !memberships {
            return Err(CatalogError::Unsupported("changing a role's identifier or memberships by altering it"));
        }
        if role.name != old.name {
            self.check_new_role_name(&role.name)?;
        }
        if !(role.superuser && role.login) {
            self.check_superuser_remains(&old, "altered")?;
        }
        self.make(Change::PutRole(Arc::new(role)))
    }

    /// Drops a role, and with it its memberships and members.
    ///
    /// # Errors
    /// 42704 where it does not exist, 2BP01 for a built-in role, the last superuser, and a role that owns something, was
    /// granted something, granted something, or stands in a policy.
    pub fn drop_role(&mut self, id: RoleId) -> Result<(), CatalogError> {
        let role = Arc::clone(self.existing_role(id)?);
        if role.built_in {
            return Err(CatalogError::BuiltIn { action: "drop", kind: ObjectKind::Role, name: role.name.clone() });
        }
        self.check_superuser_remains(&role, "dropped")?;
        let uses = self.uses_of_role(id);
        if !uses.is_empty() {
            let message = format!("role \"{}\" cannot be dropped because some objects depend on it", role.name);
            return Err(CatalogError::InUse { message, detail: uses.join("\n"), hint: None });
        }
        let related = |member: &&Arc<Role>| member.member_of.contains(&id) || member.admin_of.contains(&id);
        let members: Vec<_> = self.roles().filter(related).cloned().collect();
        for member in members {
            let mut member = Role::clone(&member);
            member.member_of.remove(&id);
            member.admin_of.remove(&id);
            self.make(Change::PutRole(Arc::new(member)))?;
        }
        self.make(Change::DropRole(id))
    }

    /// Makes `member` a member of `role`. Answers whether it was none before.
    ///
    /// # Errors
    /// 42704 where one does not exist, 42P17 where `role` is a member of `member` already.
    pub fn grant_role(&mut self, role: RoleId, member: RoleId) -> Result<bool, CatalogError> {
        let granted = self.existing_role(role)?;
        let mut changed = Role::clone(self.existing_role(member)?);
        if self.effective_roles(role).contains(&member) {
            return Err(CatalogError::MembershipCycle { role: granted.name.clone(), member: changed.name });
        }
        let added = changed.member_of.insert(role);
        if added {
            self.make(Change::PutRole(Arc::new(changed)))?;
        }
        Ok(added)
    }

    /// Gives `holder` the admin option on `role`, or takes it away. Answers whether that changed anything.
    ///
    /// # Errors
    /// 42704 where a role does not exist.
    pub fn set_admin(&mut self, role: RoleId, holder: RoleId, admin: bool) -> Result<bool, CatalogError> {
        self.existing_role(role)?;
        let mut changed = Role::clone(self.existing_role(holder)?);
        let differs = if admin { changed.admin_of.insert(role) } else { changed.admin_of.remove(&role) };
        if differs {
            self.make(Change::PutRole(Arc::new(changed)))?;
        }
        Ok(differs)
    }

    /// Ends a direct membership, and with it the admin option. Answers whether there was one.
    ///
    /// # Errors
    /// 42704 where a role does not exist.
    pub fn revoke_role(&mut self, role: RoleId, member: RoleId) -> Result<bool, CatalogError> {
        self.existing_role(role)?;
        let mut changed = Role::clone(self.existing_role(member)?);
        let removed = changed.member_of.remove(&role) | changed.admin_of.remove(&role);
        if removed {
            self.make(Change::PutRole(Arc::new(changed)))?;
        }
        Ok(removed)
    }

    fn check_new_role_name(&self, name: &str) -> Result<(), CatalogError> {
        check_name(ObjectKind::Role, name)?;
        if self.role_by_name(name).is_some() {
            return Err(CatalogError::exists(ObjectKind::Role, name));
        }
        Ok(())
    }

    /// A catalog without a superuser could never be mended through the front door.
    fn check_superuser_remains(&self, role: &Role, verb: &str) -> Result<(), CatalogError> {
        let rules = |candidate: &Role| candidate.superuser && candidate.login;
        if !rules(role) || self.roles().any(|other| other.id != role.id && rules(other)) {
            return Ok(());
        }
        Err(CatalogError::InUse {
            message: format!(
                "role \"{}\" cannot be {verb} so because it is the last superuser who can log in",
                role.name
            ),
            detail: "A catalog needs a superuser.".to_owned(),
            hint: Some("Make another role a superuser first."),
        })
    }

    /// What keeps a role from being dropped, in PostgreSQL's words.
    fn uses_of_role(&self, id: RoleId) -> Vec<String> {
        let mut uses = Vec::new();
        for schema in self.schemas() {
            let object = format!("schema {}", quote_identifier(&schema.name));
            describe_uses(&mut uses, &object, schema.owner == id, &schema.grants, id);
        }
        for relation in self.relations() {
            let kind = match relation {
                Relation::Table(_) => "table",
                Relation::View(_) => "view",
            };
            let object = format!("{kind} {}", self.qualified_name(relation.id()));
            describe_uses(&mut uses, &object, relation.owner() == id, relation.grants(), id);
            if let Relation::Table(table) = relation {
                describe_policies(&mut uses, &object, table, id);
            }
        }
        for (object, grants) in self.system_objects() {
            describe_uses(&mut uses, &object.to_string(), false, grants, id);
        }
        for policy in self.masking_policies().filter(|policy| policy.owner == id) {
            uses.push(format!("owner of masking policy {}", quote_identifier(&policy.name)));
        }
        for test in self.policy_tests() {
            let name = quote_identifier(&test.name);
            if test.owner == id {
                uses.push(format!("owner of policy test {name}"));
            }
            if test.role == id {
                uses.push(format!("role of policy test {name}"));
            }
        }
        describe_defaults(&mut uses, self, id);
        for tag in self.tags().filter(|tag| tag.owner == id) {
            uses.push(format!("owner of tag {}", quote_identifier(&tag.name)));
        }
        uses
    }
}

fn describe_uses(uses: &mut Vec<String>, object: &str, owned: bool, grants: &[Grant], role: RoleId) {
    if owned {
        uses.push(format!("owner of {object}"));
    }
    if grants.iter().any(|grant| grant.grantee == Grantee::Role(role) || grant.grantor == role) {
        uses.push(format!("privileges for {object}"));
    }
}

/// Default privileges, in PostgreSQL's words.
fn describe_defaults(uses: &mut Vec<String>, snapshot: &Snapshot, role: RoleId) {
    for maker in snapshot.roles() {
        let what = format!("default privileges on new relations belonging to role {}", quote_identifier(&maker.name));
        if maker.id == role && !maker.default_grants.is_empty() {
            uses.push(format!("owner of {what}"));
        }
        let granted = |one: &DefaultGrant| one.grantee == Grantee::Role(role);
        if maker.id != role && maker.default_grants.iter().any(granted) {
            uses.push(format!("privileges for {what}"));
        }
    }
}

fn describe_policies(uses: &mut Vec<String>, object: &str, table: &Table, role: RoleId) {
    for policy in &table.policies {
        let name = quote_identifier(&policy.name);
        if policy.owner == role {
            uses.push(format!("owner of policy {name} on {object}"));
        }
        if policy.grantees.contains(&Grantee::Role(role)) {
            uses.push(format!("target of policy {name} on {object}"));
        }
    }
}
