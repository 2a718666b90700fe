//! Functions in FROM.
//!
//! Invariant: a function's column has the name that PostgreSQL gives it; one over another table's columns is `0A000`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableAliasColumnDef, TableFactor, visit_expressions,
};
use lakeward_base::SqlState;

use super::SETS;
use super::node::{call, single};
use super::note;
use crate::error::Error;

pub(super) fn rewrite_factor(factor: &mut TableFactor) -> Result<(), Error> {
    if let TableFactor::Derived { lateral: true, subquery, .. } = factor
        && (subquery.limit_clause.is_some() || subquery.order_by.is_some())
    {
        return Err(Error::unsupported("ORDER BY or LIMIT within LATERAL")
            .with_hint("Use row_number() OVER (PARTITION BY …) in a subquery, or a scalar subquery."));
    }
    match factor {
        TableFactor::Table { name, alias, args: Some(arguments), .. } => {
            let known = single(name).filter(|name| crate::names::TABLE_FUNCTIONS.contains(&name.as_str()));
            let Some(function) = known else { return Ok(()) };
            refuse_columns(&arguments.args)?;
            name_column(alias, &function);
        }
        TableFactor::Function { name, args, .. } if single(name).is_some() => refuse_columns(args)?,
        TableFactor::UNNEST { alias, array_exprs, .. } => {
            if array_exprs.iter().any(has_column) {
                return Err(over_columns());
            }
            if array_exprs.len() == 1 {
                name_column(alias, "unnest");
            }
        }
        _ => {}
    }
    Ok(())
}

/// The one array that is unnested, where it is what a function finds in a text.
fn found_in_text(factor: &TableFactor) -> Option<Vec<FunctionArg>> {
    match factor {
        TableFactor::Table { name, args: Some(arguments), .. } => {
            single(name).filter(|name| name == note::DETECT).map(|_| arguments.args.clone())
        }
        TableFactor::UNNEST { array_exprs, with_offset: false, with_ordinality: false, .. } => {
            match array_exprs.as_slice() {
                [Expr::Function(call)] => note::detected(call),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `jsonb_array_elements(…)` in FROM is `unnest(…)`, and `phi_detect(…)` a row for each find, before names of tables are looked up.
pub(crate) fn set_in_from(factor: &mut TableFactor) -> Result<(), Error> {
    if let Some(arguments) = found_in_text(factor) {
        refuse_columns(&arguments)?;
        return note::in_from(factor, arguments);
    }
    let TableFactor::Table { name, alias, args: Some(arguments), .. } = factor else { return Ok(()) };
    let Some(function) = single(name) else { return Ok(()) };
    if crate::names::TABLE_FUNCTIONS.contains(&function.as_str()) || function == crate::version::CHANGES_FUNCTION {
        return Ok(());
    }
    let is_ours = ["json", "regexp_", "string_to_"].iter().any(|start| function.starts_with(start));
    if !is_ours {
        return Ok(());
    }
    if !SETS.contains(&function.as_str()) {
        let message = format!("function {function} does not exist in FROM");
        return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint("Call it in the select list."));
    }
    name_column(
        alias,
        if function.ends_with("elements") || function.ends_with("elements_text") { "value" } else { &function },
    );
    let given = arguments.args.iter().filter_map(argument_of).collect();
    *factor = TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs: vec![call(&function, given)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    Ok(())
}

pub(super) fn argument_of(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expression), .. } => Some(expression.clone()),
        _ => None,
    }
}

pub(super) fn over_columns() -> Error {
    Error::unsupported("a function in FROM over another table's columns")
        .with_hint("Call it in the select list of a subquery.")
}

pub(super) fn refuse_columns(arguments: &[FunctionArg]) -> Result<(), Error> {
    if arguments.iter().filter_map(argument_of).any(|argument| has_column(&argument)) {
        Err(over_columns())
    } else {
        Ok(())
    }
}

pub(super) fn has_column(expression: &Expr) -> bool {
    let found: ControlFlow<()> = visit_expressions(expression, |inner| match inner {
        Expr::Subquery(_) => ControlFlow::Continue(()),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The column of a function with one is named after its alias, or else after the function.
pub(super) fn name_column(alias: &mut Option<TableAlias>, function: &str) {
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::new(function),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns = vec![TableAliasColumnDef { name: alias.name.clone(), data_type: None }];
    }
}

/// The alias of a table that a function stands for: its own, or the function's name.
pub(super) fn name_table(alias: Option<TableAlias>, function: &str) -> TableAlias {
    alias.unwrap_or_else(|| TableAlias { explicit: true, name: Ident::new(function), columns: Vec::new(), at: None })
}
