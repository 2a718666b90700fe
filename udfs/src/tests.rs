//! The functions as SQL calls them: over columns of every text layout, over constants, and with hostile values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, LargeStringArray, StringArray, StringViewArray, UInt8Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, UInt8Type};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, Volatility};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{KEYED_FUNCTIONS, KeyError, KeyPurpose, KeyRing, scalar_functions};

const TEXT_TYPES: [DataType; 3] = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];

#[derive(Debug)]
struct FixedKeys;

impl KeyRing for FixedKeys {
    fn key(&self, purpose: KeyPurpose, domain: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let mut key = [7_u8; 32];
        key[1] = purpose.label().len() as u8;
        key[2] = purpose.label().as_bytes()[9];
        match domain {
            "broken" => return Err(KeyError::Unavailable),
            _ => key[0] = domain.len() as u8,
        }
        Ok(Zeroizing::new(key))
    }
}

/// Calls a function the way the planner does: arguments coerced, the result's type declared.
fn call(name: &str, arguments: Vec<ColumnarValue>) -> Result<ColumnarValue> {
    let function = scalar_functions(Arc::new(FixedKeys)).into_iter().find(|f| f.name() == name).expect("the function");
    let rows = arguments.iter().find_map(|a| if let ColumnarValue::Array(a) = a { Some(a.len()) } else { None });
    let given: Vec<_> = arguments.iter().map(ColumnarValue::data_type).collect();
    let types = if name == "mask_null" { given } else { function.coerce_types(&given)? };
    let args: Result<Vec<_>> = arguments.iter().zip(&types).map(|(a, to)| a.cast_to(to, None)).collect();
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: args?,
        arg_fields: types.iter().map(|kind| Arc::new(Field::new("a", kind.clone(), true))).collect(),
        number_rows: rows.unwrap_or(1),
        return_field: Arc::new(Field::new("r", function.return_type(&types)?, true)),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    assert_eq!(result.data_type(), types[0], "{name} keeps the type");
    Ok(result)
}

fn text(value: &str) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::from(value))
}

fn count(value: i64) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::from(value))
}

/// Masks `values` in each text layout, whole and as the tail of a longer column, and checks that all agree.
fn mask(name: &str, values: &[Option<&str>], rest: &[ColumnarValue]) -> Vec<Option<String>> {
    let mut results = Vec::new();
    for kind in TEXT_TYPES {
        let longer: StringArray = [Some("Zażółć 1"), None].iter().chain(values).copied().collect();
        let sliced = cast(&longer, &kind).expect("casts").slice(2, values.len());
        let whole = cast(&values.iter().copied().collect::<StringArray>(), &kind).expect("casts");
        for column in [whole, sliced] {
            let arguments = std::iter::once(ColumnarValue::Array(column)).chain(rest.iter().cloned()).collect();
            let ColumnarValue::Array(masked) = call(name, arguments).expect("masks") else { panic!("a column") };
            assert_eq!(masked.data_type(), &kind);
            masked.to_data().validate_full().expect("a valid array");
            let masked = cast(&masked, &DataType::Utf8).expect("casts");
            results.push(masked.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect::<Vec<_>>());
        }
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{name}: layouts differ: {results:?}");
    results.swap_remove(0)
}

fn mask_one(name: &str, value: &str, rest: &[ColumnarValue]) -> String {
    mask(name, &[Some(value)], rest).swap_remove(0).expect("a value")
}

#[test]
fn functions_are_immutable_and_the_keyed_ones_are_named() {
    let functions = scalar_functions(Arc::new(FixedKeys));
    let names: Vec<_> = functions.iter().map(|f| f.name().to_owned()).collect();
    let expected = [
        "mask_null",
        "mask_alphanum",
        "mask_show_last",
        "mask_show_first",
        "mask_partial",
        "mask_hash",
        "hmac_token",
        "fpe_encrypt",
        "fpe_decrypt",
        "sha2",
        "truncate_to_year",
        "date_shift",
        "safe_harbor_zip",
        "safe_harbor_age",
        "safe_harbor_year",
        "phi_detect",
        "phi_contains",
        "de_identify",
    ];
    assert_eq!(names, expected);
    // What the day is decides about births.
    let changing = |f: &datafusion_expr::ScalarUDF| f.name() == "safe_harbor_year";
    assert!(functions.iter().all(|f| changing(f) != (f.signature().volatility == Volatility::Immutable)));
    assert!(KEYED_FUNCTIONS.iter().all(|keyed| names.iter().any(|name| name == keyed)));
}

#[test]
fn the_examples_of_the_reference_hold() {
    assert_eq!(mask_one("mask_show_last", "412-68-1073", &[count(4)]), "***-**-1073");
    assert_eq!(mask_one("mask_show_first", "412-68-1073", &[count(3)]), "412-**-****");
    assert_eq!(mask_one("mask_alphanum", "Anna Ek, 0123", &[]), "Xxxx Xx, nnnn");
    assert_eq!(mask_one("mask_partial", "abcdefgh", &[count(1), text("xxxx"), count(3)]), "axxxxfgh");
    assert_eq!(mask_one("mask_partial", "1234567890", &[count(3), text("*"), count(3)]), "123*890");
    assert_eq!(mask_one("mask_partial", "ab", &[count(0), text("…"), count(0)]), "…");
    assert_eq!(mask_one("mask_partial", "żółw", &[count(1), text("-"), count(2)]), "ż-łw");
    assert_eq!(mask_one("safe_harbor_zip", "02139-4307", &[]), "021");
    assert_eq!(mask_one("safe_harbor_zip", "03601", &[]), "000");
}

#[test]
fn texts_no_longer_than_what_is_shown_are_masked_whole() {
    for (value, masked) in [("1073", "****"), ("a-b", "*-*"), ("", ""), ("żółw", "****")] {
        assert_eq!(mask_one("mask_show_last", value, &[count(4)]), masked);
        assert_eq!(mask_one("mask_show_first", value, &[count(i64::MAX)]), masked);
    }
    assert_eq!(mask_one("mask_show_last", "abc", &[count(-5)]), "***");
    assert_eq!(mask_one("mask_show_last", "abc", &[count(0)]), "***");
}

#[test]
fn decomposed_and_foreign_letters_are_hidden() {
    assert_eq!(mask_one("mask_show_last", "Rene\u{301}e 李四 ٣", &[count(0)]), "****** ** *");
    assert_eq!(mask_one("mask_alphanum", "É李ß٣½ \u{1F600}", &[]), "Xxxnn \u{1F600}");
}

#[test]
fn long_texts_leave_the_view_and_stay_whole() {
    let long = "Patient 17 was seen at the clinic, then left.";
    let masked = mask("mask_show_last", &[Some("short 1"), Some(long), None, Some(long)], &[count(5)]);
    let expected = "******* ** *** **** ** *** ******, **** left.";
    assert_eq!(masked, [Some("**ort 1".to_owned()), Some(expected.into()), None, Some(expected.into())]);
}

#[test]
fn a_null_in_any_argument_gives_null() {
    let null = || ColumnarValue::Scalar(ScalarValue::Null);
    for (name, arguments) in [
        ("mask_alphanum", vec![null()]),
        ("mask_show_last", vec![text("x"), null()]),
        ("mask_show_first", vec![null(), count(1)]),
        ("mask_partial", vec![text("x"), count(1), null(), count(1)]),
        ("mask_partial", vec![text("x"), null(), text("y"), count(1)]),
        ("mask_hash", vec![text("x"), null()]),
        ("mask_hash", vec![null(), text("d")]),
        ("mask_null", vec![text("x")]),
        ("truncate_to_year", vec![null()]),
        ("safe_harbor_zip", vec![null()]),
    ] {
        match call(name, arguments).expect("evaluates") {
            ColumnarValue::Scalar(value) => assert!(value.is_null(), "{name}: {value}"),
            ColumnarValue::Array(_) => panic!("{name}: constants stay constant"),
        }
    }
    let values = [Some("abc"), None];
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
    assert_eq!(mask("mask_show_last", &values, &[ColumnarValue::Array(counts)]), [None, None]);
}

#[test]
fn counts_and_fills_may_differ_by_row() {
    let values = [Some("12345"), Some("12345"), Some("12")];
    let counts = ColumnarValue::Array(Arc::new(Int32Array::from(vec![1, 3, 3])));
    let masked = mask("mask_show_first", &values, std::slice::from_ref(&counts));
    assert_eq!(masked, ["1****", "123**", "**"].map(|t| Some(t.to_owned())));
    let fills = ColumnarValue::Array(Arc::new(LargeStringArray::from(vec![Some("a"), None, Some("c")])));
    let masked = mask("mask_partial", &values, &[count(1), fills, count(0)]);
    assert_eq!(masked, [Some("1a".to_owned()), None, Some("1c".to_owned())]);
}

#[test]
fn nothing_raw_stays_under_a_null() {
    let column = StringArray::new(
        arrow::buffer::OffsetBuffer::from_lengths([6, 6]),
        arrow::buffer::Buffer::from(b"SECRETPUBLIC".to_vec()),
        Some(vec![false, true].into()),
    );
    let column: ArrayRef = Arc::new(column);
    for (name, rest) in [("mask_show_last", vec![count(2)]), ("mask_alphanum", vec![])] {
        let arguments = std::iter::once(ColumnarValue::Array(Arc::clone(&column))).chain(rest).collect();
        let ColumnarValue::Array(masked) = call(name, arguments).expect("masks") else { panic!("a column") };
        let bytes = masked.as_string::<i32>().values().as_slice().to_vec();
        assert!(!String::from_utf8_lossy(&bytes).contains("SECRET"), "{name}");
        assert!(!bytes.windows(2).any(|pair| pair == b"ET"), "{name}");
    }
    let view = StringViewArray::from_iter([Some("SECRET")]);
    let hidden: ArrayRef =
        Arc::new(StringViewArray::new(view.views().clone(), view.data_buffers().to_vec(), Some(vec![false].into())));
    let ColumnarValue::Array(masked) =
        call("mask_show_last", vec![ColumnarValue::Array(hidden), count(2)]).expect("masks")
    else {
        panic!("a column")
    };
    assert_eq!(masked.as_string_view().views().as_ref(), [0_u128]);
}

#[test]
fn mask_hash_is_hmac_of_the_text() {
    let key = FixedKeys.key(KeyPurpose::MaskHash, "email").expect("a key");
    let mut state = Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("a key");
    state.update("anna@example.org".as_bytes());
    let expected = hex::encode(state.finalize().into_bytes());
    assert_eq!(mask_one("mask_hash", "anna@example.org", &[text("email")]), expected);
    assert_ne!(mask_one("mask_hash", "anna@example.org", &[text("e-mail")]), expected, "domains differ");
}

#[test]
fn mask_hash_of_an_integer_is_a_non_negative_integer_of_its_type() {
    let column: ArrayRef = Arc::new(Int32Array::from_iter((-500..500).map(Some).chain([None])));
    let ColumnarValue::Array(hashed) =
        call("mask_hash", vec![ColumnarValue::Array(column), text("id")]).expect("hashes")
    else {
        panic!("a column")
    };
    let hashed = hashed.as_primitive::<Int32Type>();
    assert!(hashed.iter().take(1000).all(|v| v.is_some_and(|v| v >= 0)));
    assert!(hashed.is_null(1000));
    let distinct: std::collections::BTreeSet<_> = hashed.iter().flatten().collect();
    assert!(distinct.len() > 990, "{}", distinct.len());

    let bytes: ArrayRef = Arc::new(UInt8Array::from_iter_values(0..=255));
    let ColumnarValue::Array(hashed) =
        call("mask_hash", vec![ColumnarValue::Array(bytes), text("id")]).expect("hashes")
    else {
        panic!("a column")
    };
    assert!(
        hashed.as_primitive::<UInt8Type>().values().iter().any(|v| *v > 127),
        "all bits of an unsigned type are used"
    );
}

#[test]
fn a_missing_key_is_an_error_that_tells_its_code() {
    let error = call("mask_hash", vec![text("secret-value"), text("broken")]).expect_err("no key");
    assert!(!error.to_string().contains("secret-value"));
    let datafusion_common::DataFusionError::External(inner) = error else { panic!("{error}") };
    assert_eq!(inner.downcast_ref::<KeyError>(), Some(&KeyError::Unavailable));
}

#[test]
fn other_types_are_refused_when_planned() {
    for (name, arguments) in [
        ("mask_alphanum", vec![count(1)]),
        ("mask_show_last", vec![text("x"), text("y")]),
        ("mask_hash", vec![ColumnarValue::Scalar(ScalarValue::from(1.5)), text("d")]),
        ("truncate_to_year", vec![text("2020-01-01")]),
        ("safe_harbor_zip", vec![count(2139)]),
        ("mask_partial", vec![text("x")]),
    ] {
        assert!(call(name, arguments).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn masks_keep_the_length_and_hide_every_letter_and_digit(values in prop::collection::vec(prop::option::of("\\PC{0,20}|[ -~]{0,20}"), 0..12), shown in 0_i64..8) {
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        for name in ["mask_show_last", "mask_show_first"] {
            let masked = mask(name, &values, &[count(shown)]);
            for (raw, masked) in values.iter().zip(&masked) {
                let (Some(raw), Some(masked)) = (raw, masked) else {
                    prop_assert!(raw.is_none() && masked.is_none());
                    continue;
                };
                let raw: Vec<_> = raw.chars().collect();
                let masked: Vec<_> = masked.chars().collect();
                prop_assert_eq!(raw.len(), masked.len());
                let shown = if raw.len() > shown as usize { shown as usize } else { 0 };
                let visible = if name == "mask_show_last" { raw.len() - shown..raw.len() } else { 0..shown };
                for (place, (raw, masked)) in raw.iter().zip(&masked).enumerate() {
                    if visible.contains(&place) {
                        prop_assert_eq!(raw, masked);
                    } else {
                        prop_assert!(!masked.is_alphanumeric());
                        prop_assert!(raw == masked || *masked == '*');
                    }
                }
            }
        }
    }

    #[test]
    fn the_shape_tells_only_the_shape(values in prop::collection::vec(prop::option::of("\\PC{0,30}|[ -~]{0,30}"), 0..12)) {
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        for (raw, masked) in values.iter().zip(mask("mask_alphanum", &values, &[])) {
            let (Some(raw), Some(masked)) = (raw, masked) else { continue };
            prop_assert_eq!(raw.chars().count(), masked.chars().count());
            prop_assert!(masked.chars().all(|c| !c.is_alphanumeric() || matches!(c, 'X' | 'x' | 'n')));
        }
    }

    #[test]
    fn partial_keeps_no_more_than_it_was_told(value in "\\PC{0,20}", left in -2_i64..6, right in -2_i64..6) {
        let masked = mask_one("mask_partial", &value, &[count(left), text("#"), count(right)]);
        let characters: Vec<char> = value.chars().collect();
        let left = usize::try_from(left.max(0)).expect("small").min(characters.len());
        let right = usize::try_from(right.max(0)).expect("small").min(characters.len());
        let expected: String = characters[..left].iter().chain(&['#']).chain(&characters[characters.len() - right..]).collect();
        prop_assert_eq!(masked, expected);
    }

    #[test]
    fn a_generalised_zip_is_three_digits_of_the_code_or_zeros(value in "\\PC{0,12}|[0-9]{4,10}|[0-9]{5}-[0-9]{4}") {
        let masked = mask_one("safe_harbor_zip", &value, &[]);
        prop_assert!(masked == "000" || (masked.len() == 3 && value.trim().starts_with(&masked)));
    }
}
