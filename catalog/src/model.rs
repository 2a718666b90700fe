//! What the catalog knows: roles, schemas, tables, views, grants and policies, as plain data.
//!
//! Everything is bound by identifier, so that renaming changes no policy. A [`Snapshot`](crate::Snapshot) holds all of
//! it at one epoch and is never changed. Invariant: these types are also the log's format, so an unknown field is an
//! error (an older node must not skip what a newer one relies on).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakeward_base::{ColumnId, MaskingPolicyId, PolicyId, PolicyTestId, Redacted, RoleId, SchemaId, TableId, TagId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::scram::ScramVerifier;

/// Somebody, or a group of somebodies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Stable identifier.
    pub id: RoleId,
    /// Name, folded to lower case unless it was quoted.
    pub name: String,
    /// May connect.
    pub login: bool,
    /// Bypasses grants, row policies and masks.
    pub superuser: bool,
    /// Bypasses row policies only.
    pub bypass_row_security: bool,
    /// May create and alter roles.
    pub create_role: bool,
    /// The password's verifier; `None` means that no password is accepted.
    pub verifier: Option<ScramVerifier>,
    /// From when on the password is refused.
    pub valid_until: Option<DateTime<Utc>>,
    /// Attributes that policies may read. Not inherited.
    pub attributes: BTreeMap<String, String>,
    /// Roles that this role is a direct member of.
    pub member_of: BTreeSet<RoleId>,
    /// Roles that this role may grant and revoke (`WITH ADMIN OPTION`), whether or not it is a member of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub admin_of: BTreeSet<RoleId>,
    /// Settings that its sessions begin with, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The purposes of use that its sessions may state; `None` leaves all open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_purposes: Option<BTreeSet<String>>,
    /// What its sessions may take.
    #[serde(default, skip_serializing_if = "RoleLimits::is_none")]
    pub limits: RoleLimits,
    /// What `COMMENT ON` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What it grants on the tables and views that it makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_grants: Vec<DefaultGrant>,
    /// Built in: cannot be dropped or renamed.
    pub built_in: bool,
}

/// What the sessions of a role may take. Not inherited by its members; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleLimits {
    /// Sessions at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Statements that run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_statements: Option<u32>,
    /// Rows of one statement's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_rows: Option<u64>,
    /// Bytes of one statement's result, as the audit counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// Time of one statement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_ms: Option<u64>,
}

impl RoleLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A namespace for tables and views.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Stable identifier.
    pub id: SchemaId,
    /// Name.
    pub name: String,
    /// Who may create in it and drop it.
    pub owner: RoleId,
    /// What has been granted on it (`USAGE`, `CREATE`).
    pub grants: Vec<Grant>,
    /// What `COMMENT ON` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// Read a table or view.
    Select,
    /// Append to a table.
    Insert,
    /// Change rows.
    Update,
    /// Remove rows.
    Delete,
    /// Name what is in a schema.
    Usage,
    /// Create in a schema.
    Create,
    /// Call a keyed function.
    Execute,
    /// Open one subject's rows in an emergency.
    BreakGlass,
}

/// To whom something applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    /// Everybody.
    Public,
    /// A role and its members.
    Role(RoleId),
}

/// One privilege, given to one grantee.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What.
    pub privilege: Privilege,
    /// To whom.
    pub grantee: Grantee,
    /// By whom. [`SYSTEM`](crate::SYSTEM) for what superusers grant on things that nobody owns.
    pub grantor: RoleId,
    /// On this column alone; `None` is the whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<ColumnId>,
    /// WITH GRANT OPTION.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grantable: bool,
}

/// What a role grants on every table and view that it makes (`ALTER DEFAULT PRIVILEGES`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultGrant {
    /// In which schema; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaId>,
    /// What.
    pub privilege: Privilege,
    /// To whom.
    pub grantee: Grantee,
    /// WITH GRANT OPTION.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grantable: bool,
}

impl DefaultGrant {
    /// The grant that `maker` makes of it.
    #[must_use]
    pub fn granted_by(&self, maker: RoleId) -> Grant {
        let Self { schema: _, privilege, grantee, grantable } = *self;
        Grant { privilege, grantee, grantor: maker, column: None, grantable }
    }
}

/// A Delta table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Stable identifier.
    pub id: TableId,
    /// The schema that it is in.
    pub schema: SchemaId,
    /// Name within the schema.
    pub name: String,
    /// Owner: may grant, alter, drop; bypasses neither policies nor masks.
    pub owner: RoleId,
    /// Where its Delta log is, as an absolute URL with a trailing slash (`file:///…/`).
    pub location: String,
    /// Dropping the table deletes the files too: Lakeward made them.
    pub managed: bool,
    /// The columns in the order of the Delta schema when the catalog last looked.
    pub columns: Vec<Column>,
    /// Table privileges.
    pub grants: Vec<Grant>,
    /// Row level security is on: without a matching policy there are no rows.
    pub row_security: bool,
    /// Row policies, in the order of their making.
    pub policies: Vec<RowPolicy>,
    /// False for a derived table that its columns' tags and masks do not protect as its sources were protected: only the
    /// owner may read it, and only those who answer for all tables let others in.
    pub grantable: bool,
    /// A derived table whose columns have tags and masks from those that they were made of: not its owner's to change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherits: bool,
    /// What `COMMENT ON` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Names of columns that it no longer has: in old versions they mean those, whatever is called so today.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub former_columns: BTreeSet<String>,
    /// The column that says whose data a row is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ColumnId>,
}

/// A column of a table, as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Stable identifier within the table.
    pub id: ColumnId,
    /// Name, exactly as in the Delta schema.
    pub name: String,
    /// The SQL type as users write and see it, e.g. `bigint`, `timestamp`, `numeric(10,2)`.
    pub sql_type: String,
    /// The mask that is set on it. What holds is [`Snapshot::mask_of`](crate::Snapshot::mask_of), which knows tags too.
    pub mask: Option<MaskBinding>,
    /// Its tags, and the value of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<TagId, String>,
    /// What `COMMENT ON` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The first Delta version in which the name means this column, where it meant another one, or none, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// What it was called before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerName>,
}

/// A type without a length (`character varying(3)` is text), and without the digits of a second.
#[must_use]
pub fn type_kind(sql_type: &str) -> &str {
    match sql_type.split_once('(') {
        Some(("character varying" | "character", _)) => "text",
        Some((name @ ("timestamp" | "timestamptz"), _)) => name,
        _ => sql_type,
    }
}

/// What a column was called in earlier versions of its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerName {
    /// The name.
    pub name: String,
    /// The first version in which it meant this column, as for [`Column::since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The first version in which it did not any more.
    pub until: u64,
}

impl Column {
    /// Whether the column's name meant this column at a version of the table's log.
    #[must_use]
    pub fn is_in(&self, version: u64) -> bool {
        self.since.is_none_or(|since| version >= since)
    }

    /// Of which kind its values are: its type without a length, and without the digits of a second.
    #[must_use]
    pub fn kind(&self) -> &str {
        type_kind(&self.sql_type)
    }

    /// What the column was called at a version of the table's log; `None`: it was not there.
    #[must_use]
    pub fn name_at(&self, version: u64) -> Option<&str> {
        match self.former.iter().find(|former| version < former.until) {
            Some(former) => former.since.is_none_or(|since| version >= since).then_some(former.name.as_str()),
            None => self.is_in(version).then_some(self.name.as_str()),
        }
    }
}

/// A masking policy set on a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskBinding {
    /// The policy.
    pub policy: MaskingPolicyId,
    /// The columns handed to the policy's parameters, in order; the first is the masked column itself.
    pub arguments: Vec<ColumnId>,
}

/// Which commands a row policy covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyCommand {
    /// Every command.
    All,
    /// SELECT.
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
}

impl PolicyCommand {
    /// As SQL writes it.
    #[must_use]
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A row policy (PostgreSQL's `CREATE POLICY`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowPolicy {
    /// Stable identifier.
    pub id: PolicyId,
    /// Name, unique on its table.
    pub name: String,
    /// Permissive policies are ORed, restrictive ones ANDed.
    pub permissive: bool,
    /// The commands it covers.
    pub command: PolicyCommand,
    /// To whom it applies.
    pub grantees: Vec<Grantee>,
    /// SQL text of the USING expression.
    pub using: Option<Redacted<String>>,
    /// SQL text of the WITH CHECK expression.
    pub with_check: Option<Redacted<String>>,
    /// Who made it: keyed functions in it run with this role's rights, and tables are read with them.
    pub owner: RoleId,
    /// The tables that its subqueries read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<PolicyRead>,
    /// SHADOW: not enforced, only counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// A table that a row policy's subqueries read: the name stands for it whatever it is called later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRead {
    /// The schema, where the policy's text names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name in the policy's text.
    pub name: String,
    /// The table.
    pub table: TableId,
    /// The columns that it reads.
    pub columns: BTreeSet<ColumnId>,
}

/// A masking policy (Snowflake's `CREATE MASKING POLICY`).
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskingPolicy {
    /// Stable identifier.
    pub id: MaskingPolicyId,
    /// Name, unique in the catalog.
    pub name: String,
    /// Parameters, in order; the first is the masked value.
    pub parameters: Vec<Parameter>,
    /// SQL type of the result: the same as the first parameter's.
    pub returns: String,
    /// SQL text of the body.
    pub body: Redacted<String>,
    /// Who made it.
    pub owner: RoleId,
}

/// A tag: what columns are marked with, and, for some of its values, the mask of every column that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Stable identifier.
    pub id: TagId,
    /// Name, unique in the catalog.
    pub name: String,
    /// The only values that it can have, in the order in which they were given; `None` allows all.
    pub allowed_values: Option<Vec<String>>,
    /// The masking policies that its values bring along.
    pub masks: BTreeMap<String, MaskingPolicyId>,
    /// Who made it.
    pub owner: RoleId,
}

/// A parameter of a masking policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Name, as the body uses it.
    pub name: String,
    /// SQL type.
    pub sql_type: String,
}

/// What a policy test expects of its query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// No row.
    NoRows,
    /// At least one.
    SomeRows,
    /// So many.
    Rows(u64),
    /// These columns of the result show what a mask leaves.
    Masked(Vec<String>),
    /// These show nothing of a mask.
    Unmasked(Vec<String>),
    /// It is refused.
    Denied,
}

/// A policy test: what a role must, or must not, be shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTest {
    /// Stable identifier.
    pub id: PolicyTestId,
    /// Name, unique in the catalog.
    pub name: String,
    /// As whom the query is run.
    pub role: RoleId,
    /// Attributes over the role's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Redacted<String>>,
    /// The query, as it was typed.
    pub query: Redacted<String>,
    /// Where unqualified names in it are looked for: the search path of its making.
    pub search_path: Vec<String>,
    /// What must come of it.
    pub expectation: Expectation,
    /// Who made it, and in whose name it acts as the role.
    pub owner: RoleId,
}

/// A view: its text is planned anew at every use.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Stable identifier (shared number range with tables).
    pub id: TableId,
    /// The schema that it is in.
    pub schema: SchemaId,
    /// Name within the schema.
    pub name: String,
    /// Whose table privileges the view uses; policies apply as the caller.
    pub owner: RoleId,
    /// The SELECT, as it was typed.
    pub definition: Redacted<String>,
    /// Where unqualified names in it are looked for: the search path of its making, never the reader's.
    #[serde(default)]
    pub search_path: Vec<String>,
    /// Output columns, name and SQL type.
    pub columns: Vec<Column>,
    /// Privileges on the view.
    pub grants: Vec<Grant>,
    /// What `COMMENT ON` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One use of BREAK GLASS: a subject's rows, opened for one session for some time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Its number.
    pub id: Uuid,
    /// Who opened it: the role that logged in.
    pub login: RoleId,
    /// That role's name.
    pub user_name: String,
    /// The role that acted.
    pub role: RoleId,
    /// Whose rows.
    pub subject: Redacted<String>,
    /// Why.
    pub reason: Redacted<String>,
    /// Under which ticket.
    pub ticket: Option<Redacted<String>>,
    /// From when on.
    pub opened_at: DateTime<Utc>,
    /// Until when at the longest.
    pub expires_at: DateTime<Utc>,
    /// When it was ended before that.
    pub ended_at: Option<DateTime<Utc>>,
    /// What somebody else has said of it.
    pub review: Option<Review>,
}

impl BreakGlass {
    /// Whether it opens anything at this moment.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }

    /// When it ended, where it has.
    #[must_use]
    pub fn end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.ended_at.or_else(|| (now >= self.expires_at).then_some(self.expires_at))
    }
}

/// Reasons name patients.
impl std::fmt::Debug for BreakGlass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakGlass").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The review of a [`BreakGlass`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// By whom.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What they say.
    pub note: Redacted<String>,
}

/// What privileges can be granted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Securable {
    /// A schema: `USAGE`, `CREATE`.
    Schema(SchemaId),
    /// A table or view: `SELECT`, `INSERT`, `UPDATE`, `DELETE`.
    Relation(TableId),
    /// Something that is the server's own.
    System(SystemObject),
}

/// Things that nobody made and nobody owns, and that privileges are granted on all the same: by superusers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemObject {
    /// A keyed function, by name: `EXECUTE`.
    Function(String),
    /// Everything below a location, in its canonical spelling: `USAGE`.
    Storage(String),
    /// Opening a subject's rows in an emergency: `BREAK GLASS`.
    BreakGlass,
}

/// What a name can stand for in FROM.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A table.
    Table(Arc<Table>),
    /// A view.
    View(Arc<View>),
}

macro_rules! debug_by_name {
    ($($type:ident),*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
            }
        }
    )*};
}
debug_by_name!(RowPolicy, MaskingPolicy, PolicyTest, View);
