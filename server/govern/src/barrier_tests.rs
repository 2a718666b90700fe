//! The leaks of an inlined policy, each by name: the barrier has none of them, and the control shows that the test
//! would see them.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use arrow::ipc::writer::StreamWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use datafusion_catalog::TableProvider;
use datafusion_common::stats::Precision;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{Expr, col, lit, when};
use datafusion_physical_plan::displayable;
use lakeward_catalog::RawTable;

use crate::access::Access;
use crate::control::naive_inline;
use crate::error::{BarrierError, FailureKind};
use crate::governed_scan::GovernedScanExec;
use crate::scrub::compact_batch;
use crate::testing::{User, decision, raw};

const HIDDEN: &str = "HIDDEN-412-68-1073";
const HIDDEN_NUMBER: i64 = 0x4849_4444_454e_2121;

/// 1,000 rows in two partitions; the hidden ones (hospital 4) lie between the visible ones (hospital 3).
fn rows() -> Vec<RecordBatch> {
    let part = |from: i64| {
        let range = || from..from + 500;
        let hidden = |id: i64| id % 2 == 1;
        let text = |id: i64| if hidden(id) { format!("{HIDDEN}-{id}") } else { id.to_string() };
        let texts: Vec<_> = range().map(text).collect();
        let secret = |id| if id % 2 == 1 { HIDDEN_NUMBER } else { id };
        let dictionary: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
        let columns: [(&str, ArrayRef); 8] = [
            ("id", Arc::new(Int64Array::from_iter_values(range()))),
            ("hospital", Arc::new(Int32Array::from_iter_values(range().map(|id| if hidden(id) { 4 } else { 3 })))),
            ("age", Arc::new(Int32Array::from_iter_values(range().map(|id| if hidden(id) { 97 } else { 40 })))),
            ("mrn", Arc::new(StringArray::from_iter_values(&texts))),
            (
                "note",
                Arc::new(StringViewArray::from_iter_values(
                    texts.iter().map(|text| format!("a long enough note on {text}")),
                )),
            ),
            ("site", Arc::new(dictionary)),
            ("ssn", Arc::new(StringArray::from_iter_values(range().map(|id| format!("{HIDDEN}-{id}"))))),
            ("weight", Arc::new(Int64Array::from_iter_values(range().map(secret)))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    vec![part(0), part(500)]
}

fn table() -> RawTable {
    raw(rows().into_iter().map(|batch| vec![batch]).collect())
}

/// Hospital 3 only; ssn masked as `CASE … ELSE NULL` masks.
fn analyst() -> Access {
    let ssn = col("patients.ssn");
    let mask = when(col("patients.id").lt(lit(0i64)), ssn).otherwise(lit(ScalarValue::Utf8(None))).unwrap();
    Access::Governed {
        row_filter: Some(col("patients.hospital").eq(lit(3i32))),
        masks: vec![None, None, None, None, None, None, Some(mask), None],
    }
}

fn user() -> User {
    User::new(&table(), analyst())
}

/// A session in which the policy is inlined.
fn control() -> SessionContext {
    #[expect(clippy::disallowed_methods, reason = "a test's own session")]
    let context = SessionContext::new();
    let raw = table();
    context.register_table("patients", naive_inline(&raw, &decision(&raw, analyst())).unwrap()).unwrap();
    context
}

async fn control_error(sql: &str) -> DataFusionError {
    control().sql(sql).await.unwrap().collect().await.expect_err("the inlined policy should fail on a hidden row")
}

/// The error as a user of DataFusion would see it.
fn tells(error: &DataFusionError) -> bool {
    error.to_string().contains(HIDDEN)
}

#[tokio::test]
async fn a_cast_of_a_hidden_value_does_not_fail() {
    let sql = "SELECT count(*) AS n FROM patients WHERE CAST(mrn AS BIGINT) > 10";
    assert!(user().text(sql).await.unwrap().contains("| 494 |"));
    assert!(tells(&control_error(sql).await), "the control leaks");
}

#[tokio::test]
async fn arithmetic_on_a_hidden_value_does_not_fail() {
    let sql = "SELECT id FROM patients WHERE 1 / (age - 97) < 0";
    assert!(user().query(sql).await.unwrap().iter().all(|batch| batch.num_rows() == 0));
    let error = control_error(sql).await;
    assert!(error.to_string().contains("Divide by zero"), "the control leaks: {error}");
}

#[tokio::test]
async fn masked_columns_are_compared_by_what_is_shown() {
    for sql in [
        format!("SELECT id FROM patients WHERE ssn LIKE '{HIDDEN}%'"),
        format!("SELECT id FROM patients WHERE ssn = '{HIDDEN}-2'"),
        format!("SELECT id FROM patients WHERE mrn LIKE '{HIDDEN}%'"),
        format!("SELECT id FROM patients WHERE note LIKE '%{HIDDEN}%'"),
        format!("SELECT id FROM patients WHERE site >= '{HIDDEN}'"),
        "SELECT id FROM patients WHERE ssn IS NOT NULL".to_owned(),
        "SELECT id FROM patients WHERE hospital = 4".to_owned(),
        "SELECT id FROM patients WHERE CASE WHEN age = 97 THEN 1 / (age - 97) ELSE 0 END = 1".to_owned(),
    ] {
        let batches = user().query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0, "{sql}");
    }
}

#[tokio::test]
async fn aggregates_are_not_answered_from_raw_statistics() {
    let sql = "SELECT count(*) AS n, min(ssn) AS s, max(mrn) AS m, max(age) AS a, max(weight) AS w FROM patients";
    let text = user().text(sql).await.unwrap();
    assert!(text.contains("| 500 |   | 998 | 40 | 998 |"), "{text}");
    assert!(user().text("SELECT count(*) AS n FROM patients").await.unwrap().contains("| 500 |"));
    assert!(user().text("SELECT count(ssn) AS n FROM patients").await.unwrap().contains("| 0 |"));
}

#[tokio::test]
async fn hidden_entries_of_a_dictionary_are_never_cast() {
    let text = user().text("SELECT max(CAST(site AS BIGINT)) AS n FROM patients").await.unwrap();
    assert!(text.contains("| 998 |"), "{text}");
}

#[tokio::test]
async fn explain_analyze_tells_governed_rows_only() {
    let text = user()
        .text(&format!(
            "EXPLAIN ANALYZE VERBOSE SELECT id, ssn FROM patients WHERE mrn <> '{HIDDEN}-1' AND CAST(mrn AS INT) > 2"
        ))
        .await
        .unwrap();
    assert!(text.contains("GovernedScan: patients policy=v17, metrics=[output_rows=500"), "{text}");
    for secret in ["rows=1000", "rows=1.00", "pruned", "hospital", "CASE", "DataSource"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn ipc_bytes_hold_nothing_hidden() {
    for sql in [
        "SELECT * FROM patients",
        "SELECT * FROM patients LIMIT 3",
        "SELECT note, site, ssn FROM patients ORDER BY id DESC LIMIT 2 OFFSET 1",
        "SELECT ssn, weight FROM patients WHERE id < 100",
        "SELECT nullif(note, 'x') AS note, coalesce(ssn, mrn) AS either FROM patients",
        "SELECT named_struct('note', note, 'site', site) AS pair, make_array(note, mrn) AS list FROM patients LIMIT 5",
    ] {
        let batches = user().query(sql).await.unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
        for batch in &batches {
            writer.write(&compact_batch(batch).unwrap()).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let finds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!finds(HIDDEN.as_bytes()), "{sql}");
        assert!(!finds(&HIDDEN_NUMBER.to_le_bytes()), "{sql}");
    }
}

#[tokio::test]
async fn limits_apply_after_the_policy() {
    for (sql, expected) in [
        ("SELECT id FROM patients LIMIT 3", 3),
        ("SELECT id FROM patients LIMIT 600", 500),
        ("SELECT id FROM patients WHERE mrn LIKE '%8' LIMIT 40", 40),
        ("SELECT id FROM patients WHERE id > 990 LIMIT 40", 4),
        ("SELECT 1 FROM patients LIMIT 7", 7),
        ("SELECT id FROM patients OFFSET 498", 2),
    ] {
        let rows: usize = user().query(sql).await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, expected, "{sql}");
    }
}

#[tokio::test]
async fn sorts_and_joins_see_governed_rows() {
    let text = user().text("SELECT id FROM patients ORDER BY id DESC LIMIT 2").await.unwrap();
    assert!(text.contains("| 998 |") && text.contains("| 996 |"), "{text}");
    let text = user()
        .text("SELECT p.id FROM patients p JOIN (VALUES (4), (5), (6)) v(id) ON p.id = v.id ORDER BY 1")
        .await
        .unwrap();
    assert!(text.contains("| 4  |") && text.contains("| 6  |") && !text.contains("| 5  |"), "{text}");
    let text = user().text("SELECT count(*) AS n FROM patients a JOIN patients b ON a.mrn = b.mrn").await.unwrap();
    assert!(text.contains("| 500 |"), "{text}");
}

#[tokio::test]
async fn the_published_estimate_is_the_same_for_all() {
    for access in [analyst(), Access::Governed { row_filter: Some(lit(false)), masks: vec![None; 8] }] {
        let user = User::new(&table(), access);
        let text = user.text("EXPLAIN SELECT id FROM patients").await.unwrap();
        assert!(text.contains("GovernedScan"), "{text}");
        let plan = user.context.state().create_logical_plan("SELECT id FROM patients").await.unwrap();
        let scan = user.context.state().create_physical_plan(&plan).await.unwrap();
        let statistics = datafusion_physical_plan::statistics::StatisticsContext::new()
            .compute(scan.as_ref(), &Default::default())
            .unwrap();
        assert_eq!(statistics.num_rows, Precision::Inexact(1024));
        assert!(
            statistics
                .column_statistics
                .iter()
                .all(|column| *column == datafusion_common::ColumnStatistics::new_unknown())
        );
    }
}

#[tokio::test]
async fn a_failing_policy_tells_an_incident_and_no_value() {
    let cast = Expr::Cast(datafusion_expr::Cast::new(Box::new(col("patients.mrn")), arrow::datatypes::DataType::Int64));
    let access = Access::Governed { row_filter: Some(cast.gt(lit(0i64))), masks: vec![None; 8] };
    let error = User::new(&table(), access).query("SELECT id FROM patients").await.unwrap_err();
    assert!(
        !error.to_string().contains("HIDDEN") && error.to_string().contains("governed scan failed [incident "),
        "{error}"
    );
    let DataFusionError::External(inner) = error.find_root() else { panic!("{error}") };
    assert!(matches!(inner.downcast_ref(), Some(BarrierError::ScanFailed { kind: FailureKind::Expression, .. })));
}

#[tokio::test]
async fn open_tables_are_answered_from_exact_statistics() {
    let user = User::new(&table(), Access::Open);
    let text = user.text("EXPLAIN SELECT count(*) FROM patients").await.unwrap();
    assert!(text.contains("PlaceholderRowExec") && !text.contains("OpenScan"), "{text}");
    let text = user.text("SELECT count(*) AS n, max(ssn) AS s FROM patients WHERE hospital = 4").await.unwrap();
    assert!(text.contains("| 500 |") && text.contains(HIDDEN), "{text}");
}

#[tokio::test]
async fn the_schema_is_the_same_for_every_role_and_nullable() {
    let raw = table();
    let (governed, open) = (User::new(&raw, analyst()), User::new(&raw, Access::Open));
    let governed = governed.context.table_provider("patients").await.unwrap();
    let open = open.context.table_provider("patients").await.unwrap();
    assert_eq!(governed.schema(), open.schema());
    assert!(governed.schema().fields().iter().all(|field| field.is_nullable()));
    assert!(governed.get_logical_plan().is_none());
}

/// A Parquet table of ten row groups, sorted by id, with hidden rows in each.
async fn parquet_table(directory: &std::path::Path) -> RawTable {
    let path = directory.join("patients.parquet");
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    let rows = rows();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows[0].schema(), Some(properties)).unwrap();
    rows.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own session")]
    let context = SessionContext::new();
    context.register_parquet("raw", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    let provider: Arc<dyn TableProvider> = context.table_provider("raw").await.unwrap();
    RawTable::new(1, Precision::Exact(1000), Precision::Absent, 1, provider)
}

#[tokio::test]
async fn the_policy_and_leakproof_predicates_prune_row_groups() {
    let directory = tempfile::tempdir().unwrap();
    let user = User::new(&parquet_table(directory.path()).await, analyst());
    let plan = user
        .context
        .state()
        .create_logical_plan("SELECT id, ssn FROM patients WHERE id > 900 AND mrn LIKE '9%'")
        .await
        .unwrap();
    let plan = user.context.state().create_physical_plan(&plan).await.unwrap();
    let outer = displayable(plan.as_ref()).indent(true).to_string();
    assert!(outer.contains("FilterExec: mrn") && !outer.contains("id@0 > 900"), "{outer}");
    let inner = inner_plan(&plan);
    let pruning = inner.split("pruning_predicate=").nth(1).unwrap_or_else(|| panic!("{inner}"));
    assert!(pruning.contains("hospital") && pruning.contains("id_max") && !pruning.contains("mrn"), "{inner}");
    let text = user.text("SELECT count(*) AS n FROM patients WHERE id > 900 AND mrn LIKE '9%'").await.unwrap();
    assert!(text.contains("| 49 |"), "{text}");
}

#[tokio::test]
async fn a_topks_filter_reaches_the_raw_scan_over_raw_columns_only() {
    let directory = tempfile::tempdir().unwrap();
    let user = User::new(&parquet_table(directory.path()).await, analyst());
    let inner_of = async |sql: &str| {
        let plan = user.context.state().create_logical_plan(sql).await.unwrap();
        user.guard.check_logical(&plan).unwrap();
        inner_plan(&user.context.state().create_physical_plan(&plan).await.unwrap())
    };
    assert!(inner_of("SELECT id FROM patients ORDER BY id DESC LIMIT 2").await.contains("DynamicFilter"));
    assert!(
        inner_of("SELECT p.mrn FROM patients p JOIN (VALUES (4), (5)) v(id) ON p.id = v.id")
            .await
            .contains("DynamicFilter")
    );
    assert!(!inner_of("SELECT ssn FROM patients ORDER BY ssn DESC LIMIT 2").await.contains("DynamicFilter"));
    assert!(!inner_of("SELECT id FROM patients ORDER BY 1 / (age - 97) LIMIT 2").await.contains("DynamicFilter"));
    assert!(!inner_of("SELECT id FROM patients ORDER BY site LIMIT 2").await.contains("DynamicFilter"));
    let text = user.text("SELECT id FROM patients ORDER BY id DESC LIMIT 2").await.unwrap();
    assert!(text.contains("| 998 |") && text.contains("| 996 |"), "{text}");
}

/// The display of the plan inside the one governed scan of `plan`.
fn inner_plan(plan: &Arc<dyn datafusion_physical_plan::ExecutionPlan>) -> String {
    let concrete: &dyn std::any::Any = plan.as_ref();
    match concrete.downcast_ref::<GovernedScanExec>() {
        Some(scan) => displayable(scan.inner_for_tests().as_ref()).indent(true).to_string(),
        None => plan.children().into_iter().map(inner_plan).collect(),
    }
}
