//! Rows as COPY's data: text, CSV and binary, byte for byte as PostgreSQL writes them; a message for each row.
//!
//! Invariant: a row is written whole or not at all.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use bytes::BufMut;
use lakeward_engine::{CopyHeader, CopyOptions, CopyStyle};

use super::binary::SIGNATURE;
use crate::error::PgError;
use crate::rows::{Column, RowEncoder, Zone, put_value, set_length};
use crate::types::Formats;

/// See the module.
pub(crate) struct CopyEncoder {
    options: CopyOptions,
    rows: RowEncoder,
    /// Columns whose values are quoted always.
    quoted: Vec<bool>,
    /// What stands before the first row, in its message.
    head: Vec<u8>,
}

impl CopyEncoder {
    /// An encoder for rows of `schema`.
    pub(crate) fn new(options: &CopyOptions, schema: &Schema, zone: Zone) -> Result<Self, PgError> {
        let is_binary = options.style == CopyStyle::Binary;
        let formats = Formats::new(&[i16::from(is_binary)], schema.fields().len(), "result")?;
        let quoted = schema.fields().iter().map(|field| options.force_quote.holds(field.name())).collect();
        let rows = RowEncoder::new(formats, zone).described(schema);
        Ok(Self { options: options.clone(), rows, quoted, head: Vec::new() })
    }

    /// What stands before all rows.
    pub(crate) fn begin(&mut self, schema: &Schema, out: &mut Vec<u8>) -> Result<(), PgError> {
        if self.options.style == CopyStyle::Binary {
            self.head.extend_from_slice(SIGNATURE);
            self.head.put_i64(0);
            return Ok(());
        }
        if self.options.header == CopyHeader::Off {
            return Ok(());
        }
        let single = schema.fields().len() == 1;
        in_message(out, |out| {
            for (index, field) in schema.fields().iter().enumerate() {
                self.put_delimiter(index, out);
                let start = out.len();
                out.extend_from_slice(field.name().as_bytes());
                self.finish_field(out, start, false, single);
            }
            out.put_u8(b'\n');
            Ok(())
        })
    }

    /// What stands after all rows.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), PgError> {
        if self.options.style != CopyStyle::Binary {
            return Ok(());
        }
        if !self.head.is_empty() {
            let head = std::mem::take(&mut self.head);
            return in_message(out, |out| {
                out.extend_from_slice(&head);
                out.put_i16(-1);
                Ok(())
            });
        }
        in_message(out, |out| {
            out.put_i16(-1);
            Ok(())
        })
    }

    /// As [`RowEncoder::encode`].
    pub(crate) fn encode(
        &mut self,
        batch: &RecordBatch,
        first: usize,
        end: usize,
        enough_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, PgError> {
        let columns = self.rows.columns(batch)?;
        let mut row = first;
        while row < end && out.len() < enough_bytes {
            let head = std::mem::take(&mut self.head);
            in_message(out, |out| {
                out.extend_from_slice(&head);
                if self.options.style == CopyStyle::Binary {
                    put_binary(&columns, row, out)
                } else {
                    self.put_line(&columns, row, out)
                }
            })?;
            row += 1;
        }
        Ok(row)
    }

    fn put_line(&self, columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), PgError> {
        for (index, column) in columns.iter().enumerate() {
            self.put_delimiter(index, out);
            let start = out.len();
            if column.put(row, out)? {
                let force = self.quoted.get(index).copied().unwrap_or(false);
                self.finish_field(out, start, force, columns.len() == 1);
            } else {
                out.extend_from_slice(self.options.null.as_bytes());
            }
        }
        out.put_u8(b'\n');
        Ok(())
    }

    fn put_delimiter(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.put_u8(self.options.delimiter);
        }
    }

    /// Brings the field that begins at `start` into its form.
    fn finish_field(&self, out: &mut Vec<u8>, start: usize, force: bool, single: bool) {
        if self.options.style == CopyStyle::Csv {
            quote(out, start, &self.options, force, single);
        } else {
            escape(out, start, self.options.delimiter);
        }
    }
}

/// A message of COPY's data around what `write` writes.
fn in_message(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), PgError>) -> Result<(), PgError> {
    let begin = out.len();
    out.put_u8(b'd');
    let start = out.len();
    out.put_i32(0);
    write(out).and_then(|()| set_length(out, start, 0)).inspect_err(|_| out.truncate(begin))
}

fn put_binary(columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), PgError> {
    out.put_i16(i16::try_from(columns.len()).map_err(|_| PgError::LimitExceeded("too many columns"))?);
    columns.iter().try_for_each(|column| put_value(column, row, out))
}

/// `CopyAttributeOutText`.
fn escape(out: &mut Vec<u8>, start: usize, delimiter: u8) {
    let special = |byte: u8| byte == delimiter || matches!(byte, b'\\' | 8..=13);
    let written = out.get(start..).unwrap_or_default();
    if !written.iter().any(|byte| special(*byte)) {
        return;
    }
    let field = written.to_vec();
    out.truncate(start);
    for byte in field {
        let letter = match byte {
            8 => b'b',
            9 => b't',
            10 => b'n',
            11 => b'v',
            12 => b'f',
            13 => b'r',
            other => other,
        };
        if special(byte) {
            out.put_u8(b'\\');
        }
        out.put_u8(letter);
    }
}

/// `CopyAttributeOutCSV`.
fn quote(out: &mut Vec<u8>, start: usize, options: &CopyOptions, force: bool, single: bool) {
    let field = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r');
    let needed = force || field == options.null.as_bytes() || (single && field == b"\\.") || field.iter().any(special);
    if !needed {
        return;
    }
    let field = field.to_vec();
    out.truncate(start);
    out.put_u8(options.quote);
    for byte in field {
        if byte == options.quote || byte == options.escape {
            out.put_u8(options.escape);
        }
        out.put_u8(byte);
    }
    out.put_u8(options.quote);
}
