//! What drivers ask of parts of PostgreSQL's catalog that are bare here: indexes, domains, composite types, and `tableoid`.
//!
//! Invariant: only what reads a relation that is always empty, or asks for a kind of type that there is none of, loses
//! its meaning here.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectNamePart, Select, TableFactor, visit_expressions_mut,
};

use super::super::definition::FUNCTION;
use super::super::functions::EXPAND_ARRAY;
use super::super::rows;
use super::{definition_of, subquery, tree};

/// `c.tableoid` is the OID of the relation that `c` stands for, a number.
pub(super) fn replace_tableoid(select: &mut Select) {
    let mut known = HashMap::new();
    for table in &select.from {
        for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
            let TableFactor::Table { name, alias, args: None, .. } = factor else { continue };
            let Some(definition) = definition_of(name) else { continue };
            let shown = alias.as_ref().map_or(definition.name, |alias| alias.name.value.as_str());
            known.insert(shown.to_lowercase(), definition.oid);
        }
    }
    let _: ControlFlow<()> = visit_expressions_mut(select, |expression| {
        let found = match expression {
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, column] if is_tableoid(column) => known.get(&table.value.to_lowercase()),
                _ => None,
            },
            Expr::Identifier(column) if is_tableoid(column) && known.len() == 1 => known.values().next(),
            _ => None,
        };
        if let Some(oid) = found {
            *expression = tree::cast(tree::number(&oid.to_string()), DataType::IntUnsigned(None));
        }
        ControlFlow::Continue(())
    });
}

fn is_tableoid(column: &Ident) -> bool {
    column.value.eq_ignore_ascii_case("tableoid")
}

/// `pg_get_keywords()` in FROM is a relation here; so is `pg_partition_tree(…)`, an empty one.
pub(super) fn call_as_relation(factor: &mut TableFactor) {
    let TableFactor::Table { name, args, .. } = factor else { return };
    let Some(function) = definition_of(name).filter(|found| found.kind == FUNCTION) else { return };
    let is_empty = rows::is_always_empty(function);
    if args.as_ref().is_some_and(|given| is_empty || given.args.is_empty()) {
        *args = None;
    }
}

/// `CASE WHEN t.typtype = 'd' THEN (SELECT …)`: there are neither domains nor composite types, so nothing is asked.
pub(super) fn drop_kinds(expression: &mut Expr) {
    let Expr::Case { operand: None, conditions, .. } = expression else { return };
    for CaseWhen { condition, result } in conditions {
        if matches!(result, Expr::Subquery(_)) && asks_for_missing_kind(condition) {
            *result = tree::null();
        }
    }
}

fn asks_for_missing_kind(condition: &Expr) -> bool {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return false };
    let column = match left.as_ref() {
        Expr::Identifier(column) => Some(column),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    column.is_some_and(|column| column.value.eq_ignore_ascii_case("typtype"))
        && matches!(tree::literal(right), Some("c" | "d"))
}

/// `generate_subscripts(a, 1)` and `(_pg_expandarray(a)).n`, of an index's columns: the numbers of an array's elements.
pub(super) fn spread(expression: &mut Expr) {
    if let Expr::CompoundFieldAccess { root, access_chain } = expression
        && let [AccessExpr::Dot(Expr::Identifier(field))] = access_chain.as_slice()
    {
        let root = std::mem::replace(root.as_mut(), tree::null());
        *expression = tree::call("get_field", vec![root, tree::text(&field.value)]);
        return;
    }
    let Expr::Function(function) = expression else { return };
    let FunctionArguments::List(given) = &function.args else { return };
    let name = tree::call_name(function);
    if name.as_deref() == Some("_pg_expandarray") {
        function.name.0 = vec![ObjectNamePart::Identifier(Ident::new(EXPAND_ARRAY))];
    } else if name.as_deref() == Some("generate_subscripts") {
        let argument = |given: &FunctionArg| match given {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument.clone()),
            _ => None,
        };
        let arguments = given.args.iter().filter_map(argument).collect();
        *expression = tree::call("generate_series", vec![tree::number("1"), tree::call("array_upper", arguments)]);
    }
}

/// `CROSS JOIN unnest(conkey)` beside a relation that is always empty: what it spreads does not matter.
pub(super) fn empty_spread(select: &mut Select) {
    for table in &mut select.from {
        if !subquery::has_no_rows(table) {
            continue;
        }
        for factor in table.joins.iter_mut().map(|join| &mut join.relation) {
            if let TableFactor::UNNEST { array_exprs, .. } = factor {
                *array_exprs = vec![tree::list(vec![tree::number("0")])];
            }
        }
    }
}
