//! One-row look-ups a second, at 1, 8 and 64 connections.
//!
//! Lakeward decides, and keeps an audit record of every look-up, durable before the row leaves. PostgreSQL 15, over the
//! same rows with the same row policy, is asked twice: as people build an audit there, with an INSERT into an audit table
//! in the same statement and `synchronous_commit = on`, and without any audit. All three are asked by the same client over
//! TLS, each connection with its prepared statement, in turns, so that the machine's drift meets all alike.
//!
//! `cargo bench --workspace --bench lookups [-- rows [seconds [rounds]]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

mod rivals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Statement};

use rivals::{PASSWORD, Rivals, at, median, ms, numbers};

const CONNECTIONS: &[usize] = &[1, 8, 64];
/// One hospital in ten.
const HOSPITALS: u64 = 10;

const COLUMNS: &str = "patient_id bigint, hospital_id int, name text, birth_date date, zip text, age int";
const ROW: &str =
    "n, (n % 10)::int, 'Patient ' || n, DATE '1950-01-01' + (n % 25000)::int, '80' || n % 1000, (n % 97)::int";

fn lakeward_script(rows: u64) -> String {
    format!(
        "CREATE TABLE patients ({COLUMNS});
         INSERT INTO patients SELECT {ROW} FROM generate_series(1, {rows}) AS n;
         CREATE ROLE clinician LOGIN PASSWORD '{PASSWORD}';
         GRANT SELECT ON patients TO clinician;
         CREATE POLICY own ON patients USING (hospital_id = 3)"
    )
}

fn postgres_script(rows: u64) -> String {
    format!(
        "CREATE TABLE patients ({COLUMNS});
         INSERT INTO patients SELECT {ROW} FROM generate_series(1, {rows}) AS n;
         CREATE INDEX ON patients (patient_id);
         CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now(), role text, statement text, patient_id bigint);
         CREATE ROLE clinician LOGIN;
         GRANT SELECT ON patients TO clinician;
         GRANT INSERT, SELECT ON audit TO clinician;
         ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON patients USING (hospital_id = 3);
         ANALYZE patients"
    )
}

const LOOK_UP: &str = "SELECT name, birth_date, age FROM patients WHERE patient_id = $1";
const AUDITED: &str = "WITH recorded AS (INSERT INTO audit (role, statement, patient_id) \
     VALUES (current_user, 'SELECT name, birth_date, age FROM patients WHERE patient_id = ?', $1) RETURNING patient_id) \
     SELECT name, birth_date, age FROM patients JOIN recorded USING (patient_id)";

/// Who is asked.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Lakeward,
    Audited,
    Bare,
}

const SIDES: [(Side, &str); 3] = [
    (Side::Lakeward, "Lakeward, audit on"),
    (Side::Audited, "PostgreSQL, an audit row each"),
    (Side::Bare, "PostgreSQL, no audit"),
];

struct Asker {
    client: Client,
    statement: Statement,
}

async fn asker(rivals: &Rivals, side: Side) -> Asker {
    let client = match side {
        Side::Lakeward => rivals.on_lakeward("clinician").await,
        Side::Audited | Side::Bare => rivals.on_postgres("clinician").await,
    };
    let statement = client.prepare(if side == Side::Audited { AUDITED } else { LOOK_UP }).await.unwrap();
    Asker { client, statement }
}

/// All askers at once, until the time is over: look-ups a second, and how long each took, in milliseconds.
async fn ask(askers: &[Arc<Asker>], rows: u64, time: Duration) -> (f64, Vec<f64>) {
    let begun = Instant::now();
    let work = askers.iter().cloned().enumerate().map(|(place, asker)| {
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut state = place as u64 + 1;
            while begun.elapsed() < time {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let id = ((state >> 33) % (rows / HOSPITALS)) * HOSPITALS + 3;
                let sent = Instant::now();
                let found = asker.client.query(&asker.statement, &[&i64::try_from(id).unwrap()]).await.unwrap();
                latencies.push(ms(sent.elapsed()));
                assert_eq!(found.len(), 1, "patient {id} is one of the hospital's");
            }
            latencies
        })
    });
    let work: Vec<_> = work.collect();
    let mut latencies = Vec::new();
    for task in work {
        latencies.extend(task.await.unwrap());
    }
    (latencies.len() as f64 / begun.elapsed().as_secs_f64(), latencies)
}

#[tokio::main]
async fn main() {
    let [rows, seconds, rounds] = numbers([100_000, 3, 5]);
    let rivals = Rivals::start();
    rivals.prepare_lakeward(&lakeward_script(rows));
    rivals.prepare_postgres(&postgres_script(rows)).await;
    println!("{rows} rows, {rounds} rounds of {seconds} s, look-ups a second: medians\n");
    println!(
        "| connections | asked | a second | median ms | p99 ms | Lakeward's rate to it |\n|---|---|---|---|---|---|"
    );
    for &connections in CONNECTIONS {
        let mut askers: [Vec<Arc<Asker>>; 3] = Default::default();
        for ((side, _), askers) in SIDES.iter().zip(&mut askers) {
            for _ in 0..connections {
                askers.push(Arc::new(asker(&rivals, *side).await));
            }
        }
        let mut rates: [Vec<f64>; 3] = Default::default();
        let mut latencies: [Vec<f64>; 3] = Default::default();
        for round in 0..=rounds {
            for side in 0..SIDES.len() {
                // The first round warms all up.
                let time = if round == 0 { Duration::from_millis(500) } else { Duration::from_secs(seconds) };
                let (rate, times) = ask(&askers[side], rows, time).await;
                if round > 0 {
                    rates[side].push(rate);
                    latencies[side].extend(times);
                }
            }
        }
        let rates = rates.map(|mut rates| median(&mut rates));
        for (side, (_, title)) in SIDES.iter().enumerate() {
            let times = &mut latencies[side];
            let (half, most) = (median(times), at(times, 0.99));
            let ratio = rates[0] / rates[side];
            println!("| {connections} | {title} | {:.0} | {half:.2} | {most:.2} | {ratio:.2} |", rates[side]);
        }
    }
}
