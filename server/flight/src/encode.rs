//! Rows as Flight data: the schema message, then batches.
//!
//! Views are sent as plain text and binary, and dictionaries as their values: every client reads those. JSON, and structs and
//! maps, which are JSON to SQL, are Arrow's `arrow.json`, over text; a `uuid` is `arrow.uuid`. Invariant: a batch that is
//! sent has exactly the schema that was sent before it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, ListArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use lakeward_engine::{CatalogType, Error, catalog_type, json_texts};
use tonic::Status;

use crate::status::{in_stream, internal, out_of_stream};

/// Arrow's keys for extension types.
const EXTENSION_TYPE_NAME_KEY: &str = "ARROW:extension:name";
const EXTENSION_TYPE_METADATA_KEY: &str = "ARROW:extension:metadata";

const UUID_BYTES: i32 = 16;

/// What DoGet answers.
pub(crate) type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// `schema` as it is sent.
pub(crate) fn wire_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(wire_field).collect::<Vec<_>>()))
}

fn wire_field(field: &FieldRef) -> FieldRef {
    let nested = matches!(field.data_type(), DataType::Struct(_) | DataType::Map(..));
    let (data_type, extension) = match catalog_type(field) {
        Some(CatalogType::Json | CatalogType::Jsonb) => (DataType::Utf8, Some("arrow.json")),
        Some(CatalogType::Uuid) => (DataType::FixedSizeBinary(UUID_BYTES), Some("arrow.uuid")),
        Some(CatalogType::Oid | CatalogType::Function | CatalogType::Name | CatalogType::Char) | None => {
            (wire_type(field.data_type()), nested.then_some("arrow.json"))
        }
    };
    // Always nullable: what a plan knows of NULLs is not the same before and after it is optimised, and clients compare.
    let wire = Field::new(field.name(), data_type, true);
    Arc::new(match extension {
        Some(name) => wire.with_metadata(extended(name)),
        None => wire,
    })
}

fn extended(name: &str) -> HashMap<String, String> {
    let serialized = if name == "arrow.json" { "{}" } else { "" };
    [(EXTENSION_TYPE_NAME_KEY, name), (EXTENSION_TYPE_METADATA_KEY, serialized)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::List(item) | DataType::ListView(item) => DataType::List(wire_field(item)),
        // Sent as a list: arrow-flight's encoder says List in the schema message of either.
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::List(wire_field(item)),
        DataType::Struct(_) | DataType::Map(..) => DataType::Utf8,
        other => other.clone(),
    }
}

/// A column as it is sent.
fn wire_column(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, Error> {
    let failed = |_| internal();
    match (column.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(column)),
        (DataType::Struct(_) | DataType::Map(..), DataType::Utf8) => json_texts(column.as_ref()),
        (_, DataType::FixedSizeBinary(UUID_BYTES)) => uuids(column),
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list_opt::<i32>().ok_or_else(internal)?;
            let values = wire_column(list.values(), item.data_type())?;
            let list = ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(list.map_err(failed)?))
        }
        _ => cast(column, to).map_err(failed),
    }
}

/// Texts of 32 digits as their bytes.
fn uuids(column: &ArrayRef) -> Result<ArrayRef, Error> {
    let texts = cast(column, &DataType::Utf8).map_err(|_| internal())?;
    let texts = texts.as_string_opt::<i32>().ok_or_else(internal)?;
    let bytes = texts.iter().map(|text| {
        let digits = text.map(|text| u128::from_str_radix(&text.replace('-', ""), 16)).transpose();
        digits.map(|digits| digits.map(u128::to_be_bytes)).map_err(|_| internal())
    });
    let bytes = bytes.collect::<Result<Vec<_>, Error>>()?;
    let column = FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes.into_iter(), UUID_BYTES);
    Ok(Arc::new(column.map_err(|_| internal())?))
}

/// `batch` with the columns of `schema`, which is what [`wire_schema`] makes of its own.
fn wire_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns =
        columns.map(|(column, field)| wire_column(column, field.data_type())).collect::<Result<Vec<_>, _>>()?;
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
    use arrow::array::{DictionaryArray, Int32Array, Int64Array, StringViewArray, StructArray};
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

    #[test]
    fn structs_are_json_also_in_lists() {
        let fields =
            [("b", DataType::Int64), ("a", DataType::Utf8View)].map(|(name, kind)| Field::new(name, kind, true));
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("x"), None]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let structs: ArrayRef = Arc::new(StructArray::new(fields.to_vec().into(), vec![numbers, texts], None));
        let item = Arc::new(Field::new("item", structs.data_type().clone(), true));
        let list: ArrayRef = Arc::new(ListArray::new(
            item,
            arrow::buffer::OffsetBuffer::new(vec![0, 2].into()),
            Arc::clone(&structs),
            None,
        ));
        let field = Arc::new(Field::new("s", list.data_type().clone(), true));
        let wire = wire_field(&field);
        let DataType::List(item) = wire.data_type() else { unreachable!() };
        assert_eq!(
            (item.data_type(), item.metadata()["ARROW:extension:name"].as_str()),
            (&DataType::Utf8, "arrow.json")
        );
        let sent = wire_column(&list, wire.data_type()).unwrap();
        let texts = sent.as_list::<i32>().value(0);
        let texts: Vec<_> = texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        assert_eq!(texts, [r#"{"b": 1, "a": "x"}"#, r#"{"b": 2, "a": null}"#]);
    }

    #[test]
    fn uuids_are_sixteen_bytes() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("01890a5d-ac96-774b-bcce-b302099a8057"), None]));
        let sent = wire_column(&texts, &DataType::FixedSizeBinary(16)).unwrap();
        assert_eq!(sent.as_fixed_size_binary().value(0)[..4], [0x01, 0x89, 0x0a, 0x5d]);
        assert_eq!(sent.null_count(), 1);
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
