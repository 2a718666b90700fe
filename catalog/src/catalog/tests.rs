//! The log: races, replay, damage and lost answers, over stores in memory and on disk.

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
use proptest::prelude::*;

use super::{Catalog, SNAPSHOT_INTERVAL};
use crate::draft::{Draft, NewColumn, NewMaskingPolicy, NewPolicy, NewRole, NewTable, Revocation};
use crate::error::CatalogError;
use crate::log::{Image, Log};
use crate::model::{Grantee, MaskBinding, Parameter, PolicyCommand, Privilege, Securable};
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
    let body = "{\"format\":3,\"version\":2,\"surprise\":true}";
    let seal = <sha2::Sha256 as sha2::Digest>::digest(body.as_bytes());
    let bytes = format!("{body}\n{{\"sha256\":\"{}\"}}\n", hex::encode(seal));
    store.put(&entry(2), bytes.into()).await.expect("put");
    let error = catalog.refresh().await.expect_err("newer");
    assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(error.to_string(), "the catalog's log entry 2 was written by a newer version (format 3)");
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

/// One random edit; indices wrap over what there is. Many are refused, which must leave no trace.
#[derive(Debug, Clone)]
enum Step {
    Role(u8),
    DropRole(u8),
    Join(u8, u8),
    Leave(u8, u8),
    Schema(u8),
    DropSchema(u8),
    Table(u8, u8),
    Rename(u8, u8),
    DropTable(u8),
    Policy(u8, u8),
    MaskingPolicy(u8),
    Mask(u8, u8),
    DropMaskingPolicy(u8),
    Grant(u8, u8),
    Revoke(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..6_u8;
    prop_oneof![
        3 => n().prop_map(Step::Role),
        1 => n().prop_map(Step::DropRole),
        2 => (n(), n()).prop_map(|(a, b)| Step::Join(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Leave(a, b)),
        2 => n().prop_map(Step::Schema),
        1 => n().prop_map(Step::DropSchema),
        4 => (n(), n()).prop_map(|(a, b)| Step::Table(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => n().prop_map(Step::DropTable),
        2 => (n(), n()).prop_map(|(a, b)| Step::Policy(a, b)),
        2 => n().prop_map(Step::MaskingPolicy),
        2 => (n(), n()).prop_map(|(a, b)| Step::Mask(a, b)),
        1 => n().prop_map(Step::DropMaskingPolicy),
        2 => (n(), n()).prop_map(|(a, b)| Step::Grant(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Revoke(a, b)),
    ]
}

fn pick<T: Clone>(all: Vec<T>, index: u8) -> Result<T, CatalogError> {
    let count = all.len().max(1);
    all.get(usize::from(index) % count).cloned().ok_or(CatalogError::Unsupported("nothing to pick from"))
}

fn take(draft: &mut Draft, step: &Step) -> Result<(), CatalogError> {
    let roles = draft.roles().map(|role| role.id).collect::<Vec<_>>();
    let schemas = draft.schemas().map(|schema| schema.id).collect::<Vec<_>>();
    let tables = draft.tables().map(|table| table.id).collect::<Vec<_>>();
    let masks = draft.masking_policies().map(|policy| policy.id).collect::<Vec<_>>();
    let admin = draft.role_by_name("admin").expect("admin").id;
    match step {
        Step::Role(n) => draft.create_role(role(&format!("r{n}"))).map(drop),
        Step::DropRole(n) => draft.drop_role(pick(roles, *n)?),
        Step::Join(a, b) => draft.grant_role(pick(roles.clone(), *a)?, pick(roles, *b)?).map(drop),
        Step::Leave(a, b) => draft.revoke_role(pick(roles.clone(), *a)?, pick(roles, *b)?).map(drop),
        Step::Schema(n) => draft.create_schema(&format!("s{n}"), pick(roles, *n)?).map(drop),
        Step::DropSchema(n) => draft.drop_schema(pick(schemas, *n)?),
        Step::Table(schema, n) => draft
            .create_table(NewTable {
                schema: pick(schemas, *schema)?,
                name: format!("t{n}"),
                owner: admin,
                location: format!("s3://lake/{schema}/{n}"),
                managed: n % 2 == 0,
                columns: (0..*n).map(|c| NewColumn { name: format!("c{c}"), sql_type: "text".into() }).collect(),
                grantable: true,
            })
            .map(drop),
        Step::Rename(a, n) => draft.alter_table(pick(tables, *a)?, |table| table.name = format!("t{n}")),
        Step::DropTable(n) => draft.drop_table(pick(tables, *n)?),
        Step::Policy(a, n) => {
            let policy = NewPolicy {
                name: format!("p{n}"),
                permissive: true,
                command: PolicyCommand::All,
                grantees: vec![Grantee::Role(pick(roles, *n)?)],
                using: Some(Redacted::new("true".into())),
                with_check: None,
                owner: admin,
            };
            draft.create_policy(pick(tables, *a)?, policy).map(drop)
        }
        Step::MaskingPolicy(n) => {
            let parameters = vec![Parameter { name: "v".into(), sql_type: "text".into() }];
            let policy = NewMaskingPolicy {
                name: format!("m{n}"),
                parameters,
                returns: "text".into(),
                body: Redacted::new("NULL".into()),
                owner: admin,
            };
            draft.create_masking_policy(policy).map(drop)
        }
        Step::Mask(a, n) => {
            let table = pick(tables, *a)?;
            let columns = draft.table(table).expect("table").columns.iter().map(|column| column.id).collect::<Vec<_>>();
            let column = pick(columns, *n)?;
            let policy = pick(masks, *n)?;
            draft.set_mask(table, column, (n % 3 != 0).then(|| MaskBinding { policy, arguments: vec![column] }))
        }
        Step::DropMaskingPolicy(n) => draft.drop_masking_policy(pick(masks, *n)?),
        Step::Grant(a, n) => draft
            .grant(Securable::Relation(pick(tables, *a)?), Privilege::Select, Grantee::Role(pick(roles, *n)?), admin)
            .map(drop),
        Step::Revoke(a, n) => draft
            .revoke(
                &Securable::Relation(pick(tables, *a)?),
                &Revocation {
                    privilege: Privilege::Select,
                    column: None,
                    grantee: Grantee::Role(pick(roles, *n)?),
                    grantor: admin,
                    option_only: false,
                    cascade: false,
                },
            )
            .map(drop),
    }
}

/// Whatever an object refers to exists.
fn check_references(snapshot: &Snapshot) {
    for role in snapshot.roles() {
        assert!(role.member_of.iter().all(|parent| snapshot.role(*parent).is_some()));
    }
    for schema in snapshot.schemas() {
        assert!(snapshot.role(schema.owner).is_some());
    }
    for relation in snapshot.relations() {
        assert!(snapshot.role(relation.owner()).is_some() && snapshot.schema(relation.schema()).is_some());
        for grant in relation.grants() {
            assert!(snapshot.role(grant.grantor).is_some());
            assert!(matches!(grant.grantee, Grantee::Role(role) if snapshot.role(role).is_some()));
        }
    }
    for table in snapshot.tables() {
        let of_table = |id| table.columns.iter().any(|column| column.id == id);
        for mask in table.columns.iter().filter_map(|column| column.mask.as_ref()) {
            assert!(snapshot.masking_policy(mask.policy).is_some() && mask.arguments.iter().all(|id| of_table(*id)));
        }
        for grantee in table.policies.iter().flat_map(|policy| &policy.grantees) {
            assert!(matches!(grantee, Grantee::Role(role) if snapshot.role(*role).is_some()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn replay_gives_what_the_writer_had(steps in proptest::collection::vec(proptest::collection::vec(step(), 1..4), 1..24), cut in 0..24_u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let (store, catalog) = in_memory().await;
            let mut seen = vec![image(&catalog.snapshot())];
            for steps in &steps {
                // An edit of several steps; refused steps within it leave no trace.
                let edit = |draft: &mut Draft| { for step in steps { let _ = take(draft, step); } Ok(()) };
                let ((), after) = catalog.change("admin", edit).await.expect("changed");
                check_references(&after);
                if after.epoch().0 as usize == seen.len() {
                    seen.push(image(&after));
                }
            }
            let newest = catalog.snapshot().epoch().0;
            let log = Log::new(Arc::clone(&store), prefix());
            // Full replay, at every epoch.
            for (epoch, image_then) in seen.iter().enumerate() {
                assert_eq!(&image(&log.load(epoch as u64).await.expect("replayed")), image_then);
            }
            // A snapshot anywhere and the tail after it; the entries before it are gone, so it must have been used.
            let cut = cut.min(newest);
            log.write_snapshot(&log.load(cut).await.expect("loaded")).await.expect("written");
            for before in 0..cut {
                store.delete(&entry(before)).await.expect("deleted");
            }
            let reopened = open(&store).await.expect("open");
            assert_eq!(image(&reopened.snapshot()), seen[newest as usize]);
        });
    }
}
