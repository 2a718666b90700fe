//! What the functions' declarations have in common: types accepted, and the NULL literal that folds away an argument.
//!
//! Invariant: the type of a function's first argument is the type of its result.

use arrow::datatypes::DataType;
use datafusion_common::{Result, plan_err};

/// The type that a text argument is taken as: kept where it is text, text for an untyped NULL, a dictionary's values.
pub(crate) fn text_argument(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(given.clone()),
        DataType::Null => Ok(DataType::Utf8),
        DataType::Dictionary(_, value) => text_argument(function, value),
        _ => plan_err!("function {function} takes text, not {given}"),
    }
}

/// The type that a count argument is taken as.
pub(crate) fn count_argument(function: &str, given: &DataType) -> Result<DataType> {
    if given.is_integer() || given.is_null() {
        return Ok(DataType::Int64);
    }
    plan_err!("function {function} takes an integer as its count, not {given}")
}

/// The type of the first argument: the result's type.
pub(crate) fn first_type(function: &str, arguments: &[DataType]) -> Result<DataType> {
    match arguments.first() {
        Some(first) => Ok(first.clone()),
        None => plan_err!("function {function} takes at least one argument"),
    }
}

/// Refuses a call with another number of arguments than `expected`.
pub(crate) fn check_arity(function: &str, arguments: &[DataType], expected: usize) -> Result<()> {
    if arguments.len() == expected {
        return Ok(());
    }
    plan_err!("function {function} takes {expected} arguments, not {}", arguments.len())
}
