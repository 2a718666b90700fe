//! Two servers over one catalog and the same files, one of which has not seen yet what the other has done.

use lakeward_engine::Limits;
use lakeward_tests::local_engine::{ADMIN, LocalEngine, ask, execute};
use tokio::runtime::Runtime;

/// Two columns of one type, one of them masked.
const PATIENTS: &str = "
    CREATE TABLE p (id bigint, mrn text, ward text) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
    INSERT INTO p VALUES (1, 'A-1', 'north'), (2, 'A-2', 'south');
    CREATE MASKING POLICY hidden AS (val text) RETURNS text -> '***';
    ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY hidden;
    CREATE ROLE nurse LOGIN PASSWORD 'secret'; GRANT SELECT, UPDATE, INSERT ON p TO nurse;";

/// The two exchange their names.
const SWAP: &str = "
    ALTER TABLE p RENAME COLUMN mrn TO other;
    ALTER TABLE p RENAME COLUMN ward TO mrn;
    ALTER TABLE p RENAME COLUMN other TO ward";

/// One server that has run a script, and another that knows the catalog as it was then.
fn two(runtime: &Runtime, script: &str) -> (LocalEngine, LocalEngine) {
    let one = LocalEngine::on_disk(runtime, Limits::default());
    runtime.block_on(execute(&one.login(ADMIN), script));
    let other = one.another(runtime);
    (one, other)
}

#[test]
fn a_mask_stays_with_its_column_where_names_were_exchanged_behind_a_servers_back() {
    let runtime = Runtime::new().unwrap();
    for asked in [
        "SELECT mrn, ward FROM p ORDER BY id",
        "SELECT mrn, ward FROM p VERSION AS OF 4 ORDER BY id",
        "WITH x AS (SELECT * FROM p) SELECT mrn, ward FROM x ORDER BY id",
    ] {
        let (one, other) = two(&runtime, PATIENTS);
        runtime.block_on(async {
            let nurse = other.login("nurse");
            assert_eq!(ask(&nurse, "SELECT mrn, ward FROM p ORDER BY id").await, "***|north,***|south", "{asked}");
            execute(&one.login(ADMIN), SWAP).await;
            assert!(other.catalog.snapshot().epoch() < one.catalog.snapshot().epoch(), "it has not looked");
            assert_eq!(ask(&nurse, asked).await, "north|***,south|***", "{asked}");
        });
    }
}

#[test]
fn writes_and_changes_know_the_columns_too() {
    let runtime = Runtime::new().unwrap();
    for (asked, expected) in [
        ("SELECT mrn, ward FROM table_changes('p', 5) WHERE id = 1", "north|***,north|***"),
        ("UPDATE p SET ward = 'A-1' WHERE id = 1", "42501"),
        ("UPDATE p SET mrn = 'west' WHERE ward = 'A-1'", "UPDATE 0"),
        ("INSERT INTO p (id, ward) VALUES (3, 'A-3')", "42501"),
    ] {
        let (one, other) = two(&runtime, PATIENTS);
        runtime.block_on(async {
            let nurse = other.login("nurse");
            execute(&one.login(ADMIN), SWAP).await;
            execute(&one.login(ADMIN), "UPDATE p SET ward = 'A-9' WHERE id = 1").await;
            let answered = ask(&nurse, asked).await;
            assert_eq!(answered, expected, "{asked}");
            assert_eq!(ask(&nurse, "SELECT mrn, ward FROM p ORDER BY id").await, "north|***,south|***", "{asked}");
        });
    }
}

#[test]
fn a_new_column_is_not_taken_for_one_of_its_name_that_is_gone() {
    let runtime = Runtime::new().unwrap();
    let (one, other) = two(&runtime, PATIENTS);
    runtime.block_on(async {
        let nurse = other.login("nurse");
        let script = "
            ALTER TABLE p DROP COLUMN ward; ALTER TABLE p ADD COLUMN ward text;
            ALTER TABLE p ALTER COLUMN ward SET MASKING POLICY hidden;
            UPDATE p SET ward = mrn";
        execute(&one.login(ADMIN), script).await;
        assert_eq!(ask(&nurse, "SELECT mrn, ward FROM p ORDER BY id").await, "***|***,***|***");
    });
}

#[test]
fn a_block_goes_on_with_the_columns_that_it_began_with() {
    let runtime = Runtime::new().unwrap();
    let (one, other) = two(&runtime, PATIENTS);
    runtime.block_on(async {
        let nurse = other.login("nurse");
        assert_eq!(ask(&nurse, "BEGIN").await, "BEGIN");
        assert_eq!(ask(&nurse, "SELECT mrn, ward FROM p ORDER BY id").await, "***|north,***|south");
        execute(&one.login(ADMIN), SWAP).await;
        assert_eq!(ask(&nurse, "SELECT mrn, ward FROM p ORDER BY id").await, "***|north,***|south");
        other.catalog.refresh().await.unwrap();
        assert_eq!(ask(&nurse, "SELECT mrn, ward FROM p ORDER BY id").await, "north|***,south|***");
        assert_eq!(ask(&nurse, "COMMIT").await, "COMMIT");
    });
}

#[test]
fn a_table_of_another_catalog_is_read_whatever_that_one_has_come_to() {
    let runtime = Runtime::new().unwrap();
    let (one, _) = two(&runtime, PATIENTS);
    let stranger = LocalEngine::on_disk(&runtime, Limits::default());
    runtime.block_on(async {
        execute(&one.login(ADMIN), SWAP).await;
        let snapshot = one.catalog.snapshot();
        let table = snapshot.tables().find(|table| table.name == "p").unwrap().clone();
        let admin = stranger.login(ADMIN);
        let register = format!("CREATE EXTERNAL TABLE p STORED AS DELTA LOCATION '{}'", table.location);
        execute(&admin, &register).await;
        assert!(stranger.catalog.snapshot().epoch() < snapshot.epoch());
        assert_eq!(ask(&admin, "SELECT mrn, ward FROM p ORDER BY id").await, "north|A-1,south|A-2");
        execute(&admin, "ALTER TABLE p RENAME COLUMN ward TO other").await;
        assert_eq!(ask(&admin, "SELECT mrn, other FROM p ORDER BY id").await, "north|A-1,south|A-2");
    });
}
