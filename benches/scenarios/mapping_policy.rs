//! What a policy costs that reads a mapping table of a million keys, against the same semi join written by hand.
//!
//! Everything runs in one process over the same Delta files, interleaved; what counts is the ratio of medians. The keys
//! are bound to every other row, once close together and once scattered over all numbers.
//!
//! `cargo bench --workspace --bench mapping_policy [-- rows [keys [rounds]]]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "side_by_side/mod.rs"]
mod side_by_side;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SessionConfig, SessionContext};
use lakeward_catalog::{CommitNote, Relation, Table, TableStore, VersionSelector, WriteMode};
use lakeward_engine::Limits;
use lakeward_tests::local_engine::{ADMIN, LocalEngine, execute};

use side_by_side::{report, through_datafusion, through_engine};

const TABLES: [&str; 4] = ["close", "close_keys", "scattered", "scattered_keys"];
const SETUP: &str = "
    CREATE TABLE {t} (patient_id bigint, code text, value int);
    CREATE TABLE {t}_keys (patient_id bigint, clinician text);
    GRANT SELECT ON {t} TO nurse;
    CREATE POLICY care_team ON {t} TO nurse
      USING (EXISTS (SELECT 1 FROM {t}_keys k WHERE k.patient_id = {t}.patient_id AND k.clinician = current_user))";

/// A question, with `{t}` for the table.
const QUESTIONS: [(&str, &str); 3] = [
    ("scan and aggregate", "SELECT code, count(*), avg(value) FROM {t} GROUP BY code"),
    ("all rows out", "SELECT patient_id, code, value FROM {t}"),
    ("selective predicate", "SELECT count(*), avg(value) FROM {t} WHERE patient_id BETWEEN 1000 AND 2000"),
];

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let at = |index: usize, or: u64| numbers.get(index).copied().unwrap_or(or);
    let (rows, keys, rounds) = (at(0, 4_000_000), at(1, 1_000_000), at(2, 11));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let local = LocalEngine::on_disk(&runtime, Limits::default());
    runtime.block_on(fill(&local, rows, keys));
    println!("{rows} rows, {keys} keys, {rounds} rounds, medians in ms (least–most)\n");
    println!("| question | Lakeward | by hand | ratio |\n|---|---|---|---|");
    for table in ["close", "scattered"] {
        for (title, question) in QUESTIONS {
            let governed = question.replace("{t}", table);
            let seen = format!(
                "(SELECT * FROM {table} WHERE EXISTS (SELECT 1 FROM {table}_keys k WHERE k.patient_id = {table}.patient_id \
                 AND k.clinician = 'nurse')) AS {table}"
            );
            let by_hand = question.replace("{t}", &seen);
            let session = local.login("nurse");
            let context = runtime.block_on(plain(&local));
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for round in 0..=rounds {
                let left = runtime.block_on(through_engine(&session, &governed));
                let right = runtime.block_on(through_datafusion(&context, &by_hand));
                assert_eq!(left.1, right.1, "{table}, {title}: both answer the same number of rows");
                // The first round warms both up.
                if round > 0 {
                    ours.push(left.0);
                    theirs.push(right.0);
                }
            }
            report(&format!("{table} keys: {title}"), ours, theirs);
        }
    }
}

async fn fill(local: &LocalEngine, rows: u64, keys: u64) {
    let admin = local.login(ADMIN);
    execute(&admin, "CREATE ROLE nurse LOGIN").await;
    for name in ["close", "scattered"] {
        execute(&admin, &SETUP.replace("{t}", name)).await;
    }
    for name in TABLES {
        let scattered = name.starts_with("scattered");
        let (count, step) = if name.ends_with("_keys") { (keys, (rows / keys).max(1)) } else { (rows, 1) };
        let is_keys = name.ends_with("_keys");
        let batches = (0..count.div_ceil(8192)).map(move |index| {
            let numbers = (index * 8192..count.min(index * 8192 + 8192)).map(|number| number * step);
            Ok(batch(&numbers.collect::<Vec<_>>(), scattered, is_keys))
        });
        let schema = batch(&[0], scattered, is_keys).schema();
        let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches));
        let note = CommitNote {
            user_name: "bench".to_owned(),
            statement_id: "bench".to_owned(),
            catalog_epoch: local.catalog.snapshot().epoch(),
        };
        local.store.write(&table(local, name), WriteMode::Append, Box::pin(stream), &note).await.unwrap();
    }
}

/// Rows with these numbers, as they are or scattered.
fn batch(numbers: &[u64], scattered: bool, is_keys: bool) -> RecordBatch {
    let id = |number: &u64| {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed();
        if scattered { spread } else { number.cast_signed() }
    };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.iter().map(id)));
    let columns: Vec<(&str, ArrayRef)> = if is_keys {
        vec![
            ("patient_id", ids),
            ("clinician", Arc::new(StringArray::from_iter_values(numbers.iter().map(|_| "nurse")))),
        ]
    } else {
        let code = |number: &u64| format!("C{}", number % 40);
        vec![
            ("patient_id", ids),
            ("code", Arc::new(StringArray::from_iter_values(numbers.iter().map(code)))),
            ("value", Arc::new(Int32Array::from_iter_values(numbers.iter().map(|number| (number % 200) as i32)))),
        ]
    };
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn table(local: &LocalEngine, name: &str) -> Arc<Table> {
    let Some(Relation::Table(table)) = local.catalog.snapshot().relation("public", name) else { panic!("no {name}") };
    table
}

async fn plain(local: &LocalEngine) -> SessionContext {
    let partitions = std::thread::available_parallelism().unwrap().get();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    for name in TABLES {
        let raw = local.store.open(&table(local, name), VersionSelector::Latest).await.unwrap();
        context.register_table(name, raw.privileged_provider()).unwrap();
    }
    context
}
