//! Dates and times: fields, truncation, zones, and making them from numbers.
//!
//! Invariant: a field of a `timestamptz` is read on the session's clock.

use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::{Call, Fault, Function};
use super::value::{
    self, INTERVAL, TIME, TIMESTAMP, float, interval, interval_of, moment, normal_type, numeric, text, timestamptz,
    type_name, whole,
};

/// `extract(field FROM …)` in the syntax tree.
pub(super) const EXTRACT: &str = "lakeward_extract";

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: EXTRACT, typing: extract_type, body: extract, strict: true },
    Function { name: "date_part", typing: part_type, body: date_part, strict: true },
    Function { name: "date_trunc", typing: trunc_type, body: trunc, strict: true },
    Function { name: "timezone", typing: zone_type, body: timezone, strict: true },
    Function { name: "to_timestamp", typing: to_timestamp_type, body: to_timestamp, strict: true },
    Function {
        name: "to_date",
        typing: |types, _| (types.len() == 2).then_some(DataType::Date32),
        body: to_date,
        strict: true,
    },
    Function {
        name: "make_date",
        typing: |types, _| (types.len() == 3).then_some(DataType::Date32),
        body: make_date,
        strict: true,
    },
    Function {
        name: "make_time",
        typing: |types, _| (types.len() == 3).then_some(TIME),
        body: make_time,
        strict: true,
    },
    Function {
        name: "make_timestamp",
        typing: |types, _| (types.len() == 6).then_some(TIMESTAMP),
        body: make_timestamp,
        strict: true,
    },
    Function {
        name: "isfinite",
        typing: |types, _| (types.len() == 1).then_some(DataType::Boolean),
        body: |_, _| Ok(ScalarValue::Boolean(Some(true))),
        strict: true,
    },
];

fn is_temporal(data_type: &DataType) -> bool {
    matches!(
        normal_type(data_type),
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) | DataType::Interval(_)
    )
}

fn extract_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    let [_, value] = types else { return None };
    let field = constants.first().copied().flatten().and_then(text)?.to_ascii_lowercase();
    let scale = match field.as_str() {
        "epoch" if *value == DataType::Date32 => 0,
        "epoch" | "second" | "seconds" => 6,
        "millisecond" | "milliseconds" => 3,
        _ => 0,
    };
    is_temporal(value).then_some(DataType::Decimal128(38, scale))
}

fn part_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    matches!(types, [DataType::Utf8, value] if is_temporal(value)).then_some(DataType::Float64)
}

/// A field in microseconds of its unit.
fn extract(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let micros = field(arguments, call)?;
    let DataType::Decimal128(_, scale) = call.returns else { return Err(Fault::unsupported("this field")) };
    let unit = 10_i128.pow(6 - u32::from(scale.unsigned_abs()).min(6));
    Ok(numeric(micros / unit, *scale))
}

fn date_part(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    #[expect(clippy::cast_precision_loss, reason = "date_part is double precision")]
    let value = field(arguments, call)? as f64 / 1e6;
    Ok(ScalarValue::Float64(Some(value)))
}

fn field(arguments: &[ScalarValue], call: &Call<'_>) -> Result<i128, Fault> {
    let [name, value] = arguments else { return Err(Fault::unsupported("this call")) };
    let name = text(name).unwrap_or_default().to_ascii_lowercase();
    let shown = type_name(&value.data_type());
    let unknown = || {
        let code = SqlState::INVALID_PARAMETER_VALUE;
        Fault::about(code, "unit ", &name, suffix(&shown, "recognized"))
    };
    if let Some(parts) = interval_of(value) {
        return of_interval(&name, parts).ok_or_else(unknown);
    }
    if let ScalarValue::Time64Microsecond(Some(micros)) = value {
        return of_clock(&name, *micros).ok_or_else(unknown);
    }
    let utc = moment(value).ok_or_else(|| Fault::out_of_range("timestamp"))?;
    let is_date = matches!(value, ScalarValue::Date32(_));
    if is_date && name != "epoch" && of_clock(&name, 0).is_some() {
        return Err(Fault::about(SqlState::FEATURE_NOT_SUPPORTED, "unit ", &name, suffix(&shown, "supported")));
    }
    let is_zoned = matches!(value, ScalarValue::TimestampMicrosecond(_, Some(_)));
    of_moment(&name, utc, is_zoned.then_some(call.zone)).ok_or_else(unknown)
}

/// A field of a moment, on the clock of a zone, in microseconds of its unit.
pub(super) fn of_moment(name: &str, utc: NaiveDateTime, zone: Option<Tz>) -> Option<i128> {
    use chrono::Offset;
    let whole = |number: i64| i128::from(number) * 1_000_000;
    let local = zone.map_or(utc, |zone| zone.from_utc_datetime(&utc).naive_local());
    if name == "epoch" {
        return Some(i128::from(utc.and_utc().timestamp_micros()));
    }
    if let Some(number) = of_calendar(name, local) {
        return Some(whole(number));
    }
    let micros = i64::from(local.num_seconds_from_midnight()) * 1_000_000 + i64::from(local.nanosecond() / 1000);
    if let Some(number) = of_clock(name, micros) {
        return Some(number);
    }
    let seconds = i64::from(zone?.offset_from_utc_datetime(&utc).fix().local_minus_utc());
    Some(whole(match name {
        "timezone_hour" => seconds / 3600,
        "timezone_minute" => seconds / 60 % 60,
        "timezone" => seconds,
        _ => return None,
    }))
}

fn suffix(shown: &str, what: &str) -> &'static str {
    match (shown, what) {
        ("date", "supported") => " not supported for type date",
        ("date", _) => " not recognized for type date",
        ("interval", _) => " not recognized for type interval",
        ("time without time zone", _) => " not recognized for type time without time zone",
        ("timestamp with time zone", _) => " not recognized for type timestamp with time zone",
        _ => " not recognized for type timestamp without time zone",
    }
}

fn of_calendar(name: &str, at: NaiveDateTime) -> Option<i64> {
    let year = i64::from(at.year());
    let week = at.iso_week();
    Some(match name {
        "year" | "years" => year,
        "month" | "months" => i64::from(at.month()),
        "day" | "days" => i64::from(at.day()),
        "quarter" => i64::from(at.month0() / 3 + 1),
        "week" => i64::from(week.week()),
        "isoyear" => i64::from(week.year()),
        "dow" => i64::from(at.weekday().num_days_from_sunday()),
        "isodow" => i64::from(at.weekday().number_from_monday()),
        "doy" => i64::from(at.ordinal()),
        "decade" => year.div_euclid(10),
        "century" => (year + 99).div_euclid(100),
        "millennium" => (year + 999).div_euclid(1000),
        "julian" => i64::from(at.num_days_from_ce()) + 1_721_425,
        _ => return None,
    })
}

fn of_clock(name: &str, micros: i64) -> Option<i128> {
    let whole = |number: i64| i128::from(number) * 1_000_000;
    let in_minute = micros % 60_000_000;
    Some(match name {
        "hour" | "hours" => whole(micros / 3_600_000_000),
        "minute" | "minutes" => whole(micros / 60_000_000 % 60),
        "second" | "seconds" => i128::from(in_minute),
        "millisecond" | "milliseconds" => i128::from(in_minute) * 1000,
        "microsecond" | "microseconds" => whole(in_minute),
        "epoch" => i128::from(micros),
        _ => return None,
    })
}

fn of_interval(name: &str, parts: arrow::datatypes::IntervalMonthDayNano) -> Option<i128> {
    let whole = |number: i64| i128::from(number) * 1_000_000;
    let (months, micros) = (i64::from(parts.months), parts.nanoseconds / 1000);
    Some(match name {
        "year" | "years" => whole(months / 12),
        "month" | "months" => whole(months % 12),
        "quarter" => whole(months % 12 / 3 + 1),
        "decade" => whole(months / 120),
        "century" => whole(months / 1200),
        "day" | "days" => whole(i64::from(parts.days)),
        // A year is 365.25 days, a month of the rest 30.
        "epoch" => {
            let days = i128::from(parts.days) + i128::from(months % 12) * 30;
            i128::from(months / 12) * 31_557_600_000_000 + days * 86_400_000_000 + i128::from(micros)
        }
        other => return of_clock(other, micros),
    })
}

fn trunc_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let value = types.get(1).map(normal_type)?;
    match (types.len(), value) {
        (2, DataType::Date32 | DataType::Timestamp(_, Some(_))) => Some(timestamptz()),
        (2, DataType::Timestamp(_, None)) => Some(TIMESTAMP),
        (2, DataType::Interval(_)) => Some(INTERVAL),
        (3, DataType::Date32 | DataType::Timestamp(..)) => Some(timestamptz()),
        _ => None,
    }
}

pub(super) fn trunc(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let unit = arguments.first().and_then(text).unwrap_or_default().to_ascii_lowercase();
    let value = arguments.get(1).ok_or_else(|| Fault::unsupported("this call"))?;
    let unknown = || {
        let shown = if *call.returns == timestamptz() { "timestamp with time zone" } else { "" };
        let shown = if *call.returns == INTERVAL { "interval" } else { shown };
        Fault::about(SqlState::INVALID_PARAMETER_VALUE, "unit ", &unit, suffix(shown, "recognized"))
    };
    if let Some(parts) = interval_of(value) {
        return trunc_interval(&unit, parts).ok_or_else(unknown);
    }
    let zone = match arguments.get(2).and_then(text) {
        Some(name) => zone_named(name)?,
        None => call.zone,
    };
    let at = moment(value).ok_or_else(|| Fault::out_of_range("timestamp"))?;
    if *call.returns == TIMESTAMP {
        return cut(&unit, at).map(value::timestamp).ok_or_else(unknown);
    }
    let is_zoned = matches!(value, ScalarValue::TimestampMicrosecond(_, Some(_)));
    let local = if is_zoned { zone.from_utc_datetime(&at).naive_local() } else { at };
    let utc = super::input::to_utc(cut(&unit, local).ok_or_else(unknown)?, zone);
    let utc = utc.ok_or_else(|| Fault::out_of_range("timestamp"))?;
    Ok(ScalarValue::TimestampMicrosecond(Some(utc.and_utc().timestamp_micros()), Some("UTC".into())))
}

fn zone_named(name: &str) -> Result<Tz, Fault> {
    name.parse().map_err(|_| Fault::about(SqlState::INVALID_PARAMETER_VALUE, "time zone ", name, " not recognized"))
}

pub(super) fn cut(unit: &str, at: NaiveDateTime) -> Option<NaiveDateTime> {
    let year = at.year();
    let first = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0);
    match unit {
        "millennium" => first((year - 1).div_euclid(1000) * 1000 + 1, 1),
        "century" => first((year - 1).div_euclid(100) * 100 + 1, 1),
        "decade" => first(year.div_euclid(10) * 10, 1),
        "year" => first(year, 1),
        "quarter" => first(year, at.month0() / 3 * 3 + 1),
        "month" => first(year, at.month()),
        "week" => {
            let back = u64::from(at.weekday().num_days_from_monday());
            at.date().checked_sub_days(chrono::Days::new(back))?.and_hms_opt(0, 0, 0)
        }
        "day" => at.date().and_hms_opt(0, 0, 0),
        "hour" => at.date().and_hms_opt(at.hour(), 0, 0),
        "minute" => at.date().and_hms_opt(at.hour(), at.minute(), 0),
        "second" => at.with_nanosecond(0),
        "millisecond" | "milliseconds" => at.with_nanosecond(at.nanosecond() / 1_000_000 * 1_000_000),
        "microsecond" | "microseconds" => Some(at),
        _ => None,
    }
}

fn trunc_interval(unit: &str, parts: arrow::datatypes::IntervalMonthDayNano) -> Option<ScalarValue> {
    let nanos = |unit: i64| interval(parts.months, parts.days, parts.nanoseconds / unit * unit);
    Some(match unit {
        "year" => interval(parts.months / 12 * 12, 0, 0),
        "quarter" => interval(parts.months / 3 * 3, 0, 0),
        "month" => interval(parts.months, 0, 0),
        "day" => interval(parts.months, parts.days, 0),
        "hour" => nanos(3_600_000_000_000),
        "minute" => nanos(60_000_000_000),
        "second" => nanos(1_000_000_000),
        _ => return None,
    })
}

fn zone_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    match types {
        [DataType::Utf8, DataType::Timestamp(_, None) | DataType::Date32] => Some(timestamptz()),
        [DataType::Utf8, DataType::Timestamp(_, Some(_))] => Some(TIMESTAMP),
        _ => None,
    }
}

/// `AT TIME ZONE`.
fn timezone(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [name, value] = arguments else { return Err(Fault::unsupported("this call")) };
    let zone = zone_named(text(name).unwrap_or_default())?;
    let at = moment(value).ok_or_else(|| Fault::out_of_range("timestamp"))?;
    if *call.returns == TIMESTAMP {
        return Ok(value::timestamp(zone.from_utc_datetime(&at).naive_local()));
    }
    let utc = super::input::to_utc(at, zone).ok_or_else(|| Fault::out_of_range("timestamp"))?;
    Ok(ScalarValue::TimestampMicrosecond(Some(utc.and_utc().timestamp_micros()), Some("UTC".into())))
}

fn to_timestamp_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    match types {
        [number] if number.is_numeric() => Some(timestamptz()),
        [DataType::Utf8, DataType::Utf8] => Some(timestamptz()),
        _ => None,
    }
}

fn to_timestamp(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let zoned = |micros: i64| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    if let [number] = arguments {
        let seconds = float(number).ok_or_else(|| Fault::unsupported("this call"))?;
        if !seconds.is_finite() || seconds.abs() > 8e12 {
            return Err(Fault::out_of_range("timestamp"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "looked at before")]
        return Ok(zoned((seconds * 1e6).round() as i64));
    }
    let local = super::to_char::read(arguments)?;
    let utc = super::input::to_utc(local, call.zone).ok_or_else(|| Fault::out_of_range("timestamp"))?;
    Ok(zoned(utc.and_utc().timestamp_micros()))
}

fn to_date(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    super::to_char::read(arguments).map(|at| value::date(at.date()))
}

fn part(arguments: &[ScalarValue], index: usize) -> Option<u32> {
    arguments.get(index).and_then(whole).and_then(|number| u32::try_from(number).ok())
}

fn make_date(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    calendar(arguments).map(value::date)
}

fn calendar(arguments: &[ScalarValue]) -> Result<NaiveDate, Fault> {
    let year = arguments.first().and_then(whole).and_then(|year| i32::try_from(year).ok());
    let date = match (year, part(arguments, 1), part(arguments, 2)) {
        (Some(year), Some(month), Some(day)) if year > 0 => NaiveDate::from_ymd_opt(year, month, day),
        _ => None,
    };
    date.ok_or_else(|| Fault::new(SqlState::DATETIME_FIELD_OVERFLOW, "date field value out of range"))
}

fn clock(arguments: &[ScalarValue]) -> Result<i64, Fault> {
    let beyond = || Fault::new(SqlState::DATETIME_FIELD_OVERFLOW, "time field value out of range");
    let (hour, minute) = (part(arguments, 0).ok_or_else(beyond)?, part(arguments, 1).ok_or_else(beyond)?);
    let seconds = arguments.get(2).and_then(float).ok_or_else(beyond)?;
    if hour > 24 || minute > 59 || !(0.0..=60.0).contains(&seconds) {
        return Err(beyond());
    }
    #[expect(clippy::cast_possible_truncation, reason = "looked at before")]
    let micros = (seconds * 1e6).round() as i64;
    Ok((i64::from(hour) * 60 + i64::from(minute)) * 60_000_000 + micros)
}

fn make_time(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    clock(arguments).map(|micros| ScalarValue::Time64Microsecond(Some(micros)))
}

fn make_timestamp(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let date = calendar(arguments)?;
    let micros = clock(arguments.get(3..).unwrap_or_default())?;
    let at = date.and_hms_opt(0, 0, 0).and_then(|at| at.checked_add_signed(chrono::Duration::microseconds(micros)));
    at.map(value::timestamp).ok_or_else(|| Fault::out_of_range("timestamp"))
}
