//! Roles and memberships.
//!
//! Invariant: no relation holds a password or its verifier, and none a role's attributes.

use lakeward_catalog::Role;

use super::super::cell::{Cell, Rows, row};
use super::super::viewer::{Viewer, role_oid};
use super::own;

const AUTHID: &[&str] = &[
    "oid",
    "rolname",
    "rolsuper",
    "rolinherit",
    "rolcreaterole",
    "rolcreatedb",
    "rolcanlogin",
    "rolreplication",
    "rolbypassrls",
    "rolconnlimit",
    "rolvaliduntil",
];

pub(super) fn pg_authid(viewer: &Viewer) -> Rows {
    Rows::new(AUTHID, viewer.snapshot.roles().map(|role| role_row(role)))
}

const ROLES: &[&str] = &[
    "oid",
    "rolname",
    "rolsuper",
    "rolinherit",
    "rolcreaterole",
    "rolcreatedb",
    "rolcanlogin",
    "rolreplication",
    "rolbypassrls",
    "rolconnlimit",
    "rolvaliduntil",
    "rolpassword",
    "rolconfig",
];

pub(super) fn pg_roles(viewer: &Viewer) -> Rows {
    let masked = |role: &std::sync::Arc<Role>| {
        let mut row = role_row(role);
        row.push(Cell::from("********"));
        let settings = if viewer.sees_attributes(role.id) { own::settings_of(role) } else { Vec::new() };
        row.push(Cell::from((!settings.is_empty()).then_some(settings)));
        row
    };
    Rows::new(ROLES, viewer.snapshot.roles().map(masked))
}

fn role_row(role: &Role) -> Vec<Cell> {
    row![
        role_oid(role.id),
        role.name.as_str(),
        role.superuser,
        true,
        role.create_role || role.superuser,
        false,
        role.login,
        false,
        role.bypass_row_security || role.superuser,
        role.limits.connections.map_or(-1, |most| i32::try_from(most).unwrap_or(i32::MAX)),
        role.valid_until.map(|until| until.timestamp_micros()),
    ]
}

pub(super) fn pg_user(viewer: &Viewer) -> Rows {
    let users = viewer.snapshot.roles().filter(|role| role.login);
    let rows = users.map(|role| {
        let valid_until = role.valid_until.map(|until| until.timestamp_micros());
        let bypass = role.bypass_row_security || role.superuser;
        row![role.name.as_str(), role_oid(role.id), false, role.superuser, false, bypass, valid_until]
    });
    let columns = &["usename", "usesysid", "usecreatedb", "usesuper", "userepl", "usebypassrls", "valuntil"];
    Rows::new(columns, rows)
}

pub(super) fn pg_auth_members(viewer: &Viewer) -> Rows {
    let grantor = role_oid(viewer.system_owner());
    let of_role = |role: &std::sync::Arc<Role>| {
        let member = role_oid(role.id);
        let admin = |group| role.admin_of.contains(group);
        role.member_of.iter().map(|group| row![role_oid(*group), member, grantor, admin(group)]).collect::<Vec<_>>()
    };
    Rows::new(&["roleid", "member", "grantor", "admin_option"], viewer.snapshot.roles().flat_map(of_role))
}

/// Settings of roles: `\drds`.
pub(super) fn pg_db_role_setting(viewer: &Viewer) -> Rows {
    let close = viewer.snapshot.roles().filter(|role| viewer.sees_attributes(role.id));
    let set = close.map(|role| (role, own::settings_of(role))).filter(|(_, settings)| !settings.is_empty());
    let rows = set.map(|(role, settings)| row![0_u32, role_oid(role.id), settings]);
    Rows::new(&["setdatabase", "setrole", "setconfig"], rows.collect::<Vec<_>>())
}
