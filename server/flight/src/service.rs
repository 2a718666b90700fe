//! The gRPC service: who calls, which call, and what the answer looks like on the wire.
//!
//! Invariant: every call but the handshake is admitted by [`Gate`] first; every error leaves as [`status`] makes it, and
//! fails the session's open transaction if, and only if, the call was a statement's.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use lakeward_base::Redacted;
use lakeward_engine::Error;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use crate::actions::{ACTIONS, PREPARE, act};
use crate::authorization::AUTHORIZATION;
use crate::client::Client;
use crate::connection::Peer;
use crate::door::{Door, command, no_transaction, served};
use crate::encode::FlightStream;
use crate::ingest::ingest;
use crate::login::Gate;
use crate::metadata::not_served;
use crate::status::{guard, internal, malformed, status, unsupported};

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

    /// A call that is a statement, or a step of one: where it fails, so does the session's open transaction.
    async fn statement<T, Work>(
        &self,
        metadata: &MetadataMap,
        peer: Option<Peer>,
        work: impl FnOnce(Arc<Client>) -> Work + Send,
    ) -> Result<Response<T>, Status>
    where
        T: Send,
        Work: Future<Output = Result<T, Error>> + Send,
    {
        let failing = |client: Arc<Client>| async move {
            let done = guard(work(Arc::clone(&client))).await;
            done.inspect_err(|_| client.session.fail_transaction())
        };
        self.call(metadata, peer, failing).await
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
        let answer = done.map_err(|error| status(&error))?;
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
        let rest = stream.boxed();
        let record_count = match command(any)? {
            Command::CommandStatementUpdate(update) => {
                no_transaction(&client, &update.query, update.transaction_id.as_ref())?;
                self.door.update(&client, &update.query).await?
            }
            Command::CommandPreparedStatementUpdate(update) => {
                self.door.update_prepared(&client, &update.prepared_statement_handle, first, rest).await?
            }
            Command::CommandStatementIngest(load) => ingest(&client, load, first, rest).await?,
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                self.door.bind(&client, &handle, first, rest).await?;
                return Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }
                    .encode_to_vec()
                    .into());
            }
            other => {
                served(&client, &other)?;
                return Err(not_served(&other));
            }
        };
        Ok(DoPutUpdateResult { record_count }.encode_to_vec().into())
    }
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
        self.statement(&metadata, peer, |client| async move { self.door.describe(&client, descriptor).await }).await
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (metadata, peer, descriptor) = opened(request);
        let work = |client| async move { Ok(SchemaResult { schema: self.door.schema(&client, descriptor).await? }) };
        self.statement(&metadata, peer, work).await
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (metadata, peer, ticket) = opened(request);
        self.statement(&metadata, peer, |client| async move { self.door.fetch(&client, ticket).await }).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (metadata, peer, stream) = opened(request);
        let work = |client| async move {
            let app_metadata = self.put(client, stream).await?;
            Ok(one(PutResult { app_metadata }))
        };
        self.statement(&metadata, peer, work).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (metadata, peer, action) = opened(request);
        let prepares = action.r#type == PREPARE;
        let work = |client| async move {
            let results = act(&self.door, self.gate.clients(), client, action)
                .await?
                .map(|body| Ok(arrow_flight::Result { body }));
            Ok(futures::stream::iter(results).boxed())
        };
        // A cancel, or an option that there is not, has nothing to do with the transaction.
        if prepares { self.statement(&metadata, peer, work).await } else { self.call(&metadata, peer, work).await }
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let (metadata, peer, _) = opened(request);
        let describe =
            |(name, text): (&str, &str)| Ok(ActionType { r#type: name.to_owned(), description: text.to_owned() });
        self.call(&metadata, peer, |_| async move { Ok(futures::stream::iter(ACTIONS.map(describe)).boxed()) }).await
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let (metadata, peer, _) = opened(request);
        self.call(&metadata, peer, |_| async { Err(unsupported("ListFlights")) }).await
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (metadata, peer, descriptor) = opened(request);
        // Whatever GetFlightInfo answers is complete: a statement without rows has run, one with rows runs when fetched.
        let work = |client| async move {
            let info = self.door.describe(&client, descriptor).await?;
            Ok(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() })
        };
        self.statement(&metadata, peer, work).await
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
