//! Changes to subscribers: each reads on from its own place, so that no queue grows with a slow one.
//!
//! A view's newest epochs are kept in memory, bounded in rows, and shared by all who follow it. Whoever begins further back
//! reads from the store until there. Who was following and fell behind what is kept in memory is too slow: it ends with
//! the token from which it can go on, and skips nothing.
//!
//! What comes out is raw: it passes a policy's barrier before anyone sees it.
//!
//! Invariants: a subscriber gets every change behind its place, in order, each once; what is kept in memory is bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::definition::ViewDefinition;
use crate::error::StreamError;
use crate::operator::Changes;
use crate::row_id::ViewVersion;
use crate::store::{Snapshot, Store};

/// Rows of newest epochs that are kept for those who follow; the newest epoch always is.
const RECENT_ROWS: usize = 65_536;
/// Epochs that are, however few rows they have.
const RECENT_EPOCHS: usize = 1_024;
/// Rows read from the store at once by who catches up.
const CATCH_UP_ROWS: usize = 4_096;

/// A place between two changes of a view: as many of `epoch`'s as `ordinal` says stand before it, and all of the epochs
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// How many of its changes; `u32::MAX`: all.
    pub ordinal: u32,
}

impl Position {
    /// Behind all changes of an epoch.
    #[must_use]
    pub fn behind(epoch: u64) -> Self {
        Self { epoch, ordinal: u32::MAX }
    }

    /// As subscribers keep it: valid for this version of this view alone.
    #[must_use]
    pub fn token(self, view: ViewVersion) -> String {
        format!("{:016x}{:08x}{:016x}{:08x}", view.view, view.version, self.epoch, self.ordinal)
    }

    /// Reads [`Position::token`].
    ///
    /// # Errors
    /// [`StreamError::Token`] where it is none, or another view's.
    pub fn of_token(token: &str, view: ViewVersion) -> Result<Self, StreamError> {
        let digits = |from: usize, to: usize| {
            let digits = token.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(StreamError::Token)
        };
        let known = (digits(0, 16)?, digits(16, 24)?) == (view.view, u64::from(view.version));
        let position =
            Self { epoch: digits(24, 40)?, ordinal: u32::try_from(digits(40, 48)?).map_err(|_| StreamError::Token)? };
        if known && token.len() == 48 { Ok(position) } else { Err(StreamError::Token) }
    }
}

/// The changes of one view.
pub struct Feed {
    view: ViewDefinition,
    store: Arc<Store>,
    recent: Mutex<Recent>,
    newest: watch::Sender<u64>,
}

struct Recent {
    epochs: VecDeque<(u64, Arc<Vec<Changes>>)>,
    rows: usize,
    /// The last epoch that is not among them.
    floor: u64,
    closed: bool,
}

/// Some changes of one epoch.
pub struct Delivery {
    /// The epoch.
    pub epoch: u64,
    /// Its changes, in order.
    pub changes: Vec<Changes>,
    /// Where the subscriber stands behind them.
    pub position: Position,
}

impl Feed {
    pub(crate) fn new(view: ViewDefinition, store: Arc<Store>, epoch: u64) -> Self {
        let recent = Recent { epochs: VecDeque::new(), rows: 0, floor: epoch, closed: false };
        Self { view, store, recent: Mutex::new(recent), newest: watch::Sender::new(epoch) }
    }

    /// The view.
    #[must_use]
    pub fn view(&self) -> &ViewDefinition {
        &self.view
    }

    /// The view's rows now, and a subscription to what happens to them from then on.
    ///
    /// # Errors
    /// [`StreamError::Store`].
    pub fn snapshot(self: &Arc<Self>) -> Result<(Snapshot, Subscription), StreamError> {
        let snapshot = self.store.snapshot()?;
        let position = Position::behind(snapshot.epoch());
        Ok((snapshot, self.subscribe(position)))
    }

    /// Follows the view from a place on.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, position: Position) -> Subscription {
        Subscription {
            feed: Arc::clone(self),
            newest: self.newest.subscribe(),
            position,
            follows: false,
            read: VecDeque::new(),
        }
    }

    /// Tells what an epoch changed, which is durable.
    pub(crate) fn publish(&self, epoch: u64, changes: Arc<Vec<Changes>>) {
        let count = |changes: &[Changes]| changes.iter().map(|changes| changes.ids.len()).sum::<usize>();
        if count(&changes) > 0 {
            let mut recent = self.recent.lock();
            recent.rows += count(&changes);
            recent.epochs.push_back((epoch, changes));
            while recent.epochs.len() > 1 && (recent.rows > RECENT_ROWS || recent.epochs.len() > RECENT_EPOCHS) {
                if let Some((oldest, changes)) = recent.epochs.pop_front() {
                    recent.rows -= count(&changes);
                    recent.floor = oldest;
                }
            }
        }
        self.newest.send_replace(epoch);
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        self.recent.lock().closed = true;
        self.newest.send_modify(|_| {});
    }
}

/// One reader of a view's changes.
pub struct Subscription {
    feed: Arc<Feed>,
    newest: watch::Receiver<u64>,
    position: Position,
    /// Whether it has caught up with what is kept in memory.
    follows: bool,
    /// Read from the store, not yet handed out.
    read: VecDeque<(u64, u32, Changes)>,
}

enum Recently {
    Found(u64, Arc<Vec<Changes>>),
    Nothing,
    TooOld,
}

impl Subscription {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The token for where it stands.
    #[must_use]
    pub fn token(&self) -> String {
        self.position.token(self.feed.view.view)
    }

    /// The newest epoch of the view: behind it there is nothing yet.
    #[must_use]
    pub fn newest_epoch(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Waits for the next changes. Dropping the future loses nothing. Catching up reads from the store, which blocks the
    /// thread for as long as the disk takes.
    ///
    /// # Errors
    /// [`StreamError::Slow`], [`StreamError::TokenExpired`]; [`StreamError::Closed`] where the view was dropped.
    pub async fn next(&mut self) -> Result<Delivery, StreamError> {
        loop {
            self.newest.mark_unchanged();
            if let Some(delivery) = self.try_next()? {
                return Ok(delivery);
            }
            self.newest.changed().await.map_err(|_| StreamError::Closed)?;
        }
    }

    /// The next changes, if there are any.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn try_next(&mut self) -> Result<Option<Delivery>, StreamError> {
        loop {
            if let Some((epoch, first, changes)) = self.read.pop_front() {
                let count = u32::try_from(changes.ids.len()).unwrap_or(u32::MAX);
                self.position = Position { epoch, ordinal: first.saturating_add(count) };
                return Ok(Some(Delivery { epoch, changes: vec![changes], position: self.position }));
            }
            match self.recently()? {
                Recently::Found(epoch, changes) => {
                    self.follows = true;
                    self.position = Position::behind(epoch);
                    return Ok(Some(Delivery { epoch, changes: changes.to_vec(), position: self.position }));
                }
                Recently::Nothing => {
                    self.follows = true;
                    return Ok(None);
                }
                Recently::TooOld if self.follows => return Err(StreamError::Slow { token: self.token() }),
                Recently::TooOld => self.catch_up()?,
            }
        }
    }

    fn recently(&self) -> Result<Recently, StreamError> {
        let recent = self.feed.recent.lock();
        if recent.closed {
            return Err(StreamError::Closed);
        }
        // Whole epochs are kept: inside one, only the store can go on.
        if self.position.epoch < recent.floor || self.position.ordinal != u32::MAX {
            return Ok(Recently::TooOld);
        }
        let next = recent.epochs.partition_point(|(epoch, _)| *epoch <= self.position.epoch);
        Ok(match recent.epochs.get(next) {
            Some((epoch, changes)) => Recently::Found(*epoch, Arc::clone(changes)),
            None => Recently::Nothing,
        })
    }

    /// Reads on from the store. Where that has nothing more, all of its epochs are behind.
    fn catch_up(&mut self) -> Result<(), StreamError> {
        let snapshot = self.feed.store.snapshot()?;
        let Position { epoch, ordinal } = self.position;
        if epoch > snapshot.epoch() {
            return Err(StreamError::Token);
        }
        self.read.extend(snapshot.changes_after(&self.feed.view, (epoch, ordinal), CATCH_UP_ROWS)?);
        if self.read.is_empty() {
            self.position = Position::behind(snapshot.epoch());
        }
        Ok(())
    }
}
