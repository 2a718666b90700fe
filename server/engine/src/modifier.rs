//! What a column's type says beyond its kind: the length of `varchar(n)` and `char(n)`, the digits of `timestamp(n)`.
//!
//! Delta has no such types: the catalog's column says it, and the Delta field's metadata says it again, for other
//! writers. Invariant: rows go to the store only through [`Modifiers::fitted`]: what is too long is 22001, times are
//! rounded, and text holds no zero byte, whichever way it came.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use datafusion::common::DataFusionError;
use lakeward_base::SqlState;
use lakeward_catalog::Table;

use crate::error::Error;
use crate::write::external;

/// Under which Delta, and Spark, keep `varchar(n)` and `char(n)` in a field's metadata.
const CHAR_VARCHAR: &str = "__CHAR_VARCHAR_TYPE_STRING";

/// Under which Lakeward keeps what Delta has no word for.
const OWN: &str = "lakeward.columnType";

/// PostgreSQL's limit of a length.
const MAX_LENGTH: usize = 10_485_760;

/// 1 January 2000 in microseconds since 1970: PostgreSQL rounds times away from there.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// One column's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modifier {
    /// At most so many characters.
    Varchar(usize),
    /// The same; blanks at the end do not count, and are not kept.
    Char(usize),
    /// So many digits after the second's point.
    Digits(u8),
}

impl Modifier {
    /// That of a type as the catalog writes it.
    pub(crate) fn of(sql_type: &str) -> Option<Self> {
        let (name, number) = sql_type.strip_suffix(')')?.split_once('(')?;
        match name {
            "character varying" | "varchar" => number.parse().ok().map(Self::Varchar),
            "character" | "char" => number.parse().ok().map(Self::Char),
            "timestamp" | "timestamptz" => number.parse().ok().filter(|digits| *digits <= 6).map(Self::Digits),
            _ => None,
        }
    }

    /// The type as the catalog writes it, of a column that Arrow has as `data_type`.
    fn sql_type(self, data_type: &DataType) -> Option<String> {
        match (self, data_type) {
            (Self::Varchar(length), DataType::Utf8) => Some(format!("character varying({length})")),
            (Self::Char(length), DataType::Utf8) => Some(format!("character({length})")),
            (Self::Digits(digits), DataType::Timestamp(_, None)) => Some(format!("timestamp({digits})")),
            (Self::Digits(digits), DataType::Timestamp(_, Some(_))) => Some(format!("timestamptz({digits})")),
            _ => None,
        }
    }

    fn fitted(self, column: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
        match self {
            Self::Varchar(_) | Self::Char(_) if is_text(column.data_type()) => self.shortened(column),
            Self::Digits(digits) => Ok(match column.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(times) => Arc::new(
                    times
                        .unary::<_, TimestampMicrosecondType>(|micros| rounded_micros(micros, digits))
                        .with_data_type(column.data_type().clone()),
                ),
                None => Arc::clone(column),
            }),
            Self::Varchar(_) | Self::Char(_) => Ok(Arc::clone(column)),
        }
    }

    fn shortened(self, column: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
        let plain = cast(column, &DataType::Utf8)?;
        let Some(texts) = plain.as_string_opt::<i32>() else { return Ok(Arc::clone(column)) };
        let mut same = true;
        let mut fit = |text: &'_ str| -> Result<usize, DataFusionError> {
            let length = self.fitting(text).ok_or_else(|| external(self.too_long()))?;
            same &= length == text.len();
            Ok(length)
        };
        let lengths = texts.iter().map(|text| text.map(&mut fit).transpose()).collect::<Result<Vec<_>, _>>()?;
        if same {
            return Ok(Arc::clone(column));
        }
        let shortened: StringArray = texts.iter().zip(lengths).map(|(text, length)| text?.get(..length?)).collect();
        Ok(cast(&shortened, column.data_type())?)
    }

    /// How many bytes of a text are kept; `None` where it is too long. Blanks that are too many are no value.
    fn fitting(self, text: &str) -> Option<usize> {
        let (text, length) = match self {
            Self::Varchar(length) => (text, length),
            Self::Char(length) => (text.trim_end_matches(' '), length),
            Self::Digits(_) => return Some(text.len()),
        };
        if text.len() <= length {
            return Some(text.len());
        }
        match text.char_indices().nth(length) {
            None => Some(text.len()),
            Some((end, _)) => text.get(end..)?.bytes().all(|byte| byte == b' ').then_some(end),
        }
    }

    fn too_long(self) -> Error {
        let name = self.sql_type(&DataType::Utf8).unwrap_or_default();
        Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, format!("value too long for type {name}"))
    }
}

/// A time rounded to so many digits after the second's point.
pub(crate) fn rounded_micros(micros: i64, digits: u8) -> i64 {
    let unit = 10_i64.pow(6_u32.saturating_sub(u32::from(digits)));
    let since = micros.saturating_sub(EPOCH_MICROS);
    let away = if since < 0 { since.saturating_sub(unit / 2) } else { since.saturating_add(unit / 2) };
    (away / unit).saturating_mul(unit).saturating_add(EPOCH_MICROS)
}

/// A length that a statement gives.
///
/// # Errors
/// 22023 outside PostgreSQL's bounds.
pub(crate) fn checked_length(length: u64, type_name: &str) -> Result<u64, Error> {
    if length == 0 {
        let message = format!("length for type {type_name} must be at least 1");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    if length > MAX_LENGTH as u64 {
        let message = format!("length for type {type_name} cannot exceed {MAX_LENGTH}");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(length)
}

/// A table's field, whose metadata says what its Arrow type does not.
pub(crate) fn marked(field: Field, sql_type: &str) -> Field {
    let entry = match Modifier::of(sql_type) {
        Some(Modifier::Varchar(length)) => (CHAR_VARCHAR, format!("varchar({length})")),
        Some(Modifier::Char(length)) => (CHAR_VARCHAR, format!("char({length})")),
        Some(Modifier::Digits(_)) => (OWN, sql_type.to_owned()),
        None => return field,
    };
    field.with_metadata([(entry.0.to_owned(), entry.1)].into())
}

/// The type that a field's metadata tells of, where it fits the field's own.
pub(crate) fn told(field: &Field) -> Option<String> {
    let said = field.metadata().get(CHAR_VARCHAR).or_else(|| field.metadata().get(OWN))?;
    Modifier::of(&said.to_ascii_lowercase())?.sql_type(field.data_type())
}

/// Those of a batch's columns, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Modifiers(Vec<Option<Modifier>>);

impl Modifiers {
    /// Those of a table's columns, as they stand in `schema`.
    pub(crate) fn of(table: &Table, schema: &Schema) -> Self {
        let of_field = |field: &Arc<Field>| {
            let column = table.columns.iter().find(|column| column.name == *field.name())?;
            Modifier::of(&column.sql_type)
        };
        Self(schema.fields().iter().map(of_field).collect())
    }

    /// The batch with every column as its type wants it.
    ///
    /// # Errors
    /// 22001 for what is too long, 22021 for a text with a zero byte.
    pub(crate) fn fitted(&self, batch: RecordBatch) -> Result<RecordBatch, DataFusionError> {
        for column in batch.columns() {
            check_text(column)?;
        }
        if self.0.iter().all(Option::is_none) {
            return Ok(batch);
        }
        let fit = |(index, column): (usize, &ArrayRef)| match self.0.get(index).copied().flatten() {
            Some(modifier) => modifier.fitted(column),
            None => Ok(Arc::clone(column)),
        };
        let columns = batch.columns().iter().enumerate().map(fit).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// PostgreSQL's text has no zero byte: clients of its protocol could not read what comes after one.
fn check_text(column: &ArrayRef) -> Result<(), DataFusionError> {
    let zero = |text: Option<&str>| text.is_some_and(|text| text.as_bytes().contains(&0));
    let found = match column.data_type() {
        DataType::Utf8 => column.as_string_opt::<i32>().is_some_and(|texts| texts.iter().any(zero)),
        DataType::LargeUtf8 => column.as_string_opt::<i64>().is_some_and(|texts| texts.iter().any(zero)),
        DataType::Utf8View => column.as_string_view_opt().is_some_and(|texts| texts.iter().any(zero)),
        DataType::List(_) => {
            let Some(list) = column.as_list_opt::<i32>() else { return Ok(()) };
            return list.iter().flatten().try_for_each(|elements| check_text(&elements));
        }
        DataType::Struct(_) => {
            let Some(fields) = column.as_struct_opt() else { return Ok(()) };
            return fields.columns().iter().try_for_each(check_text);
        }
        DataType::Map(..) => {
            let Some(map) = column.as_map_opt() else { return Ok(()) };
            return [map.keys(), map.values()].into_iter().try_for_each(check_text);
        }
        _ => false,
    };
    if found {
        let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
        return Err(external(Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{StringViewArray, TimestampMicrosecondArray};
    use lakeward_base::Coded;

    use super::*;

    fn fit(modifier: Modifier, texts: Vec<Option<&str>>) -> Result<Vec<Option<String>>, DataFusionError> {
        let column: ArrayRef = Arc::new(StringViewArray::from(texts));
        let fitted = modifier.fitted(&column)?;
        assert_eq!(fitted.data_type(), column.data_type());
        Ok(fitted.as_string_view().iter().map(|text| text.map(str::to_owned)).collect())
    }

    #[test]
    fn lengths_are_characters_and_blanks_may_go() {
        let varchar = Modifier::of("character varying(3)").unwrap();
        let kept = fit(varchar, vec![Some("äöü"), Some("ab   "), None, Some("")]).unwrap();
        assert_eq!(kept, [Some("äöü".to_owned()), Some("ab ".to_owned()), None, Some(String::new())]);
        let error = fit(varchar, vec![Some("secret")]).unwrap_err();
        let DataFusionError::External(error) = error else { unreachable!() };
        let error = error.downcast::<Error>().unwrap();
        assert_eq!(error.sqlstate(), SqlState::STRING_DATA_RIGHT_TRUNCATION);
        assert_eq!(error.message(), "value too long for type character varying(3)");
        assert_eq!(fit(Modifier::of("character(2)").unwrap(), vec![Some("a  ")]).unwrap(), [Some("a".to_owned())]);
    }

    #[test]
    fn times_are_rounded_as_postgresql_rounds_them() {
        // SELECT '1999-12-31 23:59:59.9995'::timestamp(3), and 2000-01-01 00:00:00.0005: away from 2000.
        assert_eq!(rounded_micros(EPOCH_MICROS - 500, 3), EPOCH_MICROS - 1000);
        assert_eq!(rounded_micros(EPOCH_MICROS + 500, 3), EPOCH_MICROS + 1000);
        assert_eq!(rounded_micros(1_499_999, 0), 1_000_000);
        assert_eq!(rounded_micros(7, 6), 7);
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_234_567), None]).with_timezone("UTC"));
        let rounded = Modifier::of("timestamptz(1)").unwrap().fitted(&times).unwrap();
        assert_eq!(rounded.data_type(), times.data_type());
        assert_eq!(rounded.as_primitive::<TimestampMicrosecondType>().value(0), 1_200_000);
    }

    #[test]
    fn metadata_says_what_the_column_is() {
        for sql_type in ["character varying(7)", "character(1)", "timestamp(3)", "timestamptz(0)"] {
            let field = Field::new("a", crate::ddl::types::arrow_type(sql_type), true);
            assert_eq!(told(&marked(field, sql_type)).as_deref(), Some(sql_type));
        }
        let spark = Field::new("a", DataType::Utf8, true)
            .with_metadata([(CHAR_VARCHAR.to_owned(), "varchar(9)".to_owned())].into());
        assert_eq!(told(&spark).as_deref(), Some("character varying(9)"));
        assert_eq!(told(&spark.with_data_type(DataType::Int32)), None);
        assert_eq!(told(&Field::new("a", DataType::Utf8, true)), None);
    }
}
