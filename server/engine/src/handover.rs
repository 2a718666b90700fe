//! Batches between a query and its client: few, made compact, and counted in the memory pool until the client has asked
//! for the next one.
//!
//! A client that reads slowly, or not at all, holds no more than the pool gives, however many such clients there are.
//! Invariant: no batch waits, or is being sent, whose bytes are not reserved, but for small ones: what administers must
//! get through where others have taken all memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::StreamExt;
use lakeward_govern::scrub::compact_batch;
use tokio::sync::{Notify, Semaphore, mpsc};

/// Batches between the query and the network: enough to overlap the two, few enough to bound memory.
const QUEUE_BATCHES: usize = 2;

/// Batches up to this size are not counted.
const SMALL_BYTES: usize = 64 << 10;

/// When a query makes its batches.
pub(crate) enum Pace {
    /// As soon as the queue has room for them.
    Ahead,
    /// Only when one is asked for, by a permit: a cursor runs while it is fetched from, within that statement's turn and
    /// time.
    OnDemand(Arc<Semaphore>),
}

impl Pace {
    /// Waits until the next batch may be made; false where nobody will ask for one.
    async fn allows(&self) -> bool {
        match self {
            Self::Ahead => true,
            Self::OnDemand(wanted) => wanted.acquire().await.map(tokio::sync::SemaphorePermit::forget).is_ok(),
        }
    }
}

/// What the query's task hands over. The end is said in so many words: a queue that closes without it means that the
/// task died, and must not look like a shorter result.
pub(crate) type Step = Result<Option<Held>, DataFusionError>;

/// A batch whose memory is reserved until this is dropped.
pub(crate) struct Held {
    pub(crate) batch: RecordBatch,
    _reserved: Reserved,
}

struct Reserved {
    /// Given back before the query is woken.
    memory: Option<MemoryReservation>,
    account: Arc<Account>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        drop(self.memory.take());
        self.account.held.fetch_sub(1, Ordering::SeqCst);
        self.account.freed.notify_one();
    }
}

/// What one query has handed over, and not got back.
struct Account {
    reservation: MemoryReservation,
    held: AtomicUsize,
    freed: Notify,
}

impl Account {
    /// Reserves memory. Where there is none, what the client has not read yet is waited for; where it has read
    /// everything, there is nothing to wait for.
    async fn reserve(&self, memory: &MemoryReservation, bytes: usize) -> Result<(), DataFusionError> {
        let bytes = if bytes > SMALL_BYTES { bytes } else { 0 };
        loop {
            // Counted first: what is freed from here on is not missed.
            let held = self.held.load(Ordering::SeqCst);
            match memory.try_resize(bytes) {
                Ok(()) => return Ok(()),
                Err(error) if held == 0 => return Err(error),
                Err(_) => self.freed.notified().await,
            }
        }
    }

    /// The next batch. Memory for one as large as the last is reserved before it is made, so that a query which waits
    /// for memory holds none.
    async fn next(
        self: &Arc<Self>,
        rows: &mut SendableRecordBatchStream,
        last_bytes: &mut usize,
    ) -> Result<Option<Held>, DataFusionError> {
        let memory = self.reservation.new_empty();
        // Where there is none, there may be no further batch either.
        let _ = self.reserve(&memory, *last_bytes).await;
        let Some(batch) = rows.next().await.transpose()? else { return Ok(None) };
        // Nothing but the rows themselves: no bytes of filtered rows behind a slice, a view or a dictionary.
        let batch = compact_batch(&batch)?;
        *last_bytes = batch.get_array_memory_size();
        self.reserve(&memory, *last_bytes).await?;
        self.held.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Held { batch, _reserved: Reserved { memory: Some(memory), account: Arc::clone(self) } }))
    }
}

/// A queue for the batches of one query, and what fills it.
pub(crate) fn queue(
    rows: SendableRecordBatchStream,
    pool: &Arc<dyn MemoryPool>,
    pace: Pace,
) -> (mpsc::Receiver<Step>, impl Future<Output = ()> + Send + 'static) {
    let (sender, queue) = mpsc::channel(QUEUE_BATCHES);
    let reservation = MemoryConsumer::new("rows for the client").register(pool);
    let account = Arc::new(Account { reservation, held: AtomicUsize::new(0), freed: Notify::new() });
    (queue, pump(rows, sender, account, pace))
}

async fn pump(mut rows: SendableRecordBatchStream, sender: mpsc::Sender<Step>, account: Arc<Account>, pace: Pace) {
    let mut last_bytes = 0;
    // Without a place in the queue nothing more is made; without a listener nothing is told.
    while let Ok(place) = sender.reserve().await {
        if !pace.allows().await {
            return;
        }
        let step = account.next(&mut rows, &mut last_bytes).await;
        let goes_on = matches!(step, Ok(Some(_)));
        place.send(step);
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::memory_pool::FairSpillPool;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use std::time::Duration;

    fn rows(batch: &RecordBatch, count: usize) -> SendableRecordBatchStream {
        let batches = std::iter::repeat_n(batch.clone(), count).map(Ok);
        Box::pin(RecordBatchStreamAdapter::new(batch.schema(), futures::stream::iter(batches)))
    }

    fn numbers(count: i64) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..count))]).unwrap()
    }

    fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
        Arc::new(FairSpillPool::new(bytes))
    }

    #[tokio::test]
    async fn what_is_queued_and_what_is_being_sent_is_reserved() {
        let (pool, batch) = (pool(1 << 20), numbers(10_000));
        let bytes = compact_batch(&batch).unwrap().get_array_memory_size();
        let (mut queue, pump) = queue(rows(&batch, 10), &pool, Pace::Ahead);
        let task = tokio::runtime::Handle::current().spawn(pump);
        let first = queue.recv().await.unwrap().unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // One being sent, and two in the queue.
        assert_eq!(pool.reserved(), 3 * bytes);
        drop(first);
        assert_eq!(pool.reserved(), 2 * bytes);
        let mut left = 0;
        while let Some(held) = queue.recv().await.unwrap().unwrap() {
            left += held.batch.num_rows();
        }
        task.await.unwrap();
        assert_eq!((left, pool.reserved()), (90_000, 0));
    }

    #[tokio::test]
    async fn a_result_larger_than_the_pool_comes_a_batch_at_a_time() {
        let batch = numbers(10_000);
        let bytes = compact_batch(&batch).unwrap().get_array_memory_size();
        let pool = pool(bytes + bytes / 2);
        let (mut queue, pump) = queue(rows(&batch, 50), &pool, Pace::Ahead);
        let task = tokio::runtime::Handle::current().spawn(pump);
        let mut read = 0;
        while let Some(held) = queue.recv().await.unwrap().unwrap() {
            assert!(pool.reserved() <= bytes);
            tokio::task::yield_now().await;
            read += held.batch.num_rows();
        }
        assert_eq!(read, 500_000);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn where_others_hold_the_memory_the_query_fails() {
        let (batch, pool) = (numbers(10_000), pool(100_000));
        let other = MemoryConsumer::new("another").register(&pool);
        other.try_grow(50_000).unwrap();
        let (mut queue, pump) = queue(rows(&batch, 3), &pool, Pace::Ahead);
        let task = tokio::runtime::Handle::current().spawn(pump);
        let failed = queue.recv().await.unwrap().err().expect("no memory");
        assert!(matches!(failed.find_root(), DataFusionError::ResourcesExhausted(_)));
        assert!(queue.recv().await.is_none());
        task.await.unwrap();
        assert_eq!(pool.reserved(), 50_000);
        let (mut small, pump) = super::queue(rows(&numbers(1_000), 1), &pool, Pace::Ahead);
        other.try_grow(50_000).unwrap();
        tokio::runtime::Handle::current().spawn(pump);
        assert!(small.recv().await.unwrap().unwrap().is_some(), "what administers gets through");
    }

    #[tokio::test]
    async fn on_demand_nothing_is_made_before_it_is_asked_for() {
        let made = Arc::new(AtomicUsize::new(0));
        let (batch, counter) = (numbers(10), Arc::clone(&made));
        let schema = batch.schema();
        let batches = futures::stream::iter((0..5).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(batch.clone())
        }));
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, batches));
        let wanted = Arc::new(Semaphore::new(0));
        let (mut queue, pump) = queue(rows, &pool(1 << 20), Pace::OnDemand(Arc::clone(&wanted)));
        let task = tokio::runtime::Handle::current().spawn(pump);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(made.load(Ordering::SeqCst), 0);
        for asked in 1..=5 {
            wanted.add_permits(1);
            assert!(queue.recv().await.unwrap().unwrap().is_some());
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(made.load(Ordering::SeqCst), asked);
        }
        wanted.add_permits(1);
        assert!(queue.recv().await.unwrap().unwrap().is_none());
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_slice_is_counted_for_what_it_is() {
        let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, true)]));
        let text = StringArray::from_iter_values((0..100_000).map(|number| format!("row {number}")));
        let whole = RecordBatch::try_new(schema, vec![Arc::new(text)]).unwrap();
        let pool = pool(4 << 20);
        let (mut queue, pump) = queue(rows(&whole.slice(50_000, 20_000), 1), &pool, Pace::Ahead);
        let task = tokio::runtime::Handle::current().spawn(pump);
        let held = queue.recv().await.unwrap().unwrap().unwrap();
        assert!((SMALL_BYTES..500_000).contains(&pool.reserved()), "{}", pool.reserved());
        drop((held, queue));
        task.await.unwrap();
        assert_eq!(pool.reserved(), 0);
    }
}
