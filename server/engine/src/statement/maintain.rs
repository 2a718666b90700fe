//! DESCRIBE HISTORY, RESTORE, OPTIMIZE and VACUUM.
//!
//! Invariant: every clause that is not done is refused.

use datafusion::sql::sqlparser::ast::{
    Expr, SelectItem, TableVersion, TableWithJoins, Value, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;

use super::change::{marked_table, select};
use super::cursor::Cursor;
use super::front::Parsed;
use super::{Kind, Name};
use crate::error::Error;
use crate::version::HISTORY_MARK;

/// Work on a table: RESTORE, OPTIMIZE, VACUUM.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct Maintain {
    /// The table.
    pub table: Name,
    /// What is done.
    pub work: Work,
}

/// What is done to a table.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub enum Work {
    /// RESTORE TABLE … TO
    Restore(Box<TableVersion>),
    /// OPTIMIZE … [ZORDER BY]
    Optimize(Vec<String>),
    /// VACUUM … [RETAIN n HOURS] [DRY RUN]
    Vacuum {
        /// RETAIN
        retain_hours: Option<u64>,
        /// DRY RUN
        dry_run: bool,
    },
}

/// Parses one of them, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.accept(&["describe", "history"]) || cursor.accept(&["desc", "history"]) {
        return history(cursor).map(|kind| Some((kind, "DESCRIBE HISTORY")));
    }
    let (work, class) = if cursor.accept(&["restore"]) {
        cursor.accept(&["table"]);
        let table = cursor.name()?;
        cursor.accept(&["to"]);
        (Maintain { table, work: Work::Restore(Box::new(version(cursor)?)) }, "RESTORE")
    } else if cursor.accept(&["optimize"]) {
        let table = cursor.name()?;
        if cursor.sees(&["where"]) {
            return Err(cursor.unsupported("OPTIMIZE … WHERE", "Leave it out."));
        }
        let order =
            if cursor.accept(&["zorder", "by"]) { cursor.parenthesized(Cursor::identifier)? } else { Vec::new() };
        (Maintain { table, work: Work::Optimize(order) }, "OPTIMIZE")
    } else if cursor.accept(&["vacuum"]) {
        if cursor.is_done() || cursor.sees_sign(&Token::LParen) || cursor.sees(&["full"]) || cursor.sees(&["analyze"]) {
            return Err(cursor.unsupported("this form of VACUUM", "Write VACUUM table [RETAIN n HOURS] [DRY RUN]."));
        }
        let table = cursor.name()?;
        (Maintain { table, work: vacuum(cursor)? }, "VACUUM")
    } else {
        return Ok(None);
    };
    Ok(Some((Kind::Maintain(Box::new(work)), class)))
}

/// A query over the table's history.
fn history(cursor: &mut Cursor<'_>) -> Result<Kind, Error> {
    let table = cursor.name()?;
    let marked = format!("{}{HISTORY_MARK}", table.name);
    let relation = marked_table(table.schema.as_deref(), &marked, "history");
    let query = select(|select| {
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    })?;
    Ok(Kind::Query(query))
}

/// `VERSION AS OF n | TIMESTAMP AS OF '…'`
fn version(cursor: &mut Cursor<'_>) -> Result<TableVersion, Error> {
    if cursor.accept(&["version", "as", "of"]) {
        let number = whole_number(cursor)?;
        return Ok(TableVersion::VersionAsOf(Expr::value(Value::Number(number.to_string(), false))));
    }
    cursor.expect(&["timestamp", "as", "of"])?;
    let text = cursor.string()?.into_exposed();
    Ok(TableVersion::TimestampAsOf(Expr::value(Value::SingleQuotedString(text))))
}

fn vacuum(cursor: &mut Cursor<'_>) -> Result<Work, Error> {
    let (mut retain_hours, mut dry_run) = (None, false);
    loop {
        if retain_hours.is_none() && cursor.accept(&["retain"]) {
            retain_hours = Some(whole_number(cursor)?);
            cursor.expect(&["hours"])?;
        } else if !dry_run && cursor.accept(&["dry", "run"]) {
            dry_run = true;
        } else {
            return Ok(Work::Vacuum { retain_hours, dry_run });
        }
    }
}

fn whole_number(cursor: &mut Cursor<'_>) -> Result<u64, Error> {
    let number = match cursor.peek().map(|lexeme| &lexeme.token) {
        Some(Token::Number(number, _)) => number.parse().ok(),
        _ => return Err(cursor.error()),
    };
    let position = cursor.position();
    cursor.advance();
    let wrong = || Error::new(SqlState::INVALID_PARAMETER_VALUE, "a whole number is wanted here");
    number.ok_or_else(|| wrong().with_position(position))
}
