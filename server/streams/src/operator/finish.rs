//! The last step of a view that keeps rows by key: which of them are shown (HAVING), and what of them (the select list).

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::SchemaRef;

use crate::definition::Expr;
use crate::error::StreamError;

/// A filter and a select list.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Which rows are shown; `None`: all.
    pub filter: Option<Expr>,
    /// The view's columns.
    pub columns: Vec<Expr>,
    /// Their names and types.
    pub schema: SchemaRef,
}

impl Finish {
    /// The rows that are shown, and for each which one of `batch` it is.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<u32>), StreamError> {
        let count = u32::try_from(batch.num_rows()).map_err(|_| StreamError::Definition { why: "too many rows" })?;
        let Some(filter) = &self.filter else {
            return Ok((self.columns(batch)?, (0..count).collect()));
        };
        let shown = filter.evaluate(batch)?.into_array(batch.num_rows())?;
        let shown = shown.as_boolean_opt().ok_or(StreamError::Definition { why: "a predicate is not boolean" })?;
        let places = shown.iter().zip(0_u32..).filter_map(|(shown, place)| (shown == Some(true)).then_some(place));
        let places: Vec<u32> = places.collect();
        let kept = take_record_batch(batch, &UInt32Array::from(places.clone()))?;
        Ok((self.columns(&kept)?, places))
    }

    fn columns(&self, batch: &RecordBatch) -> Result<RecordBatch, StreamError> {
        let columns = self.columns.iter().zip(self.schema.fields()).map(|(expr, field)| {
            let array = expr.evaluate(batch)?.into_array(batch.num_rows())?;
            // Functions may answer text as a view of bytes; a stream keeps one kind of text.
            if array.data_type() == field.data_type() { Ok(array) } else { Ok(cast(&array, field.data_type())?) }
        });
        let columns = columns.collect::<Result<_, StreamError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
