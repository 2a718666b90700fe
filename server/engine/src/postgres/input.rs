//! Reading values from text, as PostgreSQL's input functions do.
//!
//! Invariant: text that is not read whole is an error, never a guess.

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field};
use chrono::{Duration, NaiveDate, NaiveDateTime, Offset, TimeZone};
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use lakeward_base::SqlState;

use super::call::Fault;
use super::value::{self, type_name};
use crate::error::Error;

type Read = Result<ScalarValue, Fault>;

/// Reads a value of `wanted` from text that came in through a protocol: a parameter, a field of COPY's data. Without a
/// zone, times are in UTC.
///
/// # Errors
/// What PostgreSQL says, without the value.
pub fn read_text(text: &str, wanted: &DataType, zone: Option<Tz>) -> Result<ScalarValue, Error> {
    let zone = zone.map_or_else(|| "+00:00".parse(), Ok);
    let zone = zone.map_err(|_| crate::publish::incident("reading", "zone"))?;
    parse(text, wanted, zone).map_err(Fault::of_input)
}

/// Reads a value of `wanted`.
pub(super) fn parse(text: &str, wanted: &DataType, zone: Tz) -> Read {
    let trimmed = text.trim();
    match wanted {
        DataType::Utf8 => Ok(value::utf8(text)),
        DataType::Boolean => {
            boolean(trimmed).ok_or_else(|| syntax(wanted, text)).map(|flag| ScalarValue::Boolean(Some(flag)))
        }
        DataType::Int16 | DataType::Int32 | DataType::Int64 => integer(text, wanted),
        DataType::Float32 | DataType::Float64 => floating(text, wanted),
        DataType::Decimal128(_, scale) => {
            let (digits, given) = exact(trimmed, text)?;
            let digits = super::math::rescale(digits, given, *scale).ok_or_else(numeric_overflow)?;
            fitted(digits, wanted)
        }
        DataType::Date32 => {
            let at = Moment::read(text, wanted)?.at(text)?;
            Ok(value::date(at.date()))
        }
        DataType::Timestamp(_, None) => Moment::read(text, wanted)?.at(text).map(value::timestamp),
        DataType::Timestamp(_, Some(_)) => zoned(text, wanted, zone),
        DataType::Time64(_) => {
            let read = Moment::read(&format!("1970-01-01 {text}"), wanted);
            let moment = read.map_err(|fault| match fault.code() {
                SqlState::DATETIME_FIELD_OVERFLOW => out_of_range(text),
                _ => syntax(wanted, text),
            })?;
            let micros = moment.micros.ok_or_else(|| syntax(wanted, text))?;
            if micros > 86_400_000_000 {
                Err(out_of_range(text))
            } else {
                Ok(ScalarValue::Time64Microsecond(Some(micros)))
            }
        }
        DataType::Interval(_) => super::interval::parse(trimmed).ok_or_else(|| syntax(wanted, text)),
        DataType::Binary => {
            let read = crate::bytea::bytes_of(text);
            read.map(|bytes| ScalarValue::Binary(Some(bytes))).map_err(|error| Fault::of_error(&error))
        }
        DataType::List(item) => list(trimmed, item, zone).ok_or_else(|| {
            Fault::about(SqlState::INVALID_TEXT_REPRESENTATION, "malformed array literal: ", text, "")
        })?,
        _ => Err(Fault::unsupported("a cast from text to this type")),
    }
}

fn syntax(wanted: &DataType, text: &str) -> Fault {
    let temporal = wanted.is_temporal();
    let code = if temporal { SqlState::INVALID_DATETIME_FORMAT } else { SqlState::INVALID_TEXT_REPRESENTATION };
    let name = match wanted {
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        other => type_name(other),
    };
    Fault::about(code, format!("invalid input syntax for type {name}: "), text, "")
}

fn out_of_range(text: &str) -> Fault {
    Fault::about(SqlState::DATETIME_FIELD_OVERFLOW, "date/time field value out of range: ", text, "")
}

fn displaced(text: &str) -> Fault {
    let code = SqlState::INVALID_TIME_ZONE_DISPLACEMENT_VALUE;
    Fault::about(code, "time zone displacement out of range: ", text, "")
}

pub(super) fn numeric_overflow() -> Fault {
    Fault::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
}

/// A `numeric` that its precision can hold.
pub(super) fn fitted(digits: i128, wanted: &DataType) -> Read {
    let DataType::Decimal128(precision, scale) = wanted else { return Err(Fault::unsupported("this numeric type")) };
    let limit = 10_i128.checked_pow(u32::from(*precision));
    if limit.is_some_and(|limit| digits.unsigned_abs() >= limit.unsigned_abs()) {
        return Err(numeric_overflow());
    }
    Ok(ScalarValue::Decimal128(Some(digits), *precision, *scale))
}

/// Every unambiguous beginning of a word counts.
fn boolean(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if begins("true", 1) || begins("yes", 1) || lower == "on" || lower == "1" {
        return Some(true);
    }
    (begins("false", 1) || begins("no", 1) || begins("off", 2) || lower == "0").then_some(false)
}

fn integer(text: &str, wanted: &DataType) -> Read {
    let digits = text.trim();
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax(wanted, text));
    }
    let parsed = digits.parse::<i128>().ok().and_then(|number| super::cast::integer(number, wanted));
    parsed.ok_or_else(|| {
        let after = match wanted {
            DataType::Int16 => " is out of range for type smallint",
            DataType::Int32 => " is out of range for type integer",
            _ => " is out of range for type bigint",
        };
        Fault::about(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value ", text, after)
    })
}

fn floating(text: &str, wanted: &DataType) -> Read {
    let lower = text.trim().to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let special = matches!(unsigned, "nan" | "inf" | "infinity");
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit() || b".e+-".contains(&b));
    let parsed = if special || plain { lower.parse::<f64>().ok() } else { None };
    let parsed = parsed.ok_or_else(|| syntax(wanted, text))?;
    let beyond = |after| Fault::about(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "", text.trim(), after);
    if matches!(wanted, DataType::Float32) {
        #[expect(clippy::cast_possible_truncation, reason = "rounded to the nearest, and looked at")]
        let narrow = parsed as f32;
        if narrow.is_infinite() && !special {
            return Err(beyond(" is out of range for type real"));
        }
        return Ok(ScalarValue::Float32(Some(narrow)));
    }
    if parsed.is_infinite() && !special {
        return Err(beyond(" is out of range for type double precision"));
    }
    Ok(ScalarValue::Float64(Some(parsed)))
}

/// Digits and scale of a number in text.
pub(super) fn exact(number: &str, shown: &str) -> Result<(i128, i8), Fault> {
    let wrong = || syntax(&DataType::Decimal128(38, 0), shown);
    if ["nan", "infinity", "-infinity", "inf", "-inf"].contains(&number.to_ascii_lowercase().as_str()) {
        return Err(Fault::unsupported("numeric NaN or infinity"));
    }
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
        None => (number, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let scale =
        i32::try_from(fraction.len()).map_err(|_| wrong())?.checked_sub(exponent).ok_or_else(numeric_overflow)?;
    let digits = all.trim_start_matches('0');
    let padded = format!("{digits}{}", "0".repeat(usize::try_from(scale.saturating_neg()).unwrap_or(0).min(50)));
    let value = if padded.is_empty() { Ok(0) } else { padded.parse::<i128>() };
    match (value, i8::try_from(scale.max(0))) {
        (Ok(value), Ok(scale)) if scale <= 38 => Ok((sign * value, scale)),
        _ => Err(numeric_overflow()),
    }
}

/// `{1,2,NULL,"a b"}`; of as many dimensions as the type wanted has.
fn list(text: &str, item: &Field, zone: Tz) -> Option<Read> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut values = Vec::new();
    let mut rest = inner.trim();
    let is_nested = matches!(item.data_type(), DataType::List(_));
    while !rest.is_empty() {
        let (raw, is_quoted, after) = if is_nested { sublist(rest)? } else { element(rest)? };
        if !is_quoted && raw.eq_ignore_ascii_case("null") {
            values.push(ScalarValue::try_from(item.data_type()).ok()?);
        } else {
            match parse(&raw, item.data_type(), zone) {
                Ok(value) => values.push(value),
                Err(fault) => return Some(Err(fault)),
            }
        }
        rest = match after.trim_start().strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            Some(_) => return None,
            None if after.trim().is_empty() => "",
            None => return None,
        };
    }
    if is_nested && !is_rectangular(&values) {
        let message = "multidimensional arrays must have array expressions with matching dimensions";
        return Some(Err(Fault::new(SqlState::INVALID_TEXT_REPRESENTATION, message)));
    }
    Some(Ok(list_of(values, item.data_type())))
}

/// Whether all lists have the same length.
fn is_rectangular(lists: &[ScalarValue]) -> bool {
    let mut lengths = lists.iter().map(|list| value::elements(list).map(|elements| elements.len()));
    let first = lengths.next();
    lengths.all(|length| Some(length) == first)
}

/// A list within a list, with its braces.
fn sublist(text: &str) -> Option<(String, bool, &str)> {
    if !text.starts_with('{') {
        return None;
    }
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    for (index, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '{' if !is_quoted => depth += 1,
            '}' if !is_quoted => {
                depth -= 1;
                if depth == 0 {
                    let (raw, after) = text.split_at_checked(index + 1)?;
                    return Some((raw.to_owned(), false, after));
                }
            }
            _ => {}
        }
    }
    None
}

/// An array value.
pub(super) fn list_of(values: Vec<ScalarValue>, item: &DataType) -> ScalarValue {
    let array = if values.is_empty() { None } else { ScalarValue::iter_to_array(values).ok() };
    let array = array.unwrap_or_else(|| arrow::array::new_empty_array(item));
    SingleRowListArrayBuilder::new(array).with_nullable(true).build_list_scalar()
}

fn element(text: &str) -> Option<(String, bool, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (raw, after) = text.split_at(end);
        let raw = raw.trim();
        let plain = !raw.is_empty() && !raw.contains(['{', '}', '"', '\\']);
        return plain.then(|| (raw.to_owned(), false, after));
    };
    let mut raw = String::new();
    let mut characters = inner.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((raw, true, inner.get(index + 1..)?)),
            '\\' => raw.push(characters.next()?.1),
            other => raw.push(other),
        }
    }
    None
}

/// A point in time as text gives it.
struct Moment {
    before_christ: bool,
    date: Option<NaiveDate>,
    /// Microseconds since midnight.
    micros: Option<i64>,
    offset: Option<Shift>,
}

enum Shift {
    Seconds(i32),
    Zone(Tz),
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The number of a month's name.
pub(super) fn month_of(word: &str) -> Option<u32> {
    let lower = word.to_ascii_lowercase();
    let full = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let place = MONTHS.iter().zip(full).position(|(short, full)| lower == *short || lower == full)?;
    u32::try_from(place + 1).ok()
}

impl Moment {
    fn read(text: &str, wanted: &DataType) -> Result<Self, Fault> {
        let wrong = || syntax(wanted, text);
        let trimmed = text.trim();
        if let Some(moment) = Self::canonical(trimmed) {
            return Ok(moment);
        }
        let mut moment = Self { before_christ: false, date: None, micros: None, offset: None };
        match trimmed.to_ascii_lowercase().as_str() {
            "epoch" => {
                moment.date = NaiveDate::from_ymd_opt(1970, 1, 1);
                return Ok(moment);
            }
            "infinity" | "-infinity" => return Err(Fault::unsupported("an infinite date or time")),
            "now" | "today" | "tomorrow" | "yesterday" => {
                return Err(Fault::unsupported("a date or time relative to now, as text"));
            }
            _ => {}
        }
        let era = trimmed.len().checked_sub(3).and_then(|at| trimmed.split_at_checked(at));
        let (trimmed, era) = era.filter(|(_, era)| era.starts_with(' ')).unwrap_or((trimmed, ""));
        moment.before_christ = era.eq_ignore_ascii_case(" bc");
        let trimmed = if moment.before_christ || era.eq_ignore_ascii_case(" ad") { trimmed } else { text.trim() };
        let spaced = separate(trimmed);
        let mut loose: Vec<u32> = Vec::new();
        let mut month = None;
        for word in spaced.split([' ', ',']).filter(|word| !word.is_empty()) {
            moment.word(word, text, &mut loose, &mut month).ok_or_else(wrong)??;
        }
        if moment.date.is_none() {
            moment.date = match (month, loose.as_slice()) {
                (Some(month), &[day, year]) => {
                    let (day, year) = if day > 31 { (year, day) } else { (day, year) };
                    let date = date_of(year, month, day, moment.before_christ);
                    Some(date.ok_or_else(|| out_of_range(text))?)
                }
                _ => return Err(wrong()),
            };
        }
        Ok(moment)
    }

    /// `2024-01-31`, with or without ` 08:15:00.5`: what programs write, and tables hold in great numbers.
    fn canonical(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |range: std::ops::Range<usize>| {
            let digits = bytes.get(range)?;
            digits.iter().all(u8::is_ascii_digit).then_some(())?;
            Some(digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
        };
        let sign = |at: usize, wanted: u8| bytes.get(at).filter(|byte| **byte == wanted);
        let date = date_of(number(0..4)?, number(5..7)?, number(8..10)?, false)?;
        sign(4, b'-').and(sign(7, b'-'))?;
        let mut moment = Self { before_christ: false, date: Some(date), micros: None, offset: None };
        if bytes.len() == 10 {
            return Some(moment);
        }
        sign(10, b' ').and(sign(13, b':')).and(sign(16, b':'))?;
        let (hours, minutes, seconds) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let fraction = bytes.get(19..)?;
        let micros = match fraction.split_first() {
            None => 0,
            Some((b'.', digits)) if (1..=6).contains(&digits.len()) => {
                number(20..bytes.len())? * 10_u32.pow(6 - u32::try_from(digits.len()).ok()?)
            }
            Some(_) => return None,
        };
        if hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let clock = i64::from((hours * 60 + minutes) * 60 + seconds);
        moment.micros = Some(clock * 1_000_000 + i64::from(micros));
        Some(moment)
    }

    /// Takes one word in; `None`: it cannot be read.
    fn word(
        &mut self,
        word: &str,
        text: &str,
        loose: &mut Vec<u32>,
        month: &mut Option<u32>,
    ) -> Option<Result<(), Fault>> {
        let lower = word.to_ascii_lowercase();
        if word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()) {
            if self.micros.is_some() {
                return None;
            }
            let (clock, offset) = match word.find(['+', '-', 'Z', 'z']) {
                Some(at) => word.split_at(at),
                None => (word, ""),
            };
            self.micros = Some(match clock_of(clock)? {
                Some(micros) => micros,
                None => return Some(Err(out_of_range(text))),
            });
            if !offset.is_empty() {
                self.offset = Some(match offset_of(offset)? {
                    Some(seconds) => Shift::Seconds(seconds),
                    None => return Some(Err(displaced(text))),
                });
            }
            return Some(Ok(()));
        }
        if (lower == "am" || lower == "pm") && self.micros.is_some() {
            let micros = self.micros?;
            let hour = micros / 3_600_000_000;
            let shifted = match (lower.as_str(), hour) {
                ("am", 12) => micros - 12 * 3_600_000_000,
                ("pm", 1..12) => micros + 12 * 3_600_000_000,
                (_, 1..=12) => micros,
                _ => return Some(Err(out_of_range(text))),
            };
            self.micros = Some(shifted);
            return Some(Ok(()));
        }
        if let Some(number) = month_of(word) {
            return month.replace(number).is_none().then_some(Ok(()));
        }
        if word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() < 7 {
            loose.push(word.parse().ok()?);
            return Some(Ok(()));
        }
        if self.date.is_none() && word.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(match calendar(word, self.before_christ)? {
                Some(date) => {
                    self.date = Some(date);
                    Ok(())
                }
                None => Err(out_of_range(text)),
            });
        }
        // A date may have an offset alone: Java's driver sends one.
        let follows_date = self.date.is_some() && word.starts_with(['+', '-']);
        if self.offset.is_some() || (self.micros.is_none() && !follows_date) {
            return None;
        }
        self.offset = Some(match offset_of(word) {
            Some(Some(seconds)) => Shift::Seconds(seconds),
            Some(None) => return Some(Err(displaced(text))),
            None => Shift::Zone(word.parse().ok()?),
        });
        Some(Ok(()))
    }

    fn at(&self, text: &str) -> Result<NaiveDateTime, Fault> {
        let midnight = self.date.and_then(|date| date.and_hms_opt(0, 0, 0));
        let clock = Duration::microseconds(self.micros.unwrap_or(0));
        midnight.and_then(|midnight| midnight.checked_add_signed(clock)).ok_or_else(|| out_of_range(text))
    }
}

/// `2024-01-31T08:15` to two words.
fn separate(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_between = |index: usize| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        matches!(bytes.get(index), Some(b'T' | b't')) && digit(index.checked_sub(1)) && digit(Some(index + 1))
    };
    text.char_indices().map(|(index, c)| if is_between(index) { ' ' } else { c }).collect()
}

/// Microseconds of `HH:MM[:SS[.f]]`; `Some(None)`: out of range.
fn clock_of(word: &str) -> Option<Option<i64>> {
    let mut parts = word.split(':');
    let hours = number(parts.next()?)?;
    let minutes = number(parts.next()?)?;
    let seconds = parts.next().unwrap_or("0");
    if parts.next().is_some() {
        return None;
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole = number(whole)?;
    if hours > 24 || minutes > 59 || whole > 60 {
        return Some(None);
    }
    let total = ((hours * 60 + minutes) * 60 + whole) * 1_000_000 + micros_of(fraction)?;
    Some((total <= 86_400_000_000).then_some(total))
}

/// Digits and nothing else: `parse` would take a sign.
fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Microseconds of the digits after the point, rounded.
fn micros_of(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seven = number(format!("{fraction:0<7}").get(..7)?)?;
    Some((seven + 5) / 10)
}

/// Seconds east of UTC; `Some(None)`: out of range.
fn offset_of(word: &str) -> Option<Option<i32>> {
    if word.eq_ignore_ascii_case("z") || word.eq_ignore_ascii_case("utc") || word.eq_ignore_ascii_case("gmt") {
        return Some(Some(0));
    }
    let sign = match word.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits = word.get(1..)?.replace(':', "");
    let number = i32::try_from(number(&digits)?).ok()?;
    let (hours, minutes, seconds) = match digits.len() {
        1 | 2 => (number, 0, 0),
        3 | 4 => (number / 100, number % 100, 0),
        6 => (number / 10_000, number / 100 % 100, number % 100),
        _ => return None,
    };
    let fits = hours <= MAX_OFFSET_HOURS && minutes < 60 && seconds < 60;
    Some(fits.then_some(sign * ((hours * 60 + minutes) * 60 + seconds)))
}

/// PostgreSQL's `MAX_TZDISP_HOUR`.
const MAX_OFFSET_HOURS: i32 = 15;

/// A date in one word; `Some(None)`: out of range.
fn calendar(word: &str, before_christ: bool) -> Option<Option<NaiveDate>> {
    let number = |text: &str| text.parse::<u32>().ok();
    let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
    let (year, month, day) = match parts.as_slice() {
        [digits] if digits.len() == 8 => {
            (number(digits.get(..4)?)?, number(digits.get(4..6)?)?, number(digits.get(6..)?)?)
        }
        [year, month, day] if year.len() >= 4 && !word.contains('/') => (number(year)?, number(month)?, number(day)?),
        [day, name, year] if month_of(name).is_some() => (number(year)?, month_of(name)?, number(day)?),
        [month, day, year] if word.contains('/') && year.len() >= 4 => (number(year)?, number(month)?, number(day)?),
        _ => return None,
    };
    Some(date_of(year, month, day, before_christ))
}

/// A day of PostgreSQL's calendar, which begins in 4714 BC and has no year 0.
fn date_of(year: u32, month: u32, day: u32, before_christ: bool) -> Option<NaiveDate> {
    let year = i32::try_from(year).ok().filter(|year| *year > 0)?;
    let date = NaiveDate::from_ymd_opt(if before_christ { 1 - year } else { year }, month, day)?;
    (date >= NaiveDate::from_ymd_opt(-4713, 11, 24)?).then_some(date)
}

fn zoned(text: &str, wanted: &DataType, zone: Tz) -> Read {
    let moment = Moment::read(text, wanted)?;
    let local = moment.at(text)?;
    let utc = match moment.offset {
        Some(Shift::Seconds(seconds)) => local.checked_sub_signed(Duration::seconds(i64::from(seconds))),
        Some(Shift::Zone(named)) => to_utc(local, named),
        None => to_utc(local, zone),
    };
    let utc = utc.ok_or_else(|| out_of_range(text))?;
    Ok(ScalarValue::TimestampMicrosecond(Some(utc.and_utc().timestamp_micros()), Some("UTC".into())))
}

/// A local time at UTC. Where clocks were put back the first of the two, where they were put forward as before.
pub(super) fn to_utc(local: NaiveDateTime, zone: Tz) -> Option<NaiveDateTime> {
    if let Some(at) = zone.from_local_datetime(&local).earliest() {
        return Some(at.naive_utc());
    }
    let before = zone.from_local_datetime(&local.checked_sub_signed(Duration::hours(3))?).earliest()?;
    local.checked_sub_signed(Duration::seconds(i64::from(before.offset().fix().local_minus_utc())))
}

#[cfg(test)]
mod tests {
    use super::{clock_of, offset_of};

    #[test]
    fn clocks_and_offsets_are_digits_and_nothing_else() {
        assert_eq!(clock_of("12:00:00.1234567"), Some(Some(43_200_123_457)));
        assert_eq!((clock_of("12:00:00.1e5"), clock_of("+1:00"), clock_of("1:-0")), (None, None, None));
        assert_eq!((clock_of("25:00"), clock_of("24:00:01")), (Some(None), Some(None)));
        assert_eq!((offset_of("+05:30"), offset_of("-8")), (Some(Some(19_800)), Some(Some(-28_800))));
        assert_eq!((offset_of("+-5"), offset_of("+16"), offset_of("+01:99")), (None, Some(None), Some(None)));
    }
}
