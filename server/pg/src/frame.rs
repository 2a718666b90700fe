//! Frames from a socket: a type byte, a length, a body.
//!
//! Invariant: memory grows with bytes that arrived, never with a length that was announced, and never beyond the
//! limit; every future here may be dropped at any await without losing a byte.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::PgError;
use crate::message::is_known;

/// How much is read ahead while a statement runs, to notice a client that goes away.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// One message as it stands on the wire.
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

/// Reads frames.
pub(crate) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    limit_bytes: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(source: R, limit_bytes: usize) -> Self {
        Self { source, buffer: BytesMut::new(), limit_bytes, ended: false }
    }

    /// Changes the limit: it is low until the client has logged in.
    pub(crate) fn set_limit(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
    }

    /// The next frame; `None` when the client closed the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, PgError> {
        loop {
            if let Some(frame) = take(&mut self.buffer, self.limit_bytes)? {
                return Ok(Some(frame));
            }
            if self.ended || !self.fill().await {
                return Ok(None);
            }
        }
    }

    /// Resolves when the client has closed the connection. Reads ahead a little to find out.
    pub(crate) async fn closed(&mut self) {
        while !self.ended {
            if self.buffer.len() >= READ_AHEAD_BYTES {
                return std::future::pending().await;
            }
            self.fill().await;
        }
    }

    /// Reads and forgets until the client has closed the connection.
    pub(crate) async fn discard(&mut self) {
        while !self.ended {
            self.buffer.clear();
            self.fill().await;
        }
    }

    /// Reads once; false at the end. An error of the socket is an end too: nothing more will come.
    async fn fill(&mut self) -> bool {
        self.buffer.reserve(8 * 1024);
        match self.source.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => self.ended = true,
            Ok(_) => {}
        }
        !self.ended
    }
}

/// Takes one whole frame from the front of `buffer`, if it is there.
pub(crate) fn take(buffer: &mut BytesMut, limit_bytes: usize) -> Result<Option<Frame>, PgError> {
    let mut header: &[u8] = buffer;
    let Ok(tag) = header.try_get_u8() else { return Ok(None) };
    if !is_known(tag) {
        return Err(PgError::UnknownMessage(tag));
    }
    let Ok(length) = header.try_get_u32() else { return Ok(None) };
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let body = body.ok_or(PgError::Protocol("invalid message length"))?;
    if body > limit_bytes {
        return Err(PgError::MessageTooLarge { limit_bytes });
    }
    if header.len() < body {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(Frame { tag, body: buffer.split_to(body).freeze() }))
}

#[cfg(test)]
mod tests {
    use super::{FrameReader, take};
    use bytes::BytesMut;
    use proptest::prelude::*;

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let mut buffer = BytesMut::from(&b"Q\0\0\0\x06a"[..]);
        assert!(take(&mut buffer, 100).unwrap().is_none());
        buffer.extend_from_slice(b"\0S\0\0\0\x04");
        let frame = take(&mut buffer, 100).unwrap().unwrap();
        assert_eq!((frame.tag, frame.body.as_ref()), (b'Q', &b"a\0"[..]));
        let frame = take(&mut buffer, 100).unwrap().unwrap();
        assert_eq!((frame.tag, frame.body.len()), (b'S', 0));
        assert!(buffer.is_empty());
    }

    #[test]
    fn lengths_are_checked_before_the_body_arrives() {
        for header in [&b"Q\0\0\0\x03"[..], b"Q\0\0\0\x00", b"Q\xff\xff\xff\xff", b"Q\0\0\0\x69", b"z", b"\x16\x03\x01"]
        {
            assert!(take(&mut BytesMut::from(header), 100).is_err(), "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_neither_panic_nor_exceed_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = take(&mut buffer, 64) {
                prop_assert!(frame.body.len() <= 64);
            }
            prop_assert!(buffer.len() <= bytes.len());
        }

        #[test]
        fn frames_survive_any_fragmentation(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), piece in 1usize..9) {
            let mut wire = Vec::new();
            for body in &bodies {
                wire.push(b'Q');
                wire.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
                wire.extend_from_slice(body);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (mut client, server) = tokio::io::duplex(piece);
                let sender = async move { tokio::io::AsyncWriteExt::write_all(&mut client, &wire).await.unwrap(); };
                let receiver = async {
                    let mut reader = FrameReader::new(server, 64);
                    let mut seen = Vec::new();
                    while let Some(frame) = reader.next().await.unwrap() {
                        seen.push(frame.body.to_vec());
                    }
                    seen
                };
                let ((), seen) = tokio::join!(sender, receiver);
                assert_eq!(seen, bodies);
            });
        }
    }
}
