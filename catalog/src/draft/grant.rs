//! Privileges: giving them, and taking them away with what hangs on them.
//!
//! Invariants: one grantor gives a grantee a privilege once or not at all; whoever granted something may grant it (owner, or
//! holder of the grant option); a derived table is granted to nobody.

use std::fmt;
use std::sync::Arc;

use lakeward_base::{ColumnId, RoleId};

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Grant, Grantee, Privilege, Relation, Schema, Securable, SystemObject, Table, View};
use crate::snapshot::SYSTEM;

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub privilege: Privilege,
    /// On this column alone; `None` takes it on every column too.
    pub column: Option<ColumnId>,
    /// From whom.
    pub grantee: Grantee,
    /// Who had granted it.
    pub grantor: RoleId,
    /// The grant option only.
    pub option_only: bool,
    /// What the grantee has passed on goes too; else that is an error.
    pub cascade: bool,
}

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
            Self::Execute => "EXECUTE",
            Self::BreakGlass => "BREAK GLASS",
        }
    }
}

impl SystemObject {
    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Function(_) => ObjectKind::Function,
            Self::Storage(_) => ObjectKind::Storage,
            Self::BreakGlass => ObjectKind::BreakGlass,
        }
    }
}

impl fmt::Display for SystemObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(name) => write!(f, "function {name}"),
            Self::Storage(location) => write!(f, "storage {location}"),
            Self::BreakGlass => f.write_str("break glass"),
        }
    }
}

impl Securable {
    /// Every privilege that can be granted on it, in PostgreSQL's order.
    #[must_use]
    pub fn privileges(&self) -> &'static [Privilege] {
        match self {
            Self::Schema(_) => &[Privilege::Usage, Privilege::Create],
            Self::Relation(_) => &[Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete],
            Self::System(SystemObject::Function(_)) => &[Privilege::Execute],
            Self::System(SystemObject::Storage(_)) => &[Privilege::Usage],
            Self::System(SystemObject::BreakGlass) => &[Privilege::BreakGlass],
        }
    }

    fn check_takes(&self, privilege: Privilege) -> Result<(), CatalogError> {
        if self.privileges().contains(&privilege) {
            return Ok(());
        }
        let kind = match self {
            Self::Schema(_) => ObjectKind::Schema,
            Self::Relation(_) => ObjectKind::Relation,
            Self::System(object) => object.kind(),
        };
        Err(CatalogError::InvalidGrant { privilege: privilege.as_sql(), kind })
    }
}

impl Draft {
    /// Grants a privilege on the whole of an object, without the grant option. Answers whether that is new.
    ///
    /// # Errors
    /// As for [`give`](Self::give).
    pub fn grant(
        &mut self,
        object: Securable,
        privilege: Privilege,
        grantee: Grantee,
        grantor: RoleId,
    ) -> Result<bool, CatalogError> {
        self.give(&object, Grant { privilege, grantee, grantor, column: None, grantable: false })
    }

    /// Grants a privilege. Answers whether the grantee had it not yet from that grantor. Whether the grantor may is the
    /// caller's business.
    ///
    /// # Errors
    /// 3F000, 42P01, 42703 and 42704 where the object, the column or a role does not exist, 42809 for a privilege that
    /// such an object does not have, 0A000 for a derived table, 0LP01 for a grant option that cannot be given.
    pub fn give(&mut self, object: &Securable, grant: Grant) -> Result<bool, CatalogError> {
        self.check_grant(object, grant.privilege, grant.grantee, grant.column)?;
        if grant.grantor != SYSTEM {
            self.existing_role(grant.grantor)?;
        }
        if let Securable::Relation(id) = object
            && let Some(table) = self.table(*id).filter(|table| !table.grantable)
        {
            return Err(CatalogError::NotGrantable { table: table.name.clone() });
        }
        let owner = self.owner_of(object)?;
        self.edit_grants(object, |grants| {
            check_option(grants, owner, &grant)?;
            add(grants, grant);
            Ok(())
        })
    }

    /// Takes a privilege, or its grant option, away. Answers whether that changed anything.
    ///
    /// # Errors
    /// As for [`give`](Self::give); 2BP01 where others hold it through the grantee and `cascade` was not asked for.
    pub fn revoke(&mut self, object: &Securable, revocation: &Revocation) -> Result<bool, CatalogError> {
        self.check_grant(object, revocation.privilege, revocation.grantee, revocation.column)?;
        let owner = self.owner_of(object)?;
        self.edit_grants(object, |grants| {
            take(grants, revocation);
            let before = grants.len();
            sweep(grants, owner, revocation.privilege);
            if grants.len() != before && !revocation.cascade {
                return Err(CatalogError::DependentPrivileges);
            }
            Ok(())
        })
    }

    /// Takes away everything that was granted to a role, with what it has passed on, and the default privileges that it has
    /// set or that are for it.
    ///
    /// # Errors
    /// 42704 where there is no such role.
    pub fn revoke_all(&mut self, role: RoleId) -> Result<(), CatalogError> {
        self.existing_role(role)?;
        self.forget_defaults(role)?;
        let mut objects: Vec<Securable> = self.schemas().map(|schema| Securable::Schema(schema.id)).collect();
        objects.extend(self.relations().map(|relation| Securable::Relation(relation.id())));
        objects.extend(self.system_objects().map(|(object, _)| Securable::System(object.clone())));
        for object in objects {
            let owner = self.owner_of(&object)?;
            self.edit_grants(&object, |grants| {
                grants.retain(|grant| grant.grantee != Grantee::Role(role));
                object.privileges().iter().for_each(|privilege| sweep(grants, owner, *privilege));
                Ok(())
            })?;
        }
        Ok(())
    }

    fn owner_of(&self, object: &Securable) -> Result<RoleId, CatalogError> {
        match object {
            Securable::Schema(id) => Ok(self.existing_schema(*id)?.owner),
            Securable::Relation(id) => self
                .relation_by_id(*id)
                .map(Relation::owner)
                .ok_or(CatalogError::Vanished { kind: ObjectKind::Relation, id: id.0 }),
            Securable::System(_) => Ok(SYSTEM),
        }
    }

    fn check_grant(
        &self,
        object: &Securable,
        privilege: Privilege,
        grantee: Grantee,
        column: Option<ColumnId>,
    ) -> Result<(), CatalogError> {
        object.check_takes(privilege)?;
        if let Grantee::Role(role) = grantee {
            self.existing_role(role)?;
        }
        let Some(column) = column else { return Ok(()) };
        let table = match object {
            Securable::Relation(id) => self.existing_table(*id)?,
            Securable::Schema(_) | Securable::System(_) => {
                return Err(CatalogError::Unsupported("a privilege on a column of this"));
            }
        };
        if privilege != Privilege::Select {
            return Err(CatalogError::Unsupported("any privilege on columns but SELECT"));
        }
        if !table.columns.iter().any(|known| known.id == column) {
            return Err(CatalogError::ColumnNotFound { column: column.to_string(), relation: table.name.clone() });
        }
        Ok(())
    }

    /// Runs `edit` over the object's grants; nothing is recorded where it changes none.
    fn edit_grants(
        &mut self,
        object: &Securable,
        edit: impl FnOnce(&mut Vec<Grant>) -> Result<(), CatalogError>,
    ) -> Result<bool, CatalogError> {
        let edited = |grants: &mut Vec<Grant>| {
            let before = grants.clone();
            edit(grants)?;
            grants.sort();
            Ok::<bool, CatalogError>(*grants != before)
        };
        let change = match object {
            Securable::Schema(id) => {
                let mut schema = Schema::clone(self.existing_schema(*id)?);
                edited(&mut schema.grants)?.then(|| Change::PutSchema(Arc::new(schema)))
            }
            Securable::Relation(id) => match self.relation_by_id(*id) {
                Some(Relation::Table(table)) => {
                    let mut table = Table::clone(table);
                    edited(&mut table.grants)?.then(|| Change::PutTable(Arc::new(table)))
                }
                Some(Relation::View(view)) => {
                    let mut view = View::clone(view);
                    edited(&mut view.grants)?.then(|| Change::PutView(Arc::new(view)))
                }
                None => return Err(CatalogError::Vanished { kind: ObjectKind::Relation, id: id.0 }),
            },
            Securable::System(object) => {
                let mut grants = self.system_grants(object).to_vec();
                edited(&mut grants)?.then(|| Change::PutSystemGrants { object: object.clone(), grants })
            }
        };
        let changed = change.is_some();
        change.map_or(Ok(()), |change| self.make(change))?;
        Ok(changed)
    }
}

fn is_same(a: &Grant, b: &Grant) -> bool {
    (a.privilege, a.column, a.grantee, a.grantor) == (b.privilege, b.column, b.grantee, b.grantor)
}

fn add(grants: &mut Vec<Grant>, new: Grant) {
    match grants.iter_mut().find(|grant| is_same(grant, &new)) {
        Some(old) => old.grantable |= new.grantable,
        None => grants.push(new),
    }
}

fn take(grants: &mut Vec<Grant>, revocation: &Revocation) {
    let fits = |grant: &Grant| {
        grant.privilege == revocation.privilege
            && grant.grantee == revocation.grantee
            && grant.grantor == revocation.grantor
            && (revocation.column.is_none() || grant.column == revocation.column)
    };
    if revocation.option_only {
        grants.iter_mut().filter(|grant| fits(grant)).for_each(|grant| grant.grantable = false);
    } else {
        grants.retain(|grant| !fits(grant));
    }
}

/// Removes what was granted by those who may not grant it (any more), and so on.
fn sweep(grants: &mut Vec<Grant>, owner: RoleId, privilege: Privilege) {
    loop {
        let standing = grants.clone();
        grants.retain(|grant| {
            grant.privilege != privilege || may_grant(&standing, owner, grant.grantor, privilege, grant.column)
        });
        if grants.len() == standing.len() {
            return;
        }
    }
}

fn may_grant(grants: &[Grant], owner: RoleId, role: RoleId, privilege: Privilege, column: Option<ColumnId>) -> bool {
    let gives = |grant: &Grant| {
        grant.grantable
            && grant.privilege == privilege
            && grant.grantee == Grantee::Role(role)
            && (grant.column.is_none() || grant.column == column)
    };
    role == owner || grants.iter().any(gives)
}

/// A grant option goes to roles, and never in a circle: revoking it could not undo one.
fn check_option(grants: &[Grant], owner: RoleId, new: &Grant) -> Result<(), CatalogError> {
    if !new.grantable {
        return Ok(());
    }
    let Grantee::Role(grantee) = new.grantee else {
        return Err(CatalogError::GrantOption("grant options can only be granted to roles"));
    };
    let mut without = grants.to_vec();
    let of_grantee = |grant: &&mut Grant| grant.privilege == new.privilege && grant.grantee == Grantee::Role(grantee);
    without.iter_mut().filter(of_grantee).for_each(|grant| grant.grantable = false);
    sweep(&mut without, owner, new.privilege);
    if new.grantor == grantee || !may_grant(&without, owner, new.grantor, new.privilege, new.column) {
        return Err(CatalogError::GrantOption("grant options cannot be granted back to your own grantor"));
    }
    Ok(())
}

/// What the old owner granted is the new owner's to answer for, as in PostgreSQL; the old one can then be dropped. What
/// the new one had been granted it now has anyway.
pub(super) fn hand_over(grants: &mut Vec<Grant>, from: RoleId, to: RoleId) {
    let old = std::mem::take(grants);
    for mut grant in old {
        if grant.grantor == from {
            grant.grantor = to;
        }
        if grant.grantee != Grantee::Role(to) || grant.grantor != to {
            add(grants, grant);
        }
    }
    grants.sort();
}
