//! Functions about the catalog: PostgreSQL's, answered from the statement's snapshot as its principal may know it.
//!
//! They are found by name when a statement is planned and are closed over its [`Viewer`], so they cannot outlive it.
//! Invariants: a function here reads nothing but its arguments and what the viewer may see; an error while a statement
//! runs holds no argument, since that may be a cell's value. Only while it is planned are arguments the user's own words.

mod answer;
mod comment;
mod describe;
mod object;
mod privilege;
mod session;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use lakeward_base::{Coded, SqlState};

use self::answer::{Argument, Known, Returns};
use super::cell;
use super::definition::{CatalogType, marked};
use super::viewer::Viewer;
use crate::error::Error;

/// The list that a subquery made, or an empty one: what `ARRAY(SELECT …)` becomes.
pub(super) const ARRAY_OR_EMPTY: &str = "lakeward_array_or_empty";

/// What `information_schema._pg_expandarray` becomes, which drivers ask of an index's columns.
pub(super) const EXPAND_ARRAY: &str = "lakeward_expand_array";

/// The function of that name, closed over the statement's viewer.
pub(super) fn find(name: &str, viewer: impl FnOnce() -> Arc<Viewer>) -> Option<Arc<ScalarUDF>> {
    if name == ARRAY_OR_EMPTY {
        return Some(Arc::new(ScalarUDF::from(ArrayOrEmpty { signature: Signature::any(1, Volatility::Immutable) })));
    }
    if name == EXPAND_ARRAY {
        return Some(Arc::new(ScalarUDF::from(ExpandArray { signature: Signature::any(1, Volatility::Immutable) })));
    }
    let tables = [comment::FUNCTIONS, describe::FUNCTIONS, object::FUNCTIONS, privilege::FUNCTIONS, session::FUNCTIONS];
    let known = tables.into_iter().flatten().find(|known| known.name == name)?;
    let shapes = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    // What does something is done once for each row, and never while a statement is planned.
    let acts = session::FUNCTIONS.iter().any(|acting| acting.name == name);
    let signature = Signature::one_of(shapes, if acts { Volatility::Volatile } else { Volatility::Stable });
    Some(Arc::new(ScalarUDF::from(CatalogFunction { known, viewer: viewer(), signature })))
}

struct CatalogFunction {
    known: &'static Known,
    viewer: Arc<Viewer>,
    signature: Signature,
}

impl CatalogFunction {
    fn answer(&self, given: &[Argument]) -> std::result::Result<cell::Cell, Error> {
        if self.known.strict && given.iter().any(Argument::is_null) {
            return Ok(cell::Cell::Null);
        }
        (self.known.body)(&self.viewer, given)
    }

    fn evaluate(&self, rows: usize, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let answer = |row: usize| {
            let given = arguments.iter().map(|array| Ok(Argument::of(ScalarValue::try_from_array(array, row)?)));
            self.answer(&given.collect::<Result<Vec<_>>>()?).map_err(|error| external(without_arguments(&error)))
        };
        let cells = (0..rows).map(answer).collect::<Result<Vec<_>>>()?;
        Ok(cell::array(&self.known.returns.data_type(), cells.into_iter()))
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.known.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.known.returns.data_type())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(if matches!(self.known.returns, Returns::Oid) { marked(field, CatalogType::Oid) } else { field }))
    }

    /// What a statement names itself is looked up while it is planned, and its error may say the name.
    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let literal = |argument: &Expr| match argument {
            Expr::Literal(value, _) => Some(Argument::of(value.clone())),
            _ => None,
        };
        if object::READERS.contains(&self.known.name)
            && let Some(given) = arguments.iter().map(literal).collect::<Option<Vec<_>>>()
        {
            self.answer(&given).map_err(external)?;
        }
        Ok(ExprSimplifyResult::Original(arguments))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let arrays = arguments.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let answers = self.evaluate(rows, &arrays)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?));
        }
        Ok(ColumnarValue::Array(answers))
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn without_arguments(error: &Error) -> Error {
    let message = match error.sqlstate() {
        // Made of fixed words in `session`.
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::FEATURE_NOT_SUPPORTED => return error.clone(),
        SqlState::INVALID_PARAMETER_VALUE => "invalid parameter value or privilege type",
        SqlState::CANT_CHANGE_RUNTIME_PARAM => "a parameter cannot be changed",
        SqlState::UNDEFINED_FUNCTION => "a function does not take these arguments",
        _ => "what a function was asked about does not exist",
    };
    Error::new(error.sqlstate(), message)
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.known.name == other.known.name && self.viewer.stamp == other.viewer.stamp
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.known.name.hash(state);
    }
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogFunction").field("name", &self.known.name).finish_non_exhaustive()
    }
}

/// A subquery without rows aggregates to NULL, where PostgreSQL's `ARRAY(…)` is an empty array.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrEmpty {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &str {
        ARRAY_OR_EMPTY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [list @ DataType::List(_)] => Ok(list.clone()),
            _ => exec_err!("{ARRAY_OR_EMPTY} takes a list"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let Some(given) = arguments.args.first() else { return exec_err!("{ARRAY_OR_EMPTY} takes a list") };
        let array = given.to_array(rows)?;
        let Some(lists) = array.as_any().downcast_ref::<ListArray>() else {
            return exec_err!("{ARRAY_OR_EMPTY} takes a list");
        };
        if lists.null_count() == 0 {
            return Ok(ColumnarValue::Array(array));
        }
        Ok(ColumnarValue::Array(Arc::new(without_nulls(lists)?)))
    }
}

/// A row for each element of an array, with its place: there are no indexes, so that it is planned but never run.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExpandArray {
    signature: Signature,
}

impl ScalarUDFImpl for ExpandArray {
    fn name(&self) -> &str {
        EXPAND_ARRAY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        let field = |name: &str| Field::new(name, DataType::Int32, true);
        Ok(DataType::Struct(vec![field("x"), field("n")].into()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if arguments.number_rows > 0 {
            return Err(external(Error::unsupported("information_schema._pg_expandarray")));
        }
        Ok(ColumnarValue::Array(new_empty_array(arguments.return_field.data_type())))
    }
}

fn without_nulls(lists: &ListArray) -> Result<ListArray> {
    let DataType::List(item) = lists.data_type() else { return exec_err!("{ARRAY_OR_EMPTY} takes a list") };
    let present: Vec<ArrayRef> = lists.iter().flatten().collect();
    let lengths = lists.iter().map(|list| list.map_or(0, |list| list.len()));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let parts: Vec<&dyn Array> = present.iter().map(AsRef::as_ref).collect();
    let values = if parts.is_empty() { new_empty_array(item.data_type()) } else { arrow::compute::concat(&parts)? };
    Ok(ListArray::try_new(Arc::clone(item), offsets, values, None)?)
}
