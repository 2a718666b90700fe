//! Tags.
//!
//! Invariant: see [`super`].

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Parsed, drop_list};
use crate::ddl::{Ddl, TagChange, TagDdl};
use crate::error::Error;
use crate::statement::Name;
use crate::statement::cursor::Cursor;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.accept(&["create", "tag"]) {
        return create(cursor).map(Some);
    }
    if cursor.accept(&["alter", "tag"]) {
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        let change = change(cursor)?;
        return Ok(Some((Ddl::Tag(TagDdl::Alter { name, if_exists, change }), "ALTER TAG")));
    }
    if cursor.accept(&["drop", "tag"]) {
        let drop = drop_list(cursor, |cursor| cursor.identifier())?;
        return Ok(Some((Ddl::Tag(TagDdl::Drop(drop)), "DROP TAG")));
    }
    Ok(None)
}

fn create(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.identifier()?;
    let allowed_values = if cursor.accept(&["allowed_values"]) { Some(values(cursor)?) } else { None };
    if ["comment", "propagate"].iter().any(|word| cursor.sees(&[word])) {
        return Err(cursor.unsupported("this clause of CREATE TAG", "Leave it out."));
    }
    Ok((Ddl::Tag(TagDdl::Create { name, if_not_exists, allowed_values }), "CREATE TAG"))
}

fn change(cursor: &mut Cursor<'_>) -> Result<TagChange, Error> {
    if cursor.accept(&["rename", "to"]) {
        return cursor.identifier().map(TagChange::Rename);
    }
    if cursor.accept(&["add", "allowed_values"]) {
        return values(cursor).map(TagChange::Allow);
    }
    if cursor.accept(&["drop", "allowed_values"]) {
        return values(cursor).map(TagChange::Forbid);
    }
    if cursor.accept(&["unset", "allowed_values"]) {
        return Ok(TagChange::AllowAll);
    }
    if cursor.accept(&["unset", "masking", "policy"]) {
        return Ok(TagChange::UnsetMask { value: for_value(cursor)? });
    }
    if cursor.accept(&["set", "masking", "policy"]) {
        let policy = cursor.identifier()?;
        return Ok(TagChange::SetMask { policy, value: for_value(cursor)? });
    }
    if cursor.sees(&["set"]) || cursor.sees(&["owner"]) {
        return Err(cursor.unsupported("this change of a tag", "Use SET MASKING POLICY … FOR VALUE '…'."));
    }
    Err(cursor.error())
}

/// `FOR VALUE '…'`
fn for_value(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    if !cursor.sees(&["for"]) {
        let what = "a masking policy for a tag whatever its value";
        return Err(cursor.unsupported(what, "Name the value: FOR VALUE '…'."));
    }
    cursor.expect(&["for", "value"])?;
    value(cursor)
}

/// `('a', …)`, or, as Snowflake writes it, without parentheses.
fn values(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Error> {
    if cursor.sees_sign(&Token::LParen) { cursor.parenthesized(value) } else { cursor.list(value) }
}

fn value(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    cursor.string().map(|text| text.expose().clone())
}

/// `SET TAG t = '…', …` or `UNSET TAG t, …` of a column, if it is one.
pub(super) fn of_column(cursor: &mut Cursor<'_>, table: &Name, column: &str) -> Result<Option<Ddl>, Error> {
    let tags = if cursor.accept(&["set", "tag"]) {
        cursor.list(|cursor| {
            let name = cursor.identifier()?;
            cursor.expect_sign(&Token::Eq)?;
            Ok((name, Some(value(cursor)?)))
        })?
    } else if cursor.accept(&["unset", "tag"]) {
        cursor.list(|cursor| Ok((cursor.identifier()?, None)))?
    } else {
        return Ok(None);
    };
    Ok(Some(Ddl::Tag(TagDdl::SetOnColumn { table: table.clone(), column: column.to_owned(), tags })))
}
