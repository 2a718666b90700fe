//! The engine's errors as gRPC statuses.
//!
//! Invariant: every status carries the trailer `sqlstate`, and only text that may be shown.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use arrow_flight::error::FlightError;
use futures::FutureExt;
use lakeward_base::{Coded, SqlState};
use lakeward_engine::Error;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// The trailer's name.
pub(crate) const SQLSTATE: &str = "sqlstate";

/// `error` as it goes to the client.
pub(crate) fn status(error: &Error) -> Status {
    let mut message = error.message();
    for (label, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(text) = text {
            message = format!("{message}\n{label}: {text}");
        }
    }
    let mut trailers = MetadataMap::new();
    trailers.insert(SQLSTATE, MetadataValue::from_static(error.sqlstate().as_str()));
    Status::with_metadata(Code::from_i32(error.grpc() as i32), message, trailers)
}

/// What a client is told of a fault of ours; the cause is in the operator's log, if anywhere.
pub(crate) fn internal() -> Error {
    Error::new(SqlState::INTERNAL_ERROR, "internal error")
}

/// A call or part of it that is not served.
pub(crate) fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("Flight SQL: {what}"))
}

/// What was sent cannot be understood.
pub(crate) fn malformed(what: &str) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, format!("Flight SQL: {what} cannot be understood"))
}

/// An error within a stream of batches, for arrow-flight's encoder and out of it again.
pub(crate) fn in_stream(error: &Error) -> FlightError {
    FlightError::Tonic(Box::new(status(error)))
}

/// The other way.
pub(crate) fn out_of_stream(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        _ => status(&internal()),
    }
}

/// Runs one call; a panic becomes an internal error.
pub(crate) async fn guard<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| Err(internal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_code_message_hint_and_sqlstate() {
        let error =
            Error::new(SqlState::UNDEFINED_TABLE, "relation \"x\" does not exist").with_hint("Look at pg_tables.");
        let status = status(&error);
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "relation \"x\" does not exist\nHINT: Look at pg_tables.");
        assert_eq!(status.metadata().get("sqlstate").unwrap(), "42P01");
    }

    #[tokio::test]
    async fn a_panic_becomes_an_internal_error_without_its_text() {
        let outcome: Result<(), Error> = guard(async { panic!("412-68-1073") }).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.sqlstate(), error.message().as_str()), (SqlState::INTERNAL_ERROR, "internal error"));
    }
}
