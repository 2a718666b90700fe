//! `mask_hash(v, domain)` and `hmac_token(v, domain)`: keyed hashes, under keys of their own. Equal values stay equal within a domain; without the key nothing can be tried out.
//!
//! Text becomes the 64 hexadecimal digits of HMAC-SHA-256 over its UTF-8 bytes. An integer becomes a non-negative
//! integer of its own type: the low bits of HMAC-SHA-256 over its 16-byte big-endian value. Narrow integers collide
//! (a smallint has 32,768 results), as any hash that keeps their type must.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, PrimitiveBuilder};
use arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion_common::{DataFusionError, Result, internal_datafusion_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::argument::{Text, evaluate};
use crate::function::{check_arity, first_type, text_argument};
use crate::keys::{KeyPurpose, KeyRing};
use crate::text::{self, Wrote};

/// The function's name.
pub(crate) const NAME: &str = "mask_hash";
/// The name of the one that stands for a value in derived data.
pub(crate) const TOKEN: &str = "hmac_token";

const HEX_DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// `mask_hash(v, domain)`, or `hmac_token(v, domain)`.
pub(crate) struct MaskHash {
    name: &'static str,
    purpose: KeyPurpose,
    signature: Signature,
    keys: Arc<dyn KeyRing>,
}

impl MaskHash {
    pub(crate) fn new(keys: Arc<dyn KeyRing>) -> Self {
        Self {
            name: NAME,
            purpose: KeyPurpose::MaskHash,
            signature: Signature::user_defined(Volatility::Immutable),
            keys,
        }
    }

    pub(crate) fn token(keys: Arc<dyn KeyRing>) -> Self {
        Self { name: TOKEN, purpose: KeyPurpose::HmacToken, ..Self::new(keys) }
    }
}

impl ScalarUDFImpl for MaskHash {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(self.name, given, 2)?;
        match given {
            [value, domain] if value.is_integer() => Ok(vec![value.clone(), text_argument(self.name, domain)?]),
            [value, domain] => Ok(vec![text_argument(self.name, value)?, text_argument(self.name, domain)?]),
            _ => Ok(Vec::new()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(self.name, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let domain = Text::read(&arguments, 1)?;
        let mut hasher = DomainHasher { keys: self.keys.as_ref(), purpose: self.purpose, domain: &domain, keyed: None };
        evaluate(&arguments, |column| match column.data_type() {
            DataType::Int8 => hash_integers::<Int8Type>(column, &mut hasher),
            DataType::Int16 => hash_integers::<Int16Type>(column, &mut hasher),
            DataType::Int32 => hash_integers::<Int32Type>(column, &mut hasher),
            DataType::Int64 => hash_integers::<Int64Type>(column, &mut hasher),
            DataType::UInt8 => hash_integers::<UInt8Type>(column, &mut hasher),
            DataType::UInt16 => hash_integers::<UInt16Type>(column, &mut hasher),
            DataType::UInt32 => hash_integers::<UInt32Type>(column, &mut hasher),
            DataType::UInt64 => hash_integers::<UInt64Type>(column, &mut hasher),
            _ => hash_texts(column, &mut hasher),
        })
    }
}

/// Hashes rows of one batch; keeps the keyed state of the last domain, which is nearly always the only one.
struct DomainHasher<'a> {
    keys: &'a dyn KeyRing,
    purpose: KeyPurpose,
    domain: &'a Text,
    keyed: Option<(String, Hmac<Sha256>)>,
}

impl DomainHasher<'_> {
    /// The hash of `value` in the row's domain; `None` where the domain is NULL.
    fn hash(&mut self, row: usize, value: &[u8]) -> Result<Option<[u8; 32]>> {
        let Some(domain) = self.domain.at(row) else { return Ok(None) };
        if self.keyed.as_ref().is_none_or(|(keyed, _)| keyed != domain) {
            let key = self.keys.key(self.purpose, domain).map_err(|e| DataFusionError::External(Box::new(e)))?;
            let state = Hmac::<Sha256>::new_from_slice(key.as_slice())
                .map_err(|_| internal_datafusion_err!("HMAC takes keys of any length"))?;
            self.keyed = Some((domain.to_owned(), state));
        }
        Ok(self.keyed.as_ref().map(|(_, state)| {
            let mut state = state.clone();
            state.update(value);
            state.finalize().into_bytes().into()
        }))
    }
}

fn hash_texts(column: &ArrayRef, hasher: &mut DomainHasher<'_>) -> Result<ArrayRef> {
    text::rewrite(column, |row, text, output| {
        let Some(hash) = hasher.hash(row, text.as_bytes())? else { return Ok(Wrote::Null) };
        output.extend(hash.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 0xF)]));
        Ok(Wrote::Value)
    })
}

fn hex_digit(nibble: u8) -> char {
    HEX_DIGITS.get(usize::from(nibble)).copied().unwrap_or_default()
}

/// An integer type and its non-negative values.
trait HashedInteger: ArrowPrimitiveType<Native: Into<i128>> {
    /// Takes the low bits, all of them for an unsigned type, all but the sign for a signed one.
    fn from_bits(bits: u64) -> Self::Native;
}

macro_rules! hashed_integers {
    ($($arrow:ident => $native:ident),* $(,)?) => {
        $(impl HashedInteger for $arrow {
            // Truncating is the point; the mask keeps the sign bit clear.
            fn from_bits(bits: u64) -> $native {
                (bits & ($native::MAX as u64)) as $native
            }
        })*
    };
}

hashed_integers!(
    Int8Type => i8, Int16Type => i16, Int32Type => i32, Int64Type => i64,
    UInt8Type => u8, UInt16Type => u16, UInt32Type => u32, UInt64Type => u64,
);

fn hash_integers<T: HashedInteger>(column: &ArrayRef, hasher: &mut DomainHasher<'_>) -> Result<ArrayRef> {
    let column: &PrimitiveArray<T> = column.as_primitive();
    let mut output = PrimitiveBuilder::<T>::with_capacity(column.len());
    for (row, value) in column.iter().enumerate() {
        let hash = match value {
            Some(value) => hasher.hash(row, &Into::<i128>::into(value).to_be_bytes())?,
            None => None,
        };
        output.append_option(hash.map(|hash| {
            T::from_bits(hash.iter().rev().take(8).rev().fold(0, |bits, byte| (bits << 8) | u64::from(*byte)))
        }));
    }
    Ok(Arc::new(output.finish()))
}

impl fmt::Debug for MaskHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskHash").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for MaskHash {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for MaskHash {}

impl Hash for MaskHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
