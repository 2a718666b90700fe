//! Roles and grants as users meet them: what may be read, called and stated, and from when on it may not.

use tokio_postgres::Client;

use crate::harness::{Lab, Psql};

/// psql with libpq's `options`.
fn psql_with(lab: &Lab, user: &str, options: &str) -> Psql {
    let ca = lab.server.data().join("ca.pem");
    let url = format!(
        "host=localhost port={} dbname=lakeward user={user} sslmode=verify-full sslrootcert={} options='{options}'",
        lab.server.port("pg"),
        ca.display()
    );
    Psql::new(&url, "secret")
}

async fn code(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(_) => "00000".to_owned(),
        Err(error) => error.code().map(|code| code.code().to_owned()).unwrap_or_default(),
    }
}

const PEOPLE: &str = "
    CREATE TABLE p (id bigint, ward int, ssn text);
    INSERT INTO p VALUES (1, 1, '412-68-1073'), (2, 2, '412-68-1074');
    CREATE ROLE ann LOGIN PASSWORD 'secret'; CREATE ROLE ben LOGIN PASSWORD 'secret';";

#[test]
fn columns_are_granted_one_by_one() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann, ben) = (lab.psql("admin"), lab.psql("ann"), lab.psql("ben"));
    admin.rows("GRANT SELECT (id, ward) ON p TO ann");
    assert_eq!(ann.rows("SELECT id, ward FROM p ORDER BY id"), "1|1\n2|2");
    assert_eq!(ann.rows("SELECT count(*) FROM p"), "2");
    assert_eq!(ann.rows("SELECT count(*) FROM p WHERE ward = 1"), "1");
    for sql in [
        "SELECT * FROM p",
        "SELECT ssn FROM p",
        "SELECT p FROM p",
        "SELECT count(ssn) FROM p",
        "SELECT min(ssn) FROM p",
        "SELECT id FROM p WHERE ssn = '412-68-1073'",
        "SELECT id FROM p WHERE ssn LIKE '412%'",
        "SELECT id FROM p ORDER BY ssn",
        "SELECT count(*) FROM p GROUP BY ssn",
        "SELECT a.id FROM p a JOIN p b ON a.ssn = b.ssn",
        "SELECT id FROM p WHERE EXISTS (SELECT 1 FROM p q WHERE q.ssn > p.ssn)",
        "WITH q AS (SELECT * FROM p) SELECT ssn FROM q",
        "EXPLAIN SELECT ssn FROM p",
        "EXPLAIN ANALYZE SELECT id FROM p WHERE ssn = 'x'",
        "SELECT ssn FROM p VERSION AS OF 1",
    ] {
        let (code, text) = ann.fails(sql);
        assert!(code == "42501" || sql.starts_with("SELECT p "), "{sql}: {code} {text}");
        assert!(!text.contains("412-68"), "{sql}: {text}");
    }
    assert_eq!(ben.fails("SELECT count(*) FROM p").0, "42501");
    assert_eq!(ann.fails("INSERT INTO p VALUES (3, 3, 'x')").0, "42501");
    // Through a view, the owner's columns count, not the reader's.
    admin.rows(
        "CREATE SCHEMA s; GRANT USAGE, CREATE ON SCHEMA s TO ann; GRANT USAGE ON SCHEMA s TO ben;
         GRANT SELECT (ssn) ON p TO ben;",
    );
    ann.rows("CREATE VIEW s.v AS SELECT id, ward FROM p; GRANT SELECT ON s.v TO ben");
    assert_eq!(ben.rows("SELECT count(id) FROM s.v"), "2");
    assert_eq!(ann.fails("CREATE TABLE s.t AS SELECT * FROM p").0, "42501");
    admin.rows("REVOKE SELECT (ward) ON p FROM ann");
    assert_eq!(ann.fails("SELECT ward FROM p").0, "42501");
    assert_eq!(ben.fails("SELECT ward FROM s.v").0, "42501");
    admin.rows("GRANT SELECT ON p TO ann");
    assert_eq!(ann.rows("SELECT ssn FROM p WHERE id = 1"), "412-68-1073");
    admin.rows("REVOKE SELECT ON p FROM ann");
    assert_eq!(ann.fails("SELECT id FROM p").0, "42501", "the columns went with the table");
}

#[test]
fn column_grants_stand_beside_policies_and_masks() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    admin.rows(
        "GRANT SELECT (id, ssn) ON p TO ann; CREATE POLICY own ON p USING (ward = 1);
         CREATE MASKING POLICY last4 AS (val text) RETURNS text -> mask_show_last(val, 4);
         ALTER TABLE p ALTER COLUMN ssn SET MASKING POLICY last4;",
    );
    // The policy reads a column that its subject may not.
    assert_eq!(ann.rows("SELECT id, ssn FROM p"), "1|***-**-1073");
    assert_eq!(ann.fails("SELECT ward FROM p").0, "42501");
    assert_eq!(ann.fails("SELECT id FROM p WHERE ward = 2").0, "42501");
}

#[test]
fn who_may_read_some_columns_may_change_rows_by_them() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    admin.rows("GRANT SELECT (id, ward), UPDATE, DELETE, INSERT ON p TO ann");
    ann.rows("UPDATE p SET ward = 9 WHERE id = 1");
    assert_eq!(ann.rows("SELECT id, ward FROM p WHERE ward = 9"), "1|9");
    ann.rows("MERGE INTO p USING (SELECT 1 AS k) s ON p.id = s.k WHEN MATCHED THEN UPDATE SET ward = p.ward + 1");
    assert_eq!(ann.rows("SELECT ward FROM p WHERE id = 1"), "10");
    for hidden in [
        "UPDATE p SET ward = 1 WHERE ssn LIKE '4%'",
        "DELETE FROM p WHERE ssn IS NULL",
        "UPDATE p SET ward = length(ssn)",
    ] {
        assert_eq!(ann.fails(hidden).0, "42501", "{hidden}");
    }
    ann.rows("DELETE FROM p WHERE id = 1");
    assert_eq!(admin.rows("SELECT count(*) FROM p WHERE id = 1"), "0");
    admin.rows("REVOKE SELECT (id, ward) ON p FROM ann");
    assert_eq!(ann.fails("UPDATE p SET ward = 1 WHERE id = 2").0, "42501");
}

#[test]
fn keyed_functions_are_executed_by_those_who_may() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann, ben) = (lab.psql("admin"), lab.psql("ann"), lab.psql("ben"));
    admin.rows(
        "GRANT policy_admin TO ben; GRANT SELECT ON p TO ann; GRANT SELECT ON p TO ben;
         CREATE ROLE hashers; GRANT EXECUTE ON FUNCTION mask_hash TO hashers;",
    );
    assert_eq!(ann.fails("SELECT mask_hash('a', 'd')").0, "42501");
    admin.rows("GRANT hashers TO ann");
    assert_eq!(ann.rows("SELECT length(mask_hash('a', 'd'))"), "64");
    let mask = "CREATE MASKING POLICY h AS (val text) RETURNS text -> mask_hash(val, 'd')";
    assert_eq!(ben.fails(mask).0, "42501", "a policy's owner needs it when it is made");
    admin.rows("GRANT EXECUTE ON FUNCTION mask_hash TO ben");
    ben.rows(mask);
    ben.rows("ALTER TABLE p ALTER COLUMN ssn SET MASKING POLICY h");
    assert_eq!(ann.rows("SELECT length(ssn) FROM p WHERE id = 1"), "64");
    admin.rows("REVOKE EXECUTE ON FUNCTION mask_hash FROM ben");
    let (code, text) = ann.fails("SELECT ssn FROM p");
    assert_eq!(code, "42501", "and at each use");
    assert!(!text.contains("412-68"), "{text}");
    admin.rows("REVOKE EXECUTE ON FUNCTION mask_hash FROM hashers");
    assert_eq!(ann.fails("SELECT mask_hash('a', 'd')").0, "42501");
}

#[test]
fn an_open_portal_ends_with_a_column_or_an_execute_that_is_taken_away() {
    let lab = Lab::open(PEOPLE);
    let admin = lab.psql("admin");
    admin.rows("CREATE VIEW hashed AS SELECT id, length(mask_hash(id::text, 'd')) AS length FROM p; GRANT SELECT ON hashed TO ann");
    let cases = [
        ("SELECT id, ward FROM p", "REVOKE SELECT (ssn) ON p FROM ann; REVOKE SELECT (ward) ON p FROM ann", false),
        ("SELECT id, length(mask_hash(id::text, 'd')) FROM p", "REVOKE EXECUTE ON FUNCTION mask_hash FROM ann", false),
        ("SELECT * FROM hashed", "REVOKE EXECUTE ON FUNCTION mask_hash FROM ann", false),
        ("SELECT id FROM p", "GRANT SELECT (ssn) ON p TO ann", true),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for (query, change, lives_on) in cases {
            admin.rows("GRANT SELECT (id, ward) ON p TO ann; GRANT EXECUTE ON FUNCTION mask_hash TO ann");
            let mut ann = lab.connect("ann").await;
            let block = ann.transaction().await.unwrap();
            let portal = block.bind(query, &[]).await.unwrap();
            assert_eq!(block.query_portal(&portal, 1).await.unwrap().len(), 1, "{query}");
            admin.rows(change);
            let next = block.query_portal(&portal, 0).await;
            let code = next.as_ref().err().and_then(|error| error.code()).map(|code| code.code());
            assert_eq!(code, (!lives_on).then_some("42501"), "{query}");
        }
    });
}

#[test]
fn a_purpose_is_stated_within_what_is_allowed() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    admin.rows(
        "GRANT SELECT ON p TO ann; CREATE POLICY why ON p USING (current_purpose() = 'TREAT');
         ALTER ROLE ann SET ALLOWED_PURPOSES = 'TREAT,HOPERAT';",
    );
    assert_eq!(ann.rows("SELECT count(*) FROM p"), "0");
    assert_eq!(ann.rows("SET purpose_of_use = 'TREAT'; SELECT count(*) FROM p"), "2");
    assert_eq!(ann.rows("SET purpose_of_use = HOPERAT; SELECT current_purpose(), count(*) FROM p"), "HOPERAT|0");
    assert_eq!(ann.fails("SET purpose_of_use = 'HRESCH'").0, "42501");
    assert_eq!(ann.fails("SET purpose_of_use = 'nonsense'").0, "22023");
    let with = |options: &str| psql_with(&lab, "ann", options);
    assert_eq!(with("-c purpose_of_use=TREAT").rows("SELECT count(*) FROM p"), "2");
    assert!(with("-c purpose_of_use=HRESCH").run("SELECT 1").err.contains("purpose of use"));
    // A role's own default, and the client's word before it.
    admin.rows("ALTER ROLE ann SET purpose_of_use = 'TREAT'");
    assert_eq!(ann.rows("SELECT count(*) FROM p"), "2");
    assert_eq!(with("-c purpose_of_use=HOPERAT").rows("SHOW purpose_of_use"), "HOPERAT");
    assert_eq!(ann.fails("ALTER ROLE ann SET ALLOWED_PURPOSES = 'HRESCH'").0, "42501");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = lab.connect("ann").await;
        assert_eq!(code(&client, "SELECT count(*) FROM p").await, "00000");
        admin.rows("ALTER ROLE ann SET ALLOWED_PURPOSES = 'HOPERAT'");
        assert_eq!(code(&client, "SELECT count(*) FROM p").await, "42501", "checked again when it changes");
        assert_eq!(code(&client, "SET purpose_of_use = 'HOPERAT'").await, "00000");
        assert_eq!(code(&client, "SELECT count(*) FROM p").await, "00000");
    });
    admin.rows("ALTER ROLE ann RESET ALLOWED_PURPOSES");
    assert_eq!(ann.rows("SET purpose_of_use = 'HRESCH'; SELECT current_purpose()"), "HRESCH");
}

#[test]
fn a_role_has_settings_a_password_and_an_end() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    admin.rows("CREATE SCHEMA s; CREATE TABLE s.q (a int); GRANT USAGE ON SCHEMA s TO ann; GRANT SELECT ON s.q TO ann");
    assert_eq!(ann.fails("SELECT * FROM q").0, "42P01");
    ann.rows("ALTER ROLE ann SET search_path = s, public");
    assert_eq!(ann.rows("SELECT count(*) FROM q"), "0");
    assert_eq!(ann.rows("SHOW search_path"), "s, public");
    ann.rows("ALTER ROLE CURRENT_USER RESET ALL");
    assert_eq!(ann.fails("SELECT * FROM q").0, "42P01");
    assert_eq!(ann.fails("ALTER ROLE ben SET search_path = s").0, "42501");
    assert_eq!(admin.fails("ALTER ROLE ann SET datafusion_x = 1").0, "42704");
    // What psql's \password sends.
    let verifier = admin.rows("SELECT 1");
    assert_eq!(verifier, "1");
    ann.rows("ALTER USER ann PASSWORD 'new'");
    assert!(!ann.run("SELECT 1").ok);
    admin.rows("ALTER USER ann WITH ENCRYPTED PASSWORD 'secret' VALID UNTIL 'infinity'");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = lab.connect("ann").await;
        assert_eq!(code(&client, "SELECT 1").await, "00000");
        admin.rows("ALTER ROLE ann VALID UNTIL '2020-01-01'");
        assert_eq!(code(&client, "SELECT 1").await, "28000", "an open session ends with the role");
    });
    assert!(!ann.run("SELECT 1").ok);
    admin.rows("ALTER ROLE ann VALID UNTIL 'infinity'");
    assert_eq!(ann.rows("SELECT 1"), "1");
    admin.rows("ALTER ROLE ann RENAME TO anna");
    assert!(!ann.run("SELECT 1").ok);
    assert_eq!(lab.psql("anna").rows("SELECT current_user"), "anna");
    admin.rows("ALTER ROLE anna PASSWORD NULL");
    assert!(!lab.psql("anna").run("SELECT 1").ok);
}

#[test]
fn sessions_are_seen_and_signalled_by_those_who_may() {
    let lab = Lab::open(PEOPLE);
    let (admin, ben) = (lab.psql("admin"), lab.psql("ben"));
    admin.rows("CREATE ROLE op LOGIN PASSWORD 'secret'; GRANT operator TO op");
    let op = lab.psql("op");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = lab.connect("ann").await;
        client.simple_query("SELECT '412-68-1073'").await.unwrap();
        let pid = admin.rows("SELECT pid FROM pg_stat_activity WHERE usename = 'ann'");
        let query = "SELECT query FROM pg_stat_activity WHERE usename = 'ann'";
        assert_eq!(ben.rows(query), "<insufficient privilege>");
        for privileged in [&admin, &op] {
            let shown = privileged.rows(query);
            assert!(shown.contains("SELECT") && !shown.contains("412"), "{shown}");
        }
        let state = "SELECT state FROM pg_stat_activity WHERE usename = 'ann'";
        assert_eq!((ben.rows(state).as_str(), op.rows(state).as_str()), ("", "idle"));
        let own = client.simple_query("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()").await.unwrap();
        let text = own.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        assert!(text.unwrap().starts_with("SELECT query FROM pg_stat_activity"));
        assert_eq!(ben.fails(&format!("SELECT pg_terminate_backend({pid})")).0, "42501");
        assert_eq!(ben.rows("SELECT pg_cancel_backend(123456)"), "f");
        assert_eq!(op.rows(&format!("SELECT pg_cancel_backend({pid})")), "t");
        assert_eq!(code(&client, "SELECT 1").await, "00000", "there was nothing to cancel");
        // To plan it is not to do it.
        op.rows(&format!("EXPLAIN SELECT pg_terminate_backend({pid})"));
        assert_eq!(code(&client, "SELECT 1").await, "00000");
        assert_eq!(op.rows(&format!("SELECT pg_terminate_backend({pid})")), "t");
        assert_ne!(code(&client, "SELECT 1").await, "00000");
        let gone = tokio::time::timeout(std::time::Duration::from_secs(5), async {
            while !client.is_closed() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        gone.await.expect("the connection is closed");
        let boss = lab.connect("admin").await;
        let boss_pid =
            admin.rows("SELECT max(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'admin'");
        assert_eq!(op.fails(&format!("SELECT pg_terminate_backend({boss_pid})")).0, "42501");
        assert_eq!(code(&boss, "SELECT 1").await, "00000");
    });
}

#[test]
fn what_a_mask_hides_is_not_updated_by_way_of_a_lateral_source() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    admin.rows(
        "ALTER TABLE p ADD COLUMN note text; CREATE TABLE one (a int); INSERT INTO one VALUES (1);
         CREATE ROLE doctors; GRANT doctors TO ann; GRANT SELECT ON one TO ann; GRANT SELECT, UPDATE, INSERT ON p TO ann;
         CREATE MASKING POLICY hide AS (val text) RETURNS text -> CASE WHEN is_role_in_session('doctors') THEN val ELSE 'x' END;
         ALTER TABLE p ALTER COLUMN ssn SET MASKING POLICY hide",
    );
    for refused in [
        "UPDATE p SET note = s.v FROM LATERAL (SELECT p.ssn AS v) s",
        "UPDATE p SET note = s.v FROM one, LATERAL (SELECT p.ssn AS v) s",
        "UPDATE p SET note = s.v FROM one CROSS JOIN LATERAL (SELECT max(p.ssn) AS v FROM one) s",
        "UPDATE p SET note = s.v FROM LATERAL (VALUES (p.ssn)) s(v)",
        "UPDATE p SET note = s.v FROM LATERAL unnest(ARRAY[p.ssn]) s(v)",
        "UPDATE p SET note = s.v FROM (SELECT p.ssn AS v) s",
        "MERGE INTO p USING LATERAL (SELECT p.ssn AS v) s ON true WHEN MATCHED THEN UPDATE SET note = s.v",
        "MERGE INTO p USING (SELECT * FROM one, LATERAL (SELECT p.ssn AS v)) s ON p.id = s.a
           WHEN MATCHED THEN UPDATE SET note = s.v",
    ] {
        let (code, text) = ann.fails(refused);
        assert!(["42501", "42703", "0A000"].contains(&code.as_str()), "{refused}: {text}");
    }
    assert_eq!(admin.rows("SELECT count(*) FROM p WHERE note IS NOT NULL"), "0");
    ann.rows("UPDATE p SET note = 'n' WHERE id = 1");
    assert_eq!(admin.rows("SELECT count(*) FROM p WHERE note IS NOT NULL"), "1");
}

#[test]
fn a_superusers_changes_are_recorded_as_bypasses() {
    let lab = Lab::open(PEOPLE);
    let recorded = lab.psql("admin").rows(
        "SELECT count(*) FROM system.audit WHERE phase = 'BEGIN' AND statement_class = 'CREATE ROLE' AND policies LIKE '%bypass%'",
    );
    assert_eq!(recorded, "2");
}

#[test]
fn what_a_mask_hides_is_not_inserted_beside_it() {
    let lab = Lab::open(PEOPLE);
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    admin.rows(
        "ALTER TABLE p ADD COLUMN note text; CREATE VIEW v AS SELECT * FROM p; CREATE ROLE doctors; GRANT doctors TO ann;
         CREATE MASKING POLICY hide AS (val text) RETURNS text -> CASE WHEN is_role_in_session('doctors') THEN val ELSE 'x' END;
         ALTER TABLE p ALTER COLUMN ssn SET MASKING POLICY hide; GRANT SELECT, INSERT ON p TO ann; GRANT SELECT ON v TO ann",
    );
    for refused in [
        "INSERT INTO p (id, note) SELECT id, ssn FROM p",
        "INSERT INTO p (id, note) SELECT id, 'a' || ssn FROM p",
        "INSERT INTO p (id, note) SELECT id, ssn FROM p VERSION AS OF 1",
        "INSERT INTO p (id, note) SELECT id, ssn FROM v",
        "INSERT INTO p (id, note) SELECT 1, max(ssn) FROM p",
        "INSERT INTO p (id, note) SELECT 1, (SELECT max(ssn) FROM p)",
        "INSERT INTO p (id, note) SELECT a.id, b.ssn FROM p a JOIN p b USING (id)",
        "INSERT INTO p (note) WITH w AS (SELECT ssn AS s FROM p) SELECT s FROM w",
        "INSERT INTO p (note) SELECT ssn FROM p UNION ALL SELECT 'a'",
        "INSERT INTO p (id) SELECT length(ssn) FROM p",
    ] {
        let (code, text) = ann.fails(refused);
        assert!(code == "42501" && text.contains("masked column ssn"), "{refused}: {text}");
    }
    ann.rows("INSERT INTO p (id, ward, ssn) SELECT id + 10, ward, ssn FROM p WHERE ssn LIKE '4%'");
    ann.rows("INSERT INTO p (id, note) SELECT id + 20, ward::text FROM p");
    assert_eq!(admin.rows("SELECT count(*), count(ssn) FROM p"), "8|4");
}
