//! Replacing a table: other columns and other rows, in one commit, under the identity that it has.
//!
//! The files are staged as those of a table of its own; the commit takes all old files away, adds the new ones, and
//! changes the table's metadata and, where the new columns need it, its protocol. Invariant: a feature that the table's
//! protocol lists stays listed.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_physical_plan::SendableRecordBatchStream;
use deltalake::kernel::engine::arrow_conversion::TryIntoArrow;
use lakeward_catalog::{CommitNote, NewFiles, StoreError};
use serde_json::{Map, Value, json};

use crate::columns::delta_schema;
use crate::commit::Rule;
use crate::fault::Fault;
use crate::location::Place;
use crate::pending::Pending;
use crate::protocol::{check_unmapped, check_writable};
use crate::snapshots::{CATALOG_EPOCH, Pinned};
use crate::write::{Shape, stage};

/// Writes the files that replace columns and rows.
pub(crate) async fn replace(
    place: &Place,
    base: Arc<Pinned>,
    files: NewFiles<'_>,
    rows: SendableRecordBatchStream,
    note: &CommitNote,
) -> Result<Pending, StoreError> {
    check_writable(&base)?;
    check_unmapped(&base)?;
    let removed = base.removes(|_| true)?;
    let partition_by = match files.partition_by {
        Some(columns) => columns.to_vec(),
        None => base.snapshot.metadata().partition_columns().to_vec(),
    };
    let delta_schema = delta_schema(&files.schema, &partition_by)?;
    let declared = (&delta_schema).try_into_arrow();
    let declared = Arc::new(declared.map_err(|_| StoreError::Unsupported("a column's type".into()))?);
    let shape = Shape { base: None, declared, partition_by };
    let mut staged = stage(place, shape, rows, note).await?;
    let own = serde_json::to_value(base.snapshot.metadata()).map_err(|_| unreadable())?;
    let protocol = serde_json::to_value(base.snapshot.protocol()).map_err(|_| unreadable())?;
    let mut actions = removed;
    for action in std::mem::take(&mut staged.entry.actions) {
        let Value::Object(action) = action else { continue };
        for (kind, value) in action {
            match kind.as_str() {
                "metaData" => actions.push(json!({"metaData": merged(&own, &value, note)})),
                "protocol" => actions.extend(widened(&protocol, &value).map(|wider| json!({"protocol": wider}))),
                _ => actions.push(Value::Object(Map::from_iter([(kind, value)]))),
            }
        }
    }
    staged.entry.actions = actions;
    let parameters = Map::from_iter([("mode".to_owned(), "Overwrite".into())]);
    staged.entry.describe("CREATE OR REPLACE TABLE AS SELECT", parameters, base.raw.version());
    let rows = staged.rows;
    Ok(Pending::new(place, base, staged, None, Rule::Replace, rows))
}

pub(crate) fn unreadable() -> StoreError {
    Fault("the table's metadata could not be understood").corrupt()
}

/// The table's own metadata with the new columns, and with the newest catalog that one of their writers knew.
pub(crate) fn merged(own: &Value, new: &Value, note: &CommitNote) -> Value {
    let mut merged = own.clone();
    let Some(object) = merged.as_object_mut() else { return merged };
    for key in ["schemaString", "partitionColumns"] {
        if let Some(value) = new.get(key) {
            object.insert(key.to_owned(), value.clone());
        }
    }
    let configuration = object.entry("configuration").or_insert_with(|| json!({}));
    if let Some(configuration) = configuration.as_object_mut() {
        let known = configuration.get(CATALOG_EPOCH).and_then(Value::as_str).and_then(|epoch| epoch.parse().ok());
        let epoch = note.catalog_epoch.0.max(known.unwrap_or_default());
        configuration.insert(CATALOG_EPOCH.to_owned(), epoch.to_string().into());
    }
    merged
}

/// The protocol that serves both; `None` where the table's own does.
fn widened(own: &Value, new: &Value) -> Option<Value> {
    let version = |protocol: &Value, key: &str| protocol.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (reader, writer) = ("minReaderVersion", "minWriterVersion");
    let features = |protocol: &Value, key: &str| -> BTreeSet<String> {
        let listed = protocol.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        listed.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let needs = |key: &str| !features(new, key).is_subset(&features(own, key));
    let newer = version(new, reader) > version(own, reader) || version(new, writer) > version(own, writer);
    if !newer && !needs("readerFeatures") && !needs("writerFeatures") {
        return None;
    }
    // Only features make a new column need more; with them everything is listed by name.
    let mut writers = features(own, "writerFeatures");
    writers.extend(features(new, "writerFeatures"));
    writers.extend(implied(version(own, writer)).iter().map(|name| (*name).to_owned()));
    let mut readers = features(own, "readerFeatures");
    readers.extend(features(new, "readerFeatures"));
    Some(json!({reader: 3, writer: 7, "readerFeatures": readers, "writerFeatures": writers}))
}

/// The features that an old writer version stands for, as far as tables that are written may have them.
fn implied(writer_version: u64) -> &'static [&'static str] {
    const FEATURES: &[&str] =
        &["appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns", "columnMapping"];
    match writer_version {
        2 => FEATURES.get(..2).unwrap_or_default(),
        3 => FEATURES.get(..3).unwrap_or_default(),
        4 => FEATURES.get(..5).unwrap_or_default(),
        5 | 6 => FEATURES,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::widened;
    use serde_json::json;

    #[test]
    fn a_protocol_only_grows() {
        let old = json!({"minReaderVersion": 1, "minWriterVersion": 4});
        let ntz = json!({"minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]});
        assert_eq!(widened(&old, &json!({"minReaderVersion": 1, "minWriterVersion": 2})), None);
        assert_eq!(widened(&ntz, &ntz), None);
        assert_eq!(widened(&ntz, &old), None);
        let wider = widened(&old, &ntz).unwrap();
        assert_eq!(wider["minWriterVersion"], 7);
        assert_eq!(
            wider["writerFeatures"],
            json!([
                "appendOnly",
                "changeDataFeed",
                "checkConstraints",
                "generatedColumns",
                "invariants",
                "timestampNtz"
            ])
        );
    }
}
