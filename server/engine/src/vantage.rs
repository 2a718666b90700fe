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
use crate::client_rows::ClientRows;
use crate::error::Error;
use crate::functions::SessionFacts;
use crate::session::Session;
use crate::statement::{Kind, Statement};

/// See the module.
pub(crate) struct Vantage {
    pub(crate) session: Arc<Session>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) principal: Principal,
    pub(crate) stamp: Arc<Stamp>,
    pub(crate) state: SessionState,
    pub(crate) privileged: Arc<dyn PrivilegedSessions>,
    /// Cancelled when nobody waits for the statement any more.
    pub(crate) stop: CancellationToken,
    /// Until all who hold it are gone, the session shows as active.
    pub(crate) running: Arc<Running>,
    /// Rows that the client sends along.
    pub(crate) client: Option<Arc<ClientRows>>,
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
        let stamp = Arc::new(Stamp { fingerprint: principal.fingerprint(), epoch: snapshot.epoch(), statement: id });
        let time_zone = session.setting("timezone").unwrap_or_else(|| "UTC".to_owned());
        let state = shared.templates.user_session(&stamp, &time_zone);
        let privileged = shared.templates.privileged_sessions();
        Ok(Self {
            session: Arc::clone(session),
            snapshot,
            principal,
            stamp,
            state,
            privileged,
            stop,
            running: Arc::default(),
            client: None,
        })
    }

    /// What the functions about the session answer.
    pub(crate) fn facts(&self) -> SessionFacts<'_> {
        let schema = self.session.settings().search_path().into_iter().next().unwrap_or_default();
        SessionFacts { principal: &self.principal, schema, process_id: self.session.cancel_key().0 }
    }
}
