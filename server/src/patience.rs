//! A listener for short requests: a client that does not say what it wants in time, or does not take the answer, is
//! dropped, and there are only so many at once.
//!
//! Invariants: a connection from which no whole request came within [`PATIENCE`] of its beginning, or of the last byte
//! of an answer, is closed; bytes that trickle in do not lengthen that. Where there are too many, the oldest makes room:
//! clients that say nothing keep nobody else waiting.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long a request may take to arrive, and an answer's next bytes to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at once.
const CONNECTIONS: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Patient {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// Those that were accepted, the oldest first: how to end each.
    open: VecDeque<Weak<Notify>>,
    patience: Duration,
}

impl Patient {
    /// Listens where `listener` does.
    pub(crate) fn new(listener: TcpListener) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        Self { listener, places, open: VecDeque::new(), patience: PATIENCE }
    }

    /// A place for one more connection: where there is none, the oldest one's.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        if let Some(oldest) = std::iter::from_fn(|| self.open.pop_front()).find_map(|open| open.upgrade()) {
            oldest.notify_one();
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Listener for Patient {
    type Io = Hurried;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Hurried, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let place = self.place().await;
        self.open.retain(|open| open.strong_count() > 0);
        let end = Arc::new(Notify::new());
        self.open.push_back(Arc::downgrade(&end));
        let late = Box::pin(tokio::time::sleep(self.patience));
        let evicted = Box::pin(end.notified_owned());
        (Hurried { stream, late, evicted, patience: self.patience, _place: place }, peer)
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
    /// It must make room.
    evicted: Pin<Box<OwnedNotified>>,
    patience: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

impl Hurried {
    /// What waits fails once it is too late, or must make room.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.evicted.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
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

    async fn door(patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patient = Patient { patience, ..Patient::new(listener) };
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
        let address = door(Duration::from_millis(400)).await;
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
        let mut client = TcpStream::connect(door(Duration::from_millis(400)).await).await.unwrap();
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

    #[tokio::test]
    async fn clients_that_say_nothing_make_room_for_others() {
        let address = door(Duration::from_secs(30)).await;
        let mut silent = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            let mut answer = [0; 15];
            let answered = tokio::time::timeout(Duration::from_secs(5), client.read_exact(&mut answer)).await;
            answered.expect("answered in time").unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
        }
        assert!(end(&mut silent[0]).await.is_empty(), "the oldest made room");
    }
}
