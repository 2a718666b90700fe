//! Changes of the catalog: roles, schemas, tables, views, grants, policies, masks and tags.
//!
//! [`parse()`] reads them by hand, over sqlparser's tokens (sqlparser drops clauses, `OR REPLACE` of `CREATE POLICY`
//! among them); [`execute()`] checks permissions and makes the change. Invariants: a clause is kept or refused; passwords
//! stand in [`Redacted`] from the first token on; every permission is checked in the draft that is changed.

mod default_privileges;
mod execute;
mod parse;
mod policy_test;
mod role;
mod tag;
pub(crate) mod types;

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast;
use lakeward_base::Redacted;
use lakeward_catalog::{ColumnChange, PolicyCommand, Privilege};

use crate::statement::Name;

pub use default_privileges::DefaultPrivileges;
pub(crate) use execute::{
    Created, Creation, DdlContext, DdlValidator, Derivation, create_table, execute, existing_table, undo_create,
};
pub(crate) use parse::parse;
pub use policy_test::CreatePolicyTest;
pub use role::{AlterRole, CreateRole, Membership, RoleName, RoleOptions};
pub use tag::{TagChange, TagDdl};

/// A change of the catalog.
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub enum Ddl {
    /// CREATE ROLE | USER
    CreateRole(CreateRole),
    /// ALTER ROLE with options
    AlterRole(AlterRole),
    /// ALTER ROLE … RENAME TO
    RenameRole {
        /// The role.
        role: String,
        /// Its new name.
        to: String,
    },
    /// ALTER ROLE … SET | RESET ATTRIBUTE
    SetAttribute {
        /// The role.
        role: RoleName,
        /// The attribute's name.
        name: String,
        /// Its value; `None` takes it away.
        value: Option<Redacted<String>>,
    },
    /// ALTER ROLE … SET | RESET of a setting
    RoleSetting {
        /// The role.
        role: RoleName,
        /// The setting; `None` is all of them.
        name: Option<String>,
        /// Its value; `None` takes it away.
        value: Option<String>,
    },
    /// ALTER ROLE … SET | RESET ALLOWED_PURPOSES
    AllowedPurposes {
        /// The role.
        role: RoleName,
        /// The purposes; `None` leaves all open.
        purposes: Option<Vec<String>>,
    },
    /// REASSIGN OWNED BY … TO …
    ReassignOwned {
        /// Whose things.
        from: Vec<RoleName>,
        /// Whose they will be.
        to: RoleName,
    },
    /// DROP OWNED BY …: what they were granted.
    DropOwned(Vec<RoleName>),
    /// COMMENT ON
    Comment {
        /// What it is about.
        on: CommentTarget,
        /// It; `None` takes it away.
        text: Option<Redacted<String>>,
    },
    /// DROP ROLE | USER
    DropRole(Drop<String>),
    /// GRANT | REVOKE role
    Membership(Membership),
    /// GRANT | REVOKE privileges
    Privileges(Privileges),
    /// ALTER DEFAULT PRIVILEGES
    DefaultPrivileges(DefaultPrivileges),
    /// CREATE SCHEMA
    CreateSchema {
        /// Its name; `None` takes the owner's.
        name: Option<String>,
        /// No error where it exists.
        if_not_exists: bool,
        /// AUTHORIZATION
        owner: Option<RoleName>,
    },
    /// DROP SCHEMA
    DropSchema(Drop<String>),
    /// CREATE TABLE with columns
    CreateTable(CreateTable),
    /// CREATE EXTERNAL TABLE … STORED AS DELTA LOCATION
    RegisterTable(RegisterTable),
    /// ALTER TABLE … ADD COLUMN
    AddColumn(AddColumn),
    /// ALTER TABLE … DROP | RENAME COLUMN
    ChangeColumn(ChangeColumn),
    /// DROP TABLE
    DropTable(Drop<Name>),
    /// CREATE VIEW
    CreateView(Box<CreateView>),
    /// DROP VIEW
    DropView(Drop<Name>),
    /// ALTER TABLE | VIEW … OWNER TO
    ChangeOwner {
        /// The relation.
        relation: Name,
        /// No error where it does not exist.
        if_exists: bool,
        /// It was called a view.
        is_view: bool,
        /// The new owner.
        to: RoleName,
    },
    /// ALTER TABLE | VIEW … RENAME TO | SET SCHEMA
    MoveRelation {
        /// The relation.
        relation: Name,
        /// No error where it does not exist.
        if_exists: bool,
        /// It was called a view.
        is_view: bool,
        /// Its new name, or its new schema.
        to: NewPlace,
    },
    /// ALTER SCHEMA … OWNER TO
    ChangeSchemaOwner {
        /// The schema.
        schema: String,
        /// The new owner.
        to: RoleName,
    },
    /// ALTER TABLE … SUBJECT COLUMN (column)
    SubjectColumn {
        /// The table.
        table: Name,
        /// No error where it does not exist.
        if_exists: bool,
        /// The column that says whose data a row is.
        column: String,
    },
    /// BREAK GLASS FOR SUBJECT
    BreakGlass(Opening),
    /// END BREAK GLASS
    EndBreakGlass,
    /// REVIEW BREAK GLASS
    ReviewBreakGlass {
        /// Its number.
        id: Redacted<String>,
        /// What is said of it.
        note: Redacted<String>,
    },
    /// ALTER TABLE … ENABLE | DISABLE | FORCE ROW LEVEL SECURITY
    RowSecurity {
        /// The table.
        table: Name,
        /// No error where it does not exist.
        if_exists: bool,
        /// ENABLE or DISABLE; `None` is FORCE, which policies are anyhow.
        enable: Option<bool>,
    },
    /// CREATE POLICY
    CreatePolicy(CreatePolicy),
    /// ALTER POLICY
    AlterPolicy(AlterPolicy),
    /// DROP POLICY
    DropPolicy {
        /// The policy.
        name: String,
        /// Its table.
        table: Name,
        /// No error where it does not exist.
        if_exists: bool,
    },
    /// CREATE MASKING POLICY
    CreateMaskingPolicy(CreateMaskingPolicy),
    /// ALTER MASKING POLICY … SET BODY
    AlterMaskingPolicy {
        /// The policy.
        name: String,
        /// Its new body.
        body: Redacted<String>,
    },
    /// DROP MASKING POLICY
    DropMaskingPolicy(Drop<String>),
    /// CREATE POLICY TEST
    CreatePolicyTest(CreatePolicyTest),
    /// DROP POLICY TEST
    DropPolicyTest(Drop<String>),
    /// A change of policies with FORCE: whatever policy tests say.
    Forced(Box<Ddl>),
    /// ALTER TABLE … ALTER COLUMN … SET | UNSET MASKING POLICY
    SetMask {
        /// The table.
        table: Name,
        /// The column.
        column: String,
        /// The policy and the columns handed to it; `None` takes the mask away.
        mask: Option<Mask>,
    },
    /// A change of tags.
    Tag(TagDdl),
}

impl Ddl {
    /// Whether policy tests are run before it is committed.
    pub(crate) fn changes_policies(&self) -> bool {
        matches!(
            self,
            Self::RowSecurity { .. }
                | Self::CreatePolicy(_)
                | Self::AlterPolicy(_)
                | Self::DropPolicy { .. }
                | Self::CreateMaskingPolicy(_)
                | Self::AlterMaskingPolicy { .. }
                | Self::DropMaskingPolicy(_)
                | Self::SetMask { .. }
                | Self::Tag(_)
        )
    }
}

/// Whom a grant or a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GranteeName {
    /// PUBLIC.
    Public,
    /// A role.
    Role(RoleName),
}

/// What BREAK GLASS asks for.
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct Opening {
    /// Whose rows.
    pub subject: Redacted<String>,
    /// Why.
    pub reason: Redacted<String>,
    /// Under which ticket.
    pub ticket: Option<Redacted<String>>,
    /// For how long; `None` leaves it to the server.
    pub micros: Option<i64>,
}

/// Where a relation goes.
#[derive(Debug, PartialEq, Eq)]
pub enum NewPlace {
    /// RENAME TO
    Name(String),
    /// SET SCHEMA
    Schema(String),
}

/// What a comment is about.
#[derive(Debug, PartialEq, Eq)]
pub enum CommentTarget {
    /// A table, or a view where the flag is set.
    Relation(Name, bool),
    /// A column.
    Column(Name, String),
    /// A schema.
    Schema(String),
    /// A role.
    Role(RoleName),
}

/// DROP of several things.
#[derive(Debug)]
pub struct Drop<T> {
    /// Their names.
    pub names: Vec<T>,
    /// No error where one does not exist.
    pub if_exists: bool,
}

/// GRANT | REVOKE privileges ON … TO | FROM …
#[derive(Debug)]
pub struct Privileges {
    /// GRANT.
    pub grant: bool,
    /// What; empty is ALL.
    pub privileges: Vec<WantedPrivilege>,
    /// On what.
    pub on: GrantTarget,
    /// To whom.
    pub grantees: Vec<GranteeName>,
    /// WITH GRANT OPTION; of REVOKE: GRANT OPTION FOR.
    pub grant_option: bool,
    /// CASCADE
    pub cascade: bool,
    /// GRANTED BY
    pub granted_by: Option<RoleName>,
}

/// A privilege, on some columns or on all there is.
#[derive(Debug, PartialEq, Eq)]
pub struct WantedPrivilege {
    /// It.
    pub privilege: Privilege,
    /// Columns; empty: the whole object.
    pub columns: Vec<String>,
}

/// What privileges are granted on.
#[derive(Debug, PartialEq, Eq)]
pub enum GrantTarget {
    /// Tables and views.
    Relations(Vec<Name>),
    /// All that are in these schemas now.
    AllInSchemas(Vec<String>),
    /// Schemas.
    Schemas(Vec<String>),
    /// Functions.
    Functions(Vec<String>),
    /// Locations of files.
    Storage(Vec<String>),
    /// The emergency access.
    BreakGlass,
}

/// CREATE TABLE.
#[derive(Debug)]
pub struct CreateTable {
    /// Its name.
    pub table: Name,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Its columns.
    pub columns: Vec<ColumnDefinition>,
    /// Partition columns.
    pub partition_by: Vec<String>,
    /// Where, if not below the data directory.
    pub location: Option<String>,
    /// TBLPROPERTIES
    pub properties: BTreeMap<String, String>,
}

/// ALTER TABLE … ADD COLUMN.
#[derive(Debug)]
pub struct AddColumn {
    /// The table.
    pub table: Name,
    /// No error where the table does not exist.
    pub if_exists: bool,
    /// The column.
    pub column: ColumnDefinition,
    /// No error where it exists.
    pub if_not_exists: bool,
}

/// ALTER TABLE … DROP | RENAME COLUMN.
#[derive(Debug)]
pub struct ChangeColumn {
    /// The table.
    pub table: Name,
    /// No error where the table does not exist.
    pub if_exists: bool,
    /// No error where the column does not exist.
    pub column_if_exists: bool,
    /// What is to become of it.
    pub change: ColumnChange,
}

/// A column of CREATE TABLE.
#[derive(Debug)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type, as Lakeward writes it.
    pub sql_type: String,
    /// The same to Arrow.
    pub arrow_type: DataType,
    /// NOT NULL
    pub not_null: bool,
}

/// CREATE EXTERNAL TABLE.
#[derive(Debug)]
pub struct RegisterTable {
    /// Its name.
    pub table: Name,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Where its Delta log is.
    pub location: String,
}

/// CREATE VIEW.
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct CreateView {
    /// Its name.
    pub view: Name,
    /// OR REPLACE
    pub or_replace: bool,
    /// Names for the columns; empty keeps the query's.
    pub columns: Vec<String>,
    /// The query, as it was typed.
    pub definition: Redacted<String>,
    /// The query, parsed.
    pub query: Box<ast::Query>,
}

/// CREATE POLICY.
#[derive(Debug)]
pub struct CreatePolicy {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: Name,
    /// OR REPLACE
    pub or_replace: bool,
    /// Not AS RESTRICTIVE.
    pub permissive: bool,
    /// FOR
    pub command: PolicyCommand,
    /// TO; PUBLIC unless given.
    pub grantees: Vec<GranteeName>,
    /// USING
    pub using: Option<Redacted<String>>,
    /// WITH CHECK
    pub with_check: Option<Redacted<String>>,
    /// SHADOW: not enforced, only counted.
    pub shadow: bool,
}

/// ALTER POLICY.
#[derive(Debug)]
pub struct AlterPolicy {
    /// The policy.
    pub name: String,
    /// Its table.
    pub table: Name,
    /// RENAME TO
    pub rename: Option<String>,
    /// TO
    pub grantees: Option<Vec<GranteeName>>,
    /// USING
    pub using: Option<Redacted<String>>,
    /// WITH CHECK
    pub with_check: Option<Redacted<String>>,
    /// SHADOW, or ENFORCE where it is false; `None` leaves it.
    pub shadow: Option<bool>,
}

/// CREATE MASKING POLICY.
#[derive(Debug)]
pub struct CreateMaskingPolicy {
    /// Its name.
    pub name: String,
    /// OR REPLACE
    pub or_replace: bool,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Parameters, name and SQL type; the first is the value.
    pub parameters: Vec<(String, String)>,
    /// The result's SQL type.
    pub returns: String,
    /// The expression.
    pub body: Redacted<String>,
}

/// A mask to be set.
#[derive(Debug)]
pub struct Mask {
    /// The policy.
    pub policy: String,
    /// Columns handed to it, the masked one first; empty: the masked one alone.
    pub arguments: Vec<String>,
}

/// Says which statement it is; its parts may hold expressions.
#[cfg(not(any(test, fuzzing)))]
impl std::fmt::Debug for Ddl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CreateRole(_) => "CreateRole",
            Self::AlterRole(_) => "AlterRole",
            Self::RenameRole { .. } => "RenameRole",
            Self::SetAttribute { .. } => "SetAttribute",
            Self::RoleSetting { .. } => "RoleSetting",
            Self::AllowedPurposes { .. } => "AllowedPurposes",
            Self::ReassignOwned { .. } => "ReassignOwned",
            Self::DropOwned(_) => "DropOwned",
            Self::Comment { .. } => "Comment",
            Self::MoveRelation { .. } => "MoveRelation",
            Self::ChangeSchemaOwner { .. } => "ChangeSchemaOwner",
            Self::DropRole(_) => "DropRole",
            Self::Membership(_) => "Membership",
            Self::Privileges(_) => "Privileges",
            Self::DefaultPrivileges(_) => "DefaultPrivileges",
            Self::CreateSchema { .. } => "CreateSchema",
            Self::DropSchema(_) => "DropSchema",
            Self::CreateTable(_) => "CreateTable",
            Self::RegisterTable(_) => "RegisterTable",
            Self::AddColumn(_) => "AddColumn",
            Self::ChangeColumn(_) => "ChangeColumn",
            Self::DropTable(_) => "DropTable",
            Self::CreateView(_) => "CreateView",
            Self::DropView(_) => "DropView",
            Self::ChangeOwner { .. } => "ChangeOwner",
            Self::SubjectColumn { .. } => "SubjectColumn",
            Self::BreakGlass(_) => "BreakGlass",
            Self::EndBreakGlass => "EndBreakGlass",
            Self::ReviewBreakGlass { .. } => "ReviewBreakGlass",
            Self::RowSecurity { .. } => "RowSecurity",
            Self::CreatePolicy(_) => "CreatePolicy",
            Self::AlterPolicy(_) => "AlterPolicy",
            Self::DropPolicy { .. } => "DropPolicy",
            Self::CreateMaskingPolicy(_) => "CreateMaskingPolicy",
            Self::AlterMaskingPolicy { .. } => "AlterMaskingPolicy",
            Self::DropMaskingPolicy(_) => "DropMaskingPolicy",
            Self::SetMask { .. } => "SetMask",
            Self::CreatePolicyTest(_) => "CreatePolicyTest",
            Self::DropPolicyTest(_) => "DropPolicyTest",
            Self::Forced(_) => "Forced",
            Self::Tag(_) => "Tag",
        })
    }
}
