//! Casts, with PostgreSQL's rounding, ranges and text forms.
//!
//! Invariant: a cast that the planner's own does equally is left to it (`native`), so that scans stay prunable.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Cast, Expr};
use lakeward_base::SqlState;

use super::call::{Call, Fault, Function, null};
use super::input::{exact, fitted, list_of, parse};
use super::math::rescale;
use super::output::text_of;
use super::value::{
    self, INTERVAL, TIME, TIMESTAMP, decimal, elements, is_text, moment, normal_type, text, timestamptz, type_name,
    utf8,
};

/// The function that casts in the syntax tree become.
pub(super) const CAST: &str = "lakeward_cast";

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[Function { name: CAST, typing, body, strict: true }];

/// The digits after the point of a `numeric` without a scale, where its source does not tell.
const SCALE: i8 = 10;

fn typing(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    let [from, _] = types else { return None };
    let spec = constants.get(1).copied().flatten().and_then(text)?;
    target(spec, from, constants.first().copied().flatten())
}

/// The type of a specification such as `int4`, `numeric(10,2)`, `text[]`.
pub(super) fn target(spec: &str, from: &DataType, constant: Option<&ScalarValue>) -> Option<DataType> {
    if let Some(item) = spec.strip_suffix("[]") {
        let item = target(item, &DataType::Utf8, None)?;
        return Some(DataType::List(Arc::new(Field::new("item", item, true))));
    }
    let (name, modifiers) = split(spec);
    Some(match name {
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "bool" => DataType::Boolean,
        "text" | "varchar" | "char" | "json" | "jsonb" => DataType::Utf8,
        "bytea" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => TIMESTAMP,
        "timestamptz" => timestamptz(),
        "time" => TIME,
        "interval" => INTERVAL,
        "numeric" => match modifiers.as_slice() {
            [] => unscaled(from, constant),
            [precision] => DataType::Decimal128(u8::try_from(*precision).ok()?, 0),
            [precision, scale] => DataType::Decimal128(u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?),
            _ => return None,
        },
        _ => return None,
    })
}

fn split(spec: &str) -> (&str, Vec<i64>) {
    match spec.split_once('(') {
        Some((name, rest)) => {
            let numbers = rest.trim_end_matches(')').split(',').filter_map(|number| number.trim().parse().ok());
            (name, numbers.collect())
        }
        None => (spec, Vec::new()),
    }
}

fn unscaled(from: &DataType, constant: Option<&ScalarValue>) -> DataType {
    let known = constant.and_then(|value| match value {
        ScalarValue::Utf8(Some(text)) => exact(text.trim(), text).ok(),
        ScalarValue::Float64(Some(number)) => exact(&number.to_string(), "").ok(),
        _ => None,
    });
    match (known, from) {
        (Some((_, scale)), _) => DataType::Decimal128(38, scale),
        (None, DataType::Decimal128(..) | DataType::Decimal256(..)) => from.clone(),
        (None, from) if from.is_integer() => DataType::Decimal128(38, 0),
        (None, _) => DataType::Decimal128(38, SCALE),
    }
}

/// The planner's own cast, where it does the same and cannot fail.
pub(super) fn native(name: &str, arguments: &[Expr], context: &SimplifyContext) -> Result<Option<Expr>> {
    let (CAST, [operand, Expr::Literal(ScalarValue::Utf8(Some(spec)), _)]) = (name, arguments) else { return Ok(None) };
    if matches!(operand, Expr::Literal(..))
        || spec.contains("char")
        || spec.starts_with("json")
        || spec.starts_with("time") && spec.contains('(')
    {
        return Ok(None);
    }
    let from = context.get_data_type(operand)?;
    let Some(to) = target(spec, &normal_type(&from), None) else { return Ok(None) };
    if from == to {
        return Ok(Some(operand.clone()));
    }
    Ok(is_native(&from, &to).then(|| Expr::Cast(Cast::new(Box::new(operand.clone()), to))))
}

fn is_native(from: &DataType, to: &DataType) -> bool {
    let width = |data_type: &DataType| match data_type {
        DataType::Int16 => 2,
        DataType::Int32 => 4,
        DataType::Int64 => 8,
        _ => 0,
    };
    match (from, to) {
        (DataType::Int16 | DataType::Int32 | DataType::Int64, DataType::Int16 | DataType::Int32 | DataType::Int64) => {
            width(from) <= width(to)
        }
        (DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..), DataType::Float64)
        | (
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::LargeUtf8 | DataType::Utf8View,
            DataType::Utf8,
        )
        | (DataType::Float32, DataType::Float64)
        | (DataType::Date32, DataType::Timestamp(_, None))
        | (DataType::Timestamp(_, None), DataType::Date32) => true,
        (from, DataType::Decimal128(precision, scale)) if width(from) > 0 => {
            i16::from(*precision) - i16::from(*scale) >= [5, 10, 19].get(width(from) / 4).copied().unwrap_or(19)
        }
        _ => false,
    }
}

fn body(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [value, spec] = arguments else { return Err(Fault::unsupported("this cast")) };
    let (name, modifiers) = split(text(spec).unwrap_or_default());
    match (name, modifiers.first()) {
        ("json", _) => super::json::checked(value, call.zone, false),
        ("jsonb", _) => super::json::checked(value, call.zone, true),
        ("varchar", Some(length)) => shortened(value, *length, call),
        ("char", length) => {
            let length = length.copied().unwrap_or(1);
            let short = shortened(value, length, call)?;
            Ok(utf8(text(&short).unwrap_or_default().trim_end_matches(' ')))
        }
        ("timestamp" | "timestamptz", Some(digits)) => rounded(convert(value, call)?, *digits),
        _ => convert(value, call),
    }
}

fn shortened(value: &ScalarValue, length: i64, call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let whole = convert(value, call)?;
    let length = usize::try_from(length).unwrap_or(0);
    Ok(utf8(text(&whole).unwrap_or_default().chars().take(length).collect::<String>()))
}

fn rounded(value: ScalarValue, digits: i64) -> Result<ScalarValue, Fault> {
    let ScalarValue::TimestampMicrosecond(Some(micros), zone) = value else { return Ok(value) };
    let unit = 10_i64.pow(6 - u32::try_from(digits.clamp(0, 6)).unwrap_or(6));
    let micros = (micros + unit / 2).div_euclid(unit) * unit;
    Ok(ScalarValue::TimestampMicrosecond(Some(micros), zone))
}

/// A whole number of a type, where it fits.
pub(super) fn integer(number: i128, wanted: &DataType) -> Option<ScalarValue> {
    Some(match wanted {
        DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(number).ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(number).ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(i64::try_from(number).ok()?)),
        _ => return None,
    })
}

fn no_cast(from: &ScalarValue, to: &DataType) -> Fault {
    let message = format!("cannot cast type {} to {}", type_name(&from.data_type()), type_name(to));
    Fault::new(SqlState::CANNOT_COERCE, message)
}

/// Any value to the call's type.
pub(super) fn convert(value: &ScalarValue, call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let to = call.returns;
    let from = value.data_type();
    if value.is_null() {
        return null(to);
    }
    if let Some(text) = text(value) {
        return parse(text, to, call.zone);
    }
    match to {
        DataType::Utf8 => {
            let text = match value {
                ScalarValue::Boolean(Some(flag)) => Some(flag.to_string()),
                _ => text_of(value, call.zone),
            };
            text.map(utf8).ok_or_else(|| no_cast(value, to))
        }
        DataType::Int16 | DataType::Int32 | DataType::Int64 => to_integer(value, to),
        DataType::Float32 | DataType::Float64 => to_float(value, to),
        DataType::Decimal128(..) => to_numeric(value, to),
        DataType::Boolean => match value {
            ScalarValue::Int32(Some(number)) => Ok(ScalarValue::Boolean(Some(*number != 0))),
            ScalarValue::Int64(Some(number)) if i32::try_from(*number).is_ok() => {
                Ok(ScalarValue::Boolean(Some(*number != 0)))
            }
            ScalarValue::Boolean(_) => Ok(value.clone()),
            _ => Err(no_cast(value, to)),
        },
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => to_moment(value, call),
        DataType::List(item) => {
            let elements = elements(value).ok_or_else(|| no_cast(value, to))?;
            let inner = Call::new(item.data_type(), call.zone);
            let converted = elements.iter().map(|element| convert(element, &inner)).collect::<Result<Vec<_>, _>>()?;
            Ok(list_of(converted, item.data_type()))
        }
        _ if normal_type(&from) == *to => Ok(value.clone()),
        _ => Err(no_cast(value, to)),
    }
}

fn to_integer(value: &ScalarValue, to: &DataType) -> Result<ScalarValue, Fault> {
    let beyond = || Fault::out_of_range(&type_name(to));
    let number = match value {
        ScalarValue::Boolean(Some(flag)) if *to == DataType::Int32 => i128::from(*flag),
        // PostgreSQL rounds half to even here, and half away from zero for numeric.
        ScalarValue::Float64(Some(number)) => float_to_whole(*number).ok_or_else(beyond)?,
        ScalarValue::Float32(Some(number)) => float_to_whole(f64::from(*number)).ok_or_else(beyond)?,
        _ => {
            let (digits, scale) = decimal(value).ok_or_else(|| no_cast(value, to))?;
            rescale(digits, scale, 0).ok_or_else(beyond)?
        }
    };
    integer(number, to).ok_or_else(beyond)
}

#[expect(clippy::cast_possible_truncation, reason = "looked at before")]
fn float_to_whole(number: f64) -> Option<i128> {
    (number.is_finite() && number.abs() < 1e19).then(|| number.round_ties_even() as i128)
}

fn to_float(value: &ScalarValue, to: &DataType) -> Result<ScalarValue, Fault> {
    let number = value::float(value).ok_or_else(|| no_cast(value, to))?;
    if *to == DataType::Float64 {
        return Ok(ScalarValue::Float64(Some(number)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounded to the nearest, and looked at")]
    let narrow = number as f32;
    if narrow.is_infinite() && number.is_finite() {
        return Err(Fault::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    Ok(ScalarValue::Float32(Some(narrow)))
}

fn to_numeric(value: &ScalarValue, to: &DataType) -> Result<ScalarValue, Fault> {
    let DataType::Decimal128(_, wanted) = to else { return Err(no_cast(value, to)) };
    let (digits, scale) = match value {
        ScalarValue::Float64(Some(number)) => from_float(*number)?,
        ScalarValue::Float32(Some(number)) => from_float(number.to_string().parse().unwrap_or(f64::from(*number)))?,
        _ => decimal(value).ok_or_else(|| no_cast(value, to))?,
    };
    fitted(rescale(digits, scale, *wanted).ok_or_else(super::input::numeric_overflow)?, to)
}

/// 15 significant digits, as PostgreSQL takes.
fn from_float(number: f64) -> Result<(i128, i8), Fault> {
    if !number.is_finite() {
        return Err(Fault::unsupported("numeric NaN or infinity"));
    }
    exact(&format!("{number:.14e}"), "").map(|(digits, scale)| trimmed(digits, scale))
}

fn trimmed(mut digits: i128, mut scale: i8) -> (i128, i8) {
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    (digits, scale)
}

fn to_moment(value: &ScalarValue, call: &Call<'_>) -> Result<ScalarValue, Fault> {
    use chrono::{TimeZone, Timelike};
    let to = call.returns;
    let (DataType::Date32 | DataType::Timestamp(..), Some(at)) = (value.data_type(), moment(value)) else {
        return if value.data_type() == *to { Ok(value.clone()) } else { Err(no_cast(value, to)) };
    };
    let is_zoned = matches!(value.data_type(), DataType::Timestamp(_, Some(_)));
    let local = if is_zoned { call.zone.from_utc_datetime(&at).naive_local() } else { at };
    Ok(match to {
        DataType::Date32 => value::date(local.date()),
        DataType::Timestamp(_, None) => value::timestamp(local),
        DataType::Timestamp(_, Some(zone)) => {
            let utc = if is_zoned { Some(at) } else { super::input::to_utc(local, call.zone) };
            let utc = utc.ok_or_else(|| Fault::out_of_range("timestamp"))?;
            ScalarValue::TimestampMicrosecond(Some(utc.and_utc().timestamp_micros()), Some(Arc::clone(zone)))
        }
        _ if value.data_type() == DataType::Date32 => return Err(no_cast(value, to)),
        _ => {
            let clock = local.time();
            let micros =
                i64::from(clock.num_seconds_from_midnight()) * 1_000_000 + i64::from(clock.nanosecond() / 1000);
            ScalarValue::Time64Microsecond(Some(micros))
        }
    })
}

/// Whether values of a type can stand where text is expected without a cast.
pub(super) fn is_texty(data_type: &DataType) -> bool {
    is_text(data_type) || *data_type == DataType::Null
}
