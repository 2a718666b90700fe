//! `to_char`, and the reading of dates by the same patterns.
//!
//! Invariant: a pattern that is not known is `0A000`; what no pattern is stands as it is.

use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::{Call, Fault, Function, null};
use super::value::{decimal, float, interval_of, moment, normal_type, text, utf8};

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[Function { name: "to_char", typing, body, strict: true }];

fn typing(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let [value, DataType::Utf8 | DataType::Null] = types else { return None };
    let value = normal_type(value);
    let formats = value.is_numeric()
        || matches!(value, DataType::Null | DataType::Date32 | DataType::Timestamp(..) | DataType::Interval(_));
    formats.then_some(DataType::Utf8)
}

fn body(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [value, pattern] = arguments else { return Err(Fault::unsupported("this call of to_char")) };
    let pattern = text(pattern).unwrap_or_default();
    if pattern.is_empty() {
        return null(call.returns);
    }
    if let Some(parts) = interval_of(value) {
        return Clock::of_interval(parts).format(pattern).map(utf8);
    }
    if let Some(at) = moment(value) {
        return Clock::of(at, value, call).format(pattern).map(utf8);
    }
    super::text::number_format(value, pattern).map(utf8)
}

/// What patterns ask for.
struct Clock {
    date: Option<NaiveDate>,
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
    zone: Option<(String, i32)>,
}

const PATTERNS: &[&str] = &[
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "A.M.",
    "P.M.", "AM", "PM", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "IDDD", "ID", "IW", "I", "B.C.",
    "A.D.", "BC", "AD", "MONTH", "MON", "MM", "DAY", "DDD", "DD", "DY", "D", "WW", "W", "CC", "J", "Q", "RM", "TZH",
    "TZM", "TZ", "OF",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// A piece of a pattern.
enum Piece<'a> {
    Literal(char),
    Field { written: &'a str, name: &'static str, fill: bool, ordinal: Option<&'a str> },
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let end = inner.find('"').unwrap_or(inner.len());
            pieces.extend(inner.get(..end).unwrap_or_default().chars().map(Piece::Literal));
            rest = inner.get(end + 1..).unwrap_or_default();
            continue;
        }
        let (prefix, fill) = if rest.len() > 2 && rest.is_char_boundary(2) && rest[..2].eq_ignore_ascii_case("FM") {
            (2, false)
        } else {
            (0, true)
        };
        let body = rest.get(prefix..).unwrap_or_default();
        let known = PATTERNS
            .iter()
            .find(|known| body.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known)));
        if let Some(name) = known {
            let (written, after) = body.split_at(name.len());
            let ordinal = after.get(..2).filter(|suffix| suffix.eq_ignore_ascii_case("th"));
            pieces.push(Piece::Field { written, name, fill, ordinal });
            rest = after.get(ordinal.map_or(0, str::len)..).unwrap_or_default();
        } else if prefix > 0 {
            rest = body;
        } else {
            pieces.push(Piece::Literal(first));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    pieces
}

impl Clock {
    fn of(at: NaiveDateTime, value: &ScalarValue, call: &Call<'_>) -> Self {
        let is_zoned = matches!(value, ScalarValue::TimestampMicrosecond(_, Some(_)));
        let zoned = call.zone.from_utc_datetime(&at);
        let local = if is_zoned { zoned.naive_local() } else { at };
        let name = if zoned.offset().fix().local_minus_utc() == 0 { "UTC".to_owned() } else { String::new() };
        Self {
            date: Some(local.date()),
            years: i64::from(local.year()),
            months: i64::from(local.month()),
            days: i64::from(local.day()),
            hours: i64::from(local.hour()),
            minutes: i64::from(local.minute()),
            seconds: i64::from(local.second()),
            micros: i64::from(local.nanosecond() / 1000),
            zone: is_zoned.then(|| (name, zoned.offset().fix().local_minus_utc())),
        }
    }

    fn of_interval(parts: arrow::datatypes::IntervalMonthDayNano) -> Self {
        let micros = parts.nanoseconds / 1000;
        Self {
            date: None,
            years: i64::from(parts.months / 12),
            months: i64::from(parts.months % 12),
            days: i64::from(parts.days),
            hours: micros / 3_600_000_000,
            minutes: micros / 60_000_000 % 60,
            seconds: micros / 1_000_000 % 60,
            micros: micros % 1_000_000,
            zone: None,
        }
    }

    fn format(&self, pattern: &str) -> Result<String, Fault> {
        let mut out = String::new();
        for piece in pieces(pattern) {
            match piece {
                Piece::Literal(character) => out.push(character),
                Piece::Field { written, name, fill, ordinal } => {
                    let shown = self.field(written, name, fill)?;
                    out.push_str(&shown);
                    if let Some(case) = ordinal {
                        out.push_str(&ordinal_suffix(&shown, case));
                    }
                }
            }
        }
        Ok(out)
    }

    fn field(&self, written: &str, name: &str, fill: bool) -> Result<String, Fault> {
        let padded = |number: i64, width: usize| if fill { format!("{number:0width$}") } else { number.to_string() };
        let spaced = |word: &str, width: usize| if fill { format!("{word:<width$}") } else { word.to_owned() };
        let twelve = if self.hours % 12 == 0 { 12 } else { self.hours % 12 };
        let in_day = (self.hours * 60 + self.minutes) * 60 + self.seconds;
        let number = match name {
            "HH24" => Some((self.hours, 2)),
            "HH12" | "HH" => Some((twelve, 2)),
            "MI" => Some((self.minutes, 2)),
            "SS" => Some((self.seconds, 2)),
            "SSSS" | "SSSSS" => Some((in_day, 0)),
            "MS" | "FF3" => Some((self.micros / 1000, 3)),
            "US" | "FF6" => Some((self.micros, 6)),
            "FF1" => Some((self.micros / 100_000, 1)),
            "FF2" => Some((self.micros / 10_000, 2)),
            "FF4" => Some((self.micros / 100, 4)),
            "FF5" => Some((self.micros / 10, 5)),
            "YYYY" => Some((self.years, 4)),
            "YYY" => Some((self.years % 1000, 3)),
            "YY" => Some((self.years % 100, 2)),
            "Y" => Some((self.years % 10, 1)),
            "MM" => Some((self.months, 2)),
            "DD" => Some((self.days, 2)),
            _ => None,
        };
        if let Some((number, width)) = number {
            return Ok(padded(number, width));
        }
        if matches!(name, "AM" | "PM" | "A.M." | "P.M.") {
            let half = if self.hours % 24 >= 12 { "PM" } else { "AM" };
            let half = if name.contains('.') { format!("{}.M.", &half[..1]) } else { half.to_owned() };
            return Ok(cased(&half, written));
        }
        if let "TZ" | "TZH" | "TZM" | "OF" = name {
            return self.zone_field(name, written).ok_or_else(|| Fault::unsupported("the pattern TZ outside of UTC"));
        }
        let date = self.date.ok_or_else(|| Fault::unsupported("this pattern for an interval"))?;
        let week = date.iso_week();
        let month = |names: [&'static str; 12]| names.get(date.month0() as usize).copied().unwrap_or_default();
        let day = DAYS.get(date.weekday().num_days_from_sunday() as usize).copied().unwrap_or_default();
        Ok(match name {
            "Y,YYY" => format!("{},{:03}", self.years / 1000, self.years % 1000),
            "IYYY" => padded(i64::from(week.year()), 4),
            "IYY" => padded(i64::from(week.year() % 1000), 3),
            "IY" => padded(i64::from(week.year() % 100), 2),
            "I" => padded(i64::from(week.year() % 10), 1),
            "IW" => padded(i64::from(week.week()), 2),
            "ID" => date.weekday().number_from_monday().to_string(),
            "D" => (date.weekday().num_days_from_sunday() + 1).to_string(),
            "IDDD" => padded(i64::from(week.week0() * 7 + date.weekday().number_from_monday()), 3),
            "DDD" => padded(i64::from(date.ordinal()), 3),
            "WW" => padded(i64::from(date.ordinal0() / 7 + 1), 2),
            "W" => (date.day0() / 7 + 1).to_string(),
            "Q" => (date.month0() / 3 + 1).to_string(),
            "CC" => padded((self.years + 99) / 100, 2),
            "J" => (i64::from(date.num_days_from_ce()) + 1_721_425).to_string(),
            "MONTH" => spaced(&cased(month(MONTHS), written), 9),
            "MON" => cased(month(MONTHS).get(..3).unwrap_or_default(), written),
            "DAY" => spaced(&cased(day, written), 9),
            "DY" => cased(day.get(..3).unwrap_or_default(), written),
            "RM" => spaced(&cased(month(ROMAN), if written == "rm" { "rm" } else { "RM" }), 4),
            "BC" | "AD" => cased("AD", written),
            "B.C." | "A.D." => cased("A.D.", written),
            _ => return Err(Fault::unsupported("this pattern of to_char")),
        })
    }

    fn zone_field(&self, name: &str, written: &str) -> Option<String> {
        let Some((zone, seconds)) = &self.zone else {
            return Some(if name == "OF" { "+00".to_owned() } else { String::new() });
        };
        Some(match name {
            "OF" => super::output::offset_text(*seconds),
            "TZH" => format!("{}{:02}", if *seconds < 0 { '-' } else { '+' }, seconds.abs() / 3600),
            "TZM" => format!("{:02}", seconds.abs() / 60 % 60),
            _ if zone.is_empty() => return None,
            _ if written == "tz" => zone.to_ascii_lowercase(),
            _ => zone.clone(),
        })
    }
}

/// A word in the case that the pattern was written in.
fn cased(word: &str, written: &str) -> String {
    let mut letters = written.chars().filter(char::is_ascii_alphabetic);
    match (
        letters.next().is_some_and(|c| c.is_ascii_uppercase()),
        letters.next().is_some_and(|c| c.is_ascii_uppercase()),
    ) {
        (true, true) => word.to_uppercase(),
        (true, false) => word.to_owned(),
        (false, _) => word.to_lowercase(),
    }
}

/// `st`, `nd`, `rd` or `th`.
pub(super) fn ordinal_suffix(shown: &str, case: &str) -> String {
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    let teens = digits.len() > 1 && digits.get(digits.len() - 2..digits.len() - 1) == Some("1");
    let suffix = match digits.chars().last() {
        Some('1') if !teens => "st",
        Some('2') if !teens => "nd",
        Some('3') if !teens => "rd",
        _ => "th",
    };
    if case.starts_with('T') { suffix.to_uppercase() } else { suffix.to_owned() }
}

/// Reads text by a pattern: `to_date`, `to_timestamp`.
pub(super) fn read(arguments: &[ScalarValue]) -> Result<NaiveDateTime, Fault> {
    let [given, pattern] = arguments else { return Err(Fault::unsupported("this call")) };
    let (given, pattern) = (text(given).unwrap_or_default(), text(pattern).unwrap_or_default());
    let mut parts = Parts { year: 1, month: 1, day: 1, hour: 0, minute: 0, second: 0, micros: 0, pm: None };
    let mut rest = given.trim_start();
    for piece in pieces(pattern) {
        match piece {
            Piece::Literal(character) if character.is_alphanumeric() => {
                rest = rest.strip_prefix(character).unwrap_or(rest)
            }
            Piece::Literal(_) => rest = rest.strip_prefix(|c: char| !c.is_alphanumeric()).unwrap_or(rest),
            Piece::Field { name, .. } => rest = parts.take(name, rest.trim_start())?,
        }
    }
    let out = || Fault::about(SqlState::DATETIME_FIELD_OVERFLOW, "date/time field value out of range: ", given, "");
    let hour = match parts.pm {
        Some(true) if parts.hour < 12 => parts.hour + 12,
        Some(false) if parts.hour == 12 => 0,
        _ => parts.hour,
    };
    let date = NaiveDate::from_ymd_opt(parts.year, parts.month, parts.day).ok_or_else(out)?;
    date.and_hms_micro_opt(hour, parts.minute, parts.second, parts.micros).ok_or_else(out)
}

struct Parts {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    micros: u32,
    pm: Option<bool>,
}

impl Parts {
    fn take<'a>(&mut self, name: &str, rest: &'a str) -> Result<&'a str, Fault> {
        if matches!(name, "MON" | "MONTH" | "DY" | "DAY" | "AM" | "PM" | "A.M." | "P.M.") {
            let end = rest.find(|c: char| !c.is_alphabetic() && c != '.').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let wrong = || Fault::about(SqlState::INVALID_DATETIME_FORMAT, "invalid value for a name: ", word, "");
            match name {
                "MON" | "MONTH" => self.month = super::input::month_of(word).ok_or_else(wrong)?,
                "DY" | "DAY" => {}
                _ => self.pm = Some(word.to_ascii_lowercase().starts_with('p')),
            }
            return Ok(after);
        }
        let width = match name {
            "YYYY" | "IYYY" => 4,
            "YYY" | "MS" | "DDD" => 3,
            "US" => 6,
            "MM" | "DD" | "HH24" | "HH12" | "HH" | "MI" | "SS" | "YY" => 2,
            _ => return Err(Fault::unsupported("this pattern for reading a date")),
        };
        let end =
            rest.char_indices().find(|(at, c)| *at >= width || !c.is_ascii_digit()).map_or(rest.len(), |(at, _)| at);
        let (digits, after) = rest.split_at(end);
        let wrong = || {
            Fault::about(
                SqlState::INVALID_DATETIME_FORMAT,
                "invalid value ",
                rest,
                match name {
                    "YYYY" => " for \"YYYY\"",
                    "MM" => " for \"MM\"",
                    "DD" => " for \"DD\"",
                    _ => " for a field of the pattern",
                },
            )
        };
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        match name {
            "YYYY" | "YYY" => self.year = i32::try_from(number).map_err(|_| wrong())?,
            "YY" => {
                self.year =
                    i32::try_from(if number < 70 { 2000 + number } else { 1900 + number }).map_err(|_| wrong())?
            }
            "MM" => self.month = number,
            "DD" => self.day = number,
            "HH24" | "HH12" | "HH" => self.hour = number,
            "MI" => self.minute = number,
            "SS" => self.second = number,
            "MS" => self.micros = format!("{digits:0<3}").parse::<u32>().map_err(|_| wrong())? * 1000,
            "US" => self.micros = format!("{digits:0<6}").parse::<u32>().map_err(|_| wrong())?,
            _ => return Err(Fault::unsupported("this pattern for reading a date")),
        }
        Ok(after)
    }
}

/// A number for `to_char`, exactly where it is exact.
pub(super) fn number_of(value: &ScalarValue) -> Option<(i128, i8)> {
    decimal(value).or_else(|| {
        let number = float(value)?;
        number.is_finite().then(|| super::input::exact(&number.to_string(), "").ok())?
    })
}
