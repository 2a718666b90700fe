//! The types that columns have, as GetXdbcTypeInfo and GetTables tell of them.
//!
//! Invariant: what is listed is what CREATE TABLE takes, under the names that `docs/sql.md` gives it.

use std::sync::OnceLock;

use arrow::datatypes::DataType;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use lakeward_engine::Error;

use crate::status::internal;

/// What a column's type is called, and how many digits it has.
pub(crate) struct Said {
    /// As SQL names it.
    pub(crate) name: String,
    /// Digits, decimal ones.
    pub(crate) precision: Option<i32>,
    /// Digits behind the point.
    pub(crate) scale: Option<i32>,
}

/// What is said of columns of a type.
pub(crate) fn of(data_type: &DataType) -> Said {
    let said = |name: &str, precision, scale| Said { name: name.to_owned(), precision, scale };
    match data_type {
        DataType::Boolean => said("boolean", None, None),
        DataType::Int16 => said("smallint", Some(5), Some(0)),
        DataType::Int32 => said("integer", Some(10), Some(0)),
        DataType::Int64 => said("bigint", Some(19), Some(0)),
        DataType::Float32 => said("real", Some(6), None),
        DataType::Float64 => said("double precision", Some(15), None),
        DataType::Decimal128(precision, scale) => said("numeric", Some(i32::from(*precision)), Some(i32::from(*scale))),
        DataType::Date32 => said("date", Some(10), None),
        DataType::Timestamp(_, None) => said("timestamp", Some(26), Some(6)),
        DataType::Timestamp(_, Some(_)) => said("timestamptz", Some(32), Some(6)),
        DataType::Binary => said("bytea", None, None),
        DataType::List(item) => said(&format!("{}[]", of(item.data_type()).name), None, None),
        _ => said("text", None, None),
    }
}

/// Every type.
///
/// # Errors
/// XX000 where the list cannot be built.
pub(crate) fn all() -> Result<&'static XdbcTypeInfoData, Error> {
    static TYPES: OnceLock<Option<XdbcTypeInfoData>> = OnceLock::new();
    TYPES.get_or_init(|| build().build().ok()).as_ref().ok_or_else(internal)
}

fn build() -> XdbcTypeInfoDataBuilder {
    let mut types = XdbcTypeInfoDataBuilder::new();
    let mut add = |data_type: DataType, xdbc: XdbcDataType, radix: Option<i32>| {
        let said = of(&data_type);
        types.append(XdbcTypeInfo {
            column_size: said.precision,
            unsigned_attribute: radix.map(|_| false),
            fixed_prec_scale: false,
            auto_increment: radix.map(|_| false),
            minimum_scale: said.scale.map(|scale| if data_type.is_decimal() { 0 } else { scale }),
            maximum_scale: said.scale,
            num_prec_radix: radix,
            ..named(&said.name, xdbc)
        });
    };
    add(DataType::Int16, XdbcDataType::XdbcSmallint, Some(10));
    add(DataType::Int32, XdbcDataType::XdbcInteger, Some(10));
    add(DataType::Int64, XdbcDataType::XdbcBigint, Some(10));
    add(DataType::Float32, XdbcDataType::XdbcReal, Some(10));
    add(DataType::Float64, XdbcDataType::XdbcDouble, Some(10));
    types.append(XdbcTypeInfo {
        column_size: Some(38),
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        num_prec_radix: Some(10),
        ..named("numeric", XdbcDataType::XdbcNumeric)
    });
    types.append(named("boolean", XdbcDataType::XdbcBit));
    types.append(XdbcTypeInfo { case_sensitive: true, ..quoted(named("text", XdbcDataType::XdbcVarchar)) });
    types.append(quoted(named("bytea", XdbcDataType::XdbcVarbinary)));
    let time = |name, xdbc, subcode, scale: Option<i32>| XdbcTypeInfo {
        column_size: of_time(name),
        minimum_scale: scale,
        maximum_scale: scale,
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..quoted(named(name, xdbc))
    };
    // The code of years is that of dates, too.
    types.append(time("date", XdbcDataType::XdbcDate, XdbcDatetimeSubcode::XdbcSubcodeYear, None));
    let stamp = XdbcDatetimeSubcode::XdbcSubcodeTimestamp;
    types.append(time("timestamp", XdbcDataType::XdbcTimestamp, stamp, Some(6)));
    let with_zone = XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone;
    types.append(time("timestamptz", XdbcDataType::XdbcTimestamp, with_zone, Some(6)));
    types
}

fn of_time(name: &str) -> Option<i32> {
    match name {
        "date" => Some(10),
        "timestamp" => Some(26),
        _ => Some(32),
    }
}

fn named(name: &str, xdbc: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type: xdbc,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: xdbc,
        ..XdbcTypeInfo::default()
    }
}

fn quoted(info: XdbcTypeInfo) -> XdbcTypeInfo {
    XdbcTypeInfo { literal_prefix: Some("'".to_owned()), literal_suffix: Some("'".to_owned()), ..info }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_listed_once() {
        assert_eq!(all().unwrap().record_batch(None).unwrap().num_rows(), 12);
        assert_eq!(all().unwrap().record_batch(XdbcDataType::XdbcTimestamp as i32).unwrap().num_rows(), 2);
    }
}
