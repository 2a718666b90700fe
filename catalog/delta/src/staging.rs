//! [`StagingStore`]: a table's directory as one write sees it, remembering the data files that were put there until a
//! commit names them.
//!
//! Why: deltalake leaves files behind when a write fails or is dropped after a file was finished, and does not tell
//! whether the log entry was written when something after it fails. A capturing store also keeps the log entry to
//! itself: what deltalake would have committed is committed by [`crate::commit`], together with more.
//!
//! Invariant: a file is deleted only if no commit of this write can name it: none was begun, or each that was begun was
//! refused for certain.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use lakeward_catalog::MayCommit;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use parking_lot::Mutex;

/// How far the write's commit got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    NotBegun,
    /// Handed to storage, outcome unknown.
    Begun,
    Made(u64),
}

struct State {
    files: Vec<Path>,
    commit: Commit,
    abandoned: bool,
    /// `Some` while commits are kept instead of made.
    captured: Option<Option<bytes::Bytes>>,
    /// Asked before a commit is made.
    may_commit: Option<MayCommit>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("commit", &self.commit).finish_non_exhaustive()
    }
}

/// The directory of a table during one write.
#[derive(Debug, Clone)]
pub(crate) struct StagingStore {
    inner: Arc<dyn ObjectStore>,
    /// The directory as it is now, where `inner` shows it as it was.
    present: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

impl StagingStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        let state =
            State { files: Vec::new(), commit: Commit::NotBegun, abandoned: false, captured: None, may_commit: None };
        Self { present: Arc::clone(&inner), inner, state: Arc::new(Mutex::new(state)) }
    }

    /// The same over the directory as it was, keeping the first commit to itself.
    pub(crate) fn capturing(past: Arc<dyn ObjectStore>, present: Arc<dyn ObjectStore>) -> Self {
        let store = Self { present, ..Self::new(past) };
        store.state.lock().captured = Some(None);
        store
    }

    /// The same, making commits only as long as they may be made.
    pub(crate) fn asking(self, may_commit: MayCommit) -> Self {
        self.state.lock().may_commit = Some(may_commit);
        self
    }

    /// What was captured. Commits are made from now on.
    pub(crate) fn release(&self) -> Option<bytes::Bytes> {
        self.state.lock().captured.take().flatten()
    }

    /// Makes a commit.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where another's stands there; any other where nobody knows whether this one does.
    pub(crate) async fn commit(&self, version: u64, payload: bytes::Bytes) -> Result<()> {
        let create = PutOptions { mode: object_store::PutMode::Create, ..PutOptions::default() };
        let at = Path::from(format!("_delta_log/{version:020}.json"));
        self.put_opts(&at, payload.into(), create).await.map(drop)
    }

    /// The version that was committed, if one was.
    pub(crate) fn committed(&self) -> Option<u64> {
        match self.state.lock().commit {
            Commit::Made(version) => Some(version),
            Commit::NotBegun | Commit::Begun => None,
        }
    }

    /// Whether a commit of it may stand.
    pub(crate) fn may_be_committed(&self) -> bool {
        self.state.lock().commit != Commit::NotBegun
    }

    /// Gives the write up: files that no commit can name are taken away, now and as they are finished.
    pub(crate) fn abandon(&self) -> Vec<Path> {
        let mut state = self.state.lock();
        if state.commit != Commit::NotBegun {
            return Vec::new();
        }
        state.abandoned = true;
        std::mem::take(&mut state.files)
    }

    /// The files are named by a commit that was made elsewhere.
    pub(crate) fn keep(&self) {
        self.state.lock().files.clear();
    }

    /// Deletes files, best effort.
    pub(crate) async fn delete(&self, files: Vec<Path>) {
        for file in files {
            if self.inner.delete(&file).await.is_err() {
                tracing::warn!("a data file of an abandoned write could not be deleted");
            }
        }
    }

    /// Remembers a finished file; one that is finished after the write was given up is deleted.
    async fn finished(&self, file: &Path) {
        let abandoned = {
            let mut state = self.state.lock();
            if !state.abandoned {
                state.files.push(file.clone());
            }
            state.abandoned
        };
        if abandoned {
            self.delete(vec![file.clone()]).await;
        }
    }

    async fn put_commit(&self, version: u64, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        {
            let mut state = self.state.lock();
            if state.abandoned {
                return Err(Error::Generic { store: "StagingStore", source: "the write was given up".into() });
            }
            if let Some(captured) = state.captured.as_mut() {
                captured.get_or_insert_with(|| payload.into());
                return Ok(PutResult { e_tag: None, version: None });
            }
            if state.commit == Commit::NotBegun && state.may_commit.as_ref().is_some_and(|may_commit| !may_commit()) {
                return Err(Error::Generic { store: "StagingStore", source: "the work was stopped".into() });
            }
            state.commit = Commit::Begun;
        }
        let put = match self.inner.put_opts(at, payload.clone(), opts).await {
            Err(Error::AlreadyExists { path, source }) => match self.is_own(at, &payload).await {
                Some(true) => Ok(PutResult { e_tag: None, version: None }),
                Some(false) => {
                    self.state.lock().commit = Commit::NotBegun;
                    Err(Error::AlreadyExists { path, source })
                }
                // It may be this write's own: to make it again, above it, would be to make it twice.
                None => {
                    Err(Error::Generic { store: "StagingStore", source: "nobody knows whose the commit is".into() })
                }
            },
            Err(other) => match self.is_own(at, &payload).await {
                Some(true) => Ok(PutResult { e_tag: None, version: None }),
                Some(false) | None => Err(other),
            },
            made => made,
        };
        if put.is_ok() {
            self.state.lock().commit = Commit::Made(version);
        }
        put
    }

    /// Whether the commit that stands at `at` is this write's own: a remote store may have taken it and lost the answer.
    async fn is_own(&self, at: &Path, payload: &PutPayload) -> Option<bool> {
        let standing = self.present.get(at).await.ok()?.bytes().await.ok()?;
        Some(standing == bytes::Bytes::from(payload.clone()))
    }
}

impl fmt::Display for StagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StagingStore")
    }
}

fn in_log(path: &Path) -> bool {
    path.parts().next().is_some_and(|part| part.as_ref() == "_delta_log")
}

/// The version of a commit file's path.
fn commit_version(path: &Path) -> Option<u64> {
    if !in_log(path) || path.parts().count() != 2 {
        return None;
    }
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

#[async_trait]
impl ObjectStore for StagingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if let Some(version) = commit_version(location) {
            return self.put_commit(version, location, payload, opts).await;
        }
        let result = self.inner.put_opts(location, payload, opts).await?;
        if !in_log(location) {
            self.finished(location).await;
        }
        Ok(result)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        if in_log(location) {
            return Ok(inner);
        }
        Ok(Box::new(StagingUpload { inner, store: self.clone(), file: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct StagingUpload {
    inner: Box<dyn MultipartUpload>,
    store: StagingStore,
    file: Path,
}

#[async_trait]
impl MultipartUpload for StagingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        self.store.finished(&self.file).await;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::PutMode;
    use object_store::memory::InMemory;

    async fn exists(store: &StagingStore, path: &str) -> bool {
        store.inner.head(&Path::from(path)).await.is_ok()
    }

    #[tokio::test]
    async fn what_is_finished_after_giving_up_is_deleted() {
        let store = StagingStore::new(Arc::new(InMemory::new()));
        store.put(&Path::from("a.parquet"), "a".into()).await.unwrap();
        let files = store.abandon();
        store.delete(files).await;
        store.put(&Path::from("b.parquet"), "b".into()).await.unwrap();
        assert!(!exists(&store, "a.parquet").await && !exists(&store, "b.parquet").await);
        assert!(store.put(&Path::from("_delta_log/00000000000000000001.json"), "{}".into()).await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_deleted_once_a_commit_may_name_it() {
        let store = StagingStore::new(Arc::new(InMemory::new()));
        store.put(&Path::from("a.parquet"), "a".into()).await.unwrap();
        store.put(&Path::from("_delta_log/00000000000000000007.json"), "{}".into()).await.unwrap();
        assert_eq!(store.committed(), Some(7));
        assert!(store.abandon().is_empty());
    }

    #[tokio::test]
    async fn a_refused_commit_names_nothing() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let log = Path::from("_delta_log/00000000000000000001.json");
        inner.put(&log, "another's".into()).await.unwrap();
        let store = StagingStore::new(inner);
        store.put(&Path::from("a.parquet"), "a".into()).await.unwrap();
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        assert!(store.put_opts(&log, "{}".into(), create).await.is_err());
        assert_eq!((store.committed(), store.abandon().len()), (None, 1));
    }

    #[tokio::test]
    async fn a_captured_commit_is_not_made() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store = StagingStore::capturing(Arc::clone(&inner), inner);
        store.put(&Path::from("_delta_log/00000000000000000001.json"), "own".into()).await.unwrap();
        assert!(!exists(&store, "_delta_log/00000000000000000001.json").await);
        assert_eq!(store.release().as_deref(), Some(&b"own"[..]));
        store.commit(3, "own".into()).await.unwrap();
        assert_eq!(store.committed(), Some(3));
        assert!(store.commit(3, "other".into()).await.is_err());
    }

    #[tokio::test]
    async fn a_commit_that_cannot_be_read_back_may_be_ones_own() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        inner.put(&Path::from("_delta_log/00000000000000000001.json"), "own".into()).await.unwrap();
        let unreadable: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store = StagingStore::capturing(inner, unreadable);
        assert!(store.release().is_none());
        store.put(&Path::from("a.parquet"), "a".into()).await.unwrap();
        let refused = store.commit(1, "own".into()).await.unwrap_err();
        assert!(!matches!(refused, Error::AlreadyExists { .. }), "{refused}");
        assert!(store.may_be_committed() && store.abandon().is_empty(), "what it may name is kept");
    }

    #[tokio::test]
    async fn no_commit_is_begun_that_may_not_be_made() {
        let store = StagingStore::new(Arc::new(InMemory::new())).asking(Arc::new(|| false));
        store.put(&Path::from("a.parquet"), "a".into()).await.unwrap();
        assert!(store.commit(1, "own".into()).await.is_err());
        assert!(!exists(&store, "_delta_log/00000000000000000001.json").await);
        assert_eq!((store.may_be_committed(), store.abandon().len()), (false, 1));
    }

    #[tokio::test]
    async fn a_commit_that_was_taken_without_an_answer_is_ones_own() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let log = Path::from("_delta_log/00000000000000000001.json");
        inner.put(&log, "own".into()).await.unwrap();
        let store = StagingStore::new(inner);
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        assert!(store.put_opts(&log, "own".into(), create).await.is_ok());
        assert_eq!(store.committed(), Some(1));
    }
}
