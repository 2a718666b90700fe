//! What nobody may learn from the catalog.

use lakeward_base::{Coded, SqlState};

use super::fixture::{Hospital, lines, oid, table};

#[tokio::test]
async fn nothing_speaks_of_a_table_without_a_privilege_on_it() {
    let hospital = Hospital::open().await;
    let trials = oid(&hospital.login("admin"), "research.trials").await;
    let analyst = hospital.login("analyst");
    for sql in [
        "SELECT count(*) FROM pg_class WHERE relname = 'trials'",
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'research'",
        "SELECT count(*) FROM pg_attribute WHERE attname = 'codes'",
        "SELECT count(*) FROM pg_tables WHERE tablename = 'trials'",
        "SELECT count(*) FROM pg_views WHERE viewname = 'adults'",
        "SELECT count(*) FROM pg_policy",
        "SELECT count(*) FROM pg_policies",
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'trials'",
        "SELECT count(*) FROM information_schema.columns WHERE column_name = 'codes'",
        "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'research'",
        "SELECT count(*) FROM information_schema.table_privileges WHERE grantee = 'governor'",
        "SELECT count(*) FROM pg_class WHERE relname = 'audit'",
    ] {
        assert_eq!(lines(&analyst, sql).await, ["0"], "{sql}");
    }
    assert_eq!(lines(&analyst, &format!("SELECT {trials}::regclass")).await, [trials]);
    let refused = table(&analyst, "SELECT 'research.trials'::regclass").await.unwrap_err();
    assert_eq!(refused.sqlstate(), SqlState::UNDEFINED_TABLE);
    assert_eq!(lines(&analyst, "SELECT to_regclass('research.trials')").await, ["∅"]);
}

#[tokio::test]
async fn passwords_are_nowhere() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    for name in ["pg_authid", "pg_shadow"] {
        let refused = table(&analyst, &format!("SELECT * FROM {name}")).await.unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::INSUFFICIENT_PRIVILEGE);
    }
    let admin = hospital.login("admin");
    assert_eq!(lines(&admin, "SELECT count(rolpassword) FROM pg_authid").await, ["0"]);
    assert_eq!(lines(&admin, "SELECT count(passwd) FROM pg_shadow").await, ["0"]);
    assert_eq!(lines(&analyst, "SELECT DISTINCT rolpassword FROM pg_roles").await, ["********"]);
}

#[tokio::test]
async fn privileges_are_told_as_they_are() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let told = [
        ("has_table_privilege('patients', 'SELECT')", "true"),
        ("has_table_privilege('patients', 'INSERT')", "false"),
        ("has_table_privilege('patients', 'INSERT, SELECT')", "true"),
        ("has_table_privilege('patients', 'SELECT WITH GRANT OPTION')", "false"),
        ("has_table_privilege('analyst', 'patients', 'SELECT')", "true"),
        ("has_table_privilege('governor', 'patients', 'SELECT')", "∅"),
        ("has_table_privilege('research.trials', 'SELECT')", "false"),
        ("has_column_privilege('patients', 'age', 'SELECT')", "true"),
        ("has_table_privilege('pg_class', 'SELECT')", "true"),
        ("has_table_privilege('pg_authid', 'SELECT')", "false"),
        ("has_table_privilege('system.audit', 'SELECT')", "false"),
        ("has_schema_privilege('public', 'USAGE')", "true"),
        ("has_schema_privilege('public', 'CREATE')", "false"),
        ("has_schema_privilege('research', 'USAGE')", "false"),
        ("has_database_privilege('lakeward', 'CONNECT')", "true"),
        ("has_database_privilege('lakeward', 'CREATE')", "false"),
        ("pg_has_role('analyst', 'MEMBER')", "true"),
        ("pg_has_role('admin', 'MEMBER')", "false"),
        ("row_security_active('patients')", "true"),
    ];
    for (call, expected) in told {
        assert_eq!(lines(&analyst, &format!("SELECT {call}")).await, [expected], "{call}");
    }
    let admin = hospital.login("admin");
    assert_eq!(lines(&admin, "SELECT has_table_privilege('governor', 'patients', 'SELECT')").await, ["true"]);
    assert_eq!(lines(&admin, "SELECT has_table_privilege('stranger', 'patients', 'SELECT')").await, ["false"]);
    // Grants are told to those to whom system.grants shows them.
    let governor = hospital.login("governor");
    for (session, call, expected) in [
        (&governor, "has_table_privilege('analyst', 'patients', 'SELECT')", "true"),
        (&governor, "has_table_privilege('stranger', 'patients', 'SELECT')", "false"),
        (&analyst, "has_table_privilege('governor', 'patients', 'SELECT')", "∅"),
        (&analyst, "has_table_privilege('governor', 'pg_class', 'SELECT')", "true"),
        (&analyst, "has_schema_privilege('governor', 'public', 'CREATE')", "∅"),
        (&analyst, "has_database_privilege('governor', 'lakeward', 'CONNECT')", "true"),
        (&analyst, "has_function_privilege('governor', 'lower', 'EXECUTE')", "true"),
        (&analyst, "has_function_privilege('governor', 'mask_hash', 'EXECUTE')", "∅"),
        (&analyst, "pg_has_role('governor', 'policy_admin', 'MEMBER')", "true"),
        (&analyst, "pg_has_role('officer', 'policy_admin', 'MEMBER')", "false"),
    ] {
        assert_eq!(lines(session, &format!("SELECT {call}")).await, [expected], "{call}");
    }
    assert_eq!(
        lines(&hospital.login("officer"), "SELECT has_table_privilege('system.audit', 'SELECT')").await,
        ["true"]
    );
    crate::run(&admin, crate::Request::text("GRANT SELECT (name) ON patients TO stranger")).await.unwrap();
    crate::run(&admin, crate::Request::text("GRANT EXECUTE ON FUNCTION mask_hash TO analyst WITH GRANT OPTION"))
        .await
        .unwrap();
    let stranger = hospital.login("stranger");
    let told = [
        (&stranger, "has_table_privilege('patients', 'SELECT')", "false"),
        (&stranger, "has_any_column_privilege('patients', 'SELECT')", "true"),
        (&stranger, "has_column_privilege('patients', 'name', 'SELECT')", "true"),
        (&stranger, "has_column_privilege('patients', 2, 'SELECT')", "true"),
        (&stranger, "has_column_privilege('patients', 'age', 'SELECT')", "false"),
        (&stranger, "has_column_privilege('patients', 99, 'SELECT')", "∅"),
        (&stranger, "has_table_privilege('public', 'patients', 'SELECT')", "false"),
        (&stranger, "has_function_privilege('mask_hash(text,text)', 'EXECUTE')", "false"),
        (&stranger, "has_function_privilege('lower(text)', 'EXECUTE')", "true"),
        (&analyst, "has_function_privilege('mask_hash', 'EXECUTE WITH GRANT OPTION')", "true"),
    ];
    for (session, call, expected) in told {
        assert_eq!(lines(session, &format!("SELECT {call}")).await, [expected], "{call}");
    }
    for (call, code) in [
        ("has_table_privilege('patients', 'READ')", SqlState::INVALID_PARAMETER_VALUE),
        ("has_column_privilege('patients', 'zz', 'SELECT')", SqlState::UNDEFINED_COLUMN),
        ("has_table_privilege('zz', 'patients', 'SELECT')", SqlState::UNDEFINED_OBJECT),
    ] {
        assert_eq!(table(&analyst, &format!("SELECT {call}")).await.unwrap_err().sqlstate(), code, "{call}");
    }
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'patients'";
    assert_eq!(lines(&stranger, columns).await, ["name"]);
    let missing = table(&analyst, "SELECT has_table_privilege('nothing', 'SELECT')").await.unwrap_err();
    assert_eq!(missing.sqlstate(), SqlState::UNDEFINED_TABLE);
}

#[tokio::test]
async fn oids_outlive_a_session_and_a_change() {
    let hospital = Hospital::open().await;
    let admin = hospital.login("admin");
    let before = oid(&admin, "patients").await;
    crate::run(&admin, crate::Request::text("CREATE TABLE aaa (a int)")).await.unwrap();
    assert_eq!(oid(&hospital.login("analyst"), "patients").await, before);
}

#[tokio::test]
async fn a_users_query_keeps_its_meaning() {
    let hospital = Hospital::open().await;
    let admin = hospital.login("admin");
    let arrays = "SELECT ARRAY(SELECT a FROM (VALUES (2), (1)) AS v(a) ORDER BY 1)";
    assert_eq!(lines(&admin, arrays).await, ["[1, 2]"]);
    assert_eq!(lines(&admin, "SELECT ARRAY(SELECT name FROM patients)").await, ["[]"]);
    let limited = "SELECT ARRAY(SELECT a FROM (VALUES (2), (1)) AS v(a) ORDER BY a LIMIT 1)";
    assert_eq!(lines(&admin, limited).await, ["[1]"]);
    // A WITH query of a catalog relation's name is the user's own.
    let shadowed = "WITH pg_trigger AS (SELECT 1 AS a) SELECT (SELECT a FROM pg_trigger)";
    assert_eq!(lines(&admin, shadowed).await, ["1"]);
    let names = table(&admin, "SELECT 'patients'::regclass, NULL, NULL FROM pg_am").await.unwrap();
    assert_eq!(names, [["regclass", "?column?", "?column?"], ["patients", "∅", "∅"]]);
}

#[tokio::test]
async fn an_error_while_a_statement_runs_holds_no_value() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    for call in [
        "regclassin(amname)",
        "regrolein(amname)",
        "has_table_privilege(amname, 'SELECT')",
        "current_setting(amname)",
        "regclassin((SELECT max(amname) FROM pg_am))",
    ] {
        let error = table(&analyst, &format!("SELECT {call} FROM pg_am")).await.unwrap_err();
        let all = format!("{error} {:?} {:?} {:?}", error.message(), error.detail(), error.hint());
        assert!(!all.contains("delta"), "{call}: {all}");
    }
    let own = table(&analyst, "SELECT 'nothing'::regclass").await.unwrap_err();
    assert_eq!(
        (own.sqlstate(), own.message()),
        (SqlState::UNDEFINED_TABLE, "relation \"nothing\" does not exist".to_owned())
    );
    let guarded =
        "SELECT CASE WHEN to_regclass('nothing') IS NOT NULL THEN has_table_privilege('nothing', 'SELECT') END";
    assert_eq!(lines(&analyst, guarded).await, ["∅"]);
}
