//! Views and schemas.
//!
//! Invariant: see [`super`].

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::Redacted;

use super::{Parsed, drop_list, role_name};
use crate::ddl::{CreateView, Ddl};
use crate::error::Error;
use crate::statement::cursor::Cursor;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.accept(&["create", "view"]) {
        return create(cursor, false).map(Some);
    }
    if cursor.accept(&["create", "or", "replace", "view"]) {
        return create(cursor, true).map(Some);
    }
    if cursor.accept(&["drop", "view"]) {
        return Ok(Some((Ddl::DropView(drop_list(cursor, |cursor| cursor.name())?), "DROP VIEW")));
    }
    if cursor.accept(&["create", "schema"]) {
        return create_schema(cursor).map(Some);
    }
    if cursor.accept(&["drop", "schema"]) {
        return Ok(Some((Ddl::DropSchema(drop_list(cursor, |cursor| cursor.identifier())?), "DROP SCHEMA")));
    }
    if cursor.accept(&["alter", "schema"]) {
        return alter_schema(cursor).map(Some);
    }
    if cursor.sees(&["alter", "view"]) {
        return alter(cursor);
    }
    Ok(None)
}

fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Parsed, Error> {
    if cursor.sees(&["if", "not", "exists"]) {
        return Err(cursor.unsupported("CREATE VIEW IF NOT EXISTS", "Use CREATE OR REPLACE VIEW."));
    }
    let view = cursor.name()?;
    let columns = if cursor.sees_sign(&Token::LParen) { cursor.parenthesized(Cursor::identifier)? } else { Vec::new() };
    if cursor.sees(&["with"]) {
        return Err(
            cursor.unsupported("an option of a view", "Leave it out: policies apply to the caller in every view.")
        );
    }
    cursor.expect(&["as"])?;
    let start = cursor.at();
    let query = cursor.query()?;
    let definition = Redacted::new(cursor.lexed().text(&(start..cursor.at())).to_owned());
    if cursor.sees(&["with"]) {
        return Err(cursor.unsupported("WITH CHECK OPTION", "Leave it out: views are read only."));
    }
    Ok((Ddl::CreateView(Box::new(CreateView { view, or_replace, columns, definition, query })), "CREATE VIEW"))
}

fn create_schema(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let if_not_exists = cursor.if_not_exists();
    let name = if cursor.sees(&["authorization"]) { None } else { Some(cursor.identifier()?) };
    let owner = if cursor.accept(&["authorization"]) { Some(role_name(cursor)?) } else { None };
    if !cursor.is_done() && ["create", "grant"].iter().any(|word| cursor.sees(&[word])) {
        return Err(cursor.unsupported("a statement within CREATE SCHEMA", "Run it after CREATE SCHEMA."));
    }
    Ok((Ddl::CreateSchema { name, if_not_exists, owner }, "CREATE SCHEMA"))
}

fn alter(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    let mut ahead = Cursor::new(cursor.lexed(), cursor.rest());
    ahead.expect(&["alter", "view"])?;
    let if_exists = ahead.if_exists();
    let relation = ahead.name()?;
    let change = if let Some(to) = super::table::new_place(&mut ahead)? {
        Ddl::MoveRelation { relation, if_exists, is_view: true, to }
    } else if ahead.accept(&["owner", "to"]) {
        Ddl::ChangeOwner { relation, if_exists, is_view: true, to: role_name(&mut ahead)? }
    } else {
        return Ok(None);
    };
    *cursor = ahead;
    Ok(Some((change, "ALTER VIEW")))
}

/// `ALTER SCHEMA s OWNER TO r`
fn alter_schema(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let schema = cursor.identifier()?;
    if cursor.sees(&["rename"]) {
        let hint = "Make a schema of that name, and move the tables with ALTER TABLE … SET SCHEMA.";
        return Err(cursor.unsupported("ALTER SCHEMA … RENAME", hint));
    }
    cursor.expect(&["owner", "to"])?;
    Ok((Ddl::ChangeSchemaOwner { schema, to: role_name(cursor)? }, "ALTER SCHEMA"))
}
