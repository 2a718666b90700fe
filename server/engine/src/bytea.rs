//! Text to bytes and back, as PostgreSQL reads and writes `bytea`.
//!
//! The planner's own casts take the text's bytes as they are. Invariant: no plan that is run casts between text and
//! bytes any other way; what cannot be read is an error that does not say it again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use lakeward_base::SqlState;

use crate::error::Error;

/// The plan with every cast between text and bytes done as PostgreSQL does it.
pub(crate) fn converted(plan: LogicalPlan) -> Result<LogicalPlan> {
    let converted = plan.transform_up_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        node.inputs().iter().for_each(|input| schema.merge(input.schema()));
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|part| Ok(replace(part, &schema)))?;
            Ok(replaced.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(converted.data)
}

fn replace(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let is = |expr: &Expr, kind: fn(&DataType) -> bool| expr.get_type(schema).is_ok_and(|found| kind(&found));
    match expr {
        Expr::Cast(cast) if is_bytes(cast.field.data_type()) && is(&cast.expr, is_text) => {
            Transformed::yes(call_for(Way::Read, *cast.expr, cast.field))
        }
        Expr::Cast(cast) if is_text(cast.field.data_type()) && is(&cast.expr, is_bytes) => {
            Transformed::yes(call_for(Way::Write, *cast.expr, cast.field))
        }
        // A literal beside bytes is bytes: `digest = '\x01'`.
        Expr::BinaryExpr(mut binary) if is_comparison(binary.op) => {
            let (left, right) = (binary.left.as_mut(), binary.right.as_mut());
            let literal = if is(left, is_bytes) {
                right
            } else if is(right, is_bytes) {
                left
            } else {
                return Transformed::no(Expr::BinaryExpr(binary));
            };
            if !matches!(literal, Expr::Literal(ScalarValue::Utf8(_), _)) {
                return Transformed::no(Expr::BinaryExpr(binary));
            }
            *literal = call(Way::Read, std::mem::take(literal));
            Transformed::yes(Expr::BinaryExpr(binary))
        }
        other => Transformed::no(other),
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn call(way: Way, argument: Expr) -> Expr {
    ScalarUDF::from(Conversion { way, signature: Signature::any(1, Volatility::Immutable) }).call(vec![argument])
}

/// A call whose result has the type that the cast had: tables may keep bytes as views.
fn call_for(way: Way, argument: Expr, field: FieldRef) -> Expr {
    let called = call(way, argument);
    if matches!(field.data_type(), DataType::Binary | DataType::Utf8) {
        return called;
    }
    Expr::Cast(Cast { expr: Box::new(called), field })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Read,
    Write,
}

/// The conversion. No name leads to it: only [`converted`] puts it into plans.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Conversion {
    way: Way,
    signature: Signature,
}

impl ScalarUDFImpl for Conversion {
    fn name(&self) -> &str {
        match self.way {
            Way::Read => "byteain",
            Way::Write => "byteaout",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.way {
            Way::Read => DataType::Binary,
            Way::Write => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = arguments.args.first() else { return internal_err!("a conversion of nothing") };
        let constant = matches!(value, ColumnarValue::Scalar(_));
        let rows = if constant { 1 } else { arguments.number_rows };
        let array = value.to_array(rows)?;
        let converted = match self.way {
            Way::Read => read(&array)?,
            Way::Write => write(&array)?,
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?)
        } else {
            ColumnarValue::Array(converted)
        })
    }
}

fn read(array: &ArrayRef) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>().iter().map(|text| text.map(bytes_of).transpose());
    let read: std::result::Result<Vec<Option<Vec<u8>>>, Error> = texts.collect();
    let read = read.map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(Arc::new(read.into_iter().collect::<BinaryArray>()))
}

fn write(array: &ArrayRef) -> Result<ArrayRef> {
    let bytes = cast(array, &DataType::Binary)?;
    let texts = bytes.as_binary::<i32>().iter().map(|bytes| bytes.map(text_of));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

fn text_of(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

/// PostgreSQL's `byteain`.
pub(crate) fn bytes_of(text: &str) -> std::result::Result<Vec<u8>, Error> {
    match text.strip_prefix("\\x") {
        Some(digits) => from_hex(digits.as_bytes()),
        None => from_escaped(text.as_bytes()),
    }
}

/// White space may stand between two bytes, not within one.
fn from_hex(mut digits: &[u8]) -> std::result::Result<Vec<u8>, Error> {
    let invalid = |message| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let nibble = |digit: u8| {
        let value = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        value.ok_or_else(|| invalid("invalid hexadecimal digit"))
    };
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    loop {
        digits = match digits {
            [] => return Ok(bytes),
            [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] => rest,
            [high, low, rest @ ..] => {
                bytes.push(nibble(*high)? << 4 | nibble(*low)?);
                rest
            }
            [last] => {
                nibble(*last)?;
                return Err(invalid("invalid hexadecimal data: odd number of digits"));
            }
        };
    }
}

/// A backslash stands before itself or three octal digits.
fn from_escaped(mut text: &[u8]) -> std::result::Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return Ok(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => {
                let message = "invalid input syntax for type bytea";
                return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes_of, text_of};
    use lakeward_base::{Coded, SqlState};

    #[test]
    fn text_is_read_as_postgresql_reads_it() {
        let read = [
            ("\\x01", &[1_u8][..]),
            ("\\x01 fF\n0a", &[1, 255, 10]),
            ("\\x", &[]),
            ("", &[]),
            ("grü", "grü".as_bytes()),
            ("a\\\\b\\001c\\377", b"a\\b\x01c\xff"),
        ];
        for (text, bytes) in read {
            assert_eq!(bytes_of(text).unwrap(), bytes, "{text}");
        }
        let odd = (SqlState::INVALID_PARAMETER_VALUE, "invalid hexadecimal data: odd number of digits");
        let digit = (SqlState::INVALID_PARAMETER_VALUE, "invalid hexadecimal digit");
        let syntax = (SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
        let refused = [
            ("\\x0", odd),
            ("\\x0g", digit),
            ("\\xé0", digit),
            ("\\x4 1", digit),
            ("\\X01", syntax),
            ("a\\q", syntax),
            ("a\\01", syntax),
            ("a\\", syntax),
            ("\\400", syntax),
        ];
        for (text, (sqlstate, message)) in refused {
            let error = bytes_of(text).unwrap_err();
            assert_eq!((error.sqlstate(), error.message().as_str()), (sqlstate, message), "{text}");
        }
    }

    #[test]
    fn bytes_are_written_in_hex_and_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(text_of(&all[9..12]), "\\x090a0b");
        assert_eq!(bytes_of(&text_of(&all)).unwrap(), all);
    }
}
