//! Who is connected: bearer tokens and the sessions behind them.
//!
//! Flight SQL has no connection of its own, so a session lives as long as its token is used. Invariant: tokens are 256
//! random bits, kept only as hashes; their number is bounded, an idle one expires, and one whose role could not log in
//! again with what it logged in with is no longer good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lakeward_base::{Redacted, SqlState};
use lakeward_engine::{Credential, Error, Session};
use parking_lot::Mutex;
use rand::RngCore;
use sha2::{Digest, Sha256};

use crate::prepared::PreparedStatements;
use crate::statement::PendingStatements;
use crate::ticket::Holder;

/// A token that nobody has used for this long is forgotten.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Tokens at once.
const MAX_CLIENTS: usize = 1000;
/// What has not been used for this long makes room when there is none.
const EVICTABLE_AFTER: Duration = Duration::from_secs(60);

/// One logged-in client.
pub(crate) struct Client {
    /// Its session.
    pub(crate) session: Arc<Session>,
    /// The session's name in tickets: session numbers come back, this does not.
    name: [u8; 16],
    /// What it logged in with.
    credential: Credential,
    /// Statements described and not fetched yet.
    pub(crate) pending: PendingStatements,
    /// Prepared statements.
    pub(crate) prepared: PreparedStatements,
}

impl Client {
    fn new(session: Arc<Session>, credential: Credential) -> Self {
        let mut name = [0; 16];
        rand::rng().fill_bytes(&mut name);
        Self {
            session,
            name,
            credential,
            pending: PendingStatements::default(),
            prepared: PreparedStatements::default(),
        }
    }

    /// Whether its role could still log in with what it logged in with: the password may have changed, or expired.
    pub(crate) fn is_current(&self) -> bool {
        self.session.credential().as_ref() == Some(&self.credential)
    }

    /// To whom its tickets belong.
    pub(crate) fn holder(&self) -> Holder<'_> {
        Holder { session_user: self.session.user(), session_id: &self.name }
    }
}

/// A user who sends name and password with each call, from one connection.
pub(crate) type BasicKey = (String, String);

struct Entry {
    client: Arc<Client>,
    last_used: Instant,
    basic: Option<BasicKey>,
}

/// The tokens that are good.
#[derive(Default)]
pub(crate) struct Clients {
    by_token: Mutex<HashMap<[u8; 32], Entry>>,
}

impl Clients {
    /// The client that a token stands for.
    pub(crate) fn find(&self, token: &Redacted<String>, now: Instant) -> Option<Arc<Client>> {
        let mut entries = self.by_token.lock();
        let entry = entries.get_mut(&digest(token))?;
        if now.saturating_duration_since(entry.last_used) >= IDLE_TIMEOUT {
            return None;
        }
        entry.last_used = now;
        Some(Arc::clone(&entry.client))
    }

    /// The client that logged in from the same connection with the same name, by Basic.
    pub(crate) fn find_basic(&self, key: &BasicKey, now: Instant) -> Option<Arc<Client>> {
        let mut entries = self.by_token.lock();
        let entry = entries.values_mut().find(|entry| entry.basic.as_ref() == Some(key))?;
        entry.last_used = now;
        Some(Arc::clone(&entry.client))
    }

    /// Takes a session in and answers its token.
    ///
    /// # Errors
    /// 53300 where there are too many.
    pub(crate) fn add(
        &self,
        session: Arc<Session>,
        credential: Credential,
        basic: Option<BasicKey>,
        now: Instant,
    ) -> Result<(Arc<Client>, Redacted<String>), Error> {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let token = Redacted::new(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let client = Arc::new(Client::new(session, credential));
        let mut entries = self.by_token.lock();
        if entries.len() >= MAX_CLIENTS && !make_room(&mut entries, now) {
            return Err(Error::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
        }
        entries.insert(digest(&token), Entry { client: Arc::clone(&client), last_used: now, basic });
        Ok((client, token))
    }

    /// Forgets a client: its token is no longer good.
    pub(crate) fn remove(&self, client: &Arc<Client>) {
        self.by_token.lock().retain(|_, entry| !Arc::ptr_eq(&entry.client, client));
    }

    /// Forgets idle tokens. Sessions that are running something end with it.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_token.lock().retain(|_, entry| {
            entry.client.pending.sweep(now);
            entry.client.prepared.sweep(now);
            now.saturating_duration_since(entry.last_used) < IDLE_TIMEOUT
        });
    }

    /// Forgets the client that has been idle longest; false where all are in use.
    pub(crate) fn evict_one(&self, now: Instant) -> bool {
        make_room(&mut self.by_token.lock(), now)
    }
}

fn make_room(entries: &mut HashMap<[u8; 32], Entry>, now: Instant) -> bool {
    let idle = entries.iter().filter(|(_, entry)| {
        Arc::strong_count(&entry.client) == 1 && now.saturating_duration_since(entry.last_used) >= EVICTABLE_AFTER
    });
    let oldest = idle.min_by_key(|(_, entry)| entry.last_used).map(|(digest, _)| *digest);
    oldest.is_some_and(|digest| entries.remove(&digest).is_some())
}

fn digest(token: &Redacted<String>) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}
