//! [`DurableStore`]: the local file system as an object store whose writes survive a power failure.
//!
//! Why: `object_store`'s `LocalFileSystem` (0.13) never syncs. A put links or renames a file whose bytes may not have
//! reached the disk, so that after a crash a commit may exist under its name and be empty, which makes the whole log
//! unreadable, or may be gone although it was acknowledged.
//!
//! Invariant: when a put or a completed upload returns, the bytes, the name, and every directory made for it are synced;
//! and a name never stands for bytes that are not (data is synced before the link or rename, for puts).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// A local file system whose writes are durable when they return.
#[derive(Debug, Clone)]
pub struct DurableStore {
    inner: Arc<LocalFileSystem>,
}

impl DurableStore {
    /// Over the whole file system; locations are absolute paths without the leading slash.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()) }
    }

    /// Over one directory, which must exist.
    ///
    /// # Errors
    /// Where the directory does not exist.
    pub fn with_prefix(directory: &FsPath) -> Result<Self> {
        Ok(Self { inner: Arc::new(LocalFileSystem::new_with_prefix(directory)?) })
    }
}

impl Default for DurableStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableStore")
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) || !opts.attributes.is_empty() {
            return self.inner.put_opts(location, payload, opts).await; // refuses both
        }
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || put(&path, &payload, matches!(opts.mode, PutMode::Create))).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let parent = parent_of(&path).map_err(generic)?.to_path_buf();
        blocking(move || create_directories(&parent)).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { inner, path }))
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
        self.inner.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync(to).await
    }
}

impl DurableStore {
    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || sync_file(&path)).await
    }
}

#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    /// Data files have unique names that nothing refers to before a commit, so syncing after the rename is enough.
    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || sync_file(&path)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

fn put(path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let parent = parent_of(path)?;
    create_directories(parent)?;
    let (mut file, staged) = stage(path)?;
    let written = payload.iter().try_for_each(|bytes| file.write_all(bytes)).and_then(|()| file.sync_all());
    let named = written.and_then(|()| if create { fs::hard_link(&staged, path) } else { fs::rename(&staged, path) });
    if create || named.is_err() {
        // Best effort: a left-over staged file has a name that listings skip.
        let _ = fs::remove_file(&staged);
    }
    named?;
    sync_directory(parent)
}

/// Opens a new file next to `path`, named as `LocalFileSystem` names its own, so that listings skip it.
fn stage(path: &FsPath) -> io::Result<(File, PathBuf)> {
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{}", uuid::Uuid::new_v4().as_u128()));
        let staged = PathBuf::from(staged);
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes `directory` and its ancestors, syncing the parent of each that was made.
fn create_directories(directory: &FsPath) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = parent_of(directory)?;
    create_directories(parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent),
    }
}

fn sync_file(path: &FsPath) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_directory(parent_of(path)?)
}

fn sync_directory(directory: &FsPath) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn parent_of(path: &FsPath) -> io::Result<&FsPath> {
    path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(generic),
        Err(stopped) => Err(Error::Generic { store: "DurableStore", source: Box::new(stopped) }),
    }
}

fn generic(error: io::Error) -> Error {
    // The path is left out: it would end up in texts.
    match error.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: String::new(), source: Box::new(error) },
        ErrorKind::NotFound => Error::NotFound { path: String::new(), source: Box::new(error) },
        ErrorKind::PermissionDenied => Error::PermissionDenied { path: String::new(), source: Box::new(error) },
        _ => Error::Generic { store: "DurableStore", source: Box::new(error) },
    }
}
