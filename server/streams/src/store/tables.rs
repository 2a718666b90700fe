//! The tables of the state file, and the bytes in them.
//!
//! Invariant: everything that an epoch changes is in one of these tables, and so in one transaction.

use redb::TableDefinition;

use crate::decode::{DeadLetter, Origin};
use crate::error::StreamError;
use crate::operator::{ChangeKind, Refusal};
use crate::row::{take, take_array, take_sized};
use crate::row_id::RowId;

/// What holds for the whole file, by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Views: the version and formats that wrote them, and why they stopped.
pub(super) const VIEWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("views");
/// (view, partition): the offset of the next record.
pub(super) const OFFSETS: TableDefinition<'_, (u64, u32), u64> = TableDefinition::new("offsets");
/// A view's watermarks.
pub(super) const MARKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("watermarks");
/// (view, key): what its operator remembers.
pub(super) const STATE: TableDefinition<'_, (u64, &[u8]), &[u8]> = TableDefinition::new("state");
/// (view, key): the row that is shown for the key.
pub(super) const ROWS: TableDefinition<'_, (u64, &[u8]), &[u8]> = TableDefinition::new("rows");
/// (view, epoch, ordinal of the first): changes in order.
pub(super) const CHANGES: TableDefinition<'_, (u64, u64, u32), &[u8]> = TableDefinition::new("changes");
/// A view: the last epoch whose changes retention has removed some of.
pub(super) const SWEPT: TableDefinition<'_, u64, u64> = TableDefinition::new("swept");
/// (view, epoch, number): rows of the stream that found no place in the view.
pub(super) const REFUSED: TableDefinition<'_, (u64, u64, u32), &[u8]> = TableDefinition::new("refused");
/// (stream, partition, offset): records that are no rows.
pub(super) const DEAD: TableDefinition<'_, (u64, u32, u64), &[u8]> = TableDefinition::new("dead");

/// A row as it stands in [`ROWS`].
pub(super) fn row_value(changed_us: i64, id: RowId, row: &[u8]) -> Vec<u8> {
    let mut value = changed_us.to_le_bytes().to_vec();
    value.extend(id.0);
    value.extend(row);
    value
}

/// What [`row_value`] made.
pub(super) fn read_row(value: &[u8]) -> Result<(i64, RowId, &[u8]), StreamError> {
    let mut rest = value;
    let changed_us = i64::from_le_bytes(take_array(&mut rest)?);
    Ok((changed_us, RowId(take_array(&mut rest)?), rest))
}

/// When the value was written: all values begin with it.
pub(super) fn written_us(value: &[u8]) -> Result<i64, StreamError> {
    Ok(i64::from_le_bytes(take_array(&mut &*value)?))
}

/// One change as it stands in [`CHANGES`], behind the time.
pub(super) fn push_change(value: &mut Vec<u8>, kind: ChangeKind, id: RowId, row: &[u8]) {
    value.push(kind as u8);
    value.extend(id.0);
    // Rows are made of batches, whose offsets are 32 bits wide.
    value.extend(u32::try_from(row.len()).unwrap_or(u32::MAX).to_le_bytes());
    value.extend(row);
}

/// A change as it is read: what happened, to which row, and the row.
pub(super) type ReadChange<'a> = (ChangeKind, RowId, &'a [u8]);

/// The changes of one value.
pub(super) fn read_changes(value: &[u8]) -> Result<Vec<ReadChange<'_>>, StreamError> {
    let mut rest = value;
    take(&mut rest, 8)?;
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let [kind] = take_array(&mut rest)?;
        let id = RowId(take_array(&mut rest)?);
        changes.push((ChangeKind::of(kind)?, id, take_sized(&mut rest)?));
    }
    Ok(changes)
}

/// A row of the stream that found no place in a view.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Why.
    pub refusal: Refusal,
    /// Where its record stands.
    pub origin: Origin,
}

pub(super) fn refused_value(row: &RefusedRow) -> Vec<u8> {
    let mut value = row.at_us.to_le_bytes().to_vec();
    value.push(row.refusal as u8);
    value.extend(row.origin.partition.to_le_bytes());
    value.extend(row.origin.offset.to_le_bytes());
    value
}

pub(super) fn read_refused(value: &[u8]) -> Result<RefusedRow, StreamError> {
    let mut rest = value;
    let at_us = i64::from_le_bytes(take_array(&mut rest)?);
    let refusal = match take_array(&mut rest)? {
        [0] => Refusal::Late,
        [1] => Refusal::NoEventTime,
        [2] => Refusal::Evaluation,
        _ => return Err(StreamError::Damaged { what: "a refused row has no reason" }),
    };
    let partition = u32::from_le_bytes(take_array(&mut rest)?);
    let offset = u64::from_le_bytes(take_array(&mut rest)?);
    Ok(RefusedRow { at_us, refusal, origin: Origin { partition, offset } })
}

pub(super) fn dead_value(at_us: i64, letter: &DeadLetter) -> Vec<u8> {
    let mut value = at_us.to_le_bytes().to_vec();
    value.extend(u32::try_from(letter.reason.len()).unwrap_or(u32::MAX).to_le_bytes());
    value.extend(letter.reason.as_bytes());
    value.extend(&letter.bytes);
    value
}

/// When a record was found to be no row, and the record.
pub(super) fn read_dead(origin: Origin, value: &[u8]) -> Result<(i64, DeadLetter), StreamError> {
    let mut rest = value;
    let at_us = i64::from_le_bytes(take_array(&mut rest)?);
    let reason = String::from_utf8_lossy(take_sized(&mut rest)?).into_owned();
    Ok((at_us, DeadLetter { origin, bytes: rest.to_vec(), reason }))
}
