//! Correlated scalar subqueries: the planner takes those of one aggregate only.
//!
//! Invariant: two rows are an error where PostgreSQL has one, and only for the outer rows that have two.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, LimitClause, ObjectNamePart, OrderByKind,
    Query, SelectItem, SetExpr, TableFactor, Value, visit_expressions,
};

use super::node::{call, function_name};
use super::select::{has_call, set_function};

/// Aggregates, as far as a subquery must be told from one that has none.
const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "variance",
    "mode",
    "percentile_cont",
    "first_value",
    "last_value",
    "corr",
    "median",
    "any_value",
];

/// How a subquery's rows become one value.
pub(super) enum Rows {
    Only,
    First,
}

/// Makes the planner's kind of correlated scalar subquery (one aggregate) of PostgreSQL's.
pub(super) fn one_row(query: &mut Query) -> Option<Rows> {
    let is_correlated = reads_outside(query);
    let first = takes_one(query)?;
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(keys)) => keys.clone(),
        Some(OrderByKind::All(_)) => return None,
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !is_correlated || grouped || select.having.is_some() || select.distinct.is_some() || query.with.is_some() {
        return None;
    }
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let is_special = |function: &Function| {
        function.over.is_some() || function_name(function).is_some_and(|name| AGGREGATES.contains(&name.as_str()))
    };
    if has_call(value, is_special) || set_function(value).is_some() {
        return None;
    }
    let mut list = call("array_agg", vec![value.clone()]);
    if let (Expr::Function(Function { args: FunctionArguments::List(list), .. }), false) = (&mut list, order.is_empty())
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    *value = list;
    query.order_by = None;
    query.limit_clause = None;
    Some(if first { Rows::First } else { Rows::Only })
}

/// Whether `LIMIT 1` is there; `None`: another limit is.
pub(super) fn takes_one(query: &Query) -> Option<bool> {
    match &query.limit_clause {
        None => Some(false),
        Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, limit_by })
            if limit_by.is_empty() =>
        {
            matches!(&limit.value, Value::Number(number, _) if number == "1").then_some(true)
        }
        Some(_) => None,
    }
}

/// Whether a subquery names a table that it does not read itself.
pub(super) fn reads_outside(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let own = |factor: &TableFactor| match factor {
        TableFactor::Table { name, alias, .. } => {
            let alias = alias.as_ref().map(|alias| alias.name.value.to_lowercase());
            alias.or_else(|| name.0.last().and_then(ObjectNamePart::as_ident).map(|name| name.value.to_lowercase()))
        }
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| alias.name.value.to_lowercase()),
        _ => None,
    };
    let factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let names: BTreeSet<_> = factors.filter_map(own).collect();
    let found: ControlFlow<()> = visit_expressions(query, |expression| match expression {
        Expr::CompoundIdentifier(parts) => {
            let table = parts.len().checked_sub(2).and_then(|index| parts.get(index));
            match table {
                Some(table) if !names.contains(&table.value.to_lowercase()) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
