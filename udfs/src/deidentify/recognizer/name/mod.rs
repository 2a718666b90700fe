//! Names of persons: by titles, labels and roles beside them, by lists of names, and by their own form.
//!
//! Invariant: a word that is also an ordinary or a clinical one is a name only where something beside it says so.

mod bare;
mod beside;
mod run;

pub(crate) use beside::eponymous as is_eponymous;

use super::super::lexicon::kind;
use super::super::token::{Page, Shape};
use super::Finds;

/// A name that begins at token `index`, or after the title, label or role there; the token after it.
pub(crate) fn at(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let mut found = None;
    if token.is(kind::TITLE) {
        found = beside::title(page, index, finds);
    }
    if found.is_none() && token.is(kind::LABEL) {
        found = beside::label(page, index, finds);
    }
    if found.is_none() && token.is(kind::ROLE) {
        found = beside::role(page, index, finds);
    }
    if found.is_some() {
        return found;
    }
    if token.is_capital() {
        return beside::credential(page, index, finds).or_else(|| bare::capital(page, index, finds));
    }
    if token.shape == Shape::Lower && token.is(kind::NAME) && !token.is(kind::WORD | kind::CLINICAL) {
        return bare::lower(page, index, finds);
    }
    None
}
