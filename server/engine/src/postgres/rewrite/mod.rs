//! A query's syntax tree, before it is planned: PostgreSQL's meaning put into functions that the planner calls.
//!
//! Result columns are named from the tree as it was written, so nothing here shows. Invariant: what cannot be planned
//! with PostgreSQL's meaning is refused here with its SQLSTATE, and a parameter's own cast is left alone, since its type
//! is told by it.

mod expression;
mod from;
mod node;
mod note;
mod select;
mod subquery;
mod types;
mod values;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, TableFactor, Value, VisitMut, VisitorMut};

use self::node::{call, number};
use self::subquery::Rows;
use super::array;
use crate::error::Error;

pub(crate) use from::set_in_from;

/// Functions that answer rows in the select list.
pub(crate) const SETS: &[&str] = &[
    "generate_series",
    "jsonb_array_elements",
    "json_array_elements",
    "jsonb_array_elements_text",
    "json_array_elements_text",
    "jsonb_object_keys",
    "json_object_keys",
    "regexp_split_to_table",
    "string_to_table",
];

/// Rewrites a query and everything in it.
pub(crate) fn rewrite(query: &mut Query) -> Result<(), Error> {
    match query.visit(&mut Rewriter { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites one expression and everything in it, as policies hold them.
pub(crate) fn rewrite_expression(expression: &mut Expr) -> Result<(), Error> {
    // Every query in it is a subquery.
    match expression.visit(&mut Rewriter { depth: 1 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter {
    depth: usize,
}

fn flow(result: Result<(), Error>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        flow(values::as_selects(query))?;
        flow(select::check_set_operation(&query.body))
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(select::check_windows(select))?;
        flow(select::name_items(select, self.depth > 1))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        select::tell_apart(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(from::rewrite_factor(factor))
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Error> {
        expression::bind_minus(expression);
        if let Expr::Subquery(query) = expression
            && let Some(by) = subquery::one_row(query)
        {
            let inner = std::mem::replace(expression, Expr::value(Value::Null));
            *expression = match by {
                Rows::Only => call(array::ONLY, vec![inner]),
                Rows::First => call(array::ELEMENT, vec![inner, number(1)]),
            };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Error> {
        flow(expression::rewrite_one(expression))
    }
}
