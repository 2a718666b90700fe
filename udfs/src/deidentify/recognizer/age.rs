//! Ages over 89: 45 CFR 164.514(b)(2)(i)(C).
//!
//! Invariant: the span is the number alone, so that what stands around it still reads.

use super::super::entity::Entity;
use super::super::lexicon::kind;
use super::super::token::{Page, Shape};
use super::Finds;

const RULE: &str = "age";

/// An age in digits at token `index`; the token after it.
pub(crate) fn at(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let word = page.word(index);
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let years: u32 = word.get(..digits)?.parse().ok()?;
    if !(2..=3).contains(&digits)
        || !(90..=125).contains(&years)
        || page.gap_before(index).ends_with(['/', '.', '$', '<', '>', '=', '~', '-'])
    {
        return None;
    }
    let unit = word.get(digits..)?;
    let aged = if unit.is_empty() {
        follows(page, index) || precedes(page, index) || of_someone(page, index)
    } else {
        is_unit(unit)
            || (sexed(unit) && told(page, index + 1) && !is_temperature(page, index))
            || (matches!(unit, "st" | "nd" | "rd" | "th") && page.is(index + 1, "birthday"))
    };
    if !aged {
        return None;
    }
    finds.add(token.start, token.start + digits as u32, Entity::Age, 90, RULE);
    Some(index + 1)
}

/// "ninety-two years", "one hundred and one": an age in words that begins at token `index`.
pub(crate) fn in_words(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let digit =
        |at: usize| page.is_any(at, &["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]);
    let mut last = index;
    if page.is(index, "ninety") {
        if digit(index + 1) && page.gap(index).len() == 1 {
            last += 1;
        }
    } else if page.is(index, "one") && page.is(index + 1, "hundred") {
        last += 1;
        let and = usize::from(page.is(last + 1, "and"));
        if digit(last + 1 + and) && page.gap(last).len() == 1 {
            last += 1 + and;
        }
    } else {
        return None;
    }
    if !follows(page, last) && !precedes(page, index) {
        return None;
    }
    finds.add(page.token(index)?.start, page.token(last)?.end, Entity::Age, 88, RULE);
    Some(last + 1)
}

/// "92-year-old", "92 y/o", "92 F with".
fn follows(page: &Page<'_>, index: usize) -> bool {
    let gap = page.gap(index);
    if gap.len() > 2 || !gap.bytes().all(|byte| b" -\n".contains(&byte)) {
        return false;
    }
    let next = page.word(index + 1);
    if next.eq_ignore_ascii_case("years")
        || next.eq_ignore_ascii_case("year")
        || next.eq_ignore_ascii_case("yrs")
        || next.eq_ignore_ascii_case("yr")
    {
        // "97 years ago" is no age.
        return !page.is_any(index + 2, &["ago", "later", "history", "prior", "before", "after"]);
    }
    is_unit(next)
        || (next.eq_ignore_ascii_case("y") && page.gap(index + 1).len() == 1)
        || (sexed(next)
            && page.token(index + 1).is_some_and(|t| t.shape == Shape::Initial)
            && told(page, index + 2)
            && !is_temperature(page, index))
}

/// "She is 94 and lives alone", "Mother is 94."
fn of_someone(page: &Page<'_>, index: usize) -> bool {
    let Some(someone) = index.checked_sub(2) else { return false };
    let said = page.is_any(someone + 1, &["is", "was", "turns"]) && page.gap(someone + 1).len() == 1;
    let person = page.is_any(someone, &["she", "he", "who", "patient", "pt"]) || page.may_be(someone, kind::ROLE);
    let gap = page.gap(index);
    let ends = gap.trim_end().is_empty() && page.token(index + 1).is_none()
        || matches!(gap.trim_end(), "." | "," | ";") && (gap.len() > 1 || page.token(index + 1).is_none());
    let goes_on =
        gap.len() == 1 && page.is_any(index + 1, &["and", "now", "but", "who", "with", "today", "lives", "living"]);
    said && person && (ends || goes_on)
}

/// "Temp 101 F with rigors": degrees, not a woman.
fn is_temperature(page: &Page<'_>, index: usize) -> bool {
    let heat =
        ["temp", "temperature", "temps", "tmax", "tm", "tc", "fever", "fevers", "febrile", "afebrile", "tcurrent"];
    let near = (1..=3).any(|back| index.checked_sub(back).is_some_and(|at| page.is_any(at, &heat)));
    near || index.checked_sub(1).is_some_and(|before| page.is_any(before, &["t", "to"]))
}

/// "aged 92", "age: 92", "turned 92", "a 92 woman".
fn precedes(page: &Page<'_>, index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    if page.gap(before).len() <= 3
        && page.is_any(before, &["age", "aged", "ages", "turned", "turning"])
        && !page.gap(index).starts_with(['%', '/'])
    {
        return true;
    }
    let said = page.is_any(before, &["is", "of", "was"])
        && before.checked_sub(1).is_some_and(|at| page.is_any(at, &["age", "aged"]));
    said || page.is_any(index + 1, &["woman", "man", "gentleman", "lady", "female", "male"])
        && page.gap(index).len() == 1
}

fn is_unit(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "yo" | "yof"
            | "yom"
            | "yr"
            | "yrs"
            | "y"
            | "yoa"
            | "yearold"
            | "years"
            | "year"
            | "yowf"
            | "yowm"
            | "yobf"
            | "yobm"
    ) && word != "Y"
        || word.eq_ignore_ascii_case("yo")
}

fn sexed(word: &str) -> bool {
    matches!(word, "F" | "M" | "f" | "m")
}

/// What follows an age and a sex: so that 98 F is no temperature.
fn told(page: &Page<'_>, index: usize) -> bool {
    page.is_any(
        index,
        &[
            "with",
            "w",
            "who",
            "presenting",
            "presents",
            "presented",
            "admitted",
            "here",
            "s",
            "hx",
            "history",
            "pt",
            "patient",
            "from",
            "found",
            "brought",
            "pmh",
            "h",
        ],
    )
}
