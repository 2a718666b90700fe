//! What the guard lets pass, and what it does not.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion_catalog::TableProvider;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::{col, lit};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use lakeward_base::{Epoch, StatementId};
use lakeward_catalog::RawTable;

use crate::access::{Access, Decision};
use crate::error::BarrierError;
use crate::governed_table::GovernedTable;
use crate::stamp::Stamp;
use crate::system_table::SystemTable;
use crate::testing::{Sessions, User, decision, raw, stamp};

fn table() -> RawTable {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    raw(vec![vec![RecordBatch::try_from_iter([("id", ids)]).unwrap()]])
}

fn governed() -> Access {
    Access::Governed { row_filter: Some(col("patients.id").gt(lit(4i64))), masks: vec![None] }
}

fn barrier(error: &DataFusionError) -> &BarrierError {
    match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref().expect("a barrier error"),
        other => panic!("{other}"),
    }
}

/// A user for whom `patients` is any provider.
fn user_of(provider: Arc<dyn TableProvider>, stamp: Stamp) -> User {
    User::naming(provider, stamp, &Decision::new(Epoch(17), stamp.fingerprint, vec![decision(&table(), Access::Open)]))
}

#[tokio::test]
async fn governed_open_and_constant_leaves_pass() {
    for access in [governed(), Access::Open] {
        let user = User::new(&table(), access);
        for sql in [
            "SELECT * FROM patients",
            "SELECT count(*) FROM patients",
            "SELECT 1",
            "SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS v(a, b)",
            "SELECT * FROM patients JOIN (VALUES (5), (6)) AS v(a) ON a = id",
            "SELECT id FROM patients WHERE id > (SELECT min(id) FROM patients)",
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT * FROM n",
            "SELECT 1 WHERE false",
        ] {
            user.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_raw_table_is_refused_on_the_logical_plan() {
    let user = user_of(table().privileged_provider(), stamp());
    for sql in [
        "SELECT * FROM patients",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM patients)",
        "SELECT (SELECT max(id) FROM patients)",
    ] {
        assert!(matches!(barrier(&user.query(sql).await.unwrap_err()), BarrierError::UngovernedLeaf { .. }), "{sql}");
    }
}

#[tokio::test]
async fn a_raw_scan_is_refused_on_the_physical_plan() {
    let user = user_of(table().privileged_provider(), stamp());
    let plan = user.context.state().create_logical_plan("SELECT * FROM patients").await.unwrap();
    let error = user.context.state().create_physical_plan(&plan).await.unwrap_err();
    assert!(matches!(barrier(&error), BarrierError::UngovernedLeaf { leaf } if leaf == "DataSourceExec"));
}

#[tokio::test]
async fn a_parquet_scan_is_refused_on_the_physical_plan() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.parquet");
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own session")]
    let lake = datafusion::prelude::SessionContext::new();
    lake.register_parquet("raw", path.to_str().unwrap(), Default::default()).await.unwrap();
    let plan = lake.state().create_logical_plan("SELECT * FROM raw").await.unwrap();
    let user = User::new(&table(), Access::Open);
    assert!(matches!(barrier(&user.guard.check_logical(&plan).unwrap_err()), BarrierError::UngovernedLeaf { .. }));
    let scan = lake.state().create_physical_plan(&plan).await.unwrap();
    assert!(matches!(barrier(&user.guard.check_physical(&scan).unwrap_err()), BarrierError::UngovernedLeaf { .. }));
}

#[tokio::test]
async fn a_values_list_that_was_not_in_the_statement_is_refused() {
    let user = User::new(&table(), Access::Open);
    let plan = user.context.state().create_logical_plan("VALUES (1), (2)").await.unwrap();
    let error = user.context.state().create_physical_plan(&plan).await.unwrap_err();
    assert!(matches!(barrier(&error), BarrierError::UngovernedLeaf { .. }));
    user.guard.check_logical(&plan).unwrap();
    user.context.state().create_physical_plan(&plan).await.unwrap();
}

#[tokio::test]
async fn a_table_of_another_statement_is_refused() {
    let raw = table();
    let own = stamp();
    let others = [
        Stamp { statement: StatementId::generate(), ..own },
        Stamp { epoch: Epoch(16), ..own },
        Stamp { fingerprint: crate::testing::principal("bob").fingerprint(), ..own },
    ];
    for other in others {
        for access in [governed(), Access::Open] {
            let table = GovernedTable::new(raw.clone(), decision(&raw, access), other, Arc::new(Sessions));
            let user = user_of(Arc::new(table), own);
            assert_eq!(barrier(&user.query("SELECT * FROM patients").await.unwrap_err()), &BarrierError::WrongStamp);
            let plan = user.context.state().create_logical_plan("SELECT * FROM patients").await.unwrap();
            let error = user.context.state().create_physical_plan(&plan).await.unwrap_err();
            assert_eq!(barrier(&error), &BarrierError::WrongStamp, "the scan looks, too");
        }
    }
}

#[tokio::test]
async fn a_planned_scan_does_not_run_in_another_session() {
    let (one, two) = (User::new(&table(), governed()), User::new(&table(), governed()));
    let plan = one.context.state().create_logical_plan("SELECT * FROM patients").await.unwrap();
    let scan = one.context.state().create_physical_plan(&plan).await.unwrap();
    assert!(scan.execute(0, one.context.task_ctx()).is_ok());
    let error = scan.execute(0, two.context.task_ctx()).err().expect("it does not run");
    assert_eq!(barrier(&error), &BarrierError::WrongStamp);
    assert_eq!(barrier(&two.guard.check_physical(&scan).unwrap_err()), &BarrierError::WrongStamp);
}

#[tokio::test]
async fn a_table_outside_the_decision_is_refused() {
    let raw = table();
    let stamp = stamp();
    let table = GovernedTable::new(raw.clone(), decision(&raw, Access::Open), stamp, Arc::new(Sessions));
    let user = User::naming(Arc::new(table), stamp, &Decision::new(Epoch(17), stamp.fingerprint, vec![]));
    assert_eq!(barrier(&user.query("SELECT * FROM patients").await.unwrap_err()), &BarrierError::WrongStamp);
}

#[tokio::test]
async fn a_system_table_passes_under_its_stamp() {
    let own = stamp();
    let table = |stamp| {
        Arc::new(SystemTable::new("pg_catalog.pg_class", table().privileged_provider(), stamp, Arc::new(Sessions)))
    };
    let text = user_of(table(own), own).text("SELECT count(*) FROM patients WHERE id > 4").await.unwrap();
    assert!(text.contains("| 5 "), "{text}");
    let error = user_of(table(stamp()), own).query("SELECT * FROM patients").await.unwrap_err();
    assert_eq!(barrier(&error), &BarrierError::WrongStamp);
}

/// A node that says it is a governed scan, and reads something else.
#[derive(Debug)]
struct Impostor {
    scan: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Impostor {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Impostor")
    }
}

impl ExecutionPlan for Impostor {
    fn name(&self) -> &'static str {
        "Impostor"
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.scan.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.scan.execute(partition, context)
    }
}

#[tokio::test]
async fn a_node_that_claims_to_be_a_scan_is_refused() {
    let user = User::new(&table(), governed());
    let plan = user.context.state().create_logical_plan("SELECT * FROM patients").await.unwrap();
    let scan = user.context.state().create_physical_plan(&plan).await.unwrap();
    let mut scan = scan;
    while let Some(child) = scan.children().first().map(|child| Arc::clone(child)) {
        scan = child;
    }
    let leaf: &dyn Any = scan.as_ref();
    assert!(leaf.is::<crate::governed_scan::GovernedScanExec>());
    let impostor: Arc<dyn ExecutionPlan> = Arc::new(Impostor { scan });
    assert!(impostor.is::<crate::governed_scan::GovernedScanExec>(), "the optimizer's own test believes it");
    assert!(matches!(barrier(&user.guard.check_physical(&impostor).unwrap_err()), BarrierError::UngovernedLeaf { .. }));
}
