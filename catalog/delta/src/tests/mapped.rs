//! Tables with deletion vectors and mapped columns are read right, through deltalake's scan.

use std::collections::HashMap;
use std::fs;

use datafusion_common::stats::Precision;
use deltalake::datafusion::prelude::{col, lit};
use deltalake::kernel::{DataType, PrimitiveType};
use deltalake::operations::create::CreateBuilder;
use lakeward_catalog::TableStore;
use serde_json::{Value, json};

use super::{Lake, id_schema, ids, read, sorted_ids};

/// Z85, as the protocol encodes inline deletion vectors.
fn z85(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let mut text = String::new();
    for chunk in bytes.chunks(4) {
        let mut number = u32::from_be_bytes(chunk.try_into().unwrap());
        let mut digits = [0_u8; 5];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[(number % 85) as usize];
            number /= 85;
        }
        text.push_str(std::str::from_utf8(&digits).unwrap());
    }
    text
}

/// An inline deletion vector of the given rows of a file: a 64-bit roaring bitmap in its portable form.
fn deletion_vector(rows: &[u16]) -> Value {
    let mut bytes = Vec::new();
    bytes.extend(1_681_511_377_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes()); // one 32-bit bitmap
    bytes.extend(0_u32.to_le_bytes()); // of the rows below 2^32
    bytes.extend(12_346_u32.to_le_bytes()); // without run containers
    bytes.extend(1_u32.to_le_bytes()); // one container
    bytes.extend(0_u16.to_le_bytes()); // of the rows below 2^16
    bytes.extend((rows.len() as u16 - 1).to_le_bytes());
    bytes.extend(16_u32.to_le_bytes()); // where the container begins
    rows.iter().for_each(|row| bytes.extend(row.to_le_bytes()));
    let size = bytes.len();
    bytes.resize(size.next_multiple_of(4), 0);
    json!({"storageType": "i", "pathOrInlineDv": z85(&bytes), "sizeInBytes": size, "cardinality": rows.len()})
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_stay_deleted() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids(0..10)]).await.unwrap();
    let log = fs::read_to_string(lake.log(1)).unwrap();
    let mut add =
        log.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).find_map(|v| v.get("add").cloned()).unwrap();
    let remove = json!({"remove": {"path": add["path"], "dataChange": true, "deletionTimestamp": 1}});
    add["deletionVector"] = deletion_vector(&[0, 3, 5, 9]);
    let protocol = json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}});
    let lines = [protocol, remove, json!({"add": add})].map(|line| line.to_string()).join("\n");
    fs::write(lake.log(2), lines).unwrap();

    let raw = lake.latest().await.unwrap();
    assert_eq!((raw.version(), raw.rows()), (2, Precision::Exact(6)));
    assert_eq!(sorted_ids(&raw).await, [1, 2, 4, 6, 7, 8]);
    let reading = read(&raw, None, Some(col("id").lt(lit(4_i64)))).await.unwrap();
    assert_eq!(reading.rows.num_rows(), 2);
    assert_eq!(reading.rows.schema().fields(), raw.schema().fields());
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_columns_are_read_by_their_names() {
    let lake = Lake::new();
    fs::create_dir_all(lake.path()).unwrap();
    let configuration = HashMap::from([("delta.columnMapping.mode".to_owned(), Some("name".to_owned()))]);
    CreateBuilder::new()
        .with_location(lake.location())
        .with_column("id", DataType::Primitive(PrimitiveType::Long), true, None)
        .with_configuration(configuration)
        .await
        .unwrap();
    lake.append(vec![ids([3, 1, 2])]).await.unwrap();
    let raw = lake.latest().await.unwrap();
    assert_eq!(sorted_ids(&raw).await, [1, 2, 3]);
    assert_eq!(read(&raw, None, Some(col("id").gt(lit(1_i64)))).await.unwrap().rows.num_rows(), 2);
    assert_eq!(lake.store.describe(&lake.location()).await.unwrap().schema.fields(), id_schema().fields());
}
