//! Arrays: text by way of the engine's input function, binary as `array_send` writes it.
//!
//! PostgreSQL's arrays carry their number of dimensions in each value, Arrow's lists in their type: a value must have as
//! many as the type wanted. Invariant: no input takes more memory than a few times its own length.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::ScalarValue;
use datafusion_common::utils::SingleRowListArrayBuilder;
use lakeward_base::SqlState;
use lakeward_engine::Error;
use postgres_types::Type;

use super::{Wanted, natural, read_value};
use crate::message::Reader;

/// PostgreSQL's own limit.
const MAX_DIMENSIONS: usize = 6;

/// The type of the innermost elements, and how many lists are around them.
fn innermost(data_type: &DataType) -> (&DataType, usize) {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let (element, depth) = innermost(item.data_type());
            (element, depth + 1)
        }
        other => (other, 0),
    }
}

/// The element type wanted: the target's own, else the one that the wire type has.
fn element_type(wanted: &Wanted<'_>, element: &Type) -> Result<(DataType, usize), Error> {
    match innermost(wanted.target) {
        (_, 0) => Err(wanted.unsupported()),
        (DataType::Null, depth) => Ok((natural(element).ok_or_else(|| wanted.unsupported())?, depth)),
        (target, depth) => Ok((target.clone(), depth)),
    }
}

fn listed(element: DataType, depth: usize) -> DataType {
    (0..depth).fold(element, |inner, _| DataType::List(Arc::new(Field::new("item", inner, true))))
}

fn wrong_dimensions() -> Error {
    Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        "an array of another number of dimensions than its type is not supported",
    )
    .with_hint("Cast the parameter, as in $1::int[][].")
}

/// An array in text, read as one of the elements' own type.
pub(super) fn read_text(wanted: &Wanted<'_>, element: &Type, text: &str) -> Result<ScalarValue, Error> {
    let (target, depth) = element_type(wanted, element)?;
    let written = dimensions(text);
    if written > depth || (written < depth && text.trim() != "{}") {
        return Err(wrong_dimensions());
    }
    lakeward_engine::read_text(text, &listed(target, depth), wanted.zone.tz())
}

/// How many braces an array in text begins with.
fn dimensions(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).take_while(|character| *character == '{').count()
}

/// An array in binary: dimensions, flags, the elements' type, lengths and lower bounds, elements.
pub(super) fn read_binary(wanted: &Wanted<'_>, element: &Type, bytes: &[u8]) -> Result<ScalarValue, Error> {
    let mut reader = Reader(bytes::Bytes::copy_from_slice(bytes));
    let invalid = |_| wanted.invalid_binary();
    let dimensions = usize::try_from(reader.i32().map_err(invalid)?).map_err(|_| wanted.invalid_binary())?;
    let flags = reader.i32().map_err(invalid)?;
    let oid = reader.u32().map_err(invalid)?;
    if dimensions > MAX_DIMENSIONS || !(0..=1).contains(&flags) {
        return Err(wanted.invalid_binary());
    }
    let sent = Type::from_oid(oid).filter(|sent| sent == element);
    let sent = sent.ok_or_else(|| Error::new(SqlState::DATATYPE_MISMATCH, "wrong element type"))?;
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        lengths.push(usize::try_from(reader.i32().map_err(invalid)?).map_err(|_| wanted.invalid_binary())?);
        reader.i32().map_err(invalid)?;
    }
    let (target, depth) = element_type(wanted, element)?;
    let of_element = Wanted { kind: &sent, target: &target, zone: wanted.zone };
    let empty = lengths.is_empty() || lengths.contains(&0);
    if empty {
        reader.end().map_err(invalid)?;
        let item = inner_of(&listed(target.clone(), depth));
        return Ok(list_scalar(new_empty_array(item.data_type())));
    }
    if lengths.len() != depth {
        return Err(wrong_dimensions());
    }
    // Each element has a length of four bytes at least.
    let count = lengths.iter().try_fold(1_usize, |count, length| count.checked_mul(*length));
    let count = count.filter(|count| *count <= reader.0.len() / 4).ok_or_else(|| wanted.invalid_binary())?;
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(match reader.value().map_err(invalid)? {
            None => ScalarValue::try_new_null(&target).map_err(|_| wanted.unsupported())?,
            Some(value) => read_value(&of_element, &value, true)?,
        });
    }
    reader.end().map_err(invalid)?;
    nested(elements, &lengths).ok_or_else(|| wanted.unsupported())
}

fn inner_of(list: &DataType) -> FieldRef {
    match list {
        DataType::List(item) => Arc::clone(item),
        other => Arc::new(Field::new("item", other.clone(), true)),
    }
}

fn list_scalar(elements: ArrayRef) -> ScalarValue {
    SingleRowListArrayBuilder::new(elements).with_nullable(true).build_list_scalar()
}

/// Elements as lists of lists, by the lengths of the dimensions.
fn nested(mut values: Vec<ScalarValue>, lengths: &[usize]) -> Option<ScalarValue> {
    let (_, inner) = lengths.split_first()?;
    for length in inner.iter().rev() {
        let lists = values.chunks(*length).map(|chunk| ScalarValue::iter_to_array(chunk.iter().cloned()).ok());
        values = lists.map(|list| list.map(list_scalar)).collect::<Option<_>>()?;
    }
    ScalarValue::iter_to_array(values).ok().map(list_scalar)
}
