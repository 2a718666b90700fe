//! Types as they are written, and as `cast` names them.
//!
//! Invariant: a length or a precision is applied or refused, never dropped.

use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, TimezoneInfo};
use lakeward_base::SqlState;

use super::node::single;
use crate::error::Error;

/// A type as `cast` names it; `None` leaves a cast to the planner.
pub(super) fn type_spec(data_type: &DataType) -> Result<Option<String>, Error> {
    let plain = |name: &str| Ok(Some(name.to_owned()));
    match data_type {
        DataType::SmallInt(None) | DataType::Int2(None) => plain("int2"),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => plain("int4"),
        DataType::BigInt(None) | DataType::Int8(None) => plain("int8"),
        DataType::Real | DataType::Float4 => plain("float4"),
        DataType::Float8
        | DataType::DoublePrecision
        | DataType::Double(ExactNumberInfo::None)
        | DataType::Float(ExactNumberInfo::None) => plain("float8"),
        DataType::Boolean | DataType::Bool => plain("bool"),
        DataType::Text | DataType::String(None) => plain("text"),
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            length_spec("varchar", length.as_ref().map(ToString::to_string))
        }
        DataType::Char(length) | DataType::Character(length) => {
            length_spec("char", Some(length.as_ref().map_or_else(|| "1".to_owned(), ToString::to_string)))
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric_spec(info),
        // Text is read as bytes by `bytea`, after planning.
        DataType::Bytea => Ok(None),
        DataType::Date => plain("date"),
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => plain("time"),
        DataType::Timestamp(precision, zone) => {
            let name = match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => "timestamp",
                TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => "timestamptz",
            };
            Ok(Some(precision.map_or_else(|| name.to_owned(), |precision| format!("{name}({precision})"))))
        }
        DataType::Interval { fields: None, precision: None } => plain("interval"),
        DataType::JSON => plain("json"),
        DataType::JSONB => plain("jsonb"),
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) => {
            Ok(type_spec(inner)?.map(|inner| format!("{inner}[]")))
        }
        DataType::Custom(name, modifiers) if modifiers.is_empty() => match single(name).as_deref() {
            Some("timestamptz") => plain("timestamptz"),
            Some("bpchar" | "name") => plain("text"),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

pub(super) fn length_spec(name: &str, length: Option<String>) -> Result<Option<String>, Error> {
    let Some(length) = length else { return Ok(Some(name.to_owned())) };
    match length.trim().parse::<u32>() {
        Ok(0) => {
            let message = format!("length for type {name} must be at least 1");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
        Ok(length) => Ok(Some(format!("{name}({length})"))),
        Err(_) => Ok(None),
    }
}

pub(super) fn numeric_spec(info: &ExactNumberInfo) -> Result<Option<String>, Error> {
    let check = |precision: u64, scale: i64| {
        if precision == 0 || precision > 1000 {
            let message = format!("NUMERIC precision {precision} must be between 1 and 1000");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        if precision > 38 || scale < 0 || scale.unsigned_abs() > precision {
            return Err(Error::unsupported("numeric of more than 38 digits, or of such a scale"));
        }
        Ok(Some(format!("numeric({precision},{scale})")))
    };
    match info {
        ExactNumberInfo::None => Ok(Some("numeric".to_owned())),
        ExactNumberInfo::Precision(precision) => check(*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => check(*precision, *scale),
    }
}
