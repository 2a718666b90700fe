//! One client's connection as the message loop sees it: frames in, a send buffer out.
//!
//! Invariant: whatever is waited for, a client that goes away is noticed and the waiting ends.

use std::time::Duration;

use lakeward_base::Coded;
use lakeward_engine::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::error::PgError;
use crate::frame::{Frame, FrameReader};
use crate::reply::{self, Severity};

/// Rows are handed to the socket in pieces of about this size.
pub(crate) const FLUSH_BYTES: usize = 128 * 1024;
/// A buffer that grew larger than this, for a long value, is given back.
const KEEP_BYTES: usize = 1024 * 1024;
/// How long a client may take to read the last error before its connection is closed.
const LINGER: Duration = Duration::from_secs(2);

/// A plain or an encrypted connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why handling of a message ended early.
pub(crate) enum Fault {
    /// The client is gone: nobody is there to be told.
    Gone,
    /// The connection ends with this error.
    Fatal(Error),
    /// The statement fails with this error, and the session goes on.
    Failed(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<PgError> for Fault {
    fn from(error: PgError) -> Self {
        match error {
            PgError::Io(_) => Self::Gone,
            PgError::Protocol(_)
            | PgError::UnknownMessage(_)
            | PgError::MessageTooLarge { .. }
            | PgError::UnsupportedProtocol { .. }
            | PgError::TlsRequired
            | PgError::NoUser
            | PgError::ChannelBinding(_)
            | PgError::PasswordFailed(_)
            | PgError::UnknownDatabase(_)
            | PgError::InvalidSetting { .. }
            | PgError::StartupTimeout
            | PgError::TooManyConnections
            | PgError::Shutdown => Self::Fatal(Error::from_coded(&error)),
            PgError::InvalidUtf8
            | PgError::UnknownStatement(_)
            | PgError::UnknownPortal(_)
            | PgError::DuplicateStatement(_)
            | PgError::DuplicatePortal(_)
            | PgError::PortalDone(_)
            | PgError::TooManyNamed(_)
            | PgError::ResultTypeChanged
            | PgError::ParameterCount { .. }
            | PgError::FormatCount { .. }
            | PgError::UnknownFormat(_)
            | PgError::Value(_)
            | PgError::UnsupportedParameter(_)
            | PgError::UnsupportedColumn(_)
            | PgError::NoBinaryForm(_)
            | PgError::ResultOutOfRange(_)
            | PgError::LimitExceeded(_)
            | PgError::Unsupported(_)
            | PgError::Internal(_) => Self::Failed(Error::from_coded(&error)),
        }
    }
}

/// A connection.
pub(crate) struct Wire {
    reader: FrameReader<ReadHalf<Box<dyn Duplex>>>,
    sink: WriteHalf<Box<dyn Duplex>>,
    /// What is to be sent next.
    pub(crate) out: Vec<u8>,
    /// How much of it is sent already.
    sent: usize,
}

impl Wire {
    /// Takes over a connection.
    pub(crate) fn new(stream: Box<dyn Duplex>, limit_bytes: usize) -> Self {
        let (source, sink) = split(stream);
        Self { reader: FrameReader::new(source, limit_bytes), sink, out: Vec::new(), sent: 0 }
    }

    /// Changes the limit on messages.
    pub(crate) fn set_limit(&mut self, limit_bytes: usize) {
        self.reader.set_limit(limit_bytes);
    }

    /// The next frame; `None` when the client closed the connection. May be dropped without loss.
    pub(crate) async fn receive(&mut self) -> Result<Option<Frame>, PgError> {
        self.reader.next().await
    }

    /// Waits for `work`, and drops it when the client goes away.
    pub(crate) async fn watch<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Fault> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.reader.closed() => Err(Fault::Gone),
        }
    }

    /// Sends what is in the buffer, as fast as the client takes it. May be dropped without loss.
    pub(crate) async fn flush(&mut self) -> Result<(), Fault> {
        let Self { reader, sink, out, sent } = self;
        let write = async {
            while let Some(rest) = out.get(*sent..).filter(|rest| !rest.is_empty()) {
                match sink.write(rest).await? {
                    0 => return Err(std::io::ErrorKind::WriteZero.into()),
                    written => *sent += written,
                }
            }
            out.clear();
            *sent = 0;
            sink.flush().await
        };
        let written = tokio::select! {
            biased;
            written = write => written,
            () = reader.closed() => return Err(Fault::Gone),
        };
        if self.out.capacity() > KEEP_BYTES {
            self.out = Vec::new();
        }
        written.map_err(|_| Fault::Gone)
    }

    /// Ends the connection, with an error for the client if there is one.
    pub(crate) async fn close(mut self, error: Option<&(dyn Coded + Sync)>) {
        if let Some(error) = error {
            reply::error(&mut self.out, Severity::Fatal, error);
        }
        // What the client still sends is read: unread data would reset the connection under the error.
        let farewell = async {
            if self.flush().await.is_ok() && self.sink.shutdown().await.is_ok() && error.is_some() {
                self.reader.discard().await;
            }
        };
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Wire};
    use crate::error::PgError;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn work_ends_when_the_client_goes_away() {
        let (client, server) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(server), 64);
        drop(client);
        assert!(matches!(wire.watch(std::future::pending::<()>()).await, Err(Fault::Gone)));
    }

    #[tokio::test]
    async fn a_blocked_send_ends_when_the_client_goes_away() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(server), 64);
        wire.out.extend_from_slice(&[0; 10_000]);
        let reader = async {
            let mut some = [0; 100];
            client.read_exact(&mut some).await.unwrap();
            drop(client);
        };
        let (sent, ()) = tokio::join!(wire.flush(), reader);
        assert!(matches!(sent, Err(Fault::Gone)));
    }

    #[tokio::test]
    async fn frames_sent_ahead_survive_the_watch() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(server), 64);
        client.write_all(b"S\0\0\0\x04S\0\0").await.unwrap();
        assert!(wire.watch(tokio::time::sleep(std::time::Duration::from_millis(20))).await.is_ok());
        client.write_all(b"\0\x04").await.unwrap();
        drop(client);
        for _ in 0..2 {
            assert_eq!(wire.receive().await.unwrap().map(|frame| frame.tag), Some(b'S'));
        }
        assert!(wire.receive().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_last_error_arrives_although_the_client_still_sends() {
        let (mut client, server) = tokio::io::duplex(64);
        let wire = Wire::new(Box::new(server), 64);
        let talker = async {
            client.write_all(&[7; 5_000]).await.unwrap();
            let mut answer = Vec::new();
            client.shutdown().await.unwrap();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (answer, ()) = tokio::join!(talker, wire.close(Some(&PgError::Shutdown)));
        assert!(String::from_utf8_lossy(&answer).contains("57P01"));
    }
}
