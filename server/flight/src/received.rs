//! What a client sends by DoPut, as batches.
//!
//! Invariant: what is decoded has been bounded first: messages by the transport, here rows, cells and the bytes that
//! dictionaries, views and compressed buffers stand for, so that a short message cannot claim much memory. Whatever the decoder makes of
//! garbage, an error or a panic, is one answer: 08P01.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::MessageHeader;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use lakeward_base::SqlState;
use lakeward_engine::Error;
use tonic::{Code, Status};

use crate::status::{malformed, unsupported};

/// Values in one batch.
const MAX_CELLS: usize = 16 << 20;
/// Bytes that a column of a batch may stand for.
const MAX_COLUMN_BYTES: usize = 256 << 20;
/// Columns of what is sent.
const MAX_COLUMNS: usize = 4096;
/// Bytes of parameters of one DoPut.
const MAX_PARAMETER_BYTES: usize = 64 << 20;

/// Messages as they come from the network.
pub(crate) type Messages = BoxStream<'static, Result<FlightData, Status>>;

/// Rows on their way in, of one schema.
pub(crate) struct Incoming {
    /// The columns, in the types that [`batches`](Self::batches) have.
    pub(crate) schema: SchemaRef,
    /// The rows.
    pub(crate) batches: BoxStream<'static, Result<RecordBatch, Error>>,
}

/// Reads up to the schema; `None` where no data is sent at all, only the descriptor.
///
/// # Errors
/// 08P01 where it is no schema, 54000 where it has too many columns.
pub(crate) async fn open(first: FlightData, mut rest: Messages) -> Result<Option<Incoming>, Error> {
    let mut head = first;
    while head.data_header.is_empty() {
        match rest.next().await {
            Some(next) => head = next.map_err(|status| interrupted(&status))?,
            None => return Ok(None),
        }
    }
    let decoded = std::panic::catch_unwind(|| Schema::try_from(&head));
    let sent = decoded.ok().and_then(Result::ok).ok_or_else(|| malformed("the schema of the data"))?;
    if sent.fields().len() > MAX_COLUMNS {
        let message = format!("at most {MAX_COLUMNS} columns can be sent at once");
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    if sent.fields().iter().any(|field| holds_union(field.data_type())) {
        return Err(unsupported("a union"));
    }
    let schema = plain_schema(&sent);
    let messages = futures::stream::iter([Ok(head)]).chain(rest).map(|message| match message {
        Ok(message) => check_buffers(&message).map(|()| message).map_err(|status| FlightError::Tonic(Box::new(status))),
        Err(status) => Err(FlightError::Tonic(Box::new(status))),
    });
    let decoded = AssertUnwindSafe(FlightRecordBatchStream::new_from_flight_data(messages)).catch_unwind();
    let plain = Arc::clone(&schema);
    let batches = decoded.map(move |batch| match batch {
        Ok(Ok(batch)) => plain_batch(&batch, &plain),
        Ok(Err(FlightError::Tonic(status))) => Err(interrupted(&status)),
        Ok(Err(_)) | Err(_) => Err(malformed("the data")),
    });
    // The decoder must not be asked again once it has failed.
    Ok(Some(Incoming { schema, batches: until_error(batches).boxed() }))
}

/// All rows of parameters that a DoPut sends; `None` where it has no parameters to send, not even their columns.
///
/// # Errors
/// As for [`open`]; 54000 where there is too much.
pub(crate) async fn parameters(first: FlightData, rest: Messages) -> Result<Option<Vec<RecordBatch>>, Error> {
    let Some(mut incoming) = open(first, rest).await? else { return Ok(None) };
    let (mut sets, mut bytes, mut cells) = (Vec::new(), 0_usize, 0_usize);
    while let Some(batch) = incoming.batches.try_next().await? {
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        cells = cells.saturating_add(batch.num_rows().saturating_mul(batch.num_columns().max(1)));
        if bytes > MAX_PARAMETER_BYTES || cells > MAX_CELLS {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many rows of parameters")
                .with_hint("Send them in several calls, or load them with CommandStatementIngest."));
        }
        sets.push(batch);
    }
    Ok((!incoming.schema.fields().is_empty()).then_some(sets))
}

/// Refuses what the decoder would believe: a buffer that lies outside its message, for which it panics, and a compressed
/// one that says it is longer than anything that is taken, for which it asks for as much memory.
fn check_buffers(message: &FlightData) -> Result<(), Status> {
    let wrong = || Status::invalid_argument("");
    let check = || -> Option<Result<(), Status>> {
        let header = arrow::ipc::root_as_message(&message.data_header).ok()?;
        let batch = match header.header_type() {
            MessageHeader::RecordBatch => header.header_as_record_batch()?,
            MessageHeader::DictionaryBatch => header.header_as_dictionary_batch()?.data()?,
            _ => return None,
        };
        let mut claimed = 0_usize;
        for buffer in batch.buffers()? {
            let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
            let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
            let Some(bytes) = range.and_then(|range| message.data_body.get(range)) else { return Some(Err(wrong())) };
            if let (Some(_), Some(length)) = (batch.compression(), bytes.first_chunk::<8>()) {
                // -1 stands for bytes that are not compressed.
                claimed = claimed.saturating_add(usize::try_from(i64::from_le_bytes(*length)).unwrap_or(0));
            }
        }
        Some(if claimed > MAX_COLUMN_BYTES { Err(Status::resource_exhausted("")) } else { Ok(()) })
    };
    // A header that cannot be read is for the decoder to refuse.
    check().unwrap_or(Ok(()))
}

fn until_error<T>(stream: impl Stream<Item = Result<T, Error>>) -> impl Stream<Item = Result<T, Error>> {
    stream.scan(false, |failed, item| {
        let ended = std::mem::replace(failed, item.is_err());
        std::future::ready((!ended).then_some(item))
    })
}

/// The client went away, or its transport refused a message.
fn interrupted(status: &Status) -> Error {
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => {
            Error::new(SqlState::QUERY_CANCELED, "the client stopped sending before its end")
        }
        Code::OutOfRange | Code::ResourceExhausted => {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a message is too long").with_hint("Send smaller batches.")
        }
        _ => malformed("the data"),
    }
}

/// Whether a type has a union in it, which no column here is, and which the decoder does not check.
fn holds_union(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _)
        | DataType::RunEndEncoded(_, item) => holds_union(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_union(field.data_type())),
        DataType::Dictionary(_, values) => holds_union(values),
        _ => false,
    }
}

/// The columns once dictionaries are their values and views plain text and bytes.
fn plain_schema(sent: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), plain_type(field.data_type()), true);
    Arc::new(Schema::new(sent.fields().iter().map(field).collect::<Vec<_>>()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other.clone(),
    }
}

fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let cells = batch.num_rows().checked_mul(batch.num_columns().max(1));
    if cells.is_none_or(|cells| cells > MAX_CELLS) {
        return Err(too_large());
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if stands_for(column).is_none_or(|bytes| bytes > MAX_COLUMN_BYTES) {
            return Err(too_large());
        }
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let plain = std::panic::catch_unwind(AssertUnwindSafe(|| cast(column, field.data_type())));
        plain.ok().and_then(Result::ok).ok_or_else(|| malformed("a column of the data"))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, Error>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|_| malformed("the data"))
}

fn too_large() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a batch holds too much").with_hint("Send smaller batches.")
}

/// How many bytes the values of a column are when each is written out; `None` where that is more than can be counted.
fn stands_for(column: &ArrayRef) -> Option<usize> {
    match column.data_type() {
        DataType::Utf8View => sum(column.as_string_view().views().iter().map(|view| *view as u32)),
        DataType::BinaryView => sum(column.as_binary_view().views().iter().map(|view| *view as u32)),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary_opt()?;
            column.len().checked_mul(largest(dictionary.values())?)
        }
        // How long its runs are is for the cast to find out; each value may be the longest.
        DataType::RunEndEncoded(..) => column.len().checked_mul(column.get_array_memory_size()),
        _ => Some(column.get_array_memory_size()),
    }
}

fn sum(lengths: impl Iterator<Item = u32>) -> Option<usize> {
    lengths.map(|length| length as usize).try_fold(0_usize, usize::checked_add)
}

/// The length of the longest of a dictionary's values.
fn largest(values: &ArrayRef) -> Option<usize> {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| Some(lengths.max().unwrap_or(0));
    match values.data_type() {
        DataType::Utf8 => longest(&mut values.as_string::<i32>().offsets().lengths()),
        DataType::LargeUtf8 => longest(&mut values.as_string::<i64>().offsets().lengths()),
        DataType::Binary => longest(&mut values.as_binary::<i32>().offsets().lengths()),
        DataType::LargeBinary => longest(&mut values.as_binary::<i64>().offsets().lengths()),
        data_type => match data_type.primitive_width() {
            Some(width) => Some(width),
            None => Some(values.get_array_memory_size()),
        },
    }
}
