//! A query's syntax tree, before it is planned: PostgreSQL's meaning put into functions that the planner calls.
//!
//! Result columns are named from the tree as it was written, so nothing here shows. Invariant: what cannot be planned
//! with PostgreSQL's meaning is refused here with its SQLSTATE, and a parameter's own cast is left alone, since its type
//! is told by it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, Interval, LimitClause,
    ObjectName, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Subscript,
    TableAlias, TableAliasColumnDef, TableFactor, TimezoneInfo, UnaryOperator, Value, ValueWithSpan, Visit, VisitMut,
    VisitorMut, visit_expressions,
};
use lakeward_base::SqlState;

use super::{array, cast, datetime, regex};
use crate::error::Error;
use crate::output;

/// Names that PostgreSQL has for functions that are here under another.
const RENAMED: &[(&str, &str)] = &[
    ("array_remove", "array_remove_all"),
    ("array_replace", "array_replace_all"),
    ("bool_and", "bool_and"),
    ("ceiling", "ceil"),
    ("every", "bool_and"),
    ("pow", "power"),
    ("variance", "var_samp"),
    ("jsonb_array_elements", "lakeward_json_elements"),
    ("json_array_elements", "lakeward_json_elements"),
    ("jsonb_array_elements_text", "lakeward_json_elements_text"),
    ("json_array_elements_text", "lakeward_json_elements_text"),
    ("jsonb_object_keys", "lakeward_json_keys"),
    ("json_object_keys", "lakeward_json_keys"),
    ("regexp_split_to_table", "regexp_split_to_array"),
    ("string_to_table", "string_to_array"),
    ("transaction_timestamp", "now"),
    ("statement_timestamp", "now"),
];

/// Functions that answer rows in the select list.
const SETS: &[&str] = &[
    "generate_series",
    "jsonb_array_elements",
    "json_array_elements",
    "jsonb_array_elements_text",
    "json_array_elements_text",
    "jsonb_object_keys",
    "json_object_keys",
    "regexp_split_to_table",
    "string_to_table",
];

/// Aggregates, as far as a subquery must be told from one that has none.
const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "variance",
    "mode",
    "percentile_cont",
    "first_value",
    "last_value",
    "corr",
    "median",
    "any_value",
];

/// Rewrites a query and everything in it.
pub(crate) fn rewrite(query: &mut Query) -> Result<(), Error> {
    match query.visit(&mut Rewriter { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites one expression and everything in it, as policies hold them.
pub(crate) fn rewrite_expression(expression: &mut Expr) -> Result<(), Error> {
    match expression.visit(&mut Rewriter { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter {
    depth: usize,
}

fn flow(result: Result<(), Error>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        flow(check_set_operation(&query.body))
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(check_windows(select))?;
        flow(name_items(select, self.depth > 1))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        tell_apart(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(rewrite_factor(factor))
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Error> {
        bind_minus(expression);
        if let Expr::Subquery(query) = expression
            && let Some(by) = one_row(query)
        {
            let inner = std::mem::replace(expression, Expr::value(Value::Null));
            *expression = match by {
                Rows::Only => call(array::ONLY, vec![inner]),
                Rows::First => call(array::ELEMENT, vec![inner, number(1)]),
            };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Error> {
        flow(rewrite_one(expression))
    }
}

/// The planner takes `EXCEPT ALL` for an anti join, which counts wrongly.
fn check_set_operation(body: &SetExpr) -> Result<(), Error> {
    if let SetExpr::SetOperation { op, set_quantifier, left, right } = body {
        if *set_quantifier == SetQuantifier::All && !matches!(op, SetOperator::Union) {
            return Err(Error::unsupported(format!("{op} ALL")).with_hint("Use row_number() to tell equal rows apart."));
        }
        check_set_operation(left)?;
        check_set_operation(right)?;
    }
    Ok(())
}

fn has_call(node: &impl Visit, is: impl Fn(&Function) -> bool) -> bool {
    let found: ControlFlow<()> = visit_expressions(node, |expression| match expression {
        Expr::Function(function) if is(function) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn check_windows(select: &Select) -> Result<(), Error> {
    let refuse = |place: &str| {
        let message = format!("window functions are not allowed in {place}");
        Err(Error::new(SqlState::WINDOWING_ERROR, message))
    };
    let is_window = |function: &Function| function.over.is_some();
    let is_set = |function: &Function| function_name(function).is_some_and(|name| SETS.contains(&name.as_str()));
    if select.selection.as_ref().is_some_and(|filter| !has_query(filter) && has_call(filter, is_set)) {
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "set-returning functions are not allowed in WHERE"));
    }
    if select.selection.as_ref().is_some_and(|filter| !has_query(filter) && has_call(filter, is_window)) {
        return refuse("WHERE");
    }
    if select.having.as_ref().is_some_and(|filter| !has_query(filter) && has_call(filter, is_window)) {
        return refuse("HAVING");
    }
    Ok(())
}

fn has_query(expression: &Expr) -> bool {
    let found: ControlFlow<()> = visit_expressions(expression, |inner| match inner {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Columns get the names that PostgreSQL gives them where an outer query could use these, and equal ones are told apart.
fn name_items(select: &mut Select, nested: bool) -> Result<(), Error> {
    let star = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen = BTreeSet::new();
    let mut written = BTreeSet::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expression) = item else {
            if let SelectItem::ExprWithAlias { expr, alias } = item {
                refuse_row(expr)?;
                seen.insert(alias.value.clone());
                if let Some(set) = set_function(expr) {
                    *expr = set;
                }
            }
            continue;
        };
        refuse_row(expression)?;
        let plain = matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let name = output::name_of(expression).unwrap_or_else(|| "?column?".to_owned());
        let set = set_function(expression);
        let is_new = seen.insert(name.clone()) & written.insert(expression.to_string());
        if is_new && (plain || star || !(nested || set.is_some())) {
            continue;
        }
        let unique = if is_new && !star { name } else { format!("{name}\u{1}{place}") };
        let expr = set.unwrap_or_else(|| std::mem::replace(expression, Expr::value(Value::Null)));
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', unique) };
    }
    Ok(())
}

/// What has become equal by rewriting is told apart; two columns of one name may leave, but not be asked for.
fn tell_apart(select: &mut Select) {
    let mut written = BTreeSet::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expression) = item
            && !written.insert(expression.to_string())
        {
            let alias = Ident::with_quote('"', format!("?column?\u{1}{place}"));
            *item = SelectItem::ExprWithAlias { expr: taken(expression), alias };
        }
    }
}

/// PostgreSQL's minus binds more tightly than its power: `-2 ^ 2` is 4.
fn bind_minus(expression: &mut Expr) {
    let Expr::UnaryOp { op: UnaryOperator::Minus, expr } = expression else { return };
    if !matches!(expr.as_ref(), Expr::BinaryOp { op: BinaryOperator::PGExp, .. }) {
        return;
    }
    let mut power = taken(expr);
    let mut place = &mut power;
    while let Expr::BinaryOp { left, op: BinaryOperator::PGExp, .. } = place {
        place = left;
    }
    let base = taken(place);
    *place = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(base) };
    *expression = power;
}

fn refuse_row(expression: &Expr) -> Result<(), Error> {
    let is_row = match expression {
        Expr::Tuple(_) => true,
        Expr::Function(function) => function_name(function).is_some_and(|name| name == "row"),
        _ => false,
    };
    if is_row { Err(Error::unsupported("a row as a value").with_hint("Select its fields.")) } else { Ok(()) }
}

fn function_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] if name.quote_style.is_none() => Some(name.value.to_ascii_lowercase()),
        [ObjectNamePart::Identifier(name)] => Some(name.value.clone()),
        _ => None,
    }
}

/// `generate_series(…)` in the select list is one row for each of its values.
fn set_function(expression: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expression else { return None };
    let name = function_name(function)?;
    SETS.contains(&name.as_str()).then(|| call("unnest", vec![expression.clone()]))
}

fn rewrite_factor(factor: &mut TableFactor) -> Result<(), Error> {
    if let TableFactor::Derived { lateral: true, subquery, .. } = factor
        && (subquery.limit_clause.is_some() || subquery.order_by.is_some())
    {
        return Err(Error::unsupported("ORDER BY or LIMIT within LATERAL")
            .with_hint("Use row_number() OVER (PARTITION BY …) in a subquery, or a scalar subquery."));
    }
    match factor {
        TableFactor::Table { name, alias, args: Some(arguments), .. } => {
            let known = single(name).filter(|name| crate::names::TABLE_FUNCTIONS.contains(&name.as_str()));
            let Some(function) = known else { return Ok(()) };
            refuse_columns(&arguments.args)?;
            name_column(alias, &function);
        }
        TableFactor::Function { name, args, .. } => {
            if single(name).is_some() {
                refuse_columns(args)?;
            }
        }
        TableFactor::UNNEST { alias, array_exprs, .. } => {
            if array_exprs.iter().any(has_column) {
                return Err(over_columns());
            }
            if array_exprs.len() == 1 {
                name_column(alias, "unnest");
            }
        }
        _ => {}
    }
    Ok(())
}

/// `jsonb_array_elements(…)` in FROM is `unnest(…)`, before names of tables are looked up.
pub(crate) fn set_in_from(factor: &mut TableFactor) -> Result<(), Error> {
    let TableFactor::Table { name, alias, args: Some(arguments), .. } = factor else { return Ok(()) };
    let Some(function) = single(name) else { return Ok(()) };
    if crate::names::TABLE_FUNCTIONS.contains(&function.as_str()) || function == crate::version::CHANGES_FUNCTION {
        return Ok(());
    }
    let is_ours = ["json", "regexp_", "string_to_"].iter().any(|start| function.starts_with(start));
    if !is_ours {
        return Ok(());
    }
    if !SETS.contains(&function.as_str()) {
        let message = format!("function {function} does not exist in FROM");
        return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint("Call it in the select list."));
    }
    name_column(
        alias,
        if function.ends_with("elements") || function.ends_with("elements_text") { "value" } else { &function },
    );
    let given = arguments.args.iter().filter_map(argument_of).collect();
    *factor = TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs: vec![call(&function, given)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    Ok(())
}

fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(name.value.to_ascii_lowercase()),
        _ => None,
    }
}

fn argument_of(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression.clone()),
        _ => None,
    }
}

fn over_columns() -> Error {
    Error::unsupported("a function in FROM over another table's columns")
        .with_hint("Call it in the select list of a subquery.")
}

fn refuse_columns(arguments: &[FunctionArg]) -> Result<(), Error> {
    if arguments.iter().filter_map(argument_of).any(|argument| has_column(&argument)) {
        Err(over_columns())
    } else {
        Ok(())
    }
}

fn has_column(expression: &Expr) -> bool {
    let found: ControlFlow<()> = visit_expressions(expression, |inner| match inner {
        Expr::Subquery(_) => ControlFlow::Continue(()),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The column of a function with one is named after its alias, or else after the function.
fn name_column(alias: &mut Option<TableAlias>, function: &str) {
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::new(function),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns = vec![TableAliasColumnDef { name: alias.name.clone(), data_type: None }];
    }
}

/// How a subquery's rows become one value.
enum Rows {
    Only,
    First,
}

/// Makes the planner's kind of correlated scalar subquery (one aggregate) of PostgreSQL's.
fn one_row(query: &mut Query) -> Option<Rows> {
    let is_correlated = reads_outside(query);
    let first = takes_one(query)?;
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(keys)) => keys.clone(),
        Some(OrderByKind::All(_)) => return None,
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !is_correlated || grouped || select.having.is_some() || select.distinct.is_some() || query.with.is_some() {
        return None;
    }
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let is_special = |function: &Function| {
        function.over.is_some() || function_name(function).is_some_and(|name| AGGREGATES.contains(&name.as_str()))
    };
    if has_call(value, is_special) || set_function(value).is_some() {
        return None;
    }
    let mut list = call("array_agg", vec![value.clone()]);
    if let (Expr::Function(Function { args: FunctionArguments::List(list), .. }), false) = (&mut list, order.is_empty())
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    *value = list;
    query.order_by = None;
    query.limit_clause = None;
    Some(if first { Rows::First } else { Rows::Only })
}

/// Whether `LIMIT 1` is there; `None`: another limit is.
fn takes_one(query: &Query) -> Option<bool> {
    match &query.limit_clause {
        None => Some(false),
        Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, limit_by })
            if limit_by.is_empty() =>
        {
            matches!(&limit.value, Value::Number(number, _) if number == "1").then_some(true)
        }
        Some(_) => None,
    }
}

/// Whether a subquery names a table that it does not read itself.
fn reads_outside(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let own = |factor: &TableFactor| match factor {
        TableFactor::Table { name, alias, .. } => {
            let alias = alias.as_ref().map(|alias| alias.name.value.to_lowercase());
            alias.or_else(|| name.0.last().and_then(ObjectNamePart::as_ident).map(|name| name.value.to_lowercase()))
        }
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| alias.name.value.to_lowercase()),
        _ => None,
    };
    let factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let names: BTreeSet<_> = factors.filter_map(own).collect();
    let found: ControlFlow<()> = visit_expressions(query, |expression| match expression {
        Expr::CompoundIdentifier(parts) => {
            let table = parts.len().checked_sub(2).and_then(|index| parts.get(index));
            match table {
                Some(table) if !names.contains(&table.value.to_lowercase()) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// A call.
fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn string(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

fn number(value: u32) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

fn taken(expression: &mut Expr) -> Expr {
    std::mem::replace(expression, Expr::value(Value::Null))
}

fn negated(expression: Expr, negated: bool) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expression) } } else { expression }
}

fn rewrite_one(expression: &mut Expr) -> Result<(), Error> {
    match expression {
        Expr::Cast { expr, data_type, .. } => {
            let spec = type_spec(data_type)?;
            if matches!(expr.as_ref(), Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. })) {
                if spec.is_some_and(|spec| spec.contains('(') && !spec.starts_with("numeric")) {
                    return Err(Error::unsupported("a cast of a parameter to a type of a given length")
                        .with_hint("Cast it to the type alone first."));
                }
            } else if let Some(spec) = spec {
                *expression = call(cast::CAST, vec![taken(expr), string(&spec)]);
            }
        }
        Expr::TypedString(typed) => {
            if let Some(spec) = type_spec(&typed.data_type)? {
                *expression = call(cast::CAST, vec![Expr::Value(typed.value.clone()), string(&spec)]);
            }
        }
        Expr::Interval(interval) => {
            if let Some(text) = needs_own_reader(interval) {
                *expression = call(cast::CAST, vec![string(&text), string("interval")]);
            }
        }
        Expr::Extract { field, expr, .. } => {
            let field = string(field.to_string().trim_matches(['\'', '"']).to_ascii_lowercase().as_str());
            *expression = call(datetime::EXTRACT, vec![field, taken(expr)]);
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expression = call("timezone", vec![taken(time_zone), taken(timestamp)]);
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let from = substring_from.as_mut().map_or_else(|| number(1), |from| taken(from));
            let mut arguments = vec![taken(expr), from];
            arguments.extend(substring_for.as_mut().map(|length| taken(length)));
            *expression = call("substring", arguments);
        }
        Expr::SimilarTo { negated: not, expr, pattern, escape_char } => {
            if escape_char.is_some() {
                return Err(Error::unsupported("SIMILAR TO … ESCAPE").with_hint("Use the operator ~."));
            }
            let pattern = call("lakeward_similar", vec![taken(pattern)]);
            *expression = negated(call(regex::MATCHES, vec![taken(expr), pattern]), *not);
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            rewrite_escape(pattern, escape_char)?;
        }
        Expr::BinaryOp { left, op, right } => {
            let (not, flags) = match op {
                BinaryOperator::PGRegexMatch => (false, ""),
                BinaryOperator::PGRegexIMatch => (false, "i"),
                BinaryOperator::PGRegexNotMatch => (true, ""),
                BinaryOperator::PGRegexNotIMatch => (true, "i"),
                BinaryOperator::PGOverlap => {
                    *expression = call("array_has_any", vec![taken(left), taken(right)]);
                    return Ok(());
                }
                BinaryOperator::PGStartsWith => {
                    *expression = call("starts_with", vec![taken(left), taken(right)]);
                    return Ok(());
                }
                BinaryOperator::PGExp => {
                    *expression = call("power", vec![taken(left), taken(right)]);
                    return Ok(());
                }
                _ => return Ok(()),
            };
            *expression = negated(call(regex::MATCHES, vec![taken(left), taken(right), string(flags)]), not);
        }
        Expr::UnaryOp { op, expr } => match op {
            UnaryOperator::BitwiseNot => {
                *expression = call("lakeward_bitnot", vec![taken(expr)]);
            }
            UnaryOperator::PGAbs => *expression = call("abs", vec![taken(expr)]),
            _ => {}
        },
        Expr::CompoundFieldAccess { root, access_chain } => {
            if access_chain.iter().all(|access| matches!(access, AccessExpr::Subscript(_))) {
                *expression = access_chain.iter_mut().fold(taken(root), subscript);
            }
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. }
            if !matches!(right.as_ref(), Expr::Subquery(_)) =>
        {
            *expression = match right.as_mut() {
                Expr::Array(Array { elem, .. }) if !elem.is_empty() => {
                    Expr::InList { expr: Box::new(taken(left)), list: std::mem::take(elem), negated: false }
                }
                right => call(array::EQUALS_ANY, vec![taken(left), taken(right)]),
            };
        }
        Expr::Function(function) if function_name(function).is_some_and(|name| name == "localtimestamp") => {
            *expression = call(cast::CAST, vec![call("now", Vec::new()), string("timestamp")]);
        }
        Expr::Function(function) => rename(function),
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("localtimestamp") => {
            *expression = call(cast::CAST, vec![call("now", Vec::new()), string("timestamp")]);
        }
        // With an exponent: the planner's own has a negative scale.
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => {
            if let Some((_, exponent)) = digits.split_once(['e', 'E']) {
                let is_small = exponent.parse::<i32>().is_ok_and(|exponent| exponent.abs() < 30);
                *expression =
                    call(cast::CAST, vec![string(digits), string(if is_small { "numeric" } else { "float8" })]);
            }
        }
        _ => {}
    }
    Ok(())
}

fn subscript(root: Expr, access: &mut AccessExpr) -> Expr {
    match access {
        AccessExpr::Subscript(Subscript::Index { index }) => call(array::ELEMENT, vec![root, taken(index)]),
        AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) => {
            let bound = |bound: &mut Option<Expr>| bound.as_mut().map_or_else(|| Expr::value(Value::Null), taken);
            call(array::SLICE, vec![root, bound(lower_bound), bound(upper_bound)])
        }
        AccessExpr::Dot(_) => root,
    }
}

fn rename(function: &mut Function) {
    let Some(name) = function_name(function) else { return };
    if name == "age" {
        if let FunctionArguments::List(list) = &mut function.args
            && list.args.len() == 1
        {
            let today = call("current_date", Vec::new());
            list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(today)));
        }
        return;
    }
    if name == "log" {
        if let FunctionArguments::List(list) = &function.args
            && list.args.len() == 1
        {
            set_name(function, "log10");
        }
        return;
    }
    if name == "make_interval" {
        positional(function);
        return;
    }
    if let Some((_, here)) = RENAMED.iter().find(|(postgresql, _)| *postgresql == name) {
        set_name(function, here);
    }
}

fn set_name(function: &mut Function, name: &str) {
    if let [ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice() {
        *ident = Ident::with_span(ident.span, name);
    }
}

/// `make_interval(days => 10)`.
fn positional(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    if !list.args.iter().any(|argument| matches!(argument, FunctionArg::Named { .. })) {
        return;
    }
    let mut places: Vec<Expr> = std::iter::repeat_with(|| number(0)).take(7).collect();
    for argument in &list.args {
        let FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } = argument else { return };
        let known = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
        let place = known.iter().position(|known| name.value.eq_ignore_ascii_case(known));
        let Some(slot) = place.and_then(|place| places.get_mut(place)) else { return };
        *slot = value.clone();
    }
    list.args = places.into_iter().map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value))).collect();
}

/// The planner knows `\` alone as the escape of a pattern.
fn rewrite_escape(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) -> Result<(), Error> {
    let Some(ValueWithSpan { value: Value::SingleQuotedString(character), .. }) = escape else { return Ok(()) };
    if character == "\\" {
        return Ok(());
    }
    let mut characters = character.chars();
    let (wanted, more) = (characters.next(), characters.next());
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = pattern else {
        return Err(Error::unsupported("ESCAPE with a pattern that is no literal").with_hint("Use the escape \\."));
    };
    if more.is_some() {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "invalid escape string"));
    }
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if Some(next) == wanted {
            out.push('\\');
            out.extend(rest.next());
        } else if next == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(next);
        }
    }
    *text = out;
    *escape = None;
    Ok(())
}

/// An interval's text that the planner does not read as PostgreSQL does.
fn needs_own_reader(interval: &Interval) -> Option<String> {
    let Interval { value, leading_field: None, .. } = interval else { return None };
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = value.as_ref() else { return None };
    arrow::compute::kernels::cast_utils::parse_interval_month_day_nano(text).is_err().then(|| text.clone())
}

/// A type as `cast` names it; `None` leaves a cast to the planner.
fn type_spec(data_type: &DataType) -> Result<Option<String>, Error> {
    let plain = |name: &str| Ok(Some(name.to_owned()));
    match data_type {
        DataType::SmallInt(None) | DataType::Int2(None) => plain("int2"),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => plain("int4"),
        DataType::BigInt(None) | DataType::Int8(None) => plain("int8"),
        DataType::Real | DataType::Float4 => plain("float4"),
        DataType::Float8
        | DataType::DoublePrecision
        | DataType::Double(ExactNumberInfo::None)
        | DataType::Float(ExactNumberInfo::None) => plain("float8"),
        DataType::Boolean | DataType::Bool => plain("bool"),
        DataType::Text | DataType::String(None) => plain("text"),
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            length_spec("varchar", length.as_ref().map(ToString::to_string))
        }
        DataType::Char(length) | DataType::Character(length) => {
            length_spec("char", Some(length.as_ref().map_or_else(|| "1".to_owned(), ToString::to_string)))
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric_spec(info),
        // Text is read as bytes by `bytea`, after planning.
        DataType::Bytea => Ok(None),
        DataType::Date => plain("date"),
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => plain("time"),
        DataType::Timestamp(precision, zone) => {
            let name = match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => "timestamp",
                TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => "timestamptz",
            };
            Ok(Some(precision.map_or_else(|| name.to_owned(), |precision| format!("{name}({precision})"))))
        }
        DataType::Interval { fields: None, precision: None } => plain("interval"),
        DataType::JSON => plain("json"),
        DataType::JSONB => plain("jsonb"),
        DataType::Array(element) => {
            use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
            match element {
                ArrayElemTypeDef::SquareBracket(inner, _) => Ok(type_spec(inner)?.map(|inner| format!("{inner}[]"))),
                _ => Ok(None),
            }
        }
        DataType::Custom(name, modifiers) if modifiers.is_empty() => match single(name).as_deref() {
            Some("timestamptz") => plain("timestamptz"),
            Some("bpchar" | "name") => plain("text"),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn length_spec(name: &str, length: Option<String>) -> Result<Option<String>, Error> {
    let Some(length) = length else { return Ok(Some(name.to_owned())) };
    match length.trim().parse::<u32>() {
        Ok(0) => {
            let message = format!("length for type {name} must be at least 1");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
        Ok(length) => Ok(Some(format!("{name}({length})"))),
        Err(_) => Ok(None),
    }
}

fn numeric_spec(info: &ExactNumberInfo) -> Result<Option<String>, Error> {
    let check = |precision: u64, scale: i64| {
        if precision == 0 || precision > 1000 {
            let message = format!("NUMERIC precision {precision} must be between 1 and 1000");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        if precision > 38 || scale < 0 || scale.unsigned_abs() > precision {
            return Err(Error::unsupported("numeric of more than 38 digits, or of such a scale"));
        }
        Ok(Some(format!("numeric({precision},{scale})")))
    };
    match info {
        ExactNumberInfo::None => Ok(Some("numeric".to_owned())),
        ExactNumberInfo::Precision(precision) => check(*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => check(*precision, *scale),
    }
}
