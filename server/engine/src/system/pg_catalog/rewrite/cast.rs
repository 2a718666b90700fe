//! Casts to types that only PostgreSQL's catalog has: `oid`, `name`, `"char"`, `regclass` and its like.
//!
//! An OID is a number and a name is text. What is cast to `regclass` from text becomes a number, which is what it is
//! compared with; what is cast from a number becomes text, which is what it is shown as. Invariant: no cast to such a
//! type is left.

use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, BinaryOperator, DataType, Expr, ObjectName, Value};

use super::tree;

/// Types that stand for an object: name, and the functions that read and write it.
const OBJECT_TYPES: &[(&str, &str, &str)] = &[
    ("regclass", "regclassin", "regclassout"),
    ("regtype", "regtypein", "regtypeout"),
    ("regproc", "regprocin", "regprocout"),
    ("regprocedure", "regprocin", "regprocout"),
    ("regnamespace", "regnamespacein", "regnamespaceout"),
    ("regrole", "regrolein", "regroleout"),
    ("regoper", "regoperatorin", "regoperatorout"),
    ("regoperator", "regoperatorin", "regoperatorout"),
    ("regcollation", "regcollationin", "regcollationout"),
    ("regconfig", "regconfigin", "regconfigout"),
    ("regdictionary", "regconfigin", "regconfigout"),
];

/// Types whose values are numbers here.
const NUMBERS: &[&str] = &["oid", "xid", "cid"];

/// Types whose values are text here.
const TEXTS: &[&str] = &[
    "name",
    "char",
    "bpchar",
    "aclitem",
    "pg_node_tree",
    "inet",
    "unknown",
    "cstring",
    "sql_identifier",
    "character_data",
    "yes_or_no",
];

enum Meaning {
    /// Read and write functions.
    Object(&'static str, &'static str),
    Number,
    /// A type that the planner has.
    Plain(DataType),
}

fn meaning(data_type: &DataType) -> Option<Meaning> {
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::CharacterVarying(None) | DataType::CharVarying(None) => return Some(Meaning::Plain(DataType::Text)),
        DataType::Custom(ObjectName(parts), modifiers) if modifiers.is_empty() => {
            let ident = parts.last()?.as_ident()?;
            if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
        }
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, length)) => {
            let element = match meaning(element)? {
                Meaning::Object(..) | Meaning::Number => DataType::IntUnsigned(None),
                Meaning::Plain(plain) => plain,
            };
            let list = ArrayElemTypeDef::SquareBracket(Box::new(element), *length);
            return Some(Meaning::Plain(DataType::Array(list)));
        }
        _ => return None,
    };
    let name = name.as_str();
    if let Some((_, reads, writes)) = OBJECT_TYPES.iter().find(|(known, ..)| *known == name) {
        return Some(Meaning::Object(reads, writes));
    }
    if NUMBERS.contains(&name) {
        return Some(Meaning::Number);
    }
    match name {
        "cardinal_number" => Some(Meaning::Plain(DataType::Int(None))),
        _ => TEXTS.contains(&name).then_some(Meaning::Plain(DataType::Text)),
    }
}

/// Whether a cast to it has to be rewritten.
pub(super) fn is_catalog_type(data_type: &DataType) -> bool {
    meaning(data_type).is_some()
}

/// Rewrites a cast, or a comparison with one, whose parts are rewritten already.
pub(super) fn replace(expression: &mut Expr) {
    match expression {
        Expr::Cast { expr, data_type, .. } => {
            let inner = std::mem::replace(expr.as_mut(), tree::null());
            *expression = cast(inner, data_type);
        }
        Expr::BinaryOp { left, op, right } if compares(op) => {
            compare(left, right);
            compare(right, left);
        }
        _ => {}
    }
}

fn cast(inner: Expr, data_type: &DataType) -> Expr {
    match meaning(data_type) {
        None => tree::cast(shown(inner, is_text(data_type)), data_type.clone()),
        Some(Meaning::Plain(plain)) => {
            let text = is_text(&plain);
            tree::cast(shown(inner, text), plain)
        }
        Some(Meaning::Object(reads, writes)) => object(inner, reads, writes),
        Some(Meaning::Number) => tree::cast(number_behind(inner), DataType::IntUnsigned(None)),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(_) | DataType::String(_))
}

fn object(inner: Expr, reads: &str, writes: &str) -> Expr {
    let is_text = match &inner {
        Expr::Value(value) => !matches!(value.value, Value::Number(..)),
        Expr::Cast { data_type, .. } => self::is_text(data_type),
        _ => false,
    };
    if tree::argument_of(&inner, reads).is_some() {
        return inner;
    }
    let name = if is_text { reads } else { writes };
    tree::call(name, vec![inner])
}

/// An object that was read from its name is shown as its name again.
fn shown(expression: Expr, as_text: bool) -> Expr {
    let written = OBJECT_TYPES.iter().find(|(_, reads, _)| tree::argument_of(&expression, reads).is_some());
    match written {
        Some((_, _, writes)) if as_text => tree::call(writes, vec![expression]),
        _ => expression,
    }
}

/// The number whose name an expression is.
fn number_behind(expression: Expr) -> Expr {
    let number = OBJECT_TYPES.iter().find_map(|(_, _, writes)| tree::argument_of(&expression, writes).cloned());
    number.unwrap_or(expression)
}

fn compares(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// `c.oid::regclass = x` compares numbers, unless x is text.
fn compare(side: &mut Expr, other: &mut Expr) {
    let Some((_, reads, writes)) = OBJECT_TYPES.iter().find(|(_, _, writes)| tree::argument_of(side, writes).is_some())
    else {
        return;
    };
    if matches!(other, Expr::Cast { data_type, .. } if is_text(data_type)) {
        return;
    }
    if let Some(name) = tree::literal(other) {
        *other = tree::call(reads, vec![tree::text(name)]);
    }
    if let Some(number) = tree::argument_of(side, writes) {
        *side = number.clone();
    }
}

/// Makes a select item that is an object show its name, and one that is an OID be told as one.
pub(super) fn show(expression: &mut Expr) {
    let inner = std::mem::replace(expression, tree::null());
    *expression = match shown(inner, true) {
        oid @ Expr::Cast { data_type: DataType::IntUnsigned(None), .. } => tree::call("lakeward_oid", vec![oid]),
        other => other,
    };
}
