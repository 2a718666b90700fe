//! The fields of one line: `CopyReadAttributesText` and `CopyReadAttributesCSV` of PostgreSQL.

use std::ops::Range;

use lakeward_base::SqlState;
use lakeward_engine::{CopyOptions, CopyStyle, Error};

/// One field.
struct Field {
    bytes: Range<usize>,
    /// It is written as NULL is.
    is_null: bool,
}

/// The fields of a line, in memory that is used for the next line again.
#[derive(Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

impl Fields {
    /// Takes a line apart.
    pub(super) fn split(&mut self, line: &[u8], options: &CopyOptions) -> Result<(), Error> {
        self.bytes.clear();
        self.fields.clear();
        if options.style == CopyStyle::Csv { self.split_csv(line, options) } else { self.split_text(line, options) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field; `None` where it is NULL, or not there.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let field = self.fields.get(index)?;
        if field.is_null { None } else { self.bytes.get(field.bytes.clone()) }
    }

    fn push(&mut self, start: usize, is_null: bool) {
        self.fields.push(Field { bytes: start..self.bytes.len(), is_null });
    }

    fn split_text(&mut self, line: &[u8], options: &CopyOptions) -> Result<(), Error> {
        let mut rest = line;
        loop {
            let start = self.bytes.len();
            let special = |byte: &u8| *byte == options.delimiter || *byte == b'\\';
            let mut length = 0;
            let mut more = false;
            while let Some(byte) = rest.get(length).copied() {
                if byte == options.delimiter {
                    more = true;
                    break;
                }
                if byte == b'\\' {
                    length += 1 + self.unescape(rest.get(length + 1..).unwrap_or_default());
                    continue;
                }
                let plain = rest.get(length..).unwrap_or_default();
                let plain = plain.iter().position(special).unwrap_or(plain.len());
                self.bytes.extend_from_slice(rest.get(length..length + plain).unwrap_or_default());
                length += plain;
            }
            // NULL is what was written so, before backslashes are looked at.
            let is_null = rest.get(..length) == Some(options.null.as_bytes());
            self.push(start, is_null);
            if !more {
                return Ok(());
            }
            rest = rest.get(length + 1..).unwrap_or_default();
        }
    }

    /// What follows a backslash; answers how many bytes it was.
    fn unescape(&mut self, after: &[u8]) -> usize {
        let Some(first) = after.first().copied() else { return 0 };
        let number = |digits: &[u8], base: u32, most: usize| -> (u8, usize) {
            let digits = digits.iter().take(most).map_while(|digit| char::from(*digit).to_digit(base));
            let (value, count) = digits.fold((0, 0), |(value, count), digit| (value * base + digit, count + 1));
            (u8::try_from(value & 0xff).unwrap_or_default(), count)
        };
        let (byte, length) = match first {
            b'0'..=b'7' => number(after, 8, 3),
            b'x' => match number(after.get(1..).unwrap_or_default(), 16, 2) {
                (_, 0) => (b'x', 1),
                (value, count) => (value, count + 1),
            },
            b'b' => (8, 1),
            b't' => (9, 1),
            b'n' => (10, 1),
            b'v' => (11, 1),
            b'f' => (12, 1),
            b'r' => (13, 1),
            other => (other, 1),
        };
        self.bytes.push(byte);
        length
    }

    fn split_csv(&mut self, line: &[u8], options: &CopyOptions) -> Result<(), Error> {
        let mut at = 0;
        loop {
            let start = self.bytes.len();
            let (mut in_quotes, mut was_quoted, mut more) = (false, false, false);
            while let Some(byte) = line.get(at).copied() {
                at += 1;
                if in_quotes {
                    let next = line.get(at).copied();
                    let escaped = next
                        .filter(|next| byte == options.escape && (*next == options.escape || *next == options.quote));
                    if let Some(next) = escaped {
                        self.bytes.push(next);
                        at += 1;
                    } else if byte == options.quote {
                        in_quotes = false;
                    } else {
                        self.bytes.push(byte);
                    }
                } else if byte == options.delimiter {
                    more = true;
                    break;
                } else if byte == options.quote {
                    (in_quotes, was_quoted) = (true, true);
                } else {
                    self.bytes.push(byte);
                }
            }
            if in_quotes {
                return Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
            }
            let is_null = !was_quoted && self.bytes.get(start..) == Some(options.null.as_bytes());
            self.push(start, is_null);
            if !more {
                return Ok(());
            }
        }
    }
}
