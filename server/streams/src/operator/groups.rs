//! Aggregates over many groups at once, whose states are bytes between epochs.
//!
//! Each epoch, the states of the groups that have new rows are merged into fresh accumulators, the rows are added, and the
//! states are taken out again. The accumulators are DataFusion's own, so that a view agrees with a query.
//!
//! Invariant: adding rows in several epochs and adding them at once give the same state, as far as the aggregate itself
//! does (sums of floats depend on order).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::FieldRef;
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_physical_expr::GroupsAccumulatorAdapter;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use crate::definition::Expr;
use crate::error::StreamError;
use crate::row::RowCodec;

/// One aggregate of a select list.
#[derive(Debug, Clone)]
pub struct Aggregation {
    /// The function and its arguments.
    pub function: Arc<AggregateFunctionExpr>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expr>,
}

/// Aggregates and the format of their states.
pub(crate) struct Groups {
    aggregations: Vec<Aggregation>,
    /// How many state columns each has.
    widths: Vec<usize>,
    codec: RowCodec,
}

impl Groups {
    pub(crate) fn new(aggregations: Vec<Aggregation>) -> Result<Self, StreamError> {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut widths = Vec::new();
        for aggregation in &aggregations {
            let state = aggregation.function.state_fields()?;
            widths.push(state.len());
            fields.extend(state);
        }
        let codec = RowCodec::new(fields.iter().map(|field| (field.name().as_str(), field.data_type())))?;
        Ok(Self { aggregations, widths, codec })
    }

    /// The types of the results.
    pub(crate) fn results(&self) -> impl Iterator<Item = FieldRef> {
        self.aggregations.iter().map(|aggregation| aggregation.function.field())
    }

    /// The states after `rows`, each of which belongs to the group `of_row`; every group has one at least. `before` holds a
    /// state for each group, `None` for new ones.
    pub(crate) fn add(
        &self,
        before: &[Option<&[u8]>],
        rows: &RecordBatch,
        of_row: &[usize],
    ) -> Result<Vec<Vec<u8>>, StreamError> {
        // Accumulators take it that a group they have not met has rows in the batch they meet it with: those that have a
        // state come first, and are all that the states are merged into.
        let known = before.iter().flatten().count();
        let (mut next_known, mut next_new) = (0, known);
        let places: Vec<usize> = before
            .iter()
            .map(|state| {
                let next = if state.is_some() { &mut next_known } else { &mut next_new };
                *next += 1;
                *next - 1
            })
            .collect();
        let of_row = of_row.iter().map(|group| places.get(*group).copied().ok_or(LOST));
        let of_row = of_row.collect::<Result<Vec<_>, _>>()?;
        let mut accumulators = self.merged(&before.iter().flatten().copied().collect::<Vec<_>>())?;
        for (aggregation, accumulator) in self.aggregations.iter().zip(&mut accumulators) {
            let arguments = aggregation.function.expressions();
            let arguments = arguments.iter().map(|argument| argument.evaluate(rows)?.into_array(rows.num_rows()));
            let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
            let filter = match &aggregation.filter {
                Some(filter) => {
                    let chosen = filter.evaluate(rows)?.into_array(rows.num_rows())?;
                    Some(chosen.as_boolean_opt().ok_or(NOT_BOOLEAN)?.clone())
                }
                None => None,
            };
            accumulator.update_batch(&arguments, &of_row, filter.as_ref(), before.len())?;
        }
        let mut states = Vec::new();
        for accumulator in &mut accumulators {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        let encoder = self.codec.encoder(&states)?;
        Ok(places.into_iter().map(|place| encoder.row(place)).collect())
    }

    /// What the aggregates are, in each of these states.
    pub(crate) fn evaluate(&self, states: &[&[u8]]) -> Result<Vec<ArrayRef>, StreamError> {
        let mut accumulators = self.merged(states)?;
        accumulators.iter_mut().map(|accumulator| Ok(accumulator.evaluate(EmitTo::All)?)).collect()
    }

    /// Fresh accumulators that hold these states, each that of a group of its own.
    fn merged(&self, states: &[&[u8]]) -> Result<Vec<Box<dyn GroupsAccumulator>>, StreamError> {
        let groups: Vec<usize> = (0..states.len()).collect();
        let columns = self.codec.decode(states.iter().copied())?;
        let mut rest = columns.as_slice();
        let mut accumulators = Vec::with_capacity(self.aggregations.len());
        for (aggregation, width) in self.aggregations.iter().zip(&self.widths) {
            let mut accumulator = accumulator(&aggregation.function)?;
            let (state, after) =
                rest.split_at_checked(*width).ok_or(StreamError::Damaged { what: "a state lacks columns" })?;
            rest = after;
            if !groups.is_empty() {
                accumulator.merge_batch(state, &groups, groups.len())?;
            }
            accumulators.push(accumulator);
        }
        Ok(accumulators)
    }
}

const NOT_BOOLEAN: StreamError = StreamError::Definition { why: "a predicate is not boolean" };
const LOST: StreamError = StreamError::Definition { why: "a row belongs to no group" };

fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>, StreamError> {
    if function.groups_accumulator_supported() {
        return Ok(function.create_groups_accumulator()?);
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}
