//! A table's history: which version was the newest at a moment, and what each commit says of itself.
//!
//! A commit's moment is that of its file, made increasing as Delta's protocol has it (a copied log may have equal ones);
//! where the table keeps timestamps in its commits, those. Invariant: nothing of a predicate or a value leaves: of a
//! commit's parameters only those that cannot be literals are shown, of its metrics only numbers.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use lakeward_catalog::{HistoryEntry, StoreError};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Map, Value};

use crate::fault::from_storage;
use crate::location::Place;
use crate::snapshots::Pinned;

/// Parameters whose values are no literals: modes, column names and flags.
const SHOWN_PARAMETERS: &[&str] =
    &["mode", "partitionBy", "zOrderBy", "isManaged", "outputMode", "retentionCheckEnabled", "status", "properties"];

/// The longest text of a commit that is shown, in bytes.
const TEXT_BYTES: usize = 256;

/// How many commits are read at once.
const READERS: usize = 8;

/// The commit files of the log up to `newest`, oldest first, each with its moment.
async fn commits(directory: &dyn ObjectStore, newest: u64) -> Result<Vec<(u64, DateTime<Utc>)>, StoreError> {
    let listed: Vec<_> =
        directory.list(Some(&Path::from("_delta_log"))).try_collect().await.map_err(|e| from_storage(&e))?;
    let mut commits: Vec<(u64, DateTime<Utc>)> = listed
        .into_iter()
        .filter_map(|meta| Some((version_of(&meta.location)?, meta.last_modified)))
        .filter(|(version, _)| *version <= newest)
        .collect();
    commits.sort_unstable();
    increase(&mut commits);
    Ok(commits)
}

/// Makes moments increase, by a millisecond where they do not.
fn increase(commits: &mut [(u64, DateTime<Utc>)]) {
    let mut last: Option<DateTime<Utc>> = None;
    for (_, at) in commits {
        if let Some(last) = last
            && *at <= last
        {
            *at = last + TimeDelta::milliseconds(1);
        }
        last = Some(*at);
    }
}

fn version_of(path: &Path) -> Option<u64> {
    let stem = path.filename()?.strip_suffix(".json")?;
    (stem.len() == 20).then(|| stem.parse().ok()).flatten()
}

fn keeps_own_times(table: &Pinned) -> bool {
    table.property("delta.enableInCommitTimestamps") == Some("true")
}

/// The version that was the newest at `at`. Whether `at` is in the future is for the caller to say.
pub(crate) async fn version_at(place: &Place, newest: &Pinned, at: DateTime<Utc>) -> Result<u64, StoreError> {
    let times = if keeps_own_times(newest) {
        let mut times: Vec<_> = entries(place, newest).await?.iter().map(|entry| (entry.version, entry.at)).collect();
        times.reverse();
        times
    } else {
        commits(place.directory().as_ref(), newest.raw.version()).await?
    };
    times.iter().rev().find(|(_, made)| *made <= at).map(|(version, _)| *version).ok_or(StoreError::TimeNotFound)
}

/// All commits, newest first.
pub(crate) async fn entries(place: &Place, newest: &Pinned) -> Result<Vec<HistoryEntry>, StoreError> {
    let directory = place.directory();
    let own_times = keeps_own_times(newest);
    let mut commits = commits(directory.as_ref(), newest.raw.version()).await?;
    commits.reverse();
    let read = |(version, at)| {
        let directory = place.directory();
        async move {
            let path = Path::from(format!("_delta_log/{version:020}.json"));
            let bytes = directory.get(&path).await.map_err(|e| from_storage(&e))?;
            let bytes = bytes.bytes().await.map_err(|e| from_storage(&e))?;
            Ok(entry(version, at, own_times, &bytes))
        }
    };
    futures::stream::iter(commits).map(read).buffered(READERS).try_collect().await
}

fn entry(version: u64, at: DateTime<Utc>, own_times: bool, bytes: &Bytes) -> HistoryEntry {
    let info = bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let line: Value = serde_json::from_slice(line).ok()?;
        line.get("commitInfo")?.as_object().cloned()
    });
    let info = info.unwrap_or_default();
    let own = info.get("inCommitTimestamp").and_then(Value::as_i64).filter(|_| own_times);
    let text = |key: &str| info.get(key).and_then(Value::as_str).filter(|text| text.len() <= TEXT_BYTES);
    HistoryEntry {
        version,
        at: own.and_then(DateTime::from_timestamp_millis).unwrap_or(at),
        user_name: text("userName").map(str::to_owned),
        operation: text("operation").map(str::to_owned),
        parameters: Value::Object(shown(info.get("operationParameters"))).to_string(),
        read_version: info.get("readVersion").and_then(Value::as_u64),
        metrics: info.get("operationMetrics").map(|metrics| Value::Object(numbers(metrics)).to_string()),
        engine: text("engineInfo").map(str::to_owned),
    }
}

fn shown(parameters: Option<&Value>) -> Map<String, Value> {
    let Some(Value::Object(parameters)) = parameters else { return Map::new() };
    let plain = |key: &str| key.len() <= 64 && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let show = |(key, value): (&String, &Value)| {
        let kept = SHOWN_PARAMETERS.contains(&key.as_str()) && value.to_string().len() <= TEXT_BYTES;
        (key.clone(), if kept { value.clone() } else { Value::from("?") })
    };
    parameters.iter().filter(|(key, _)| plain(key)).map(show).collect()
}

/// Metrics are numbers, also as text (Spark's).
fn numbers(metrics: &Value) -> Map<String, Value> {
    let number = |value: &Value| match value {
        Value::Number(_) => true,
        Value::String(text) => text.parse::<f64>().is_ok(),
        _ => false,
    };
    let Value::Object(metrics) = metrics else { return Map::new() };
    metrics.iter().filter(|(_, value)| number(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_increase() {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        let mut commits = vec![(0, at(10)), (1, at(10)), (2, at(5)), (3, at(99))];
        increase(&mut commits);
        assert_eq!(commits, vec![(0, at(10)), (1, at(11)), (2, at(12)), (3, at(99))]);
    }

    #[test]
    fn no_literal_of_another_writer_is_shown() {
        let line = r#"{"commitInfo":{"operation":"DELETE","userName":"ada","readVersion":3,
            "operationParameters":{"predicate":"ssn = '412-68-1073'","mode":"Append"},
            "operationMetrics":{"numDeletedRows":"7","note":"412-68-1073"}}}"#
            .replace('\n', " ");
        let entry = entry(4, DateTime::default(), false, &Bytes::from(line));
        assert_eq!(entry.parameters, r#"{"mode":"Append","predicate":"?"}"#);
        assert_eq!(entry.metrics.as_deref(), Some(r#"{"numDeletedRows":"7"}"#));
        assert!(!format!("{entry:?}").contains("412"));
    }
}
