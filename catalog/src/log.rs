//! The versioned log on an object store: how entries and snapshots are written, read back and checked.
//!
//! An object has two lines: its body as JSON, and the SHA-256 of exactly those bytes. Each entry names the hash of the one
//! before it. Invariants: an entry is created once and never changed; a missing, altered or foreign entry is an error,
//! never skipped; snapshots only save work, the log alone is the truth. Bodies hold policy texts and SCRAM verifiers in the
//! clear, and no value of any table.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use lakeward_base::Epoch;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::change::Change;
use crate::error::CatalogError;
use crate::model::{BreakGlass, Grant, MaskingPolicy, PolicyTest, Role, Schema, SystemObject, Table, Tag, View};
use crate::snapshot::{Counters, Snapshot};

/// Raised with every change that an older node must not read past.
const FORMAT: u32 = 3;
/// How many entries are fetched at once.
const FETCH_AHEAD: usize = 16;

/// One version of the catalog.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    format: u32,
    version: u64,
    /// Tells this writer's attempt from another's, when the answer to a put was lost.
    id: Uuid,
    at: DateTime<Utc>,
    author: String,
    /// Hash of the entry before; zeros in the first.
    previous: String,
    /// As they stand after the changes.
    counters: Counters,
    changes: Vec<Change>,
}

/// A snapshot as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    format: u32,
    version: u64,
    at: DateTime<Utc>,
    head: String,
    counters: Counters,
    roles: Vec<Arc<Role>>,
    schemas: Vec<Arc<Schema>>,
    masking_policies: Vec<Arc<MaskingPolicy>>,
    #[serde(default)]
    tags: Vec<Arc<Tag>>,
    tables: Vec<Arc<Table>>,
    views: Vec<Arc<View>>,
    #[serde(default)]
    system_grants: Vec<(SystemObject, Vec<Grant>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    break_glass: Vec<Arc<BreakGlass>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    policy_tests: Vec<Arc<PolicyTest>>,
}

/// An object's second line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    sha256: String,
}

/// What every body can be asked for first.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// A body with its seal, and the hash.
pub(crate) struct Sealed {
    bytes: Bytes,
    hash: [u8; 32],
}

/// How an attempt to append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The entry stands in the log.
    Written,
    /// Another writer's entry has that version.
    Taken,
}

/// The log below one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Entry {
    /// The entry that makes `draft` of the snapshot that it started from. Completes `draft` into the snapshot that
    /// replaying the entry gives.
    pub(crate) fn seal(
        draft: &mut Snapshot,
        version: u64,
        author: &str,
        at: DateTime<Utc>,
        changes: Vec<Change>,
    ) -> Result<Sealed, CatalogError> {
        let entry = Self {
            format: FORMAT,
            version,
            id: Uuid::new_v4(),
            at,
            author: author.to_owned(),
            previous: hex::encode(draft.head),
            counters: draft.counters,
            changes,
        };
        let sealed = seal(&entry)?;
        draft.epoch = version;
        draft.changed_at = at;
        draft.head = sealed.hash;
        Ok(sealed)
    }

    /// Brings `snapshot` forward by this entry. On an error `snapshot` is not to be used any more.
    fn replay(self, hash: [u8; 32], snapshot: &mut Snapshot) -> Result<(), CatalogError> {
        let damaged = |reason| CatalogError::Damaged { epoch: Epoch(self.version), reason };
        if self.previous != hex::encode(snapshot.head) {
            return Err(damaged("it does not follow the entry before it"));
        }
        if self.counters.identifier < snapshot.counters.identifier || self.counters.column < snapshot.counters.column {
            return Err(damaged("it would use identifiers again"));
        }
        snapshot.counters = self.counters;
        for change in &self.changes {
            snapshot.apply(change).map_err(|_| damaged("it contradicts the entries before it"))?;
        }
        snapshot.epoch = self.version;
        snapshot.changed_at = self.at;
        snapshot.head = hash;
        Ok(())
    }
}

impl Image {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            format: FORMAT,
            version: snapshot.epoch,
            at: snapshot.changed_at,
            head: hex::encode(snapshot.head),
            counters: snapshot.counters,
            roles: snapshot.roles().cloned().collect(),
            schemas: snapshot.schemas().cloned().collect(),
            masking_policies: snapshot.masking_policies().cloned().collect(),
            tags: snapshot.tags().cloned().collect(),
            tables: snapshot.tables().cloned().collect(),
            views: snapshot.views().cloned().collect(),
            system_grants: snapshot
                .system_objects()
                .map(|(object, grants)| (object.clone(), grants.to_vec()))
                .collect(),
            policy_tests: snapshot.policy_tests().cloned().collect(),
            break_glass: snapshot.break_glasses().cloned().collect(),
        }
    }

    fn restore(self) -> Result<Snapshot, CatalogError> {
        let damaged = CatalogError::Damaged { epoch: Epoch(self.version), reason: "its snapshot is damaged" };
        let Ok(head) = hex::decode(&self.head).map_err(|_| ()).and_then(|head| head.try_into().map_err(|_| ())) else {
            return Err(damaged);
        };
        let mut snapshot =
            Snapshot { epoch: self.version, changed_at: self.at, head, counters: self.counters, ..Snapshot::default() };
        let objects = (self.roles.into_iter().map(Change::PutRole))
            .chain(self.schemas.into_iter().map(Change::PutSchema))
            .chain(self.masking_policies.into_iter().map(Change::PutMaskingPolicy))
            .chain(self.tags.into_iter().map(Change::PutTag))
            .chain(self.tables.into_iter().map(Change::PutTable))
            .chain(self.views.into_iter().map(Change::PutView))
            .chain(self.policy_tests.into_iter().map(Change::PutPolicyTest))
            .chain(self.system_grants.into_iter().map(|(object, grants)| Change::PutSystemGrants { object, grants }))
            .chain(self.break_glass.into_iter().map(Change::PutBreakGlass));
        for object in objects {
            snapshot.apply(&object)?;
        }
        Ok(snapshot)
    }
}

impl Log {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    pub(crate) fn prefix(&self) -> String {
        self.prefix.to_string()
    }

    /// Creates the entry `version`, unless another writer did. An answer that was lost on the way is found out.
    pub(crate) async fn append(&self, version: u64, sealed: &Sealed) -> Result<Appended, CatalogError> {
        let path = self.entry_path(version);
        let payload = PutPayload::from(sealed.bytes.clone());
        let Err(failure) = self.store.put_opts(&path, payload, PutMode::Create.into()).await else {
            return Ok(Appended::Written);
        };
        match self.read(&path).await {
            Ok(Some(standing)) if standing == sealed.bytes => Ok(Appended::Written),
            Ok(Some(_)) => Ok(Appended::Taken),
            Ok(None) | Err(_) => Err(CatalogError::unavailable(failure)),
        }
    }

    /// The newest version in the log, looking from `from` on. `None` where none of those is there.
    pub(crate) async fn newest(&self, from: u64) -> Result<Option<u64>, CatalogError> {
        let folder = self.prefix.clone().join("log");
        let objects = match from.checked_sub(1) {
            Some(before) => self.store.list_with_offset(Some(&folder), &self.entry_path(before)),
            None => self.store.list(Some(&folder)),
        };
        let versions = objects.map_ok(|object| version_of(&object.location)).map_err(CatalogError::unavailable);
        let newest =
            versions.try_fold(None, |newest: Option<u64>, version| async move { Ok(newest.max(version)) }).await?;
        Ok(newest.filter(|newest| *newest >= from))
    }

    /// The newest version in the log, which must reach as far as the snapshots that were made of it: a log that lost its
    /// end would bring back what was revoked. `None` where there is no log.
    pub(crate) async fn newest_checked(&self) -> Result<Option<u64>, CatalogError> {
        // Snapshots first: one that is written in between has its entry in the later listing.
        let reached = self.snapshots().await?.into_iter().max();
        let newest = self.newest(0).await?;
        match (reached, newest) {
            (Some(reached), Some(newest)) if reached > newest => {
                Err(CatalogError::Missing { epoch: Epoch(newest.saturating_add(1)) })
            }
            (Some(_), None) => Err(CatalogError::Missing { epoch: Epoch(0) }),
            (_, newest) => Ok(newest),
        }
    }

    /// The catalog at `epoch`: the newest usable snapshot up to it, and the entries after that.
    pub(crate) async fn load(&self, epoch: u64) -> Result<Snapshot, CatalogError> {
        match self.newest_snapshot(epoch).await? {
            Some(snapshot) => {
                let next = snapshot.epoch.saturating_add(1);
                self.replay(snapshot, next, epoch).await
            }
            None => self.replay(Snapshot::default(), 0, epoch).await,
        }
    }

    /// Brings `snapshot` forward by the entries `from` to `to`, every one of which must be there.
    pub(crate) async fn replay(&self, mut snapshot: Snapshot, from: u64, to: u64) -> Result<Snapshot, CatalogError> {
        let mut entries = futures::stream::iter(from..=to).map(|version| self.entry(version)).buffered(FETCH_AHEAD);
        while let Some((entry, hash)) = entries.try_next().await? {
            entry.replay(hash, &mut snapshot)?;
        }
        drop(entries);
        Ok(snapshot)
    }

    /// Writes a snapshot. Another node may have written the same one.
    pub(crate) async fn write_snapshot(&self, snapshot: &Snapshot) -> Result<(), CatalogError> {
        let sealed = seal(&Image::of(snapshot))?;
        let path = self.snapshot_path(snapshot.epoch);
        match self.store.put_opts(&path, sealed.bytes.into(), PutMode::Create.into()).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(CatalogError::unavailable(error)),
        }
    }

    /// The newest snapshot up to `epoch` that can be used. A damaged one is passed over: it is only a short cut.
    async fn newest_snapshot(&self, epoch: u64) -> Result<Option<Snapshot>, CatalogError> {
        let mut versions: Vec<_> = self.snapshots().await?.into_iter().filter(|version| *version <= epoch).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        for version in versions {
            match self.snapshot(version).await? {
                Some(snapshot) => return Ok(Some(snapshot)),
                None => tracing::warn!(version, "a snapshot of the catalog is damaged; an older one is used"),
            }
        }
        Ok(None)
    }

    /// The versions that have a snapshot, in no order.
    async fn snapshots(&self) -> Result<Vec<u64>, CatalogError> {
        let folder = self.prefix.clone().join("snapshot");
        let listed: Vec<_> = self.store.list(Some(&folder)).map_err(CatalogError::unavailable).try_collect().await?;
        Ok(listed.iter().filter_map(|object| version_of(&object.location)).collect())
    }

    /// A snapshot, if it is whole and belongs to the log.
    async fn snapshot(&self, version: u64) -> Result<Option<Snapshot>, CatalogError> {
        let Some(bytes) = self.read(&self.snapshot_path(version)).await? else { return Ok(None) };
        let Ok((image, _)) = unseal::<Image>(&bytes, version) else { return Ok(None) };
        let (_, hash) = self.entry(version).await?;
        Ok(image.restore().ok().filter(|snapshot| snapshot.epoch == version && snapshot.head == hash))
    }

    /// Whether an entry of that version stands in the log: one request, where listing takes more.
    pub(crate) async fn has(&self, version: u64) -> Result<bool, CatalogError> {
        match self.store.head(&self.entry_path(version)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(CatalogError::unavailable(error)),
        }
    }

    async fn entry(&self, version: u64) -> Result<(Entry, [u8; 32]), CatalogError> {
        let bytes =
            self.read(&self.entry_path(version)).await?.ok_or(CatalogError::Missing { epoch: Epoch(version) })?;
        let (entry, hash) = unseal::<Entry>(&bytes, version)?;
        if entry.version != version {
            return Err(CatalogError::Damaged { epoch: Epoch(version), reason: "it is another entry's copy" });
        }
        Ok((entry, hash))
    }

    async fn read(&self, path: &Path) -> Result<Option<Bytes>, CatalogError> {
        let found = match self.store.get(path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(CatalogError::unavailable(error)),
        }
    }

    fn entry_path(&self, version: u64) -> Path {
        self.prefix.clone().join("log").join(format!("{version:020}.json"))
    }

    fn snapshot_path(&self, version: u64) -> Path {
        self.prefix.clone().join("snapshot").join(format!("{version:020}.json"))
    }
}

/// The version in an object's name; `None` for anything else that lies there.
fn version_of(path: &Path) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn seal<T: Serialize>(body: &T) -> Result<Sealed, CatalogError> {
    let unwritable = |_| CatalogError::Inconsistent("a change cannot be written down");
    let mut bytes = serde_json::to_vec(body).map_err(unwritable)?;
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    bytes.push(b'\n');
    serde_json::to_writer(&mut bytes, &Seal { sha256: hex::encode(hash) }).map_err(unwritable)?;
    bytes.push(b'\n');
    Ok(Sealed { bytes: bytes.into(), hash })
}

fn unseal<T: DeserializeOwned>(bytes: &[u8], version: u64) -> Result<(T, [u8; 32]), CatalogError> {
    let epoch = Epoch(version);
    let damaged = |reason| CatalogError::Damaged { epoch, reason };
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (Some(body), Some(seal), Some([]), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
        return Err(damaged("it is not whole"));
    };
    let seal: Seal = serde_json::from_slice(seal).map_err(|_| damaged("its checksum cannot be read"))?;
    let hash: [u8; 32] = Sha256::digest(body).into();
    if seal.sha256 != hex::encode(hash) {
        return Err(damaged("its checksum is wrong"));
    }
    let header: Header = serde_json::from_slice(body).map_err(|_| damaged("it cannot be read"))?;
    if header.format > FORMAT {
        return Err(CatalogError::NewerFormat { epoch, format: header.format });
    }
    let body = serde_json::from_slice(body).map_err(|_| damaged("it cannot be read"))?;
    Ok((body, hash))
}
