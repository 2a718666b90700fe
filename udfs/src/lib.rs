//! De-identification functions: masks, keyed hashes and the Safe Harbor generalisations of 45 CFR 164.514(b)(2).
//!
//! Every function keeps the Arrow type of the value it is given (a mask must not change its column's type), gives NULL
//! for NULL, and is immutable: the same value, arguments and keys give the same result.
//!
//! Invariants: a result never holds a character that the function promises to hide; text is measured in characters,
//! never in bytes; keys come in through [`KeyRing`] and are never printed.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod argument;
mod disguise;
mod function;
mod keys;
mod mask;
mod text;
mod year;
mod zip;

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

pub use keys::{KeyError, KeyPurpose, KeyRing};

/// The functions whose results depend on a secret key; calling one needs EXECUTE.
pub const KEYED_FUNCTIONS: &[&str] = &[mask::HASH];

/// Every function of this crate. Keyed ones take their keys from `keys`.
#[must_use]
pub fn scalar_functions(keys: Arc<dyn KeyRing>) -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::new_from_impl(mask::MaskNull::new())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskAlphanum::new())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskShow::last())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskShow::first())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskPartial::new())),
        Arc::new(ScalarUDF::new_from_impl(mask::MaskHash::new(keys))),
        Arc::new(ScalarUDF::new_from_impl(year::TruncateToYear::new())),
        Arc::new(ScalarUDF::new_from_impl(zip::SafeHarborZip::new())),
    ]
}

#[cfg(test)]
mod tests;
