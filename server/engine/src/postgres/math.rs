//! Numbers: rounding, roots, logarithms and their domains.
//!
//! Invariant: outside its domain a function fails; it never answers NaN or infinity for a finite argument.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::{Call, Fault, Function, Typing};
use super::value::{decimal, float, numeric, whole};

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "round",
        typing: rounding,
        body: |a, c| exact_or(a, c, round, f64::round_ties_even),
        strict: true,
    },
    Function { name: "trunc", typing: rounding, body: |a, c| exact_or(a, c, truncate, f64::trunc), strict: true },
    Function { name: "ceil", typing: rounding_whole, body: |a, c| exact_or(a, c, ceiling, f64::ceil), strict: true },
    Function { name: "floor", typing: rounding_whole, body: |a, c| exact_or(a, c, floor, f64::floor), strict: true },
    Function { name: "sign", typing: sign_type, body: sign, strict: true },
    Function { name: "abs", typing: number, body: absolute, strict: true },
    Function {
        name: "sqrt",
        typing: FLOAT,
        body: |a, _| checked(a, |x| x >= 0.0, f64::sqrt, root_fault),
        strict: true,
    },
    Function {
        name: "ln",
        typing: FLOAT,
        body: |a, _| checked(a, |x| x > 0.0, f64::ln, logarithm_fault),
        strict: true,
    },
    Function {
        name: "log10",
        typing: FLOAT,
        body: |a, _| checked(a, |x| x > 0.0, f64::log10, logarithm_fault),
        strict: true,
    },
    Function { name: "exp", typing: FLOAT, body: |a, _| checked(a, |_| true, f64::exp, range_fault), strict: true },
    Function {
        name: "asin",
        typing: FLOAT,
        body: |a, _| checked(a, |x| x.abs() <= 1.0, f64::asin, range_fault),
        strict: true,
    },
    Function {
        name: "acos",
        typing: FLOAT,
        body: |a, _| checked(a, |x| x.abs() <= 1.0, f64::acos, range_fault),
        strict: true,
    },
    Function { name: "power", typing: power_type, body: power, strict: true },
    Function { name: "div", typing: div_type, body: div, strict: true },
    Function {
        name: "factorial",
        typing: |types, _| (types.len() == 1).then_some(DataType::Decimal128(38, 0)),
        body: factorial,
        strict: true,
    },
    Function {
        name: "scale",
        typing: |types, _| (types.len() == 1).then_some(DataType::Int32),
        body: scale,
        strict: true,
    },
    Function {
        name: "width_bucket",
        typing: |types, _| (types.len() == 4).then_some(DataType::Int32),
        body: bucket,
        strict: true,
    },
    Function { name: "lakeward_bitnot", typing: number, body: bit_not, strict: true },
];

const FLOAT: Typing = |types, _| (types.len() == 1 && types.iter().all(is_number)).then_some(DataType::Float64);

fn is_number(data_type: &DataType) -> bool {
    super::arithmetic::is_number(data_type)
}

fn number(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    types.first().filter(|first| types.len() == 1 && is_number(first)).cloned()
}

fn sign_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    number(types, constants).map(|own| if own.is_decimal() { DataType::Decimal128(38, 0) } else { own })
}

/// `round(x)` of `numeric` is `numeric` of scale 0; `round(x, n)` of scale n, where n is a constant.
fn rounding(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    match types {
        [one] if one.is_floating() => Some(DataType::Float64),
        [one] if one.is_decimal() => Some(DataType::Decimal128(38, 0)),
        [one] if is_number(one) => Some(DataType::Float64),
        [one, places] if (one.is_decimal() || one.is_integer()) && places.is_integer() => {
            let own = match one {
                DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
                _ => 0,
            };
            let wanted = constants.get(1).copied().flatten().and_then(whole);
            let scale = wanted.map_or(own, |wanted| i8::try_from(wanted.clamp(0, 38)).unwrap_or(own));
            Some(DataType::Decimal128(38, scale))
        }
        _ => None,
    }
}

fn rounding_whole(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 1).then(|| rounding(types, constants))?
}

fn out() -> Fault {
    super::input::numeric_overflow()
}

fn exact_or(
    arguments: &[ScalarValue],
    call: &Call<'_>,
    exact: fn(i128, i128) -> Option<i128>,
    float_too: fn(f64) -> f64,
) -> Result<ScalarValue, Fault> {
    let first = arguments.first().ok_or_else(out)?;
    let DataType::Decimal128(_, wanted) = call.returns else {
        return Ok(ScalarValue::Float64(float(first).map(float_too)));
    };
    let (digits, scale) = decimal(first).ok_or_else(out)?;
    let places = arguments.get(1).and_then(whole).unwrap_or(0);
    let places = i32::try_from(places.clamp(-38, 38)).unwrap_or(0);
    let dropped = i32::from(scale) - places;
    let kept = match u32::try_from(dropped) {
        Ok(dropped) => {
            let unit = 10_i128.checked_pow(dropped).ok_or_else(out)?;
            exact(digits, unit).and_then(|kept| kept.checked_mul(unit)).ok_or_else(out)?
        }
        Err(_) => digits,
    };
    rescale(kept, scale, *wanted).map(|digits| numeric(digits, *wanted)).ok_or_else(out)
}

/// Units of `unit`, half away from zero.
fn round(digits: i128, unit: i128) -> Option<i128> {
    let rest = digits % unit;
    let away = if rest.abs() >= unit - rest.abs() && rest != 0 { digits.signum() } else { 0 };
    (digits / unit).checked_add(away)
}

fn truncate(digits: i128, unit: i128) -> Option<i128> {
    Some(digits / unit)
}

fn ceiling(digits: i128, unit: i128) -> Option<i128> {
    floor(-digits, unit).map(|value| -value)
}

fn floor(digits: i128, unit: i128) -> Option<i128> {
    Some(digits.div_euclid(unit))
}

/// Digits of another scale, rounded half away from zero.
pub(super) fn rescale(digits: i128, from: i8, to: i8) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    match u32::try_from(shift) {
        Ok(up) => digits.checked_mul(10_i128.checked_pow(up)?),
        Err(_) => match 10_i128.checked_pow(shift.unsigned_abs()) {
            Some(unit) => round(digits, unit),
            None => Some(0),
        },
    }
}

fn sign(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let value = arguments.first().and_then(float).ok_or_else(out)?;
    let sign = if value > 0.0 { 1 } else { -i128::from(value < 0.0) };
    match call.returns {
        DataType::Decimal128(_, scale) => rescale(sign, 0, *scale).map(|sign| numeric(sign, *scale)).ok_or_else(out),
        DataType::Float32 => Ok(ScalarValue::Float32(Some(if sign == 0 {
            0.0
        } else {
            1.0_f32.copysign(if sign > 0 { 1.0 } else { -1.0 })
        }))),
        DataType::Float64 => Ok(ScalarValue::Float64(Some(if sign == 0 {
            0.0
        } else if sign > 0 {
            1.0
        } else {
            -1.0
        }))),
        other => super::cast::integer(sign, other).ok_or_else(out),
    }
}

fn absolute(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    match arguments.first() {
        Some(ScalarValue::Float64(Some(value))) => Ok(ScalarValue::Float64(Some(value.abs()))),
        Some(ScalarValue::Float32(Some(value))) => Ok(ScalarValue::Float32(Some(value.abs()))),
        Some(ScalarValue::Decimal128(Some(digits), precision, scale)) => {
            Ok(ScalarValue::Decimal128(Some(digits.checked_abs().ok_or_else(out)?), *precision, *scale))
        }
        Some(value) => {
            let number = whole(value).ok_or_else(out)?;
            let beyond = || Fault::out_of_range(&super::value::type_name(call.returns));
            super::cast::integer(i128::from(number).abs(), call.returns).ok_or_else(beyond)
        }
        None => Err(out()),
    }
}

fn root_fault(_: f64) -> Fault {
    Fault::new(SqlState::INVALID_ARGUMENT_FOR_POWER, "cannot take square root of a negative number")
}

fn logarithm_fault(value: f64) -> Fault {
    let of = if value == 0.0 { "zero" } else { "a negative number" };
    Fault::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, format!("cannot take logarithm of {of}"))
}

fn range_fault(_: f64) -> Fault {
    Fault::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")
}

fn checked(
    arguments: &[ScalarValue],
    domain: fn(f64) -> bool,
    function: fn(f64) -> f64,
    fault: fn(f64) -> Fault,
) -> Result<ScalarValue, Fault> {
    let value = arguments.first().and_then(float).ok_or_else(out)?;
    if !value.is_nan() && !domain(value) {
        return Err(fault(value));
    }
    finite(function(value), value.is_infinite())
}

fn finite(value: f64, was_infinite: bool) -> Result<ScalarValue, Fault> {
    if value.is_infinite() && !was_infinite {
        return Err(Fault::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    Ok(ScalarValue::Float64(Some(value)))
}

fn power_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 2 && types.iter().all(is_number)).then_some(DataType::Float64)
}

fn power(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let (Some(base), Some(exponent)) = (arguments.first().and_then(float), arguments.get(1).and_then(float)) else {
        return Err(out());
    };
    if base == 0.0 && exponent < 0.0 {
        return Err(Fault::new(SqlState::INVALID_ARGUMENT_FOR_POWER, "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && base.is_finite() && exponent.fract() != 0.0 {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(Fault::new(SqlState::INVALID_ARGUMENT_FOR_POWER, message));
    }
    finite(base.powf(exponent), base.is_infinite() || exponent.is_infinite())
}

fn div_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let exact = |given: &DataType| given.is_integer() || given.is_decimal();
    (types.len() == 2 && types.iter().all(exact)).then_some(DataType::Decimal128(38, 0))
}

fn div(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let (Some((left, left_scale)), Some((right, right_scale))) =
        (arguments.first().and_then(decimal), arguments.get(1).and_then(decimal))
    else {
        return Err(out());
    };
    let scale = left_scale.max(right_scale);
    let (left, right) =
        (rescale(left, left_scale, scale).ok_or_else(out)?, rescale(right, right_scale, scale).ok_or_else(out)?);
    if right == 0 {
        return Err(Fault::new(SqlState::DIVISION_BY_ZERO, "division by zero"));
    }
    Ok(numeric(left / right, 0))
}

fn factorial(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let number = arguments.first().and_then(whole).ok_or_else(out)?;
    if number < 0 {
        return Err(Fault::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "factorial of a negative number is undefined"));
    }
    let product = (1..=i128::from(number.min(40))).try_fold(1_i128, i128::checked_mul);
    product.map(|product| numeric(product, 0)).ok_or_else(out)
}

fn scale(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let (_, scale) = arguments.first().and_then(decimal).ok_or_else(out)?;
    Ok(ScalarValue::Int32(Some(i32::from(scale))))
}

fn bucket(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let part = |index: usize| arguments.get(index).and_then(float).ok_or_else(out);
    let (value, low, high, count) = (part(0)?, part(1)?, part(2)?, part(3)?);
    if count < 1.0 || low == high {
        return Err(Fault::new(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, "count must be greater than zero"));
    }
    let place = ((value - low) / (high - low) * count).floor() + 1.0;
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    Ok(ScalarValue::Int32(Some(place.clamp(0.0, count + 1.0) as i32)))
}

fn bit_not(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let number = arguments.first().and_then(whole).ok_or_else(out)?;
    super::cast::integer(i128::from(!number), call.returns).ok_or_else(out)
}
