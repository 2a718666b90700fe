//! The values of a call's arguments: columns, counts and texts that are usually constants.
//!
//! Invariant: a NULL in any argument makes the row's result NULL; a call over constants alone gives a constant.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use datafusion_common::{Result, ScalarValue, internal_datafusion_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};

use crate::text;

/// Runs `compute` over the first argument as a column, and folds the result where every argument is a constant.
pub(crate) fn evaluate(
    arguments: &ScalarFunctionArgs,
    compute: impl FnOnce(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { arguments.number_rows };
    let column = nth(arguments, 0)?.to_array(rows)?;
    let result = compute(&column)?;
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    Ok(ColumnarValue::Array(result))
}

/// A count argument.
pub(crate) enum Count {
    /// The same for every row.
    Same(usize),
    /// One for each row.
    PerRow(Int64Array),
    /// NULL for every row.
    Null,
}

impl Count {
    /// Reads argument number `position`.
    pub(crate) fn read(arguments: &ScalarFunctionArgs, position: usize) -> Result<Self> {
        Ok(match nth(arguments, position)? {
            ColumnarValue::Scalar(ScalarValue::Int64(Some(count))) => Self::Same(at_least_zero(*count)),
            ColumnarValue::Scalar(value) if value.is_null() => Self::Null,
            ColumnarValue::Array(column) if column.as_primitive_opt::<Int64Type>().is_some() => {
                Self::PerRow(column.as_primitive::<Int64Type>().clone())
            }
            _ => return Err(internal_datafusion_err!("a count argument was not coerced")),
        })
    }

    /// The count of one row; `None` is NULL.
    pub(crate) fn at(&self, row: usize) -> Option<usize> {
        match self {
            Self::Same(count) => Some(*count),
            Self::PerRow(column) if row < column.len() && column.is_valid(row) => {
                Some(at_least_zero(column.value(row)))
            }
            Self::PerRow(_) | Self::Null => None,
        }
    }
}

/// A text argument other than the value to mask.
pub(crate) enum Text {
    /// The same for every row; `None` is NULL.
    Same(Option<String>),
    /// One for each row.
    PerRow(ArrayRef),
}

impl Text {
    /// Reads argument number `position`.
    pub(crate) fn read(arguments: &ScalarFunctionArgs, position: usize) -> Result<Self> {
        Ok(match nth(arguments, position)? {
            ColumnarValue::Scalar(value) => match value.try_as_str() {
                Some(text) => Self::Same(text.map(str::to_owned)),
                None => return Err(internal_datafusion_err!("a text argument was not coerced")),
            },
            ColumnarValue::Array(column) => Self::PerRow(column.clone()),
        })
    }

    /// The text of one row; `None` is NULL.
    pub(crate) fn at(&self, row: usize) -> Option<&str> {
        match self {
            Self::Same(text) => text.as_deref(),
            Self::PerRow(column) => text::value(column, row),
        }
    }
}

/// Argument number `position`.
fn nth(arguments: &ScalarFunctionArgs, position: usize) -> Result<&ColumnarValue> {
    arguments.args.get(position).ok_or_else(|| internal_datafusion_err!("an argument is missing"))
}

/// A negative count shows nothing.
fn at_least_zero(count: i64) -> usize {
    usize::try_from(count.max(0)).unwrap_or(usize::MAX)
}
