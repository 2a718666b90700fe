//! MERGE: which rows of the target meet which of the source, and what then.
//!
//! Invariant: a row takes the first WHEN clause whose condition holds, and no other's expressions are evaluated for it.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinOperator, SelectItem, TableFactor, TableWithJoins, Value, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;
use lakeward_catalog::FILE_COLUMN;

use super::change::{
    Change, ChangeAction, ChangeCommand, Target, alias, assignments, case, join, number, quoted, refuse_returning,
    select, value,
};
use super::cursor::Cursor;
use crate::error::Error;

/// Marks the rows of the source, to tell them from what an outer join adds.
const PRESENT: &str = "\u{1}present";
/// The source's name where it has none.
const SOURCE: &str = "\u{1}source";

/// Who met whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meeting {
    Matched,
    SourceAlone,
    TargetAlone,
}

struct Clause {
    meeting: Meeting,
    condition: Option<Expr>,
    /// `None`: DO NOTHING.
    action: Option<ChangeAction>,
}

/// After `MERGE`.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Change, Error> {
    cursor.expect(&["into"])?;
    let target = Target::read(cursor, "using")?;
    cursor.expect(&["using"])?;
    let mut items = cursor.source_tables()?.into_iter();
    let (Some(source), None) = (items.next(), items.next()) else { return Err(cursor.error()) };
    cursor.expect(&["on"])?;
    let on = cursor.expression()?;
    let mut clauses = Vec::new();
    while cursor.accept(&["when"]) {
        clauses.push(clause(cursor)?);
    }
    if clauses.is_empty() {
        return Err(cursor.error());
    }
    refuse_returning(cursor)?;
    build(target, source, on, clauses)
}

fn clause(cursor: &mut Cursor<'_>) -> Result<Clause, Error> {
    let meeting = if cursor.accept(&["not", "matched", "by", "source"]) {
        Meeting::TargetAlone
    } else if cursor.accept(&["not", "matched", "by", "target"]) || cursor.accept(&["not", "matched"]) {
        Meeting::SourceAlone
    } else {
        cursor.expect(&["matched"])?;
        Meeting::Matched
    };
    let condition = if cursor.accept(&["and"]) { Some(cursor.expression()?) } else { None };
    cursor.expect(&["then"])?;
    let action = match (cursor.accept_one(&["do", "update", "delete", "insert"]), meeting) {
        (Some("do"), _) => {
            cursor.expect(&["nothing"])?;
            None
        }
        (Some("update"), Meeting::Matched | Meeting::TargetAlone) => {
            cursor.expect(&["set"])?;
            Some(ChangeAction::Update(assignments(cursor)?))
        }
        (Some("delete"), Meeting::Matched | Meeting::TargetAlone) => Some(ChangeAction::Delete),
        (Some("insert"), Meeting::SourceAlone) => Some(insert(cursor)?),
        _ => return Err(cursor.error()),
    };
    Ok(Clause { meeting, condition, action })
}

/// After `INSERT`.
fn insert(cursor: &mut Cursor<'_>) -> Result<ChangeAction, Error> {
    if cursor.sees_sign(&Token::Mul) {
        return Err(cursor.unsupported("INSERT *", "Name the columns and their values."));
    }
    let columns = if cursor.sees_sign(&Token::LParen) { cursor.parenthesized(Cursor::identifier)? } else { Vec::new() };
    if cursor.sees(&["overriding"]) || cursor.sees(&["default", "values"]) {
        return Err(cursor.unsupported("OVERRIDING or DEFAULT VALUES", "Columns have no defaults: give the values."));
    }
    cursor.expect(&["values"])?;
    let values = cursor.parenthesized(value)?;
    if !columns.is_empty() && columns.len() != values.len() {
        let which = if values.len() > columns.len() {
            "expressions than target columns"
        } else {
            "target columns than expressions"
        };
        return Err(Error::new(SqlState::SYNTAX_ERROR, format!("INSERT has more {which}")));
    }
    Ok(ChangeAction::Insert(columns, values))
}

fn build(target: Target, source: TableWithJoins, on: Expr, clauses: Vec<Clause>) -> Result<Change, Error> {
    if !source.joins.is_empty() {
        return Err(Error::unsupported("a join in MERGE's USING").with_hint("Write USING (SELECT …) AS s."));
    }
    let has = |meeting| clauses.iter().any(|clause| clause.meeting == meeting && clause.action.is_some());
    let kind: fn(_) -> JoinOperator = match (has(Meeting::TargetAlone), has(Meeting::SourceAlone)) {
        (true, _) => JoinOperator::FullOuter,
        (false, true) => JoinOperator::LeftOuter,
        (false, false) => JoinOperator::Inner,
    };
    let (source, source_name) = marked(source.relation)?;
    let joined = Join { relation: target.relation(), global: false, join_operator: join(kind, on) };
    let from = vec![TableWithJoins { relation: source, joins: vec![joined] }];
    let present = |meeting: Meeting| {
        let in_target = Box::new(target.column(FILE_COLUMN));
        let in_source = Box::new(Expr::CompoundIdentifier(vec![quoted(&source_name), quoted(PRESENT)]));
        match meeting {
            Meeting::Matched => and(Expr::IsNotNull(in_target), Expr::IsNotNull(in_source)),
            Meeting::SourceAlone => Expr::IsNull(in_target),
            Meeting::TargetAlone => Expr::IsNull(in_source),
        }
    };
    let (mut branches, mut actions) = (Vec::new(), Vec::new());
    for Clause { meeting, condition, action } in clauses {
        let met = present(meeting);
        let condition = match condition {
            Some(condition) => and(met, Expr::Nested(Box::new(condition))),
            None => met,
        };
        match action {
            Some(action) => {
                branches.push((condition, number(actions.len())));
                actions.push(action);
            }
            None => branches.push((condition, Expr::value(Value::Null))),
        }
    }
    if actions.is_empty() {
        // Nothing is ever done; the query finds no row.
        actions.push(ChangeAction::Delete);
        branches = vec![(Expr::value(Value::Boolean(false)), number(0))];
    }
    let action = case(branches);
    let is = |wanted: usize| Expr::BinaryOp {
        left: Box::new(action.clone()),
        op: BinaryOperator::Eq,
        right: Box::new(number(wanted)),
    };
    let chosen = Some(Expr::IsNotNull(Box::new(action.clone())));
    let query = target
        .query(from, chosen, action.clone(), &actions, |action, value| case(vec![(is(action), value.clone())]))?;
    Ok(Change { command: ChangeCommand::Merge, table: target.table, actions, source: query })
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

/// The source with a column that tells its rows, under its name.
fn marked(mut source: TableFactor) -> Result<(TableFactor, String), Error> {
    let name = match &mut source {
        TableFactor::Table { name, alias, .. } => {
            let own = name.0.last().and_then(|part| part.as_ident()).cloned();
            alias.as_ref().map(|alias| alias.name.clone()).or(own)
        }
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| alias.name.clone()),
        _ => None,
    };
    let folded = name.map(|name| match name.quote_style {
        Some(_) => name.value,
        None => name.value.to_ascii_lowercase(),
    });
    let name = folded.unwrap_or_else(|| SOURCE.to_owned());
    let subquery = select(|select| {
        select.projection = vec![
            SelectItem::Wildcard(WildcardAdditionalOptions::default()),
            SelectItem::ExprWithAlias { expr: Expr::value(Value::Boolean(true)), alias: quoted(PRESENT) },
        ];
        select.from = vec![TableWithJoins { relation: source, joins: Vec::new() }];
    })?;
    let derived = TableFactor::Derived { lateral: false, subquery, alias: Some(alias(&name)), sample: None };
    Ok((derived, name))
}
