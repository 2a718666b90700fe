//! What governance costs: a policy'd scan-and-aggregate against the same work written by hand on the raw table, and the
//! unrestricted role against plain DataFusion.
//!
//! Everything runs in one process over the same Delta files, interleaved, so that the machine's drift meets all sides
//! alike; what counts is the ratio of medians. The governed side is the whole way of a statement: parsed, decided,
//! planned, recorded with a real `fdatasync`, run.
//!
//! `cargo bench --workspace --bench governed_scan [-- rows [rounds]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "governed_scan/lake.rs"]
mod lake;
#[path = "side_by_side/mod.rs"]
mod side_by_side;

use lake::Lake;
use side_by_side::{report, through_datafusion, through_engine};

const MASKED: &str = "mask_null(name) AS name, mask_show_last(ssn, 4) AS ssn, truncate_to_year(birth_date) AS birth_date, \
                      safe_harbor_zip(zip) AS zip, mask_hash(patient_id, 'patient') AS patient_id, gender, age";

/// A question asked in two ways.
struct Case {
    title: &'static str,
    /// Through the engine, as this role.
    role: &'static str,
    governed: String,
    /// By plain DataFusion, on the raw table.
    by_hand: String,
}

fn cases() -> Vec<Case> {
    let aggregate =
        "gender, count(*), count(name), min(ssn), max(birth_date), count(DISTINCT zip), min(patient_id), avg(age)";
    let hand = format!("(SELECT {MASKED} FROM patients WHERE hospital_id = 3) AS p");
    vec![
        Case {
            title: "row policy, five masks: scan and aggregate",
            role: "analyst",
            governed: format!("SELECT {aggregate} FROM patients GROUP BY gender"),
            by_hand: format!("SELECT {aggregate} FROM {hand} GROUP BY gender"),
        },
        Case {
            title: "row policy, five masks: all rows out",
            role: "analyst",
            governed: "SELECT name, ssn, birth_date, zip, patient_id, gender, age FROM patients".to_owned(),
            by_hand: format!("SELECT name, ssn, birth_date, zip, patient_id, gender, age FROM {hand}"),
        },
        Case {
            title: "row policy, no mask touched: selective predicate",
            role: "analyst",
            governed: "SELECT count(*), avg(age) FROM patients WHERE age BETWEEN 40 AND 44".to_owned(),
            by_hand: "SELECT count(*), avg(age) FROM patients WHERE hospital_id = 3 AND age BETWEEN 40 AND 44".to_owned(),
        },
        Case {
            title: "row policy: top 10 of a column",
            role: "analyst",
            governed: "SELECT age, gender FROM patients ORDER BY age DESC LIMIT 10".to_owned(),
            by_hand: "SELECT age, gender FROM patients WHERE hospital_id = 3 ORDER BY age DESC LIMIT 10".to_owned(),
        },
        Case {
            title: "unrestricted: scan and aggregate",
            role: "admin",
            governed: "SELECT gender, hospital_id, count(*), min(ssn), max(birth_date), avg(age) FROM patients GROUP BY gender, hospital_id".to_owned(),
            by_hand: "SELECT gender, hospital_id, count(*), min(ssn), max(birth_date), avg(age) FROM patients GROUP BY gender, hospital_id".to_owned(),
        },
        Case {
            title: "unrestricted: all rows out",
            role: "admin",
            governed: "SELECT * FROM patients".to_owned(),
            by_hand: "SELECT * FROM patients".to_owned(),
        },
    ]
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(2_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(15);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lake = Lake::open(&runtime, rows);
    println!("{rows} rows, {rounds} rounds, medians in ms (least–most)\n");
    println!("| question | Lakeward | by hand | ratio |\n|---|---|---|---|");
    for case in cases() {
        let session = lake.session(case.role);
        let context = runtime.block_on(lake.plain());
        let mut governed = Vec::new();
        let mut by_hand = Vec::new();
        for round in 0..=rounds {
            let ours = runtime.block_on(through_engine(&session, &case.governed));
            let theirs = runtime.block_on(through_datafusion(&context, &case.by_hand));
            assert_eq!(ours.1, theirs.1, "{}: both answer the same number of rows", case.title);
            // The first round warms both up.
            if round > 0 {
                governed.push(ours.0);
                by_hand.push(theirs.0);
            }
        }
        report(case.title, governed, by_hand);
    }
}
