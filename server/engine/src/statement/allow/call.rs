//! Function calls.
//!
//! Invariant: see [`super`]. The planner drops `ARRAY(SELECT …)`'s query and parameters before arguments; what an
//! aggregate alone may have, it drops from a scalar function: [`aggregate_syntax`] tells those calls.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, ObjectName, ObjectNamePart, Query, WindowFrame, WindowSpec, WindowType, visit_expressions,
};

use lakeward_base::SqlState;

use super::query::check_order_by_expression;
use super::{Checker, refuse_if, refused, select};
use crate::error::Error;

pub(super) fn check(checker: &Checker<'_>, function: &Function) -> Result<(), Error> {
    let Function { name, uses_odbc_syntax, parameters, args, filter: _, null_treatment: _, over, within_group } =
        function;
    checker.check_name(name)?;
    refuse_if(*uses_odbc_syntax, "{fn …}", "Call the function itself.")?;
    refuse_if(
        !matches!(parameters, FunctionArguments::None),
        "a second list of arguments",
        "Give one list of arguments.",
    )?;
    match args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) if checker.arrays_of_queries && is_array(name) => {}
        FunctionArguments::Subquery(_) => {
            return Err(refused("a query as a function's argument", "Use array_agg() in a subquery: (SELECT …)."));
        }
        FunctionArguments::List(list) => check_arguments(list)?,
    }
    within_group.iter().try_for_each(check_order_by_expression)?;
    match over {
        None | Some(WindowType::NamedWindow(_)) => Ok(()),
        Some(WindowType::WindowSpec(spec)) => check_window(spec),
    }
}

fn is_array(name: &ObjectName) -> bool {
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(name)] if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("array"))
}

fn check_arguments(list: &FunctionArgumentList) -> Result<(), Error> {
    let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
    let counts_all = args.iter().any(|argument| matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)));
    if duplicate_treatment.is_some() && counts_all {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"*\""));
    }
    args.iter().try_for_each(check_argument)?;
    clauses.iter().try_for_each(|clause| match clause {
        FunctionArgumentClause::IgnoreOrRespectNulls(_) => Ok(()),
        FunctionArgumentClause::OrderBy(expressions) => expressions.iter().try_for_each(check_order_by_expression),
        FunctionArgumentClause::Limit(_) => Err(refused("LIMIT in a function's arguments", "Use a subquery.")),
        FunctionArgumentClause::OnOverflow(_) => Err(refused("ON OVERFLOW", "Leave it out.")),
        FunctionArgumentClause::Having(_) => Err(refused("HAVING in a function's arguments", "Use FILTER (WHERE …).")),
        FunctionArgumentClause::Separator(_) => Err(refused("SEPARATOR", "Use string_agg(value, separator).")),
        FunctionArgumentClause::JsonNullClause(_) | FunctionArgumentClause::JsonReturningClause(_) => {
            Err(refused("a JSON clause in a function's arguments", "Leave it out."))
        }
    })
}

fn check_argument(argument: &FunctionArg) -> Result<(), Error> {
    let value = match argument {
        FunctionArg::Unnamed(value) => value,
        FunctionArg::Named { name: _, arg, operator: FunctionArgOperator::RightArrow } => arg,
        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
            return Err(refused("this form of a named argument", "Write name => value."));
        }
    };
    match value {
        FunctionArgExpr::Expr(_) | FunctionArgExpr::Wildcard => Ok(()),
        FunctionArgExpr::QualifiedWildcard(_) => Err(refused("table.* as an argument", "Name the columns.")),
        FunctionArgExpr::WildcardWithOptions(options) => select::check_wildcard(options),
    }
}

pub(super) fn check_window(spec: &WindowSpec) -> Result<(), Error> {
    let WindowSpec { window_name, partition_by: _, order_by, window_frame } = spec;
    refuse_if(window_name.is_some(), "a window that extends another", "Write the window out: OVER (…).")?;
    order_by.iter().try_for_each(check_order_by_expression)?;
    if let Some(WindowFrame { units: _, start_bound: _, end_bound: _ }) = window_frame {}
    Ok(())
}

/// A call with a clause that only an aggregate or window function may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AggregateSyntax {
    /// The function's name, folded.
    pub(crate) function: String,
    /// The clause, as PostgreSQL names it in its error.
    pub(crate) clause: &'static str,
}

/// All such calls. Where the name is a scalar function's the answer is `42809`, `{clause} specified, but {function} is
/// not an aggregate function` (for `OVER`: `is not a window function nor an aggregate function`).
pub(crate) fn aggregate_syntax(query: &Query) -> Vec<AggregateSyntax> {
    let mut calls = Vec::new();
    let _: ControlFlow<()> =
        visit_expressions(query, |expression| {
            if let Expr::Function(function) = expression
                && let Some(clause) = aggregate_clause(function)
            {
                let name = function.name.0.last().and_then(|part| part.as_ident());
                let folded = name.map(|name| {
                    if name.quote_style.is_none() { name.value.to_ascii_lowercase() } else { name.value.clone() }
                });
                calls.push(AggregateSyntax { function: folded.unwrap_or_default(), clause });
            }
            ControlFlow::Continue(())
        });
    calls
}

fn aggregate_clause(function: &Function) -> Option<&'static str> {
    if function.over.is_some() {
        return Some("OVER");
    }
    if function.filter.is_some() {
        return Some("FILTER");
    }
    if !function.within_group.is_empty() {
        return Some("WITHIN GROUP");
    }
    if function.null_treatment.is_some() {
        return Some("RESPECT/IGNORE NULLS");
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    if list.duplicate_treatment.is_some() {
        return Some("DISTINCT");
    }
    list.clauses.first().map(|clause| match clause {
        FunctionArgumentClause::OrderBy(_) => "ORDER BY",
        _ => "RESPECT/IGNORE NULLS",
    })
}
