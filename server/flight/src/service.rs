//! The gRPC service: who calls, which call, and what the answer looks like on the wire.
//!
//! Invariant: every call but the handshake is admitted by [`Gate`] first; every error leaves as [`status`] makes it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, Command,
    DoPutPreparedStatementResult, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use lakeward_base::{Redacted, SqlState};
use lakeward_engine::Error;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use crate::authorization::AUTHORIZATION;
use crate::client::Client;
use crate::connection::Peer;
use crate::door::{Door, command, no_transaction, refuse_put};
use crate::encode::FlightStream;
use crate::login::Gate;
use crate::status::{guard, internal, malformed, status, unsupported};

/// Messages of one DoPut that are looked at: a schema, dictionaries and a row of parameters.
const MAX_PUT_MESSAGES: usize = 64;
/// `CloseSessionResult` with its status CLOSED (`Flight.proto`), which arrow-flight does not know.
const SESSION_CLOSED: &[u8] = &[0x08, 0x01];

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// The service.
pub(crate) struct Service {
    gate: Arc<Gate>,
    door: Door,
}

impl Service {
    pub(crate) fn new(gate: Arc<Gate>, door: Door) -> Self {
        Self { gate, door }
    }

    /// Admits the caller, does the work, and gives a new caller its token.
    async fn call<T, Work>(
        &self,
        metadata: &MetadataMap,
        peer: Option<Peer>,
        work: impl FnOnce(Arc<Client>) -> Work + Send,
    ) -> Result<Response<T>, Status>
    where
        Work: Future<Output = Result<T, Error>> + Send,
    {
        let admitted = guard(self.gate.admit(metadata, address_of(peer.as_ref()))).await;
        let admitted = admitted.map_err(|error| status(&error))?;
        if let Some(peer) = peer {
            peer.let_in();
        }
        let done = guard(work(Arc::clone(&admitted.client))).await;
        let answer = done.map_err(|error| {
            admitted.client.session.fail_transaction();
            status(&error)
        })?;
        let mut response = Response::new(answer);
        if let Some(token) = &admitted.token {
            response.metadata_mut().insert(AUTHORIZATION, bearer(token).map_err(|error| status(&error))?);
        }
        Ok(response)
    }

    async fn put(&self, client: Arc<Client>, mut stream: Streaming<FlightData>) -> Result<Bytes, Error> {
        let first =
            stream.next().await.ok_or_else(|| malformed("an empty stream"))?.map_err(|_| malformed("the data"))?;
        let descriptor = first.flight_descriptor.clone().ok_or_else(|| malformed("data without a descriptor"))?;
        let any = Any::decode(descriptor.cmd).map_err(|_| malformed("the command"))?;
        match command(any)? {
            Command::CommandStatementUpdate(update) => {
                no_transaction(update.transaction_id.as_ref())?;
                let record_count = self.door.update(&client, update.query).await?;
                Ok(DoPutUpdateResult { record_count }.encode_to_vec().into())
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let data = rest(first, stream).await?;
                let record_count = self.door.update_prepared(&client, &update.prepared_statement_handle, data).await?;
                Ok(DoPutUpdateResult { record_count }.encode_to_vec().into())
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                self.door.bind(&client, &handle, rest(first, stream).await?).await?;
                Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }.encode_to_vec().into())
            }
            other => Err(refuse_put(&other)),
        }
    }

    async fn act(&self, client: Arc<Client>, action: Action) -> Result<Option<Bytes>, Error> {
        match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let request: ActionCreatePreparedStatementRequest = unpack(&action.body)?;
                no_transaction(request.transaction_id.as_ref())?;
                let result = self.door.prepare(&client, &request.query).await?;
                Ok(Some(result.as_any().encode_to_vec().into()))
            }
            "ClosePreparedStatement" => {
                let request: ActionClosePreparedStatementRequest = unpack(&action.body)?;
                client.prepared.close(&request.prepared_statement_handle);
                Ok(None)
            }
            "CloseSession" => {
                self.gate.clients().remove(&client);
                Ok(Some(Bytes::from_static(SESSION_CLOSED)))
            }
            _ => Err(unsupported("this action")),
        }
    }
}

/// All that a DoPut sends, within bounds.
async fn rest(first: FlightData, mut stream: Streaming<FlightData>) -> Result<Vec<FlightData>, Error> {
    let mut data = vec![first];
    while let Some(next) = stream.next().await {
        if data.len() >= MAX_PUT_MESSAGES {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many rows of parameters"));
        }
        data.push(next.map_err(|_| malformed("the data"))?);
    }
    // A client without parameters sends the descriptor alone, without a schema.
    data.retain(|message| !message.data_header.is_empty());
    Ok(data)
}

fn unpack<M: ProstMessageExt>(body: &Bytes) -> Result<M, Error> {
    let any = Any::decode(body.clone()).map_err(|_| malformed("the action"))?;
    any.unpack().ok().flatten().ok_or_else(|| malformed("the action"))
}

fn bearer(token: &Redacted<String>) -> Result<MetadataValue<tonic::metadata::Ascii>, Error> {
    let mut value: MetadataValue<_> = format!("Bearer {}", token.expose()).parse().map_err(|_| internal())?;
    value.set_sensitive(true);
    Ok(value)
}

fn one<T: Send + 'static>(answer: T) -> Answers<T> {
    futures::stream::iter([Ok(answer)]).boxed()
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = FlightStream;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let shaken = guard(self.gate.shake_hands(request.metadata(), address_of(peer.as_ref()))).await;
        let token = shaken.map_err(|error| status(&error))?;
        if let Some(peer) = peer {
            peer.let_in();
        }
        let payload = Bytes::from(token.expose().clone().into_bytes());
        let mut response = Response::new(one(HandshakeResponse { protocol_version: 0, payload }));
        response.metadata_mut().insert(AUTHORIZATION, bearer(&token).map_err(|error| status(&error))?);
        Ok(response)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (metadata, peer, descriptor) = opened(request);
        self.call(&metadata, peer, |client| async move { self.door.describe(&client, descriptor).await }).await
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (metadata, peer, descriptor) = opened(request);
        let work = |client| async move { Ok(SchemaResult { schema: self.door.schema(&client, descriptor).await? }) };
        self.call(&metadata, peer, work).await
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (metadata, peer, ticket) = opened(request);
        self.call(&metadata, peer, |client| async move { self.door.fetch(&client, ticket).await }).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (metadata, peer, stream) = opened(request);
        let work = |client| async move {
            let app_metadata = self.put(client, stream).await?;
            Ok(one(PutResult { app_metadata }))
        };
        self.call(&metadata, peer, work).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (metadata, peer, action) = opened(request);
        let work = |client| async move {
            let results = self.act(client, action).await?.map(|body| Ok(arrow_flight::Result { body }));
            Ok(futures::stream::iter(results).boxed())
        };
        self.call(&metadata, peer, work).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let (metadata, peer, _) = opened(request);
        let actions = [
            ("CreatePreparedStatement", "Prepares a statement."),
            ("ClosePreparedStatement", "Forgets a prepared statement."),
            ("CloseSession", "Ends the session; its token is no longer good."),
        ];
        let describe =
            |(name, text): (&str, &str)| Ok(ActionType { r#type: name.to_owned(), description: text.to_owned() });
        self.call(&metadata, peer, |_| async move { Ok(futures::stream::iter(actions.map(describe)).boxed()) }).await
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let (metadata, peer, _) = opened(request);
        self.call(&metadata, peer, |_| async { Err(unsupported("ListFlights")) }).await
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (metadata, peer, _) = opened(request);
        self.call(&metadata, peer, |_| async { Err(unsupported("PollFlightInfo")) }).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let (metadata, peer, _) = opened(request);
        self.call(&metadata, peer, |_| async { Err(unsupported("DoExchange")) }).await
    }
}

fn address_of(peer: Option<&Peer>) -> Option<SocketAddr> {
    peer.and_then(Peer::address)
}

fn opened<T>(request: Request<T>) -> (MetadataMap, Option<Peer>, T) {
    let peer = request.extensions().get::<Peer>().cloned();
    let (metadata, _, message) = request.into_parts();
    (metadata, peer, message)
}
