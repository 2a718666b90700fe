//! The rows of COPY's binary form: a signature, flags, rows of counted fields, a trailer.
//!
//! Invariant: no input panics; what is kept is no longer than one row may be and the piece that came last.

use bytes::{Buf, Bytes, BytesMut};
use lakeward_base::SqlState;
use lakeward_engine::Error;

use super::lines::LINE_BYTES;

/// What the data begins with.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// See the module.
pub(super) struct Binary {
    buffer: BytesMut,
    width: usize,
    begun: bool,
    ended: bool,
    /// The trailer was seen.
    finished: bool,
    /// The number of the row read last, from 1.
    pub(super) number: u64,
}

/// A row: bytes, or NULL.
pub(super) type Row = Vec<Option<Bytes>>;

fn malformed(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Reads ahead in what is there; `None`: more is needed.
struct Ahead<'a>(&'a [u8]);

impl<'a> Ahead<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take(2).map(|mut bytes| bytes.get_i16())
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4).map(|mut bytes| bytes.get_i32())
    }
}

impl Binary {
    /// Rows of so many fields.
    pub(super) fn new(width: usize) -> Self {
        Self { buffer: BytesMut::new(), width, begun: false, ended: false, finished: false, number: 0 }
    }

    /// Takes a piece of the data.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.finished && !piece.is_empty() {
            return Err(malformed("received copy data after EOF marker"));
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// That was all.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next row; `None` where it is not there yet, or where there is no more.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Error> {
        if !self.begun {
            match self.header()? {
                Some(length) => self.buffer.advance(length),
                None if self.ended => return Err(malformed("COPY file signature not recognized")),
                None => return self.wait(),
            }
            self.begun = true;
        }
        if self.finished || (self.ended && self.buffer.is_empty()) {
            return Ok(None);
        }
        self.number += 1;
        let row = self.row();
        match row {
            Ok(Some(row)) => Ok(Some(row)),
            Ok(None) if self.finished => {
                self.number -= 1;
                if self.buffer.is_empty() { Ok(None) } else { Err(malformed("received copy data after EOF marker")) }
            }
            Ok(None) if self.ended => Err(malformed("unexpected EOF in COPY data")),
            Ok(None) => {
                self.number -= 1;
                self.wait()
            }
            Err(error) => Err(error),
        }
    }

    /// More is needed.
    fn wait(&self) -> Result<Option<Row>, Error> {
        if self.buffer.len() > LINE_BYTES {
            let message = format!("a row of the data is longer than {LINE_BYTES} bytes");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(None)
    }

    /// Checks what stands before the rows; answers its length.
    fn header(&self) -> Result<Option<usize>, Error> {
        let mut ahead = Ahead(&self.buffer);
        let present = self.buffer.len().min(SIGNATURE.len());
        if self.buffer.get(..present) != SIGNATURE.get(..present) {
            return Err(malformed("COPY file signature not recognized"));
        }
        let Some(_) = ahead.take(SIGNATURE.len()) else { return Ok(None) };
        let Some(flags) = ahead.i32() else { return Ok(None) };
        if flags & (1 << 16) != 0 {
            return Err(malformed("invalid COPY file header (WITH OIDS)"));
        }
        if flags >> 16 != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        let Some(length) = ahead.i32() else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| malformed("invalid COPY file header (missing length)"))?;
        if length > LINE_BYTES {
            return Err(malformed("invalid COPY file header (wrong length)"));
        }
        Ok(ahead.take(length).map(|_| SIGNATURE.len() + 8 + length))
    }

    fn row(&mut self) -> Result<Option<Row>, Error> {
        let Some(length) = self.measured()? else { return Ok(None) };
        let mut bytes = self.buffer.split_to(length).freeze();
        bytes.advance(2.min(bytes.len()));
        let mut row = Vec::with_capacity(self.width);
        for _ in 0..self.width {
            let length = usize::try_from(bytes.try_get_i32().unwrap_or(-1));
            row.push(length.ok().map(|length| bytes.split_to(length.min(bytes.len()))));
        }
        Ok(Some(row))
    }

    /// How long the next row is; `None` where it is not whole, or where the trailer stands there.
    fn measured(&mut self) -> Result<Option<usize>, Error> {
        let mut ahead = Ahead(&self.buffer);
        let Some(count) = ahead.i16() else { return Ok(None) };
        if count == -1 {
            self.buffer.advance(2);
            self.finished = true;
            return Ok(None);
        }
        if usize::try_from(count) != Ok(self.width) {
            return Err(malformed(format!("row field count is {count}, expected {}", self.width)));
        }
        for _ in 0..self.width {
            match ahead.i32() {
                None => return Ok(None),
                Some(-1) => {}
                Some(length) => {
                    let length = usize::try_from(length).map_err(|_| malformed("invalid field size"))?;
                    if ahead.take(length).is_none() {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(self.buffer.len() - ahead.0.len()))
    }
}
