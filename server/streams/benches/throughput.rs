//! How many events a second of processor time goes from JSON to durable alerts, windows and latest rows.
//!
//! A million vitals of 10,000 patients are in memory; the views are the three alert rules, a window of ten seconds for each
//! patient, and the latest row of each. The state is on disk, encrypted, every epoch durable. Printed are events by the
//! processor seconds of the whole process, and by the clock. `cargo bench -p lakeward-streams --bench throughput`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::Instant;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::Expr as Logical;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{cast, col, lit, when};
use lakeward_streams::definition::{
    AggregateDefinition, Aggregation, Expr, Finish, LatestDefinition, Shape, ViewDefinition, Window,
};
use lakeward_streams::epoch::{Epochs, StreamDefinition};
use lakeward_streams::source::{Limit, Record, Source};
use lakeward_streams::store::Store;
use lakeward_streams::{Decoder, StreamError, Vault, ViewVersion, WatermarkRule};
use zeroize::Zeroizing;

const EVENTS: u64 = 1_000_000;
const PATIENTS: u64 = 10_000;
const SECOND_US: i64 = 1_000_000;
const START_MS: u64 = 1_769_500_000_000;
/// Ticks of `/proc/self/stat` a second.
const TICKS: f64 = 100.0;

struct Preloaded(Vec<Record>);

impl Source for Preloaded {
    fn partitions(&self) -> Vec<u32> {
        vec![0]
    }

    fn first_offset(&self, _partition: u32) -> u64 {
        0
    }

    fn end_offset(&self, _partition: u32) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, _partition: u32, from: u64, limit: Limit) -> Result<Vec<Record>, StreamError> {
        let from = usize::try_from(from).unwrap();
        Ok(self.0.iter().skip(from).take(limit.records).cloned().collect())
    }
}

fn vitals() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("patient_id", DataType::Int64, true),
        Field::new("heart_rate", DataType::Int32, true),
        Field::new("blood_pressure", DataType::Int32, true),
        Field::new("oxygen_saturation", DataType::Int32, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

/// About one event in fifty is an alert.
fn records() -> Vec<Record> {
    let event = |number: u64| {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let odd = mixed.is_multiple_of(50);
        let rate = if odd { 132 } else { 60 + mixed % 40 };
        let text = format!(
            "{{\"patient_id\": {}, \"heart_rate\": {rate}, \"blood_pressure\": {}, \"oxygen_saturation\": {}, \"timestamp\": {}}}",
            number % PATIENTS,
            100 + mixed % 60,
            93 + mixed % 7,
            START_MS + number / 28,
        );
        Record { partition: 0, offset: number, appended_us: 0, bytes: text.into_bytes() }
    };
    (0..EVENTS).map(event).collect()
}

fn physical(expr: &Logical, schema: &SchemaRef) -> Expr {
    let columns = DFSchema::try_from(Arc::clone(schema)).unwrap();
    create_physical_expr(expr, &columns, &ExecutionProps::new(), &PhysicalPlanningContext::default()).unwrap()
}

fn finish(input: &SchemaRef, filter: Option<&Logical>, columns: &[(&str, Logical)]) -> Finish {
    let planned: Vec<(&str, Expr)> = columns.iter().map(|(name, expr)| (*name, physical(expr, input))).collect();
    let fields = planned.iter().map(|(name, expr)| Field::new(*name, expr.data_type(input).unwrap(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = planned.into_iter().map(|(_, expr)| expr).collect();
    Finish { filter: filter.map(|filter| physical(filter, input)), columns, schema }
}

fn whole(input: &SchemaRef) -> Finish {
    let columns: Vec<_> = input.fields().iter().map(|field| (field.name().as_str(), col(field.name()))).collect();
    finish(input, None, &columns)
}

fn rule(kind: &str, column: &str, alert: &Logical, severe: Logical) -> Finish {
    let severity = when(severe, lit("HIGH")).otherwise(lit("MEDIUM")).unwrap();
    let columns = [
        ("patient_id", col("patient_id")),
        ("alert_type", lit(kind)),
        ("severity", severity),
        ("value", col(column)),
        ("timestamp", col("timestamp")),
    ];
    finish(&vitals(), Some(alert), &columns)
}

fn views() -> Vec<ViewDefinition> {
    let input = vitals();
    let outside = |column: &str, low: i32, high: i32| col(column).gt(lit(high)).or(col(column).lt(lit(low)));
    let rules = vec![
        rule("HEART_RATE", "heart_rate", &outside("heart_rate", 50, 120), outside("heart_rate", 45, 130)),
        rule(
            "BLOOD_PRESSURE",
            "blood_pressure",
            &outside("blood_pressure", 90, 180),
            outside("blood_pressure", 80, 200),
        ),
        rule("OXYGEN_SATURATION", "oxygen_saturation", &col("oxygen_saturation").lt(lit(90)), lit(true)),
    ];
    let mean = cast(col("heart_rate"), DataType::Float64);
    let mean = AggregateExprBuilder::new(avg_udaf(), vec![physical(&mean, &input)]).schema(Arc::clone(&input));
    let mean = Aggregation { function: Arc::new(mean.alias("hr").build().unwrap()), filter: None };
    let time = input.field(4).data_type();
    let grouped: SchemaRef = Arc::new(Schema::new(vec![
        input.field(0).clone(),
        Field::new("window_start", time.clone(), true),
        Field::new("window_end", time.clone(), true),
        Field::new("hr", DataType::Float64, true),
    ]));
    let window = Window { time_column: 4, size_us: 10 * SECOND_US, slide_us: 10 * SECOND_US, lateness_us: 0 };
    let windows =
        AggregateDefinition { keys: vec![0], window: Some(window), aggregations: vec![mean], finish: whole(&grouped) };
    let newest = SortOptions { descending: true, nulls_first: false };
    let latest = LatestDefinition { keys: vec![0], order: vec![(4, newest)], finish: whole(&input) };
    let view = |view, branches, shape| ViewDefinition {
        view: ViewVersion { view, version: 1 },
        branches,
        shape,
        retention_us: 86_400 * SECOND_US,
    };
    vec![
        view(1, rules, Shape::Rows),
        view(2, vec![whole(&input)], Shape::Aggregate(windows)),
        view(3, vec![whole(&input)], Shape::Latest(latest)),
    ]
}

fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

fn main() {
    let all = views();
    let sets: [(&str, &[ViewDefinition]); 4] =
        [("alerts", &all[..1]), ("windows", &all[1..2]), ("latest", &all[2..]), ("all three", &all)];
    for (name, views) in sets {
        for epoch_rows in [5_000, 50_000] {
            measure(name, views, epoch_rows);
        }
    }
}

fn measure(name: &str, views: &[ViewDefinition], epoch_rows: usize) {
    let directory = tempfile::tempdir_in(std::env::var("LAKEWARD_BENCH_DIRECTORY").unwrap_or("/tmp".into())).unwrap();
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32])).unwrap());
    let store = Arc::new(Store::open(&directory.path().join("state"), vault).unwrap());
    let mut epochs = Epochs::new(store).unwrap();
    let stream = StreamDefinition {
        id: 1,
        decoder: Decoder::new(vitals(), 1 << 20).unwrap(),
        time_column: Some(4),
        watermark: WatermarkRule { delay_us: 5 * SECOND_US, idle_after_us: None, ahead_us: SECOND_US },
        limit: Limit { records: epoch_rows, bytes: usize::MAX },
        retention_us: 86_400 * SECOND_US,
    };
    epochs.add_stream(stream, Box::new(Preloaded(records()))).unwrap();
    for view in views {
        epochs.add_view(1, view.clone()).unwrap();
    }
    let (processor, clock) = (processor_seconds(), Instant::now());
    let now_us = i64::try_from(START_MS).unwrap() * 1_000 + 3_600 * SECOND_US;
    while epochs.tick(now_us).unwrap() {}
    let (processor, clock) = (processor_seconds() - processor, clock.elapsed().as_secs_f64());
    let events = EVENTS as f64;
    println!(
        "{name}, epochs of {epoch_rows}: {:.0} events a processor second, {:.0} a second by the clock",
        events / processor,
        events / clock
    );
}
