//! Time as a dependency, so that tests can hold it still.
//!
//! Invariant: no other crate reads the wall clock directly (`clippy.toml` disallows `SystemTime::now` and `Utc::now`).

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// Where the current time comes from.
pub trait Clock: Debug + Send + Sync {
    /// The current time in UTC, to the microsecond at least.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that stands where it was set.
#[derive(Debug)]
pub struct FixedClock(Mutex<DateTime<Utc>>);

impl FixedClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock() = now;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock()
    }
}
