//! Names that nothing stands beside: first and last names together, "Last, First", initials, and single ones.
//!
//! Invariant: eponyms, drugs and ordinary words are names only together with another name.

use super::super::super::entity::Entity;
use super::super::super::lexicon::kind;
use super::super::super::token::{Page, Shape, Token};
use super::super::Finds;
use super::beside::eponymous;
use super::run::{self, Expected};

/// What is never a name by itself.
const NOT_ALONE: u32 = kind::NO_NAME
    | kind::RARE_WORD
    | kind::EPONYM
    | kind::CITY
    | kind::CREDENTIAL
    | kind::STATE
    | kind::TITLE
    | kind::ROLE
    | kind::LABEL
    | kind::GENERIC;

/// A name that begins at the capital of token `index`; the token after it.
pub(super) fn capital(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    if !run::begins(page, index, Expected::No) {
        return None;
    }
    let last = run::end(page, index);
    if let Some(end) = inverted(page, index, last) {
        finds.add(token.start, run::text_end(page, end), Entity::Person, 84, "last_first");
        return Some(end + 1);
    }
    // The longest part that holds together: a capital word after a name may be another thing's.
    for end in (index..=last).rev() {
        if let Some(score) = score(page, index, end) {
            finds.add(
                token.start,
                run::text_end(page, end),
                Entity::Person,
                score,
                if end > index { "full_name" } else { "single_name" },
            );
            return Some(end + 1);
        }
    }
    None
}

/// "Smith, John A."
fn inverted(page: &Page<'_>, first: usize, last: usize) -> Option<usize> {
    let token = page.token(first)?;
    let surname = token.is(kind::LAST_COMMON) && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::MONTH)
        || token.kinds & (kind::NO_NAME | kind::RARE_WORD | kind::STATE | kind::CITY | kind::EPONYM) == 0
        || token.is(kind::LAST) && !token.is(kind::NO_NAME);
    // "Fontaine IIb, Rutherford 3": two scales.
    let scales =
        token.is(kind::EPONYM) && page.may_be(last + 1, kind::EPONYM) && !page.may_be(last + 1, kind::FIRST_COMMON);
    if scales
        || !surname
        || last > first + 2
        || token.is(kind::FIRST_COMMON) && !token.is(kind::LAST_COMMON) && last == first
    {
        return None;
    }
    let end = run::first_after_comma(page, last, Expected::No)?;
    // "Maria, Ann and Tom" is a list of first names, and "Boston, Charlotte" one of cities.
    (!page.may_be(first, kind::CITY) || !page.may_be(last + 1, kind::CITY)).then_some(end)
}

/// How certain the tokens from `first` to `last` are one name; `None`: they are none.
fn score(page: &Page<'_>, first: usize, last: usize) -> Option<u8> {
    let (token, end) = (page.token(first)?, page.token(last)?);
    // "Mallory-Weiss": named after two.
    let both = token.is(kind::EPONYM) && end.is(kind::EPONYM) && page.gap(first) == "-";
    if eponymous(page, last) || both {
        return None;
    }
    if first == last {
        return alone(page, first);
    }
    if is_suffix_or_initial(page, last) && last > first {
        // "John A." is as good as "John".
        return if last > first + 1 {
            score(page, first, last - 1)
        } else {
            alone(page, first).map(|score| score.max(60))
        };
    }
    let given = token.is(kind::FIRST_COMMON) && !token.is(kind::GRAMMAR | kind::CLINICAL)
        || token.is(kind::FIRST) && !token.is(kind::NO_NAME);
    let unknown = |token: &Token| {
        !token.is(kind::NO_NAME | kind::RARE_WORD | kind::EPONYM | kind::GENERIC | kind::LABEL | kind::CREDENTIAL)
    };
    let surname = end.is(kind::LAST_COMMON) && !end.is(kind::GRAMMAR | kind::CLINICAL | kind::FACILITY)
        || end.is(kind::LAST) && !end.is(kind::NO_NAME);
    let both_words = token.is(kind::WORD) && end.is(kind::WORD);
    let place = end.is(kind::STREET | kind::FACILITY) || is_city_name(page, first, last);
    if place {
        return None;
    }
    if token.shape == Shape::Initial {
        let pointed = page.gap(first).starts_with('.') || page.gap(first) == "'";
        let initials = page.gap(first) == " " && !page.is_any(first, &["a", "i", "x"]);
        return match (surname && !end.is(NOT_ALONE & !kind::CITY & !kind::RARE_WORD), surname) {
            (true, _) if pointed => Some(80),
            (true, _) if initials && end.is(kind::LAST_COMMON) => Some(56),
            (false, true) if pointed && !begins_sentence(page, first) => Some(55),
            _ => None,
        };
    }
    if given && !both_words && (surname || unknown(end)) {
        return Some(if token.is(kind::FIRST_COMMON) && surname { 88 } else { 74 });
    }
    if given && both_words && surname && token.is(kind::FIRST_COMMON) && !begins_sentence(page, first) {
        return Some(60);
    }
    if unknown(token)
        && end.is(kind::LAST_COMMON)
        && !end.is(kind::NO_NAME | kind::EPONYM)
        && token.shape != Shape::Upper
    {
        return Some(64);
    }
    if unknown(token) && unknown(end) && token.is(kind::LAST) && end.is(kind::NAME) {
        return Some(62);
    }
    None
}

fn is_suffix_or_initial(page: &Page<'_>, at: usize) -> bool {
    page.token(at).is_some_and(|token| token.length() == 1) || page.is_any(at, &["jr", "sr", "ii", "iii", "iv"])
}

fn is_city_name(page: &Page<'_>, first: usize, last: usize) -> bool {
    page.may_be(first, kind::CITY)
        && page.may_be(last + 1, kind::STATE)
        && page.gap(last).len() <= 2
        && page.token(last + 1).is_some_and(Token::is_capital)
        || page.may_be(last + 1, kind::FACILITY)
            && page.gap(last) == " "
            && page.token(last + 1).is_some_and(Token::is_capital)
}

/// A single name.
fn alone(page: &Page<'_>, at: usize) -> Option<u8> {
    let token = page.token(at)?;
    if token.length() < 3
        || eponymous(page, at)
        || page.may_be(at + 1, kind::FACILITY)
            && page.gap(at) == " "
            && page.token(at + 1).is_some_and(Token::is_capital)
    {
        return None;
    }
    let starts = begins_sentence(page, at);
    let does = page.may_be(at + 1, kind::DOES) && page.gap(at) == " " || page.is(at + 1, "s") && page.gap(at) == "'";
    if token.is(NOT_ALONE & !kind::RARE_WORD) || token.is(kind::RARE_WORD) && !token.is(kind::FIRST_COMMON) {
        // "Mark was", "Rose's": what is a word, too, in a place where names stand.
        let person = token.shape == Shape::Title
            && token.is(kind::FIRST_COMMON)
            && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::MONTH | kind::EPONYM | kind::FACILITY);
        return (person && !starts && (does || !token.is(kind::WORD))).then_some(56);
    }
    match token.shape {
        Shape::Title | Shape::Mixed => {
            // Verbs and adjectives at the beginning of an order: "Bill insurance", "Pat dry".
            if starts
                && !does
                && page.is_any(
                    at,
                    &[
                        "bill", "jack", "frank", "rob", "mark", "drew", "pat", "rich", "ray", "sue", "max", "josh",
                        "nick", "chase", "art", "rusty", "skip", "ben", "ted", "don", "ken", "drew",
                    ],
                )
            {
                return None;
            }
            if token.is(kind::FIRST_COMMON) {
                return Some(if starts && !does { 58 } else { 68 });
            }
            let likely = token.is(kind::LAST_COMMON) || token.is(kind::FIRST) && token.length() > 3;
            if likely && (!starts || does) {
                return Some(if does { 66 } else { 58 });
            }
            (token.is(kind::LAST) && token.length() > 3 && (does || !starts && is_prose(page, at))).then_some(52)
        }
        Shape::Upper => {
            let shouted = [at.wrapping_sub(1), at + 1]
                .iter()
                .any(|near| page.token(*near).is_some_and(|near| near.shape == Shape::Upper && near.length() > 3));
            let common = token.is(kind::FIRST_COMMON) || token.is(kind::LAST_COMMON) && (!shouted || does);
            (common && token.length() > 3 && !token.is(kind::CITY)).then_some(54)
        }
        _ => None,
    }
}

/// Whether small letters stand on both sides: no heading, no list of capitals.
fn is_prose(page: &Page<'_>, at: usize) -> bool {
    let lower = |at: usize| page.token(at).is_some_and(|token| token.shape == Shape::Lower);
    at.checked_sub(1).is_some_and(lower)
        && page.gap_before(at) == " "
        && (lower(at + 1) || page.gap(at).starts_with(['.', ',', ';']))
}

/// Whether token `at` begins a sentence or a line, where capitals say nothing.
fn begins_sentence(page: &Page<'_>, at: usize) -> bool {
    let gap = page.gap_before(at);
    at == 0 || gap.contains(['\n', '.', ':', '?', '!', ';', '"']) || gap.contains(" - ") || gap.contains(')')
}

/// A name in small letters; the token after it.
pub(super) fn lower(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    if token.is(NOT_ALONE & !kind::CITY & !kind::RARE_WORD & !kind::LABEL) || token.length() < 2 {
        return None;
    }
    let next = page.token(index + 1).filter(|next| next.shape == Shape::Lower && page.gap(index) == " ");
    if let Some(next) = next
        && token.is(kind::FIRST)
        && !token.is(kind::RARE_WORD)
        && !eponymous(page, index + 1)
    {
        let plain = next.is(kind::LAST) && !next.is(NOT_ALONE & !kind::CITY);
        let strong = token.is(kind::FIRST_COMMON)
            && (plain
                || next.is(kind::LAST_COMMON)
                    && !next.is(kind::GRAMMAR | kind::CLINICAL | kind::DOES | kind::LABEL | kind::ROLE));
        if strong
            || plain
                && next.is(kind::LAST_COMMON)
                && !next.is(kind::RARE_WORD)
                && token.length() > 2
                && next.length() > 2
        {
            let last = run::end(page, index).max(index + 1);
            finds.add(token.start, run::text_end(page, last), Entity::Person, if plain { 74 } else { 56 }, "full_name");
            return Some(last + 1);
        }
    }
    if let Some(end) = run::first_after_comma(page, index, Expected::No)
        && token.is(kind::LAST_COMMON)
        && !token.is(kind::RARE_WORD)
        && page.may_be(end, kind::FIRST_COMMON)
        && !page.may_be(end, kind::NO_NAME | kind::RARE_WORD)
    {
        finds.add(token.start, run::text_end(page, end), Entity::Person, 62, "last_first");
        return Some(end + 1);
    }
    let single = token.is(kind::FIRST_COMMON) && !token.is(NOT_ALONE) && token.length() > 3 && !eponymous(page, index);
    single.then(|| finds.add(token.start, token.end, Entity::Person, 52, "single_name")).map(|()| index + 1)
}
