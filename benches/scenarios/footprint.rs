//! What a server costs that does nothing: its memory when idle, with 500 idle sessions, and its start with 1,000 tables.
//!
//! Memory is the proportional set size of all of a server's processes, from `/proc`: PostgreSQL's shared buffers count as
//! far as they were touched, once. A start is timed from the process to the first row of the first client.
//!
//! `cargo bench --workspace --bench footprint [-- sessions [tables [rounds]]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

mod rivals;

use std::time::{Duration, Instant};

use rivals::harness::Server;
use rivals::{PASSWORD, Rivals, median, ms, numbers};
use tokio_postgres::Client;

/// Proportional set size, in megabytes.
fn memory(processes: &[u32]) -> f64 {
    let kilobytes = |process: &u32| {
        let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.to_owned();
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    processes.iter().filter_map(kilobytes).sum::<f64>() / 1024.0
}

fn both(rivals: &Rivals) -> [f64; 2] {
    let lakeward = u32::try_from(rivals.lakeward.process().as_raw_nonzero().get()).unwrap();
    [memory(&[lakeward]), memory(&rivals.postgres.processes())]
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

async fn greet(client: &Client) {
    assert_eq!(client.query("SELECT 1::int", &[]).await.unwrap()[0].get::<_, i32>(0), 1);
}

fn line(title: &str, [lakeward, postgres]: [f64; 2], unit: &str) {
    println!("| {title} | {lakeward:.1} {unit} | {postgres:.1} {unit} | {:.2} |", lakeward / postgres);
}

async fn sessions(rivals: &Rivals, count: u64) {
    settle().await;
    let idle = both(rivals);
    line("memory, idle", idle, "MB");
    let mut open = Vec::new();
    for _ in 0..count {
        let clients = [rivals.on_lakeward("admin").await, rivals.on_postgres("admin").await];
        for client in &clients {
            greet(client).await;
        }
        open.push(clients);
    }
    settle().await;
    let busy = both(rivals);
    line(&format!("memory, {count} idle sessions"), busy, "MB");
    let each = [0, 1].map(|side: usize| (busy[side] - idle[side]) * 1024.0 / count as f64);
    line("memory, each session", each, "kB");
}

fn tables(count: u64) -> String {
    (0..count).fold(String::new(), |script, table| {
        script + &format!("CREATE TABLE t{table} (id bigint, name text, born date, weight numeric(5,2));\n")
    })
}

#[tokio::main]
async fn main() {
    let [count, table_count, rounds] = numbers([500, 1_000, 5]);
    let mut rivals = Rivals::start();
    println!("{count} sessions, {table_count} tables, {rounds} starts: medians\n");
    println!("| what | Lakeward | PostgreSQL 15 | ratio |\n|---|---|---|---|");
    sessions(&rivals, count).await;
    rivals.prepare_lakeward(&tables(table_count));
    rivals.prepare_postgres(&tables(table_count)).await;
    let mut starts: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        assert!(rivals.lakeward.terminate().success(), "Lakeward ends in order");
        let begun = Instant::now();
        rivals.lakeward = Server::serve(rivals.lakeward.data());
        greet(&rivals.lakeward.connect("admin", PASSWORD).await).await;
        starts[0].push(ms(begun.elapsed()));
        rivals.postgres.stop();
        let begun = Instant::now();
        rivals.postgres.restart();
        greet(&rivals.postgres.connect().await).await;
        starts[1].push(ms(begun.elapsed()));
    }
    line(&format!("start with {table_count} tables"), starts.map(|mut times| median(&mut times)), "ms");
    settle().await;
    line(&format!("memory, idle, {table_count} tables"), both(&rivals), "MB");
}
