//! Fills an empty data directory: tables, rows, roles and policies, from `sql-examples/hospital`.
//!
//! The SQL goes through the engine as the administrator's, audited like anybody's; the rows go straight to the table
//! store, before anybody else can log in. Invariant: the marker is written last, so that a directory that has it is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;
use lakeward_base::Redacted;
use lakeward_catalog::{Catalog, CommitNote, Relation, TableStore, WriteMode};
use lakeward_engine::{Engine, Login, Protocol, Request, Response, Session};
use tokio::task::JoinSet;

use super::batches::DemoTable;
use super::credentials::Credential;
use super::data::{ENCOUNTERS_PER_PATIENT, VITALS_PER_PATIENT};
use crate::cli::tell;
use crate::error::ServerError;

const TABLES: &str = include_str!("../../../sql-examples/hospital/01-tables.sql");
const ROLES: &str = include_str!("../../../sql-examples/hospital/03-roles.sql");
const POLICIES: &str = include_str!("../../../sql-examples/hospital/04-policies.sql");

/// The administrator of the demo.
pub const ADMIN: &str = "admin";

/// What loading needs.
pub struct Loader {
    /// The engine, over the empty data directory.
    pub engine: Engine,
    /// Its catalog.
    pub catalog: Arc<Catalog>,
    /// Its tables.
    pub store: Arc<dyn TableStore>,
    /// Where the work is done.
    pub runtime: tokio::runtime::Handle,
    /// How many patients.
    pub patients: u64,
}

impl Loader {
    /// Makes the tables, fills them, and makes the roles and policies.
    ///
    /// # Errors
    /// [`ServerError::Part`] with what failed.
    pub async fn load(&self, credentials: &[Credential]) -> Result<(), ServerError> {
        let session = self.log_in()?;
        run_script(&session, "01-tables.sql", TABLES).await?;
        self.fill().await?;
        run_script(&session, "03-roles.sql", ROLES).await?;
        run_script(&session, "04-policies.sql", POLICIES).await?;
        for credential in credentials.iter().filter(|credential| credential.role != ADMIN) {
            // Hexadecimal digits only: nothing to quote.
            let sql = Redacted::new(format!("ALTER ROLE {} PASSWORD '{}'", credential.role, credential.password));
            run_statement(&session, sql.expose()).await.map_err(|e| ServerError::part("a demo password", &e))?;
        }
        Ok(())
    }

    fn log_in(&self) -> Result<Arc<Session>, ServerError> {
        let login = Login {
            user: ADMIN.to_owned(),
            auth_method: "local",
            client_addr: "local".to_owned(),
            application_name: "lakeward demo".to_owned(),
            protocol: Protocol::Cli,
            settings: Vec::new(),
        };
        self.engine.login(login).map_err(|e| ServerError::part("the demo's session", &e))
    }

    /// Tables side by side, each hospital by hospital: one commit, and so one set of files, for each hospital.
    async fn fill(&self) -> Result<(), ServerError> {
        let progress = Arc::new(Progress::new(self.patients));
        let mut tables = JoinSet::new();
        for table in DemoTable::ALL {
            let fill = Fill {
                table,
                catalog: Arc::clone(&self.catalog),
                store: Arc::clone(&self.store),
                patients: self.patients,
                progress: Arc::clone(&progress),
            };
            tables.spawn_on(fill.run(), &self.runtime);
        }
        while let Some(outcome) = tables.join_next().await {
            outcome.map_err(|_| system("a loading task"))??;
        }
        Ok(())
    }
}

fn system(what: &'static str) -> ServerError {
    ServerError::System { what, reason: std::io::ErrorKind::Other }
}

/// The filling of one table.
struct Fill {
    table: DemoTable,
    catalog: Arc<Catalog>,
    store: Arc<dyn TableStore>,
    patients: u64,
    progress: Arc<Progress>,
}

impl Fill {
    async fn run(self) -> Result<(), ServerError> {
        let snapshot = self.catalog.snapshot();
        let Some(Relation::Table(table)) = snapshot.relation("public", self.table.name()) else {
            return Err(system("a demo table is missing from the catalog"));
        };
        let described =
            self.store.describe(&table.location).await.map_err(|e| ServerError::part("a demo table", &e))?;
        let note = CommitNote {
            user_name: ADMIN.to_owned(),
            statement_id: uuid::Uuid::now_v7().to_string(),
            catalog_epoch: snapshot.epoch(),
        };
        for hospital_id in 1..=10 {
            let batches = self
                .table
                .batches(&described.schema, hospital_id, self.patients)
                .map_err(|_| system("a demo table's columns are not as expected"))?;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            if rows == 0 {
                continue;
            }
            let batches = futures::stream::iter(batches.into_iter().map(Ok));
            let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&described.schema), batches));
            let written = self.store.write(&table, WriteMode::Append, stream, &note).await;
            written.map_err(|e| ServerError::part("a demo table", &e))?;
            self.progress.add(rows as u64);
        }
        Ok(())
    }
}

/// Tells people how far the loading is, a tenth at a time.
struct Progress {
    expected: u64,
    done: AtomicU64,
}

impl Progress {
    fn new(patients: u64) -> Self {
        // One or two clinicians look after each patient: 1.57 on average.
        let for_each = 1 + ENCOUNTERS_PER_PATIENT + VITALS_PER_PATIENT;
        Self { expected: 10 + patients * for_each + patients * 157 / 100, done: AtomicU64::new(0) }
    }

    fn add(&self, rows: u64) {
        let before = self.done.fetch_add(rows, Ordering::Relaxed);
        let tenths = |rows: u64| (rows * 10 / self.expected.max(1)).min(10);
        if tenths(before + rows) > tenths(before) {
            tell(&format!("  loading: {:>3} % ({} rows)", tenths(before + rows) * 10, before + rows));
        }
    }
}

async fn run_script(session: &Arc<Session>, name: &'static str, script: &str) -> Result<(), ServerError> {
    let statements = lakeward_engine::split(script).map_err(|e| ServerError::part(name, &e))?;
    for statement in statements {
        run_statement(session, &statement.text).await.map_err(|e| ServerError::part(name, &e))?;
    }
    Ok(())
}

async fn run_statement(session: &Arc<Session>, sql: &str) -> Result<(), lakeward_engine::Error> {
    match lakeward_engine::run(session, Request::text(sql)).await? {
        Response::Rows(rows) | Response::CopyOut(rows, _) => rows.try_for_each(|_| std::future::ready(Ok(()))).await,
        Response::Command(_) | Response::Empty => Ok(()),
        Response::CopyIn(_) => Err(lakeward_engine::Error::unsupported("COPY FROM STDIN in a script")),
    }
}
