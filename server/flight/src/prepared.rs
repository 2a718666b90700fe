//! Prepared statements of one session, and the parameters bound to them.
//!
//! Invariant: handles are random and of this session only; their number is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use lakeward_base::SqlState;
use lakeward_engine::{Error, Prepared};
use parking_lot::Mutex;
use rand::RngCore;

use crate::status::{internal, unsupported};

/// Prepared statements of one session.
const MAX_PREPARED: usize = 1000;

/// A prepared statement with what is bound to it.
#[derive(Clone)]
pub(crate) struct Bound {
    /// The statement.
    pub(crate) prepared: Arc<Prepared>,
    /// Values of `$1`, `$2`, …
    pub(crate) parameters: Vec<ScalarValue>,
}

impl Bound {
    /// The same with values of the types that the statement takes.
    ///
    /// # Errors
    /// 08P01 unless every parameter has a value; 22P02 and 42804 where one is no value of its type.
    pub(crate) fn complete(self) -> Result<Self, Error> {
        let types = &self.prepared.parameter_types;
        let (wanted, bound) = (types.len(), self.parameters.len());
        if wanted == bound {
            let values = self.parameters.iter().zip(types).enumerate();
            let parameters = values.map(|(index, (value, data_type))| fitted(index, value, data_type));
            return Ok(Self { parameters: parameters.collect::<Result<_, _>>()?, prepared: self.prepared });
        }
        let message = format!("{bound} parameters are bound, but the statement takes {wanted}");
        Err(Error::new(SqlState::PROTOCOL_VIOLATION, message))
    }
}

/// A value as one of `data_type`. The cast's own error text would hold the value.
fn fitted(index: usize, value: &ScalarValue, data_type: &DataType) -> Result<ScalarValue, Error> {
    if value.data_type() == *data_type {
        return Ok(value.clone());
    }
    value.cast_to(data_type).map_err(|_| {
        let is_text = matches!(value.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let sqlstate = if is_text { SqlState::INVALID_TEXT_REPRESENTATION } else { SqlState::DATATYPE_MISMATCH };
        Error::new(sqlstate, format!("parameter ${} is no value of the type that the statement takes", index + 1))
    })
}

/// The prepared statements of one session.
#[derive(Default)]
pub(crate) struct PreparedStatements {
    by_handle: Mutex<HashMap<Vec<u8>, Bound>>,
}

impl PreparedStatements {
    /// Keeps a statement and answers its handle.
    ///
    /// # Errors
    /// 54000 where there are too many.
    pub(crate) fn add(&self, prepared: Arc<Prepared>) -> Result<Vec<u8>, Error> {
        let mut statements = self.by_handle.lock();
        if statements.len() >= MAX_PREPARED {
            let message = format!("a session has at most {MAX_PREPARED} prepared statements");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let handle = random_handle();
        statements.insert(handle.clone(), Bound { prepared, parameters: Vec::new() });
        Ok(handle)
    }

    /// The statement of a handle.
    ///
    /// # Errors
    /// 26000 where there is none.
    pub(crate) fn find(&self, handle: &[u8]) -> Result<Bound, Error> {
        self.by_handle.lock().get(handle).cloned().ok_or_else(unknown)
    }

    /// Binds values to a statement.
    ///
    /// # Errors
    /// 26000 where there is none.
    pub(crate) fn bind(&self, handle: &[u8], parameters: Vec<ScalarValue>) -> Result<(), Error> {
        self.by_handle.lock().get_mut(handle).ok_or_else(unknown)?.parameters = parameters;
        Ok(())
    }

    /// Forgets a statement; one that is unknown is none to forget.
    pub(crate) fn close(&self, handle: &[u8]) {
        self.by_handle.lock().remove(handle);
    }
}

fn unknown() -> Error {
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, "the prepared statement does not exist")
}

/// A handle that cannot be guessed.
pub(crate) fn random_handle() -> Vec<u8> {
    let mut handle = vec![0; 16];
    rand::rng().fill_bytes(&mut handle);
    handle
}

/// The values of the one row in `batches`.
///
/// # Errors
/// 0A000 where there is more than one row.
pub(crate) fn parameters(batches: &[RecordBatch]) -> Result<Vec<ScalarValue>, Error> {
    let mut rows = batches.iter().filter(|batch| batch.num_rows() > 0);
    let Some(batch) = rows.next() else { return Ok(Vec::new()) };
    if batch.num_rows() > 1 || rows.next().is_some() {
        return Err(unsupported("binding more than one row of parameters"));
    }
    values(batch, 0)
}

/// The values of one row.
///
/// # Errors
/// XX000 where the batch has no such row.
pub(crate) fn values(batch: &RecordBatch, row: usize) -> Result<Vec<ScalarValue>, Error> {
    let value = |column: &ArrayRef| ScalarValue::try_from_array(column, row).map_err(|_| internal());
    batch.columns().iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};
    use lakeward_base::Coded;

    use super::*;

    #[test]
    fn one_row_binds_and_two_do_not() {
        let batch = |ids: Vec<i32>| {
            let names = StringArray::from(vec!["a"; ids.len()]);
            RecordBatch::try_from_iter([
                ("1", Arc::new(Int32Array::from(ids)) as ArrayRef),
                ("2", Arc::new(names) as ArrayRef),
            ])
            .unwrap()
        };
        assert_eq!(parameters(&[]).unwrap(), vec![]);
        let one = parameters(&[batch(vec![]), batch(vec![7])]).unwrap();
        assert_eq!(one, vec![ScalarValue::Int32(Some(7)), ScalarValue::Utf8(Some("a".into()))]);
        for many in [vec![batch(vec![1, 2])], vec![batch(vec![1]), batch(vec![2])]] {
            assert_eq!(parameters(&many).unwrap_err().sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        }
    }
}
