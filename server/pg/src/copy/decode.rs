//! COPY's data to batches, as it arrives.
//!
//! Invariant: an error says in which line, and for a value in which column, and nothing of what stands there.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lakeward_base::{Coded, SqlState};
use lakeward_engine::{CopyHeader, CopyOptions, CopyStyle, Error};

use super::binary::Binary;
use super::columns::Columns;
use super::fields::Fields;
use super::lines::Lines;
use crate::error::PgError;
use crate::rows::Zone;

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// A batch of long rows has fewer.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

enum Source {
    Lines(Box<Lines>, Fields),
    Binary(Box<Binary>),
}

/// What is wrong, and with which column where it is one's.
type Misread = Box<(Error, Option<usize>)>;

/// See the module.
pub(crate) struct Decoder {
    source: Source,
    options: Arc<CopyOptions>,
    columns: Columns,
    table: String,
    ended: bool,
    /// The header has been read.
    headed: bool,
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

impl Decoder {
    /// A decoder of rows with these columns, into `table`.
    pub(crate) fn new(
        options: &Arc<CopyOptions>,
        schema: &SchemaRef,
        table: &str,
        zone: Zone,
    ) -> Result<Self, PgError> {
        let columns = Columns::new(schema, zone)?;
        let source = match options.style {
            CopyStyle::Binary => Source::Binary(Box::new(Binary::new(columns.width()))),
            CopyStyle::Text | CopyStyle::Csv => Source::Lines(Box::new(Lines::new(options)), Fields::default()),
        };
        let headed = options.header == CopyHeader::Off;
        Ok(Self { source, options: Arc::clone(options), columns, table: table.to_owned(), ended: false, headed })
    }

    /// Takes a piece of the data.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        match &mut self.source {
            Source::Lines(lines, _) => {
                lines.push(piece);
                Ok(())
            }
            Source::Binary(binary) => binary.push(piece),
        }
    }

    /// That was all.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        match &mut self.source {
            Source::Lines(lines, _) => lines.end(),
            Source::Binary(binary) => binary.end(),
        }
    }

    /// The next full batch, and at the end what is left; `None` where there is none yet.
    pub(crate) fn next_batch(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let (rows, bytes) = self.columns.size();
            if rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
                return self.columns.finish().map(Some);
            }
            let more = self.row().map_err(|misread| self.placed(*misread))?;
            if !more {
                return if self.ended && rows > 0 { self.columns.finish().map(Some) } else { Ok(None) };
            }
        }
    }

    /// Reads a row; false where there is none.
    fn row(&mut self) -> Result<bool, Misread> {
        let no_column = |error| Misread::new((error, None));
        match &mut self.source {
            Source::Binary(binary) => {
                let Some(row) = binary.next().map_err(no_column)? else { return Ok(false) };
                for (index, value) in row.iter().enumerate() {
                    self.columns
                        .push_binary(index, value.as_deref())
                        .map_err(|error| Misread::new((error, Some(index))))?;
                }
            }
            Source::Lines(lines, fields) => {
                let Some(line) = lines.next().map_err(no_column)? else { return Ok(false) };
                if !self.headed {
                    self.headed = true;
                    if self.options.header == CopyHeader::Match {
                        fields.split(&line, &self.options).map_err(no_column)?;
                        check_header(fields, &self.columns).map_err(no_column)?;
                    }
                    return Ok(true);
                }
                fields.split(&line, &self.options).map_err(no_column)?;
                if fields.len() > self.columns.width() {
                    return Err(no_column(malformed("extra data after last expected column")));
                }
                for index in 0..self.columns.width() {
                    if index >= fields.len() {
                        let message = format!("missing data for column \"{}\"", self.columns.name(index));
                        return Err(no_column(malformed(message)));
                    }
                    let value = forced(fields.get(index), &self.options, self.columns.name(index));
                    self.columns.push_text(index, value).map_err(|error| Misread::new((error, Some(index))))?;
                }
            }
        }
        self.columns.end_row();
        Ok(true)
    }

    /// The error with its place, as PostgreSQL's context has it.
    fn placed(&self, (error, column): (Error, Option<usize>)) -> Error {
        let number = match &self.source {
            Source::Lines(lines, _) => lines.number,
            Source::Binary(binary) => binary.number,
        };
        let place = format!("COPY {}, line {number}", self.table);
        // PostgreSQL looks at the encoding of whole lines.
        let column = column.filter(|_| error.sqlstate() != SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        error.with_context(match column {
            Some(column) => format!("{place}, column {}", self.columns.name(column)),
            None => place,
        })
    }
}

/// What FORCE_NOT_NULL and FORCE_NULL make of a field.
fn forced<'a>(value: Option<&'a [u8]>, options: &'a CopyOptions, column: &str) -> Option<&'a [u8]> {
    if options.style != CopyStyle::Csv {
        return value;
    }
    match value {
        None if options.force_not_null.holds(column) => Some(options.null.as_bytes()),
        Some(text) if text == options.null.as_bytes() && options.force_null.holds(column) => None,
        value => value,
    }
}

/// `HEADER MATCH`. What stands in the line is not shown: it may be data.
fn check_header(fields: &Fields, columns: &Columns) -> Result<(), Error> {
    if fields.len() != columns.width() {
        let (got, expected) = (fields.len(), columns.width());
        return Err(malformed(format!("wrong number of fields in header line: got {got}, expected {expected}")));
    }
    for index in 0..columns.width() {
        let name = columns.name(index);
        if fields.get(index) != Some(name.as_bytes()) {
            let number = index + 1;
            let message = format!("column name mismatch in header line field {number}: expected \"{name}\"");
            return Err(malformed(message));
        }
    }
    Ok(())
}
