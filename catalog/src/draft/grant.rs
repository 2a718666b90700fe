//! Privileges on schemas, tables and views.
//!
//! Invariants: a grantee holds a privilege on an object once or not at all; a derived table is granted to nobody.

use std::sync::Arc;

use lakeward_base::RoleId;

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Grant, Grantee, Privilege, Relation, Schema, Securable, Table, View};

impl Privilege {
    /// As it is written in SQL.
    #[must_use]
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Usage => "USAGE",
            Self::Create => "CREATE",
        }
    }
}

impl Securable {
    fn check_takes(self, privilege: Privilege) -> Result<(), CatalogError> {
        let on_schema = match privilege {
            Privilege::Usage | Privilege::Create => true,
            Privilege::Select | Privilege::Insert | Privilege::Update | Privilege::Delete => false,
        };
        let kind = match self {
            Self::Schema(_) if !on_schema => ObjectKind::Schema,
            Self::Relation(_) if on_schema => ObjectKind::Relation,
            Self::Schema(_) | Self::Relation(_) => return Ok(()),
        };
        Err(CatalogError::InvalidGrant { privilege: privilege.as_sql(), kind })
    }
}

impl Draft {
    /// Grants a privilege. Answers whether the grantee had it not yet.
    ///
    /// # Errors
    /// 3F000, 42P01 and 42704 where the object or a role does not exist, 42809 for a privilege that such an object does
    /// not have, 0A000 for a derived table.
    pub fn grant(
        &mut self,
        object: Securable,
        privilege: Privilege,
        grantee: Grantee,
        grantor: RoleId,
    ) -> Result<bool, CatalogError> {
        self.check_grant(object, privilege, grantee)?;
        self.existing_role(grantor)?;
        if let Securable::Relation(id) = object
            && let Some(table) = self.table(id).filter(|table| !table.grantable)
        {
            return Err(CatalogError::NotGrantable { table: table.name.clone() });
        }
        self.edit_grants(object, |grants| {
            let added = !grants.iter().any(|grant| grant.privilege == privilege && grant.grantee == grantee);
            if added {
                grants.push(Grant { privilege, grantee, grantor });
                grants.sort();
            }
            added
        })
    }

    /// Takes a privilege away, whoever granted it. Answers whether the grantee had it.
    ///
    /// # Errors
    /// As for [`grant`](Self::grant).
    pub fn revoke(&mut self, object: Securable, privilege: Privilege, grantee: Grantee) -> Result<bool, CatalogError> {
        self.check_grant(object, privilege, grantee)?;
        self.edit_grants(object, |grants| {
            let before = grants.len();
            grants.retain(|grant| grant.privilege != privilege || grant.grantee != grantee);
            grants.len() != before
        })
    }

    fn check_grant(&self, object: Securable, privilege: Privilege, grantee: Grantee) -> Result<(), CatalogError> {
        object.check_takes(privilege)?;
        if let Grantee::Role(role) = grantee {
            self.existing_role(role)?;
        }
        Ok(())
    }

    /// Runs `edit` over the object's grants; nothing is recorded where it answers `false`.
    fn edit_grants(
        &mut self,
        object: Securable,
        edit: impl FnOnce(&mut Vec<Grant>) -> bool,
    ) -> Result<bool, CatalogError> {
        let change = match object {
            Securable::Schema(id) => {
                let mut schema = Schema::clone(self.existing_schema(id)?);
                edit(&mut schema.grants).then(|| Change::PutSchema(Arc::new(schema)))
            }
            Securable::Relation(id) => match self.relation_by_id(id) {
                Some(Relation::Table(table)) => {
                    let mut table = Table::clone(table);
                    edit(&mut table.grants).then(|| Change::PutTable(Arc::new(table)))
                }
                Some(Relation::View(view)) => {
                    let mut view = View::clone(view);
                    edit(&mut view.grants).then(|| Change::PutView(Arc::new(view)))
                }
                None => return Err(CatalogError::Vanished { kind: ObjectKind::Relation, id: id.0 }),
            },
        };
        let changed = change.is_some();
        change.map_or(Ok(()), |change| self.make(change))?;
        Ok(changed)
    }
}
