//! Seeing why: EXPLAIN (POLICIES), SHOW EFFECTIVE POLICIES, EXECUTE AS ROLE.

use crate::harness::Lab;

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE p (id bigint, ward int, mrn text, zip text);
         INSERT INTO p VALUES (1, 1, 'A-1', '02139'), (2, 1, 'A-2', '02139'), (3, 2, 'B-3', '10001');
         CREATE TABLE plain (id bigint, note text); INSERT INTO plain VALUES (1, 'x');
         CREATE ROLE staff; CREATE ROLE analyst LOGIN PASSWORD 'secret'; CREATE ROLE alice LOGIN PASSWORD 'secret';
         CREATE ROLE stranger LOGIN PASSWORD 'secret';
         CREATE ROLE officer LOGIN PASSWORD 'secret'; GRANT policy_admin TO officer;
         GRANT staff TO analyst; GRANT analyst TO alice;
         ALTER ROLE alice SET ATTRIBUTE ward = '1';
         GRANT SELECT ON p TO staff;
         CREATE POLICY own ON p TO analyst USING (ward = principal_attribute('ward')::int);
         CREATE POLICY not_three ON p AS RESTRICTIVE FOR SELECT USING (id <> 3);
         CREATE MASKING POLICY last1 AS (val text) RETURNS text ->
           CASE WHEN is_role_in_session('privacy') THEN val ELSE mask_show_last(val, 1) END;
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY last1;
         CREATE VIEW v AS SELECT id, mrn FROM p;",
    )
}

#[test]
fn a_trace_names_the_policy_and_the_grant_of_each_column() {
    let hospital = hospital();
    let traced = hospital.psql("alice").rows("EXPLAIN (POLICIES) SELECT mrn, id FROM p WHERE ward = 1");
    let held = "SELECT granted to role staff through analyst through alice";
    let expected = [
        format!("p||filter|own|table|permissive policy for ALL, to role analyst through alice; {held}"),
        format!("p||filter|not_three|table|restrictive policy for SELECT, to PUBLIC; {held}"),
        format!("p|id|allow||grant|{held}"),
        format!("p|ward|allow||grant|{held}"),
        format!("p|mrn|mask|last1|column|masked by the column's own masking policy; {held}"),
    ];
    assert_eq!(traced, expected.join("\n"));
    let admin = hospital.psql("admin").rows("EXPLAIN (POLICIES) SELECT mrn FROM p");
    assert_eq!(admin, "p||allow||superuser|SUPERUSER bypass\np|mrn|allow|last1|superuser|SELECT as superuser admin");
}

/// Which attributes and roles a policy asks for is part of its text.
#[test]
fn what_a_policy_asks_is_told_to_those_who_may_read_it() {
    let hospital = hospital();
    let told = hospital.psql("officer").rows("EXECUTE AS ROLE alice EXPLAIN (POLICIES) SELECT mrn FROM p");
    assert!(told.contains("attribute ward is set"), "{told}");
    assert!(told.contains("role privacy is not in the session"), "{told}");
    let unset = hospital.psql("officer").rows("EXPLAIN (POLICIES) EXECUTE AS ROLE analyst SELECT mrn FROM p");
    assert!(unset.contains("attribute ward is not set"), "{unset}");
    let alice = hospital.psql("alice").rows("EXPLAIN (POLICIES) SELECT mrn FROM p");
    assert!(!alice.contains("attribute") && !alice.contains("privacy"), "{alice}");
}

#[test]
fn a_mask_by_a_tag_says_so() {
    let hospital = hospital();
    hospital.psql("admin").rows(
        "CREATE TAG phi; ALTER TAG phi SET MASKING POLICY last1 FOR VALUE 'zip';
         ALTER TABLE p ALTER COLUMN zip SET TAG phi = 'zip';",
    );
    let traced = hospital.psql("alice").rows("EXPLAIN (POLICIES) SELECT zip FROM p");
    assert!(
        traced.contains("p|zip|mask|last1|tag phi|masked by the masking policy of tag phi; SELECT granted"),
        "{traced}"
    );
    let effective = hospital.psql("alice").rows("SHOW EFFECTIVE POLICIES ON p");
    assert!(effective.contains("public|p|zip|last1|tag_mask||SELECT|{PUBLIC}|tag phi|enforced||admin"), "{effective}");
    assert_eq!(hospital.psql("admin").rows("SHOW EFFECTIVE POLICIES ON p FOR ROLE admin"), "");
}

#[test]
fn what_is_denied_is_a_row_and_what_is_unknown_an_error() {
    let hospital = hospital();
    let (admin, stranger) = (hospital.psql("admin"), hospital.psql("stranger"));
    assert_eq!(stranger.rows("EXPLAIN (POLICIES) SELECT * FROM p"), "p||deny||grant|no SELECT on table");
    assert_eq!(stranger.rows("EXPLAIN (POLICIES) SELECT * FROM v"), "v||deny||grant|no SELECT on view");
    assert_eq!(stranger.fails("EXPLAIN (POLICIES) SELECT * FROM nothing").0, "42P01");
    admin.rows("GRANT SELECT ON plain TO stranger");
    let two = stranger.rows("EXPLAIN (POLICIES) SELECT * FROM plain JOIN p USING (id)");
    assert!(
        two.starts_with("p||deny||grant|no SELECT on table\nplain||allow||grant|SELECT granted to role stranger"),
        "{two}"
    );
    admin.rows("CREATE SCHEMA closed; CREATE TABLE closed.t (a int); GRANT SELECT ON closed.t TO stranger");
    let closed = stranger.rows("EXPLAIN (POLICIES) SELECT * FROM closed.t");
    assert_eq!(closed, "closed.t||deny||grant|no USAGE on schema closed");
    let audit = stranger.rows("EXPLAIN (POLICIES) SELECT * FROM system.audit");
    assert_eq!(audit, "system.audit||deny||grant|Only members of auditor may read it.");
    admin.rows("GRANT SELECT (id) ON p TO stranger");
    let columns = stranger.rows("EXPLAIN (POLICIES) SELECT id, zip FROM p");
    assert!(columns.contains("p|id|allow||grant|SELECT granted on columns to role stranger"), "{columns}");
    assert!(columns.contains("p|zip|deny||grant|no SELECT on column"), "{columns}");
    assert_eq!(stranger.fails("SELECT id, zip FROM p").0, "42501");
}

#[test]
fn a_trace_goes_through_views_and_never_runs() {
    let hospital = hospital();
    hospital.psql("admin").rows("GRANT SELECT ON v TO stranger");
    let stranger = hospital.psql("stranger");
    let through = stranger.rows("EXPLAIN (POLICIES) SELECT * FROM v");
    assert!(through.contains("p|mrn|mask|last1|column|"), "{through}");
    assert!(through.contains("SELECT of admin, the owner of view v"), "{through}");
    assert!(through.contains("no permissive policy for SELECT is for you: no rows"), "{through}");
    assert_eq!(stranger.rows("SELECT count(*) FROM v"), "0");
    let admin = hospital.psql("admin");
    admin.rows("EXPLAIN (POLICIES) DELETE FROM plain");
    assert_eq!(admin.rows("SELECT count(*) FROM plain"), "1");
    admin.rows("EXPLAIN (POLICIES) CREATE TABLE copied AS SELECT * FROM plain");
    assert_eq!(admin.fails("SELECT * FROM copied").0, "42P01");
    assert_eq!(admin.fails("EXPLAIN (POLICIES) DROP TABLE plain").0, "0A000");
    assert_eq!(admin.fails("EXPLAIN (POLICIES, ANALYZE) SELECT 1").0, "0A000");
}

#[test]
fn writes_are_traced_with_their_checks() {
    let hospital = hospital();
    let (admin, alice) = (hospital.psql("admin"), hospital.psql("alice"));
    let insert = "EXPLAIN (POLICIES) INSERT INTO p (id, mrn) VALUES (9, 'x')";
    assert_eq!(alice.rows(insert), "p||deny||grant|no INSERT on table");
    admin.rows("GRANT INSERT, UPDATE ON p TO alice");
    let traced = alice.rows(insert);
    assert!(
        traced
            .contains("p||filter|own|table|INSERT, new rows: permissive policy for ALL, to role analyst through alice"),
        "{traced}"
    );
    assert!(traced.contains("p|id|allow||grant|INSERT: INSERT granted to role alice"), "{traced}");
    assert!(
        traced.contains("p|mrn|deny|last1|column|INSERT: a column that is masked for you cannot be written"),
        "{traced}"
    );
    let update = alice.rows("EXPLAIN (POLICIES) UPDATE p SET zip = '0' WHERE id = 1");
    assert!(update.contains("p||filter|own|table|UPDATE, rows as they are:"), "{update}");
    assert!(update.contains("p|zip|allow||grant|UPDATE: UPDATE granted to role alice"), "{update}");
    assert!(update.contains("p|id|allow||grant|SELECT granted"), "{update}");
    let delete = alice.rows("EXPLAIN (POLICIES) DELETE FROM p WHERE id = 1");
    assert!(delete.contains("p||deny||grant|no DELETE on table"), "{delete}");
    admin.rows("CREATE TABLE open (id bigint, mrn text); GRANT SELECT, INSERT ON open TO alice");
    let laundered = alice.rows("EXPLAIN (POLICIES) INSERT INTO open SELECT id, mrn FROM p");
    assert!(laundered.contains("open||deny||grant|"), "{laundered}");
}

#[test]
fn a_trace_as_json_has_a_shape_of_its_own() {
    let hospital = hospital();
    let text = hospital.psql("alice").rows("EXPLAIN (POLICIES, FORMAT JSON) SELECT mrn, id FROM p");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(document["policy_epoch"].is_number());
    let table = &document["tables"][0];
    assert_eq!(table["table"], "p");
    assert_eq!(table["rows"]["effect"], "filter");
    assert_eq!(table["rows"]["policies"], serde_json::json!(["own", "not_three"]));
    let mrn = table["columns"].as_array().unwrap().iter().find(|column| column["column"] == "mrn").unwrap();
    assert_eq!(mrn["effect"], "mask");
    assert_eq!(mrn["policy"], "last1");
    assert_eq!(mrn["source"], "column");
    assert!(mrn["reason"].is_string());
}

#[test]
fn drivers_explain_with_parameters() {
    let hospital = hospital();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let alice = hospital.connect("alice").await;
        let rows = alice.query("EXPLAIN (POLICIES) SELECT mrn FROM p WHERE zip = $1", &[&"02139"]).await.unwrap();
        assert!(rows.iter().any(|row| row.get::<_, Option<&str>>("column_name") == Some("mrn")));
        assert_eq!(rows[0].get::<_, &str>("table_name"), "p");
        let officer = hospital.connect("officer").await;
        let prepared = officer.prepare("EXECUTE AS ROLE alice SELECT id FROM p WHERE ward = $1").await.unwrap();
        assert_eq!(officer.query(&prepared, &[&1_i32]).await.unwrap().len(), 2);
        // What is revoked is gone from the next execution on.
        hospital.psql("admin").rows("REVOKE policy_admin FROM officer");
        let error = officer.query(&prepared, &[&1_i32]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501");
    });
}

#[test]
fn effective_policies_are_those_of_one_role() {
    let hospital = hospital();
    let (admin, alice, officer) = (hospital.psql("admin"), hospital.psql("alice"), hospital.psql("officer"));
    let own = alice.rows("SHOW EFFECTIVE POLICIES ON p");
    let expected = "public|p||own|row|PERMISSIVE|ALL|{analyst}|table|enforced||admin||\n\
                    public|p||not_three|row|RESTRICTIVE|SELECT|{PUBLIC}|table|enforced||admin||\n\
                    public|p|mrn|last1|mask||SELECT|{PUBLIC}|column|enforced||admin||";
    assert_eq!(own, expected);
    assert_eq!(alice.rows("SHOW EFFECTIVE POLICIES ON p FOR ROLE alice"), expected);
    let text = officer.rows("SHOW EFFECTIVE POLICIES ON p FOR ROLE alice");
    assert!(text.contains("principal_attribute('ward')"), "{text}");
    assert!(!officer.rows("SHOW EFFECTIVE POLICIES ON p FOR ROLE stranger").contains("own"), "it is not for them");
    assert_eq!(officer.rows("SHOW EFFECTIVE POLICIES ON p FOR ROLE admin"), "", "a superuser has none");
    assert_eq!(alice.fails("SHOW EFFECTIVE POLICIES ON p FOR ROLE stranger").0, "42501");
    assert_eq!(hospital.psql("stranger").fails("SHOW EFFECTIVE POLICIES ON p").0, "42501");
    assert_eq!(admin.fails("SHOW EFFECTIVE POLICIES ON nothing").0, "42P01");
    assert_eq!(admin.fails("SHOW EFFECTIVE POLICIES ON v").0, "42809");
    assert_eq!(admin.fails("SHOW EFFECTIVE POLICIES ON p FOR ROLE nobody").0, "42704");
    admin.rows("ALTER TABLE p DISABLE ROW LEVEL SECURITY");
    assert_eq!(alice.rows("SHOW EFFECTIVE POLICIES ON p").lines().count(), 1, "only the mask");
    let columns = "SELECT string_agg(column_name, ',') FROM (SELECT column_name FROM information_schema.columns
                   WHERE table_schema = 'system' AND table_name = 'policies' ORDER BY ordinal_position LIMIT 12) c";
    let contract =
        "schema_name,table_name,column_name,policy_name,kind,mode,command,roles,source,state,expression,owner";
    assert_eq!(admin.rows(columns), contract);
}

#[test]
fn a_simulation_shows_what_the_role_would_see() {
    let hospital = hospital();
    let officer = hospital.psql("officer");
    assert_eq!(officer.fails("SELECT * FROM p").0, "42501", "no SELECT of its own");
    let query = "SELECT id, mrn FROM p ORDER BY id";
    let simulated = officer.rows(&format!("EXECUTE AS ROLE alice {query}"));
    assert_eq!(simulated, hospital.psql("alice").rows(query));
    assert_eq!(simulated, "1|**1\n2|**2".replace("**", "*-"));
    assert_eq!(officer.rows(&format!("EXECUTE AS ROLE analyst {query}")), "", "no attribute, no rows");
    let with = |attribute: &str| {
        officer.rows(&format!("EXECUTE AS ROLE analyst WITH ATTRIBUTES (ward = '{attribute}') {query}"))
    };
    assert_eq!(with("1").lines().count(), 2);
    assert_eq!(with("7"), "");
    let who = "SELECT current_user, session_user, principal_attribute('ward'), is_role_in_session('policy_admin')";
    assert_eq!(officer.rows(&format!("EXECUTE AS ROLE alice {who}")), "alice|alice|1|f");
    assert_eq!(officer.rows("SELECT current_user"), "officer", "for one statement only");
    let cte = "EXECUTE AS ROLE alice WITH attributes (a) AS (SELECT id FROM p) SELECT count(*) FROM attributes";
    assert_eq!(officer.rows(cte), "2");
}

#[test]
fn a_simulation_never_takes_the_attributes_of_who_asks() {
    let hospital = hospital();
    hospital.psql("admin").rows("ALTER ROLE officer SET ATTRIBUTE ward = '2'");
    let officer = hospital.psql("officer");
    assert_eq!(officer.rows("EXECUTE AS ROLE analyst SELECT count(*) FROM p"), "0");
    assert_eq!(officer.rows("EXECUTE AS ROLE analyst SELECT principal_attribute('ward') IS NULL"), "t");
}

#[test]
fn a_simulation_is_for_policy_admin_and_gives_no_more_than_policies_do() {
    let hospital = hospital();
    let (admin, officer) = (hospital.psql("admin"), hospital.psql("officer"));
    admin.rows(
        "CREATE ROLE boss SUPERUSER; CREATE ROLE free BYPASSRLS; CREATE ROLE reviser; GRANT auditor TO reviser;
         GRANT EXECUTE ON FUNCTION mask_hash TO alice;",
    );
    assert_eq!(hospital.psql("alice").fails("EXECUTE AS ROLE analyst SELECT 1").0, "42501");
    for role in ["admin", "boss", "free", "reviser", "auditor"] {
        assert_eq!(officer.fails(&format!("EXECUTE AS ROLE {role} SELECT 1")).0, "42501", "{role}");
        assert_eq!(admin.rows(&format!("EXECUTE AS ROLE {role} SELECT current_user")), role);
    }
    assert_eq!(officer.fails("EXECUTE AS ROLE nobody SELECT 1").0, "42704");
    assert_eq!(officer.fails("EXECUTE AS ROLE alice SELECT mask_hash('A-1', 'mrn')").0, "42501");
    assert_eq!(admin.rows("EXECUTE AS ROLE alice SELECT length(mask_hash('A-1', 'mrn'))"), "64");
    assert_eq!(officer.fails("EXECUTE AS ROLE alice SELECT set_config('search_path', 'x', false)").0, "0A000");
    assert_eq!(officer.fails("EXECUTE AS ROLE alice SELECT pg_terminate_backend(1)").0, "0A000");
    let others = "EXECUTE AS ROLE alice SELECT count(*) FROM pg_stat_activity WHERE query NOT LIKE '<%'";
    assert_eq!(officer.rows(others), "0");
    admin.rows("ALTER ROLE alice SET ALLOWED_PURPOSES = 'TREAT'");
    assert_eq!(officer.fails("SET purpose_of_use = 'HRESCH'; EXECUTE AS ROLE alice SELECT 1").0, "42501");
}

#[test]
fn a_simulation_only_reads_and_never_nests() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    for sql in ["INSERT INTO plain VALUES (2, 'y')", "DELETE FROM plain", "CREATE TABLE x (a int)", "DROP TABLE p"] {
        assert_eq!(admin.fails(&format!("EXECUTE AS ROLE admin {sql}")).0, "25006", "{sql}");
    }
    for sql in ["SET ROLE alice", "BEGIN", "EXECUTE AS ROLE alice SELECT 1", "COPY p TO STDOUT", "SHOW ALL"] {
        assert_eq!(admin.fails(&format!("EXECUTE AS ROLE admin {sql}")).0, "0A000", "{sql}");
    }
    assert_eq!(admin.fails("EXECUTE AS ROLE alice").0, "42601");
    assert_eq!(admin.fails("EXECUTE plan").0, "0A000");
    assert_eq!(admin.rows("EXECUTE AS ROLE alice SELECT count(*) FROM (SELECT * FROM p) q"), "2");
}

#[test]
fn cursors_simulate_too_and_close_with_the_right_to() {
    let hospital = hospital();
    let officer = hospital.psql("officer");
    let fetched =
        "BEGIN; DECLARE c CURSOR FOR EXECUTE AS ROLE alice SELECT id FROM p ORDER BY id; FETCH 1 FROM c; COMMIT;";
    assert_eq!(officer.rows(fetched), "1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let officer = hospital.connect("officer").await;
        let declare = "BEGIN; DECLARE c CURSOR FOR EXECUTE AS ROLE alice SELECT id FROM p";
        officer.simple_query(declare).await.unwrap();
        officer.simple_query("FETCH 1 FROM c").await.unwrap();
        hospital.psql("admin").rows("REVOKE policy_admin FROM officer");
        let error = officer.simple_query("FETCH ALL FROM c").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501");
    });
}

#[test]
fn the_audit_tells_who_acted_as_whom() {
    let hospital = hospital();
    hospital.psql("officer").rows("EXECUTE AS ROLE alice WITH ATTRIBUTES (ward = '412681073') SELECT count(*) FROM p");
    let recorded = hospital.psql("admin").rows(
        "SELECT user_name, statement_class, sql_normalized, objects FROM system.audit
         WHERE statement_class = 'EXECUTE AS ROLE' AND phase = 'BEGIN'",
    );
    assert!(
        recorded.starts_with("officer|EXECUTE AS ROLE|EXECUTE AS ROLE alice WITH ATTRIBUTES (ward = ?) SELECT"),
        "{recorded}"
    );
    assert!(recorded.contains("role alice") && recorded.contains("public.p"), "{recorded}");
    assert!(!recorded.contains("412681073"), "{recorded}");
    hospital.psql("alice").fails("EXECUTE AS ROLE analyst SELECT 1");
    let denied = "SELECT count(*) FROM system.audit WHERE statement_class = 'EXECUTE AS ROLE' AND phase = 'DENIED'";
    assert_eq!(hospital.psql("admin").rows(denied), "1");
}
