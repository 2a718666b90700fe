//! What went wrong below, in a closed vocabulary, and the mapping of deltalake's and the object store's errors to
//! [`StoreError`].
//!
//! Invariant: a [`Fault`] is a fixed text. Nothing of a library's error text survives: those hold lines of the log (and
//! so statistics of patients' data), paths, and values.

use std::error::Error as StdError;

use datafusion_common::DataFusionError;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::TransactionError;
use lakeward_catalog::StoreError;
use thiserror::Error;

/// A fault below the table store, without any text from below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

impl Fault {
    /// As a [`StoreError::Corrupt`].
    pub(crate) fn corrupt(self) -> StoreError {
        StoreError::Corrupt(Box::new(self))
    }

    /// As a [`StoreError::Io`].
    pub(crate) fn io(self) -> StoreError {
        StoreError::Io(Box::new(self))
    }

    /// As a [`StoreError::Conflict`].
    pub(crate) fn conflict(self) -> StoreError {
        StoreError::Conflict(Box::new(self))
    }
}

/// An error in what the caller handed in.
pub(crate) fn input(message: &str) -> StoreError {
    StoreError::Input(DataFusionError::Plan(message.to_owned()))
}

/// Maps an object store's error.
pub(crate) fn from_storage(error: &object_store::Error) -> StoreError {
    use object_store::Error;
    let fault = match error {
        Error::NotFound { .. } => return StoreError::NotFound,
        Error::AlreadyExists { .. } => return StoreError::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Fault("storage refused access"),
        Error::NotSupported { .. } | Error::NotImplemented { .. } => Fault("storage lacks an operation"),
        _ if is_storage_full(error) => Fault("storage is full"),
        _ => Fault("storage failed"),
    };
    fault.io()
}

/// Maps deltalake's error. `Corrupt` is the answer only where the log or a file was read and made no sense.
pub(crate) fn from_delta(error: &DeltaTableError) -> StoreError {
    match error {
        DeltaTableError::NotATable(_) => StoreError::NotFound,
        DeltaTableError::ObjectStore { source } => match from_storage(source) {
            // A file that the log names and that is not there; a missing table is told apart beforehand.
            StoreError::NotFound => Fault("a file of the table is missing").corrupt(),
            other => other,
        },
        DeltaTableError::Io { .. } => Fault("storage failed").io(),
        DeltaTableError::Transaction { source } => from_transaction(source),
        DeltaTableError::VersionAlreadyExists(_) => Fault("the version was taken").conflict(),
        DeltaTableError::UnsupportedColumnMapping { .. } => StoreError::Unsupported("writing to mapped columns".into()),
        DeltaTableError::MissingFeature { .. } | DeltaTableError::InvalidTableLocation(_) => {
            StoreError::Unsupported("the location's storage".into())
        }
        DeltaTableError::InvalidData { .. } | DeltaTableError::SchemaMismatch { .. } => {
            input("the rows violate a constraint or the schema of the table")
        }
        // deltalake turns a failed constraint into a text, with the rows in it. Nothing of it is passed on.
        DeltaTableError::Generic(text) if text.contains("Invalid data found") => {
            input("the rows violate a constraint or the schema of the table")
        }
        other => match io_below(other) {
            Some(fault) => fault.io(),
            None => Fault("the Delta log or a data file could not be understood").corrupt(),
        },
    }
}

/// Maps an error of reading data files.
pub(crate) fn from_reading(error: &DataFusionError) -> StoreError {
    match io_below(error) {
        Some(fault) => fault.io(),
        None => Fault("a data file could not be read").corrupt(),
    }
}

fn from_transaction(error: &TransactionError) -> StoreError {
    match error {
        TransactionError::ObjectStore { source } => from_storage(source),
        TransactionError::VersionAlreadyExists(_)
        | TransactionError::CommitConflict(_)
        | TransactionError::MaxCommitAttempts(_) => Fault("a concurrent commit won").conflict(),
        TransactionError::DeltaTableAppendOnly => {
            StoreError::Unsupported("replacing rows of an append-only table".into())
        }
        TransactionError::UnsupportedTableFeatures(_) => {
            StoreError::Unsupported("a feature that the table needs".into())
        }
        TransactionError::TableFeaturesRequired(_) => {
            StoreError::Unsupported("a type that the table's protocol lacks".into())
        }
        TransactionError::SerializeLogJson { .. } | TransactionError::LogStoreError { .. } => {
            Fault("the commit failed").io()
        }
    }
}

/// Looks through the sources for a storage fault that a library wrapped.
fn io_below(error: &(dyn StdError + 'static)) -> Option<Fault> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(storage) = current.downcast_ref::<object_store::Error>() {
            return match storage {
                object_store::Error::NotFound { .. } => None,
                _ if is_storage_full(storage) => Some(Fault("storage is full")),
                _ => Some(Fault("storage failed")),
            };
        }
        if current.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull) {
            return Some(Fault("storage is full"));
        }
        next = current.source();
    }
    // The kernel and DataFusion put some into a text of theirs: the client's own words stand in it.
    let text = error.to_string();
    let told = text.contains("Error performing ") && !text.contains(" not found: ");
    told.then_some(Fault("storage failed"))
}

fn is_storage_full(error: &object_store::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = next {
        if current.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull) {
            return true;
        }
        next = current.source();
    }
    false
}
