//! GRANT and REVOKE of privileges.
//!
//! Invariant: nobody grants what they do not own and were given no grant option on; whoever may act as the owner grants in
//! the owner's name.

use lakeward_base::{ColumnId, RoleId, SqlState};
use lakeward_catalog::{
    CatalogError, Draft, Grant, Grantee, Privilege, Relation, Revocation, SYSTEM, Securable, SystemObject,
    canonical_location,
};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, refused};
use crate::ddl::{GrantTarget, Privileges, WantedPrivilege};
use crate::error::Error;
use crate::response::{Command, Notice};

pub(super) async fn privileges(context: &DdlContext<'_>, privileges: &Privileges) -> Result<Command, Error> {
    let tag = if privileges.grant { "GRANT" } else { "REVOKE" };
    context.command(tag, |draft, actor| privileges_in(context, draft, actor, privileges)).await
}

/// Something that privileges are granted on.
struct Object {
    securable: Securable,
    kind: &'static str,
    name: String,
    owner: RoleId,
    grants: Vec<Grant>,
    columns: Vec<(String, ColumnId)>,
}

fn privileges_in(context: &DdlContext<'_>, draft: &mut Draft, actor: &Actor, privileges: &Privileges) -> Edited {
    actor.must_be_granted_by(draft, privileges.granted_by.as_ref())?;
    let grantees = privileges.grantees.iter().map(|name| actor.grantee(draft, name)).collect::<Result<Vec<_>, _>>()?;
    let mut notices = Vec::new();
    for object in objects(context, draft, privileges)? {
        let wanted = wanted(&object, &privileges.privileges)?;
        let permitted = permitted(draft, actor, &object, &wanted)?;
        if privileges.grant && is_private(draft, &object) {
            if !matches!(privileges.on, GrantTarget::Relations(_)) {
                let message = format!("table \"{}\" is its maker's alone, and was left out", object.name);
                notices.push(super::warning(message));
                continue;
            }
            notices.push(release(draft, actor, &object)?);
        }
        let complete = privileges.privileges.is_empty() || permitted.len() == wanted.len();
        notices.extend(shortfall(privileges.grant, &object.name, permitted.is_empty(), complete));
        for (privilege, column, grantor) in permitted {
            for grantee in &grantees {
                if privileges.grant {
                    let (grantee, grantable) = (*grantee, privileges.grant_option);
                    draft.give(&object.securable, Grant { privilege, grantee, grantor, column, grantable })?;
                } else {
                    let (option_only, cascade) = (privileges.grant_option, privileges.cascade);
                    let grantee = *grantee;
                    let revocation = Revocation { privilege, column, grantee, grantor, option_only, cascade };
                    draft.revoke(&object.securable, &revocation)?;
                }
            }
        }
    }
    Ok(notices)
}

/// Whether a table is its maker's alone.
fn is_private(draft: &Draft, object: &Object) -> bool {
    let Securable::Relation(id) = object.securable else { return false };
    draft.table(id).is_some_and(|table| !table.grantable)
}

/// A table that its maker alone may read is let go by those who answer for all tables: what protects the tables that it
/// was made from does not protect it.
fn release(draft: &mut Draft, actor: &Actor, object: &Object) -> Result<Notice, CatalogError> {
    if !actor.superuser && !actor.policy_admin {
        let message = format!("table {} is yours alone: its sources' policies do not protect it", object.name);
        let hint = "Grant on a view over the tables that it was made from, or let a superuser, or a policy_admin who may \
                    grant on it, do so.";
        return Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(hint)));
    }
    if let Securable::Relation(id) = object.securable {
        draft.release(id)?;
    }
    Ok(super::warning(format!("table \"{}\" is protected by its own policies alone from now on", object.name)))
}

/// What is to be granted on an object: privileges, on columns or on the whole.
fn wanted(object: &Object, written: &[WantedPrivilege]) -> Result<Vec<(Privilege, Option<ColumnId>)>, CatalogError> {
    let mut all = Vec::new();
    if written.is_empty() {
        all.extend(object.securable.privileges().iter().map(|privilege| (*privilege, None)));
    }
    for one in written {
        if one.columns.is_empty() {
            all.push((one.privilege, None));
        } else if object.kind == "view" {
            let error = Error::unsupported("a privilege on columns of a view");
            return Err(refused(error.with_hint("Make a view of these columns, and grant on that.")));
        }
        for name in &one.columns {
            let missing = || CatalogError::ColumnNotFound { column: name.clone(), relation: object.name.clone() };
            let (_, column) = object.columns.iter().find(|(known, _)| known == name).ok_or_else(missing)?;
            all.push((one.privilege, Some(*column)));
        }
    }
    Ok(all)
}

type Permitted = (Privilege, Option<ColumnId>, RoleId);

/// Those of `wanted` that the actor may grant, each with the role in whose name it does. An error where it has nothing
/// to do with the object at all.
fn permitted(
    draft: &Draft,
    actor: &Actor,
    object: &Object,
    wanted: &[(Privilege, Option<ColumnId>)],
) -> Result<Vec<Permitted>, CatalogError> {
    let grantor = |privilege, column| {
        if actor.superuser {
            return Some(object.owner);
        }
        draft.grantor(&actor.roles, object.owner, &object.grants, privilege, column)
    };
    let permitted: Vec<_> = wanted
        .iter()
        .filter_map(|(privilege, column)| Some((*privilege, *column, grantor(*privilege, *column)?)))
        .collect();
    let concerns = |grant: &Grant| match grant.grantee {
        Grantee::Public => true,
        Grantee::Role(role) => actor.roles.contains(&role),
    };
    if permitted.is_empty() && !object.grants.iter().any(concerns) {
        return Err(refused(Error::denied(object.kind, &object.name)));
    }
    Ok(permitted)
}

/// PostgreSQL's warning where less was done than was asked for.
fn shortfall(grant: bool, name: &str, nothing: bool, complete: bool) -> Option<Notice> {
    let (sqlstate, done) = if grant {
        (SqlState::PRIVILEGE_NOT_GRANTED, "were granted")
    } else {
        (SqlState::PRIVILEGE_NOT_REVOKED, "could be revoked")
    };
    let which = match (nothing, complete) {
        (true, _) => "no privileges",
        (false, false) => "not all privileges",
        (false, true) => return None,
    };
    Some(Notice { severity: "WARNING", sqlstate, message: format!("{which} {done} for \"{name}\"") })
}

fn objects(context: &DdlContext<'_>, draft: &Draft, privileges: &Privileges) -> Result<Vec<Object>, CatalogError> {
    match &privileges.on {
        GrantTarget::Relations(names) => names
            .iter()
            .map(|name| actor::relation(draft, context.search_path, name).map(|relation| of_relation(&relation)))
            .collect(),
        GrantTarget::AllInSchemas(names) => {
            let mut found = Vec::new();
            for name in names {
                let schema = actor::schema(draft, name)?;
                let inside = draft.relations().filter(|relation| relation.schema() == schema.id);
                found.extend(inside.map(of_relation));
            }
            Ok(found)
        }
        GrantTarget::Schemas(names) => names.iter().map(|name| of_schema(draft, name)).collect(),
        GrantTarget::Functions(names) => names.iter().map(|name| of_function(draft, name)).collect(),
        GrantTarget::Storage(locations) => locations
            .iter()
            .map(|location| Ok(of_system(draft, SystemObject::Storage(canonical_location(location)?), location)))
            .collect(),
        GrantTarget::BreakGlass => Ok(vec![of_system(draft, SystemObject::BreakGlass, "break glass")]),
    }
}

fn of_relation(relation: &Relation) -> Object {
    let (kind, columns) = match relation {
        Relation::Table(table) => ("table", &table.columns),
        Relation::View(view) => ("view", &view.columns),
    };
    Object {
        securable: Securable::Relation(relation.id()),
        kind,
        name: relation.name().to_owned(),
        owner: relation.owner(),
        grants: relation.grants().to_vec(),
        columns: columns.iter().map(|column| (column.name.clone(), column.id)).collect(),
    }
}

fn of_schema(draft: &Draft, name: &str) -> Result<Object, CatalogError> {
    let schema = actor::schema(draft, name)?;
    Ok(Object {
        securable: Securable::Schema(schema.id),
        kind: "schema",
        name: schema.name.clone(),
        owner: schema.owner,
        grants: schema.grants.clone(),
        columns: Vec::new(),
    })
}

/// Only keyed functions are closed: everybody may call the others.
fn of_function(draft: &Draft, name: &str) -> Result<Object, CatalogError> {
    if !lakeward_udfs::KEYED_FUNCTIONS.contains(&name) {
        let message = format!("there is no function \"{name}\" that needs EXECUTE");
        let hint = format!("These do: {}.", lakeward_udfs::KEYED_FUNCTIONS.join(", "));
        return Err(refused(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint)));
    }
    Ok(of_system(draft, SystemObject::Function(name.to_owned()), name))
}

fn of_system(draft: &Draft, object: SystemObject, name: &str) -> Object {
    let kind = match &object {
        SystemObject::Function(_) => "function",
        SystemObject::Storage(_) => "storage",
        SystemObject::BreakGlass => "privilege",
    };
    Object {
        kind,
        name: name.to_owned(),
        owner: SYSTEM,
        grants: draft.system_grants(&object).to_vec(),
        columns: Vec::new(),
        securable: Securable::System(object),
    }
}
