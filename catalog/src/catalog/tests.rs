//! The log: races, replay, damage and lost answers, over stores in memory and on disk.

mod steps;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::DateTime;
use futures::stream::BoxStream;
use lakeward_base::{Clock, Coded, Epoch, FixedClock, Redacted, SqlState};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::{Catalog, SNAPSHOT_INTERVAL};
use crate::draft::{Draft, NewRole};
use crate::error::CatalogError;
use crate::log::Image;
use crate::scram::ScramVerifier;
use crate::snapshot::Snapshot;

const SECRET: &str = "correct horse";

fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock::new(DateTime::UNIX_EPOCH))
}

fn prefix() -> Path {
    Path::from("catalog")
}

fn verifier() -> ScramVerifier {
    ScramVerifier::from_password(&Redacted::new(SECRET.to_owned()))
}

fn image(snapshot: &Snapshot) -> String {
    serde_json::to_string(&Image::of(snapshot)).expect("image")
}

fn role(name: &str) -> NewRole {
    NewRole { name: name.to_owned(), ..NewRole::default() }
}

async fn open(store: &Arc<dyn ObjectStore>) -> Result<Arc<Catalog>, CatalogError> {
    Catalog::open(Arc::clone(store), prefix(), clock()).await
}

async fn initialised(store: Arc<dyn ObjectStore>) -> (Arc<dyn ObjectStore>, Arc<Catalog>) {
    Catalog::initialise(Arc::clone(&store), prefix(), "admin", verifier(), &*clock()).await.expect("initialised");
    let catalog = open(&store).await.expect("open");
    (store, catalog)
}

async fn in_memory() -> (Arc<dyn ObjectStore>, Arc<Catalog>) {
    initialised(Arc::new(InMemory::new())).await
}

fn entry(version: u64) -> Path {
    Path::from(format!("catalog/log/{version:020}.json"))
}

fn snapshot_of(version: u64) -> Path {
    Path::from(format!("catalog/snapshot/{version:020}.json"))
}

async fn read(store: &Arc<dyn ObjectStore>, path: &Path) -> Vec<u8> {
    store.get(path).await.expect("there").bytes().await.expect("bytes").to_vec()
}

async fn add_roles(catalog: &Catalog, count: u64) {
    for number in 0..count {
        catalog.change("admin", |draft| draft.create_role(role(&format!("r{number}")))).await.expect("changed");
    }
}

#[tokio::test]
async fn a_new_catalog_holds_what_it_must() {
    let (store, catalog) = in_memory().await;
    let snapshot = catalog.snapshot();
    assert_eq!(snapshot.epoch(), Epoch(0));
    let roles: Vec<_> =
        snapshot.roles().map(|role| (role.name.as_str(), role.login, role.superuser, role.built_in)).collect();
    let expected = [
        ("admin", true, true, false),
        ("auditor", false, false, true),
        ("operator", false, false, true),
        ("policy_admin", false, false, true),
    ];
    assert_eq!(roles, expected);
    let admin = snapshot.role_by_name("admin").expect("admin");
    assert!(admin.verifier.as_ref().is_some_and(|verifier| verifier.verify_password(SECRET)));
    assert!(snapshot.schema_by_name("public").is_some());
    let again = Catalog::initialise(Arc::clone(&store), prefix(), "other", verifier(), &*clock()).await;
    assert_eq!(again.err().map(|error| error.sqlstate()), Some(SqlState::DUPLICATE_OBJECT));
    let text = String::from_utf8(read(&store, &entry(0)).await).expect("text");
    assert!(text.contains("SCRAM-SHA-256$4096:") && !text.contains(SECRET));
}

#[tokio::test]
async fn an_empty_place_is_not_a_catalog() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let error = open(&store).await.expect_err("nothing there");
    assert_eq!(
        (error.sqlstate(), error.to_string().as_str()),
        (SqlState::IO_ERROR, "no catalog was found at \"catalog\"")
    );
}

#[tokio::test]
async fn a_change_is_in_force_and_durable_and_an_empty_one_is_not_written() {
    let (store, catalog) = in_memory().await;
    let before = catalog.snapshot();
    let (id, after) = catalog.change("admin", |draft| draft.create_role(role("nurse"))).await.expect("changed");
    assert_eq!((after.epoch(), catalog.snapshot().epoch()), (Epoch(1), Epoch(1)));
    assert!(before.role(id).is_none(), "a snapshot never changes");
    assert_eq!(image(&open(&store).await.expect("open").snapshot()), image(&after));
    let ((), same) = catalog.change("admin", |_| Ok(())).await.expect("nothing to do");
    assert_eq!(same.epoch(), Epoch(1));
    let refused = catalog.change("admin", |draft| draft.create_role(role("nurse"))).await;
    assert_eq!(refused.err().map(|error| error.sqlstate()), Some(SqlState::DUPLICATE_OBJECT));
    assert_eq!(catalog.snapshot().epoch(), Epoch(1));
}

#[tokio::test]
async fn nodes_see_each_other_and_the_past_stays_readable() {
    let (store, one) = in_memory().await;
    let two = open(&store).await.expect("open");
    add_roles(&one, SNAPSHOT_INTERVAL + 6).await;
    assert_eq!(two.snapshot().epoch(), Epoch(0));
    assert_eq!(image(&two.refresh().await.expect("refreshed")), image(&one.snapshot()));
    for epoch in [0, 1, SNAPSHOT_INTERVAL - 1, SNAPSHOT_INTERVAL, SNAPSHOT_INTERVAL + 1, SNAPSHOT_INTERVAL + 6] {
        let past = two.at(Epoch(epoch)).await.expect("past");
        assert_eq!((past.epoch(), past.roles().count() as u64), (Epoch(epoch), 4 + epoch));
    }
    let future = two.at(Epoch(SNAPSHOT_INTERVAL + 7)).await.expect_err("not yet");
    assert_eq!(future.sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
    // `at` looks for newer entries before it gives up.
    one.change("admin", |draft| draft.create_role(role("late"))).await.expect("changed");
    assert_eq!(two.at(Epoch(SNAPSHOT_INTERVAL + 7)).await.expect("now").epoch(), Epoch(SNAPSHOT_INTERVAL + 7));
}

/// Every writer is a node of its own; each adds roles, and all bump one attribute that only a re-run edit gets right.
#[tokio::test]
async fn a_shared_catalog_that_was_not_read_for_too_long_is_not_relied_on() {
    let (store, catalog) = in_memory().await;
    assert!(catalog.current().is_ok());
    drop(catalog.follow_shared(std::time::Duration::from_secs(60), std::time::Duration::from_millis(100)));
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let error = catalog.current().expect_err("out of date");
    assert_eq!((error.sqlstate(), error.hint().is_some()), (SqlState::IO_ERROR, true));
    assert!(catalog.refresh().await.is_ok() && catalog.current().is_ok(), "and is again once it has been read");
    let other = open(&store).await.expect("open");
    add_roles(&other, 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    catalog.catch_up().await.expect("read");
    assert_eq!(catalog.current().expect("read").epoch(), other.snapshot().epoch());
}

#[tokio::test]
async fn a_node_that_follows_sees_what_another_changes_within_a_second() {
    let (store, one) = in_memory().await;
    let two = open(&store).await.expect("open");
    let following = two.follow(std::time::Duration::from_millis(20));
    for number in 0..3 {
        one.change("admin", |draft| draft.create_role(role(&format!("r{number}")))).await.expect("changed");
        let seen = tokio::time::timeout(std::time::Duration::from_secs(1), async {
            while two.snapshot().epoch() != one.snapshot().epoch() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        seen.await.expect("within a second");
        assert_eq!(image(&two.snapshot()), image(&one.snapshot()));
    }
    // Both write; each lost race is caught up with.
    two.change("admin", |draft| draft.create_role(role("of_two"))).await.expect("changed");
    one.change("admin", |draft| draft.create_role(role("of_one"))).await.expect("changed");
    assert!(one.snapshot().role_by_name("of_two").is_some());
    drop(two);
    tokio::time::timeout(std::time::Duration::from_secs(1), following).await.expect("it ends").expect("in order");
}

async fn race(store: Arc<dyn ObjectStore>, writers: u64, edits: u64) {
    let (store, first) = initialised(store).await;
    first.change("admin", |draft| draft.create_role(role("counter"))).await.expect("counter");
    let tasks = (0..writers).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let catalog = open(&store).await.expect("open");
            for edit in 0..edits {
                let name = format!("w{writer}e{edit}");
                let change = |draft: &mut Draft| {
                    draft.create_role(role(&name))?;
                    let counter = draft.role_by_name("counter").expect("counter").id;
                    draft.alter_role(counter, |role| {
                        let count = role.attributes.get("n").map_or(0, |n| n.parse::<u64>().expect("number"));
                        role.attributes.insert("n".into(), (count + 1).to_string());
                    })
                };
                catalog.change("admin", change).await.expect("changed");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("writer");
    }
    let end = first.refresh().await.expect("refreshed");
    let total = writers * edits;
    assert_eq!(end.role_by_name("counter").and_then(|role| role.attributes.get("n").cloned()), Some(total.to_string()));
    assert_eq!(end.epoch(), Epoch(1 + total));
    let ids: BTreeSet<_> = end.roles().map(|role| role.id).collect();
    assert_eq!(
        (ids.len() as u64, end.roles().count() as u64),
        (5 + total, 5 + total),
        "no role is lost, no identifier given twice"
    );
    assert_eq!(image(&open(&store).await.expect("open").snapshot()), image(&end));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost_between_writers_in_memory() {
    race(Arc::new(InMemory::new()), 8, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost_between_writers_on_disk() {
    let directory = tempfile::tempdir().expect("tempdir");
    race(Arc::new(LocalFileSystem::new_with_prefix(directory.path()).expect("store")), 4, 8).await;
}

#[tokio::test]
async fn damage_is_one_clear_error_for_every_kind_of_it() {
    let (store, catalog) = in_memory().await;
    let behind = open(&store).await.expect("open");
    add_roles(&catalog, 4).await;
    let good = read(&store, &entry(2)).await;
    let flipped = {
        let text = String::from_utf8(good.clone()).expect("text");
        text.replacen("r1", "rX", 1).into_bytes()
    };
    let cases = [
        (Some(flipped), "the catalog's log is damaged: entry 2: its checksum is wrong"),
        (Some(good[..good.len() / 2].to_vec()), "the catalog's log is damaged: entry 2: it is not whole"),
        (Some(good[..good.len() - 1].to_vec()), "the catalog's log is damaged: entry 2: it is not whole"),
        (Some(Vec::new()), "the catalog's log is damaged: entry 2: it is not whole"),
        (Some(vec![0; good.len()]), "the catalog's log is damaged: entry 2: it is not whole"),
        (Some(read(&store, &entry(1)).await), "the catalog's log is damaged: entry 2: it is another entry's copy"),
        (None, "the catalog's log is damaged: entry 2 is missing"),
    ];
    for (bytes, message) in cases {
        match bytes {
            Some(bytes) => drop(store.put(&entry(2), bytes.into()).await.expect("put")),
            None => store.delete(&entry(2)).await.expect("deleted"),
        }
        let error = open(&store).await.expect_err(message);
        assert_eq!((error.sqlstate(), error.to_string().as_str()), (SqlState::DATA_CORRUPTED, message));
        let error = behind.refresh().await.expect_err(message);
        assert_eq!(error.to_string(), message);
        assert_eq!(behind.snapshot().epoch(), Epoch(0), "what was known stays in force");
        assert_eq!(
            behind.change("admin", |draft| draft.create_role(role("x"))).await.err().map(|e| e.to_string()).as_deref(),
            Some(message)
        );
    }
    store.put(&entry(2), good.into()).await.expect("mended");
    assert_eq!(behind.refresh().await.expect("mended").epoch(), Epoch(4));
}

#[tokio::test]
async fn a_log_that_was_cut_short_or_exchanged_is_noticed() {
    let (store, catalog) = in_memory().await;
    add_roles(&catalog, 3).await;
    store.delete(&entry(3)).await.expect("deleted");
    assert!(matches!(catalog.refresh().await, Err(CatalogError::Missing { epoch: Epoch(3) })));
    // Another history goes on from where the log was cut.
    let other = open(&store).await.expect("a shorter log is a log");
    for name in ["other", "another"] {
        other.change("admin", |draft| draft.create_role(role(name))).await.expect("changed");
    }
    let error = catalog.refresh().await.expect_err("foreign");
    assert_eq!(error.to_string(), "the catalog's log is damaged: entry 4: it does not follow the entry before it");
}

#[tokio::test]
async fn a_log_shorter_than_its_snapshot_is_noticed() {
    let (store, catalog) = in_memory().await;
    add_roles(&catalog, SNAPSHOT_INTERVAL).await;
    store.delete(&entry(SNAPSHOT_INTERVAL)).await.expect("deleted");
    let error = open(&store).await.expect_err("cut");
    assert!(matches!(error, CatalogError::Missing { epoch: Epoch(SNAPSHOT_INTERVAL) }), "{error}");
}

#[tokio::test]
async fn snapshots_save_work_and_are_not_relied_on() {
    let (store, catalog) = in_memory().await;
    add_roles(&catalog, SNAPSHOT_INTERVAL + 2).await;
    let whole = image(&catalog.snapshot());
    let snapshot = read(&store, &snapshot_of(SNAPSHOT_INTERVAL)).await;
    let mut flipped = snapshot.clone();
    flipped[snapshot.len() / 2] ^= 1;
    for damaged in [flipped, Vec::new(), snapshot[..100].to_vec()] {
        store.put(&snapshot_of(SNAPSHOT_INTERVAL), damaged.into()).await.expect("put");
        assert_eq!(image(&open(&store).await.expect("open").snapshot()), whole);
    }
    // With the snapshot, old entries are not needed to open, and are missed where they are.
    store.put(&snapshot_of(SNAPSHOT_INTERVAL), snapshot.into()).await.expect("put");
    store.delete(&entry(5)).await.expect("deleted");
    let reopened = open(&store).await.expect("open");
    assert_eq!(image(&reopened.snapshot()), whole);
    assert!(matches!(reopened.at(Epoch(10)).await, Err(CatalogError::Missing { epoch: Epoch(5) })));
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let (store, catalog) = in_memory().await;
    add_roles(&catalog, 1).await;
    let body = "{\"format\":4,\"version\":2,\"surprise\":true}";
    let seal = <sha2::Sha256 as sha2::Digest>::digest(body.as_bytes());
    let bytes = format!("{body}\n{{\"sha256\":\"{}\"}}\n", hex::encode(seal));
    store.put(&entry(2), bytes.into()).await.expect("put");
    let error = catalog.refresh().await.expect_err("newer");
    assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(error.to_string(), "the catalog's log entry 2 was written by a newer version (format 4)");
}

#[tokio::test]
async fn other_files_beside_the_log_do_no_harm() {
    let (store, catalog) = in_memory().await;
    for name in
        ["catalog/log/README", "catalog/log/1.json", "catalog/log/0000000000000000000x.json", "catalog/snapshot/x.json"]
    {
        store.put(&Path::from(name), PutPayload::from_static(b"x")).await.expect("put");
    }
    add_roles(&catalog, 1).await;
    assert_eq!(open(&store).await.expect("open").snapshot().epoch(), Epoch(1));
}

/// A store whose puts of the log succeed or fail, but always answer an error, every other time.
#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    puts: AtomicU64,
    lose_the_put_too: bool,
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "flaky", source: "connection reset".into() }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if self.puts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return self.inner.put_opts(location, payload, options).await;
        }
        if !self.lose_the_put_too {
            self.inner.put_opts(location, payload, options).await?;
        }
        Err(broken())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_out() {
    let (store, catalog) =
        initialised(Arc::new(Flaky { inner: InMemory::new(), puts: AtomicU64::new(0), lose_the_put_too: false })).await;
    add_roles(&catalog, 6).await;
    assert_eq!((catalog.snapshot().epoch(), catalog.snapshot().roles().count()), (Epoch(6), 10));
    assert_eq!(open(&store).await.expect("open").snapshot().epoch(), Epoch(6));
}

#[tokio::test]
async fn a_failed_write_changes_nothing() {
    let (_, catalog) =
        initialised(Arc::new(Flaky { inner: InMemory::new(), puts: AtomicU64::new(0), lose_the_put_too: true })).await;
    let error = catalog.change("admin", |draft| draft.create_role(role("nurse"))).await.expect_err("broken");
    assert_eq!(
        (error.sqlstate(), error.to_string().as_str()),
        (SqlState::IO_ERROR, "the catalog's storage is unavailable")
    );
    assert_eq!(catalog.snapshot().epoch(), Epoch(0));
    catalog.change("admin", |draft| draft.create_role(role("nurse"))).await.expect("the store is back");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_durable_change_out_of_force() {
    let (store, catalog) = in_memory().await;
    for attempt in 0..50_u32 {
        let changing = catalog.change("admin", |draft| draft.create_role(role(&format!("c{attempt}"))));
        // Polled a few times, then dropped wherever it stands.
        let mut changing = Box::pin(changing);
        for _ in 0..attempt % 5 {
            if futures::poll!(changing.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(changing);
        // The turn is free only once the write is in force.
        drop(catalog.turn().await);
        assert_eq!(
            image(&open(&store).await.expect("open").snapshot()),
            image(&catalog.snapshot()),
            "attempt {attempt}"
        );
    }
    assert!(catalog.snapshot().epoch() > Epoch(0), "some of them got through");
}
