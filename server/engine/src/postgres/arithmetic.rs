//! `+ - * / %` over numbers, checked: over columns, not row by row.
//!
//! Invariant: nothing wraps and nothing becomes infinite: `22003`, and `22012` for a division by zero.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, Scalar};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal256Type, Float32Type, Float64Type, i256};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use lakeward_base::SqlState;

use super::call::failed;
use super::value::type_name;

/// The digits after the point that a quotient has at least.
const QUOTIENT_SCALE: i8 = 16;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "lakeward_add",
            Self::Subtract => "lakeward_subtract",
            Self::Multiply => "lakeward_multiply",
            Self::Divide => "lakeward_divide",
            Self::Remainder => "mod",
        }
    }
}

/// All of them, one operation each.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Operation::{Add, Divide, Multiply, Remainder, Subtract};
    let one = |operation: Operation| Arithmetic::new(vec![operation], DataType::Null);
    [Add, Subtract, Multiply, Divide, Remainder].into_iter().map(|operation| Arc::new(one(operation).into())).collect()
}

/// `left operation right`. A chain on the left, `a + b - c …`, grows instead of nesting: the planner asks for the type
/// and the name of every part of every part, which takes the third power of the depth.
pub(super) fn planned(operation: Operation, left: Expr, right: Expr, returns: DataType) -> Expr {
    let (operations, arguments) = match left {
        Expr::ScalarFunction(call) if chain(&call).is_some() => {
            let mut operations = chain(&call).map(|chain| chain.operations.clone()).unwrap_or_default();
            operations.push(operation);
            (operations, call.args.into_iter().chain([right]).collect())
        }
        left => (vec![operation], vec![left, right]),
    };
    let function = Arc::new(ScalarUDF::from(Arithmetic::new(operations, returns)));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}

/// The type that a chain was planned with, known without asking its operands.
pub(super) fn known_type(expr: &Expr) -> Option<DataType> {
    let Expr::ScalarFunction(call) = expr else { return None };
    chain(call).map(|chain| chain.returns.clone()).filter(|returns| *returns != DataType::Null)
}

fn chain(call: &ScalarFunction) -> Option<&Arithmetic> {
    call.func.inner().downcast_ref::<Arithmetic>()
}

/// Operations over n + 1 operands, from left to right.
#[derive(Debug)]
struct Arithmetic {
    operations: Vec<Operation>,
    /// As planned; `Null` where it is not known yet.
    returns: DataType,
    signature: Signature,
}

impl Arithmetic {
    fn new(operations: Vec<Operation>, returns: DataType) -> Self {
        let signature = Signature::any(operations.len() + 1, Volatility::Immutable);
        Self { operations, returns, signature }
    }
}

impl PartialEq for Arithmetic {
    fn eq(&self, other: &Self) -> bool {
        self.operations == other.operations
    }
}

impl Eq for Arithmetic {}

impl Hash for Arithmetic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operations.hash(state);
    }
}

fn precision_scale(data_type: &DataType) -> Option<(i16, i8)> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => (5, 0),
        DataType::Int32 | DataType::UInt16 => (10, 0),
        DataType::Int64 | DataType::UInt32 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (i16::from(*precision), *scale),
        _ => return None,
    })
}

fn decimal_type(precision: i16, scale: i8) -> DataType {
    let scale = scale.min(38);
    match u8::try_from(precision) {
        Ok(precision) if precision <= 38 => DataType::Decimal128(precision.max(1), scale),
        Ok(precision) => DataType::Decimal256(precision.min(76), scale),
        Err(_) => DataType::Decimal256(76, scale),
    }
}

/// The type of a result; `None` where these are no two numbers.
pub(super) fn result_type(operation: Operation, left: &DataType, right: &DataType) -> Option<DataType> {
    let either = |wanted: &DataType| left == wanted || right == wanted;
    if matches!((left, right), (DataType::Null, DataType::Null)) || !is_number(left) || !is_number(right) {
        return None;
    }
    if either(&DataType::Float64) || either(&DataType::Float32) {
        let both = left == right || either(&DataType::Null);
        return Some(if both && either(&DataType::Float32) { DataType::Float32 } else { DataType::Float64 });
    }
    if *left == DataType::Null || *right == DataType::Null {
        return Some(if *left == DataType::Null { right.clone() } else { left.clone() });
    }
    if left.is_integer() && right.is_integer() {
        let widest = precision_scale(left)?.0.max(precision_scale(right)?.0);
        return Some(match widest {
            5 => DataType::Int16,
            10 => DataType::Int32,
            19 => DataType::Int64,
            _ => DataType::Decimal128(38, 0),
        });
    }
    let ((left_precision, left_scale), (right_precision, right_scale)) =
        (precision_scale(left)?, precision_scale(right)?);
    let whole = (left_precision - i16::from(left_scale)).max(right_precision - i16::from(right_scale));
    let scale = left_scale.max(right_scale);
    Some(match operation {
        Operation::Add | Operation::Subtract => decimal_type((whole + i16::from(scale) + 1).min(76), scale),
        Operation::Multiply => {
            decimal_type((left_precision + right_precision + 1).min(76), left_scale.saturating_add(right_scale))
        }
        Operation::Divide => DataType::Decimal128(38, scale.max(QUOTIENT_SCALE)),
        Operation::Remainder => decimal_type((whole + i16::from(scale)).min(76), scale),
    })
}

/// A number, or an untyped NULL.
pub(super) fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Null) || precision_scale(data_type).is_some()
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operations.as_slice() {
            [operation] => operation.name(),
            _ => "lakeward_arithmetic",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let Some((first, others)) = arguments.split_first() else { return internal_err!("no operands") };
        let one = |left: DataType, (operation, right): (&Operation, &DataType)| result_type(*operation, &left, right);
        let returns = self.operations.iter().zip(others).try_fold(first.clone(), one);
        returns.ok_or_else(|| super::call::no_function(self.name(), arguments))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<arrow::datatypes::FieldRef> {
        let types: Vec<_> = arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(arrow::datatypes::Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let mut operands = arguments.args.into_iter();
        let Some(first) = operands.next() else { return internal_err!("no operands") };
        self.operations.iter().zip(operands).try_fold(first, |left, (operation, right)| {
            let returns = result_type(*operation, &left.data_type(), &right.data_type());
            let Some(returns) = returns else { return internal_err!("operands that are no numbers") };
            operation.apply(&left, &right, &returns, rows)
        })
    }
}

/// An operand in the type that it is computed in; a constant stays one value.
fn operand(value: &ColumnarValue, returns: &DataType, operation: Operation) -> Result<Box<dyn Datum>> {
    let wanted = |given: &DataType| match (returns, precision_scale(given)) {
        // Factors keep their own scales, which add up.
        (DataType::Decimal128(..), Some((precision, scale))) if operation == Operation::Multiply => {
            DataType::Decimal128(u8::try_from(precision).unwrap_or(38).min(38), scale)
        }
        (DataType::Decimal256(..), Some((precision, scale))) if operation == Operation::Multiply => {
            DataType::Decimal256(u8::try_from(precision).unwrap_or(76).min(76), scale)
        }
        (DataType::Decimal128(_, scale), Some(_)) => DataType::Decimal128(38, *scale),
        (DataType::Decimal256(_, scale), Some(_)) => DataType::Decimal256(76, *scale),
        _ => returns.clone(),
    };
    Ok(match value {
        ColumnarValue::Scalar(value) => {
            let array = value.to_array()?;
            Box::new(Scalar::new(cast(&array, &wanted(array.data_type()))?))
        }
        ColumnarValue::Array(array) => Box::new(cast(array, &wanted(array.data_type()))?),
    })
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|_| beyond(to))
}

impl Operation {
    /// Of two constants one value, else a column.
    fn apply(
        self,
        left: &ColumnarValue,
        right: &ColumnarValue,
        returns: &DataType,
        rows: usize,
    ) -> Result<ColumnarValue> {
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { rows };
        let result = if returns.is_decimal() && self == Self::Divide {
            quotients(&left.to_array(rows)?, &right.to_array(rows)?, returns)?
        } else {
            let (left, right) = (operand(left, returns, self)?, operand(right, returns, self)?);
            self.compute(left.as_ref(), right.as_ref(), returns)?
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }

    fn compute(self, left: &dyn Datum, right: &dyn Datum, returns: &DataType) -> Result<ArrayRef> {
        if returns.is_floating() && matches!(self, Self::Divide | Self::Remainder) {
            refuse_zero(right)?;
        }
        let result = match self {
            Self::Add => numeric::add(left, right),
            Self::Subtract => numeric::sub(left, right),
            Self::Multiply => numeric::mul(left, right),
            Self::Divide => numeric::div(left, right),
            Self::Remainder => numeric::rem(left, right),
        };
        let result = result.map_err(|error| match error {
            ArrowError::DivideByZero => by_zero(),
            _ => beyond(returns),
        })?;
        if returns.is_floating() {
            refuse_new_infinity(&result, left, right)?;
        }
        cast(&result, returns)
    }
}

fn beyond(data_type: &DataType) -> DataFusionError {
    let message = match data_type {
        DataType::Float32 | DataType::Float64 => "value out of range: overflow".to_owned(),
        DataType::Decimal128(..) | DataType::Decimal256(..) => "value overflows numeric format".to_owned(),
        other => format!("{} out of range", type_name(other)),
    };
    failed(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

fn by_zero() -> DataFusionError {
    failed(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn any_float(datum: &dyn Datum, is: fn(f64) -> bool) -> bool {
    let (array, _) = datum.get();
    match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().any(is),
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().any(|value| is(f64::from(value))),
        _ => false,
    }
}

fn refuse_zero(right: &dyn Datum) -> Result<()> {
    if any_float(right, |value| value == 0.0) { Err(by_zero()) } else { Ok(()) }
}

fn refuse_new_infinity(result: &ArrayRef, left: &dyn Datum, right: &dyn Datum) -> Result<()> {
    let made = any_float(result, f64::is_infinite);
    let given = any_float(left, f64::is_infinite) || any_float(right, f64::is_infinite);
    if made && !given { Err(beyond(&DataType::Float64)) } else { Ok(()) }
}

/// Rounded half away from zero, as PostgreSQL does.
fn quotients(left: &ArrayRef, right: &ArrayRef, returns: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = returns else { return internal_err!("a quotient is a numeric") };
    let wide = |array: &ArrayRef| -> Result<(ArrayRef, i8)> {
        let scale = precision_scale(array.data_type()).map_or(0, |(_, scale)| scale);
        Ok((cast(array, &DataType::Decimal256(76, scale))?, scale))
    };
    let ((left, left_scale), (right, right_scale)) = (wide(left)?, wide(right)?);
    let (left, right) = (left.as_primitive::<Decimal256Type>(), right.as_primitive::<Decimal256Type>());
    let shift = i16::from(*scale) + i16::from(right_scale) - i16::from(left_scale);
    let factor = u32::try_from(shift).ok().and_then(|shift| i256::from_i128(10).checked_pow(shift));
    let factor = factor.ok_or_else(|| beyond(returns))?;
    let one = |(left, right): (Option<i256>, Option<i256>)| -> Result<Option<i128>> {
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        if right == i256::ZERO {
            return Err(by_zero());
        }
        let value = left.checked_mul(factor).and_then(|scaled| rounded(scaled, right)).and_then(i256::to_i128);
        value.map(Some).ok_or_else(|| beyond(returns))
    };
    let values = left.iter().zip(right.iter()).map(one).collect::<Result<Vec<_>>>()?;
    let array = Decimal128Array::from_iter(values).with_precision_and_scale(*precision, *scale)?;
    array.validate_decimal_precision(*precision).map_err(|_| beyond(returns))?;
    Ok(Arc::new(array))
}

fn rounded(dividend: i256, divisor: i256) -> Option<i256> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_sub(quotient.checked_mul(divisor)?)?;
    let doubled = rest.wrapping_abs().checked_mul(i256::from_i128(2))?;
    if doubled < divisor.wrapping_abs() {
        return Some(quotient);
    }
    let away = if (dividend < i256::ZERO) == (divisor < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}
