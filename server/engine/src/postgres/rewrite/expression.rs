//! One expression at a time, from the leaves up.
//!
//! Invariant: a parameter's own cast is left alone; its type is told by it.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, DataType as SqlType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Interval, ObjectNamePart, Subscript, UnaryOperator, Value, ValueWithSpan,
};
use lakeward_base::SqlState;

use super::node::{call, function_name, negated, number, string, taken};
use super::note;
use super::types::type_spec;
use crate::error::Error;
use crate::postgres::text::escaped;
use crate::postgres::{array, cast, datetime, regex};

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

/// Rewrites one expression, whose parts have been.
pub(super) fn rewrite_one(expression: &mut Expr) -> Result<(), Error> {
    match expression {
        Expr::Cast { .. } | Expr::TypedString(_) | Expr::Interval(_) | Expr::Value(_) => rewrite_value(expression),
        Expr::SimilarTo { .. } | Expr::Like { .. } | Expr::ILike { .. } => rewrite_pattern(expression),
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } | Expr::AnyOp { .. } => {
            rewrite_operator(expression);
            Ok(())
        }
        other => {
            if let Expr::Function(function) = other {
                note::place_arguments(function)?;
            }
            rewrite_syntax(other);
            Ok(())
        }
    }
}

/// Casts and literals.
fn rewrite_value(expression: &mut Expr) -> Result<(), Error> {
    match expression {
        Expr::Cast { expr, data_type, .. } => {
            let spec = type_spec(data_type)?;
            if matches!(expr.as_ref(), Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. })) {
                if spec.is_some_and(|spec| spec.contains('(') && !spec.starts_with("numeric")) {
                    return Err(Error::unsupported("a cast of a parameter to a type of a given length")
                        .with_hint("Cast it to the type alone first."));
                }
                // Left to the planner, whose TIMESTAMP counts nanoseconds from 1677 to 2262.
                if let SqlType::Timestamp(precision, _) = data_type {
                    *precision = Some(6);
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

/// LIKE and SIMILAR TO.
fn rewrite_pattern(expression: &mut Expr) -> Result<(), Error> {
    match expression {
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
        _ => {}
    }
    Ok(())
}

/// Operators that are functions here.
fn rewrite_operator(expression: &mut Expr) {
    match expression {
        Expr::BinaryOp { left, op, right } => {
            let function = match op {
                BinaryOperator::PGOverlap => "array_has_any",
                BinaryOperator::PGStartsWith => "starts_with",
                BinaryOperator::PGExp => "power",
                BinaryOperator::PGRegexMatch | BinaryOperator::PGRegexNotMatch => regex::MATCHES,
                BinaryOperator::PGRegexIMatch | BinaryOperator::PGRegexNotIMatch => regex::MATCHES,
                _ => return,
            };
            let not = matches!(op, BinaryOperator::PGRegexNotMatch | BinaryOperator::PGRegexNotIMatch);
            let mut arguments = vec![taken(left), taken(right)];
            if matches!(op, BinaryOperator::PGRegexIMatch | BinaryOperator::PGRegexNotIMatch) {
                arguments.push(string("i"));
            }
            *expression = negated(call(function, arguments), not);
        }
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => {
            *expression = call("lakeward_bitnot", vec![taken(expr)]);
        }
        Expr::UnaryOp { op: UnaryOperator::PGAbs, expr } => *expression = call("abs", vec![taken(expr)]),
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
        _ => {}
    }
}

/// Functions with a syntax of their own, subscripts, and functions of other names.
fn rewrite_syntax(expression: &mut Expr) {
    let local_time = || call(cast::CAST, vec![call("now", Vec::new()), string("timestamp")]);
    match expression {
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
        Expr::CompoundFieldAccess { root, access_chain }
            if access_chain.iter().all(|access| matches!(access, AccessExpr::Subscript(_))) =>
        {
            *expression = access_chain.iter_mut().fold(taken(root), subscript);
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            if let Some(member) = member(root, access_chain) {
                *expression = member;
            }
        }
        Expr::Function(function) if function_name(function).is_some_and(|name| name == "localtimestamp") => {
            *expression = local_time();
        }
        Expr::Function(function) => rename(function),
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("localtimestamp") => {
            *expression = local_time();
        }
        _ => {}
    }
}

/// PostgreSQL's minus binds more tightly than its power: `-2 ^ 2` is 4.
pub(super) fn bind_minus(expression: &mut Expr) {
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

/// `(a).b`: a column of a relation, or a member of a column, which the planner tells apart.
fn member(root: &Expr, access_chain: &mut [AccessExpr]) -> Option<Expr> {
    let Expr::Nested(relation) = root else { return None };
    let mut parts = match relation.as_ref() {
        Expr::Identifier(name) => vec![name.clone()],
        Expr::CompoundIdentifier(names) => names.clone(),
        _ => return None,
    };
    let is_dot = |access: &AccessExpr| matches!(access, AccessExpr::Dot(Expr::Identifier(_)));
    let dots = access_chain.iter().take_while(|access| is_dot(access)).count();
    let (names, subscripts) = access_chain.split_at_mut_checked(dots)?;
    if subscripts.iter().any(|access| matches!(access, AccessExpr::Dot(_))) {
        return None;
    }
    parts.extend(names.iter().filter_map(|access| match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
        _ => None,
    }));
    Some(subscripts.iter_mut().fold(Expr::CompoundIdentifier(parts), subscript))
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
    if more.is_some() {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    match pattern {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => *text = escaped(text, wanted),
        pattern => *pattern = call("like_escape", vec![taken(pattern), string(character)]),
    }
    *escape = None;
    Ok(())
}

/// An interval's text that the planner does not read as PostgreSQL does.
fn needs_own_reader(interval: &Interval) -> Option<String> {
    let Interval { value, leading_field: None, .. } = interval else { return None };
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = value.as_ref() else { return None };
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let is_finer = fraction.bytes().take_while(u8::is_ascii_digit).count() > 6;
    let unread = || arrow::compute::kernels::cast_utils::parse_interval_month_day_nano(text).is_err();
    (is_finer || unread()).then(|| text.clone())
}
