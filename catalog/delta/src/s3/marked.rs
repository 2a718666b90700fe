//! [`MarkedStore`]: one bucket, on which every object bears its classification, every condition is known to be honoured,
//! and no upload is left half done.
//!
//! Why a store of its own: deltalake, its kernel and the catalog all write through it, log files as well as data, and
//! none of them knows what an operator has to have on every object. Invariants: `classification=phi` is on every object
//! that is put; a put that must not overwrite is believed only once the store has refused another; a multipart upload
//! that is neither completed nor aborted is aborted; of an error the operator hears its kind, never a key.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, TagSet,
    UploadPart,
};

use super::problem::StorageProblem;

const CLASSIFICATION: (&str, &str) = ("classification", "phi");

/// How often a put is sent again that was refused because another one to the same place was under way.
const CROSSED_PUTS: u32 = 8;
const CROSSED_PAUSE: Duration = Duration::from_millis(25);

/// Whether the store minds a condition.
const UNKNOWN: u8 = 0;
const HONOURED: u8 = 1;
const IGNORED: u8 = 2;

/// See the module.
pub(super) struct MarkedStore {
    inner: Arc<dyn ObjectStore>,
    tagged: bool,
    conditions: AtomicU8,
    watch: Arc<Watch>,
}

impl MarkedStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, name: &str, bucket: &str, tagged: bool) -> Self {
        let watch = Watch { name: name.to_owned(), bucket: bucket.to_owned(), failing: parking_lot::Mutex::new(None) };
        Self { inner, tagged, conditions: AtomicU8::new(UNKNOWN), watch: Arc::new(watch) }
    }

    fn mark(&self, attributes: &mut Attributes, tags: &mut TagSet) {
        let (key, value) = CLASSIFICATION;
        attributes.insert(Attribute::Metadata(key.into()), value.into());
        if self.tagged {
            let mut marked = TagSet::default();
            marked.push(key, value);
            *tags = marked;
        }
    }

    /// A put that must not overwrite.
    async fn create(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if self.conditions.load(Ordering::Acquire) == IGNORED {
            return Err(unconditional());
        }
        let made = self.create_alone(location, &payload, &options).await;
        match &made {
            // That it was refused shows that it can be.
            Err(error) if is_precondition(error) => self.conditions.store(HONOURED, Ordering::Release),
            Ok(_) if self.conditions.load(Ordering::Acquire) == UNKNOWN => {
                match self.inner.put_opts(location, payload, options).await {
                    Ok(_) => {
                        self.conditions.store(IGNORED, Ordering::Release);
                        return Err(unconditional());
                    }
                    Err(error) if is_precondition(&error) => self.conditions.store(HONOURED, Ordering::Release),
                    Err(_) => {}
                }
            }
            Ok(_) | Err(_) => {}
        }
        made
    }

    /// S3 refuses with 409 while another conditional put to the same place is under way, of which nobody knows yet
    /// whether it will stand.
    async fn create_alone(&self, location: &Path, payload: &PutPayload, options: &PutOptions) -> Result<PutResult> {
        let mut crossed = 0;
        loop {
            match self.inner.put_opts(location, payload.clone(), options.clone()).await {
                Err(error @ Error::AlreadyExists { .. }) if !is_precondition(&error) && crossed < CROSSED_PUTS => {
                    crossed += 1;
                    tokio::time::sleep(CROSSED_PAUSE * crossed).await;
                }
                other => return other,
            }
        }
    }
}

/// Whether an object stood there, as against another put that is under way.
fn is_precondition(error: &Error) -> bool {
    match error {
        // The client wraps a condition that failed; anything else is a 409.
        Error::AlreadyExists { source, .. } => source.is::<Error>(),
        Error::Precondition { .. } | Error::NotModified { .. } => true,
        _ => false,
    }
}

fn unconditional() -> Error {
    Error::NotSupported { source: Box::new(StorageProblem::Unconditional) }
}

impl fmt::Debug for MarkedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarkedStore").field("name", &self.watch.name).finish_non_exhaustive()
    }
}

impl fmt::Display for MarkedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MarkedStore({})", self.watch.name)
    }
}

#[async_trait]
impl ObjectStore for MarkedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut opts: PutOptions) -> Result<PutResult> {
        self.mark(&mut opts.attributes, &mut opts.tags);
        let put = match opts.mode {
            PutMode::Create => self.create(location, payload, opts).await,
            PutMode::Overwrite | PutMode::Update(_) => self.inner.put_opts(location, payload, opts).await,
        };
        self.watch.saw(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        mut opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.mark(&mut opts.attributes, &mut opts.tags);
        let upload = self.watch.saw(self.inner.put_multipart_opts(location, opts).await)?;
        Ok(Box::new(TidyUpload { inner: Some(upload) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.watch.saw(self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.watch.saw(self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let watch = Arc::clone(&self.watch);
        self.inner.delete_stream(locations).map(move |deleted| watch.saw(deleted)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let watch = Arc::clone(&self.watch);
        self.inner.list(prefix).map(move |listed| watch.saw(listed)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let watch = Arc::clone(&self.watch);
        self.inner.list_with_offset(prefix, offset).map(move |listed| watch.saw(listed)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.watch.saw(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.watch.saw(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.watch.saw(self.inner.rename_opts(from, to, options).await)
    }
}

/// Tells the operator when a bucket begins to fail, in what way, and when it has ended.
struct Watch {
    name: String,
    bucket: String,
    failing: parking_lot::Mutex<Option<StorageProblem>>,
}

impl Watch {
    fn saw<T>(&self, outcome: Result<T>) -> Result<T> {
        let problem = match &outcome {
            Ok(_) => None,
            // Answers, of a store that works.
            Err(
                Error::NotFound { .. }
                | Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. },
            ) => None,
            Err(error) => Some(StorageProblem::of(error)),
        };
        let mut failing = self.failing.lock();
        if *failing != problem {
            match problem {
                Some(cause) => tracing::error!(store = self.name, bucket = self.bucket, %cause, "storage fails"),
                None => tracing::info!(store = self.name, bucket = self.bucket, "storage works again"),
            }
            *failing = problem;
        }
        outcome
    }
}

/// An upload that is aborted where it is dropped before its end.
#[derive(Debug)]
struct TidyUpload {
    inner: Option<Box<dyn MultipartUpload>>,
}

fn ended() -> Error {
    Error::Generic { store: "MarkedStore", source: "the upload has ended".into() }
}

#[async_trait]
impl MultipartUpload for TidyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut self.inner {
            Some(upload) => upload.put_part(data),
            None => Box::pin(futures::future::ready(Err(ended()))),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let completed = self.inner.as_mut().ok_or_else(ended)?.complete().await;
        if completed.is_ok() {
            self.inner = None;
        }
        completed
    }

    async fn abort(&mut self) -> Result<()> {
        let Some(mut upload) = self.inner.take() else { return Ok(()) };
        upload.abort().await
    }
}

impl Drop for TidyUpload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            if upload.abort().await.is_err() {
                tracing::warn!("an upload that was given up could not be aborted; the bucket's lifecycle rule will");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    /// Takes every put, whatever its condition.
    #[derive(Debug)]
    struct Careless(InMemory);

    impl fmt::Display for Careless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Careless")
        }
    }

    #[async_trait]
    impl ObjectStore for Careless {
        async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
            self.0.put_opts(location, payload, PutOptions { mode: PutMode::Overwrite, ..opts }).await
        }

        async fn put_multipart_opts(
            &self,
            location: &Path,
            opts: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, opts).await
        }

        async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
            self.0.get_opts(location, options).await
        }

        fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.0.delete_stream(locations)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_is_found_out_at_the_first_commit() {
        let careless = MarkedStore::new(Arc::new(Careless(InMemory::new())), "s", "b", false);
        for version in ["0.json", "1.json"] {
            let put = careless.put_opts(&Path::from(version), "x".into(), PutMode::Create.into()).await;
            assert_eq!(StorageProblem::of(&put.unwrap_err()), StorageProblem::Unconditional);
        }
    }

    #[tokio::test]
    async fn what_is_put_is_marked() {
        let store = MarkedStore::new(Arc::new(InMemory::new()), "s", "b", true);
        let at = Path::from("a");
        store.put(&at, "x".into()).await.unwrap();
        let mut upload = store.put_multipart(&Path::from("b")).await.unwrap();
        upload.put_part("y".into()).await.unwrap();
        upload.complete().await.unwrap();
        for name in ["a", "b"] {
            let found = store.get(&Path::from(name)).await.unwrap();
            let value = found.attributes.get(&Attribute::Metadata("classification".into()));
            assert_eq!(value.map(AsRef::as_ref), Some("phi"), "{name}");
        }
        assert!(upload.put_part("z".into()).await.is_err() && upload.complete().await.is_err());
    }

    #[test]
    fn a_crossing_put_is_no_proof_that_something_stands_there() {
        let exists =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::AlreadyExists { path: String::new(), source };
        let stands = Error::Precondition { path: String::new(), source: "412".into() };
        assert!(is_precondition(&exists(Box::new(stands))));
        assert!(!is_precondition(&exists("status code: 409 Conflict".into())));
    }
}
