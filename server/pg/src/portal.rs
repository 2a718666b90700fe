//! Prepared statements, portals, and the sending of a portal's rows.
//!
//! Invariant: rows go to the client as they come. The send buffer holds no more than one piece, or one row; nothing
//! is asked of the engine while the client does not read.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::ScalarValue;
use futures::{FutureExt, StreamExt};
use lakeward_engine::{Prepared, RowStream, RowTag};

use crate::copy::CopyEncoder;
use crate::error::PgError;
use crate::rows::RowEncoder;
use crate::types::Formats;
use crate::wire::{FLUSH_BYTES, Fault, Wire};

/// A prepared statement.
pub(crate) struct Statement {
    pub(crate) prepared: Arc<Prepared>,
    /// Parameter types as described to the client.
    pub(crate) oids: Vec<u32>,
}

/// A statement with its parameters, which can be run once.
pub(crate) struct Portal {
    pub(crate) statement: Arc<Statement>,
    pub(crate) formats: Formats,
    pub(crate) state: State,
}

/// How far a portal is.
pub(crate) enum State {
    /// Not run yet.
    Bound(Vec<ScalarValue>),
    /// Some rows are sent.
    Suspended(Box<Rows>),
    /// All rows are sent.
    RowsDone(RowTag),
    /// It returned no rows, or failed.
    Done,
}

/// How rows are written.
pub(crate) enum Encoder {
    /// As DataRow messages.
    Rows(RowEncoder),
    /// As COPY's data.
    Copy(CopyEncoder),
}

impl Encoder {
    fn encode(
        &mut self,
        batch: &RecordBatch,
        first: usize,
        end: usize,
        enough_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, PgError> {
        match self {
            Self::Rows(encoder) => encoder.encode(batch, first, end, enough_bytes, out),
            Self::Copy(encoder) => encoder.encode(batch, first, end, enough_bytes, out),
        }
    }
}

/// Rows on their way.
pub(crate) struct Rows {
    stream: RowStream,
    encoder: Encoder,
    /// A batch of which some rows are sent, and the first that is not.
    rest: Option<(RecordBatch, usize)>,
}

/// What came of sending rows.
pub(crate) struct Sent {
    /// Rows sent this time.
    pub(crate) rows: u64,
    /// There are no more.
    pub(crate) finished: bool,
}

impl Rows {
    pub(crate) fn new(stream: RowStream, encoder: Encoder) -> Self {
        Self { stream, encoder, rest: None }
    }

    /// What ends COPY's data, once all rows are sent.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), PgError> {
        match &mut self.encoder {
            Encoder::Copy(encoder) => encoder.end(out),
            Encoder::Rows(_) => Ok(()),
        }
    }

    /// The kind of command tag.
    pub(crate) fn tag(&self) -> RowTag {
        self.stream.tag()
    }

    /// Sends rows, at most `limit` of them (0: all).
    pub(crate) async fn send(&mut self, wire: &mut Wire, limit: usize) -> Result<Sent, Fault> {
        if self.rest.is_some() {
            wire.watch(self.stream.recheck()).await??;
        }
        let mut left = if limit == 0 { usize::MAX } else { limit };
        let mut rows = 0u64;
        loop {
            let (batch, first) = match self.rest.take() {
                Some(rest) => rest,
                None => match self.next_batch(wire).await? {
                    Some(batch) => (batch, 0),
                    None => return Ok(Sent { rows, finished: true }),
                },
            };
            let end = batch.num_rows().min(first.saturating_add(left));
            self.send_batch(wire, &batch, first, end).await?;
            rows += u64::try_from(end - first).unwrap_or(0);
            left -= end - first;
            if end < batch.num_rows() {
                self.rest = Some((batch, end));
            }
            if left == 0 {
                return Ok(Sent { rows, finished: false });
            }
        }
    }

    /// The next batch. What is in the send buffer is sent before the engine is waited for.
    async fn next_batch(&mut self, wire: &mut Wire) -> Result<Option<RecordBatch>, Fault> {
        let next = match self.stream.next().now_or_never() {
            Some(next) => next,
            None => {
                wire.flush().await?;
                wire.watch(self.stream.next()).await?
            }
        };
        Ok(next.transpose()?)
    }

    async fn send_batch(
        &mut self,
        wire: &mut Wire,
        batch: &RecordBatch,
        first: usize,
        end: usize,
    ) -> Result<(), Fault> {
        let mut row = first;
        while row < end {
            row = self.encoder.encode(batch, row, end, FLUSH_BYTES, &mut wire.out)?;
            if wire.out.len() >= FLUSH_BYTES {
                wire.flush().await?;
            }
        }
        Ok(())
    }
}

/// The command tag after rows.
pub(crate) fn tag_text(tag: RowTag, rows: u64) -> String {
    match tag {
        RowTag::Select => format!("SELECT {rows}"),
        RowTag::Show => "SHOW".to_owned(),
        RowTag::Explain => "EXPLAIN".to_owned(),
        RowTag::Copy => format!("COPY {rows}"),
        RowTag::Fetch => format!("FETCH {rows}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoder, Rows, tag_text};
    use crate::rows::{RowEncoder, Zone};
    use crate::types::Formats;
    use crate::wire::{Fault, Wire};
    use arrow::array::{Int32Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use futures::StreamExt;
    use lakeward_engine::{RowStream, RowTag};
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;

    fn rows(
        batches: usize,
        rest: futures::stream::BoxStream<'static, Result<RecordBatch, lakeward_engine::Error>>,
    ) -> Rows {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int32Array::from_iter_values(0..10))]).unwrap();
        let all = futures::stream::iter((0..batches).map(move |_| Ok(batch.clone()))).chain(rest);
        let stream = RowStream::new(schema, RowTag::Select, all.boxed());
        Rows::new(stream, Encoder::Rows(RowEncoder::new(Formats::default(), Zone::UTC)))
    }

    #[tokio::test]
    async fn a_limit_suspends_and_resumes() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let mut wire = Wire::new(Box::new(server), 64);
        let mut rows = rows(2, futures::stream::empty().boxed());
        let mut seen = Vec::new();
        for _ in 0..4 {
            let sent = rows.send(&mut wire, 7).await.map_err(|_| "fault").unwrap();
            seen.push((sent.rows, sent.finished));
        }
        assert_eq!(seen, [(7, false), (7, false), (6, true), (0, true)]);
        assert_eq!(tag_text(rows.tag(), 6), "SELECT 6");
        assert_eq!(wire.out.iter().filter(|byte| **byte == b'D').count(), 20);
        drop(client);
    }

    #[tokio::test]
    async fn a_batch_is_sent_before_the_next_one_is_waited_for() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut wire = Wire::new(Box::new(server), 64);
        let mut rows = rows(1, futures::stream::pending().boxed());
        let reader = async {
            let mut first = [0; 12];
            client.read_exact(&mut first).await.unwrap();
            drop(client);
            first
        };
        let (sent, first) = tokio::join!(rows.send(&mut wire, 0), reader);
        assert_eq!(&first, b"D\0\0\0\x0b\0\x01\0\0\0\x010");
        assert!(matches!(sent, Err(Fault::Gone)), "the client's going away ends the statement");
    }
}
