//! Policies as an administrator makes them: what they show, and from when on they rule.

use tokio_postgres::SimpleQueryMessage;

use crate::harness::Lab;

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE p (id bigint, ward int, mrn text);
         INSERT INTO p VALUES (1, 1, 'A-1'), (2, 1, 'A-2'), (3, 2, 'B-3'), (4, NULL, 'B-4');
         CREATE ROLE nurse LOGIN PASSWORD 'secret';
         CREATE ROLE ward_one; GRANT ward_one TO nurse;
         ALTER ROLE nurse SET ATTRIBUTE ward = '1';",
    )
}

fn rows(messages: &[SimpleQueryMessage]) -> usize {
    messages.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count()
}

#[test]
fn nobody_reads_before_a_grant_and_row_security_without_a_policy_hides_all() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    assert_eq!(nurse.fails("SELECT * FROM p").0, "42501");
    admin.rows("GRANT SELECT ON p TO nurse");
    assert_eq!(nurse.rows("SELECT count(*) FROM p"), "4");
    admin.rows("ALTER TABLE p ENABLE ROW LEVEL SECURITY");
    assert_eq!(nurse.rows("SELECT count(*) FROM p"), "0");
    assert_eq!(admin.rows("SELECT count(*) FROM p"), "4", "a superuser bypasses");
}

#[test]
fn permissive_policies_are_ored_and_restrictive_ones_anded() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows(
        "GRANT SELECT ON p TO ward_one;
         CREATE POLICY own ON p TO ward_one USING (ward = principal_attribute('ward')::int);",
    );
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "1\n2");
    admin.rows("CREATE POLICY orphans ON p USING (ward IS NULL)");
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "1\n2\n4");
    admin.rows("CREATE POLICY never_one ON p AS RESTRICTIVE USING (id <> 1)");
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "2\n4");
    admin.rows("DROP POLICY own ON p");
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "4");
}

#[test]
fn masks_keep_types_and_see_roles() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows(
        "GRANT SELECT ON p TO nurse;
         CREATE MASKING POLICY last1 AS (val text) RETURNS text ->
           CASE WHEN is_role_in_session('ward_one') THEN mask_show_last(val, 1) ELSE val END;
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY last1;",
    );
    assert_eq!(nurse.rows("SELECT mrn FROM p ORDER BY id"), "*-1\n*-2\n*-3\n*-4");
    assert_eq!(nurse.rows("SELECT count(*) FROM p WHERE mrn = 'A-1'"), "0");
    admin.rows("REVOKE ward_one FROM nurse");
    assert_eq!(nurse.rows("SELECT mrn FROM p ORDER BY id LIMIT 1"), "A-1");
    let wrong = "CREATE MASKING POLICY wrong AS (val text) RETURNS int -> 1";
    assert_eq!(admin.fails(wrong).0, "42804");
    assert_eq!(admin.fails("DROP MASKING POLICY last1").0, "2BP01");
}

#[test]
fn a_change_rules_from_the_next_statement_of_open_sessions_prepared_ones_too() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    admin.rows("GRANT SELECT ON p TO nurse");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let nurse = hospital.connect("nurse").await;
        let prepared = nurse.prepare("SELECT id FROM p WHERE id > $1").await.unwrap();
        assert_eq!(nurse.query(&prepared, &[&0_i64]).await.unwrap().len(), 4);
        admin.rows("CREATE POLICY own ON p USING (ward = 1)");
        assert_eq!(nurse.query(&prepared, &[&0_i64]).await.unwrap().len(), 2);
        assert_eq!(rows(&nurse.simple_query("SELECT * FROM p").await.unwrap()), 2);
        admin.rows("REVOKE SELECT ON p FROM nurse");
        let error = nurse.query(&prepared, &[&0_i64]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501");
        assert_eq!(rows(&nurse.simple_query("SELECT 1").await.unwrap()), 1, "the session goes on");
        admin.rows("ALTER ROLE nurse NOLOGIN");
        let error = nurse.simple_query("SELECT 1").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "28000", "a role that may not log in any more");
    });
}

#[test]
fn writes_must_satisfy_with_check_and_masked_columns_cannot_be_written() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows(
        "GRANT SELECT, INSERT ON p TO nurse;
         CREATE POLICY own ON p USING (ward = 1) WITH CHECK (ward = 1);",
    );
    nurse.rows("INSERT INTO p VALUES (5, 1, 'A-5')");
    assert_eq!(nurse.fails("INSERT INTO p VALUES (6, 2, 'B-6')").0, "42501");
    assert_eq!(nurse.fails("INSERT INTO p VALUES (7, NULL, 'B-7')").0, "42501");
    assert_eq!(nurse.fails("INSERT INTO p SELECT id, 3, mrn FROM p").0, "42501");
    assert_eq!(admin.rows("SELECT count(*) FROM p"), "5", "a refused write leaves nothing");
    admin.rows(
        "CREATE MASKING POLICY gone AS (val text) RETURNS text -> mask_null(val);
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY gone;",
    );
    // The superuser is not masked; the nurse is.
    assert_eq!(nurse.fails("INSERT INTO p VALUES (8, 1, 'A-8')").0, "42501");
    nurse.rows("INSERT INTO p (id, ward) VALUES (8, 1)");
}

#[test]
fn views_use_the_owners_privileges_and_the_callers_policies() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows(
        "CREATE POLICY own ON p TO ward_one USING (ward = 1);
         CREATE VIEW v AS SELECT id, mrn FROM p; GRANT SELECT ON v TO nurse;",
    );
    assert_eq!(nurse.fails("SELECT * FROM p").0, "42501");
    assert_eq!(nurse.rows("SELECT id FROM v ORDER BY id"), "1\n2");
    assert_eq!(admin.rows("SELECT count(*) FROM v"), "4");
}

#[test]
fn what_is_made_of_governed_rows_is_its_makers_alone() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows(
        "CREATE POLICY own ON p USING (ward = 1); GRANT SELECT ON p TO nurse;
         CREATE SCHEMA lab; GRANT CREATE, USAGE ON SCHEMA lab TO nurse;",
    );
    nurse.rows("CREATE TABLE lab.mine AS SELECT * FROM p");
    assert_eq!(nurse.rows("SELECT count(*) FROM lab.mine"), "2");
    assert_eq!(nurse.fails("GRANT SELECT ON lab.mine TO ward_one").0, "42501");
}

#[test]
fn old_versions_stand_under_todays_policies() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows(
        "GRANT SELECT ON p TO nurse; CREATE POLICY own ON p USING (ward = 1); INSERT INTO p VALUES (9, 1, 'A-9');",
    );
    assert_eq!(nurse.rows("SELECT id FROM p VERSION AS OF 1 ORDER BY id"), "1\n2");
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "1\n2\n9");
    assert_eq!(nurse.rows("SELECT count(*) FROM p VERSION AS OF 0"), "0");
    assert_eq!(nurse.rows("SELECT old.id FROM p VERSION AS OF 1 AS old JOIN p ON p.id = old.id ORDER BY 1"), "1\n2");
    let (code, _) = nurse.fails("SELECT id FROM p VERSION AS OF 77");
    assert_eq!(code, "22023");
}

#[test]
fn a_policy_that_fails_fails_whatever_else_is_asked() {
    let hospital = Lab::open(
        "CREATE TABLE p (ward text, code int);
         INSERT INTO p VALUES ('1', 10);
         INSERT INTO p VALUES ('not a number', 777);
         CREATE ROLE nurse LOGIN PASSWORD 'secret';
         GRANT SELECT ON p TO nurse;
         CREATE POLICY own ON p USING (ward::int = 1);",
    );
    let nurse = hospital.psql("nurse");
    // Where only some predicates made it fail, they would tell what stands in the hidden row.
    for predicate in ["code = 777", "code = 778", "code < 100", "code IS NULL", "true"] {
        assert_eq!(nurse.fails(&format!("SELECT * FROM p WHERE {predicate}")).0, "42501", "{predicate}");
    }
}

/// Rows of an open portal are rows of a later moment: what rules then, rules them.
#[test]
fn an_open_portal_closes_when_its_decision_changes_and_lives_on_when_another_one_does() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    admin.rows("GRANT SELECT ON p TO nurse");
    let changes = [
        ("CREATE TABLE elsewhere (id int)", true),
        ("GRANT INSERT ON p TO nurse", true),
        ("CREATE POLICY own ON p USING (ward = 1)", false),
        ("ALTER ROLE nurse SET ATTRIBUTE ward = '2'", true),
        ("REVOKE SELECT ON p FROM nurse", false),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for (change, lives_on) in changes {
            let mut nurse = hospital.connect("nurse").await;
            let block = nurse.transaction().await.unwrap();
            let portal = block.bind("SELECT id FROM p", &[]).await.unwrap();
            assert_eq!(block.query_portal(&portal, 1).await.unwrap().len(), 1, "{change}");
            admin.rows(change);
            match block.query_portal(&portal, 0).await {
                Ok(rows) => assert!(lives_on && !rows.is_empty(), "{change}"),
                Err(error) => {
                    assert_eq!((lives_on, error.code().map(|code| code.code())), (false, Some("42501")), "{change}")
                }
            }
        }
    });
    let recorded =
        "SELECT count(*) FROM system.audit WHERE user_name = 'nurse' AND phase = 'END' AND sqlstate = '42501'";
    admin.rows("GRANT auditor TO admin");
    assert_eq!(admin.rows(recorded), "2");
}
