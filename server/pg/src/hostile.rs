//! What strangers' bytes reach first, as functions that take anything: for the fuzzers, and for the tests that replay
//! what they found (`tests/hostile`).
//!
//! Invariant: a function here panics where a promise is broken, and for no other reason.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::{Bytes, BytesMut};
use lakeward_base::{Coded, SqlState};
use lakeward_engine::statement::{Kind, parse};
use lakeward_engine::{CopyOptions, Error};

use crate::copy::Decoder;
use crate::message::Frontend;
use crate::rows::Zone;
use crate::types::Formats;
use crate::{frame, packet, parameter};

/// The longest message that is read.
const MESSAGE_BYTES: usize = 1 << 20;

/// The packet before the login, then frames, messages, and the values of Bind: a message or an error. Answers how many
/// Binds were read.
pub fn messages(data: &[u8]) -> usize {
    if let Some((length, rest)) = data.split_first_chunk::<4>()
        && let Ok(length) = packet::body_length(*length, 10_000)
        && let Some(body) = rest.get(..length)
        && let Ok(packet::Packet::Hello(hello)) = packet::parse(Bytes::copy_from_slice(body))
    {
        let _ = (hello.negotiated(), hello.unknown_options(), hello.application_name(), hello.settings());
    }
    let types = [
        DataType::Int32,
        DataType::Utf8,
        DataType::Float64,
        DataType::Date32,
        DataType::Binary,
        DataType::Decimal128(38, 10),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::List(Arc::new(Field::new("item", DataType::Int64, true))),
    ];
    let mut binds = 0;
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = frame::take(&mut buffer, MESSAGE_BYTES) {
        if let Ok(Frontend::Bind(bind)) = Frontend::decode(frame.tag, frame.body) {
            binds += 1;
            for first in 0..types.len() {
                let wanted: Vec<DataType> =
                    types.iter().cycle().skip(first).take(bind.parameters.len()).cloned().collect();
                let _ = parameter::decode(&bind, &parameter::oids(&[], &wanted), &wanted, Zone::UTC);
            }
            let _ = Formats::new(&bind.result_formats, 3, "result");
        }
    }
    binds
}

/// COPY's data, the first byte says how it looks, the second where it is cut in two: the same rows or error, whether
/// it comes in one piece or in two.
pub fn copied(data: &[u8]) {
    let [style, cut, data @ ..] = data else { return };
    let sql = match style % 6 {
        0 => "COPY t FROM STDIN",
        1 => "COPY t FROM STDIN WITH (FORMAT csv)",
        2 => "COPY t FROM STDIN WITH (FORMAT csv, HEADER match, DELIMITER ';', QUOTE '%', ESCAPE '\\', NULL 'nil')",
        3 => "COPY t FROM STDIN WITH (FORMAT binary)",
        4 => "COPY t FROM STDIN WITH (FORMAT text, HEADER, DELIMITER '|', NULL '')",
        _ => "COPY t FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (a), FORCE_NULL (b))",
    };
    let parsed = parse(sql).expect("a COPY");
    let Kind::CopyIn(statement) = &parsed.kind else { panic!("no COPY") };
    let fields = [("a", DataType::Int32), ("b", DataType::Utf8), ("c", DataType::Float64)];
    let fields: Vec<Field> = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let whole = decoded(&statement.options, &schema, &[data]);
    let (first, second) = data.split_at(usize::from(*cut).min(data.len()));
    assert_eq!(decoded(&statement.options, &schema, &[first, second]), whole, "cut at {cut}");
}

/// How many rows, or which error.
fn decoded(options: &Arc<CopyOptions>, schema: &SchemaRef, pieces: &[&[u8]]) -> Result<usize, SqlState> {
    let told = |error: Error| error.sqlstate();
    let mut decoder = Decoder::new(options, schema, "t", Zone::UTC).map_err(|error| error.sqlstate())?;
    let mut rows = 0;
    for piece in pieces {
        decoder.push(piece).map_err(told)?;
        while let Some(batch) = decoder.next_batch().map_err(told)? {
            rows += batch.num_rows();
        }
    }
    decoder.end();
    while let Some(batch) = decoder.next_batch().map_err(told)? {
        rows += batch.num_rows();
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{copied, messages};

    fn files(kind: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile").join(kind);
        let files = std::fs::read_dir(directory).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn the_corpus_of_messages_is_read() {
        let binds: usize = files("wire").iter().map(|data| messages(data)).sum();
        assert!(binds >= 3);
    }

    /// Every example in every form, cut everywhere.
    #[test]
    fn the_corpus_of_copied_data_is_read() {
        let files = files("copy");
        assert!(files.len() >= 9);
        for data in files {
            let data = data.get(2..).unwrap_or_default();
            for style in 0..6 {
                for cut in 0..=u8::try_from(data.len()).unwrap_or(u8::MAX) {
                    copied(&[&[style, cut], data].concat());
                }
            }
        }
    }
}
