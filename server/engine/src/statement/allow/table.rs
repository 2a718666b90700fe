//! What may stand in FROM.
//!
//! Invariant: see [`super`]. The planner ignores every field of a plain table but its name, alias and arguments;
//! `VERSION AS OF` is taken over by `resolve`.

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, ObjectName, Spanned, TableFactor, TableFunctionArgs, TableVersion,
    TableWithJoins, Value, ValueWithSpan,
};
use lakeward_base::SqlState;

use super::query::check_table_alias;
use super::{Checker, refuse_if, refused, select};
use crate::error::Error;
use crate::statement::rewrite::is_pg_catalog;

pub(super) fn check(checker: &Checker<'_>, factor: &TableFactor) -> Result<(), Error> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            checker.check_table_name(name)?;
            refuse_if(!with_hints.is_empty(), "a table hint", "Leave it out.")?;
            refuse_if(*with_ordinality, "WITH ORDINALITY", "Use row_number().")?;
            refuse_if(!partitions.is_empty(), "PARTITION (…)", "Use WHERE on the partition column.")?;
            refuse_if(json_path.is_some(), "a path after a table's name", "Use the column's functions.")?;
            refuse_if(sample.is_some(), "TABLESAMPLE", "Use WHERE random() < … or LIMIT.")?;
            refuse_if(!index_hints.is_empty(), "an index hint", "Leave it out.")?;
            if let Some(version) = version {
                check_version(version).map_err(|error| checker.at(error, name.span()))?;
                refuse_if(args.is_some(), "VERSION AS OF after a function", "Read the table itself.")?;
            }
            if let Some(TableFunctionArgs { args, settings }) = args {
                refuse_if(settings.is_some(), "SETTINGS", "Leave it out.")?;
                check_function(checker, name, args)?;
            }
            check_alias(checker, alias.as_ref())
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            refuse_if(sample.is_some(), "TABLESAMPLE", "Use WHERE random() < … or LIMIT.")?;
            check_alias(checker, alias.as_ref())
        }
        TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => {
            refuse_if(*with_ordinality, "WITH ORDINALITY", "Use row_number().")?;
            check_function(checker, name, args)?;
            check_alias(checker, alias.as_ref())
        }
        TableFactor::UNNEST { alias, array_exprs: _, with_offset, with_offset_alias, with_ordinality } => {
            refuse_if(*with_offset || with_offset_alias.is_some(), "WITH OFFSET", "Use row_number().")?;
            refuse_if(*with_ordinality, "WITH ORDINALITY", "Use row_number().")?;
            check_alias(checker, alias.as_ref())
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            let TableWithJoins { relation: _, joins } = table_with_joins.as_ref();
            select::check_joins(joins)?;
            check_alias(checker, alias.as_ref())
        }
        TableFactor::TableFunction { .. } => Err(refused("TABLE (…) in FROM", "Call the function itself.")),
        TableFactor::JsonTable { .. } => Err(refused("JSON_TABLE", "Use the JSON functions.")),
        TableFactor::OpenJsonTable { .. } => Err(refused("OPENJSON", "Use the JSON functions.")),
        TableFactor::XmlTable { .. } => Err(refused("XMLTABLE", "Convert the document before loading it.")),
        TableFactor::Pivot { .. } => Err(refused("PIVOT", "Use aggregates with FILTER (WHERE …).")),
        TableFactor::Unpivot { .. } => Err(refused("UNPIVOT", "Use CROSS JOIN LATERAL (VALUES …).")),
        TableFactor::MatchRecognize { .. } => Err(refused("MATCH_RECOGNIZE", "Use window functions.")),
        TableFactor::SemanticView { .. } => Err(refused("SEMANTIC_VIEW", "Use a view.")),
    }
}

fn check_alias(
    checker: &Checker<'_>,
    alias: Option<&datafusion::sql::sqlparser::ast::TableAlias>,
) -> Result<(), Error> {
    alias.map_or(Ok(()), |alias| check_table_alias(checker, alias))
}

/// A constant version or `$n`.
fn check_version(version: &TableVersion) -> Result<(), Error> {
    match version {
        TableVersion::VersionAsOf(Expr::Value(ValueWithSpan { value, span: _ })) => match value {
            Value::Placeholder(_) => Ok(()),
            Value::Number(number, _)
                if number.bytes().all(|digit| digit.is_ascii_digit()) && number.parse::<i64>().is_ok() =>
            {
                Ok(())
            }
            _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "a version is a whole number, zero or more")),
        },
        TableVersion::VersionAsOf(_) => {
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "a version is a constant or a parameter"))
        }
        TableVersion::ForSystemTimeAsOf(at) | TableVersion::TimestampAsOf(at) => check_time(at),
        TableVersion::Function(_) | TableVersion::Changes { changes: _, at: _, end: _ } => {
            Err(refused("AT, BEFORE or CHANGES after a table's name", "Use VERSION AS OF."))
        }
    }
}

/// A constant time or `$n`, also cast to a type of time.
fn check_time(at: &Expr) -> Result<(), Error> {
    match at {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_) | Value::SingleQuotedString(_), span: _ }) => Ok(()),
        Expr::TypedString(typed) if is_time(&typed.data_type) => Ok(()),
        Expr::Cast { expr, data_type, .. } if is_time(data_type) => check_time(expr),
        _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "a time is a constant or a parameter")),
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date)
}

/// The planner takes the first part of a function's name and drops the names of its arguments.
fn check_function(checker: &Checker<'_>, name: &ObjectName, arguments: &[FunctionArg]) -> Result<(), Error> {
    checker.check_name(name)?;
    let qualified = match name.0.as_slice() {
        [_] => false,
        [schema, _] => !schema.as_ident().is_some_and(is_pg_catalog),
        _ => true,
    };
    refuse_if(qualified, "a function outside of pg_catalog", "Write the function's name alone.")
        .map_err(|error| checker.at(error, name.span()))?;
    arguments.iter().try_for_each(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) => Ok(()),
        FunctionArg::Unnamed(
            FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::WildcardWithOptions(_),
        ) => Err(refused("* as an argument of a function in FROM", "Name the columns.")),
        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
            Err(refused("a named argument of a function in FROM", "Give the arguments in order."))
        }
    })
}
