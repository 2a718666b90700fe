//! Walks a syntax tree and refuses what is not allowed by name.
//!
//! The planner ignores many fields of sqlparser's tree; a query that is answered as though a clause were not there is
//! worse than an error. Invariant: `Query`, `Select`, `TableFactor`, `Join` and their like are taken apart without `..`,
//! so that a field that a newer sqlparser adds breaks the build here.

mod call;
mod expression;
mod query;
mod select;
mod table;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use lakeward_base::SqlState;

use super::lex::position_of;
use super::reserved::is_reserved;
use crate::error::Error;

#[cfg(test)]
pub(crate) use call::AggregateSyntax;
pub(crate) use call::aggregate_syntax;

/// Checks a query and everything in it.
pub(crate) fn check_query(source: &str, query: &Query) -> Result<(), Error> {
    finish(query.visit(&mut Checker { source, arrays_of_queries: true }))
}

/// Checks an expression and everything in it.
pub(crate) fn check_expression(source: &str, expression: &Expr) -> Result<(), Error> {
    finish(expression.visit(&mut Checker { source, arrays_of_queries: false }))
}

fn finish(flow: ControlFlow<Error>) -> Result<(), Error> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Checker<'a> {
    source: &'a str,
    /// `ARRAY(SELECT …)` is rewritten in queries; in a policy's expression nothing would.
    arrays_of_queries: bool,
}

impl Visitor for Checker<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        flow(query::check(self, query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        flow(select::check(self, select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        flow(table::check(self, factor))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Error> {
        flow(expression::check(self, expression))
    }

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<Error> {
        ControlFlow::Break(refused(
            "INSERT, UPDATE, DELETE or MERGE within a query",
            "Run it as a statement of its own.",
        ))
    }
}

impl Checker<'_> {
    /// Puts an error to a place, where that is known.
    fn at(&self, error: Error, span: Span) -> Error {
        match position_of(self.source, span.start) {
            Some(position) => error.with_position(position),
            None => error,
        }
    }

    /// An alias is an identifier: sqlparser takes string literals, too.
    fn check_alias(&self, alias: &Ident) -> Result<(), Error> {
        match alias.quote_style {
            None | Some('"') => Ok(()),
            Some(_) => {
                let error = Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"'…'\"")
                    .with_hint("Write an alias in double quotes.");
                Err(self.at(error, alias.span))
            }
        }
    }

    /// A name or a table's alias is no reserved word, which sqlparser takes too.
    fn check_reserved(&self, name: &Ident) -> Result<(), Error> {
        self.check_alias(name)?;
        if name.quote_style.is_none() && is_reserved(&name.value) {
            let error = Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", name.value));
            return Err(self.at(error, name.span));
        }
        Ok(())
    }

    /// A table's name.
    fn check_table_name(&self, name: &ObjectName) -> Result<(), Error> {
        self.check_name(name)?;
        name.0.first().and_then(ObjectNamePart::as_ident).map_or(Ok(()), |first| self.check_reserved(first))
    }

    /// A name of plain identifiers, at most `database.schema.name`.
    fn check_name(&self, name: &ObjectName) -> Result<(), Error> {
        let ObjectName(parts) = name;
        for part in parts {
            match part {
                ObjectNamePart::Identifier(identifier) => self.check_alias(identifier)?,
                ObjectNamePart::Function(_) => return Err(refused("a function in a name", "Write the name itself.")),
            }
        }
        if parts.len() > 3 {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "improper qualified name (too many dotted names)"));
        }
        Ok(())
    }
}

/// `0A000`, with what to write instead.
fn refused(what: &str, hint: &str) -> Error {
    Error::unsupported(what).with_hint(hint)
}

/// Refuses where a clause is there.
fn refuse_if(is_there: bool, what: &str, hint: &str) -> Result<(), Error> {
    if is_there { Err(refused(what, hint)) } else { Ok(()) }
}

fn flow(result: Result<(), Error>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}
