//! A JSON document: read and written.
//!
//! Invariant: a number keeps its digits.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, StringArray};
use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::Fault;
use super::output::text_of;
use super::value::elements;
use crate::error::Error;

/// How deep a document may be.
const DEPTH: usize = 200;
/// How many values a document may hold: each takes some 80 bytes here.
const VALUES: usize = 2_000_000;

/// A document.
#[derive(Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A text as JSON writes it.
pub(super) fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

impl Json {
    /// Reads a document whose texts can be shown: PostgreSQL's text has no zero byte.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let json = Self::read(text)?;
        if text.contains("\\u0000") && json.has_zero() {
            return Err(Fault::new(SqlState::UNTRANSLATABLE_CHARACTER, "unsupported Unicode escape sequence"));
        }
        Ok(json)
    }

    fn has_zero(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => false,
            Self::Text(text) => text.contains('\0'),
            Self::Array(items) => items.iter().any(Self::has_zero),
            Self::Object(members) => members.iter().any(|(key, value)| key.contains('\0') || value.has_zero()),
        }
    }

    /// Reads a document.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json");
        let mut reader = Reader { rest: text.trim_start_matches(SPACE), values: 0 };
        let Some(json) = reader.value(0) else {
            let too_large = Fault::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a JSON document has too many values");
            return Err(if reader.values > VALUES { too_large } else { wrong() });
        };
        if reader.rest.is_empty() { Ok(json) } else { Err(wrong()) }
    }

    /// Any value as JSON.
    pub(super) fn of(value: &ScalarValue, zone: Tz) -> Option<Self> {
        if value.is_null() {
            return Some(Self::Null);
        }
        Some(match value {
            ScalarValue::Boolean(Some(flag)) => Self::Bool(*flag),
            ScalarValue::List(_) | ScalarValue::LargeList(_) | ScalarValue::FixedSizeList(_) => {
                Self::Array(elements(value)?.iter().map(|item| Self::of(item, zone)).collect::<Option<_>>()?)
            }
            ScalarValue::Struct(fields) => {
                let member = |(index, name): (usize, &str)| {
                    let cell = ScalarValue::try_from_array(fields.column(index), 0).ok()?;
                    Some((name.to_owned(), Self::of(&super::value::normal(cell), zone)?))
                };
                let names = fields.column_names();
                Self::Object(names.into_iter().enumerate().map(member).collect::<Option<_>>()?)
            }
            ScalarValue::Map(map) => {
                let entries = map.value(0);
                let cell = |column: usize, row: usize| {
                    let cell = ScalarValue::try_from_array(entries.columns().get(column)?, row).ok()?;
                    Some(super::value::normal(cell))
                };
                let member = |row: usize| Some((text_of(&cell(0, row)?, zone)?, Self::of(&cell(1, row)?, zone)?));
                Self::Object((0..entries.len()).map(member).collect::<Option<_>>()?)
            }
            ScalarValue::TimestampMicrosecond(..) => Self::Text(text_of(value, zone)?.replacen(' ', "T", 1)),
            number if number.data_type().is_numeric() => {
                let shown = text_of(number, zone)?;
                if shown.ends_with(|c: char| c.is_ascii_digit()) { Self::Number(shown) } else { Self::Text(shown) }
            }
            other => Self::Text(text_of(other, zone)?),
        })
    }

    /// The element of an array; from the end where negative.
    pub(super) fn nth(&self, place: i64) -> Option<Self> {
        let Self::Array(items) = self else { return None };
        let place = if place < 0 { place + i64::try_from(items.len()).ok()? } else { place };
        items.get(usize::try_from(place).ok()?).cloned()
    }

    /// The member of an object.
    pub(super) fn member(&self, key: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    /// As `->>` shows it; JSON's null is NULL.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            other => Some(other.to_jsonb()),
        }
    }

    /// Members in the order of `jsonb`, of equal ones the last.
    pub(super) fn normal(self) -> Self {
        let Self::Object(mut members) = self else { return self };
        // Stable, and begun from the end: of equal keys the last comes first, and stays.
        members.reverse();
        members.sort_by(|(left, _), (right, _)| left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
        members.dedup_by(|(later, _), (first, _)| later == first);
        Self::Object(members)
    }

    /// In the form of `jsonb`.
    pub(super) fn to_jsonb(&self) -> String {
        self.written(", ", ": ", true)
    }

    /// A struct or a map as clients see it: in the form of `jsonb`, its members in their own order.
    fn to_shown(&self) -> String {
        self.written(", ", ": ", false)
    }

    /// In the form of `to_json`.
    pub(super) fn to_json(&self) -> String {
        self.written(",", ":", false)
    }

    /// In the form of `json_build_object`.
    pub(super) fn to_built(&self) -> String {
        self.written(", ", " : ", false)
    }

    fn written(&self, comma: &str, colon: &str, normal: bool) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => quote(text),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.written(comma, colon, normal)).collect();
                format!("[{}]", items.join(comma))
            }
            Self::Object(_) => {
                let object = if normal { self.clone().normal() } else { self.clone() };
                let Self::Object(members) = object else { return String::new() };
                let member = |(key, value): &(String, Self)| {
                    format!("{}{colon}{}", quote(key), value.written(comma, colon, normal))
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(comma))
            }
        }
    }
}

/// Structs or maps as JSON, in text; times in UTC.
///
/// # Errors
/// 0A000 for a type in them that has no form in JSON.
pub fn json_texts(column: &dyn Array) -> Result<ArrayRef, Error> {
    let unsupported = || Error::unsupported("a column of this type as JSON");
    let zone: Tz = "UTC".parse().map_err(|_| unsupported())?;
    let text = |row: usize| {
        if column.is_null(row) {
            return Ok(None);
        }
        let cell = ScalarValue::try_from_array(column, row).map_err(|_| unsupported())?;
        Json::of(&cell, zone).map(|json| Some(json.to_shown())).ok_or_else(unsupported)
    };
    Ok(Arc::new((0..column.len()).map(text).collect::<Result<StringArray, Error>>()?))
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

struct Reader<'a> {
    rest: &'a str,
    /// Values begun.
    values: usize,
}

impl Reader<'_> {
    fn skip(&mut self, length: usize) -> Option<()> {
        self.rest = self.rest.get(length..)?.trim_start_matches(SPACE);
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.values += 1;
        if depth > DEPTH || self.values > VALUES {
            return None;
        }
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.rest.starts_with(word) {
                self.skip(word.len())?;
                return Some(value);
            }
        }
        match self.rest.chars().next()? {
            '"' => self.string().map(Json::Text),
            '[' => self.items(depth).map(Json::Array),
            '{' => self.members(depth).map(Json::Object),
            _ => {
                let end =
                    self.rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(self.rest.len());
                let digits = self.rest.get(..end)?.to_owned();
                // What serde_json takes for a number is one.
                serde_json::from_str::<serde_json::Number>(&digits).ok()?;
                self.skip(end)?;
                Some(Json::Number(if digits.contains(['e', 'E']) { plain(&digits)? } else { digits }))
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(at, character)| {
            let closes = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            closes.then_some(at)
        })?;
        let text = serde_json::from_str(self.rest.get(..=end)?).ok()?;
        self.skip(end + 1)?;
        Some(text)
    }

    fn items(&mut self, depth: usize) -> Option<Vec<Json>> {
        self.skip(1)?;
        let mut items = Vec::new();
        while !self.rest.starts_with(']') {
            if !items.is_empty() {
                self.rest.starts_with(',').then_some(())?;
                self.skip(1)?;
            }
            items.push(self.value(depth + 1)?);
        }
        self.skip(1)?;
        Some(items)
    }

    fn members(&mut self, depth: usize) -> Option<Vec<(String, Json)>> {
        self.skip(1)?;
        let mut members = Vec::new();
        while !self.rest.starts_with('}') {
            if !members.is_empty() {
                self.rest.starts_with(',').then_some(())?;
                self.skip(1)?;
            }
            self.rest.starts_with('"').then_some(())?;
            let key = self.string()?;
            self.rest.starts_with(':').then_some(())?;
            self.skip(1)?;
            members.push((key, self.value(depth + 1)?));
        }
        self.skip(1)?;
        Some(members)
    }
}

/// A number without an exponent, as `numeric` is shown.
fn plain(digits: &str) -> Option<String> {
    let (value, scale) = super::input::exact(digits, digits).ok()?;
    Some(super::value::decimal_text(value, scale))
}

/// JSON as jsonb shows it, and what becomes of that when it is read again.
#[cfg(any(test, fuzzing))]
pub(crate) fn shown_twice(text: &str) -> Option<(String, Option<String>)> {
    let once = Json::parse(text).ok()?.normal().to_jsonb();
    let twice = Json::parse(&once).ok().map(|json| json.normal().to_jsonb());
    Some((once, twice))
}
