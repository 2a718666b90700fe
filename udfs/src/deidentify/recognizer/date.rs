//! Dates that are more exact than a year: 45 CFR 164.514(b)(2)(i)(C).
//!
//! Invariant: a year alone, a time of day, a weekday and a span of days ("3 days ago") are none.

use super::super::entity::Entity;
use super::super::label::{self, Label};
use super::super::lexicon::kind;
use super::super::token::{Page, Shape};
use super::Finds;

const NUMERIC: &str = "date";
const NAMED: &str = "date_month";
const PARTIAL: &str = "date_context";

/// A date in digits that begins at token `index`; the token after it.
pub(crate) fn numeric(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let first = page.token(index)?;
    if first.shape == Shape::Both {
        if is_ordinal(page, index) {
            return day_month_year(page, index, finds);
        }
        return compact_named(page, index, finds);
    }
    if first.length() >= 8 {
        return compact(page, index, finds);
    }
    let (separator, spaced) = separator(page.gap(index))?;
    let second = page.token(index + 1).filter(|token| token.is_word() || token.length() <= 9)?;
    if second.is_word() {
        return day_month_year(page, index, finds);
    }
    let a = number(page, index)?;
    let b = leading_number(page, index + 1)?;
    // "03 04 1956" is a date where a word says so: three numbers are much else.
    let same = separator_is(page.gap(index + 1), separator) && (separator != ' ' || says_date(page, index));
    if same
        && second.shape == Shape::Digits
        && !(spaced && separator == '-')
        && let Some(end) = three(page, index, (a, b), separator)
    {
        finds.add(first.start, end, Entity::DateTime, 90, NUMERIC);
        return Some(index + 3);
    }
    if second.shape != Shape::Digits
        || spaced
        || (page.gap(index + 1) == page.gap(index) && page.token(index + 2).is_some_and(|t| label::is_value(t.shape)))
    {
        return None;
    }
    let (l, m) = (first.length(), second.length());
    if separator != '.' && l <= 2 && m == 4 && (1..=12).contains(&a) && is_year(b) {
        finds.add(first.start, second.end, Entity::DateTime, 75, NUMERIC);
        return Some(index + 2);
    }
    if separator == '-'
        && l == 4
        && m == 2
        && is_year(a)
        && (1..=12).contains(&b)
        && label::before(page, index).is_none()
        && !numbered(page, index)
    {
        finds.add(first.start, second.end, Entity::DateTime, 60, NUMERIC);
        return Some(index + 2);
    }
    let day = l <= 2 && m <= 2 && is_day_of_month(a, b);
    if day && separator != '.' && is_partial(page, index, separator, finds) {
        finds.add(first.start, second.end, Entity::DateTime, 65, PARTIAL);
        return Some(index + 2);
    }
    None
}

/// The end of a date of three numbers.
fn three(page: &Page<'_>, index: usize, (a, b): (u32, u32), separator: char) -> Option<u32> {
    let (first, third) = (page.token(index)?, page.token(index + 2)?);
    let (x, y, z) = (first.length(), page.token(index + 1)?.length(), third.length());
    // More of the same: an address, a version, a telephone number.
    let goes_on = third.shape == Shape::Digits
        && separator_is(page.gap(index + 2), separator)
        && !page.gap(index + 2).starts_with(". ")
        && page.token(index + 3).is_some_and(|next| label::is_value(next.shape))
        && page.gap(index + 2).len() == 1;
    let c = leading_number(page, index + 2)?;
    let valid = if x == 4 {
        y <= 2 && is_year(a) && is_day_of_month(b, c) && z_is_day(page, index + 2)
    } else {
        let year = (z == 4 && is_year(c)) || (z == 2 && separator != '.') || (z == 2 && says_date(page, index));
        x <= 2 && y <= 2 && third.shape == Shape::Digits && year && is_day_of_month(a, b)
    };
    if !valid || goes_on {
        return None;
    }
    // 2020-03-04T14:30:00Z
    if third.shape == Shape::Both { Some(end_of_time(page, index + 2)) } else { Some(third.end) }
}

/// "protocol 2014-07": a number of a thing.
fn numbered(page: &Page<'_>, index: usize) -> bool {
    index > 0
        && page.is_any(
            index - 1,
            &[
                "protocol", "section", "version", "v", "study", "grant", "form", "policy", "rev", "iso", "figure",
                "table", "item", "model",
            ],
        )
}

fn z_is_day(page: &Page<'_>, index: usize) -> bool {
    let word = page.word(index).as_bytes();
    match page.token(index).map(|token| token.shape) {
        Some(Shape::Digits) => word.len() <= 2,
        _ => matches!(word.get(2), Some(b'T' | b't')),
    }
}

fn end_of_time(page: &Page<'_>, index: usize) -> u32 {
    let mut last = index;
    while last < index + 4
        && matches!(page.gap(last), ":" | "." | "+" | "-")
        && page.token(last + 1).is_some_and(|next| label::is_value(next.shape))
    {
        last += 1;
    }
    page.token(last).map_or(0, |token| token.end)
}

/// 20200304 and 202003041430, where a label says so.
fn compact(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let word = page.word(index);
    let part = |from: usize, to: usize| word.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let valid = matches!(word.len(), 8 | 12 | 14) && is_year(part(0, 4)?) && is_month_day(part(4, 6)?, part(6, 8)?)
        || word.len() == 8 && is_month_day(part(0, 2)?, part(2, 4)?) && is_year(part(4, 8)?);
    if valid && says_date(page, index) {
        finds.add(token.start, token.end, Entity::DateTime, 85, PARTIAL);
        return Some(index + 1);
    }
    None
}

/// 04MAR2020
fn compact_named(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let word = page.word(index);
    if !matches!(word.len(), 6..=9) {
        return None;
    }
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let letters = word.get(digits..)?.bytes().take_while(u8::is_ascii_alphabetic).count();
    let month = word.get(digits..digits + letters)?;
    let year = word.get(digits + letters..)?;
    let valid = matches!(digits, 1 | 2)
        && letters == 3
        && is_month(month)
        && matches!(year.len(), 2 | 4)
        && year.bytes().all(|byte| byte.is_ascii_digit());
    if !valid {
        return None;
    }
    finds.add(token.start, token.end, Entity::DateTime, 85, NAMED);
    Some(index + 1)
}

/// 4 March 2020, 04-Mar-1956, 4th of July
fn day_month_year(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let day = leading_number(page, index).filter(|day| (1..=31).contains(day))?;
    let _ = day;
    let first = page.token(index)?;
    let mut at = index + 1;
    if page.is(at, "of") && matches!(page.gap(index), " ") {
        at += 1;
    }
    if !joins(page.gap(at - 1)) || !page.may_be(at, kind::MONTH) {
        return None;
    }
    let month = page.token(at)?;
    if let Some(year) = year_after(page, at) {
        finds.add(first.start, page.token(year)?.end, Entity::DateTime, 90, NAMED);
        return Some(year + 1);
    }
    // "2 may" is a verb as often as a month.
    let sure = month.is_capital() && (page.word(at).len() > 3 || !page.is(at, "may")) || at == index + 2;
    sure.then(|| finds.add(first.start, month.end, Entity::DateTime, 70, NAMED)).map(|()| at + 1)
}

/// A date that begins with a month's name at token `index`; the token after it.
pub(crate) fn named(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let month = page.token(index)?;
    let gap = page.gap(index);
    let next = page.token(index + 1);
    if let Some(next) = next.filter(|next| joins(gap) && label::is_value(next.shape)) {
        if next.shape == Shape::Digits && next.length() == 4 && is_year(number(page, index + 1)?) {
            finds.add(month.start, next.end, Entity::DateTime, 80, NAMED);
            return Some(index + 2);
        }
        let day = leading_number(page, index + 1).filter(|day| (1..=31).contains(day) && is_ordinal(page, index + 1));
        if day.is_some() {
            if let Some(year) = year_after(page, index + 1) {
                finds.add(month.start, page.token(year)?.end, Entity::DateTime, 92, NAMED);
                return Some(year + 1);
            }
            let verb = page.is_any(index, &["may", "march", "mar", "dec", "sep"]) && !month.is_capital();
            if !verb && !follows_dose(page, index + 1) {
                finds.add(month.start, next.end, Entity::DateTime, 75, NAMED);
                return Some(index + 2);
            }
        }
    }
    if page.is(index + 1, "of")
        && gap == " "
        && page.token(index + 2).is_some_and(|year| year.length() == 4)
        && is_year(number(page, index + 2)?)
    {
        finds.add(month.start, page.token(index + 2)?.end, Entity::DateTime, 75, NAMED);
        return Some(index + 3);
    }
    // "’19" of "Mar '19"
    alone(page, index, finds)
}

/// A month alone, where a word before it makes it one.
fn alone(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let month = page.token(index)?;
    let before = index.checked_sub(1)?;
    let said = page.is_any(
        before,
        &["in", "since", "last", "until", "early", "late", "mid", "this", "next", "of", "during", "through", "by"],
    );
    if month.is_capital()
        && month.length() > 2
        && said
        && matches!(page.gap(before), " " | "-")
        && !page.is_any(before, &["by"])
    {
        let score = if page.is_any(before, &["of", "this", "through"]) && page.is(index, "may") { 30 } else { 55 };
        finds.add(month.start, month.end, Entity::DateTime, score, PARTIAL);
        return Some(index + 1);
    }
    None
}

/// The token of a year after token `index`: "4, 1956", "Mar-56", "Mar '56".
fn year_after(page: &Page<'_>, index: usize) -> Option<usize> {
    let gap = page.gap(index);
    let year = page.token(index + 1).filter(|year| year.shape == Shape::Digits)?;
    let near = joins(gap) || matches!(gap, ", " | "," | " '" | ", '" | ".,");
    let valid = match year.length() {
        4 => is_year(number(page, index + 1)?),
        2 => gap.contains(['-', '\'', '/']),
        _ => false,
    };
    (near && valid).then_some(index + 1)
}

fn joins(gap: &str) -> bool {
    matches!(gap, " " | "-" | "/" | ". " | "." | "\n" | "\r\n" | "  " | " \n" | "")
}

/// The one character that parts numbers, and whether there is space around it.
fn separator(gap: &str) -> Option<(char, bool)> {
    let trimmed = gap.trim();
    let mut characters = trimmed.chars();
    let separator = match (characters.next(), characters.next()) {
        (None, None) => ' ',
        (Some(separator @ ('/' | '-' | '.')), None) => separator,
        _ => return None,
    };
    if gap.len() > 4 || (separator == ' ' && gap.len() > 2) {
        None
    } else {
        Some((separator, trimmed.len() != gap.len()))
    }
}

fn separator_is(gap: &str, separator: char) -> bool {
    match separator {
        ' ' => (1..=2).contains(&gap.len()) && gap.trim().is_empty(),
        _ => gap.len() <= 4 && gap.trim().chars().eq([separator]),
    }
}

/// What follows two numbers that are a measure.
const MEASURED: &[&str] = &[
    "strength",
    "pain",
    "murmur",
    "systolic",
    "diastolic",
    "pulses",
    "pulse",
    "scale",
    "motor",
    "reflexes",
    "holosystolic",
    "sem",
    "power",
    "edema",
    "pitting",
    "ejection",
    "doses",
    "dose",
    "tabs",
    "inch",
    "intensity",
    "in",
    "severity",
    "blasts",
    "throughout",
    "positive",
    "negative",
    "bilaterally",
    "full",
    "lymph",
    "nodes",
    "cores",
    "of",
    "items",
    "points",
    "correct",
    "cup",
    "bottle",
    "hpf",
    "ns",
    "normal",
    "saline",
];

/// What stands before a date.
const SAYS: &[&str] = &[
    "on",
    "since",
    "until",
    "till",
    "dated",
    "date",
    "dob",
    "seen",
    "admitted",
    "discharged",
    "before",
    "after",
    "thru",
    "starting",
    "due",
    "born",
    "visit",
    "appt",
    "appointment",
    "scheduled",
    "labs",
    "last",
    "as",
    "drawn",
    "performed",
    "done",
    "dos",
    "placed",
    "removed",
    "surgery",
    "culture",
    "cultures",
    "cxr",
    "ct",
    "mri",
    "echo",
    "started",
    "stopped",
    "expired",
    "received",
    "lmp",
    "u",
    "next",
    "fu",
    "updated",
];

/// What follows a date.
const PLANNED: &[&str] = &[
    "appointment",
    "appt",
    "visit",
    "labs",
    "surgery",
    "admission",
    "discharge",
    "note",
    "ct",
    "mri",
    "cxr",
    "echo",
    "am",
    "pm",
    "at",
];

fn is_partial(page: &Page<'_>, index: usize, separator: char, finds: &Finds) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    if page.is_any(index + 2, MEASURED) || page.gap(index + 1).starts_with(['%', '/', '-']) {
        return false;
    }
    let word = page.word(before);
    let near = finds.candidates.last().is_some_and(|last| {
        last.entity == Entity::DateTime
            && page.token(index).is_some_and(|token| token.start.saturating_sub(last.end) <= 9)
    });
    let linking = ["and", "to", "through", "from", "by", "or", "for"];
    if near && (page.gap(before).trim().is_empty() || page.gap(before).contains(['-', ',', '&', ';'])) {
        return true;
    }
    if page.gap(index + 1).starts_with(':')
        && page.word(index).len() == 2
        && page.word(index + 1).len() == 2
        && !page.gap(before).contains(':')
    {
        return true;
    }
    if separator == '/' && page.gap(index + 1) == " " && page.is_any(index + 2, PLANNED) {
        return true;
    }
    separator == '/'
        && page.gap(before).len() <= 3
        && (SAYS.iter().any(|say| word.eq_ignore_ascii_case(say))
            || (near && linking.iter().any(|link| word.eq_ignore_ascii_case(link)))
            || (linking.iter().take(4).any(|link| word.eq_ignore_ascii_case(link))
                && page.word(index).len() == 2
                && number(page, index).is_some_and(|n| n > 5)
                && !page.is(before, "and")))
}

/// Whether the label before a number speaks of a date.
fn says_date(page: &Page<'_>, index: usize) -> bool {
    let near = |back: usize| {
        index.checked_sub(back).is_some_and(|at| {
            page.is_any(at, &["on", "dob", "date", "dated", "admitted", "born", "birth", "discharged"])
        })
    };
    near(1) || near(2) || label::before(page, index) == Some(Label::Date)
}

/// "May 2 tablets", "march 4 miles".
fn follows_dose(page: &Page<'_>, index: usize) -> bool {
    page.is_any(
        index + 1,
        &[
            "mg", "tablets", "tabs", "tab", "miles", "times", "ml", "pills", "puffs", "units", "hours", "days",
            "weeks", "months", "x",
        ],
    )
}

fn is_ordinal(page: &Page<'_>, index: usize) -> bool {
    let word = page.word(index);
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    digits <= 2
        && matches!(word.get(digits..).map(str::to_ascii_lowercase).as_deref(), Some("" | "st" | "nd" | "rd" | "th"))
}

fn is_month(word: &str) -> bool {
    super::super::vocabulary::MONTHS.split_ascii_whitespace().any(|month| word.eq_ignore_ascii_case(month))
}

fn number(page: &Page<'_>, index: usize) -> Option<u32> {
    page.word(index).parse().ok()
}

/// The number that a token begins with: of "4th", of "04T14".
fn leading_number(page: &Page<'_>, index: usize) -> Option<u32> {
    let word = page.word(index);
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    word.get(..digits)?.parse().ok()
}

fn is_year(year: u32) -> bool {
    (1880..=2100).contains(&year)
}

fn is_month_day(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// A month and a day in either order.
fn is_day_of_month(a: u32, b: u32) -> bool {
    is_month_day(a, b) || is_month_day(b, a)
}
