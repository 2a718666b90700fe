//! Bounds of columns per file, from the statistics in the log's add actions, as typed arrays for pruning.
//!
//! Why not deltalake's own: they are re-read from JSON at every scan. Here they are parsed once per version.
//!
//! Invariant: a bound may be too wide, never too narrow; a statistic that cannot be understood is absent. So files are
//! only ever skipped that hold no matching row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampMicrosecondType};
use datafusion_common::stats::Precision;
use datafusion_common::{ColumnStatistics, ScalarValue};
use serde_json::{Map, Value};

/// Digits that a JSON number keeps exactly when it is read as a double.
const EXACT_JSON_DIGITS: u8 = 15;

/// Spark writes timestamps in statistics cut to milliseconds.
const MICROS_CUT_OFF: i64 = 999;

/// One file's statistics as the log has them.
#[derive(Default)]
pub(crate) struct FileStatistics {
    pub(crate) rows: Option<u64>,
    minima: Map<String, Value>,
    maxima: Map<String, Value>,
    null_counts: Map<String, Value>,
    tight: bool,
}

impl FileStatistics {
    /// Reads the JSON of an add action's `stats`.
    pub(crate) fn parse(stats: Option<&str>) -> Self {
        let Some(Value::Object(mut stats)) = stats.and_then(|text| serde_json::from_str(text).ok()) else {
            return Self::default();
        };
        let mut object = |key: &str| match stats.remove(key) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        let (minima, maxima, null_counts) = (object("minValues"), object("maxValues"), object("nullCount"));
        let tight = stats.get("tightBounds").and_then(Value::as_bool).unwrap_or(true);
        Self { rows: stats.get("numRecords").and_then(Value::as_u64), minima, maxima, null_counts, tight }
    }
}

/// One column's bounds, one entry per file; null where unknown.
pub(crate) struct ColumnBounds {
    pub(crate) min: ArrayRef,
    pub(crate) max: ArrayRef,
    pub(crate) null_counts: ArrayRef,
    /// The bounds are values that occur, where the file's statistics are tight.
    attained: bool,
}

impl ColumnBounds {
    /// The bounds of a data column.
    pub(crate) fn of_data(field: &Field, files: &[FileStatistics]) -> Self {
        let null_counts: UInt64Array =
            files.iter().map(|f| f.null_counts.get(field.name()).and_then(Value::as_u64)).collect();
        let min = typed(field, files.iter().map(|f| f.minima.get(field.name())));
        let max = typed(field, files.iter().map(|f| f.maxima.get(field.name())));
        Self {
            min: widen(min, -MICROS_CUT_OFF),
            max: widen(max, MICROS_CUT_OFF),
            null_counts: Arc::new(null_counts),
            attained: attained(field),
        }
    }

    /// The bounds of a partition column: every row of a file has the file's value.
    pub(crate) fn of_partition(values: ArrayRef, files: &[FileStatistics]) -> Self {
        let nulls = files.iter().enumerate().map(|(i, f)| if values.is_null(i) { f.rows } else { Some(0) });
        let null_counts = Arc::new(nulls.collect::<UInt64Array>());
        Self { min: Arc::clone(&values), max: values, null_counts, attained: true }
    }

    /// What the optimizer may know about the column in one file. Only bounds that occur are told: aggregates are
    /// answered from them.
    pub(crate) fn statistics(&self, file: usize, statistics: &FileStatistics) -> ColumnStatistics {
        let mut column = ColumnStatistics::new_unknown();
        let counts = self.null_counts.as_primitive::<arrow::datatypes::UInt64Type>();
        if statistics.tight && counts.is_valid(file) {
            column.null_count = usize::try_from(counts.value(file)).map_or(Precision::Absent, Precision::Exact);
        }
        if statistics.tight && self.attained {
            column.min_value = exact(&self.min, file);
            column.max_value = exact(&self.max, file);
        }
        column
    }
}

fn exact(bounds: &ArrayRef, file: usize) -> Precision<ScalarValue> {
    match ScalarValue::try_from_array(bounds, file) {
        Ok(value) if !value.is_null() => Precision::Exact(value),
        _ => Precision::Absent,
    }
}

/// Whether bounds in the log are values that occur: strings are cut, timestamps too.
fn attained(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32)
}

/// Reads one bound per file. Floats have none: writers disagree about NaN. Binary has none in the log.
fn typed<'a>(field: &Field, values: impl ExactSizeIterator<Item = Option<&'a Value>>) -> ArrayRef {
    let files = values.len();
    let unknown = || new_null_array(field.data_type(), files);
    let known = match field.data_type() {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Utf8
        | DataType::Utf8View
        | DataType::Timestamp(TimeUnit::Microsecond, _) => true,
        DataType::Decimal128(digits, _) => *digits <= EXACT_JSON_DIGITS,
        _ => false,
    };
    if !known {
        return unknown();
    }
    let texts: StringArray = values.map(|value| value.and_then(text_of)).collect();
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(&texts, field.data_type(), &options).unwrap_or_else(|_| unknown())
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Moves timestamps that may have been cut to milliseconds by up to `micros`.
fn widen(bounds: ArrayRef, micros: i64) -> ArrayRef {
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = bounds.data_type() else { return bounds };
    let moved = |at: i64| if at % 1000 == 0 { at.saturating_add(micros) } else { at };
    let array = bounds.as_primitive::<TimestampMicrosecondType>().unary::<_, TimestampMicrosecondType>(moved);
    Arc::new(array.with_timezone_opt(zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(data_type: DataType, stats: &str) -> ColumnBounds {
        ColumnBounds::of_data(&Field::new("a", data_type, true), &[FileStatistics::parse(Some(stats))])
    }

    fn shown(array: &ArrayRef) -> String {
        ScalarValue::try_from_array(array, 0).unwrap().to_string()
    }

    #[test]
    fn bounds_are_typed() {
        let stats =
            r#"{"numRecords":3,"minValues":{"a":-5},"maxValues":{"a":9223372036854775807},"nullCount":{"a":1}}"#;
        let b = bounds(DataType::Int64, stats);
        assert_eq!(
            (shown(&b.min).as_str(), shown(&b.max).as_str(), shown(&b.null_counts).as_str()),
            ("-5", "9223372036854775807", "1")
        );
        let b = bounds(DataType::Date32, r#"{"minValues":{"a":"2024-01-31"},"maxValues":{"a":"not a date"}}"#);
        assert_eq!(shown(&b.min), "2024-01-31");
        assert!(b.max.is_null(0));
        let b = bounds(DataType::Decimal128(10, 2), r#"{"minValues":{"a":-1.25},"maxValues":{"a":12345678.9}}"#);
        assert_eq!((shown(&b.min).as_str(), b.max.is_null(0)), ("-1.25", false));
    }

    #[test]
    fn cut_timestamps_are_widened() {
        let stats = r#"{"minValues":{"a":"2024-01-01T00:00:00.123Z"},"maxValues":{"a":"2024-01-01T00:00:00.123456Z"}}"#;
        let b = bounds(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), stats);
        let micros = |array: &ArrayRef| array.as_primitive::<TimestampMicrosecondType>().value(0).rem_euclid(1_000_000);
        assert_eq!((micros(&b.min), micros(&b.max)), (122_001, 123_456));
        let b = bounds(
            DataType::Timestamp(TimeUnit::Microsecond, None),
            r#"{"maxValues":{"a":"2024-01-01T00:00:00.123"}}"#,
        );
        assert_eq!(micros(&b.max), 123_999);
    }

    #[test]
    fn what_cannot_be_trusted_is_absent() {
        let stats = r#"{"minValues":{"a":1.5},"maxValues":{"a":2.5},"nullCount":{"a":0}}"#;
        for data_type in [DataType::Float64, DataType::Decimal128(20, 2), DataType::Binary, DataType::Boolean] {
            assert!(bounds(data_type, stats).max.is_null(0));
        }
        for stats in ["", "[]", "{\"minValues\":3}", "{\"numRecords\":-1}"] {
            let parsed = FileStatistics::parse(Some(stats));
            assert!(parsed.rows.is_none() && parsed.minima.is_empty());
        }
    }

    #[test]
    fn only_attained_tight_bounds_answer_aggregates() {
        let text = bounds(DataType::Utf8, r#"{"minValues":{"a":"x"},"maxValues":{"a":"y"}}"#);
        let file = FileStatistics::parse(Some("{}"));
        assert_eq!(text.statistics(0, &file).min_value, Precision::Absent);
        let loose = r#"{"tightBounds":false,"minValues":{"a":1},"maxValues":{"a":2},"nullCount":{"a":0}}"#;
        let column = bounds(DataType::Int32, loose).statistics(0, &FileStatistics::parse(Some(loose)));
        assert_eq!((column.min_value, column.null_count), (Precision::Absent, Precision::Absent));
    }

    proptest::proptest! {
        #[test]
        fn no_statistics_make_it_fail(min in r#"("[^"\\]{0,20}"|-?[0-9]{1,40}(\.[0-9]{1,20})?(e-?[0-9]{1,4})?|null|\[\]|true)"#) {
            let stats = format!(r#"{{"numRecords":1,"minValues":{{"a":{min}}},"maxValues":{{"a":{min}}},"nullCount":{{"a":{min}}}}}"#);
            for data_type in [
                DataType::Int16,
                DataType::Int64,
                DataType::Date32,
                DataType::Utf8View,
                DataType::Decimal128(15, 3),
                DataType::Timestamp(TimeUnit::Microsecond, None),
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ] {
                let bounds = bounds(data_type.clone(), &stats);
                proptest::prop_assert_eq!(bounds.min.data_type(), &data_type);
                proptest::prop_assert_eq!(bounds.max.len(), 1);
            }
        }
    }
}
