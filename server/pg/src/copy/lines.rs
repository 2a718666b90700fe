//! The lines of text and CSV, as they arrive in pieces: `CopyReadLine` of PostgreSQL.
//!
//! Invariant: a byte is looked at once, apart from a few that need the next one to be understood; what is kept is no
//! longer than one line may be and the piece that came last.

use bytes::BytesMut;
use lakeward_base::SqlState;
use lakeward_engine::{CopyOptions, CopyStyle, Error};

/// The longest line.
pub(super) const LINE_BYTES: usize = 64 * 1024 * 1024;

/// How lines end; the first one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Newline,
    Return,
    Both,
}

/// What a byte turned out to be.
enum Seen {
    /// A part of the line, with so many bytes.
    Data(usize),
    /// The line's end, with so many bytes.
    End(usize, Ending),
    /// The mark of the data's end.
    Mark,
    /// Not to be told without more of the data.
    Unclear,
}

/// See the module.
pub(super) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to belong to the line.
    scanned: usize,
    /// Quote and escape of CSV; no escape where it is the quote, which then toggles.
    csv: Option<(u8, Option<u8>)>,
    in_quotes: bool,
    after_escape: bool,
    ending: Option<Ending>,
    /// No more data will come.
    ended: bool,
    /// The mark of the end was seen: what follows is forgotten.
    marked: bool,
    /// The number of the line read last, from 1; lines within quotes count.
    pub(super) number: u64,
}

fn malformed(message: &str) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

impl Lines {
    pub(super) fn new(options: &CopyOptions) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            csv: (options.style == CopyStyle::Csv)
                .then(|| (options.quote, Some(options.escape).filter(|escape| *escape != options.quote))),
            in_quotes: false,
            after_escape: false,
            ending: None,
            ended: false,
            marked: false,
            number: 0,
        }
    }

    /// Takes a piece of the data.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if !self.marked {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// That was all.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next line, without its end; `None` where it is not there yet, or where there is no more.
    pub(super) fn next(&mut self) -> Result<Option<BytesMut>, Error> {
        if self.marked {
            return Ok(None);
        }
        while let Some(byte) = self.buffer.get(self.scanned).copied() {
            match self.look(byte).inspect_err(|_| self.number += 1)? {
                Seen::Data(length) => self.scanned += length,
                Seen::End(length, ending) => {
                    self.ending = Some(ending);
                    return Ok(Some(self.taken(length)));
                }
                Seen::Mark => {
                    self.marked = true;
                    let rest = self.taken(0);
                    self.buffer.clear();
                    return Ok(Some(rest).filter(|rest| !rest.is_empty()));
                }
                Seen::Unclear => break,
            }
        }
        if self.ended && !self.buffer.is_empty() {
            self.scanned = self.buffer.len();
            return Ok(Some(self.taken(0)));
        }
        if self.scanned > LINE_BYTES {
            self.number += 1;
            let message = format!("a line of the data is longer than {LINE_BYTES} bytes");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(None)
    }

    /// Takes the line that was scanned, and its end.
    fn taken(&mut self, ending: usize) -> BytesMut {
        let line = self.buffer.split_to(self.scanned);
        drop(self.buffer.split_to(ending.min(self.buffer.len())));
        self.scanned = 0;
        self.after_escape = false;
        self.number += 1;
        line
    }

    fn after(&self, ahead: usize) -> Option<u8> {
        self.buffer.get(self.scanned + ahead).copied()
    }

    fn look(&mut self, byte: u8) -> Result<Seen, Error> {
        if let Some((quote, escape)) = self.csv {
            return self.look_in_csv(byte, quote, escape);
        }
        match byte {
            b'\r' | b'\n' => self.line_end(byte),
            b'\\' => match self.after(1) {
                None if self.ended => Ok(Seen::Data(1)),
                None => Ok(Seen::Unclear),
                Some(b'.') => self.mark(),
                // Whatever follows a backslash means nothing else.
                Some(_) => Ok(Seen::Data(2)),
            },
            _ => Ok(Seen::Data(self.plain())),
        }
    }

    /// How many bytes from here on mean nothing in text.
    fn plain(&self) -> usize {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let special = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'\\'));
        special.unwrap_or(rest.len()).max(1)
    }

    fn look_in_csv(&mut self, byte: u8, quote: u8, escape: Option<u8>) -> Result<Seen, Error> {
        if !self.in_quotes {
            if matches!(byte, b'\r' | b'\n') {
                return self.line_end(byte);
            }
            // Only alone on its line.
            if byte == b'\\' && self.scanned == 0 {
                match self.after(1) {
                    None if !self.ended => return Ok(Seen::Unclear),
                    Some(b'.') => return self.mark(),
                    _ => {}
                }
            }
        }
        if self.in_quotes && Some(byte) == escape {
            self.after_escape = !self.after_escape;
        }
        if byte == quote && !self.after_escape {
            self.in_quotes = !self.in_quotes;
        }
        if Some(byte) != escape {
            self.after_escape = false;
        }
        // As PostgreSQL counts, wrongly in the first line.
        let newline = if self.ending == Some(Ending::Newline) { b'\n' } else { b'\r' };
        if self.in_quotes && byte == newline {
            self.number += 1;
        }
        Ok(Seen::Data(1))
    }

    fn line_end(&self, byte: u8) -> Result<Seen, Error> {
        let is_csv = self.csv.is_some();
        if byte == b'\n' {
            if matches!(self.ending, Some(Ending::Return | Ending::Both)) {
                return Err(if is_csv {
                    malformed("unquoted newline found in data").with_hint("Use quoted CSV field to represent newline.")
                } else {
                    malformed("literal newline found in data").with_hint("Use \"\\n\" to represent newline.")
                });
            }
            return Ok(Seen::End(1, Ending::Newline));
        }
        let alone = || {
            if is_csv {
                malformed("unquoted carriage return found in data")
                    .with_hint("Use quoted CSV field to represent carriage return.")
            } else {
                malformed("literal carriage return found in data")
                    .with_hint("Use \"\\r\" to represent carriage return.")
            }
        };
        match self.ending {
            Some(Ending::Newline) => Err(alone()),
            Some(Ending::Return) => Ok(Seen::End(1, Ending::Return)),
            None | Some(Ending::Both) => match self.after(1) {
                Some(b'\n') => Ok(Seen::End(2, Ending::Both)),
                None if !self.ended => Ok(Seen::Unclear),
                _ if self.ending.is_some() => Err(alone()),
                _ => Ok(Seen::End(1, Ending::Return)),
            },
        }
    }

    /// `\.` was seen: is it the mark of the end?
    fn mark(&mut self) -> Result<Seen, Error> {
        let is_csv = self.csv.is_some();
        let corrupt = || if is_csv { Ok(Seen::Data(1)) } else { Err(malformed("end-of-copy marker corrupt")) };
        let differs = || {
            if is_csv {
                Ok(Seen::Data(1))
            } else {
                Err(malformed("end-of-copy marker does not match previous newline style"))
            }
        };
        match (self.ending, self.after(2)) {
            (_, None) if self.ended => corrupt(),
            (_, None) => Ok(Seen::Unclear),
            (Some(Ending::Both), Some(b'\r')) => match self.after(3) {
                Some(b'\n') => Ok(Seen::Mark),
                None if !self.ended => Ok(Seen::Unclear),
                _ => corrupt(),
            },
            (None, Some(b'\r' | b'\n'))
            | (Some(Ending::Newline), Some(b'\n'))
            | (Some(Ending::Return), Some(b'\r')) => Ok(Seen::Mark),
            (_, Some(b'\r' | b'\n')) => differs(),
            (_, Some(_)) => corrupt(),
        }
    }
}
