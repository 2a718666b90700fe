//! Dates, times, timestamps and intervals, as PostgreSQL's DateStyle `ISO` and IntervalStyle `postgres` show them.
//!
//! The calendar is computed here because Arrow's range is wider than chrono's. Invariant: what is outside PostgreSQL's
//! own range is an error, never another value.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use bytes::BufMut;
use chrono::{DateTime, Offset, TimeZone};

use super::number::{put_i64, put_padded, put_u64, two};
use crate::error::PgError;

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;
/// Days from 1970-01-01 to PostgreSQL's 2000-01-01.
pub(super) const EPOCH_DAYS: i64 = 10_957;
/// Microseconds from 1970 to 2000.
pub(super) const EPOCH_US: i64 = EPOCH_DAYS * DAY_US;
/// 4714-11-24 BC, and the day after 5874897-12-31, from 1970.
const DATE_RANGE: std::ops::Range<i64> = -2_440_588..2_145_042_906;
/// 4714-11-24 BC, in microseconds from 1970. PostgreSQL's last moment, in 294276, is later than what 64 bits can count
/// from 1970.
const FIRST_TIMESTAMP_US: i64 = -210_866_803_200_000_000;

/// The session's time zone.
#[derive(Clone, Copy)]
pub(crate) struct Zone(Option<Tz>);

impl Zone {
    /// Coordinated Universal Time.
    pub(crate) const UTC: Self = Self(None);

    /// A zone by its name or offset; UTC where it is not known.
    pub(crate) fn named(name: &str) -> Self {
        if ["UTC", "Etc/UTC", "GMT", "Z", "+00:00"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
            return Self::UTC;
        }
        Self(Tz::from_str(name).ok())
    }

    /// The zone, where it is not UTC.
    pub(crate) fn tz(self) -> Option<Tz> {
        self.0
    }

    /// Seconds east of Greenwich at a moment.
    fn offset_s(self, micros: i64) -> i64 {
        let Some(zone) = self.0 else { return 0 };
        let moment = DateTime::from_timestamp_micros(micros).map(|moment| moment.naive_utc());
        moment.map_or(0, |moment| i64::from(zone.offset_from_utc_datetime(&moment).fix().local_minus_utc()))
    }
}

/// Days from 1970 that PostgreSQL can hold.
pub(super) fn checked_date(days: i64) -> Result<i64, PgError> {
    if DATE_RANGE.contains(&days) { Ok(days) } else { Err(PgError::ResultOutOfRange("date")) }
}

/// Microseconds from 1970 that PostgreSQL can hold.
pub(super) fn checked_timestamp(micros: Option<i64>) -> Result<i64, PgError> {
    micros.filter(|micros| *micros >= FIRST_TIMESTAMP_US).ok_or(PgError::ResultOutOfRange("timestamp"))
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian; year 0 is 1 BC).
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

/// `2026-01-27`, without the era; true before Christ.
fn put_day(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = civil(days);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year }.unsigned_abs();
    let ([m, n], [d, e]) = (two(month), two(day));
    if year < 10_000 {
        let ([a, b], [y, z]) = (two(year / 100), two(year % 100));
        out.extend_from_slice(&[a, b, y, z, b'-', m, n, b'-', d, e]);
    } else {
        put_u64(out, year);
        out.extend_from_slice(&[b'-', m, n, b'-', d, e]);
    }
    before_christ
}

fn put_era(out: &mut Vec<u8>, before_christ: bool) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// A date.
pub(super) fn put_date(out: &mut Vec<u8>, days: i64) -> Result<(), PgError> {
    let before_christ = put_day(out, checked_date(days)?);
    put_era(out, before_christ);
    Ok(())
}

/// `01:02:03.5`: hours may pass 24, as in intervals.
pub(super) fn put_clock(out: &mut Vec<u8>, micros: u64) {
    let seconds = micros / 1_000_000;
    let (hours, [m, n], [s, t]) = (seconds / 3_600, two(seconds / 60 % 60), two(seconds % 60));
    if hours < 100 {
        let [h, i] = two(hours);
        out.extend_from_slice(&[h, i, b':', m, n, b':', s, t]);
    } else {
        put_u64(out, hours);
        out.extend_from_slice(&[b':', m, n, b':', s, t]);
    }
    let mut fraction = micros % 1_000_000;
    if fraction > 0 {
        let mut width = 6;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        out.put_u8(b'.');
        put_padded(out, fraction, width);
    }
}

/// A timestamp; `separator` stands between date and time.
pub(super) fn put_timestamp(out: &mut Vec<u8>, micros: i64, separator: u8) {
    let before_christ = put_moment(out, micros, separator);
    put_era(out, before_christ);
}

fn put_moment(out: &mut Vec<u8>, micros: i64, separator: u8) -> bool {
    let before_christ = put_day(out, micros.div_euclid(DAY_US));
    out.put_u8(separator);
    put_clock(out, micros.rem_euclid(DAY_US).unsigned_abs());
    before_christ
}

/// A timestamp with time zone, with the zone's offset at that moment; ISO 8601 wants the offset's minutes always.
pub(super) fn put_timestamptz(out: &mut Vec<u8>, micros: i64, zone: Zone, separator: u8, iso: bool) {
    let offset = zone.offset_s(micros);
    let before_christ = put_moment(out, micros.saturating_add(offset * 1_000_000), separator);
    out.put_u8(if offset < 0 { b'-' } else { b'+' });
    let distance = offset.unsigned_abs();
    put_padded(out, distance / 3_600, 2);
    if iso || !distance.is_multiple_of(3_600) {
        out.put_u8(b':');
        put_padded(out, distance / 60 % 60, 2);
    }
    if !distance.is_multiple_of(60) {
        out.put_u8(b':');
        put_padded(out, distance % 60, 2);
    }
    put_era(out, before_christ);
}

/// An interval: PostgreSQL keeps months, days and microseconds apart.
pub(super) fn put_interval(out: &mut Vec<u8>, months: i32, days: i32, micros: i64) {
    let start = out.len();
    let mut before = false;
    let parts = [(months / 12, " year"), (months % 12, " mon"), (days, " day")];
    for (value, unit) in parts.into_iter().filter(|(value, _)| *value != 0) {
        if out.len() > start {
            out.put_u8(b' ');
        }
        if before && value > 0 {
            out.put_u8(b'+');
        }
        put_i64(out, i64::from(value));
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.put_u8(b's');
        }
        before = value < 0;
    }
    let empty = out.len() == start;
    if empty || micros != 0 {
        if !empty {
            out.put_u8(b' ');
        }
        if micros < 0 {
            out.put_u8(b'-');
        } else if before {
            out.put_u8(b'+');
        }
        put_clock(out, micros.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::{DATE_RANGE, Zone, checked_timestamp, put_date, put_interval, put_timestamp, put_timestamptz};
    use proptest::prelude::*;

    fn shown(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn dates() {
        let date = |days| shown(|out| put_date(out, days).unwrap());
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(20_480), "2026-01-27");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(-719_162), "0001-01-01");
        assert_eq!(date(-719_163), "0001-12-31 BC");
        assert_eq!(date(-735_160), "0044-03-15 BC");
        assert_eq!(date(2_932_896), "9999-12-31");
        assert_eq!(date(2_932_897), "10000-01-01");
        assert_eq!(date(DATE_RANGE.start), "4714-11-24 BC");
        assert_eq!(date(DATE_RANGE.end - 1), "5874897-12-31");
        assert!(put_date(&mut Vec::new(), DATE_RANGE.end).is_err());
    }

    #[test]
    fn timestamps() {
        let micros = 20_480 * super::DAY_US + 123_000;
        assert_eq!(shown(|out| put_timestamp(out, micros, b' ')), "2026-01-27 00:00:00.123");
        assert_eq!(shown(|out| put_timestamp(out, -1, b' ')), "1969-12-31 23:59:59.999999");
        let tz = |zone: &str, micros| shown(|out| put_timestamptz(out, micros, Zone::named(zone), b' ', false));
        assert_eq!(tz("UTC", micros), "2026-01-27 00:00:00.123+00");
        assert_eq!(tz("Europe/Berlin", micros), "2026-01-27 01:00:00.123+01");
        assert_eq!(tz("Asia/Kolkata", micros), "2026-01-27 05:30:00.123+05:30");
        assert_eq!(tz("America/St_Johns", micros), "2026-01-26 20:30:00.123-03:30");
        assert_eq!(tz("UTC", -735_160 * super::DAY_US), "0044-03-15 00:00:00+00 BC");
        assert!(checked_timestamp(Some(i64::MIN)).is_err() && checked_timestamp(None).is_err());
    }

    #[test]
    fn intervals() {
        let cases = [
            (0, 0, 0, "00:00:00"),
            (14, 3, 14_706_789_000, "1 year 2 mons 3 days 04:05:06.789"),
            (-14, 3, -14_706_000_000, "-1 years -2 mons +3 days -04:05:06"),
            (0, 1, 0, "1 day"),
            (0, -1, 3_600_000_000, "-1 days +01:00:00"),
            (1, 0, 360_000_000_000, "1 mon 100:00:00"),
            (0, 0, -500_000, "-00:00:00.5"),
        ];
        for (months, days, micros, expected) in cases {
            assert_eq!(shown(|out| put_interval(out, months, days, micros)), expected);
        }
    }

    proptest! {
        #[test]
        fn the_calendar_is_chronos(days in -719_162i32..2_932_896) {
            let expected = chrono::NaiveDate::from_epoch_days(days).unwrap().to_string();
            prop_assert_eq!(shown(|out| put_date(out, i64::from(days)).unwrap()), expected);
        }
    }
}
