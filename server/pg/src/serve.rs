//! The listener: one task per connection, and the orderly end.
//!
//! Invariant: whatever happens on one connection, the others and the listener go on; connections that have not logged
//! in are bounded in number and in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lakeward_engine::Engine;
use rand::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::error::PgError;
use crate::startup::{ALPN, greet, log_in, refusal};
use crate::wire::Fault;

/// What clients may ask of the server before and after they have logged in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest message before login, in bytes.
    pub startup_message_bytes: usize,
    /// Longest message after login, in bytes.
    pub message_bytes: usize,
    /// Time to log in, in milliseconds.
    pub startup_timeout_ms: u64,
    /// Connections that are logging in at once; one more is refused with 53300.
    pub logging_in: usize,
    /// Pause before a failed login is answered, in milliseconds.
    pub failure_delay_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            startup_message_bytes: 10_000,
            message_bytes: 64 * 1024 * 1024,
            startup_timeout_ms: 60_000,
            logging_in: 512,
            failure_delay_ms: 200,
        }
    }
}

impl Limits {
    /// The pause, a little longer or shorter each time.
    pub(crate) fn failure_delay(&self) -> Duration {
        Duration::from_millis(self.failure_delay_ms + rand::rng().random_range(0..=self.failure_delay_ms / 2))
    }
}

/// What all connections share.
pub(crate) struct Context {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    shutdown: CancellationToken,
}

/// Serves PostgreSQL clients until `shutdown`, then until the last statement has ended. The caller bounds that time by
/// dropping the future, which closes what is left.
///
/// # Errors
/// None at present: a connection that cannot be accepted is logged, and the listener goes on.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    engine: Engine,
    shutdown: CancellationToken,
) -> Result<(), PgError> {
    serve_with(listener, tls, engine, shutdown, Limits::default()).await
}

/// [`serve`] with limits of one's own.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    engine: Engine,
    shutdown: CancellationToken,
    limits: Limits,
) -> Result<(), PgError> {
    let logging_in = Arc::new(Semaphore::new(limits.logging_in));
    let tls = tls.map(|config| with_protocol_name(&config));
    let context = Arc::new(Context { tls, engine, limits, shutdown: shutdown.clone() });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => note(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match Arc::clone(&logging_in).try_acquire_owned() {
                    Ok(permit) => {
                        connections.spawn(attend(stream, peer, permit, Arc::clone(&context)));
                    }
                    Err(_) => {
                        let _ = stream.try_write(&refusal(&PgError::TooManyConnections));
                    }
                },
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                    // Most often there are no file descriptors left: give others time to go.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note(ended);
    }
    Ok(())
}

/// The same certificate and rules, with the name by which clients recognise PostgreSQL's protocol.
fn with_protocol_name(config: &Arc<rustls::ServerConfig>) -> Arc<rustls::ServerConfig> {
    let mut config = rustls::ServerConfig::clone(config);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

/// A panic's own text may hold anything, so it is not logged here.
fn note(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection ended by a panic");
    }
}

/// One connection from its first byte to its last.
async fn attend(stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit, context: Arc<Context>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let deadline = Instant::now() + Duration::from_millis(context.limits.startup_timeout_ms);
    let greeting = timeout_at(deadline, until_shutdown(&context, greet(stream, &context)));
    let mut greeted = match greeting.await {
        Ok(Some(Ok(Some(greeted)))) => greeted,
        Ok(Some(Err(error))) => {
            tracing::debug!(error = %error, "a connection did not get to its startup packet");
            return;
        }
        // It asked for a cancellation, was refused, went away, or was too slow to say anything.
        Ok(Some(Ok(None)) | None) | Err(_) => return,
    };
    let login = timeout_at(deadline, until_shutdown(&context, log_in(&mut greeted, peer, &context)));
    let outcome = match login.await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(PgError::Shutdown.into()),
        Err(_) => Err(PgError::StartupTimeout.into()),
    };
    match outcome {
        Ok(session) => {
            drop(permit);
            Connection::new(greeted.wire, session, context.shutdown.clone()).serve().await;
        }
        Err(Fault::Gone) => {}
        Err(Fault::Fatal(error) | Fault::Failed(error)) => greeted.wire.close(Some(&error)).await,
    }
}

/// `None` where the server stops first.
async fn until_shutdown<T>(context: &Context, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = context.shutdown.cancelled() => None,
    }
}
