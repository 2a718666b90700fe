//! Dates, times and timestamps in ISO 8601, as PostgreSQL prints and reads them.
//!
//! `2026-01-27`, `20260127`, `2026-01-27 +01`, `2026-01-27 10:00:00.5+01`, `2026-01-27T10:00:00Z`, `0044-03-15 BC`. PostgreSQL's many
//! other notations are refused rather than guessed at.

use chrono::{Datelike, NaiveDate};

use crate::rows::Zone;

const DAY_US: i64 = 86_400_000_000;

/// What the text says.
pub(super) struct Moment {
    /// Days from 1970-01-01.
    pub(super) days: i64,
    time_us: i64,
    offset_s: Option<i64>,
}

impl Moment {
    /// Microseconds from 1970 of what a clock shows.
    pub(super) fn local_us(&self) -> Option<i64> {
        self.days.checked_mul(DAY_US)?.checked_add(self.time_us)
    }

    /// Microseconds from 1970 in UTC; without an offset in the text, the clock is one of `zone`.
    pub(super) fn utc_us(&self, zone: Zone) -> Option<i64> {
        let local = self.local_us()?;
        let offset_s = self.offset_s.unwrap_or_else(|| zone.local_offset_s(local));
        local.checked_sub(offset_s * 1_000_000)
    }
}

/// A date, with or without a time and an offset.
pub(super) fn parse(text: &str) -> Option<Moment> {
    let (mut rest, before_christ) = match text.strip_suffix(" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let days = date(&mut rest, before_christ)?;
    let mut moment = Moment { days, time_us: 0, offset_s: None };
    if rest.is_empty() {
        return Some(moment);
    }
    rest = rest.strip_prefix([' ', 'T', 't'])?;
    // A date may have an offset alone: Java's driver sends one.
    if !rest.starts_with(['+', '-']) {
        moment.time_us = time(&mut rest)?;
    }
    moment.offset_s = offset(&mut rest)?;
    rest.is_empty().then_some(moment)
}

/// A time of day, in microseconds. An offset is checked and forgotten, as PostgreSQL does.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let mut rest = text;
    let micros = time(&mut rest)?;
    offset(&mut rest)?;
    rest.is_empty().then_some(micros)
}

/// Takes between `least` and `most` digits.
fn number(rest: &mut &str, least: usize, most: usize) -> Option<i64> {
    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at_checked(length)?;
    *rest = after;
    if length < least { None } else { digits.parse().ok() }
}

fn take(rest: &mut &str, prefix: char) -> bool {
    rest.strip_prefix(prefix).is_some_and(|after| {
        *rest = after;
        true
    })
}

fn date(rest: &mut &str, before_christ: bool) -> Option<i64> {
    let compact = rest.bytes().take_while(u8::is_ascii_digit).count() == 8;
    let year = number(rest, 4, if compact { 4 } else { 6 })?;
    let dashed = take(rest, '-');
    let month = number(rest, if dashed { 1 } else { 2 }, 2)?;
    if dashed != take(rest, '-') || dashed == compact {
        return None;
    }
    let day = number(rest, if dashed { 1 } else { 2 }, 2)?;
    if year == 0 {
        return None;
    }
    let year = if before_christ { 1 - year } else { year };
    let date =
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    // Day 1 of the common era is 719,162 days before 1970.
    Some(i64::from(date.num_days_from_ce()) - 719_163)
}

fn time(rest: &mut &str) -> Option<i64> {
    let hours = number(rest, 1, 2)?;
    if !take(rest, ':') {
        return None;
    }
    let minutes = number(rest, 2, 2)?;
    let seconds = if take(rest, ':') { number(rest, 2, 2)? } else { 0 };
    let fraction = if take(rest, '.') { fraction_us(rest) } else { 0 };
    let micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    (hours <= 24 && minutes < 60 && seconds <= 60 && micros <= DAY_US).then_some(micros)
}

/// Digits after the point, rounded to microseconds.
fn fraction_us(rest: &mut &str) -> i64 {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
    *rest = after;
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + digits.as_bytes().get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    micros + i64::from(digits.as_bytes().get(6).is_some_and(|digit| *digit >= b'5'))
}

/// `Z`, `UTC`, `+01`, `+01:30`, `+0130`, or nothing.
#[allow(clippy::option_option)] // malformed, absent, present
fn offset(rest: &mut &str) -> Option<Option<i64>> {
    if rest.is_empty() {
        return Some(None);
    }
    if ["Z", "z", " UTC", "UTC", " GMT"].contains(rest) {
        *rest = "";
        return Some(Some(0));
    }
    take(rest, ' ');
    let sign = if take(rest, '-') {
        -1
    } else if take(rest, '+') {
        1
    } else {
        return None;
    };
    let hours = number(rest, 2, 2)?;
    let mut seconds = hours * 3_600;
    for unit in [60, 1] {
        if rest.is_empty() {
            break;
        }
        take(rest, ':');
        let part = number(rest, 2, 2)?;
        if part >= 60 {
            return None;
        }
        seconds += part * unit;
    }
    (hours < 16).then_some(Some(sign * seconds))
}
