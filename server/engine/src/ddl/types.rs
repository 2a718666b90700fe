//! SQL's types and Arrow's: what a table's column may be, and what it is called.
//!
//! Invariant: a type that Delta cannot keep as PostgreSQL means it is refused, never replaced by a near one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharLengthUnits, CharacterLength, DataType as Written, ExactNumberInfo, TimezoneInfo,
};
use lakeward_base::SqlState;
use lakeward_catalog::type_kind;

use crate::error::Error;
use crate::modifier::{self, Modifier, checked_length};

/// Delta's greatest precision.
const PRECISION: u64 = 38;

/// The type that a statement names: as Lakeward writes it, and as Arrow has it.
pub(crate) fn from_written(written: &Written) -> Result<(String, DataType), Error> {
    let plain = |name: &str| Ok((name.to_owned(), arrow_type(name)));
    match written {
        Written::SmallInt(None) | Written::Int2(None) => plain("smallint"),
        Written::Int(None) | Written::Integer(None) | Written::Int4(None) => plain("integer"),
        Written::BigInt(None) | Written::Int8(None) => plain("bigint"),
        Written::Real | Written::Float4 => plain("real"),
        Written::Double(ExactNumberInfo::None)
        | Written::DoublePrecision
        | Written::Float8
        | Written::Float(ExactNumberInfo::None) => plain("double precision"),
        Written::Float(ExactNumberInfo::Precision(digits)) => float(*digits),
        Written::Bool | Written::Boolean => plain("boolean"),
        Written::Text | Written::String(None) | Written::Varchar(None) | Written::CharacterVarying(None) => {
            plain("text")
        }
        Written::Date => plain("date"),
        Written::Varchar(Some(length))
        | Written::CharacterVarying(Some(length))
        | Written::CharVarying(Some(length)) => text("character varying", "varchar", Some(length)),
        Written::CharVarying(None) => plain("text"),
        Written::Char(length) | Written::Character(length) => text("character", "char", length.as_ref()),
        Written::Timestamp(digits @ (None | Some(0..=6)), zone) => Ok(moment(*digits, zone)),
        Written::Bytea => plain("bytea"),
        Written::Numeric(info) | Written::Decimal(info) | Written::Dec(info) => numeric(info),
        Written::Array(ArrayElemTypeDef::SquareBracket(inner, _)) => array(inner),
        other => Err(refused(other)),
    }
}

/// `name(length)`: text whose length is checked. Without one, a `char` is one character.
fn text(name: &str, short: &str, length: Option<&CharacterLength>) -> Result<(String, DataType), Error> {
    let length = match length {
        None => 1,
        Some(CharacterLength::IntegerLength { length, unit: None | Some(CharLengthUnits::Characters) }) => *length,
        Some(_) => return Err(Error::unsupported("this length of text").with_hint("Give a number of characters.")),
    };
    Ok((format!("{name}({})", checked_length(length, short)?), DataType::Utf8))
}

/// `timestamp`, `timestamptz`, with fewer digits than microseconds have where that is asked for.
fn moment(digits: Option<u64>, zone: &TimezoneInfo) -> (String, DataType) {
    let name = match zone {
        TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => "timestamp",
        TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => "timestamptz",
    };
    let sql_type = match digits {
        None | Some(6) => name.to_owned(),
        Some(digits) => format!("{name}({digits})"),
    };
    (sql_type, arrow_type(name))
}

fn float(digits: u64) -> Result<(String, DataType), Error> {
    match digits {
        1..=24 => Ok(("real".to_owned(), DataType::Float32)),
        25..=53 => Ok(("double precision".to_owned(), DataType::Float64)),
        _ => {
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "precision for type float must be between 1 and 53 bits"))
        }
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<(String, DataType), Error> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => {
            return Err(Error::unsupported("numeric without a precision")
                .with_hint("Write numeric(38, 10), or another precision and scale."));
        }
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let name =
        |precision: u8, scale: i8| (format!("numeric({precision},{scale})"), DataType::Decimal128(precision, scale));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits), Ok(fraction))
            if (1..=PRECISION).contains(&precision) && fraction >= 0 && i64::from(digits) >= scale =>
        {
            Ok(name(digits, fraction))
        }
        _ => Err(Error::unsupported(format!("numeric({precision},{scale})"))
            .with_hint("The precision is 1 to 38, the scale 0 to the precision.")),
    }
}

fn array(inner: &Written) -> Result<(String, DataType), Error> {
    let (name, element) = from_written(inner)?;
    if matches!(element, DataType::List(_)) {
        return Err(Error::unsupported("an array of arrays").with_hint("Use one dimension."));
    }
    if Modifier::of(&name).is_some() {
        let hint = "Use an array of text, or of timestamp.";
        return Err(Error::unsupported(format!("an array of {name}")).with_hint(hint));
    }
    Ok((format!("{name}[]"), list_of(element)))
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn refused(written: &Written) -> Error {
    let hint = match written {
        Written::Uuid | Written::Time(..) | Written::Interval { .. } => "Use text.",
        Written::JSON | Written::JSONB => "Use text, or columns.",
        Written::Timestamp(..) => "Use timestamp or timestamptz: they keep microseconds.",
        Written::Custom(name, _) if name.to_string().to_ascii_lowercase().ends_with("serial") => {
            "Use bigint, and give the values."
        }
        _ => "See the types of the SQL reference.",
    };
    let name: String = written.to_string().to_ascii_lowercase().chars().take(64).collect();
    let what =
        if name.contains('\'') { "that type of a column".to_owned() } else { format!("type {name} of a column") };
    Error::unsupported(what).with_hint(hint)
}

/// What a table's field is called: by its Arrow type, and by its metadata.
pub(crate) fn of_field(field: &Field) -> String {
    modifier::told(field).unwrap_or_else(|| sql_type(field.data_type()))
}

/// What Arrow has for a type as Lakeward writes it; text for what only shows as text.
pub(crate) fn arrow_type(sql_type: &str) -> DataType {
    let sql_type = type_kind(sql_type);
    if let Some(element) = sql_type.strip_suffix("[]") {
        return list_of(arrow_type(element));
    }
    if let Some(decimal) = decimal(sql_type) {
        return decimal;
    }
    match sql_type {
        "smallint" => DataType::Int16,
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "bytea" => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn decimal(sql_type: &str) -> Option<DataType> {
    let (precision, scale) = sql_type.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    Some(DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

/// What Lakeward writes for a type of Arrow's.
pub(crate) fn sql_type(arrow: &DataType) -> String {
    match arrow {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64 => return "numeric(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Boolean => "boolean",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            return format!("numeric({precision},{scale})");
        }
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return format!("numeric({precision},{scale})");
        }
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            return format!("{}[]", sql_type(field.data_type()));
        }
        DataType::Dictionary(_, value) => return sql_type(value),
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => "jsonb",
        _ => "text",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{arrow_type, sql_type};

    #[test]
    fn what_a_column_may_be_goes_there_and_back() {
        for name in [
            "smallint",
            "integer",
            "bigint",
            "real",
            "double precision",
            "boolean",
            "date",
            "timestamp",
            "timestamptz",
            "bytea",
            "text",
            "numeric(10,2)",
            "numeric(38,0)",
            "bigint[]",
            "numeric(5,1)[]",
        ] {
            assert_eq!(sql_type(&arrow_type(name)), name);
        }
    }
}
