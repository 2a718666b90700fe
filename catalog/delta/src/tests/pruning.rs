//! A selective predicate on a clustered column reads few files and few row groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::stats::Precision;
use deltalake::datafusion::prelude::{SessionContext, col, lit};

use super::{Lake, id_schema, ids, read, session};

fn clustered_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

/// Rows `from..to`, in the order of all their columns.
fn clustered(from: i64, to: i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(from..to)),
        Arc::new(StringArray::from_iter_values((from..to).map(|i| format!("name-{i:010}-with-a-long-tail-behind-it")))),
        Arc::new(TimestampMicrosecondArray::from_iter_values((from..to).map(|i| i * 1_000_001))),
    ];
    RecordBatch::try_new(clustered_schema(), columns).unwrap()
}

#[tokio::test]
async fn files_are_pruned() {
    let lake = Lake::with_table(&clustered_schema(), &[]).await;
    for file in 0..10 {
        lake.append(vec![clustered(file * 1000, (file + 1) * 1000)]).await.unwrap();
    }
    let raw = lake.latest().await.unwrap();
    for (filter, rows) in [
        (col("id").between(lit(4_200_i64), lit(4_209_i64)), 10),
        (col("name").eq(lit("name-0000004200-with-a-long-tail-behind-it")), 1),
        (col("at").eq(lit(datafusion_common::ScalarValue::TimestampMicrosecond(Some(4_200 * 1_000_001), None))), 1),
        (col("id").in_list(vec![lit(3_i64), lit(4_i64)], false), 2),
    ] {
        let reading = read(&raw, Some(&["id"]), Some(filter.clone())).await.unwrap();
        assert_eq!(reading.rows.num_rows(), rows, "{filter}");
        assert_eq!(reading.metric("files_opened"), 1, "{filter}");
    }
    let none = read(&raw, None, Some(col("id").gt(lit(1_000_000_i64)))).await.unwrap();
    assert_eq!((none.rows.num_rows(), none.metric("files_opened")), (0, 0));
    let all = read(&raw, None, Some(col("id").is_null())).await.unwrap();
    assert_eq!((all.rows.num_rows(), all.metric("files_opened")), (0, 0));
}

#[tokio::test]
async fn row_groups_are_pruned() {
    let lake = Lake::with_table(&clustered_schema(), &[]).await;
    let batches = (0..64).map(|i| clustered(i * 8192, (i + 1) * 8192)).collect();
    lake.append(batches).await.unwrap();
    let raw = lake.latest().await.unwrap();
    assert_eq!((raw.files(), raw.rows()), (1, Precision::Exact(64 * 8192)));
    let whole = read(&raw, Some(&["id", "name"]), None).await.unwrap();
    let few =
        read(&raw, Some(&["id", "name"]), Some(col("id").between(lit(300_000_i64), lit(300_009_i64)))).await.unwrap();
    assert_eq!(few.rows.num_rows(), 10);
    assert_eq!(few.metric("row_groups_pruned_statistics"), 3, "of four row groups");
    assert_eq!(few.metric("pushdown_rows_pruned"), 0, "row filters are off");
    assert!(few.metric("bytes_scanned") * 3 < whole.metric("bytes_scanned"));
}

#[tokio::test]
async fn scans_use_the_statistics() {
    let lake = Lake::with_table(&clustered_schema(), &[]).await;
    for file in 0..4 {
        lake.append(vec![clustered(file * 1000, (file + 1) * 1000)]).await.unwrap();
    }
    let raw = lake.latest().await.unwrap();
    let context = session();
    let plan = raw.scan(&context.state(), None, &[], None).await.unwrap();
    assert_eq!(plan.properties().partitioning.partition_count(), 2);
    context.register_table("t", raw.privileged_provider()).unwrap();
    let answered = async |sql: &str| {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        deltalake::datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
    };
    assert!(!answered("SELECT count(*), min(id), max(id) FROM t").await.contains("DataSourceExec"));
    assert!(answered("SELECT max(name) FROM t").await.contains("DataSourceExec"), "cut strings answer nothing");
    let limited = context.sql("SELECT id FROM t LIMIT 3").await.unwrap().collect().await.unwrap();
    assert_eq!(limited.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

#[tokio::test]
async fn a_scan_brings_its_object_store() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids([1])]).await.unwrap();
    let context = SessionContext::new();
    let raw = lake.latest().await.unwrap();
    let plan = raw.scan(&context.state(), None, &[], None).await.unwrap();
    let rows = datafusion_physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}
