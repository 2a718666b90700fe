//! Hostile values: what is read and shown is read again as the same.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::document::Json;
use super::input::read_text;
use super::output::text_of;
use crate::statement::tests::corpus::corpus;

/// A file's first byte says which.
fn types() -> Vec<DataType> {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    vec![
        DataType::Boolean,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(38, 10),
        DataType::Decimal128(5, 2),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Interval(IntervalUnit::MonthDayNano),
        list(DataType::Int32),
        list(DataType::Utf8),
        list(list(DataType::Date32)),
    ]
}

#[test]
fn the_corpus_of_values_is_read_and_read_again() {
    let types = types();
    for (file, bytes) in corpus("input") {
        let Some((kind, bytes)) = bytes.split_first() else { continue };
        let text = String::from_utf8_lossy(bytes);
        let Some(wanted) = types.get(usize::from(*kind) % (types.len() + 1)) else {
            if let Ok(json) = Json::parse(&text) {
                let once = json.normal().to_jsonb();
                let again = Json::parse(&once).unwrap_or_else(|_| panic!("{file}: {once}"));
                assert_eq!(again.normal().to_jsonb(), once, "{file}");
            }
            continue;
        };
        let utc: Tz = "UTC".parse().unwrap();
        let zone: Option<Tz> = if kind & 0x80 == 0 { None } else { "Europe/Zurich".parse().ok() };
        let Ok(value) = read_text(&text, wanted, zone) else { continue };
        let Some(shown) = text_of(&value, zone.unwrap_or(utc)) else { continue };
        let again = read_text(&shown, wanted, zone).unwrap_or_else(|error| panic!("{file}: {shown}: {error}"));
        assert_eq!(text_of(&again, zone.unwrap_or(utc)), Some(shown), "{file}");
    }
}
