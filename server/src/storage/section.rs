//! `[storage]` as it is written, and what can be said against it without asking a store.
//!
//! Invariant: a bucket belongs to one store, and every prefix that the server uses lies in a bucket that is named.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use lakeward_base::Coded;
use lakeward_catalog::{canonical_location, overlaps};
use lakeward_delta::{S3Credentials, S3Settings};
use object_store::path::Path;
use serde::Deserialize;
use url::Url;

use crate::config::NodeName;
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
    pub(super) warehouse: Option<String>,
    pub(super) catalog: Option<String>,
    /// See [`StorageSection::catalog_patience_ms`].
    pub catalog_patience: Duration,
    pub(super) buckets: BTreeMap<String, S3Settings>,
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
pub(super) fn split(canonical: &str) -> Option<(String, Path)> {
    let url = Url::parse(canonical).ok().filter(|url| url.scheme() == "s3")?;
    Some((url.host_str()?.to_owned(), Path::from_url_path(url.path()).ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::StorageSection;
    use crate::config::parse;
    use crate::layout::DataDirectory;

    const STORE: &str = "[storage.s3.lake]\nbuckets = [\"lake\"]\nregion = \"r\"\ncredentials = \"role\"\n";

    fn checked(text: &str) -> Result<super::Storage, String> {
        let section: StorageSection = parse(Path::new("x.toml"), text).map_err(|error| error.to_string())?.storage;
        section.check(&DataDirectory::new(Path::new("/data"))).map_err(|error| error.to_string())
    }

    #[test]
    fn a_prefix_has_one_spelling() {
        let storage = checked(&format!("[storage]\nwarehouse = \"s3a://LAKE/a//b\"\n{STORE}")).unwrap();
        assert_eq!(storage.warehouse.as_deref(), Some("s3://lake/a/b/"));
        let settings = &storage.buckets["lake"];
        assert!(!settings.path_style && settings.endpoint.is_none() && settings.sse_kms_key_id.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key() {
        for (text, expected) in [
            (STORE.replace("\"lake\"", "\"Lake\""), "storage.s3.lake.buckets: expected names"),
            (STORE.replace("\"lake\"", ""), "storage.s3.lake.buckets: expected at least one"),
            (
                format!("{STORE}{}", STORE.replace("s3.lake", "s3.other")),
                "storage.s3.other.buckets: a bucket stands twice",
            ),
            (STORE.replace("\"r\"", "\"\""), "storage.s3.lake.region: expected a region"),
            (format!("{STORE}endpoint = \"http://h:1\"\n"), "storage.s3.lake.endpoint: http:// sends"),
            (format!("{STORE}endpoint = \"https://u:p@h\"\n"), "storage.s3.lake.endpoint: expected https://host"),
            (format!("{STORE}endpoint = \"https://h/lake\"\n"), "storage.s3.lake.endpoint: expected https://host"),
            (format!("{STORE}allow_http = true\n"), "storage.s3.lake.allow_http: there is no endpoint"),
            (format!("{STORE}credentials_file = \"c\"\n"), "storage.s3.lake.credentials_file: only with"),
            (STORE.replace("role", "file"), "storage.s3.lake.credentials_file: expected with"),
            (format!("{STORE}sse_kms_key_id = \"\"\n"), "storage.s3.lake.sse_kms_key_id: expected"),
            (STORE.replace("s3.lake", "s3.\"a b\""), "storage.s3.a b: expected a name"),
            (format!("[storage]\ncatalog = \"file:///x\"\n{STORE}"), "storage.catalog: expected s3://bucket/prefix"),
            (format!("[storage]\ncatalog = \"s3://pond/x\"\n{STORE}"), "storage.catalog: no [storage.s3.NAME]"),
            (
                format!("[storage]\ncatalog = \"s3://lake/a\"\nwarehouse = \"s3://lake/a/b\"\n{STORE}"),
                "storage.catalog: it is",
            ),
        ] {
            let error = checked(&text).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
