//! Rows as bytes: for state, for retained rows, and for the keys that groups and row ids are made of.
//!
//! ```text
//! row   = value*            one per column, in order
//! value = 0 | 1 bytes       fixed width: little-endian; boolean: one byte; text and binary: length u32, then the bytes
//! ```
//!
//! The format is Lakeward's own because it outlives libraries: row ids are hashes of it, and state is read back by later
//! versions. [`FORMAT`] changes with it.
//!
//! Invariants: equal rows have equal bytes, floats that SQL calls equal (0 and -0, any NaN) included where the codec is
//! one of keys; bytes that are no row are an error, never a panic.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryBuilder, BooleanArray, BooleanBuilder, GenericByteArray, StringBuilder,
    make_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Float32Type, Float64Type, Utf8Type};

use crate::error::StreamError;

/// The format's version.
pub(crate) const FORMAT: u32 = 1;

const DAMAGED: StreamError = StreamError::Damaged { what: "a row does not have its columns" };

/// How a column's values stand in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Fixed(usize),
    Boolean,
    Text,
    Binary,
}

/// Writes and reads rows of given types.
#[derive(Debug, Clone)]
pub(crate) struct RowCodec {
    columns: Vec<(DataType, Shape)>,
    keys: bool,
}

impl RowCodec {
    /// A codec that gives back each value as it was. Columns are named for the error alone.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, &'a DataType)>) -> Result<Self, StreamError> {
        let columns = columns.into_iter().map(|(name, data_type)| Ok((data_type.clone(), shape(name, data_type)?)));
        Ok(Self { columns: columns.collect::<Result<_, StreamError>>()?, keys: false })
    }

    /// A codec of keys: floats that are equal in SQL have the same bytes.
    pub(crate) fn of_keys<'a>(columns: impl IntoIterator<Item = (&'a str, &'a DataType)>) -> Result<Self, StreamError> {
        Ok(Self { keys: true, ..Self::new(columns)? })
    }

    /// An encoder over arrays of the codec's types.
    pub(crate) fn encoder(&self, arrays: &[ArrayRef]) -> Result<RowEncoder, StreamError> {
        if arrays.len() != self.columns.len() {
            return Err(StreamError::Definition { why: "rows have other columns than their codec" });
        }
        let columns = arrays.iter().zip(&self.columns).map(|(array, (data_type, shape))| {
            if array.data_type() != data_type {
                return Err(StreamError::Definition { why: "a column has another type than its codec" });
            }
            Ok(match shape {
                Shape::Fixed(width) => Column::fixed(array, *width, self.keys),
                Shape::Boolean => Column::Boolean(array.as_boolean().clone()),
                Shape::Text => Column::Text(array.as_bytes::<Utf8Type>().clone()),
                Shape::Binary => Column::Binary(array.as_bytes::<BinaryType>().clone()),
            })
        });
        Ok(RowEncoder(columns.collect::<Result<_, _>>()?))
    }

    /// Reads rows back into columns.
    pub(crate) fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, StreamError> {
        let mut builders: Vec<Builder> = self.columns.iter().map(|(_, shape)| Builder::new(*shape)).collect();
        for row in rows {
            let mut rest = row;
            for builder in &mut builders {
                builder.append(&mut rest)?;
            }
            if !rest.is_empty() {
                return Err(DAMAGED);
            }
        }
        builders.into_iter().zip(&self.columns).map(|(builder, (data_type, _))| builder.finish(data_type)).collect()
    }
}

fn shape(column: &str, data_type: &DataType) -> Result<Shape, StreamError> {
    match data_type {
        DataType::Boolean => Ok(Shape::Boolean),
        DataType::Utf8 => Ok(Shape::Text),
        DataType::Binary => Ok(Shape::Binary),
        // Intervals are not compared by their bytes: a month has no length.
        DataType::Interval(_) => Err(unsupported(column, data_type)),
        other => other.primitive_width().map(Shape::Fixed).ok_or_else(|| unsupported(column, data_type)),
    }
}

fn unsupported(column: &str, data_type: &DataType) -> StreamError {
    StreamError::UnsupportedType { column: column.to_owned(), data_type: data_type.to_string() }
}

/// Writes rows of a batch.
pub(crate) struct RowEncoder(Vec<Column>);

impl RowEncoder {
    /// Appends row `row` to `out`.
    pub(crate) fn encode(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.0 {
            column.encode(row, out);
        }
    }

    /// Row `row`, alone.
    pub(crate) fn row(&self, row: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(row, &mut out);
        out
    }
}

enum Column {
    Fixed { values: Buffer, nulls: Option<NullBuffer>, offset: usize, width: usize },
    Boolean(BooleanArray),
    Text(GenericByteArray<Utf8Type>),
    Binary(GenericByteArray<BinaryType>),
}

impl Column {
    fn fixed(array: &ArrayRef, width: usize, keys: bool) -> Self {
        let equal = if keys { with_equal_floats(array) } else { Arc::clone(array) };
        let data = equal.to_data();
        let values = data.buffers().first().cloned().unwrap_or_else(|| Buffer::from(Vec::<u8>::new()));
        Self::Fixed { values, nulls: data.nulls().cloned(), offset: data.offset(), width }
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Fixed { values, nulls, offset, width } => {
                let start = (offset + row) * width;
                let value = values.get(start..start + width);
                match value.filter(|_| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))) {
                    Some(value) => {
                        out.push(1);
                        out.extend(value);
                    }
                    None => out.push(0),
                }
            }
            Self::Boolean(array) if array.is_valid(row) => out.extend([1, u8::from(array.value(row))]),
            Self::Text(array) => encode_bytes(array, row, out),
            Self::Binary(array) => encode_bytes(array, row, out),
            Self::Boolean(_) => out.push(0),
        }
    }
}

fn encode_bytes<T: ByteArrayType>(array: &GenericByteArray<T>, row: usize, out: &mut Vec<u8>) {
    if array.is_null(row) {
        return out.push(0);
    }
    let bytes: &[u8] = array.value(row).as_ref();
    out.push(1);
    // An array's own offsets are 32 bits wide.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(bytes);
}

/// One zero and one NaN.
fn with_equal_floats(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        ),
        DataType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        ),
        _ => Arc::clone(array),
    }
}

enum Builder {
    Fixed { width: usize, bytes: Vec<u8>, valid: Vec<bool> },
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
}

impl Builder {
    fn new(shape: Shape) -> Self {
        match shape {
            Shape::Fixed(width) => Self::Fixed { width, bytes: Vec::new(), valid: Vec::new() },
            Shape::Boolean => Self::Boolean(BooleanBuilder::new()),
            Shape::Text => Self::Text(StringBuilder::new()),
            Shape::Binary => Self::Binary(BinaryBuilder::new()),
        }
    }

    /// Takes one value from the front of `rest`.
    fn append(&mut self, rest: &mut &[u8]) -> Result<(), StreamError> {
        let present = match take(rest, 1)? {
            [0] => false,
            [1] => true,
            _ => return Err(DAMAGED),
        };
        match self {
            Self::Fixed { width, bytes, valid } => {
                if present {
                    bytes.extend(take(rest, *width)?);
                } else {
                    bytes.resize(bytes.len() + *width, 0);
                }
                valid.push(present);
            }
            Self::Boolean(builder) if present => match take(rest, 1)? {
                [value @ (0 | 1)] => builder.append_value(*value == 1),
                _ => return Err(DAMAGED),
            },
            Self::Text(builder) if present => {
                builder.append_value(std::str::from_utf8(take_sized(rest)?).map_err(|_| DAMAGED)?);
            }
            Self::Binary(builder) if present => builder.append_value(take_sized(rest)?),
            Self::Boolean(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Binary(builder) => builder.append_null(),
        }
        Ok(())
    }

    fn finish(self, data_type: &DataType) -> Result<ArrayRef, StreamError> {
        Ok(match self {
            Self::Fixed { bytes, valid, .. } => {
                let data = ArrayData::builder(data_type.clone())
                    .len(valid.len())
                    .add_buffer(Buffer::from(bytes))
                    .nulls(Some(NullBuffer::from(valid)))
                    .align_buffers(true);
                make_array(data.build()?)
            }
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Binary(mut builder) => Arc::new(builder.finish()),
        })
    }
}

/// The first `length` bytes of `rest`, which moves behind them.
pub(crate) fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], StreamError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(DAMAGED)?;
    *rest = after;
    Ok(taken)
}

/// The first `N` bytes of `rest`, which moves behind them.
pub(crate) fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StreamError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(DAMAGED)?;
    *rest = after;
    Ok(*taken)
}

/// Bytes behind their length.
pub(crate) fn take_sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], StreamError> {
    let length = u32::from_le_bytes(take_array(rest)?);
    take(rest, usize::try_from(length).map_err(|_| DAMAGED)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray,
    };
    use proptest::prelude::*;

    use super::*;

    fn codec(arrays: &[ArrayRef]) -> RowCodec {
        RowCodec::new(arrays.iter().map(|array| ("c", array.data_type()))).expect("supported")
    }

    fn there_and_back(arrays: &[ArrayRef]) {
        let codec = codec(arrays);
        let encoder = codec.encoder(arrays).expect("encodes");
        let rows: Vec<_> = (0..arrays[0].len()).map(|row| encoder.row(row)).collect();
        let read = codec.decode(rows.iter().map(Vec::as_slice)).expect("decodes");
        assert_eq!(read, arrays);
        for row in &rows {
            for length in 0..row.len() {
                assert!(codec.decode([&row[..length]]).is_err(), "{length} of {} bytes are no row", row.len());
            }
        }
    }

    #[test]
    fn every_kept_type_is_read_back_as_it_was() {
        let time = TimestampMicrosecondArray::from(vec![Some(i64::MIN), None, Some(7)]).with_timezone("UTC");
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(-1), None, Some(i32::MAX)])),
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::INFINITY), None])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            Arc::new(StringArray::from(vec![Some(""), None, Some("Zoë")])),
            Arc::new(BinaryArray::from(vec![None, Some(b"\0\xFF".as_slice()), Some(b"")])),
            Arc::new(Date32Array::from(vec![None, Some(-40_000), Some(20_000)])),
            Arc::new(Decimal128Array::from(vec![Some(i128::MIN), None, Some(986)])),
            Arc::new(time),
        ];
        there_and_back(&arrays);
        there_and_back(&arrays.iter().map(|array| array.slice(1, 2)).collect::<Vec<_>>());
    }

    #[test]
    fn keys_that_sql_calls_equal_have_equal_bytes() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::from_bits(f64::NAN.to_bits() | 1)]));
        let keys = RowCodec::of_keys([("c", floats.data_type())]).expect("supported");
        let encoder = keys.encoder(&[floats]).expect("encodes");
        assert_eq!(encoder.row(0), encoder.row(1));
        assert_eq!(encoder.row(2), encoder.row(3));
        assert_eq!(encoder.row(2), encoder.row(4));
        assert_ne!(encoder.row(0), encoder.row(2));
    }

    #[test]
    fn what_has_no_bytes_of_its_own_is_refused_by_name() {
        let list = DataType::new_list(DataType::Int32, true);
        let error = RowCodec::new([("tags", &list)]).expect_err("a list");
        assert!(error.to_string().contains("\"tags\""), "{error}");
    }

    proptest! {
        #[test]
        fn texts_and_numbers_never_run_into_each_other(
            rows in prop::collection::vec((any::<Option<String>>(), any::<Option<i32>>(), any::<Option<String>>()), 1..20)
        ) {
            let first: StringArray = rows.iter().map(|row| row.0.clone()).collect();
            let second: Int32Array = rows.iter().map(|row| row.1).collect();
            let third: StringArray = rows.iter().map(|row| row.2.clone()).collect();
            let arrays: Vec<ArrayRef> = vec![Arc::new(first), Arc::new(second), Arc::new(third)];
            let encoder = codec(&arrays).encoder(&arrays).expect("encodes");
            for (left, one) in rows.iter().enumerate() {
                for (right, other) in rows.iter().enumerate() {
                    prop_assert_eq!(encoder.row(left) == encoder.row(right), one == other);
                }
            }
        }

        #[test]
        fn hostile_bytes_are_a_row_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let types = [DataType::Int32, DataType::Utf8, DataType::Boolean, DataType::Binary];
            let codec = RowCodec::new(types.iter().map(|data_type| ("c", data_type))).expect("supported");
            let _row_or_error = codec.decode([bytes.as_slice()]);
        }
    }
}
