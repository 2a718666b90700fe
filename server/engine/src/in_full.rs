//! What the audit is told of a request in full: its text and its parameters' values.
//!
//! Invariant: they are handed to the audit, which seals them, and go nowhere else.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use lakeward_audit::{Asked, Audit, Received};

use crate::error::Error;
use crate::request::Request;
use crate::statement::InFull;

/// Values of parameters that are kept of one statement.
const MAX_PARAMETERS: usize = 10_000;

/// Tells the audit what was asked.
///
/// # Errors
/// 58030 where the audit's keys fail.
pub(crate) fn tell(audit: &mut Audit<Received>, in_full: &InFull, request: Option<&Request>) -> Result<(), Error> {
    let (parameters, more) = request.map(parameters).unwrap_or_default();
    let (sql, literals, more) = (in_full.text.expose(), in_full.literals.expose(), more || in_full.more);
    let asked = Asked { sql, literals, parameters: &parameters, more };
    audit.ask(&asked).map_err(|error| Error::from_coded(&error))
}

/// The values as text, in order; whether there are more.
fn parameters(request: &Request) -> (Vec<Option<String>>, bool) {
    let mut values: Vec<_> = request.parameters.iter().take(MAX_PARAMETERS).map(text).collect();
    let mut more = request.parameters.len() > MAX_PARAMETERS;
    for batch in &request.sets {
        let columns: Vec<_> = batch.columns().iter().map(|column| cast(column, &DataType::Utf8).ok()).collect();
        for row in 0..batch.num_rows() {
            if values.len() + columns.len() > MAX_PARAMETERS {
                return (values, true);
            }
            for column in &columns {
                more |= column.is_none();
                let column = column.as_ref().map(|column| column.as_string::<i32>());
                let filled = column.filter(|column| !arrow::array::Array::is_null(*column, row));
                values.push(filled.map(|column| column.value(row).to_owned()));
            }
        }
    }
    (values, more)
}

fn text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.clone(),
        ScalarValue::Int16(Some(number)) => Some(number.to_string()),
        ScalarValue::Int32(Some(number)) => Some(number.to_string()),
        ScalarValue::Int64(Some(number)) => Some(number.to_string()),
        value if value.is_null() => None,
        value => match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(text)) => text,
            // Bytes that are no text.
            _ => Some(value.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_as_they_are_meant() {
        for (value, expected) in [
            (ScalarValue::Utf8(Some("412-68-1073".into())), Some("412-68-1073")),
            (ScalarValue::Int64(Some(-5)), Some("-5")),
            (ScalarValue::Decimal128(Some(1750), 10, 2), Some("17.50")),
            (ScalarValue::Date32(Some(3653)), Some("1980-01-02")),
            (ScalarValue::Boolean(Some(true)), Some("true")),
            (ScalarValue::Int64(None), None),
        ] {
            assert_eq!(text(&value).as_deref(), expected);
        }
    }
}
