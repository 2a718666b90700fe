//! `mask_show_last(v, n)` and `mask_show_first(v, n)`: letters and digits become `*`, except for `n` characters at one end.
//!
//! Invariant: a text of `n` or fewer characters is masked whole.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::argument::{Count, evaluate};
use crate::disguise::{Shown, Stars, disguise_column, disguise_text};
use crate::function::{check_arity, count_argument, first_type, text_argument};
use crate::text::{self, Wrote};

/// `mask_show_last(v, n)` or `mask_show_first(v, n)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MaskShow {
    signature: Signature,
    end: End,
}

/// Which end is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    First,
    Last,
}

impl MaskShow {
    /// `mask_show_first`.
    pub(crate) fn first() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), end: End::First }
    }

    /// `mask_show_last`.
    pub(crate) fn last() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), end: End::Last }
    }

    fn shown(&self, count: usize) -> Shown {
        match self.end {
            End::First => Shown::First(count),
            End::Last => Shown::Last(count),
        }
    }
}

impl ScalarUDFImpl for MaskShow {
    fn name(&self) -> &str {
        match self.end {
            End::First => "mask_show_first",
            End::Last => "mask_show_last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(self.name(), given, 2)?;
        match given {
            [value, count] => Ok(vec![text_argument(self.name(), value)?, count_argument(self.name(), count)?]),
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
        let count = Count::read(&arguments, 1)?;
        evaluate(&arguments, |column| {
            if let Count::Same(count) = count {
                return disguise_column(column, Stars, self.shown(count));
            }
            text::rewrite(column, |row, text, output| {
                let Some(count) = count.at(row) else { return Ok(Wrote::Null) };
                disguise_text(text, Stars, self.shown(count), output);
                Ok(Wrote::Value)
            })
        })
    }
}
