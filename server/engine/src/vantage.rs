//! Where a statement stands: one catalog snapshot, one principal, one stamp, one planning session.
//!
//! Invariant: all stages of one statement see the same policy epoch.

use std::sync::Arc;

use datafusion::execution::context::SessionState;
use datafusion::sql::sqlparser::ast::Visit;
use lakeward_audit::ObjectFacts;
use lakeward_base::{SqlState, StatementId};
use lakeward_catalog::{RawTable, Snapshot};
use lakeward_govern::{Principal, PrivilegedSessions, Stamp, Subjects};
use tokio_util::sync::CancellationToken;

use crate::activity::Running;
use crate::admission::Slot;
use crate::client_rows::ClientRows;
use crate::error::Error;
use crate::functions::SessionFacts;
use crate::limits::ResultLimit;
use crate::session::Session;
use crate::statement::{CursorStatement, Kind, Simulation, Statement};
use crate::transaction::Saved;
use crate::{keyed, simulate};

/// See the module.
pub(crate) struct Vantage {
    pub(crate) session: Arc<Session>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) principal: Principal,
    /// Who asked for a simulation, where the principal is a simulated one.
    pub(crate) simulator: Option<Principal>,
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
    /// The block that the statement was let into, where there is one: it keeps its write, or nothing does.
    pub(crate) block: Option<u64>,
    /// Rows that the client sends along.
    pub(crate) client: Option<Arc<ClientRows>>,
    /// The right to run, where the statement needs it.
    pub(crate) slot: Option<Arc<Slot>>,
    /// Whose rows its scans yield.
    pub(crate) subjects: Arc<Subjects>,
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
        let mut principal =
            if changes_session { session.login_principal(&snapshot)? } else { session.principal(&snapshot)? };
        principal.glass = if is_read(&statement.kind) { session.glass(&snapshot) } else { None };
        let (search_path, time_zone) = {
            let settings = session.settings();
            (settings.search_path(), settings.time_zone())
        };
        let vantage = Self::of(session, (snapshot, principal), id, (search_path, time_zone), stop);
        vantage.simulating(statement.simulation.as_deref())
    }

    /// The snapshot of this moment for a statement that began when the session was as `then`.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub(crate) fn take_then(
        session: &Arc<Session>,
        (id, statement): (StatementId, &Statement),
        then: &Saved,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let snapshot = session.engine().shared.parts.catalog.current().map_err(|error| Error::from_coded(&error))?;
        let mut principal = session.principal_then(&snapshot, then)?;
        principal.glass = if is_read(&statement.kind) { session.glass(&snapshot) } else { None };
        let names = (then.settings.search_path(), then.settings.time_zone());
        Self::of(session, (snapshot, principal), id, names, stop).simulating(statement.simulation.as_deref())
    }

    /// Where a policy test stands: in a catalog that may not be in force.
    pub(crate) fn tested(
        session: &Arc<Session>,
        (snapshot, principal): (Arc<Snapshot>, Principal),
        id: StatementId,
        search_path: Vec<String>,
        stop: CancellationToken,
    ) -> Self {
        Self::of(session, (snapshot, principal), id, (search_path, "UTC".to_owned()), stop)
    }

    /// The same as the role of a simulation would stand.
    ///
    /// # Errors
    /// 42501 where the principal may not ask for it, 42704 where there is no such role.
    fn simulating(mut self, simulation: Option<&Simulation>) -> Result<Self, Error> {
        let Some(simulation) = simulation else { return Ok(self) };
        let simulated = simulate::principal(&self.snapshot, &self.principal, simulation)?;
        self.act_as(simulated);
        Ok(self)
    }

    /// From here on the statement is `simulated`'s.
    pub(crate) fn act_as(&mut self, simulated: Principal) {
        let stamp = Stamp { fingerprint: simulated.fingerprint(), ..*self.stamp };
        self.stamp = Arc::new(stamp);
        let shared = &self.session.engine().shared;
        self.state = shared.templates.user_session(&self.stamp, &self.time_zone);
        self.state.config_mut().set_extension(Arc::clone(&self.subjects));
        self.simulator = Some(std::mem::replace(&mut self.principal, simulated));
    }

    /// For the audit: as whom the statement is run, where not as oneself.
    pub(crate) fn simulated(&self) -> Option<ObjectFacts> {
        self.simulator.as_ref().map(|_| simulate::object(&self.principal.current_user))
    }

    /// `42501` where a syntax tree calls a keyed function that the principal may not call; or, in a simulation, that the
    /// one who asked may not call.
    pub(crate) fn check_keyed(&self, node: &impl Visit) -> Result<(), Error> {
        keyed::check(&self.principal, &self.snapshot, node)?;
        self.simulator.as_ref().map_or(Ok(()), |simulator| keyed::check(simulator, &self.snapshot, node))
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
        let mut state = shared.templates.user_session(&stamp, &time_zone);
        let subjects = Arc::<Subjects>::default();
        state.config_mut().set_extension(Arc::clone(&subjects));
        let privileged = shared.templates.privileged_sessions();
        Self {
            session: Arc::clone(session),
            snapshot,
            principal,
            simulator: None,
            stamp,
            state,
            privileged,
            search_path,
            time_zone,
            stop,
            running: Arc::default(),
            block: None,
            client: None,
            slot: None,
            subjects,
        }
    }

    /// `40001` where the statement's catalog is older than the one that a table's columns were made under: it could take one
    /// column for another. The session's next look at the catalog is new enough.
    pub(crate) async fn must_know(&self, raw: &RawTable, name: &str) -> Result<(), Error> {
        if raw.catalog_epoch() <= self.snapshot.epoch() {
            return Ok(());
        }
        let catalog = &self.session.engine().shared.parts.catalog;
        let newest = catalog.refresh().await.map_err(|error| Error::from_coded(&error))?;
        // Whoever made the columns knew of no change that this one does not: the number is another catalog's.
        if newest.epoch() < raw.catalog_epoch() {
            return Ok(());
        }
        let message = format!("the columns of table \"{name}\" were changed concurrently");
        Err(Error::new(SqlState::SERIALIZATION_FAILURE, message))
    }

    /// What the login role may receive of one statement.
    pub(crate) fn result_limit(&self) -> ResultLimit {
        ResultLimit::of(&self.session.limits())
    }

    /// What the functions about the session answer.
    pub(crate) fn facts(&self) -> SessionFacts<'_> {
        let schema = self.search_path.first().cloned().unwrap_or_default();
        SessionFacts { principal: &self.principal, schema, process_id: self.session.cancel_key().0 }
    }
}

/// Whether a statement only shows rows: what BREAK GLASS opens goes into no table.
fn is_read(kind: &Kind) -> bool {
    match kind {
        Kind::ExplainPolicies { statement, .. } => is_read(&statement.kind),
        other => matches!(
            other,
            Kind::Query(_) | Kind::CopyOut(_) | Kind::Explain { .. } | Kind::Cursor(CursorStatement::Declare { .. })
        ),
    }
}
