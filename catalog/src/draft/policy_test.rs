//! Policy tests.
//!
//! Invariant: a test names roles that exist; no two tests share a name.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_base::{PolicyTestId, Redacted, RoleId};

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Expectation, PolicyTest};
use crate::name::check_name;

/// A policy test to be made.
#[derive(Clone)]
pub struct NewPolicyTest {
    /// Name, unique in the catalog.
    pub name: String,
    /// As whom the query is run.
    pub role: RoleId,
    /// Attributes over the role's own.
    pub attributes: BTreeMap<String, Redacted<String>>,
    /// The query.
    pub query: Redacted<String>,
    /// Where unqualified names in it are looked for.
    pub search_path: Vec<String>,
    /// What must come of it.
    pub expectation: Expectation,
    /// Who makes it.
    pub owner: RoleId,
}

impl Draft {
    /// Makes a policy test.
    ///
    /// # Errors
    /// 42710 where the name is taken, 42602 where it cannot be one, 42704 for an unknown role.
    pub fn create_policy_test(&mut self, new: NewPolicyTest) -> Result<PolicyTestId, CatalogError> {
        check_name(ObjectKind::PolicyTest, &new.name)?;
        if self.policy_test_by_name(&new.name).is_some() {
            return Err(CatalogError::exists(ObjectKind::PolicyTest, &new.name));
        }
        self.existing_role(new.role)?;
        self.existing_role(new.owner)?;
        let id = PolicyTestId(self.identifier()?);
        let NewPolicyTest { name, role, attributes, query, search_path, expectation, owner } = new;
        let test = PolicyTest { id, name, role, attributes, query, search_path, expectation, owner };
        self.make(Change::PutPolicyTest(Arc::new(test)))?;
        Ok(id)
    }

    /// Drops a policy test.
    ///
    /// # Errors
    /// 42704 where it does not exist.
    pub fn drop_policy_test(&mut self, id: PolicyTestId) -> Result<(), CatalogError> {
        if self.policy_test(id).is_none() {
            return Err(CatalogError::Vanished { kind: ObjectKind::PolicyTest, id: id.0 });
        }
        self.make(Change::DropPolicyTest(id))
    }
}
