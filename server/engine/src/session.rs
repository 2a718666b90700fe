//! Sessions: who is connected, with which settings, in which transaction state.
//!
//! Invariant: the principal is made anew from the catalog for each statement, so that a revoked role or attribute is
//! gone from the next statement on.

mod pace;

use std::fmt;
use std::sync::{Arc, Weak};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakeward_audit::Who;
use lakeward_base::{Epoch, Redacted, RoleId, SessionId, SqlState};
use lakeward_catalog::{Role, ScramVerifier, Snapshot};
use lakeward_govern::{Glass, Principal};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::activity::{Activity, Running, Seen};
use crate::admission::Slot;
use crate::engine::{Engine, Login, Protocol};
use crate::error::Error;
use crate::glass::Held;
use crate::settings::Settings;
use crate::statement::{Kind, Statement, Transaction};
use crate::transaction::{Saved, TransactionState, TransactionStatus, Undo};

/// What a role proved itself with. Of two, a protocol can tell whether they are the same, and nothing else.
#[derive(Clone)]
pub struct Credential(Redacted<String>);

impl Credential {
    /// That of a verifier.
    pub(crate) fn of(verifier: &ScramVerifier) -> Self {
        Self(Redacted::new(verifier.to_string()))
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

/// One client's session.
pub struct Session {
    id: SessionId,
    secret: u32,
    login_role: RoleId,
    login: Login,
    engine: Engine,
    settings: Mutex<Settings>,
    current_role: Mutex<Option<RoleId>>,
    /// The glass that it has broken, where it has.
    glass: Mutex<Option<Held>>,
    transaction: Mutex<TransactionState>,
    running: Arc<Mutex<CancellationToken>>,
    opened_at: DateTime<Utc>,
    activity: Mutex<Activity>,
    terminated: CancellationToken,
    /// What runs or is half read.
    slot: Mutex<Weak<Slot>>,
    /// Settings that changed apart from a statement's answer, for the protocol to report.
    reports: Mutex<Vec<(String, String)>>,
}

/// What the engine keeps of a session, to cancel it, end it, and tell of it.
#[derive(Debug)]
pub(crate) struct SessionHandle {
    pub(crate) role: RoleId,
    secret: u32,
    running: Arc<Mutex<CancellationToken>>,
    terminated: CancellationToken,
    session: Weak<Session>,
}

impl SessionHandle {
    pub(crate) fn cancel(&self, secret: i32) -> bool {
        let fits = self.secret == u32::from_ne_bytes(secret.to_ne_bytes());
        if fits {
            self.running.lock().cancel();
        }
        fits
    }

    /// Cancels what the session is running.
    pub(crate) fn interrupt(&self) {
        self.running.lock().cancel();
    }

    /// Ends the session.
    pub(crate) fn terminate(&self) {
        self.terminated.cancel();
        self.interrupt();
    }

    /// The session, where it is still open. Not to be dropped while the engine's list of sessions is locked.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.session.upgrade()
    }
}

/// `42501` for a purpose of use that a role may not state.
pub(crate) fn purpose_denied(purpose: &str) -> Error {
    let message = format!("permission denied for purpose of use \"{purpose}\"");
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        .with_hint("It is not among the role's ALLOWED_PURPOSES; SET purpose_of_use to one of them.")
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        secret: u32,
        role: RoleId,
        login: Login,
        settings: Settings,
        engine: Engine,
    ) -> Self {
        let opened_at = engine.shared.parts.clock.now();
        Self {
            id,
            secret,
            login_role: role,
            login,
            engine,
            settings: Mutex::new(settings),
            current_role: Mutex::new(None),
            glass: Mutex::default(),
            transaction: Mutex::default(),
            running: Arc::default(),
            opened_at,
            activity: Mutex::default(),
            terminated: CancellationToken::new(),
            slot: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    pub(crate) fn handle(self: &Arc<Self>) -> SessionHandle {
        SessionHandle {
            role: self.login_role,
            secret: self.secret,
            running: Arc::clone(&self.running),
            terminated: self.terminated.clone(),
            session: Arc::downgrade(self),
        }
    }

    /// Resolves when somebody ends the session from outside: the connection is then to be closed.
    pub async fn terminated(&self) {
        self.terminated.cancelled().await;
    }

    /// What a client is told whose session was ended from outside.
    #[must_use]
    pub fn termination() -> Error {
        Error::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
    }

    /// A statement begins.
    pub(crate) fn begin(&self, statement: &Statement) -> Running {
        self.engine.shared.keys_found.trim();
        self.activity.lock().begin(statement, self.engine.shared.parts.clock.now())
    }

    /// Refuses what the transaction block's state or the session's protocol does not allow.
    pub(crate) fn admit(&self, statement: &Statement) -> Result<(), Error> {
        let copies = matches!(statement.kind, Kind::CopyOut(_) | Kind::CopyIn(_));
        if copies && self.login.protocol != Protocol::Pg {
            return Err(Error::unsupported("COPY on Flight SQL").with_hint("Run the query itself, or INSERT."));
        }
        let read_only = self.settings.lock().is_on("default_transaction_read_only");
        self.transaction.lock().admit(statement, read_only)
    }

    /// What the session is doing.
    pub(crate) fn seen(&self) -> Seen {
        let activity = self.activity.lock();
        Seen {
            process_id: self.cancel_key().0,
            role: self.login_role,
            user: self.login.user.clone(),
            auth_method: self.login.auth_method,
            protocol: self.login.protocol.name(),
            class: activity.class(),
            application_name: self.setting("application_name").unwrap_or_default(),
            client_addr: self.login.client_addr.clone(),
            opened_at: self.opened_at,
            transaction: self.transaction_status(),
            running: activity.is_running(),
            queued: activity.is_queued(),
            latest: activity.latest(),
        }
    }

    /// Whether `SET name = value` states a purpose that the login role may state.
    pub(crate) fn admit_purpose(&self, name: &str, value: &str) -> Result<(), Error> {
        if !name.eq_ignore_ascii_case("purpose_of_use") {
            return Ok(());
        }
        let (_, purpose) = crate::settings::admitted(name, value)?;
        let snapshot = self.engine.shared.parts.catalog.snapshot();
        may_state(&snapshot, self.login_role, Some(&purpose))
    }

    /// The session's number.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Process id and secret key, as the PostgreSQL protocol's `BackendKeyData` gives them.
    #[must_use]
    pub fn cancel_key(&self) -> (i32, i32) {
        (i32::try_from(self.id.0).unwrap_or(i32::MAX), i32::from_ne_bytes(self.secret.to_ne_bytes()))
    }

    /// The name that the client logged in with.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.login.user
    }

    /// What the session's role would have to prove itself with today; `None` where it could not log in.
    #[must_use]
    pub fn credential(&self) -> Option<Credential> {
        let shared = &self.engine.shared;
        let (snapshot, now) = (shared.parts.catalog.snapshot(), shared.parts.clock.now());
        let role = snapshot.role(self.login_role).filter(|role| role.login);
        let role = role.filter(|role| role.valid_until.is_none_or(|until| now < until))?;
        role.verifier.as_ref().map(Credential::of)
    }

    /// What the protocol reports at start (`ParameterStatus`), name and value.
    #[must_use]
    pub fn parameter_status(&self) -> Vec<(String, String)> {
        let snapshot = self.engine.shared.parts.catalog.snapshot();
        let superuser = snapshot.role(self.login_role).is_some_and(|role| role.superuser);
        self.settings.lock().reported(&self.login.user, superuser)
    }

    /// Where the session stands in a transaction block.
    #[must_use]
    pub fn transaction_status(&self) -> TransactionStatus {
        self.transaction.lock().status()
    }

    /// Marks an open transaction block as failed. To be called on every error that is sent to the client.
    pub fn fail_transaction(&self) {
        let before = self.transaction.lock().fail();
        if let Some(before) = before {
            let reported = self.restore(before);
            self.report_later(reported);
        }
    }

    /// The columns of an open cursor: the protocol knows it as a portal.
    #[must_use]
    pub fn cursor_columns(&self, name: &str) -> Option<SchemaRef> {
        self.transaction.lock().cursor(name).ok().map(|cursor| cursor.schema)
    }

    /// Closes a cursor, where there is one of that name.
    pub fn close_cursor(&self, name: &str) {
        // One that is not there is closed.
        let _ = self.transaction.lock().close_cursor(Some(name));
    }

    /// Rolls back whatever is open: the client is gone.
    pub fn abandon(&self) {
        let now = self.saved();
        let ended = self.transaction.lock().execute(&Transaction::Rollback, now);
        drop(ended);
    }

    /// Before each statement of a text of several: together they are one transaction, as in PostgreSQL, which
    /// [`settle`](crate::settle) ends.
    pub fn enter_text(&self) {
        self.transaction.lock().enter_text(|| self.saved());
    }

    /// Settings that have changed and that no answer told of (`ParameterStatus`), name and value.
    #[must_use]
    pub fn take_reports(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.reports.lock())
    }

    pub(crate) fn report_later(&self, reported: Vec<(String, String)>) {
        self.reports.lock().extend(reported);
    }

    /// Undoes what the end of a block undoes; answers what the protocol must report.
    pub(crate) fn apply(&self, undo: Option<Undo>) -> Result<Vec<(String, String)>, Error> {
        match undo {
            None => Ok(Vec::new()),
            Some(Undo::All(before)) => Ok(self.restore(before)),
            Some(Undo::Local { settings, role }) => {
                let mut reported = Vec::new();
                for (name, value) in settings {
                    reported.extend(self.settings.lock().set(&name, Some(&value))?);
                }
                if let Some(role) = role {
                    reported.extend(self.restore_role(role));
                }
                Ok(reported)
            }
        }
    }

    /// A setting's value.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.lock().get(name)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn settings(&self) -> parking_lot::MutexGuard<'_, Settings> {
        self.settings.lock()
    }

    pub(crate) fn transaction(&self) -> parking_lot::MutexGuard<'_, TransactionState> {
        self.transaction.lock()
    }

    /// A fresh token by which the next statement can be cancelled.
    pub(crate) fn start_statement(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.running.lock() = token.clone();
        token
    }

    /// `SET ROLE`: the login role's own memberships decide. Answers what the protocol must report.
    pub(crate) fn set_role(&self, name: Option<&str>) -> Result<Option<(String, String)>, Error> {
        // Whoever one becomes, the glass was not theirs to break.
        *self.glass.lock() = None;
        let Some(name) = name else { return Ok(self.restore_role(None)) };
        let snapshot = self.engine.shared.parts.catalog.snapshot();
        let unknown = || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("role \"{name}\" does not exist"));
        let role = snapshot.role_by_name(name).ok_or_else(unknown)?;
        let superuser = snapshot.role(self.login_role).is_some_and(|login| login.superuser);
        if !superuser && !snapshot.effective_roles(self.login_role).contains(&role.id) {
            let message = format!("permission denied to set role \"{name}\"");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        Ok(self.restore_role(Some(role.id)))
    }

    /// Goes back to a role that was set before; [`principal`](Self::principal) checks that it still may be.
    pub(crate) fn restore_role(&self, role: Option<RoleId>) -> Option<(String, String)> {
        let before = self.is_superuser();
        let changes = std::mem::replace(&mut *self.current_role.lock(), role) != role;
        if changes {
            *self.glass.lock() = None;
        }
        let now = self.is_superuser();
        (before != now).then(|| ("is_superuser".to_owned(), on_or_off(now)))
    }

    /// Takes note of the glass that the session has broken.
    pub(crate) fn hold_glass(&self, held: Held) {
        *self.glass.lock() = Some(held);
    }

    /// Forgets it.
    pub(crate) fn drop_glass(&self) -> Option<Held> {
        self.glass.lock().take()
    }

    /// What is open to the session at this moment: until it expires or is ended, for the role that broke the glass, while
    /// that role may.
    pub(crate) fn glass(&self, snapshot: &Snapshot) -> Option<Glass> {
        let mut held = self.glass.lock();
        let Held { id, role } = (*held)?;
        let now = self.engine.shared.parts.clock.now();
        let current = self.current_role.lock().unwrap_or(self.login_role);
        let superuser = snapshot.role(role).is_some_and(|role| role.superuser);
        let may = superuser || snapshot.may_break_glass(&snapshot.effective_roles(role));
        let opened = snapshot.break_glass(id).filter(|opened| opened.is_open(now) && current == role && may);
        if opened.is_none() {
            *held = None;
        }
        opened.map(|opened| Glass { id: id.to_string(), subject: opened.subject.expose().clone() })
    }

    fn is_superuser(&self) -> bool {
        let current = self.current_role.lock().unwrap_or(self.login_role);
        self.engine.shared.parts.catalog.snapshot().role(current).is_some_and(|role| role.superuser)
    }

    /// What a block can be rolled back to.
    pub(crate) fn saved(&self) -> Saved {
        Saved { settings: self.settings.lock().clone(), role: *self.current_role.lock() }
    }

    /// Puts back what was saved; answers what the protocol must report.
    pub(crate) fn restore(&self, before: Saved) -> Vec<(String, String)> {
        let mut reported = self.settings.lock().restore(before.settings);
        reported.extend(self.restore_role(before.role));
        reported
    }

    /// `SHOW name`.
    pub(crate) fn show(&self, name: &str) -> Result<String, Error> {
        let value = self.settings.lock().show(name)?;
        Ok(self.own(name).unwrap_or(value))
    }

    /// `SHOW ALL`.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let all = self.settings.lock().all();
        all.into_iter().map(|(name, value)| (name, self.own(name).unwrap_or(value))).collect()
    }

    /// Settings that are facts about the session.
    fn own(&self, name: &str) -> Option<String> {
        if let Some(limit) = crate::limits::shown(&self.limits(), name) {
            return Some(limit);
        }
        match name {
            "is_superuser" => Some(on_or_off(self.is_superuser())),
            "transaction_isolation" => {
                let modes = self.transaction.lock().modes();
                modes
                    .map(|(isolation, _)| isolation.name().to_owned())
                    .or_else(|| self.setting("default_transaction_isolation"))
            }
            "transaction_read_only" => {
                let modes = self.transaction.lock().modes();
                Some(on_or_off(modes.map_or_else(
                    || self.settings.lock().is_on("default_transaction_read_only"),
                    |(_, read_only)| read_only,
                )))
            }
            "session_authorization" => Some(self.login.user.clone()),
            "role" => {
                let current = *self.current_role.lock();
                let snapshot = self.engine.shared.parts.catalog.snapshot();
                current.and_then(|role| snapshot.role(role).map(|role| role.name.clone()))
            }
            _ => None,
        }
    }

    /// Who the session is at this moment of the catalog.
    ///
    /// # Errors
    /// 28000 where the role is gone or may no longer log in.
    /// 42501 where the role of SET ROLE has been revoked.
    pub(crate) fn principal(&self, snapshot: &Snapshot) -> Result<Principal, Error> {
        let (role, purpose) = (*self.current_role.lock(), self.purpose());
        self.principal_of(snapshot, role, purpose)
    }

    /// The same as it was when a statement began that is decided again.
    pub(crate) fn principal_then(&self, snapshot: &Snapshot, then: &Saved) -> Result<Principal, Error> {
        self.principal_of(snapshot, then.role, then.settings.purpose())
    }

    fn purpose(&self) -> Option<String> {
        self.settings.lock().purpose()
    }

    fn principal_of(
        &self,
        snapshot: &Snapshot,
        role: Option<RoleId>,
        purpose: Option<String>,
    ) -> Result<Principal, Error> {
        let current = role.unwrap_or(self.login_role);
        let superuser = snapshot.role(self.login_role).is_some_and(|login| login.superuser);
        let allowed = superuser || snapshot.effective_roles(self.login_role).contains(&current);
        if current != self.login_role && !allowed {
            let message = "the role that was set has been revoked";
            return Err(
                Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint("RESET ROLE goes on as yourself.")
            );
        }
        let principal = self.principal_as(snapshot, current, purpose)?;
        // What may be stated can have changed since it was.
        may_state(snapshot, self.login_role, principal.purpose.as_deref())?;
        Ok(principal)
    }

    /// As [`principal`](Self::principal), without SET ROLE.
    pub(crate) fn login_principal(&self, snapshot: &Snapshot) -> Result<Principal, Error> {
        self.principal_as(snapshot, self.login_role, self.purpose())
    }

    fn principal_as(
        &self,
        snapshot: &Snapshot,
        current_id: RoleId,
        purpose: Option<String>,
    ) -> Result<Principal, Error> {
        let revoked = || {
            Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "the session's role no longer exists or may no longer log in",
            )
        };
        if self.terminated.is_cancelled() {
            return Err(Self::termination());
        }
        let now = self.engine.shared.parts.clock.now();
        let in_force = |role: &&Arc<Role>| role.login && role.valid_until.is_none_or(|until| now < until);
        let login = snapshot.role(self.login_role).filter(in_force).ok_or_else(revoked)?;
        let current = snapshot.role(current_id).ok_or_else(revoked)?;
        let effective_roles = snapshot.effective_roles(current.id);
        let role_names =
            effective_roles.iter().filter_map(|id| snapshot.role(*id)).map(|role| role.name.clone()).collect();
        Ok(Principal {
            session_user: login.name.clone(),
            current_user: current.name.clone(),
            session_role: login.id,
            current_role: current.id,
            effective_roles,
            role_names,
            attributes: login.attributes.clone(),
            superuser: current.superuser,
            bypass_row_security: current.bypass_row_security,
            purpose,
            glass: None,
        })
    }

    /// Who the session is, for the audit: recorded even where the role is gone meanwhile.
    pub(crate) fn who(&self) -> Who {
        let snapshot = self.engine.shared.parts.catalog.snapshot();
        let current = self.current_role.lock().unwrap_or(self.login_role);
        let names = snapshot
            .effective_roles(current)
            .into_iter()
            .filter_map(|id| snapshot.role(id).map(|role| role.name.clone()));
        let settings = self.settings.lock();
        Who {
            session_user: self.login.user.clone(),
            roles: names.collect(),
            auth_method: self.login.auth_method.to_owned(),
            client_addr: self.login.client_addr.clone(),
            application_name: recordable(&settings.get("application_name").unwrap_or_default()),
            protocol: self.login.protocol,
            purpose_of_use: settings.purpose(),
            external: snapshot.role(self.login_role).is_some_and(|role| is_external(role)),
        }
    }

    /// The policy epoch of this moment.
    pub(crate) fn epoch(&self) -> Epoch {
        self.engine.shared.parts.catalog.snapshot().epoch()
    }
}

/// The attribute of a role that is a recipient outside the hospital: what is disclosed to it may have to be accounted for.
const EXTERNAL: &str = "external";

fn is_external(role: &Role) -> bool {
    role.attributes.get(EXTERNAL).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn on_or_off(value: bool) -> String {
    if value { "on" } else { "off" }.to_owned()
}

/// Whether a login role may state a purpose: to state none is always open.
pub(crate) fn may_state(snapshot: &Snapshot, login: RoleId, purpose: Option<&str>) -> Result<(), Error> {
    let Some(purpose) = purpose.filter(|purpose| !purpose.is_empty()) else { return Ok(()) };
    let allowed = snapshot.role(login).and_then(|role| role.allowed_purposes.as_ref());
    match allowed {
        Some(allowed) if !allowed.contains(&purpose.to_ascii_uppercase()) => Err(purpose_denied(purpose)),
        Some(_) | None => Ok(()),
    }
}

/// A client's name for itself, as the audit keeps it: users can set it, so numbers that could be somebody's are taken
/// out.
fn recordable(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    for part in name.split_inclusive(|c: char| !c.is_ascii_digit() && c != '-') {
        let digits = part.chars().filter(char::is_ascii_digit).count();
        kept.extend(part.chars().map(|c| if digits > 3 && c.is_ascii_digit() { '#' } else { c }));
    }
    kept
}

impl Drop for Session {
    fn drop(&mut self) {
        self.running.lock().cancel();
        self.engine.forget(self.id);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}
