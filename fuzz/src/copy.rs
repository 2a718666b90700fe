//! COPY's decoder: the adapter's own files.

#[path = "../../server/pg/src/copy/binary.rs"]
mod binary;
#[path = "../../server/pg/src/copy/columns.rs"]
mod columns;
#[path = "../../server/pg/src/copy/decode.rs"]
mod decode;
#[path = "../../server/pg/src/copy/fields.rs"]
mod fields;
#[path = "../../server/pg/src/copy/lines.rs"]
mod lines;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lakeward_engine::CopyOptions;

use crate::rows::Zone;

/// What came of some data: the rows, or the error's code.
pub(crate) fn read(options: &Arc<CopyOptions>, schema: &SchemaRef, pieces: &[&[u8]]) -> Result<usize, String> {
    use lakeward_base::Coded;
    let mut decoder = decode::Decoder::new(options, schema, "t", Zone::UTC).map_err(|error| error.to_string())?;
    let mut rows = 0;
    let told = |error: lakeward_engine::Error| error.sqlstate().as_str().to_owned();
    for piece in pieces {
        decoder.push(piece).map_err(told)?;
        while let Some(batch) = decoder.next_batch().map_err(told)? {
            rows += batch.num_rows();
        }
    }
    decoder.end();
    while let Some(batch) = decoder.next_batch().map_err(told)? {
        rows += batch.num_rows();
    }
    Ok(rows)
}

impl From<lakeward_engine::Error> for crate::error::PgError {
    fn from(error: lakeward_engine::Error) -> Self {
        Self::Value(Box::new(error))
    }
}
