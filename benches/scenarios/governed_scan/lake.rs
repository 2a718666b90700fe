//! One Delta table, an engine that governs it, and a plain DataFusion context over the same files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SessionConfig, SessionContext};
use lakeward_catalog::{CommitNote, Relation, Table, TableStore, VersionSelector, WriteMode};
use lakeward_engine::{Limits, Session};
use lakeward_tests::local_engine::{ADMIN, FixedKeys, LocalEngine, execute};
use tokio::runtime::Runtime;

const SETUP: &str = "
    CREATE TABLE patients (patient_id bigint, name text, ssn text, birth_date date, zip text, hospital_id int, gender text, age int);
    CREATE ROLE analyst LOGIN;
    ALTER ROLE analyst SET ATTRIBUTE hospital_id = '3';
    GRANT SELECT ON patients TO analyst;
    CREATE POLICY own ON patients USING (hospital_id = principal_attribute('hospital_id')::int);
    CREATE MASKING POLICY hidden AS (val text) RETURNS text -> mask_null(val);
    CREATE MASKING POLICY last4 AS (val text) RETURNS text -> mask_show_last(val, 4);
    CREATE MASKING POLICY year AS (val date) RETURNS date -> truncate_to_year(val);
    CREATE MASKING POLICY area AS (val text) RETURNS text -> safe_harbor_zip(val);
    CREATE MASKING POLICY token AS (val bigint) RETURNS bigint -> mask_hash(val, 'patient');
    ALTER TABLE patients ALTER COLUMN name SET MASKING POLICY hidden;
    ALTER TABLE patients ALTER COLUMN ssn SET MASKING POLICY last4;
    ALTER TABLE patients ALTER COLUMN birth_date SET MASKING POLICY year;
    ALTER TABLE patients ALTER COLUMN zip SET MASKING POLICY area;
    ALTER TABLE patients ALTER COLUMN patient_id SET MASKING POLICY token";

/// See the module.
pub struct Lake(LocalEngine);

impl Lake {
    /// Makes the table, its policies and its rows.
    pub fn open(runtime: &Runtime, rows: u64) -> Self {
        let lake = Self(LocalEngine::on_disk(runtime, Limits::default()));
        runtime.block_on(lake.fill(rows));
        lake
    }

    async fn fill(&self, rows: u64) {
        execute(&self.session(ADMIN), SETUP).await;
        let table = self.table();
        let note = CommitNote {
            user_name: "bench".to_owned(),
            statement_id: "bench".to_owned(),
            catalog_epoch: self.0.catalog.snapshot().epoch(),
        };
        let batches =
            (0..rows.div_ceil(8192)).map(move |index| Ok(batch(index * 8192, (rows - index * 8192).min(8192))));
        let schema = batch(0, 1).schema();
        let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches));
        self.0.store.write(&table, WriteMode::Append, Box::pin(stream), &note).await.unwrap();
    }

    /// A session of a role.
    pub fn session(&self, role: &str) -> Arc<Session> {
        self.0.login(role)
    }

    fn table(&self) -> Arc<Table> {
        let snapshot = self.0.catalog.snapshot();
        let Some(Relation::Table(table)) = snapshot.relation("public", "patients") else { panic!("no table") };
        table
    }

    /// Plain DataFusion over the same files, with the same reader and the same functions.
    pub async fn plain(&self) -> SessionContext {
        let partitions = std::thread::available_parallelism().unwrap().get();
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
        for function in lakeward_udfs::scalar_functions(Arc::new(FixedKeys)) {
            context.register_udf(function.as_ref().clone());
        }
        let table = self.table();
        let raw = self.0.store.open(&table, VersionSelector::Latest).await.unwrap();
        context.register_table("patients", raw.privileged_provider()).unwrap();
        context
    }
}

/// Rows `from..from + count`: hospitals mixed in every row group, a third of the values distinct.
fn batch(from: u64, count: u64) -> RecordBatch {
    let ids: Vec<u64> = (from..from + count).collect();
    let spread = |id: &u64, salt: u64| (id ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let text = |make: &dyn Fn(&u64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(ids.iter().map(make).collect::<Vec<_>>()))
    };
    let number = |salt: u64, most: u64| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(ids.iter().map(|id| (spread(id, salt) % most) as i32)))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("patient_id", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| *id as i64)))),
        ("name", text(&|id| format!("Patient {}", spread(id, 1) % 60_000))),
        (
            "ssn",
            text(&|id| format!("9{:02}-{:02}-{:04}", spread(id, 2) % 100, spread(id, 3) % 100, spread(id, 4) % 10_000)),
        ),
        (
            "birth_date",
            Arc::new(Date32Array::from_iter_values(ids.iter().map(|id| (spread(id, 5) % 30_000) as i32 - 12_000))),
        ),
        ("zip", text(&|id| format!("{:05}", spread(id, 6) % 99_999))),
        ("hospital_id", Arc::new(Int32Array::from_iter_values(ids.iter().map(|id| (spread(id, 7) % 10) as i32 + 1)))),
        ("gender", text(&|id| if spread(id, 8) % 2 == 0 { "F".to_owned() } else { "M".to_owned() })),
        ("age", number(9, 100)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}
