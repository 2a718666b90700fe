//! [`PastStore`]: a storage in which one table's log ends at some version.
//!
//! Why: deltalake, asked to write files, looks for newer commits and judges conflicts by rules of its own (an append
//! conflicts with any concurrent delete). Lakeward judges by its own, in [`crate::commit`]. Invariant: deltalake sees the
//! log as it was when the write began, to the end of the write. A write that waits for its commit is read through it too,
//! with that one commit more.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lakeward_catalog::StoreError;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::fault::from_storage;
use crate::location::Place;

/// A storage as it was at a version of one table.
#[derive(Debug, Clone)]
pub(crate) struct PastStore {
    inner: Arc<dyn ObjectStore>,
    horizon: Horizon,
    /// A commit that is not there yet, after the newest.
    ahead: Option<Ahead>,
}

#[derive(Debug, Clone)]
struct Ahead {
    path: Path,
    store: Arc<InMemory>,
}

#[derive(Debug, Clone)]
struct Horizon {
    log: Path,
    newest: Option<u64>,
}

impl Horizon {
    /// Whether a file of the log was not there yet. Hints about checkpoints are not there either: they may be newer.
    fn hides(&self, path: &Path) -> bool {
        let Some(mut rest) = path.prefix_match(&self.log) else { return false };
        let Some(newest) = self.newest else { return true };
        let name = rest.next().map(|part| part.as_ref().to_owned()).unwrap_or_default();
        match name.split('.').next().map(str::parse::<u64>) {
            Some(Ok(version)) => version > newest,
            _ => name == "_last_checkpoint",
        }
    }
}

impl Horizon {
    /// Whether nothing after `offset`, in the order of names, was there yet: then nobody has to be asked.
    fn ends_at(&self, offset: &Path) -> bool {
        let Some(mut rest) = offset.prefix_match(&self.log) else { return false };
        let Some(newest) = self.newest else { return true };
        let name = rest.next().map(|part| part.as_ref().to_owned()).unwrap_or_default();
        // Files of one version: its checkpoints' names come before its commit's.
        name.strip_suffix(".json").and_then(|version| version.parse::<u64>().ok()).is_some_and(|at| at >= newest)
    }
}

impl PastStore {
    /// The storage of `place`, whose log ends at `newest`; `None`: there is no log.
    pub(crate) fn new(place: &Place, newest: Option<u64>) -> Self {
        let horizon = Horizon { log: place.prefix.clone().join("_delta_log"), newest };
        Self { inner: Arc::clone(&place.root.store), horizon, ahead: None }
    }

    /// The same with one commit more, which is nowhere else.
    pub(crate) async fn with_commit(
        mut self,
        version: u64,
        entry: bytes::Bytes,
    ) -> std::result::Result<Self, StoreError> {
        let path = self.horizon.log.clone().join(format!("{version:020}.json"));
        let store = Arc::new(InMemory::new());
        store.put(&path, entry.into()).await.map_err(|error| from_storage(&error))?;
        self.ahead = Some(Ahead { path, store });
        Ok(self)
    }

    /// The store that holds the commit ahead, where it is that.
    fn ahead(&self, path: &Path) -> Option<&Arc<InMemory>> {
        self.ahead.as_ref().filter(|ahead| ahead.path == *path).map(|ahead| &ahead.store)
    }
}

impl fmt::Display for PastStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PastStore")
    }
}

#[async_trait]
impl ObjectStore for PastStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(store) = self.ahead(location) {
            return store.get_opts(location, options).await;
        }
        if self.horizon.hides(location) {
            return Err(Error::NotFound { path: String::new(), source: "not there yet".into() });
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        match self.ahead(location) {
            Some(store) => store.get_ranges(location, ranges).await,
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let horizon = self.horizon.clone();
        let past =
            self.inner.list(prefix).try_filter(move |meta| futures::future::ready(!horizon.hides(&meta.location)));
        match &self.ahead {
            Some(ahead) => past.chain(ahead.store.list(prefix)).boxed(),
            None => past.boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        if prefix == Some(&self.horizon.log) && self.horizon.ends_at(offset) {
            return futures::stream::empty().boxed();
        }
        let horizon = self.horizon.clone();
        let listed = self.inner.list_with_offset(prefix, offset);
        let past = listed.try_filter(move |meta| futures::future::ready(!horizon.hides(&meta.location)));
        match &self.ahead {
            Some(ahead) => past.chain(ahead.store.list_with_offset(prefix, offset)).boxed(),
            None => past.boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.retain(|meta| !self.horizon.hides(&meta.location));
        if let Some(ahead) = &self.ahead {
            listed.objects.extend(ahead.store.list_with_delimiter(prefix).await?.objects);
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_commits_and_hints_are_hidden_and_nothing_else() {
        let horizon = Horizon { log: Path::from("a/t/_delta_log"), newest: Some(7) };
        let hides = |path: &str| horizon.hides(&Path::from(path));
        assert!(hides("a/t/_delta_log/00000000000000000008.json"));
        assert!(hides("a/t/_delta_log/00000000000000000010.checkpoint.parquet"));
        assert!(hides("a/t/_delta_log/_last_checkpoint"));
        assert!(!hides("a/t/_delta_log/00000000000000000007.json"));
        assert!(!hides("a/t/00000000000000000008.json"));
        assert!(!hides("a/t2/_delta_log/00000000000000000008.json"));
        let ends = |path: &str| horizon.ends_at(&Path::from(path));
        assert!(ends("a/t/_delta_log/00000000000000000007.json") && ends("a/t/_delta_log/00000000000000000009.json"));
        assert!(!ends("a/t/_delta_log/00000000000000000006.json") && !ends("a/t/00000000000000000007.json"));
        assert!(!ends("a/t/_delta_log/00000000000000000007.checkpoint.parquet"));
        assert!(Horizon { newest: None, ..horizon.clone() }.hides(&Path::from("a/t/_delta_log/_x")));
    }
}
