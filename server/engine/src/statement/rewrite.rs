//! PostgreSQL's spellings that the planner does not know, put into ones that it does, on tokens or on the syntax tree.
//!
//! Invariant: a rewrite never changes what a statement means.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Fetch, Function, FunctionArguments, Ident, LimitClause, ObjectName, ObjectNamePart,
    Query, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lakeward_base::SqlState;

use super::lex::Lexed;
use crate::error::Error;

/// Words that are functions without parentheses, and that sqlparser takes for columns.
const BARE_FUNCTIONS: &[&str] = &["current_role", "current_schema"];

/// Tokens for sqlparser, and whether time travel stands among them: `t FOR VERSION AS OF n` becomes `t VERSION AS OF n`,
/// and likewise FOR TIMESTAMP AS OF; sqlparser reads FOR SYSTEM_TIME AS OF itself.
pub(crate) fn time_travel(lexed: &Lexed<'_>, range: Range<usize>) -> Result<(Vec<TokenWithSpan>, bool), Error> {
    let lexemes = lexed.lexemes.get(range.clone()).unwrap_or_default();
    let mut tokens = lexed.tokens(range);
    let mut superfluous = BTreeSet::new();
    let mut found = false;
    for (index, window) in lexemes.windows(3).enumerate() {
        // `SELECT version AS of FROM t` is none.
        let is_alias = lexemes.get(index + 3).is_none_or(|next| next.token == Token::Comma || next.is_word("from"));
        if is_alias || !(window[1].is_word("as") && window[2].is_word("of")) {
            continue;
        }
        let after_for = index > 0 && lexemes[index - 1].is_word("for");
        let first = &window[0];
        found |= ["version", "timestamp", "system_time", "system_version"].iter().any(|word| first.is_word(word));
        if after_for && (first.is_word("version") || first.is_word("timestamp")) {
            superfluous.insert(index - 1);
        } else if after_for && first.is_word("system_version") {
            return Err(Error::unsupported("FOR SYSTEM_VERSION AS OF")
                .with_hint("Write FOR VERSION AS OF.")
                .with_position(lexemes[index - 1].position));
        }
    }
    if !superfluous.is_empty() {
        let mut index = 0..;
        tokens.retain(|_| index.next().is_none_or(|index| !superfluous.contains(&index)));
    }
    Ok((tokens, found))
}

/// Rewrites a query and everything in it.
pub(crate) fn rewrite_query(query: &mut Query) -> Result<(), Error> {
    finish(query.visit(&mut Rewriter))
}

/// Rewrites an expression and everything in it.
pub(crate) fn rewrite_expression(expression: &mut Expr) -> Result<(), Error> {
    finish(expression.visit(&mut Rewriter))
}

fn finish(flow: ControlFlow<Result<Infallible, Error>>) -> Result<(), Error> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(Err(error)) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Result<Infallible, Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        match fetch_to_limit(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } = factor {
            strip_pg_catalog(name);
        }
        if let Err(error) = crate::postgres::set_in_from(factor) {
            return ControlFlow::Break(Err(error));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        rewrite_one(expression);
        ControlFlow::Continue(())
    }
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetch_to_limit(query: &mut Query) -> Result<(), Error> {
    let Some(Fetch { quantity, .. }) = query.fetch.take() else { return Ok(()) };
    let count = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(count), offset: None, limit_by: Vec::new() })
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(count),
        Some(_) => return Err(Error::new(SqlState::SYNTAX_ERROR, "multiple LIMIT clauses not allowed")),
    }
    Ok(())
}

fn rewrite_one(expression: &mut Expr) {
    match expression {
        Expr::Function(function) => strip_pg_catalog(&mut function.name),
        Expr::Cast { data_type, .. } => builtin_type(data_type),
        Expr::TypedString(typed) => builtin_type(&mut typed.data_type),
        Expr::BinaryOp { op, .. } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                && let Some(plain) = plain_operator(parts)
            {
                *op = plain;
            }
        }
        // Only the collations that compare bytes pass `allow`, and that is how everything is compared.
        Expr::Collate { expr, .. } => {
            let inner = std::mem::replace(expr.as_mut(), Expr::value(Value::Null));
            *expression = inner;
        }
        Expr::Identifier(identifier) if identifier.quote_style.is_none() => {
            if let Some(name) = BARE_FUNCTIONS.iter().find(|name| identifier.value.eq_ignore_ascii_case(name)) {
                *expression = bare_function(name, identifier);
            }
        }
        _ => {}
    }
}

fn bare_function(name: &str, identifier: &Ident) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(identifier.span, name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::None,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `pg_catalog.f` is `f`: there are no functions elsewhere.
fn strip_pg_catalog(name: &mut ObjectName) {
    if let [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(_)] = name.0.as_slice()
        && is_pg_catalog(schema)
    {
        name.0.remove(0);
    }
}

/// Is it the name of the system catalog?
pub(crate) fn is_pg_catalog(identifier: &Ident) -> bool {
    match identifier.quote_style {
        None => identifier.value.eq_ignore_ascii_case("pg_catalog"),
        Some(_) => identifier.value == "pg_catalog",
    }
}

/// `pg_catalog.text` is `text`.
fn builtin_type(data_type: &mut DataType) {
    if let DataType::Custom(name, modifiers) = data_type
        && modifiers.is_empty()
        && let [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)] = name.0.as_slice()
        && is_pg_catalog(schema)
        && let Ok(builtin) =
            Parser::new(&PostgreSqlDialect {}).try_with_sql(&name.value).and_then(|mut parser| parser.parse_data_type())
    {
        *data_type = builtin;
    }
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn plain_operator(parts: &[String]) -> Option<BinaryOperator> {
    let [schema, operator] = parts else { return None };
    if !schema.eq_ignore_ascii_case("pg_catalog") {
        return None;
    }
    Some(match operator.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    })
}

/// Can it be rewritten?
pub(crate) fn is_plain_operator(parts: &[String]) -> bool {
    plain_operator(parts).is_some()
}
