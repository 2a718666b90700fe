//! Rows against PostgreSQL's own text and bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, MapBuilder,
    NullArray, RecordBatch, StringArray, StringBuilder, StringViewArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, IntervalMonthDayNano, i256};
use bytes::{Buf, Bytes};
use chrono::{NaiveDate, NaiveDateTime};
use postgres_types::{FromSql, Type};
use proptest::prelude::*;

use super::{RowEncoder, Zone};
use crate::types::Formats;

fn batch(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap()
}

/// The values of the only column, as they are sent.
fn sent(array: ArrayRef, binary: bool) -> Vec<Option<Bytes>> {
    let formats = Formats::new(&[i16::from(binary)], 1, "result").unwrap();
    let encoder = RowEncoder::new(formats, Zone::UTC);
    let mut out = Vec::new();
    let rows = array.len();
    assert_eq!(encoder.encode(&batch(array), 0, rows, usize::MAX, &mut out).unwrap(), rows);
    let mut wire = Bytes::from(out);
    let mut values = Vec::new();
    while wire.has_remaining() {
        assert_eq!(wire.get_u8(), b'D');
        let mut row = wire.split_to(usize::try_from(wire.clone().get_u32()).unwrap());
        row.advance(4);
        assert_eq!(row.get_i16(), 1);
        let length = row.get_i32();
        values.push(usize::try_from(length).ok().map(|length| row.split_to(length)));
        assert!(!row.has_remaining());
    }
    values
}

fn text(array: impl arrow::array::Array + 'static) -> Vec<String> {
    let shown =
        |value: Option<Bytes>| value.map_or("<null>".to_owned(), |value| String::from_utf8(value.to_vec()).unwrap());
    sent(Arc::new(array), false).into_iter().map(shown).collect()
}

fn binary(array: impl arrow::array::Array + 'static) -> Vec<Vec<u8>> {
    sent(Arc::new(array), true).into_iter().map(|value| value.unwrap().to_vec()).collect()
}

#[test]
fn scalars_in_text() {
    assert_eq!(text(BooleanArray::from(vec![Some(true), Some(false), None])), ["t", "f", "<null>"]);
    assert_eq!(text(Int8Array::from(vec![-128])), ["-128"]);
    assert_eq!(text(Int64Array::from(vec![i64::MIN, i64::MAX])), ["-9223372036854775808", "9223372036854775807"]);
    assert_eq!(text(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
    assert_eq!(text(Float32Array::from(vec![0.1, f32::NAN])), ["0.1", "NaN"]);
    assert_eq!(text(Float64Array::from(vec![f64::INFINITY, 1e20])), ["Infinity", "1e+20"]);
    assert_eq!(text(StringArray::from(vec!["é\n", ""])), ["é\n", ""]);
    assert_eq!(
        text(StringViewArray::from(vec!["a string longer than twelve bytes"])),
        ["a string longer than twelve bytes"]
    );
    assert_eq!(text(BinaryArray::from(vec![&b"\x00\xde\xad"[..]])), ["\\x00dead"]);
    assert_eq!(text(NullArray::new(1)), ["<null>"]);
    assert_eq!(text(Time64MicrosecondArray::from(vec![3_723_500_000])), ["01:02:03.5"]);
    assert_eq!(text(Date32Array::from(vec![20_480])), ["2026-01-27"]);
}

#[test]
fn numbers_with_a_scale() {
    let decimals = Decimal128Array::from(vec![12_345, -5, 0]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(text(decimals), ["123.45", "-0.05", "0.00"]);
    let wide =
        Decimal256Array::from(vec![i256::from_string("-123456789012345678901234567890123456789012345").unwrap()])
            .with_precision_and_scale(60, 5)
            .unwrap();
    assert_eq!(text(wide), ["-1234567890123456789012345678901234567890.12345"]);
}

#[test]
fn moments_in_text() {
    let micros = 1_769_472_000_123_000;
    assert_eq!(text(TimestampMicrosecondArray::from(vec![micros])), ["2026-01-27 00:00:00.123"]);
    assert_eq!(
        text(TimestampMicrosecondArray::from(vec![micros]).with_timezone("+00:00")),
        ["2026-01-27 00:00:00.123+00"]
    );
    assert_eq!(text(TimestampNanosecondArray::from(vec![-1])), ["1969-12-31 23:59:59.999999"]);
    let interval = IntervalMonthDayNano { months: 14, days: 3, nanoseconds: 1_500_000_000 };
    assert_eq!(text(IntervalMonthDayNanoArray::from(vec![interval])), ["1 year 2 mons 3 days 00:00:01.5"]);
}

#[test]
fn arrays_in_text() {
    let numbers = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2), None]),
        Some(vec![]),
        None,
        Some(vec![Some(-7)]),
    ]);
    assert_eq!(text(numbers.clone()), ["{1,2,NULL}", "{}", "<null>", "{-7}"]);
    assert_eq!(text(arrow::array::Array::slice(&numbers, 3, 1)), ["{-7}"]);
    let words =
        StringArray::from(vec![Some("a b"), Some("null"), Some(""), Some("x\"y\\"), None, Some("ok"), Some("{,}")]);
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    let words = ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([7]), Arc::new(words), None);
    assert_eq!(text(words), [r#"{"a b","null","","x\"y\\",NULL,ok,"{,}"}"#]);
    let nested = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(3), Some(4)]),
    ]);
    let field = Arc::new(Field::new("item", arrow::array::Array::data_type(&nested).clone(), true));
    let nested = ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([2]), Arc::new(nested), None);
    assert_eq!(text(nested), ["{{1,2},{3,4}}"]);
}

fn object() -> StructArray {
    StructArray::from(vec![
        (
            Arc::new(Field::new("na\"me", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("x\ty\u{1}"), None])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("n", DataType::Float64, true)),
            Arc::new(Float64Array::from(vec![1.5, f64::NAN])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("b", DataType::Boolean, true)),
            Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("t", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None), true)),
            Arc::new(TimestampMicrosecondArray::from(vec![0, 0])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("h", DataType::Binary, true)),
            Arc::new(BinaryArray::from(vec![&b"\x01"[..], b""])) as ArrayRef,
        ),
    ])
}

#[test]
fn structs_and_maps_are_json() {
    assert_eq!(
        text(object()),
        [
            r#"{"na\"me": "x\ty\u0001", "n": 1.5, "b": true, "t": "1970-01-01T00:00:00", "h": "\\x01"}"#,
            r#"{"na\"me": null, "n": "NaN", "b": false, "t": "1970-01-01T00:00:00", "h": "\\x"}"#,
        ]
    );
    assert_eq!(binary(object())[0][..3], [1, b'{', b'"']);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Array::builder(2));
    map.keys().append_value("k");
    map.values().append_value(1);
    map.keys().append_value("l");
    map.values().append_null();
    map.append(true).unwrap();
    assert_eq!(text(map.finish()), [r#"{"k": 1, "l": null}"#]);
}

#[test]
fn dictionaries_are_looked_through() {
    let values: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    assert_eq!(text(values), ["a", "<null>", "b", "a"]);
    let keys = Int32Array::from(vec![1, 0]);
    let with_null = DictionaryArray::new(keys, Arc::new(Int64Array::from(vec![Some(5), None])));
    assert_eq!(text(with_null), ["<null>", "5"]);
}

/// As PostgreSQL 15 sends them.
#[test]
fn scalars_in_binary() {
    assert_eq!(binary(BooleanArray::from(vec![true])), [[1]]);
    assert_eq!(binary(Int8Array::from(vec![-2])), [[0xff, 0xfe]]);
    assert_eq!(binary(Int16Array::from(vec![258])), [[1, 2]]);
    assert_eq!(binary(UInt32Array::from(vec![u32::MAX])), [[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]]);
    assert_eq!(binary(Float64Array::from(vec![1.0])), [[0x3f, 0xf0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(binary(Date32Array::from(vec![10_957])), [[0, 0, 0, 0]]);
    assert_eq!(binary(TimestampMicrosecondArray::from(vec![946_684_800_000_001])), [[0, 0, 0, 0, 0, 0, 0, 1]]);
    let numeric = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(binary(numeric), [[0, 2, 0, 0, 0, 0, 0, 2, 0, 123, 0x11, 0x94]]);
    assert_eq!(binary(UInt64Array::from(vec![10_000])), [[0, 1, 0, 1, 0, 0, 0, 0, 0, 1]]);
    let interval = IntervalMonthDayNano { months: 1, days: 2, nanoseconds: 3_000 };
    assert_eq!(
        binary(IntervalMonthDayNanoArray::from(vec![interval])),
        [[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1]]
    );
}

#[test]
fn nested_arrays_have_a_binary_form_where_their_lists_are_as_long() {
    let nested = |rows: &[&[i32]]| -> ArrayRef {
        let lists = rows.iter().map(|row| Some(row.iter().copied().map(Some).collect::<Vec<_>>()));
        let inner = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
        let field = Arc::new(Field::new("item", arrow::array::Array::data_type(&inner).clone(), true));
        Arc::new(ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([rows.len()]), Arc::new(inner), None))
    };
    let encoder = RowEncoder::new(Formats::new(&[1], 1, "result").unwrap(), Zone::UTC);
    let mut out = Vec::new();
    encoder.encode(&batch(nested(&[&[1, 2, 3], &[4, 5, 6]])), 0, 1, usize::MAX, &mut out).unwrap();
    let numbers: Vec<i32> =
        out[11..].chunks_exact(4).map(|bytes| i32::from_be_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(numbers[..9], [2, 0, 23, 2, 1, 3, 1, 4, 1], "dimensions, no NULL, int4; 2 from 1, 3 from 1; 4 bytes: 1");
    assert!(encoder.encode(&batch(nested(&[&[1], &[2, 3]])), 0, 1, usize::MAX, &mut Vec::new()).is_err());
}

#[test]
fn a_row_that_fails_leaves_nothing_behind() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![0, i32::MAX]));
    let encoder = RowEncoder::new(Formats::default(), Zone::UTC);
    let mut out = Vec::new();
    assert!(encoder.encode(&batch(dates), 0, 2, usize::MAX, &mut out).is_err());
    assert_eq!(out.len(), 1 + 4 + 2 + 4 + "1970-01-01".len(), "the first row only");
}

#[test]
fn encoding_stops_when_there_is_enough() {
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100));
    let encoder = RowEncoder::new(Formats::default(), Zone::UTC);
    let mut out = Vec::new();
    let next = encoder.encode(&batch(numbers), 10, 90, 24, &mut out).unwrap();
    assert_eq!((next, out.len()), (12, 2 * 13));
}

fn read<T: for<'a> FromSql<'a>>(kind: &Type, array: ArrayRef) -> Vec<Option<T>> {
    sent(array, true).iter().map(|value| value.as_ref().map(|value| T::from_sql(kind, value).unwrap())).collect()
}

proptest! {
    #[test]
    fn clients_read_back_numbers(values in proptest::collection::vec(any::<Option<i64>>(), 0..20), floats in proptest::collection::vec(-1e300f64..1e300, 0..20)) {
        let array: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        prop_assert_eq!(read::<i64>(&Type::INT8, array), values);
        let array: ArrayRef = Arc::new(Float64Array::from(floats.clone()));
        prop_assert_eq!(read::<f64>(&Type::FLOAT8, array), floats.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn clients_read_back_text_and_bytes(values in proptest::collection::vec(any::<Option<String>>(), 0..20), bytes in proptest::collection::vec(any::<Vec<u8>>(), 0..10)) {
        let array: ArrayRef = Arc::new(StringViewArray::from_iter(values.clone()));
        prop_assert_eq!(read::<String>(&Type::TEXT, array), values);
        let array: ArrayRef = Arc::new(BinaryArray::from_iter_values(&bytes));
        prop_assert_eq!(read::<Vec<u8>>(&Type::BYTEA, array), bytes.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn clients_read_back_arrays(values in proptest::collection::vec(proptest::collection::vec(any::<Option<i32>>(), 0..6), 1..6)) {
        let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(values.iter().cloned().map(Some)));
        let back = read::<Vec<Option<i32>>>(&Type::INT4_ARRAY, array);
        prop_assert_eq!(back, values.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn both_forms_of_a_moment_agree(micros in -62_135_596_800_000_000i64..253_402_300_799_999_999) {
        let expected = chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc();
        let shown = text(TimestampMicrosecondArray::from(vec![micros]));
        prop_assert_eq!(NaiveDateTime::parse_from_str(&shown[0], "%Y-%m-%d %H:%M:%S%.f").unwrap(), expected);
        let bytes = binary(TimestampMicrosecondArray::from(vec![micros]));
        let since_2000 = i64::from_be_bytes(bytes[0].clone().try_into().unwrap());
        let epoch = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
        prop_assert_eq!(epoch + chrono::TimeDelta::microseconds(since_2000), expected);
    }
}
