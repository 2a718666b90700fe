//! Retention: what is old is removed, a little with each epoch.
//!
//! Invariant: the work of one epoch is bounded, whatever has become old meanwhile; what was removed of a view's changes is
//! known, so that nobody resumes over a gap.

use redb::{ReadableTable, WriteTransaction};

use crate::definition::ViewDefinition;
use crate::error::{StreamError, store};
use crate::store::tables::{CHANGES, DEAD, REFUSED, ROWS, SWEPT, written_us};

/// Values removed at most from one table with one epoch; more than an epoch of the same view writes.
const STEP: usize = 256;

/// For how long what belongs to no view is kept.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// Streams, their partitions, and for how long their dead letters are kept, in microseconds.
    pub dead_us: Vec<(u64, Vec<u32>, i64)>,
}

/// Removes what is older than the view's retention.
pub(super) fn view(
    transaction: &WriteTransaction,
    definition: &ViewDefinition,
    now_us: i64,
) -> Result<(), StreamError> {
    let view = definition.view.view;
    let before_us = now_us.saturating_sub(definition.retention_us);
    let mut changes = transaction.open_table(CHANGES).map_err(store)?;
    let mut old = Vec::new();
    for entry in changes.range((view, 0, 0)..=(view, u64::MAX, u32::MAX)).map_err(store)?.take(STEP) {
        let (key, value) = entry.map_err(store)?;
        if written_us(value.value())? >= before_us {
            break;
        }
        old.push(key.value());
    }
    if let Some((_, epoch, _)) = old.last() {
        transaction.open_table(SWEPT).map_err(store)?.insert(view, *epoch).map_err(store)?;
    }
    for key in old {
        changes.remove(key).map_err(store)?;
    }
    let mut refused = transaction.open_table(REFUSED).map_err(store)?;
    let mut old = Vec::new();
    for entry in refused.range((view, 0, 0)..=(view, u64::MAX, u32::MAX)).map_err(store)?.take(STEP) {
        let (key, value) = entry.map_err(store)?;
        if written_us(value.value())? >= before_us {
            break;
        }
        old.push(key.value());
    }
    for key in old {
        refused.remove(key).map_err(store)?;
    }
    if definition.is_keyed() && !definition.keeps_keys() { rows(transaction, view, before_us) } else { Ok(()) }
}

/// Removes rows of windows. Their keys begin with the window's end, so that the oldest come first.
fn rows(transaction: &WriteTransaction, view: u64, before_us: i64) -> Result<(), StreamError> {
    let mut rows = transaction.open_table(ROWS).map_err(store)?;
    let mut old = Vec::new();
    for entry in rows.range((view, [].as_slice())..).map_err(store)?.take(STEP) {
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
pub(super) fn dead(transaction: &WriteTransaction, retention: &Retention, now_us: i64) -> Result<(), StreamError> {
    let mut dead = transaction.open_table(DEAD).map_err(store)?;
    for (stream, partitions, kept_us) in &retention.dead_us {
        for partition in partitions {
            let mut old = Vec::new();
            let all = (*stream, *partition, 0)..=(*stream, *partition, u64::MAX);
            for entry in dead.range(all).map_err(store)?.take(STEP) {
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
