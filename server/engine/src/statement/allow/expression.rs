//! Expressions.
//!
//! Invariant: see [`super`]. A kind of expression is listed here or refused.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr, Ident,
    Interval, ObjectName, Spanned, Subscript, TimezoneInfo, TypedString, UnaryOperator, Value,
};
use lakeward_base::SqlState;

use super::{Checker, call, refuse_if, refused};
use crate::error::Error;
use crate::statement::rewrite::{is_pg_catalog, is_plain_operator};

pub(super) fn check(checker: &Checker<'_>, expression: &Expr) -> Result<(), Error> {
    match expression {
        Expr::Identifier(identifier) => check_identifier(checker, identifier),
        Expr::CompoundIdentifier(identifiers) => {
            identifiers.iter().try_for_each(|identifier| checker.check_alias(identifier))
        }
        Expr::Value(value) => check_value(&value.value).map_err(|error| checker.at(error, value.span)),
        Expr::Function(function) => {
            call::check(checker, function).map_err(|error| checker.at(error, function.name.span()))
        }
        Expr::BinaryOp { left: _, op, right: _ } => check_operator(op),
        Expr::UnaryOp { op, expr: _ } => check_unary(*op),
        Expr::Cast { kind, expr: _, data_type, array, format } => {
            refuse_if(!matches!(kind, CastKind::Cast | CastKind::DoubleColon), "TRY_CAST or SAFE_CAST", "Use CAST.")?;
            refuse_if(*array, "CAST (… AS … ARRAY)", "Write the type as type[].")?;
            refuse_if(format.is_some(), "CAST … FORMAT", "Use to_char() or to_timestamp().")?;
            check_type(data_type)
        }
        Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax }) => {
            refuse_if(*uses_odbc_syntax, "{d …}, {t …} and {ts …}", "Write DATE '…' or TIMESTAMP '…'.")?;
            check_value(&value.value)?;
            check_type(data_type)
        }
        Expr::Interval(Interval {
            value: _,
            leading_field: _,
            leading_precision,
            last_field,
            fractional_seconds_precision,
        }) => {
            let qualified =
                leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some();
            refuse_if(qualified, "an interval with precision or TO", "Write INTERVAL '1 day 2 hours'.")
        }
        Expr::Like { any, .. } | Expr::ILike { any, .. } => refuse_if(*any, "LIKE ANY", "Use OR, or = ANY (…)."),
        Expr::Trim { trim_where: _, trim_what: _, expr: _, trim_characters } => {
            let several = trim_characters.as_ref().is_some_and(|characters| characters.len() > 1);
            refuse_if(several, "TRIM with several arguments", "Use btrim(value, characters).")
        }
        Expr::Ceil { field, .. } | Expr::Floor { field, .. } => refuse_if(
            !matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)),
            "CEIL or FLOOR TO",
            "Use date_trunc() or round().",
        ),
        Expr::Array(Array { elem: _, named: _ }) => Ok(()),
        Expr::CompoundFieldAccess { root: _, access_chain } => access_chain.iter().try_for_each(check_access),
        Expr::Collate { expr: _, collation } => check_collation(checker, collation),
        other if is_plain(other) => Ok(()),
        other => check_foreign(other),
    }
}

/// The planner takes these as they are.
fn is_plain(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::AtTimeZone { .. }
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Between { .. }
            | Expr::SimilarTo { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
            | Expr::Extract { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Overlay { .. }
            | Expr::Nested(_)
            | Expr::Case { .. }
            | Expr::Exists { .. }
            | Expr::Subquery(_)
            | Expr::GroupingSets(_)
            | Expr::Cube(_)
            | Expr::Rollup(_)
            | Expr::Tuple(_)
    )
}

/// What PostgreSQL lacks too, or what is not built.
fn check_foreign(expression: &Expr) -> Result<(), Error> {
    let (what, hint) = match expression {
        Expr::IsNormalized { .. } => ("IS NORMALIZED", "Leave it out."),
        Expr::InUnnest { .. } => ("IN UNNEST", "Use = ANY (…)."),
        Expr::RLike { .. } => ("RLIKE or REGEXP", "Use the operator ~."),
        Expr::Convert { .. } => ("CONVERT", "Use CAST."),
        Expr::JsonAccess { .. } => ("value:path", "Use the JSON functions."),
        Expr::Struct { .. } | Expr::Named { .. } => ("STRUCT", "Use named_struct()."),
        Expr::Dictionary(_) | Expr::Map(_) => ("{…} as a map", "Use map()."),
        Expr::MatchAgainst { .. } => ("MATCH AGAINST", "Use LIKE or the operator ~."),
        Expr::MemberOf(_) => ("MEMBER OF", "Use = ANY (…)."),
        Expr::Lambda(_) => ("a lambda function", "Use unnest() in a subquery."),
        Expr::OuterJoin(_) => ("(+)", "Use LEFT JOIN."),
        Expr::Prior(_) => ("PRIOR", "Use WITH RECURSIVE."),
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => ("* in an expression", "Name the columns."),
        _ => ("this kind of expression", "See the reference of the SQL language."),
    };
    Err(refused(what, hint))
}

fn check_identifier(checker: &Checker<'_>, identifier: &Ident) -> Result<(), Error> {
    checker.check_alias(identifier)?;
    let is_default = identifier.quote_style.is_none() && identifier.value.eq_ignore_ascii_case("default");
    refuse_if(is_default, "DEFAULT", "Give the value, or leave the column out.")
        .map_err(|error| checker.at(error, identifier.span))
}

fn check_value(value: &Value) -> Result<(), Error> {
    match value {
        Value::Number(_, long) => refuse_if(*long, "a number with the suffix L", "Leave the suffix out."),
        Value::SingleQuotedString(_)
        | Value::DollarQuotedString(_)
        | Value::EscapedStringLiteral(_)
        | Value::Boolean(_)
        | Value::Null => Ok(()),
        Value::Placeholder(name) => {
            let is_numbered = name.strip_prefix('$').is_some_and(|number| number.parse::<u16>().is_ok());
            if is_numbered {
                Ok(())
            } else {
                Err(Error::new(SqlState::SYNTAX_ERROR, "a parameter is written $1, $2, …"))
            }
        }
        Value::UnicodeStringLiteral(_) => Err(refused("U&'…'", "Write E'\\u…'.")),
        Value::HexStringLiteral(_) | Value::SingleQuotedByteStringLiteral(_) => {
            Err(refused("a bit string", "Write bytes as '\\x…'::bytea."))
        }
        _ => Err(refused("this kind of string literal", "Write '…'.")),
    }
}

fn check_operator(operator: &BinaryOperator) -> Result<(), Error> {
    match operator {
        BinaryOperator::Plus
        | BinaryOperator::Minus
        | BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo
        | BinaryOperator::StringConcat
        | BinaryOperator::Gt
        | BinaryOperator::Lt
        | BinaryOperator::GtEq
        | BinaryOperator::LtEq
        | BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::And
        | BinaryOperator::Or
        | BinaryOperator::BitwiseOr
        | BinaryOperator::BitwiseAnd
        | BinaryOperator::PGBitwiseXor
        | BinaryOperator::PGBitwiseShiftLeft
        | BinaryOperator::PGBitwiseShiftRight
        | BinaryOperator::PGExp
        | BinaryOperator::PGRegexMatch
        | BinaryOperator::PGRegexIMatch
        | BinaryOperator::PGRegexNotMatch
        | BinaryOperator::PGRegexNotIMatch
        | BinaryOperator::PGLikeMatch
        | BinaryOperator::PGILikeMatch
        | BinaryOperator::PGNotLikeMatch
        | BinaryOperator::PGNotILikeMatch
        | BinaryOperator::AtArrow
        | BinaryOperator::ArrowAt
        | BinaryOperator::Arrow
        | BinaryOperator::LongArrow
        | BinaryOperator::HashArrow
        | BinaryOperator::HashLongArrow
        | BinaryOperator::Question
        | BinaryOperator::QuestionPipe
        | BinaryOperator::QuestionAnd
        | BinaryOperator::PGOverlap
        | BinaryOperator::PGStartsWith => Ok(()),
        BinaryOperator::PGCustomBinaryOperator(parts) if is_plain_operator(parts) => Ok(()),
        other => Err(refused(&format!("the operator {other}"), "See the reference of the SQL language.")),
    }
}

fn check_unary(operator: UnaryOperator) -> Result<(), Error> {
    match operator {
        UnaryOperator::Plus
        | UnaryOperator::Minus
        | UnaryOperator::Not
        | UnaryOperator::BitwiseNot
        | UnaryOperator::PGAbs => Ok(()),
        other => Err(refused(&format!("the prefix operator {other}"), "Use a function.")),
    }
}

fn check_access(access: &AccessExpr) -> Result<(), Error> {
    match access {
        AccessExpr::Dot(_) | AccessExpr::Subscript(Subscript::Index { index: _ }) => Ok(()),
        AccessExpr::Subscript(Subscript::Slice { lower_bound: _, upper_bound: _, stride }) => {
            refuse_if(stride.is_some(), "a slice with a stride", "Use [from:to].")
        }
    }
}

/// Text is compared by its bytes, as `C` does.
fn check_collation(checker: &Checker<'_>, collation: &ObjectName) -> Result<(), Error> {
    let name = match collation.0.as_slice() {
        [name] => name.as_ident(),
        [schema, name] if schema.as_ident().is_some_and(is_pg_catalog) => name.as_ident(),
        _ => None,
    };
    let known = name.is_some_and(|name| ["default", "C", "POSIX", "ucs_basic"].contains(&name.value.as_str()));
    if known {
        return Ok(());
    }
    let error = Error::new(SqlState::UNDEFINED_OBJECT, "that collation does not exist")
        .with_hint("Text is compared by its bytes: COLLATE \"C\".");
    Err(checker.at(error, collation.span()))
}

/// A length or precision that a cast would have to apply, and that the planner drops, is refused.
fn check_type(data_type: &DataType) -> Result<(), Error> {
    match data_type {
        DataType::Nvarchar(Some(_)) | DataType::Char(_) | DataType::Character(_) => {
            Err(refused("a cast to text of a given length", "Cast to text, and use left(value, length)."))
        }
        DataType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            Err(refused("time with time zone", "Use timestamptz."))
        }
        DataType::Float(ExactNumberInfo::PrecisionAndScale(..))
        | DataType::Interval { fields: Some(_), .. }
        | DataType::Interval { precision: Some(_), .. } => {
            Err(refused("a cast to a type with these modifiers", "Leave the modifiers out."))
        }
        _ => Ok(()),
    }
}
