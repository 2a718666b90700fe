//! De-identification functions: masks, keyed hashes and the Safe Harbor generalisations of 45 CFR 164.514(b)(2).
//!
//! Every function keeps the Arrow type of the value it is given (a mask must not change its column's type), gives NULL
//! for NULL, and is immutable: the same value, arguments and keys give the same result.
//!
//! Invariants: a result never holds a character that the function promises to hide; text is measured in characters,
//! never in bytes; keys come in through [`KeyRing`] and are never printed.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod age;
mod argument;
pub mod deidentify;
mod digest;
mod disguise;
mod fpe;
mod function;
mod keys;
mod mask;
mod note;
mod shift;
mod siv;
mod text;
mod year;
mod zip;

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

pub use keys::{KeyError, KeyPurpose, KeyRing};

/// The functions whose results depend on a secret key; calling one needs EXECUTE ([`needs_execute`]).
pub const KEYED_FUNCTIONS: &[&str] =
    &[mask::HASH, mask::TOKEN, fpe::ENCRYPT, fpe::DECRYPT, shift::NAME, note::DE_IDENTIFY];

/// The function whose operator says whether it needs a key; the operator's name as an argument, and its place.
pub const OPERATOR_ARGUMENT: (&str, &str, usize) = (note::DE_IDENTIFY, "operator", 1);

/// What `de_identify` does unless it is told otherwise.
pub const DEFAULT_OPERATOR: &str = "replace";

/// The names of `de_identify`'s arguments, in their order.
pub const DE_IDENTIFY_ARGUMENTS: [&str; 6] = ["text", "operator", "entities", "mode", "hints", "subject"];

/// Whether a call of `function` needs EXECUTE; `operator` is its operator, where that is a constant.
#[must_use]
pub fn needs_execute(function: &str, operator: Option<&str>) -> bool {
    KEYED_FUNCTIONS.contains(&function) && !(function == note::DE_IDENTIFY && note::is_open_operator(operator))
}

/// Every function of this crate. Keyed ones take their keys from `keys`.
#[must_use]
pub fn scalar_functions(keys: Arc<dyn KeyRing>) -> Vec<Arc<ScalarUDF>> {
    let of = |keys: &Arc<dyn KeyRing>| Arc::clone(keys);
    vec![
        Arc::new(ScalarUDF::new_from_impl(mask::MaskNull::new())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskAlphanum::new())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskShow::last())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskShow::first())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskPartial::new())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskHash::new(of(&keys)))),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskHash::token(of(&keys)))),
        Arc::new(ScalarUDF::new_from_impl(fpe::FormatPreserving::encrypt(of(&keys)))),
        Arc::new(ScalarUDF::new_from_impl(fpe::FormatPreserving::decrypt(of(&keys)))),
        Arc::new(ScalarUDF::new_from_impl(digest::Sha2::new())),
        Arc::new(ScalarUDF::new_from_impl(year::TruncateToYear::new())),
        Arc::new(ScalarUDF::new_from_impl(shift::DateShift::new(of(&keys)))),
        Arc::new(ScalarUDF::new_from_impl(zip::SafeHarborZip::new())),
        Arc::new(ScalarUDF::new_from_impl(age::SafeHarborAge::new())),
        Arc::new(ScalarUDF::new_from_impl(age::SafeHarborYear::new())),
        Arc::new(ScalarUDF::new_from_impl(note::NoteFunction::detect(&keys))),
        Arc::new(ScalarUDF::new_from_impl(note::NoteFunction::contains(&keys))),
        Arc::new(ScalarUDF::new_from_impl(note::NoteFunction::replace(&keys))),
    ]
}

#[cfg(test)]
mod tests;
