//! Telephone and fax numbers, with extensions.
//!
//! Invariant: seven digits, and digits without separators, are one only where a word beside them says so.

use super::super::entity::Entity;
use super::super::label::{self, Label};
use super::super::token::{Page, Shape};
use super::Finds;

const RULE: &str = "phone";

/// A telephone number that begins at token `index`; the token after it.
pub(crate) fn at(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let mut lengths = [0_usize; 7];
    let mut count = 0;
    while count < lengths.len() {
        let Some(token) = page.token(index + count).filter(|token| token.shape == Shape::Digits) else { break };
        if let Some(length) = lengths.get_mut(count) {
            *length = token.length();
        }
        count += 1;
        if !joins(page.gap(index + count - 1)) {
            break;
        }
    }
    let written = lengths.get(..count)?;
    let foreign = page.gap_before(index).ends_with('+');
    let (parts, score) = match written {
        [1, 3, 3, 4, ..] if page.is(index, "1") => (4, 85),
        [3, 3, 4, ..] => (3, ten_digits(page, index)),
        [3, 7, ..] if joined_by_hyphen(page, index) => (2, 45),
        [3, 4, ..] => (2, 30),
        [10, ..] => (1, 30),
        [11, ..] if page.word(index).starts_with('1') => (1, 30),
        [4, ..] | [5, ..] | [3, ..] | [6, ..] if !foreign => (1, 0),
        _ if foreign && (7..=15).contains(&written.iter().sum::<usize>()) => (written.len(), 85),
        _ => return None,
    };
    let label = label::before(page, index)
        .filter(|label| matches!(label, Label::Phone | Label::Fax))
        .or_else(|| label_after(page, index + parts - 1));
    let score = score_with(page, index, parts, score, label)?;
    let start = opening(page, index, foreign);
    let (end, next) = extended(page, index + parts - 1);
    let entity = if label == Some(Label::Fax) { Entity::Fax } else { Entity::PhoneNumber };
    finds.add(start, end, entity, score, RULE);
    Some(next)
}

/// The score with what stands beside the number; `None`: not a telephone's.
fn score_with(page: &Page<'_>, index: usize, parts: usize, score: u8, label: Option<Label>) -> Option<u8> {
    match (label, score) {
        (None, score) => (score >= 45).then_some(score),
        // An extension or a pager: three to six digits right after the word.
        (Some(_), 0) => {
            let pager = ["ext", "extension", "x", "pager", "beeper", "page", "paged", "pg"];
            let near = |back: usize| index.checked_sub(back).is_some_and(|at| page.is_any(at, &pager));
            let said = near(1)
                || (near(2)
                    && page.gap(index - 1).len() <= 2
                    && page.is_any(index - 1, &["number", "no", "is", "at", "id"]));
            (said && page.gap(index + parts - 1) != "-").then_some(75)
        }
        (Some(_), score) => Some((score + 45).min(95)),
    }
}

/// "(cell)", "fax" right after the number.
fn label_after(page: &Page<'_>, last: usize) -> Option<Label> {
    let gap = page.gap(last);
    if gap.len() > 3 || gap.contains('\n') {
        return None;
    }
    let word = page.word(last + 1);
    if word.eq_ignore_ascii_case("fax") && gap.contains('(') {
        return Some(Label::Fax);
    }
    let kinds = ["cell", "home", "work", "mobile", "phone", "office"];
    (gap.contains('(') && kinds.iter().any(|kind| word.eq_ignore_ascii_case(kind))).then_some(Label::Phone)
}

/// How certain three, three and four digits are.
fn ten_digits(page: &Page<'_>, index: usize) -> u8 {
    let (first, second) = (page.gap(index), page.gap(index + 1));
    let area = page.word(index).starts_with(|c: char| ('2'..='9').contains(&c));
    let exchange = page.word(index + 1).starts_with(|c: char| ('2'..='9').contains(&c));
    let bracketed = page.gap_before(index).ends_with('(') && first.starts_with(')');
    let formatted = bracketed || first.contains(['-', '.', '/']) || second.contains('-');
    match (formatted, area && exchange) {
        (true, true) => 85,
        (true, false) if bracketed || first.contains('-') => 60,
        (false, true) if first.len() == 1 && second.len() == 1 => 52,
        _ => 30,
    }
}

fn joined_by_hyphen(page: &Page<'_>, index: usize) -> bool {
    page.gap(index) == "-"
}

/// Whether what stands between two numbers may stand within a telephone number.
fn joins(gap: &str) -> bool {
    (1..=5).contains(&gap.len())
        && gap.bytes().all(|byte| b" -./()\r\n\t".contains(&byte))
        && gap.matches('\n').count() <= 1
        && gap != ". "
}

/// Where the number begins: with its bracket or its plus.
fn opening(page: &Page<'_>, index: usize, foreign: bool) -> u32 {
    let start = page.token(index).map_or(0, |token| token.start);
    let before = page.gap_before(index);
    if foreign || (before.ends_with('(') && page.gap(index).contains(')')) { start.saturating_sub(1) } else { start }
}

/// The end with an extension, "ext. 12", "x12", and the token after it.
fn extended(page: &Page<'_>, last: usize) -> (u32, usize) {
    let end = page.token(last).map_or(0, |token| token.end);
    let gap = page.gap(last);
    if gap.len() > 3 || gap.contains('\n') && gap.len() > 1 {
        return (end, last + 1);
    }
    if page.is_any(last + 1, &["ext", "extension", "x", "extn"]) {
        let at = if page.is_any(last + 2, &["no", "number"]) { last + 3 } else { last + 2 };
        if let Some(token) = page
            .token(at)
            .filter(|token| token.shape == Shape::Digits && token.length() <= 6 && page.gap(at - 1).len() <= 3)
        {
            return (token.end, at + 1);
        }
    }
    let word = page.word(last + 1);
    if let Some(token) = page.token(last + 1)
        && word.len() <= 7
        && word
            .strip_prefix(['x', 'X'])
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return (token.end, last + 2);
    }
    (end, last + 1)
}
