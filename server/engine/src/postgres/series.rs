//! `generate_series` in FROM: arguments as the planner's own takes them.
//!
//! Invariant: what it does not take is `0A000`, in PostgreSQL's words.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use lakeward_base::SqlState;

use super::call::{Fault, external};
use super::value::INTERVAL;
use crate::error::Error;

/// Constants in the planner's units; a step in text is an interval.
pub(crate) fn arguments(given: Vec<Expr>) -> Result<Vec<Expr>> {
    let convert = |expr: Expr| match expr {
        Expr::Literal(value, metadata) => Ok(Expr::Literal(converted(value)?, metadata)),
        _ => Err(external(Error::unsupported("generate_series in FROM over values that are no constants"))),
    };
    given.into_iter().map(convert).collect()
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
        ScalarValue::Utf8(Some(text)) => {
            super::input::parse(&text, &INTERVAL, "UTC".parse()?).map_err(Fault::of_constant)?
        }
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
