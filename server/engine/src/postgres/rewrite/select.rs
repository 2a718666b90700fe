//! What stands around expressions: windows, set operations, names of result columns.
//!
//! Invariant: an outer query finds a column under the name that PostgreSQL gives it, and never under another's.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, Ident, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Value, Visit, visit_expressions,
};
use lakeward_base::SqlState;

use super::SETS;
use super::node::{call, function_name, taken};
use crate::error::Error;
use crate::output;

/// The planner takes `EXCEPT ALL` for an anti join, which counts wrongly.
pub(super) fn check_set_operation(body: &SetExpr) -> Result<(), Error> {
    if let SetExpr::SetOperation { op, set_quantifier, left, right } = body {
        if *set_quantifier == SetQuantifier::All && !matches!(op, SetOperator::Union) {
            return Err(Error::unsupported(format!("{op} ALL")).with_hint("Use row_number() to tell equal rows apart."));
        }
        check_set_operation(left)?;
        check_set_operation(right)?;
    }
    Ok(())
}

pub(super) fn has_call(node: &impl Visit, is: impl Fn(&Function) -> bool) -> bool {
    let found: ControlFlow<()> = visit_expressions(node, |expression| match expression {
        Expr::Function(function) if is(function) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

pub(super) fn check_windows(select: &Select) -> Result<(), Error> {
    let refuse = |place: &str| {
        let message = format!("window functions are not allowed in {place}");
        Err(Error::new(SqlState::WINDOWING_ERROR, message))
    };
    let is_window = |function: &Function| function.over.is_some();
    let is_set = |function: &Function| function_name(function).is_some_and(|name| SETS.contains(&name.as_str()));
    if select.selection.as_ref().is_some_and(|filter| !has_query(filter) && has_call(filter, is_set)) {
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "set-returning functions are not allowed in WHERE"));
    }
    if select.selection.as_ref().is_some_and(|filter| !has_query(filter) && has_call(filter, is_window)) {
        return refuse("WHERE");
    }
    if select.having.as_ref().is_some_and(|filter| !has_query(filter) && has_call(filter, is_window)) {
        return refuse("HAVING");
    }
    Ok(())
}

pub(super) fn has_query(expression: &Expr) -> bool {
    let found: ControlFlow<()> = visit_expressions(expression, |inner| match inner {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Columns get the names that PostgreSQL gives them where an outer query could use these, and equal ones are told apart.
pub(super) fn name_items(select: &mut Select, nested: bool) -> Result<(), Error> {
    let star = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen = BTreeSet::new();
    let mut written = BTreeSet::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expression) = item else {
            if let SelectItem::ExprWithAlias { expr, alias } = item {
                refuse_row(expr)?;
                seen.insert(alias.value.clone());
                if let Some(set) = set_function(expr) {
                    *expr = set;
                }
            }
            continue;
        };
        refuse_row(expression)?;
        let plain = matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let name = output::name_of(expression).unwrap_or_else(|| "?column?".to_owned());
        let set = set_function(expression);
        let is_new = seen.insert(name.clone()) & written.insert(expression.to_string());
        if is_new && (plain || star || !(nested || set.is_some())) {
            continue;
        }
        let unique = if is_new && !star { name } else { format!("{name}\u{1}{place}") };
        let expr = set.unwrap_or_else(|| std::mem::replace(expression, Expr::value(Value::Null)));
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', unique) };
    }
    Ok(())
}

/// What has become equal by rewriting is told apart; two columns of one name may leave, but not be asked for.
pub(super) fn tell_apart(select: &mut Select) {
    let mut written = BTreeSet::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expression) = item
            && !written.insert(expression.to_string())
        {
            let alias = Ident::with_quote('"', format!("?column?\u{1}{place}"));
            *item = SelectItem::ExprWithAlias { expr: taken(expression), alias };
        }
    }
}

pub(super) fn refuse_row(expression: &Expr) -> Result<(), Error> {
    let is_row = match expression {
        Expr::Tuple(_) => true,
        Expr::Function(function) => function_name(function).is_some_and(|name| name == "row"),
        _ => false,
    };
    if is_row { Err(Error::unsupported("a row as a value").with_hint("Select its fields.")) } else { Ok(()) }
}

/// `generate_series(…)` in the select list is one row for each of its values.
pub(super) fn set_function(expression: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expression else { return None };
    let name = function_name(function)?;
    SETS.contains(&name.as_str()).then(|| call("unnest", vec![expression.clone()]))
}
