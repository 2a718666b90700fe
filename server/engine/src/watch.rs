//! Whether a statement may still hand out what it reads: grants and policies rule rows that have not left yet, too.
//!
//! A statement is decided once, and its rows may be fetched hours later. When the catalog has changed since, the
//! statement is resolved and decided again; a decision that hides more, or anything else, closes it, and every other
//! statement goes on. Invariant: no batch leaves under an epoch that the decision was not compared with.

use std::sync::{Arc, Weak};

use datafusion::common::ScalarValue;
use lakeward_base::{Epoch, SqlState, StatementId};
use lakeward_govern::{Access, Decision, TableDecision};
use tokio_util::sync::CancellationToken;

use crate::client_rows::ClientRows;
use crate::error::Error;
use crate::pending::WriteRules;
use crate::policy::Compiler;
use crate::resolve::{self, Resolved};
use crate::session::Session;
use crate::sets::Sets;
use crate::statement::Statement;
use crate::stream::AbortOnDrop;
use crate::transaction::Saved;
use crate::vantage::Vantage;
use crate::{keyed, plan};

/// A watch that the statement's stream and its reader ask.
pub(crate) type SharedWatch = Arc<tokio::sync::Mutex<Watch>>;

/// See the module.
pub(crate) struct Watch {
    /// A session holds cursors and a write, and they their watches: these must not hold it.
    session: Weak<Session>,
    /// How the session was: what a name stands for must not change with its settings.
    then: Arc<Saved>,
    statement: Arc<Statement>,
    parameters: Arc<[ScalarValue]>,
    id: StatementId,
    /// Rows that the client has sent along: to plan it again, not to be read again.
    client: Option<Arc<ClientRows>>,
    decision: Arc<Decision>,
    /// Up to which epoch the decision is known to hold.
    holds_at: Epoch,
}

impl Watch {
    /// Watches a statement that was decided from `vantage`.
    pub(crate) fn new(
        vantage: &Vantage,
        statement: &Arc<Statement>,
        parameters: &[ScalarValue],
        decision: Decision,
    ) -> Self {
        Self {
            session: Arc::downgrade(&vantage.session),
            then: Arc::new(vantage.session.saved()),
            statement: Arc::clone(statement),
            parameters: parameters.into(),
            id: vantage.stamp.statement,
            client: vantage.client.clone(),
            holds_at: decision.epoch,
            decision: Arc::new(decision),
        }
    }

    /// Compares with the catalog of this moment, where it has changed.
    ///
    /// # Errors
    /// 42501 where the statement would be decided otherwise today, 58030 where that cannot be told.
    pub(crate) async fn check(&mut self) -> Result<(), Error> {
        let Some(again) = self.again()? else { return Ok(()) };
        let deciding = async move { again.decide().await.map(|(_, _, decision)| decision) };
        let mut task = AbortOnDrop(again_runtime(&self.session)?.spawn(deciding));
        // Whatever stands in the way of a decision today, the one that was made no longer holds.
        let today = (&mut task.0).await.ok().and_then(Result::ok).ok_or_else(changed)?;
        if !holds(&self.decision, &today) {
            return Err(changed());
        }
        self.holds_at = today.epoch;
        Ok(())
    }

    /// The same for a write that is about to be committed: what it may write counts too.
    ///
    /// # Errors
    /// 42501 where the statement would be decided otherwise today; and what stands in the way of a decision.
    pub(crate) async fn check_write(&mut self, rules: &WriteRules) -> Result<(), Error> {
        let Some(again) = self.again()? else { return Ok(()) };
        let planning = async move { again.plan().await };
        let mut task = AbortOnDrop(again_runtime(&self.session)?.spawn(planning));
        let (today, rules_today) = (&mut task.0).await.map_err(|_| changed())??;
        if holds(&self.decision, &today) && rules_today.as_ref() == Some(rules) { Ok(()) } else { Err(changed()) }
    }

    /// What is needed to decide again; `None` where the catalog has not changed since.
    fn again(&self) -> Result<Option<Again>, Error> {
        let session = self.session.upgrade().ok_or_else(Session::termination)?;
        let current = session.engine().shared.parts.catalog.current().map_err(|error| Error::from_coded(&error))?;
        if current.epoch() == self.holds_at {
            return Ok(None);
        }
        let (then, statement) = (Arc::clone(&self.then), Arc::clone(&self.statement));
        let (parameters, client) = (Arc::clone(&self.parameters), self.client.clone());
        Ok(Some(Again { session, then, statement, parameters, id: self.id, client }))
    }
}

fn again_runtime(session: &Weak<Session>) -> Result<tokio::runtime::Handle, Error> {
    let session = session.upgrade().ok_or_else(Session::termination)?;
    Ok(session.engine().shared.parts.query_runtime.clone())
}

/// A statement on its way a second time.
struct Again {
    session: Arc<Session>,
    then: Arc<Saved>,
    statement: Arc<Statement>,
    parameters: Arc<[ScalarValue]>,
    id: StatementId,
    client: Option<Arc<ClientRows>>,
}

impl Again {
    async fn decide(&self) -> Result<(Vantage, Resolved, Decision), Error> {
        let mut vantage = Vantage::take_then(&self.session, self.id, &self.then, CancellationToken::new())?;
        vantage.client = self.client.clone();
        if let Some(query) = self.statement.query() {
            keyed::check(&vantage.principal, &vantage.snapshot, query)?;
        }
        let resolved = resolve::tables(&vantage, &self.statement, &self.parameters).await?;
        for view in resolved.scope.views() {
            keyed::check(&vantage.principal, &vantage.snapshot, view)?;
        }
        let compiler = Compiler(&vantage.state);
        let decision = lakeward_govern::decide(&vantage.principal, &vantage.snapshot, &resolved.tables, &compiler);
        Ok((vantage, resolved, decision.map_err(|error| Error::from_coded(&error))?))
    }

    async fn plan(&self) -> Result<(Decision, Option<WriteRules>), Error> {
        let (vantage, resolved, decision) = self.decide().await?;
        let today = decision.clone();
        // What may be written is the same for every set of parameters.
        let sets = Sets::one(self.parameters.to_vec());
        let planned = Box::pin(plan::build(vantage, &self.statement, resolved, decision, &sets)).await?;
        Ok((today, WriteRules::of(&planned.work)))
    }
}

fn changed() -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "what you may see has changed while the statement was open")
        .with_hint("Run the statement again.")
}

/// Whether every table of `then` is decided today as it was.
fn holds(then: &Decision, today: &Decision) -> bool {
    let (then, today) = (then.tables(), today.tables());
    then.len() == today.len() && then.iter().zip(today).all(|(then, today)| same(then, today))
}

/// Versions may differ: the statement reads on in the one that it began with.
fn same(then: &TableDecision, today: &TableDecision) -> bool {
    if then.table != today.table || then.bypass != today.bypass || withholds_more(then, today) {
        return false;
    }
    match (&then.access, &today.access) {
        (Access::Open, Access::Open) => true,
        (Access::Governed { row_filter, .. }, Access::Governed { row_filter: filter_today, .. }) => {
            let names = then.schema.fields().iter().map(|field| field.name());
            row_filter == filter_today && names.into_iter().all(|name| mask_of(then, name) == mask_of(today, name))
        }
        (Access::Open, Access::Governed { .. }) | (Access::Governed { .. }, Access::Open) => false,
    }
}

/// Whether a column is withheld today that was not.
fn withholds_more(then: &TableDecision, today: &TableDecision) -> bool {
    let names = |decision: &TableDecision| -> Vec<String> {
        let withheld = decision.withheld.iter().filter_map(|index| decision.schema.fields().get(*index));
        withheld.map(|field| field.name().clone()).collect()
    };
    let before = names(then);
    names(today).iter().any(|column| !before.contains(column))
}

/// What stands in the place of a column: nothing where the column is gone.
fn mask_of<'a>(decision: &'a TableDecision, column: &str) -> Option<Option<&'a datafusion::logical_expr::Expr>> {
    let (index, _) = decision.schema.column_with_name(column)?;
    match &decision.access {
        Access::Open => Some(None),
        Access::Governed { masks, .. } => masks.get(index).map(Option::as_ref),
    }
}
