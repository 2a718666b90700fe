//! `sha2(v, bits)`: SHA-2 in hexadecimal digits, as Spark has it: 224, 256, 384 or 512 bits, 0 is 256, another number NULL.
//!
//! Without a key: who can guess a value can find it. Invariant: text is hashed as its UTF-8 bytes.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion_common::{Result, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::argument::{Count, evaluate};
use crate::function::{check_arity, count_argument, text_argument};
use crate::text;

const NAME: &str = "sha2";

/// `sha2(v, bits)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sha2 {
    signature: Signature,
}

impl Sha2 {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Sha2 {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(NAME, given, 2)?;
        match given {
            [DataType::Binary | DataType::LargeBinary | DataType::BinaryView, bits] => {
                Ok(vec![DataType::Binary, count_argument(NAME, bits)?])
            }
            [value, bits] => Ok(vec![text_argument(NAME, value)?, count_argument(NAME, bits)?]),
            _ => plan_err!("function {NAME} takes 2 arguments"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bits = Count::read(&arguments, 1)?;
        evaluate(&arguments, |column| {
            let mut output = StringBuilder::new();
            for row in 0..column.len() {
                let hash = value(column, row).zip(bits.at(row)).and_then(|(value, bits)| hash(value, bits));
                match hash {
                    Some(hash) => {
                        for byte in hash {
                            // Writing to memory does not fail.
                            let _ = write!(output, "{byte:02x}");
                        }
                        output.append_value("");
                    }
                    None => output.append_null(),
                }
            }
            Ok(Arc::new(output.finish()) as ArrayRef)
        })
    }
}

fn value(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    match column.as_binary_opt::<i32>() {
        Some(bytes) => bytes.is_valid(row).then(|| bytes.value(row)),
        None => text::value(column, row).map(str::as_bytes),
    }
}

fn hash(value: &[u8], bits: usize) -> Option<Vec<u8>> {
    match bits {
        224 => Some(Sha224::digest(value).to_vec()),
        0 | 256 => Some(Sha256::digest(value).to_vec()),
        384 => Some(Sha384::digest(value).to_vec()),
        512 => Some(Sha512::digest(value).to_vec()),
        _ => None,
    }
}
