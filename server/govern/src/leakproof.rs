//! Which predicates may be evaluated on rows that the principal must not see.
//!
//! A predicate that runs below the barrier can tell of hidden rows by failing, or by what it logs. The list names the
//! few forms that cannot: a column that shows its raw value, compared with literals by operators that never fail.
//!
//! Invariant: by allow-list; whatever is not recognised stays above the barrier.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion_physical_expr::utils::collect_columns;

use crate::access::{Access, TableDecision};
use crate::mapping::probed;

/// The columns of a table that a predicate may name, with their types.
pub(crate) struct Columns<'a> {
    decision: &'a TableDecision,
    masked_too: bool,
}

impl<'a> Columns<'a> {
    /// Those whose raw values are shown: for a user's predicate.
    #[must_use]
    pub(crate) fn shown(decision: &'a TableDecision) -> Self {
        Self { decision, masked_too: false }
    }

    /// All of them: for a policy's own predicate.
    fn all(decision: &'a TableDecision) -> Self {
        Self { decision, masked_too: true }
    }

    fn data_type(&self, name: &str) -> Option<&DataType> {
        let (index, field) = self.decision.schema.column_with_name(name)?;
        let may = self.masked_too || self.decision.passes_through(index);
        (may && is_leakproof_type(field.data_type())).then(|| field.data_type())
    }
}

/// Whether a user's predicates may go below the barrier at all.
///
/// A row policy that fails on a hidden row fails the statement. If a predicate could keep that row from being read, then
/// which predicates make the statement fail would tell of the row's values: such a policy sees every row first.
#[must_use]
pub(crate) fn takes_predicates(decision: &TableDecision) -> bool {
    match &decision.access {
        Access::Governed { row_filter: Some(policy), .. } => is_leakproof(policy, &Columns::all(decision)),
        Access::Governed { row_filter: None, .. } | Access::Open => true,
    }
}

/// Whether `predicate`, as coerced and simplified by the user's planner, may be evaluated on hidden rows.
///
/// Columns are looked up by name; the caller hands over only predicates on this one table.
#[must_use]
pub(crate) fn is_leakproof(predicate: &Expr, columns: &Columns<'_>) -> bool {
    let mut pending = vec![predicate];
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
                pending.extend([binary.left.as_ref(), binary.right.as_ref()]);
            }
            Expr::Not(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner) => {
                pending.push(inner);
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) if operand(inner, columns).is_none() => pending.push(inner),
            leaf if is_leakproof_leaf(leaf, columns) => {}
            _ => return false,
        }
    }
    true
}

fn is_leakproof_leaf(expr: &Expr, columns: &Columns<'_>) -> bool {
    match expr {
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
            compares(&binary.left, [binary.right.as_ref()], columns)
                || compares(&binary.right, [binary.left.as_ref()], columns)
        }
        Expr::Between(between) => compares(&between.expr, [between.low.as_ref(), between.high.as_ref()], columns),
        Expr::InList(list) => compares(&list.expr, &list.list, columns),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => operand(inner, columns).is_some(),
        // `flag` stands for `flag = TRUE`, which the simplifier makes of it.
        Expr::Column(_) => operand(expr, columns) == Some(&DataType::Boolean),
        Expr::Literal(value, _) => matches!(value, ScalarValue::Boolean(_) | ScalarValue::Null),
        // Only a policy has these. What can fail in one fails before the first row is looked at.
        _ => probed(expr).is_some_and(|(_, arguments)| {
            let is_plain =
                |argument: &Expr| operand(argument, columns).is_some() || matches!(argument, Expr::Literal(..));
            columns.masked_too && arguments.iter().all(is_plain)
        }),
    }
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Whether `column` is a leakproof operand, and each of `values` a literal of exactly its type, so that no further
/// cast is put in between.
fn compares<'e>(column: &'e Expr, values: impl IntoIterator<Item = &'e Expr>, columns: &'e Columns<'_>) -> bool {
    let Some(expected) = operand(column, columns) else { return false };
    values.into_iter().all(|value| matches!(value, Expr::Literal(literal, _) if literal.data_type() == *expected))
}

/// The type of a pass-through column, or of an infallible, widening cast of one.
fn operand<'e>(expr: &'e Expr, columns: &'e Columns<'_>) -> Option<&'e DataType> {
    match expr {
        Expr::Column(column) => columns.data_type(&column.name),
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Column(column) => {
                let to = cast.field.data_type();
                widens(columns.data_type(&column.name)?, to).then_some(to)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Types whose comparison never fails and reads nothing but the row's own value. Dictionaries are out: their values
/// are compared whether a visible row has them or not.
#[must_use]
pub(crate) fn is_leakproof_type(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || data_type.is_decimal()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(..)
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
        )
}

/// Whether every value of `from` has a place in `to`, so that the cast cannot fail.
fn widens(from: &DataType, to: &DataType) -> bool {
    if from == to {
        return true;
    }
    if let (Some(from), Some(to)) = (integer_range(from), integer_range(to)) {
        return to.0 <= from.0 && from.1 <= to.1;
    }
    match (from, to) {
        (DataType::Float16, DataType::Float32 | DataType::Float64) | (DataType::Float32, DataType::Float64) => true,
        // One text in another layout.
        (DataType::Utf8 | DataType::Utf8View, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => true,
        (from, DataType::Float64) => {
            integer_range(from).is_some_and(|(low, high)| low >= -(1 << 53) && high <= 1 << 53)
        }
        (DataType::Decimal128(from_precision, from_scale), DataType::Decimal128(precision, scale)) => {
            scale >= from_scale
                && i16::from(*precision) - i16::from(*scale) >= i16::from(*from_precision) - i16::from(*from_scale)
        }
        _ => false,
    }
}

fn integer_range(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// Whether a physical filter from above may be forwarded below: a dynamic filter (of a join, TopK or aggregate) over
/// nothing but pass-through columns of leakproof types. `shows_raw` tells of an output column whether it passes through.
pub(crate) fn is_forwardable(
    filter: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    shows_raw: impl Fn(usize) -> bool,
) -> bool {
    let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() else { return false };
    let allowed = |column: &Column| {
        shows_raw(column.index())
            && schema.fields().get(column.index()).is_some_and(|field| is_leakproof_type(field.data_type()))
    };
    // What the filter will become at run time is made of its children, so they must be the columns themselves.
    let children = dynamic.children();
    let Ok(current) = dynamic.current() else { return false };
    !children.is_empty()
        && children.iter().all(|child| child.downcast_ref::<Column>().is_some_and(allowed))
        && collect_columns(&current).iter().all(allowed)
}

#[cfg(test)]
#[path = "leakproof_tests.rs"]
mod tests;
