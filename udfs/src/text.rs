//! Reading and rewriting text columns of Arrow's three text layouts, each into its own layout.
//!
//! Invariant: a NULL slot of a result holds no bytes, so that nothing raw can ride along underneath it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait, StringViewArray, StringViewBuilder};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion_common::{Result, internal_err};

/// What a rewrite made of one row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// The text that was appended to the output.
    Value,
    /// NULL; nothing was appended.
    Null,
}

/// Rewrites each row that is not NULL: `write` appends the new text of a row to the string it is given.
pub(crate) fn rewrite(
    column: &ArrayRef,
    write: impl FnMut(usize, &str, &mut String) -> Result<Wrote>,
) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Utf8 => Arc::new(rewrite_offsets(column.as_string::<i32>(), write)?),
        DataType::LargeUtf8 => Arc::new(rewrite_offsets(column.as_string::<i64>(), write)?),
        DataType::Utf8View => Arc::new(rewrite_views(column.as_string_view(), write)?),
        other => return internal_err!("a text argument has the type {other}"),
    })
}

/// The text of one row; `None` is NULL, and what is not text.
pub(crate) fn value(column: &ArrayRef, row: usize) -> Option<&str> {
    if row >= column.len() || column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        _ => None,
    }
}

fn rewrite_offsets<O: OffsetSizeTrait>(
    column: &GenericStringArray<O>,
    mut write: impl FnMut(usize, &str, &mut String) -> Result<Wrote>,
) -> Result<GenericStringArray<O>> {
    let mut output = String::with_capacity(column.values().len().min(column.len().saturating_mul(64)));
    let mut offsets = Vec::with_capacity(column.len() + 1);
    let mut valid = Vec::with_capacity(column.len());
    offsets.push(O::zero());
    for (row, text) in column.iter().enumerate() {
        let wrote = match text {
            Some(text) => write(row, text, &mut output)?,
            None => Wrote::Null,
        };
        valid.push(wrote == Wrote::Value);
        let Some(end) = O::from_usize(output.len()) else {
            return Err(ArrowError::OffsetOverflowError(output.len()).into());
        };
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(GenericStringArray::try_new(offsets, Buffer::from(output.into_bytes()), nulls(valid))?)
}

fn rewrite_views(
    column: &StringViewArray,
    mut write: impl FnMut(usize, &str, &mut String) -> Result<Wrote>,
) -> Result<StringViewArray> {
    let mut output = StringViewBuilder::with_capacity(column.len());
    let mut scratch = String::new();
    for (row, text) in column.iter().enumerate() {
        scratch.clear();
        let wrote = match text {
            Some(text) => write(row, text, &mut scratch)?,
            None => Wrote::Null,
        };
        match wrote {
            Wrote::Value => output.try_append_value(&scratch)?,
            Wrote::Null => output.append_null(),
        }
    }
    Ok(output.finish())
}

fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    let nulls = NullBuffer::from(valid);
    (nulls.null_count() > 0).then_some(nulls)
}
