//! `fpe_encrypt(v, domain)` and `fpe_decrypt(v, domain)`: FF1 of NIST SP 800-38G, with AES-256.
//!
//! A text's letters and digits are encrypted in the smallest of these alphabets that holds them all: digits; small or
//! capital letters; digits with small or with capital letters; letters of both cases; all. The rest stays where it is. An
//! integer keeps its sign and its number of digits. Invariants: alphabet^length is at least 10^6, else 22023 (SP 800-38G
//! revision 1); what decrypts is what was encrypted.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aes::Aes256;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, PrimitiveBuilder};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion_common::{DataFusionError, Result, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use fpe::ff1::{FF1, FlexibleNumeralString};
use lakeward_base::{FunctionError, SqlState};

use crate::argument::{Text, evaluate};
use crate::function::{check_arity, first_type, text_argument};
use crate::keys::{KeyPurpose, KeyRing};
use crate::text::{self, Wrote};

/// The functions' names.
pub(crate) const ENCRYPT: &str = "fpe_encrypt";
pub(crate) const DECRYPT: &str = "fpe_decrypt";

/// The most letters and digits of a value: the time that FF1 takes grows with their square.
const LENGTH: usize = 256;

/// The least number of values of a domain.
const DOMAIN: f64 = 1e6;

const ALPHABETS: [&[u8]; 7] = [
    b"0123456789",
    b"abcdefghijklmnopqrstuvwxyz",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    b"0123456789abcdefghijklmnopqrstuvwxyz",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
];

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Encrypt,
    Decrypt,
}

/// `fpe_encrypt(v, domain)` or `fpe_decrypt(v, domain)`.
pub(crate) struct FormatPreserving {
    way: Way,
    signature: Signature,
    keys: Arc<dyn KeyRing>,
}

impl FormatPreserving {
    pub(crate) fn encrypt(keys: Arc<dyn KeyRing>) -> Self {
        Self { way: Way::Encrypt, signature: Signature::user_defined(Volatility::Immutable), keys }
    }

    pub(crate) fn decrypt(keys: Arc<dyn KeyRing>) -> Self {
        Self { way: Way::Decrypt, ..Self::encrypt(keys) }
    }
}

impl ScalarUDFImpl for FormatPreserving {
    fn name(&self) -> &str {
        match self.way {
            Way::Encrypt => ENCRYPT,
            Way::Decrypt => DECRYPT,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(self.name(), given, 2)?;
        match given {
            [value @ (DataType::Int32 | DataType::Int64), domain] => {
                Ok(vec![value.clone(), text_argument(self.name(), domain)?])
            }
            [value, _] if value.is_numeric() => {
                plan_err!("function {} takes text, integer or bigint, not {value}", self.name())
            }
            [value, domain] => Ok(vec![text_argument(self.name(), value)?, text_argument(self.name(), domain)?]),
            _ => Ok(Vec::new()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(self.name(), arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let domain = Text::read(&arguments, 1)?;
        let mut ciphers = Ciphers { way: self.way, keys: self.keys.as_ref(), domain: &domain, keyed: None };
        evaluate(&arguments, |column| match column.data_type() {
            DataType::Int32 => integers::<Int32Type>(column, &mut ciphers),
            DataType::Int64 => integers::<Int64Type>(column, &mut ciphers),
            _ => text::rewrite(column, |row, text, output| {
                let Some(cipher) = ciphers.at(row)? else { return Ok(Wrote::Null) };
                cipher.text(text, output)?;
                Ok(Wrote::Value)
            }),
        })
    }
}

/// The cipher of each row's domain; the last one is kept.
struct Ciphers<'a> {
    way: Way,
    keys: &'a dyn KeyRing,
    domain: &'a Text,
    keyed: Option<(String, Cipher)>,
}

impl Ciphers<'_> {
    /// `None` where the domain is NULL.
    fn at(&mut self, row: usize) -> Result<Option<&Cipher>> {
        let Some(domain) = self.domain.at(row) else { return Ok(None) };
        if self.keyed.as_ref().is_none_or(|(keyed, _)| keyed != domain) {
            let key = self
                .keys
                .key(KeyPurpose::FormatPreserving, domain)
                .map_err(|e| DataFusionError::External(Box::new(e)))?;
            self.keyed = Some((domain.to_owned(), Cipher::new(self.way, key.as_slice())?));
        }
        Ok(self.keyed.as_ref().map(|(_, cipher)| cipher))
    }
}

/// One key, in every alphabet.
struct Cipher {
    way: Way,
    ciphers: Vec<FF1<Aes256>>,
}

impl Cipher {
    fn new(way: Way, key: &[u8]) -> Result<Self> {
        let of =
            |alphabet: &&[u8]| FF1::new(key, alphabet.len() as u32).map_err(|_| refused("the alphabet is too small"));
        Ok(Self { way, ciphers: ALPHABETS.iter().map(of).collect::<Result<_>>()? })
    }

    /// The numerals of one alphabet, encrypted or decrypted.
    fn numerals(&self, alphabet: usize, numerals: Vec<u16>) -> Result<Vec<u16>> {
        let (Some(symbols), Some(cipher)) = (ALPHABETS.get(alphabet), self.ciphers.get(alphabet)) else {
            return Err(refused("there is no such alphabet"));
        };
        let length = numerals.len();
        if length > LENGTH {
            return Err(refused("a value has more than 256 letters and digits"));
        }
        if (symbols.len() as f64).powi(i32::try_from(length).unwrap_or(i32::MAX)) < DOMAIN {
            return Err(refused("a value has too few letters and digits: there must be a million of its form"));
        }
        // The two ways of a value are asked for without a tweak: the domain is in the key.
        let string = FlexibleNumeralString::from(numerals);
        let made = match self.way {
            Way::Encrypt => cipher.encrypt(&[], &string),
            Way::Decrypt => cipher.decrypt(&[], &string),
        };
        Ok(made.map_err(|_| refused("a value cannot be encrypted in its form"))?.into())
    }

    /// Appends the text of the same form.
    fn text(&self, text: &str, output: &mut String) -> Result<()> {
        if text.chars().any(|character| character.is_alphanumeric() && !character.is_ascii()) {
            return Err(refused("a value has letters or digits that are not ASCII"));
        }
        let held: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
        let fits = |alphabet: &&[u8]| held.iter().all(|byte| alphabet.contains(byte));
        let Some((place, alphabet)) = ALPHABETS.iter().enumerate().find(|(_, alphabet)| fits(alphabet)) else {
            return Err(refused("a value has letters or digits that are not ASCII"));
        };
        let numeral = |byte: &u8| alphabet.iter().position(|symbol| symbol == byte).unwrap_or_default() as u16;
        let made = self.walked(place, held.iter().map(numeral).collect(), &held)?;
        let mut made = made.iter().filter_map(|numeral| alphabet.get(usize::from(*numeral)));
        for character in text.chars() {
            output.push(match made_in_place(character, &mut made) {
                Some(symbol) => char::from(symbol),
                None => character,
            });
        }
        Ok(())
    }

    /// Encrypts again until the result needs the same alphabet, so that it is decrypted in it.
    fn walked(&self, place: usize, numerals: Vec<u16>, held: &[u8]) -> Result<Vec<u16>> {
        let mut made = self.numerals(place, numerals)?;
        let symbols = ALPHABETS.get(place).copied().unwrap_or_default();
        let wider = |made: &[u16]| {
            let bytes: Vec<u8> =
                made.iter().filter_map(|numeral| symbols.get(usize::from(*numeral)).copied()).collect();
            ALPHABETS.iter().position(|alphabet| bytes.iter().all(|byte| alphabet.contains(byte))) == Some(place)
        };
        // Most values of an alphabet need all of it: a value of a few letters takes some steps, none takes thousands.
        for _ in 0..100_000 {
            if held.is_empty() || wider(&made) {
                return Ok(made);
            }
            made = self.numerals(place, made)?;
        }
        Err(refused("a value cannot be encrypted in its form"))
    }

    /// The integer of the same sign and number of digits.
    fn integer(&self, value: i64, most: u64) -> Result<i64> {
        // The least integer has no counterpart: its digits are none of a positive one.
        if value.unsigned_abs() > most {
            return Err(refused("the least integer of its type cannot be encrypted in its form"));
        }
        let mut digits: Vec<u16> =
            value.unsigned_abs().to_string().bytes().map(|byte| u16::from(byte - b'0')).collect();
        // Walks on until a value begins with no zero and fits: as many steps back lead to what was encrypted.
        for _ in 0..100_000 {
            digits = self.numerals(0, digits)?;
            let made =
                digits.iter().try_fold(0_u64, |made, digit| made.checked_mul(10)?.checked_add(u64::from(*digit)));
            if let Some(made) = made.filter(|made| digits.first() != Some(&0) && *made <= most)
                && let Ok(made) = i64::try_from(made)
            {
                return Ok(if value < 0 { -made } else { made });
            }
        }
        Err(refused("a value cannot be encrypted in its form"))
    }
}

fn made_in_place<'a>(character: char, made: &mut impl Iterator<Item = &'a u8>) -> Option<u8> {
    if character.is_ascii_alphanumeric() { made.next().copied() } else { None }
}

fn integers<T>(column: &ArrayRef, ciphers: &mut Ciphers<'_>) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>,
{
    let column: &PrimitiveArray<T> = column.as_primitive();
    let most = if size_of::<T::Native>() == 4 { i32::MAX as u64 } else { i64::MAX as u64 };
    let mut output = PrimitiveBuilder::<T>::with_capacity(column.len());
    for (row, value) in column.iter().enumerate() {
        let made = match (value, ciphers.at(row)?) {
            (Some(value), Some(cipher)) => Some(cipher.integer(value.into(), most)?),
            _ => None,
        };
        output.append_option(made.and_then(|made| T::Native::try_from(made).ok()));
    }
    Ok(Arc::new(output.finish()))
}

fn refused(message: &str) -> DataFusionError {
    DataFusionError::External(Box::new(FunctionError::new(SqlState::INVALID_PARAMETER_VALUE, message)))
}

impl fmt::Debug for FormatPreserving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormatPreserving").field("way", &self.way).finish_non_exhaustive()
    }
}

impl PartialEq for FormatPreserving {
    fn eq(&self, other: &Self) -> bool {
        self.way == other.way && Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for FormatPreserving {}

impl Hash for FormatPreserving {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.way.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of NIST, "FF1samples", for AES-256.
    #[test]
    fn the_published_vectors_hold() {
        let key = hex::decode("2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94").unwrap();
        let cases = [
            (10, "", "0123456789", "6657667009"),
            (10, "39383736353433323130", "0123456789", "1001623463"),
            (36, "3737373770717273373737", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
        ];
        for (radix, tweak, plain, sealed) in cases {
            let cipher = FF1::<Aes256>::new(&key, radix).unwrap();
            let numerals = |text: &str| -> Vec<u16> { text.chars().map(|c| c.to_digit(36).unwrap() as u16).collect() };
            let tweak = hex::decode(tweak).unwrap();
            let made = cipher.encrypt(&tweak, &FlexibleNumeralString::from(numerals(plain))).unwrap();
            assert_eq!(Vec::<u16>::from(made), numerals(sealed));
        }
    }

    #[test]
    fn what_is_too_long_or_has_no_way_back_is_refused() {
        for way in [Way::Encrypt, Way::Decrypt] {
            let cipher = Cipher::new(way, &[1; 32]).unwrap();
            assert!(cipher.text(&"a".repeat(256), &mut String::new()).is_ok());
            assert!(cipher.text(&"a".repeat(257), &mut String::new()).is_err());
            assert!(cipher.integer(i64::MIN, i64::MAX as u64).is_err());
            assert!(cipher.integer(i64::from(i32::MIN), i32::MAX as u64).is_err());
            assert!(cipher.integer(-i64::MAX, i64::MAX as u64).is_ok());
        }
    }

    #[test]
    fn a_form_with_fewer_than_a_million_values_is_refused() {
        let cipher = Cipher::new(Way::Encrypt, &[1; 32]).unwrap();
        for short in ["", "12345", "abcd", "AB1"] {
            assert!(cipher.text(short, &mut String::new()).is_err(), "{short}");
        }
        assert!(cipher.text("Ünïcode123456", &mut String::new()).is_err());
        assert!(cipher.integer(99_999, u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn the_form_is_kept_and_the_way_back_is_found(text in "[0-9]{3}-[0-9]{2}-[0-9]{4}|[A-Z]{2}[0-9]{6}|[a-z]{6,12}", key in any::<[u8; 32]>()) {
            let mut sealed = String::new();
            Cipher::new(Way::Encrypt, &key).unwrap().text(&text, &mut sealed).unwrap();
            prop_assert_eq!(sealed.len(), text.len());
            for (a, b) in text.chars().zip(sealed.chars()) {
                prop_assert_eq!(a.is_ascii_alphanumeric(), b.is_ascii_alphanumeric());
                prop_assert!(a.is_ascii_alphanumeric() || a == b);
            }
            let mut opened = String::new();
            Cipher::new(Way::Decrypt, &key).unwrap().text(&sealed, &mut opened).unwrap();
            prop_assert_eq!(opened, text);
        }

        #[test]
        fn integers_keep_sign_and_digits(value in 1_000_000_i64..i64::from(i32::MAX), negative in any::<bool>(), key in any::<[u8; 32]>()) {
            let value = if negative { -value } else { value };
            let sealed = Cipher::new(Way::Encrypt, &key).unwrap().integer(value, i32::MAX as u64).unwrap();
            prop_assert_eq!(sealed.to_string().len(), value.to_string().len());
            let opened = Cipher::new(Way::Decrypt, &key).unwrap().integer(sealed, i32::MAX as u64).unwrap();
            prop_assert_eq!(opened, value);
        }
    }
}
