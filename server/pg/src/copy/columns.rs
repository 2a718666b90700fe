//! Fields to columns: each value read by its column's input function, and appended to a batch.
//!
//! Text and whole numbers, which most columns are, go straight into Arrow's builders; everything else goes by way of
//! the functions that read parameters. Invariant: an error names the column, never the value.

use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::ScalarValue;
use lakeward_base::SqlState;
use lakeward_engine::{Error, read_text};
use postgres_types::Type;

use crate::error::PgError;
use crate::parameter::{Wanted, read_value};
use crate::rows::Zone;
use crate::types::of_arrow;

/// What does not fit is an error, never a NULL.
const EXACT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// Values of one column.
enum Values {
    Text(StringBuilder),
    Small(Int16Builder),
    Whole(Int32Builder),
    Big(Int64Builder),
    Other(Vec<ScalarValue>),
}

struct Column {
    /// The type as which values are read.
    read_as: DataType,
    kind: Type,
    values: Values,
}

/// Rows that are not handed over yet.
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
    zone: Zone,
    rows: usize,
    bytes: usize,
}

/// The type as which values of a column's type are read.
fn read_as(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _)
        | DataType::Decimal128(..) => data_type.clone(),
        DataType::List(item) | DataType::LargeList(item) => {
            let element = read_as(item.data_type())?;
            DataType::List(Arc::new(arrow::datatypes::Field::new("item", element, true)))
        }
        DataType::Dictionary(_, value) => read_as(value)?,
        _ => return None,
    })
}

impl Columns {
    pub(super) fn new(schema: &SchemaRef, zone: Zone) -> Result<Self, PgError> {
        let column = |field: &arrow::datatypes::FieldRef| {
            let unsupported = || {
                let error = Error::unsupported(format!("COPY into column \"{}\" of its type", field.name()));
                PgError::from(error)
            };
            let read_as = read_as(field.data_type()).ok_or_else(unsupported)?;
            let kind = of_arrow(&read_as).ok_or_else(unsupported)?;
            let values = Values::of(&read_as);
            Ok(Column { read_as, kind, values })
        };
        let columns = schema.fields().iter().map(column).collect::<Result<_, PgError>>()?;
        Ok(Self { schema: Arc::clone(schema), columns, zone, rows: 0, bytes: 0 })
    }

    /// The name of a column.
    pub(super) fn name(&self, index: usize) -> &str {
        self.schema.fields().get(index).map_or("", |field| field.name().as_str())
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Rows appended since the last batch, and roughly their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    /// Appends a value in text.
    pub(super) fn push_text(&mut self, index: usize, value: Option<&[u8]>) -> Result<(), Error> {
        let Some(column) = self.columns.get_mut(index) else { return Ok(()) };
        self.bytes += value.map_or(0, <[u8]>::len) + 16;
        let Some(value) = value else { return column.push_null() };
        let invalid = || Error::from_coded(&PgError::InvalidUtf8);
        let text = std::str::from_utf8(value).map_err(|_| invalid())?;
        // Even a column of numbers may not hold it: it would end a text elsewhere.
        if text.contains('\0') {
            return Err(invalid());
        }
        if column.push_directly(text) {
            return Ok(());
        }
        let value = read_text(text, &column.read_as, self.zone.tz())?;
        column.push(value)
    }

    /// Appends a value in binary.
    pub(super) fn push_binary(&mut self, index: usize, value: Option<&[u8]>) -> Result<(), Error> {
        let Some(column) = self.columns.get_mut(index) else { return Ok(()) };
        self.bytes += value.map_or(0, <[u8]>::len) + 16;
        let Some(value) = value else { return column.push_null() };
        let wanted = Wanted { kind: &column.kind, target: &column.read_as, zone: self.zone };
        let value = read_value(&wanted, value, true)?;
        column.push(value)
    }

    /// A row is complete.
    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// The rows so far, as a batch.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, Error> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            let array = column.finish()?;
            arrays.push(if array.data_type() == field.data_type() {
                array
            } else {
                cast_with_options(&array, field.data_type(), &EXACT).map_err(|_| out_of_range(field.name()))?
            });
        }
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &rows)
            .map_err(|_| Error::new(SqlState::INTERNAL_ERROR, "rows of COPY do not fit their columns"))
    }
}

fn out_of_range(column: &str) -> Error {
    let message = format!("a value is out of range for column \"{column}\"");
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

impl Values {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Int16 => Self::Small(Int16Builder::new()),
            DataType::Int32 => Self::Whole(Int32Builder::new()),
            DataType::Int64 => Self::Big(Int64Builder::new()),
            _ => Self::Other(Vec::new()),
        }
    }
}

/// A number as most are written: digits, and perhaps a minus. Everything else is for the input function.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.starts_with(|first: char| first.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl Column {
    fn push_null(&mut self) -> Result<(), Error> {
        match &mut self.values {
            Values::Text(builder) => builder.append_null(),
            Values::Small(builder) => builder.append_null(),
            Values::Whole(builder) => builder.append_null(),
            Values::Big(builder) => builder.append_null(),
            Values::Other(values) => {
                values.push(ScalarValue::try_new_null(&self.read_as).map_err(|_| Error::unsupported("this type"))?);
            }
        }
        Ok(())
    }

    /// Appends text whose value needs no input function; false where it does.
    fn push_directly(&mut self, text: &str) -> bool {
        match &mut self.values {
            Values::Text(builder) => {
                builder.append_value(text);
                true
            }
            Values::Small(builder) => number(text).is_some_and(|value| {
                builder.append_value(value);
                true
            }),
            Values::Whole(builder) => number(text).is_some_and(|value| {
                builder.append_value(value);
                true
            }),
            Values::Big(builder) => number(text).is_some_and(|value| {
                builder.append_value(value);
                true
            }),
            Values::Other(_) => false,
        }
    }

    fn push(&mut self, value: ScalarValue) -> Result<(), Error> {
        match (&mut self.values, value) {
            (Values::Text(builder), ScalarValue::Utf8(value)) => builder.append_option(value),
            (Values::Small(builder), ScalarValue::Int16(value)) => builder.append_option(value),
            (Values::Whole(builder), ScalarValue::Int32(value)) => builder.append_option(value),
            (Values::Big(builder), ScalarValue::Int64(value)) => builder.append_option(value),
            (Values::Other(values), value) => values.push(value),
            _ => return Err(Error::new(SqlState::INTERNAL_ERROR, "a value of COPY has another type than its column")),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, Error> {
        Ok(match &mut self.values {
            Values::Text(builder) => ArrayBuilder::finish(builder),
            Values::Small(builder) => ArrayBuilder::finish(builder),
            Values::Whole(builder) => ArrayBuilder::finish(builder),
            Values::Big(builder) => ArrayBuilder::finish(builder),
            Values::Other(values) if values.is_empty() => arrow::array::new_empty_array(&self.read_as),
            Values::Other(values) => ScalarValue::iter_to_array(std::mem::take(values))
                .map_err(|_| Error::new(SqlState::INTERNAL_ERROR, "values of COPY do not make a column"))?,
        })
    }
}
