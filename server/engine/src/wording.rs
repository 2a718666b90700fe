//! What the planner says of a statement, in PostgreSQL's words and under its SQLSTATEs.
//!
//! Only errors of planning come here: they speak of the statement and of schemas. Invariant: nothing is answered that
//! the planner did not say.

use datafusion::common::Column;
use lakeward_base::SqlState;

use crate::error::Error;

/// What a line of the planner's begins with or holds, and what PostgreSQL says of it.
const WORDINGS: &[(&str, SqlState, &str)] = &[
    ("not allowed in the WHERE", SqlState::GROUPING_ERROR, "aggregate functions are not allowed in WHERE"),
    ("calls cannot be nested", SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested"),
    ("Cannot create filter with non-boolean", SqlState::DATATYPE_MISMATCH, "argument of WHERE must be type boolean"),
    ("Unary operator 'NOT' requires", SqlState::DATATYPE_MISMATCH, "argument of NOT must be type boolean"),
    ("Unary operator '-'", SqlState::UNDEFINED_FUNCTION, "operator does not exist: - of this type"),
    (
        "SELECT DISTINCT ON expressions must match",
        SqlState::INVALID_COLUMN_REFERENCE,
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
    ),
    (
        "For SELECT DISTINCT, ORDER BY",
        SqlState::INVALID_COLUMN_REFERENCE,
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    ("LIMIT must be >= 0", SqlState::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative"),
    ("OFFSET must be >=", SqlState::INVALID_ROW_COUNT_IN_OFFSET, "OFFSET must not be negative"),
    ("Expected LIMIT to be an integer", SqlState::INVALID_TEXT_REPRESENTATION, "argument of LIMIT must be a number"),
    ("Expected OFFSET to be an integer", SqlState::INVALID_TEXT_REPRESENTATION, "argument of OFFSET must be a number"),
    ("comparison operation Struct(", SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"),
    (
        "Projections require unique",
        SqlState::AMBIGUOUS_COLUMN,
        "column reference is ambiguous: two columns have one name",
    ),
    ("different number of columns", SqlState::SYNTAX_ERROR, "each UNION query must have the same number of columns"),
    ("Too many columns! The subquery", SqlState::SYNTAX_ERROR, "subquery has too many columns"),
    (
        "Inconsistent metadata across values",
        SqlState::FEATURE_NOT_SUPPORTED,
        "VALUES of json and of text together is not supported",
    ),
    (
        "Correlated scalar subquery must be aggregated",
        SqlState::FEATURE_NOT_SUPPORTED,
        "this correlated subquery is not supported",
    ),
];

/// PostgreSQL's error for a line of the planner's; `None`: it has none of its own.
pub(crate) fn of_planner(line: &str) -> Option<Error> {
    let known = WORDINGS.iter().find(|(part, ..)| line.contains(part));
    let fixed = known.map(|(_, code, message)| Error::new(*code, *message));
    fixed
        .or_else(|| of_position(line))
        .or_else(|| of_names(line))
        .or_else(|| of_group(line))
        .or_else(|| of_function(line))
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn of_position(line: &str) -> Option<Error> {
    let message = |clause: &str, place: &str| {
        let text = format!("{clause} position {place} is not in select list");
        Error::new(SqlState::INVALID_COLUMN_REFERENCE, text)
    };
    let order =
        between(line, "Order by column out of bounds, specified: ", ",").map(|place| message("ORDER BY", place));
    order.or_else(|| between(line, "Cannot find column with position ", " ").map(|place| message("GROUP BY", place)))
}

fn of_names(line: &str) -> Option<Error> {
    if let Some(window) = between(line, "The window ", " is not defined") {
        return Some(Error::new(SqlState::UNDEFINED_OBJECT, format!("window \"{window}\" does not exist")));
    }
    if line.starts_with("WITH query name") {
        return Some(Error::new(SqlState::DUPLICATE_ALIAS, line));
    }
    let available: usize = between(line, "Source table contains ", " ")?.parse().ok()?;
    let given: usize = between(line, "but only ", " ")?.parse().ok()?;
    Some(if given > available {
        let message = format!("table has {available} columns available but {given} columns specified");
        Error::new(SqlState::INVALID_COLUMN_REFERENCE, message)
    } else {
        Error::unsupported("a list of names for some of the columns").with_hint("Name all columns.")
    })
}

fn of_group(line: &str) -> Option<Error> {
    let column = between(line, "While expanding wildcard, ", " must appear")?;
    let message = format!("{column} must appear in the GROUP BY clause or be used in an aggregate function");
    Some(Error::new(SqlState::GROUPING_ERROR, message))
}

fn of_function(line: &str) -> Option<Error> {
    let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
    let message = match between(line, "External error: ", " does not exist") {
        Some(own) if own.starts_with("function ") => format!("{own} does not exist"),
        _ => format!("function {} does not exist", between(line, "Invalid function '", "'")?),
    };
    Some(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint))
}

/// A column that is not there, where its table is what is missing, or where it is a table.
pub(crate) fn of_missing(field: &Column, known: &[Column]) -> Option<Error> {
    let is_table =
        |name: &str| known.iter().any(|column| column.relation.as_ref().is_some_and(|table| table.table() == name));
    match &field.relation {
        Some(table) if !known.is_empty() && !is_table(table.table()) => {
            let shown = table.table().split('\u{1}').next().unwrap_or_default();
            let message = format!("missing FROM-clause entry for table \"{shown}\"");
            Some(Error::new(SqlState::UNDEFINED_TABLE, message))
        }
        None if is_table(&field.name) => {
            Some(Error::unsupported("a whole row as a value").with_hint("Name its columns, or write table.*."))
        }
        _ => None,
    }
}
