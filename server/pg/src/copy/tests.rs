//! The decoder against any pieces of any data: no panic, no value in an error, the same whatever the pieces.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::{BufMut, BytesMut};
use lakeward_base::{Coded, SqlState};
use lakeward_engine::{CopyHeader, CopyOptions, CopyStyle, Error, Quoted};
use proptest::prelude::*;

use super::binary::SIGNATURE;
use super::decode::Decoder;
use super::encode::CopyEncoder;
use crate::rows::Zone;

fn options(style: CopyStyle) -> CopyOptions {
    let csv = style == CopyStyle::Csv;
    CopyOptions {
        style,
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { String::new() } else { "\\N".to_owned() },
        header: CopyHeader::Off,
        quote: b'"',
        escape: b'"',
        force_quote: Quoted::None,
        force_not_null: Quoted::None,
        force_null: Quoted::None,
    }
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("c", DataType::Float64, true),
    ]))
}

/// What becomes of data in pieces of these lengths.
fn decode(options: &CopyOptions, data: &[u8], piece: usize) -> Result<Vec<RecordBatch>, Error> {
    let mut decoder =
        Decoder::new(&Arc::new(options.clone()), &schema(), "t", Zone::UTC).map_err(|e| Error::from_coded(&e))?;
    let mut batches = Vec::new();
    for piece in data.chunks(piece.max(1)) {
        decoder.push(piece)?;
        while let Some(batch) = decoder.next_batch()? {
            batches.push(batch);
        }
    }
    decoder.end();
    while let Some(batch) = decoder.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

/// An outcome that can be compared.
fn told(outcome: Result<Vec<RecordBatch>, Error>) -> String {
    match outcome {
        Ok(batches) => format!("{batches:?}"),
        Err(error) => format!("{} {error} {:?}", error.sqlstate(), error.context()),
    }
}

#[test]
fn an_error_has_its_place_and_no_value() {
    for (style, data) in [(CopyStyle::Text, "1\tx\t2\n412-68\ty\t3\n"), (CopyStyle::Csv, "1,x,2\n412-68,y,3\n")] {
        let error = decode(&options(style), data.as_bytes(), 4).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::INVALID_TEXT_REPRESENTATION);
        assert_eq!(error.message(), "invalid input syntax for type integer");
        assert_eq!(error.context().as_deref(), Some("COPY t, line 2, column a"));
    }
}

#[test]
fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
    let mut decoder = Decoder::new(&Arc::new(options(CopyStyle::Text)), &schema(), "t", Zone::UTC).unwrap();
    let piece = vec![b'x'; 16 * 1024 * 1024];
    let refused = (0..10).find_map(|_| decoder.push(&piece).and_then(|()| decoder.next_batch()).err());
    assert_eq!(refused.map(|error| error.sqlstate()), Some(SqlState::PROGRAM_LIMIT_EXCEEDED));
}

fn sample(rows: &[(Option<i32>, Option<String>, Option<f64>)]) -> RecordBatch {
    use arrow::array::{Float64Array, Int32Array, StringArray};
    let a = Int32Array::from_iter(rows.iter().map(|row| row.0));
    let b = StringArray::from_iter(rows.iter().map(|row| row.1.clone()));
    let c = Float64Array::from_iter(rows.iter().map(|row| row.2));
    RecordBatch::try_new(schema(), vec![Arc::new(a), Arc::new(b), Arc::new(c)]).unwrap()
}

/// The data without the messages around it.
fn encoded(options: &CopyOptions, batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = CopyEncoder::new(options, &schema(), Zone::UTC).unwrap();
    encoder.begin(&schema(), &mut out).unwrap();
    assert_eq!(encoder.encode(batch, 0, batch.num_rows(), usize::MAX, &mut out).unwrap(), batch.num_rows());
    encoder.end(&mut out).unwrap();
    let (mut data, mut rest) = (Vec::new(), &out[..]);
    while let [b'd', a, b, c, d, after @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap() - 4;
        data.extend_from_slice(&after[..length]);
        rest = &after[length..];
    }
    assert!(rest.is_empty());
    data
}

fn styles() -> impl Strategy<Value = CopyStyle> {
    proptest::sample::select(vec![CopyStyle::Text, CopyStyle::Csv, CopyStyle::Binary])
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        rows in proptest::collection::vec((any::<Option<i32>>(), proptest::option::of("[^\u{0}]{0,12}"), any::<Option<f64>>()), 0..20),
        style in styles(), piece in 1usize..40,
    ) {
        let batch = sample(&rows);
        let batches = decode(&options(style), &encoded(&options(style), &batch), piece).unwrap();
        let again = arrow::compute::concat_batches(&schema(), &batches).unwrap();
        prop_assert_eq!(format!("{again:?}"), format!("{batch:?}"));
    }

    #[test]
    fn no_data_panics_and_pieces_do_not_matter(
        data in proptest::collection::vec(prop_oneof![
            proptest::sample::select(b"1a,\t\n\r\\\"'.N\xff\x00".to_vec()), any::<u8>()], 0..120),
        style in styles(), piece in 1usize..10,
    ) {
        let whole = told(decode(&options(style), &data, data.len()));
        prop_assert_eq!(told(decode(&options(style), &data, piece)), whole);
    }

    #[test]
    fn no_binary_rows_panic(
        rows in proptest::collection::vec((any::<i16>(), proptest::collection::vec((any::<i32>(), 0usize..9), 0..4)), 0..4),
        mutation in proptest::option::of((0usize..80, any::<u8>())), piece in 1usize..10,
    ) {
        let mut data = BytesMut::from(SIGNATURE);
        data.put_i64(0);
        for (count, fields) in rows {
            data.put_i16(if count % 3 == 0 { count } else { 3 });
            for (value, length) in fields {
                data.put_i32(i32::try_from(length).unwrap());
                data.extend_from_slice(&[value.to_be_bytes(), value.to_be_bytes()].concat()[..length.min(8)]);
            }
        }
        if let Some((at, byte)) = mutation && let Some(slot) = data.get_mut(at) {
            *slot = byte;
        }
        let whole = told(decode(&options(CopyStyle::Binary), &data, data.len()));
        prop_assert_eq!(told(decode(&options(CopyStyle::Binary), &data, piece)), whole);
    }
}
