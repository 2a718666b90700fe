//! From a table's URL to the object store that holds it and deltalake's log store over it.
//!
//! Invariant: a location is an absolute URL of a known storage; two spellings of one location (with and without the
//! trailing slash) are one [`Place`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion_execution::object_store::ObjectStoreUrl;
use datafusion_execution::runtime_env::RuntimeEnv;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use lakeward_catalog::StoreError;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::durable::DurableStore;
use crate::fault::{Fault, input};

/// One storage: the local file system, or a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// The private URL under which scans find the store in a `RuntimeEnv`.
    pub(crate) url: ObjectStoreUrl,
    /// The store.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Whether asking it once costs more than reading what was not asked for.
    pub(crate) remote: bool,
}

impl Root {
    fn new(private_url: &str, store: Arc<dyn ObjectStore>, remote: bool) -> Result<Self, StoreError> {
        let url = ObjectStoreUrl::parse(private_url).map_err(|_| input("the storage's URL is malformed"))?;
        Ok(Self { url, store, remote })
    }

    /// Makes the store known to `runtime`.
    pub(crate) fn register(&self, runtime: &RuntimeEnv) {
        if runtime.object_store(&self.url).is_err() {
            runtime.register_object_store(self.url.as_ref(), Arc::clone(&self.store));
        }
    }
}

/// Every storage that tables may be in, by scheme and host.
#[derive(Debug, Clone)]
pub(crate) struct Roots(BTreeMap<(String, String), Root>);

impl Roots {
    /// The local file system only.
    pub(crate) fn local() -> Result<Self, StoreError> {
        let local = Root::new("lakeward-file://local", Arc::new(DurableStore::new()), false)?;
        Ok(Self(BTreeMap::from([(("file".to_owned(), String::new()), local)])))
    }

    /// Adds a bucket.
    pub(crate) fn add(&mut self, url: &Url, store: Arc<dyn ObjectStore>) -> Result<(), StoreError> {
        let host = url.host_str().ok_or_else(|| input("the storage's URL has no bucket"))?;
        let root = Root::new(&format!("lakeward-{}://{host}", url.scheme()), store, true)?;
        self.0.insert((url.scheme().to_owned(), host.to_owned()), root);
        Ok(())
    }

    /// Finds where `location` is.
    pub(crate) fn place(&self, location: &str) -> Result<Place, StoreError> {
        let mut url = Url::parse(location).map_err(|_| input("the table's location is not a URL"))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        if url.port().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(input("the table's location has more than a path"));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let root = self.0.get(&(url.scheme().to_owned(), host));
        let root = root.ok_or_else(|| StoreError::Unsupported("the location's storage".into()))?.clone();
        let prefix = Path::from_url_path(url.path()).map_err(|_| input("the table's location has a malformed path"))?;
        if prefix.as_ref().is_empty() {
            return Err(input("the table's location is the storage's root"));
        }
        Ok(Place { url, prefix, root })
    }
}

/// Where one table is.
#[derive(Clone)]
pub(crate) struct Place {
    /// Absolute, with a trailing slash.
    pub(crate) url: Url,
    /// The same as a path in the root's store.
    pub(crate) prefix: Path,
    /// The storage.
    pub(crate) root: Root,
}

impl Place {
    /// The table's directory as an object store.
    pub(crate) fn directory(&self) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(&self.root.store), self.prefix.clone()))
    }

    /// A directory within the table's.
    pub(crate) fn below(&self, directory: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{directory}/", self.url.path()));
        Self { url, prefix: self.prefix.clone().join(directory), root: self.root.clone() }
    }

    /// deltalake's log store for reading.
    pub(crate) fn log_store(&self) -> LogStoreRef {
        self.log_store_over(self.directory())
    }

    /// deltalake's log store, with `directory` in place of the plain one.
    pub(crate) fn log_store_over(&self, directory: Arc<dyn ObjectStore>) -> LogStoreRef {
        default_logstore(directory, Arc::clone(&self.root.store), &self.url, &StorageConfig::default())
    }

    /// deltalake's log store with everything replaced: for a write that sees a version and commits nothing itself.
    pub(crate) fn log_store_in(&self, directory: Arc<dyn ObjectStore>, root: Arc<dyn ObjectStore>) -> LogStoreRef {
        default_logstore(directory, root, &self.url, &StorageConfig::default())
    }

    /// A data file's path in the root's store. Files outside the table's directory are refused: a log that was made
    /// elsewhere could otherwise make any file of the server readable.
    pub(crate) fn data_file(&self, relative: &str) -> Result<Path, StoreError> {
        if relative.starts_with('/') || Url::parse(relative).is_ok() {
            return Err(StoreError::Unsupported("a data file outside the table's directory".into()));
        }
        let malformed = Fault("a data file's path is malformed");
        let path = Path::parse(format!("{}/{relative}", self.prefix)).map_err(|_| malformed.corrupt())?;
        let inside = path.prefix_match(&self.prefix).is_some_and(|mut rest| rest.next().is_some());
        if inside { Ok(path) } else { Err(malformed.corrupt()) }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("root", &self.root.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(location: &str) -> Result<Place, StoreError> {
        Roots::local().unwrap().place(location)
    }

    #[test]
    fn one_location_has_one_place() {
        assert_eq!(place("file:///a/b").unwrap().url, place("file:///a/b/").unwrap().url);
        assert_eq!(place("file:///a%20b/").unwrap().prefix.as_ref(), "a b");
    }

    #[test]
    fn odd_locations_are_refused() {
        for location in ["", "a/b", "file:///", "s3://bucket/t/", "file:///a?x=1", "http://host/a/", "file://host/a/"] {
            assert!(place(location).is_err(), "{location}");
        }
    }

    #[test]
    fn data_files_stay_inside() {
        let place = place("file:///a/b/").unwrap();
        assert_eq!(place.data_file("p=1/x.parquet").unwrap().as_ref(), "a/b/p=1/x.parquet");
        for path in ["/etc/passwd", "file:///etc/passwd", "../x.parquet", "p/../../x", "s3://bucket/x"] {
            assert!(place.data_file(path).is_err(), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_data_file_leaves_the_directory(relative in r"[a-z./%:\\ ]{0,24}") {
            if let Ok(path) = place("file:///a/b/").unwrap().data_file(&relative) {
                let inside = path.as_ref().starts_with("a/b/");
                proptest::prop_assert!(inside && path.parts().all(|part| ![".", ".."].contains(&part.as_ref())));
            }
        }
    }
}
