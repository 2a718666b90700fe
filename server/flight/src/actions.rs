//! The actions: prepared statements, cancelling, session options, and what is said of transactions.
//!
//! Invariant: what an action does not do it refuses by name; none changes anything of another session.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, Any, ProstMessageExt,
};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use bytes::Bytes;
use lakeward_engine::Error;
use prost::Message;

use crate::client::{Client, Clients};
use crate::door::{Cancelled, Door, no_transaction, transaction_by_id};
use crate::session_options::{self, SetRequest};
use crate::status::{malformed, unsupported};

/// The action that is a statement's first step.
pub(crate) const PREPARE: &str = "CreatePreparedStatement";

/// What ListActions tells.
pub(crate) const ACTIONS: [(&str, &str); 7] = [
    (PREPARE, "Prepares a statement."),
    ("ClosePreparedStatement", "Forgets a prepared statement."),
    ("CancelFlightInfo", "Cancels a statement that waits to be fetched, or is being fetched."),
    ("CancelQuery", "The same, under its older name."),
    ("SetSessionOptions", "Sets settings of the session."),
    ("GetSessionOptions", "Tells settings of the session."),
    ("CloseSession", "Ends the session; its token is no longer good."),
];

/// `CloseSessionResult` with its status CLOSED (`Flight.proto`), which arrow-flight does not know.
const SESSION_CLOSED: &[u8] = &[0x08, 0x01];

/// Does an action.
pub(crate) async fn act(
    door: &Door,
    clients: &Clients,
    client: Arc<Client>,
    action: Action,
) -> Result<Option<Bytes>, Error> {
    let body = &action.body;
    match action.r#type.as_str() {
        PREPARE => {
            let request: ActionCreatePreparedStatementRequest = unpack(body)?;
            no_transaction(&client, &request.query, request.transaction_id.as_ref())?;
            let result = door.prepare(&client, &request.query).await?;
            Ok(Some(result.as_any().encode_to_vec().into()))
        }
        "ClosePreparedStatement" => {
            let request: ActionClosePreparedStatementRequest = unpack(body)?;
            client.prepared.close(&request.prepared_statement_handle);
            Ok(None)
        }
        "CancelFlightInfo" => {
            let request = CancelFlightInfoRequest::decode(body.clone()).map_err(|_| malformed("the action"))?;
            let info = request.info.ok_or_else(|| malformed("the action"))?;
            let status = match door.cancel(&client, &info)? {
                Cancelled::Now => CancelStatus::Cancelled,
                Cancelled::TooLate => CancelStatus::NotCancellable,
            };
            Ok(Some(CancelFlightInfoResult { status: status.into() }.encode_to_vec().into()))
        }
        "CancelQuery" => {
            let request: ActionCancelQueryRequest = unpack(body)?;
            let info = FlightInfo::decode(request.info).map_err(|_| malformed("the action"))?;
            // The older result has the same numbers.
            let result = match door.cancel(&client, &info)? {
                Cancelled::Now => CancelStatus::Cancelled,
                Cancelled::TooLate => CancelStatus::NotCancellable,
            };
            Ok(Some(ActionCancelQueryResult { result: result.into() }.as_any().encode_to_vec().into()))
        }
        "SetSessionOptions" => {
            let request = SetRequest::decode(body.clone()).map_err(|_| malformed("the action"))?;
            Ok(Some(session_options::set(&client, request).await.encode_to_vec().into()))
        }
        "GetSessionOptions" => Ok(Some(session_options::get(&client).encode_to_vec().into())),
        "CloseSession" => {
            clients.remove(&client);
            Ok(Some(Bytes::from_static(SESSION_CLOSED)))
        }
        "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => Err(transaction_by_id()),
        "CreatePreparedSubstraitPlan" => Err(unsupported("Substrait")),
        _ => Err(unsupported("this action")),
    }
}

fn unpack<M: ProstMessageExt>(body: &Bytes) -> Result<M, Error> {
    let any = Any::decode(body.clone()).map_err(|_| malformed("the action"))?;
    any.unpack().ok().flatten().ok_or_else(|| malformed("the action"))
}
