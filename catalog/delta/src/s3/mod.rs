//! Buckets of an S3-compatible store: how a client for one is made, and how it is tried before it is relied on.
//!
//! Invariant: a setting that cannot be honoured is an error, never passed over; every object is put with the encryption
//! and the classification that the store was configured with, by [`marked::MarkedStore`], below everything that writes.

mod credentials;
mod marked;
mod problem;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, Certificate, ClientOptions, HeaderValue, ObjectStore, PutMode, RetryConfig};
use url::Url;

pub use problem::StorageProblem;

use credentials::FileCredentials;
use marked::MarkedStore;

/// The object that says that a prefix can be written to, and that conditions are honoured there.
const PROBE: &str = "_lakeward_probe";

/// What roles in the cloud are found by: the only settings taken from the environment for them.
const ROLE_VARIABLES: [&str; 7] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Where a store's credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Credentials {
    /// A file as AWS' tools write it, which only its owner can read. Read again when it changes.
    File {
        /// The file.
        path: PathBuf,
        /// The section in it.
        profile: String,
    },
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, as they are when the server starts.
    Environment,
    /// The role of the pod, task or machine.
    Role,
}

/// How an S3-compatible store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Its name in the configuration, for the operator.
    pub name: String,
    /// `https://host[:port]`; `None` is AWS' own of the region.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket in the path instead of in the host's name.
    pub path_style: bool,
    /// Whether the endpoint may be `http://`.
    pub allow_http: bool,
    /// A PEM file of authorities that are trusted besides the system's.
    pub ca_certificate: Option<PathBuf>,
    /// Who the server is.
    pub credentials: S3Credentials,
    /// The key that every object is encrypted with; `None` leaves it to the bucket.
    pub sse_kms_key_id: Option<String>,
    /// Objects bear `classification=phi` as a tag, too.
    pub classification_tag: bool,
    /// To make a connection.
    pub connect_timeout: Duration,
    /// For one request, its answer included.
    pub request_timeout: Duration,
    /// How often a request is sent again.
    pub max_retries: usize,
    /// No request is sent again after this long.
    pub retry_timeout: Duration,
}

/// A bucket that can be read and written.
#[derive(Clone)]
pub struct S3Bucket {
    store: Arc<MarkedStore>,
    bucket: String,
}

impl S3Bucket {
    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`StorageProblem`] for credentials or a certificate that cannot be read, and for settings that contradict each
    /// other.
    pub fn open(settings: &S3Settings, bucket: &str) -> Result<Self, StorageProblem> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&settings.region)
            .with_retry(retries(settings))
            .with_disable_tagging(false)
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_client_options(client_options(settings)?);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint_of(endpoint, bucket, settings.path_style)?);
        }
        if let Some(key) = &settings.sse_kms_key_id {
            builder = builder.with_sse_kms_encryption(key);
        }
        let client = with_credentials(builder, &settings.credentials)?
            .build()
            .map_err(|_| StorageProblem::Setting("the store's settings contradict each other"))?;
        let store = MarkedStore::new(Arc::new(client), &settings.name, bucket, settings.classification_tag);
        Ok(Self { store: Arc::new(store), bucket: bucket.to_owned() })
    }

    /// The bucket's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.bucket
    }

    /// The store, for whoever reads and writes.
    #[must_use]
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as _
    }

    /// Tries to list what is below `prefix`.
    ///
    /// # Errors
    /// [`StorageProblem`] with what stands in the way.
    pub async fn try_reading(&self, prefix: &Path) -> Result<(), StorageProblem> {
        let mut listed = self.store.list(Some(prefix));
        listed.try_next().await.map(drop).map_err(|error| StorageProblem::of(&error))
    }

    /// Tries to put an object below `prefix` where there is none. It stays there, for the next start.
    ///
    /// # Errors
    /// [`StorageProblem`] with what stands in the way; [`StorageProblem::Unconditional`] where the store does not mind
    /// an object that is there.
    pub async fn try_writing(&self, prefix: &Path) -> Result<(), StorageProblem> {
        let at = prefix.clone().join(PROBE);
        match self.store.put_opts(&at, "lakeward\n".into(), PutMode::Create.into()).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(StorageProblem::of(&error)),
        }
    }
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Bucket").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

fn retries(settings: &S3Settings) -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: settings.max_retries, retry_timeout: settings.retry_timeout }
}

fn client_options(settings: &S3Settings) -> Result<ClientOptions, StorageProblem> {
    let mut options = ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_connect_timeout(settings.connect_timeout)
        .with_timeout(settings.request_timeout)
        .with_user_agent(HeaderValue::from_static(concat!("lakeward/", env!("CARGO_PKG_VERSION"))));
    if let Some(path) = &settings.ca_certificate {
        let unusable = || StorageProblem::Setting("ca_certificate cannot be read as PEM certificates");
        let pem = std::fs::read(path).map_err(|_| unusable())?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| unusable())?;
        if authorities.is_empty() {
            return Err(unusable());
        }
        options = authorities.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// Where the bucket is not in the path, it is in the host's name.
fn endpoint_of(endpoint: &str, bucket: &str, path_style: bool) -> Result<String, StorageProblem> {
    if path_style {
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    let malformed = || StorageProblem::Setting("the endpoint cannot take a bucket in front of its host's name");
    let mut url = Url::parse(endpoint).map_err(|_| malformed())?;
    let host = url.domain().map(|host| format!("{bucket}.{host}")).ok_or_else(malformed)?;
    url.set_host(Some(&host)).map_err(|_| malformed())?;
    Ok(String::from(url).trim_end_matches('/').to_owned())
}

fn with_credentials(builder: AmazonS3Builder, from: &S3Credentials) -> Result<AmazonS3Builder, StorageProblem> {
    match from {
        S3Credentials::File { path, profile } => {
            Ok(builder.with_credentials(Arc::new(FileCredentials::open(path, profile)?)))
        }
        S3Credentials::Environment => {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) else {
                let message = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both in the environment";
                return Err(StorageProblem::Credentials(message));
            };
            let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            Ok(match variable("AWS_SESSION_TOKEN") {
                Some(token) => builder.with_token(token),
                None => builder,
            })
        }
        S3Credentials::Role => Ok(ROLE_VARIABLES.iter().fold(builder, |builder, name| {
            match (std::env::var(name), name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()) {
                (Ok(value), Ok(key)) if !value.is_empty() => builder.with_config(key, value),
                _ => builder,
            }
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_goes_into_the_path_or_in_front_of_the_host() {
        assert_eq!(endpoint_of("https://s3.local:9000/", "lake", true).unwrap(), "https://s3.local:9000");
        assert_eq!(endpoint_of("https://s3.local:9000", "lake", false).unwrap(), "https://lake.s3.local:9000");
        assert!(endpoint_of("http://127.0.0.1:9000", "lake", false).is_err());
    }

    #[test]
    fn every_variable_of_a_role_is_known_to_the_client() {
        for name in ROLE_VARIABLES {
            assert!(name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().is_ok(), "{name}");
        }
    }
}
