//! Commits: the log entry of a write, and what happens when another writer was first.
//!
//! deltalake's own rules make an append conflict with every concurrent delete. Here an append conflicts only with a
//! change of columns or protocol; a rewrite also with whoever took one of its files away; a replacement with every
//! change of rows. So inserts are never refused, and no update is lost. Invariant: an entry is put only where none stands,
//! and only after every entry between it and the version it was made for has been found not to conflict.

use std::collections::HashSet;

use deltalake::DeltaTable;
use deltalake::kernel::{EagerSnapshot, Remove};
use deltalake::protocol::checkpoints::{cleanup_metadata, create_checkpoint};
use lakeward_catalog::StoreError;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Map, Value};

use crate::fault::{Fault, from_storage};
use crate::location::Place;
use crate::staging::StagingStore;

/// How often a commit is put again after another writer took its version.
const COMMIT_RETRIES: usize = 256;

/// Delta's default for `delta.checkpointInterval`, as deltalake has it.
const CHECKPOINT_INTERVAL: u64 = 100;

/// What a commit conflicts with.
pub(crate) enum Rule {
    /// It read nothing.
    Append,
    /// It takes these files away, and read no others.
    Rewrite(HashSet<String>),
    /// It read, or replaces, everything.
    Replace,
}

/// The actions of a commit, in order.
#[derive(Clone)]
pub(crate) struct Entry {
    /// Its `commitInfo`.
    pub(crate) info: Map<String, Value>,
    /// The others, each `{"add": …}` and the like.
    pub(crate) actions: Vec<Value>,
}

impl Entry {
    /// Reads what deltalake would have committed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let (mut info, mut actions) = (Map::new(), Vec::new());
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut action: Value = serde_json::from_slice(line).map_err(|_| malformed())?;
            match action.get_mut("commitInfo").map(Value::take) {
                Some(Value::Object(object)) => info = object,
                Some(_) => return Err(malformed()),
                None => actions.push(action),
            }
        }
        Ok(Self { info, actions })
    }

    /// Says what the commit is. Parameters are never literals of a statement.
    pub(crate) fn describe(&mut self, operation: &str, parameters: Map<String, Value>, read_version: u64) {
        self.info.insert("operation".to_owned(), operation.into());
        self.info.insert("operationParameters".to_owned(), Value::Object(parameters));
        self.info.insert("readVersion".to_owned(), read_version.into());
        let appends = self.actions.iter().all(|action| action.get("add").is_some());
        self.info.insert("isBlindAppend".to_owned(), (operation == "WRITE" && appends).into());
        self.info.insert("engineInfo".to_owned(), concat!("lakeward ", env!("CARGO_PKG_VERSION")).into());
        self.info.remove("clientVersion");
    }

    /// As it stands in the log.
    pub(crate) fn bytes(self) -> bytes::Bytes {
        let info = Value::Object(Map::from_iter([("commitInfo".to_owned(), Value::Object(self.info))]));
        let lines: Vec<String> = std::iter::once(info).chain(self.actions).map(|action| action.to_string()).collect();
        lines.join("\n").into()
    }
}

fn malformed() -> StoreError {
    Fault("the prepared commit could not be understood").io()
}

/// Commits `entry` after version `base`; answers the version that it became.
pub(crate) async fn commit(
    place: &Place,
    staging: &StagingStore,
    base: &EagerSnapshot,
    entry: Entry,
    rule: &Rule,
) -> Result<u64, StoreError> {
    let payload = entry.bytes();
    let mut version = base.version().saturating_add(1);
    for _ in 0..COMMIT_RETRIES {
        match staging.commit(version, payload.clone()).await {
            Ok(()) => {
                keep_up(place, base, version).await;
                return Ok(version);
            }
            Err(object_store::Error::AlreadyExists { .. }) => version = pass(place, version, rule).await?,
            Err(error) => return Err(from_storage(&error)),
        }
    }
    Err(Fault("other writers kept winning").conflict())
}

/// Looks at the entries from `version` on; answers the first version that is free.
async fn pass(place: &Place, mut version: u64, rule: &Rule) -> Result<u64, StoreError> {
    let directory = place.directory();
    loop {
        let at = Path::from(format!("_delta_log/{version:020}.json"));
        let winner = match directory.get(&at).await {
            Ok(found) => found.bytes().await.map_err(|error| from_storage(&error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(version),
            Err(error) => return Err(from_storage(&error)),
        };
        if conflicts(&winner, rule) {
            return Err(Fault("a concurrent commit won").conflict());
        }
        version = version.saturating_add(1);
    }
}

/// Whether an entry that was first makes a commit under `rule` impossible. What cannot be read does.
fn conflicts(winner: &[u8], rule: &Rule) -> bool {
    winner.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).any(|line| {
        let Ok(Value::Object(action)) = serde_json::from_slice::<Value>(line) else { return true };
        action.into_iter().any(|(kind, value)| match (kind.as_str(), rule) {
            ("metaData" | "protocol", _) => true,
            ("add" | "remove", Rule::Replace) => true,
            ("remove", Rule::Rewrite(files)) => {
                serde_json::from_value::<Remove>(value).map_or(true, |remove| files.contains(&remove.path))
            }
            _ => false,
        })
    })
}

/// A checkpoint where one is due, and the log behind it cleaned up. A failure is the operator's to know: the commit
/// stands.
async fn keep_up(place: &Place, base: &EagerSnapshot, version: u64) {
    let configuration = base.metadata().configuration();
    let interval = configuration.get("delta.checkpointInterval").and_then(|text| text.parse().ok());
    let interval: u64 = interval.filter(|interval| *interval > 0).unwrap_or(CHECKPOINT_INTERVAL);
    if !version.saturating_add(1).is_multiple_of(interval) {
        return;
    }
    let clean = configuration.get("delta.enableExpiredLogCleanup").is_none_or(|text| text != "false");
    let mut table = DeltaTable::new(place.log_store());
    let work = async {
        table.load_version(version).await?;
        create_checkpoint(&table, None).await?;
        if clean {
            cleanup_metadata(&table, None).await?;
        }
        Ok::<_, deltalake::DeltaTableError>(())
    };
    if work.await.is_err() {
        tracing::warn!("upkeep of a table's log failed after a commit");
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Rule, conflicts};

    #[test]
    fn conflicts_are_few() {
        let add = br#"{"commitInfo":{}}
{"add":{"path":"a","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true}}"#;
        let remove = br#"{"remove":{"path":"p=a%20b/x.parquet","deletionTimestamp":1,"dataChange":true}}"#;
        let metadata = br#"{"metaData":{}}"#;
        let files = Rule::Rewrite(["p=a b/x.parquet".to_owned()].into());
        let others = Rule::Rewrite(["y.parquet".to_owned()].into());
        assert!(!conflicts(add, &Rule::Append) && !conflicts(remove, &Rule::Append));
        assert!(conflicts(metadata, &Rule::Append) && conflicts(b"{", &Rule::Append));
        assert!(conflicts(remove, &files) && !conflicts(remove, &others) && !conflicts(add, &files));
        assert!(conflicts(add, &Rule::Replace) && conflicts(remove, &Rule::Replace));
    }

    #[test]
    fn an_entry_begins_with_what_it_is() {
        let entry = Entry::parse(b"{\"add\":{}}\n{\"commitInfo\":{\"timestamp\":1,\"operation\":\"WRITE\"}}").unwrap();
        let mut entry = Entry { ..entry };
        entry.describe("UPDATE", serde_json::Map::new(), 3);
        let text = String::from_utf8(entry.bytes().to_vec()).unwrap();
        assert!(text.starts_with("{\"commitInfo\"") && text.contains("\"readVersion\":3"), "{text}");
    }
}
