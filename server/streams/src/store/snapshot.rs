//! Reading: the state as one epoch left it, in pages.
//!
//! Invariant: all pages of a snapshot are of one epoch. A snapshot holds disk space back while it lives, so it is taken for
//! one statement and not kept.

use redb::ReadTransaction;

use arrow::array::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

use crate::decode::{DeadLetter, Origin};
use crate::definition::ViewDefinition;
use crate::error::{StreamError, store};
use crate::operator::{ChangeKind, Changes};
use crate::row_id::RowId;
use crate::store::tables::{self, CHANGES, DEAD, META, REFUSED, ROWS, RefusedRow, SWEPT};

/// The state after one epoch.
pub struct Snapshot {
    transaction: ReadTransaction,
    epoch: u64,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Behind this key.
    Key(Vec<u8>),
    /// Behind these changes.
    Changes(u64, u32),
}

/// Some rows of a view.
pub struct Page {
    /// The rows.
    pub rows: RecordBatch,
    /// Their ids.
    pub ids: Vec<RowId>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Place>,
}

impl Snapshot {
    pub(super) fn of(transaction: ReadTransaction) -> Result<Self, StreamError> {
        let meta = transaction.open_table(META).map_err(store)?;
        let epoch = meta.get(super::EPOCH_NAME).map_err(store)?.map_or(0, |epoch| epoch.value());
        Ok(Self { transaction, epoch })
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Rows of a view, `limit` or a few more, from where the page before ended. Rows are raw: they pass a policy's barrier
    /// before anyone sees them.
    ///
    /// # Errors
    /// [`StreamError::Store`], [`StreamError::Damaged`].
    pub fn rows(&self, view: &ViewDefinition, from: Option<&Place>, limit: usize) -> Result<Page, StreamError> {
        if view.is_keyed() { self.keyed_rows(view, from, limit) } else { self.gained_rows(view, from, limit) }
    }

    fn keyed_rows(&self, view: &ViewDefinition, from: Option<&Place>, limit: usize) -> Result<Page, StreamError> {
        let number = view.view.view;
        let begin = match from {
            // The least key that is greater.
            Some(Place::Key(key)) => [key.as_slice(), &[0]].concat(),
            _ => Vec::new(),
        };
        let table = self.transaction.open_table(ROWS).map_err(store)?;
        let (mut ids, mut rows, mut next) = (Vec::new(), Vec::new(), None);
        for entry in table.range((number, begin.as_slice())..).map_err(store)? {
            let (key, value) = entry.map_err(store)?;
            let (owner, key) = key.value();
            if owner != number {
                break;
            }
            let (_, id, row) = tables::read_row(value.value())?;
            ids.push(id);
            rows.push(row.to_vec());
            if rows.len() >= limit {
                next = Some(Place::Key(key.to_vec()));
                break;
            }
        }
        Ok(Page { rows: batch(view, rows.iter().map(Vec::as_slice))?, ids, next })
    }

    fn gained_rows(&self, view: &ViewDefinition, from: Option<&Place>, limit: usize) -> Result<Page, StreamError> {
        let number = view.view.view;
        let begin = match from {
            Some(Place::Changes(epoch, ordinal)) => (number, *epoch, ordinal.saturating_add(1)),
            _ => (number, 0, 0),
        };
        let table = self.transaction.open_table(CHANGES).map_err(store)?;
        let (mut ids, mut rows, mut next) = (Vec::new(), Vec::new(), None);
        for entry in table.range(begin..=(number, u64::MAX, u32::MAX)).map_err(store)? {
            let (key, value) = entry.map_err(store)?;
            for (_, id, row) in tables::read_changes(value.value())? {
                ids.push(id);
                rows.push(row.to_vec());
            }
            if rows.len() >= limit {
                let (_, epoch, ordinal) = key.value();
                next = Some(Place::Changes(epoch, ordinal));
                break;
            }
        }
        Ok(Page { rows: batch(view, rows.iter().map(Vec::as_slice))?, ids, next })
    }

    /// Changes of a view behind row `ordinal` of `epoch`, by epochs: the epoch, the ordinal of the first, and the changes.
    /// Ends with the epoch that reaches `limit`, or inside it. Raw, as [`Snapshot::rows`].
    ///
    /// # Errors
    /// [`StreamError::TokenExpired`] where some of them are no longer there.
    pub(crate) fn changes_after(
        &self,
        view: &ViewDefinition,
        (epoch, ordinal): (u64, u32),
        limit: usize,
    ) -> Result<Vec<(u64, u32, Changes)>, StreamError> {
        let number = view.view.view;
        let swept = self.transaction.open_table(SWEPT).map_err(store)?.get(number).map_err(store)?;
        // An epoch that was removed in part is not resumed into either; one behind which a token stands, is.
        if swept.is_some_and(|swept| swept.value() > epoch || (swept.value() == epoch && ordinal != u32::MAX)) {
            return Err(StreamError::TokenExpired);
        }
        let table = self.transaction.open_table(CHANGES).map_err(store)?;
        let (mut found, mut count) = (Vec::new(), 0);
        for entry in table.range((number, epoch, 0)..=(number, u64::MAX, u32::MAX)).map_err(store)? {
            let (key, value) = entry.map_err(store)?;
            let (_, at, first) = key.value();
            let skip =
                if at == epoch { usize::try_from(ordinal.saturating_sub(first)).unwrap_or(usize::MAX) } else { 0 };
            let changes = tables::read_changes(value.value())?;
            let changes = changes.get(skip..).unwrap_or_default();
            if changes.is_empty() {
                continue;
            }
            count += changes.len();
            let (mut kinds, mut ids): (Vec<ChangeKind>, Vec<RowId>) = (Vec::new(), Vec::new());
            for (kind, id, _) in changes {
                kinds.push(*kind);
                ids.push(*id);
            }
            let rows = batch(view, changes.iter().map(|(_, _, row)| *row))?;
            let begin = first.saturating_add(u32::try_from(skip).unwrap_or(u32::MAX));
            found.push((at, begin, Changes { kinds, ids, rows, keys: Vec::new() }));
            if count >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// Rows of the stream that found no place in a view, oldest first, `limit` at most.
    ///
    /// # Errors
    /// [`StreamError::Store`], [`StreamError::Damaged`].
    pub fn refused(&self, view: u64, limit: usize) -> Result<Vec<RefusedRow>, StreamError> {
        let table = self.transaction.open_table(REFUSED).map_err(store)?;
        let all = table.range((view, 0, 0)..=(view, u64::MAX, u32::MAX)).map_err(store)?;
        all.take(limit).map(|entry| tables::read_refused(entry.map_err(store)?.1.value())).collect()
    }

    /// Dead letters of a stream and when each was found, by partition and offset, `limit` at most.
    ///
    /// # Errors
    /// [`StreamError::Store`], [`StreamError::Damaged`].
    pub fn dead(&self, stream: u64, limit: usize) -> Result<Vec<(i64, DeadLetter)>, StreamError> {
        let table = self.transaction.open_table(DEAD).map_err(store)?;
        let all = table.range((stream, 0, 0)..=(stream, u32::MAX, u64::MAX)).map_err(store)?;
        let letters = all.take(limit).map(|entry| {
            let (key, value) = entry.map_err(store)?;
            let (_, partition, offset) = key.value();
            tables::read_dead(Origin { partition, offset }, value.value())
        });
        letters.collect()
    }
}

fn batch<'a>(view: &ViewDefinition, rows: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<RecordBatch, StreamError> {
    let schema = view.schema().ok_or(StreamError::Definition { why: "a view selects nothing" })?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), view.codec()?.decode(rows)?, &options)?)
}
