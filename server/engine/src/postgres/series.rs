//! `generate_series` in FROM: arguments as the planner's own takes them.
//!
//! Invariant: what it does not take is `0A000`, in PostgreSQL's words.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use lakeward_base::SqlState;

use super::call::{Fault, external};
use super::value::{INTERVAL, is_text, normal, normal_type, text};
use crate::error::Error;

/// Constants in the planner's units; a bound in text is of the other's type, a step in text goes with them.
pub(crate) fn arguments(given: Vec<Expr>) -> Result<Vec<Expr>> {
    let bound = |expr: &Expr| match expr {
        Expr::Literal(value, _) if !is_text(&value.data_type()) && !value.is_null() => {
            Some(normal_type(&value.data_type()))
        }
        _ => None,
    };
    let bounds = given.iter().take(2).find_map(bound);
    let convert = |(place, expr): (usize, Expr)| match expr {
        Expr::Literal(value, metadata) => {
            let value = if is_text(&value.data_type()) { read(place, &normal(value), bounds.as_ref())? } else { value };
            Ok(Expr::Literal(converted(value)?, metadata))
        }
        _ => Err(external(Error::unsupported("generate_series in FROM over values that are no constants"))),
    };
    given.into_iter().enumerate().map(convert).collect()
}

/// A text between values of a type: a bound is one of them, a step what they are apart.
fn read(place: usize, value: &ScalarValue, bounds: Option<&DataType>) -> Result<ScalarValue> {
    let Some(text) = text(value) else { return Ok(value.clone()) };
    let wanted = match bounds {
        Some(DataType::Int16 | DataType::Int32) => DataType::Int64,
        Some(bounds) if place < 2 || bounds.is_numeric() => bounds.clone(),
        Some(_) => INTERVAL,
        None => {
            let message = "function generate_series(unknown, unknown) is not unique";
            let error = Error::new(SqlState::AMBIGUOUS_FUNCTION, message);
            return Err(external(error.with_hint("You might need to add explicit type casts.")));
        }
    };
    super::input::parse(text, &wanted, "UTC".parse()?).map_err(Fault::of_constant)
}

fn converted(value: ScalarValue) -> Result<ScalarValue> {
    let nanoseconds = |micros: i64| {
        let beyond = || external(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"));
        micros.checked_mul(1000).ok_or_else(beyond)
    };
    Ok(match value {
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            ScalarValue::TimestampNanosecond(Some(nanoseconds(micros)?), zone)
        }
        ScalarValue::Int16(Some(number)) => ScalarValue::Int64(Some(i64::from(number))),
        ScalarValue::Int32(Some(number)) => ScalarValue::Int64(Some(i64::from(number))),
        ScalarValue::IntervalMonthDayNano(Some(step)) if step == IntervalMonthDayNano::ZERO => return Err(no_step()),
        ScalarValue::Decimal128(..) | ScalarValue::Float64(_) => {
            return Err(external(Error::unsupported("generate_series of numbers that are not whole")));
        }
        other => other,
    })
}

fn no_step() -> DataFusionError {
    external(Error::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"))
}

/// What the planner's own says of its arguments.
pub(crate) fn error(error: DataFusionError) -> DataFusionError {
    match &error {
        DataFusionError::Plan(text) if text.contains("Step cannot be zero") => no_step(),
        DataFusionError::Plan(_) => external(Error::unsupported("generate_series over these arguments")),
        _ => error,
    }
}
