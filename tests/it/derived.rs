//! Derived data: what protects values goes with them, and nobody launders them on the way.

use crate::harness::Lab;

/// `doc` sees raw values, `nurse` masked ones; `ann` is somebody else.
const LAB: &str = "
    CREATE TABLE p (id bigint, ward int, ssn text, mrn text, name text);
    INSERT INTO p VALUES (1, 1, '412-68-1073', 'A-1', 'Ada'), (2, 2, '900-11-2222', 'B-2', 'Bob');
    CREATE ROLE doctors; CREATE ROLE staff;
    CREATE ROLE doc LOGIN PASSWORD 'secret' IN ROLE doctors, staff;
    CREATE ROLE nurse LOGIN PASSWORD 'secret' IN ROLE staff;
    CREATE ROLE ann LOGIN PASSWORD 'secret'; CREATE ROLE governor LOGIN PASSWORD 'secret' IN ROLE policy_admin;
    GRANT SELECT, INSERT, UPDATE ON p TO staff;
    CREATE SCHEMA lab; GRANT USAGE, CREATE ON SCHEMA lab TO staff; GRANT USAGE ON SCHEMA lab TO ann, governor;
    CREATE MASKING POLICY last4 AS (val text) RETURNS text ->
      CASE WHEN is_role_in_session('doctors') THEN val ELSE mask_show_last(val, 4) END;
    CREATE MASKING POLICY hide AS (val text) RETURNS text -> CASE WHEN is_role_in_session('doctors') THEN val END;
    CREATE MASKING POLICY own_ward AS (val text, place int) RETURNS text ->
      CASE WHEN place = 1 OR is_role_in_session('doctors') THEN val ELSE mask_null(val) END;
    CREATE TAG phi; ALTER TAG phi SET MASKING POLICY hide FOR VALUE 'mrn';
    ALTER TABLE p ALTER COLUMN ssn SET MASKING POLICY last4;
    ALTER TABLE p ALTER COLUMN mrn SET TAG phi = 'mrn';
    ALTER TABLE p ALTER COLUMN name SET MASKING POLICY own_ward USING (name, ward);
    GRANT EXECUTE ON FUNCTION mask_hash TO staff;";

#[test]
fn a_new_table_has_the_tags_and_masks_of_what_arrived_unmasked() {
    let lab = Lab::open(LAB);
    let (doc, nurse, ann) = (lab.psql("doc"), lab.psql("nurse"), lab.psql("ann"));
    doc.rows(
        "CREATE TABLE lab.t AS SELECT id, upper(ssn) AS s, mrn AS m, mask_hash(ssn, 'x') AS h, count(*) AS n
         FROM p GROUP BY 1, 2, 3, 4",
    );
    assert_eq!(ann.fails("SELECT * FROM lab.t").0, "42501", "its maker's alone, until granted");
    assert_eq!(doc.rows("SELECT id, s, m FROM lab.t ORDER BY id"), "1|412-68-1073|A-1\n2|900-11-2222|B-2");
    doc.rows("GRANT SELECT ON lab.t TO ann");
    assert_eq!(ann.rows("SELECT id, s, m, n FROM lab.t ORDER BY id"), "1|***-**-1073||1\n2|***-**-2222||1");
    assert_eq!(ann.rows("SELECT length(h) FROM lab.t WHERE id = 1"), "64");
    let kinds = "SELECT column_name, kind, policy_name FROM system.policies WHERE table_name = 't' ORDER BY 1";
    assert_eq!(lab.psql("admin").rows(kinds), "m|tag_mask|hide\ns|mask|last4");
    // What the maker saw masked is what it is: without the mask, but with the tag.
    nurse.rows("CREATE TABLE lab.u AS SELECT id, ssn, mrn FROM p; GRANT SELECT ON lab.u TO ann, doc");
    assert_eq!(ann.rows("SELECT ssn, mrn FROM lab.u WHERE id = 1"), "***-**-1073|");
    assert_eq!(doc.rows("SELECT ssn, mrn FROM lab.u WHERE id = 1"), "***-**-1073|", "there is nothing under it");
    assert_eq!(
        lab.psql("admin").rows("SELECT column_name, tag_name, tag_value FROM system.tags WHERE table_name = 'u'"),
        "mrn|phi|mrn"
    );
}

#[test]
fn inherited_masks_are_not_the_makers_to_take_off() {
    let lab = Lab::open(LAB);
    let (doc, ann) = (lab.psql("doc"), lab.psql("ann"));
    doc.rows("CREATE TABLE lab.t AS SELECT ssn, mrn FROM p; GRANT SELECT ON lab.t TO ann");
    for refused in [
        "ALTER TABLE lab.t ALTER COLUMN ssn UNSET MASKING POLICY",
        "ALTER TABLE lab.t ALTER COLUMN ssn SET MASKING POLICY hide",
        "ALTER TABLE lab.t ALTER COLUMN mrn UNSET TAG phi",
        "UPDATE lab.t SET mrn = ssn",
        "CREATE OR REPLACE TABLE lab.t AS SELECT ssn, mrn, ssn AS again FROM lab.t",
        "CREATE OR REPLACE TABLE lab.t AS SELECT mrn AS ssn, ssn AS mrn FROM lab.t",
        "CREATE OR REPLACE TABLE lab.t AS SELECT ssn, mrn, (SELECT max(mrn) FROM p) AS x FROM lab.t",
    ] {
        assert_eq!(doc.fails(refused).0, "42501", "{refused}");
    }
    doc.rows("CREATE OR REPLACE TABLE lab.t AS SELECT upper(ssn) AS ssn, mrn, 1 AS more FROM p");
    assert_eq!(ann.rows("SELECT ssn FROM lab.t ORDER BY 1"), "***-**-1073\n***-**-2222");
    lab.psql("governor").rows("ALTER TABLE lab.t ALTER COLUMN ssn UNSET MASKING POLICY");
    assert_eq!(ann.rows("SELECT ssn FROM lab.t ORDER BY 1 LIMIT 1"), "412-68-1073");
}

#[test]
fn what_cannot_be_carried_over_stays_with_its_maker() {
    let lab = Lab::open(LAB);
    let (admin, doc) = (lab.psql("admin"), lab.psql("doc"));
    let private = [
        // Another type than the mask's; two masks in one value; a mask whose argument did not come along; a row policy.
        "SELECT length(ssn) AS n FROM p",
        "SELECT CASE WHEN ssn LIKE '4%' THEN 1 END AS n FROM p",
        "SELECT ssn || mrn AS both FROM p",
        "SELECT name FROM p",
        "SELECT max(name) AS name, ward FROM p GROUP BY ward",
        "SELECT a.name, b.ward FROM p a, p b",
        "SELECT ssn || (SELECT max(mrn) FROM p) AS x FROM p",
        "SELECT row_number() OVER (ORDER BY ssn) AS n FROM p",
        "WITH RECURSIVE r AS (SELECT 1 AS n, ssn FROM p UNION ALL SELECT n + 1, ssn FROM r WHERE n < 2) SELECT n FROM r",
        "SELECT rolname FROM pg_roles",
    ];
    for (index, query) in private.iter().enumerate() {
        doc.rows(&format!("CREATE TABLE lab.t{index} AS {query}"));
        let (code, text) = doc.fails(&format!("GRANT SELECT ON lab.t{index} TO ann"));
        assert!(code == "42501" && text.contains("yours alone"), "{query}: {text}");
    }
    assert!(admin.run("GRANT SELECT ON ALL TABLES IN SCHEMA lab TO ann").err.contains("left out"));
    assert_eq!(lab.psql("ann").fails("SELECT * FROM lab.t0").0, "42501");
    // They are let go by name, by those who answer for it.
    assert!(admin.run("GRANT SELECT ON lab.t0 TO ann").err.contains("its own policies alone"));
    assert_eq!(lab.psql("ann").rows("SELECT DISTINCT n FROM lab.t0"), "11");
    for (index, query) in [
        "SELECT id, ward, name FROM p",
        "SELECT lower(name) AS name, ward FROM p ORDER BY ssn",
        "SELECT s.name, s.ward FROM (SELECT * FROM p WHERE mrn = 'B-2') s",
        "SELECT max(ssn) AS ssn FROM p",
        "SELECT ssn FROM p UNION SELECT upper(ssn) FROM p",
        "SELECT id FROM p WHERE ssn = '412-68-1073'",
        "SELECT count(ssn) AS n, ward FROM p GROUP BY ward",
        "SELECT (SELECT max(ssn) FROM p) AS s",
        "SELECT * FROM generate_series(1, 3) AS g(n)",
    ]
    .iter()
    .enumerate()
    {
        doc.rows(&format!("CREATE TABLE lab.g{index} AS {query}; GRANT SELECT ON lab.g{index} TO ann"));
    }
    let ann = lab.psql("ann");
    assert_eq!(ann.rows("SELECT id, name FROM lab.g0 ORDER BY id"), "1|Ada\n2|");
    assert_eq!(ann.rows("SELECT name FROM lab.g1 ORDER BY ward"), "ada");
    assert_eq!(ann.rows("SELECT name FROM lab.g2"), "");
    assert_eq!(ann.rows("SELECT ssn FROM lab.g3"), "***-**-2222");
    assert_eq!(ann.rows("SELECT ssn FROM lab.g4 ORDER BY 1 LIMIT 1"), "***-**-1073");
    assert_eq!(ann.rows("SELECT s FROM lab.g7"), "***-**-2222");
}

/// A mask that shows some rows' values as they are has hidden nothing for good.
#[test]
fn a_mask_that_lets_rows_through_is_inherited_with_its_arguments() {
    let lab = Lab::open(LAB);
    let (nurse, ann) = (lab.psql("nurse"), lab.psql("ann"));
    nurse.rows("CREATE TABLE lab.t AS SELECT name, ward FROM p; GRANT SELECT ON lab.t TO ann");
    assert_eq!(ann.rows("SELECT name FROM lab.t ORDER BY ward"), "Ada");
    nurse.rows("CREATE TABLE lab.alone AS SELECT name FROM p");
    assert_eq!(nurse.fails("GRANT SELECT ON lab.alone TO ann").0, "42501");
}

#[test]
fn a_column_is_not_filled_from_one_that_is_better_protected() {
    let lab = Lab::open(LAB);
    let (admin, doc, nurse) = (lab.psql("admin"), lab.psql("doc"), lab.psql("nurse"));
    admin.rows(
        "CREATE TABLE lab.plain (id bigint, ward int, ssn text, mrn text, name text);
         CREATE TABLE lab.same (id bigint, ward int, ssn text, mrn text, name text);
         ALTER TABLE lab.same ALTER COLUMN ssn SET MASKING POLICY last4;
         ALTER TABLE lab.same ALTER COLUMN mrn SET TAG phi = 'mrn';
         ALTER TABLE lab.same ALTER COLUMN name SET MASKING POLICY own_ward USING (name, ward);
         GRANT SELECT, INSERT, UPDATE, DELETE ON lab.plain, lab.same TO staff;
         CREATE VIEW lab.v AS SELECT id, ssn AS social FROM p; GRANT SELECT ON lab.v TO staff;",
    );
    for refused in [
        "INSERT INTO lab.plain SELECT * FROM p",
        "INSERT INTO lab.plain (ssn) SELECT social FROM lab.v",
        "INSERT INTO lab.plain (ssn) SELECT ssn FROM p VERSION AS OF 1",
        "INSERT INTO lab.plain (ssn) WITH c AS (SELECT ssn FROM p) SELECT max(ssn) FROM c",
        "INSERT INTO lab.plain (ward) SELECT CASE WHEN ssn LIKE '4%' THEN 1 ELSE 0 END FROM p",
        "INSERT INTO lab.plain (ssn) VALUES ((SELECT max(ssn) FROM p))",
        "INSERT INTO lab.plain (mrn) SELECT mrn FROM p",
        "INSERT INTO lab.same (mrn) SELECT ssn FROM p",
        "INSERT INTO lab.same (ssn) SELECT mrn FROM p",
        "INSERT INTO lab.same (ssn) SELECT ssn || name FROM p",
        // The mask would be shown another ward.
        "INSERT INTO lab.same (name) SELECT name FROM p",
        "INSERT INTO lab.same (name, ward) SELECT name, 1 FROM p",
        "INSERT INTO lab.same (name, ward) SELECT a.name, b.ward FROM p a, p b",
        "INSERT OVERWRITE lab.plain (ssn) SELECT ssn FROM p",
        "UPDATE lab.plain t SET ssn = p.ssn FROM p WHERE p.id = t.id",
        "UPDATE p SET name = (SELECT max(name) FROM p)",
        "MERGE INTO lab.plain t USING p ON t.id = p.id WHEN MATCHED THEN UPDATE SET mrn = p.mrn WHEN NOT MATCHED THEN INSERT (id) VALUES (p.id)",
        "MERGE INTO lab.plain t USING p ON t.id = p.id WHEN NOT MATCHED THEN INSERT (id, ssn) VALUES (p.id, p.ssn)",
        "BEGIN; INSERT INTO lab.plain (ssn) SELECT ssn FROM p; COMMIT",
    ] {
        let (code, text) = doc.fails(refused);
        assert!(code == "42501" && text.contains("less protected"), "{refused}: {text}");
    }
    for taken in [
        "INSERT INTO lab.same SELECT * FROM p",
        "INSERT INTO lab.same (ssn) SELECT ssn FROM p UNION ALL SELECT 'x'",
        "INSERT INTO lab.plain (ssn, ward) SELECT mask_hash(ssn, 'x'), count(mrn) FROM p GROUP BY 1",
        "INSERT INTO lab.plain (id) SELECT id FROM p WHERE ssn LIKE '4%' ORDER BY mrn",
        "UPDATE p SET name = upper(name)",
        "UPDATE lab.same t SET ssn = p.ssn FROM p WHERE p.id = t.id",
        "MERGE INTO lab.plain t USING p ON t.id = p.id WHEN MATCHED AND p.ssn <> 'x' THEN UPDATE SET ward = p.ward",
        "MERGE INTO lab.same t USING p ON t.id = p.id WHEN NOT MATCHED AND p.mrn = 'z' THEN INSERT (id, ssn) VALUES (p.id, p.ssn)",
    ] {
        doc.rows(taken);
    }
    // A mask that its owner could take off again protects nothing; nor does who owns both tables gain by it.
    doc.rows("CREATE TABLE lab.own (ssn text); ALTER TABLE lab.own ALTER COLUMN ssn SET MASKING POLICY last4");
    assert_eq!(doc.fails("INSERT INTO lab.own SELECT ssn FROM p").0, "42501");
    admin.rows("GRANT SELECT ON lab.own TO staff; ALTER TABLE p OWNER TO doc");
    doc.rows("INSERT INTO lab.own SELECT ssn FROM p");
    admin.rows("ALTER TABLE p OWNER TO admin");
    // Neither what the nurse sees masked.
    for refused in ["INSERT INTO lab.plain (ssn) SELECT ssn FROM p", "INSERT INTO lab.plain (mrn) SELECT mrn FROM p"] {
        assert_eq!(nurse.fails(refused).0, "42501", "{refused}");
    }
    nurse.rows("INSERT INTO lab.plain (id, ward) SELECT id, count(ssn) FROM p GROUP BY id");
    // A superuser writes what it likes.
    admin.rows("INSERT INTO lab.plain SELECT * FROM p");
}

#[test]
fn a_prepared_insert_is_judged_at_each_execution() {
    let lab = Lab::open(LAB);
    let admin = lab.psql("admin");
    admin.rows(
        "CREATE TABLE open (id bigint, note text); INSERT INTO open VALUES (1, 'x');
         CREATE TABLE lab.plain (note text); GRANT SELECT ON open TO staff; GRANT INSERT ON lab.plain TO staff",
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let doc = lab.connect("doc").await;
        let insert = doc.prepare("INSERT INTO lab.plain SELECT note FROM open WHERE id = $1").await.unwrap();
        doc.execute(&insert, &[&1_i64]).await.unwrap();
        admin.rows("ALTER TABLE open ALTER COLUMN note SET TAG phi = 'mrn'");
        let refused = doc.execute(&insert, &[&1_i64]).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501");
    });
}

#[test]
fn row_policies_are_not_carried_over() {
    let lab = Lab::open(LAB);
    let (admin, doc, ann) = (lab.psql("admin"), lab.psql("doc"), lab.psql("ann"));
    admin.rows("CREATE POLICY own ON p USING (ward = 1 OR is_role_in_session('doctors'))");
    doc.rows("CREATE TABLE lab.t AS SELECT id FROM p; CREATE TABLE lab.u AS SELECT id FROM lab.t");
    for table in ["lab.t", "lab.u"] {
        assert_eq!(doc.fails(&format!("GRANT SELECT ON {table} TO ann")).0, "42501", "{table}");
    }
    admin.rows("CREATE TABLE lab.plain (id bigint); GRANT INSERT ON lab.plain TO doc");
    for source in ["p", "lab.t", "lab.u"] {
        assert_eq!(doc.fails(&format!("INSERT INTO lab.plain SELECT id FROM {source}")).0, "42501", "{source}");
    }
    // A policy_admin lets it go only where it could have granted at all.
    assert_eq!(lab.psql("governor").fails("GRANT SELECT ON lab.t TO ann").0, "42501");
    admin.rows("GRANT doc TO governor");
    lab.psql("governor").rows("GRANT SELECT ON lab.t TO ann");
    assert_eq!(ann.rows("SELECT count(*) FROM lab.t"), "2");
    doc.rows("GRANT INSERT ON lab.t TO ann");
    assert_eq!(doc.fails("GRANT SELECT ON lab.u TO ann").0, "42501");
}
