//! The catalog itself: the current snapshot, and changing it safely beside other writers.
//!
//! Invariants: a change is in force on this node as soon as it is durable, even if who asked for it went away meanwhile;
//! an edit is only ever written on top of the very snapshot that it was checked against; readers never wait for writers.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use lakeward_base::{Clock, Epoch};
use object_store::ObjectStore;
use object_store::path::Path;
use rand::Rng;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::draft::{Draft, NewRole};
use crate::error::CatalogError;
use crate::log::{Appended, Entry, Log, Sealed};
use crate::model::{Grantee, Privilege, Securable};
use crate::scram::ScramVerifier;
use crate::snapshot::Snapshot;

/// How often a server looks for what other nodes have changed: well below the second within which they promise to see it.
pub const FOLLOW_PERIOD: Duration = Duration::from_millis(250);

/// A snapshot is written at every such version.
pub const SNAPSHOT_INTERVAL: u64 = 64;

/// Each lost race means that another writer got on, so this is reached only under absurd contention.
const MAX_ATTEMPTS: u32 = 200;
const MAX_PAUSE_MS: u64 = 50;
/// The built-in role that makes policies, masks and tags for all tables.
pub const POLICY_ADMIN: &str = "policy_admin";
const BUILT_IN_ROLES: [&str; 3] = ["auditor", POLICY_ADMIN, "operator"];

/// An open catalog.
#[derive(Debug)]
pub struct Catalog {
    shared: Arc<Shared>,
    /// One writer of this process at a time; a race is only ever lost to another process.
    turn: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Shared {
    log: Log,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Snapshot>,
    /// When the current snapshot was last known to be the newest.
    confirmed: ArcSwap<Moment>,
    /// For how long after that it may be relied on.
    patience: OnceLock<Duration>,
}

/// A moment by two clocks: the one of this machine stands still while it sleeps, the other may be set back.
#[derive(Debug, Clone, Copy)]
struct Moment {
    ticks: Instant,
    at: DateTime<Utc>,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        Self { ticks: Instant::now(), at: clock.now() }
    }

    /// How long ago it was, by the clock that makes more of it.
    fn age(&self, clock: &dyn Clock) -> Duration {
        self.ticks.elapsed().max((clock.now() - self.at).to_std().unwrap_or_default())
    }
}

/// Holding it is the right to move the current snapshot.
type Turn = OwnedMutexGuard<()>;

impl Catalog {
    /// Makes a new catalog below `prefix`: the schema `public`, the built-in roles, and one superuser.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyInitialised`] where a log stands; 58030 for storage; 42710, 42939 and 42602 for the
    /// superuser's name.
    pub async fn initialise(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        superuser: &str,
        verifier: ScramVerifier,
        clock: &dyn Clock,
    ) -> Result<(), CatalogError> {
        let log = Log::new(store, prefix);
        let exists = CatalogError::AlreadyInitialised { prefix: log.prefix() };
        if log.newest_checked().await?.is_some() {
            return Err(exists);
        }
        let mut draft = Draft::new(&Snapshot::default());
        for name in BUILT_IN_ROLES {
            draft.put_new_role(NewRole { name: name.to_owned(), ..NewRole::default() }, true)?;
        }
        let first = NewRole {
            name: superuser.to_owned(),
            login: true,
            superuser: true,
            verifier: Some(verifier),
            ..NewRole::default()
        };
        let owner = draft.create_role(first)?;
        let public = draft.create_schema("public", owner)?;
        draft.grant(Securable::Schema(public), Privilege::Usage, Grantee::Public, owner)?;
        let (mut snapshot, changes) = draft.into_changes();
        let sealed = Entry::seal(&mut snapshot, 0, superuser, clock.now(), changes)?;
        match log.append(0, &sealed).await? {
            Appended::Written => Ok(()),
            Appended::Taken => Err(exists),
        }
    }

    /// Opens the catalog below `prefix`: its newest snapshot and the log since.
    ///
    /// # Errors
    /// [`CatalogError::NotInitialised`] where there is no log; [`CatalogError::Missing`] and [`CatalogError::Damaged`]
    /// with the entry's number; 58030 for storage.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, CatalogError> {
        let log = Log::new(store, prefix);
        let confirmed = ArcSwap::from_pointee(Moment::now(clock.as_ref()));
        let Some(newest) = log.newest_checked().await? else {
            return Err(CatalogError::NotInitialised { prefix: log.prefix() });
        };
        let snapshot = log.load(newest).await?;
        let current = ArcSwap::from_pointee(snapshot);
        let shared = Shared { log, clock, current, confirmed, patience: OnceLock::new() };
        Ok(Arc::new(Self { shared: Arc::new(shared), turn: Arc::default() }))
    }

    /// The catalog as this node knows it now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// The catalog as this node knows it, for deciding by: where others change it too, what they have revoked must not
    /// be relied on for long.
    ///
    /// # Errors
    /// 58030 where the log could not be read for longer than [`follow_shared`](Self::follow_shared) was told to bear.
    pub fn current(&self) -> Result<Arc<Snapshot>, CatalogError> {
        if let Some(patience) = self.shared.patience.get() {
            // Before the snapshot is taken, so that the snapshot is at least as new as what was confirmed.
            let confirmed = self.shared.confirmed.load();
            if confirmed.age(self.shared.clock.as_ref()) > *patience {
                return Err(CatalogError::OutOfDate);
            }
        }
        Ok(self.snapshot())
    }

    /// Edits the catalog. `edit` works on the newest state and runs again where another writer came first, so it must
    /// look everything up, and check every permission, in the draft it is given. Nothing is written where it changes
    /// nothing.
    ///
    /// # Errors
    /// The edit's own; 40001 after too many lost races; those of [`refresh`](Self::refresh). After 58030 the change may
    /// or may not stand in the log.
    pub async fn change<T>(
        &self,
        author: &str,
        edit: impl Fn(&mut Draft) -> Result<T, CatalogError>,
    ) -> Result<(T, Arc<Snapshot>), CatalogError> {
        for attempt in 0..MAX_ATTEMPTS {
            let turn = self.turn().await;
            let base = self.shared.advance(&turn).await?;
            let mut draft = Draft::new(&base);
            let value = edit(&mut draft)?;
            let (next, changes) = draft.into_changes();
            if changes.is_empty() {
                return Ok((value, base));
            }
            let mut next = next;
            let version = base.epoch.saturating_add(1);
            let sealed = Entry::seal(&mut next, version, author, self.shared.clock.now(), changes)?;
            if let Some(snapshot) = self.commit(turn, next, sealed).await? {
                return Ok((value, snapshot));
            }
            pause(attempt).await;
        }
        Err(CatalogError::Contended)
    }

    /// Catches up with other writers.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] and [`CatalogError::Damaged`] with the entry's number; 58030 for storage. The current
    /// snapshot stays as it was.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, CatalogError> {
        let turn = self.turn().await;
        self.shared.advance(&turn).await
    }

    /// The catalog as it was at `epoch`.
    ///
    /// # Errors
    /// [`CatalogError::EpochNotFound`] beyond the newest; else as for [`refresh`](Self::refresh).
    pub async fn at(&self, epoch: Epoch) -> Result<Arc<Snapshot>, CatalogError> {
        let mut current = self.snapshot();
        if epoch > current.epoch() {
            current = self.refresh().await?;
        }
        if epoch > current.epoch() {
            return Err(CatalogError::EpochNotFound { epoch, newest: current.epoch() });
        }
        if epoch == current.epoch() {
            return Ok(current);
        }
        self.shared.log.load(epoch.0).await.map(Arc::new)
    }

    /// [`follow`](Self::follow), for a catalog that other nodes change: once its log could not be read for `patience`,
    /// [`current`](Self::current) refuses.
    pub fn follow_shared(self: &Arc<Self>, period: Duration, patience: Duration) -> tokio::task::JoinHandle<()> {
        self.shared.patience.get_or_init(|| patience);
        self.follow(period)
    }

    /// Looks for what other nodes have changed, again and again, until the catalog is dropped. What cannot be read is
    /// tried again; meanwhile the snapshot stays as it was, and the operator is told once.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the catalog, which it does not keep alive")]
    pub fn follow(self: &Arc<Self>, period: Duration) -> tokio::task::JoinHandle<()> {
        let catalog = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut failing = false;
            loop {
                tokio::time::sleep(period).await;
                let Some(catalog) = catalog.upgrade() else { return };
                let failed = catalog.catch_up_in_time().await.err();
                if let Some(error) = failed.as_ref().filter(|_| !failing) {
                    tracing::error!(%error, "the catalog cannot be read: changes made by other nodes are not seen");
                } else if failing && failed.is_none() {
                    tracing::info!("the catalog can be read again");
                }
                failing = failed.is_some();
            }
        })
    }

    /// A look that takes longer than the catalog may be relied on is given up, and the next one begun.
    async fn catch_up_in_time(&self) -> Result<(), CatalogError> {
        match self.shared.patience.get() {
            None => self.catch_up().await,
            Some(patience) => match tokio::time::timeout(*patience, self.catch_up()).await {
                Ok(caught_up) => caught_up,
                Err(elapsed) => Err(CatalogError::unavailable(elapsed)),
            },
        }
    }

    /// [`refresh`](Self::refresh), where there is something new.
    async fn catch_up(&self) -> Result<(), CatalogError> {
        let asked = Moment::now(self.shared.clock.as_ref());
        let next = self.snapshot().epoch.saturating_add(1);
        if self.shared.log.has(next).await? {
            self.refresh().await?;
        } else {
            self.shared.confirmed.store(Arc::new(asked));
        }
        Ok(())
    }

    async fn turn(&self) -> Turn {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Writes the entry and puts it in force. `None` where another writer came first. Runs as a task of its own: a
    /// statement that is cancelled after the write must not leave a durable policy out of force.
    async fn commit(&self, turn: Turn, next: Snapshot, sealed: Sealed) -> Result<Option<Arc<Snapshot>>, CatalogError> {
        let shared = Arc::clone(&self.shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "a commit under way must end even where its statement is cancelled"
        )]
        let task = tokio::spawn(async move { shared.commit(&turn, next, &sealed).await });
        task.await.map_err(CatalogError::unavailable)?
    }
}

impl Shared {
    async fn commit(
        &self,
        _turn: &Turn,
        next: Snapshot,
        sealed: &Sealed,
    ) -> Result<Option<Arc<Snapshot>>, CatalogError> {
        match self.log.append(next.epoch, sealed).await? {
            Appended::Taken => return Ok(None),
            Appended::Written => {}
        }
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        if next.epoch.is_multiple_of(SNAPSHOT_INTERVAL)
            && let Err(error) = self.log.write_snapshot(&next).await
        {
            tracing::warn!(epoch = next.epoch, %error, "a snapshot of the catalog could not be written; opening it takes longer");
        }
        Ok(Some(next))
    }

    async fn advance(&self, _turn: &Turn) -> Result<Arc<Snapshot>, CatalogError> {
        let asked = Moment::now(self.clock.as_ref());
        let current = self.current.load_full();
        // The listing starts at the current version, so that a log that was cut short is noticed.
        let Some(newest) = self.log.newest(current.epoch).await? else {
            return Err(CatalogError::Missing { epoch: current.epoch() });
        };
        if newest == current.epoch {
            self.confirmed.store(Arc::new(asked));
            return Ok(current);
        }
        let next = self.log.replay(Snapshot::clone(&current), current.epoch.saturating_add(1), newest).await?;
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        self.confirmed.store(Arc::new(asked));
        Ok(next)
    }
}

/// Lets the others go first, the longer the more races were lost.
async fn pause(attempt: u32) {
    let longest_ms = u64::from(attempt).min(MAX_PAUSE_MS);
    let pause_ms = rand::rng().random_range(0..=longest_ms);
    if pause_ms > 0 {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

#[cfg(test)]
mod tests;
