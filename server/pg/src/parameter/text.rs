//! Parameters in text, in the forms that PostgreSQL's input functions take.

use std::sync::Arc;

use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use datafusion_common::ScalarValue;
use postgres_types::Type;

use super::{Wanted, moment, number};
use crate::error::PgError;

/// Reads a value in the text form of its wire type.
pub(super) fn read(wanted: &Wanted<'_>, text: &str) -> Result<ScalarValue, PgError> {
    let trimmed = text.trim_matches(|character: char| character.is_ascii_whitespace());
    Ok(match *wanted.kind {
        Type::BOOL => ScalarValue::Boolean(Some(boolean(trimmed).ok_or_else(|| wanted.invalid_text())?)),
        Type::INT2 => ScalarValue::Int16(Some(integer(wanted, trimmed)?)),
        Type::INT4 => ScalarValue::Int32(Some(integer(wanted, trimmed)?)),
        Type::INT8 => ScalarValue::Int64(Some(integer(wanted, trimmed)?)),
        Type::OID => ScalarValue::Int64(Some(i64::from(integer::<u32>(wanted, trimmed)?))),
        Type::FLOAT4 => {
            let value = trimmed.parse::<f32>().map_err(|_| wanted.invalid_text())?;
            ScalarValue::Float32(Some(in_range(wanted, trimmed, value, value.is_infinite())?))
        }
        Type::FLOAT8 => {
            let value = trimmed.parse::<f64>().map_err(|_| wanted.invalid_text())?;
            ScalarValue::Float64(Some(in_range(wanted, trimmed, value, value.is_infinite())?))
        }
        Type::NUMERIC => number::read(wanted, trimmed)?,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::UUID
        | Type::JSON
        | Type::JSONB => ScalarValue::Utf8(Some(text.to_owned())),
        Type::BYTEA => ScalarValue::Binary(Some(bytea(text).ok_or_else(|| wanted.invalid_text())?)),
        Type::DATE => {
            let moment = moment::parse(trimmed).ok_or_else(|| wanted.invalid_time())?;
            ScalarValue::Date32(Some(i32::try_from(moment.days).map_err(|_| wanted.invalid_time())?))
        }
        Type::TIME => {
            let micros = moment::parse_time(trimmed).ok_or_else(|| wanted.invalid_time())?;
            ScalarValue::Time64Microsecond(Some(micros))
        }
        Type::TIMESTAMP => {
            let moment = moment::parse(trimmed).ok_or_else(|| wanted.invalid_time())?;
            ScalarValue::TimestampMicrosecond(Some(moment.local_us().ok_or_else(|| wanted.invalid_time())?), None)
        }
        Type::TIMESTAMPTZ => {
            let micros = moment::parse(trimmed).and_then(|moment| moment.utc_us(wanted.zone));
            ScalarValue::TimestampMicrosecond(
                Some(micros.ok_or_else(|| wanted.invalid_time())?),
                Some(Arc::from("UTC")),
            )
        }
        Type::INTERVAL => {
            let value = parse_interval_month_day_nano(trimmed).map_err(|_| wanted.invalid_time())?;
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
        _ => return Err(wanted.unsupported()),
    })
}

/// `parse_bool`: unambiguous beginnings of the words, in any case.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match text.as_str() {
        "1" | "on" => Some(true),
        "0" => Some(false),
        _ if begins("true", 1) || begins("yes", 1) => Some(true),
        _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Some(false),
        _ => None,
    }
}

fn integer<T: TryFrom<i128>>(wanted: &Wanted<'_>, text: &str) -> Result<T, PgError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wanted.invalid_text());
    }
    let value = text.parse::<i128>().ok().and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| wanted.out_of_range())
}

/// A finite number whose value is infinite is out of range; `Infinity` is not.
fn in_range<T>(wanted: &Wanted<'_>, text: &str, value: T, infinite: bool) -> Result<T, PgError> {
    if infinite && text.bytes().any(|byte| byte.is_ascii_digit()) { Err(wanted.out_of_range()) } else { Ok(value) }
}

/// Hex (`\x…`), or the old escape form.
fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let mut digits =
            hex.chars().filter(|character| !character.is_ascii_whitespace()).map(|digit| digit.to_digit(16));
        let mut bytes = Vec::with_capacity(hex.len() / 2);
        while let Some(high) = digits.next() {
            bytes.push(u8::try_from(high? * 16 + digits.next()??).ok()?);
        }
        return Some(bytes);
    }
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        if let Some(after) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
            continue;
        }
        let (octal, after) = rest.split_at_checked(3)?;
        let value = octal.iter().try_fold(0u32, |sum, digit| Some(sum * 8 + char::from(*digit).to_digit(8)?))?;
        bytes.push(u8::try_from(value).ok()?);
        rest = after;
    }
    Some(bytes)
}
