//! Row policies, masking policies, and the masks set on columns.
//!
//! Invariants: a mask names a policy and columns that exist, as many as the policy takes; a row policy names roles that
//! exist; a masking policy that is set somewhere is not dropped, and keeps its parameters.

use std::collections::BTreeSet;
use std::sync::Arc;

use lakeward_base::{ColumnId, MaskingPolicyId, PolicyId, Redacted, RoleId, TableId};

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Grantee, MaskBinding, MaskingPolicy, Parameter, PolicyCommand, PolicyRead, RowPolicy, Table, Tag};
use crate::name::{check_name, quote_identifier};

/// A row policy to be made.
#[derive(Clone)]
pub struct NewPolicy {
    /// Name, unique on its table.
    pub name: String,
    /// Permissive rather than restrictive.
    pub permissive: bool,
    /// The commands it covers.
    pub command: PolicyCommand,
    /// To whom it applies.
    pub grantees: Vec<Grantee>,
    /// SQL text of the USING expression.
    pub using: Option<Redacted<String>>,
    /// SQL text of the WITH CHECK expression.
    pub with_check: Option<Redacted<String>>,
    /// Who makes it.
    pub owner: RoleId,
    /// Not enforced, only counted.
    pub shadow: bool,
    /// The tables that its subqueries read.
    pub reads: Vec<PolicyRead>,
}

/// What making a row policy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedPolicy {
    /// The policy.
    pub id: PolicyId,
    /// Row level security was off on the table and is on now: the statement says so in a NOTICE.
    pub enabled_row_security: bool,
}

/// A masking policy to be made.
#[derive(Clone)]
pub struct NewMaskingPolicy {
    /// Name, unique in the catalog.
    pub name: String,
    /// Parameters; the first is the masked value.
    pub parameters: Vec<Parameter>,
    /// SQL type of the result.
    pub returns: String,
    /// SQL text of the body.
    pub body: Redacted<String>,
    /// Who makes it.
    pub owner: RoleId,
}

impl Draft {
    /// Makes a row policy, and turns row level security on unless the policy is in shadow.
    ///
    /// # Errors
    /// 42710 where the table has one of that name, 42P01 and 42704 for an unknown table and role, 42601 for clauses
    /// that do not go with its command, 42602 for an impossible name.
    pub fn create_policy(&mut self, table: TableId, new: NewPolicy) -> Result<CreatedPolicy, CatalogError> {
        let mut table = Table::clone(self.existing_table(table)?);
        let id = PolicyId(self.identifier()?);
        let NewPolicy { name, permissive, command, grantees, using, with_check, owner, shadow, reads } = new;
        let policy = RowPolicy { id, name, permissive, command, grantees, using, with_check, owner, shadow, reads };
        self.check_policy(&table, &policy)?;
        table.policies.push(policy);
        let enabled_row_security = !shadow && !std::mem::replace(&mut table.row_security, true);
        self.make(Change::PutTable(Arc::new(table)))?;
        Ok(CreatedPolicy { id, enabled_row_security })
    }

    /// Changes a row policy: anything but its identifier. One that leaves its shadow turns row level security on.
    ///
    /// # Errors
    /// 42704 where it does not exist; else as for [`create_policy`](Self::create_policy).
    pub fn alter_policy(
        &mut self,
        table: TableId,
        policy: PolicyId,
        edit: impl FnOnce(&mut RowPolicy),
    ) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(table)?);
        let missing = CatalogError::Vanished { kind: ObjectKind::Policy, id: policy.0 };
        let slot = table.policies.iter().position(|candidate| candidate.id == policy).ok_or(missing)?;
        let mut altered = table.policies.remove(slot);
        let was_shadow = altered.shadow;
        edit(&mut altered);
        table.row_security |= was_shadow && !altered.shadow;
        if altered.id != policy {
            return Err(CatalogError::Unsupported("changing a policy's identifier"));
        }
        self.check_policy(&table, &altered)?;
        table.policies.insert(slot, altered);
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Drops a row policy. Row level security stays on, so that dropping the last one hides all rows.
    ///
    /// # Errors
    /// 42P01 and 42704 where the table or the policy does not exist.
    pub fn drop_policy(&mut self, table: TableId, policy: PolicyId) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(table)?);
        let before = table.policies.len();
        table.policies.retain(|candidate| candidate.id != policy);
        if table.policies.len() == before {
            return Err(CatalogError::Vanished { kind: ObjectKind::Policy, id: policy.0 });
        }
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// Makes a masking policy.
    ///
    /// # Errors
    /// 42710 where the name is taken, 42602 where it cannot be one, 42704 for an unknown owner, 42P17 for parameters
    /// that are none or share a name.
    pub fn create_masking_policy(&mut self, new: NewMaskingPolicy) -> Result<MaskingPolicyId, CatalogError> {
        self.check_new_masking_policy_name(&new.name)?;
        let id = MaskingPolicyId(self.identifier()?);
        let NewMaskingPolicy { name, parameters, returns, body, owner } = new;
        let policy = MaskingPolicy { id, name, parameters, returns, body, owner };
        self.check_masking_policy(&policy)?;
        self.make(Change::PutMaskingPolicy(Arc::new(policy)))?;
        Ok(id)
    }

    /// Changes a masking policy: anything but its identifier, and while it is set on a column anything but its
    /// parameters and type.
    ///
    /// # Errors
    /// 42704 where it does not exist, 2BP01 for a signature in use; else as for
    /// [`create_masking_policy`](Self::create_masking_policy).
    pub fn alter_masking_policy(
        &mut self,
        id: MaskingPolicyId,
        edit: impl FnOnce(&mut MaskingPolicy),
    ) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_masking_policy(id)?);
        let mut policy = MaskingPolicy::clone(&old);
        edit(&mut policy);
        if policy.id != old.id {
            return Err(CatalogError::Unsupported("changing a masking policy's identifier"));
        }
        if policy.name != old.name {
            self.check_new_masking_policy_name(&policy.name)?;
        }
        let types = |policy: &MaskingPolicy| {
            policy.parameters.iter().map(|parameter| parameter.sql_type.clone()).collect::<Vec<_>>()
        };
        if policy.returns != old.returns || types(&policy) != types(&old) {
            self.check_masking_policy_unused(&old, "change the parameters of")?;
        }
        self.check_masking_policy(&policy)?;
        self.make(Change::PutMaskingPolicy(Arc::new(policy)))
    }

    /// Drops a masking policy.
    ///
    /// # Errors
    /// 42704 where it does not exist, 2BP01 where it is set on a column or a tag.
    pub fn drop_masking_policy(&mut self, id: MaskingPolicyId) -> Result<(), CatalogError> {
        let policy = Arc::clone(self.existing_masking_policy(id)?);
        self.check_masking_policy_unused(&policy, "drop")?;
        self.make(Change::DropMaskingPolicy(id))
    }

    /// Sets a column's mask, or takes it away. Whether the types go together is the caller's business.
    ///
    /// # Errors
    /// 42P01, 42703 and 42704 where the table, a column or the policy does not exist, 42P17 where the arguments do not
    /// begin with the column itself or are not as many as the policy takes.
    pub fn set_mask(
        &mut self,
        table: TableId,
        column: ColumnId,
        mask: Option<MaskBinding>,
    ) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(table)?);
        if let Some(mask) = &mask {
            self.check_mask(&table, column, mask)?;
        }
        let Some(target) = table.columns.iter_mut().find(|candidate| candidate.id == column) else {
            return Err(CatalogError::ColumnNotFound { column: column.to_string(), relation: table.name });
        };
        target.mask = mask;
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// `table` without the policy itself.
    fn check_policy(&self, table: &Table, policy: &RowPolicy) -> Result<(), CatalogError> {
        check_name(ObjectKind::Policy, &policy.name)?;
        if table.policies.iter().any(|other| other.name == policy.name) {
            return Err(CatalogError::PolicyExists { policy: policy.name.clone(), table: table.name.clone() });
        }
        match policy.command {
            PolicyCommand::Insert if policy.using.is_some() => {
                return Err(CatalogError::PolicyClauses("only WITH CHECK expression allowed for INSERT"));
            }
            PolicyCommand::Select | PolicyCommand::Delete if policy.with_check.is_some() => {
                return Err(CatalogError::PolicyClauses("WITH CHECK cannot be applied to SELECT or DELETE"));
            }
            PolicyCommand::All
            | PolicyCommand::Select
            | PolicyCommand::Insert
            | PolicyCommand::Update
            | PolicyCommand::Delete => {}
        }
        if policy.grantees.is_empty() {
            return Err(CatalogError::PolicyClauses("a policy applies to at least one role, or to PUBLIC"));
        }
        self.existing_role(policy.owner)?;
        for grantee in &policy.grantees {
            if let Grantee::Role(role) = grantee {
                self.existing_role(*role)?;
            }
        }
        self.check_reads(table, policy)
    }

    fn check_new_masking_policy_name(&self, name: &str) -> Result<(), CatalogError> {
        check_name(ObjectKind::MaskingPolicy, name)?;
        if self.masking_policy_by_name(name).is_some() {
            return Err(CatalogError::exists(ObjectKind::MaskingPolicy, name));
        }
        Ok(())
    }

    fn check_masking_policy(&self, policy: &MaskingPolicy) -> Result<(), CatalogError> {
        self.existing_role(policy.owner)?;
        if policy.parameters.is_empty() {
            return Err(CatalogError::InvalidDefinition("a masking policy takes at least the masked value".to_owned()));
        }
        let mut seen = BTreeSet::new();
        for parameter in &policy.parameters {
            if !seen.insert(&parameter.name) {
                return Err(CatalogError::InvalidDefinition(format!(
                    "parameter name \"{}\" used more than once",
                    parameter.name
                )));
            }
        }
        Ok(())
    }

    fn check_masking_policy_unused(&self, policy: &MaskingPolicy, action: &str) -> Result<(), CatalogError> {
        let name = quote_identifier(&policy.name);
        let bound = self.tables().flat_map(|table| {
            let table_name = self.qualified_name(table.id);
            let bound =
                table.columns.iter().filter(|column| column.mask.as_ref().is_some_and(|mask| mask.policy == policy.id));
            bound.map(move |column| (column.name.clone(), table_name.clone()))
        });
        let bound: Vec<_> = bound
            .map(|(column, table)| {
                format!("column {} of table {table} depends on masking policy {name}", quote_identifier(&column))
            })
            .collect();
        let of_tag = |tag: &Arc<Tag>| {
            let values = tag.masks.values().filter(|mask| **mask == policy.id).count();
            (values > 0).then(|| format!("tag {} depends on masking policy {name}", quote_identifier(&tag.name)))
        };
        let bound: Vec<_> = bound.into_iter().chain(self.tags().filter_map(of_tag)).collect();
        if bound.is_empty() {
            return Ok(());
        }
        let message = format!("cannot {action} masking policy {name} because other objects depend on it");
        Err(CatalogError::InUse { message, detail: bound.join("\n"), hint: Some("Unset the masking policy first.") })
    }

    fn check_mask(&self, table: &Table, column: ColumnId, mask: &MaskBinding) -> Result<(), CatalogError> {
        let policy = self.existing_masking_policy(mask.policy)?;
        for argument in &mask.arguments {
            if !table.columns.iter().any(|candidate| candidate.id == *argument) {
                return Err(CatalogError::ColumnNotFound {
                    column: argument.to_string(),
                    relation: table.name.clone(),
                });
            }
        }
        if mask.arguments.first() != Some(&column) {
            let message =
                format!("the first column handed to masking policy \"{}\" must be the masked column", policy.name);
            return Err(CatalogError::InvalidDefinition(message));
        }
        let (takes, given) = (policy.parameters.len(), mask.arguments.len());
        if takes != given {
            let message = format!("masking policy \"{}\" takes {takes} columns, but {given} were given", policy.name);
            return Err(CatalogError::InvalidDefinition(message));
        }
        Ok(())
    }
}
