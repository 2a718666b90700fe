//! Values of catalog rows, and their columns.
//!
//! Invariant: a column that a row says nothing of is NULL where PostgreSQL allows it, else its type's zero.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray, UInt32Array, UInt32Builder, new_null_array,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::Result;

use super::definition::{Column, Definition};

/// One value. It may be a policy's or a view's text, so it cannot be printed.
#[derive(Clone)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    /// Any whole number, OIDs, and times in microseconds since 1970.
    Number(i64),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<u32>),
}

/// Rows of some of a relation's columns.
pub(super) struct Rows {
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Rows {
    pub(super) fn new(columns: &'static [&'static str], rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        Self { columns, rows: rows.into_iter().collect() }
    }
}

/// One row's values, each turned into a [`Cell`].
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::system::pg_catalog::cell::Cell::from($value)),*] };
}
pub(super) use row;

/// All columns of `definition`.
pub(super) fn batch(definition: &Definition, rows: &Rows) -> Result<RecordBatch> {
    let column = |(place, column): (usize, &Column)| {
        let given = rows.columns.iter().position(|name| *name == column.name);
        let filler = if column.not_null { Cell::zero(definition.arrow.field(place).data_type()) } else { Cell::Null };
        let cell = |row: &Vec<Cell>| given.and_then(|index| row.get(index)).unwrap_or(&filler).clone();
        array(definition.arrow.field(place).data_type(), rows.rows.iter().map(cell))
    };
    let columns = definition.columns.iter().enumerate().map(column).collect();
    Ok(RecordBatch::try_new(Arc::clone(&definition.arrow), columns)?)
}

/// A column of these cells.
pub(super) fn array(data_type: &DataType, cells: impl ExactSizeIterator<Item = Cell>) -> ArrayRef {
    match data_type {
        DataType::Boolean => Arc::new(cells.map(|cell| cell.truth()).collect::<BooleanArray>()),
        DataType::Int16 => {
            Arc::new(cells.map(|cell| cell.number().and_then(|n| n.try_into().ok())).collect::<Int16Array>())
        }
        DataType::Int32 => {
            Arc::new(cells.map(|cell| cell.number().and_then(|n| n.try_into().ok())).collect::<Int32Array>())
        }
        DataType::Int64 => Arc::new(cells.map(|cell| cell.number()).collect::<Int64Array>()),
        DataType::UInt32 => {
            Arc::new(cells.map(|cell| cell.number().and_then(|n| n.try_into().ok())).collect::<UInt32Array>())
        }
        #[expect(clippy::cast_precision_loss, reason = "estimates")]
        DataType::Float32 => Arc::new(cells.map(|cell| cell.number().map(|n| n as f32)).collect::<Float32Array>()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = cells.map(|cell| cell.number()).collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => Arc::new(cells.map(Cell::text).collect::<StringArray>()),
        DataType::List(item) if item.data_type() == &DataType::Utf8 => texts(item, cells),
        DataType::List(item) if item.data_type() == &DataType::UInt32 => numbers(item, cells),
        other => new_null_array(other, cells.len()),
    }
}

fn texts(item: &Arc<Field>, cells: impl Iterator<Item = Cell>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(item));
    for cell in cells {
        match cell {
            Cell::Texts(texts) => builder.append_value(texts.into_iter().map(Some)),
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn numbers(item: &Arc<Field>, cells: impl Iterator<Item = Cell>) -> ArrayRef {
    let mut builder = ListBuilder::new(UInt32Builder::new()).with_field(Arc::clone(item));
    for cell in cells {
        match cell {
            Cell::Numbers(numbers) => builder.append_value(numbers.into_iter().map(Some)),
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

impl Cell {
    fn zero(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool(false),
            DataType::Utf8 => Self::Text(String::new()),
            DataType::List(item) if item.data_type() == &DataType::Utf8 => Self::Texts(Vec::new()),
            DataType::List(item) if item.data_type() == &DataType::UInt32 => Self::Numbers(Vec::new()),
            _ => Self::Number(0),
        }
    }

    fn truth(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

macro_rules! cell_from_number {
    ($($type:ty),*) => {$(
        impl From<$type> for Cell {
            fn from(number: $type) -> Self {
                Self::Number(i64::from(number))
            }
        }
    )*};
}
cell_from_number!(i16, i32, i64, u32);

impl From<bool> for Cell {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Cell {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<Vec<u32>> for Cell {
    fn from(numbers: Vec<u32>) -> Self {
        Self::Numbers(numbers)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
