//! Values of every type through every door and back: parameters in text and in binary, COPY in each form, Flight's
//! parameters; rows in text and in binary, COPY out, Flight. What psycopg and ADBC send is what they get.

use crate::harness::{Lab, python};

#[test]
fn every_value_comes_back_as_it_went_in() {
    let lab = Lab::open("SELECT 1");
    let ca = lab.server.data().join("ca.pem");
    let url = lab.server.url("admin");
    let flight = format!("grpc+tls://localhost:{}", lab.server.port("flight"));
    let told = python("every_type.py", &["20260127", &url, "secret", &flight, &ca.display().to_string()]);
    assert_eq!(told, "done");
}

#[test]
fn structs_and_maps_are_json_on_both_protocols() {
    let lab = Lab::open("SELECT 1");
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("nested");
    python("nested.py", &["write", &path.display().to_string()]);
    let admin = lab.psql("admin");
    admin.rows(&format!("CREATE EXTERNAL TABLE nested STORED AS DELTA LOCATION 'file://{}/'", path.display()));
    let (url, ca) = (lab.server.url("admin"), lab.server.data().join("ca.pem"));
    let flight = format!("grpc+tls://localhost:{}", lab.server.port("flight"));
    assert_eq!(python("nested.py", &["read", &url, "secret", &flight, &ca.display().to_string()]), "done");

    assert_eq!(admin.rows("SELECT (name).given, name->>'age', tags->>'a' FROM nested WHERE id = 1"), "Ann|3|1");
    admin
        .rows("INSERT INTO nested SELECT id + 10, name, tags, visits FROM nested; INSERT INTO nested (id) VALUES (20)");
    assert_eq!(admin.rows("SELECT id, name FROM nested WHERE id = 11"), "11|{\"given\": \"Ann\", \"age\": 3}");
    assert_eq!(admin.fails("INSERT INTO nested (name) SELECT '{\"given\": \"x\"}'").0, "42804");
    assert_eq!(admin.fails("UPDATE nested SET id = 1").0, "0A000");
    admin.rows("CREATE TABLE copied AS SELECT name, visits FROM nested WHERE id = 1");
    assert_eq!(admin.rows("SELECT visits FROM copied"), "{\"{\\\"ward\\\": 1, \\\"days\\\": [1, 2]}\"}");
    admin.rows("ALTER TABLE nested RENAME COLUMN name TO who; ALTER TABLE nested DROP COLUMN visits");
    assert_eq!(admin.rows("SELECT who->>'given', tags FROM nested WHERE id = 1"), "Ann|{\"a\": 1, \"b\": null}");
    assert_eq!(admin.rows("SELECT who->>'given' FROM nested VERSION AS OF 0 WHERE id = 1"), "Ann");
}

#[test]
fn the_delta_log_tells_lengths_to_other_writers() {
    let lab = Lab::open("SELECT 1");
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("t");
    let admin = lab.psql("admin");
    admin.rows(&format!(
        "CREATE TABLE t (a varchar(3), b char(2), c timestamp(3), d text) LOCATION 'file://{}/' TBLPROPERTIES ('hospital.owner' = 'Ward 3');
         ALTER TABLE t ADD COLUMN e varchar(1); INSERT INTO t (a) VALUES ('abc'); ALTER TABLE t RENAME COLUMN a TO f;",
        path.display()
    ));
    let log: String = (0..4)
        .map(|version| std::fs::read_to_string(path.join(format!("_delta_log/{version:020}.json"))).unwrap())
        .collect();
    assert!(log.contains("\\\"__CHAR_VARCHAR_TYPE_STRING\\\":\\\"varchar(3)\\\""), "{log}");
    assert!(log.contains("char(2)") && log.contains("varchar(1)") && log.contains("Ward 3"), "{log}");
    // Its files stay: they lie where the statement said.
    admin.rows(&format!("DROP TABLE t; CREATE EXTERNAL TABLE t STORED AS DELTA LOCATION 'file://{}/'", path.display()));
    let types = "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0";
    assert_eq!(
        admin.rows(types),
        "character varying(3), character(2), timestamp(3) without time zone, text, character varying(1)"
    );
    assert_eq!(admin.fails("INSERT INTO t (f) VALUES ('long')").0, "22001");
    assert_eq!(admin.rows("SELECT f FROM t"), "abc");
}

#[test]
fn what_a_bulk_load_brings_fits_its_columns() {
    let lab = Lab::open("CREATE TABLE l (s varchar(3), n int[])");
    let (ca, flight) =
        (lab.server.data().join("ca.pem"), format!("grpc+tls://localhost:{}", lab.server.port("flight")));
    let told = python("ingest_types.py", &["secret", &flight, &ca.display().to_string()]);
    assert_eq!(told, "22001 22021 22021 22021 1");
    assert_eq!(lab.psql("admin").rows("SELECT * FROM l"), "ab|{1,NULL}");
}
