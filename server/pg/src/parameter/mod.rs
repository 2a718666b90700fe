//! Values of `$1`, `$2`, … from a Bind message: from PostgreSQL's text and binary forms to the prepared types.
//!
//! A value is read in the form of its wire type (the one that the client declared, or the one that was described to
//! it) and then cast to the type that the statement was prepared with. COPY's fields are read by the same functions.
//! Invariant: no error holds the value.

mod array;
mod binary;
mod number;
mod text;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion_common::ScalarValue;
use lakeward_base::{Coded, SqlState};
use lakeward_engine::{Error, NUMERIC};
use postgres_types::{Kind, Type};

use crate::error::PgError;
use crate::message::Bind;
use crate::rows::Zone;
use crate::types::{Formats, asked_for};

/// What is wanted of a value.
pub(crate) struct Wanted<'a> {
    /// The type as which it was sent.
    pub(crate) kind: &'a Type,
    /// The type that it is to have.
    pub(crate) target: &'a DataType,
    /// The session's.
    pub(crate) zone: Zone,
}

impl Wanted<'_> {
    fn invalid_text(&self) -> Error {
        let message = format!("invalid input syntax for type {}", name_of(self.kind));
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    }

    fn invalid_binary(&self) -> Error {
        Error::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format")
    }

    fn invalid_utf8(&self) -> Error {
        Error::from_coded(&PgError::InvalidUtf8)
    }

    fn out_of_range(&self) -> Error {
        let code = match *self.kind {
            Type::DATE | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => SqlState::DATETIME_FIELD_OVERFLOW,
            _ => SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        };
        Error::new(code, format!("{} out of range", name_of(self.kind)))
    }

    fn unsupported(&self) -> Error {
        Error::unsupported(format!("a value of type {} here", self.kind.name()))
    }
}

/// PostgreSQL's name of a type, as its messages have it.
fn name_of(kind: &Type) -> &str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => "text",
        _ => kind.name(),
    }
}

/// The type to prepare a statement with where the client declared `oid`; `None` leaves it to the statement.
pub(crate) fn hint(oid: u32) -> Option<DataType> {
    let kind = Type::from_oid(oid)?;
    if kind == Type::NUMERIC {
        return Some(NUMERIC);
    }
    if let Kind::Array(element) = kind.kind() {
        let element = natural(element)?;
        return Some(DataType::List(std::sync::Arc::new(Field::new("item", element, true))));
    }
    natural(&kind)
}

/// The Arrow type that holds all values of a type.
fn natural(kind: &Type) -> Option<DataType> {
    Some(match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UUID | Type::JSON | Type::JSONB => {
            DataType::Utf8
        }
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        // Nothing is told of the scale of its elements.
        _ => return None,
    })
}

/// The OIDs to describe parameters with: the client's own where it declared them.
pub(crate) fn oids(declared: &[u32], types: &[DataType]) -> Vec<u32> {
    let own = |(index, data_type): (usize, &DataType)| {
        let declared = declared.get(index).copied().filter(|oid| *oid != 0 && *oid != Type::UNKNOWN.oid());
        declared.unwrap_or_else(|| asked_for(data_type).unwrap_or(Type::TEXT).oid())
    };
    types.iter().enumerate().map(own).collect()
}

/// Reads all parameters of a Bind message.
pub(crate) fn decode(bind: &Bind, oids: &[u32], types: &[DataType], zone: Zone) -> Result<Vec<ScalarValue>, PgError> {
    let (supplied, required) = (bind.parameters.len(), types.len());
    let formats = Formats::new(&bind.parameter_formats, supplied, "parameter")?;
    if supplied != required {
        return Err(PgError::ParameterCount { supplied, required });
    }
    let read = |(index, ((value, target), oid)): (usize, ((&Option<bytes::Bytes>, &DataType), &u32))| {
        let kind = Type::from_oid(*oid).ok_or(PgError::UnsupportedParameter(index + 1))?;
        let wanted = Wanted { kind: &kind, target, zone };
        let value = match value {
            None => ScalarValue::try_new_null(target).map_err(|_| wanted.unsupported()),
            Some(value) => read_value(&wanted, value, formats.is_binary(index)),
        };
        value.map_err(|error| of_parameter(error, index + 1, &bind.portal))
    };
    bind.parameters.iter().zip(types).zip(oids).enumerate().map(read).collect()
}

/// The error of a parameter, which PostgreSQL's context numbers.
fn of_parameter(error: Error, number: usize, portal: &str) -> PgError {
    let error = if error.sqlstate() == SqlState::INVALID_BINARY_REPRESENTATION {
        Error::new(error.sqlstate(), format!("{error} in bind parameter {number}"))
    } else {
        error
    };
    let portal = if portal.is_empty() { "unnamed portal".to_owned() } else { format!("portal \"{portal}\"") };
    PgError::Value(Box::new(error.with_context(format!("{portal} parameter ${number}"))))
}

/// Reads a value, and brings it to the type wanted.
pub(crate) fn read_value(wanted: &Wanted<'_>, value: &[u8], is_binary: bool) -> Result<ScalarValue, Error> {
    let natural = if is_binary {
        binary::read(wanted, value)?
    } else {
        let text = std::str::from_utf8(value).map_err(|_| wanted.invalid_utf8())?;
        text::read(wanted, text)?
    };
    if natural.data_type() == *wanted.target {
        return Ok(natural);
    }
    // The cast's own error text would hold the value.
    natural.cast_to(wanted.target).map_err(|_| match natural {
        ScalarValue::Utf8(_) => wanted.invalid_text(),
        _ => wanted.out_of_range(),
    })
}

#[cfg(test)]
mod tests;
