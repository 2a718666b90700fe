//! UPDATE, DELETE and MERGE: read by hand into actions, and into one query that finds the rows.
//!
//! The query yields the number of a row's file, the row's number in it, which action is its, and the new values; it is
//! planned like any other, so that predicates and values see what the principal sees. Invariant: every clause that is
//! not done is refused.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};
use lakeward_base::SqlState;
use lakeward_catalog::{FILE_COLUMN, ROW_COLUMN};

use super::cursor::Cursor;
use super::front::Parsed;
use super::merge;
use super::{Kind, Name};
use crate::error::Error;
use crate::version::TARGET_MARK;

/// UPDATE, DELETE or MERGE.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct Change {
    /// Which of them.
    pub command: ChangeCommand,
    /// The table whose rows change.
    pub table: Name,
    /// What becomes of rows; the query says which of it for each.
    pub actions: Vec<ChangeAction>,
    /// Finds the rows: file, row, action, then the values of all actions in order.
    pub source: Box<Query>,
}

/// Which statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeCommand {
    /// UPDATE
    Update,
    /// DELETE
    Delete,
    /// MERGE
    Merge,
}

impl ChangeCommand {
    /// Its name, which is also its audit class and the beginning of its tag.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
        }
    }
}

/// What becomes of a row.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub enum ChangeAction {
    /// These columns get these values.
    Update(Vec<(String, Expr)>),
    /// It goes.
    Delete,
    /// A row comes, with these columns; none written: all, in order.
    Insert(Vec<String>, Vec<Expr>),
}

impl ChangeAction {
    /// The values that it computes.
    pub(crate) fn values(&self) -> Vec<&Expr> {
        match self {
            Self::Update(assignments) => assignments.iter().map(|(_, value)| value).collect(),
            Self::Delete => Vec::new(),
            Self::Insert(_, values) => values.iter().collect(),
        }
    }
}

/// Parses one of them, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.accept(&["update"]) {
        return update(cursor).map(|change| Some((Kind::Change(Box::new(change)), "UPDATE")));
    }
    if cursor.accept(&["delete"]) {
        return delete(cursor).map(|change| Some((Kind::Change(Box::new(change)), "DELETE")));
    }
    if cursor.accept(&["merge"]) {
        return merge::parse(cursor).map(|change| Some((Kind::Change(Box::new(change)), "MERGE")));
    }
    Ok(None)
}

fn update(cursor: &mut Cursor<'_>) -> Result<Change, Error> {
    let target = Target::read(cursor, "set")?;
    cursor.expect(&["set"])?;
    let assignments = assignments(cursor)?;
    let mut from = vec![target.factor()];
    if cursor.accept(&["from"]) {
        from.extend(cursor.source_tables()?);
    }
    let selection = selection(cursor)?;
    let actions = vec![ChangeAction::Update(assignments)];
    let source = target.query(from, selection, number(0), &actions, |_, value| value.clone())?;
    Ok(Change { command: ChangeCommand::Update, table: target.table, actions, source })
}

fn delete(cursor: &mut Cursor<'_>) -> Result<Change, Error> {
    cursor.expect(&["from"])?;
    let target = Target::read(cursor, "using")?;
    let mut from = vec![target.factor()];
    if cursor.accept(&["using"]) {
        from.extend(cursor.source_tables()?);
    }
    let selection = selection(cursor)?;
    let actions = vec![ChangeAction::Delete];
    let source = target.query(from, selection, number(0), &actions, |_, value| value.clone())?;
    Ok(Change { command: ChangeCommand::Delete, table: target.table, actions, source })
}

/// `[WHERE …]`, the last clause.
fn selection(cursor: &mut Cursor<'_>) -> Result<Option<Expr>, Error> {
    let mut selection = None;
    if cursor.accept(&["where"]) {
        if cursor.sees(&["current", "of"]) {
            return Err(cursor.unsupported("WHERE CURRENT OF", "Name the rows by their key."));
        }
        selection = Some(cursor.expression()?);
    }
    refuse_returning(cursor)?;
    Ok(selection)
}

/// `RETURNING`
pub(super) fn refuse_returning(cursor: &Cursor<'_>) -> Result<(), Error> {
    if cursor.sees(&["returning"]) {
        return Err(cursor.unsupported("RETURNING", "Read the rows with a query."));
    }
    Ok(())
}

/// `column = value, …`
pub(super) fn assignments(cursor: &mut Cursor<'_>) -> Result<Vec<(String, Expr)>, Error> {
    if cursor.sees_sign(&Token::Mul) {
        return Err(cursor.unsupported("SET *", "Name the columns."));
    }
    let mut assignments: Vec<(String, Expr)> = Vec::new();
    for (column, value) in cursor.list(assignment)?.into_iter().flatten() {
        if assignments.iter().any(|(other, _)| *other == column) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        assignments.push((column, value));
    }
    Ok(assignments)
}

/// `column = value` or `(column, …) = [ROW] (value, …)`
fn assignment(cursor: &mut Cursor<'_>) -> Result<Vec<(String, Expr)>, Error> {
    if !cursor.sees_sign(&Token::LParen) {
        let column = cursor.identifier()?;
        if cursor.sees_sign(&Token::Period) || cursor.sees_sign(&Token::LBracket) {
            return Err(cursor.unsupported("setting a part of a column", "Set the whole column, by its name alone."));
        }
        cursor.expect_sign(&Token::Eq)?;
        return Ok(vec![(column, value(cursor)?)]);
    }
    let columns = cursor.parenthesized(Cursor::identifier)?;
    cursor.expect_sign(&Token::Eq)?;
    cursor.accept(&["row"]);
    if cursor.sees_sign(&Token::LParen) && cursor.peek_ahead(1).is_some_and(|next| next.is_word("select")) {
        return Err(cursor.unsupported("setting several columns from a subquery", "Use UPDATE … FROM."));
    }
    let values = cursor.parenthesized(value)?;
    if columns.len() != values.len() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "number of columns does not match number of values"));
    }
    Ok(columns.into_iter().zip(values).collect())
}

/// An expression, or DEFAULT, which is NULL: columns have no other defaults.
pub(super) fn value(cursor: &mut Cursor<'_>) -> Result<Expr, Error> {
    if cursor.accept(&["default"]) { Ok(Expr::value(Value::Null)) } else { cursor.expression() }
}

/// The table that is changed, and what it is called in the statement.
pub(super) struct Target {
    pub(super) table: Name,
    alias: String,
}

impl Target {
    /// `[TABLE-less] name [*] [[AS] alias]`; `next` is the word that follows.
    pub(super) fn read(cursor: &mut Cursor<'_>, next: &str) -> Result<Self, Error> {
        if cursor.sees(&["only"]) {
            return Err(cursor.unsupported("ONLY", "Leave it out: tables have no children."));
        }
        let table = cursor.name()?;
        let follows = ["where", "returning", next];
        let named = cursor.accept(&["as"])
            || (cursor.peek().is_some_and(|next| matches!(next.token, Token::Word(_)))
                && !follows.iter().any(|word| cursor.sees(&[word])));
        let alias = if named { cursor.identifier()? } else { table.name.clone() };
        Ok(Self { table, alias })
    }

    /// The table with its rows numbered, under its alias.
    pub(super) fn relation(&self) -> TableFactor {
        let marked = format!("{}{TARGET_MARK}", self.table.name);
        marked_table(self.table.schema.as_deref(), &marked, &self.alias)
    }

    fn factor(&self) -> TableWithJoins {
        TableWithJoins { relation: self.relation(), joins: Vec::new() }
    }

    /// A column of it.
    pub(super) fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![quoted(&self.alias), quoted(name)])
    }

    /// The query that finds rows; `when` makes a value that is computed only where its action is the row's.
    pub(super) fn query(
        &self,
        from: Vec<TableWithJoins>,
        selection: Option<Expr>,
        action: Expr,
        actions: &[ChangeAction],
        when: impl Fn(usize, &Expr) -> Expr,
    ) -> Result<Box<Query>, Error> {
        let mut columns = vec![self.column(FILE_COLUMN), self.column(ROW_COLUMN), action];
        for (number, action) in actions.iter().enumerate() {
            columns.extend(action.values().into_iter().map(|value| when(number, value)));
        }
        let column = |(index, expr)| SelectItem::ExprWithAlias { expr, alias: quoted(&format!("\u{1}{index}")) };
        let projection = columns.into_iter().enumerate().map(column).collect();
        select(|select| {
            select.projection = projection;
            select.from = from;
            select.selection = selection;
        })
    }
}

/// A query made of nothing but what `fill` puts in.
pub(super) fn select(fill: impl FnOnce(&mut Select)) -> Result<Box<Query>, Error> {
    let skeleton =
        Parser::new(&PostgreSqlDialect {}).try_with_sql("SELECT 1").and_then(|mut parser| parser.parse_query());
    let mut query = skeleton.map_err(|_| crate::publish::incident("parsing", "skeleton"))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        fill(select);
    }
    Ok(query)
}

/// A table in FROM.
pub(super) fn marked_table(schema: Option<&str>, name: &str, called: &str) -> TableFactor {
    let parts = schema.map(quoted).into_iter().chain([quoted(name)]);
    TableFactor::Table {
        name: ObjectName(parts.map(ObjectNamePart::Identifier).collect()),
        alias: Some(alias(called)),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

pub(super) fn quoted(name: &str) -> Ident {
    Ident { value: name.to_owned(), quote_style: Some('"'), span: Span::empty() }
}

pub(super) fn alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: quoted(name), columns: Vec::new(), at: None }
}

pub(super) fn number(number: usize) -> Expr {
    Expr::value(Value::Number(number.to_string(), false))
}

/// `CASE WHEN … THEN … END`
pub(super) fn case(branches: Vec<(Expr, Expr)>) -> Expr {
    let conditions = branches.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect();
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: None,
    }
}

/// A join `ON` a condition.
pub(super) fn join(kind: fn(JoinConstraint) -> JoinOperator, on: Expr) -> JoinOperator {
    kind(JoinConstraint::On(on))
}
