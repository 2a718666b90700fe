//! `GROUP BY`: with windows, a row for each key and window once the watermark has passed it; without, a row for each key
//! that follows every event.
//!
//! A group is kept under its window's end, so that those which close stand together, and its key. While a window that has
//! ended is kept for late rows, each of them updates its row.
//!
//! Invariants: a window's row is told once when its end is passed, and again only where a late row changed it; a closed
//! window is forgotten; a row that comes after it is refused as late.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};

use crate::definition::AggregateDefinition;
use crate::error::StreamError;
use crate::operator::diff::{Moment, diff};
use crate::operator::finish::Finish;
use crate::operator::groups::Groups;
use crate::operator::project::Projection;
use crate::operator::window::{Window, has_ended};
use crate::operator::{Input, Operator, Output, Refusal};
use crate::row::{RowCodec, take_array};
use crate::row_id::ViewVersion;

/// Groups looked at for retention at each step.
const EXPIRY_STEP: usize = 256;

/// An aggregating view.
pub(crate) struct Aggregate {
    view: ViewVersion,
    projection: Projection,
    keys: Vec<usize>,
    key_codec: RowCodec,
    window: Option<Window>,
    groups: Groups,
    /// Keys, the window's bounds, results.
    grouped: SchemaRef,
    finish: Finish,
    /// By [`group_key`]: when the group was last changed, and its state.
    states: BTreeMap<Vec<u8>, (i64, Vec<u8>)>,
    expired_to: Vec<u8>,
}

impl Aggregate {
    pub(crate) fn new(
        view: ViewVersion,
        projection: Projection,
        definition: AggregateDefinition,
    ) -> Result<Self, StreamError> {
        let AggregateDefinition { keys, window, aggregations, finish } = definition;
        let input = projection.schema();
        let mut fields = Vec::new();
        for key in &keys {
            fields.push(input.fields().get(*key).cloned().ok_or(OUT_OF_RANGE)?);
        }
        let key_codec = RowCodec::of_keys(fields.iter().map(|field| (field.name().as_str(), field.data_type())))?;
        if let Some(window) = &window {
            window.check()?;
            let time = input.fields().get(window.time_column).ok_or(OUT_OF_RANGE)?;
            for name in ["window_start", "window_end"] {
                fields.push(Arc::new(Field::new(name, time.data_type().clone(), true)));
            }
        }
        let groups = Groups::new(aggregations)?;
        fields.extend(groups.results());
        let grouped = Arc::new(Schema::new(fields));
        let states = BTreeMap::new();
        Ok(Self { view, projection, keys, key_codec, window, groups, grouped, finish, states, expired_to: Vec::new() })
    }

    /// The groups that the rows belong to, in the order in which they come up.
    fn assign(
        &self,
        rows: &RecordBatch,
        watermark_us: Option<i64>,
    ) -> Result<(Assigned, Vec<(usize, Refusal)>), StreamError> {
        let keys = self.keys.iter().map(|key| rows.columns().get(*key).cloned().ok_or(OUT_OF_RANGE));
        let keys = self.key_codec.encoder(&keys.collect::<Result<Vec<_>, _>>()?)?;
        let times = match &self.window {
            Some(window) => Some(times(rows, window)?),
            None => None,
        };
        let (mut assigned, mut refused) = (Assigned::default(), Vec::new());
        for row in 0..rows.num_rows() {
            let mut key = Vec::new();
            let (Some(window), Some(times)) = (&self.window, &times) else {
                keys.encode(row, &mut key);
                assigned.push(row, key);
                continue;
            };
            let ends = times.is_valid(row).then(|| window.ends(times.value(row))).flatten();
            let Some(ends) = ends else {
                refused.push((row, Refusal::NoEventTime));
                continue;
            };
            let (mut windows, mut open) = (0, 0);
            for end_us in ends {
                windows += 1;
                if !window.is_closed(end_us, watermark_us) {
                    open += 1;
                    let mut key = group_key(end_us).to_vec();
                    keys.encode(row, &mut key);
                    assigned.push(row, key);
                }
            }
            // A row that falls between the windows of a HOP is nobody's, but not late.
            if windows > 0 && open == 0 {
                refused.push((row, Refusal::Late));
            }
        }
        Ok((assigned, refused))
    }

    /// Keys, windows and results of groups with these states.
    fn rows_of(&self, groups: &[(&[u8], &[u8])]) -> Result<RecordBatch, StreamError> {
        let mut ends = Vec::new();
        let mut keys = Vec::with_capacity(groups.len());
        for (key, _) in groups {
            let mut rest = *key;
            if self.window.is_some() {
                ends.push(end_of(&mut rest)?);
            }
            keys.push(rest);
        }
        let mut columns = self.key_codec.decode(keys)?;
        if let Some(window) = &self.window {
            let zone = self.grouped.fields().get(columns.len()).map(|field| field.data_type().clone());
            let starts: TimestampMicrosecondArray = ends.iter().map(|end_us| Some(end_us - window.size_us)).collect();
            let ends: TimestampMicrosecondArray = ends.into_iter().map(Some).collect();
            for times in [starts, ends] {
                let times: ArrayRef = match &zone {
                    Some(arrow::datatypes::DataType::Timestamp(_, zone)) => {
                        Arc::new(times.with_timezone_opt(zone.clone()))
                    }
                    _ => Arc::new(times),
                };
                columns.push(times);
            }
        }
        columns.extend(self.groups.evaluate(&groups.iter().map(|(_, state)| *state).collect::<Vec<_>>())?);
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.grouped), columns, &options)?)
    }

    fn moment(&self, groups: &[(u32, &[u8], &[u8])]) -> Result<Moment, StreamError> {
        let rows: Vec<_> = groups.iter().map(|(_, key, state)| (*key, *state)).collect();
        Ok(Moment { rows: self.rows_of(&rows)?, of: groups.iter().map(|(number, ..)| *number).collect() })
    }

    /// Tells the changes of groups: those that were shown before, and are shown now.
    fn tell(
        &self,
        keys: &[Vec<u8>],
        before: &[(u32, &[u8], &[u8])],
        after: &[(u32, &[u8], &[u8])],
        output: &mut Output,
    ) -> Result<(), StreamError> {
        let changes = diff(self.view, &self.finish, keys, &self.moment(before)?, &self.moment(after)?)?;
        if !changes.ids.is_empty() {
            output.changes.push(changes);
        }
        Ok(())
    }

    /// Adds the rows to their groups.
    fn add(&mut self, rows: &RecordBatch, assigned: Assigned, input: &Input<'_>, output: &mut Output) -> Step {
        let rows = take_record_batch(rows, &UInt32Array::from(assigned.rows))?;
        let before: Vec<Option<&[u8]>> =
            assigned.keys.iter().map(|key| self.states.get(key).map(|(_, state)| state.as_slice())).collect();
        let after = self.groups.add(&before, &rows, &assigned.groups)?;
        let shown = |key: &[u8]| match self.window {
            Some(_) => end_of(&mut &*key).map(|end_us| has_ended(end_us, input.watermark_before_us)),
            None => Ok(true),
        };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (number, ((key, before), after)) in (0..).zip(assigned.keys.iter().zip(&before).zip(&after)) {
            if shown(key)? {
                old.extend(before.map(|state| (number, key.as_slice(), state)));
                new.push((number, key.as_slice(), after.as_slice()));
            }
        }
        if !new.is_empty() {
            self.tell(&assigned.keys, &old, &new, output)?;
        }
        for (key, state) in assigned.keys.into_iter().zip(after) {
            output.state.push((key.clone(), Some(state_value(input.now_us, &state))));
            self.states.insert(key, (input.now_us, state));
        }
        Ok(())
    }

    /// Tells the windows whose end the watermark passed, and forgets those that are closed.
    fn close(&mut self, window: Window, input: &Input<'_>, output: &mut Output) -> Step {
        let Some(watermark_us) = input.watermark_us else { return Ok(()) };
        if input.watermark_before_us == Some(watermark_us) {
            return Ok(());
        }
        let after = |watermark_us: i64| watermark_us.checked_add(1).map(group_key);
        let from =
            input.watermark_before_us.and_then(after).map_or(Bound::Unbounded, |key| Bound::Included(key.to_vec()));
        let to = after(watermark_us).map_or(Bound::Unbounded, |key| Bound::Excluded(key.to_vec()));
        let ended = self.states.range((from, to)).map(|(key, (_, state))| (key.clone(), state.as_slice()));
        let (keys, states): (Vec<Vec<u8>>, Vec<&[u8]>) = ended.unzip();
        let numbered = (0..).zip(keys.iter().zip(states));
        let now: Vec<_> = numbered.map(|(number, (key, state))| (number, key.as_slice(), state)).collect();
        if !now.is_empty() {
            self.tell(&keys, &[], &now, output)?;
        }
        let closed_to = after(watermark_us.saturating_sub(window.lateness_us));
        while let Some(oldest) = self.states.first_entry()
            && closed_to.is_some_and(|closed_to| oldest.key().as_slice() < closed_to.as_slice())
        {
            output.state.push((oldest.remove_entry().0, None));
        }
        Ok(())
    }
}

type Step = Result<(), StreamError>;

const OUT_OF_RANGE: StreamError = StreamError::Definition { why: "a column is out of range" };

/// Rows and the groups they belong to.
#[derive(Default)]
struct Assigned {
    /// A row's place; several times where it belongs to several windows.
    rows: Vec<u32>,
    /// The group's number, for each of them.
    groups: Vec<usize>,
    /// The groups' keys, by number.
    keys: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, usize>,
}

impl Assigned {
    fn push(&mut self, row: usize, key: Vec<u8>) {
        let number = *self.numbers.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            self.keys.len() - 1
        });
        self.groups.push(number);
        // An epoch has fewer rows than 2^32.
        self.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
    }
}

/// The first bytes of a group's key: its window's end, so that keys are ordered by it.
fn group_key(end_us: i64) -> [u8; 8] {
    (end_us.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Takes the window's end from the front of a key.
fn end_of(key: &mut &[u8]) -> Result<i64, StreamError> {
    Ok((u64::from_be_bytes(take_array(key)?) ^ (1 << 63)).cast_signed())
}

fn state_value(changed_us: i64, state: &[u8]) -> Vec<u8> {
    let mut value = changed_us.to_le_bytes().to_vec();
    value.extend(state);
    value
}

fn times<'a>(rows: &'a RecordBatch, window: &Window) -> Result<&'a TimestampMicrosecondArray, StreamError> {
    let column = rows.columns().get(window.time_column).ok_or(OUT_OF_RANGE)?;
    let times = column.as_primitive_opt::<TimestampMicrosecondType>();
    times.ok_or(StreamError::Definition { why: "event time is a timestamp in microseconds" })
}

impl Operator for Aggregate {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.finish.schema)
    }

    fn restore(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StreamError> {
        let mut rest = value.as_slice();
        let changed_us = i64::from_le_bytes(take_array(&mut rest)?);
        self.states.insert(key, (changed_us, rest.to_vec()));
        Ok(())
    }

    fn step(&mut self, input: &Input<'_>, output: &mut Output) -> Result<(), StreamError> {
        let (rows, provenance) = self.projection.apply(&input.rows.batch, &mut output.refused)?;
        let (assigned, refused) = self.assign(&rows, input.watermark_before_us)?;
        let events = refused.into_iter().filter_map(|(row, why)| Some((provenance.get(row)?.0, why)));
        output.refused.extend(events);
        if !assigned.rows.is_empty() {
            self.add(&rows, assigned, input, output)?;
        }
        match self.window {
            Some(window) => self.close(window, input, output),
            None => Ok(()),
        }
    }

    fn expire(&mut self, before_us: i64, output: &mut Output) {
        // Windows are forgotten when they close.
        if self.window.is_some() {
            return;
        }
        let mut looked_at = 0;
        let mut gone = Vec::new();
        let mut last = None;
        let from = (Bound::Included(std::mem::take(&mut self.expired_to)), Bound::Unbounded);
        for (key, (changed_us, _)) in self.states.range::<Vec<u8>, _>(from).take(EXPIRY_STEP) {
            looked_at += 1;
            last = Some(key);
            if *changed_us < before_us {
                gone.push(key.clone());
            }
        }
        if looked_at == EXPIRY_STEP {
            self.expired_to = last.cloned().unwrap_or_default();
        }
        for key in gone {
            self.states.remove(&key);
            output.state.push((key.clone(), None));
            output.forgotten.push(key);
        }
    }
}
