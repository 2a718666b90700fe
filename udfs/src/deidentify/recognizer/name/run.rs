//! How far a name goes: initials, particles, hyphens, apostrophes, "Last, First".
//!
//! Invariant: a run ends within the paragraph and has at most eight tokens.

use super::super::super::lexicon::kind;
use super::super::super::token::{Page, Shape, Token};

/// The most tokens of a name.
const TOKENS: usize = 8;

/// How sure it is that a name begins, whatever its words are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Something before it says so.
    Yes,
    /// Its words must say it.
    No,
}

/// Whether token `at` may be the first word of a name.
pub(super) fn begins(page: &Page<'_>, at: usize, expected: Expected) -> bool {
    let Some(token) = page.token(at) else { return false };
    if expected == Expected::No {
        return continues(page, at);
    }
    match token.shape {
        Shape::Title | Shape::Mixed => {
            !token.is(kind::GRAMMAR | kind::TITLE)
                || (token.is(kind::FIRST_COMMON | kind::LAST_COMMON) && !token.is(kind::TITLE) && !is_heading(page, at))
        }
        Shape::Upper => !token.is(kind::GRAMMAR | kind::TITLE | kind::CREDENTIAL),
        Shape::Initial => {
            matches!(page.gap(at), "." | ". " | " " | "'") && page.token(at + 1).is_some_and(Token::is_capital)
        }
        Shape::Lower => {
            token.is(kind::NAME)
                && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::ROLE)
                && (!token.is(kind::WORD) || token.is(kind::LAST_COMMON))
        }
        Shape::Digits | Shape::Both => false,
    }
}

/// A word before a colon.
fn is_heading(page: &Page<'_>, at: usize) -> bool {
    page.gap(at).starts_with(':')
}

/// Whether token `at` may be a further word of a name.
pub(super) fn continues(page: &Page<'_>, at: usize) -> bool {
    let Some(token) = page.token(at) else { return false };
    let common = token.is(kind::FIRST_COMMON | kind::LAST_COMMON);
    if token.shape != Shape::Initial
        && token.is(kind::GRAMMAR | kind::TITLE | kind::ROLE)
        && !(token.is(kind::ROLE) && common)
        || is_heading(page, at)
    {
        return false;
    }
    match token.shape {
        Shape::Title | Shape::Mixed => {
            common && !token.is(kind::MONTH)
                || !token.is(kind::NO_NAME | kind::LABEL | kind::GENERIC | kind::CREDENTIAL)
        }
        Shape::Upper => {
            (common || token.is(kind::NAME)) && !token.is(kind::NO_NAME | kind::CREDENTIAL | kind::LABEL)
                || common
                    && !token.is(kind::CLINICAL | kind::MONTH | kind::CREDENTIAL | kind::LABEL)
                    && token.length() > 2
        }
        Shape::Initial => !page.is(at, "i") || page.gap(at).starts_with('.'),
        Shape::Lower => token.is(kind::NAME) && !token.is(kind::NO_NAME | kind::LABEL | kind::RARE_WORD),
        Shape::Digits | Shape::Both => false,
    }
}

/// The last token of the name that begins at `first`.
pub(super) fn end(page: &Page<'_>, first: usize) -> usize {
    let lower = page.token(first).is_some_and(|token| token.shape == Shape::Lower);
    let mut last = first;
    while last - first < TOKENS {
        let Some(next) = page.token(last + 1) else { break };
        let gap = page.gap(last);
        let initial = page.token(last).is_some_and(|token| token.length() == 1);
        let near = match gap {
            " " | "  " | "-" | "\n" | "\r\n" => true,
            "'" => initial,
            ". " | "." => (initial || page.is_any(last, &["st", "wm", "chas", "jos"])) && next.is_capital(),
            _ => false,
        };
        if !near {
            break;
        }
        if gap == "-" && next.is_capital() && !next.is(kind::GRAMMAR) || gap == "'" && initial {
            last += 1;
            continue;
        }
        if gap.contains('\n')
            && (page.gap(last + 1).starts_with(':')
                || next.is(kind::LABEL | kind::WORD)
                || next.length() < 2
                || !next.is(kind::LAST)
                || initial)
        {
            break;
        }
        if is_suffix(page, last + 1) {
            last += 1;
            break;
        }
        // A name in small letters ends where capitals begin, and the other way round.
        if (next.shape == Shape::Lower) != lower && next.length() > 1 {
            let Some(after) = particles(page, last + 1) else { break };
            last = after;
            continue;
        }
        if lower && surname_in_small_letters(page, last, next) {
            last += 1;
            break;
        }
        if !continues(page, last + 1) || next.shape == Shape::Initial && !initial_belongs(page, last + 1) {
            break;
        }
        last += 1;
    }
    suffix_after_comma(page, last)
}

/// "mary brown": a common last name after a common first one, though it is a word as well.
fn surname_in_small_letters(page: &Page<'_>, last: usize, next: &Token) -> bool {
    page.may_be(last, kind::FIRST_COMMON)
        && next.is(kind::LAST_COMMON)
        && !next.is(kind::GRAMMAR | kind::CLINICAL | kind::DOES | kind::LABEL | kind::ROLE | kind::STREET)
}

/// An initial within or after a name: "John A. Smith", "Smith, John A", not "Smith A new".
fn initial_belongs(page: &Page<'_>, at: usize) -> bool {
    page.gap(at).starts_with('.')
        || page.token(at + 1).is_none_or(|next| next.is_capital() && page.gap(at) == " ")
        || page.gap(at).starts_with([',', '\n', '\r', ';', ')', '-'])
        || page.gap(at).starts_with(" (")
}

/// "van der Berg", "de la Cruz": the last token of the particles and the capital that follows them.
fn particles(page: &Page<'_>, at: usize) -> Option<usize> {
    let mut next = at;
    while next < at + 3 && page.may_be(next, kind::PARTICLE) && page.gap(next) == " " {
        next += 1;
    }
    (next > at && page.token(next).is_some_and(|token| token.is_capital() && !token.is(kind::GRAMMAR))).then_some(next)
}

fn is_suffix(page: &Page<'_>, at: usize) -> bool {
    page.is_any(at, &["jr", "sr", "ii", "iii", "iv"]) && page.token(at).is_some_and(Token::is_capital)
}

fn suffix_after_comma(page: &Page<'_>, last: usize) -> usize {
    if page.gap(last) == ", " && is_suffix(page, last + 1) { last + 1 } else { last }
}

/// "Last, First M.": the last token, where a first name follows the comma after `last`.
pub(super) fn first_after_comma(page: &Page<'_>, last: usize, expected: Expected) -> Option<usize> {
    if !matches!(page.gap(last), ", " | "," | " , " | ",  ") {
        return None;
    }
    let next = page.token(last + 1)?;
    let surname = page.token(last)?;
    if surname.is_capital() != next.is_capital()
        || next.is(kind::GRAMMAR | kind::TITLE | kind::CLINICAL | kind::CREDENTIAL) && !next.is(kind::FIRST_COMMON)
        || next.is(kind::STATE) && next.length() == 2
    {
        return None;
    }
    let likely = match expected {
        Expected::Yes => {
            next.is_capital() && !next.is(kind::NO_NAME | kind::LABEL)
                || next.is(kind::ANY_FIRST) && !next.is(kind::GRAMMAR)
        }
        Expected::No => {
            next.is(kind::FIRST_COMMON) && !next.is(kind::GRAMMAR) || next.is(kind::FIRST) && !next.is(kind::NO_NAME)
        }
    };
    let initial = next.shape == Shape::Initial && page.gap(last + 1).starts_with('.');
    if !likely && !initial {
        return None;
    }
    Some(end(page, last + 1))
}

/// Where the text of a name ends: with the point of an initial at its end.
pub(super) fn text_end(page: &Page<'_>, last: usize) -> u32 {
    page.token(last).map_or(0, |token| {
        if token.shape == Shape::Initial && page.gap(last).starts_with('.') { token.end + 1 } else { token.end }
    })
}
