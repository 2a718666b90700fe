//! Input that no driver sends: mutated tickets, commands and batches, types that do not fit, claims that are too large.
//!
//! Each is answered with a status that has its `sqlstate`, none is an internal error, and the server goes on.

use std::sync::Arc;

use arrow_flight::sql::{
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, ProstMessageExt, TableDefinitionOptions,
};
use arrow_flight::{FlightData, FlightDescriptor, Ticket};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int32Array, ListArray, NullArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::{Code, Status};

use super::client::{Raw, block_on, commits, encoded, numbers, pairs, recorded, sqlstate};
use crate::harness::Lab;

const ROUNDS: usize = 300;

/// A refusal that is the client's own fault, with its code; or an answer, where the mutation has changed nothing much.
#[track_caller]
fn fair<T>(outcome: Result<T, Status>, what: &str) {
    let Err(status) = outcome else { return };
    let code = sqlstate(&status);
    assert!(code.len() == 5 && !code.starts_with("XX"), "{what}: {status:?}");
    assert!(!matches!(status.code(), Code::Unknown | Code::Internal | Code::DataLoss), "{what}: {status:?}");
}

/// Changes, cuts or lengthens bytes.
fn mutated(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let place = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 if place < bytes.len() => bytes[place] = random.random(),
            1 if place < bytes.len() => bytes[place] ^= 1 << random.random_range(0..8),
            2 => bytes.truncate(place),
            3 => bytes.insert(place, random.random()),
            _ if place + 8 <= bytes.len() => {
                let claim = [i64::MAX, i64::MIN, -1, 1 << 40][random.random_range(0..4)];
                bytes[place..place + 8].copy_from_slice(&claim.to_le_bytes());
            }
            _ => bytes.push(0xff),
        }
    }
    bytes
}

#[test]
fn mutated_tickets_and_commands_are_refused_with_their_code() {
    let lab = Lab::open("CREATE TABLE t (a int, b text)");
    let mut random = StdRng::seed_from_u64(7);
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let handle = client.prepare("SELECT a FROM t WHERE a = $1").await.unwrap().prepared_statement_handle;
        let commands = [
            CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None }.as_any(),
            CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any(),
            arrow_flight::sql::CommandGetTables { include_schema: true, ..Default::default() }.as_any(),
            arrow_flight::sql::CommandGetSqlInfo { info: vec![1, 2] }.as_any(),
        ];
        for round in 0..ROUNDS {
            let command = commands[round % commands.len()].encode_to_vec();
            let command = mutated(&command, &mut random);
            fair(client.info(command.clone()).await, "a command");
            fair(client.get(Ticket { ticket: command.clone().into() }).await, "a command as a ticket");
            fair(client.act("CreatePreparedStatement", command.clone()).await, "an action");
            fair(client.act("CancelFlightInfo", command.clone()).await, "a cancel");
            fair(client.act("SetSessionOptions", command).await, "options");
            if round % 10 == 0 {
                let info = client.query("SELECT 1").await.unwrap();
                let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
                let refused = client.get(Ticket { ticket: mutated(&ticket, &mut random).into() }).await;
                assert!(refused.is_err(), "a ticket that was changed is none");
                fair(refused, "a ticket");
            }
        }
        let mut fresh = Raw::login(&lab, "admin").await;
        assert!(fresh.query("SELECT 1").await.is_ok());
    });
}

#[test]
fn mutated_batches_change_nothing_or_what_they_say() {
    let lab = Lab::open("CREATE TABLE t (a int, b text)");
    let mut random = StdRng::seed_from_u64(11);
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let handle = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap().prepared_statement_handle;
        let update = CommandPreparedStatementUpdate { prepared_statement_handle: handle };
        let options = Some(TableDefinitionOptions { if_not_exist: 2, if_exists: 2 });
        let load = CommandStatementIngest {
            table: "t".to_owned(),
            table_definition_options: options,
            ..CommandStatementIngest::default()
        };
        let rows = || vec![pairs(&[(1, Some("x")), (2, None)]), pairs(&[(3, Some("a longer text"))])];
        let good = [encoded(&update, rows()).await, encoded(&load, rows()).await];
        let mut failed = 0;
        for round in 0..ROUNDS {
            let mut data = good[round % 2].clone();
            let place = random.random_range(0..data.len());
            if random.random_bool(0.6) {
                data[place].data_header = mutated(&data[place].data_header, &mut random).into();
            } else {
                data[place].data_body = mutated(&data[place].data_body, &mut random).into();
            }
            let outcome = client.change(data).await;
            failed += usize::from(outcome.is_err());
            fair(outcome, "a batch");
        }
        assert!(failed > ROUNDS / 4, "{failed} of {ROUNDS} were refused");
        assert_eq!(client.change(good[0].clone()).await.unwrap(), 3, "and goes on");
        assert_eq!(commits(&lab, "t"), ROUNDS - failed + 1, "whatever was refused has changed nothing");
    });
    // The library's decoder panics for some garbage. That is caught, and nothing of ours does.
    let stderr = lab.server.stderr();
    let ours = stderr.lines().find(|line| line.contains("a task panicked") && !line.contains("/arrow-"));
    assert_eq!(ours, None);
}

#[test]
fn types_that_do_not_fit_are_refused_with_their_code() {
    let lab = Lab::open("CREATE TABLE t (a int, b text)");
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)])]);
    let field = Arc::new(Field::new("x", DataType::Int32, true));
    let nested = StructArray::from(vec![(field, Arc::new(Int32Array::from(vec![1])) as ArrayRef)]);
    let columns: [(ArrayRef, &str); 4] = [
        (Arc::new(list), "42804"),
        (Arc::new(nested), "42804"),
        (Arc::new(StringArray::from(vec!["x"])), "22P02"),
        (Arc::new(BooleanArray::from(vec![true])), ""),
    ];
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        for (column, expected) in columns {
            let batch = RecordBatch::try_from_iter([("1", column)]).unwrap();
            let outcome = client.query_each("SELECT a FROM t WHERE a = $1", vec![batch]).await;
            match outcome {
                Err(status) if !expected.is_empty() => assert_eq!(sqlstate(&status), expected, "{}", status.message()),
                outcome => fair(outcome, "a boolean for a number"),
            }
        }
        // As many rows as one likes, of no columns; and of columns that take no room.
        let claim = |schema: Schema, columns: Vec<ArrayRef>, rows: usize| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).unwrap()
        };
        let insert = "INSERT INTO t (a) VALUES ($1)";
        let no_columns = claim(Schema::empty(), Vec::new(), 1 << 40);
        let refused = client.change_each(insert, vec![no_columns]).await.unwrap_err();
        assert!(["54000", "08P01"].contains(&sqlstate(&refused).as_str()), "{refused:?}");
        let null = Schema::new(vec![Field::new("1", DataType::Null, true)]);
        let nulls = claim(null, vec![Arc::new(NullArray::new(1 << 40))], 1 << 40);
        let refused = client.change_each(insert, vec![nulls]).await.unwrap_err();
        assert_eq!(sqlstate(&refused), "54000", "{refused:?}");
        let wide: Vec<(String, ArrayRef)> =
            (0..5000).map(|n| (n.to_string(), Arc::new(Int32Array::from(vec![n])) as ArrayRef)).collect();
        let refused = client.change_each(insert, vec![RecordBatch::try_from_iter(wide).unwrap()]).await.unwrap_err();
        assert_eq!(sqlstate(&refused), "54000", "{refused:?}");
        assert_eq!(client.change_each(insert, vec![numbers(&[1])]).await.unwrap(), 1);
    });
}

#[test]
fn a_put_that_is_none_is_refused() {
    let lab = Lab::open("CREATE TABLE t (a int, b text)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let command = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
        fair(client.put(encoded(&command, vec![numbers(&[1])]).await).await, "a query by DoPut");
        let garbage = FlightDescriptor::new_cmd(b"\x0a\xff\xff\xff\xff\x0f".to_vec());
        let data = FlightData { flight_descriptor: Some(garbage), ..FlightData::default() };
        fair(client.put(vec![data]).await, "garbage");
        let path = FlightData {
            flight_descriptor: Some(FlightDescriptor::new_path(vec!["t".to_owned()])),
            ..FlightData::default()
        };
        fair(client.put(vec![path]).await, "a path");
        let plan = CommandStatementSubstraitPlan::default().as_any().encode_to_vec();
        let refused = client.info(plan.clone()).await.unwrap_err();
        assert_eq!((refused.code(), sqlstate(&refused).as_str()), (Code::Unimplemented, "0A000"));
        fair(client.get(Ticket { ticket: plan.into() }).await, "a plan as a ticket");
        assert!(client.query("SELECT 1").await.is_ok());
    });
    let refused = recorded(&lab, "statement_class = 'FLIGHT SQL'");
    // What has no name is recorded without one.
    let expected = ["CommandStatementQuery", "", "CommandStatementSubstraitPlan", "CommandStatementSubstraitPlan"];
    assert_eq!(refused, expected.map(|name| format!("DENIED|FLIGHT SQL|{name}|0A000|")));
}
