//! How fast rows leave: `SELECT *` of a big table over one connection to a client that throws them away.
//!
//! Over the PostgreSQL protocol, text and binary, against PostgreSQL 15 with the same rows and the same client; over
//! Flight SQL against a bare arrow-flight server that sends the very same batches from memory. TLS on all sides, in turns.
//!
//! `cargo bench --workspace --bench rows_out [-- rows [rounds]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

#[path = "rows_out/bare.rs"]
mod bare;
#[path = "rows_out/discard.rs"]
mod discard;
mod rivals;

use std::time::Instant;

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::{StreamExt, TryStreamExt};
use tonic::transport::Channel;

use discard::Discard;
use rivals::harness::flight;
use rivals::{PASSWORD, Rivals, median, numbers};

const ALL: &str = "SELECT * FROM vitals";

fn script(rows: u64) -> String {
    format!(
        "CREATE TABLE vitals (patient_id bigint, hospital_id int, heart_rate int, blood_pressure int, oxygen_saturation int, ts timestamp);
         INSERT INTO vitals SELECT n / 40, (n % 10)::int, (60 + n % 40)::int, (100 + n % 60)::int, (90 + n % 10)::int,
             TIMESTAMP '2026-01-01' + n * INTERVAL '1 second' FROM generate_series(1, {rows}) AS n"
    )
}

/// Bytes of headers and bodies.
async fn fetched(mut stream: tonic::Streaming<FlightData>) -> u64 {
    let mut bytes = 0;
    while let Some(data) = stream.next().await {
        let data = data.unwrap();
        bytes += (data.data_header.len() + data.data_body.len()) as u64;
    }
    bytes
}

async fn through_lakeward(client: &mut FlightSqlServiceClient<Channel>) -> u64 {
    let info = client.execute(ALL.to_owned(), None).await.unwrap();
    let mut bytes = 0;
    for endpoint in info.endpoint {
        let mut request = tonic::Request::new(endpoint.ticket.unwrap());
        let bearer = format!("Bearer {}", client.token().unwrap());
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        bytes += fetched(client.inner_mut().do_get(request).await.unwrap().into_inner()).await;
    }
    bytes
}

async fn batches(client: &mut FlightSqlServiceClient<Channel>) -> Vec<RecordBatch> {
    let info = client.execute(ALL.to_owned(), None).await.unwrap();
    let mut all = Vec::new();
    for endpoint in info.endpoint {
        let stream = client.do_get(endpoint.ticket.unwrap()).await.unwrap();
        all.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    }
    all
}

/// The same client of both.
async fn clients(rivals: &Rivals) -> (Discard, Discard) {
    let login = |database: &str| {
        let mut config = tokio_postgres::Config::new();
        config.user("admin").password(PASSWORD).dbname(database);
        config
    };
    let ours = Discard::connect(rivals.lakeward.port("pg"), &rivals.ca(), &login("lakeward")).await;
    (ours, Discard::connect(rivals.postgres.port, &rivals.ca(), &login("postgres")).await)
}

/// One question asked of both, in turns; answers how much a second, each.
macro_rules! compare {
    ($rounds:expr, $ours:expr, $theirs:expr) => {{
        let mut speeds: [Vec<f64>; 2] = Default::default();
        for round in 0..=$rounds {
            let begun = Instant::now();
            let ours = $ours.await as f64;
            let ours = ours / begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let theirs = $theirs.await as f64;
            let theirs = theirs / begun.elapsed().as_secs_f64();
            // The first round warms both up.
            if round > 0 {
                speeds[0].push(ours);
                speeds[1].push(theirs);
            }
        }
        speeds.map(|mut speeds| median(&mut speeds))
    }};
}

fn line(what: &str, against: &str, unit: &str, [ours, theirs]: [f64; 2]) {
    println!("| {what} | {:.2} {unit} | {:.2} {unit} ({against}) | {:.2} |", ours / 1e6, theirs / 1e6, ours / theirs);
}

#[tokio::main]
async fn main() {
    let [rows, rounds] = numbers([2_000_000, 7]);
    let rivals = Rivals::start();
    rivals.prepare_lakeward(&script(rows));
    rivals.prepare_postgres(&script(rows)).await;
    rivals.prepare_postgres("VACUUM ANALYZE vitals").await;
    println!("{rows} rows of 6 columns, {rounds} rounds: medians\n");
    println!("| what | Lakeward | against | ratio |\n|---|---|---|---|");
    let (mut ours, mut theirs) = clients(&rivals).await;
    assert_eq!((ours.text(ALL).await, theirs.text(ALL).await), (rows, rows), "both answer every row");
    assert_eq!((ours.binary(ALL).await, theirs.binary(ALL).await), (rows, rows), "in binary, too");
    line("SELECT *, text", "PostgreSQL 15", "M rows/s", compare!(rounds, ours.text(ALL), theirs.text(ALL)));
    line("SELECT *, binary", "PostgreSQL 15", "M rows/s", compare!(rounds, ours.binary(ALL), theirs.binary(ALL)));
    let address = rivals.lakeward.address("flight");
    let mut client = flight::login(&address, &rivals.ca(), "admin", PASSWORD).await.unwrap();
    let bare = bare::serve(batches(&mut client).await, &rivals.lakeward.data().join("tls")).await;
    let mut plain = bare::connect(&bare, &rivals.ca()).await;
    let speeds = compare!(rounds, through_lakeward(&mut client), bare::fetch(&mut plain));
    line("SELECT *, Flight", "bare arrow-flight", "MB/s", speeds);
}
