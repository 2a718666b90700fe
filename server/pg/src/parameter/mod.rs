//! Values of `$1`, `$2`, … from a Bind message: from PostgreSQL's text and binary forms to the prepared types.
//!
//! A value is read in the form of its wire type (the one that the client declared, or the one that was described to
//! it) and then cast to the type that the statement was prepared with. Invariant: no error holds the value.

mod binary;
mod moment;
mod number;
mod text;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion_common::ScalarValue;
use postgres_types::Type;

use crate::error::PgError;
use crate::message::Bind;
use crate::rows::Zone;
use crate::types::{Formats, of_parameter};

/// Which parameter is read, for errors, and what is wanted of it.
pub(crate) struct Wanted<'a> {
    number: usize,
    kind: &'a Type,
    target: &'a DataType,
    zone: Zone,
}

impl Wanted<'_> {
    fn invalid_text(&self) -> PgError {
        PgError::InvalidText { number: self.number, type_name: name_of(self.kind) }
    }

    fn invalid_time(&self) -> PgError {
        PgError::InvalidTime { number: self.number, type_name: name_of(self.kind) }
    }

    fn invalid_binary(&self) -> PgError {
        PgError::InvalidBinary(self.number)
    }

    fn out_of_range(&self) -> PgError {
        PgError::OutOfRange { number: self.number, type_name: name_of(self.kind) }
    }

    fn unsupported(&self) -> PgError {
        PgError::UnsupportedParameter(self.number)
    }
}

/// PostgreSQL's name of a type, as its messages have it.
fn name_of(kind: &Type) -> &'static str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::OID => "oid",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::NUMERIC => "numeric",
        Type::BYTEA => "bytea",
        Type::DATE => "date",
        Type::TIME => "time",
        Type::TIMESTAMP => "timestamp",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::INTERVAL => "interval",
        Type::UUID => "uuid",
        _ => "text",
    }
}

/// The type to prepare a statement with where the client declared `oid`; `None` leaves it to the statement.
pub(crate) fn hint(oid: u32) -> Option<DataType> {
    Some(match Type::from_oid(oid)? {
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
        // A numeric parameter has no precision and scale of its own.
        _ => return None,
    })
}

/// The OIDs to describe parameters with: the client's own where it declared them.
pub(crate) fn oids(declared: &[u32], types: &[DataType]) -> Vec<u32> {
    let own = |(index, data_type): (usize, &DataType)| {
        let declared = declared.get(index).copied().filter(|oid| *oid != 0 && *oid != Type::UNKNOWN.oid());
        declared.unwrap_or_else(|| of_parameter(data_type).unwrap_or(Type::TEXT).oid())
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
        let wanted = Wanted { number: index + 1, kind: &kind, target, zone };
        match value {
            None => ScalarValue::try_new_null(target).map_err(|_| wanted.unsupported()),
            Some(value) => read_value(&wanted, value, formats.is_binary(index)),
        }
    };
    bind.parameters.iter().zip(types).zip(oids).enumerate().map(read).collect()
}

fn read_value(wanted: &Wanted<'_>, value: &[u8], is_binary: bool) -> Result<ScalarValue, PgError> {
    let natural = if is_binary {
        binary::read(wanted, value)?
    } else {
        let text = std::str::from_utf8(value).map_err(|_| PgError::InvalidUtf8)?;
        if text.contains('\0') {
            return Err(PgError::InvalidUtf8);
        }
        text::read(wanted, text)?
    };
    // The cast's own error text would hold the value.
    natural.cast_to(wanted.target).map_err(|_| match natural {
        ScalarValue::Utf8(_) => wanted.invalid_text(),
        _ => wanted.out_of_range(),
    })
}

#[cfg(test)]
mod tests;
