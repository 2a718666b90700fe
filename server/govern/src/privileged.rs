//! How the barrier gets a session that may read raw tables.
//!
//! Invariant: only code of this crate calls it, and no plan made with such a session is visible to a user's optimizer.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion_session::Session;

use crate::shadow::ShadowCounts;

/// Makes privileged sessions. The engine implements it.
pub trait PrivilegedSessions: Debug + Send + Sync {
    /// A fresh session with the lake's object stores, all functions, the full optimizer, and its execution start
    /// marked. It has no [`Stamp`](crate::Stamp) and no leaf guard.
    fn session(&self) -> Arc<dyn Session>;

    /// Where policies in shadow count; `None`: nowhere.
    fn shadow_counts(&self) -> Option<Arc<ShadowCounts>> {
        None
    }
}
