//! Places smaller than a state: streets, boxes, cities, ZIP codes: 45 CFR 164.514(b)(2)(i)(B).
//!
//! Invariant: what belongs to one address is one span; a state alone is none.

use super::super::entity::Entity;
use super::super::lexicon::{Lexicon, hash, kind};
use super::super::token::{Page, Shape};
use super::Finds;

/// A street address that begins with the number at token `index`; the token after it.
pub(crate) fn street(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let number = page.token(index)?;
    if number.length() > 6 || page.gap_before(index).ends_with(['/', '.', '$', '#']) {
        return None;
    }
    let mut named = false;
    for step in 1..=5 {
        let at = index + step;
        let gap = page.gap(at - 1);
        if !(gap == " " || step > 1 && gap == ". " || gap == "  " || gap == "\n" || gap == "-" || gap == "'") {
            return None;
        }
        let token = page.token(at)?;
        if named && token.is(kind::STREET) && ends_street(page, index, at) {
            let last = unit(page, at);
            let (end, next) = locality(page, last);
            finds.add(number.start, end, Entity::Location, 88, "street_address");
            return Some(next);
        }
        if !may_name_street(page, at, named) {
            return None;
        }
        named |= !is_direction(page, at);
    }
    None
}

/// Whether a street's type at token `at` ends an address and begins nothing else.
fn ends_street(page: &Page<'_>, index: usize, at: usize) -> bool {
    let Some(token) = page.token(at) else { return false };
    if token.shape == Shape::Lower {
        let sure = page.is_any(
            at,
            &[
                "street",
                "st",
                "avenue",
                "ave",
                "road",
                "rd",
                "boulevard",
                "blvd",
                "lane",
                "ln",
                "drive",
                "dr",
                "court",
                "ct",
                "parkway",
                "circle",
                "way",
                "terrace",
                "place",
            ],
        );
        // Small letters: the number must be one of a house, the street's name not a term.
        return sure
            && page.token(index).is_some_and(|t| t.length() >= 2)
            && !page.may_be(at - 1, kind::GRAMMAR | kind::CLINICAL);
    }
    // "12 Smith Ct. Abdomen" stays a street; "10 Oak Dr. Smith" is a street too.
    true
}

fn may_name_street(page: &Page<'_>, at: usize, named: bool) -> bool {
    let Some(token) = page.token(at) else { return false };
    match token.shape {
        Shape::Both => {
            page.word(at).len() <= 5
                && ["st", "nd", "rd", "th"].iter().any(|end| page.word(at).to_ascii_lowercase().ends_with(end))
        }
        Shape::Digits => named && token.length() <= 4,
        Shape::Lower => {
            !token.is(kind::GRAMMAR | kind::CLINICAL | kind::MONTH)
                && token.length() > 1
                && !page.is_any(
                    at,
                    &[
                        "mg", "ml", "year", "years", "day", "days", "hours", "week", "weeks", "minutes", "times",
                        "units", "patients", "beats",
                    ],
                )
                || page.is_any(at, &["s", "n", "e", "w"])
        }
        _ => {
            (!token.is(kind::MONTH) || named)
                && (!token.is(kind::GRAMMAR) || token.shape == Shape::Initial || page.is_any(at, &["our", "the"]))
        }
    }
}

fn is_direction(page: &Page<'_>, at: usize) -> bool {
    page.is_any(at, &["n", "s", "e", "w", "ne", "nw", "se", "sw"])
}

/// The last token of "Apt 4B", "Suite 300", "#12", "NW" after token `last`.
fn unit(page: &Page<'_>, last: usize) -> usize {
    let near = |at: usize| page.gap(at).len() <= 3;
    let mut last = last;
    if near(last)
        && is_direction(page, last + 1)
        && page.token(last + 1).is_some_and(|token| token.shape != Shape::Lower)
        && page.gap(last) == " "
    {
        last += 1;
    }
    if near(last) && page.gap(last).contains('#') && page.token(last + 1).is_some() {
        return last + 1;
    }
    let kinds =
        ["apt", "apartment", "unit", "suite", "ste", "floor", "fl", "rm", "room", "bldg", "building", "lot", "no"];
    if near(last)
        && page.is_any(last + 1, &kinds)
        && page.token(last + 2).is_some_and(|t| t.length() <= 5 && (!t.is_word() || t.length() == 1))
        && page.gap(last + 1).len() <= 3
    {
        let end = last + 2;
        return if page.gap(end) == "-" && page.token(end + 1).is_some_and(|t| t.length() <= 2) {
            end + 1
        } else {
            end
        };
    }
    last
}

/// The end of the city, state and ZIP code that follow token `last`, and the token after them.
fn locality(page: &Page<'_>, last: usize) -> (u32, usize) {
    let end = page.token(last).map_or(0, |token| token.end);
    if !parts(page.gap(last)) {
        return (end, last + 1);
    }
    for length in 1..=3 {
        let at = last + length;
        if !page.token(at).is_some_and(|token| token.is_word())
            || page.token(at).is_some_and(|token| token.is(kind::GRAMMAR) && token.shape == Shape::Lower)
        {
            break;
        }
        if let Some(end) = state_and_zip(page, at, true) {
            return (page.token(end).map_or(0, |token| token.end), end + 1);
        }
        if is_city(page, last + 1, length)
            && (length == 1 || page.may_be(last + 1, kind::CITY_BEGINS))
            && page.token(at).is_some_and(super::super::token::Token::is_capital)
            && !page.gap(last).starts_with(". ")
        {
            return (page.token(at).map_or(0, |token| token.end), at + 1);
        }
        if page.gap(at) != " " && page.gap(at) != ". " {
            break;
        }
    }
    (end, last + 1)
}

fn parts(gap: &str) -> bool {
    gap.len() <= 5 && gap.bytes().all(|byte| b" ,.\r\n\t".contains(&byte)) && !gap.contains("\n\n")
}

/// The last token of ", MA 02139" after the city that ends at token `city`.
fn state_and_zip(page: &Page<'_>, city: usize, address: bool) -> Option<usize> {
    if !parts(page.gap(city)) {
        return None;
    }
    let state = page.token(city + 1)?;
    let (named, words) = if state.is(kind::STATE)
        && (state.length() == 2
            && (state.shape == Shape::Upper || address && state.shape == Shape::Lower && page.gap(city).contains(','))
            || state.length() > 2 && state.is_capital())
    {
        (true, 1)
    } else if page.is_any(city + 1, &["new", "north", "south", "west", "rhode"])
        && page.is_any(city + 2, &["york", "jersey", "hampshire", "mexico", "carolina", "dakota", "virginia", "island"])
        && page.gap(city + 1) == " "
    {
        (true, 2)
    } else {
        (false, 0)
    };
    if !named {
        // A ZIP code right after the city of an address.
        return (address && is_zip(page, city + 1) && page.gap(city).len() <= 2).then(|| zip_end(page, city + 1));
    }
    let last = city + words;
    if parts(page.gap(last)) && is_zip(page, last + 1) {
        return Some(zip_end(page, last + 1));
    }
    (address || page.gap(city).contains(',')).then_some(last)
}

fn is_zip(page: &Page<'_>, at: usize) -> bool {
    page.token(at).is_some_and(|token| token.shape == Shape::Digits && token.length() == 5)
}

fn zip_end(page: &Page<'_>, at: usize) -> usize {
    let plus = page.gap(at) == "-"
        && page.token(at + 1).is_some_and(|token| token.shape == Shape::Digits && token.length() == 4);
    at + usize::from(plus)
}

/// "P.O. Box 123", at the token "box".
pub(crate) fn post_box(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let number =
        page.token(index + 1).filter(|token| !token.is_word() && page.gap(index).len() <= 2 && token.length() <= 7)?;
    let _ = number;
    let first = if index >= 2 && page.is(index - 1, "o") && page.is(index - 2, "p") {
        index - 2
    } else if index >= 1 && page.is(index - 1, "po") {
        index - 1
    } else {
        return None;
    };
    let (end, next) = locality(page, index + 1);
    finds.add(page.token(first)?.start, end, Entity::Location, 88, "post_box");
    Some(next)
}

/// A city that begins at the capital of token `index`: known, before a state, or before a ZIP code.
pub(crate) fn city(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let first = page.token(index)?;
    let place = index > 0
        && page.gap(index - 1) == " "
        && (page.may_be(index - 1, kind::WHERE)
            || page.is_any(index - 1, &["visiting", "into", "via", "leaving", "moved", "city", "town"]));
    for length in (1..=3).rev() {
        let last = index + length - 1;
        let within = (index..last)
            .all(|at| matches!(page.gap(at), " " | ". " | "-") && page.token(at + 1).is_some_and(|t| t.is_word()));
        if !within {
            continue;
        }
        let capitals = (index..=last).all(|at| page.token(at).is_some_and(super::super::token::Token::is_capital));
        let known = is_city(page, index, length);
        if let Some(end) = state_and_zip(page, last, false).filter(|_| capitals || known) {
            let zip = is_zip(page, end) || page.gap_before(end) == "-";
            let worded = (index..=last).any(|at| {
                page.may_be(at, kind::GRAMMAR | kind::CLINICAL | kind::CREDENTIAL | kind::TITLE | kind::ROLE) && !known
            });
            if !worded && (zip || known || place) && page.gap(last).len() <= 3 {
                finds.add(first.start, page.token(end)?.end, Entity::Location, if zip { 92 } else { 78 }, "city_state");
                return Some(end + 1);
            }
        }
        let alone = known
            && (capitals || place && length > 1)
            && !(1..=3).any(|step| {
                page.token(last + step).is_some_and(|next| {
                    next.is(kind::FACILITY) && next.is_capital() && (last..last + step).all(|at| page.gap(at) == " ")
                })
            });
        if alone
            && (length > 1
                || place && !first.is(kind::GRAMMAR | kind::CLINICAL)
                || !first.is(kind::NO_NAME | kind::NAME | kind::RARE_WORD | kind::EPONYM))
        {
            let score = if length > 1 || place { 74 } else { 58 };
            finds.add(first.start, page.token(last)?.end, Entity::Location, score, "city");
            return Some(last + 1);
        }
    }
    county(page, index, finds)
}

/// "Cook County", "Dorchester Township".
fn county(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let (first, next) = (page.token(index)?, page.token(index + 1)?);
    let named = page.is_any(index + 1, &["county", "township", "parish", "borough"])
        && next.is_capital()
        && page.gap(index) == " ";
    if !named || first.is(kind::GRAMMAR) || page.may_be(index + 2, kind::FACILITY) {
        return None;
    }
    finds.add(first.start, next.end, Entity::Location, 72, "county");
    Some(index + 2)
}

/// Whether the `length` tokens from `index` on are a known city's name.
fn is_city(page: &Page<'_>, index: usize, length: usize) -> bool {
    let Some(first) = page.token(index) else { return false };
    if length == 1 {
        return first.is(kind::CITY);
    }
    if !first.is(kind::CITY_BEGINS) {
        return false;
    }
    let joined: String = (index..index + length).map(|at| page.word(at)).collect();
    Lexicon::get().kinds(hash(joined.as_bytes())) & kind::CITY_JOINED != 0
}
