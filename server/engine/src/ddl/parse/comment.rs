//! COMMENT ON.
//!
//! Invariant: see [`super`].

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Parsed, role_name};
use crate::ddl::{CommentTarget, Ddl};
use crate::error::Error;
use crate::statement::Name;
use crate::statement::cursor::Cursor;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if !cursor.accept(&["comment", "on"]) {
        return Ok(None);
    }
    let on = match cursor.accept_one(&["table", "view", "column", "schema", "role"]) {
        Some("table") => CommentTarget::Relation(cursor.name()?, false),
        Some("view") => CommentTarget::Relation(cursor.name()?, true),
        Some("column") => column(cursor)?,
        Some("schema") => CommentTarget::Schema(cursor.identifier()?),
        Some(_) => CommentTarget::Role(role_name(cursor)?),
        None if cursor.is_done() => return Err(cursor.error()),
        None => {
            let hint = "Comments are on tables, views, columns, schemas and roles.";
            return Err(cursor.unsupported("a comment on this kind of object", hint));
        }
    };
    cursor.expect(&["is"])?;
    let text = if cursor.accept(&["null"]) { None } else { Some(cursor.string()?) };
    Ok(Some((Ddl::Comment { on, text }, "COMMENT")))
}

/// `[[lakeward.]schema.]table.column`
fn column(cursor: &mut Cursor<'_>) -> Result<CommentTarget, Error> {
    let position = cursor.position();
    let mut parts = vec![cursor.identifier()?];
    while cursor.accept_sign(&Token::Period) {
        parts.push(cursor.identifier()?);
    }
    if parts.len() == 4 && parts.first().is_some_and(|database| database == crate::functions::DATABASE) {
        parts.remove(0);
    }
    let named = |schema: Option<String>, name: String, column: String| {
        CommentTarget::Column(Name { schema, name, position }, column)
    };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(table), Some(column), None, None) => Ok(named(None, table, column)),
        (Some(schema), Some(table), Some(column), None) => Ok(named(Some(schema), table, column)),
        (Some(_), None, ..) => Err(cursor.error()),
        _ => Err(Error::unsupported("a name of so many parts").with_position(position)),
    }
}
