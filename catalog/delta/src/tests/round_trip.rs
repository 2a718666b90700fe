//! Every type comes back as it was written, partitioned or not, and every version stays what it was.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::stats::Precision;
use deltalake::datafusion::prelude::{col, lit};
use lakeward_catalog::{StoreError, TableStore, VersionSelector, WriteMode};

use super::{Lake, id_schema, ids, note, read, sorted_ids, stream};

/// 0001-01-01 and 9999-12-31T23:59:59.999999 in microseconds: what Delta's timestamps may be.
const FIRST_MICROS: i64 = -62_135_596_800_000_000;
const LAST_MICROS: i64 = 253_402_300_799_999_999;

/// Three rows of every type: the least, null, the greatest.
fn every_type() -> RecordBatch {
    let (least, greatest) = (-(10_i128.pow(38) - 1), 10_i128.pow(38) - 1);
    let micros = || TimestampMicrosecondArray::from(vec![Some(FIRST_MICROS), None, Some(LAST_MICROS)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)]))),
        ("small", Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
        ("int", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
        ("big", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("real", Arc::new(Float32Array::from(vec![Some(f32::NEG_INFINITY), None, Some(f32::NAN)]))),
        ("double", Arc::new(Float64Array::from(vec![Some(f64::MIN), None, Some(f64::MIN_POSITIVE)]))),
        (
            "amount",
            Arc::new(
                Decimal128Array::from(vec![Some(least), None, Some(greatest)])
                    .with_precision_and_scale(38, 10)
                    .unwrap(),
            ),
        ),
        (
            "price",
            Arc::new(Decimal128Array::from(vec![Some(-1), None, Some(99_999)]).with_precision_and_scale(5, 2).unwrap()),
        ),
        ("text", Arc::new(StringArray::from(vec![Some(""), None, Some("é\u{0}𝄞 a string longer than twelve bytes")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(b"".as_slice()), None, Some(&[0, 255, 10])]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-719_162), None, Some(2_932_896)]))),
        ("at", Arc::new(micros())),
        ("at_zone", Arc::new(micros().with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The rows of `batch` in `key`'s order and in the types of `like`.
fn comparable(batch: &RecordBatch, like: &SchemaRef) -> RecordBatch {
    let key = cast(batch.column_by_name("key").unwrap(), &DataType::Int32).unwrap();
    let order = arrow::compute::sort_to_indices(&key, None, None).unwrap();
    let columns = like.fields().iter().map(|f| cast(batch.column_by_name(f.name()).unwrap(), f.data_type()).unwrap());
    let batch = RecordBatch::try_new(Arc::clone(like), columns.collect()).unwrap();
    take_record_batch(&batch, &order).unwrap()
}

#[tokio::test]
async fn every_type_comes_back() {
    let written = every_type();
    let lake = Lake::with_table(&written.schema(), &[]).await;
    let result = lake.append(vec![written.clone()]).await.unwrap();
    assert_eq!((result.version, result.rows), (1, 3));

    let description = lake.store.describe(&lake.location()).await.unwrap();
    assert_eq!(description.version, 1);
    assert_eq!(description.schema.fields(), written.schema().fields());

    let raw = lake.latest().await.unwrap();
    assert_eq!((raw.version(), raw.rows(), raw.files()), (1, Precision::Exact(3), 1));
    assert_eq!(raw.schema().field_with_name("text").unwrap().data_type(), &DataType::Utf8View);
    assert_eq!(raw.schema().field_with_name("bytes").unwrap().data_type(), &DataType::BinaryView);
    let reading = read(&raw, None, None).await.unwrap();
    assert_eq!(reading.rows.schema().fields(), raw.schema().fields());
    assert_eq!(comparable(&reading.rows, &written.schema()), written);
}

#[tokio::test]
async fn every_type_partitions() {
    let written = every_type();
    for column in written
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .filter(|name| !["bytes", "key", "real", "double"].contains(&name.as_str()))
    {
        let lake = Lake::with_table(&written.schema(), &[&column]).await;
        // The protocol has no word for an empty partition value but null.
        let written = if column == "text" { written.slice(1, 2) } else { written.clone() };
        lake.append(vec![written.clone()]).await.unwrap_or_else(|e| panic!("{column}: {e:?}"));
        let raw = lake.latest().await.unwrap();
        assert_eq!(raw.files(), written.num_rows(), "{column}");
        let reading = read(&raw, None, None).await.unwrap();
        assert_eq!(reading.rows.schema().fields(), raw.schema().fields(), "{column}");
        assert_eq!(comparable(&reading.rows, &written.schema()), written, "{column}");
        let nulls = read(&raw, Some(&["key"]), Some(col(&column).is_null())).await.unwrap();
        assert_eq!(nulls.rows.num_rows(), 1, "{column}");
    }
}

#[tokio::test]
async fn partition_columns_may_stand_anywhere() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("p", DataType::Utf8, true),
        Field::new("b", DataType::Int32, true),
    ]));
    let lake = Lake::with_table(&schema, &["p"]).await;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("x y/z%=ü"), Some("z"), None])),
        Arc::new(Int32Array::from(vec![10, 20, 30])),
    ];
    lake.append(vec![RecordBatch::try_new(schema, columns).unwrap()]).await.unwrap();
    let raw = lake.latest().await.unwrap();
    let reading = read(&raw, Some(&["b", "p"]), Some(col("p").eq(lit("x y/z%=ü")))).await.unwrap();
    assert_eq!(reading.rows.num_rows(), 1);
    assert_eq!(
        cast(reading.rows.column(0), &DataType::Int64).unwrap().as_ref(),
        &Int64Array::from(vec![10]) as &dyn Array
    );
    assert_eq!(reading.metric("files_opened"), 1, "only the partition's file was read");
}

#[tokio::test]
async fn declared_not_null_columns_come_back_so() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let lake = Lake::with_table(&schema, &[]).await;
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    lake.append(vec![rows]).await.unwrap();
    let raw = lake.latest().await.unwrap();
    assert!(!raw.schema().field(0).is_nullable());
    assert_eq!(sorted_ids(&raw).await, [1]);
    let null = RecordBatch::try_new(id_schema(), vec![Arc::new(Int64Array::from(vec![None]))]).unwrap();
    assert!(matches!(lake.append(vec![null]).await, Err(StoreError::Input(_))));
}

#[tokio::test]
async fn each_version_stays_what_it_was() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    for i in 1..=8 {
        lake.append(vec![ids([i])]).await.unwrap();
    }
    lake.store.write(&lake.table(), WriteMode::Overwrite, stream(vec![ids([100])]), &note()).await.unwrap();
    let table = lake.table();
    let at = |version| lake.store.open(&table, VersionSelector::Exact(version));
    for version in [0_u64, 3, 8, 1, 3, 0, 7, 5, 2] {
        let raw = at(version).await.unwrap();
        assert_eq!(raw.version(), version);
        assert_eq!(raw.rows(), Precision::Exact(version as usize));
        assert_eq!(sorted_ids(&raw).await, (1..=version as i64).collect::<Vec<_>>());
    }
    assert_eq!(sorted_ids(&at(9).await.unwrap()).await, [100]);
    assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [100]);
    assert!(matches!(at(10).await, Err(StoreError::VersionNotFound { version: 10, newest: 9 })));
}

#[tokio::test]
async fn an_empty_text_is_no_partition_value() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("p", DataType::Utf8, true)]));
    let lake = Lake::with_table(&schema, &["p"]).await;
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec![""]))];
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    assert!(matches!(lake.append(vec![rows]).await, Err(StoreError::Input(_))));
}
