//! Parameters against the forms that clients send.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use bytes::{Bytes, BytesMut};
use datafusion_common::ScalarValue;
use lakeward_base::Coded;
use postgres_types::{ToSql, Type};
use proptest::prelude::*;

use super::{decode, hint, oids};
use crate::error::PgError;
use crate::message::Bind;
use crate::rows::Zone;

fn bind(value: Option<&[u8]>, format: i16) -> Bind {
    Bind {
        portal: String::new(),
        statement: String::new(),
        parameter_formats: vec![format],
        parameters: vec![value.map(Bytes::copy_from_slice)],
        result_formats: Vec::new(),
    }
}

fn read(kind: &Type, target: DataType, value: &[u8], format: i16) -> Result<ScalarValue, PgError> {
    let mut all = decode(&bind(Some(value), format), &[kind.oid()], &[target], Zone::named("Europe/Berlin"))?;
    assert_eq!(all.len(), 1);
    Ok(all.remove(0))
}

fn text(kind: &Type, value: &str) -> Result<ScalarValue, PgError> {
    read(kind, hint(kind.oid()).unwrap(), value.as_bytes(), 0)
}

fn sqlstate(result: Result<ScalarValue, PgError>) -> String {
    match result {
        Ok(value) => panic!("accepted as {value:?}"),
        Err(error) => error.sqlstate().to_string(),
    }
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

#[test]
fn text_forms() {
    for (value, expected) in [
        ("t", true),
        ("TRUE", true),
        ("y", true),
        ("1", true),
        (" on ", true),
        ("f", false),
        ("of", false),
        ("0", false),
        ("no", false),
    ] {
        assert_eq!(text(&Type::BOOL, value).unwrap(), ScalarValue::Boolean(Some(expected)), "{value}");
    }
    assert_eq!(text(&Type::INT4, " -17 ").unwrap(), ScalarValue::Int32(Some(-17)));
    assert_eq!(text(&Type::FLOAT8, "-Infinity").unwrap(), ScalarValue::Float64(Some(f64::NEG_INFINITY)));
    assert_eq!(text(&Type::BYTEA, "\\xDEad").unwrap(), ScalarValue::Binary(Some(vec![0xde, 0xad])));
    assert_eq!(text(&Type::BYTEA, "a\\\\\\001").unwrap(), ScalarValue::Binary(Some(vec![b'a', b'\\', 1])));
    assert_eq!(text(&Type::VARCHAR, " x ").unwrap(), ScalarValue::Utf8(Some(" x ".to_owned())));
    assert_eq!(text(&Type::DATE, "2026-01-27").unwrap(), ScalarValue::Date32(Some(20_480)));
    assert_eq!(text(&Type::DATE, "20260127").unwrap(), ScalarValue::Date32(Some(20_480)));
    assert_eq!(text(&Type::DATE, "0044-03-15 BC").unwrap(), ScalarValue::Date32(Some(-735_160)));
    assert_eq!(text(&Type::TIME, "01:02:03.5").unwrap(), ScalarValue::Time64Microsecond(Some(3_723_500_000)));
    let moment = |micros| ScalarValue::TimestampMicrosecond(Some(micros), None);
    assert_eq!(text(&Type::TIMESTAMP, "1970-01-02T00:00:01.0000005").unwrap(), moment(86_401_000_001));
    assert_eq!(text(&Type::TIMESTAMP, "1970-01-01 00:00:00+05").unwrap(), moment(0));
}

#[test]
fn moments_with_a_zone() {
    let moment = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some(Arc::from("UTC")));
    assert_eq!(text(&Type::TIMESTAMPTZ, "1970-01-01 01:00:00+01").unwrap(), moment(0));
    assert_eq!(text(&Type::TIMESTAMPTZ, "1970-01-01T00:00:00Z").unwrap(), moment(0));
    assert_eq!(text(&Type::TIMESTAMPTZ, "1970-01-01 00:00:00-03:30").unwrap(), moment(12_600_000_000));
    assert_eq!(text(&Type::TIMESTAMPTZ, "1970-01-01 01:00:00").unwrap(), moment(0), "the session's zone");
}

#[test]
fn errors_have_postgresqls_codes_and_no_value() {
    assert_eq!(sqlstate(text(&Type::INT4, "412-68-1073")), "22P02");
    assert_eq!(sqlstate(text(&Type::INT2, "40000")), "22003");
    assert_eq!(sqlstate(text(&Type::INT8, "")), "22P02");
    assert_eq!(sqlstate(text(&Type::BOOL, "o")), "22P02");
    assert_eq!(sqlstate(text(&Type::FLOAT8, "1e999")), "22003");
    assert_eq!(sqlstate(text(&Type::DATE, "2026-02-30")), "22008");
    assert_eq!(sqlstate(text(&Type::TIMESTAMP, "infinity")), "0A000");
    assert_eq!(sqlstate(read(&Type::INT4, DataType::Int32, &[0; 3], 1)), "22P03");
    assert_eq!(sqlstate(read(&Type::INT8, DataType::Int32, &i64::MAX.to_be_bytes(), 1)), "22003");
    assert_eq!(sqlstate(read(&Type::TEXT, DataType::Int32, b"412-68-1073", 0)), "22P02");
    assert_eq!(sqlstate(read(&Type::TEXT, DataType::Utf8, b"\xff", 0)), "22021");
    assert_eq!(sqlstate(read(&Type::TEXT, DataType::Utf8, b"a\0b", 1)), "22021");
    assert_eq!(sqlstate(read(&Type::TIMESTAMP, MICROS, &i64::MAX.to_be_bytes(), 1)), "22008");
    assert_eq!(sqlstate(read(&Type::INT4_ARRAY, DataType::Int32, b"{1}", 0)), "0A000");
    assert_eq!(sqlstate(read(&Type::NUMERIC, DataType::Decimal128(4, 2), b"100", 0)), "22003");
    let error = text(&Type::INT4, "412-68-1073").unwrap_err();
    assert!(!error.message().contains("412"), "{error}");
    assert_eq!(error.message(), "invalid input syntax for type integer");
    assert_eq!(error.context().as_deref(), Some("unnamed portal parameter $1"));
    let error = read(&Type::INT4, DataType::Int32, &[0; 3], 1).unwrap_err();
    assert_eq!(error.message(), "incorrect binary data format in bind parameter 1");
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(arrow::datatypes::Field::new("item", item, true)))
}

#[test]
fn arrays_in_text_and_in_binary_are_the_same() {
    let cases: [(&Type, &str, DataType); 8] = [
        (&Type::INT4_ARRAY, "{1,NULL,-3}", list(DataType::Int32)),
        (&Type::INT4_ARRAY, "{}", list(DataType::Int32)),
        (&Type::INT4_ARRAY, "{{1,2},{3,4}}", list(list(DataType::Int32))),
        (&Type::INT4_ARRAY, "{1,2}", list(DataType::Int64)),
        (&Type::TEXT_ARRAY, r#"{"a b",NULL,"null",""}"#, list(DataType::Utf8)),
        (&Type::NUMERIC_ARRAY, "{1.50,-2}", list(DataType::Decimal128(10, 2))),
        (&Type::BOOL_ARRAY, "{t,f}", list(DataType::Boolean)),
        (&Type::DATE_ARRAY, "{2026-01-27}", list(DataType::Date32)),
    ];
    for (kind, written, target) in cases {
        let value = read(kind, target.clone(), written.as_bytes(), 0).unwrap();
        assert_eq!(value.data_type(), target, "{written}");
        let batch =
            arrow::array::RecordBatch::try_from_iter_with_nullable([("c", value.to_array().unwrap(), true)]).unwrap();
        let encoder = crate::rows::RowEncoder::new(crate::types::Formats::new(&[1], 1, "result").unwrap(), Zone::UTC);
        let mut row = Vec::new();
        encoder.encode(&batch, 0, 1, usize::MAX, &mut row).unwrap();
        // Elements are sent under their own type; a client that declares another would be refused.
        let kind = crate::types::of_arrow(&target).unwrap();
        assert_eq!(read(&kind, target.clone(), &row[11..], 1).unwrap(), value, "{written}");
    }
}

#[test]
fn arrays_that_are_none_are_refused() {
    let ints = || list(DataType::Int32);
    for (written, code) in
        [("{1", "22P02"), ("{1,x}", "22P02"), ("{{1},{2,3}}", "0A000"), ("1", "0A000"), ("{1}x", "22P02")]
    {
        assert_eq!(sqlstate(read(&Type::INT4_ARRAY, ints(), written.as_bytes(), 0)), code, "{written}");
    }
    assert_eq!(sqlstate(read(&Type::INT4_ARRAY, list(ints()), b"{{1},{2,3}}", 0)), "22P02");
    let one = |count: i32| {
        [&1_i32.to_be_bytes()[..], &[0; 4], &23_u32.to_be_bytes(), &count.to_be_bytes(), &1_i32.to_be_bytes()].concat()
    };
    for bytes in [one(1), one(-1), one(i32::MAX), vec![0; 3], [0xff; 12].to_vec()] {
        assert_eq!(sqlstate(read(&Type::INT4_ARRAY, ints(), &bytes, 1)), "22P03");
    }
    let text = [&[0; 8][..], &25_u32.to_be_bytes()].concat();
    assert_eq!(sqlstate(read(&Type::INT4_ARRAY, ints(), &text, 1)), "42804");
}

#[test]
fn uuids_are_written_as_postgresql_writes_them() {
    let canonical = ScalarValue::Utf8(Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_owned()));
    for written in [
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    ] {
        assert_eq!(text(&Type::UUID, written).unwrap(), canonical, "{written}");
    }
    for written in ["", "a0eebc99", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "a0eebc99--9c0b4ef8bb6d6bb9bd380a11"] {
        assert_eq!(sqlstate(text(&Type::UUID, written)), "22P02", "{written}");
    }
}

#[test]
fn nulls_take_the_prepared_type() {
    let all = decode(&bind(None, 1), &[Type::INT8.oid()], &[DataType::Int32], Zone::UTC).unwrap();
    assert_eq!(all, [ScalarValue::Int32(None)]);
}

#[test]
fn values_are_counted() {
    let error = decode(&bind(None, 0), &[], &[], Zone::UTC).unwrap_err();
    assert_eq!(error.sqlstate().as_str(), "08P01");
}

#[test]
fn numbers_keep_their_scale_and_reach_other_types() {
    let numeric = |target, value: &str| read(&Type::NUMERIC, target, value.as_bytes(), 0).unwrap();
    assert_eq!(numeric(DataType::Decimal128(10, 2), "-1.5"), ScalarValue::Decimal128(Some(-150), 10, 2));
    assert_eq!(numeric(DataType::Float64, "NaN").to_string(), "NaN");
    assert_eq!(numeric(DataType::Int64, "17.00"), ScalarValue::Int64(Some(17)));
    assert_eq!(numeric(DataType::Utf8, "1.50"), ScalarValue::Utf8(Some("1.50".to_owned())));
    // 123.4500 as numeric_send has it, and −0.0005.
    let bytes = [0, 2, 0, 0, 0, 0, 0, 4, 0, 123, 0x11, 0x94];
    assert_eq!(
        read(&Type::NUMERIC, DataType::Decimal128(10, 4), &bytes, 1).unwrap(),
        ScalarValue::Decimal128(Some(1_234_500), 10, 4)
    );
    let bytes = [0, 1, 0xff, 0xff, 0x40, 0, 0, 4, 0, 5];
    assert_eq!(
        read(&Type::NUMERIC, DataType::Decimal128(10, 4), &bytes, 1).unwrap(),
        ScalarValue::Decimal128(Some(-5), 10, 4)
    );
}

#[test]
fn clients_declare_types_or_leave_them() {
    let types = [DataType::Int64, DataType::Utf8View, DataType::Decimal128(5, 1)];
    assert_eq!(oids(&[23, 0], &types), [23, Type::TEXT.oid(), Type::NUMERIC.oid()]);
    assert_eq!(oids(&[705], &types)[0], Type::INT8.oid());
    assert_eq!(hint(0), None);
}

/// What a client library sends in binary.
fn client(value: impl ToSql, kind: &Type, target: DataType) -> ScalarValue {
    let mut bytes = BytesMut::new();
    let _ = value.to_sql(kind, &mut bytes).unwrap();
    read(kind, target, &bytes, 1).unwrap()
}

proptest! {
    #[test]
    fn what_clients_send_arrives(integer in any::<i32>(), float in any::<f64>(), string in "[^\0]*", bytes in any::<Vec<u8>>(), flag in any::<bool>()) {
        prop_assert_eq!(client(integer, &Type::INT4, DataType::Int32), ScalarValue::Int32(Some(integer)));
        prop_assert_eq!(client(integer, &Type::INT4, DataType::Int64), ScalarValue::Int64(Some(i64::from(integer))));
        prop_assert_eq!(client(float, &Type::FLOAT8, DataType::Float64), ScalarValue::Float64(Some(float)));
        prop_assert_eq!(client(&string, &Type::TEXT, DataType::Utf8View), ScalarValue::Utf8View(Some(string.clone())));
        prop_assert_eq!(client(&bytes, &Type::BYTEA, DataType::Binary), ScalarValue::Binary(Some(bytes.clone())));
        prop_assert_eq!(client(flag, &Type::BOOL, DataType::Boolean), ScalarValue::Boolean(Some(flag)));
    }

    #[test]
    fn timestamps_read_as_they_are_shown(micros in -62_135_596_800_000_000i64..253_402_300_799_999_999) {
        let shown = chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc().to_string();
        prop_assert_eq!(text(&Type::TIMESTAMP, &shown).unwrap(), ScalarValue::TimestampMicrosecond(Some(micros), None));
    }

    #[test]
    fn no_value_panics(kind in proptest::sample::select(vec![Type::BOOL, Type::INT2, Type::INT8, Type::FLOAT4, Type::NUMERIC, Type::TEXT,
                           Type::BYTEA, Type::DATE, Type::TIME, Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::INTERVAL, Type::UUID, Type::JSONB,
                           Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::NUMERIC_ARRAY, Type::TIMESTAMPTZ_ARRAY]),
                       value in proptest::collection::vec(any::<u8>(), 0..24), printable in "[-+ 0-9:.TZeBC\\\\x{},\"]{0,24}", format in 0i16..2) {
        for value in [value.as_slice(), printable.as_bytes()] {
            let target = hint(kind.oid()).unwrap_or(DataType::Decimal128(38, 6));
            if let Ok(value) = read(&kind, target.clone(), value, format) {
                prop_assert_eq!(value.data_type(), target);
            }
        }
    }
}

/// PostgreSQL's binary form of a `numeric`.
fn binary_numeric(groups: &[u16], weight: i16, sign: u16, scale: u16) -> Vec<u8> {
    let count = u16::try_from(groups.len()).unwrap();
    let head = [count, weight.cast_unsigned(), sign, scale];
    head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
}

fn numeric_as_text(value: &[u8], format: i16) -> String {
    match read(&Type::NUMERIC, DataType::Utf8, value, format).unwrap() {
        ScalarValue::Utf8(Some(text)) => text,
        other => panic!("not text: {other:?}"),
    }
}

#[test]
fn numeric_parameters_as_text_are_written_as_postgresql_writes_them() {
    for (written, expected) in [
        ("7", "7"),
        ("-7.50", "-7.50"),
        ("+007.10", "7.10"),
        (".5", "0.5"),
        ("-0.00", "0.00"),
        ("12e2", "1200"),
        ("1.25E1", "12.5"),
        ("5e-3", "0.005"),
        ("nan", "NaN"),
        ("-inf", "-Infinity"),
        ("Infinity", "Infinity"),
    ] {
        assert_eq!(numeric_as_text(written.as_bytes(), 0), expected, "{written}");
    }
    for (sign, expected) in [(0xc000, "NaN"), (0xd000, "Infinity"), (0xf000, "-Infinity")] {
        assert_eq!(numeric_as_text(&binary_numeric(&[], 0, sign, 0), 1), expected);
    }
    assert_eq!(numeric_as_text(&binary_numeric(&[1, 5000], 0, 0, 2), 1), "1.50");
    assert_eq!(numeric_as_text(&binary_numeric(&[7], 2, 0x4000, 0), 1), "-700000000");
}

proptest! {
    /// Every weight, scale and sign, against arithmetic on whole numbers.
    #[test]
    fn binary_numerics_are_their_text(
        groups in proptest::collection::vec(0u16..10_000, 0..=3), weight in -2i16..=3, scale in 0u16..=20, negative: bool,
    ) {
        const PLACES: u32 = 16;
        let value: i128 = groups.iter().zip(0i16..).map(|(group, place)| {
            let power = 4 * i32::from(weight - place) + i32::try_from(PLACES).unwrap();
            i128::from(*group) * 10i128.pow(u32::try_from(power).unwrap())
        }).sum();
        let scale32 = u32::from(scale);
        let cut = if scale32 <= PLACES { value / 10i128.pow(PLACES - scale32) } else { value * 10i128.pow(scale32 - PLACES) };
        let (whole, fraction) = (cut / 10i128.pow(scale32), cut % 10i128.pow(scale32));
        let minus = if negative && cut != 0 { "-" } else { "" };
        let point = if scale == 0 { String::new() } else { format!(".{fraction:0>width$}", width = usize::from(scale)) };
        let expected = format!("{minus}{whole}{point}");
        let binary = binary_numeric(&groups, weight, if negative { 0x4000 } else { 0 }, scale);
        prop_assert_eq!(numeric_as_text(&binary, 1), expected.clone());
        prop_assert_eq!(numeric_as_text(expected.as_bytes(), 0), expected);
    }
}
