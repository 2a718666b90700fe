//! Column types between Arrow and Delta: what a table may be made with, how it is described, and how it is read.
//!
//! Invariant: the schema that a scan is planned with is exactly what it yields; text and bytea are read as views.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::{EagerSnapshot, MetadataValue, StructType};
use lakeward_catalog::StoreError;

use crate::fault::{Fault, input};

/// Characters that a Parquet column name of an unmapped Delta table may not have.
const REFUSED_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

const MAX_DECIMAL_DIGITS: u8 = 38;

/// What a field's metadata may say of its type beyond Delta's: lengths as Spark keeps them, and Lakeward's own.
const TOLD: &[&str] = &["__CHAR_VARCHAR_TYPE_STRING", "lakeward.columnType"];

/// The Delta schema of a table to be made.
pub(crate) fn delta_schema(schema: &Schema, partition_by: &[String]) -> Result<StructType, StoreError> {
    let mut names = BTreeSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        check_name(field.name())?;
        if !names.insert(field.name().to_lowercase()) {
            return Err(StoreError::Unsupported("two columns whose names differ only in case".into()));
        }
        let data_type = stored_type(field.data_type())?;
        // Floats make file names of hundreds of digits, and are not for telling apart; bytea has no agreed spelling.
        let odd =
            matches!(data_type, DataType::Binary | DataType::Float32 | DataType::Float64) || data_type.is_nested();
        if odd && partition_by.contains(field.name()) {
            return Err(StoreError::Unsupported(
                "partitioning by a real, double precision, bytea, array or nested column".into(),
            ));
        }
        let field = Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone());
        fields.push(field);
    }
    if partition_by.iter().any(|column| schema.index_of(column).is_err()) {
        return Err(input("a partition column is not a column of the table"));
    }
    if partition_by.len() == schema.fields().len() {
        return Err(StoreError::Unsupported("a table without a column that is not a partition column".into()));
    }
    (&Schema::new(fields)).try_into_kernel().map_err(|_| StoreError::Unsupported("a column's type".into()))
}

/// Refuses what files cannot call a column.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.contains(REFUSED_IN_NAMES) {
        let what = "a column name that is empty or has one of ` ,;{}()=` or a line break";
        return Err(StoreError::Unsupported(what.into()));
    }
    Ok(())
}

/// The type that is stored for a type that a statement yields.
fn stored_type(data_type: &DataType) -> Result<DataType, StoreError> {
    Ok(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(TimeUnit::Microsecond, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::Decimal128(precision, scale) if *precision <= MAX_DECIMAL_DIGITS && *scale >= 0 => data_type.clone(),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32 => data_type.clone(),
        DataType::List(item) => DataType::List(stored_item(item)?),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_item).collect::<Result<_, _>>()?),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(fields) if fields.iter().all(|field| stored_type(field.data_type()).is_ok()) => {
                DataType::Map(Arc::clone(entries), *sorted)
            }
            _ => return Err(unstorable()),
        },
        _ => return Err(unstorable()),
    })
}

fn stored_item(item: &FieldRef) -> Result<FieldRef, StoreError> {
    Ok(Arc::new(Field::new(item.name(), stored_type(item.data_type())?, item.is_nullable())))
}

fn unstorable() -> StoreError {
    StoreError::Unsupported("a column of this type in a Delta table".into())
}

/// The table's schema as Delta declares it, without the fields' metadata.
pub(crate) fn declared_schema(snapshot: &EagerSnapshot) -> Result<SchemaRef, StoreError> {
    let declared: Schema = snapshot
        .schema()
        .as_ref()
        .try_into_arrow()
        .map_err(|_| Fault("the table's schema could not be understood").corrupt())?;
    let fields = declared.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), f.is_nullable()));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The schema of a scan: as declared, with views for text and bytea.
pub(crate) fn scan_schema(declared: &Schema) -> SchemaRef {
    let fields = declared.fields().iter().map(|f| Field::new(f.name(), scan_type(f.data_type()), f.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn scan_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Whether the file index can read every column (else deltalake's own scan does): scalars, and lists of them.
pub(crate) fn all_plain(declared: &Schema) -> bool {
    let is_scalar = |data_type: &DataType| !data_type.is_nested() && stored_type(data_type).is_ok();
    declared.fields().iter().all(|field| match field.data_type() {
        DataType::List(item) => is_scalar(item.data_type()),
        other => is_scalar(other),
    })
}

/// The table's columns with what their metadata says of their types.
pub(crate) fn described_schema(snapshot: &EagerSnapshot, declared: &SchemaRef) -> SchemaRef {
    let delta = snapshot.schema();
    let described = declared.fields().iter().map(|field| {
        let metadata = delta.field(field.name()).map(|found| found.metadata()).into_iter().flatten();
        let texts = metadata.filter_map(|(key, value)| match value {
            MetadataValue::String(text) if TOLD.contains(&key.as_str()) => Some((key.clone(), text.clone())),
            _ => None,
        });
        field.as_ref().clone().with_metadata(texts.collect())
    });
    Arc::new(Schema::new(described.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(data_type: DataType) -> Schema {
        Schema::new(vec![Field::new("a", data_type, true)])
    }

    #[test]
    fn types_are_allowed_by_name() {
        for data_type in [
            DataType::Utf8View,
            DataType::LargeBinary,
            DataType::Decimal128(38, 38),
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        ] {
            assert!(delta_schema(&one(data_type), &[]).is_ok());
        }
        for data_type in [
            DataType::UInt32,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Decimal256(40, 2),
            DataType::Decimal128(10, -2),
            DataType::Null,
        ] {
            assert!(matches!(delta_schema(&one(data_type), &[]), Err(StoreError::Unsupported(_))));
        }
    }

    #[test]
    fn names_that_parquet_refuses_are_refused() {
        for name in ["", "a b", "a=b", "a(b)"] {
            assert!(delta_schema(&Schema::new(vec![Field::new(name, DataType::Int32, true)]), &[]).is_err(), "{name}");
        }
        let twice = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("A", DataType::Int32, true)]);
        assert!(delta_schema(&twice, &[]).is_err());
    }

    #[test]
    fn partition_columns_are_checked() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Binary, true)]);
        assert!(delta_schema(&schema, &["a".into()]).is_ok());
        assert!(delta_schema(&schema, &["b".into()]).is_err());
        assert!(delta_schema(&schema, &["c".into()]).is_err());
        assert!(delta_schema(&one(DataType::Int32), &["a".into()]).is_err());
    }
}
