//! A column's values from their texts, each by the column's type.
//!
//! Timestamps are SQL (`2026-01-27 10:00:00.5`), ISO 8601 (`2026-01-27T10:00:00Z`) or milliseconds since 1970. A timestamp
//! with an offset goes to UTC, also where the column has no time zone.
//!
//! Invariant: no value is bent to fit: a fraction is no integer, what is not finite is no number.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::temporal_conversions::MICROSECONDS;

use super::Texts;
use crate::error::StreamError;

/// Integers up to here are told apart as floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether a stream can have such a column.
pub(super) fn supported(field: &Field) -> Result<(), StreamError> {
    match field.data_type() {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(()),
        other => Err(StreamError::UnsupportedType { column: field.name().clone(), data_type: other.to_string() }),
    }
}

/// Reads a column; rows whose text is no such value get a reason, unless they have one.
pub(super) fn read(field: &Field, texts: &Texts, wrong: &mut [Option<String>]) -> Result<ArrayRef, StreamError> {
    let name = field.name();
    let mut column = Column { name, texts, wrong };
    let array: ArrayRef = match field.data_type() {
        DataType::Boolean => {
            let values: BooleanArray = column.values("boolean", boolean).into_iter().collect();
            Arc::new(values)
        }
        DataType::Int16 => column.primitive::<Int16Type>("smallint", integer),
        DataType::Int32 => column.primitive::<Int32Type>("integer", integer),
        DataType::Int64 => column.primitive::<Int64Type>("bigint", integer),
        DataType::Float32 => {
            column.primitive::<Float32Type>("real", |text| text.parse().ok().filter(|value: &f32| value.is_finite()))
        }
        DataType::Float64 => column.primitive::<Float64Type>("double precision", float),
        DataType::Decimal128(..) => column.decimal(field.data_type())?,
        DataType::Utf8 => column.text(),
        DataType::Date32 => column.primitive::<Date32Type>("date", date),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = column.values("timestamp", timestamp);
            let times: PrimitiveArray<TimestampMicrosecondType> = times.into_iter().collect();
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        other => {
            return Err(StreamError::UnsupportedType { column: name.clone(), data_type: other.to_string() });
        }
    };
    if !field.is_nullable() {
        column.require(array.as_ref());
    }
    Ok(array)
}

struct Column<'a> {
    name: &'a str,
    texts: &'a Texts,
    wrong: &'a mut [Option<String>],
}

impl Column<'_> {
    fn values<V>(&mut self, kind: &str, parse: impl Fn(&str) -> Option<V>) -> Vec<Option<V>> {
        let mut values = Vec::with_capacity(self.texts.len());
        for (text, wrong) in self.texts.iter().zip(self.wrong.iter_mut()) {
            let value = text.and_then(&parse);
            if text.is_some() && value.is_none() {
                wrong.get_or_insert_with(|| format!("column \"{}\" is no {kind}", self.name));
            }
            values.push(value);
        }
        values
    }

    fn primitive<T: ArrowPrimitiveType>(&mut self, kind: &str, parse: impl Fn(&str) -> Option<T::Native>) -> ArrayRef {
        Arc::new(self.values(kind, parse).into_iter().collect::<PrimitiveArray<T>>())
    }

    fn text(&mut self) -> ArrayRef {
        for (text, wrong) in self.texts.iter().zip(self.wrong.iter_mut()) {
            if text.is_some_and(|text| text.contains('\0')) {
                wrong.get_or_insert_with(|| format!("column \"{}\" holds a zero byte", self.name));
            }
        }
        Arc::new(self.texts.clone())
    }

    fn decimal(&mut self, data_type: &DataType) -> Result<ArrayRef, StreamError> {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let array = cast_with_options(self.texts, data_type, &options)?;
        for (row, wrong) in self.wrong.iter_mut().enumerate() {
            if array.is_null(row) && self.texts.is_valid(row) {
                wrong.get_or_insert_with(|| format!("column \"{}\" is no {data_type}", self.name));
            }
        }
        Ok(array)
    }

    fn require(&mut self, array: &dyn Array) {
        for (row, wrong) in self.wrong.iter_mut().enumerate() {
            if array.is_null(row) {
                wrong.get_or_insert_with(|| format!("column \"{}\" is missing", self.name));
            }
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// An integer; `72.0` and `7.2e1` are, `72.5` is not.
fn integer<I: std::str::FromStr + TryFrom<i64>>(text: &str) -> Option<I> {
    text.parse().ok().or_else(|| {
        let value = float(text).filter(|value| value.fract() == 0.0 && value.abs() <= EXACT)?;
        #[expect(clippy::cast_possible_truncation, reason = "an integer within 2^53")]
        I::try_from(value as i64).ok()
    })
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn date(text: &str) -> Option<i32> {
    // Digits alone would be read as days.
    text.contains('-').then(|| Date32Type::parse(text)).flatten()
}

fn timestamp(text: &str) -> Option<i64> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        return milliseconds.checked_mul(MICROSECONDS / 1_000);
    }
    if let Some(milliseconds) = float(text) {
        let value = (milliseconds * 1e3).round();
        #[expect(clippy::cast_possible_truncation, reason = "an integer within 2^53")]
        return (value.abs() <= EXACT).then_some(value as i64);
    }
    Some(string_to_datetime(&chrono::Utc, text).ok()?.timestamp_micros())
}
