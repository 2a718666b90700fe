//! An engine in this process: the whole of Lakeward but its doors and its configuration.
//!
//! Invariant: the audit log is a real one, in files; the keys are the same in every run.

use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use lakeward_audit::{AuditConfig, AuditKeys, AuditLog};
use lakeward_base::{Coded, Redacted, SystemClock};
use lakeward_catalog::{Catalog, ScramVerifier};
use lakeward_delta::DeltaStore;
use lakeward_engine::{Engine, Error, Limits, Login, Parts, Protocol, Request, Response, Session, run, split};
use lakeward_udfs::{KeyError, KeyPurpose, KeyRing};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;
use zeroize::Zeroizing;

/// The audit's keys.
pub fn audit_keys() -> AuditKeys {
    let key = |byte| Zeroizing::new([byte; 32]);
    AuditKeys { wrapping: key(1), tokens: key(2), signing: key(3) }
}

/// The superuser.
pub const ADMIN: &str = "admin";

/// An engine, with the parts that tests look into.
pub struct LocalEngine {
    /// The engine.
    pub engine: Engine,
    /// Its catalog, in memory.
    pub catalog: Arc<Catalog>,
    /// Its tables.
    pub store: Arc<DeltaStore>,
    log: Arc<InMemory>,
    root: String,
    _directory: TempDir,
}

impl LocalEngine {
    /// One whose tables are files.
    pub fn on_disk(runtime: &Runtime, limits: Limits) -> Self {
        let directory = directory();
        let root = format!("file://{}/tables", directory.path().display());
        Self::open(runtime, directory, root, DeltaStore::new().expect("a store"), limits)
    }

    /// One whose tables are in `bucket`, which is what `url` names.
    pub fn over(runtime: &Runtime, url: &str, bucket: Arc<dyn ObjectStore>, limits: Limits) -> Self {
        let parsed = Url::parse(url).expect("a URL");
        let store = DeltaStore::new().and_then(|store| store.with_object_store(&parsed, bucket)).expect("a store");
        Self::open(runtime, directory(), format!("{url}/tables"), store, limits)
    }

    fn open(runtime: &Runtime, directory: TempDir, root: String, store: DeltaStore, limits: Limits) -> Self {
        let log = runtime.block_on(catalog_log());
        Self::over_catalog(runtime, directory, root, (log, store), limits)
    }

    /// Another server over the same catalog and the same files. It does not follow the catalog's log by itself.
    pub fn another(&self, runtime: &Runtime) -> Self {
        let parts = (Arc::clone(&self.log), DeltaStore::new().expect("a store"));
        Self::over_catalog(runtime, directory(), self.root.clone(), parts, Limits::default())
    }

    fn over_catalog(
        runtime: &Runtime,
        directory: TempDir,
        root: String,
        (log, store): (Arc<InMemory>, DeltaStore),
        limits: Limits,
    ) -> Self {
        let opened = Catalog::open(Arc::clone(&log) as _, "".into(), Arc::new(SystemClock));
        let catalog = runtime.block_on(opened).expect("a catalog");
        let store = Arc::new(store);
        let settings = AuditConfig::new(directory.path().join("audit"), "test", audit_keys());
        let (audit, _) = AuditLog::open(settings, Arc::new(SystemClock)).expect("an audit log");
        let engine = Engine::new(Parts {
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store) as _,
            audit,
            keys: Arc::new(FixedKeys),
            clock: Arc::new(SystemClock),
            managed_root_url: root.clone(),
            reserved_urls: Vec::new(),
            query_runtime: runtime.handle().clone(),
            limits,
        })
        .expect("an engine");
        Self { engine, catalog, store, log, root, _directory: directory }
    }

    /// A session of a role that may log in.
    pub fn login(&self, user: &str) -> Arc<Session> {
        let login = Login {
            user: user.to_owned(),
            auth_method: "trust",
            client_addr: "127.0.0.1:1".to_owned(),
            application_name: "test".to_owned(),
            protocol: Protocol::Pg,
            settings: Vec::new(),
        };
        self.engine.login(login).unwrap_or_else(|error| panic!("{user} cannot log in: {error}"))
    }
}

/// Runs statements that must succeed, whose rows nobody asks for.
pub async fn execute(session: &Arc<Session>, script: &str) {
    for statement in split(script).expect("a script") {
        if let Err(error) = run(session, Request::text(statement.text.as_str())).await {
            panic!("{error}: {}", statement.text.chars().take(400).collect::<String>());
        }
    }
}

/// The rows of a statement, cells joined by `|`; a command's tag; an error as its SQLSTATE.
pub async fn ask(session: &Arc<Session>, sql: &str) -> String {
    answer(session, sql).await.unwrap_or_else(|error| error.sqlstate().to_string())
}

/// The same; an error as it is.
///
/// # Errors
/// The statement's.
pub async fn answer(session: &Arc<Session>, sql: &str) -> Result<String, Error> {
    let batches: Vec<_> = match run(session, Request::text(sql)).await? {
        Response::Rows(rows) => rows.try_collect().await?,
        Response::Command(command) => return Ok(command.tag),
        Response::CopyOut(..) | Response::CopyIn(_) | Response::Empty => panic!("no answer: {sql}"),
    };
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(move |row| {
            let cells = batch
                .columns()
                .iter()
                .map(|column| array_value_to_string(column, row).expect("a cell that can be shown"));
            cells.collect::<Vec<_>>().join("|")
        })
    });
    Ok(rows.collect::<Vec<_>>().join(","))
}

/// Keys that are the same in every run, and others in every domain.
#[derive(Debug)]
pub struct FixedKeys;

impl KeyRing for FixedKeys {
    fn key(&self, _: KeyPurpose, domain: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let mut key = [7; 32];
        key.iter_mut().zip(domain.bytes()).for_each(|(slot, byte)| *slot ^= byte);
        Ok(Zeroizing::new(key))
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

async fn catalog_log() -> Arc<InMemory> {
    let log = Arc::new(InMemory::new());
    let verifier = ScramVerifier::from_password(&Redacted::new("secret".to_owned()));
    Catalog::initialise(Arc::clone(&log) as _, "".into(), ADMIN, verifier, &SystemClock).await.expect("a catalog");
    log
}
