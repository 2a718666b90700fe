//! Hospitals, clinics, schools and the like: what leads back to a person through a place.
//!
//! Invariant: a name of general words alone ("Pain Clinic", "the hospital") is none.

use super::super::entity::Entity;
use super::super::lexicon::kind;
use super::super::token::{Page, Shape, Token};
use super::Finds;

/// How many words a name may have before the word that says what it is.
const WORDS: usize = 6;

/// Names that need no further word.
const KNOWN: &[&str] = &[
    "mgh",
    "bwh",
    "bidmc",
    "ucsf",
    "nyu",
    "upmc",
    "walgreens",
    "labcorp",
    "walmart",
    "costco",
    "kaiser",
    "medstar",
    "cvs",
];

/// An organization whose kind stands at token `index`: "Hospital", "Clinic"; the token after it.
pub(crate) fn at(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let head = page.token(index).filter(|token| token.is_capital())?;
    if page.is_any(index, &["health", "system", "memorial", "general", "medicine", "manor"])
        && page.may_be(index + 1, kind::FACILITY)
        && page.gap(index) == " "
    {
        return None;
    }
    if page.is(index, "care")
        && !(index > 0 && page.is_any(index - 1, &["urgent", "health", "hospice", "home", "elder", "senior"]))
    {
        return None;
    }
    let mut first = index;
    let mut named = false;
    while index - first < WORDS {
        let Some(before) = first.checked_sub(1) else { break };
        let Some(token) = page.token(before) else { break };
        let gap = page.gap(before);
        let joined =
            matches!(gap, " " | "-" | " & " | "'" | ". ") && (gap != ". " || page.is_any(before, &["st", "mt", "ft"]));
        let possessive = page.is(before, "s") && gap == " ";
        let link = page.is_any(before, &["of", "and", "the"]) && token.shape == Shape::Lower && index - first > 0;
        if !joined || !(token.is_capital() || possessive || link) {
            break;
        }
        if token.is(kind::TITLE | kind::ROLE) && !page.is(before, "sister")
            || token.is(kind::GRAMMAR)
                && token.is_capital()
                && !page.is_any(before, &["of", "and", "for"])
                && !(page.is(before, "our") && page.is(first, "lady"))
        {
            break;
        }
        named |= is_name(page, before, token);
        first = before;
    }
    while first < index
        && (page.is_any(first, &["of", "and", "the", "s"])
            && page.token(first).is_some_and(|t| t.shape == Shape::Lower)
            || page.may_be(first, kind::GRAMMAR))
    {
        first += 1;
    }
    let (last, of) = place_after(page, index);
    named |= of || page.is_any(index, &["memorial", "permanente", "labcorp", "walgreens"]);
    let childrens = index >= 2
        && page.is(index - 1, "s")
        && page.is_any(index - 2, &["children", "women", "veterans"])
        && page.is(index, "hospital");
    if !(named && (first < index || of || page.is_any(index, KNOWN)) || childrens) || lone_upper(page, first, index) {
        return None;
    }
    let _ = head;
    finds.add(page.token(first)?.start, page.token(last)?.end, Entity::Organization, 76, "organization");
    Some(last + 1)
}

/// A name that is known by itself; the token after it.
pub(crate) fn known(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index).filter(|token| token.is_capital() && page.is_any(index, KNOWN))?;
    finds.add(token.start, token.end, Entity::Organization, 62, "organization_known");
    Some(index + 1)
}

/// Whether a word tells one place from others.
fn is_name(page: &Page<'_>, at: usize, token: &Token) -> bool {
    if token.is(kind::GENERIC | kind::GRAMMAR | kind::FACILITY) {
        return page.is_any(at, &["memorial", "permanente"]);
    }
    if token.is(kind::CLINICAL) && !token.is(kind::LAST_COMMON | kind::CITY) || token.is(kind::LABEL) {
        return false;
    }
    token.length() > 1
}

/// "of Philadelphia" after the head: its last token.
fn place_after(page: &Page<'_>, index: usize) -> (usize, bool) {
    let mut last = index;
    while page.gap(last) == " "
        && page.is_any(
            last + 1,
            &[
                "hospital",
                "center",
                "clinic",
                "system",
                "medicine",
                "care",
                "centre",
                "school",
                "group",
                "network",
                "hospitals",
                "partners",
                "associates",
                "services",
                "home",
                "facility",
            ],
        )
        && page.token(last + 1).is_some_and(Token::is_capital)
        && last < index + 3
    {
        last += 1;
    }
    if page.gap(last) == " " && page.is_any(last + 1, &["of", "at"]) && page.gap(last + 1) == " " {
        let place = page.token(last + 2).filter(|token| {
            token.is_capital()
                && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::TITLE | kind::GENERIC)
                && (token.is(kind::CITY) || !token.is(kind::WORD))
                || token.is_capital() && token.is(kind::STATE | kind::CITY_BEGINS) && token.length() > 2
        });
        if place.is_some() {
            let end = last + 2;
            let more = page.gap(end) == " "
                && page.token(end + 1).is_some_and(|next| {
                    next.is_capital() && next.is(kind::CITY | kind::NAME | kind::STATE) && !next.is(kind::WORD)
                });
            return (if more { end + 1 } else { end }, true);
        }
    }
    (last, false)
}

/// A line of capitals: a heading, unless a name of persons or places stands in it.
fn lone_upper(page: &Page<'_>, first: usize, last: usize) -> bool {
    (first..=last).all(|at| page.token(at).is_some_and(|token| token.shape == Shape::Upper))
        && !(first..last).any(|at| {
            page.may_be(at, kind::NAME | kind::CITY | kind::CITY_BEGINS)
                && !page.may_be(at, kind::GENERIC | kind::CLINICAL | kind::LABEL)
        })
}
