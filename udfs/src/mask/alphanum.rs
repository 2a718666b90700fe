//! `mask_alphanum(v)`: the shape of a text. Upper-case letters become `X`, other letters `x`, digits `n`.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::argument::evaluate;
use crate::disguise::{Shape, Shown, disguise_column};
use crate::function::{check_arity, first_type, text_argument};

const NAME: &str = "mask_alphanum";

/// `mask_alphanum(v)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MaskAlphanum {
    signature: Signature,
}

impl MaskAlphanum {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MaskAlphanum {
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
        evaluate(&arguments, |column| disguise_column(column, Shape, Shown::Nothing))
    }
}
