//! What the server says, rows apart, written into the send buffer by pgwire's message types.
//!
//! Invariant: a message is written whole or not at all, and no text in it holds a zero byte.

use bytes::{BufMut, Bytes, BytesMut};
use lakeward_base::{Coded, SqlState};
use lakeward_engine::{Notice, TransactionStatus};
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    self, CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery,
};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};

use crate::error::PgError;

/// Whether the connection ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The statement failed, the session goes on.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// Which way COPY's data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the client.
    Out,
    /// From the client.
    In,
}

fn put(out: &mut Vec<u8>, message: &impl Message) -> Result<(), PgError> {
    let mut encoded = BytesMut::new();
    let done = message.encode(&mut encoded);
    done.map_err(|_| PgError::LimitExceeded("a message to the client would be too long"))?;
    out.extend_from_slice(&encoded);
    Ok(())
}

fn clean(mut text: String) -> String {
    text.retain(|character| character != '\0');
    text
}

fn fields(severity: &str, sqlstate: SqlState, message: String) -> Vec<(u8, String)> {
    vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', sqlstate.as_str().to_owned()),
        (b'M', clean(message)),
    ]
}

/// An error.
pub(crate) fn error(out: &mut Vec<u8>, severity: Severity, error: &dyn Coded) {
    let mut all = fields(severity.name(), error.sqlstate(), error.message());
    all.extend(error.detail().map(|detail| (b'D', clean(detail))));
    all.extend(error.hint().map(|hint| (b'H', clean(hint))));
    all.extend(error.position().map(|position| (b'P', position.to_string())));
    all.extend(error.context().map(|context| (b'W', clean(context))));
    if put(out, &ErrorResponse::new(all)).is_err() {
        tracing::error!("an error message was too long for the protocol");
    }
}

/// A notice or warning.
pub(crate) fn notice(out: &mut Vec<u8>, notice: &Notice) -> Result<(), PgError> {
    put(out, &NoticeResponse::new(fields(notice.severity, notice.sqlstate, notice.message.clone())))
}

/// Where the transaction stands: the client may go on.
pub(crate) fn ready(out: &mut Vec<u8>, status: TransactionStatus) -> Result<(), PgError> {
    let status = match status {
        TransactionStatus::Idle => response::TransactionStatus::Idle,
        TransactionStatus::InBlock => response::TransactionStatus::Transaction,
        TransactionStatus::Failed => response::TransactionStatus::Error,
    };
    put(out, &ReadyForQuery::new(status))
}

/// A setting's value.
pub(crate) fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), PgError> {
    put(out, &ParameterStatus::new(clean(name.to_owned()), clean(value.to_owned())))
}

/// A statement's end.
pub(crate) fn command_complete(out: &mut Vec<u8>, tag: &str) -> Result<(), PgError> {
    put(out, &CommandComplete::new(clean(tag.to_owned())))
}

/// COPY's data follows, or is waited for: from the server or from the client, in text or in binary.
pub(crate) fn copy(out: &mut Vec<u8>, direction: Direction, is_binary: bool, columns: usize) -> Result<(), PgError> {
    let count = i16::try_from(columns).map_err(|_| PgError::LimitExceeded("too many columns"))?;
    let formats = vec![i16::from(is_binary); columns];
    match direction {
        Direction::Out => put(out, &CopyOutResponse::new(i8::from(is_binary), count, formats)),
        Direction::In => put(out, &CopyInResponse::new(i8::from(is_binary), count, formats)),
    }
}

/// All of COPY's data is sent.
pub(crate) fn copy_done(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &CopyDone::new())
}

/// No statement in the text.
pub(crate) fn empty_query(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &EmptyQueryResponse::new())
}

/// The row limit was reached, and there may be more rows.
pub(crate) fn portal_suspended(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &PortalSuspended::new())
}

/// Parse succeeded.
pub(crate) fn parse_complete(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &ParseComplete::new())
}

/// Bind succeeded.
pub(crate) fn bind_complete(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &BindComplete::new())
}

/// Close succeeded.
pub(crate) fn close_complete(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &CloseComplete::new())
}

/// The statement returns no rows.
pub(crate) fn no_data(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &NoData::new())
}

/// Types of the parameters.
pub(crate) fn parameter_description(out: &mut Vec<u8>, oids: Vec<u32>) -> Result<(), PgError> {
    put(out, &ParameterDescription::new(oids))
}

/// The columns of a result.
pub(crate) fn row_description(out: &mut Vec<u8>, fields: Vec<FieldDescription>) -> Result<(), PgError> {
    put(out, &RowDescription::new(fields))
}

/// The SASL mechanisms on offer.
pub(crate) fn sasl(out: &mut Vec<u8>, mechanisms: Vec<String>) -> Result<(), PgError> {
    put(out, &Authentication::SASL(mechanisms))
}

/// The server's part of the exchange.
pub(crate) fn sasl_continue(out: &mut Vec<u8>, data: String) -> Result<(), PgError> {
    put(out, &Authentication::SASLContinue(Bytes::from(data)))
}

/// The server's proof that it knows the password too.
pub(crate) fn sasl_final(out: &mut Vec<u8>, data: String) -> Result<(), PgError> {
    put(out, &Authentication::SASLFinal(Bytes::from(data)))
}

/// The client is who it says.
pub(crate) fn authenticated(out: &mut Vec<u8>) -> Result<(), PgError> {
    put(out, &Authentication::Ok)
}

/// What a cancel request must carry.
pub(crate) fn key_data(out: &mut Vec<u8>, (process, secret): (i32, i32)) -> Result<(), PgError> {
    put(out, &BackendKeyData::new(process, SecretKey::I32(secret)))
}

/// The newest version spoken here, and the protocol options that are not known.
pub(crate) fn negotiate(out: &mut Vec<u8>, version: i32, unknown: Vec<String>) -> Result<(), PgError> {
    put(out, &NegotiateProtocolVersion::new(version, unknown))
}

/// The answer to a request for encryption is one byte.
pub(crate) fn encryption(out: &mut Vec<u8>, accepted: bool) {
    out.put_u8(if accepted { b'S' } else { b'N' });
}

#[cfg(test)]
mod tests {
    use super::{Severity, error};
    use crate::error::PgError;

    #[test]
    fn an_error_carries_its_fields() {
        let mut out = Vec::new();
        error(&mut out, Severity::Fatal, &PgError::TlsRequired);
        let expected = b"SFATAL\0VFATAL\0C28000\0Mthis server accepts encrypted connections only\0Hconnect with sslmode=require\0\0";
        assert_eq!(&out[..5], [b'E', 0, 0, 0, u8::try_from(expected.len() + 4).unwrap()]);
        assert_eq!(&out[5..], &expected[..]);
    }

    #[test]
    fn positions_are_sent_and_zero_bytes_removed() {
        let mut out = Vec::new();
        let inner = lakeward_engine::Error::new(lakeward_base::SqlState::SYNTAX_ERROR, "a\0b").with_position(3);
        error(&mut out, Severity::Error, &inner);
        let text = String::from_utf8_lossy(&out[5..]).into_owned();
        assert!(text.contains("Mab\0") && text.contains("P3\0"), "{text}");
    }
}
