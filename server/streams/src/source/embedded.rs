//! The embedded log: a stream's records on this server's disk, encrypted, acknowledged when durable.
//!
//! Appends queue up; one thread writes all that wait as one sealed frame, makes it durable with one `fdatasync`, and tells
//! those who wait: the cost of the disk is shared by whoever appends at the same time.
//!
//! Invariants: an acknowledged record is durable and is read back under its offset until it is forgotten; records of one
//! append stand together and in order; the queue is bounded in bytes; after a failed write nothing more is taken until the
//! log was opened again, because what the disk then holds is not known.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use crate::encrypted_file;
use crate::error::StreamError;
use crate::seal::Vault;
use crate::source::segment::{self, FRAME_LIMIT_BYTES, Step};

/// Bytes of a record besides its content.
const RECORD_OVERHEAD_BYTES: usize = 12;

/// Sizes of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// A segment that is larger is followed by a new one.
    pub segment_bytes: u64,
    /// Most bytes that wait to become durable; also the most of one append.
    pub queue_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, queue_bytes: 16 << 20 }
    }
}

/// What was found when a log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opened {
    /// Bytes at the end that no append was acknowledged for, and that are gone.
    pub cut_bytes: u64,
}

/// A durable log of records, with one partition.
#[derive(Debug)]
pub struct EmbeddedLog {
    id: u64,
    directory: PathBuf,
    vault: Arc<Vault>,
    queue: Queue,
    segments: Mutex<BTreeSet<u64>>,
    end: AtomicU64,
    grown: watch::Sender<u64>,
    limit_bytes: usize,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: File,
}

/// An append that waits to become durable.
pub struct Appending(oneshot::Receiver<Range<u64>>);

impl Appending {
    /// The offsets of the records, once they are durable.
    ///
    /// # Errors
    /// [`StreamError::Closed`] where the log failed or was shut down first: the records may be there or not.
    pub async fn durable(self) -> Result<Range<u64>, StreamError> {
        self.0.await.map_err(|_| StreamError::Closed)
    }

    /// [`Appending::durable`], for threads.
    ///
    /// # Errors
    /// As there.
    pub fn wait(self) -> Result<Range<u64>, StreamError> {
        self.0.blocking_recv().map_err(|_| StreamError::Closed)
    }
}

impl EmbeddedLog {
    /// Opens or creates the log of stream `id` in `directory`, for this process alone.
    ///
    /// # Errors
    /// [`StreamError::InUse`]; [`StreamError::Damaged`] where what is there is neither whole nor what a crash leaves.
    pub fn open(
        id: u64,
        directory: &Path,
        vault: Arc<Vault>,
        options: LogOptions,
    ) -> Result<(Arc<Self>, Opened), StreamError> {
        let make = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        make.map_err(StreamError::file("make the log's directory"))?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let sync = File::open(parent).and_then(|parent| parent.sync_all());
            sync.map_err(StreamError::file("make the log's directory durable"))?;
        }
        let lock = encrypted_file::lock(&directory.join("lock")).map_err(StreamError::file("lock the log"))?;
        let (tail, segments, opened) = recover(directory, &vault, id)?;
        let log = Arc::new(Self {
            id,
            directory: directory.to_owned(),
            vault,
            queue: Queue::default(),
            segments: Mutex::new(segments),
            end: AtomicU64::new(tail.next),
            grown: watch::Sender::new(tail.next),
            limit_bytes: options.queue_bytes.min(FRAME_LIMIT_BYTES),
            writer: Mutex::default(),
            _lock: lock,
        });
        let writer = Writer { log: Arc::clone(&log), tail, segment_bytes: options.segment_bytes };
        let thread = std::thread::Builder::new().name(format!("stream-log-{id}")).spawn(move || writer.run());
        *log.writer.lock() = Some(thread.map_err(StreamError::file("start the log's writer"))?);
        Ok((log, opened))
    }

    /// Queues records, which become durable together.
    ///
    /// # Errors
    /// [`StreamError::Busy`] where too much waits already, [`StreamError::TooLarge`] where it is too much for any time.
    pub fn append<B: AsRef<[u8]>>(&self, records: &[B], appended_us: i64) -> Result<Appending, StreamError> {
        let bytes: usize = records.iter().map(|record| record.as_ref().len() + RECORD_OVERHEAD_BYTES).sum();
        if bytes > self.limit_bytes {
            return Err(StreamError::TooLarge { limit_bytes: self.limit_bytes });
        }
        let count =
            u32::try_from(records.len()).map_err(|_| StreamError::TooLarge { limit_bytes: self.limit_bytes })?;
        let mut state = self.queue.state.lock();
        if state.closed {
            return Err(StreamError::Closed);
        }
        if state.plain.len() + state.writing_bytes + bytes > self.limit_bytes {
            return Err(StreamError::Busy);
        }
        for record in records {
            segment::push_record(&mut state.plain, appended_us, record.as_ref());
        }
        state.count += count;
        let (settle, appending) = oneshot::channel();
        state.waiting.push((count, settle));
        drop(state);
        self.queue.filled.notify_one();
        Ok(Appending(appending))
    }

    /// The offset behind the last durable record.
    #[must_use]
    pub fn durable_end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Tells of each growth of [`EmbeddedLog::durable_end`].
    #[must_use]
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Whether the log takes appends: not after it failed or was shut down.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.queue.state.lock().closed
    }

    /// Removes the segments all of whose records stand before `offset` and were appended before `before_us`.
    ///
    /// # Errors
    /// [`StreamError::File`], [`StreamError::Damaged`].
    pub fn forget(&self, before_us: i64, offset: u64) -> Result<(), StreamError> {
        loop {
            let mut segments = self.segments.lock();
            let mut oldest = segments.iter();
            let (Some(first), Some(second)) = (oldest.next().copied(), oldest.next().copied()) else { return Ok(()) };
            // Records are appended in the order of time: what the next segment begins with is younger than all of this one.
            if second > offset || !self.begins_before(second, before_us)? {
                return Ok(());
            }
            let removed = fs::remove_file(segment::path_of(&self.directory, first));
            removed.map_err(StreamError::file("remove a segment"))?;
            segments.remove(&first);
        }
    }

    /// Whether a segment's first record was appended before `before_us`.
    fn begins_before(&self, segment: u64, before_us: i64) -> Result<bool, StreamError> {
        let read = StreamError::file("read a segment");
        let file = File::open(segment::path_of(&self.directory, segment)).map_err(&read)?;
        let length = file.metadata().map_err(&read)?.len();
        let Step::Frame(head) = segment::step(&file, 0, length).map_err(&read)? else { return Ok(false) };
        let records = segment::read(&file, 0, head, &self.vault, self.id, 0)?;
        Ok(records.first().is_some_and(|record| record.appended_us < before_us))
    }

    /// Writes what waits, then ends the log. Later appends fail.
    pub fn shut_down(&self) {
        self.queue.state.lock().closed = true;
        self.queue.filled.notify_one();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!(stream = self.id, "the log's writer ended by a panic");
        }
    }

    pub(super) fn first_offset(&self) -> u64 {
        self.segments.lock().first().copied().unwrap_or_default()
    }

    /// The segment that holds record `offset`.
    pub(super) fn segment_of(&self, offset: u64) -> Result<u64, StreamError> {
        let segments = self.segments.lock();
        let segment = segments.range(..=offset).next_back().copied();
        segment.ok_or(StreamError::Damaged { what: "the log begins after what was read of it" })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    plain: Vec<u8>,
    count: u32,
    waiting: Vec<(u32, oneshot::Sender<Range<u64>>)>,
    /// Bytes that the writer holds.
    writing_bytes: usize,
    closed: bool,
}

/// The end of the newest segment.
#[derive(Debug)]
struct Tail {
    file: File,
    length: u64,
    next: u64,
}

struct Writer {
    log: Arc<EmbeddedLog>,
    tail: Tail,
    segment_bytes: u64,
}

impl Writer {
    fn run(mut self) {
        while let Some(taken) = self.take() {
            let first = self.tail.next;
            if let Err(error) = self.write(&taken.plain, taken.count) {
                tracing::error!(stream = self.log.id, error = &error as &dyn std::error::Error, "the log failed");
                let mut state = self.log.queue.state.lock();
                state.closed = true;
                // Dropped: whoever waits learns that the log is closed.
                state.waiting.clear();
                return;
            }
            self.log.end.store(self.tail.next, Ordering::Release);
            self.log.grown.send_replace(self.tail.next);
            let mut offset = first;
            for (count, settle) in taken.waiting {
                let end = offset + u64::from(count);
                // Nobody waits any more where the client has left; its rows stay.
                let _left = settle.send(offset..end);
                offset = end;
            }
        }
    }

    /// What waits; `None` where the log is shut down and nothing does.
    fn take(&self) -> Option<Waiting> {
        let queue = &self.log.queue;
        let mut state = queue.state.lock();
        state.writing_bytes = 0;
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            queue.filled.wait(&mut state);
        }
        let closed = state.closed;
        let taken = std::mem::take(&mut *state);
        state.closed = closed;
        state.writing_bytes = taken.plain.len();
        Some(taken)
    }

    fn write(&mut self, plain: &[u8], count: u32) -> Result<(), StreamError> {
        if count == 0 {
            return Ok(());
        }
        if self.tail.length >= self.segment_bytes {
            self.tail = begin(&self.log.directory, self.tail.next)?;
            self.log.segments.lock().insert(self.tail.next);
        }
        let frame = segment::seal(&self.log.vault, self.log.id, self.tail.next, count, plain)?;
        self.tail.file.write_all(&frame).map_err(StreamError::file("write to the log"))?;
        self.tail.file.sync_data().map_err(StreamError::file("make the log durable"))?;
        self.tail.length += frame.len() as u64;
        self.tail.next += u64::from(count);
        Ok(())
    }
}

/// A new segment, whose name is durable.
fn begin(directory: &Path, first: u64) -> Result<Tail, StreamError> {
    let path = segment::path_of(directory, first);
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let file = file.map_err(StreamError::file("make a segment"))?;
    let sync = File::open(directory).and_then(|directory| directory.sync_all());
    sync.map_err(StreamError::file("make a segment's name durable"))?;
    Ok(Tail { file, length: 0, next: first })
}

/// Finds the end of the log, and cuts off what a crash left behind it.
fn recover(directory: &Path, vault: &Vault, id: u64) -> Result<(Tail, BTreeSet<u64>, Opened), StreamError> {
    let read = StreamError::file("read a segment");
    let segments: BTreeSet<u64> = segment::list(directory).map_err(&read)?.into_iter().collect();
    let Some(last) = segments.last().copied() else {
        return Ok((begin(directory, 0)?, BTreeSet::from([0]), Opened::default()));
    };
    let path = segment::path_of(directory, last);
    let file = OpenOptions::new().read(true).append(true).open(path).map_err(&read)?;
    let length = file.metadata().map_err(&read)?.len();
    let (mut at, mut next) = (0, last);
    loop {
        match segment::step(&file, at, length).map_err(&read)? {
            Step::Frame(head) if head.first == next => {
                // Each is opened: a frame that does not open is damage, not a crash's remains.
                segment::read(&file, at, head, vault, id, 0)?;
                at += head.bytes();
                next = head.end();
            }
            Step::End => break,
            Step::Cut => {
                file.set_len(at).map_err(StreamError::file("cut the log"))?;
                break;
            }
            Step::Frame(_) | Step::Garbled => return Err(StreamError::Damaged { what: "a segment of the log" }),
        }
    }
    // Also what was written but perhaps never became durable: it is read from now on.
    file.sync_all().map_err(StreamError::file("make the log durable"))?;
    Ok((Tail { file, length: at, next }, segments, Opened { cut_bytes: length - at }))
}

#[cfg(test)]
mod tests;
