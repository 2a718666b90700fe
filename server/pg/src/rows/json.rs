//! Structs and maps, which PostgreSQL clients see as `jsonb`, in its text form.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use bytes::BufMut;

use super::temporal::Zone;
use super::{MISMATCH, Writer, each_text, list, text, through_keys};
use crate::error::PgError;

/// The JSON writer of an array; `None` where a type in it has no form. NULLs are the caller's.
pub(super) fn writer(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    match array.data_type() {
        DataType::Struct(_) => object(array, zone),
        DataType::Map(..) => map(array, zone),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => sequence(array, zone),
        DataType::Dictionary(..) => {
            let values = array.as_any_dictionary_opt().ok_or(MISMATCH)?.values();
            let Some(values) = writer(values.as_ref(), zone)? else { return Ok(None) };
            through_keys(array, values).map(Some)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            each_text(array, |text, out| put_string(out, text)).map(Some)
        }
        DataType::Boolean => {
            let values = array.as_boolean_opt().ok_or(MISMATCH)?;
            Ok(Some(Box::new(move |row, out| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
                Ok(())
            })))
        }
        other => {
            let bare = other.is_numeric();
            let write = match other {
                DataType::Timestamp(..) => Some(text::scalar(array, zone, b'T', true)?),
                _ => text::writer(array, zone)?,
            };
            Ok(write.map(|write| in_quotes(write, bare)))
        }
    }
}

/// A number stands bare, unless it is none (`NaN`, `Infinity`); all else is a string. What is written by these types
/// needs no escape but the backslash of `bytea`.
fn in_quotes(write: Writer<'_>, bare: bool) -> Writer<'_> {
    Box::new(move |row, out| {
        let start = out.len();
        write(row, out)?;
        let value = out.get(start..).unwrap_or_default();
        if bare && value.iter().any(u8::is_ascii_digit) {
            return Ok(());
        }
        let value = String::from_utf8_lossy(value).into_owned();
        out.truncate(start);
        put_string(out, &value);
        Ok(())
    })
}

/// An item that may be NULL.
struct Item<'a> {
    nulls: Option<arrow::buffer::NullBuffer>,
    write: Writer<'a>,
}

impl<'a> Item<'a> {
    fn of(array: &'a dyn Array, zone: Zone) -> Result<Option<Self>, PgError> {
        Ok(writer(array, zone)?.map(|write| Self { nulls: array.logical_nulls(), write }))
    }

    fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), PgError> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        (self.write)(row, out)
    }
}

fn object(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let object = array.as_struct_opt().ok_or(MISMATCH)?;
    let mut members = Vec::with_capacity(object.num_columns());
    for (field, column) in object.fields().iter().zip(object.columns()) {
        let Some(item) = Item::of(column.as_ref(), zone)? else { return Ok(None) };
        members.push((field.name().as_str(), item));
    }
    Ok(Some(Box::new(move |row, out| {
        out.put_u8(b'{');
        for (index, (name, item)) in members.iter().enumerate() {
            put_comma(out, index);
            put_string(out, name);
            out.extend_from_slice(b": ");
            item.put(row, out)?;
        }
        out.put_u8(b'}');
        Ok(())
    })))
}

fn map(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let map = array.as_map_opt().ok_or(MISMATCH)?;
    let Some(keys) = text::writer(map.keys().as_ref(), zone)? else { return Ok(None) };
    let Some(values) = Item::of(map.values().as_ref(), zone)? else { return Ok(None) };
    let offsets = map.value_offsets();
    Ok(Some(Box::new(move |row, out| {
        let at = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
        out.put_u8(b'{');
        for (index, entry) in (at(row)..at(row + 1)).enumerate() {
            put_comma(out, index);
            let start = out.len();
            keys(entry, out)?;
            let key = String::from_utf8_lossy(out.get(start..).unwrap_or_default()).into_owned();
            out.truncate(start);
            put_string(out, &key);
            out.extend_from_slice(b": ");
            values.put(entry, out)?;
        }
        out.put_u8(b'}');
        Ok(())
    })))
}

fn sequence(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let (values, ranges) = list::elements(array)?;
    let Some(item) = Item::of(values.as_ref(), zone)? else { return Ok(None) };
    Ok(Some(Box::new(move |row, out| {
        out.put_u8(b'[');
        for (index, element) in ranges(row).enumerate() {
            put_comma(out, index);
            item.put(element, out)?;
        }
        out.put_u8(b']');
        Ok(())
    })))
}

fn put_comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.extend_from_slice(b", ");
    }
}

/// A JSON string (RFC 8259, 7).
fn put_string(out: &mut Vec<u8>, text: &str) {
    out.put_u8(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.put_u8(b'0' + (byte >> 4));
                out.put_u8(if byte & 15 < 10 { b'0' + (byte & 15) } else { b'a' + (byte & 15) - 10 });
            }
            _ => out.put_u8(byte),
        }
    }
    out.put_u8(b'"');
}
