//! Filters and select lists over a stream's rows: each branch of a UNION ALL may make a row of an event.
//!
//! The rows come in the order of their events, those of one event in the order of the branches. Where an expression fails,
//! each row is tried alone, so that one bad row takes no alert with it.
//!
//! Invariant: what a branch makes of an event does not depend on the events around it.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;

use crate::error::StreamError;
use crate::operator::finish::Finish;
use crate::operator::{ChangeKind, Changes, Input, Operator, Output, Refusal};
use crate::row_id::{RowId, ViewVersion};

/// Where a projected row comes from: the place of its event in the input, and the branch.
pub(crate) type Provenance = (usize, u32);

/// The branches of a UNION ALL; a plain SELECT has one.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    branches: Vec<Finish>,
    schema: SchemaRef,
}

impl Projection {
    pub(crate) fn new(branches: Vec<Finish>) -> Result<Self, StreamError> {
        let first = branches.first().ok_or(StreamError::Definition { why: "a view selects nothing" })?;
        let schema = Arc::clone(&first.schema);
        if branches.iter().any(|branch| branch.schema.fields() != schema.fields()) {
            return Err(StreamError::Definition { why: "the branches of a union have different columns" });
        }
        Ok(Self { branches, schema })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Projects `batch`; events for which an expression fails are refused, with what each branch could make of them kept.
    pub(crate) fn apply(
        &self,
        batch: &RecordBatch,
        refused: &mut Vec<(usize, Refusal)>,
    ) -> Result<(RecordBatch, Vec<Provenance>), StreamError> {
        let mut made: Vec<(RecordBatch, Vec<Provenance>)> = Vec::with_capacity(self.branches.len());
        let mut failed = Vec::new();
        for (ordinal, branch) in (0..).zip(&self.branches) {
            made.push(branch_of(branch, ordinal, batch, &mut failed)?);
        }
        failed.sort_unstable();
        failed.dedup();
        refused.extend(failed.into_iter().map(|place| (place, Refusal::Evaluation)));
        if let [_] = made.as_slice() {
            return made.pop().ok_or(StreamError::Definition { why: "a view selects nothing" });
        }
        self.interleave(&made)
    }

    /// Rows of all branches in the order of their events.
    fn interleave(
        &self,
        made: &[(RecordBatch, Vec<Provenance>)],
    ) -> Result<(RecordBatch, Vec<Provenance>), StreamError> {
        let all = concat_batches(&self.schema, made.iter().map(|(batch, _)| batch))?;
        let mut order: Vec<(Provenance, u32)> =
            made.iter().flat_map(|(_, provenance)| provenance.iter().copied()).zip(0_u32..).collect();
        order.sort_unstable();
        let places: UInt32Array = order.iter().map(|(_, place)| *place).collect();
        Ok((take_record_batch(&all, &places)?, order.into_iter().map(|(provenance, _)| provenance).collect()))
    }
}

fn branch_of(
    branch: &Finish,
    ordinal: u32,
    batch: &RecordBatch,
    failed: &mut Vec<usize>,
) -> Result<(RecordBatch, Vec<Provenance>), StreamError> {
    if let Ok((rows, places)) = branch.apply(batch) {
        return Ok((rows, places.into_iter().map(|place| (place as usize, ordinal)).collect()));
    }
    let (mut rows, mut provenance) = (Vec::new(), Vec::new());
    for place in 0..batch.num_rows() {
        match branch.apply(&batch.slice(place, 1)) {
            Ok((row, _)) => {
                provenance.extend(std::iter::repeat_n((place, ordinal), row.num_rows()));
                rows.push(row);
            }
            Err(_) => failed.push(place),
        }
    }
    Ok((concat_batches(&branch.schema, &rows)?, provenance))
}

/// A view that only ever gains rows.
pub(crate) struct Project {
    view: ViewVersion,
    source: u64,
    projection: Projection,
}

impl Project {
    pub(crate) fn new(view: ViewVersion, source: u64, projection: Projection) -> Self {
        Self { view, source, projection }
    }
}

impl Operator for Project {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.projection.schema())
    }

    fn restore(&mut self, _key: Vec<u8>, _value: Vec<u8>) -> Result<(), StreamError> {
        // It remembers nothing: what is there is another operator's.
        Err(StreamError::RebuildNeeded)
    }

    fn step(&mut self, input: &Input<'_>, output: &mut Output) -> Result<(), StreamError> {
        let (rows, provenance) = self.projection.apply(&input.rows.batch, &mut output.refused)?;
        let ids = provenance.iter().map(|(place, ordinal)| {
            let origin = input.rows.origins.get(*place).copied();
            let origin = origin.ok_or(StreamError::Definition { why: "a row comes from nowhere" })?;
            Ok(RowId::of_event(self.view, self.source, origin, *ordinal))
        });
        let ids = ids.collect::<Result<Vec<_>, StreamError>>()?;
        if !ids.is_empty() {
            output.changes.push(Changes { kinds: vec![ChangeKind::Insert; ids.len()], ids, rows, keys: Vec::new() });
        }
        Ok(())
    }

    fn expire(&mut self, _before_us: i64, _output: &mut Output) {}
}
