//! The log as the server sees it: opening, asking for tokens, reading, shutting down.
//!
//! Three threads stand behind it: the writer (`writer.rs`), and one that tends head file and heartbeats (`tend.rs`);
//! callers never touch the files.
//!
//! Invariant: one process at a time has a directory open, held by a lock on its `lock` file.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use lakeward_base::{Clock, SqlState};
use lakeward_proto::{AuditDecision, AuditHead, AuditPhase, AuditRecord, AuditStatement};
use parking_lot::Mutex;
use ring::signature::Ed25519KeyPair;
use uuid::Uuid;

use crate::disclosures::DisclosureScan;
use crate::durable::Durable;
use crate::error::AuditError;
use crate::facts::Who;
use crate::keys::{AuditKeys, Sealer, Tokens, signing_key};
use crate::publish::HeadDirectory;
use crate::queue::{Queue, Stop};
use crate::recovery::{Recovery, Survey};
use crate::segment::{Chain, Hash};
use crate::stats::{AuditStats, Counters, add};
use crate::storage::{Disk, Storage};
use crate::table::Scan;
use crate::tend::{Signal, Tender};
use crate::token::{Audit, Received};
use crate::writer::Writer;

/// Version of the record message that this code writes.
const RECORD_VERSION: u32 = 2;
/// How often, and how long apart, a restarting server tries to take over the directory.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Where and how the log is kept.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// The log's directory; made if missing, mode 0700.
    pub directory: PathBuf,
    /// Name of this server in the records.
    pub node: String,
    /// Its keys.
    pub keys: AuditKeys,
    /// A segment is followed by the next once it is this long.
    pub segment_bytes: u64,
    /// Records that may wait or be outstanding; beyond it, statements are refused.
    pub queue_records: usize,
    /// Space set aside ahead of the log's end, so that statements can be recorded to their end when the disk is full.
    pub reserve_bytes: u64,
    /// Statements are refused while the file system has less space than this.
    pub min_free_bytes: u64,
    /// How long a record that nobody waits for may stay in memory to share a write with the next.
    pub linger_ms: u64,
    /// Time between heartbeat records.
    pub heartbeat_ms: u64,
    /// Time between writes of the head file, at most.
    pub head_ms: u64,
    /// Where heads are kept besides, out of reach of whoever could change the log.
    pub heads: Option<HeadDirectory>,
    /// Time between heads that are kept there.
    pub publish_ms: u64,
    /// Time between attempts to go on after a failure.
    pub retry_ms: u64,
}

impl AuditConfig {
    /// The defaults.
    pub fn new(directory: impl Into<PathBuf>, node: impl Into<String>, keys: AuditKeys) -> Self {
        Self {
            directory: directory.into(),
            node: node.into(),
            keys,
            segment_bytes: 64 << 20,
            queue_records: 1 << 16,
            reserve_bytes: 1 << 20,
            min_free_bytes: 4 << 20,
            linger_ms: 5,
            heartbeat_ms: 60_000,
            head_ms: 1_000,
            heads: None,
            publish_ms: 60_000,
            retry_ms: 250,
        }
    }

    fn check(&self) -> Result<(), AuditError> {
        let problem = if self.segment_bytes == 0 {
            "segment_bytes must be positive"
        } else if self.queue_records < 2 {
            "queue_records must be at least 2"
        } else if self.heartbeat_ms == 0 || self.head_ms == 0 || self.retry_ms == 0 || self.publish_ms == 0 {
            "intervals must be positive"
        } else if self.node.is_empty() || self.node.len() > 255 {
            "node must have 1 to 255 bytes"
        } else {
            return Ok(());
        };
        Err(AuditError::Configuration(problem))
    }
}

/// The audit log. Clones are the same log.
#[derive(Clone)]
pub struct AuditLog(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    /// Answers whether everything was written.
    writer: JoinHandle<bool>,
    tender: Tender,
    _lock: File,
}

/// What tokens, threads and the log have in common.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: AuditConfig,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) boot_id: Uuid,
    pub(crate) sealer: Sealer,
    pub(crate) tokens: Tokens,
    pub(crate) signing: Ed25519KeyPair,
    /// Asks the tender for a head before its time.
    pub(crate) head_due: Arc<Signal>,
    healthy: AtomicBool,
    tip: Mutex<Tip>,
    /// Held while the head file is written: two at once would write the same fresh file.
    pub(crate) writing_head: Mutex<()>,
}

/// How far the log is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tip {
    pub(crate) segment: u64,
    /// Bytes of that segment that hold durable records; 0 while it has none.
    pub(crate) length: u64,
    pub(crate) chain: Chain,
    /// Root of the tree over all records up to there.
    pub(crate) root: Hash,
    pub(crate) closed: bool,
}

impl Shared {
    pub(crate) fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    pub(crate) fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::AcqRel)
    }

    pub(crate) fn tip(&self) -> Tip {
        *self.tip.lock()
    }

    pub(crate) fn set_tip(&self, tip: Tip) {
        *self.tip.lock() = tip;
    }

    /// Counts a refused statement, and asks the writer for another attempt.
    pub(crate) fn refuse(&self) {
        add(&self.counters.refused, 1);
        self.queue.poke();
    }

    /// Fills in what every record has, and queues it.
    pub(crate) fn record(&self, mut record: Box<AuditRecord>, waiter: Option<Durable>, promised: usize) {
        self.stamp(&mut record);
        self.queue.push(record, waiter, promised, &self.counters);
    }

    /// Fills in what every record of this log has.
    pub(crate) fn stamp(&self, record: &mut AuditRecord) {
        record.version = RECORD_VERSION;
        record.event_id = Uuid::now_v7().as_bytes().to_vec();
        record.node.clone_from(&self.config.node);
        record.boot_id = self.boot_id.as_bytes().to_vec();
    }

    /// The head for `tip`, signed.
    pub(crate) fn head(&self, tip: Tip) -> AuditHead {
        let mut head = AuditHead {
            node: self.config.node.clone(),
            boot_id: self.boot_id.as_bytes().to_vec(),
            segment: tip.segment,
            seq: tip.chain.seq,
            hash: tip.chain.hash.to_vec(),
            closed: tip.closed,
            at_us: self.clock.now().timestamp_micros(),
            tree_root: tip.root.to_vec(),
            signature: Vec::new(),
        };
        head.signature = self.signing.sign(crate::head::statement(&head).as_bytes()).as_ref().to_vec();
        head
    }
}

/// A record of the log itself or of administration.
pub(crate) fn plain_record(phase: AuditPhase, class: &str, detail: &str) -> Box<AuditRecord> {
    let statement = AuditStatement { class: class.to_owned(), ..AuditStatement::default() };
    Box::new(AuditRecord {
        phase: phase.into(),
        statement: Some(statement).filter(|statement| !statement.class.is_empty()),
        detail: detail.to_owned(),
        ..AuditRecord::default()
    })
}

impl AuditLog {
    /// Opens the log, repairs its tail if the last server did not close it, and records what was found. Blocks.
    pub fn open(config: AuditConfig, clock: Arc<dyn Clock>) -> Result<(Self, Recovery), AuditError> {
        Self::open_on(Arc::new(Disk), config, clock)
    }

    pub(crate) fn open_on(
        storage: Arc<dyn Storage>,
        config: AuditConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovery), AuditError> {
        config.check()?;
        prepare_directory(&config.directory)?;
        let lock = take_lock(&config.directory)?;
        let mut survey = Survey::of(&config.directory, &config.keys.public_key()?)?;
        survey.repair(storage.as_ref(), &config.directory)?;
        let shared = Arc::new(Shared {
            queue: Queue::new(config.queue_records, Duration::from_millis(config.linger_ms), Arc::clone(&clock)),
            counters: Counters::default(),
            clock,
            sealer: Sealer::new(&config.keys)?,
            tokens: Tokens::new(&config.keys),
            signing: signing_key(&config.keys)?,
            head_due: Arc::default(),
            config,
            storage,
            boot_id: Uuid::now_v7(),
            healthy: AtomicBool::new(true),
            tip: Mutex::new(survey.tip()),
            writing_head: Mutex::new(()),
        });
        // An older server's head has no signature.
        if survey.first_start() || survey.head_is_unsigned() {
            crate::tend::write_head(&shared).map_err(AuditError::file("write", &shared.config.directory))?;
        }
        let writer = Writer::start(Arc::clone(&shared), &survey)?;
        let writer = spawn("audit-writer", move || writer.run(), &shared)?;
        let tender = Tender::start(&shared)?;
        let threads = Mutex::new(Some(Threads { writer, tender, _lock: lock }));
        let log = Self(Arc::new(Inner { shared, threads }));
        let recovery = survey.recovery();
        log.record_opening(survey)?;
        Ok((log, recovery))
    }

    /// Writes the first records of this server's start, and waits for them.
    fn record_opening(&self, survey: Survey) -> Result<(), AuditError> {
        let shared = &self.0.shared;
        for record in survey.into_records() {
            shared.record(record, None, 0);
        }
        self.flushed().wait()?;
        crate::tend::write_head(shared).map_err(AuditError::file("write", &shared.config.directory))
    }

    /// A statement has arrived from `who`. Errs while records cannot be made durable: then nothing may run (58030).
    pub fn receive(&self, who: impl AsRef<Who>) -> Result<Audit<Received>, AuditError> {
        let shared = &self.0.shared;
        if !shared.healthy() {
            shared.refuse();
            return Err(AuditError::Unavailable);
        }
        Audit::receive(Arc::clone(shared), who.as_ref()).inspect_err(|_| add(&shared.counters.refused, 1))
    }

    /// Records an act of administration, e.g. by the command line. `detail` must hold no cell value and no secret.
    pub fn admin(&self, who: impl AsRef<Who>, class: &str, detail: &str) -> Result<Durable, AuditError> {
        let mut record = plain_record(AuditPhase::Admin, class, detail);
        record.decision = AuditDecision::Allow.into();
        self.event(record, who.as_ref(), SqlState::SUCCESS)
    }

    /// Records a connection that was refused, e.g. for a wrong password: DENIED, class `CONNECT`.
    pub fn login_failed(&self, who: impl AsRef<Who>, sqlstate: SqlState) -> Result<Durable, AuditError> {
        let mut record = plain_record(AuditPhase::Denied, "CONNECT", "");
        record.decision = AuditDecision::Deny.into();
        self.event(record, who.as_ref(), sqlstate)
    }

    fn event(&self, mut record: Box<AuditRecord>, who: &Who, sqlstate: SqlState) -> Result<Durable, AuditError> {
        let shared = &self.0.shared;
        shared.queue.promise(1).inspect_err(|_| add(&shared.counters.lost, 1))?;
        record.who = Some(who.stored());
        record.sqlstate = sqlstate.as_str().to_owned();
        let durable = Durable::new();
        shared.record(record, Some(durable.clone()), 1);
        Ok(durable)
    }

    /// Resolves once every record queued so far is durable.
    #[must_use]
    pub fn flushed(&self) -> Durable {
        let durable = Durable::new();
        self.0.shared.queue.push_barrier(durable.clone());
        durable
    }

    /// Whether statements are accepted.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.shared.healthy()
    }

    /// The log's counters.
    #[must_use]
    pub fn stats(&self) -> AuditStats {
        let shared = &self.0.shared;
        shared.counters.read(shared.queue.depth(), shared.tip().chain.seq, shared.healthy())
    }

    /// The columns of `system.audit`.
    #[must_use]
    pub fn schema() -> SchemaRef {
        crate::table::schema()
    }

    /// The records that are durable now, in order, as batches of [`AuditLog::schema`]. Reads the files: blocks. Await
    /// [`AuditLog::flushed`] before it to see what is still queued.
    pub fn scan(&self) -> Result<Scan, AuditError> {
        Scan::of(&self.0.shared.config.directory, self.0.shared.tip())
    }

    /// The columns of `system.disclosures`.
    #[must_use]
    pub fn disclosures_schema() -> SchemaRef {
        crate::disclosures::schema()
    }

    /// The disclosures among the records that are durable now, as [`AuditLog::scan`] reads them.
    pub fn disclosures(&self) -> Result<DisclosureScan, AuditError> {
        DisclosureScan::of(&self.0.shared.config.directory, self.0.shared.tip())
    }

    /// Writes what is queued and a closing record, and lets go of the directory. Blocks. Statements that are still
    /// running are recorded as of unknown outcome at the next start.
    pub fn shutdown(self) -> Result<(), AuditError> {
        self.0.stop(Stop::Clean)
    }
}

impl Inner {
    fn stop(&self, stop: Stop) -> Result<(), AuditError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.shared.queue.stop(stop);
        let written = threads.writer.join().unwrap_or(false);
        self.shared.set_healthy(false);
        threads.tender.stop();
        if !written {
            return Err(AuditError::Unavailable);
        }
        match stop {
            Stop::Abrupt => Ok(()),
            Stop::Clean => {
                crate::tend::write_head(&self.shared)
                    .map_err(AuditError::file("write", &crate::head::path_of(&self.shared.config.directory)))?;
                crate::publish::publish(&self.shared);
                Ok(())
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.stop(Stop::Abrupt).is_err() {
            tracing::error!("audit records could not be written when the log was dropped");
        }
    }
}

/// Starts one of the log's threads.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
    shared: &Shared,
) -> Result<JoinHandle<T>, AuditError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(AuditError::file("start a thread for", &shared.config.directory))
}

/// Makes the directory, and closes it to others.
fn prepare_directory(directory: &Path) -> Result<(), AuditError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(AuditError::file("make", directory))?;
    let owner_only = fs::Permissions::from_mode(0o700);
    fs::set_permissions(directory, owner_only).map_err(AuditError::file("close to others", directory))
}

/// The file whose lock says that a server has the log open.
pub(crate) fn lock_path(directory: &Path) -> PathBuf {
    directory.join("lock")
}

/// Takes the directory's lock. Patient for a moment: a server that is being restarted may still be letting go.
fn take_lock(directory: &Path) -> Result<File, AuditError> {
    let path = lock_path(directory);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(AuditError::file("open", &path))?;
    for attempt in 0..LOCK_ATTEMPTS {
        if attempt > 0 {
            thread::sleep(LOCK_PAUSE);
        }
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(AuditError::file("lock", &path)(source)),
        }
    }
    Err(AuditError::InUse)
}
