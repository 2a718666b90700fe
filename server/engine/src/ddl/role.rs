//! Statements about roles.

use chrono::{DateTime, Utc};
use lakeward_base::Redacted;

/// A role, as statements name one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleName {
    /// CURRENT_ROLE, CURRENT_USER.
    Current,
    /// SESSION_USER.
    Session,
    /// By name.
    Named(String),
}

/// CREATE ROLE.
#[derive(Debug)]
pub struct CreateRole {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub options: RoleOptions,
    /// Roles that it becomes a member of.
    pub in_roles: Vec<RoleName>,
    /// Roles that become members of it.
    pub members: Vec<RoleName>,
    /// Roles that become members of it, with the admin option.
    pub admins: Vec<RoleName>,
}

/// ALTER ROLE.
#[derive(Debug)]
pub struct AlterRole {
    /// The role.
    pub role: RoleName,
    /// What changes.
    pub options: RoleOptions,
}

/// Options of a role; `None` leaves one as it is.
#[derive(Debug, Default)]
pub struct RoleOptions {
    /// LOGIN
    pub login: Option<bool>,
    /// SUPERUSER
    pub superuser: Option<bool>,
    /// BYPASSRLS
    pub bypass_row_security: Option<bool>,
    /// CREATEROLE
    pub create_role: Option<bool>,
    /// PASSWORD: text or verifier; `Some(None)` is PASSWORD NULL.
    pub password: Option<Option<Redacted<String>>>,
    /// VALID UNTIL; `Some(None)` is 'infinity'.
    pub valid_until: Option<Option<DateTime<Utc>>>,
    /// CONNECTION LIMIT; `Some(None)` is -1.
    pub connection_limit: Option<Option<u32>>,
}

/// GRANT | REVOKE role, … TO | FROM role, …
#[derive(Debug)]
pub struct Membership {
    /// GRANT.
    pub grant: bool,
    /// The roles.
    pub roles: Vec<String>,
    /// Their members.
    pub members: Vec<RoleName>,
    /// WITH ADMIN OPTION; of REVOKE: ADMIN OPTION FOR.
    pub admin_option: bool,
    /// GRANTED BY
    pub granted_by: Option<RoleName>,
}
