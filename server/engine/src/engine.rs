//! The engine: what all sessions share, and the way in after authentication.
//!
//! Invariant: a [`Session`] exists only for a role that may log in, and only while the engine counts it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use lakeward_audit::{AuditLog, Who};
use lakeward_base::{Clock, RoleId, SessionId, SqlState};
use lakeward_catalog::{Catalog, Role, ScramVerifier, Snapshot, TableStore};
use lakeward_udfs::KeyRing;
use parking_lot::Mutex;
use rand::RngCore;

use crate::activity::Seen;
use crate::admission::{Admission, Load};
use crate::error::Error;
use crate::glass::GlassWitness;
use crate::key_cache::KeyCache;
use crate::session::{Credential, Session, SessionHandle};
use crate::settings::Settings;
use crate::tally::{StatementCounts, Tally};
use crate::template::Templates;

/// What an engine is made of.
pub struct Parts {
    /// Names, roles, policies.
    pub catalog: Arc<Catalog>,
    /// Tables.
    pub store: Arc<dyn TableStore>,
    /// The audit log.
    pub audit: AuditLog,
    /// Keys of keyed masks.
    pub keys: Arc<dyn KeyRing>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// URL below which managed tables are made; ends with a slash.
    pub managed_root_url: String,
    /// URLs of directories that hold the server's own files, such as the catalog's log: no table's LOCATION may be
    /// equal to, above or below one. Each ends with a slash.
    pub reserved_urls: Vec<String>,
    /// Where queries run: apart from network I/O.
    pub query_runtime: tokio::runtime::Handle,
    /// Limits.
    pub limits: Limits,
}

/// What one server allows itself.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions at once; one more is refused with 53300.
    pub max_sessions: usize,
    /// Memory for queries, in bytes; more is refused with 53200.
    pub memory_bytes: usize,
    /// Partitions that one query is spread over.
    pub target_partitions: usize,
    /// The default of `statement_timeout`; 0 means none.
    pub statement_timeout_ms: u64,
    /// Statements over tables that run at once; others wait. 0 is any number.
    pub concurrent_statements: usize,
    /// Statements that wait at once; one more is refused with 53400.
    pub queued_statements: usize,
    /// How long a statement waits before it is refused with 53400; 0 is for ever.
    pub queue_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            max_sessions: 500,
            memory_bytes: 4 << 30,
            target_partitions: cores,
            statement_timeout_ms: 0,
            concurrent_statements: 100,
            queued_statements: 1_000,
            queue_timeout_ms: 60_000,
        }
    }
}

/// How a client came in.
pub use lakeward_audit::Protocol;

/// What a protocol adapter knows of a client once it has proved who it is.
#[derive(Debug, Clone)]
pub struct Login {
    /// The role to log in as.
    pub user: String,
    /// How it proved itself, e.g. `scram-sha-256`.
    pub auth_method: &'static str,
    /// The client's address and port.
    pub client_addr: String,
    /// What the client calls itself.
    pub application_name: String,
    /// Which door.
    pub protocol: Protocol,
    /// Settings asked for at start, in order.
    pub settings: Vec<(String, String)>,
}

/// A role's password verifier, or one that no password fits, so that a stranger cannot tell which roles exist.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// SCRAM-SHA-256 verifier.
    pub scram: ScramVerifier,
    /// True where there is no such role, it may not log in, it has no password, or the password has expired.
    pub mock: bool,
}

impl Verifier {
    /// Whether `password` fits. Slow on purpose: run it off the network threads.
    #[must_use]
    pub fn verify_password(&self, password: &str) -> bool {
        let fits = self.scram.verify_password(password);
        fits && !self.mock
    }

    /// What a session of this role is known by: see [`Session::credential`].
    #[must_use]
    pub fn credential(&self) -> Credential {
        Credential::of(&self.scram)
    }

    /// Checks a SCRAM client proof; answers the server's signature where it fits.
    #[must_use]
    pub fn verify_proof(&self, auth_message: &[u8], proof: &[u8]) -> Option<[u8; 32]> {
        let signature = self.scram.verify_proof(auth_message, proof);
        signature.filter(|_| !self.mock)
    }
}

/// Keys of policies are kept in so great a part of the queries' memory.
const KEYS_SHARE: usize = 16;

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What sessions share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) templates: Templates,
    pub(crate) tally: Tally,
    pub(crate) admission: Arc<Admission>,
    /// What policies' subqueries found.
    pub(crate) keys_found: KeyCache,
    sessions: Mutex<HashMap<SessionId, SessionHandle>>,
    next_session: AtomicU32,
    mock_seed: [u8; 32],
    pub(crate) glass_witness: OnceLock<Arc<dyn GlassWitness>>,
}

impl Engine {
    /// Puts an engine together.
    ///
    /// # Errors
    /// XX000 where a function of the registry cannot be built.
    pub fn new(parts: Parts) -> Result<Self, Error> {
        let keys_found = KeyCache::new(parts.limits.memory_bytes / KEYS_SHARE);
        let templates = Templates::build(&parts)?;
        let mut mock_seed = [0; 32];
        rand::rng().fill_bytes(&mut mock_seed);
        let sessions = Mutex::new(HashMap::new());
        let admission = Arc::new(Admission::new(&parts.limits));
        let (tally, next_session) = (Tally::default(), AtomicU32::new(1));
        let glass_witness = OnceLock::new();
        let shared =
            Shared { parts, templates, tally, admission, keys_found, sessions, next_session, mock_seed, glass_witness };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// From now on the glass is broken only where `witness` has seen it. The first one stays.
    pub fn demand_witness(&self, witness: Arc<dyn GlassWitness>) {
        self.shared.glass_witness.get_or_init(|| witness);
    }

    /// The verifier to authenticate `user` against.
    #[must_use]
    pub fn verifier(&self, user: &str) -> Verifier {
        let snapshot = self.shared.parts.catalog.snapshot();
        let now = self.shared.parts.clock.now();
        let usable = snapshot
            .role_by_name(user)
            .filter(|role| role.login && role.valid_until.is_none_or(|until| now < until))
            .and_then(|role| role.verifier.clone());
        match usable {
            Some(scram) => Verifier { scram, mock: false },
            None => Verifier { scram: ScramVerifier::mock(&self.shared.mock_seed, user), mock: true },
        }
    }

    /// Opens a session for a client that has proved who it is.
    ///
    /// # Errors
    /// 58030 where the catalog is out of date, 28000 where the role may not log in, 53300 where there are too many
    /// sessions, of all or of the role, and whatever a setting says.
    pub fn login(&self, login: Login) -> Result<Arc<Session>, Error> {
        let snapshot = self.shared.parts.catalog.current().map_err(|error| Error::from_coded(&error))?;
        let role = self.login_role(&snapshot, &login.user)?;
        let login = with_role_settings(login, &role);
        let settings = Settings::at_login(&login, &self.shared.parts.limits)?;
        crate::session::may_state(&snapshot, role.id, settings.get("purpose_of_use").as_deref())?;
        let mut sessions = self.shared.sessions.lock();
        if sessions.len() >= self.shared.parts.limits.max_sessions && !role.superuser {
            return Err(Error::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
        }
        if let Some(most) = role.limits.connections.filter(|_| !role.superuser) {
            let open = sessions.values().filter(|handle| handle.role == role.id).count();
            if u32::try_from(open).is_ok_and(|open| open >= most) {
                let message = format!("too many connections for role \"{}\"", role.name);
                return Err(Error::new(SqlState::TOO_MANY_CONNECTIONS, message));
            }
        }
        let id = self.free_session_id(&sessions);
        let session = Arc::new(Session::new(id, rand::rng().next_u32(), role.id, login, settings, self.clone()));
        sessions.insert(id, session.handle());
        Ok(session)
    }

    fn login_role(&self, snapshot: &Snapshot, user: &str) -> Result<Arc<Role>, Error> {
        let refused = || {
            let message = format!("role \"{user}\" is not permitted to log in");
            Error::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message)
        };
        let now = self.shared.parts.clock.now();
        let in_force = |role: &&Arc<Role>| role.login && role.valid_until.is_none_or(|until| now < until);
        snapshot.role_by_name(user).filter(in_force).cloned().ok_or_else(refused)
    }

    fn free_session_id(&self, taken: &HashMap<SessionId, SessionHandle>) -> SessionId {
        loop {
            // The protocol's process id is a signed 32-bit number.
            let id = SessionId(self.shared.next_session.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff);
            if id.0 != 0 && !taken.contains_key(&id) {
                return id;
            }
        }
    }

    /// Records that somebody failed to prove who they are.
    pub fn login_failed(&self, login: &Login, sqlstate: SqlState) {
        let who = Who {
            session_user: login.user.clone(),
            roles: Vec::new(),
            auth_method: login.auth_method.to_owned(),
            client_addr: login.client_addr.clone(),
            application_name: login.application_name.clone(),
            protocol: login.protocol,
            purpose_of_use: None,
            external: false,
        };
        if self.shared.parts.audit.login_failed(&who, sqlstate).is_err() {
            tracing::error!("a refused login could not be recorded");
        }
    }

    /// Cancels what a session is running; false where the key does not fit.
    #[must_use]
    pub fn cancel(&self, process_id: i32, secret: i32) -> bool {
        let Ok(id) = u32::try_from(process_id) else { return false };
        let sessions = self.shared.sessions.lock();
        sessions.get(&SessionId(id)).is_some_and(|handle| handle.cancel(secret))
    }

    /// The open sessions, by number.
    pub(crate) fn activity(&self) -> Vec<Seen> {
        let open: Vec<_> = {
            let sessions = self.shared.sessions.lock();
            sessions.values().filter_map(SessionHandle::session).collect()
        };
        let mut seen: Vec<_> = open.iter().map(|session| session.seen()).collect();
        seen.sort_by_key(|seen| seen.process_id);
        seen
    }

    /// Whose session a process id is.
    pub(crate) fn session_role(&self, process_id: i32) -> Option<RoleId> {
        self.activity().into_iter().find(|seen| seen.process_id == process_id).map(|seen| seen.role)
    }

    /// Cancels what a session is running, or ends it; false where there is none. The right to is the caller's to check.
    pub(crate) fn signal(&self, process_id: i32, end: bool) -> bool {
        let Ok(id) = u32::try_from(process_id) else { return false };
        let sessions = self.shared.sessions.lock();
        match sessions.get(&SessionId(id)) {
            Some(handle) if end => handle.terminate(),
            Some(handle) => handle.interrupt(),
            None => return false,
        }
        true
    }

    /// How many sessions are open.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.shared.sessions.lock().len()
    }

    /// Statements that run and wait now.
    #[must_use]
    pub fn load(&self) -> Load {
        self.shared.admission.load()
    }

    /// Statements finished since the start.
    #[must_use]
    pub fn statement_counts(&self) -> StatementCounts {
        self.shared.tally.read()
    }

    /// The audit log, for its health and its figures.
    #[must_use]
    pub fn audit(&self) -> &AuditLog {
        &self.shared.parts.audit
    }

    pub(crate) fn forget(&self, id: SessionId) {
        self.shared.sessions.lock().remove(&id);
    }
}

/// The role's own settings come first, so that what the client asks for counts.
fn with_role_settings(mut login: Login, role: &Role) -> Login {
    let named = !login.application_name.is_empty();
    let own = role.settings.iter().filter(|(name, _)| !(named && *name == "application_name"));
    let own: Vec<_> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    login.settings.splice(0..0, own);
    login
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}
