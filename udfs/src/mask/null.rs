//! `mask_null(v)`: NULL of `v`'s type, whatever the type.
//!
//! Invariant: it simplifies to a literal, so that the column it hides is not even read.

use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::function::first_type;

const NAME: &str = "mask_null";

/// `mask_null(v)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MaskNull {
    signature: Signature,
}

impl MaskNull {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MaskNull {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(NAME, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(arguments.return_field.data_type())?))
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(first) = arguments.first() else {
            return Ok(ExprSimplifyResult::Original(arguments));
        };
        let null = ScalarValue::try_new_null(&context.get_data_type(first)?)?;
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(null, None)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};
    use datafusion_common::DFSchema;
    use datafusion_expr::col;

    use super::*;

    #[test]
    fn simplifies_to_a_null_of_the_column_s_type() {
        let kind = DataType::Decimal128(12, 2);
        let schema = DFSchema::try_from(Schema::new(vec![Field::new("cost", kind.clone(), false)])).expect("schema");
        let context = SimplifyContext::builder().with_schema(Arc::new(schema)).build();
        let simplified = MaskNull::new().simplify(vec![col("cost")], &context).expect("simplifies");
        let ExprSimplifyResult::Simplified(Expr::Literal(value, _)) = simplified else {
            panic!("not simplified to a literal");
        };
        assert!(value.is_null());
        assert_eq!(value.data_type(), kind);
    }
}
