//! `VALUES` with subqueries, which the planner cannot run: each row becomes a SELECT of its own.
//!
//! Invariant: the columns keep PostgreSQL's names, `column1`, `column2`, ….

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::Error;
use crate::statement::limits::SET_OPERATIONS;

/// Rewrites the body of a query, if it is such.
pub(super) fn as_selects(query: &mut Query) -> Result<(), Error> {
    let SetExpr::Values(values) = query.body.as_mut() else { return Ok(()) };
    if !has_subquery(values) {
        return Ok(());
    }
    if values.rows.len() > SET_OPERATIONS {
        return Err(Error::unsupported(format!(
            "VALUES of more than {SET_OPERATIONS} rows with a subquery among them"
        ))
        .with_hint("Use a SELECT for the rows with subqueries."));
    }
    let rows = values.rows.iter_mut().map(|row| select(std::mem::take(&mut row.content)));
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some(first) = rows.next() else { return Ok(()) };
    let union = |left, right| SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: Box::new(left),
        right: Box::new(right),
    };
    *query.body = rows.fold(first, union);
    Ok(())
}

fn has_subquery(values: &impl datafusion::sql::sqlparser::ast::Visit) -> bool {
    let found: ControlFlow<()> = visit_expressions(values, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// `SELECT a AS column1, b AS column2`.
fn select(cells: Vec<Expr>) -> Result<SetExpr, Error> {
    let broken = || crate::publish::incident("planning", "values");
    let template =
        Parser::new(&PostgreSqlDialect {}).try_with_sql("SELECT 1").and_then(|mut parser| parser.parse_query());
    let SetExpr::Select(template) = *template.map_err(|_| broken())?.body else { return Err(broken()) };
    let item = |(place, expr): (usize, Expr)| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::new(format!("column{}", place + 1)),
    };
    let projection = cells.into_iter().enumerate().map(item).collect();
    Ok(SetExpr::Select(Box::new(Select { projection, ..*template })))
}
