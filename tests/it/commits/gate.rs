//! A bucket in memory whose answers can be kept back: what a write waits for, for as long as a test wants.
//!
//! Invariant: what is kept back is done already, as where a store is slow to answer.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub struct Gate {
    objects: InMemory,
    /// The end of names of objects whose puts are not answered.
    shut: watch::Sender<Option<&'static str>>,
    /// How many wait.
    waiting: watch::Sender<usize>,
}

impl Gate {
    pub fn open() -> Self {
        Self { objects: InMemory::new(), shut: watch::Sender::new(None), waiting: watch::Sender::new(0) }
    }

    /// From now on no put of an object whose name ends so is answered.
    pub fn shut(&self, ending: &'static str) {
        self.shut.send_replace(Some(ending));
    }

    /// Waits until somebody waits for such an answer.
    pub async fn reached(&self) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|waiting| *waiting > 0);
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("storage is asked").unwrap();
    }

    /// Waits until what was done may be answered.
    async fn answer(&self, location: &Path) {
        let free = |shut: &Option<&'static str>| shut.is_none_or(|ending| !location.as_ref().ends_with(ending));
        if free(&self.shut.borrow()) {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = Waiting(self);
        self.shut.subscribe().wait_for(free).await.unwrap();
    }

    /// Everything is answered again.
    pub fn let_go(&self) {
        self.shut.send_replace(None);
    }
}

/// Counts one who waits, for as long as it does.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.objects.put_opts(location, payload, options).await;
        self.answer(location).await;
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.answer(location).await;
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.objects.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
