//! An arrow-flight server that does nothing but send batches which it has in memory, and its client.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// Bytes that a message may have.
const MESSAGE_BYTES: usize = 64 << 20;

struct Bare(Arc<Vec<RecordBatch>>);

/// Starts it on a free port, on threads of its own; answers its address.
pub async fn serve(batches: Vec<RecordBatch>, tls: &Path) -> String {
    let read = |name: &str| std::fs::read(tls.join(name)).unwrap();
    let identity = Identity::from_pem(read("server.pem"), read("server.key"));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
            sender.send(incoming.local_addr().unwrap().port()).unwrap();
            // Both kinds are compiled in; tonic takes the process's own.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Server::builder()
                .tls_config(ServerTlsConfig::new().identity(identity))
                .unwrap()
                .add_service(FlightServiceServer::new(Bare(Arc::new(batches))))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    format!("https://localhost:{}", receiver.await.unwrap())
}

/// A client of it.
pub async fn connect(address: &str, ca: &Path) -> FlightServiceClient<Channel> {
    let certificate = Certificate::from_pem(std::fs::read(ca).unwrap());
    let tls = ClientTlsConfig::new().ca_certificate(certificate).domain_name("localhost");
    let channel = Endpoint::from_shared(address.to_owned()).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES)
}

/// Takes everything, and throws it away; answers how many bytes it was.
pub async fn fetch(client: &mut FlightServiceClient<Channel>) -> u64 {
    super::fetched(client.do_get(Ticket::default()).await.unwrap().into_inner()).await
}

fn nothing<T>() -> Result<T, Status> {
    Err(Status::unimplemented("only DoGet"))
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let batches = Arc::clone(&self.0);
        let all = futures::stream::iter((0..batches.len()).map(move |place| Ok(batches[place].clone())));
        let encoded = FlightDataEncoderBuilder::new().build(all).map_err(|error| Status::internal(error.to_string()));
        Ok(Response::new(encoded.boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        nothing()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        nothing()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        nothing()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        nothing()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        nothing()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        nothing()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        nothing()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        nothing()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        nothing()
    }
}
