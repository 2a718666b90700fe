//! Values in binary: one writer per column and type.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use bytes::BufMut;

use super::temporal::{self, EPOCH_DAYS, EPOCH_US, Zone};
use super::text::{days, decimal, interval, micros};
use super::{MISMATCH, Writer, each, each_bytes, each_text, json, list, numeric, through_keys};
use crate::error::PgError;

/// The binary writer of an array; `None` where its type has no binary form here.
pub(super) fn writer(array: &dyn Array, zone: Zone) -> Result<Option<Writer<'_>>, PgError> {
    let writer = match array.data_type() {
        DataType::Null => Box::new(|_, _: &mut Vec<u8>| Ok(())) as Writer<'_>,
        DataType::Boolean => {
            let values = array.as_boolean_opt().ok_or(MISMATCH)?;
            Box::new(move |row, out: &mut Vec<u8>| {
                out.put_u8(u8::from(values.value(row)));
                Ok(())
            })
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            each_text(array, |text, out| out.extend_from_slice(text.as_bytes()))?
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            each_bytes(array, |bytes, out| out.extend_from_slice(bytes))?
        }
        DataType::Dictionary(..) => {
            let values = array.as_any_dictionary_opt().ok_or(MISMATCH)?.values();
            let Some(values) = writer(values.as_ref(), zone)? else { return Ok(None) };
            through_keys(array, values)?
        }
        DataType::Struct(_) | DataType::Map(..) => {
            let Some(json) = json::writer(array, zone)? else { return Ok(None) };
            // The version of the binary form of jsonb.
            Box::new(move |row, out: &mut Vec<u8>| {
                out.put_u8(1);
                json(row, out)
            })
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => return list::binary(array, zone),
        DataType::Union(..) | DataType::RunEndEncoded(..) => return Ok(None),
        _ => return scalar(array).map(Some),
    };
    Ok(Some(writer))
}

fn scalar(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    match array.data_type() {
        DataType::Timestamp(..) => micros(array, |value, out| {
            let value = temporal::checked_timestamp(value)?.checked_sub(EPOCH_US);
            out.put_i64(value.ok_or(PgError::ResultOutOfRange("timestamp"))?);
            Ok(())
        }),
        DataType::Time32(_) | DataType::Time64(_) => micros(array, |value, out| {
            out.put_i64(value.ok_or(PgError::ResultOutOfRange("time"))?);
            Ok(())
        }),
        DataType::Date32 | DataType::Date64 => days(array, |days, out| {
            let days = temporal::checked_date(days)? - EPOCH_DAYS;
            out.put_i32(i32::try_from(days).map_err(|_| PgError::ResultOutOfRange("date"))?);
            Ok(())
        }),
        DataType::Interval(_) | DataType::Duration(_) => interval(array, |months, days, micros, out| {
            out.put_i64(micros);
            out.put_i32(days);
            out.put_i32(months);
        }),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            decimal(array, numeric::binary)
        }
        _ => number(array),
    }
}

/// OIDs: four bytes without a sign.
pub(super) fn oid(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    each::<UInt32Type>(array, |value, out| {
        out.put_u32(value);
        Ok(())
    })
}

/// `"char"`: one byte, 0 where there is none.
pub(super) fn char(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    each_text(array, |text, out| out.put_u8(text.bytes().next().unwrap_or(0)))
}

/// `jsonb`: the version of its form, then its text.
pub(super) fn jsonb(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    each_text(array, |text, out| {
        out.put_u8(1);
        out.extend_from_slice(text.as_bytes());
    })
}

/// `uuid`: sixteen bytes.
pub(super) fn uuid(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    // What is marked so is made here: it has 32 digits.
    each_text(array, |text, out| {
        out.put_u128(u128::from_str_radix(&text.replace('-', ""), 16).unwrap_or_default());
    })
}

fn number(array: &dyn Array) -> Result<Writer<'_>, PgError> {
    /// A writer that cannot fail.
    macro_rules! plain {
        ($kind:ty, $value:ident, $out:ident, $put:expr) => {
            each::<$kind>(array, |$value, $out| {
                $put;
                Ok(())
            })
        };
    }
    match array.data_type() {
        DataType::Int8 => plain!(Int8Type, value, out, out.put_i16(i16::from(value))),
        DataType::UInt8 => plain!(UInt8Type, value, out, out.put_i16(i16::from(value))),
        DataType::Int16 => plain!(Int16Type, value, out, out.put_i16(value)),
        DataType::UInt16 => plain!(UInt16Type, value, out, out.put_i32(i32::from(value))),
        DataType::Int32 => plain!(Int32Type, value, out, out.put_i32(value)),
        DataType::UInt32 => plain!(UInt32Type, value, out, out.put_i64(i64::from(value))),
        DataType::Int64 => plain!(Int64Type, value, out, out.put_i64(value)),
        DataType::UInt64 => {
            plain!(UInt64Type, value, out, numeric::put_i128(out, i128::from(value), 0, numeric::binary))
        }
        DataType::Float16 => plain!(Float16Type, value, out, out.put_f32(value.to_f32())),
        DataType::Float32 => plain!(Float32Type, value, out, out.put_f32(value)),
        DataType::Float64 => plain!(Float64Type, value, out, out.put_f64(value)),
        _ => Err(MISMATCH),
    }
}
