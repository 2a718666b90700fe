//! Places in a statement's text: sqlparser counts lines and columns, PostgreSQL counts characters from 1.

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart, visit_relations};

use crate::statement::Statement;

/// The character that stands at `line` and `column`, both from 1; `None` where the place is unknown.
pub(crate) fn of_place(text: &str, line: u64, column: u64) -> Option<usize> {
    if line == 0 || column == 0 {
        return None;
    }
    let line = usize::try_from(line).ok()?;
    let column = usize::try_from(column).ok()?;
    if line > text.split('\n').count() {
        return None;
    }
    let before: usize = text.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
    let position = before + column;
    (position <= text.chars().count() + 1).then_some(position)
}

/// Where a relation is first named.
pub(crate) fn of_relation(statement: &Statement, wanted: &TableReference) -> Option<usize> {
    let query = statement.query()?;
    let found = visit_relations(query, |name| {
        if names(name, wanted) { ControlFlow::Break(first(name)) } else { ControlFlow::Continue(()) }
    });
    match found {
        ControlFlow::Break(Some(ident)) => {
            of_place(statement.text.expose(), ident.span.start.line, ident.span.start.column)
        }
        _ => None,
    }
}

fn first(name: &ObjectName) -> Option<Ident> {
    name.0.first().and_then(ObjectNamePart::as_ident).cloned()
}

fn names(name: &ObjectName, wanted: &TableReference) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    last.is_some_and(|ident| {
        let folded = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
        folded == wanted.table()
    })
}

#[cfg(test)]
mod tests {
    use super::of_place;

    #[test]
    fn lines_and_columns_become_characters() {
        assert_eq!(of_place("SELECT 1", 1, 8), Some(8));
        assert_eq!(of_place("SELECT\n  ä, x", 2, 6), Some(13));
        assert_eq!(of_place("SELECT", 0, 0), None);
        assert_eq!(of_place("SELECT", 9, 1), None);
    }
}
