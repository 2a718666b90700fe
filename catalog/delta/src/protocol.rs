//! Which Delta tables can be read and written: every feature is allowed by name or refused by name.
//!
//! Invariant: a table that asks for a feature which is not in [`READABLE`] is never read, not even in part; one that asks
//! writers for a feature which is not in [`WRITABLE`] is never written.

use std::sync::Arc;

use deltalake::kernel::Protocol;
use futures::TryStreamExt;
use lakeward_catalog::StoreError;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use crate::fault::from_storage;
use crate::snapshots::Pinned;

/// The reader features that are read properly: by the file index (`timestampNtz`, `v2Checkpoint`), or by deltalake 1.1's
/// scan (`deletionVectors`, `columnMapping`). `vacuumProtocolCheck` asks nothing of readers. deltalake reads the variant
/// types too, but Lakeward has no such type.
const READABLE: &[&str] = &["timestampNtz", "v2Checkpoint", "deletionVectors", "columnMapping", "vacuumProtocolCheck"];

/// The writer features that are kept: deltalake 1.1 checks invariants and constraints, [`crate::change`] writes the change
/// feed. A feature of readers is here where plain Parquet files are right with it. Generated columns are a feature of
/// old writer versions by default; a table that has one is refused by its schema.
const WRITABLE: &[&str] = &[
    "appendOnly",
    "invariants",
    "checkConstraints",
    "changeDataFeed",
    "generatedColumns",
    "timestampNtz",
    "v2Checkpoint",
    "deletionVectors",
    "columnMapping",
];

/// The newest writer version of the protocol that is known.
const NEWEST_WRITER_VERSION: u64 = 7;

/// The newest reader version of the protocol that is known: 3 means that features are listed by name.
const NEWEST_READER_VERSION: u64 = 3;

/// How many of the newest commits are looked through for the reason why a table could not be loaded.
const DIAGNOSED_COMMITS: usize = 256;

/// Refuses a table that needs more than is implemented.
pub(crate) fn check_readable(protocol: &Protocol) -> Result<(), StoreError> {
    let value = serde_json::to_value(protocol).map_err(|_| StoreError::Unsupported("the table's protocol".into()))?;
    check_value(&value)
}

fn check_value(protocol: &Value) -> Result<(), StoreError> {
    let version = protocol.get("minReaderVersion").and_then(Value::as_u64).unwrap_or(u64::MAX);
    if version > NEWEST_READER_VERSION {
        return Err(StoreError::Unsupported("this version of the Delta reader protocol".into()));
    }
    let features = protocol.get("readerFeatures").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match features.iter().find(|f| !f.as_str().is_some_and(|name| READABLE.contains(&name))) {
        None => Ok(()),
        Some(feature) => Err(StoreError::Unsupported(format!("Delta feature {}", display_name(feature)))),
    }
}

/// Refuses a table that asks its writers for more than is implemented.
pub(crate) fn check_writable(table: &Pinned) -> Result<(), StoreError> {
    let protocol = serde_json::to_value(table.snapshot.protocol());
    check_writer(&protocol.map_err(|_| StoreError::Unsupported("the table's protocol".into()))?)?;
    for field in table.snapshot.schema().fields() {
        let has = |prefix: &str| field.metadata().keys().any(|key| key.starts_with(prefix));
        if has("delta.generationExpression") {
            return Err(StoreError::Unsupported("writing to a table with generated columns".into()));
        }
        if has("delta.identity.") {
            return Err(StoreError::Unsupported("writing to a table with identity columns".into()));
        }
    }
    Ok(())
}

/// Refuses a table whose columns have names of their own in its files, for changes of its columns.
pub(crate) fn check_unmapped(table: &Pinned) -> Result<(), StoreError> {
    if table.property("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        return Err(StoreError::Unsupported("changing mapped columns".into()));
    }
    Ok(())
}

fn check_writer(protocol: &Value) -> Result<(), StoreError> {
    let version = protocol.get("minWriterVersion").and_then(Value::as_u64).unwrap_or(u64::MAX);
    if version > NEWEST_WRITER_VERSION {
        return Err(StoreError::Unsupported("this version of the Delta writer protocol".into()));
    }
    let features = protocol.get("writerFeatures").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match features.iter().find(|f| !f.as_str().is_some_and(|name| WRITABLE.contains(&name))) {
        None => Ok(()),
        Some(feature) => Err(StoreError::Unsupported(format!("writing with Delta feature {}", display_name(feature)))),
    }
}

/// A feature's name comes from a file that somebody else wrote, and ends up in a message.
fn display_name(feature: &Value) -> String {
    let name = feature.as_str().unwrap_or_default();
    let plain = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if plain && !name.is_empty() { name.to_owned() } else { "with a malformed name".to_owned() }
}

/// After a load failed: does the log ask for something that is not implemented? Says nothing if it cannot tell.
pub(crate) async fn diagnose(directory: &Arc<dyn ObjectStore>) -> Result<(), StoreError> {
    let log = Path::from("_delta_log");
    let listed: Vec<_> = directory.list(Some(&log)).try_collect().await.map_err(|e| from_storage(&e))?;
    let mut commits: Vec<Path> = listed.into_iter().map(|meta| meta.location).filter(is_commit).collect();
    commits.sort_unstable_by(|a, b| b.cmp(a));
    for commit in commits.into_iter().take(DIAGNOSED_COMMITS) {
        let bytes =
            directory.get(&commit).await.map_err(|e| from_storage(&e))?.bytes().await.map_err(|e| from_storage(&e))?;
        let lines = bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        if let Some(protocol) = lines.filter_map(|line| line.get("protocol").cloned()).next_back() {
            return check_value(&protocol);
        }
    }
    Ok(())
}

/// Whether anything of a Delta log is in `directory`.
pub(crate) async fn has_log(directory: &Arc<dyn ObjectStore>) -> Result<bool, StoreError> {
    let mut listed = directory.list(Some(&Path::from("_delta_log")));
    loop {
        match listed.try_next().await {
            Ok(Some(meta)) if is_log_file(&meta.location) => return Ok(true),
            Ok(Some(_)) => {}
            Ok(None) | Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(from_storage(&error)),
        }
    }
}

fn is_log_file(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.ends_with(".json") || name.ends_with(".parquet"))
}

fn is_commit(path: &Path) -> bool {
    let stem = path.filename().and_then(|name| name.strip_suffix(".json"));
    stem.is_some_and(|stem| stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn features_are_allowed_by_name() {
        let protocol =
            |features: &[&str]| json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features});
        assert!(check_value(&protocol(&["timestampNtz", "deletionVectors"])).is_ok());
        assert!(check_value(&json!({"minReaderVersion": 1, "minWriterVersion": 2})).is_ok());
        for feature in ["typeWidening", "variantType", "newFeature"] {
            let error = check_value(&protocol(&["timestampNtz", feature])).unwrap_err();
            assert!(error.to_string().contains(feature));
        }
        assert!(!check_value(&protocol(&["a 'b'\n"])).unwrap_err().to_string().contains('\n'));
        assert!(check_value(&json!({"minReaderVersion": 4})).is_err());
        assert!(check_value(&json!({})).is_err());
    }

    #[test]
    fn writer_features_are_allowed_by_name() {
        let protocol = |features: &[&str]| json!({"minWriterVersion": 7, "writerFeatures": features});
        assert!(check_writer(&protocol(&["appendOnly", "invariants", "changeDataFeed"])).is_ok());
        assert!(check_writer(&json!({"minWriterVersion": 2})).is_ok());
        for feature in ["rowTracking", "identityColumns", "inCommitTimestamp", "icebergCompatV2", "newFeature"] {
            assert!(check_writer(&protocol(&[feature])).unwrap_err().to_string().contains(feature));
        }
        assert!(check_writer(&json!({"minWriterVersion": 8})).is_err());
    }
}
