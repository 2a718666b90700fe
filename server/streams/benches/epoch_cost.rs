//! What one epoch costs: running its views as bounded plans or as compiled expressions, and committing its state.
//!
//! Of the rounds, the fastest counts, so that other work on the machine does not. `cargo bench -p lakeward-streams --bench epoch_cost`;
//! the figures are discussed in `docs/decisions/0003-epochs.md`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs::OpenOptions;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::scalar::ScalarValue;
use datafusion_datasource::memory::MemorySourceConfig;
use datafusion_execution::TaskContext;
use lakeward_streams::{EncryptedFile, Vault};
use redb::{Database, StorageBackend, TableDefinition, backends::FileBackend};
use zeroize::Zeroizing;

/// 2,800 events a second, in epochs of 50 ms.
const EPOCH_ROWS: usize = 140;
const ROUNDS: usize = 50;
const COMMITS: usize = 1_500;
const WARM_UP: usize = 100;
const STATE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("state");
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");

type Expr = Arc<dyn PhysicalExpr>;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for rows in [EPOCH_ROWS, 10 * EPOCH_ROWS] {
        for views in [1, 100, 1_000] {
            measure_views(&runtime, rows, views);
        }
    }
    let directory = tempfile::tempdir_in(std::env::var("LAKEWARD_BENCH_DIRECTORY").unwrap_or("/tmp".into())).unwrap();
    for (name, sealed) in [("plain", false), ("sealed", true)] {
        for quick in [false, true] {
            let path = directory.path().join(format!("{name}-{quick}"));
            if sealed {
                let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32])).unwrap());
                let (file, recovery) = EncryptedFile::open(&path, vault).unwrap();
                let database = Database::builder().create_with_backend(file).unwrap();
                recovery.finish();
                measure_commits(name, quick, &database);
            } else {
                let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
                measure_commits(name, quick, &Database::builder().create_with_backend(plain(file)).unwrap());
            }
        }
    }
}

fn plain(file: std::fs::File) -> impl StorageBackend {
    FileBackend::new(file).unwrap()
}

/// `SELECT patient_id, 'HEART_RATE', heart_rate + n WHERE heart_rate > n`.
fn view(number: i32) -> (Expr, Vec<Expr>) {
    let rate: Expr = Arc::new(Column::new("heart_rate", 1));
    let literal = |value| -> Expr { Arc::new(Literal::new(value)) };
    let threshold = literal(ScalarValue::Int32(Some(120 + number % 20)));
    let filter = Arc::new(BinaryExpr::new(Arc::clone(&rate), Operator::Gt, threshold));
    let value = Arc::new(BinaryExpr::new(rate, Operator::Plus, literal(ScalarValue::Int32(Some(number)))));
    let kind = literal(ScalarValue::Utf8(Some("HEART_RATE".into())));
    (filter, vec![Arc::new(Column::new("patient_id", 0)), kind, value])
}

fn events(rows: usize) -> RecordBatch {
    let rate = |row: usize| 60 + i32::try_from(row * 37 % 90).unwrap();
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("patient_id", DataType::Int64, true),
        Field::new("heart_rate", DataType::Int32, true),
        Field::new("device", DataType::Utf8, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..rows).map(|row| i64::try_from(row % 500).unwrap()))),
        Arc::new(Int32Array::from_iter_values((0..rows).map(rate))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("monitor-{row}")))),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

fn measure_views(runtime: &tokio::runtime::Runtime, rows: usize, views: i32) {
    let (batch, context) = (events(rows), Arc::new(TaskContext::default()));
    let compiled: Vec<_> = (0..views).map(view).collect();
    let mut times = [Duration::MAX; 2];
    let mut counts = [0, 0];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for (filter, project) in &compiled {
            let input = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None).unwrap();
            let filtered = Arc::new(FilterExec::try_new(Arc::clone(filter), input).unwrap());
            let named = project.iter().map(|expr| ProjectionExpr::new(Arc::clone(expr), "c"));
            let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(named, filtered).unwrap());
            let found = runtime.block_on(collect(plan, Arc::clone(&context))).unwrap();
            counts[0] += found.iter().map(RecordBatch::num_rows).sum::<usize>();
        }
        times[0] = times[0].min(start.elapsed());
        let start = Instant::now();
        for (filter, project) in &compiled {
            let keep = filter.evaluate(&batch).unwrap().into_array(rows).unwrap();
            let kept = filter_record_batch(&batch, keep.as_boolean()).unwrap();
            for expr in project {
                black_box(expr.evaluate(&kept).unwrap().into_array(kept.num_rows()).unwrap());
            }
            counts[1] += kept.num_rows();
        }
        times[1] = times[1].min(start.elapsed());
    }
    assert_eq!(counts[0], counts[1]);
    let [plans, expressions] = times.map(|time| time.as_secs_f64() * 1e3);
    println!("{rows} rows, {views} views: plans {plans:.3} ms, compiled expressions {expressions:.3} ms an epoch");
}

fn measure_commits(name: &str, quick_repair: bool, database: &Database) {
    let mut times = Vec::new();
    let mut seed = 1_u64;
    for epoch in 0..(WARM_UP + COMMITS) as u64 {
        let start = Instant::now();
        let mut transaction = database.begin_write().unwrap();
        transaction.set_quick_repair(quick_repair);
        {
            let mut state = transaction.open_table(STATE).unwrap();
            for _ in 0..EPOCH_ROWS {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.insert((seed >> 33) % 20_000, [0x5A; 96].as_slice()).unwrap();
            }
            let mut changes = transaction.open_table(CHANGES).unwrap();
            changes.insert(epoch, [0x5A; 4_000].as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        if epoch >= WARM_UP as u64 {
            times.push(start.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "commit, {name}, quick repair {quick_repair}: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
        at(0.5),
        at(0.95),
        at(0.99)
    );
}
