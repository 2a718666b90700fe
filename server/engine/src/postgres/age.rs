//! `age`: the difference of two dates in years, months and days, as people count.
//!
//! Invariant: borrowed days are those of the month of the earlier date, as in PostgreSQL.

use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use datafusion::common::ScalarValue;

use super::call::{Call, Fault, Function};
use super::value::{INTERVAL, interval, moment, normal_type};

/// See the module. `age(d)` is rewritten to `age(current_date, d)`.
pub(super) const FUNCTIONS: &[Function] = &[Function { name: "age", typing, body, strict: true }];

fn typing(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let is_time = |data_type: &DataType| {
        matches!(normal_type(data_type), DataType::Date32 | DataType::Timestamp(..) | DataType::Null | DataType::Utf8)
    };
    (types.len() == 2 && types.iter().all(is_time)).then_some(INTERVAL)
}

fn body(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [to, from] = arguments else { return Err(Fault::unsupported("this call of age")) };
    let (to, from) = (point(to, call)?, point(from, call)?);
    Ok(if to < from { between(from, to, -1) } else { between(to, from, 1) })
}

fn point(value: &ScalarValue, call: &Call<'_>) -> Result<NaiveDateTime, Fault> {
    let parsed = match super::value::text(value) {
        Some(text) => super::input::parse(text, &super::value::TIMESTAMP, call.zone)?,
        None => value.clone(),
    };
    moment(&parsed).ok_or_else(|| Fault::out_of_range("timestamp"))
}

fn between(late: NaiveDateTime, early: NaiveDateTime, sign: i32) -> ScalarValue {
    let month = |at: NaiveDateTime| at.year() * 12 + at.month0().cast_signed();
    let micros =
        |at: NaiveDateTime| i64::from(at.num_seconds_from_midnight()) * 1_000_000 + i64::from(at.nanosecond() / 1000);
    let mut time = micros(late) - micros(early);
    let mut days = late.day().cast_signed() - early.day().cast_signed();
    let mut months = month(late) - month(early);
    if time < 0 {
        (time, days) = (time + 86_400_000_000, days - 1);
    }
    if days < 0 {
        (days, months) = (days + days_in_month(early), months - 1);
    }
    interval(sign * months, sign * days, i64::from(sign) * time * 1000)
}

fn days_in_month(at: NaiveDateTime) -> i32 {
    let first = NaiveDate::from_ymd_opt(at.year(), at.month(), 1);
    let next = first.and_then(|first| first.checked_add_months(chrono::Months::new(1)));
    match (first, next) {
        (Some(first), Some(next)) => i32::try_from((next - first).num_days()).unwrap_or(30),
        _ => 30,
    }
}
