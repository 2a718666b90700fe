//! What clients send, decoded from whole frames.
//!
//! pgwire's own decoders read past a frame's end, panic on short ones and replace invalid UTF-8 silently, so decoding
//! is done here. Invariant: no input panics; allocations are bounded by the frame's own length.

use bytes::{Buf, Bytes};

use crate::error::PgError;

/// One message of a client after login.
pub(crate) enum Frontend {
    /// `Q`
    Query(String),
    /// `P`
    Parse { name: String, sql: String, types: Vec<u32> },
    /// `B`
    Bind(Bind),
    /// `D`
    Describe(Target),
    /// `E`; 0 rows is no limit.
    Execute { portal: String, max_rows: usize },
    /// `C`
    Close(Target),
    /// `H`
    Flush,
    /// `S`
    Sync,
    /// `X`
    Terminate,
    /// `d`, `c`, `f`: ignored outside of COPY, as the protocol asks.
    Copy,
    /// `F`: the obsolete function call.
    FunctionCall,
}

/// A Bind message.
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) parameter_formats: Vec<i16>,
    pub(crate) parameters: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<i16>,
}

/// What Describe and Close point at.
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

/// The message types that may come after login.
pub(crate) fn is_known(tag: u8) -> bool {
    matches!(tag, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'd' | b'c' | b'f' | b'F' | b'p')
}

impl Frontend {
    /// Decodes one frame.
    pub(crate) fn decode(tag: u8, body: Bytes) -> Result<Self, PgError> {
        let mut reader = Reader(body);
        let message = match tag {
            b'Q' => Self::Query(reader.text()?),
            b'P' => Self::Parse { name: reader.text()?, sql: reader.text()?, types: reader.counted(Reader::u32)? },
            b'B' => Self::Bind(Bind {
                portal: reader.text()?,
                statement: reader.text()?,
                parameter_formats: reader.counted(Reader::i16)?,
                parameters: reader.counted(Reader::value)?,
                result_formats: reader.counted(Reader::i16)?,
            }),
            b'D' => Self::Describe(reader.target()?),
            b'E' => Self::Execute { portal: reader.text()?, max_rows: usize::try_from(reader.i32()?).unwrap_or(0) },
            b'C' => Self::Close(reader.target()?),
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'd' | b'c' | b'f' => return Ok(Self::Copy),
            b'F' => return Ok(Self::FunctionCall),
            other => return Err(PgError::UnknownMessage(other)),
        };
        reader.end()?;
        Ok(message)
    }
}

/// Bounds-checked reading of a frame's body.
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    /// Text up to a zero byte.
    pub(crate) fn text(&mut self) -> Result<String, PgError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(PgError::Protocol("invalid string in message"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.into()).map_err(|_| PgError::InvalidUtf8)
    }

    fn short<E>(_: E) -> PgError {
        PgError::Protocol("insufficient data left in message")
    }

    fn u8(&mut self) -> Result<u8, PgError> {
        self.0.try_get_u8().map_err(Self::short)
    }

    fn i16(&mut self) -> Result<i16, PgError> {
        self.0.try_get_i16().map_err(Self::short)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, PgError> {
        self.0.try_get_i32().map_err(Self::short)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, PgError> {
        self.0.try_get_u32().map_err(Self::short)
    }

    /// As many bytes as a length before them says; a negative length is NULL.
    pub(crate) fn value(&mut self) -> Result<Option<Bytes>, PgError> {
        let Ok(length) = usize::try_from(self.i32()?) else { return Ok(None) };
        if length > self.0.len() {
            return Err(Self::short(()));
        }
        Ok(Some(self.0.split_to(length)))
    }

    /// A 16-bit count and as many items. The list grows with what is really there.
    fn counted<T>(&mut self, item: fn(&mut Self) -> Result<T, PgError>) -> Result<Vec<T>, PgError> {
        let count = self.0.try_get_u16().map_err(Self::short)?;
        (0..count).map(|_| item(self)).collect()
    }

    fn target(&mut self) -> Result<Target, PgError> {
        match self.u8()? {
            b'S' => Ok(Target::Statement(self.text()?)),
            b'P' => Ok(Target::Portal(self.text()?)),
            _ => Err(PgError::Protocol("invalid message subtype")),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), PgError> {
        if self.0.is_empty() { Ok(()) } else { Err(PgError::Protocol("invalid message format")) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Frontend, is_known};
    use bytes::Bytes;
    use proptest::prelude::*;

    #[test]
    fn bind_is_decoded() {
        let body: &[u8] = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\x01";
        let Ok(Frontend::Bind(bind)) = Frontend::decode(b'B', Bytes::from_static(body)) else { panic!("no bind") };
        assert_eq!((bind.portal.as_str(), bind.statement.as_str()), ("p", "s"));
        assert_eq!(bind.parameter_formats, [1]);
        assert_eq!(bind.parameters, [Some(Bytes::from_static(b"ab")), None]);
        assert_eq!(bind.result_formats, [1]);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert!(Frontend::decode(b'S', Bytes::from_static(b"x")).is_err());
        assert!(Frontend::decode(b'Q', Bytes::from_static(b"select 1\0x")).is_err());
    }

    #[test]
    fn invalid_utf8_has_its_own_code() {
        use lakeward_base::{Coded, SqlState};
        let Err(error) = Frontend::decode(b'Q', Bytes::from_static(b"\xff\0")) else { panic!("accepted") };
        assert_eq!(error.sqlstate(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    }

    proptest! {
        #[test]
        fn no_frame_panics(tag in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let decoded = Frontend::decode(tag, Bytes::from(body));
            prop_assert!(is_known(tag) || decoded.is_err());
        }

        #[test]
        fn no_known_frame_panics(tag in proptest::sample::select(b"QPBDEC".to_vec()),
                                 body in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()], 0..80)) {
            if let Ok(Frontend::Bind(bind)) = Frontend::decode(tag, Bytes::from(body.clone())) {
                prop_assert!(bind.parameters.iter().flatten().map(Bytes::len).sum::<usize>() <= body.len());
            }
        }
    }
}
