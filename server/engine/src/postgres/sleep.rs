//! `pg_sleep`: waits, and keeps no thread while it does.
//!
//! Invariant: a statement that sleeps is cancelled, and ends at its time-out, like one that works.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// What PostgreSQL's longest sleep may be taken for.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The function.
pub(super) fn function() -> ScalarUDF {
    let signature = Signature::new(TypeSignature::Uniform(1, vec![DataType::Float64]), Volatility::Volatile);
    AsyncScalarUDF::new(Arc::new(Sleep { signature })).into_scalar_udf()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// PostgreSQL's `void`, which is shown as an empty text.
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("pg_sleep is waited for")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    /// Sleeps for each row, one after the other.
    async fn invoke_async_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(seconds) = arguments.args.first() else { return internal_err!("pg_sleep without its argument") };
        let seconds = seconds.clone().into_array(arguments.number_rows)?;
        let Some(seconds) = seconds.as_primitive_opt::<Float64Type>() else {
            return internal_err!("pg_sleep over another type");
        };
        for seconds in seconds.iter().flatten().filter(|seconds| *seconds > 0.0) {
            tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)).await;
        }
        let shown = seconds.iter().map(|seconds| seconds.map(|_| "")).collect::<StringArray>();
        Ok(ColumnarValue::Array(Arc::new(shown) as ArrayRef))
    }
}
