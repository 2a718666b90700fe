//! From how the rows of some keys were and how they are now to the changes that subscribers are told.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};

use crate::error::StreamError;
use crate::operator::finish::Finish;
use crate::operator::{ChangeKind, Changes};
use crate::row::RowCodec;
use crate::row_id::{RowId, ViewVersion};

/// The rows of some keys at one moment: which key each belongs to, by its place in a list of keys.
pub(super) struct Moment {
    pub(super) rows: RecordBatch,
    /// In ascending order.
    pub(super) of: Vec<u32>,
}

impl Moment {
    /// What is shown of it.
    fn shown(&self, finish: &Finish) -> Result<Self, StreamError> {
        let (rows, places) = finish.apply(&self.rows)?;
        let of = places.iter().filter_map(|place| self.of.get(*place as usize).copied()).collect();
        Ok(Self { rows, of })
    }

    /// The row of key `key`.
    fn place(&self, key: u32) -> Option<usize> {
        self.of.binary_search(&key).ok()
    }
}

/// The changes from `before` to `after` of the rows of `keys`, in the order of the keys. Rows that stay as they are shown
/// are no changes.
pub(super) fn diff(
    view: ViewVersion,
    finish: &Finish,
    keys: &[Vec<u8>],
    before: &Moment,
    after: &Moment,
) -> Result<Changes, StreamError> {
    let (before, after) = (before.shown(finish)?, after.shown(finish)?);
    let codec = RowCodec::new(finish.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())))?;
    let (old_rows, new_rows) = (codec.encoder(before.rows.columns())?, codec.encoder(after.rows.columns())?);
    let mut changes = Changes::none(std::sync::Arc::clone(&finish.schema));
    let mut places = Vec::new();
    for (number, key) in (0..).zip(keys) {
        let (old, new) = (before.place(number), after.place(number));
        let kinds: &[(ChangeKind, Option<usize>, usize)] = match (old, new) {
            (None, None) => &[],
            (Some(old), Some(new)) if old_rows.row(old) == new_rows.row(new) => &[],
            (Some(old), Some(new)) => {
                &[(ChangeKind::UpdateBefore, Some(old), 0), (ChangeKind::UpdateAfter, Some(new), before.of.len())]
            }
            (None, new) => &[(ChangeKind::Insert, new, before.of.len())],
            (old, None) => &[(ChangeKind::Delete, old, 0)],
        };
        for (kind, place, shift) in kinds {
            changes.kinds.push(*kind);
            changes.ids.push(RowId::of_key(view, key));
            changes.keys.push(key.clone());
            let place = place.and_then(|place| u32::try_from(place + shift).ok());
            places.push(place.ok_or(StreamError::Definition { why: "too many rows" })?);
        }
    }
    let all = concat_batches(&finish.schema, [&before.rows, &after.rows])?;
    changes.rows = take_record_batch(&all, &UInt32Array::from(places))?;
    Ok(changes)
}
