//! An engine in this process, and twice two schemas: governed tables, and copies that hold what the policies show.
//!
//! The copies are made by the administrator, who writes the policies out in SQL: they are the specification that the
//! barrier is held to. Invariant: the two schemas of a layout differ in their policies and in the rows and values that
//! those hide, in nothing else that a role can see.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use lakeward_engine::{Error, Limits, Request, Response, Session, run};
use lakeward_tests::local_engine::{ADMIN, LocalEngine, execute};
use tokio::runtime::Runtime;

use super::data::{PATIENT_COLUMNS, PATIENTS, Rows, VISIT_COLUMNS, VISITS, WARD_COLUMNS, WARDS};
use super::lake::Lake;

/// The restricted role.
pub const ANALYST: &str = "analyst";

const ROLES_AND_MASKS: &str = "
    CREATE ROLE analyst LOGIN; ALTER ROLE analyst SET ATTRIBUTE hospital = '3';
    CREATE ROLE day_shift; CREATE ROLE night_shift; GRANT day_shift TO analyst;
    CREATE MASKING POLICY last_two AS (val text) RETURNS text -> mask_show_last(val, 2);
    CREATE MASKING POLICY nothing AS (val int) RETURNS int -> mask_null(val);
    CREATE MASKING POLICY year_only AS (val date) RETURNS date -> truncate_to_year(val);
    CREATE MASKING POLICY hashed AS (val int) RETURNS int -> mask_hash(val, 'code');
    CREATE MASKING POLICY night_only AS (val text) RETURNS text ->
      CASE WHEN is_role_in_session('night_shift') THEN val ELSE mask_show_first(val, 1) END;
    CREATE MASKING POLICY day_only AS (val text) RETURNS text ->
      CASE WHEN is_role_in_session('day_shift') THEN val ELSE mask_null(val) END;
    CREATE MASKING POLICY own_hospital AS (val text, hospital int) RETURNS text ->
      CASE WHEN hospital = 3 THEN val ELSE mask_show_first(val, 1) END;
    CREATE TAG phi ALLOWED_VALUES ('zip', 'code', 'shift', 'beaten');
    CREATE TAG weighed;
    ALTER TAG phi SET MASKING POLICY last_two FOR VALUE 'zip';
    ALTER TAG phi SET MASKING POLICY hashed FOR VALUE 'code';
    ALTER TAG phi SET MASKING POLICY last_two FOR VALUE 'beaten'";

/// Some masks come by tags; one that is set afterwards holds on columns that were tagged before.
const TAG_MASKS: &str = "
    ALTER TAG weighed SET MASKING POLICY nothing FOR VALUE 'yes';
    ALTER TAG phi SET MASKING POLICY night_only FOR VALUE 'shift'";

/// What policies read. Nobody else may.
const MAPPINGS: &str = "
    CREATE TABLE {s}.assigned (hospital_id bigint, person text);
    INSERT INTO {s}.assigned VALUES (3, 'analyst'), (1, 'somebody'), (NULL, 'analyst'), (99, 'analyst');
    CREATE TABLE {s}.closed (kind text); INSERT INTO {s}.closed VALUES ('sealed'), ('sealed'), ('none');";

const POLICIES: &str = "
    CREATE POLICY own ON {s}.patients TO analyst USING (hospital_id = principal_attribute('hospital')::int);
    CREATE POLICY shared ON {s}.patients USING (shared AND hospital_id = 5);
    CREATE POLICY unsealed ON {s}.patients AS RESTRICTIVE USING (sealed = false);
    ALTER TABLE {s}.patients ALTER COLUMN birth SET MASKING POLICY year_only;
    ALTER TABLE {s}.patients ALTER COLUMN zip SET TAG phi = 'zip';
    ALTER TABLE {s}.patients ALTER COLUMN code SET TAG phi = 'code';
    ALTER TABLE {s}.patients ALTER COLUMN weight SET TAG weighed = 'yes';
    ALTER TABLE {s}.patients ALTER COLUMN status SET TAG phi = 'shift', weighed = 'no';
    ALTER TABLE {s}.patients ALTER COLUMN grade SET TAG phi = 'beaten';
    ALTER TABLE {s}.patients ALTER COLUMN grade SET MASKING POLICY day_only;
    ALTER TABLE {s}.patients ALTER COLUMN ward SET MASKING POLICY own_hospital USING (ward, hospital_id);
    CREATE POLICY own ON {s}.visits USING (EXISTS (
      SELECT 1 FROM {s}.assigned a WHERE a.hospital_id = visits.hospital_id AND a.person = current_user));
    CREATE POLICY unsealed ON {s}.visits AS RESTRICTIVE TO analyst USING (kind NOT IN (SELECT kind FROM {s}.closed));
    ALTER TABLE {s}.visits ALTER COLUMN remark SET TAG phi = 'zip'";

/// What the policies above show the analyst, written out.
const SEEN_PATIENTS: &str = "
    SELECT patient_id, mrn, hospital_id, age, truncate_to_year(birth), born, mask_show_last(zip, 2), fee, score, seen,
      mask_hash(code, 'code'), mask_null(weight), mask_show_first(status, 1), grade,
      CASE WHEN hospital_id = 3 THEN ward ELSE mask_show_first(ward, 1) END, sealed, shared
    FROM {s}.patients WHERE (hospital_id = 3 OR (shared AND hospital_id = 5)) AND NOT sealed";
const SEEN_VISITS: &str = "
    SELECT visit_id, patient_id, hospital_id, day, cost, minutes, kind, raw, mask_show_last(remark, 2)
    FROM {s}.visits WHERE hospital_id = 3 AND kind <> 'sealed'";

/// How a table's rows lie in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Four files, in the order of identifiers.
    Files,
    /// Partitioned by hospital, two files in each.
    Partitions,
}

impl Layout {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Files, Self::Partitions];

    /// The schema of the governed tables.
    pub fn governed(self) -> &'static str {
        match self {
            Self::Files => "governed_files",
            Self::Partitions => "governed_parts",
        }
    }

    /// The schema of the copies.
    pub fn copies(self) -> &'static str {
        match self {
            Self::Files => "copy_files",
            Self::Partitions => "copy_parts",
        }
    }

    fn partitioning(self) -> &'static str {
        match self {
            Self::Files => "",
            Self::Partitions => "PARTITIONED BY (hospital_id)",
        }
    }

    fn files(self) -> i64 {
        match self {
            Self::Files => 4,
            Self::Partitions => 2,
        }
    }
}

/// An engine with its tables.
pub struct Fixture {
    pub runtime: Runtime,
    pub local: LocalEngine,
    pub lake: Arc<Lake>,
    admin: Arc<Session>,
    analyst: Arc<Session>,
}

impl Fixture {
    /// A new one.
    pub fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let lake = Arc::new(Lake::default());
        let limits = Limits { target_partitions: 2, ..Limits::default() };
        let local = LocalEngine::over(&runtime, "memory://lake", Arc::clone(&lake) as _, limits);
        let admin = local.login(ADMIN);
        runtime.block_on(fill(&admin));
        let analyst = local.login(ANALYST);
        Self { runtime, local, lake, admin, analyst }
    }

    /// Runs a query as the restricted role.
    pub async fn as_analyst(&self, sql: &str, parameters: &[i64]) -> Result<Answer, Error> {
        query(&self.analyst, sql, parameters).await
    }

    /// Runs a query as the restricted role through a cursor, `rows` at once, in a session of its own.
    pub async fn by_cursor(&self, sql: &str, rows: usize) -> Result<Answer, Error> {
        let session = self.local.login(ANALYST);
        run(&session, Request::text("BEGIN")).await?;
        run(&session, Request::text(format!("DECLARE c CURSOR FOR {sql}"))).await?;
        let mut all = Vec::new();
        loop {
            let (schema, batches) = query(&session, &format!("FETCH {rows} FROM c"), &[]).await?;
            let fetched: usize = batches.iter().map(RecordBatch::num_rows).sum();
            all.extend(batches);
            if fetched < rows {
                return Ok((schema, all));
            }
        }
    }

    /// Runs a query as the administrator, from whom nothing is hidden.
    pub async fn as_admin(&self, sql: &str) -> Result<Answer, Error> {
        query(&self.admin, sql, &[]).await
    }
}

/// Columns and rows.
pub type Answer = (SchemaRef, Vec<RecordBatch>);

async fn fill(admin: &Arc<Session>) {
    execute(admin, ROLES_AND_MASKS).await;
    for layout in Layout::ALL {
        for schema in [layout.governed(), layout.copies()] {
            execute(admin, &format!("CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO analyst")).await;
            for (table, columns) in [("patients", PATIENT_COLUMNS), ("visits", VISIT_COLUMNS)] {
                create(admin, schema, table, columns, layout.partitioning()).await;
            }
            create(admin, schema, "wards", WARD_COLUMNS, "").await;
            execute(admin, &format!("INSERT INTO {schema}.wards VALUES {WARDS}")).await;
        }
        insert(admin, layout).await;
        execute(admin, &MAPPINGS.replace("{s}", layout.governed())).await;
        execute(admin, &POLICIES.replace("{s}", layout.governed())).await;
    }
    execute(admin, TAG_MASKS).await;
}

async fn create(admin: &Arc<Session>, schema: &str, table: &str, columns: &str, partitioning: &str) {
    let made = format!("CREATE TABLE {schema}.{table} ({columns}) {partitioning}");
    execute(admin, &format!("{made}; GRANT SELECT ON {schema}.{table} TO analyst")).await;
}

/// Writes the governed tables and copies them, one file (in each partition) at a time.
async fn insert(admin: &Arc<Session>, layout: Layout) {
    let mut rows = Rows::new();
    let (governed, copies, files) = (layout.governed(), layout.copies(), layout.files());
    for file in 0..files {
        let range = |all: i64| all / files * file + 1..=all / files * (file + 1);
        let patients = range(PATIENTS).map(|id| rows.patient(id)).collect::<Vec<_>>().join(", ");
        execute(admin, &format!("INSERT INTO {governed}.patients VALUES {patients}")).await;
        let visits = range(VISITS).map(|id| rows.visit(id)).collect::<Vec<_>>().join(", ");
        execute(admin, &format!("INSERT INTO {governed}.visits VALUES {visits}")).await;
        let tables = [("patients", SEEN_PATIENTS, "patient_id", PATIENTS), ("visits", SEEN_VISITS, "visit_id", VISITS)];
        for (table, seen, key, count) in tables {
            let (seen, range) = (seen.replace("{s}", governed), range(count));
            let these = format!("{key} BETWEEN {} AND {}", range.start(), range.end());
            execute(admin, &format!("INSERT INTO {copies}.{table} {seen} AND {these}")).await;
        }
    }
}

async fn query(session: &Arc<Session>, sql: &str, parameters: &[i64]) -> Result<Answer, Error> {
    let request = if parameters.is_empty() {
        Request::text(sql)
    } else {
        let types = vec![Some(DataType::Int64); parameters.len()];
        let values = parameters.iter().map(|value| ScalarValue::Int64(Some(*value))).collect();
        Request::prepared(lakeward_engine::prepare(session, sql, &types).await?, values)
    };
    match run(session, request).await? {
        Response::Rows(rows) => Ok((Arc::clone(rows.schema()), rows.try_collect().await?)),
        Response::CopyOut(..) | Response::CopyIn(_) | Response::Command(_) | Response::Empty => {
            panic!("not a query: {sql}")
        }
    }
}
