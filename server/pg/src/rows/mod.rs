//! Rows: Arrow batches to DataRow messages, written straight into the send buffer.
//!
//! One writer per column is chosen for each piece of a batch; no memory is taken per row or value, nested values
//! apart. Invariant: a row is written whole or not at all; the error of a row never holds a value of it.

mod binary;
mod json;
mod list;
mod number;
mod numeric;
mod temporal;
mod text;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Schema};
use bytes::BufMut;
use lakeward_engine::{CatalogType, catalog_type};

use crate::error::PgError;
use crate::types::Formats;
pub(crate) use temporal::Zone;

/// PostgreSQL's limit on one message, and so on one row.
const MAX_ROW_BYTES: usize = 0x3fff_ffff;

/// Writes the value of a row, which is not NULL, without its length.
type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), PgError> + 'a>;

/// An array is not of the type that it says it is.
const MISMATCH: PgError = PgError::Internal("a column's data does not match its type");

/// How a result's rows are encoded.
#[derive(Clone)]
pub(crate) struct RowEncoder {
    formats: Formats,
    zone: Zone,
    /// The columns' types of the catalog, which have forms of their own.
    catalog_types: Vec<Option<CatalogType>>,
}

/// One column of a batch, ready to be written.
pub(crate) struct Column<'a> {
    nulls: Option<NullBuffer>,
    write: Writer<'a>,
}

impl Column<'_> {
    /// Writes the value of a row; false where it is NULL, and nothing is written.
    pub(crate) fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<bool, PgError> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        (self.write)(row, out).map(|()| true)
    }
}

impl RowEncoder {
    /// An encoder for these formats, showing `timestamptz` in `zone`.
    pub(crate) fn new(formats: Formats, zone: Zone) -> Self {
        Self { formats, zone, catalog_types: Vec::new() }
    }

    /// The same for rows that were described by `schema`.
    pub(crate) fn described(self, schema: &Schema) -> Self {
        Self { catalog_types: schema.fields().iter().map(|field| catalog_type(field)).collect(), ..self }
    }

    /// Encodes rows from `first` to before `end` until the buffer holds `enough_bytes`; answers the first row that is
    /// not encoded.
    pub(crate) fn encode(
        &self,
        batch: &RecordBatch,
        first: usize,
        end: usize,
        enough_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, PgError> {
        let columns = self.columns(batch)?;
        let count = i16::try_from(columns.len()).map_err(|_| PgError::LimitExceeded("too many columns"))?;
        let mut row = first;
        while row < end && out.len() < enough_bytes {
            let start = out.len();
            write_row(&columns, count, row, out).inspect_err(|_| out.truncate(start))?;
            row += 1;
        }
        Ok(row)
    }

    /// The columns of a batch, each with its writer.
    pub(crate) fn columns<'a>(&self, batch: &'a RecordBatch) -> Result<Vec<Column<'a>>, PgError> {
        let schema = batch.schema_ref();
        let column = |(index, array): (usize, &'a arrow::array::ArrayRef)| {
            let name = || schema.fields().get(index).map(|field| field.name().clone()).unwrap_or_default();
            let catalog_type = self.catalog_types.get(index).copied().flatten();
            let write = match (catalog_type, self.formats.is_binary(index)) {
                (Some(CatalogType::Oid | CatalogType::Function), true) => binary::oid(array.as_ref())?,
                (Some(CatalogType::Function), false) => text::function(array.as_ref())?,
                (Some(CatalogType::Char), true) => binary::char(array.as_ref())?,
                (Some(CatalogType::Jsonb), true) => binary::jsonb(array.as_ref())?,
                (Some(CatalogType::Uuid), true) => binary::uuid(array.as_ref())?,
                (_, true) => binary::writer(array.as_ref(), self.zone)?.ok_or_else(|| PgError::NoBinaryForm(name()))?,
                (_, false) => {
                    text::writer(array.as_ref(), self.zone)?.ok_or_else(|| PgError::UnsupportedColumn(name()))?
                }
            };
            let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
            Ok(Column { nulls, write })
        };
        batch.columns().iter().enumerate().map(column).collect()
    }
}

fn write_row(columns: &[Column<'_>], count: i16, row: usize, out: &mut Vec<u8>) -> Result<(), PgError> {
    out.put_u8(b'D');
    let start = out.len();
    out.put_i32(0);
    out.put_i16(count);
    for column in columns {
        put_value(column, row, out)?;
    }
    set_length(out, start, 0)
}

/// A length and the value, or −1 for NULL.
pub(crate) fn put_value(column: &Column<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), PgError> {
    let start = out.len();
    out.put_i32(-1);
    if column.put(row, out)? { set_length(out, start, 4) } else { Ok(()) }
}

/// Fills in the length at `start`; it counts itself but for `less` bytes.
pub(crate) fn set_length(out: &mut [u8], start: usize, less: usize) -> Result<(), PgError> {
    let length = out.len().saturating_sub(start + less);
    if length > MAX_ROW_BYTES {
        return Err(PgError::LimitExceeded("a row is longer than the 1 GB that one message can hold"));
    }
    let length = u32::try_from(length).unwrap_or(0).to_be_bytes();
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length);
    }
    Ok(())
}

/// A writer over a primitive array.
fn each<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut Vec<u8>) -> Result<(), PgError> + 'a,
) -> Result<Writer<'a>, PgError> {
    let values = array.as_primitive_opt::<T>().ok_or(MISMATCH)?.values();
    Ok(Box::new(move |row, out| write(values.get(row).copied().ok_or(MISMATCH)?, out)))
}

/// A writer over text, whichever its layout.
fn each_text<'a>(array: &'a dyn Array, write: impl Fn(&str, &mut Vec<u8>) + 'a) -> Result<Writer<'a>, PgError> {
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string_opt::<i32>().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
        DataType::LargeUtf8 => {
            let values = array.as_string_opt::<i64>().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
        _ => {
            let values = array.as_string_view_opt().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
    })
}

/// A writer over bytes, whichever their layout.
fn each_bytes<'a>(array: &'a dyn Array, write: impl Fn(&[u8], &mut Vec<u8>) + 'a) -> Result<Writer<'a>, PgError> {
    Ok(match array.data_type() {
        DataType::Binary => {
            let values = array.as_binary_opt::<i32>().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
        DataType::LargeBinary => {
            let values = array.as_binary_opt::<i64>().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary_opt().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
        _ => {
            let values = array.as_binary_view_opt().ok_or(MISMATCH)?;
            Box::new(move |row, out| {
                write(values.value(row), out);
                Ok(())
            })
        }
    })
}

/// A writer over the values that a dictionary's keys point at.
fn through_keys<'a>(array: &'a dyn Array, values: Writer<'a>) -> Result<Writer<'a>, PgError> {
    let dictionary = array.as_any_dictionary_opt().ok_or(MISMATCH)?;
    let keys = dictionary.normalized_keys();
    Ok(Box::new(move |row, out| values(keys.get(row).copied().ok_or(MISMATCH)?, out)))
}

#[cfg(test)]
mod tests;
