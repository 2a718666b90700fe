//! [`Pending`]: a write whose files stand in the table's directory and that no commit names yet.
//!
//! A transaction block holds one until its end; every other write is committed at once. Invariant: what is dropped before
//! its commit was handed to storage takes its files away.

use std::sync::Arc;

use async_trait::async_trait;
use deltalake::DeltaTable;
use lakeward_catalog::{RawTable, StagedWrite, StoreError};
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;

use crate::commit::{Entry, Rule};
use crate::fault::{Fault, from_delta};
use crate::location::Place;
use crate::past::PastStore;
use crate::snapshots::{Pinned, pin};
use crate::write::Staged;

/// See the module.
pub(crate) struct Pending {
    place: Place,
    base: Arc<Pinned>,
    /// What will be committed, for reading it before.
    entry: Entry,
    rule: Rule,
    rows: u64,
    /// The files, and those of the change feed; `None` once they have been handed on.
    files: Mutex<Option<(Staged, Option<Staged>)>>,
}

impl Pending {
    /// A write of `files` on top of `base`.
    pub(crate) fn new(
        place: &Place,
        base: Arc<Pinned>,
        files: Staged,
        feed: Option<Staged>,
        rule: Rule,
        rows: u64,
    ) -> Self {
        let entry = files.entry.clone();
        Self { place: place.clone(), base, entry, rule, rows, files: Mutex::new(Some((files, feed))) }
    }
}

#[async_trait]
impl StagedWrite for Pending {
    fn rows(&self) -> u64 {
        self.rows
    }

    async fn preview(&self) -> Result<RawTable, StoreError> {
        let version = self.base.raw.version();
        let next = version.saturating_add(1);
        let ahead = PastStore::new(&self.place, Some(version)).with_commit(next, self.entry.clone().bytes()).await?;
        let ahead = Arc::new(ahead);
        let directory = PrefixStore::new(Arc::clone(&ahead), self.place.prefix.clone());
        let mut table = DeltaTable::new(self.place.log_store_in(Arc::new(directory), ahead));
        table.load_version(next).await.map_err(|error| from_delta(&error))?;
        Ok(pin(&table, &self.place)?.raw.clone().uncommitted_on(version))
    }

    async fn commit(&self) -> Result<u64, StoreError> {
        let Some((files, feed)) = self.files.lock().take() else {
            return Err(Fault("the write was committed before").io());
        };
        let staging = files.watcher();
        let committed = files.commit(&self.place, &self.base, &self.rule).await;
        // Where nobody knows whether the commit stands, its files stay.
        if let Some(feed) = feed
            && staging.may_be_committed()
        {
            feed.keep();
        }
        committed
    }
}
