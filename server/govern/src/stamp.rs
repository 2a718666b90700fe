//! The stamp of a statement: which principal, policy epoch and statement a scan was made for.
//!
//! Invariant: a governed scan runs only in the session whose stamp equals its own.

use lakeward_base::{Epoch, StatementId};

use crate::principal::Fingerprint;

/// Put by the engine into the user's `SessionConfig` as an extension; compared by scans and by the leaf guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Whose decision it is.
    pub fingerprint: Fingerprint,
    /// At which policy epoch.
    pub epoch: Epoch,
    /// For which statement.
    pub statement: StatementId,
}
