//! Parameters in binary.

use std::sync::Arc;

use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::ScalarValue;
use lakeward_engine::Error;
use postgres_types::{Kind, Type};

use super::{Wanted, array, number};

/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;

/// Reads a value in the binary form of its wire type.
pub(super) fn read(wanted: &Wanted<'_>, bytes: &[u8]) -> Result<ScalarValue, Error> {
    Ok(match *wanted.kind {
        Type::BOOL => ScalarValue::Boolean(Some(u8::from_be_bytes(fixed(wanted, bytes)?) != 0)),
        Type::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(wanted, bytes)?))),
        Type::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(wanted, bytes)?))),
        Type::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(wanted, bytes)?))),
        Type::OID => ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(fixed(wanted, bytes)?)))),
        Type::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(wanted, bytes)?))),
        Type::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(wanted, bytes)?))),
        Type::NUMERIC => number::read(wanted, &number::text_of_binary(wanted, bytes)?)?,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON => text(wanted, bytes)?,
        Type::JSONB => match bytes.split_first() {
            Some((1, json)) => text(wanted, json)?,
            _ => return Err(wanted.invalid_binary()),
        },
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::UUID => ScalarValue::Utf8(Some(uuid(&fixed::<16>(wanted, bytes)?))),
        Type::DATE => {
            let days = i32::from_be_bytes(fixed(wanted, bytes)?).checked_add(EPOCH_DAYS);
            ScalarValue::Date32(Some(finite(wanted, days, i32::MIN + EPOCH_DAYS)?))
        }
        Type::TIME => {
            let micros = i64::from_be_bytes(fixed(wanted, bytes)?);
            if !(0..=86_400_000_000).contains(&micros) {
                return Err(wanted.out_of_range());
            }
            ScalarValue::Time64Microsecond(Some(micros))
        }
        Type::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(moment(wanted, bytes)?), None),
        Type::TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(Some(moment(wanted, bytes)?), Some(Arc::from("UTC"))),
        Type::INTERVAL => interval(wanted, bytes)?,
        _ => match wanted.kind.kind() {
            Kind::Array(element) => array::read_binary(wanted, element, bytes)?,
            _ => return Err(wanted.unsupported()),
        },
    })
}

fn fixed<const N: usize>(wanted: &Wanted<'_>, bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| wanted.invalid_binary())
}

fn text(wanted: &Wanted<'_>, bytes: &[u8]) -> Result<ScalarValue, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(ScalarValue::Utf8(Some(text.to_owned()))),
        _ => Err(wanted.invalid_utf8()),
    }
}

/// Refuses what overflows, and PostgreSQL's infinities, which Arrow does not have.
fn finite<T: PartialEq>(wanted: &Wanted<'_>, value: Option<T>, minus_infinity: T) -> Result<T, Error> {
    value.filter(|value| *value != minus_infinity).ok_or_else(|| wanted.out_of_range())
}

fn moment(wanted: &Wanted<'_>, bytes: &[u8]) -> Result<i64, Error> {
    let micros = i64::from_be_bytes(fixed(wanted, bytes)?).checked_add(EPOCH_US);
    finite(wanted, micros, i64::MIN + EPOCH_US)
}

fn interval(wanted: &Wanted<'_>, bytes: &[u8]) -> Result<ScalarValue, Error> {
    let all = u128::from_be_bytes(fixed(wanted, bytes)?);
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = all.to_be_bytes();
    let micros = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let (days, months) = (i32::from_be_bytes([i, j, k, l]), i32::from_be_bytes([m, n, o, p]));
    let nanoseconds = micros.checked_mul(1_000).ok_or_else(|| wanted.out_of_range())?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })))
}

/// The text form of a UUID.
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}
