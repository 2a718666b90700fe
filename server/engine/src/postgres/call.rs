//! A scalar function of PostgreSQL's: how it is declared, planned and called, row by row.
//!
//! Invariant: a [`Fault`]'s value leaves only where every argument is a constant of the statement.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use lakeward_base::{Coded, FunctionError, SqlState};

use super::room::Room;
use super::value::{normal, type_name};
use crate::error::Error;

/// Why a function has no result.
pub(super) struct Fault {
    code: SqlState,
    before: String,
    value: Option<String>,
    after: &'static str,
}

impl Fault {
    /// A fault whose text holds no value.
    pub(super) fn new(code: SqlState, message: impl Into<String>) -> Self {
        Self { code, before: message.into(), value: None, after: "" }
    }

    /// `before "value" after`.
    pub(super) fn about(code: SqlState, before: impl Into<String>, value: &str, after: &'static str) -> Self {
        Self { code, before: before.into(), value: Some(value.to_owned()), after }
    }

    /// What an error whose text holds no value says.
    pub(super) fn of_error(error: &Error) -> Self {
        Self::new(error.sqlstate(), error.message())
    }

    /// `0A000`.
    pub(super) fn unsupported(what: &str) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    /// `22003`.
    pub(super) fn out_of_range(what: &str) -> Self {
        Self::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{what} out of range"))
    }

    /// Its SQLSTATE.
    pub(super) fn code(&self) -> SqlState {
        self.code
    }

    /// The error for a constant, which its author may see.
    pub(super) fn of_constant(self) -> DataFusionError {
        let message = match &self.value {
            Some(value) => format!("{}\"{value}\"{}", self.before, self.after),
            None => self.before,
        };
        failed(self.code, message)
    }

    /// The error for a cell.
    pub(super) fn of_cell(self) -> DataFusionError {
        failed(self.code, self.without_value())
    }

    /// The error for what came in through a protocol.
    pub(super) fn of_input(self) -> Error {
        Error::new(self.code, self.without_value())
    }

    fn without_value(&self) -> String {
        match &self.value {
            Some(_) => format!("{}{}", self.before.trim_end_matches([':', ' ']), self.after),
            None => self.before.clone(),
        }
    }
}

/// The error of a function, which below the barrier is a policy's that fails.
pub(super) fn failed(code: SqlState, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(FunctionError::new(code, message)))
}

/// An error of planning as DataFusion carries it.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// `42883`, as PostgreSQL words it.
pub(super) fn no_function(name: &str, types: &[DataType]) -> DataFusionError {
    let types = types.iter().map(type_name).collect::<Vec<_>>().join(", ");
    let message = format!("function {name}({types}) does not exist");
    external(
        Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(
            "No function matches the given name and argument types. You might need to add explicit type casts.",
        ),
    )
}

/// What a call stands in.
pub(super) struct Call<'a> {
    /// The result's type.
    pub(super) returns: &'a DataType,
    /// The session's time zone.
    pub(super) zone: Tz,
    /// What the results may take.
    pub(super) room: Room,
}

impl<'a> Call<'a> {
    /// A call with all its room.
    pub(super) fn new(returns: &'a DataType, zone: Tz) -> Self {
        Self { returns, zone, room: Room::default() }
    }
}

/// The result's type, given the arguments' and the constants among them; `None`: there is no such function.
pub(super) type Typing = fn(&[DataType], &[Option<&ScalarValue>]) -> Option<DataType>;

/// The result of one row.
pub(super) type Body = fn(&[ScalarValue], &Call<'_>) -> std::result::Result<ScalarValue, Fault>;

/// A function.
#[derive(Clone, Copy)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// Its type.
    pub(super) typing: Typing,
    /// What it does.
    pub(super) body: Body,
    /// NULL in, NULL out.
    pub(super) strict: bool,
}

impl Function {
    /// For the registry.
    pub(super) fn udf(&self) -> Arc<ScalarUDF> {
        let shapes = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        let signature = Signature::one_of(shapes, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Callable { function: *self, signature }))
    }
}

struct Callable {
    function: Function,
    signature: Signature,
}

impl Callable {
    fn row(&self, arguments: &[ScalarValue], call: &Call<'_>) -> std::result::Result<ScalarValue, Fault> {
        if self.function.strict && arguments.iter().any(ScalarValue::is_null) {
            return null(call.returns);
        }
        let result = (self.function.body)(arguments, call)?;
        call.room.take(&result)?;
        Ok(result)
    }

    fn constant(&self, arguments: &[Expr], config: &Arc<ConfigOptions>) -> Result<Option<Expr>> {
        let literal = |argument: &Expr| match argument {
            Expr::Literal(value, _) => Some(normal(value.clone())),
            _ => None,
        };
        let Some(values) = arguments.iter().map(literal).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let types: Vec<_> = values.iter().map(ScalarValue::data_type).collect();
        let constants: Vec<_> = values.iter().map(Some).collect();
        let Some(returns) = (self.function.typing)(&types, &constants) else {
            return Err(no_function(self.function.name, &types));
        };
        let call = Call::new(&returns, zone_of(config)?);
        let result = self.row(&values, &call).map_err(Fault::of_constant)?;
        Ok(Some(Expr::Literal(result, None)))
    }
}

/// NULL of a type.
pub(super) fn null(data_type: &DataType) -> std::result::Result<ScalarValue, Fault> {
    ScalarValue::try_from(data_type).map_err(|_| Fault::unsupported("this type"))
}

fn zone_of(config: &ConfigOptions) -> Result<Tz> {
    Ok(config.execution.time_zone.as_deref().unwrap_or("UTC").parse()?)
}

impl ScalarUDFImpl for Callable {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its arguments", self.function.name)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> =
            arguments.arg_fields.iter().map(|field| super::value::normal_type(field.data_type())).collect();
        match (self.function.typing)(&types, arguments.scalar_arguments) {
            Some(data_type) => {
                let field = Field::new(self.function.name, data_type, true);
                Ok(Arc::new(super::json::marked(self.function.name, arguments.scalar_arguments, field)))
            }
            None => Err(no_function(self.function.name, &types)),
        }
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let Some(native) = super::cast::native(self.function.name, &arguments, context)? {
            return Ok(ExprSimplifyResult::Simplified(native));
        }
        if let Some(native) = super::regex::native(self.function.name, &arguments, context)? {
            return Ok(ExprSimplifyResult::Simplified(native));
        }
        match self.constant(&arguments, context.config_options())? {
            Some(value) => Ok(ExprSimplifyResult::Simplified(value)),
            None => Ok(ExprSimplifyResult::Original(arguments)),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let call = Call::new(arguments.return_field.data_type(), zone_of(&arguments.config_options)?);
        if let Some(column) = super::moments::column(self.function.name, &arguments.args, &call)? {
            return Ok(ColumnarValue::Array(column));
        }
        let mut results = Vec::with_capacity(rows);
        let mut cells = Vec::with_capacity(arguments.args.len());
        for row in 0..rows {
            cells.clear();
            for argument in &arguments.args {
                cells.push(normal(match argument {
                    ColumnarValue::Scalar(value) => value.clone(),
                    ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row)?,
                }));
            }
            results.push(self.row(&cells, &call).map_err(Fault::of_cell)?);
        }
        if constant && let Some(result) = results.pop() {
            return Ok(ColumnarValue::Scalar(result));
        }
        Ok(ColumnarValue::Array(column(results, call.returns)?))
    }
}

fn column(results: Vec<ScalarValue>, returns: &DataType) -> Result<ArrayRef> {
    if results.is_empty() {
        return Ok(arrow::array::new_empty_array(returns));
    }
    ScalarValue::iter_to_array(results)
}

impl PartialEq for Callable {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Callable {}

impl Hash for Callable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl std::fmt::Debug for Callable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callable").field("name", &self.function.name).finish_non_exhaustive()
    }
}
