//! What is written to a column gets the column's type as PostgreSQL's assignment casts give it: numbers are rounded and
//! checked, times without a zone are on the session's clock, and what has no such cast is `42804`.
//!
//! Invariant: a value that is written equals its explicit cast; the planner's own cast, which truncates and reads times in
//! UTC, only changes one form of the same type into another.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, lit};
use lakeward_base::SqlState;

use super::arithmetic::is_number;
use super::call::external;
use super::cast;
use super::value::{is_text, normal_type, type_name};
use crate::error::Error;

/// `expr` as a value of the column `field`.
pub(crate) fn assigned(expr: Expr, field: &Field, schema: &DFSchema) -> Result<Expr> {
    let to = field.data_type();
    let Ok(from) = expr.get_type(schema) else { return expr.cast_to(to, schema) };
    let (plain_from, plain_to) = (normal_type(&from), normal_type(to));
    let same = plain_from == plain_to || plain_from == DataType::Null;
    let untyped = matches!(&expr, Expr::Placeholder(parameter) if parameter.field.is_none());
    if !same && holds_members(&plain_to) && !alike(&plain_from, &plain_to) {
        return Err(mismatch(field, &plain_from, &plain_to));
    }
    let Some(spec) = spec_of(&plain_to).filter(|_| !same && !untyped) else { return expr.cast_to(to, schema) };
    if !is_assignable(&plain_from, &plain_to) {
        return Err(mismatch(field, &plain_from, &plain_to));
    }
    let function = cast::FUNCTIONS.iter().find(|function| function.name == cast::CAST);
    let Some(function) = function else { return expr.cast_to(to, schema) };
    let call = ScalarFunction::new_udf(function.udf(), vec![expr, lit(spec)]);
    Expr::ScalarFunction(call).cast_to(to, schema)
}

/// The casts that the planner has put around the values of a VALUES, put right.
pub(crate) fn assigned_values(plan: LogicalPlan, fields: &[arrow::datatypes::FieldRef]) -> Result<LogicalPlan> {
    let LogicalPlan::Values(mut values) = plan else { return Ok(plan) };
    let none = DFSchema::empty();
    for row in &mut values.values {
        for (value, field) in row.iter_mut().zip(fields) {
            if let Expr::Cast(Cast { expr, .. }) = value {
                *value = assigned(expr.as_ref().clone(), field, &none)?;
            }
        }
    }
    Ok(LogicalPlan::Values(values))
}

/// Whether values are structs or maps, or lists of them: no text is read as one.
fn holds_members(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) | DataType::Map(..) => true,
        DataType::List(item) => holds_members(item.data_type()),
        _ => false,
    }
}

/// Whether two types differ in nothing but the form of what is in them.
fn alike(from: &DataType, to: &DataType) -> bool {
    let members = |from: &Fields, to: &Fields, by_name: bool| {
        let pairs = from.iter().zip(to);
        from.len() == to.len()
            && pairs
                .into_iter()
                .all(|(from, to)| (!by_name || from.name() == to.name()) && alike(from.data_type(), to.data_type()))
    };
    match (from, to) {
        (DataType::Struct(from), DataType::Struct(to)) => members(from, to, true),
        (DataType::Map(from, _), DataType::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (DataType::Struct(from), DataType::Struct(to)) => members(from, to, false),
            _ => false,
        },
        (DataType::List(from), DataType::List(to)) => alike(from.data_type(), to.data_type()),
        (from, to) => *from == DataType::Null || normal_type(from) == normal_type(to),
    }
}

/// A type as `cast` names it. Bytes are read from text after planning.
fn spec_of(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int16 => "int2".to_owned(),
        DataType::Int32 => "int4".to_owned(),
        DataType::Int64 => "int8".to_owned(),
        DataType::Float32 => "float4".to_owned(),
        DataType::Float64 => "float8".to_owned(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::Utf8 => "text".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamptz".to_owned(),
        DataType::List(item) if item.data_type() == &DataType::Binary => "bytea[]".to_owned(),
        DataType::List(item) if !item.data_type().is_nested() => format!("{}[]", spec_of(item.data_type())?),
        _ => return None,
    })
}

/// PostgreSQL's assignment casts; text stands for literals of no type, too.
fn is_assignable(from: &DataType, to: &DataType) -> bool {
    let is_moment = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    if let (DataType::List(from), DataType::List(to)) = (from, to) {
        let (from, to) = (from.data_type(), to.data_type());
        return from == to || *from == DataType::Null || is_assignable(from, to);
    }
    is_text(from) || is_text(to) || (is_number(from) && is_number(to)) || (is_moment(from) && is_moment(to))
}

fn mismatch(field: &Field, from: &DataType, to: &DataType) -> datafusion::common::DataFusionError {
    let message = format!(
        "column \"{}\" is of type {} but expression is of type {}",
        field.name(),
        type_name(to),
        type_name(from)
    );
    external(
        Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint("You will need to rewrite or cast the expression."),
    )
}
