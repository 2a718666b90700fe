//! Lists as PostgreSQL arrays: `{1,2,NULL,"a b"}`, and their binary form.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use bytes::BufMut;

use super::{Column, MISMATCH, Writer, binary as binary_value, put_value, temporal::Zone, text as text_value};
use crate::error::PgError;
use crate::types::of_arrow;

/// Where the elements of a row's list stand.
type Ranges<'a> = Box<dyn Fn(usize) -> std::ops::Range<usize> + 'a>;

fn position(offset: impl TryInto<usize>) -> usize {
    offset.try_into().unwrap_or(0)
}

/// The elements of all lists, and which of them belong to which row.
pub(super) fn elements(array: &dyn Array) -> Result<(&ArrayRef, Ranges<'_>), PgError> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list_opt::<i32>().ok_or(MISMATCH)?;
            let offsets = list.value_offsets();
            Ok((list.values(), Box::new(move |row| between(offsets, row))))
        }
        DataType::LargeList(_) => {
            let list = array.as_list_opt::<i64>().ok_or(MISMATCH)?;
            let offsets = list.value_offsets();
            Ok((list.values(), Box::new(move |row| between(offsets, row))))
        }
        DataType::FixedSizeList(..) => {
            let list = array.as_fixed_size_list_opt().ok_or(MISMATCH)?;
            let length = position(list.value_length());
            let first = position(list.value_offset(0));
            Ok((list.values(), Box::new(move |row| first + row * length..first + (row + 1) * length)))
        }
        DataType::ListView(_) => {
            let list = array.as_list_view_opt::<i32>().ok_or(MISMATCH)?;
            Ok((list.values(), Box::new(move |row| spanning(list.value_offset(row), list.value_size(row)))))
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view_opt::<i64>().ok_or(MISMATCH)?;
            Ok((list.values(), Box::new(move |row| spanning(list.value_offset(row), list.value_size(row)))))
        }
        _ => Err(MISMATCH),
    }
}

fn between<O: Copy + TryInto<usize>>(offsets: &[O], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).map_or(0, |offset| position(*offset));
    at(row)..at(row + 1)
}

fn spanning<O: TryInto<usize>>(offset: O, size: O) -> std::ops::Range<usize> {
    let start = position(offset);
    start..start + position(size)
}

/// Text.
pub(super) fn text(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let (values, ranges) = elements(array)?;
    let Some(write) = text_value::writer(values.as_ref(), zone)? else { return Ok(None) };
    let nulls = values.logical_nulls();
    let nested = is_list(values.data_type());
    Ok(Some(Box::new(move |row, out| {
        let mut separator = b'{';
        for element in ranges(row) {
            out.put_u8(separator);
            separator = b',';
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(element)) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            let start = out.len();
            write(element, out)?;
            if !nested {
                quote(out, start);
            }
        }
        if separator == b'{' {
            out.put_u8(b'{');
        }
        out.put_u8(b'}');
        Ok(())
    })))
}

fn is_list(data_type: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView};
    matches!(data_type, List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_))
}

/// Puts the element that begins at `start` into quotes where `array_out` would.
fn quote(out: &mut Vec<u8>, start: usize) {
    let element = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| matches!(byte, b'{' | b'}' | b'"' | b'\\' | b',' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && !element.eq_ignore_ascii_case(b"null") && !element.iter().any(special) {
        return;
    }
    let element = element.to_vec();
    out.truncate(start);
    out.put_u8(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}

/// Binary: dimensions, whether there are NULLs, the elements' type, the dimensions' lengths and lower bounds, elements.
pub(super) fn binary(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let mut levels = Vec::new();
    let mut inner = array;
    while is_list(inner.data_type()) {
        let (values, ranges) = elements(inner)?;
        // The outermost list of a row is not NULL: that is the caller's.
        let nulls = if levels.is_empty() { None } else { inner.logical_nulls() };
        levels.push(Level { ranges, nulls });
        inner = values.as_ref();
    }
    let Some(oid) = of_arrow(inner.data_type()) else { return Ok(None) };
    let Some(write) = binary_value::writer(inner, zone)? else { return Ok(None) };
    let column = Column { nulls: inner.logical_nulls(), write };
    Ok(Some(Box::new(move |row, out| {
        let (lengths, places) = shape(&levels, row)?;
        let has_null = column.nulls.as_ref().is_some_and(|nulls| places.iter().any(|place| nulls.is_null(*place)));
        let too_long = |_| PgError::LimitExceeded("an array is too long");
        out.put_i32(i32::try_from(lengths.len()).map_err(too_long)?);
        out.put_i32(i32::from(has_null));
        out.put_u32(oid.oid());
        for length in lengths {
            out.put_i32(i32::try_from(length).map_err(too_long)?);
            out.put_i32(1);
        }
        places.into_iter().try_for_each(|place| put_value(&column, place, out))
    })))
}

/// Lists at one depth.
struct Level<'a> {
    ranges: Ranges<'a>,
    nulls: Option<arrow::buffer::NullBuffer>,
}

/// The lengths of a row's dimensions, none where it is empty, and the places of its elements. PostgreSQL's arrays are
/// rectangular; Arrow's lists need not be.
fn shape(levels: &[Level<'_>], row: usize) -> Result<(Vec<usize>, Vec<usize>), PgError> {
    const RAGGED: PgError = PgError::Unsupported("an array in binary that is not rectangular");
    let (mut lengths, mut places) = (Vec::with_capacity(levels.len()), vec![row]);
    for level in levels {
        if level.nulls.as_ref().is_some_and(|nulls| places.iter().any(|place| nulls.is_null(*place))) {
            return Err(RAGGED);
        }
        let length = places.first().map_or(0, |first| (level.ranges)(*first).len());
        if places.iter().any(|place| (level.ranges)(*place).len() != length) {
            return Err(RAGGED);
        }
        lengths.push(length);
        places = places.into_iter().flat_map(|place| (level.ranges)(place)).collect();
    }
    if places.is_empty() {
        lengths.clear();
    }
    Ok((lengths, places))
}
