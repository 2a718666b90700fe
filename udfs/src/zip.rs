//! `safe_harbor_zip(text)`: the first three digits of a US ZIP code, or `000`: 45 CFR 164.514(b)(2)(i)(B).
//!
//! A three-digit prefix may be kept only where more than 20,000 people live in it, "according to the current publicly
//! available data from the Bureau of the Census". Invariant: a prefix that had 20,000 or fewer people in the census of
//! 2000 or of 2010 is `000`, and so is everything that is not a ZIP code. A prefix that grew past the limit stays hidden:
//! the union of the lists errs on the side of the patient.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::argument::evaluate;
use crate::function::{check_arity, first_type, text_argument};
use crate::text::{self, Wrote};

const NAME: &str = "safe_harbor_zip";
const HIDDEN: &str = "000";

/// Census 2000: the seventeen prefixes that the Department of Health and Human Services names in its "Guidance Regarding
/// Methods for De-identification of Protected Health Information in Accordance with the HIPAA Privacy Rule" (2012).
const RESTRICTED_2000: [&str; 17] = [
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890",
    "893",
];

/// Census 2010, as derived from the populations of its ZIP Code Tabulation Areas summed by prefix: those not yet above.
const RESTRICTED_2010: [&str; 6] = ["202", "204", "205", "369", "753", "772"];

/// `safe_harbor_zip(text)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SafeHarborZip {
    signature: Signature,
}

impl SafeHarborZip {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SafeHarborZip {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(NAME, given, 1)?;
        given.iter().map(|given| text_argument(NAME, given)).collect()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(NAME, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&arguments, |column| {
            text::rewrite(column, |_, text, output| {
                output.push_str(generalise(text));
                Ok(Wrote::Value)
            })
        })
    }
}

/// The prefix of a well-formed ZIP code (five digits, or nine with or without the hyphen), unless it is restricted.
fn generalise(zip: &str) -> &str {
    let zip = zip.trim();
    let well_formed = match zip.as_bytes() {
        [five @ .., b'-', a, b, c, d] if five.len() == 5 => is_digits(five) && is_digits(&[*a, *b, *c, *d]),
        digits => matches!(digits.len(), 5 | 9) && is_digits(digits),
    };
    match zip.get(..3) {
        Some(prefix) if well_formed && !is_restricted(prefix) => prefix,
        _ => HIDDEN,
    }
}

fn is_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

fn is_restricted(prefix: &str) -> bool {
    RESTRICTED_2000.contains(&prefix) || RESTRICTED_2010.contains(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_three_digits_of_a_usable_code() {
        for (zip, expected) in [("02139", "021"), ("02139-4307", "021"), ("021394307", "021"), (" 94110 ", "941")] {
            assert_eq!(generalise(zip), expected, "{zip}");
        }
    }

    #[test]
    fn every_restricted_prefix_is_hidden() {
        for prefix in RESTRICTED_2000.iter().chain(&RESTRICTED_2010) {
            assert_eq!(generalise(&format!("{prefix}01")), HIDDEN, "{prefix}");
            assert_eq!(generalise(&format!("{prefix}01-2345")), HIDDEN, "{prefix}");
        }
    }

    #[test]
    fn what_is_no_zip_code_is_hidden() {
        for zip in [
            "",
            "0",
            "021",
            "0213",
            "021390",
            "02139-",
            "02139-43",
            "0213-94307",
            "SW1A 1AA",
            "٠٢١٣٩",
            "0２139",
            "abcde",
        ] {
            assert_eq!(generalise(zip), HIDDEN, "{zip}");
        }
    }
}
