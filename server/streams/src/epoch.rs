//! The epoch loop's one step: freeze what the sources have, run the views over it, commit, and only then publish.
//!
//! Each view has its own place in its stream: a new one begins at the source's beginning and catches up in its own epochs;
//! views that stand at the same place share what is read and decoded. A view whose expressions cannot be evaluated stops
//! with an error, at the place where it stood, and stops nobody else.
//!
//! Invariants: nothing is published that is not durable; the operators' state is never ahead of the store after an error,
//! because then nothing goes on until all was opened again; an epoch's size is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use crate::decode::{DeadLetter, Decoder, Rows};
use crate::definition::ViewDefinition;
use crate::error::StreamError;
use crate::operator::{Changes, Input, Operator, Output};
use crate::row::RowCodec;
use crate::source::{Limit, Record, Source};
use crate::store::{RefusedRow, Retention, Store, ViewWrite};
use crate::subscribe::Feed;
use crate::watermark::{WatermarkRule, Watermarks};

/// Why a view stops whose records are no longer there.
const GONE: &str = "records were removed from the source before the view took them in: rebuild needed";

/// A stream: where its records come from and how they are read.
pub struct StreamDefinition {
    /// Its number in the catalog.
    pub id: u64,
    /// Its columns.
    pub decoder: Decoder,
    /// The column of event time.
    pub time_column: Option<usize>,
    /// How the watermark follows it.
    pub watermark: WatermarkRule,
    /// The most that an epoch takes of each partition.
    pub limit: Limit,
    /// For how long dead letters are kept, in microseconds.
    pub retention_us: i64,
}

/// What `system.jobs` tells of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// The view's number in the catalog.
    pub view: u64,
    /// The stream's.
    pub stream: u64,
    /// Why it stopped; `None`: it runs.
    pub failure: Option<String>,
    /// Why the stream's source cannot be read at the moment; the view waits.
    pub trouble: Option<String>,
    /// Partitions and the offsets of their next records.
    pub offsets: Vec<(u32, u64)>,
    /// The watermark, in microseconds of event time.
    pub watermark_us: Option<i64>,
    /// Records that are there and not taken in yet.
    pub lag_rows: u64,
}

/// All streams of a server and their views.
pub struct Epochs {
    store: Arc<Store>,
    streams: BTreeMap<u64, Stream>,
    epoch: u64,
    failed: bool,
}

struct Stream {
    definition: StreamDefinition,
    source: Box<dyn Source>,
    views: BTreeMap<u64, View>,
    /// Why the source could not be read when it last was.
    trouble: Option<String>,
}

struct View {
    definition: ViewDefinition,
    operator: Box<dyn Operator>,
    codec: RowCodec,
    next: BTreeMap<u32, u64>,
    marks: Watermarks,
    failure: Option<String>,
    feed: Arc<Feed>,
}

/// What a view made of an epoch.
struct Made {
    next: BTreeMap<u32, u64>,
    marks: Watermarks,
    output: Output,
    refused: Vec<RefusedRow>,
    changes: Arc<Vec<Changes>>,
    failure: Option<String>,
}

impl Epochs {
    /// Goes on where `store` stands; without streams at first.
    ///
    /// # Errors
    /// [`StreamError::Store`].
    pub fn new(store: Arc<Store>) -> Result<Self, StreamError> {
        let epoch = store.snapshot()?.epoch();
        Ok(Self { store, streams: BTreeMap::new(), epoch, failed: false })
    }

    /// Adds a stream.
    ///
    /// # Errors
    /// [`StreamError::Definition`] where the time column is no timestamp in microseconds.
    pub fn add_stream(&mut self, definition: StreamDefinition, source: Box<dyn Source>) -> Result<(), StreamError> {
        let schema = definition.decoder.schema();
        let time = definition.time_column.map(|column| schema.fields().get(column).map(|field| field.data_type()));
        let micros = |kind: &&arrow::datatypes::DataType| {
            matches!(kind, arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _))
        };
        if time.is_some_and(|time| time.filter(micros).is_none()) {
            return Err(StreamError::Definition { why: "event time is a timestamp in microseconds" });
        }
        if self.streams.contains_key(&definition.id) {
            return Err(StreamError::Definition { why: "the stream is there already" });
        }
        self.streams.insert(definition.id, Stream { definition, source, views: BTreeMap::new(), trouble: None });
        Ok(())
    }

    /// Adds a view over a stream: one that the store knows goes on where it stood, a new one begins at the beginning.
    ///
    /// # Errors
    /// [`StreamError::RebuildNeeded`] where the store knows another version of it; what its definition is refused for.
    pub fn add_view(&mut self, stream: u64, definition: ViewDefinition) -> Result<Arc<Feed>, StreamError> {
        if self.streams.values().any(|stream| stream.views.contains_key(&definition.view.view)) {
            return Err(StreamError::Definition { why: "the view is there already" });
        }
        let Some(stream) = self.streams.get_mut(&stream) else {
            return Err(StreamError::Definition { why: "the stream is not known" });
        };
        let codec = definition.codec()?;
        let mut operator = definition.operator(stream.definition.id)?;
        if Some(&operator.schema()) != definition.schema() {
            return Err(StreamError::Definition { why: "the view's columns are not those of its operator" });
        }
        let partitions = stream.source.partitions();
        let first: Vec<_> = partitions.iter().map(|part| (*part, stream.source.first_offset(*part))).collect();
        let loaded = self.store.load(&definition, operator.as_mut(), stream.definition.watermark, &first)?;
        let feed = Arc::new(Feed::new(definition.clone(), Arc::clone(&self.store), self.epoch));
        let view = View {
            operator,
            codec,
            next: loaded.next.into_iter().collect(),
            marks: loaded.marks,
            failure: loaded.failure,
            feed: Arc::clone(&feed),
            definition,
        };
        stream.views.insert(view.definition.view.view, view);
        Ok(feed)
    }

    /// Ends a view and forgets what is kept of it. Its subscribers are told that it is closed.
    ///
    /// # Errors
    /// [`StreamError::Store`].
    pub fn drop_view(&mut self, view: u64) -> Result<(), StreamError> {
        for stream in self.streams.values_mut() {
            if let Some(view) = stream.views.remove(&view) {
                view.feed.close();
            }
        }
        self.store.drop_view(view)
    }

    /// The least offset of a partition that a running view has yet to take in: what stands before it may be forgotten by
    /// the source. `None`: no view reads it.
    #[must_use]
    pub fn needed_from(&self, stream: u64, partition: u32) -> Option<u64> {
        let views = self.streams.get(&stream)?.views.values().filter(|view| view.failure.is_none());
        views.map(|view| view.next.get(&partition).copied().unwrap_or_default()).min()
    }

    /// What `system.jobs` tells.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobStatus> {
        let jobs = self.streams.values().flat_map(|stream| {
            stream.views.values().map(|view| JobStatus {
                view: view.definition.view.view,
                stream: stream.definition.id,
                failure: view.failure.clone(),
                trouble: stream.trouble.clone(),
                offsets: view.next.iter().map(|(partition, next)| (*partition, *next)).collect(),
                watermark_us: view.marks.current_us(),
                lag_rows: view
                    .next
                    .iter()
                    .map(|(partition, next)| stream.source.end_offset(*partition).saturating_sub(*next))
                    .sum(),
            })
        });
        jobs.collect()
    }

    /// One epoch, at time `now_us` (microseconds since 1970): whether there was anything to do.
    ///
    /// # Errors
    /// Of the store. Then nothing of the epoch is published, and all later calls fail: what is in memory is ahead of the
    /// store, which has to be opened anew. A source that cannot be read is no error: its views wait ([`JobStatus::trouble`]).
    pub fn tick(&mut self, now_us: i64) -> Result<bool, StreamError> {
        if self.failed {
            return Err(StreamError::Closed);
        }
        let ticked = self.run(now_us);
        self.failed = ticked.is_err();
        ticked
    }

    fn run(&mut self, now_us: i64) -> Result<bool, StreamError> {
        let (mut made, mut dead) = (BTreeMap::new(), Vec::new());
        for stream in self.streams.values_mut() {
            made.append(&mut stream.step(now_us, &mut dead)?);
        }
        if made.is_empty() && dead.is_empty() {
            return Ok(false);
        }
        self.epoch += 1;
        let views = || self.streams.values().flat_map(|stream| stream.views.values());
        let writes: Vec<_> = views()
            .filter_map(|view| {
                let made = made.get_mut(&view.definition.view.view)?;
                Some(ViewWrite {
                    definition: &view.definition,
                    codec: &view.codec,
                    next: made.next.iter().map(|(partition, next)| (*partition, *next)).collect(),
                    marks: made.marks.encode(),
                    state: std::mem::take(&mut made.output.state),
                    changes: Arc::clone(&made.changes),
                    forgotten: std::mem::take(&mut made.output.forgotten),
                    refused: std::mem::take(&mut made.refused),
                    failure: made.failure.clone(),
                })
            })
            .collect();
        let kept = self
            .streams
            .values()
            .map(|stream| (stream.definition.id, stream.source.partitions(), stream.definition.retention_us));
        let retention = Retention { dead_us: kept.collect() };
        self.store.commit(self.epoch, now_us, &writes, &dead, &retention)?;
        drop(writes);
        for stream in self.streams.values_mut() {
            for view in stream.views.values_mut() {
                let Some(made) = made.remove(&view.definition.view.view) else { continue };
                view.next = made.next;
                view.marks = made.marks;
                view.failure = made.failure;
                view.feed.publish(self.epoch, made.changes);
            }
        }
        Ok(true)
    }
}

/// Whoever follows a view learns that nothing comes any more.
impl Drop for Epochs {
    fn drop(&mut self) {
        for view in self.streams.values().flat_map(|stream| stream.views.values()) {
            view.feed.close();
        }
    }
}

impl Stream {
    /// Runs the views that have something to do; what each made, by its number.
    fn step(&mut self, now_us: i64, dead: &mut Vec<(u64, DeadLetter)>) -> Result<BTreeMap<u64, Made>, StreamError> {
        let mut places: BTreeMap<BTreeMap<u32, u64>, Vec<u64>> = BTreeMap::new();
        for (number, view) in self.views.iter().filter(|(_, view)| view.failure.is_none()) {
            places.entry(view.next.clone()).or_default().push(*number);
        }
        let mut made = BTreeMap::new();
        for (place, views) in &places {
            if place.iter().any(|(partition, next)| *next < self.source.first_offset(*partition)) {
                made.extend(self.views_of(views).map(|(number, view)| (number, view.stopped(GONE.to_owned()))));
                continue;
            }
            let (records, next) = match self.read(place, places.keys()) {
                Ok(read) => {
                    self.trouble = None;
                    read
                }
                Err(error) => {
                    if self.trouble.is_none() {
                        tracing::warn!(stream = self.definition.id, error = %error, "a stream's source cannot be read");
                    }
                    self.trouble = Some(error.to_string());
                    continue;
                }
            };
            let decoded = self.definition.decoder.decode(&records)?;
            dead.extend(decoded.dead.into_iter().map(|letter| (self.definition.id, letter)));
            let partitions = self.source.partitions();
            for number in views {
                let Some(view) = self.views.get_mut(number) else { continue };
                let moved = next != *place;
                made.extend(
                    view.step(&self.definition, &decoded.rows, &next, &partitions, moved, now_us)
                        .map(|made| (*number, made)),
                );
            }
        }
        Ok(made)
    }

    /// Reads on from a place, no further than where other views stand: there they go on together.
    fn read<'a>(
        &mut self,
        place: &BTreeMap<u32, u64>,
        others: impl Iterator<Item = &'a BTreeMap<u32, u64>> + Clone,
    ) -> Result<(Vec<Record>, BTreeMap<u32, u64>), StreamError> {
        let (mut records, mut next) = (Vec::new(), place.clone());
        for (partition, from) in &mut next {
            let ahead = others.clone().filter_map(|other| other.get(partition)).filter(|other| **other > *from).min();
            let room = ahead.map_or(usize::MAX, |ahead| usize::try_from(*ahead - *from).unwrap_or(usize::MAX));
            let limit = Limit { records: self.definition.limit.records.min(room), ..self.definition.limit };
            let read = self.source.read(*partition, *from, limit)?;
            *from = read.last().map_or(*from, |last| last.offset + 1);
            records.extend(read);
        }
        for partition in self.source.partitions() {
            next.entry(partition).or_insert_with(|| self.source.first_offset(partition));
        }
        Ok((records, next))
    }

    fn views_of(&self, numbers: &[u64]) -> impl Iterator<Item = (u64, &View)> {
        numbers.iter().filter_map(|number| Some((*number, self.views.get(number)?)))
    }
}

impl View {
    /// Runs the view over new rows; `None` where nothing changes.
    fn step(
        &mut self,
        stream: &StreamDefinition,
        rows: &Rows,
        next: &BTreeMap<u32, u64>,
        partitions: &[u32],
        moved: bool,
        now_us: i64,
    ) -> Option<Made> {
        let mut marks = self.marks.clone();
        observe(&mut marks, stream, rows, now_us);
        let watermark_before_us = marks.current_us();
        let watermark_us = marks.advance(partitions, now_us);
        let mut output = Output::new();
        self.operator.expire(now_us.saturating_sub(self.definition.retention_us), &mut output);
        if !moved && watermark_us == watermark_before_us && output.state.is_empty() {
            return None;
        }
        let input = Input { rows, watermark_before_us, watermark_us, now_us };
        if let Err(error) = self.operator.step(&input, &mut output) {
            tracing::error!(view = self.definition.view.view, error = %error, "a view stopped");
            return Some(self.stopped(error.to_string()));
        }
        let refused = output.refused.iter().filter_map(|(place, refusal)| {
            Some(RefusedRow { at_us: now_us, refusal: *refusal, origin: *rows.origins.get(*place)? })
        });
        let refused = refused.collect();
        let changes = Arc::new(std::mem::take(&mut output.changes));
        Some(Made { next: next.clone(), marks, output, refused, changes, failure: None })
    }

    /// The view stays where it stood, and takes nothing any more.
    fn stopped(&self, failure: String) -> Made {
        Made {
            next: self.next.clone(),
            marks: self.marks.clone(),
            output: Output::new(),
            refused: Vec::new(),
            changes: Arc::default(),
            failure: Some(failure),
        }
    }
}

fn observe(marks: &mut Watermarks, stream: &StreamDefinition, rows: &Rows, now_us: i64) {
    let column = |batch: &RecordBatch, column: usize| batch.columns().get(column).cloned();
    let Some(times) = stream.time_column.and_then(|time| column(&rows.batch, time)) else { return };
    let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else { return };
    for (row, origin) in rows.origins.iter().enumerate() {
        if times.is_valid(row) {
            marks.observe(origin.partition, times.value(row), now_us);
        }
    }
}
