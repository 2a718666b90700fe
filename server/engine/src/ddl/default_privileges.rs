//! ALTER DEFAULT PRIVILEGES.

use lakeward_catalog::Privilege;

use super::{GranteeName, RoleName};

/// What is granted on tables and views that will be made.
#[derive(Debug, PartialEq, Eq)]
pub struct DefaultPrivileges {
    /// By whom they are made; empty: by the one who asks.
    pub makers: Vec<RoleName>,
    /// In which schemas; empty: in all.
    pub schemas: Vec<String>,
    /// GRANT.
    pub grant: bool,
    /// What; empty is ALL.
    pub privileges: Vec<Privilege>,
    /// To whom.
    pub grantees: Vec<GranteeName>,
    /// WITH GRANT OPTION; of REVOKE: GRANT OPTION FOR.
    pub grant_option: bool,
}
