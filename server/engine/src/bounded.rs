//! Functions whose results can be far larger than what they are given: refused before anything is allocated.
//!
//! A function's result is not charged to the memory pool. Invariant: no call of a function of this module allocates
//! more than [`BATCH_BYTES`] for one batch of rows; PostgreSQL's own functions see to it by themselves
//! (`postgres/room.rs`).

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use lakeward_base::SqlState;

use crate::error::Error;

/// PostgreSQL's limit of one value.
const VALUE_BYTES: u64 = (1 << 30) - 5;
/// What the results of one batch of rows may take.
pub(crate) const BATCH_BYTES: u64 = 256 << 20;
/// An array's elements and their places, at least.
const ELEMENT_BYTES: u64 = 16;

/// How large the result of one row is.
type Measure = fn(&Row<'_>) -> Option<u64>;

const MEASURES: &[(&str, Measure)] = &[
    ("repeat", repeated),
    ("lpad", padded),
    ("rpad", padded),
    ("replace", replaced),
    ("array_repeat", repeated_element),
    ("array_resize", resized),
    ("range", series),
    ("generate_series", series),
];

/// `function`, bounded if it needs to be.
pub(crate) fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let is_measured = MEASURES.iter().any(|(name, _)| *name == function.name());
    if is_measured { Arc::new(ScalarUDF::from(Bounded { inner: function })) } else { function }
}

/// A function that measures before it works. It does not pass `simplify` on: that could put the bare function back.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some((_, measure)) = MEASURES.iter().find(|(name, _)| *name == self.inner.name()) {
            check(*measure, &arguments).map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        self.inner.invoke_with_args(arguments)
    }
}

fn check(measure: Measure, arguments: &ScalarFunctionArgs) -> std::result::Result<(), Error> {
    let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { arguments.number_rows };
    let mut total = 0_u64;
    for index in 0..rows {
        let bytes = measure(&Row { arguments: &arguments.args, index }).unwrap_or(0);
        if bytes > VALUE_BYTES {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
        }
        total = total.saturating_add(bytes);
        if total > BATCH_BYTES {
            let message = "the results of a function would take too much memory";
            let hint = "Make the values shorter: those of up to 8192 rows may take 256 MiB together.";
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint));
        }
    }
    Ok(())
}

/// One row of a call's arguments.
struct Row<'a> {
    arguments: &'a [ColumnarValue],
    index: usize,
}

impl Row<'_> {
    /// A text; `None` is NULL, or no text.
    fn text(&self, argument: usize) -> Option<&str> {
        match self.arguments.get(argument)? {
            ColumnarValue::Scalar(value) => value.try_as_str().flatten(),
            ColumnarValue::Array(array) if array.is_null(self.index) => None,
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8 => Some(array.as_string::<i32>().value(self.index)),
                DataType::LargeUtf8 => Some(array.as_string::<i64>().value(self.index)),
                DataType::Utf8View => Some(array.as_string_view().value(self.index)),
                _ => None,
            },
        }
    }

    fn integer(&self, argument: usize) -> Option<i64> {
        match self.arguments.get(argument)? {
            ColumnarValue::Scalar(ScalarValue::Int64(value)) => *value,
            ColumnarValue::Scalar(_) => None,
            ColumnarValue::Array(array) if array.is_null(self.index) => None,
            ColumnarValue::Array(array) => Some(array.as_primitive_opt::<Int64Type>()?.value(self.index)),
        }
    }

    /// A number that is not negative.
    fn count(&self, argument: usize) -> Option<u64> {
        u64::try_from(self.integer(argument)?).ok()
    }

    /// The argument's value of this row, as an array of one.
    fn single(&self, argument: usize) -> Option<Arc<dyn Array>> {
        match self.arguments.get(argument)? {
            ColumnarValue::Scalar(value) => value.to_array().ok(),
            ColumnarValue::Array(array) => Some(array.slice(self.index, 1)),
        }
    }
}

fn bytes(text: &str) -> u64 {
    text.len() as u64
}

fn repeated(row: &Row<'_>) -> Option<u64> {
    Some(bytes(row.text(0)?).saturating_mul(row.count(1)?))
}

/// Every character counts as the fill's longest.
fn padded(row: &Row<'_>) -> Option<u64> {
    let (text, length, fill) = (row.text(0)?, row.count(1)?, row.text(2).unwrap_or(" "));
    let widest = fill.chars().map(char::len_utf8).max().unwrap_or(0) as u64;
    Some(length.saturating_mul(widest).max(bytes(text).min(length.saturating_mul(4))))
}

fn replaced(row: &Row<'_>) -> Option<u64> {
    let (text, from, to) = (row.text(0)?, row.text(1)?, row.text(2)?);
    let most = text.len().checked_div(from.len())? as u64;
    let growth = bytes(to).saturating_sub(bytes(from));
    let bound = bytes(text).saturating_add(most.saturating_mul(growth));
    // An upper bound is enough, unless it is large: few texts consist of nothing but matches.
    if bound < 4096 {
        return Some(bound);
    }
    let found = text.matches(from).count() as u64;
    Some(bytes(text).saturating_add(found.saturating_mul(growth)))
}

fn repeated_element(row: &Row<'_>) -> Option<u64> {
    let element = row.single(0)?;
    let each = element.to_data().get_slice_memory_size().unwrap_or(0) as u64;
    Some(row.count(1)?.saturating_mul(each.max(ELEMENT_BYTES)))
}

fn resized(row: &Row<'_>) -> Option<u64> {
    let filler = row.text(2).map_or(0, bytes);
    Some(row.count(1)?.saturating_mul(filler.max(ELEMENT_BYTES)))
}

/// `range(stop)`, `range(start, stop)`, `range(start, stop, step)`, of numbers, dates or timestamps.
fn series(row: &Row<'_>) -> Option<u64> {
    let places = if row.arguments.len() == 1 { (None, 0) } else { (Some(0), 1) };
    let start = places.0.map_or(Some(0), |argument| moment(row, argument))?;
    let span = moment(row, places.1)?.checked_sub(start)?;
    let step = if row.arguments.len() > 2 { step(row)? } else { 1 };
    let elements = span.checked_div(step).and_then(|elements| u64::try_from(elements).ok())?;
    Some(elements.saturating_add(1).saturating_mul(ELEMENT_BYTES))
}

const DAY_NS: i128 = 86_400_000_000_000;

/// A number, or nanoseconds since 1970.
fn moment(row: &Row<'_>, argument: usize) -> Option<i128> {
    if let Some(number) = row.integer(argument) {
        return Some(i128::from(number));
    }
    let value = row.single(argument)?;
    let unit = match value.data_type() {
        DataType::Date32 => DAY_NS,
        DataType::Timestamp(unit, _) => match unit {
            arrow::datatypes::TimeUnit::Second => 1_000_000_000,
            arrow::datatypes::TimeUnit::Millisecond => 1_000_000,
            arrow::datatypes::TimeUnit::Microsecond => 1_000,
            arrow::datatypes::TimeUnit::Nanosecond => 1,
        },
        _ => return None,
    };
    let numbers = if value.data_type() == &DataType::Date32 { cast(&value, &DataType::Int32).ok()? } else { value };
    let numbers = cast(&numbers, &DataType::Int64).ok()?;
    let number = numbers.as_primitive_opt::<Int64Type>()?;
    (!number.is_null(0)).then(|| i128::from(number.value(0)) * unit)
}

/// A number, or the nanoseconds of an interval; months count as short ones.
fn step(row: &Row<'_>) -> Option<i128> {
    if let Some(number) = row.integer(2) {
        return Some(i128::from(number));
    }
    let value = row.single(2)?;
    let interval = value.as_primitive_opt::<IntervalMonthDayNanoType>()?;
    (!interval.is_null(0)).then(|| {
        let interval = interval.value(0);
        let days = i128::from(interval.months) * 28 + i128::from(interval.days);
        days * DAY_NS + i128::from(interval.nanoseconds)
    })
}

#[cfg(test)]
mod tests {
    use super::bounded;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};
    use datafusion::common::ScalarValue;
    use datafusion::config::ConfigOptions;
    use datafusion::execution::SessionStateDefaults;
    use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};
    use lakeward_base::{Coded, SqlState};
    use std::sync::Arc;

    fn call(name: &str, args: Vec<ColumnarValue>, number_rows: usize) -> Result<ColumnarValue, SqlState> {
        let functions = SessionStateDefaults::default_scalar_functions();
        let function = bounded(functions.into_iter().find(|function| function.name() == name).unwrap());
        let field = |value: &ColumnarValue| Arc::new(Field::new("", value.data_type(), true));
        let arg_fields: Vec<_> = args.iter().map(field).collect();
        let scalars: Vec<_> = args.iter().map(|_| None).collect();
        let given = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars };
        let return_field = function.return_field_from_args(given).unwrap();
        let config_options = Arc::new(ConfigOptions::default());
        let arguments = ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options };
        function.invoke_with_args(arguments).map_err(|error| crate::publish::execution(&error).sqlstate())
    }

    fn text(value: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(value))
    }

    fn number(value: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(value))
    }

    #[test]
    fn a_huge_result_is_refused_before_it_is_made() {
        let refused = [
            ("repeat", vec![text("x"), number(1_500_000_000)]),
            ("repeat", vec![text("grüezi"), number(i64::MAX)]),
            ("lpad", vec![text("x"), number(1_500_000_000)]),
            ("rpad", vec![text("x"), number(300_000_000), text("€")]),
            ("replace", vec![text(&"x".repeat(1 << 20)), text("x"), text(&"y".repeat(1 << 10))]),
            ("array_repeat", vec![number(1), number(1_000_000_000)]),
            ("range", vec![number(2_000_000_000)]),
            ("generate_series", vec![number(i64::MIN), number(i64::MAX), number(3)]),
        ];
        for (name, args) in refused {
            assert_eq!(call(name, args, 1).unwrap_err(), SqlState::PROGRAM_LIMIT_EXCEEDED, "{name}");
        }
        let accepted = [
            ("repeat", vec![text("ab"), number(3)]),
            ("repeat", vec![text("ab"), number(-3)]),
            ("repeat", vec![text(""), number(i64::MAX)]),
            ("lpad", vec![text("x"), number(1_000), text("ab")]),
            ("lpad", vec![text("x"), number(1_500_000_000), text("")]),
            ("replace", vec![text("aaa"), text(""), text("b")]),
            ("replace", vec![text(&"x".repeat(1 << 20)), text("zz"), text(&"y".repeat(1 << 10))]),
            ("array_repeat", vec![number(1), number(5)]),
            ("range", vec![number(10), number(1), number(-1)]),
        ];
        for (name, args) in accepted {
            assert!(call(name, args, 1).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_rows_of_a_batch_count_together() {
        let counts = Int64Array::from([Some(100_000), None, Some(-1)].repeat(3_000));
        let rows = counts.len();
        let args = vec![text("x"), ColumnarValue::Array(Arc::new(counts))];
        assert_eq!(call("repeat", args, rows).unwrap_err(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        let texts = StringArray::from(vec!["ab"; 8192]);
        let args = vec![ColumnarValue::Array(Arc::new(texts)), number(10)];
        let made = call("repeat", args, 8192).unwrap();
        assert_eq!(made.data_type(), DataType::Utf8);
    }
}
