//! [`Snapshots`]: per location the newest version that is known, brought forward by the commits that are new.
//!
//! What an open costs: two look-ups by name, `<newest>.json` (is it still the commit that was read? else the table was
//! replaced) and `<newest + 1>.json` (is there more?). Delta's versions have no gaps, so nothing is listed unless there
//! is more. Opens of one location share: one that waited for another's look-up, begun after it was asked, takes its answer.
//!
//! Invariant: an open never answers with a version older than the newest at the moment it was asked; a version's
//! [`Pinned`] never changes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion_common::stats::Precision;
use deltalake::DeltaTable;
use deltalake::kernel::{Action, EagerSnapshot, LogicalFileView};
use lakeward_base::Epoch;
use lakeward_catalog::{RawTable, StoreError, TableDescription, VersionSelector};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use serde_json::Value;

use crate::columns::{all_plain, declared_schema, described_schema};
use crate::fault::{Fault, from_delta, from_storage};
use crate::history;
use crate::index::FileIndex;
use crate::location::Place;
use crate::mapped::MappedTable;
use crate::protocol::{check_readable, diagnose, has_log};
use crate::scan::IndexedTable;

/// How many locations are kept; the least recently used goes first.
const KEPT_LOCATIONS: usize = 1024;

/// How many older versions are kept per location.
const KEPT_PAST_VERSIONS: usize = 4;

const COLUMN_MAPPING_MODE: &str = "delta.columnMapping.mode";

/// Which catalog the writer of the columns knew. Another catalog's, where the table is registered in several, may be too
/// high: the reader asks its own whether it can be.
pub(crate) const CATALOG_EPOCH: &str = "lakeward.catalogEpoch";

/// One version of a table, ready to be read or written against.
pub(crate) struct Pinned {
    pub(crate) raw: RawTable,
    pub(crate) snapshot: EagerSnapshot,
    pub(crate) declared: SchemaRef,
    /// Its files, where plain Parquet reading gets them right.
    pub(crate) index: Option<Arc<FileIndex>>,
}

impl Pinned {
    pub(crate) fn description(&self) -> TableDescription {
        TableDescription {
            version: self.raw.version(),
            schema: described_schema(&self.snapshot, &self.declared),
            partition_columns: self.snapshot.metadata().partition_columns().to_vec(),
        }
    }

    /// A property of the table.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.snapshot.metadata().configuration().get(name).map(String::as_str)
    }

    /// The actions that take away the files for whose paths `wanted` says so.
    ///
    /// # Errors
    /// Where no row of the table may ever go.
    pub(crate) fn removes(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Value>, StoreError> {
        if self.property("delta.appendOnly") == Some("true") {
            return Err(StoreError::Unsupported("replacing rows of an append-only table".into()));
        }
        let log = self.snapshot.try_log_data().map_err(|e| from_delta(&e))?;
        let gone = log.iter().filter(|view| wanted(&view.path()));
        let action = |view: LogicalFileView| serde_json::to_value(Action::Remove(view.remove_action(true)));
        gone.map(action).collect::<Result<_, _>>().map_err(|_| Fault("a file could not be removed").io())
    }
}

/// The cache.
#[derive(Default)]
pub(crate) struct Snapshots {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    clock: AtomicU64,
}

#[derive(Default)]
struct Slot {
    newest: tokio::sync::Mutex<Option<Newest>>,
    past: tokio::sync::Mutex<VecDeque<Arc<Pinned>>>,
    used: AtomicU64,
}

struct Newest {
    table: DeltaTable,
    pinned: Arc<Pinned>,
    commit: Option<CommitMark>,
    looked_up_at: Instant,
}

/// Tells one commit file from another under the same name.
#[derive(PartialEq, Eq)]
struct CommitMark(u64, DateTime<Utc>, Option<String>);

impl From<ObjectMeta> for CommitMark {
    fn from(meta: ObjectMeta) -> Self {
        Self(meta.size, meta.last_modified, meta.e_tag)
    }
}

enum Progress {
    Same,
    /// There is a next commit, this one.
    Further(CommitMark),
    Replaced,
}

impl Snapshots {
    /// The version that `at` selects.
    pub(crate) async fn open(&self, place: &Place, at: VersionSelector) -> Result<Arc<Pinned>, StoreError> {
        let slot = self.slot(place);
        let newest = slot.newest(place).await?;
        match at {
            VersionSelector::Latest => Ok(newest),
            VersionSelector::Exact(version) if version == newest.raw.version() => Ok(newest),
            VersionSelector::Exact(version) if version > newest.raw.version() => {
                Err(StoreError::VersionNotFound { version, newest: newest.raw.version() })
            }
            VersionSelector::Exact(version) => slot.past(place, version, newest.raw.version()).await,
            VersionSelector::AsOf(at) => match history::version_at(place, &newest, at).await? {
                version if version == newest.raw.version() => Ok(newest),
                version => slot.past(place, version, newest.raw.version()).await,
            },
        }
    }

    /// Forgets a location.
    pub(crate) fn forget(&self, place: &Place) {
        self.slots.lock().remove(place.url.as_str());
    }

    fn slot(&self, place: &Place) -> Arc<Slot> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots.lock();
        if slots.len() >= KEPT_LOCATIONS && !slots.contains_key(place.url.as_str()) {
            let oldest =
                slots.iter().min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed)).map(|(key, _)| key.clone());
            oldest.and_then(|key| slots.remove(&key));
        }
        let slot = slots.entry(place.url.as_str().to_owned()).or_default();
        slot.used.store(now, Ordering::Relaxed);
        Arc::clone(slot)
    }
}

impl Slot {
    async fn newest(&self, place: &Place) -> Result<Arc<Pinned>, StoreError> {
        let asked_at = Instant::now();
        let mut newest = self.newest.lock().await;
        let looked_up_at = Instant::now();
        if let Some(known) = newest.as_mut() {
            if known.looked_up_at >= asked_at {
                return Ok(Arc::clone(&known.pinned));
            }
            match known.progress(place).await? {
                Progress::Same => {
                    known.looked_up_at = looked_up_at;
                    return Ok(Arc::clone(&known.pinned));
                }
                Progress::Further(next) => {
                    let version = known.pinned.raw.version().saturating_add(1);
                    let mut table = known.table.clone();
                    let brought_forward = table.update_incremental(None).await;
                    explained(place, brought_forward).await?;
                    *known = Newest::of(table, place, looked_up_at, Some((version, next))).await?;
                    return Ok(Arc::clone(&known.pinned));
                }
                Progress::Replaced => {
                    *newest = None;
                    self.past.lock().await.clear();
                }
            }
        }
        let mut table = DeltaTable::new(place.log_store());
        let loaded = table.load().await;
        explained(place, loaded).await?;
        let loaded = Newest::of(table, place, looked_up_at, None).await?;
        Ok(Arc::clone(&newest.insert(loaded).pinned))
    }

    async fn past(&self, place: &Place, version: u64, newest: u64) -> Result<Arc<Pinned>, StoreError> {
        let mut past = self.past.lock().await;
        if let Some(known) = past.iter().find(|pinned| pinned.raw.version() == version) {
            return Ok(Arc::clone(known));
        }
        if commit_mark(&place.directory(), version).await?.is_none() {
            return Err(StoreError::VersionNotFound { version, newest }); // cleaned up
        }
        let mut table = DeltaTable::new(place.log_store());
        let loaded = table.load_version(version).await;
        explained(place, loaded).await?;
        let pinned = pin(&table, place)?;
        past.truncate(KEPT_PAST_VERSIONS.saturating_sub(1));
        past.push_front(Arc::clone(&pinned));
        Ok(pinned)
    }
}

impl Newest {
    /// `seen` is a commit that was looked at before `table` was brought forward.
    async fn of(
        table: DeltaTable,
        place: &Place,
        looked_up_at: Instant,
        seen: Option<(u64, CommitMark)>,
    ) -> Result<Self, StoreError> {
        let pinned = pin(&table, place)?;
        let version = pinned.raw.version();
        let commit = match seen {
            Some((at, mark)) if at == version => Some(mark),
            _ => commit_mark(&place.directory(), version).await?,
        };
        Ok(Self { table, pinned, commit, looked_up_at })
    }

    async fn progress(&self, place: &Place) -> Result<Progress, StoreError> {
        let directory = place.directory();
        let version = self.pinned.raw.version();
        // Side by side: in a bucket, each takes as long as the other.
        let (own, further) =
            futures::try_join!(commit_mark(&directory, version), commit_mark(&directory, version.saturating_add(1)))?;
        // Without its own commit (cleaned up behind a checkpoint), nothing tells this table from a new one here.
        if self.commit.is_none() || own != self.commit {
            return Ok(Progress::Replaced);
        }
        Ok(further.map_or(Progress::Same, Progress::Further))
    }
}

async fn commit_mark(directory: &Arc<dyn ObjectStore>, version: u64) -> Result<Option<CommitMark>, StoreError> {
    match directory.head(&Path::from(format!("_delta_log/{version:020}.json"))).await {
        Ok(meta) => Ok(Some(meta.into())),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(from_storage(&error)),
    }
}

/// Turns a failed load into what is really wrong: nothing there, an unknown feature, damage, or storage.
async fn explained(place: &Place, loaded: Result<(), deltalake::DeltaTableError>) -> Result<(), StoreError> {
    let Err(error) = loaded else { return Ok(()) };
    if let unavailable @ StoreError::Io(_) = from_delta(&error) {
        return Err(unavailable); // asking further would only take longer
    }
    let directory = place.directory();
    if !has_log(&directory).await? {
        return Err(StoreError::NotFound);
    }
    diagnose(&directory).await?;
    match from_delta(&error) {
        StoreError::NotFound => Err(Fault("the Delta log is incomplete").corrupt()),
        other => Err(other),
    }
}

/// Builds what a version is read with.
pub(crate) fn pin(table: &DeltaTable, place: &Place) -> Result<Arc<Pinned>, StoreError> {
    let snapshot = table.snapshot().map_err(|e| from_delta(&e))?.snapshot().clone();
    check_readable(snapshot.protocol())?;
    let declared = declared_schema(&snapshot)?;
    let version = snapshot.version();
    let mapped = snapshot.metadata().configuration().get(COLUMN_MAPPING_MODE).is_some_and(|mode| mode != "none");
    let index = if mapped || !all_plain(&declared) { None } else { FileIndex::build(&snapshot, place, &declared)? };
    let index = index.map(Arc::new);
    let raw = match &index {
        Some(index) => {
            let bytes = usize::try_from(index.total_bytes).map_or(Precision::Absent, Precision::Exact);
            let (rows, files) = (index.row_count(), index.files.len());
            let table = IndexedTable::new(Arc::clone(index), place.root.clone());
            RawTable::new(version, rows, bytes, files, Arc::new(table))
        }
        None => pin_mapped(&snapshot, place)?,
    };
    let epoch = snapshot.metadata().configuration().get(CATALOG_EPOCH).and_then(|epoch| epoch.parse().ok());
    let raw = raw.made_under(Epoch(epoch.unwrap_or_default()));
    Ok(Arc::new(Pinned { raw, snapshot, declared, index }))
}

fn pin_mapped(snapshot: &EagerSnapshot, place: &Place) -> Result<RawTable, StoreError> {
    let log = snapshot.try_log_data().map_err(|e| from_delta(&e))?;
    let (mut rows, mut bytes, mut files) = (Some(0_usize), 0_usize, 0_usize);
    for view in log.iter() {
        place.data_file(&view.path())?;
        let deleted = view.deletion_vector_descriptor().map_or(Some(0), |dv| usize::try_from(dv.cardinality).ok());
        let left = view.num_records().zip(deleted).and_then(|(rows, deleted)| rows.checked_sub(deleted));
        rows = rows.zip(left).map(|(sum, left)| sum.saturating_add(left));
        bytes = bytes.saturating_add(usize::try_from(view.size()).unwrap_or_default());
        files += 1;
    }
    let rows = rows.map_or(Precision::Absent, Precision::Exact);
    let provider = MappedTable::new(snapshot.clone(), place.clone())?;
    Ok(RawTable::new(snapshot.version(), rows, Precision::Exact(bytes), files, Arc::new(provider)))
}
