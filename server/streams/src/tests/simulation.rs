//! Random streams with crashes: what the views hold in the end is what DataFusion's batch queries give over the same rows.
//!
//! Rows come out of order, late, twice, from the future, with nulls and as garbage; partitions fall silent; epochs are cut
//! anywhere; the disk fails in the middle of a commit and loses what it had not made durable. The queries run once, over
//! the rows of all seeds.
//!
//! `LAKEWARD_STREAM_SEEDS=10000` for the long run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{ArrowPrimitiveType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::faulty_disk::FaultyDisk;
use super::stream::{Records, open, rows};
use super::views::{self, SECOND_US};
use crate::decode::{Decoder, Origin};
use crate::definition::{Shape, ViewDefinition, Window};
use crate::epoch::Epochs;
use crate::error::StreamError;
use crate::operator::{ChangeKind, Refusal};
use crate::row_id::RowId;
use crate::source::{Limit, Source};
use crate::store::{Snapshot, Store};

const SEEDS: u64 = 200;
/// How often the disk fails.
const ROUNDS: usize = 3;
const START_US: i64 = 1_769_500_000 * SECOND_US;

/// One random stream.
struct Run {
    random: StdRng,
    disk: FaultyDisk,
    records: Records,
    now_us: i64,
    seq: i64,
    views: Vec<ViewDefinition>,
    /// By view and record: the watermark before its epoch.
    seen: BTreeMap<u64, BTreeMap<Origin, Option<i64>>>,
    before: Standing,
}

impl Run {
    fn new(seed: u64) -> Self {
        let records = Records::default();
        // A partition exists once it has a record.
        records.append(0, "{}");
        Self {
            random: StdRng::seed_from_u64(seed),
            disk: FaultyDisk::default(),
            records,
            now_us: START_US,
            seq: 0,
            views: views::all(),
            seen: BTreeMap::new(),
            before: Standing::new(),
        }
    }

    fn event(&mut self) {
        self.seq += 1;
        let random = &mut self.random;
        let partition = random.random_range(0..3);
        let ago_us = match random.random_range(0..20) {
            0 => random.random_range(0..40 * SECOND_US),
            1 => -random.random_range(0..100 * SECOND_US),
            _ => random.random_range(0..4 * SECOND_US),
        };
        let number = |random: &mut StdRng, from: i32, to: i32| match random.random_range(0..12) {
            0 => "null".to_owned(),
            _ => random.random_range(from..to).to_string(),
        };
        let (rate, oxygen) = (number(random, 40, 140), number(random, 85, 100));
        let time = match random.random_range(0..25) {
            0 => "null".to_owned(),
            _ => ((self.now_us - ago_us) / 1_000).to_string(),
        };
        let patient = number(random, 0, 5);
        let text = match random.random_range(0..30) {
            0 => "{\"patient_id\": ".to_owned(),
            1 => "{\"heart_rate\": \"fast\"}".to_owned(),
            _ => format!(
                "{{\"patient_id\": {patient}, \"heart_rate\": {rate}, \"oxygen\": {oxygen}, \"ts\": {time}, \"seq\": {}}}",
                self.seq
            ),
        };
        self.records.append(partition, &text);
        if random.random_range(0..15) == 0 {
            self.seq += 1;
            self.records.append(partition, &text);
        }
    }

    /// Where each view stands, and its watermark.
    fn standing(epochs: &Epochs) -> Standing {
        epochs.jobs().into_iter().map(|job| (job.view, (job.offsets, job.watermark_us))).collect()
    }

    /// Notes with which watermark records were taken in. A commit that the loop was told had failed may be durable all the
    /// same: its records then were taken in with the watermark of that moment too.
    fn note(&mut self, epochs: &Epochs) {
        let now = Self::standing(epochs);
        for (view, (offsets, _)) in &now {
            let (old, watermark_us) = self.before.get(view).cloned().unwrap_or_default();
            for (partition, next) in offsets {
                let from = old.iter().find(|(known, _)| known == partition).map_or(0, |(_, next)| *next);
                assert!(from <= *next, "an epoch that was durable is gone");
                for offset in from..*next {
                    let origin = Origin { partition: *partition, offset };
                    let known = self.seen.entry(*view).or_default().insert(origin, watermark_us);
                    assert_eq!(known, None, "a record was taken in twice");
                }
            }
        }
        self.before = now;
    }

    /// Rounds of epochs, each ended by a disk that fails, but for the last, which ends when all is read.
    fn run(mut self) -> (Self, Arc<Store>, Epochs) {
        for round in 0..ROUNDS {
            let limit = self.random.random_range(1..40);
            let known = if round == 0 { self.random.random_range(1..=self.views.len()) } else { self.views.len() };
            let (_, mut epochs) = open(&self.disk, &self.records, limit, &self.views[..known]).expect("recovers");
            self.note(&epochs);
            self.disk.fail_after(self.random.random_range(0..150));
            for _ in 0..40 {
                if self.tick(&mut epochs).is_err() {
                    assert!(matches!(epochs.tick(self.now_us), Err(StreamError::Closed)), "it goes on from disk alone");
                    break;
                }
            }
            drop(epochs);
            self.disk = self.disk.crash(&mut self.random);
        }
        let (store, mut epochs) = open(&self.disk, &self.records, 30, &self.views).expect("recovers");
        self.note(&epochs);
        for _ in 0..20 {
            self.tick(&mut epochs).expect("the disk works");
        }
        while epochs.tick(self.now_us).expect("the disk works") {
            self.note(&epochs);
        }
        assert!(epochs.jobs().iter().all(|job| job.lag_rows == 0 && job.failure.is_none()));
        (self, store, epochs)
    }

    fn tick(&mut self, epochs: &mut Epochs) -> Result<(), StreamError> {
        for _ in 0..self.random.random_range(0..12) {
            self.event();
        }
        self.now_us += self.random.random_range(0..3 * SECOND_US);
        epochs.tick(self.now_us)?;
        self.note(epochs);
        Ok(())
    }

    /// All rows of the stream.
    fn events(&mut self) -> (RecordBatch, Vec<Origin>) {
        let decoder = Decoder::new(views::vitals(), 1 << 20).expect("supported");
        let (mut batches, mut origins) = (Vec::new(), Vec::new());
        for partition in self.records.partitions() {
            let all = self.records.read(partition, 0, Limit { records: usize::MAX, bytes: usize::MAX }).expect("reads");
            let decoded = decoder.decode(&all).expect("decodes");
            batches.push(decoded.rows.batch);
            origins.extend(decoded.rows.origins);
        }
        (concat_batches(&views::vitals(), &batches).expect("same columns"), origins)
    }
}

type Standing = BTreeMap<u64, (Vec<(u32, u64)>, Option<i64>)>;

/// What the batch queries run over, and what the views hold, of all seeds.
#[derive(Default)]
struct Findings {
    events: Vec<RecordBatch>,
    windows: BTreeMap<u64, Vec<RecordBatch>>,
    held: BTreeMap<u64, Vec<String>>,
}

#[test]
fn views_hold_what_batch_queries_give_over_the_same_rows() {
    let seeds = std::env::var("LAKEWARD_STREAM_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    let mut findings = Findings::default();
    for seed in 0..seeds {
        let (mut run, store, epochs) = Run::new(seed).run();
        let (events, origins) = run.events();
        let snapshot = store.snapshot().expect("reads");
        for view in &run.views {
            let number = view.view.view;
            assert!(
                origins.iter().all(|origin| run.seen[&number].contains_key(origin)),
                "seed {seed}: a record is lost"
            );
            let (rows, ids) = rows(&snapshot, view);
            check_changes(&snapshot, view, &rows, &ids);
            findings.held.entry(number).or_default().extend(texts(&with_seed(seed, &rows)));
            if let Shape::Aggregate(aggregate) = &view.shape
                && let Some(window) = aggregate.window
            {
                let job = epochs.jobs().into_iter().find(|job| job.view == number).expect("a job");
                let (expanded, late) = expand(&events, &origins, &run.seen[&number], window, job.watermark_us);
                let refused = snapshot.refused(number, usize::MAX).expect("reads");
                let refused = refused.into_iter().filter(|row| row.refusal == Refusal::Late).map(|row| row.origin);
                assert_eq!(refused.collect::<BTreeSet<_>>(), late, "seed {seed}: late rows of view {number}");
                findings.windows.entry(number).or_default().push(with_seed(seed, &expanded));
            }
        }
        findings.events.push(with_seed(seed, &events));
    }
    compare(findings);
}

/// The batch queries.
fn compare(mut findings: Findings) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    #[expect(clippy::disallowed_methods, reason = "the queries that the views are compared with")]
    let context = SessionContext::new();
    let register = |name: &str, batches: &[RecordBatch]| {
        let all = concat_batches(batches[0].schema_ref(), batches).expect("same columns");
        context.register_batch(name, all).expect("registers");
    };
    register("events", &findings.events);
    register("tumbled", &findings.windows[&views::TUMBLE]);
    register("hopped", &findings.windows[&views::HOP]);
    let aggregates = "count(1) n, sum(heart_rate), avg(heart_rate), min(oxygen), max(heart_rate) most";
    let windowed = |table: &str, having: &str| {
        let keys = "seed, patient_id, window_start, window_end";
        format!("SELECT {keys}, {aggregates} FROM {table} GROUP BY {keys} {having}")
    };
    let queries = [
        (
            views::ALERTS,
            "SELECT seed, patient_id, 'HEART_RATE', heart_rate, 100 / (oxygen - 91), seq FROM events \
             WHERE heart_rate > 120 AND oxygen IS DISTINCT FROM 91 UNION ALL \
             SELECT seed, patient_id, 'OXYGEN', oxygen, 0, seq FROM events WHERE oxygen < 90"
                .to_owned(),
        ),
        (views::TUMBLE, windowed("tumbled", "")),
        (views::HOP, windowed("hopped", "HAVING count(1) > 1")),
        (
            views::LATEST,
            "SELECT seed, patient_id, ts, seq FROM (SELECT *, row_number() OVER (PARTITION BY seed, patient_id \
             ORDER BY ts DESC NULLS LAST, seq DESC NULLS LAST) place FROM events WHERE heart_rate IS NOT NULL) \
             WHERE place = 1"
                .to_owned(),
        ),
        (
            views::KEYED,
            format!(
                "SELECT seed, patient_id, {aggregates} FROM events GROUP BY seed, patient_id \
                 HAVING max(heart_rate) IS NULL OR max(heart_rate) <> 130"
            ),
        ),
    ];
    for (view, query) in queries {
        let batches = runtime.block_on(async {
            #[expect(clippy::disallowed_methods, reason = "a query that a view is compared with")]
            context.sql(&query).await.expect("plans").collect().await.expect("runs")
        });
        let mut expected: Vec<String> = batches.iter().flat_map(texts).collect();
        let mut held = findings.held.remove(&view).unwrap_or_default();
        expected.sort_unstable();
        held.sort_unstable();
        assert!(!expected.is_empty(), "view {view} has rows");
        let differs = expected.iter().zip(&held).find(|(expected, held)| expected != held);
        assert_eq!(differs, None, "view {view}: the query's row and the view's");
        assert_eq!(expected.len(), held.len(), "view {view}");
    }
}

/// Every change follows from the ones before, and all of them give the rows that are held.
fn check_changes(snapshot: &Snapshot, view: &ViewDefinition, rows: &RecordBatch, ids: &[RowId]) {
    let mut held: BTreeMap<RowId, String> = BTreeMap::new();
    for (_, _, changes) in snapshot.changes_after(view, (0, 0), usize::MAX).expect("reads") {
        let texts = texts(&changes.rows);
        for ((kind, id), text) in changes.kinds.iter().zip(&changes.ids).zip(texts) {
            let before = match kind {
                ChangeKind::Insert | ChangeKind::UpdateAfter => held.insert(*id, text),
                ChangeKind::UpdateBefore | ChangeKind::Delete => {
                    assert_eq!(held.remove(id), Some(text), "what is taken back was told");
                    None
                }
            };
            assert_eq!(before, None, "what is told anew was taken back");
        }
    }
    let found: BTreeMap<RowId, String> = ids.iter().copied().zip(texts(rows)).collect();
    assert_eq!(found.len(), ids.len(), "ids are of one row each");
    assert!(found == held, "the changes give other rows than are held: view {}", view.view.view);
}

/// The rows of each window that was open to them and has ended, and the records of rows all of whose windows were closed.
fn expand(
    events: &RecordBatch,
    origins: &[Origin],
    seen: &BTreeMap<Origin, Option<i64>>,
    window: Window,
    final_us: Option<i64>,
) -> (RecordBatch, BTreeSet<Origin>) {
    let times = events.column(3).as_primitive::<TimestampMicrosecondType>();
    let (mut rows, mut starts, mut late) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (row, origin) in origins.iter().enumerate().filter(|(row, _)| times.is_valid(*row)) {
        let time_us = times.value(row);
        let around = time_us / window.slide_us;
        let begins = (around - 5..=around + 5).map(|number| number * window.slide_us);
        let holding: Vec<i64> = begins.filter(|start| *start <= time_us && time_us < start + window.size_us).collect();
        let open = |start: &i64| {
            seen[origin].is_none_or(|watermark_us| start + window.size_us + window.lateness_us > watermark_us)
        };
        if !holding.iter().any(open) {
            late.insert(*origin);
        }
        for start in holding.iter().filter(|start| open(start)) {
            if final_us.is_some_and(|final_us| start + window.size_us <= final_us) {
                rows.push(u32::try_from(row).expect("small"));
                starts.push(*start);
            }
        }
    }
    let ends: TimestampMicrosecondArray = starts.iter().map(|start| Some(start + window.size_us)).collect();
    let starts: TimestampMicrosecondArray = starts.into_iter().map(Some).collect();
    let taken = arrow::compute::take_record_batch(events, &UInt32Array::from(rows)).expect("takes");
    let mut fields: Vec<Field> = taken.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut columns = taken.columns().to_vec();
    for (name, times) in [("window_start", starts), ("window_end", ends)] {
        fields.push(Field::new(name, times.data_type().clone(), true));
        columns.push(Arc::new(times));
    }
    (RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("fits"), late)
}

fn with_seed(seed: u64, batch: &RecordBatch) -> RecordBatch {
    let seed = i64::try_from(seed).expect("small");
    let seeds: ArrayRef = Arc::new(Int64Array::from_value(seed, batch.num_rows()));
    let mut fields = vec![Field::new("seed", Int64Type::DATA_TYPE, true)];
    fields.extend(batch.schema().fields().iter().map(|field| field.as_ref().clone()));
    let columns = std::iter::once(seeds).chain(batch.columns().iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("fits")
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("shows"));
    let columns: Vec<_> = columns.collect();
    let text = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(text).collect()
}
