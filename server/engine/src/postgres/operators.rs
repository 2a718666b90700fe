//! Operators, planned by the types of their operands.
//!
//! Invariant: what PostgreSQL has no operator for is `42883`, never a guess; a string literal takes the other side's type.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use lakeward_base::SqlState;

use super::arithmetic::{Operation, is_number, known_type, planned, result_type};
use super::call::{Fault, Function, external};
use super::value::{INTERVAL, TIMESTAMP, is_text, normal_type, type_name};
use super::{interval, json};
use crate::error::Error;

/// See the module.
#[derive(Debug)]
pub(super) struct Operators;

type Planned = Result<PlannerResult<RawBinaryExpr>>;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> Planned {
        if let Some(planned) = json::operator(&expr, schema)? {
            return Ok(PlannerResult::Planned(planned));
        }
        typed_parameters(&mut expr, schema);
        let (Some(left), Some(right)) = (type_of(&expr.left, schema), type_of(&expr.right, schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        if untyped_parameter(&expr.left) || untyped_parameter(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let (left, right) = typed_literals(&mut expr, left, right)?;
        match operation(&expr.op) {
            Some(operation) => arithmetic(operation, expr, &left, &right),
            None if is_comparison(&expr.op) => comparison(expr, &left, &right),
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}

/// An operand's type, where it is known yet.
fn type_of(operand: &Expr, schema: &DFSchema) -> Option<DataType> {
    known_type(operand).or_else(|| operand.get_type(schema).ok())
}

/// A parameter takes the type of the number beside it: within a function the planner would not tell it.
fn typed_parameters(expr: &mut RawBinaryExpr, schema: &DFSchema) {
    if operation(&expr.op).is_none() {
        return;
    }
    let number = |side: &Expr| type_of(side, schema).filter(|known| is_number(known) && *known != DataType::Null);
    let (left, right) = (number(&expr.left), number(&expr.right));
    for (side, beside) in [(&mut expr.left, right), (&mut expr.right, left)] {
        if let (Expr::Placeholder(parameter), Some(beside)) = (side, beside)
            && parameter.field.is_none()
        {
            parameter.field = Some(std::sync::Arc::new(arrow::datatypes::Field::new("", beside, true)));
        }
    }
}

fn untyped_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(parameter) if parameter.field.is_none())
}

fn operation(operator: &BinaryOperator) -> Option<Operation> {
    Some(match operator {
        BinaryOperator::Plus => Operation::Add,
        BinaryOperator::Minus => Operation::Subtract,
        BinaryOperator::Multiply => Operation::Multiply,
        BinaryOperator::Divide => Operation::Divide,
        BinaryOperator::Modulo => Operation::Remainder,
        _ => return None,
    })
}

fn is_comparison(operator: &BinaryOperator) -> bool {
    matches!(
        operator,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// PostgreSQL's `unknown` literals become values of the other side's type, and small whole numbers `integer`.
fn typed_literals(expr: &mut RawBinaryExpr, left: DataType, right: DataType) -> Result<(DataType, DataType)> {
    let is_logical = matches!(expr.op, BinaryOperator::And | BinaryOperator::Or)
        && (left == DataType::Boolean || right == DataType::Boolean);
    let is_array = |side: &DataType| matches!(side, DataType::List(_));
    if operation(&expr.op).is_none() && !is_comparison(&expr.op) && !is_logical && !is_array(&left) && !is_array(&right)
    {
        return Ok((left, right));
    }
    let is_sum = operation(&expr.op).is_some();
    let left = literal(&mut expr.left, left, &right, is_sum)?;
    let right = literal(&mut expr.right, right, &left, is_sum)?;
    Ok((left, right))
}

fn literal(expr: &mut Expr, own: DataType, other: &DataType, is_sum: bool) -> Result<DataType> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), metadata) if is_sum => match i32::try_from(*number) {
            Ok(number) => {
                *expr = Expr::Literal(ScalarValue::Int32(Some(number)), metadata.take());
                Ok(DataType::Int32)
            }
            Err(_) => Ok(own),
        },
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
            let Some(wanted) = meant(&normal_type(other), is_sum, text) else { return Ok(own) };
            let zone = "UTC".parse()?;
            let value = super::input::parse(text, &wanted, zone).map_err(Fault::of_constant)?;
            *expr = Expr::Literal(value, None);
            Ok(wanted)
        }
        _ => Ok(own),
    }
}

/// The type that a literal takes beside `other`.
fn meant(other: &DataType, is_sum: bool, text: &str) -> Option<DataType> {
    match other {
        DataType::Date32 | DataType::Timestamp(_, None) | DataType::Time64(_) if is_sum => {
            Some(INTERVAL).filter(|_| !matches!(other, DataType::Date32))
        }
        DataType::List(item) if !item.data_type().is_nested() => Some(other.clone()),
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let scale = super::input::exact(text.trim(), text).map_or(0, |(_, scale)| scale);
            Some(DataType::Decimal128(38, scale))
        }
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Timestamp(_, None)
        | DataType::Time64(_)
        | DataType::Interval(_) => Some(other.clone()),
        _ => None,
    }
}

fn call(function: &Function, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function.udf(), arguments))
}

fn of_interval(name: &str, arguments: Vec<Expr>) -> Result<Expr> {
    match interval::FUNCTIONS.iter().find(|function| function.name == name) {
        Some(function) => Ok(call(function, arguments)),
        None => Err(external(Error::unsupported("this operator"))),
    }
}

fn arithmetic(operation: Operation, expr: RawBinaryExpr, left: &DataType, right: &DataType) -> Planned {
    use Operation::{Add, Divide, Multiply, Subtract};
    if let Some(returns) = result_type(operation, left, right) {
        return Ok(PlannerResult::Planned(planned(operation, expr.left, expr.right, returns)));
    }
    let (normal_left, normal_right) = (normal_type(left), normal_type(right));
    let is_interval = |data_type: &DataType| *data_type == INTERVAL;
    match (operation, &normal_left, &normal_right) {
        (Multiply | Divide, left, right) if is_interval(left) && is_number(right) => {
            let divides = lit(operation == Divide);
            of_interval("lakeward_interval_times", vec![expr.left, expr.right, divides]).map(PlannerResult::Planned)
        }
        (Multiply, left, right) if is_interval(right) && is_number(left) => {
            of_interval("lakeward_interval_times", vec![expr.right, expr.left, lit(false)]).map(PlannerResult::Planned)
        }
        (Subtract, left, right)
            if (interval::is_moment(left) || interval::is_moment(right))
                && (interval::is_moment(left) || *left == DataType::Date32)
                && (interval::is_moment(right) || *right == DataType::Date32) =>
        {
            of_interval("lakeward_timestamp_minus", vec![expr.left, expr.right]).map(PlannerResult::Planned)
        }
        (Subtract, DataType::Date32, DataType::Date32) => {
            of_interval("lakeward_date_minus", vec![expr.left, expr.right]).map(PlannerResult::Planned)
        }
        (Add | Subtract, DataType::Date32, right) if is_interval(right) => Ok(PlannerResult::Original(RawBinaryExpr {
            left: Expr::Cast(Cast::new(Box::new(expr.left), TIMESTAMP)),
            ..expr
        })),
        (Add, left, DataType::Date32) if is_interval(left) => Ok(PlannerResult::Original(RawBinaryExpr {
            right: Expr::Cast(Cast::new(Box::new(expr.right), TIMESTAMP)),
            ..expr
        })),
        (operation, left, right) if !exists(operation, left, right) => Err(no_operator(&expr.op, left, right)),
        _ => Ok(PlannerResult::Original(expr)),
    }
}

/// Whether PostgreSQL has such an operator over these types, of which not both are numbers.
fn exists(operation: Operation, left: &DataType, right: &DataType) -> bool {
    use Operation::{Add, Subtract};
    let is_known = |data_type: &DataType| {
        is_text(data_type)
            || is_number(data_type)
            || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::List(_))
            || *data_type == INTERVAL
    };
    if !(is_known(left) && is_known(right)) || *left == DataType::Null || *right == DataType::Null {
        return true;
    }
    match (operation, left, right) {
        (Add | Subtract, DataType::Date32, right) => {
            right.is_integer() || (operation == Subtract && *right == DataType::Date32)
        }
        (Add, left, DataType::Date32) => left.is_integer(),
        (Add | Subtract, left, right) => *left == INTERVAL && *right == INTERVAL,
        _ => false,
    }
}

fn comparison(expr: RawBinaryExpr, left: &DataType, right: &DataType) -> Planned {
    let (normal_left, normal_right) = (normal_type(left), normal_type(right));
    if normal_left == INTERVAL && normal_right == INTERVAL {
        let left = of_interval("lakeward_interval_key", vec![expr.left])?;
        let right = of_interval("lakeward_interval_key", vec![expr.right])?;
        return Ok(PlannerResult::Original(RawBinaryExpr { left, right, ..expr }));
    }
    let is_number = |data_type: &DataType| is_number(data_type) && *data_type != DataType::Null;
    // Text beside anything else is compared as text: the system catalogs' own columns need it.
    let differ =
        |left: &DataType, right: &DataType| is_number(left) && matches!(right, DataType::Boolean | DataType::Date32);
    if differ(&normal_left, &normal_right) || differ(&normal_right, &normal_left) {
        return Err(no_operator(&expr.op, &normal_left, &normal_right));
    }
    Ok(PlannerResult::Original(expr))
}

fn no_operator(operator: &BinaryOperator, left: &DataType, right: &DataType) -> datafusion::common::DataFusionError {
    let message = format!("operator does not exist: {} {operator} {}", type_name(left), type_name(right));
    external(
        Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(
            "No operator matches the given name and argument types. You might need to add explicit type casts.",
        ),
    )
}
