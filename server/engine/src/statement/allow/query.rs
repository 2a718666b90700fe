//! What stands around SELECT: WITH, set operations, ORDER BY, LIMIT.
//!
//! Invariant: see [`super`].

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, CteAsMaterialized, Expr, Fetch, Function, LimitClause, Offset, OrderBy, OrderByExpr, OrderByKind, Query,
    SetExpr, SetOperator, SetQuantifier, TableAlias, TableAliasColumnDef, Values, WindowType, With, visit_expressions,
};
use lakeward_base::SqlState;

use super::{Checker, refuse_if, refused};
use crate::error::Error;

pub(super) fn check(checker: &Checker<'_>, query: &Query) -> Result<(), Error> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
        query;
    if let Some(With { with_token: _, recursive: _, cte_tables }) = with {
        cte_tables.iter().try_for_each(|cte| check_cte(checker, cte))?;
    }
    check_body(body)?;
    if let Some(order_by) = order_by {
        check_order_by(order_by)?;
        refuse_named_windows(order_by)?;
    }
    if let Some(limit) = limit_clause {
        check_limit(limit)?;
    }
    if let Some(Fetch { with_ties, percent, quantity: _ }) = fetch {
        refuse_if(*with_ties, "FETCH … WITH TIES", "Use rank() in a subquery.")?;
        refuse_if(*percent, "FETCH … PERCENT", "Give a number of rows.")?;
    }
    refuse_if(!locks.is_empty(), "FOR UPDATE or FOR SHARE", "Rows are not locked; leave the clause out.")?;
    refuse_if(for_clause.is_some(), "FOR XML, FOR JSON or FOR BROWSE", "Leave the clause out.")?;
    refuse_if(settings.is_some(), "SETTINGS in a query", "Use SET.")?;
    refuse_if(format_clause.is_some(), "FORMAT in a query", "Leave the clause out.")?;
    refuse_if(!pipe_operators.is_empty(), "the pipe operator", "Use subqueries.")
}

fn check_cte(checker: &Checker<'_>, cte: &Cte) -> Result<(), Error> {
    let Cte { alias, query: _, from, materialized, closing_paren_token: _ } = cte;
    check_table_alias(checker, alias)?;
    refuse_if(from.is_some(), "FROM after a WITH query", "Leave it out.")?;
    match materialized {
        // To compute it where it is used is what the planner does.
        None | Some(CteAsMaterialized::NotMaterialized) => Ok(()),
        Some(CteAsMaterialized::Materialized) => Err(refused("AS MATERIALIZED", "Leave MATERIALIZED out.")),
    }
}

pub(super) fn check_table_alias(checker: &Checker<'_>, alias: &TableAlias) -> Result<(), Error> {
    let TableAlias { explicit: _, name, columns, at } = alias;
    checker.check_reserved(name)?;
    refuse_if(at.is_some(), "AT after an alias", "Leave it out.")?;
    columns.iter().try_for_each(|TableAliasColumnDef { name, data_type }| {
        checker.check_alias(name)?;
        refuse_if(data_type.is_some(), "a column definition list", "Give the names only, and cast the columns.")
    })
}

fn check_body(body: &SetExpr) -> Result<(), Error> {
    // The left side is the long one; the right one is one level deep, except for parentheses, which are queries.
    let mut next = body;
    loop {
        match next {
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                check_set_operation(*op, *set_quantifier)?;
                if let SetExpr::SetOperation { .. } = right.as_ref() {
                    check_body(right)?;
                } else {
                    check_leaf(right)?;
                }
                next = left;
            }
            leaf => return check_leaf(leaf),
        }
    }
}

fn check_leaf(body: &SetExpr) -> Result<(), Error> {
    match body {
        // Their own visits check them.
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::SetOperation { .. } => Ok(()),
        SetExpr::Values(Values { explicit_row, value_keyword, rows }) => {
            refuse_if(*explicit_row, "VALUES ROW (…)", "Leave ROW out.")?;
            refuse_if(*value_keyword, "VALUE", "Write VALUES.")?;
            let mut widths = rows.iter().map(|row| row.content.len());
            let first = widths.next();
            if widths.any(|width| Some(width) != first) {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
            }
            Ok(())
        }
        SetExpr::Table(_) => Err(refused("TABLE name as a query", "Write SELECT * FROM name.")),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(refused("INSERT, UPDATE, DELETE or MERGE after WITH", "Write WITH inside of the statement's query."))
        }
    }
}

fn check_set_operation(operator: SetOperator, quantifier: SetQuantifier) -> Result<(), Error> {
    match operator {
        SetOperator::Union | SetOperator::Except | SetOperator::Intersect => {}
        SetOperator::Minus => return Err(refused("MINUS", "Write EXCEPT.")),
    }
    match quantifier {
        SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => Ok(()),
        SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
            Err(refused("BY NAME", "Put the columns into the same order."))
        }
    }
}

pub(super) fn check_order_by(order_by: &OrderBy) -> Result<(), Error> {
    let OrderBy { kind, interpolate } = order_by;
    refuse_if(interpolate.is_some(), "INTERPOLATE", "Leave it out.")?;
    match kind {
        OrderByKind::All(_) => Err(refused("ORDER BY ALL", "Name the columns.")),
        OrderByKind::Expressions(expressions) => expressions.iter().try_for_each(check_order_by_expression),
    }
}

pub(super) fn check_order_by_expression(expression: &OrderByExpr) -> Result<(), Error> {
    let OrderByExpr { expr: _, options: _, with_fill } = expression;
    refuse_if(with_fill.is_some(), "WITH FILL", "Join with generate_series.")
}

/// The planner looks up `OVER name` in the select list only.
pub(super) fn refuse_named_windows<V: datafusion::sql::sqlparser::ast::Visit>(part: &V) -> Result<(), Error> {
    let found = visit_expressions(part, |expression| match expression {
        Expr::Function(Function { over: Some(WindowType::NamedWindow(_)), .. }) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    refuse_if(found.is_break(), "a named window outside of the select list", "Write the window out: OVER (…).")
}

fn check_limit(limit: &LimitClause) -> Result<(), Error> {
    match limit {
        LimitClause::LimitOffset { limit: _, offset, limit_by } => {
            if let Some(Offset { value: _, rows: _ }) = offset {}
            refuse_if(!limit_by.is_empty(), "LIMIT … BY", "Use row_number() in a subquery.")
        }
        LimitClause::OffsetCommaLimit { offset: _, limit: _ } => {
            Err(Error::new(SqlState::SYNTAX_ERROR, "LIMIT #,# syntax is not supported")
                .with_hint("Use separate LIMIT and OFFSET clauses."))
        }
    }
}
