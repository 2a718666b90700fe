//! INSERT and CREATE TABLE AS: the heads by hand, the queries by sqlparser.
//!
//! Invariant: every clause that is not done is refused.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::front::{Parsed, starts_query};
use super::{CreateTableAs, Insert, Kind};
use crate::error::Error;

/// `INSERT INTO | OVERWRITE [TABLE] t [(c, …)] query`
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    cursor.expect(&["insert"])?;
    let overwrite = cursor.accept(&["overwrite"]);
    if overwrite {
        let _ = cursor.accept(&["into"]) || cursor.accept(&["table"]);
    } else {
        cursor.expect(&["into"])?;
    }
    let table = cursor.name()?;
    if cursor.sees(&["as"]) {
        return Err(cursor.unsupported("an alias for INSERT's table", "Leave it out."));
    }
    let columns = if cursor.sees_sign(&Token::LParen) && !starts_query(cursor) {
        cursor.parenthesized(Cursor::identifier)?
    } else {
        Vec::new()
    };
    if cursor.sees(&["default", "values"]) {
        return Err(cursor.unsupported("DEFAULT VALUES", "Columns have no defaults: give the values."));
    }
    if cursor.sees(&["overriding"]) {
        return Err(cursor.unsupported("OVERRIDING", "Leave it out."));
    }
    if !starts_query(cursor) {
        return Err(cursor.error());
    }
    let source = cursor.query()?;
    if cursor.sees(&["on", "conflict"]) {
        return Err(
            cursor.unsupported("ON CONFLICT", "Tables have no unique keys: use WHERE NOT EXISTS (…) in the query.")
        );
    }
    if cursor.sees(&["returning"]) {
        return Err(cursor.unsupported("RETURNING", "Read the rows with a query."));
    }
    let class = if overwrite { "INSERT OVERWRITE" } else { "INSERT" };
    Ok((Kind::Insert(Box::new(Insert { table, columns, source, overwrite })), class))
}

/// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] t [(c, …)] [PARTITIONED BY (c, …)] [LOCATION '…'] AS query`, if it is one.
pub(crate) fn parse_create_table_as(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    let mut ahead = Cursor::new(cursor.lexed(), cursor.rest());
    let or_replace = ahead.accept(&["create", "or", "replace", "table"]);
    if !or_replace && !ahead.accept(&["create", "table"]) {
        return Ok(None);
    }
    let if_not_exists = !or_replace && ahead.if_not_exists();
    let Ok(table) = ahead.name() else { return Ok(None) };
    let columns = if ahead.sees_sign(&Token::LParen) {
        let Ok(columns) = ahead.parenthesized(Cursor::identifier) else { return Ok(None) };
        columns
    } else {
        Vec::new()
    };
    let (mut partition_by, mut location) = (Vec::new(), None);
    loop {
        if ahead.sees(&["partitioned", "by"]) {
            ahead.expect(&["partitioned", "by"])?;
            let Ok(columns) = ahead.parenthesized(Cursor::identifier) else { return Ok(None) };
            partition_by = columns;
        } else if ahead.accept(&["location"]) {
            location = Some(ahead.string()?.into_exposed());
        } else {
            break;
        }
    }
    if !ahead.accept(&["as"]) {
        return Ok(None);
    }
    if !starts_query(&ahead) {
        return Err(ahead.error());
    }
    let source = ahead.query()?;
    if ahead.sees(&["with", "no", "data"]) || ahead.sees(&["with", "data"]) {
        return Err(ahead.unsupported("WITH [NO] DATA", "Leave it out, or use CREATE TABLE t (…)."));
    }
    ahead.finish()?;
    *cursor = ahead;
    let create = CreateTableAs { table, or_replace, if_not_exists, columns, partition_by, location, source };
    let class = if or_replace { "CREATE OR REPLACE TABLE AS" } else { "CREATE TABLE AS" };
    Ok(Some((Kind::CreateTableAs(Box::new(create)), class)))
}
