//! What a function is told and what it answers.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::ScalarValue;

use super::super::cell::Cell;
use super::super::definition::list_of;
use super::super::viewer::Viewer;
use crate::error::Error;

/// What a function does.
pub(super) type Body = fn(&Viewer, &[Argument]) -> Result<Cell, Error>;

/// A function.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) returns: Returns,
    /// NULL where an argument is NULL.
    pub(super) strict: bool,
    pub(super) body: Body,
}

impl Known {
    /// A function that is NULL where an argument is.
    pub(super) const fn strict(name: &'static str, returns: Returns, body: Body) -> Self {
        Self { name, returns, strict: true, body }
    }

    /// A function that is always NULL: there is nothing to tell.
    pub(super) const fn nothing(name: &'static str, returns: Returns) -> Self {
        Self { name, returns, strict: false, body: |_, _| Ok(Cell::Null) }
    }

    /// A function that is always true.
    pub(super) const fn truth(name: &'static str) -> Self {
        Self { name, returns: Returns::Truth, strict: true, body: |_, _| Ok(Cell::Bool(true)) }
    }

    /// A function that is always false.
    pub(super) const fn falsehood(name: &'static str) -> Self {
        Self { name, returns: Returns::Truth, strict: true, body: |_, _| Ok(Cell::Bool(false)) }
    }
}

/// Types of answers.
#[derive(Clone, Copy)]
pub(super) enum Returns {
    Text,
    Truth,
    Int4,
    Int8,
    Oid,
    Texts,
}

impl Returns {
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Truth => DataType::Boolean,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Oid => DataType::UInt32,
            Self::Texts => list_of(DataType::Utf8),
        }
    }
}

/// One argument.
pub(super) enum Argument {
    Null,
    Number(i64),
    Text(String),
    Truth(bool),
    /// A list: its length, and its members where they are OIDs.
    List(usize, Vec<u32>),
    Other,
}

impl Argument {
    pub(super) fn of(value: ScalarValue) -> Self {
        if value.is_null() {
            return Self::Null;
        }
        match &value {
            ScalarValue::Boolean(Some(truth)) => Self::Truth(*truth),
            ScalarValue::List(list) => {
                let members = list.value(0);
                let oids = members.as_primitive_opt::<UInt32Type>();
                Self::List(members.len(), oids.map(|oids| oids.iter().flatten().collect()).unwrap_or_default())
            }
            other => match other.try_as_str() {
                Some(Some(text)) => Self::Text(text.to_owned()),
                _ => match value.cast_to(&DataType::Int64) {
                    Ok(ScalarValue::Int64(Some(number))) => Self::Number(number),
                    _ => Self::Other,
                },
            },
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A number, also from text, as PostgreSQL reads a literal of unknown type.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn oid(&self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn truth(&self) -> Option<bool> {
        if let Self::Truth(truth) = self { Some(*truth) } else { None }
    }
}
