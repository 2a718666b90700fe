//! Intervals: read, multiplied, justified, compared.
//!
//! Invariant: months, days and time stay apart, as in PostgreSQL; comparing takes a month for 30 days of 24 hours.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;

use super::call::{Call, Fault, Function, Typing};
use super::value::{INTERVAL, TIMESTAMP, float, interval, interval_of, moment, normal_type, numeric};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "lakeward_interval_times", typing: times_type, body: times, strict: true },
    Function { name: "lakeward_interval_key", typing: key_type, body: key, strict: true },
    Function { name: "lakeward_timestamp_minus", typing: minus_type, body: minus, strict: true },
    Function {
        name: "lakeward_date_minus",
        typing: |types, _| (types == [DataType::Date32, DataType::Date32]).then_some(DataType::Int32),
        body: days_between,
        strict: true,
    },
    Function { name: "justify_days", typing: ONE, body: justify_days, strict: true },
    Function { name: "justify_hours", typing: ONE, body: justify_hours, strict: true },
    Function { name: "justify_interval", typing: ONE, body: justify_interval, strict: true },
    Function { name: "make_interval", typing: make_type, body: make, strict: true },
];

const ONE: Typing = |types, _| (types == [INTERVAL]).then_some(INTERVAL);

/// `interval * number`; `number` is the reciprocal's where it was divided.
fn times_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    matches!(types, [left, _, divides] if *left == INTERVAL && *divides == DataType::Boolean).then_some(INTERVAL)
}

fn times(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [left, factor, ScalarValue::Boolean(Some(divides))] = arguments else {
        return Err(Fault::unsupported("this product"));
    };
    let (Some(left), Some(factor)) = (interval_of(left), float(factor)) else {
        return Err(Fault::unsupported("this product"));
    };
    if *divides && factor == 0.0 {
        return Err(Fault::new(lakeward_base::SqlState::DIVISION_BY_ZERO, "division by zero"));
    }
    let apply = |part: f64| if *divides { part / factor } else { part * factor };
    let micros = left.nanoseconds / 1000;
    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL multiplies intervals as double precision")]
    let parts = (apply(f64::from(left.months)), apply(f64::from(left.days)), apply(micros as f64));
    spread(parts.0, parts.1, parts.2).ok_or_else(|| Fault::out_of_range("interval"))
}

/// Fractions of months become days, fractions of days become time.
#[expect(clippy::cast_possible_truncation, reason = "looked at before")]
fn spread(months: f64, days: f64, micros: f64) -> Option<ScalarValue> {
    let fits = |value: f64, limit: f64| value.is_finite() && value.abs() < limit;
    if !(fits(months, 2e9) && fits(days, 2e9) && fits(micros, 9e15)) {
        return None;
    }
    let month_days = (months.fract() * 30.0 * 1e6).round() / 1e6;
    let day_micros = ((days.fract() + month_days.fract()) * 86_400.0 * 1e6).round();
    let days = days.trunc() as i64 + month_days.trunc() as i64;
    let micros = micros.round() as i64 + day_micros as i64;
    Some(interval(months.trunc() as i32, i32::try_from(days).ok()?, micros.checked_mul(1000)?))
}

fn key_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types == [INTERVAL]).then_some(DataType::Decimal128(38, 0))
}

fn key(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let Some(parts) = arguments.first().and_then(interval_of) else {
        return Err(Fault::unsupported("this comparison"));
    };
    let days = i128::from(parts.months) * 30 + i128::from(parts.days);
    Ok(numeric(days * i128::from(DAY) + i128::from(parts.nanoseconds / 1000), 0))
}

fn minus_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let is_time = |data_type: &DataType| matches!(normal_type(data_type), DataType::Timestamp(..) | DataType::Date32);
    matches!(types, [left, right] if is_time(left) && is_time(right)).then_some(INTERVAL)
}

/// Days and time, no months.
fn minus(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [left, right] = arguments else { return Err(Fault::unsupported("this difference")) };
    let (Some(left), Some(right)) = (moment(left), moment(right)) else { return Err(Fault::out_of_range("timestamp")) };
    let micros = left.signed_duration_since(right).num_microseconds().ok_or_else(|| Fault::out_of_range("interval"))?;
    let days = i32::try_from(micros / DAY).map_err(|_| Fault::out_of_range("interval"))?;
    Ok(interval(0, days, micros % DAY * 1000))
}

fn days_between(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    match arguments {
        [ScalarValue::Date32(Some(left)), ScalarValue::Date32(Some(right))] => {
            let days = left.checked_sub(*right).ok_or_else(|| Fault::out_of_range("integer"))?;
            Ok(ScalarValue::Int32(Some(days)))
        }
        _ => Err(Fault::unsupported("this difference")),
    }
}

fn given(arguments: &[ScalarValue]) -> Result<IntervalMonthDayNano, Fault> {
    arguments.first().and_then(interval_of).ok_or_else(|| Fault::unsupported("this interval"))
}

fn justified(months: i32, days: i64, micros: i64) -> Result<ScalarValue, Fault> {
    let days = i32::try_from(days).map_err(|_| Fault::out_of_range("interval"))?;
    Ok(interval(months, days, micros * 1000))
}

fn justify_days(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let parts = given(arguments)?;
    let months = parts.months.checked_add(parts.days / 30).ok_or_else(|| Fault::out_of_range("interval"))?;
    let (mut months, mut days) = (months, i64::from(parts.days % 30));
    balance(&mut months, &mut days, 30);
    justified(months, days, parts.nanoseconds / 1000)
}

fn justify_hours(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let parts = given(arguments)?;
    let micros = parts.nanoseconds / 1000;
    let (mut days, mut rest) = (i64::from(parts.days) + micros / DAY, micros % DAY);
    if days > 0 && rest < 0 {
        (days, rest) = (days - 1, rest + DAY);
    } else if days < 0 && rest > 0 {
        (days, rest) = (days + 1, rest - DAY);
    }
    justified(parts.months, days, rest)
}

fn justify_interval(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let parts = given(arguments)?;
    let hours = justify_hours(&[interval(parts.months, parts.days, parts.nanoseconds)], call)?;
    let parts = given(&[hours])?;
    let months = parts.months.checked_add(parts.days / 30).ok_or_else(|| Fault::out_of_range("interval"))?;
    let (mut months, mut days) = (months, i64::from(parts.days % 30));
    let mut micros = parts.nanoseconds / 1000;
    if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    if days > 0 && micros < 0 {
        (days, micros) = (days - 1, micros + DAY);
    } else if days < 0 && micros > 0 {
        (days, micros) = (days + 1, micros - DAY);
    }
    justified(months, days, micros)
}

fn balance(months: &mut i32, days: &mut i64, unit: i64) {
    if *months > 0 && *days < 0 {
        (*months, *days) = (*months - 1, *days + unit);
    } else if *months < 0 && *days > 0 {
        (*months, *days) = (*months + 1, *days - unit);
    }
}

fn make_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() <= 7 && types.iter().all(|given| given.is_numeric())).then_some(INTERVAL)
}

/// Years, months, weeks, days, hours, minutes, seconds.
fn make(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let part = |index: usize| arguments.get(index).and_then(float).unwrap_or(0.0);
    let micros = (part(4) * 3600.0 + part(5) * 60.0) * 1e6 + (part(6) * 1e6).round();
    spread(part(0) * 12.0 + part(1), part(2) * 7.0 + part(3), micros).ok_or_else(|| Fault::out_of_range("interval"))
}

/// Reads `1 year 2 mons 3 days 04:05:06`, `P1Y2M`, `1-2`, `… ago`.
pub(super) fn parse(text: &str) -> Option<ScalarValue> {
    if let Some(iso) = text.strip_prefix('P') {
        return parse_iso(iso);
    }
    let lower = text.to_ascii_lowercase();
    let (lower, ago) = match lower.strip_suffix("ago") {
        Some(rest) => (rest.trim().to_owned(), true),
        None => (lower.trim_start_matches('@').trim().to_owned(), false),
    };
    let mut parts = [0.0_f64; 3];
    let mut any = false;
    let words = words(&lower);
    let mut index = 0;
    while let Some(word) = words.get(index) {
        index += 1;
        any = true;
        if word.contains(':') {
            add(&mut parts, 2, clock(word)?);
        } else if let Some((years, months)) = word.get(1..)?.split_once('-') {
            let sign = if word.starts_with('-') { -1.0 } else { 1.0 };
            let years: f64 = format!("{}{years}", word.chars().next()?).trim_start_matches('-').parse().ok()?;
            add(&mut parts, 0, sign * (years * 12.0 + months.parse::<f64>().ok()?));
        } else {
            let number: f64 = word.parse().ok()?;
            let unit = match words.get(index) {
                Some(unit) => unit.as_str(),
                None => "second",
            };
            index += 1;
            let (place, factor) = unit_of(unit)?;
            add(&mut parts, place, number * factor);
        }
    }
    let sign = if ago { -1.0 } else { 1.0 };
    let [months, days, micros] = parts;
    any.then(|| spread(sign * months, sign * days, sign * micros))?
}

fn add(parts: &mut [f64; 3], place: usize, amount: f64) {
    if let Some(part) = parts.get_mut(place) {
        *part += amount;
    }
}

/// `1day` is two words.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        match word.find(|c: char| c.is_ascii_alphabetic()) {
            Some(at) if at > 0 => {
                let (number, unit) = word.split_at(at);
                words.extend([number.to_owned(), unit.to_owned()]);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn clock(word: &str) -> Option<f64> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    let numbers = word.split(':').map(|part| part.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
    let seconds = match numbers.as_slice() {
        [hours, minutes] => hours * 3600.0 + minutes * 60.0,
        [hours, minutes, seconds] => hours * 3600.0 + minutes * 60.0 + seconds,
        _ => return None,
    };
    Some(sign * (seconds * 1e6).round())
}

/// Which part a unit counts, and how many of it.
fn unit_of(unit: &str) -> Option<(usize, f64)> {
    Some(match unit {
        "millennium" | "millennia" | "mil" | "mils" => (0, 12_000.0),
        "century" | "centuries" | "c" => (0, 1200.0),
        "decade" | "decades" | "dec" | "decs" => (0, 120.0),
        "year" | "years" | "y" | "yr" | "yrs" => (0, 12.0),
        "month" | "months" | "mon" | "mons" => (0, 1.0),
        "week" | "weeks" | "w" => (1, 7.0),
        "day" | "days" | "d" => (1, 1.0),
        "hour" | "hours" | "h" | "hr" | "hrs" => (2, 3.6e9),
        "minute" | "minutes" | "m" | "min" | "mins" => (2, 6e7),
        "second" | "seconds" | "s" | "sec" | "secs" => (2, 1e6),
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => (2, 1e3),
        "microsecond" | "microseconds" | "us" | "usec" | "usecs" => (2, 1.0),
        _ => return None,
    })
}

fn parse_iso(text: &str) -> Option<ScalarValue> {
    let mut parts = [0.0_f64; 3];
    let mut in_time = false;
    let mut number = String::new();
    for character in text.chars() {
        if character == 'T' {
            in_time = true;
        } else if character.is_ascii_alphabetic() {
            let (place, factor) = match (in_time, character) {
                (false, 'Y') => (0, 12.0),
                (false, 'M') => (0, 1.0),
                (false, 'W') => (1, 7.0),
                (false, 'D') => (1, 1.0),
                (true, 'H') => (2, 3.6e9),
                (true, 'M') => (2, 6e7),
                (true, 'S') => (2, 1e6),
                _ => return None,
            };
            add(&mut parts, place, number.parse::<f64>().ok()? * factor);
            number.clear();
        } else {
            number.push(character);
        }
    }
    let [months, days, micros] = parts;
    if number.is_empty() { spread(months, days, micros) } else { None }
}

/// The type of a timestamp's difference, for the planner of operators.
pub(super) fn is_moment(data_type: &DataType) -> bool {
    matches!(normal_type(data_type), DataType::Timestamp(..)) || *data_type == TIMESTAMP
}
