//! TPC-H: 22 queries over Delta tables, through the PostgreSQL protocol and through Flight SQL, by a role without
//! restrictions and by one with a row policy that is always true and a mask on each table, against plain DataFusion with
//! the same reader of the same files, and, where `LAKEWARD_BENCH_PYTHON` names a Python with the package `duckdb`, beside
//! DuckDB over the same files.
//!
//! All sides are asked in turns. The figures through the servers hold everything: the audit record, TLS, and rows on the
//! wire. The last line is the geometric mean of the ratios.
//!
//! `cargo bench --workspace --bench tpch [-- hundredths of the scale factor [rounds]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

#[path = "tpch/duck.rs"]
mod duck;
#[path = "tpch/lake.rs"]
mod lake;
mod rivals;

use std::time::Instant;

use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use tokio_postgres::Client;
use tonic::transport::Channel;

use duck::Duck;
use lake::{Lake, TABLES};
use rivals::harness::{Psql, Server, flight, init};
use rivals::{PASSWORD, median, ms, numbers};

const QUERIES: &str = include_str!("tpch/queries.sql");

/// A column of each table that the queries' numbers of rows do not depend on, and a key.
const COLUMNS: [(&str, &str); 8] = [
    ("n_comment", "n_nationkey"),
    ("r_comment", "r_regionkey"),
    ("p_comment", "p_partkey"),
    ("s_phone", "s_suppkey"),
    ("ps_comment", "ps_partkey"),
    ("c_comment", "c_custkey"),
    ("o_clerk", "o_orderkey"),
    ("l_comment", "l_orderkey"),
];

fn setup(lake: &Lake) -> String {
    let mut script = format!(
        "CREATE ROLE analyst LOGIN PASSWORD '{PASSWORD}';
         CREATE MASKING POLICY last4 AS (val text) RETURNS text -> mask_show_last(val, 4);\n"
    );
    for (table, (masked, key)) in TABLES.iter().zip(COLUMNS) {
        script += &format!(
            "CREATE EXTERNAL TABLE {table} STORED AS DELTA LOCATION '{}';
             GRANT SELECT ON {table} TO analyst;
             CREATE POLICY everything ON {table} TO analyst USING ({key} >= 0);
             ALTER TABLE {table} ALTER COLUMN {masked} SET MASKING POLICY last4;\n",
            lake.location(table)
        );
    }
    script
}

async fn by_hand(context: &SessionContext, sql: &str) -> usize {
    context.sql(sql).await.unwrap().collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum()
}

async fn over_pg(client: &Client, sql: &str) -> usize {
    client.query(sql, &[]).await.unwrap().len()
}

async fn over_flight(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> usize {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let mut rows = 0;
    for endpoint in info.endpoint {
        let batches: Vec<_> = client.do_get(endpoint.ticket.unwrap()).await.unwrap().try_collect().await.unwrap();
        rows += batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
    }
    rows
}

/// All who are asked.
struct Sides {
    plain: SessionContext,
    pg: [Client; 2],
    flight: [FlightSqlServiceClient<Channel>; 2],
    duck: Option<Duck>,
}

const TITLES: [&str; 5] = ["pg", "pg, policy and mask", "Flight", "Flight, policy and mask", "DuckDB"];

impl Sides {
    async fn open(lake: &Lake, server: &Server) -> Self {
        let ca = server.data().join("ca.pem");
        let door = server.address("flight");
        let login = |user: &'static str| flight::login(&door, &ca, user, PASSWORD);
        Self {
            plain: lake.plain().await,
            pg: [server.connect("admin", PASSWORD).await, server.connect("analyst", PASSWORD).await],
            flight: [login("admin").await.unwrap(), login("analyst").await.unwrap()],
            duck: Duck::start(&TABLES.map(|table| (table, lake.location(table)))),
        }
    }

    /// Rows and milliseconds of each side: DataFusion, then as in `TITLES`.
    async fn ask(&mut self, sql: &str) -> [(usize, f64); 6] {
        let mut told = [(0, f64::NAN); 6];
        for side in 0..told.len() {
            let begun = Instant::now();
            let rows = match side {
                0 => by_hand(&self.plain, sql).await,
                1 | 2 => over_pg(&self.pg[side - 1], sql).await,
                5 => {
                    told[5] = self.duck.as_mut().map_or((told[0].0, f64::NAN), |duck| duck.ask(sql));
                    continue;
                }
                _ => over_flight(&mut self.flight[side - 3], sql).await,
            };
            told[side] = (rows, ms(begun.elapsed()));
        }
        told
    }
}

fn main() {
    let [hundredths, rounds] = numbers([100, 3]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lake = Lake::open(&runtime, hundredths as f64 / 100.0);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, PASSWORD);
    let server = Server::serve(&data);
    Psql::admin(&server, "admin", PASSWORD).rows(&setup(&lake));
    runtime.block_on(measure(&lake, &server, hundredths, rounds));
}

async fn measure(lake: &Lake, server: &Server, hundredths: u64, rounds: u64) {
    let mut sides = Sides::open(lake, server).await;
    println!(
        "scale factor {}.{:02}, {rounds} rounds, medians in ms and their ratio\n",
        hundredths / 100,
        hundredths % 100
    );
    println!("DuckDB: {}\n", sides.duck.as_ref().map_or("not asked", |duck| &duck.version));
    println!("| query | DataFusion | {} |\n|---|---|---|---|---|---|---|", TITLES.join(" | "));
    let mut logs = [0.0; 5];
    let queries: Vec<&str> = QUERIES.split(";\n").map(str::trim).filter(|query| !query.is_empty()).collect();
    for (place, query) in queries.iter().enumerate() {
        let mut times: [Vec<f64>; 6] = Default::default();
        for round in 0..=rounds {
            let told = sides.ask(query).await;
            assert!(told.iter().all(|(rows, _)| *rows == told[0].0), "query {}: all answer alike: {told:?}", place + 1);
            // The first round warms all up.
            if round > 0 {
                times.iter_mut().zip(told).for_each(|(times, (_, time))| times.push(time));
            }
        }
        let times = times.map(|mut times| median(&mut times));
        let mut shown = format!("| {} | {:.1} |", place + 1, times[0]);
        for (log, time) in logs.iter_mut().zip(&times[1..]) {
            *log += (time / times[0]).ln();
            shown += &format!(" {time:.1} ({:.2}) |", time / times[0]);
        }
        println!("{shown}");
    }
    let means = logs.map(|log| format!("{:.2}", (log / queries.len() as f64).exp()));
    println!("| mean of ratios | | {} |", means.join(" | "));
}
