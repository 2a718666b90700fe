//! Who may run now: a bounded number of statements at once, for the whole server and for each role; the others wait in
//! one bounded queue, first come, first served.
//!
//! What manages sessions, transactions and the catalog is never kept waiting, nor what reads only the catalog or nothing
//! (`SELECT pg_cancel_backend(7)`): with that, an administrator mends what is overloaded. Superusers' statements take
//! slots and do not wait for them. Invariant: a slot is given back by dropping it, and the place in the queue of one
//! that is cancelled or whose client is gone goes with its future.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use lakeward_base::{RoleId, SqlState};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ddl::Ddl;
use crate::engine::Limits;
use crate::error::Error;
use crate::mentioned::names_in;
use crate::names::TABLE_FUNCTIONS;
use crate::statement::{CursorStatement, Kind, Statement};

/// The slots of one server, and the queue before them.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Statements at once; 0 is any number.
    most: usize,
    /// Statements that may wait.
    places: usize,
    patience: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    by_role: HashMap<RoleId, usize>,
    waiting: VecDeque<Waiting>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    applicant: Applicant,
    turn: oneshot::Sender<Slot>,
}

/// Whose statement asks for a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applicant {
    /// The login role.
    pub(crate) role: RoleId,
    /// How many statements of that role may run at once.
    pub(crate) most: Option<usize>,
    /// Superusers' do not.
    pub(crate) waits: bool,
}

/// The right to run; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
    role: RoleId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.leave(self.role);
    }
}

/// A place in the queue; left when it is dropped.
struct Place<'a> {
    admission: &'a Admission,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.admission.state.lock().waiting.retain(|waiting| waiting.ticket != self.ticket);
    }
}

/// How many statements run and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Statements that have a slot.
    pub running: usize,
    /// Statements in the queue.
    pub waiting: usize,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            most: limits.concurrent_statements,
            places: limits.queued_statements,
            patience: (limits.queue_timeout_ms > 0).then(|| Duration::from_millis(limits.queue_timeout_ms)),
            state: Mutex::default(),
        }
    }

    /// A slot, where there is one at once.
    pub(crate) fn try_enter(self: &Arc<Self>, applicant: Applicant) -> Option<Slot> {
        let mut state = self.state.lock();
        let overtakes = state.waiting.iter().any(|waiting| waiting.applicant.role == applicant.role);
        let at_once = !applicant.waits || (!overtakes && state.has_room(self.most, applicant));
        at_once.then(|| self.take(&mut state, applicant.role))
    }

    /// A slot, once it is this statement's turn.
    ///
    /// # Errors
    /// 53400 where the queue is full, or the turn does not come in time.
    pub(crate) async fn enter(self: &Arc<Self>, applicant: Applicant) -> Result<Slot, Error> {
        if let Some(slot) = self.try_enter(applicant) {
            return Ok(slot);
        }
        let (turn, granted) = oneshot::channel();
        let place = self.queue(applicant, turn)?;
        let outcome = match self.patience {
            Some(patience) => tokio::time::timeout(patience, granted).await,
            None => Ok(granted.await),
        };
        drop(place);
        match outcome {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(crate::publish::incident("admission", "queue")),
            Err(_) => Err(overload("the statement has waited too long for its turn")),
        }
    }

    fn queue(&self, applicant: Applicant, turn: oneshot::Sender<Slot>) -> Result<Place<'_>, Error> {
        let mut state = self.state.lock();
        if state.waiting.len() >= self.places {
            return Err(overload("too many statements are waiting for their turn"));
        }
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.push_back(Waiting { ticket, applicant, turn });
        Ok(Place { admission: self, ticket })
    }

    fn take(self: &Arc<Self>, state: &mut State, role: RoleId) -> Slot {
        state.running += 1;
        *state.by_role.entry(role).or_default() += 1;
        Slot { admission: Arc::clone(self), role }
    }

    fn leave(self: &Arc<Self>, role: RoleId) {
        let mut granted = Vec::new();
        {
            let mut state = self.state.lock();
            state.running = state.running.saturating_sub(1);
            if let Some(count) = state.by_role.get_mut(&role) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.by_role.remove(&role);
                }
            }
            while let Some(next) = state.next(self.most) {
                let slot = self.take(&mut state, next.applicant.role);
                granted.push((next.turn, slot));
            }
        }
        // Whoever has gone meanwhile leaves the slot here: it is dropped, and passed on, without the lock.
        for (turn, slot) in granted {
            let _ = turn.send(slot);
        }
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.state.lock();
        Load { running: state.running, waiting: state.waiting.len() }
    }
}

impl State {
    fn has_room(&self, most: usize, applicant: Applicant) -> bool {
        let of_role = self.by_role.get(&applicant.role).copied().unwrap_or_default();
        (most == 0 || self.running < most) && applicant.most.is_none_or(|most| of_role < most)
    }

    /// The first in the queue for whom there is room: a role at its own limit does not keep others waiting.
    fn next(&mut self, most: usize) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| self.has_room(most, waiting.applicant))?;
        self.waiting.remove(index)
    }
}

/// `53400`, as PostgreSQL answers where all of a configured number are in use.
fn overload(message: &str) -> Error {
    Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).with_hint(
        "The server or the role runs as many statements as it may: try again later. \
         system.queries lists one's own; cursors and results that are not read to their end count too.",
    )
}

/// Whether a statement needs a slot: it reads or writes tables, or makes rows of its own without end.
pub(crate) fn needs_slot(statement: &Statement) -> bool {
    match &statement.kind {
        Kind::Query(query) => makes_rows(query),
        Kind::Explain { statement, .. } => needs_slot(statement),
        Kind::Insert(_)
        | Kind::Change(_)
        | Kind::CopyIn(_)
        | Kind::CopyOut(_)
        | Kind::CreateTableAs(_)
        | Kind::Maintain(_)
        | Kind::RunPolicyTests
        | Kind::Cursor(CursorStatement::Declare { .. }) => true,
        Kind::ExplainPolicies { .. } | Kind::EffectivePolicies { .. } => false,
        // Every file of the table is written anew.
        Kind::Ddl(change) => matches!(**change, Ddl::ChangeColumn(_)),
        Kind::Empty | Kind::Setting(_) | Kind::Transaction(_) | Kind::Cursor(_) => false,
    }
}

fn makes_rows(query: &ast::Query) -> bool {
    let only_catalog = names_in(query).is_ok_and(|names| {
        names.iter().all(|name| !TABLE_FUNCTIONS.contains(&name.table()) && crate::system::is_catalog(name))
    });
    !only_catalog || query.visit(&mut Recursion).is_break()
}

/// Finds what makes rows of its own: `WITH RECURSIVE`, and functions that answer many.
struct Recursion;

impl Visitor for Recursion {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        if recursive { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<()> {
        let ast::Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        let name = function.name.0.last().map(|part| part.to_string().to_lowercase()).unwrap_or_default();
        let many = name == "unnest" || crate::postgres::SETS.contains(&name.as_str());
        if many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeward_base::Coded;

    fn admission(most: usize, places: usize, queue_timeout_ms: u64) -> Arc<Admission> {
        let limits =
            Limits { concurrent_statements: most, queued_statements: places, queue_timeout_ms, ..Limits::default() };
        Arc::new(Admission::new(&limits))
    }

    fn of(role: u64, most: Option<usize>) -> Applicant {
        Applicant { role: RoleId(role), most, waits: true }
    }

    fn load(running: usize, waiting: usize) -> Load {
        Load { running, waiting }
    }

    #[tokio::test]
    async fn slots_are_given_in_the_order_in_which_they_were_asked_for() {
        let admission = admission(1, 8, 0);
        let first = admission.enter(of(1, None)).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..5 {
            let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
            tasks.push(tokio::runtime::Handle::current().spawn(async move {
                let slot = admission.enter(of(number, None)).await.unwrap();
                order.lock().push(number);
                drop(slot);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.load(), load(1, 5));
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
        assert_eq!(admission.load(), load(0, 0));
    }

    #[tokio::test]
    async fn a_role_at_its_limit_waits_and_keeps_nobody_else_waiting() {
        let admission = admission(3, 8, 0);
        let held = admission.enter(of(1, Some(1))).await.unwrap();
        let waiting = tokio::runtime::Handle::current().spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(of(1, Some(1))).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(admission.load(), load(1, 1));
        let other = admission.try_enter(of(2, None)).expect("another role goes on");
        assert!(admission.try_enter(of(1, None)).is_none(), "nobody overtakes its own role");
        drop(held);
        waiting.await.unwrap().unwrap();
        drop(other);
        assert_eq!(admission.load(), load(0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_and_a_long_wait_are_refused() {
        let admission = admission(1, 1, 20);
        let held = admission.enter(of(1, None)).await.unwrap();
        let waiting = tokio::runtime::Handle::current().spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(of(2, None)).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let full = admission.enter(of(3, None)).await.unwrap_err();
        assert_eq!(full.sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        assert!(full.hint().is_some());
        assert_eq!(waiting.await.unwrap().unwrap_err().sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        assert_eq!(admission.load(), load(1, 0));
        let superuser = Applicant { waits: false, ..of(4, None) };
        assert!(admission.try_enter(superuser).is_some(), "administrators do not wait");
        drop(held);
        assert_eq!(admission.load(), load(0, 0));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing() {
        let admission = admission(1, 8, 0);
        let held = admission.enter(of(1, None)).await.unwrap();
        let waiting = tokio::runtime::Handle::current().spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(of(2, None)).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(admission.load(), load(1, 1));
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(admission.load(), load(1, 0));
        drop(held);
        assert_eq!(admission.load(), load(0, 0));
    }

    #[tokio::test]
    async fn a_slot_for_one_who_has_just_gone_is_passed_on() {
        let admission = admission(1, 8, 0);
        let held = admission.enter(of(1, None)).await.unwrap();
        let (turn, gone) = oneshot::channel();
        let place = admission.queue(of(2, None), turn).unwrap();
        drop(gone);
        drop(held);
        drop(place);
        assert_eq!(admission.load(), load(0, 0));
    }

    #[test]
    fn what_administrators_need_takes_no_slot() {
        let counted = |sql: &str| needs_slot(&crate::statement::parse(sql).unwrap());
        for sql in [
            "SELECT pg_cancel_backend(7)",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'x'",
            "SELECT * FROM system.queries",
            "SELECT 1",
            "SHOW statement_timeout",
            "SET statement_timeout = 1",
            "ROLLBACK",
            "ALTER ROLE x SET max_result_rows = 5",
            "CREATE ROLE x",
            "FETCH ALL FROM c",
            "EXPLAIN SELECT 1",
        ] {
            assert!(!counted(sql), "{sql}");
        }
        for sql in [
            "SELECT 1 FROM patients",
            "SELECT (SELECT max(a) FROM patients)",
            "SELECT count(*) FROM generate_series(1, 1000000000)",
            "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT * FROM r",
            "SELECT * FROM (WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a FROM r) SELECT * FROM r) q",
            "SELECT * FROM system.audit",
            "SELECT * FROM pg_class, public.t",
            "EXPLAIN ANALYZE SELECT * FROM patients",
            "INSERT INTO t VALUES (1)",
            "COPY t FROM STDIN",
            "COPY t TO STDOUT",
            "DELETE FROM t",
            "CREATE TABLE u AS SELECT 1 AS a",
            "OPTIMIZE t",
            "DECLARE c CURSOR FOR SELECT 1",
        ] {
            assert!(counted(sql), "{sql}");
        }
    }
}
