//! COPY between a table, or a query, and the client: `COPY t | (query) TO STDOUT`, `COPY t FROM STDIN`.
//!
//! Invariant: files and programs of the server are refused; an option is honoured or refused, and none contradicts another.

mod options;
mod syntax;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    Expr, Query, SelectItem, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::front::{Parsed, starts_query};
use super::{Kind, Name, change};
use crate::error::Error;

pub use options::{CopyHeader, CopyOptions, CopyStyle, Quoted};

/// Which way the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// `COPY t [(c, …)] | (query) TO STDOUT`
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct CopyOut {
    /// The rows: the query as it was written, or one of a table's columns.
    pub source: Box<Query>,
    /// The table, where it was named rather than queried.
    pub table: Option<Name>,
    /// Its columns; none written: all.
    pub columns: Vec<String>,
    /// The form.
    pub options: Arc<CopyOptions>,
}

/// `COPY t [(c, …)] FROM STDIN`
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct CopyIn {
    /// Where the rows go.
    pub table: Name,
    /// Its columns; none written: all.
    pub columns: Vec<String>,
    /// The form.
    pub options: Arc<CopyOptions>,
}

/// Parses it.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    cursor.expect(&["copy"])?;
    if cursor.sees_sign(&Token::LParen) {
        return query_out(cursor);
    }
    let binary = cursor.accept(&["binary"]);
    let table = cursor.name()?;
    let columns = if cursor.sees_sign(&Token::LParen) { cursor.parenthesized(Cursor::identifier)? } else { Vec::new() };
    let way = match cursor.accept_one(&["from", "to"]) {
        Some("from") => Way::In,
        Some(_) => Way::Out,
        None => return Err(cursor.error()),
    };
    stream(cursor, way)?;
    let options = Arc::new(syntax::options(cursor, way, binary)?);
    if way == Way::Out {
        let source = query_of(&table, &columns)?;
        return Ok((Kind::CopyOut(Box::new(CopyOut { source, table: Some(table), columns, options })), "COPY TO"));
    }
    if cursor.sees(&["where"]) {
        return Err(
            cursor.unsupported("WHERE in COPY FROM", "Copy into another table, and INSERT … SELECT from there.")
        );
    }
    Ok((Kind::CopyIn(Box::new(CopyIn { table, columns, options })), "COPY FROM"))
}

/// `(query) TO STDOUT …`
fn query_out(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    cursor.expect_sign(&Token::LParen)?;
    if !starts_query(cursor) {
        let changes = ["insert", "update", "delete", "merge"].iter().any(|word| cursor.sees(&[word]));
        return Err(if changes {
            cursor.unsupported("COPY of a statement that changes rows", "Copy a query.")
        } else {
            cursor.error()
        });
    }
    let source = cursor.query()?;
    cursor.expect_sign(&Token::RParen)?;
    cursor.expect(&["to"])?;
    stream(cursor, Way::Out)?;
    let options = Arc::new(syntax::options(cursor, Way::Out, false)?);
    Ok((Kind::CopyOut(Box::new(CopyOut { source, table: None, columns: Vec::new(), options })), "COPY TO"))
}

/// `STDIN` or `STDOUT`: as in PostgreSQL, either stands for the client.
fn stream(cursor: &mut Cursor<'_>, way: Way) -> Result<(), Error> {
    if cursor.accept_one(&["stdin", "stdout"]).is_some() {
        return Ok(());
    }
    let (to, instead) = match way {
        Way::In => ("COPY FROM", "Use COPY FROM STDIN, or psql's \\copy: they read the client's files."),
        Way::Out => ("COPY TO", "Use COPY TO STDOUT, or psql's \\copy: they write the client's files."),
    };
    if cursor.sees(&["program"]) {
        return Err(cursor.unsupported(&format!("{to} PROGRAM"), instead));
    }
    if cursor.string().is_ok() {
        return Err(cursor.unsupported(&format!("{to} a file of the server"), instead));
    }
    Err(cursor.error())
}

/// The query that reads a table's columns.
fn query_of(table: &Name, columns: &[String]) -> Result<Box<Query>, Error> {
    let column = |name: &String| SelectItem::UnnamedExpr(Expr::Identifier(change::quoted(name)));
    let mut relation = change::marked_table(table.schema.as_deref(), &table.name, &table.name);
    if let TableFactor::Table { alias, .. } = &mut relation {
        *alias = None;
    }
    let projection = if columns.is_empty() {
        vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())]
    } else {
        columns.iter().map(column).collect()
    };
    change::select(|select| {
        select.projection = projection;
        select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    })
}
