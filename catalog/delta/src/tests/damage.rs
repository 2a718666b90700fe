//! Damaged, missing, and too modern tables: one clear error each, without a word of what was read.

use std::error::Error as StdError;
use std::fs;

use lakeward_base::{Coded, SqlState};
use lakeward_catalog::{StoreError, TableStore, VersionSelector};
use serde_json::{Value, json};

use super::{Lake, id_schema, ids, sorted_ids};
use crate::DeltaStore;

const SECRET: &str = "123-45-6789";

/// The error's whole text: its own, its sources', and its debug form.
fn whole_text(error: &StoreError) -> String {
    let mut text = format!("{error:?}");
    let mut next: Option<&dyn StdError> = Some(error);
    while let Some(current) = next {
        text.push_str(&current.to_string());
        next = current.source();
    }
    text
}

fn assert_clean(error: &StoreError, lake: &Lake) {
    let text = whole_text(error);
    assert!(!text.contains(SECRET) && !text.contains(lake.path().to_str().unwrap()), "{text}");
}

async fn lake_with_rows() -> Lake {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids([1, 2])]).await.unwrap();
    lake
}

#[tokio::test]
async fn a_damaged_log_is_corrupt() {
    let line = format!("{{\"add\":{{\"path\":\"{SECRET}\n");
    let no_schema =
        format!("{{\"metaData\":{{\"id\":\"x\",\"schemaString\":\"{SECRET}\",\"partitionColumns\":[]}}}}\n");
    for damage in [line.as_bytes(), no_schema.as_bytes(), &[0xff, 0xfe, b'{', 0]] {
        let lake = lake_with_rows().await;
        assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [1, 2]);
        fs::write(lake.log(2), damage).unwrap();
        // Brought forward onto the damage, then read from nothing.
        for store in [&lake.store, &DeltaStore::new().unwrap()] {
            let error = store.open(&lake.table(), VersionSelector::Latest).await.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
            assert_eq!(error.sqlstate(), SqlState::DATA_CORRUPTED);
            assert_clean(&error, &lake);
        }
        assert_clean(&lake.append(vec![ids([3])]).await.unwrap_err(), &lake);
        fs::remove_file(lake.log(2)).unwrap();
        assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [1, 2], "the store lives on");
    }
}

#[tokio::test]
async fn a_log_with_a_gap_is_corrupt() {
    let lake = lake_with_rows().await;
    lake.append(vec![ids([3])]).await.unwrap();
    fs::remove_file(lake.log(0)).unwrap();
    let error = DeltaStore::new().unwrap().describe(&lake.location()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert_clean(&error, &lake);
}

#[tokio::test]
async fn nothing_there_is_not_found() {
    let lake = Lake::new();
    assert!(matches!(lake.latest().await, Err(StoreError::NotFound)));
    fs::create_dir_all(lake.path().join("_delta_log")).unwrap();
    assert!(matches!(lake.store.describe(&lake.location()).await, Err(StoreError::NotFound)));
    assert!(matches!(lake.append(vec![ids([1])]).await, Err(StoreError::NotFound)));
    assert!(matches!(lake.store.remove(&lake.location()).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_directory_that_goes_away_is_not_found_and_may_come_back() {
    let lake = lake_with_rows().await;
    lake.latest().await.unwrap();
    let aside = lake.directory.path().join("aside");
    fs::rename(lake.path(), &aside).unwrap();
    assert!(matches!(lake.latest().await, Err(StoreError::NotFound)));
    fs::rename(aside, lake.path()).unwrap();
    assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [1, 2]);
}

#[tokio::test]
async fn another_table_in_the_same_place_is_noticed() {
    let (lake, other) = (lake_with_rows().await, lake_with_rows().await);
    other.append(vec![ids([3])]).await.unwrap();
    lake.latest().await.unwrap();
    fs::remove_dir_all(lake.path()).unwrap();
    fs::rename(other.path(), lake.path()).unwrap();
    assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [1, 2, 3]);
}

#[tokio::test]
async fn unknown_reader_features_are_refused_by_name() {
    for (reader, feature) in [(3, "typeWidening"), (3, "allNewFeature-preview"), (3, "variantType")] {
        let lake = lake_with_rows().await;
        let protocol = json!({"protocol": {"minReaderVersion": reader, "minWriterVersion": 7, "readerFeatures": [feature], "writerFeatures": [feature]}});
        fs::write(lake.log(2), protocol.to_string()).unwrap();
        for error in [
            lake.latest().await.unwrap_err(),
            lake.store.describe(&lake.location()).await.unwrap_err(),
            lake.append(vec![ids([3])]).await.unwrap_err(),
        ] {
            assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED, "{error:?}");
            assert!(error.to_string().contains(feature), "{error}");
        }
    }
}

#[tokio::test]
async fn unknown_writer_features_do_not_stop_reading() {
    let lake = lake_with_rows().await;
    let protocol =
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["identityColumns"]}});
    fs::write(lake.log(2), protocol.to_string()).unwrap();
    assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [1, 2]);
    let error = lake.append(vec![ids([3])]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED, "{error:?}");
}

#[tokio::test]
async fn files_outside_the_table_are_never_read() {
    let lake = lake_with_rows().await;
    let log = fs::read_to_string(lake.log(1)).unwrap();
    let mut add: Value =
        log.lines().map(|l| serde_json::from_str(l).unwrap()).find(|v: &Value| v.get("add").is_some()).unwrap();
    for path in ["file:///etc/passwd", "../secret.parquet", "/etc/passwd"] {
        add["add"]["path"] = json!(path);
        fs::write(lake.log(2), add.to_string()).unwrap();
        let error = lake.latest().await.unwrap_err();
        assert!(matches!(error, StoreError::Unsupported(_) | StoreError::Corrupt(_)), "{path}: {error:?}");
        fs::remove_file(lake.log(2)).unwrap();
    }
}
