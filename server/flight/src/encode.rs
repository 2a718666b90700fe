//! Rows as Flight data: the schema message, then batches.
//!
//! Views are sent as plain text and binary, and dictionaries as their values: every client reads those. Invariant: a
//! batch that is sent has exactly the schema that was sent before it.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use lakeward_engine::Error;
use tonic::Status;

use crate::status::{in_stream, internal, out_of_stream};

/// What DoGet answers.
pub(crate) type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// `schema` as it is sent.
pub(crate) fn wire_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(wire_field).collect::<Vec<_>>()))
}

fn wire_field(field: &FieldRef) -> FieldRef {
    // Always nullable: what a plan knows of NULLs is not the same before and after it is optimised, and clients compare.
    Arc::new(Field::new(field.name(), wire_type(field.data_type()), true))
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::List(item) | DataType::ListView(item) => DataType::List(wire_field(item)),
        // Sent as a list: arrow-flight's encoder says List in the schema message of either.
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::List(wire_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wire_field).collect()),
        other => other.clone(),
    }
}

/// `batch` with the columns of `schema`, which is what [`wire_schema`] makes of its own.
fn wire_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|_| internal())?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|_| internal())
}

/// Encodes batches of `schema`. A panic in them ends the stream with an internal error.
pub(crate) fn stream<S>(schema: &Schema, batches: S) -> FlightStream
where
    S: Stream<Item = Result<RecordBatch, Error>> + Send + 'static,
{
    let schema = wire_schema(schema);
    let wire = Arc::clone(&schema);
    encoded(schema, batches.and_then(move |batch| std::future::ready(wire_batch(&batch, &wire))))
}

fn encoded<S>(schema: SchemaRef, batches: S) -> FlightStream
where
    S: Stream<Item = Result<RecordBatch, Error>> + Send + 'static,
{
    let batches = batches.map_err(|error| in_stream(&error));
    let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    std::panic::AssertUnwindSafe(encoded)
        .catch_unwind()
        .map(|item| item.unwrap_or_else(|_| Err(in_stream(&internal()))))
        .map_err(out_of_stream)
        .boxed()
}

/// An answer about metadata, under the very schema that the specification gives it: drivers compare nullability too.
pub(crate) fn metadata(batch: RecordBatch) -> FlightStream {
    encoded(batch.schema(), futures::stream::iter([Ok(batch)]))
}

/// No rows and no columns: what a statement without a result answers to DoGet.
pub(crate) fn nothing() -> FlightStream {
    stream(&Schema::empty(), futures::stream::empty())
}

/// `schema` in the form that messages carry.
///
/// # Errors
/// XX000 where it cannot be encoded.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Bytes, Error> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|IpcMessage(bytes)| bytes).map_err(|_| internal())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int32Array, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[tokio::test]
    async fn views_and_dictionaries_arrive_as_text() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("longer than twelve bytes"), None]));
        let words: DictionaryArray<Int32Type> = vec!["a", "b"].into_iter().collect();
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let batch =
            RecordBatch::try_from_iter([("v", views), ("d", Arc::new(words) as ArrayRef), ("n", numbers)]).unwrap();
        let rows = stream(&batch.schema(), futures::stream::iter([Ok(batch.clone())]));
        let data: Vec<FlightData> = rows.try_collect().await.unwrap();
        let data = futures::stream::iter(data.into_iter().map(Ok::<_, arrow_flight::error::FlightError>));
        let received = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(data);
        let received: Vec<RecordBatch> = received.try_collect().await.unwrap();
        assert_eq!(received.len(), 1);
        let text: Vec<_> = received[0].column(0).as_string::<i32>().iter().collect();
        assert_eq!(text, vec![Some("longer than twelve bytes"), None]);
        assert_eq!(received[0].column(1).as_string::<i32>().value(1), "b");
        assert_eq!(received[0].column(2).as_primitive::<Int32Type>().values(), &[1, 2]);
    }

    #[tokio::test]
    async fn an_error_in_the_middle_keeps_its_code() {
        let batch = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
        let schema = batch.schema();
        let error = Error::new(lakeward_base::SqlState::DIVISION_BY_ZERO, "division by zero");
        let items: Vec<_> = stream(&schema, futures::stream::iter([Ok(batch), Err(error)])).collect().await;
        let status = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "division by zero"));
        assert_eq!(status.metadata().get("sqlstate").unwrap(), "22012");
    }
}
