//! Subqueries over catalog relations.
//!
//! The planner decorrelates a scalar subquery only where it aggregates and is correlated by equality. Invariant: only a
//! subquery that reads nothing but catalog relations is changed, and none of them has two rows for one key.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArguments, GroupByExpr, JoinOperator, Query,
    Select, SelectItem, SetExpr, TableFactor, TableWithJoins, visit_expressions,
};

use super::super::definition::Definition;
use super::super::rows;
use super::{definition_of, tree};

/// Replaces a subquery that can have no rows by what that gives: NULL, false, an empty array.
pub(super) fn fold_empty(expression: &mut Expr) {
    let folded = match expression {
        Expr::Subquery(query) if is_empty(query) || reads_collation(query) => tree::null(),
        Expr::Exists { subquery, negated } if is_empty(subquery) => tree::truth(*negated),
        Expr::Function(Function { args: FunctionArguments::Subquery(query), .. }) if is_empty(query) => {
            let texts = ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None);
            tree::cast(tree::list(Vec::new()), DataType::Array(texts))
        }
        _ => return,
    };
    *expression = folded;
}

fn is_empty(query: &Query) -> bool {
    let Some(select) = tree::select_of(query) else { return false };
    let counts = tree::aggregates(select, |name| name == "count");
    !counts && (select.from.iter().any(has_no_rows) || select.from.iter().any(spreads_outer_column))
}

pub(super) fn has_no_rows(table: &TableWithJoins) -> bool {
    let kept = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Join(_)
                | JoinOperator::Inner(_)
                | JoinOperator::CrossJoin(_)
                | JoinOperator::Left(_)
                | JoinOperator::LeftOuter(_)
        )
    };
    let outer = |operator: &JoinOperator| matches!(operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
    table.joins.iter().all(|join| kept(&join.join_operator))
        && (is_always_empty(&table.relation)
            || table.joins.iter().any(|join| !outer(&join.join_operator) && is_always_empty(&join.relation)))
}

fn is_always_empty(factor: &TableFactor) -> bool {
    definition(factor).is_some_and(rows::is_always_empty)
}

fn definition(factor: &TableFactor) -> Option<&'static Definition> {
    match factor {
        TableFactor::Table { name, args: None, .. } => definition_of(name),
        _ => None,
    }
}

/// `unnest(c.reloptions)` and its like: the columns that clients spread so are NULL in every row.
fn spreads_outer_column(table: &TableWithJoins) -> bool {
    let names_column = |expression: &Expr| match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    match &table.relation {
        TableFactor::Table { args: Some(args), .. } => visit_expressions(&args.args, names_column).is_break(),
        TableFactor::Function { args, .. } => visit_expressions(args, names_column).is_break(),
        TableFactor::UNNEST { array_exprs, .. } => visit_expressions(array_exprs, names_column).is_break(),
        _ => false,
    }
}

/// A column's collation, where it is not its type's: it always is.
fn reads_collation(query: &Query) -> bool {
    let Some(select) = tree::select_of(query) else { return false };
    let relations = || {
        select
            .from
            .iter()
            .flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)))
    };
    relations().any(|factor| definition(factor).is_some_and(|found| found.name == "pg_collation"))
        && relations().all(|factor| definition(factor).is_some())
}

/// Makes a scalar subquery an aggregate: each catalog relation has at most one row for what such subqueries ask by.
pub(super) fn aggregate(expression: &mut Expr) {
    let Expr::Subquery(query) = expression else { return };
    if !reads_catalog_only(query) {
        return;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = select.projection.as_slice()
    else {
        return;
    };
    let item = item.clone();
    select.distinct = None;
    let order = tree::take_order(query, &item);
    query.limit_clause = None;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(tree::call_ordered("first_value", vec![item], order))];
    }
}

fn reads_catalog_only(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let known = |table: &TableWithJoins| {
        definition(&table.relation).is_some() && table.joins.iter().all(|join| definition(&join.relation).is_some())
    };
    query.with.is_none()
        && ungrouped
        && select.having.is_none()
        && !select.from.is_empty()
        && select.from.iter().all(known)
        && !tree::aggregates(select, |_| true)
}

/// `EXISTS (…)` in a select list, which the planner has not, as a comparison of a count.
pub(super) fn count_instead(expression: &mut Expr) {
    let Expr::Exists { subquery, negated } = expression else { return };
    let countable = |select: &Select| {
        matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty()) && select.having.is_none()
    };
    let negated = *negated;
    let mut query = subquery.as_ref().clone();
    let plain = query.limit_clause.is_none() && query.with.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if !plain || !countable(select) || tree::aggregates(select, |_| true) {
        return;
    }
    select.projection = vec![SelectItem::UnnamedExpr(tree::count_all())];
    select.distinct = None;
    query.order_by = None;
    *expression = Expr::BinaryOp {
        left: Box::new(Expr::Subquery(Box::new(query))),
        op: if negated { BinaryOperator::Eq } else { BinaryOperator::Gt },
        right: Box::new(tree::number("0")),
    };
}
