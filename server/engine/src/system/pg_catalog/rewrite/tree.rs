//! Making and reading pieces of syntax trees.
//!
//! Invariant: what is made here holds no text of a user's but what it is given.

use datafusion::sql::sqlparser::ast::{
    Array, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, OrderBy, OrderByExpr, OrderByKind,
    Query, Select, SelectItem, SetExpr, Value, visit_expressions,
};
use std::ops::ControlFlow;

/// `name(arguments)`.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    call_ordered(name, arguments, Vec::new())
}

/// `name(arguments ORDER BY order)`.
pub(super) fn call_ordered(name: &str, arguments: Vec<Expr>, order: Vec<OrderByExpr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    let clauses = if order.is_empty() { Vec::new() } else { vec![FunctionArgumentClause::OrderBy(order)] };
    function(name, FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }))
}

/// `count(*)`.
pub(super) fn count_all() -> Expr {
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    function("count", FunctionArguments::List(list))
}

fn function(name: &str, args: FunctionArguments) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// A call's name, folded.
pub(super) fn call_name(function: &Function) -> Option<String> {
    let ident = function.name.0.last()?.as_ident()?;
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() })
}

/// The only argument of a call of `name`.
pub(super) fn argument_of<'a>(expression: &'a Expr, name: &str) -> Option<&'a Expr> {
    let Expr::Function(function) = expression else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] if call_name(function)? == name => Some(argument),
        _ => None,
    }
}

/// `CAST(expression AS data_type)`.
pub(super) fn cast(expression: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expression), data_type, array: false, format: None }
}

/// `ARRAY[…]`.
pub(super) fn list(elements: Vec<Expr>) -> Expr {
    Expr::Array(Array { elem: elements, named: true })
}

pub(super) fn null() -> Expr {
    Expr::value(Value::Null)
}

pub(super) fn truth(truth: bool) -> Expr {
    Expr::value(Value::Boolean(truth))
}

pub(super) fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

pub(super) fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.to_owned(), false))
}

/// The text of a string literal.
pub(super) fn literal(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

/// A query's only SELECT, where it is nothing else.
pub(super) fn select_of(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select) if query.with.is_none() => Some(select),
        SetExpr::Query(inner) if query.with.is_none() => select_of(inner),
        _ => None,
    }
}

/// The expression of a select item.
pub(super) fn expression_of(item: &mut SelectItem) -> Option<&mut Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => Some(expression),
        _ => None,
    }
}

/// Takes a query's ORDER BY, ordinals replaced by the only select item.
pub(super) fn take_order(query: &mut Query, item: &Expr) -> Vec<OrderByExpr> {
    let Some(OrderBy { kind: OrderByKind::Expressions(mut order), .. }) = query.order_by.take() else {
        return Vec::new();
    };
    for by in &mut order {
        if matches!(&by.expr, Expr::Value(value) if matches!(value.value, Value::Number(..))) {
            by.expr = item.clone();
        }
    }
    order
}

const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "first_value",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Whether a select list calls an aggregate that `wanted` takes.
pub(super) fn aggregates(select: &Select, wanted: impl Fn(&str) -> bool) -> bool {
    let found = visit_expressions(&select.projection, |expression| match expression {
        Expr::Function(function)
            if call_name(function).is_some_and(|name| AGGREGATES.contains(&name.as_str()) && wanted(&name)) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// `x op ANY (SELECT …)` or `ALL`.
pub(super) fn compares_with_set(expression: &Expr) -> bool {
    match expression {
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => matches!(right.as_ref(), Expr::Subquery(_)),
        _ => false,
    }
}
