//! `[storage]`: where tables and the catalog's log lie, and the S3-compatible stores that hold them.
//!
//! Invariant: a store is named, with its buckets; a bucket that no store names is refused. Before anything is served,
//! each bucket has answered, and those that the server itself writes to have taken an object and refused to overwrite it.
//! Settings hold no secret: credentials are in a file of their own, in the environment, or a role's.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lakeward_base::Coded;
use lakeward_catalog::{canonical_location, overlaps};
use lakeward_delta::{DeltaStore, S3Bucket, S3Credentials, S3Settings, StorageProblem};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::Deserialize;
use url::Url;

use crate::config::{Config, NodeName};
use crate::error::ServerError;
use crate::layout::DataDirectory;

/// `[storage]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    /// Where managed tables are made: `s3://bucket/prefix`; the data directory where absent.
    pub warehouse: Option<String>,
    /// Where the catalog's log is: `s3://bucket/prefix`, shared by all servers that name it; the data directory where
    /// absent.
    pub catalog: Option<String>,
    /// A shared catalog that could not be read for this long is not relied on: statements are refused.
    pub catalog_patience_ms: NonZeroU64,
    /// The stores, by name.
    pub s3: BTreeMap<String, S3Section>,
}

impl Default for StorageSection {
    fn default() -> Self {
        let catalog_patience_ms = NonZeroU64::MIN.saturating_add(5_000 - 1);
        Self { warehouse: None, catalog: None, catalog_patience_ms, s3: BTreeMap::new() }
    }
}

/// `[storage.s3.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Section {
    /// The buckets that tables may be in.
    pub buckets: Vec<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// `https://host[:port]`; AWS' own where absent.
    pub endpoint: Option<String>,
    /// The bucket in the path, as most stores other than AWS' want it; on where there is an endpoint.
    pub path_style: Option<bool>,
    /// Whether the endpoint may be `http://`, on which health data travels in the clear.
    #[serde(default)]
    pub allow_http: bool,
    /// Authorities that are trusted besides the system's (PEM), relative to the data directory.
    pub ca_certificate: Option<PathBuf>,
    /// Who the server is.
    pub credentials: CredentialsFrom,
    /// The file, relative to the data directory.
    pub credentials_file: Option<PathBuf>,
    /// The section in it.
    pub credentials_profile: Option<String>,
    /// The key of KMS that every object is encrypted with; what the bucket says where absent.
    pub sse_kms_key_id: Option<String>,
    /// Objects bear `classification=phi` as a tag besides as metadata.
    #[serde(default)]
    pub classification_tag: bool,
    /// Time to make a connection.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: NonZeroU64,
    /// Time for one request, its answer included.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: NonZeroU64,
    /// How often a request that failed is sent again.
    #[serde(default = "max_retries")]
    pub max_retries: u8,
    /// No request is sent again after this long.
    #[serde(default = "retry_timeout_ms")]
    pub retry_timeout_ms: NonZeroU64,
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialsFrom {
    /// `credentials_file`.
    File,
    /// `AWS_ACCESS_KEY_ID` and its like.
    Environment,
    /// The role of the pod, task or machine.
    Role,
}

fn connect_timeout_ms() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(3_000 - 1)
}

fn request_timeout_ms() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(30_000 - 1)
}

fn max_retries() -> u8 {
    4
}

fn retry_timeout_ms() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(10_000 - 1)
}

/// `[storage]` as it takes effect: checked, with absolute paths.
#[derive(Debug, Clone)]
pub struct Storage {
    warehouse: Option<String>,
    catalog: Option<String>,
    /// See [`StorageSection::catalog_patience_ms`].
    pub catalog_patience: Duration,
    buckets: BTreeMap<String, S3Settings>,
}

impl StorageSection {
    /// Checks what can be checked without asking a store.
    ///
    /// # Errors
    /// [`ServerError::Config`] with the key.
    pub fn check(self, data: &DataDirectory) -> Result<Storage, ServerError> {
        let mut buckets = BTreeMap::new();
        for (name, section) in self.s3 {
            let settings = section.settings(&name, data)?;
            for bucket in section.buckets {
                if !is_bucket_name(&bucket) {
                    return Err(wrong(&name, "buckets", "expected names of buckets: 3 to 63 of a-z, 0-9, '-' and '.'"));
                }
                if buckets.insert(bucket, settings.clone()).is_some() {
                    return Err(wrong(&name, "buckets", "a bucket stands twice"));
                }
            }
        }
        let place = |key: &str, location: Option<String>| {
            location.map(|location| canonical_place(key, &location, &buckets)).transpose()
        };
        let (warehouse, catalog) = (place("warehouse", self.warehouse)?, place("catalog", self.catalog)?);
        if let (Some(warehouse), Some(catalog)) = (&warehouse, &catalog)
            && overlaps(warehouse, catalog)
        {
            let message =
                "storage.catalog: it is equal to, above or below storage.warehouse; give each a prefix of its own";
            return Err(ServerError::Config(message.to_owned()));
        }
        let catalog_patience = Duration::from_millis(self.catalog_patience_ms.get());
        Ok(Storage { warehouse, catalog, catalog_patience, buckets })
    }
}

impl S3Section {
    fn settings(&self, name: &str, data: &DataDirectory) -> Result<S3Settings, ServerError> {
        if NodeName::try_from(name.to_owned()).is_err() {
            return Err(wrong(name, "", "expected a name of 1 to 63 letters, digits, '-', '_' or '.'"));
        }
        if self.buckets.is_empty() {
            return Err(wrong(name, "buckets", "expected at least one"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.region.is_empty() || self.region.len() > 64 || !self.region.chars().all(plain) {
            return Err(wrong(name, "region", "expected a region, such as eu-central-1"));
        }
        if let Some(key) = &self.sse_kms_key_id
            && (key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()))
        {
            return Err(wrong(name, "sse_kms_key_id", "expected a key's identifier or ARN"));
        }
        Ok(S3Settings {
            name: name.to_owned(),
            endpoint: self.checked_endpoint(name)?,
            region: self.region.clone(),
            path_style: self.path_style.unwrap_or(self.endpoint.is_some()),
            allow_http: self.allow_http,
            ca_certificate: self.ca_certificate.as_ref().map(|path| data.root().join(path)),
            credentials: self.checked_credentials(name, data)?,
            sse_kms_key_id: self.sse_kms_key_id.clone(),
            classification_tag: self.classification_tag,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms.get()),
            request_timeout: Duration::from_millis(self.request_timeout_ms.get()),
            max_retries: self.max_retries.into(),
            retry_timeout: Duration::from_millis(self.retry_timeout_ms.get()),
        })
    }

    fn checked_endpoint(&self, name: &str) -> Result<Option<String>, ServerError> {
        let Some(text) = &self.endpoint else {
            return match self.allow_http {
                true => Err(wrong(name, "allow_http", "there is no endpoint that could be http://")),
                false => Ok(None),
            };
        };
        let expected = || wrong(name, "endpoint", "expected https://host or https://host:port");
        let url = Url::parse(text).map_err(|_| expected())?;
        let more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
        if more || url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(expected());
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => {
                let message = "http:// sends health data in the clear; say allow_http = true if that is meant";
                return Err(wrong(name, "endpoint", message));
            }
            _ => return Err(expected()),
        }
        Ok(Some(String::from(url).trim_end_matches('/').to_owned()))
    }

    fn checked_credentials(&self, name: &str, data: &DataDirectory) -> Result<S3Credentials, ServerError> {
        match (self.credentials, &self.credentials_file) {
            (CredentialsFrom::File, Some(path)) => {
                let profile = self.credentials_profile.clone().unwrap_or_else(|| "default".to_owned());
                Ok(S3Credentials::File { path: data.root().join(path), profile })
            }
            (CredentialsFrom::File, None) => {
                Err(wrong(name, "credentials_file", "expected with credentials = \"file\""))
            }
            (_, Some(_)) => Err(wrong(name, "credentials_file", "only with credentials = \"file\"")),
            (_, None) if self.credentials_profile.is_some() => {
                Err(wrong(name, "credentials_profile", "only with credentials = \"file\""))
            }
            (CredentialsFrom::Environment, None) => Ok(S3Credentials::Environment),
            (CredentialsFrom::Role, None) => Ok(S3Credentials::Role),
        }
    }
}

fn wrong(store: &str, key: &str, message: &str) -> ServerError {
    let dot = if key.is_empty() { "" } else { "." };
    ServerError::Config(format!("storage.s3.{store}{dot}{key}: {message}"))
}

fn is_bucket_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len()) && name.chars().all(allowed) && name.starts_with(ends) && name.ends_with(ends)
}

/// The one spelling of a prefix in a bucket that is known.
fn canonical_place(key: &str, location: &str, buckets: &BTreeMap<String, S3Settings>) -> Result<String, ServerError> {
    let wrong = |message: &str| ServerError::Config(format!("storage.{key}: {message}"));
    let canonical = canonical_location(location).map_err(|error| wrong(&error.message()))?;
    let (bucket, prefix) = split(&canonical).ok_or_else(|| wrong("expected s3://bucket/prefix"))?;
    if prefix.as_ref().is_empty() {
        return Err(wrong("expected a prefix: s3://bucket/prefix"));
    }
    if !buckets.contains_key(&bucket) {
        return Err(wrong("no [storage.s3.NAME] names its bucket"));
    }
    Ok(canonical)
}

/// Bucket and prefix of a canonical location.
fn split(canonical: &str) -> Option<(String, Path)> {
    let url = Url::parse(canonical).ok().filter(|url| url.scheme() == "s3")?;
    Some((url.host_str()?.to_owned(), Path::from_url_path(url.path()).ok()?))
}

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

/// Opens what a configuration names.
///
/// # Errors
/// As [`Storage::open`].
pub async fn open(config: &Config) -> Result<OpenStorage, ServerError> {
    config.storage.open().await
}
