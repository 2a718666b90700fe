//! The strict mode: what is not known to be safe is removed.
//!
//! Safe are ordinary and clinical words, numbers of up to four digits, and short codes of letters and digits (L4, q6h,
//! 10mg). Invariant: a name that is an ordinary word too is safe only in small letters or where a sentence begins.

use super::candidate::Candidate;
use super::entity::Entity;
use super::lexicon::kind;
use super::marker;
use super::token::{Page, Shape, Token};

const SAFE: u32 = kind::WORD
    | kind::RARE_WORD
    | kind::CLINICAL
    | kind::GRAMMAR
    | kind::TITLE
    | kind::ROLE
    | kind::CREDENTIAL
    | kind::LABEL
    | kind::NUMERAL
    | kind::GENERIC
    | kind::EPONYM;

/// Adds every token that is neither covered by `settled` nor safe, and keeps their order.
pub(crate) fn add(page: &Page<'_>, settled: &mut Vec<Candidate>) {
    let mut found = Vec::new();
    let mut covered = settled.iter().peekable();
    for (index, token) in page.tokens.iter().enumerate() {
        while covered.next_if(|candidate| candidate.end <= token.start).is_some() {}
        let inside = covered.peek().is_some_and(|candidate| candidate.start < token.end);
        if !inside && !is_safe(page, index, token) && !marker::covers(page, token) {
            found.push(Candidate {
                start: token.start,
                end: token.end,
                entity: Entity::Unverified,
                score: 50,
                recognizer: "strict",
            });
        }
    }
    settled.append(&mut found);
    settled.sort_by_key(|candidate| candidate.start);
}

fn is_safe(page: &Page<'_>, index: usize, token: &Token) -> bool {
    match token.shape {
        Shape::Digits => token.length() <= 4,
        Shape::Both => {
            let digits = page.word(index).bytes().filter(u8::is_ascii_digit).count();
            digits <= 4 && token.length() - digits <= 4
        }
        Shape::Initial => true,
        _ if token.length() == 1 => true,
        _ if !token.is(SAFE) => false,
        Shape::Lower | Shape::Upper => true,
        _ => {
            let gap = page.gap_before(index);
            let begins = index == 0 || gap.contains(['.', '\n', ':', '?', '!', ';', '-', '(']);
            begins
                || token.is(kind::CLINICAL | kind::GRAMMAR | kind::TITLE | kind::ROLE | kind::LABEL)
                || !token.is(kind::FIRST_COMMON | kind::LAST_COMMON)
        }
    }
}
