//! `[storage]`: where tables and the catalog's log lie, and the S3-compatible stores that hold them.
//!
//! Invariant: a store is named, with its buckets; a bucket that no store names is refused. Before anything is served,
//! each bucket has answered, and those that the server itself writes to have taken an object and refused to overwrite it.
//! Settings hold no secret: credentials are in a file of their own, in the environment, or a role's.

mod section;

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_catalog::canonical_location;
use lakeward_delta::{DeltaStore, S3Bucket, StorageProblem};
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use crate::error::ServerError;
use crate::layout::DataDirectory;

pub use section::{CredentialsFrom, S3Section, Storage, StorageSection};

use section::split;

/// Where the catalog's log is.
pub struct CatalogPlace {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The prefix within it.
    pub prefix: Path,
    /// Whether other servers may change it.
    pub shared: bool,
}

/// The stores, tried.
pub struct OpenStorage {
    buckets: BTreeMap<String, S3Bucket>,
}

impl Storage {
    /// Below which managed tables are made.
    ///
    /// # Errors
    /// [`ServerError::DataDirectory`] for a path that is no URL.
    pub fn managed_root_url(&self, data: &DataDirectory) -> Result<String, ServerError> {
        match &self.warehouse {
            Some(warehouse) => Ok(warehouse.clone()),
            None => Ok(DataDirectory::new(&data.tables()).url()?.to_string()),
        }
    }

    /// Where no table may be: what the server keeps besides tables.
    ///
    /// # Errors
    /// [`ServerError::DataDirectory`] for a path that is no URL.
    pub fn reserved_urls(&self, data: &DataDirectory) -> Result<Vec<String>, ServerError> {
        let own = [data.catalog(), data.audit(), data.keys(), data.tls()];
        let mut reserved = Vec::new();
        for directory in own {
            let url = DataDirectory::new(&directory).url()?;
            // Links are followed, as they are in a table's location.
            reserved.push(canonical_location(url.as_str()).unwrap_or_else(|_| url.into()));
        }
        reserved.extend(self.catalog.clone());
        Ok(reserved)
    }

    /// True where the catalog is not in the data directory.
    #[must_use]
    pub fn shares_catalog(&self) -> bool {
        self.catalog.is_some()
    }

    /// Reads the files that stores are opened with; nothing is sent.
    ///
    /// # Errors
    /// [`ServerError::Storage`] with the first that cannot be used.
    pub fn read_files(&self) -> Result<(), ServerError> {
        self.buckets.iter().try_for_each(|(bucket, settings)| {
            let opened = S3Bucket::open(settings, bucket);
            opened.map(drop).map_err(|problem| ServerError::storage(&settings.name, bucket, problem))
        })
    }

    /// Opens every bucket and tries it.
    ///
    /// # Errors
    /// [`ServerError::Storage`] with what is wrong with which bucket.
    pub async fn open(&self) -> Result<OpenStorage, ServerError> {
        let mut buckets = BTreeMap::new();
        for (bucket, settings) in &self.buckets {
            let failed = |problem: StorageProblem| ServerError::storage(&settings.name, bucket, problem);
            let opened = S3Bucket::open(settings, bucket).map_err(failed)?;
            let own = [&self.warehouse, &self.catalog].into_iter().flatten().filter_map(|place| split(place));
            let own: Vec<Path> = own.filter(|(in_bucket, _)| in_bucket == bucket).map(|(_, prefix)| prefix).collect();
            if own.is_empty() {
                opened.try_reading(&Path::default()).await.map_err(failed)?;
            }
            for prefix in own {
                opened.try_reading(&prefix).await.map_err(failed)?;
                opened.try_writing(&prefix).await.map_err(failed)?;
            }
            buckets.insert(bucket.clone(), opened);
        }
        Ok(OpenStorage { buckets })
    }

    /// Where the catalog's log is.
    ///
    /// # Errors
    /// [`ServerError`] where the directory cannot be used.
    pub fn catalog(&self, data: &DataDirectory, open: &OpenStorage) -> Result<CatalogPlace, ServerError> {
        let place = self.catalog.as_deref().and_then(split);
        match place.and_then(|(bucket, prefix)| Some((open.buckets.get(&bucket)?, prefix))) {
            Some((bucket, prefix)) => Ok(CatalogPlace { store: bucket.store(), prefix, shared: true }),
            None => Ok(CatalogPlace {
                store: crate::init::catalog_store(data)?,
                prefix: crate::init::CATALOG_PREFIX.into(),
                shared: false,
            }),
        }
    }
}

impl OpenStorage {
    /// The tables, on the local file system and in every bucket.
    ///
    /// # Errors
    /// [`ServerError::Part`], which does not happen.
    pub fn tables(&self) -> Result<DeltaStore, ServerError> {
        let failed = |error| ServerError::part("the tables", &error);
        let mut tables = DeltaStore::new().map_err(failed)?;
        for (bucket, opened) in &self.buckets {
            let url = Url::parse(&format!("s3://{bucket}"))
                .map_err(|_| ServerError::Config(format!("{bucket}: the bucket's name is no URL")))?;
            tables = tables.with_object_store(&url, opened.store()).map_err(failed)?;
        }
        Ok(tables)
    }
}
