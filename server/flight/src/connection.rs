//! Connections: TCP, TLS, and how many at once.
//!
//! Invariant: no handshake holds up another connection, a connection on which nobody logs in does not last, and plain
//! text is spoken only where no TLS is configured.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Connections at once, unfinished handshakes included.
const MAX_CONNECTIONS: usize = 1000;
/// The pause after an accept that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The other end of a connection, as the calls on it see it.
#[derive(Clone)]
pub(crate) struct Peer {
    address: Option<SocketAddr>,
    logged_in: Arc<AtomicBool>,
}

impl Peer {
    /// Where it is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// A call was let in: the connection may stay.
    pub(crate) fn let_in(&self) {
        self.logged_in.store(true, Ordering::Relaxed);
    }
}

/// One connection.
pub(crate) struct Connection {
    transport: Transport,
    peer: Peer,
    /// When somebody must have logged in; `None` once somebody has.
    deadline: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Whether nobody has logged in in time. If there still is time, the task is woken when there is none left.
    fn is_overdue(&mut self, context: &mut Context<'_>) -> bool {
        if self.peer.logged_in.load(Ordering::Relaxed) {
            self.deadline = None;
        }
        self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready())
    }
}

/// Accepts until told to stop, or until nobody takes the connections.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    authentication_timeout: Duration,
    ready: mpsc::Sender<io::Result<Connection>>,
    stop: CancellationToken,
) {
    let acceptor = tls.map(|config| {
        // gRPC clients insist on ALPN.
        let mut config = config.as_ref().clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut handshakes: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = ready.closed() => break,
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept() => match (accepted, Arc::clone(&permits).try_acquire_owned()) {
                (Ok((stream, _)), Ok(permit)) => {
                    let (acceptor, ready) = (acceptor.clone(), ready.clone());
                    let deadline = Instant::now() + authentication_timeout;
                    handshakes.spawn(async move {
                        if let Some(connection) = open(stream, acceptor, permit, deadline).await {
                            // Fails only when the server is gone.
                            let _ = ready.send(Ok(connection)).await;
                        }
                    });
                }
                (Ok(_), Err(_)) => tracing::warn!(limit = MAX_CONNECTIONS, "flight: too many connections, one was refused"),
                (Err(error), _) => {
                    tracing::warn!(kind = %error.kind(), "flight: a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn open(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    permit: OwnedSemaphorePermit,
    deadline: Instant,
) -> Option<Connection> {
    let peer = Peer { address: stream.peer_addr().ok(), logged_in: Arc::default() };
    stream.set_nodelay(true).ok()?;
    let transport = match acceptor {
        None => Transport::Plain(stream),
        Some(acceptor) => match tokio::time::timeout_at(deadline, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
            Ok(Err(_)) | Err(_) => {
                tracing::debug!("flight: a TLS handshake failed");
                return None;
            }
        },
    };
    Some(Connection { transport, peer, deadline: Some(Box::pin(sleep_until(deadline))), _permit: permit })
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        if connection.is_overdue(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match &mut connection.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
