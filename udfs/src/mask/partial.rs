//! `mask_partial(v, keep_left, fill, keep_right)`: the ends of a text around a fill, as `anon.partial` of
//! postgresql_anonymizer: `substring(v for keep_left) || fill || right(v, keep_right)`.
//!
//! Like there, the two ends of a short text meet or overlap, and then all of it is readable: `mask_show_last` and
//! `mask_show_first` hide short texts instead. A negative count keeps nothing.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::argument::{Count, Text, evaluate};
use crate::function::{check_arity, count_argument, first_type, text_argument};
use crate::text::{self, Wrote};

const NAME: &str = "mask_partial";

/// `mask_partial(v, keep_left, fill, keep_right)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MaskPartial {
    signature: Signature,
}

impl MaskPartial {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MaskPartial {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(NAME, given, 4)?;
        match given {
            [value, left, fill, right] => Ok(vec![
                text_argument(NAME, value)?,
                count_argument(NAME, left)?,
                text_argument(NAME, fill)?,
                count_argument(NAME, right)?,
            ]),
            _ => Ok(Vec::new()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(NAME, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let left = Count::read(&arguments, 1)?;
        let fill = Text::read(&arguments, 2)?;
        let right = Count::read(&arguments, 3)?;
        evaluate(&arguments, |column| {
            text::rewrite(column, |row, text, output| {
                let (Some(left), Some(fill), Some(right)) = (left.at(row), fill.at(row), right.at(row)) else {
                    return Ok(Wrote::Null);
                };
                output.push_str(first_characters(text, left));
                output.push_str(fill);
                output.push_str(last_characters(text, right));
                Ok(Wrote::Value)
            })
        })
    }
}

fn first_characters(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

fn last_characters(text: &str, count: usize) -> &str {
    let Some(skipped) = count.checked_sub(1) else { return "" };
    let start = text.char_indices().nth_back(skipped).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or_default()
}
