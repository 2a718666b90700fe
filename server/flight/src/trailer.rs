//! The trailer `sqlstate` on what the transport answers by itself: messages that are too long or garbled, calls that do
//! not exist.
//!
//! Invariant: with [`crate::status`], no error leaves without the trailer, and one that is there is left as it is.

use std::convert::Infallible;
use std::task::{Context, Poll};

use lakeward_base::SqlState;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use crate::status::SQLSTATE;

/// A service whose errors all have the trailer.
#[derive(Clone)]
pub(crate) struct WithSqlState<S>(pub(crate) S);

impl<S> Service<Request<Body>> for WithSqlState<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answering = self.0.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            complete(response.headers_mut());
            Ok(response)
        })
    }
}

impl<S: NamedService> NamedService for WithSqlState<S> {
    const NAME: &'static str = S::NAME;
}

/// An error without rows before it has its status among the headers.
fn complete(headers: &mut HeaderMap) {
    let Some(status) = headers.get("grpc-status") else { return };
    let sqlstate = match Code::from_bytes(status.as_bytes()) {
        Code::Ok => return,
        Code::Unimplemented => SqlState::FEATURE_NOT_SUPPORTED,
        Code::OutOfRange | Code::ResourceExhausted => SqlState::PROGRAM_LIMIT_EXCEEDED,
        Code::InvalidArgument | Code::Internal => SqlState::PROTOCOL_VIOLATION,
        _ => SqlState::INTERNAL_ERROR,
    };
    if !headers.contains_key(SQLSTATE) {
        headers.insert(SQLSTATE, HeaderValue::from_static(sqlstate.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(status: Option<&'static str>, sqlstate: Option<&'static str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        status.map(|status| headers.insert("grpc-status", HeaderValue::from_static(status)));
        sqlstate.map(|sqlstate| headers.insert(SQLSTATE, HeaderValue::from_static(sqlstate)));
        complete(&mut headers);
        headers.get(SQLSTATE).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_errors_without_a_trailer_get_one() {
        assert_eq!(completed(None, None), None);
        assert_eq!(completed(Some("0"), None), None);
        assert_eq!(completed(Some("11"), None).as_deref(), Some("54000"));
        assert_eq!(completed(Some("12"), None).as_deref(), Some("0A000"));
        assert_eq!(completed(Some("13"), None).as_deref(), Some("08P01"));
        assert_eq!(completed(Some("13"), Some("XX000")).as_deref(), Some("XX000"));
    }
}
