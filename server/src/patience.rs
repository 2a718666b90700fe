//! A listener for short requests: a client that does not say what it wants in time, or does not take the answer, is
//! dropped, and there are only so many at once.
//!
//! Invariant: a connection from which no whole request came within [`PATIENCE`] of its beginning, or of the last byte
//! of an answer, is closed; bytes that trickle in do not lengthen that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long a request may take to arrive, and an answer's next bytes to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at once; the next one waits.
const CONNECTIONS: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Patient {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Patient {
    /// Listens where `listener` does.
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS)), patience: PATIENCE }
    }
}

impl Listener for Patient {
    type Io = Hurried;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Hurried, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let late = Box::pin(tokio::time::sleep(self.patience));
        (Hurried { stream, late, patience: self.patience, _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that has a deadline.
#[derive(Debug)]
pub(crate) struct Hurried {
    stream: TcpStream,
    late: Pin<Box<Sleep>>,
    patience: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

impl Hurried {
    /// What waits fails once it is too late.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.late.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Hurried {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, into) {
            Poll::Pending => self.wait(context),
            ready => ready,
        }
    }
}

impl AsyncWrite for Hurried {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            ready => {
                let next = Instant::now() + self.patience;
                self.late.as_mut().reset(next);
                ready
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn door() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patient = Patient { patience: Duration::from_millis(400), ..Patient::new(listener) };
        let router = Router::new().route("/", get(|| async { "ok" }));
        tokio::runtime::Handle::current().spawn(axum::serve(patient, router).into_future());
        address
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    async fn end(stream: &mut TcpStream) -> Vec<u8> {
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said));
        let _ = read.await.expect("dropped in time");
        said
    }

    #[tokio::test]
    async fn who_says_nothing_or_dawdles_is_dropped() {
        let address = door().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert!(end(&mut silent).await.is_empty());
        let mut slow = TcpStream::connect(address).await.unwrap();
        let began = std::time::Instant::now();
        for byte in REQUEST {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        assert!(!end(&mut slow).await.starts_with(b"HTTP/1.1 200"));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn who_asks_again_in_time_stays() {
        let mut client = TcpStream::connect(door().await).await.unwrap();
        let mut answer = [0; 15];
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            client.write_all(REQUEST).await.unwrap();
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            let mut rest = [0; 1024];
            assert!(client.read(&mut rest).await.unwrap() > 0);
        }
        let _ = end(&mut client).await;
    }
}
