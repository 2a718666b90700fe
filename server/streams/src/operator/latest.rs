//! The first row of each key by an order, most often the latest: `DISTINCT ON`, `ROW_NUMBER() … = 1`.
//!
//! Of rows that the order leaves equal, the one that stands later in its source is kept (the greater partition and offset),
//! so that the result does not depend on where an epoch was cut.
//!
//! Invariant: for each key that was seen, the row that a query over all its rows would give.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows as OrderedRows, SortField};

use crate::decode::Origin;
use crate::definition::LatestDefinition;
use crate::error::StreamError;
use crate::operator::diff::{Moment, diff};
use crate::operator::finish::Finish;
use crate::operator::project::Projection;
use crate::operator::{Input, Operator, Output};
use crate::row::{RowCodec, take_array};
use crate::row_id::ViewVersion;

/// Keys looked at for retention at each step.
const EXPIRY_STEP: usize = 256;

const OUT_OF_RANGE: StreamError = StreamError::Definition { why: "a column is out of range" };

/// What is kept of a key.
#[derive(Clone)]
struct Kept {
    changed_us: i64,
    origin: Origin,
    ordinal: u32,
    row: Vec<u8>,
}

/// A view of the first row of each key.
pub(crate) struct Latest {
    view: ViewVersion,
    projection: Projection,
    definition: LatestDefinition,
    key_codec: RowCodec,
    row_codec: RowCodec,
    converter: RowConverter,
    kept: BTreeMap<Vec<u8>, Kept>,
    expired_to: Vec<u8>,
}

impl Latest {
    pub(crate) fn new(
        view: ViewVersion,
        projection: Projection,
        definition: LatestDefinition,
    ) -> Result<Self, StreamError> {
        let fields = projection.schema().fields();
        let keys = definition.keys.iter().map(|key| fields.get(*key).ok_or(OUT_OF_RANGE));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let key_codec = RowCodec::of_keys(keys.iter().map(|field| (field.name().as_str(), field.data_type())))?;
        let row_codec = RowCodec::new(fields.iter().map(|field| (field.name().as_str(), field.data_type())))?;
        let order = definition.order.iter().map(|(column, options)| {
            let field = fields.get(*column).ok_or(OUT_OF_RANGE)?;
            Ok(SortField::new_with_options(field.data_type().clone(), *options))
        });
        let converter = RowConverter::new(order.collect::<Result<_, StreamError>>()?)?;
        let (kept, expired_to) = (BTreeMap::new(), Vec::new());
        Ok(Self { view, projection, definition, key_codec, row_codec, converter, kept, expired_to })
    }

    fn finish(&self) -> &Finish {
        &self.definition.finish
    }

    /// The keys of the rows, and for each the rows that have it.
    fn by_key(&self, rows: &RecordBatch) -> Result<(Vec<Vec<u8>>, Vec<usize>), StreamError> {
        let columns = self.definition.keys.iter().map(|key| rows.columns().get(*key).cloned().ok_or(OUT_OF_RANGE));
        let encoder = self.key_codec.encoder(&columns.collect::<Result<Vec<_>, _>>()?)?;
        let (mut keys, mut numbers, mut of_row) = (Vec::new(), HashMap::new(), Vec::with_capacity(rows.num_rows()));
        for row in 0..rows.num_rows() {
            let number = *numbers.entry(encoder.row(row)).or_insert_with_key(|key: &Vec<u8>| {
                keys.push(key.clone());
                keys.len() - 1
            });
            of_row.push(number);
        }
        Ok((keys, of_row))
    }

    /// The order columns of kept rows, followed by those of new ones, as comparable bytes.
    fn ordered(&mut self, kept: &[ArrayRef], rows: &RecordBatch) -> Result<OrderedRows, StreamError> {
        let columns = self.definition.order.iter().map(|(column, _)| {
            let kept = kept.get(*column).ok_or(OUT_OF_RANGE)?;
            let new = rows.columns().get(*column).ok_or(OUT_OF_RANGE)?;
            Ok(concat(&[kept.as_ref(), new.as_ref()])?)
        });
        let columns = columns.collect::<Result<Vec<_>, StreamError>>()?;
        if columns.is_empty() {
            return Err(StreamError::Definition { why: "the first row of a key needs an order" });
        }
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// For each key, the row that stands first now: `None` where the kept one still does.
    fn first(
        &self,
        keys: &[Vec<u8>],
        of_row: &[usize],
        ordered: &OrderedRows,
        known: &[Option<usize>],
        origins: &[(Origin, u32)],
    ) -> Vec<Option<usize>> {
        let base = known.iter().flatten().count();
        let mut first: Vec<Option<usize>> = vec![None; keys.len()];
        for (row, (key, place)) in of_row.iter().zip(origins).enumerate() {
            let (Some(slot), Some(bytes)) = (first.get_mut(*key), keys.get(*key)) else { continue };
            let rival = match *slot {
                Some(best) => origins.get(best).map(|place| (base + best, *place)),
                None => known
                    .get(*key)
                    .copied()
                    .flatten()
                    .and_then(|at| self.kept.get(bytes).map(|kept| (at, (kept.origin, kept.ordinal)))),
            };
            let wins = rival.is_none_or(|(at, rival)| {
                let order = ordered.row(base + row).cmp(&ordered.row(at));
                order.then_with(|| rival.cmp(place)).is_lt()
            });
            if wins {
                *slot = Some(row);
            }
        }
        first
    }
}

impl Operator for Latest {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.finish().schema)
    }

    fn restore(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StreamError> {
        let mut rest = value.as_slice();
        let changed_us = i64::from_le_bytes(take_array(&mut rest)?);
        let partition = u32::from_le_bytes(take_array(&mut rest)?);
        let offset = u64::from_le_bytes(take_array(&mut rest)?);
        let ordinal = u32::from_le_bytes(take_array(&mut rest)?);
        self.kept.insert(key, Kept { changed_us, origin: Origin { partition, offset }, ordinal, row: rest.to_vec() });
        Ok(())
    }

    fn step(&mut self, input: &Input<'_>, output: &mut Output) -> Result<(), StreamError> {
        let (rows, provenance) = self.projection.apply(&input.rows.batch, &mut output.refused)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let (keys, of_row) = self.by_key(&rows)?;
        let mut known = Vec::with_capacity(keys.len());
        let mut kept_rows = Vec::new();
        for key in &keys {
            let kept = self.kept.get(key);
            known.push(kept.map(|_| kept_rows.len()));
            kept_rows.extend(kept.map(|kept| kept.row.clone()));
        }
        let kept_columns = self.row_codec.decode(kept_rows.iter().map(Vec::as_slice))?;
        let ordered = self.ordered(&kept_columns, &rows)?;
        let origins =
            provenance.iter().filter_map(|(place, ordinal)| Some((input.rows.origins.get(*place).copied()?, *ordinal)));
        let origins: Vec<_> = origins.collect();
        let first = self.first(&keys, &of_row, &ordered, &known, &origins);

        let before = RecordBatch::try_new(Arc::clone(rows.schema_ref()), kept_columns)?;
        let of = (0..).zip(&known).filter_map(|(number, known)| known.map(|_| number)).collect();
        let before = Moment { rows: before, of };
        let encoder = self.row_codec.encoder(rows.columns())?;
        let mut after = Vec::with_capacity(keys.len());
        for (key, first) in keys.iter().zip(&first) {
            let changed = first.and_then(|row| Some((row, *origins.get(row)?)));
            match (changed, self.kept.entry(key.clone())) {
                (Some((row, (origin, ordinal))), entry) => {
                    let kept = Kept { changed_us: input.now_us, origin, ordinal, row: encoder.row(row) };
                    output.state.push((key.clone(), Some(value_of(&kept))));
                    after.push(entry.insert_entry(kept).get().row.clone());
                }
                (None, Entry::Occupied(entry)) => after.push(entry.get().row.clone()),
                (None, Entry::Vacant(_)) => return Err(StreamError::Damaged { what: "a key has no row" }),
            }
        }
        let after = self.row_codec.decode(after.iter().map(Vec::as_slice))?;
        let after = RecordBatch::try_new(Arc::clone(rows.schema_ref()), after)?;
        let after = Moment { rows: after, of: (0..).zip(&keys).map(|(number, _)| number).collect() };
        let changes = diff(self.view, self.finish(), &keys, &before, &after)?;
        if !changes.ids.is_empty() {
            output.changes.push(changes);
        }
        Ok(())
    }

    fn expire(&mut self, before_us: i64, output: &mut Output) {
        let from = (Bound::Included(std::mem::take(&mut self.expired_to)), Bound::Unbounded);
        let looked_at: Vec<(Vec<u8>, i64)> = self
            .kept
            .range::<Vec<u8>, _>(from)
            .take(EXPIRY_STEP)
            .map(|(key, kept)| (key.clone(), kept.changed_us))
            .collect();
        if looked_at.len() == EXPIRY_STEP {
            self.expired_to = looked_at.last().map(|(key, _)| key.clone()).unwrap_or_default();
        }
        for (key, _) in looked_at.into_iter().filter(|(_, changed_us)| *changed_us < before_us) {
            self.kept.remove(&key);
            output.state.push((key.clone(), None));
            output.forgotten.push(key);
        }
    }
}

fn value_of(kept: &Kept) -> Vec<u8> {
    let mut value = kept.changed_us.to_le_bytes().to_vec();
    value.extend(kept.origin.partition.to_le_bytes());
    value.extend(kept.origin.offset.to_le_bytes());
    value.extend(kept.ordinal.to_le_bytes());
    value.extend(&kept.row);
    value
}
