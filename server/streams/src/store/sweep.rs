//! Retention: what is old is removed, a little with each epoch.
//!
//! Invariant: the work of one epoch is bounded by what it writes, whatever has become old meanwhile, and is more than what it
//! writes, so that nothing grows for ever; what was removed of a view's changes is known, so that nobody resumes over a gap.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use crate::error::{StreamError, store};
use crate::store::ViewWrite;
use crate::store::tables::{CHANGES, DEAD, REFUSED, ROWS, SWEPT, written_us};

/// Values removed from one table with one epoch, besides twice as many as it writes there.
const STEP: usize = 256;

/// For how long what belongs to no view is kept.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// Streams, their partitions, and for how long their dead letters are kept, in microseconds.
    pub dead_us: Vec<(u64, Vec<u32>, i64)>,
}

/// Removes what is older than the view's retention.
pub(super) fn view(transaction: &WriteTransaction, write: &ViewWrite<'_>, now_us: i64) -> Result<(), StreamError> {
    let view = write.definition.view.view;
    let before_us = now_us.saturating_sub(write.definition.retention_us);
    let changed: usize = write.changes.iter().map(|changes| changes.ids.len()).sum();
    if let Some(epoch) = epochs(transaction, CHANGES, view, before_us, step(changed))? {
        transaction.open_table(SWEPT).map_err(store)?.insert(view, epoch).map_err(store)?;
    }
    epochs(transaction, REFUSED, view, before_us, step(write.refused.len()))?;
    // Others go with the operator's keys, or are the changes themselves.
    if write.definition.is_keyed() && !write.definition.keeps_keys() {
        rows(transaction, view, before_us, step(changed))?;
    }
    Ok(())
}

fn step(written: usize) -> usize {
    STEP + 2 * written
}

/// Removes what stands under epochs; the last epoch that something was removed of.
fn epochs(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, (u64, u64, u32), &[u8]>,
    view: u64,
    before_us: i64,
    step: usize,
) -> Result<Option<u64>, StreamError> {
    let mut table = transaction.open_table(table).map_err(store)?;
    let mut old = Vec::new();
    for entry in table.range((view, 0, 0)..=(view, u64::MAX, u32::MAX)).map_err(store)?.take(step) {
        let (key, value) = entry.map_err(store)?;
        if written_us(value.value())? >= before_us {
            break;
        }
        old.push(key.value());
    }
    let last = old.last().map(|(_, epoch, _)| *epoch);
    for key in old {
        table.remove(key).map_err(store)?;
    }
    Ok(last)
}

/// Removes rows of windows. Their keys begin with the window's end, so that the oldest come first.
fn rows(transaction: &WriteTransaction, view: u64, before_us: i64, step: usize) -> Result<(), StreamError> {
    let mut rows = transaction.open_table(ROWS).map_err(store)?;
    let mut old = Vec::new();
    for entry in rows.range((view, [].as_slice())..).map_err(store)?.take(step) {
        let (key, value) = entry.map_err(store)?;
        let (owner, key) = key.value();
        if owner != view || written_us(value.value())? >= before_us {
            break;
        }
        old.push(key.to_vec());
    }
    for key in old {
        rows.remove((view, key.as_slice())).map_err(store)?;
    }
    Ok(())
}

/// Removes dead letters.
pub(super) fn dead(
    transaction: &WriteTransaction,
    retention: &Retention,
    written: usize,
    now_us: i64,
) -> Result<(), StreamError> {
    let mut dead = transaction.open_table(DEAD).map_err(store)?;
    for (stream, partitions, kept_us) in &retention.dead_us {
        for partition in partitions {
            let mut old = Vec::new();
            let all = (*stream, *partition, 0)..=(*stream, *partition, u64::MAX);
            for entry in dead.range(all).map_err(store)?.take(step(written)) {
                let (key, value) = entry.map_err(store)?;
                if written_us(value.value())? >= now_us.saturating_sub(*kept_us) {
                    break;
                }
                old.push(key.value());
            }
            for key in old {
                dead.remove(key).map_err(store)?;
            }
        }
    }
    Ok(())
}
