//! What strangers' bytes reach first, each with a function that must neither panic nor break its promise.
//!
//! The modules are the adapters' own files. Invariant: a function here takes any bytes.

mod copy;
#[path = "../../server/pg/src/error.rs"]
mod error;
#[path = "../../server/pg/src/frame.rs"]
mod frame;
#[path = "../../server/pg/src/message.rs"]
mod message;
#[path = "../../server/pg/src/packet.rs"]
mod packet;
#[path = "../../server/pg/src/parameter/mod.rs"]
mod parameter;
#[path = "../../server/pg/src/rows/mod.rs"]
mod rows;
#[path = "../../server/flight/src/ticket.rs"]
mod tickets;
#[path = "../../server/pg/src/types.rs"]
mod types;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use bytes::{Bytes, BytesMut};
use lakeward_base::Redacted;

mod status {
    /// As the Flight adapter's.
    pub(crate) fn internal() -> lakeward_engine::Error {
        panic!("an internal error")
    }
}

/// Statements: the front parser, sqlparser, what is allowed, the text without literals, and the rewriting for the planner.
pub fn front(data: &[u8]) {
    lakeward_engine::statements(&String::from_utf8_lossy(data));
}

/// Expressions: policies' and masks'.
pub fn policy(data: &[u8]) {
    lakeward_engine::expressions(&String::from_utf8_lossy(data));
}

/// The PostgreSQL protocol: the packet before login, frames, messages, and the values of Bind.
pub fn wire(data: &[u8]) {
    if let Some((prefix, rest)) = data.split_first_chunk::<4>()
        && let Ok(length) = packet::body_length(*prefix, 10_000)
        && let Some(body) = rest.get(..length)
        && let Ok(packet::Packet::Hello(hello)) = packet::parse(Bytes::copy_from_slice(body))
    {
        let _ = (hello.negotiated(), hello.unknown_options(), hello.application_name(), hello.settings());
    }
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = frame::take(&mut buffer, 1 << 20) {
        if let Ok(message::Frontend::Bind(bind)) = message::Frontend::decode(frame.tag, frame.body) {
            let types = types();
            let bound: Vec<DataType> = types.iter().cycle().take(bind.parameters.len()).cloned().collect();
            let oids = parameter::oids(&[], &bound);
            let _ = parameter::decode(&bind, &oids, &bound, rows::Zone::UTC);
            let _ = types::Formats::new(&bind.result_formats, 3, "result");
        }
    }
}

/// COPY's three forms: the first byte says which, the second where the data is cut in two.
pub fn copy(data: &[u8]) {
    let [style, cut, data @ ..] = data else { return };
    let sql = match style % 6 {
        0 => "COPY t FROM STDIN",
        1 => "COPY t FROM STDIN WITH (FORMAT csv)",
        2 => "COPY t FROM STDIN WITH (FORMAT csv, HEADER match, DELIMITER ';', QUOTE '%', ESCAPE '\\', NULL 'nil')",
        3 => "COPY t FROM STDIN WITH (FORMAT binary)",
        4 => "COPY t FROM STDIN WITH (FORMAT text, HEADER, DELIMITER '|', NULL '')",
        _ => "COPY t FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (a), FORCE_NULL (b))",
    };
    let parsed = lakeward_engine::statement::parse(sql).expect("a COPY");
    let lakeward_engine::statement::Kind::CopyIn(statement) = &parsed.kind else { panic!("no COPY") };
    let fields = [("a", DataType::Int32), ("b", DataType::Utf8)];
    let fields: Vec<Field> = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let whole = copy::read(&statement.options, &schema, &[data]);
    let (first, second) = data.split_at(usize::from(*cut).min(data.len()));
    assert_eq!(copy::read(&statement.options, &schema, &[first, second]), whole, "cut at {cut}");
}

/// Values as text: the first byte says of which type.
pub fn input(data: &[u8]) {
    let [kind, data @ ..] = data else { return };
    let text = String::from_utf8_lossy(data);
    let types = types();
    match types.get(usize::from(*kind) % (types.len() + 1)) {
        Some(wanted) => {
            let zone = if kind & 0x80 == 0 { None } else { "Europe/Zurich".parse().ok() };
            lakeward_engine::value(&text, wanted, zone);
        }
        None => lakeward_engine::json(&text),
    }
}

/// Flight's tickets: those of strangers, and those that are signed and hold anything.
pub fn ticket(data: &[u8]) {
    use hmac::Mac;
    use prost::Message;
    let key = tickets::TicketKey::new(Redacted::new([7; 32]));
    let holder = tickets::Holder { session_user: "alice", session_id: b"one" };
    assert!(key.redeem(data, holder, 0).is_err(), "a forged ticket");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).expect("a key");
    mac.update(b"lakeward/flight-ticket/v1\0");
    mac.update(data);
    let signed = lakeward_proto::SignedTicket { ticket: data.to_vec(), mac: mac.finalize().into_bytes().to_vec() };
    if let Ok(handle) = key.redeem(&signed.encode_to_vec(), holder, 0) {
        let ticket = lakeward_proto::Ticket::decode(data).expect("what was redeemed is a ticket");
        assert_eq!((ticket.session_user.as_str(), ticket.statement_handle), ("alice", handle));
    }
}

/// The types that columns and parameters have.
fn types() -> Vec<DataType> {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
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
        zoned,
        DataType::Interval(IntervalUnit::MonthDayNano),
        list(DataType::Int32),
        list(DataType::Utf8),
        list(list(DataType::Date32)),
    ]
}
