//! Tags as an attacker meets them: a mask by a tag holds wherever a column's own would, from the next statement on.

use crate::harness::Lab;

const TAGGED: &str = "
    CREATE TABLE p (id bigint, ward int, mrn text, note text);
    INSERT INTO p VALUES (1, 1, 'A-1', 'x'), (2, 1, 'A-2', 'y'), (3, 2, 'B-3', 'z');
    CREATE ROLE nurse LOGIN PASSWORD 'secret'; GRANT SELECT, INSERT, UPDATE, DELETE ON p TO nurse;
    CREATE TAG phi ALLOWED_VALUES ('mrn', 'note');
    CREATE MASKING POLICY last1 AS (val text) RETURNS text ->
      CASE WHEN is_role_in_session('privacy') THEN val ELSE mask_show_last(val, 1) END;
    CREATE ROLE privacy;
    ALTER TABLE p ALTER COLUMN mrn SET TAG phi = 'mrn';";
const SET: &str = "ALTER TAG phi SET MASKING POLICY last1 FOR VALUE 'mrn'";

#[test]
fn a_mask_by_a_tag_rules_from_the_next_statement_of_open_sessions() {
    let lab = Lab::open(TAGGED);
    let admin = lab.psql("admin");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let nurse = lab.connect("nurse").await;
        let prepared = nurse.prepare("SELECT mrn FROM p WHERE id = $1").await.unwrap();
        let mrn = async || nurse.query_one(&prepared, &[&1_i64]).await.unwrap().get::<_, String>(0);
        assert_eq!(mrn().await, "A-1");
        nurse.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT mrn FROM p").await.unwrap();
        nurse.simple_query("FETCH 1 FROM c").await.unwrap();
        admin.rows(SET);
        let closed = nurse.simple_query("FETCH 1 FROM c").await.unwrap_err();
        assert_eq!(closed.code().unwrap().code(), "42501", "it would show what is masked by now");
        nurse.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(mrn().await, "*-1");
        admin.rows("ALTER TABLE p ALTER COLUMN note SET TAG phi = 'mrn'");
        assert_eq!(lab.psql("nurse").rows("SELECT note FROM p WHERE id = 1"), "*");
        admin.rows("GRANT privacy TO nurse");
        assert_eq!(mrn().await, "A-1");
        admin.rows("REVOKE privacy FROM nurse; ALTER TAG phi UNSET MASKING POLICY FOR VALUE 'mrn'");
        assert_eq!(mrn().await, "A-1");
    });
}

#[test]
fn a_column_that_a_tag_masks_is_not_written_nor_told_by_predicates() {
    let lab = Lab::open(TAGGED);
    let (admin, nurse) = (lab.psql("admin"), lab.psql("nurse"));
    admin.rows(SET);
    assert_eq!(nurse.rows("SELECT count(*) FROM p WHERE mrn = 'A-1'"), "0");
    assert_eq!(nurse.rows("SELECT count(DISTINCT mrn) FROM p"), "3");
    assert_eq!(nurse.rows("SELECT mrn FROM p VERSION AS OF 1 WHERE id = 3"), "*-3");
    for refused in [
        "INSERT INTO p VALUES (9, 1, 'A-9', NULL)",
        "UPDATE p SET mrn = 'A-9'",
        "UPDATE p SET note = mrn",
        "INSERT INTO p (id, note) SELECT id, mrn FROM p",
        "MERGE INTO p USING (SELECT 1 AS id) s ON p.id = s.id WHEN MATCHED THEN UPDATE SET mrn = 'x'",
        "ALTER TABLE p ALTER COLUMN mrn UNSET TAG phi",
        "ALTER TAG phi RENAME TO other",
    ] {
        assert_eq!(nurse.fails(refused).0, "42501", "{refused}");
    }
    assert_eq!(nurse.fails("COPY p (id, mrn) FROM STDIN").0, "42501");
    nurse.rows("UPDATE p SET note = 'seen' WHERE id = 1; INSERT INTO p (id, ward) VALUES (9, 1)");
    // Neither does who owns the table undo what others marked.
    admin.rows("CREATE ROLE owner LOGIN PASSWORD 'secret'; ALTER TABLE p OWNER TO owner; CREATE SCHEMA lab; GRANT ALL ON SCHEMA lab TO owner");
    let owner = lab.psql("owner");
    assert_eq!(owner.rows("SELECT mrn FROM p WHERE id = 3"), "*-3");
    assert_eq!(owner.fails("ALTER TABLE p ALTER COLUMN mrn UNSET TAG phi").0, "42501");
    assert_eq!(owner.fails("CREATE OR REPLACE TABLE p AS SELECT 1::bigint AS id, 'x' AS ward").0, "2BP01");
    assert_eq!(owner.fails("CREATE OR REPLACE TABLE p AS SELECT 1::bigint AS id, 'x' AS mrn").0, "42501");
}

#[test]
fn several_arguments_of_a_mask_are_checked_and_stand_in_old_versions() {
    let lab = Lab::open(
        "CREATE TABLE p (id bigint, ward int, mrn text);
         INSERT INTO p VALUES (1, 1, 'A-1'), (2, 2, 'B-2');
         CREATE ROLE nurse LOGIN PASSWORD 'secret'; GRANT SELECT ON p TO nurse;
         CREATE MASKING POLICY own_ward AS (val text, place int) RETURNS text ->
           CASE WHEN place = 1 THEN val ELSE mask_null(val) END;",
    );
    let (admin, nurse) = (lab.psql("admin"), lab.psql("nurse"));
    let set = |arguments: &str| format!("ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY own_ward {arguments}");
    assert_eq!(admin.fails(&set("")).0, "42P17");
    assert_eq!(admin.fails(&set("USING (mrn, id)")).0, "42804");
    assert_eq!(admin.fails(&set("USING (ward, mrn)")).0, "42P17");
    assert_eq!(admin.fails(&set("USING (mrn, missing)")).0, "42703");
    admin.rows(&set("USING (mrn, ward)"));
    let rows = "SELECT id, mrn FROM p ORDER BY id";
    assert_eq!(nurse.rows(rows), "1|A-1\n2|");
    assert_eq!(nurse.rows("SELECT mrn FROM p ORDER BY id"), "A-1", "the argument need not be read");
    assert_eq!(nurse.rows("SELECT id, mrn FROM p VERSION AS OF 1 ORDER BY id"), "1|A-1\n2|");
    // An argument that goes, or becomes another column.
    assert_eq!(admin.fails("CREATE OR REPLACE TABLE p AS SELECT id, mrn FROM p").0, "2BP01");
    assert_eq!(admin.fails("CREATE OR REPLACE TABLE p AS SELECT id, ward::bigint AS ward, mrn FROM p").0, "2BP01");
    // A version from before the argument was there closes the table.
    admin.rows(
        "ALTER TABLE p ALTER COLUMN mrn UNSET MASKING POLICY; ALTER TABLE p ADD COLUMN site int;
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY own_ward USING (mrn, site);",
    );
    assert_eq!(nurse.rows(rows), "1|\n2|");
    assert_eq!(nurse.fails("SELECT id FROM p VERSION AS OF 1").0, "42501");
}
