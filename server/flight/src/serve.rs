//! Serving on a listener, until told to stop.
//!
//! Invariant: what a client can make the server hold is bounded: connections, calls on each, header and message sizes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::flight_service_server::FlightServiceServer;
use lakeward_base::{Redacted, SystemClock};
use lakeward_engine::Engine;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::connection::accept;
use crate::door::Door;
use crate::error::FlightError;
use crate::login::Gate;
use crate::service::Service;
use crate::ticket::TicketKey;
use crate::trailer::WithSqlState;

const MAX_CALLS_PER_CONNECTION: u32 = 100;
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// A batch of a bulk load; what clients of other languages take by default.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const MAX_RESET_STREAMS: usize = 20;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// Connections with their handshake done that wait to be served.
const READY_CONNECTIONS: usize = 16;

/// Serves Flight SQL on `listener` until `shutdown`, then lets running calls end. `signing_key` signs tickets. A
/// connection on which nobody has logged in after `authentication_timeout` is closed.
///
/// # Errors
/// [`FlightError::Transport`] where the listener as a whole fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    engine: Engine,
    signing_key: Redacted<[u8; 32]>,
    authentication_timeout: Duration,
    shutdown: CancellationToken,
) -> Result<(), FlightError> {
    let gate = Arc::new(Gate::new(engine));
    let service = Service::new(Arc::clone(&gate), Door::new(TicketKey::new(signing_key), Arc::new(SystemClock)));
    let service = FlightServiceServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (ready, connections) = mpsc::channel(READY_CONNECTIONS);
    let accepting = accept(listener, tls, authentication_timeout, ready, shutdown.clone());
    let serving = Server::builder()
        .max_concurrent_streams(MAX_CALLS_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESET_STREAMS))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(WithSqlState(service))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), shutdown.clone().cancelled_owned());
    let sweeping = sweep(&gate, &shutdown);
    let (served, (), ()) = tokio::join!(serving, accepting, sweeping);
    served.map_err(FlightError::Transport)
}

/// Forgets idle tokens and expired statements.
async fn sweep(gate: &Gate, shutdown: &CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL)).await.is_some() {
        gate.clients().sweep(Instant::now());
    }
}
