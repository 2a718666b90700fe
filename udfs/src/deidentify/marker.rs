//! What the operators put in the place of an identifier: `<PERSON>`, `<PERSON:3f…>`.
//!
//! Invariant: a marker is skipped by every rule, so that a text that was de-identified stays as it is; anything but a
//! kind's name and small hexadecimal digits between the brackets is no marker.

use super::entity::Entity;
use super::token::{Page, Token};

/// The longest kind's name.
const NAME: usize = 24;

/// The token after the marker that token `index` begins.
pub(crate) fn skip(page: &Page<'_>, index: usize) -> Option<usize> {
    if !page.gap_before(index).ends_with('<') {
        return None;
    }
    let start = page.token(index)?.start;
    let end = start + length(page.between(start, page.text.len() as u32))?;
    let mut next = index + 1;
    while page.token(next).is_some_and(|token| token.start < end) {
        next += 1;
    }
    Some(next)
}

/// Whether a token stands in a marker.
pub(crate) fn covers(page: &Page<'_>, token: &Token) -> bool {
    let from = (token.start as usize).saturating_sub(NAME);
    let Some(before) =
        page.text.get(from..token.start as usize).or_else(|| page.text.get(token.start as usize..token.start as usize))
    else {
        return false;
    };
    let Some(open) = before.rfind('<') else { return false };
    let start = token.start - (before.len() - open) as u32 + 1;
    length(page.between(start, page.text.len() as u32)).is_some_and(|length| start + length > token.end)
}

/// The length of a marker whose first bracket has been read, with the last one.
fn length(text: &str) -> Option<u32> {
    let name = text.bytes().take(NAME + 1).take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_').count();
    Entity::parse(text.get(..name)?).filter(|entity| Some(entity.name()) == text.get(..name))?;
    let rest = text.get(name..)?;
    let payload = match rest.strip_prefix(':') {
        Some(payload) => 1 + payload.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count(),
        None => 0,
    };
    // A payload is never shorter than a cipher's tag.
    let fits = (payload == 0 || payload > 32) && rest.get(payload..)?.starts_with('>');
    fits.then(|| u32::try_from(name + payload + 1).ok()).flatten()
}
