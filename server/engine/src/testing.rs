//! What the engine's own tests stand on: an engine over a catalog in memory, whose tables are empty.
//!
//! Behaviour tests and benchmarks have another, with real tables: `tests/local_engine.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use lakeward_audit::{AuditConfig, AuditKeys, AuditLog};
use lakeward_base::SystemClock;
use lakeward_catalog::{
    Catalog, CommitNote, RawTable, ScramVerifier, StoreError, Table, TableDescription, TableStore, VersionSelector,
    WriteMode, WriteResult,
};
use lakeward_udfs::{KeyError, KeyPurpose, KeyRing};
use object_store::memory::InMemory;
use object_store::path::Path;
use parking_lot::Mutex;

use crate::engine::{Engine, Limits, Login, Parts, Protocol};
use crate::error::Error;
use crate::request::Request;
use crate::response::Response;
use crate::session::Session;

/// Where managed tables are made.
pub(crate) const MANAGED_ROOT_URL: &str = "memory://lake/tables";

/// Remembers which tables stand where; none has rows, and none takes any.
#[derive(Debug, Default)]
pub(crate) struct EmptyTables {
    schemas: Mutex<BTreeMap<String, SchemaRef>>,
}

impl EmptyTables {
    /// A table that somebody else has made.
    pub(crate) fn put(&self, location: &str, schema: SchemaRef) {
        self.schemas.lock().insert(location.to_owned(), schema);
    }

    /// Where tables stand.
    pub(crate) fn locations(&self) -> Vec<String> {
        self.schemas.lock().keys().cloned().collect()
    }

    fn schema(&self, location: &str) -> Result<SchemaRef, StoreError> {
        self.schemas.lock().get(location).cloned().ok_or(StoreError::NotFound)
    }
}

#[async_trait]
impl TableStore for EmptyTables {
    async fn create(&self, location: &str, schema: SchemaRef, _: &[String], _: &CommitNote) -> Result<u64, StoreError> {
        match self.schemas.lock().insert(location.to_owned(), schema) {
            None => Ok(0),
            Some(_) => Err(StoreError::AlreadyExists),
        }
    }

    async fn describe(&self, location: &str) -> Result<TableDescription, StoreError> {
        Ok(TableDescription { version: 0, schema: self.schema(location)?, partition_columns: Vec::new() })
    }

    async fn open(&self, table: &Table, _: VersionSelector) -> Result<RawTable, StoreError> {
        let rows = MemTable::try_new(self.schema(&table.location)?, vec![vec![]]).map_err(|_| StoreError::NotFound)?;
        Ok(RawTable::new(0, Precision::Exact(0), Precision::Exact(0), 0, Arc::new(rows)))
    }

    async fn write(
        &self,
        _: &Table,
        _: WriteMode,
        _: SendableRecordBatchStream,
        _: &CommitNote,
    ) -> Result<WriteResult, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn remove(&self, location: &str) -> Result<(), StoreError> {
        self.schemas.lock().remove(location).map(drop).ok_or(StoreError::NotFound)
    }
}

#[derive(Debug)]
struct NoKeys;

/// A ring without keys.
pub(crate) fn keys() -> Arc<dyn KeyRing> {
    Arc::new(NoKeys)
}

impl KeyRing for NoKeys {
    fn key(&self, _: KeyPurpose, _: &str) -> Result<zeroize::Zeroizing<[u8; 32]>, KeyError> {
        Err(KeyError::Unavailable)
    }
}

/// A new catalog, in memory, with the superuser `admin`.
pub(crate) async fn catalog() -> Arc<Catalog> {
    let memory: Arc<InMemory> = Arc::new(InMemory::new());
    let verifier = ScramVerifier::mock(&[7; 32], "admin");
    Catalog::initialise(memory.clone(), Path::from("catalog"), "admin", verifier, &SystemClock).await.unwrap();
    Catalog::open(memory, Path::from("catalog"), Arc::new(SystemClock)).await.unwrap()
}

/// An engine.
pub(crate) struct TestEngine {
    engine: Engine,
    _audit_files: tempfile::TempDir,
}

fn audit_keys() -> AuditKeys {
    use zeroize::Zeroizing;
    let key = |byte| Zeroizing::new([byte; 32]);
    AuditKeys { wrapping: key(1), tokens: key(2), signing: key(3) }
}

impl TestEngine {
    /// One that has run `setup` as its superuser.
    pub(crate) async fn open(setup: &[&str]) -> Self {
        let audit_files = tempfile::tempdir().unwrap();
        let settings = AuditConfig::new(audit_files.path(), "test", audit_keys());
        let (audit, _) = AuditLog::open(settings, Arc::new(SystemClock)).unwrap();
        let parts = Parts {
            catalog: catalog().await,
            store: Arc::new(EmptyTables::default()),
            audit,
            keys: Arc::new(NoKeys),
            clock: Arc::new(SystemClock),
            managed_root_url: MANAGED_ROOT_URL.to_owned(),
            reserved_urls: Vec::new(),
            query_runtime: tokio::runtime::Handle::current(),
            limits: Limits { target_partitions: 1, ..Limits::default() },
        };
        let opened = Self { engine: Engine::new(parts).unwrap(), _audit_files: audit_files };
        let admin = opened.login("admin");
        for sql in setup {
            crate::run(&admin, Request::text(*sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        opened
    }

    /// A session of a role that may log in.
    pub(crate) fn login(&self, user: &str) -> Arc<Session> {
        let login = Login {
            user: user.to_owned(),
            auth_method: "scram-sha-256",
            client_addr: "127.0.0.1:1".to_owned(),
            application_name: "test".to_owned(),
            protocol: Protocol::Pg,
            settings: Vec::new(),
        };
        self.engine.login(login).unwrap()
    }
}

/// The rows of a query: names of columns first.
pub(crate) async fn table(session: &Arc<Session>, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    answer(crate::run(session, Request::text(sql)).await?).await
}

/// The same through prepare, with parameters.
pub(crate) async fn prepared(
    session: &Arc<Session>,
    sql: &str,
    parameters: Vec<ScalarValue>,
) -> Result<Vec<Vec<String>>, Error> {
    let statement = crate::prepare(session, sql, &[]).await?;
    answer(crate::run(session, Request::prepared(statement, parameters)).await?).await
}

async fn answer(response: Response) -> Result<Vec<Vec<String>>, Error> {
    let Response::Rows(rows) = response else { panic!("no rows") };
    let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let batches: Vec<_> = rows.try_collect().await?;
    let mut table = vec![names];
    let options = FormatOptions::new().with_null("∅");
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        table.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect()),
        );
    }
    Ok(table)
}

/// Rows without the names, each joined with `|`.
pub(crate) async fn lines(session: &Arc<Session>, sql: &str) -> Vec<String> {
    let rows = table(session, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error} {:?}", lakeward_base::Coded::detail(&error)));
    rows.iter().skip(1).map(|row| row.join("|")).collect()
}
