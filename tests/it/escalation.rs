//! Ways around a policy, each found by somebody who looked for one. Every test here was a leak once.

use crate::harness::Lab;

const GOVERNED: &str = "
    CREATE TABLE p (id bigint, ward int, mrn text);
    INSERT INTO p VALUES (1, 1, 'A-1'), (2, 1, 'A-2'), (3, 2, 'B-3');
    CREATE ROLE one LOGIN PASSWORD 'secret'; CREATE ROLE two LOGIN PASSWORD 'secret';
    ALTER ROLE one SET ATTRIBUTE ward = '1'; ALTER ROLE two SET ATTRIBUTE ward = '2';
    CREATE ROLE staff; GRANT staff TO one; GRANT staff TO two; GRANT SELECT ON p TO staff;
    CREATE POLICY own ON p USING (ward = principal_attribute('ward')::int);
    CREATE SCHEMA lab; GRANT USAGE, CREATE ON SCHEMA lab TO staff;";

#[test]
fn a_view_looks_names_up_where_its_maker_did() {
    let lab = Lab::open(
        "CREATE TABLE items (id int, name text); INSERT INTO items VALUES (1, 'public');
         CREATE SCHEMA hidden; CREATE TABLE hidden.items (id int, name text); INSERT INTO hidden.items VALUES (1, 'hidden');
         CREATE VIEW iv AS SELECT id, name FROM items;
         CREATE ROLE reader LOGIN PASSWORD 'secret'; GRANT SELECT ON iv TO reader;",
    );
    assert_eq!(lab.psql("reader").rows("SET search_path = hidden; SELECT name FROM public.iv"), "public");
}

#[test]
fn plans_do_not_change_with_hidden_values() {
    let lab = Lab::open(
        "CREATE TABLE t (age int, ward int);
         INSERT INTO t VALUES (10, 1), (99, 2); INSERT INTO t VALUES (10, 1), (20, 2);
         CREATE ROLE one LOGIN PASSWORD 'secret'; GRANT SELECT ON t TO one; CREATE POLICY own ON t USING (ward = 1);",
    );
    let plan = |age: i32| lab.psql("one").rows(&format!("EXPLAIN SELECT count(*) FROM t WHERE age > {age}"));
    let of_visible = plan(5);
    for age in [15, 50, 98, 99, 1000] {
        assert_eq!(plan(age), of_visible, "age > {age}");
    }
}

#[test]
fn derived_rows_stay_with_their_maker() {
    let lab = Lab::open(GOVERNED);
    let (one, two) = (lab.psql("one"), lab.psql("two"));
    one.rows("CREATE TABLE lab.taken AS SELECT * FROM p; CREATE VIEW lab.shown AS SELECT * FROM lab.taken; GRANT SELECT ON lab.shown TO two;");
    assert_eq!(one.rows("SELECT count(*) FROM lab.shown"), "2");
    assert_eq!(two.fails("SELECT * FROM lab.shown").0, "42501");
    one.rows("CREATE TABLE lab.plain (id bigint, ward int, mrn text); GRANT SELECT ON lab.plain TO two");
    assert_eq!(one.fails("INSERT INTO lab.plain SELECT * FROM p").0, "42501");
    assert_eq!(one.fails("INSERT INTO lab.plain SELECT * FROM lab.taken").0, "42501");
    one.rows("INSERT INTO lab.taken SELECT * FROM p");
    one.rows("INSERT INTO lab.plain VALUES (9, 9, 'own')");
    one.rows("SET ROLE staff; CREATE TABLE lab.shared AS SELECT * FROM p");
    assert_eq!(two.fails("SELECT * FROM lab.shared").0, "42501");
}

#[test]
fn keyed_functions_are_not_for_guessing() {
    let lab = Lab::open(GOVERNED);
    lab.psql("admin").rows(
        "CREATE MASKING POLICY token AS (val text) RETURNS text -> mask_hash(val, 'mrn');
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY token;",
    );
    let one = lab.psql("one");
    assert_eq!(one.rows("SELECT length(mrn) FROM p WHERE id = 1"), "64");
    assert_eq!(one.fails("SELECT * FROM p WHERE mrn = mask_hash('A-1', 'mrn')").0, "42501");
    assert_eq!(one.fails("SELECT pg_catalog.mask_hash('A-1', 'mrn')").0, "42501");
    one.rows("CREATE TABLE lab.guesses (g text); INSERT INTO lab.guesses VALUES ('A-1');");
    assert_eq!(one.fails("ALTER TABLE lab.guesses ALTER COLUMN g SET MASKING POLICY token").0, "42501");
    assert_eq!(one.fails("CREATE POLICY x ON lab.guesses USING (mask_hash(g, 'mrn') > '8')").0, "42501");
}

#[test]
fn making_roles_is_not_a_way_up() {
    let lab = Lab::open(
        "CREATE ROLE maker LOGIN PASSWORD 'secret' CREATEROLE;
         CREATE ROLE boss LOGIN PASSWORD 'secret'; GRANT admin TO boss;
         CREATE ROLE officer LOGIN PASSWORD 'secret'; GRANT auditor TO officer;",
    );
    let maker = lab.psql("maker");
    for sql in [
        "ALTER ROLE boss PASSWORD 'mine'",
        "ALTER ROLE officer PASSWORD 'mine'",
        "ALTER ROLE boss RENAME TO pawn",
        "DROP ROLE officer",
        "GRANT admin TO maker",
        "GRANT auditor TO maker",
        "ALTER ROLE maker SUPERUSER",
        "CREATE ROLE x SUPERUSER",
        "ALTER ROLE maker SET ATTRIBUTE ward = '1'",
    ] {
        assert_eq!(maker.fails(sql).0, "42501", "{sql}");
    }
    maker.rows("CREATE ROLE plain LOGIN PASSWORD 'x'; ALTER ROLE plain PASSWORD 'y'; DROP ROLE plain");
}

#[test]
fn a_role_that_was_set_ends_with_its_grant() {
    let lab = Lab::open(GOVERNED);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = lab.connect("one").await;
        client.simple_query("SET ROLE staff; SELECT count(*) FROM p").await.unwrap();
        lab.psql("admin").rows("REVOKE staff FROM one");
        let error = client.simple_query("SELECT count(*) FROM p").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501");
        client.simple_query("RESET ROLE; SELECT 1").await.unwrap();
    });
}

#[test]
fn a_group_cannot_be_taken_over_by_its_members() {
    let lab = Lab::open(GOVERNED);
    assert_eq!(lab.psql("one").fails("SET ROLE staff; ALTER ROLE staff PASSWORD 'mine'").0, "42501");
    lab.psql("one").rows("ALTER ROLE one PASSWORD 'secret'");
}

#[test]
fn schemas_are_closed_without_usage() {
    let lab = Lab::open(GOVERNED);
    let admin = lab.psql("admin");
    admin.rows("CREATE SCHEMA closed; CREATE TABLE closed.t (a int); GRANT SELECT, INSERT ON closed.t TO one");
    let one = lab.psql("one");
    assert_eq!(one.fails("SELECT * FROM closed.t").0, "42501");
    assert_eq!(one.fails("INSERT INTO closed.t VALUES (1)").0, "42501");
    admin.rows("GRANT USAGE ON SCHEMA closed TO one");
    assert_eq!(one.rows("SELECT count(*) FROM closed.t"), "0");
}

#[test]
fn what_cannot_be_taken_apart_is_recorded_too() {
    let lab = Lab::open(GOVERNED);
    assert_eq!(lab.psql("one").fails("SELECT gap_marker 'unterminated").0, "42601");
    let recorded =
        "SELECT count(*) FROM system.audit WHERE phase = 'DENIED' AND user_name = 'one' AND sqlstate = '42601'";
    assert_eq!(lab.psql("admin").rows(recorded), "1");
}

#[test]
fn users_cannot_write_identifiers_into_the_audit() {
    let lab = Lab::open(GOVERNED);
    let one = lab.psql("one");
    assert_eq!(one.fails("SET purpose_of_use = 'patient 412-68-1073'").0, "22023");
    one.rows("SET purpose_of_use = 'treat'; SET application_name = 'ssn 412-68-1073'; SELECT 1");
    let names = lab.psql("admin").rows("SELECT DISTINCT application_name FROM system.audit WHERE user_name = 'one'");
    assert!(!names.contains("412"), "{names}");
    assert_ne!(lab.psql("admin").rows("SELECT count(*) FROM system.audit WHERE purpose_of_use = 'TREAT'"), "0");
}

#[test]
fn createrole_rules_over_its_own_roles_only() {
    let lab = Lab::open(
        "CREATE TABLE p (a int); INSERT INTO p VALUES (1);
         CREATE ROLE maker LOGIN PASSWORD 'secret' CREATEROLE;
         CREATE ROLE readers; GRANT SELECT ON p TO readers;
         CREATE ROLE one LOGIN PASSWORD 'secret'; GRANT readers TO one;
         CREATE ROLE chief; GRANT auditor TO chief;",
    );
    let (admin, maker) = (lab.psql("admin"), lab.psql("maker"));
    for sql in [
        "GRANT readers TO maker",
        "GRANT one TO maker",
        "ALTER ROLE one PASSWORD 'mine'",
        "ALTER ROLE one SET search_path = maker",
        "ALTER ROLE one VALID UNTIL '2020-01-01'",
        "ALTER ROLE one RENAME TO two",
        "ALTER ROLE maker SET ALLOWED_PURPOSES = 'TREAT'",
        "ALTER ROLE auditor LOGIN",
        "DROP ROLE readers",
        "CREATE ROLE x IN ROLE readers",
        "CREATE ROLE x ROLE admin",
        "CREATE ROLE x BYPASSRLS",
        "REVOKE readers FROM one",
        "REASSIGN OWNED BY admin TO maker",
        "DROP OWNED BY one",
        "COMMENT ON ROLE one IS 'x'",
        "GRANT operator TO maker",
        "GRANT policy_admin TO maker WITH ADMIN OPTION",
        "GRANT BREAK GLASS TO maker",
        "GRANT EXECUTE ON FUNCTION mask_hash TO maker",
        "GRANT USAGE ON STORAGE 'file:///' TO maker",
        "CREATE SCHEMA mine",
    ] {
        assert_eq!(maker.fails(sql).0, "42501", "{sql}");
    }
    maker.rows("CREATE ROLE own LOGIN PASSWORD 'x'; GRANT own TO one; ALTER ROLE own PASSWORD 'secret'");
    // The admin option is the superuser's to give, for built-in roles too; what reaches further stays closed.
    admin.rows("GRANT readers TO maker WITH ADMIN OPTION; REVOKE readers FROM maker");
    assert_eq!(maker.fails("GRANT readers TO own").0, "42501", "REVOKE takes the admin option too");
    admin.rows("GRANT auditor TO maker WITH ADMIN OPTION");
    maker.rows("GRANT auditor TO own");
    assert_eq!(maker.fails("ALTER ROLE own PASSWORD 'y'").0, "42501", "it is more than a plain role now");
    admin.rows("GRANT operator TO own; REVOKE ADMIN OPTION FOR auditor FROM maker");
    assert_eq!(maker.fails("GRANT own TO maker").0, "42501", "its reach is no longer the maker's to give");
    assert_eq!(maker.fails("GRANT chief TO maker").0, "42501");
}

#[test]
fn a_role_that_a_policy_names_keeps_its_name() {
    let lab = Lab::open(
        "CREATE TABLE p (id bigint, mrn text); CREATE ROLE privacy; CREATE ROLE wards; CREATE ROLE plain;
         CREATE MASKING POLICY m AS (val text) RETURNS text -> CASE WHEN is_role_in_session('privacy') THEN val END;
         CREATE POLICY w ON p USING (is_role_in_session('wards'));",
    );
    let admin = lab.psql("admin");
    for sql in ["ALTER ROLE privacy RENAME TO x", "DROP ROLE privacy", "DROP ROLE wards"] {
        assert_eq!(admin.fails(sql).0, "2BP01", "{sql}");
    }
    admin.rows("ALTER ROLE plain RENAME TO x; DROP ROLE x; DROP POLICY w ON p; DROP ROLE wards");
}

#[test]
fn a_grant_option_is_no_ownership() {
    let lab = Lab::open(GOVERNED);
    let (admin, one, two) = (lab.psql("admin"), lab.psql("one"), lab.psql("two"));
    admin.rows("CREATE ROLE three LOGIN PASSWORD 'secret'; GRANT SELECT ON p TO one WITH GRANT OPTION");
    one.rows("GRANT SELECT ON p TO three");
    assert_eq!(lab.psql("three").rows("SELECT count(*) FROM p"), "0", "policies hold for whoever it is passed on to");
    for sql in [
        "GRANT INSERT ON p TO three",
        "DROP TABLE p",
        "ALTER TABLE p OWNER TO one",
        "ALTER TABLE p DISABLE ROW LEVEL SECURITY",
        "COMMENT ON TABLE p IS 'x'",
        "ALTER TABLE p RENAME TO q",
        "ALTER TABLE p SET SCHEMA lab",
    ] {
        let answer = one.run(sql);
        assert!(!answer.ok || answer.err.contains("01007"), "{sql}: {}", answer.err);
    }
    assert_eq!(lab.psql("three").fails("INSERT INTO p VALUES (9, 9, 'x')").0, "42501");
    assert_eq!(two.rows("SELECT count(*) FROM p"), "1");
    admin.rows("REVOKE SELECT ON p FROM one CASCADE");
    assert_eq!(lab.psql("three").fails("SELECT count(*) FROM p").0, "42501");
    assert_eq!(one.rows("SELECT count(*) FROM p"), "2", "through staff");
}
