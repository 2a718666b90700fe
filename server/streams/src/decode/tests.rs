//! What becomes of records, good and bad.

use arrow::array::{
    Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{TimeUnit, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;

fn vitals() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("patient_id", DataType::Int64, true),
        Field::new("heart_rate", DataType::Int32, true),
        Field::new("temperature", DataType::Float64, true),
        Field::new("dose", DataType::Decimal128(6, 2), true),
        Field::new("device", DataType::Utf8, true),
        Field::new("moving", DataType::Boolean, true),
        Field::new("born", DataType::Date32, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

fn records<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Record> {
    let numbered = (0..).zip(texts);
    numbered.map(|(offset, text)| Record { partition: 3, offset, appended_us: 0, bytes: text.to_vec() }).collect()
}

fn decode(texts: &[&str]) -> Decoded {
    let decoder = Decoder::new(vitals(), 1_000).expect("supported");
    decoder.decode(&records(texts.iter().map(|text| text.as_bytes()))).expect("decodes")
}

fn reason(text: &str) -> Option<String> {
    let decoded = decode(&[r#"{"patient_id": 1}"#, text, r#"{"patient_id": 2}"#]);
    let ids: &Int64Array = decoded.rows.batch.column(0).as_primitive();
    assert_eq!((ids.value(0), ids.value(ids.len() - 1)), (1, 2), "the neighbours of {text} are rows");
    assert_eq!(decoded.rows.batch.num_rows() + decoded.dead.len(), 3, "{text}");
    assert_eq!(decoded.rows.origins.len(), decoded.rows.batch.num_rows());
    let mut dead = decoded.dead;
    dead.pop().map(|letter| {
        assert_eq!((letter.origin, letter.bytes.as_slice()), (Origin { partition: 3, offset: 1 }, text.as_bytes()));
        letter.reason
    })
}

#[test]
fn a_record_is_a_row_by_its_names() {
    let decoded = decode(&[
        r#"{"timestamp": "2026-01-27 10:00:00", "heart_rate": 72, "patient_id": 17, "unknown": [1, {}]}"#,
        r#" {"heart_rate": "72", "temperature": 36.6, "dose": 0.125, "device": 5, "moving": true, "born": "1950-02-03"} "#,
        "{}",
    ]);
    assert!(decoded.dead.is_empty());
    let batch = decoded.rows.batch;
    assert_eq!(batch.column(0).as_ref(), &Int64Array::from(vec![Some(17), None, None]) as &dyn Array);
    assert_eq!(batch.column(1).as_ref(), &Int32Array::from(vec![Some(72), Some(72), None]) as &dyn Array);
    assert_eq!(batch.column(2).as_ref(), &Float64Array::from(vec![None, Some(36.6), None]) as &dyn Array);
    let dose = Decimal128Array::from(vec![None, Some(13), None]).with_precision_and_scale(6, 2).expect("fits");
    assert_eq!(batch.column(3).as_ref(), &dose as &dyn Array, "rounded as a cast rounds");
    assert_eq!(batch.column(4).as_ref(), &StringArray::from(vec![None, Some("5"), None]) as &dyn Array);
    assert!(batch.column(5).as_boolean().value(1));
    assert!(batch.column(6).is_valid(1));
}

#[test]
fn times_are_sql_or_iso_or_milliseconds() {
    let ten = 1_769_508_000_000_000;
    for (text, expected) in [
        ("\"2026-01-27 10:00:00\"", ten),
        ("\"2026-01-27T10:00:00Z\"", ten),
        ("\"2026-01-27T10:00:00\"", ten),
        ("\"2026-01-27T11:00:00.25+01:00\"", ten + 250_000),
        ("\"2026-01-27 10:00:00.123456\"", ten + 123_456),
        ("\"2026-01-27\"", ten - 36_000_000_000),
        ("1769508000000", ten),
        ("\"1769508000000\"", ten),
        ("1769508000000.5", ten + 500),
        ("1.769508e12", ten),
        ("-1", -1_000),
    ] {
        let decoded = decode(&[&format!("{{\"timestamp\": {text}}}")]);
        assert!(decoded.dead.is_empty(), "{text}");
        let times: &TimestampMicrosecondArray = decoded.rows.batch.column(7).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.value(0), expected, "{text}");
    }
}

#[test]
fn a_wrong_value_is_a_dead_letter_whose_reason_names_the_column_and_no_value() {
    for (text, expected) in [
        (r#"{"heart_rate": "seventy"}"#, "column \"heart_rate\" is no integer"),
        (r#"{"heart_rate": 72.5}"#, "column \"heart_rate\" is no integer"),
        (r#"{"heart_rate": 3000000000}"#, "column \"heart_rate\" is no integer"),
        (r#"{"heart_rate": true}"#, "column \"heart_rate\" is no integer"),
        (r#"{"temperature": "NaN"}"#, "column \"temperature\" is no double precision"),
        (r#"{"temperature": 1e999}"#, "column \"temperature\" is no double precision"),
        (r#"{"dose": 123456.7}"#, "column \"dose\" is no Decimal128(6, 2)"),
        (r#"{"device": "a\u0000b"}"#, "column \"device\" holds a zero byte"),
        (r#"{"moving": 1}"#, "column \"moving\" is no boolean"),
        (r#"{"born": 20000}"#, "column \"born\" is no date"),
        (r#"{"timestamp": "yesterday"}"#, "column \"timestamp\" is no timestamp"),
        (r#"{"timestamp": 9223372036854775807}"#, "column \"timestamp\" is no timestamp"),
    ] {
        assert_eq!(reason(text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(reason(r#"{"heart_rate": 72.0}"#), None, "no fraction");
}

#[test]
fn what_is_not_one_object_is_a_dead_letter() {
    for text in [
        "",
        " ",
        "null",
        "7",
        "\"x\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{\"patient_id\": 1",
        "{\"patient_id\": }",
        "{\"patient_id\": 1} {\"patient_id\": 2}",
        "{\"patient_id\": 1} x",
        "{\"patient_id\": 1} 5",
        "{} tru",
        "{\"patient_id\": {\"a\": 1}}",
        "{\"patient_id\": [1]}",
        "{\"device\": \"\\ud800\"}",
        "{'patient_id': 1}",
    ] {
        assert_eq!(reason(text).as_deref(), Some(NO_OBJECT), "{text}");
    }
    let decoder = Decoder::new(vitals(), 1_000).expect("supported");
    let decoded = decoder.decode(&records([b"{\"device\": \"\xFF\"}".as_slice()])).expect("decodes");
    assert_eq!(decoded.dead.len(), 1, "not UTF-8");
    let long = format!("{{\"device\": \"{}\"}}", "x".repeat(1_000));
    assert_eq!(reason(&long).as_deref(), Some("the record has more than 1000 bytes"));
}

#[test]
fn a_column_that_must_be_there_is_missed() {
    let schema = Arc::new(Schema::new(vec![Field::new("patient_id", DataType::Int64, false)]));
    let decoder = Decoder::new(schema, 1_000).expect("supported");
    let decoded = decoder.decode(&records([b"{}".as_slice(), b"{\"patient_id\": 1}"]));
    let decoded = decoded.expect("decodes");
    assert_eq!((decoded.rows.batch.num_rows(), decoded.dead.len()), (1, 1));
}

#[test]
fn columns_that_are_no_plain_values_are_refused() {
    let list = Field::new("readings", DataType::new_list(DataType::Int32, true), true);
    let error = Decoder::new(Arc::new(Schema::new(vec![list])), 1_000).expect_err("a list");
    assert!(matches!(error, StreamError::UnsupportedType { column, .. } if column == "readings"));
}

proptest! {
    #[test]
    fn hostile_records_are_rows_or_dead_letters_each(
        texts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                "[{}\\[\\]\":,a-z0-9.\\\\ -]{0,40}".prop_map(String::into_bytes),
                (any::<i32>(), "\\PC{0,12}").prop_map(|(rate, device)| {
                    let device: String = device.chars().filter(|c| !"\"\\".contains(*c)).collect();
                    format!("{{\"heart_rate\": {rate}, \"device\": \"{device}\"}}").into_bytes()
                }),
            ],
            0..12,
        )
    ) {
        let decoder = Decoder::new(vitals(), 1_000).expect("supported");
        let all = records(texts.iter().map(Vec::as_slice));
        let together = decoder.decode(&all).expect("decodes");
        let mut places: Vec<_> = together.rows.origins.clone();
        places.extend(together.dead.iter().map(|letter| letter.origin));
        places.sort_unstable();
        prop_assert_eq!(places, (0..all.len() as u64).map(|offset| Origin { partition: 3, offset }).collect::<Vec<_>>());
        // Whatever its neighbours are, a record becomes what it becomes alone.
        for (row, origin) in together.rows.origins.iter().enumerate() {
            let record = &all[usize::try_from(origin.offset).expect("small")];
            let alone = decoder.decode(std::slice::from_ref(record)).expect("decodes");
            prop_assert_eq!(alone.rows.batch, together.rows.batch.slice(row, 1));
        }
    }
}
