//! Functions that tell who is asking. They are planned by name and replaced by literals before anything is optimised.
//!
//! Invariant: none of them is ever evaluated; a plan that still holds one fails.

use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use lakeward_govern::Principal;

/// Functions about the principal, which policies may use: `govern` knows how to replace them.
const OF_THE_PRINCIPAL: &[(&str, usize, DataType)] = &[
    ("current_user", 0, DataType::Utf8),
    ("session_user", 0, DataType::Utf8),
    ("current_role", 0, DataType::Utf8),
    ("current_purpose", 0, DataType::Utf8),
    ("is_role_in_session", 1, DataType::Boolean),
    ("principal_attribute", 1, DataType::Utf8),
];

/// Functions about the session and the server, for users' statements only.
const OF_THE_SESSION: &[(&str, DataType)] = &[
    ("user", DataType::Utf8),
    ("version", DataType::Utf8),
    ("current_database", DataType::Utf8),
    ("current_catalog", DataType::Utf8),
    ("current_schema", DataType::Utf8),
    ("pg_backend_pid", DataType::Int32),
];

/// What `version()` answers.
pub(crate) const VERSION: &str = concat!("PostgreSQL 15.0 (Lakeward ", env!("CARGO_PKG_VERSION"), ")");

/// The one database.
pub(crate) const DATABASE: &str = "lakeward";

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionFunction {
    name: &'static str,
    returns: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for SessionFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} was not replaced", self.name)
    }
}

/// All of them, for the function registry.
pub(crate) fn session_functions() -> Vec<Arc<ScalarUDF>> {
    let of_the_principal =
        OF_THE_PRINCIPAL.iter().map(|(name, arguments, returns)| (*name, *arguments, returns.clone()));
    let of_the_session = OF_THE_SESSION.iter().map(|(name, returns)| (*name, 0, returns.clone()));
    let make = |(name, arguments, returns): (&'static str, usize, DataType)| {
        let shape = if arguments == 0 { TypeSignature::Nullary } else { TypeSignature::String(arguments) };
        let signature = Signature::new(shape, Volatility::Stable);
        Arc::new(ScalarUDF::from(SessionFunction { name, returns, signature }))
    };
    of_the_principal.chain(of_the_session).map(make).collect()
}

/// What the functions about the session answer.
pub(crate) struct SessionFacts<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) schema: String,
    pub(crate) process_id: i32,
}

/// Replaces every function of this module by its value.
pub(crate) fn substitute(expr: Expr, facts: &SessionFacts<'_>) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let expr = lakeward_govern::substitute_session_functions(expr, facts.principal)?;
    let replaced = expr.transform_up(|expr| {
        let Expr::ScalarFunction(function) = &expr else { return Ok(Transformed::no(expr)) };
        let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
        let value = match function.name() {
            "user" => text(&facts.principal.current_user),
            "version" => text(VERSION),
            "current_database" | "current_catalog" => text(DATABASE),
            "current_schema" => text(&facts.schema),
            "pg_backend_pid" => ScalarValue::Int32(Some(facts.process_id)),
            _ => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::yes(Expr::Literal(value, None)))
    })?;
    Ok(replaced.data)
}
