//! COPY on the wire: rows out in one of its forms, rows in from one.
//!
//! Rows out go the way of a query's ([`Rows`]); rows in are parsed as they arrive, a batch at a time, and handed to the
//! engine. Invariant: memory is bounded by one line, one batch and one message; no error holds anything of the data.

mod binary;
mod columns;
mod decode;
mod encode;
mod fields;
mod lines;
#[cfg(test)]
mod tests;

use lakeward_base::SqlState;
use lakeward_engine::{CopyOptions, CopyStyle, CopyWriter, Error, RowStream};

use crate::connection::Connection;
use crate::error::PgError;
use crate::message::Reader;
use crate::portal::{Encoder, Rows, tag_text};
use crate::reply::{self, Direction};
use crate::types::{Formats, describe};
use crate::wire::Fault;
pub(crate) use decode::Decoder;
pub(crate) use encode::CopyEncoder;

impl Connection {
    /// Sends rows as COPY's data; where it `ends` a text, the text's transaction is committed before that is told.
    pub(crate) async fn copy_out(&mut self, stream: RowStream, options: &CopyOptions, ends: bool) -> Result<(), Fault> {
        let schema = std::sync::Arc::clone(stream.schema());
        describe(&schema, &Formats::default())?;
        let is_binary = options.style == CopyStyle::Binary;
        reply::copy(&mut self.wire.out, Direction::Out, is_binary, schema.fields().len())?;
        let mut encoder = CopyEncoder::new(options, &schema, self.zone())?;
        encoder.begin(&schema, &mut self.wire.out)?;
        let mut rows = Rows::new(stream, Encoder::Copy(encoder));
        let sent = rows.send(&mut self.wire, 0).await?;
        rows.end(&mut self.wire.out)?;
        reply::copy_done(&mut self.wire.out)?;
        let tag = tag_text(rows.tag(), sent.rows);
        drop(rows);
        self.end_text(ends).await?;
        Ok(reply::command_complete(&mut self.wire.out, &tag)?)
    }

    /// Takes rows from the client, and writes them when it has sent all.
    pub(crate) async fn copy_in(&mut self, mut writer: CopyWriter, ends: bool) -> Result<(), Fault> {
        match self.take_rows(&mut writer).await {
            Ok(()) => {
                let finishing = Box::pin(writer.finish());
                let command = self.wire.watch(finishing).await??;
                self.end_text(ends).await?;
                self.report(&command)
            }
            Err(fault) => {
                if let Fault::Failed(error) | Fault::Fatal(error) = &fault {
                    writer.fail(error);
                }
                Err(fault)
            }
        }
    }

    async fn take_rows(&mut self, writer: &mut CopyWriter) -> Result<(), Fault> {
        let is_binary = writer.options().style == CopyStyle::Binary;
        let mut decoder = Decoder::new(writer.options(), writer.columns(), writer.table(), self.zone())?;
        reply::copy(&mut self.wire.out, Direction::In, is_binary, writer.columns().fields().len())?;
        self.wire.flush().await?;
        loop {
            let received = tokio::select! {
                biased;
                error = writer.interrupted() => return Err(error.into()),
                received = self.receive() => received?,
            };
            let Some(frame) = received else { return Err(Fault::Gone) };
            match frame.tag {
                b'd' => decoder.push(&frame.body)?,
                b'c' => decoder.end(),
                b'f' => return Err(failed(Reader(frame.body).text()?)),
                // Clients may send these at any time.
                b'H' | b'S' => continue,
                b'X' => return Err(Fault::Gone),
                other => return Err(Fault::Failed(unexpected(other))),
            }
            while let Some(batch) = decoder.next_batch()? {
                self.wire.watch(writer.write(batch)).await??;
            }
            if frame.tag == b'c' {
                return Ok(());
            }
        }
    }
}

/// CopyFail. What the client says of it is its own.
fn failed(reason: String) -> Fault {
    let reason: String = reason.chars().filter(|character| !character.is_control()).take(200).collect();
    Fault::Failed(Error::new(SqlState::QUERY_CANCELED, format!("COPY from stdin failed: {reason}")))
}

fn unexpected(tag: u8) -> Error {
    let message = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

impl From<Error> for PgError {
    fn from(error: Error) -> Self {
        Self::Value(Box::new(error))
    }
}
