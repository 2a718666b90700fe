//! Everything this crate tells a client to be wrong, with its SQLSTATE.
//!
//! Invariant: no variant holds a parameter's value, a cell's value or statement text; names of statements, portals,
//! roles and databases come from the client itself and may be shown to it.

use std::io;

use lakeward_base::{Coded, SqlState};

/// An error of the PostgreSQL adapter.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The socket failed.
    #[error("connection failure")]
    Io(#[from] io::Error),
    /// A message that the protocol does not allow here, or that is malformed.
    #[error("{0}")]
    Protocol(&'static str),
    /// A message type that does not exist.
    #[error("invalid frontend message type {0}")]
    UnknownMessage(u8),
    /// A message longer than is allowed.
    #[error("message is longer than the {limit_bytes} bytes that are allowed here")]
    MessageTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// A protocol of another major version.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    UnsupportedProtocol {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// Text that is not UTF-8, or that holds a zero byte.
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    InvalidUtf8,
    /// A plaintext connection where TLS is configured.
    #[error("this server accepts encrypted connections only")]
    TlsRequired,
    /// A login that is bound to another channel, or that somebody has kept from being bound.
    #[error("{0}")]
    ChannelBinding(&'static str),
    /// No user in the startup packet.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// Wrong password, unknown role, a role that may not log in: the same for all.
    #[error("password authentication failed for user \"{0}\"")]
    PasswordFailed(String),
    /// A database other than the only one.
    #[error("database \"{0}\" does not exist")]
    UnknownDatabase(String),
    /// A startup parameter with a value that is not accepted.
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    InvalidSetting {
        /// The parameter.
        name: &'static str,
        /// What the client sent.
        value: String,
    },
    /// The client took too long to log in.
    #[error("canceling authentication due to timeout")]
    StartupTimeout,
    /// Too many connections are logging in.
    #[error("sorry, too many clients already")]
    TooManyConnections,
    /// The server is stopping.
    #[error("terminating connection due to administrator command")]
    Shutdown,
    /// No such prepared statement.
    #[error("prepared statement \"{0}\" does not exist")]
    UnknownStatement(String),
    /// No such portal.
    #[error("portal \"{0}\" does not exist")]
    UnknownPortal(String),
    /// A named statement is parsed again.
    #[error("prepared statement \"{0}\" already exists")]
    DuplicateStatement(String),
    /// A named portal is bound again.
    #[error("cursor \"{0}\" already exists")]
    DuplicatePortal(String),
    /// A portal that ran to its end is executed again.
    #[error("portal \"{0}\" cannot be run")]
    PortalDone(String),
    /// More statements or portals than a session may hold.
    #[error("too many {0} in this session")]
    TooManyNamed(&'static str),
    /// A result shape that differs from the one described to the client.
    #[error("cached plan must not change result type")]
    ResultTypeChanged,
    /// Bind with the wrong number of values.
    #[error("bind message supplies {supplied} parameters, but the prepared statement requires {required}")]
    ParameterCount {
        /// Values in the message.
        supplied: usize,
        /// Values the statement takes.
        required: usize,
    },
    /// Bind with the wrong number of format codes.
    #[error("bind message has {formats} {what} formats but {count} {what}s")]
    FormatCount {
        /// `parameter` or `result`.
        what: &'static str,
        /// Format codes in the message.
        formats: usize,
        /// Parameters or columns.
        count: usize,
    },
    /// A format code other than text and binary.
    #[error("unsupported format code: {0}")]
    UnknownFormat(i16),
    /// A value that a client sent, and that cannot be read or stored.
    #[error("{0}")]
    Value(Box<lakeward_engine::Error>),
    /// A parameter type or format that is not supported.
    #[error("parameter ${0} has a type that is not supported in this format")]
    UnsupportedParameter(usize),
    /// A result column that has no PostgreSQL form.
    #[error("column \"{0}\" has a type that cannot be sent to PostgreSQL clients")]
    UnsupportedColumn(String),
    /// A column that cannot be sent in binary.
    #[error("no binary output function available for column \"{0}\"")]
    NoBinaryForm(String),
    /// A date or time in a result outside PostgreSQL's range.
    #[error("{0} out of range")]
    ResultOutOfRange(&'static str),
    /// A row that does not fit into one message, or too many columns.
    #[error("{0}")]
    LimitExceeded(&'static str),
    /// Not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A broken assumption of this crate.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl Coded for PgError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Io(_) => SqlState::CONNECTION_FAILURE,
            Self::Protocol(_)
            | Self::UnknownMessage(_)
            | Self::MessageTooLarge { .. }
            | Self::ParameterCount { .. }
            | Self::FormatCount { .. } => SqlState::PROTOCOL_VIOLATION,
            Self::UnsupportedProtocol { .. }
            | Self::ResultTypeChanged
            | Self::UnsupportedParameter(_)
            | Self::UnsupportedColumn(_)
            | Self::NoBinaryForm(_)
            | Self::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
            Self::InvalidUtf8 => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            Self::TlsRequired | Self::NoUser | Self::ChannelBinding(_) => SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            Self::PasswordFailed(_) => SqlState::INVALID_PASSWORD,
            Self::UnknownDatabase(_) => SqlState::INVALID_CATALOG_NAME,
            Self::InvalidSetting { .. } | Self::UnknownFormat(_) => SqlState::INVALID_PARAMETER_VALUE,
            Self::StartupTimeout => SqlState::QUERY_CANCELED,
            Self::TooManyConnections => SqlState::TOO_MANY_CONNECTIONS,
            Self::Shutdown => SqlState::ADMIN_SHUTDOWN,
            Self::UnknownStatement(_) => SqlState::INVALID_SQL_STATEMENT_NAME,
            Self::UnknownPortal(_) => SqlState::INVALID_CURSOR_NAME,
            Self::DuplicateStatement(_) => SqlState::DUPLICATE_PREPARED_STATEMENT,
            Self::DuplicatePortal(_) => SqlState::DUPLICATE_CURSOR,
            Self::PortalDone(_) => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::TooManyNamed(_) => SqlState::INSUFFICIENT_RESOURCES,
            Self::Value(error) => error.sqlstate(),
            Self::ResultOutOfRange(_) => SqlState::DATETIME_FIELD_OVERFLOW,
            Self::LimitExceeded(_) => SqlState::PROGRAM_LIMIT_EXCEEDED,
            Self::Internal(_) => SqlState::INTERNAL_ERROR,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TlsRequired => Some("connect with sslmode=require".to_owned()),
            Self::UnknownDatabase(_) => Some("the database is \"lakeward\"".to_owned()),
            Self::InvalidSetting { name: "client_encoding", .. } => Some("use UTF8".to_owned()),
            Self::NoBinaryForm(_) => Some("request this column in text format".to_owned()),
            Self::Value(error) => error.hint(),
            _ => None,
        }
    }

    fn context(&self) -> Option<String> {
        match self {
            Self::Value(error) => error.context(),
            _ => None,
        }
    }
}
