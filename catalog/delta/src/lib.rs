//! Delta Lake tables: [`DeltaStore`] implements the catalog's `TableStore` with deltalake, on local disk and in the
//! buckets ([`S3Bucket`]) that are handed in.
//!
//! Why a crate of its own: it is the only one that names deltalake and object store backends, so that the rest of the
//! tree neither builds against them nor sees their errors.
//!
//! How a read works: [`snapshots`](self) keeps one snapshot per location and brings it forward by the commits that are
//! new; per version a file index with typed statistics is built once, and a scan plans straight from it. Parquet is
//! read by DataFusion's own source, with string views (`Utf8View`, `BinaryView`: the fastest the reader yields, and
//! exactly what the scan's plan says). Tables with deletion vectors or mapped columns are read through deltalake's scan.
//!
//! Object stores: a scan registers the store that it needs with the `RuntimeEnv` of the session that it is planned
//! with, under a private `lakeward-…://` URL. A plan must therefore be executed with a `TaskContext` of that same
//! `RuntimeEnv`.
//!
//! Invariant: no error leaving this crate holds the text of a library's error, a path, or anything read from a log or a
//! data file. A commit is durable (file and directory synced) before it is reported.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod bounds;
mod change;
mod changes;
mod columns;
mod commit;
mod durable;
mod fault;
mod footer;
mod history;
mod identity;
mod index;
mod location;
mod maintain;
mod mapped;
mod numbered;
mod past;
mod pending;
mod protocol;
mod replace;
mod reshape;
mod s3;
mod scan;
mod snapshots;
mod staging;
mod store;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;

pub use durable::DurableStore;
pub use fault::Fault;
pub use s3::{S3Bucket, S3Credentials, S3Settings, StorageProblem};
pub use store::DeltaStore;

/// The object store over a local directory that the catalog's log is kept in. The directory must exist.
///
/// Every put is durable when it returns (the file is synced before it gets its name, its directory after), and
/// `PutMode::Create` is atomic between processes (`link(2)`).
///
/// # Errors
/// Where the directory does not exist or cannot be resolved.
pub fn local_object_store(directory: &Path) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    Ok(Arc::new(DurableStore::with_prefix(directory)?))
}
