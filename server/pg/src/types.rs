//! PostgreSQL's types for Arrow's: OIDs, lengths, modifiers, names.
//!
//! Invariant: a type that is sent under an OID is sent in exactly that type's text and binary forms.

use arrow::datatypes::{DataType, Field, SchemaRef};
use lakeward_engine::{CatalogType, catalog_type};
use pgwire::messages::data::FieldDescription;
use postgres_types::{Kind, Type};

use crate::error::PgError;

/// PostgreSQL's own limit on a result's columns.
const MAX_COLUMNS: usize = 1664;

/// The PostgreSQL type under which values of `data_type` are sent; `None` where there is none.
pub(crate) fn of_arrow(data_type: &DataType) -> Option<Type> {
    Some(match data_type {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::Int64 | DataType::UInt32 => Type::INT8,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::TEXT,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Type::BYTEA,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::Struct(_) | DataType::Map(..) => Type::JSONB,
        DataType::Dictionary(_, value) => of_arrow(value)?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => array_of(&of_arrow(item.data_type())?)?,
        DataType::Union(..) | DataType::RunEndEncoded(..) => return None,
    })
}

/// The PostgreSQL type of a result's column: as its Arrow type says, but for the catalog's own types.
pub(crate) fn of_field(field: &Field) -> Option<Type> {
    match catalog_type(field) {
        Some(CatalogType::Oid) => Some(Type::OID),
        Some(CatalogType::Function) => Some(Type::REGPROC),
        Some(CatalogType::Name) => Some(Type::NAME),
        Some(CatalogType::Char) => Some(Type::CHAR),
        Some(CatalogType::Json) => Some(Type::JSON),
        Some(CatalogType::Jsonb) => Some(Type::JSONB),
        Some(CatalogType::Uuid) => Some(Type::UUID),
        None => of_arrow(field.data_type()),
    }
}

/// The PostgreSQL type that a parameter is asked for as. What is 32 bits without a sign is an OID: tables have no such
/// columns.
pub(crate) fn asked_for(data_type: &DataType) -> Option<Type> {
    match data_type {
        DataType::UInt32 => Some(Type::OID),
        DataType::List(item) if item.data_type() == &DataType::UInt32 => Some(Type::OID_ARRAY),
        other => of_arrow(other),
    }
}

/// The array type of an element type; an array of arrays has the type of its innermost elements.
fn array_of(element: &Type) -> Option<Type> {
    if matches!(element.kind(), Kind::Array(_)) {
        return Some(element.clone());
    }
    [
        Type::BOOL_ARRAY,
        Type::INT2_ARRAY,
        Type::INT4_ARRAY,
        Type::INT8_ARRAY,
        Type::FLOAT4_ARRAY,
        Type::FLOAT8_ARRAY,
        Type::NUMERIC_ARRAY,
        Type::TEXT_ARRAY,
        Type::BYTEA_ARRAY,
        Type::DATE_ARRAY,
        Type::TIME_ARRAY,
        Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL_ARRAY,
        Type::JSONB_ARRAY,
    ]
    .into_iter()
    .find(|array| matches!(array.kind(), Kind::Array(member) if member == element))
}

/// The length of a type's values, or a negative number.
fn length(oid: &Type) -> i16 {
    match *oid {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::OID | Type::REGPROC | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL | Type::UUID => 16,
        Type::NAME => 64,
        _ => -1,
    }
}

/// `numeric(p, s)` as a type modifier; −1 for everything else.
fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4,
        DataType::Dictionary(_, value) => modifier(value),
        _ => -1,
    }
}

/// The description of a result's columns, in the formats that were asked for.
pub(crate) fn describe(schema: &SchemaRef, formats: &Formats) -> Result<Vec<FieldDescription>, PgError> {
    if schema.fields().len() > MAX_COLUMNS {
        return Err(PgError::LimitExceeded("a result can have at most 1664 columns"));
    }
    let describe_field = |(index, field): (usize, &std::sync::Arc<Field>)| {
        let oid = of_field(field).ok_or_else(|| PgError::UnsupportedColumn(field.name().clone()))?;
        let mut name = field.name().clone();
        name.retain(|character| character != '\0');
        let format = i16::from(formats.is_binary(index));
        Ok(FieldDescription::new(name, 0, 0, oid.oid(), length(&oid), modifier(field.data_type()), format))
    };
    schema.fields().iter().enumerate().map(describe_field).collect()
}

/// Whether two results look the same to a client that has had the first one described.
pub(crate) fn same_shape(described: &SchemaRef, actual: &SchemaRef) -> bool {
    described.fields().len() == actual.fields().len()
        && described
            .fields()
            .iter()
            .zip(actual.fields())
            .all(|(left, right)| left.data_type() == right.data_type() || of_field(left) == of_field(right))
}

/// Format codes as Bind gives them: none is text for all, one stands for all, else one for each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Formats(Vec<bool>);

impl Formats {
    /// Checks the codes against the number of values they are for.
    pub(crate) fn new(codes: &[i16], count: usize, what: &'static str) -> Result<Self, PgError> {
        if codes.len() > 1 && codes.len() != count {
            return Err(PgError::FormatCount { what, formats: codes.len(), count });
        }
        let binary = |code: &i16| match code {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(PgError::UnknownFormat(*other)),
        };
        codes.iter().map(binary).collect::<Result<_, _>>().map(Self)
    }

    /// Whether value `index` is in binary.
    pub(crate) fn is_binary(&self, index: usize) -> bool {
        match self.0.as_slice() {
            [all] => *all,
            each => each.get(index).copied().unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Formats, asked_for, describe, of_arrow};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use postgres_types::Type;
    use std::sync::Arc;

    #[test]
    fn arrays_have_their_elements_array_type() {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        assert_eq!(of_arrow(&list(DataType::Utf8View)), Some(Type::TEXT_ARRAY));
        assert_eq!(asked_for(&list(DataType::UInt32)), Some(Type::OID_ARRAY));
        assert_eq!(asked_for(&DataType::UInt32), Some(Type::OID));
        assert_eq!(asked_for(&list(DataType::Int32)), Some(Type::INT4_ARRAY));
        assert_eq!(of_arrow(&list(list(DataType::Int32))), Some(Type::INT4_ARRAY));
        let tz = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        assert_eq!(of_arrow(&list(tz)), Some(Type::TIMESTAMPTZ_ARRAY));
    }

    #[test]
    fn numeric_keeps_precision_and_scale() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Decimal128(10, 2), true)]));
        let fields = describe(&schema, &Formats::new(&[1], 1, "result").unwrap()).unwrap();
        assert_eq!((fields[0].type_id, fields[0].type_modifier, fields[0].type_size), (1700, (10 << 16 | 2) + 4, -1));
        assert_eq!(fields[0].format_code, 1);
    }

    #[test]
    fn format_codes_are_counted_and_checked() {
        assert!(Formats::new(&[0, 1], 3, "result").is_err());
        assert!(Formats::new(&[2], 1, "result").is_err());
        assert!(!Formats::new(&[], 3, "result").unwrap().is_binary(2));
        assert!(Formats::new(&[1], 3, "result").unwrap().is_binary(2));
    }
}
