//! PostgreSQL's text form of a value.
//!
//! Invariant: what reads the text back (`input`) finds the same value.

use arrow::array::timezone::Tz;
use arrow::datatypes::IntervalMonthDayNano;
use chrono::{Datelike, NaiveDateTime, Offset, TimeZone, Timelike};
use datafusion::common::ScalarValue;

use super::value::{decimal, decimal_text, elements, moment};

/// The text of a value that is not NULL.
pub(crate) fn text_of(value: &ScalarValue, zone: Tz) -> Option<String> {
    Some(match value {
        ScalarValue::Utf8(text) => text.clone()?,
        ScalarValue::Boolean(flag) => if (*flag)? { "t" } else { "f" }.to_owned(),
        ScalarValue::Float64(value) => float_text((*value)?, 15),
        ScalarValue::Float32(value) => float32_text((*value)?),
        ScalarValue::Decimal256(digits, _, scale) if decimal(value).is_none() => {
            let text = (*digits)?.to_string();
            let scale = usize::try_from(*scale).ok()?;
            let (whole, fraction) = text.split_at_checked(text.len().checked_sub(scale)?)?;
            format!("{whole}.{fraction}")
        }
        ScalarValue::Date32(_) => date_text(moment(value)?),
        ScalarValue::TimestampMicrosecond(_, None) => timestamp_text(moment(value)?),
        ScalarValue::TimestampMicrosecond(_, Some(_)) => timestamptz_text(moment(value)?, zone),
        ScalarValue::Time64Microsecond(Some(micros)) => time_text(*micros),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => interval_text(interval),
        ScalarValue::Binary(bytes) => {
            bytes.as_ref()?.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        }
        ScalarValue::List(_) | ScalarValue::LargeList(_) | ScalarValue::FixedSizeList(_) => array_text(value, zone)?,
        ScalarValue::Struct(_) | ScalarValue::Map(_) => super::document::Json::of(value, zone)?.to_jsonb(),
        _ => {
            let (digits, scale) = decimal(value)?;
            decimal_text(digits, scale)
        }
    })
}

fn float_text(value: f64, limit: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    exponent_form(&format!("{value:e}"), &format!("{value}"), limit)
}

fn float32_text(value: f32) -> String {
    if value.is_nan() || value.is_infinite() {
        return float_text(f64::from(value), 6);
    }
    exponent_form(&format!("{value:e}"), &format!("{value}"), 6)
}

/// Rust writes the shortest digits; PostgreSQL puts an exponent below −4 and from `limit` on.
fn exponent_form(scientific: &str, plain: &str, limit: i32) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return plain.to_owned() };
    let Ok(exponent) = exponent.parse::<i32>() else { return plain.to_owned() };
    if (-4..limit).contains(&exponent) {
        return plain.to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn date_text(at: NaiveDateTime) -> String {
    let (year, era) = if at.year() > 0 { (at.year(), "") } else { (1 - at.year(), " BC") };
    format!("{year:04}-{:02}-{:02}{era}", at.month(), at.day())
}

fn clock_text(at: NaiveDateTime) -> String {
    fraction(format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()), i64::from(at.nanosecond() / 1000))
}

fn fraction(whole: String, micros: i64) -> String {
    if micros == 0 {
        return whole;
    }
    format!("{whole}.{micros:06}").trim_end_matches('0').to_owned()
}

fn timestamp_text(at: NaiveDateTime) -> String {
    let date = date_text(at);
    match date.strip_suffix(" BC") {
        Some(date) => format!("{date} {} BC", clock_text(at)),
        None => format!("{date} {}", clock_text(at)),
    }
}

fn timestamptz_text(at: NaiveDateTime, zone: Tz) -> String {
    let local = zone.from_utc_datetime(&at);
    let offset = exact_offset_text(local.offset().fix().local_minus_utc());
    let text = timestamp_text(local.naive_local());
    match text.strip_suffix(" BC") {
        Some(text) => format!("{text}{offset} BC"),
        None => format!("{text}{offset}"),
    }
}

/// As [`offset_text`], with seconds where there are some: before standard time, each town had its own.
fn exact_offset_text(seconds: i32) -> String {
    let (sign, minutes, rest) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60, seconds.abs() % 60);
    if rest == 0 {
        return offset_text(seconds);
    }
    format!("{sign}{:02}:{:02}:{rest:02}", minutes / 60, minutes % 60)
}

/// `+05:30`, with minutes only where there are some, and never seconds, as to_char's OF.
pub(super) fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    if minutes % 60 == 0 {
        format!("{sign}{:02}", minutes / 60)
    } else {
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

fn time_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    fraction(clock, micros % 1_000_000)
}

fn interval_text(interval: &IntervalMonthDayNano) -> String {
    let (years, months) = (interval.months / 12, interval.months % 12);
    let mut parts: Vec<String> = Vec::new();
    let mut was_negative = false;
    for (count, unit) in [(years, "year"), (months, "mon"), (interval.days, "day")] {
        if count != 0 {
            let plus = if was_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{plus}{count} {unit}{plural}"));
            was_negative = count < 0;
        }
    }
    let micros = interval.nanoseconds / 1000;
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 {
            "-"
        } else if was_negative {
            "+"
        } else {
            ""
        };
        parts.push(format!("{sign}{}", time_text(micros.abs())));
    }
    parts.join(" ")
}

fn array_text(value: &ScalarValue, zone: Tz) -> Option<String> {
    let mut shown = Vec::new();
    for element in elements(value)? {
        let nested = matches!(element, ScalarValue::List(_));
        shown.push(match text_of(&element, zone) {
            None => "NULL".to_owned(),
            Some(text) if nested => text,
            Some(text) => quoted(text),
        });
    }
    Some(format!("{{{}}}", shown.join(",")))
}

fn quoted(text: String) -> String {
    let needs = text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\' | '\u{b}') || c.is_ascii_whitespace());
    if needs { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) } else { text }
}
