//! Records to rows: one JSON object each, by the column names of the stream's table.
//!
//! All records of an epoch are read at once, as texts (arrow-json keeps a number's digits), and each column is then read
//! from its texts by its own type. So a wrong value costs nothing but its own record, and the reason names the column.
//! Only where a record is no JSON object at all is each record of the batch read alone.
//!
//! Invariants: a record becomes one row or one dead letter; a reason holds no value; decoding is a pure function.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_json::ReaderBuilder;

use crate::error::StreamError;
use crate::source::Record;

mod column;

/// Where a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The partition of its record.
    pub partition: u32,
    /// The record's number there.
    pub offset: u64,
}

/// Rows of a stream, and where each comes from.
#[derive(Clone)]
pub struct Rows {
    /// The rows.
    pub batch: RecordBatch,
    /// One for each row.
    pub origins: Vec<Origin>,
}

/// A record that could not become a row.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stands in its source.
    pub origin: Origin,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Why it is no row; names columns, never values.
    pub reason: String,
}

/// What became of records.
pub struct Decoded {
    /// The rows, in the order of their records.
    pub rows: Rows,
    /// The records that are no rows.
    pub dead: Vec<DeadLetter>,
}

/// Reads the records of one stream.
#[derive(Debug, Clone)]
pub struct Decoder {
    schema: SchemaRef,
    texts: SchemaRef,
    limit_bytes: usize,
}

const NO_OBJECT: &str = "the record is not one JSON object, or has an object or array where the column is plain";

impl Decoder {
    /// A decoder for a stream's columns. Records of more than `limit_bytes` are dead letters.
    ///
    /// # Errors
    /// [`StreamError::UnsupportedType`] for columns that are not boolean, number, text, date or timestamp.
    pub fn new(schema: SchemaRef, limit_bytes: usize) -> Result<Self, StreamError> {
        for field in schema.fields() {
            column::supported(field)?;
        }
        let texts = schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
        let texts = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
        Ok(Self { schema, texts, limit_bytes })
    }

    /// The columns of the rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Reads records.
    ///
    /// # Errors
    /// None that depends on a record's content.
    pub fn decode(&self, records: &[Record]) -> Result<Decoded, StreamError> {
        let mut reasons: Vec<Option<String>> = vec![None; records.len()];
        for (record, reason) in records.iter().zip(&mut reasons) {
            if record.bytes.len() > self.limit_bytes {
                *reason = Some(format!("the record has more than {} bytes", self.limit_bytes));
            }
        }
        let texts = self.read_texts(records, &mut reasons)?;
        let alive = kept(&reasons);
        let mut wrong: Vec<Option<String>> = vec![None; alive.len()];
        let fields = self.schema.fields().iter().zip(texts.columns());
        let columns = fields.map(|(field, texts)| column::read(field, texts.as_string(), &mut wrong));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for (place, reason) in alive.iter().zip(&mut wrong) {
            if let Some(slot) = reasons.get_mut(*place) {
                *slot = reason.take();
            }
        }
        self.assemble(records, &alive, columns, reasons)
    }

    /// The texts of the records that have no reason against them, which get one where there are no texts.
    fn read_texts(&self, records: &[Record], reasons: &mut [Option<String>]) -> Result<RecordBatch, StreamError> {
        let alive = kept(reasons).into_iter().filter_map(|place| records.get(place));
        if let Some(batch) = self.read_together(&alive.collect::<Vec<_>>()) {
            return Ok(batch);
        }
        let mut batches = Vec::new();
        for (record, reason) in records.iter().zip(reasons).filter(|(_, reason)| reason.is_none()) {
            match self.read_together(&[record]) {
                Some(batch) => batches.push(batch),
                None => *reason = Some(NO_OBJECT.to_owned()),
            }
        }
        Ok(arrow::compute::concat_batches(&self.texts, &batches)?)
    }

    /// The texts of records each of which is one object; `None` where one is not.
    fn read_together(&self, records: &[&Record]) -> Option<RecordBatch> {
        // One more than there should be, so that a record of two objects is seen.
        let builder = ReaderBuilder::new(Arc::clone(&self.texts)).with_coerce_primitive(true);
        let mut decoder = builder.with_batch_size(records.len() + 1).build_decoder().ok()?;
        for (number, record) in (1..).zip(records) {
            // arrow-json reads `null` as a row without values.
            let object = record.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
            let read = decoder.decode(&record.bytes).ok()?;
            if !object || read != record.bytes.len() || decoder.len() != number || decoder.has_partial_record() {
                return None;
            }
        }
        match decoder.flush().ok()? {
            Some(batch) => Some(batch),
            None => Some(RecordBatch::new_empty(Arc::clone(&self.texts))),
        }
    }

    fn assemble(
        &self,
        records: &[Record],
        alive: &[usize],
        columns: Vec<ArrayRef>,
        mut reasons: Vec<Option<String>>,
    ) -> Result<Decoded, StreamError> {
        let good: BooleanArray =
            alive.iter().map(|place| Some(reasons.get(*place).is_some_and(Option::is_none))).collect();
        // Filtered before they are put together: columns that must be there have nulls where a row is bad.
        let columns = columns.iter().map(|column| filter(column, &good)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(good.true_count()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let mut rows = Rows { batch, origins: Vec::with_capacity(records.len()) };
        let mut dead = Vec::new();
        for (record, reason) in records.iter().zip(&mut reasons) {
            let origin = Origin { partition: record.partition, offset: record.offset };
            match reason.take() {
                None => rows.origins.push(origin),
                Some(reason) => dead.push(DeadLetter { origin, bytes: record.bytes.clone(), reason }),
            }
        }
        Ok(Decoded { rows, dead })
    }
}

/// The places without a reason.
fn kept(reasons: &[Option<String>]) -> Vec<usize> {
    reasons.iter().enumerate().filter(|(_, reason)| reason.is_none()).map(|(place, _)| place).collect()
}

/// A column's texts.
type Texts = StringArray;

#[cfg(test)]
mod tests;
