//! What strangers' bytes reach first, as functions that take anything: for the fuzzers, and for the tests that replay
//! what they found.
//!
//! Invariant: a function here panics where a promise is broken, and for no other reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Int64Array, ListArray, RecordBatch};
use arrow::array::{StringArray, StringViewArray};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::Any;
use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt, stream};
use hmac::{Hmac, Mac};
use lakeward_base::Redacted;
use lakeward_proto::{SignedTicket, Ticket};
use prost::Message;
use sha2::Sha256;

use crate::door::command;
use crate::received::open;
use crate::ticket::{Holder, TicketKey};

const KEY: [u8; 32] = [7; 32];

/// Commands, and tickets: those of strangers, and those that are signed and hold anything.
pub fn commands(data: &[u8]) {
    if let Ok(any) = Any::decode(data) {
        let _ = command(any);
    }
    let key = TicketKey::new(Redacted::new(KEY));
    let holder = Holder { session_user: "alice", session_id: b"one" };
    assert!(key.redeem(data, holder, 0).is_err(), "a forged ticket is taken");
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("a key");
    mac.update(b"lakeward/flight-ticket/v1\0");
    mac.update(data);
    let signed = SignedTicket { ticket: data.to_vec(), mac: mac.finalize().into_bytes().to_vec() };
    if let Ok(handle) = key.redeem(&signed.encode_to_vec(), holder, 0) {
        let ticket = Ticket::decode(data).expect("what was redeemed is a ticket");
        assert_eq!((ticket.session_user.as_str(), ticket.statement_handle), ("alice", handle));
    }
}

/// Rows of a DoPut, with some of their bytes changed: three bytes of `data` say where and into what, the first byte how
/// many messages come. Rows that arrive are whole.
pub fn rows(data: &[u8]) {
    let Some((count, changes)) = data.split_first() else { return };
    let mut messages = valid();
    messages.truncate(usize::from(*count) % (messages.len() + 1));
    for change in changes.chunks_exact(3) {
        let (place, byte) = (usize::from(u16::from_le_bytes([change[0], change[1]])), change[2]);
        set(&mut messages, place, byte);
    }
    let mut messages = messages.into_iter();
    let Some(first) = messages.next() else { return };
    block_on(async {
        let rest = stream::iter(messages.map(Ok).collect::<Vec<_>>()).boxed();
        let Ok(Some(incoming)) = open(first, rest).await else { return };
        let schema = Arc::clone(&incoming.schema);
        let Ok(batches) = incoming.batches.try_collect::<Vec<_>>().await else { return };
        for batch in batches {
            assert_eq!(batch.schema(), schema);
            for column in batch.columns() {
                column.to_data().validate_full().expect("whole values");
            }
        }
    });
}

/// Changes one byte of all of them, counted on.
fn set(messages: &mut [FlightData], place: usize, byte: u8) {
    let total: usize = messages.iter().map(|message| message.data_header.len() + message.data_body.len()).sum();
    if total == 0 {
        return;
    }
    let mut place = place % total;
    for part in messages.iter_mut().flat_map(|message| [&mut message.data_header, &mut message.data_body]) {
        if place < part.len() {
            let mut changed = part.to_vec();
            changed[place] = byte;
            *part = Bytes::from(changed);
            return;
        }
        place -= part.len();
    }
}

/// Two batches of columns of many kinds, as a client sends them.
fn valid() -> Vec<FlightData> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
        ("name", Arc::new(StringArray::from(vec![Some("Ada"), Some(""), None]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("longer than twelve bytes"), None, Some("short")]))),
        ("kind", Arc::new(["a", "b", "a"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("alive", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("cost", Arc::new(Decimal128Array::from(vec![Some(100), Some(-1), None]))),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
                Some(vec![Some(1), None]),
                None,
                Some(Vec::new()),
            ])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let batches = stream::iter([Ok(batch.clone()), Ok(batch)]);
    let encoded = FlightDataEncoderBuilder::new().build(batches).try_collect();
    block_on(encoded).expect("a batch can be sent")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{commands, rows, valid};

    #[test]
    fn rows_that_nobody_changed_arrive() {
        rows(&[u8::try_from(valid().len()).unwrap()]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_command_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            commands(&data);
        }

        #[test]
        fn changed_rows_are_whole_or_refused(count in 1u8..8, changes in prop::collection::vec(any::<[u8; 3]>(), 0..6)) {
            let changes = changes.concat();
            rows(&[&[count], changes.as_slice()].concat());
        }
    }
}
