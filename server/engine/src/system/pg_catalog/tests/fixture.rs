//! An engine over a catalog in memory, whose tables are empty.

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
use lakeward_audit::{AuditConfig, AuditLog};
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

#[derive(Debug, Default)]
struct EmptyTables {
    schemas: Mutex<BTreeMap<String, SchemaRef>>,
}

#[async_trait]
impl TableStore for EmptyTables {
    async fn create(&self, location: &str, schema: SchemaRef, _: &[String], _: &CommitNote) -> Result<u64, StoreError> {
        self.schemas.lock().insert(location.to_owned(), schema);
        Ok(0)
    }

    async fn describe(&self, _: &str) -> Result<TableDescription, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn open(&self, table: &Table, _: VersionSelector) -> Result<RawTable, StoreError> {
        let schema = self.schemas.lock().get(&table.location).cloned().ok_or(StoreError::NotFound)?;
        let rows = MemTable::try_new(schema, vec![vec![]]).map_err(|_| StoreError::NotFound)?;
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

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Debug)]
struct NoKeys;

impl KeyRing for NoKeys {
    fn key(&self, _: KeyPurpose, _: &str) -> Result<zeroize::Zeroizing<[u8; 32]>, KeyError> {
        Err(KeyError::Unavailable)
    }
}

/// An engine with a few people and tables.
pub(super) struct Hospital {
    engine: Engine,
    _audit_files: tempfile::TempDir,
}

const SETUP: &[&str] = &[
    "CREATE ROLE analyst LOGIN",
    "CREATE ROLE stranger LOGIN",
    "CREATE ROLE officer LOGIN IN ROLE auditor",
    "CREATE ROLE governor LOGIN IN ROLE policy_admin",
    "CREATE TABLE patients (patient_id bigint, name text, birth_date date, weight numeric(5,2), seen_at timestamp, age int)",
    "CREATE SCHEMA research",
    "CREATE TABLE research.trials (trial_id bigint, codes text[])",
    "CREATE VIEW adults AS SELECT name, age FROM patients WHERE age >= 18",
    "GRANT SELECT ON patients TO analyst",
    "GRANT SELECT ON patients, research.trials TO governor",
    "CREATE POLICY own ON patients FOR SELECT TO analyst USING (age > 3)",
    "CREATE POLICY everybody ON patients AS RESTRICTIVE FOR SELECT USING (age < 120)",
];

impl Hospital {
    pub(super) async fn open() -> Self {
        let memory: Arc<InMemory> = Arc::new(InMemory::new());
        let clock = Arc::new(SystemClock);
        let verifier = ScramVerifier::mock(&[7; 32], "admin");
        Catalog::initialise(memory.clone(), Path::from("catalog"), "admin", verifier, &SystemClock).await.unwrap();
        let catalog = Catalog::open(memory, Path::from("catalog"), clock.clone()).await.unwrap();
        let audit_files = tempfile::tempdir().unwrap();
        let (audit, _) = AuditLog::open(AuditConfig::new(audit_files.path(), "test"), clock.clone()).unwrap();
        let parts = Parts {
            catalog,
            store: Arc::new(EmptyTables::default()),
            audit,
            keys: Arc::new(NoKeys),
            clock,
            managed_root_url: "memory://lake/tables/".to_owned(),
            query_runtime: tokio::runtime::Handle::current(),
            limits: Limits { target_partitions: 1, ..Limits::default() },
        };
        let hospital = Self { engine: Engine::new(parts).unwrap(), _audit_files: audit_files };
        let admin = hospital.login("admin");
        for sql in SETUP {
            crate::run(&admin, Request::text(*sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        hospital
    }

    pub(super) fn login(&self, user: &str) -> Arc<Session> {
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
pub(super) async fn table(session: &Arc<Session>, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    answer(crate::run(session, Request::text(sql)).await?).await
}

/// The same through prepare, with parameters.
pub(super) async fn prepared(
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
pub(super) async fn lines(session: &Arc<Session>, sql: &str) -> Vec<String> {
    let rows = table(session, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error} {:?}", lakeward_base::Coded::detail(&error)));
    rows.iter().skip(1).map(|row| row.join("|")).collect()
}

/// The OID of a relation.
pub(super) async fn oid(session: &Arc<Session>, name: &str) -> String {
    lines(session, &format!("SELECT '{name}'::regclass::oid")).await.remove(0)
}
