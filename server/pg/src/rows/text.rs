//! Values in text: one writer per column and type.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use bytes::BufMut;
use lakeward_engine::function_name;

use super::number::{put_f32, put_f64, put_i64, put_u64};
use super::temporal::{self, DAY_US, Zone};
use super::{MISMATCH, Writer, each, each_bytes, each_text, json, list, numeric, through_keys};
use crate::error::PgError;

/// The text writer of an array; `None` where its type has no PostgreSQL form.
pub(super) fn writer(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let writer = match array.data_type() {
        DataType::Null => Box::new(|_, _: &mut Vec<u8>| Ok(())) as Writer<'_>,
        DataType::Boolean => {
            let values = array.as_boolean_opt().ok_or(MISMATCH)?;
            Box::new(move |row, out: &mut Vec<u8>| {
                out.put_u8(if values.value(row) { b't' } else { b'f' });
                Ok(())
            })
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            each_text(array, |text, out| out.extend_from_slice(text.as_bytes()))?
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            each_bytes(array, put_hex)?
        }
        DataType::Dictionary(..) => {
            let values = array.as_any_dictionary_opt().ok_or(MISMATCH)?.values();
            let Some(values) = writer(values.as_ref(), zone)? else { return Ok(None) };
            through_keys(array, values)?
        }
        DataType::Struct(_) | DataType::Map(..) => match json::writer(array, zone)? {
            Some(writer) => writer,
            None => return Ok(None),
        },
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => return list::text(array, zone),
        DataType::Union(..) | DataType::RunEndEncoded(..) => return Ok(None),
        _ => return scalar(array, zone, b' ', false).map(Some),
    };
    Ok(Some(writer))
}

/// `regproc`: a function's name, `-` for none.
pub(super) fn function(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    each::<UInt32Type>(array, |oid, out| {
        match function_name(oid) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None if oid == 0 => out.put_u8(b'-'),
            None => put_u64(out, u64::from(oid)),
        }
        Ok(())
    })
}

/// Numbers, dates and times. `separator` stands between date and time; `iso` asks for an offset's minutes.
pub(super) fn scalar(array: &dyn Array, zone: Zone, separator: u8, iso: bool) -> Result<Writer<'_>, PgError> {
    match array.data_type() {
        DataType::Timestamp(_, None) => micros(array, move |value, out| {
            temporal::put_timestamp(out, temporal::checked_timestamp(value)?, separator);
            Ok(())
        }),
        DataType::Timestamp(_, Some(_)) => micros(array, move |value, out| {
            temporal::put_timestamptz(out, temporal::checked_timestamp(value)?, zone, separator, iso);
            Ok(())
        }),
        DataType::Time32(_) | DataType::Time64(_) => micros(array, |value, out| {
            let value =
                value.filter(|micros| (0..=DAY_US).contains(micros)).ok_or(PgError::ResultOutOfRange("time"))?;
            temporal::put_clock(out, value.unsigned_abs());
            Ok(())
        }),
        DataType::Date32 | DataType::Date64 => days(array, |days, out| temporal::put_date(out, days)),
        DataType::Interval(_) | DataType::Duration(_) => interval(array, |months, days, micros, out| {
            temporal::put_interval(out, months, days, micros);
        }),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            decimal(array, numeric::text)
        }
        _ => number(array),
    }
}

fn number(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    /// A writer that cannot fail.
    macro_rules! plain {
        ($kind:ty, $put:expr) => {
            each::<$kind>(array, |value, out| {
                $put(out, value);
                Ok(())
            })
        };
    }
    match array.data_type() {
        DataType::Int8 => plain!(Int8Type, |out: &mut Vec<u8>, value| put_i64(out, i64::from(value))),
        DataType::Int16 => plain!(Int16Type, |out: &mut Vec<u8>, value| put_i64(out, i64::from(value))),
        DataType::Int32 => plain!(Int32Type, |out: &mut Vec<u8>, value| put_i64(out, i64::from(value))),
        DataType::Int64 => plain!(Int64Type, put_i64),
        DataType::UInt8 => plain!(UInt8Type, |out: &mut Vec<u8>, value| put_u64(out, u64::from(value))),
        DataType::UInt16 => plain!(UInt16Type, |out: &mut Vec<u8>, value| put_u64(out, u64::from(value))),
        DataType::UInt32 => plain!(UInt32Type, |out: &mut Vec<u8>, value| put_u64(out, u64::from(value))),
        DataType::UInt64 => plain!(UInt64Type, put_u64),
        DataType::Float16 => each::<Float16Type>(array, |value, out| {
            put_f32(out, value.to_f32());
            Ok(())
        }),
        DataType::Float32 => plain!(Float32Type, put_f32),
        DataType::Float64 => plain!(Float64Type, put_f64),
        _ => Err(MISMATCH),
    }
}

/// A writer over decimals of any width.
pub(super) fn decimal(array: &dyn Array, put: numeric::Put) -> Result<Writer<'_>, PgError> {
    match *array.data_type() {
        DataType::Decimal32(_, scale) => each::<Decimal32Type>(array, move |value, out| {
            numeric::put_i128(out, i128::from(value), scale, put);
            Ok(())
        }),
        DataType::Decimal64(_, scale) => each::<Decimal64Type>(array, move |value, out| {
            numeric::put_i128(out, i128::from(value), scale, put);
            Ok(())
        }),
        DataType::Decimal128(_, scale) => each::<Decimal128Type>(array, move |value, out| {
            numeric::put_i128(out, value, scale, put);
            Ok(())
        }),
        DataType::Decimal256(_, scale) => each::<Decimal256Type>(array, move |value, out| {
            match value.to_i128() {
                Some(value) => numeric::put_i128(out, value, scale, put),
                None => numeric::put_digits(out, &value.to_string(), scale, put),
            }
            Ok(())
        }),
        _ => Err(MISMATCH),
    }
}

/// A writer over times and timestamps of any unit, in microseconds; `None` is an overflow.
pub(super) fn micros<'a>(
    array: &'a dyn Array,
    put: impl Fn(Option<i64>, &mut Vec<u8>) -> Result<(), PgError> + 'a,
) -> Result<Writer<'a>, PgError> {
    use DataType::{Duration, Time32, Time64, Timestamp};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match array.data_type() {
        Timestamp(Second, _) => {
            each::<TimestampSecondType>(array, move |value, out| put(value.checked_mul(1_000_000), out))
        }
        Timestamp(Millisecond, _) => {
            each::<TimestampMillisecondType>(array, move |value, out| put(value.checked_mul(1_000), out))
        }
        Timestamp(Microsecond, _) => each::<TimestampMicrosecondType>(array, move |value, out| put(Some(value), out)),
        Timestamp(Nanosecond, _) => {
            each::<TimestampNanosecondType>(array, move |value, out| put(Some(value.div_euclid(1_000)), out))
        }
        Time32(Second) => {
            each::<Time32SecondType>(array, move |value, out| put(Some(i64::from(value) * 1_000_000), out))
        }
        Time32(_) => each::<Time32MillisecondType>(array, move |value, out| put(Some(i64::from(value) * 1_000), out)),
        Time64(Nanosecond) => {
            each::<Time64NanosecondType>(array, move |value, out| put(Some(value.div_euclid(1_000)), out))
        }
        Time64(_) => each::<Time64MicrosecondType>(array, move |value, out| put(Some(value), out)),
        Duration(Second) => each::<DurationSecondType>(array, move |value, out| put(value.checked_mul(1_000_000), out)),
        Duration(Millisecond) => {
            each::<DurationMillisecondType>(array, move |value, out| put(value.checked_mul(1_000), out))
        }
        Duration(Microsecond) => each::<DurationMicrosecondType>(array, move |value, out| put(Some(value), out)),
        Duration(Nanosecond) => each::<DurationNanosecondType>(array, move |value, out| put(Some(value / 1_000), out)),
        _ => Err(MISMATCH),
    }
}

/// A writer over dates, in days.
pub(super) fn days<'a>(
    array: &'a dyn Array,
    put: impl Fn(i64, &mut Vec<u8>) -> Result<(), PgError> + 'a,
) -> Result<Writer<'a>, PgError> {
    match array.data_type() {
        DataType::Date32 => each::<Date32Type>(array, move |value, out| put(i64::from(value), out)),
        _ => each::<Date64Type>(array, move |value, out| put(value.div_euclid(86_400_000), out)),
    }
}

/// A writer over intervals and durations: months, days, microseconds.
pub(super) fn interval<'a>(
    array: &'a dyn Array,
    put: impl Fn(i32, i32, i64, &mut Vec<u8>) + 'a,
) -> Result<Writer<'a>, PgError> {
    match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => each::<IntervalYearMonthType>(array, move |value, out| {
            put(value, 0, 0, out);
            Ok(())
        }),
        DataType::Interval(IntervalUnit::DayTime) => each::<IntervalDayTimeType>(array, move |value, out| {
            put(0, value.days, i64::from(value.milliseconds) * 1_000, out);
            Ok(())
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => each::<IntervalMonthDayNanoType>(array, move |value, out| {
            put(value.months, value.days, value.nanoseconds / 1_000, out);
            Ok(())
        }),
        _ => micros(array, move |value, out| {
            put(0, 0, value.ok_or(PgError::ResultOutOfRange("interval"))?, out);
            Ok(())
        }),
    }
}

/// `bytea` in hex.
fn put_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 + 2 * bytes.len());
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.put_u8(hex_digit(byte >> 4));
        out.put_u8(hex_digit(byte & 15));
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}
