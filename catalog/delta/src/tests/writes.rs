//! Writes: all or nothing, none lost, and a log that says who wrote.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::DataFusionError;
use datafusion_common::stats::Precision;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use deltalake::DeltaTable;
use futures::StreamExt;
use lakeward_catalog::{Maintenance, StoreError, TableStore, VersionSelector, WriteMode};
use serde_json::Value;
use url::Url;

use super::{Lake, id_schema, ids, note, sorted_ids, stream};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_are_all_kept() {
    let lake = Arc::new(Lake::with_table(&id_schema(), &[]).await);
    let writers = (0..8_i64).map(|writer| {
        let lake = Arc::clone(&lake);
        tokio::spawn(async move {
            for i in 0..5 {
                lake.append(vec![ids([writer * 10 + i])]).await.unwrap();
                assert!(lake.latest().await.unwrap().rows().get_value() >= Some(&1));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let raw = lake.latest().await.unwrap();
    assert_eq!((raw.version(), raw.rows()), (40, Precision::Exact(40)));
    let expected: Vec<i64> = (0..8).flat_map(|writer| (0..5).map(move |i| writer * 10 + i)).collect();
    assert_eq!(sorted_ids(&raw).await, expected);
}

#[tokio::test]
async fn concurrent_overwrites_conflict_and_leave_nothing_behind() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids([1])]).await.unwrap();
    // The second write begins, and is overtaken before it commits.
    let (resume, wait) = futures::channel::oneshot::channel::<()>();
    let late = futures::stream::once(async move {
        wait.await.unwrap();
        Ok(ids([3]))
    });
    let late = Box::pin(RecordBatchStreamAdapter::new(id_schema(), late));
    let table = lake.table();
    let (note_a, note_b) = (note(), note());
    let slow = lake.store.write(&table, WriteMode::Overwrite, late, &note_a);
    let fast = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lake.store.write(&table, WriteMode::Overwrite, stream(vec![ids([2])]), &note_b).await.unwrap();
        resume.send(()).unwrap();
    };
    let (slow, ()) = futures::join!(slow, fast);
    assert!(matches!(slow, Err(StoreError::Conflict(_))), "{slow:?}");
    let raw = lake.latest().await.unwrap();
    assert_eq!((raw.version(), sorted_ids(&raw).await), (2, vec![2]));
    assert_eq!(lake.files_on_disk(), 2, "the first and the winner's");
}

#[tokio::test]
async fn a_failing_stream_commits_nothing_and_its_error_comes_back() {
    for partition_by in [vec![], vec!["p"]] {
        let schema =
            Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("p", DataType::Utf8, true)]));
        let lake = Lake::with_table(&schema, &partition_by).await;
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["x", "y"]))];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let rows = vec![Ok(batch), Err(DataFusionError::ResourcesExhausted("of the stream".into()))];
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(rows)));
        match lake.store.write(&lake.table(), WriteMode::Append, rows, &note()).await {
            Err(StoreError::Input(DataFusionError::ResourcesExhausted(text))) => assert_eq!(text, "of the stream"),
            other => panic!("{other:?}"),
        }
        assert_eq!(lake.latest().await.unwrap().version(), 0);
        assert_eq!(lake.files_on_disk(), 0);
    }
}

#[tokio::test]
async fn a_dropped_write_commits_nothing() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    let rows = futures::stream::iter([Ok(ids([1, 2, 3]))]).chain(futures::stream::pending());
    let rows = Box::pin(RecordBatchStreamAdapter::new(id_schema(), rows));
    let (table, note) = (lake.table(), note());
    let write = lake.store.write(&table, WriteMode::Append, rows, &note);
    assert!(tokio::time::timeout(Duration::from_millis(300), write).await.is_err());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!lake.log(1).exists());
    assert_eq!((lake.latest().await.unwrap().version(), lake.files_on_disk()), (0, 0));
    assert_eq!(lake.append(vec![ids([4])]).await.unwrap().version, 1);
}

#[tokio::test]
async fn overwriting_replaces_all_rows() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids([1, 2])]).await.unwrap();
    let result =
        lake.store.write(&lake.table(), WriteMode::Overwrite, stream(vec![ids([7, 8, 9])]), &note()).await.unwrap();
    assert_eq!((result.version, result.rows), (2, 3));
    assert_eq!(sorted_ids(&lake.latest().await.unwrap()).await, [7, 8, 9]);
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    for (name, data_type) in [("other", DataType::Int64), ("id", DataType::Utf8), ("id", DataType::Int32)] {
        let schema = Arc::new(Schema::new(vec![Field::new(name, data_type, true)]));
        assert!(matches!(lake.append(vec![RecordBatch::new_empty(schema)]).await, Err(StoreError::Input(_))));
    }
    assert_eq!(lake.latest().await.unwrap().version(), 0);
}

#[tokio::test]
async fn the_log_says_who_and_no_literal() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids([1])]).await.unwrap();
    for version in [0, 1] {
        let log = fs::read_to_string(lake.log(version)).unwrap();
        let info = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find_map(|v| v.get("commitInfo").cloned())
            .unwrap();
        assert_eq!(info["userName"], "ada");
        assert_eq!(info["statementId"], note().statement_id);
        assert!(info["operationParameters"].get("predicate").is_none());
    }
}

#[tokio::test]
async fn a_table_is_made_once_and_removed_whole() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    lake.append(vec![ids([1])]).await.unwrap();
    let again = lake.store.create(&lake.location(), id_schema(), &[], &note()).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists)));
    lake.store.remove(&lake.location()).await.unwrap();
    assert!(!lake.path().exists());
    assert!(matches!(lake.latest().await, Err(StoreError::NotFound)));
    assert_eq!(lake.store.create(&lake.location(), id_schema(), &[], &note()).await.unwrap(), 0);
    assert_eq!(lake.latest().await.unwrap().rows(), Precision::Exact(0));
    assert!(sorted_ids(&lake.latest().await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn what_another_writer_commits_is_seen() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    assert_eq!(lake.latest().await.unwrap().version(), 0);
    let other = crate::DeltaStore::new().unwrap();
    for i in 1..=130 {
        // Past the checkpoint at version 100.
        other.write(&lake.table(), WriteMode::Append, stream(vec![ids([i])]), &note()).await.unwrap();
    }
    let raw = lake.latest().await.unwrap();
    assert_eq!((raw.version(), raw.files(), raw.rows()), (130, 130, Precision::Exact(130)));
    assert_eq!(sorted_ids(&raw).await, (1..=130).collect::<Vec<_>>());
}

#[tokio::test]
async fn constraints_of_others_hold_and_their_violation_tells_no_value() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    let mut table = DeltaTable::try_from_url(Url::parse(&lake.location()).unwrap()).await.unwrap();
    table.load().await.unwrap();
    table.add_constraint().with_constraint("positive", "id > 0").await.unwrap();
    lake.append(vec![ids([1, 2])]).await.unwrap();
    let error = lake.append(vec![ids([3, -123_456])]).await.unwrap_err();
    assert!(matches!(error, StoreError::Input(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("123456"));
    assert_eq!((lake.latest().await.unwrap().version(), lake.files_on_disk()), (2, 1));
}

#[tokio::test]
async fn vacuum_keeps_what_open_work_may_need_whatever_the_table_says() {
    let hour = Duration::from_secs(3600);
    // The table's own, what is asked for, and for how long files are kept in the end.
    for (own, asked, kept_hours) in [
        ("interval 1 hours", None, 168),
        ("interval 1 hours", Some(200), 200),
        ("interval 300 hours", None, 300),
        ("interval 300 hours", Some(200), 300),
    ] {
        let lake = Lake::new();
        let properties = [("delta.deletedFileRetentionDuration".to_owned(), own.to_owned())].into();
        let created = lake.store.create_with_properties(&lake.location(), id_schema(), &[], &properties, &note());
        created.await.unwrap();
        lake.append(vec![ids([1])]).await.unwrap();
        for (name, age) in [("young.parquet", kept_hours - 2), ("old.parquet", kept_hours + 2)] {
            let path = lake.path().join(name);
            fs::copy(first_file(&lake), &path).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - hour * age).unwrap();
        }
        let work = Maintenance::Vacuum { retain_hours: asked, dry_run: false };
        let deleted = lake.store.maintain(&lake.table(), &work, &note(), Arc::new(|| true)).await.unwrap();
        let there = ["young.parquet", "old.parquet"].map(|name| lake.path().join(name).exists());
        assert_eq!((deleted, there), (1, [true, false]), "{own}, {asked:?}");
    }
}

#[tokio::test]
async fn work_that_may_not_commit_leaves_nothing() {
    let lake = Lake::with_table(&id_schema(), &[]).await;
    for id in 0..3 {
        lake.append(vec![ids([id])]).await.unwrap();
    }
    for work in [Maintenance::Optimize(Vec::new()), Maintenance::Restore(VersionSelector::Exact(1))] {
        let refused = lake.store.maintain(&lake.table(), &work, &note(), Arc::new(|| false)).await;
        assert!(matches!(refused, Err(StoreError::Io(_))), "{work:?}: {refused:?}");
        assert_eq!((lake.latest().await.unwrap().version(), lake.files_on_disk()), (3, 3), "{work:?}");
    }
}

/// A data file of the table.
fn first_file(lake: &Lake) -> std::path::PathBuf {
    let files = fs::read_dir(lake.path()).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "parquet")).unwrap()
}
