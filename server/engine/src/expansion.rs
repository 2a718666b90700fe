//! How large a query becomes once its WITH queries and views stand in the place of their names.
//!
//! A WITH query that is named twice is planned twice; twenty that each name the one before twice would be planned a
//! million times. Invariant: this is told before any of them is.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, Visit, Visitor};
use lakeward_base::SqlState;

use crate::error::Error;

/// How many tables a query may name, with those of a WITH query wherever it is named.
const RELATIONS: u64 = 2_000;
/// How many nodes a plan may have, with those of a view wherever it is named.
const NODES: usize = 20_000;

/// Checks a query before it is planned.
pub(crate) fn check_query(query: &Query) -> Result<()> {
    let mut expansion = Expansion::default();
    let _: ControlFlow<()> = query.visit(&mut expansion);
    if expansion.total > RELATIONS { Err(too_large()) } else { Ok(()) }
}

/// Checks a plan whose views still are shared, before anything copies them.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let mut nodes = 0_usize;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(if nodes > NODES { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if nodes > NODES { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> DataFusionError {
    let message = "the statement names too many tables";
    let hint = "A WITH query or view counts with all that it names, wherever it is named: keep its rows in a table.";
    DataFusionError::External(Box::new(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint)))
}

/// Counts from the inside out: a WITH query has been counted when its name is met.
#[derive(Default)]
struct Expansion {
    /// What each WITH query names; one of a subquery counts under its name everywhere after, which is near enough.
    names: HashMap<String, u64>,
    /// The names of WITH queries that are still to be met, by where they stand in memory.
    expected: HashMap<usize, String>,
    open: Vec<u64>,
    total: u64,
}

impl Expansion {
    fn add(&mut self, relations: u64) {
        let counter = self.open.last_mut().unwrap_or(&mut self.total);
        *counter = counter.saturating_add(relations);
    }
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for Expansion {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.expected.insert(address(&cte.query), folded(&cte.alias.name));
        }
        self.open.push(0);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = match relation.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => self.names.get(&folded(name)).copied(),
            _ => None,
        };
        self.add(name.unwrap_or(1));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let relations = self.open.pop().unwrap_or_default();
        match self.expected.remove(&address(query)) {
            Some(name) => drop(self.names.insert(name, relations.max(1))),
            None => self.add(relations),
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::check_query;
    use crate::statement::{Kind, parse};

    fn accepts(sql: &str) -> bool {
        match parse(sql).unwrap().kind {
            Kind::Query(query) => check_query(&query).is_ok(),
            _ => unreachable!(),
        }
    }

    fn doubling(depth: usize) -> String {
        let one = |index: usize| match index {
            0 => "w0 AS (SELECT 1 AS a)".to_owned(),
            _ => format!("w{index} AS (SELECT l.a FROM w{0} l, w{0} r)", index - 1),
        };
        let parts: Vec<_> = (0..depth).map(one).collect();
        format!("WITH {} SELECT * FROM w{}", parts.join(", "), depth - 1)
    }

    #[test]
    fn queries_that_double_are_refused_and_chains_are_not() {
        assert!(accepts(&doubling(8)));
        assert!(!accepts(&doubling(13)));
        assert!(!accepts(&doubling(60)));
        assert!(!accepts(&format!("SELECT * FROM ({}) t", doubling(60))));
        assert!(!accepts(&format!("WITH w AS ({}) SELECT 1 FROM w", doubling(60))));
        let chain: Vec<_> = (1..500).map(|index| format!("w{index} AS (SELECT * FROM w{})", index - 1)).collect();
        assert!(accepts(&format!("WITH w0 AS (SELECT 1), {} SELECT * FROM w499", chain.join(", "))));
    }
}
