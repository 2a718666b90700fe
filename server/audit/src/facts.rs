//! What a record tells: who, what, how it ended. The words of the audit's users, turned into the stored message here.
//!
//! Invariant: but for [`Asked`] and [`SubjectFacts`], whose content is sealed or made tokens of before it is queued, nothing here takes a statement's literals or a
//! cell's value; `sql_normalized` must come without them.

use lakeward_base::{Epoch, SqlState};
use lakeward_proto::{AuditIdentity, AuditObject, AuditProtocol};

/// The way by which a client spoke to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The PostgreSQL wire protocol.
    Pg,
    /// Arrow Flight SQL.
    Flight,
    /// Another gRPC service.
    Grpc,
    /// HTTP.
    Http,
    /// The command line.
    Cli,
}

impl Protocol {
    /// Its name, as `system.audit` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pg => "pg",
            Self::Flight => "flight",
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Cli => "cli",
        }
    }

    pub(crate) fn stored(self) -> AuditProtocol {
        match self {
            Self::Pg => AuditProtocol::Pg,
            Self::Flight => AuditProtocol::Flight,
            Self::Grpc => AuditProtocol::Grpc,
            Self::Http => AuditProtocol::Http,
            Self::Cli => AuditProtocol::Cli,
        }
    }
}

/// Who does something, and from where. Made once a session, shared by its statements.
#[derive(Debug, Clone)]
pub struct Who {
    /// The user who logged in.
    pub session_user: String,
    /// Effective roles.
    pub roles: Vec<String>,
    /// How the user proved who they are, e.g. `scram-sha-256`.
    pub auth_method: String,
    /// Address of the client.
    pub client_addr: String,
    /// What the client calls itself.
    pub application_name: String,
    /// How the client speaks.
    pub protocol: Protocol,
    /// HL7 PurposeOfUse, where one was declared.
    pub purpose_of_use: Option<String>,
    /// The user is a recipient outside the hospital.
    pub external: bool,
}

impl AsRef<Who> for Who {
    fn as_ref(&self) -> &Who {
        self
    }
}

impl Who {
    pub(crate) fn stored(&self) -> AuditIdentity {
        AuditIdentity {
            session_user: self.session_user.clone(),
            roles: self.roles.clone(),
            auth_method: self.auth_method.clone(),
            client_addr: self.client_addr.clone(),
            application_name: self.application_name.clone(),
            protocol: self.protocol.stored().into(),
            purpose_of_use: self.purpose_of_use.clone(),
            external: self.external,
        }
    }
}

/// A table or view that a statement touches.
#[derive(Debug, Clone, Default)]
pub struct ObjectFacts {
    /// Qualified name.
    pub name: String,
    /// Delta version that is read or written.
    pub version: Option<i64>,
    /// Columns that leave, or whose values go into what leaves.
    pub projected: Vec<String>,
    /// Columns that are read to choose, join, group or order rows.
    pub filtered: Vec<String>,
    /// Those of all of them that are masked.
    pub masked: Vec<String>,
    /// The column that says whose data a row is, where the table has one.
    pub subject_column: Option<String>,
}

impl ObjectFacts {
    fn stored(self) -> AuditObject {
        AuditObject {
            name: self.name,
            version: self.version,
            projected: self.projected,
            filtered: self.filtered,
            masked: self.masked,
            subject_column: self.subject_column.unwrap_or_default(),
        }
    }
}

/// What a statement is in full, for its first record: the text and the parameters are sealed, the values become tokens.
/// Passwords must have been removed.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The text.
    pub sql: &'a str,
    /// Its literals, as they are meant.
    pub literals: &'a [String],
    /// Values of its parameters; `None` is NULL.
    pub parameters: &'a [Option<String>],
    /// There are more parameters than these.
    pub more: bool,
}

/// What is known of a statement when it is about to run.
#[derive(Debug, Clone)]
pub struct BeginFacts {
    /// What it touches.
    pub objects: Vec<ObjectFacts>,
    /// Names of the policies that apply.
    pub policies: Vec<String>,
    /// Version of the catalog that the decision was made under.
    pub policy_epoch: Epoch,
    /// Whether policies are bypassed (superuser, BYPASSRLS).
    pub bypass: bool,
    /// The break glass that it runs under.
    pub break_glass: Option<String>,
}

impl BeginFacts {
    pub(crate) fn stored_objects(objects: Vec<ObjectFacts>) -> Vec<AuditObject> {
        objects.into_iter().map(ObjectFacts::stored).collect()
    }
}

/// The subjects of one table whose rows crossed the barrier for a statement.
#[derive(Clone, Default)]
pub struct SubjectFacts {
    /// Qualified name of the table.
    pub object: String,
    /// Delta version that was read.
    pub version: Option<i64>,
    /// The subjects, each once.
    pub subjects: Vec<String>,
    /// There are more.
    pub over: bool,
}

/// How a statement ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// `00000`, or the error's code.
    pub sqlstate: SqlState,
    /// Rows that left.
    pub rows: u64,
    /// Bytes that left.
    pub bytes: u64,
}
