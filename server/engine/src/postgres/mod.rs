//! What PostgreSQL means where DataFusion means something else: casts, arithmetic, dates, `to_char`, JSON, arrays.
//!
//! A query's syntax tree is rewritten ([`rewrite`]) to calls of the functions of this module, and operators are planned
//! by type ([`operators`]). Invariants: a function here reads nothing but its arguments; none of them is leakproof, so
//! none runs below the barrier but in a policy's own expression; an error while a statement runs holds no value.

mod age;
mod aggregate;
mod arithmetic;
mod array;
mod assign;
mod call;
mod cast;
mod datetime;
mod document;
mod input;
mod interval;
mod json;
mod math;
mod moments;
mod operators;
mod output;
mod regex;
mod rewrite;
mod room;
mod series;
mod sleep;
mod text;
mod to_char;
mod value;

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(crate) use array::EQUALS_ANY;
pub(crate) use assign::{assigned, assigned_values};
pub use document::json_texts;
#[cfg(any(test, fuzzing))]
pub(crate) use document::shown_twice;
pub use input::read_text;
pub(crate) use json::MARK as JSON_MARK;
#[cfg(any(test, fuzzing))]
pub(crate) use output::text_of;
pub(crate) use rewrite::{SETS, rewrite, rewrite_expression, set_in_from};
pub(crate) use series::{arguments as series_arguments, error as series_error};

/// The functions, for the registry. They win over DataFusion's of the same name.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let tables = [
        age::FUNCTIONS,
        array::FUNCTIONS,
        cast::FUNCTIONS,
        datetime::FUNCTIONS,
        interval::FUNCTIONS,
        json::FUNCTIONS,
        math::FUNCTIONS,
        regex::FUNCTIONS,
        text::FUNCTIONS,
        to_char::FUNCTIONS,
    ];
    let mut functions: Vec<_> = tables.into_iter().flatten().map(call::Function::udf).collect();
    functions.extend(arithmetic::functions());
    functions
}

/// Functions that wait: whoever wraps one hides from the planner that it does.
pub(crate) fn waiting_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(sleep::function())]
}

/// Aggregates that differ from DataFusion's.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    aggregate::functions()
}

/// How operators are planned; asked before DataFusion's own planners.
pub(crate) fn expression_planner() -> Arc<dyn ExprPlanner> {
    Arc::new(operators::Operators)
}
