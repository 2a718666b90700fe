//! A stream whose records are in memory, and whose state is on a disk that may fail.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::faulty_disk::FaultyDisk;
use super::views::{DAY_US, SECOND_US, vitals};
use crate::decode::Decoder;
use crate::definition::ViewDefinition;
use crate::epoch::{Epochs, StreamDefinition};
use crate::error::StreamError;
use crate::seal::Vault;
use crate::source::{Limit, Record, Source};
use crate::store::{Snapshot, Store};
use crate::watermark::WatermarkRule;

pub(super) const STREAM: u64 = 9;
pub(super) const RULE: WatermarkRule =
    WatermarkRule { delay_us: 5 * SECOND_US, idle_after_us: Some(20 * SECOND_US), ahead_us: 2 * SECOND_US };

pub(super) fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(&Zeroizing::new([1; 32])).expect("random numbers"))
}

/// Partitions of records that tests append to.
#[derive(Clone, Default)]
pub(super) struct Records(pub(super) Arc<Mutex<Vec<Vec<Record>>>>);

impl Records {
    pub(super) fn append(&self, partition: u32, text: &str) {
        let mut partitions = self.0.lock();
        let place = partition as usize;
        if partitions.len() <= place {
            partitions.resize(place + 1, Vec::new());
        }
        let offset = partitions[place].len() as u64;
        partitions[place].push(Record { partition, offset, appended_us: 0, bytes: text.as_bytes().to_vec() });
    }
}

impl Source for Records {
    fn partitions(&self) -> Vec<u32> {
        (0..).take(self.0.lock().len()).collect()
    }

    fn first_offset(&self, _partition: u32) -> u64 {
        0
    }

    fn end_offset(&self, partition: u32) -> u64 {
        self.0.lock()[partition as usize].len() as u64
    }

    fn read(&mut self, partition: u32, from: u64, limit: Limit) -> Result<Vec<Record>, StreamError> {
        let partitions = self.0.lock();
        let records = &partitions[partition as usize][usize::try_from(from).expect("small")..];
        Ok(records.iter().take(limit.records).cloned().collect())
    }
}

pub(super) fn definition(limit: usize) -> StreamDefinition {
    StreamDefinition {
        id: STREAM,
        decoder: Decoder::new(vitals(), 1 << 20).expect("supported"),
        time_column: Some(3),
        watermark: RULE,
        limit: Limit { records: limit, bytes: 1 << 20 },
        retention_us: DAY_US,
    }
}

/// Streams and views on a disk.
pub(super) fn open(
    disk: &FaultyDisk,
    records: &Records,
    limit: usize,
    views: &[ViewDefinition],
) -> Result<(Arc<Store>, Epochs), StreamError> {
    let store = Arc::new(Store::over_disk(Box::new(disk.clone()), vault())?);
    let mut epochs = Epochs::new(Arc::clone(&store))?;
    epochs.add_stream(definition(limit), Box::new(records.clone()))?;
    for view in views {
        epochs.add_view(STREAM, view.clone())?;
    }
    Ok((store, epochs))
}

/// All rows of a view, read in small pages, and their ids.
pub(super) fn rows(snapshot: &Snapshot, view: &ViewDefinition) -> (RecordBatch, Vec<crate::RowId>) {
    let (mut batches, mut ids, mut from) = (Vec::new(), Vec::new(), None);
    loop {
        let page = snapshot.rows(view, from.as_ref(), 3).expect("reads");
        assert_eq!(page.rows.num_rows(), page.ids.len());
        batches.push(page.rows);
        ids.extend(page.ids);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    (concat_batches(view.schema().expect("has columns"), &batches).expect("same columns"), ids)
}
