//! The only place where errors of DataFusion, Arrow and the stores become errors for users.
//!
//! While a statement is planned, a library's text speaks of the statement and of schemas, which its author may see.
//! While it runs, the text may hold cell values: then a code and a fixed message leave, nothing else. Invariant: no
//! text of an execution error is ever passed on.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use lakeward_base::{Coded, FunctionError, IncidentId, SqlState};
use lakeward_catalog::StoreError;
use lakeward_govern::BarrierError;

use crate::error::Error;
use crate::position;

/// An error of planning `text`.
pub(crate) fn planning(error: &DataFusionError, text: Option<&str>) -> Error {
    let published = classify_planning(error);
    match text.and_then(|text| place(error, text)) {
        Some(place) => published.with_position(place),
        None => published,
    }
}

fn classify_planning(error: &DataFusionError) -> Error {
    if let Some(own) = own_error(error) {
        return own;
    }
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::Plan(text) | DataFusionError::Configuration(text) => plan_error(text),
        DataFusionError::NotImplemented(text) => not_implemented(text),
        DataFusionError::SQL(parser, _) => Error::new(SqlState::SYNTAX_ERROR, first_line(&parser.to_string())),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => classify_planning(first),
            None => incident("planning", "collection"),
        },
        DataFusionError::Diagnostic(_, inner) => classify_planning(inner),
        // Constant folding evaluates the user's own literals only.
        _ => execution(error),
    }
}

/// What the planner has no plan for, unless it says so in words of its own innards.
fn not_implemented(text: &str) -> Error {
    if text.contains("OuterReferenceColumn") {
        let what = "a subquery that refers to what stands outside it, in this place,";
        return Error::unsupported(what).with_hint("Write it as a join.");
    }
    if text.contains(['{', '}']) {
        return Error::new(SqlState::FEATURE_NOT_SUPPORTED, "the statement needs something that is not supported");
    }
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, first_line(text))
}

/// An error of running a statement: the code, a fixed message, no text of the library's.
pub(crate) fn execution(error: &DataFusionError) -> Error {
    if let Some(own) = own_error(error) {
        return own;
    }
    match error.find_root() {
        DataFusionError::ArrowError(arrow, _) => arrow_error(arrow),
        DataFusionError::ResourcesExhausted(_) => Error::new(SqlState::OUT_OF_MEMORY, "out of memory")
            .with_hint("Narrow the query, or ask the operator for a larger memory limit."),
        DataFusionError::NotImplemented(_) => {
            Error::new(SqlState::FEATURE_NOT_SUPPORTED, "the statement needs something that is not supported")
        }
        DataFusionError::Execution(text) => execution_text(text),
        DataFusionError::External(source) => match source.downcast_ref::<ArrowError>() {
            Some(arrow) => arrow_error(arrow),
            None => incident("execution", "external"),
        },
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => execution(first),
            None => incident("execution", "collection"),
        },
        DataFusionError::Diagnostic(_, inner) => execution(inner),
        DataFusionError::Plan(text) if text.contains("Percentile value must be between") => {
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "percentile value is not between 0 and 1")
        }
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => incident("execution", "plan"),
        DataFusionError::Internal(_) => incident("execution", "internal"),
        DataFusionError::ExecutionJoin(_) => incident("execution", "panic"),
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
            storage_failed()
        }
        _ => incident("execution", "other"),
    }
}

/// An error of a table store, about `table`. What the store's library said goes to the operator as a kind only.
pub(crate) fn store(error: &StoreError, table: &str) -> Error {
    if let StoreError::Input(inner) = error {
        return execution(inner);
    }
    tracing::warn!(sqlstate = %error.sqlstate(), table, "a table could not be opened or written");
    let published = Error::new(error.sqlstate(), format!("table \"{table}\": {}", error.message()));
    match error.hint() {
        Some(hint) => published.with_hint(hint),
        None => published,
    }
}

/// Errors of Lakeward's own that travelled through DataFusion.
fn own_error(error: &DataFusionError) -> Option<Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(own) = current.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(function) = current.downcast_ref::<FunctionError>() {
            return Some(Error::from_coded(function));
        }
        if let Some(scan) = current.downcast_ref::<BarrierError>() {
            return Some(Error::from_coded(scan));
        }
        if let Some(store) = current.downcast_ref::<StoreError>() {
            return Some(Error::from_coded(store));
        }
        next = match current.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(source)) => Some(source.as_ref()),
            Some(DataFusionError::Shared(shared)) => Some(shared.as_ref()),
            Some(DataFusionError::ArrowError(arrow, _)) => Some(arrow.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(errors)) => errors.first().map(|error| error as _),
            _ => match current.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(source)) => Some(source.as_ref()),
                _ => current.source(),
            },
        };
    }
    None
}

fn schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let shown = match &field.relation {
                Some(relation) => {
                    format!("{}.{}", relation.table().split('\u{1}').next().unwrap_or_default(), field.name)
                }
                None => format!("\"{}\"", field.name),
            };
            if let Some(error) = crate::wording::of_missing(field, valid_fields) {
                return error;
            }
            Error::new(SqlState::UNDEFINED_COLUMN, format!("column {shown} does not exist"))
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            let table = qualifier.table();
            Error::new(SqlState::DUPLICATE_ALIAS, format!("table name \"{table}\" specified more than once"))
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(SqlState::DUPLICATE_COLUMN, format!("column name \"{name}\" stands more than once"))
                .with_hint("Give one of them another name with AS.")
        }
    }
}

/// The planner has one kind of error for many things; PostgreSQL has a code for each.
fn plan_error(text: &str) -> Error {
    let line = first_line(text);
    if let Some(error) = crate::wording::of_planner(&line) {
        return error;
    }
    let is = |needle: &str| line.contains(needle);
    let code = if is("Invalid function")
        || is("No function matches")
        || is("Failed to coerce arguments")
        || is("Failed to find function")
        || (is("table function") && is("not found"))
    {
        SqlState::UNDEFINED_FUNCTION
    } else if is("must appear in the GROUP BY") || is("must be in GROUP BY") || is("aggregate function calls cannot") {
        SqlState::GROUPING_ERROR
    } else if is("Cannot coerce")
        || is("Cannot infer common")
        || is("type_coercion")
        || is("cannot be cast")
        || is("Unsupported CAST")
    {
        SqlState::DATATYPE_MISMATCH
    } else if is("ambiguous") {
        SqlState::AMBIGUOUS_COLUMN
    } else {
        SqlState::SYNTAX_ERROR
    };
    Error::new(code, line)
}

fn arrow_error(error: &ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range"),
        ArrowError::CastError(_) | ArrowError::ParseError(_) => {
            Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "a value cannot be cast to the type asked for")
        }
        ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => {
            Error::new(SqlState::DATA_EXCEPTION, "a value is not valid for this operation")
        }
        ArrowError::NotYetImplemented(_) => {
            Error::new(SqlState::FEATURE_NOT_SUPPORTED, "the statement needs something that is not supported")
        }
        ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is too large")
        }
        ArrowError::IoError(..) | ArrowError::ParquetError(_) => storage_failed(),
        ArrowError::ExternalError(_)
        | ArrowError::SchemaError(_)
        | ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::AvroError(_)
        | ArrowError::IpcError(_)
        | ArrowError::CDataInterface(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError => incident("execution", "arrow"),
    }
}

fn storage_failed() -> Error {
    Error::new(SqlState::IO_ERROR, "storage is unavailable")
        .with_hint("Try again later. If it goes on, ask the operator: the server's log says what is wrong.")
}

/// Functions report bad arguments as text; only what kind of error it is may be read from it.
fn execution_text(text: &str) -> Error {
    if text.contains("more than one row") {
        let message = "more than one row returned by a subquery used as an expression";
        return Error::new(SqlState::CARDINALITY_VIOLATION, message);
    }
    if text.contains("field position must not be zero") {
        return Error::new(SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero");
    }
    if text.to_ascii_lowercase().contains("overflow") {
        return Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range");
    }
    Error::new(SqlState::DATA_EXCEPTION, "a value is not valid for this operation")
}

/// An error that must not happen: the user gets a number, the operator the same number and a kind.
pub(crate) fn incident(stage: &'static str, kind: &'static str) -> Error {
    let id = IncidentId::generate();
    tracing::error!(incident = %id, stage, kind, "internal error");
    Error::new(SqlState::INTERNAL_ERROR, format!("internal error [incident {id}]"))
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(400).collect()
}

/// Where the planner says that the error is.
fn place(error: &DataFusionError, text: &str) -> Option<usize> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => {
            let start = diagnostic.span?.start;
            position::of_place(text, start.line, start.column)
        }
        DataFusionError::Context(_, inner) => place(inner, text),
        DataFusionError::Collection(errors) => errors.first().and_then(|error| place(error, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{execution, planning};
    use arrow::error::ArrowError;
    use datafusion::common::DataFusionError;
    use lakeward_base::{Coded, SqlState};

    #[test]
    fn no_text_of_an_execution_error_is_passed_on() {
        let secret = "412-68-1073";
        let errors = [
            DataFusionError::Execution(format!("bad value {secret}")),
            DataFusionError::Internal(secret.to_owned()),
            DataFusionError::ArrowError(
                Box::new(ArrowError::CastError(format!("Cannot cast string '{secret}'"))),
                None,
            ),
            DataFusionError::ArrowError(Box::new(ArrowError::ComputeError(secret.to_owned())), None),
            DataFusionError::External(secret.into()),
            DataFusionError::Context(secret.to_owned(), Box::new(DataFusionError::Execution(secret.to_owned()))),
        ];
        for error in errors {
            let published = execution(&error);
            let all = format!("{published} {:?} {:?}", published.detail(), published.hint());
            assert!(!all.contains(secret), "{all}");
        }
    }

    #[test]
    fn codes_are_postgresqls() {
        let divide = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        assert_eq!(execution(&divide).sqlstate(), SqlState::DIVISION_BY_ZERO);
        let missing = DataFusionError::Plan("Invalid function 'frobnicate'.".to_owned());
        assert_eq!(planning(&missing, None).sqlstate(), SqlState::UNDEFINED_FUNCTION);
        let memory = DataFusionError::ResourcesExhausted("412-68-1073".to_owned()).context("more");
        assert_eq!(execution(&memory).sqlstate(), SqlState::OUT_OF_MEMORY);
    }
}
