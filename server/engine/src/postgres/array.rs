//! Arrays, where DataFusion's functions answer otherwise than PostgreSQL's.
//!
//! Invariant: an array counts from 1; outside of it there is NULL, never an element from the end.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::call::{Call, Fault, Function, null};
use super::input::list_of;
use super::value::{elements, utf8, whole};

/// `a[i]` in the syntax tree.
pub(super) const ELEMENT: &str = "lakeward_element";
/// `a[i:j]` in the syntax tree.
pub(super) const SLICE: &str = "lakeward_slice";
/// `x = ANY (array)` in the syntax tree.
pub(crate) const EQUALS_ANY: &str = "lakeward_equals_any";
/// A subquery's rows as one value.
pub(super) const ONLY: &str = "lakeward_only";

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: ELEMENT, typing: element_type, body: element, strict: true },
    Function { name: SLICE, typing: same, body: slice, strict: false },
    Function { name: ONLY, typing: element_type, body: only, strict: true },
    Function {
        name: EQUALS_ANY,
        typing: |types, _| (types.len() == 2).then_some(DataType::Boolean),
        body: equals_any,
        strict: true,
    },
    Function {
        name: "array_length",
        typing: |types, _| (types.len() == 2).then_some(DataType::Int32),
        body: length,
        strict: true,
    },
    Function {
        name: "array_upper",
        typing: |types, _| (types.len() == 2).then_some(DataType::Int32),
        body: length,
        strict: true,
    },
    Function {
        name: "array_lower",
        typing: |types, _| (types.len() == 2).then_some(DataType::Int32),
        body: lower,
        strict: true,
    },
    Function {
        name: "array_dims",
        typing: |types, _| (types.len() == 1).then_some(DataType::Utf8),
        body: dims,
        strict: true,
    },
    Function { name: "trim_array", typing: same, body: trim, strict: true },
];

fn item(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type().clone())
        }
        _ => None,
    }
}

fn element_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    types.first().and_then(item)
}

fn same(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    types
        .first()
        .and_then(item)
        .map(|item| DataType::List(std::sync::Arc::new(arrow::datatypes::Field::new("item", item, true))))
}

fn of(arguments: &[ScalarValue]) -> Result<Vec<ScalarValue>, Fault> {
    arguments.first().and_then(elements).ok_or_else(|| Fault::unsupported("this array"))
}

fn element(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let place = arguments.get(1).and_then(whole).and_then(|place| usize::try_from(place).ok()).unwrap_or(0);
    match place.checked_sub(1).and_then(|place| of(arguments).ok()?.into_iter().nth(place)) {
        Some(element) => Ok(element),
        None => null(call.returns),
    }
}

fn slice(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [array, from, to] = arguments else { return Err(Fault::unsupported("this slice")) };
    if array.is_null() {
        return null(call.returns);
    }
    let elements = of(arguments)?;
    let from = whole(from).unwrap_or(1).max(1);
    let to = whole(to).unwrap_or(i64::MAX);
    let skip = usize::try_from(from - 1).unwrap_or(usize::MAX);
    let take = usize::try_from(to.saturating_sub(from).saturating_add(1)).unwrap_or(0);
    let item = item(call.returns).ok_or_else(|| Fault::unsupported("this slice"))?;
    Ok(list_of(elements.into_iter().skip(skip).take(take).collect(), &item))
}

fn only(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let mut elements = of(arguments)?.into_iter();
    match (elements.next(), elements.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => null(call.returns),
        _ => {
            let message = "more than one row returned by a subquery used as an expression";
            Err(Fault::new(lakeward_base::SqlState::CARDINALITY_VIOLATION, message))
        }
    }
}

/// How many elements a dimension has; NULL where there is no such dimension.
fn size(arguments: &[ScalarValue]) -> Result<Option<usize>, Fault> {
    let mut level = of(arguments)?;
    let dimension = arguments.get(1).and_then(whole).unwrap_or(1);
    for _ in 1..dimension {
        let Some(inner) = level.first().and_then(elements) else { return Ok(None) };
        level = inner;
    }
    Ok((dimension > 0 && !level.is_empty()).then_some(level.len()))
}

fn length(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    Ok(ScalarValue::Int32(size(arguments)?.and_then(|size| i32::try_from(size).ok())))
}

fn lower(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    Ok(ScalarValue::Int32(size(arguments)?.map(|_| 1)))
}

fn dims(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let mut level = of(arguments)?;
    let mut shown = String::new();
    while !level.is_empty() {
        shown.push_str(&format!("[1:{}]", level.len()));
        level = level.first().and_then(elements).unwrap_or_default();
    }
    Ok(if shown.is_empty() { ScalarValue::Utf8(None) } else { utf8(shown) })
}

fn trim(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let mut elements = of(arguments)?;
    let cut = arguments.get(1).and_then(whole).and_then(|count| usize::try_from(count).ok());
    let keep = cut.and_then(|cut| elements.len().checked_sub(cut)).ok_or_else(|| {
        Fault::new(lakeward_base::SqlState::DATA_EXCEPTION, "number of elements to trim is out of range")
    })?;
    elements.truncate(keep);
    let item = item(call.returns).ok_or_else(|| Fault::unsupported("this array"))?;
    Ok(list_of(elements, &item))
}

/// NULL where nothing is equal and an element is NULL.
fn equals_any(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [wanted, array] = arguments else { return Err(Fault::unsupported("this comparison")) };
    let array = match super::value::text(array) {
        Some(text) => {
            let item = arrow::datatypes::Field::new("item", wanted.data_type(), true);
            super::input::parse(text, &DataType::List(std::sync::Arc::new(item)), call.zone)?
        }
        None => array.clone(),
    };
    let elements = elements(&array).ok_or_else(|| {
        Fault::new(lakeward_base::SqlState::WRONG_OBJECT_TYPE, "op ANY/ALL (array) requires array on right side")
    })?;
    let is_equal = |element: &ScalarValue| match (super::value::decimal(wanted), super::value::decimal(element)) {
        (Some((left, left_scale)), Some((right, right_scale))) => {
            let scale = left_scale.max(right_scale);
            super::math::rescale(left, left_scale, scale) == super::math::rescale(right, right_scale, scale)
        }
        _ => match (super::value::float(wanted), super::value::float(element)) {
            (Some(left), Some(right)) => left.total_cmp(&right).is_eq() || left == right,
            _ => wanted == element,
        },
    };
    if elements.iter().any(|element| !element.is_null() && is_equal(element)) {
        return Ok(ScalarValue::Boolean(Some(true)));
    }
    Ok(ScalarValue::Boolean((!elements.iter().any(ScalarValue::is_null)).then_some(false)))
}
