//! Errors of the catalog and of table stores: which SQLSTATE, message, detail and hint a client sees.
//!
//! Invariant: no `Display` prints its source, and none holds a value of a table.

use std::fmt;

use lakeward_base::{Coded, Epoch, SqlState};
use thiserror::Error;

/// What to do where storage fails.
const STORAGE_HINT: &str = "Try again later. If it goes on, ask the operator: the server's log says what is wrong.";

/// An error of a table store. `Display` never prints the source.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No Delta table stands at the location.
    #[error("no Delta table was found at the table's location")]
    NotFound,
    /// A Delta table stands there already.
    #[error("a Delta table already stands at that location")]
    AlreadyExists,
    /// The version is not in the table's history.
    #[error("version {version} is not in the table's history (newest: {newest})")]
    VersionNotFound {
        /// What was asked for.
        version: u64,
        /// The newest version.
        newest: u64,
    },
    /// The moment lies before the table's history, or in the future.
    #[error("that time is outside of the table's history")]
    TimeNotFound,
    /// The table's changes were not recorded.
    #[error("the changes of these versions were not recorded")]
    NoChangeFeed,
    /// The table, or the request, needs something that is not implemented.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The Delta log or a data file cannot be understood.
    #[error("the table's Delta log or a data file of it is damaged")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A concurrent commit won.
    #[error("could not commit: the table was changed concurrently")]
    Conflict(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Storage failed.
    #[error("storage is unavailable")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The rows to be written failed to arrive.
    #[error("the rows to be written could not be read")]
    Input(#[source] datafusion_common::DataFusionError),
}

impl Coded for StoreError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::NotFound | Self::Io(_) => SqlState::IO_ERROR,
            Self::AlreadyExists => SqlState::DUPLICATE_OBJECT,
            Self::VersionNotFound { .. } | Self::TimeNotFound => SqlState::INVALID_PARAMETER_VALUE,
            Self::NoChangeFeed => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Corrupt(_) => SqlState::DATA_CORRUPTED,
            Self::Conflict(_) => SqlState::SERIALIZATION_FAILURE,
            Self::Input(_) => SqlState::INTERNAL_ERROR,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(_) => Some(STORAGE_HINT.to_owned()),
            Self::NotFound
            | Self::AlreadyExists
            | Self::VersionNotFound { .. }
            | Self::TimeNotFound
            | Self::NoChangeFeed
            | Self::Unsupported(_)
            | Self::Corrupt(_)
            | Self::Conflict(_)
            | Self::Input(_) => None,
        }
    }
}

/// What an error of the catalog is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A role.
    Role,
    /// A schema.
    Schema,
    /// A table or a view, where the name decides which.
    Relation,
    /// A table.
    Table,
    /// A view.
    View,
    /// A row policy.
    Policy,
    /// A masking policy.
    MaskingPolicy,
    /// A policy test.
    PolicyTest,
    /// A tag.
    Tag,
    /// A function.
    Function,
    /// A location of files.
    Storage,
    /// The emergency access.
    BreakGlass,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Role => "role",
            Self::Schema => "schema",
            Self::Relation => "relation",
            Self::Table => "table",
            Self::View => "view",
            Self::Policy => "policy",
            Self::MaskingPolicy => "masking policy",
            Self::PolicyTest => "policy test",
            Self::Tag => "tag",
            Self::Function => "function",
            Self::Storage => "storage",
            Self::BreakGlass => "break glass",
        })
    }
}

impl ObjectKind {
    fn duplicate(self) -> SqlState {
        match self {
            Self::Role
            | Self::Policy
            | Self::MaskingPolicy
            | Self::PolicyTest
            | Self::Tag
            | Self::Function
            | Self::Storage
            | Self::BreakGlass => SqlState::DUPLICATE_OBJECT,
            Self::Schema => SqlState::DUPLICATE_SCHEMA,
            Self::Relation | Self::Table | Self::View => SqlState::DUPLICATE_TABLE,
        }
    }

    fn undefined(self) -> SqlState {
        match self {
            Self::Role
            | Self::Policy
            | Self::MaskingPolicy
            | Self::PolicyTest
            | Self::Tag
            | Self::Storage
            | Self::BreakGlass => SqlState::UNDEFINED_OBJECT,
            Self::Function => SqlState::UNDEFINED_FUNCTION,
            Self::Schema => SqlState::INVALID_SCHEMA_NAME,
            Self::Relation | Self::Table | Self::View => SqlState::UNDEFINED_TABLE,
        }
    }
}

/// An error of the catalog. `Display` never prints the source; names of objects are shown, values never.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The name is taken.
    #[error("{kind} \"{name}\" already exists")]
    AlreadyExists {
        /// What exists.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// The row policy's name is taken on its table.
    #[error("policy \"{policy}\" for table \"{table}\" already exists")]
    PolicyExists {
        /// The policy's name.
        policy: String,
        /// The table's name.
        table: String,
    },
    /// Nothing has that name.
    #[error("{kind} \"{name}\" does not exist")]
    NotFound {
        /// What was looked for.
        kind: ObjectKind,
        /// By which name.
        name: String,
    },
    /// The table has no such row policy.
    #[error("policy \"{policy}\" for table \"{table}\" does not exist")]
    PolicyNotFound {
        /// The policy's name.
        policy: String,
        /// The table's name.
        table: String,
    },
    /// Nothing has that identifier: it was dropped meanwhile.
    #[error("{kind} with identifier {id} does not exist")]
    Vanished {
        /// What was looked for.
        kind: ObjectKind,
        /// By which identifier.
        id: u64,
    },
    /// The relation has no such column.
    #[error("column \"{column}\" of relation \"{relation}\" does not exist")]
    ColumnNotFound {
        /// The column's name, or its identifier where it has none any more.
        column: String,
        /// The relation's name.
        relation: String,
    },
    /// A column name stands twice in a definition.
    #[error("column \"{column}\" specified more than once")]
    ColumnTwice {
        /// The column's name.
        column: String,
    },
    /// The relation has such a column.
    #[error("column \"{column}\" of relation \"{relation}\" already exists")]
    ColumnExists {
        /// The column's name.
        column: String,
        /// The relation's name.
        relation: String,
    },
    /// Other objects need it.
    #[error("{message}")]
    InUse {
        /// One line.
        message: String,
        /// Which objects, one a line.
        detail: String,
        /// What to do, where there is something.
        hint: Option<&'static str>,
    },
    /// The system needs it.
    #[error("cannot {action} {kind} {name} because it is required by the database system")]
    BuiltIn {
        /// `drop` or `alter`.
        action: &'static str,
        /// What it is.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// The name is reserved.
    #[error("{message}")]
    Reserved {
        /// One line.
        message: String,
        /// Which names are.
        detail: &'static str,
    },
    /// The name cannot be one.
    #[error("invalid name for a {kind}: {reason}")]
    InvalidName {
        /// What was to be named.
        kind: ObjectKind,
        /// Why not.
        reason: &'static str,
    },
    /// A role would become a member of itself.
    #[error("role \"{role}\" is a member of role \"{member}\"")]
    MembershipCycle {
        /// The role that was to be granted.
        role: String,
        /// The role that was to become a member of it.
        member: String,
    },
    /// The privilege does not exist for such an object.
    #[error("invalid privilege type {privilege} for {kind}")]
    InvalidGrant {
        /// The privilege.
        privilege: &'static str,
        /// The object's kind.
        kind: ObjectKind,
    },
    /// A grant option is for roles, and not for whoever it came from.
    #[error("{0}")]
    GrantOption(&'static str),
    /// Others hold the privilege through the one from whom it is taken.
    #[error("dependent privileges exist")]
    DependentPrivileges,
    /// A derived table belongs to its maker alone.
    #[error(
        "privileges on \"{table}\" cannot be granted: what protects the tables that it was made from does not protect it"
    )]
    NotGrantable {
        /// The table's name.
        table: String,
    },
    /// Two tables would share files.
    #[error("the location overlaps the location of another table")]
    LocationOverlaps {
        /// The other table, qualified.
        table: String,
    },
    /// A table would share files with the server.
    #[error("the location overlaps files of the server's own")]
    LocationReserved,
    /// The location is not a usable URL.
    #[error("the location is not usable: {0}")]
    InvalidLocation(&'static str),
    /// The clauses of a row policy contradict each other.
    #[error("{0}")]
    PolicyClauses(&'static str),
    /// A tag cannot have the value.
    #[error("{message}")]
    TagValue {
        /// One line.
        message: String,
        /// What it can have.
        detail: String,
    },
    /// A mask's type is not its column's.
    #[error("{0}")]
    MaskType(String),
    /// A definition contradicts itself or what exists.
    #[error("{0}")]
    InvalidDefinition(String),
    /// A table's or view's columns cannot be so.
    #[error("{0}")]
    InvalidTable(String),
    /// The edit is not one that the catalog makes.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The caller's own error, handed through [`Catalog::change`](crate::Catalog::change).
    #[error("{0}")]
    Refused(Box<dyn Coded + Send + Sync>),
    /// The numbers have run out.
    #[error("the catalog has run out of identifiers")]
    OutOfIdentifiers,
    /// No log stands there.
    #[error("no catalog was found at \"{prefix}\"")]
    NotInitialised {
        /// Where it was looked for.
        prefix: String,
    },
    /// A log stands there already.
    #[error("a catalog already exists at \"{prefix}\"")]
    AlreadyInitialised {
        /// Where.
        prefix: String,
    },
    /// An entry of the log is gone.
    #[error("the catalog's log is damaged: entry {epoch} is missing")]
    Missing {
        /// Its version.
        epoch: Epoch,
    },
    /// An entry of the log is not what was written.
    #[error("the catalog's log is damaged: entry {epoch}: {reason}")]
    Damaged {
        /// Its version.
        epoch: Epoch,
        /// In what way.
        reason: &'static str,
    },
    /// The log was written by a newer version of Lakeward.
    #[error("the catalog's log entry {epoch} was written by a newer version (format {format})")]
    NewerFormat {
        /// The entry's version.
        epoch: Epoch,
        /// Its format.
        format: u32,
    },
    /// The epoch asked for is not in the log.
    #[error("epoch {epoch} is not in the catalog's log (newest: {newest})")]
    EpochNotFound {
        /// What was asked for.
        epoch: Epoch,
        /// The newest there is.
        newest: Epoch,
    },
    /// Other writers kept winning.
    #[error("could not change the catalog: it was changed concurrently")]
    Contended,
    /// A change contradicts the snapshot that it was made for: a fault of Lakeward's own.
    #[error("the catalog refused an inconsistent change: {0}")]
    Inconsistent(&'static str),
    /// What other nodes have changed cannot be seen any more.
    #[error("the catalog could not be read for too long to rely on it")]
    OutOfDate,
    /// Storage failed.
    #[error("the catalog's storage is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CatalogError {
    /// Wraps an error of the caller's own, so that an edit can end with it: `code`, message, detail and hint pass
    /// through unchanged.
    pub fn refused(error: impl Coded + Send + Sync + 'static) -> Self {
        Self::Refused(Box::new(error))
    }

    /// `kind "name" does not exist`.
    pub fn not_found(kind: ObjectKind, name: impl Into<String>) -> Self {
        Self::NotFound { kind, name: name.into() }
    }

    pub(crate) fn exists(kind: ObjectKind, name: impl Into<String>) -> Self {
        Self::AlreadyExists { kind, name: name.into() }
    }

    /// The detail and the hint.
    fn explain(&self) -> (Option<String>, Option<&'static str>) {
        match self {
            Self::InUse { detail, hint, .. } => (Some(detail.clone()), *hint),
            Self::TagValue { detail, .. } => (Some(detail.clone()), None),
            Self::Reserved { detail, .. } => (Some((*detail).to_owned()), None),
            Self::LocationOverlaps { table } => {
                (Some(format!("It is equal to, above or below the location of table {table}.")), None)
            }
            Self::NotGrantable { .. } => (None, Some("Grant on the tables that it was made from.")),
            Self::NotInitialised { .. } => (None, Some("Run \"lakeward init\" first.")),
            Self::Missing { .. } | Self::Damaged { .. } => (None, Some("Restore the catalog's log from a backup.")),
            Self::Contended => (None, Some("Try again.")),
            Self::DependentPrivileges => (None, Some("Use CASCADE to revoke them too.")),
            Self::OutOfDate => {
                (None, Some("Statements are refused until the catalog's storage answers again. Try again later."))
            }
            Self::Unavailable(_) => (None, Some(STORAGE_HINT)),
            Self::AlreadyExists { .. }
            | Self::PolicyExists { .. }
            | Self::NotFound { .. }
            | Self::PolicyNotFound { .. }
            | Self::Vanished { .. }
            | Self::ColumnNotFound { .. }
            | Self::ColumnTwice { .. }
            | Self::ColumnExists { .. }
            | Self::BuiltIn { .. }
            | Self::InvalidName { .. }
            | Self::MembershipCycle { .. }
            | Self::InvalidGrant { .. }
            | Self::GrantOption(_)
            | Self::LocationReserved
            | Self::InvalidLocation(_)
            | Self::PolicyClauses(_)
            | Self::MaskType(_)
            | Self::InvalidDefinition(_)
            | Self::InvalidTable(_)
            | Self::Unsupported(_)
            | Self::Refused(_)
            | Self::OutOfIdentifiers
            | Self::AlreadyInitialised { .. }
            | Self::NewerFormat { .. }
            | Self::EpochNotFound { .. }
            | Self::Inconsistent(_) => (None, None),
        }
    }

    pub(crate) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl Coded for CatalogError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::AlreadyExists { kind, .. } => kind.duplicate(),
            Self::NotFound { kind, .. } | Self::Vanished { kind, .. } => kind.undefined(),
            Self::PolicyExists { .. }
            | Self::LocationOverlaps { .. }
            | Self::LocationReserved
            | Self::AlreadyInitialised { .. } => SqlState::DUPLICATE_OBJECT,
            Self::PolicyNotFound { .. } => SqlState::UNDEFINED_OBJECT,
            Self::ColumnNotFound { .. } => SqlState::UNDEFINED_COLUMN,
            Self::ColumnTwice { .. } | Self::ColumnExists { .. } => SqlState::DUPLICATE_COLUMN,
            Self::InUse { .. } | Self::BuiltIn { .. } | Self::DependentPrivileges => {
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST
            }
            Self::GrantOption(_) | Self::MembershipCycle { .. } => SqlState::INVALID_GRANT_OPERATION,
            Self::Reserved { .. } => SqlState::RESERVED_NAME,
            Self::InvalidName { .. } => SqlState::INVALID_NAME,
            Self::MaskType(_) => SqlState::DATATYPE_MISMATCH,
            Self::InvalidDefinition(_) => SqlState::INVALID_OBJECT_DEFINITION,
            Self::InvalidTable(_) => SqlState::INVALID_TABLE_DEFINITION,
            Self::InvalidGrant { .. } => SqlState::WRONG_OBJECT_TYPE,
            Self::NotGrantable { .. } | Self::Unsupported(_) | Self::NewerFormat { .. } => {
                SqlState::FEATURE_NOT_SUPPORTED
            }
            Self::InvalidLocation(_) | Self::EpochNotFound { .. } | Self::TagValue { .. } => {
                SqlState::INVALID_PARAMETER_VALUE
            }
            Self::PolicyClauses(_) => SqlState::SYNTAX_ERROR,
            Self::Refused(error) => error.sqlstate(),
            Self::OutOfIdentifiers => SqlState::PROGRAM_LIMIT_EXCEEDED,
            Self::Missing { .. } | Self::Damaged { .. } => SqlState::DATA_CORRUPTED,
            Self::Contended => SqlState::SERIALIZATION_FAILURE,
            Self::Inconsistent(_) => SqlState::INTERNAL_ERROR,
            Self::NotInitialised { .. } | Self::OutOfDate | Self::Unavailable(_) => SqlState::IO_ERROR,
        }
    }

    fn detail(&self) -> Option<String> {
        if let Self::Refused(error) = self {
            return error.detail();
        }
        self.explain().0
    }

    fn hint(&self) -> Option<String> {
        if let Self::Refused(error) = self {
            return error.hint();
        }
        self.explain().1.map(str::to_owned)
    }

    fn position(&self) -> Option<usize> {
        if let Self::Refused(error) = self { error.position() } else { None }
    }
}
