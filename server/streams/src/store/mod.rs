//! The state of all streams: one encrypted file, changed by one transaction an epoch.
//!
//! What an epoch took from its sources, what it remembers and what it tells its subscribers are durable together or not at
//! all. Readers take a [`Snapshot`]: the state after one epoch, whatever epochs follow.
//!
//! Invariants: epochs are committed in order, each once; nothing of a view is read by another version of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::decode::DeadLetter;
use crate::definition::ViewDefinition;
#[cfg(test)]
use crate::encrypted_file::Disk;
use crate::encrypted_file::{EncryptedFile, Recovery};
use crate::error::{StreamError, store};
use crate::operator::{ChangeKind, Changes, Operator, StateWrite};
use crate::row::{self, RowCodec, take_array};
use crate::seal::Vault;
use crate::watermark::{WatermarkRule, Watermarks};

mod snapshot;
mod sweep;
mod tables;

pub use snapshot::{Page, Place, Snapshot};
pub use sweep::Retention;
pub use tables::RefusedRow;
use tables::{CHANGES, DEAD, MARKS, META, OFFSETS, REFUSED, ROWS, STATE, SWEPT, VIEWS, dead_value};

/// The tables' format.
const FORMAT: u64 = 1;
/// Format of what operators remember; a view whose state has another one is computed anew.
const OPERATOR_FORMAT: u32 = 1;
const FORMAT_NAME: &str = "format";
const EPOCH_NAME: &str = "epoch";
/// Changes that stand in one value.
const CHUNK_ROWS: usize = 1_024;
const CACHE_BYTES: usize = 64 << 20;

/// The state of all streams of a server.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

/// What an epoch does to one view.
pub(crate) struct ViewWrite<'a> {
    pub(crate) definition: &'a ViewDefinition,
    pub(crate) codec: &'a RowCodec,
    /// Partitions and the offsets of their next records.
    pub(crate) next: Vec<(u32, u64)>,
    pub(crate) marks: Vec<u8>,
    pub(crate) state: Vec<StateWrite>,
    pub(crate) changes: Arc<Vec<Changes>>,
    pub(crate) forgotten: Vec<Vec<u8>>,
    pub(crate) refused: Vec<RefusedRow>,
    /// Why the view stops with this epoch.
    pub(crate) failure: Option<String>,
}

/// What is known of a view when its server starts.
pub(crate) struct Loaded {
    pub(crate) next: Vec<(u32, u64)>,
    pub(crate) marks: Watermarks,
    pub(crate) failure: Option<String>,
}

impl Store {
    /// Opens or creates the state of streams at `path`, for this process alone.
    ///
    /// # Errors
    /// [`StreamError::InUse`]; [`StreamError::RebuildNeeded`] where another version of the server wrote it;
    /// [`StreamError::File`] and [`StreamError::Store`] where it cannot be opened, the key is another one among it.
    pub fn open(path: &Path, vault: Arc<Vault>) -> Result<Self, StreamError> {
        let opened = EncryptedFile::open(path, vault);
        Self::over(opened.map_err(StreamError::file("open the state of streams"))?)
    }

    /// The same over storage that fails when it is told to.
    #[cfg(test)]
    pub(crate) fn over_disk(disk: Box<dyn Disk>, vault: Arc<Vault>) -> Result<Self, StreamError> {
        let opened = EncryptedFile::over(disk, vault);
        Self::over(opened.map_err(StreamError::file("open the state of streams"))?)
    }

    fn over((file, recovery): (EncryptedFile, Recovery)) -> Result<Self, StreamError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file).map_err(store)?;
        recovery.finish();
        let transaction = database.begin_write().map_err(store)?;
        {
            // All are made, so that a reader finds each of them.
            let mut meta = transaction.open_table(META).map_err(store)?;
            let format = meta.get(FORMAT_NAME).map_err(store)?.map(|format| format.value());
            match format {
                None => {
                    meta.insert(FORMAT_NAME, FORMAT).map_err(store)?;
                }
                Some(FORMAT) => {}
                Some(_) => return Err(StreamError::RebuildNeeded),
            }
            transaction.open_table(VIEWS).map_err(store)?;
            transaction.open_table(OFFSETS).map_err(store)?;
            transaction.open_table(MARKS).map_err(store)?;
            transaction.open_table(STATE).map_err(store)?;
            transaction.open_table(ROWS).map_err(store)?;
            transaction.open_table(CHANGES).map_err(store)?;
            transaction.open_table(SWEPT).map_err(store)?;
            transaction.open_table(REFUSED).map_err(store)?;
            transaction.open_table(DEAD).map_err(store)?;
        }
        transaction.commit().map_err(store)?;
        Ok(Self { database })
    }

    /// The state after the last epoch.
    ///
    /// # Errors
    /// [`StreamError::Store`].
    pub fn snapshot(&self) -> Result<Snapshot, StreamError> {
        Snapshot::of(self.database.begin_read().map_err(store)?)
    }

    /// Gives `operator` back what it remembered, and tells where the view stands. A view that is not known yet begins at
    /// `first`.
    pub(crate) fn load(
        &self,
        definition: &ViewDefinition,
        operator: &mut dyn Operator,
        rule: WatermarkRule,
        first: &[(u32, u64)],
    ) -> Result<Loaded, StreamError> {
        let view = definition.view.view;
        let transaction = self.database.begin_read().map_err(store)?;
        let views = transaction.open_table(VIEWS).map_err(store)?;
        let Some(header) = views.get(view).map_err(store)? else {
            return Ok(Loaded { next: first.to_vec(), marks: Watermarks::new(rule), failure: None });
        };
        let failure = read_header(definition, header.value())?;
        let offsets = transaction.open_table(OFFSETS).map_err(store)?;
        let mut next = first.to_vec();
        for (partition, offset) in &mut next {
            if let Some(known) = offsets.get((view, *partition)).map_err(store)? {
                *offset = known.value();
            }
        }
        let marks = match transaction.open_table(MARKS).map_err(store)?.get(view).map_err(store)? {
            Some(bytes) => Watermarks::decode(rule, bytes.value())?,
            None => Watermarks::new(rule),
        };
        let state = transaction.open_table(STATE).map_err(store)?;
        for entry in state.range((view, [].as_slice())..).map_err(store)? {
            let (key, value) = entry.map_err(store)?;
            let (owner, key) = key.value();
            if owner != view {
                break;
            }
            operator.restore(key.to_vec(), value.value().to_vec())?;
        }
        Ok(Loaded { next, marks, failure })
    }

    /// Makes an epoch durable.
    pub(crate) fn commit(
        &self,
        epoch: u64,
        at_us: i64,
        views: &[ViewWrite<'_>],
        dead: &[(u64, DeadLetter)],
        retention: &Retention,
    ) -> Result<(), StreamError> {
        let transaction = self.database.begin_write().map_err(store)?;
        {
            let mut meta = transaction.open_table(META).map_err(store)?;
            let last = meta.insert(EPOCH_NAME, epoch).map_err(store)?.map_or(0, |last| last.value());
            if last + 1 != epoch {
                return Err(StreamError::Damaged { what: "an epoch does not follow the last one" });
            }
            let mut table = transaction.open_table(DEAD).map_err(store)?;
            for (stream, letter) in dead {
                let key = (*stream, letter.origin.partition, letter.origin.offset);
                table.insert(key, dead_value(at_us, letter).as_slice()).map_err(store)?;
            }
        }
        for write in views {
            write_view(&transaction, epoch, at_us, write)?;
            sweep::view(&transaction, write, at_us)?;
        }
        sweep::dead(&transaction, retention, dead.len(), at_us)?;
        transaction.commit().map_err(store)
    }

    /// Removes all that is kept of a view.
    ///
    /// # Errors
    /// [`StreamError::Store`].
    pub fn drop_view(&self, view: u64) -> Result<(), StreamError> {
        let transaction = self.database.begin_write().map_err(store)?;
        {
            transaction.open_table(VIEWS).map_err(store)?.remove(view).map_err(store)?;
            transaction.open_table(MARKS).map_err(store)?.remove(view).map_err(store)?;
            transaction.open_table(SWEPT).map_err(store)?.remove(view).map_err(store)?;
            let mut offsets = transaction.open_table(OFFSETS).map_err(store)?;
            offsets.retain_in((view, 0)..=(view, u32::MAX), |_, _| false).map_err(store)?;
            for table in [STATE, ROWS] {
                let mut table = transaction.open_table(table).map_err(store)?;
                let empty = [].as_slice();
                match view.checked_add(1) {
                    Some(other) => table.retain_in((view, empty)..(other, empty), |_, _| false),
                    None => table.retain_in((view, empty).., |_, _| false),
                }
                .map_err(store)?;
            }
            for table in [CHANGES, REFUSED] {
                let mut table = transaction.open_table(table).map_err(store)?;
                let all = (view, 0, 0)..=(view, u64::MAX, u32::MAX);
                table.retain_in(all, |_, _| false).map_err(store)?;
            }
        }
        transaction.commit().map_err(store)
    }
}

fn header(definition: &ViewDefinition, failure: Option<&str>) -> Vec<u8> {
    let mut header = definition.view.version.to_le_bytes().to_vec();
    header.extend(row::FORMAT.to_le_bytes());
    header.extend(OPERATOR_FORMAT.to_le_bytes());
    header.push(u8::from(failure.is_some()));
    header.extend(failure.unwrap_or_default().as_bytes());
    header
}

/// Why the view stopped, if it did.
fn read_header(definition: &ViewDefinition, header: &[u8]) -> Result<Option<String>, StreamError> {
    let mut rest = header;
    let version = u32::from_le_bytes(take_array(&mut rest)?);
    let row_format = u32::from_le_bytes(take_array(&mut rest)?);
    let operator_format = u32::from_le_bytes(take_array(&mut rest)?);
    if (version, row_format, operator_format) != (definition.view.version, row::FORMAT, OPERATOR_FORMAT) {
        return Err(StreamError::RebuildNeeded);
    }
    let [failed] = take_array(&mut rest)?;
    Ok((failed != 0).then(|| String::from_utf8_lossy(rest).into_owned()))
}

fn write_view(
    transaction: &WriteTransaction,
    epoch: u64,
    at_us: i64,
    write: &ViewWrite<'_>,
) -> Result<(), StreamError> {
    let view = write.definition.view.view;
    let header = header(write.definition, write.failure.as_deref());
    transaction.open_table(VIEWS).map_err(store)?.insert(view, header.as_slice()).map_err(store)?;
    let mut offsets = transaction.open_table(OFFSETS).map_err(store)?;
    for (partition, next) in &write.next {
        offsets.insert((view, *partition), *next).map_err(store)?;
    }
    transaction.open_table(MARKS).map_err(store)?.insert(view, write.marks.as_slice()).map_err(store)?;
    let mut state = transaction.open_table(STATE).map_err(store)?;
    // In the order of the tree, so that each of its pages is looked for once. No key comes twice but a removal's and what
    // was written before it in the same epoch, which stay in their order.
    let mut writes: Vec<&StateWrite> = write.state.iter().collect();
    writes.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (key, value) in writes {
        match value {
            Some(value) => state.insert((view, key.as_slice()), value.as_slice()).map_err(store)?,
            None => state.remove((view, key.as_slice())).map_err(store)?,
        };
    }
    let mut refused = transaction.open_table(REFUSED).map_err(store)?;
    for (number, row) in (0..).zip(&write.refused) {
        refused.insert((view, epoch, number), tables::refused_value(row).as_slice()).map_err(store)?;
    }
    // What is forgotten was so before the epoch's rows came, which may bring a key back.
    let mut rows = transaction.open_table(ROWS).map_err(store)?;
    for key in &write.forgotten {
        rows.remove((view, key.as_slice())).map_err(store)?;
    }
    drop(rows);
    write_changes(transaction, epoch, at_us, write)
}

/// Writes the changes in order, and what they leave for each key.
fn write_changes(
    transaction: &WriteTransaction,
    epoch: u64,
    at_us: i64,
    write: &ViewWrite<'_>,
) -> Result<(), StreamError> {
    let view = write.definition.view.view;
    let mut table = transaction.open_table(CHANGES).map_err(store)?;
    let mut kept: BTreeMap<&[u8], Option<Vec<u8>>> = BTreeMap::new();
    let mut ordinal: u32 = 0;
    let mut chunk = Chunk { first: 0, rows: 0, value: at_us.to_le_bytes().to_vec() };
    for changes in write.changes.iter() {
        let encoder = write.codec.encoder(changes.rows.columns())?;
        for (place, (kind, id)) in changes.kinds.iter().zip(&changes.ids).enumerate() {
            let row = encoder.row(place);
            tables::push_change(&mut chunk.value, *kind, *id, &row);
            chunk.rows += 1;
            ordinal += 1;
            if let Some(key) = changes.keys.get(place) {
                match kind {
                    ChangeKind::Insert | ChangeKind::UpdateAfter => {
                        kept.insert(key, Some(tables::row_value(at_us, *id, &row)));
                    }
                    ChangeKind::Delete => {
                        kept.insert(key, None);
                    }
                    ChangeKind::UpdateBefore => {}
                }
            }
            if chunk.rows == CHUNK_ROWS {
                table.insert((view, epoch, chunk.first), chunk.value.as_slice()).map_err(store)?;
                chunk = Chunk { first: ordinal, rows: 0, value: at_us.to_le_bytes().to_vec() };
            }
        }
    }
    if chunk.rows > 0 {
        table.insert((view, epoch, chunk.first), chunk.value.as_slice()).map_err(store)?;
    }
    let mut rows = transaction.open_table(ROWS).map_err(store)?;
    for (key, value) in kept {
        match value {
            Some(value) => rows.insert((view, key), value.as_slice()).map_err(store)?,
            None => rows.remove((view, key)).map_err(store)?,
        };
    }
    Ok(())
}

struct Chunk {
    first: u32,
    rows: usize,
    value: Vec<u8>,
}
