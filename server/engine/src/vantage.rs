//! Where a statement stands: one catalog snapshot, one principal, one stamp, one planning session.
//!
//! Invariant: all stages of one statement see the same policy epoch.

use std::sync::Arc;

use datafusion::execution::context::SessionState;
use lakeward_base::StatementId;
use lakeward_catalog::Snapshot;
use lakeward_govern::{Principal, PrivilegedSessions, Stamp};
use tokio_util::sync::CancellationToken;

use crate::activity::Running;
use crate::admission::Slot;
use crate::client_rows::ClientRows;
use crate::error::Error;
use crate::functions::SessionFacts;
use crate::limits::ResultLimit;
use crate::session::Session;
use crate::statement::{Kind, Statement};
use crate::transaction::Saved;

/// See the module.
pub(crate) struct Vantage {
    pub(crate) session: Arc<Session>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) principal: Principal,
    pub(crate) stamp: Arc<Stamp>,
    pub(crate) state: SessionState,
    pub(crate) privileged: Arc<dyn PrivilegedSessions>,
    /// Where unqualified names are looked for.
    pub(crate) search_path: Vec<String>,
    /// The time zone of times that have none of their own.
    pub(crate) time_zone: String,
    /// Cancelled when nobody waits for the statement any more.
    pub(crate) stop: CancellationToken,
    /// Until all who hold it are gone, the session shows as active.
    pub(crate) running: Arc<Running>,
    /// Rows that the client sends along.
    pub(crate) client: Option<Arc<ClientRows>>,
    /// The right to run, where the statement needs it.
    pub(crate) slot: Option<Arc<Slot>>,
}

impl Vantage {
    /// Takes the snapshot of this moment for `statement`, under the audit's `id`; `stop` ends it.
    ///
    /// # Errors
    /// 58030 where the catalog is out of date, 28000 where the session's role is gone, 42501 where the role of SET ROLE has been revoked.
    pub(crate) fn take(
        session: &Arc<Session>,
        id: StatementId,
        statement: &Statement,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let shared = &session.engine().shared;
        let catalog = &shared.parts.catalog;
        // A role or a purpose that was set and then revoked must not stand in the way of being put off.
        let changes_session = matches!(statement.kind, Kind::Setting(_) | Kind::Transaction(_));
        let snapshot = if changes_session {
            catalog.snapshot()
        } else {
            catalog.current().map_err(|error| Error::from_coded(&error))?
        };
        let principal =
            if changes_session { session.login_principal(&snapshot)? } else { session.principal(&snapshot)? };
        let (search_path, time_zone) = {
            let settings = session.settings();
            (settings.search_path(), settings.time_zone())
        };
        Ok(Self::of(session, (snapshot, principal), id, (search_path, time_zone), stop))
    }

    /// The snapshot of this moment for a statement that began when the session was as `then`.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub(crate) fn take_then(
        session: &Arc<Session>,
        id: StatementId,
        then: &Saved,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let snapshot = session.engine().shared.parts.catalog.current().map_err(|error| Error::from_coded(&error))?;
        let principal = session.principal_then(&snapshot, then)?;
        let names = (then.settings.search_path(), then.settings.time_zone());
        Ok(Self::of(session, (snapshot, principal), id, names, stop))
    }

    fn of(
        session: &Arc<Session>,
        (snapshot, principal): (Arc<Snapshot>, Principal),
        id: StatementId,
        (search_path, time_zone): (Vec<String>, String),
        stop: CancellationToken,
    ) -> Self {
        let shared = &session.engine().shared;
        let stamp = Arc::new(Stamp { fingerprint: principal.fingerprint(), epoch: snapshot.epoch(), statement: id });
        let state = shared.templates.user_session(&stamp, &time_zone);
        let privileged = shared.templates.privileged_sessions();
        Self {
            session: Arc::clone(session),
            snapshot,
            principal,
            stamp,
            state,
            privileged,
            search_path,
            time_zone,
            stop,
            running: Arc::default(),
            client: None,
            slot: None,
        }
    }

    /// What the login role may receive of one statement.
    pub(crate) fn result_limit(&self) -> ResultLimit {
        let role = self.snapshot.role(self.principal.session_role);
        role.map(|role| ResultLimit::of(&role.limits)).unwrap_or_default()
    }

    /// What the functions about the session answer.
    pub(crate) fn facts(&self) -> SessionFacts<'_> {
        let schema = self.search_path.first().cloned().unwrap_or_default();
        SessionFacts { principal: &self.principal, schema, process_id: self.session.cancel_key().0 }
    }
}
