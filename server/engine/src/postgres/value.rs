//! Values as the functions here see them: one Arrow type for each of PostgreSQL's.
//!
//! Invariant: after [`normal`], text is `Utf8`, times are microseconds, a dictionary is its value.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::ScalarValue;

/// PostgreSQL's `interval`.
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// PostgreSQL's `timestamp`.
pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// PostgreSQL's `timestamptz`.
pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// PostgreSQL's `time`.
pub(super) const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);

/// The type that values of `data_type` have after [`normal`].
pub(super) fn normal_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => normal_type(value),
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::List(item) => DataType::List(Arc::new(Field::new("item", normal_type(item.data_type()), true))),
        other => other.clone(),
    }
}

/// One form of the many that Arrow has.
pub(super) fn normal(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => ScalarValue::Utf8(text),
        ScalarValue::LargeBinary(bytes) | ScalarValue::BinaryView(bytes) | ScalarValue::FixedSizeBinary(_, bytes) => {
            ScalarValue::Binary(bytes)
        }
        ScalarValue::Dictionary(_, value) => normal(*value),
        other => {
            let wanted = normal_type(&other.data_type());
            if wanted == other.data_type() { other } else { other.cast_to(&wanted).unwrap_or(other) }
        }
    }
}

/// PostgreSQL's name of a type, for messages.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Struct(_) | DataType::Map(..) => "jsonb",
        DataType::Null => "unknown",
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return format!("{}[]", type_name(item.data_type()));
        }
        DataType::Dictionary(_, value) => return type_name(value),
        other if other.is_decimal() || *other == DataType::UInt64 => "numeric",
        _ => "text",
    }
    .to_owned()
}

/// Is it text?
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The text of a text value.
pub(super) fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(text) => text.as_deref(),
        _ => None,
    }
}

/// A whole number.
pub(super) fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        ScalarValue::UInt64(value) => value.and_then(|value| i64::try_from(value).ok()),
        _ => None,
    }
}

/// Any number, as `double precision`.
pub(super) fn float(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Float64(value) => *value,
        ScalarValue::Float32(value) => value.map(f64::from),
        _ => match decimal(value) {
            Some((digits, scale)) => decimal_text(digits, scale).parse().ok(),
            None => None,
        },
    }
}

/// An exact number: digits and scale.
pub(super) fn decimal(value: &ScalarValue) -> Option<(i128, i8)> {
    match value {
        // The planner reads 1e20 as 1 with a scale of -20.
        ScalarValue::Decimal128(Some(digits), _, scale) if *scale < 0 => {
            let factor = 10_i128.checked_pow(u32::from(scale.unsigned_abs()))?;
            digits.checked_mul(factor).map(|digits| (digits, 0))
        }
        ScalarValue::Decimal128(digits, _, scale) => digits.map(|digits| (digits, *scale)),
        ScalarValue::Decimal256(digits, _, scale) => {
            digits.and_then(|digits| digits.to_i128()).map(|digits| (digits, *scale))
        }
        _ => whole(value).map(|value| (i128::from(value), 0)),
    }
}

/// Digits with a point.
pub(super) fn decimal_text(digits: i128, scale: i8) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let mut text = digits.unsigned_abs().to_string();
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        return format!("{sign}{text}");
    }
    if text.len() <= scale {
        text = format!("{}{text}", "0".repeat(scale + 1 - text.len()));
    }
    let (whole, fraction) = text.split_at(text.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// A `numeric` of these digits.
pub(super) fn numeric(digits: i128, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(digits), 38, scale)
}

/// A text value.
pub(super) fn utf8(text: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(text.into()))
}

/// A date or time as a point without a zone; a `timestamptz` at UTC.
pub(super) fn moment(value: &ScalarValue) -> Option<NaiveDateTime> {
    match value {
        ScalarValue::Date32(Some(days)) => date_of(*days)?.and_hms_opt(0, 0, 0),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            DateTime::from_timestamp_micros(*micros).map(|at| at.naive_utc())
        }
        _ => None,
    }
}

/// The date of a number of days.
pub(super) fn date_of(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?)
}

/// A date as a value.
pub(super) fn date(date: NaiveDate) -> ScalarValue {
    use chrono::Datelike;
    ScalarValue::Date32(Some(date.num_days_from_ce() - 719_163))
}

/// A timestamp as a value.
pub(super) fn timestamp(at: NaiveDateTime) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.and_utc().timestamp_micros()), None)
}

/// An interval.
pub(super) fn interval(months: i32, days: i32, nanoseconds: i64) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
}

/// The parts of an interval.
pub(super) fn interval_of(value: &ScalarValue) -> Option<IntervalMonthDayNano> {
    match value {
        ScalarValue::IntervalMonthDayNano(value) => *value,
        _ => None,
    }
}

/// The elements of an array value.
pub(super) fn elements(value: &ScalarValue) -> Option<Vec<ScalarValue>> {
    use arrow::array::Array;
    let array = match value {
        ScalarValue::List(list) if list.len() == 1 && list.is_valid(0) => list.value(0),
        ScalarValue::LargeList(list) if list.len() == 1 && list.is_valid(0) => list.value(0),
        ScalarValue::FixedSizeList(list) if list.len() == 1 && list.is_valid(0) => list.value(0),
        _ => return None,
    };
    (0..array.len()).map(|row| ScalarValue::try_from_array(&array, row).ok().map(normal)).collect()
}
