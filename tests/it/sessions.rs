//! What a session remembers: settings, its role, and what of both a transaction block undoes; and what it tells drivers
//! of a statement before it is run.

use std::io::Write;
use std::process::Stdio;

use tokio_postgres::types::Type;

use crate::harness::{Psql, Server, block_on, demo, init, limited, psql_program};
use crate::protocol::connect;

/// Runs a script, one statement after the other, errors included; answers its rows.
fn shown(role: &str, script: &[&str]) -> Vec<String> {
    block_on(async {
        let client = connect(role).await;
        let mut rows = Vec::new();
        for statement in script {
            let answer = client.simple_query(statement).await.unwrap_or_default();
            rows.extend(answer.iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }));
        }
        rows
    })
}

/// The same statements as PostgreSQL 15 was asked, and what it answered.
#[test]
fn what_a_block_sets_is_kept_by_commit_and_undone_by_rollback() {
    let show = "SHOW application_name";
    let cases: &[(&[&str], &[&str])] = &[
        (&["BEGIN", "SET application_name = 'a1'", show, "ROLLBACK", show], &["a1", "a0"]),
        (&["BEGIN", "SET application_name = 'a2'", "COMMIT", show], &["a2"]),
        (&["BEGIN", "SET LOCAL application_name = 'a3'", show, "COMMIT", show], &["a3", "a0"]),
        (&["BEGIN", "SET LOCAL application_name = 'a3'", "ROLLBACK", show], &["a0"]),
        (
            &["BEGIN", "SET application_name = 'b1'", "SET LOCAL application_name = 'b2'", show, "COMMIT", show],
            &["b2", "b1"],
        ),
        (
            &["BEGIN", "SET LOCAL application_name = 'c1'", "SET application_name = 'c2'", show, "COMMIT", show],
            &["c2", "c2"],
        ),
        (
            &["BEGIN", "SET LOCAL application_name = 'd1'", "RESET application_name", show, "ROLLBACK", show],
            &["", "a0"],
        ),
        (&["BEGIN", "RESET ALL", show, "ROLLBACK", show], &["", "a0"]),
        (&["BEGIN", "SET application_name = 'e1'", "SELECT 1/0", "COMMIT", show], &["a0"]),
        (
            &["BEGIN", "SET application_name = 'e1'", "SET nothing = 1", "SET application_name = 'e2'", "END", show],
            &["a0"],
        ),
        (&["SET LOCAL application_name = 'f'", show], &["a0"]),
        (&["BEGIN", "DISCARD ALL", show, "ROLLBACK", show], &["a0"]),
        (&["BEGIN", "BEGIN", "SET application_name = 'g'", "ROLLBACK", show], &["a0"]),
        (&["BEGIN", "SET application_name = 'h'", "COMMIT", "BEGIN", "ROLLBACK", show], &["h"]),
        (&["BEGIN", "SET statement_timeout = '1min'", "ROLLBACK", "SHOW statement_timeout"], &["0"]),
    ];
    for (script, expected) in cases {
        let whole: Vec<_> = std::iter::once(&"SET application_name = 'a0'").chain(*script).copied().collect();
        assert_eq!(shown("analyst", &whole), *expected, "{script:?}");
    }
}

#[test]
fn set_role_is_undone_as_settings_are() {
    let (user, role) = ("SELECT current_user", "SHOW role");
    let cases: &[(&[&str], &[&str])] = &[
        (&[role, "SHOW is_superuser", "SHOW session_authorization"], &["none", "on", "admin"]),
        (
            &["SET ROLE analyst", role, user, "SHOW is_superuser", "SHOW session_authorization"],
            &["analyst", "analyst", "off", "admin"],
        ),
        (&["SET ROLE analyst", "RESET ALL", role, "RESET ROLE", "SHOW is_superuser"], &["analyst", "on"]),
        (&["BEGIN", "SET ROLE analyst", user, "ROLLBACK", user, role], &["analyst", "admin", "none"]),
        (&["BEGIN", "SET ROLE analyst", "COMMIT", user], &["analyst"]),
        (&["BEGIN", "SET LOCAL ROLE analyst", user, "COMMIT", user], &["analyst", "admin"]),
        (&["BEGIN", "SET LOCAL ROLE analyst", "SET ROLE researcher", "COMMIT", user], &["researcher"]),
        (&["SET ROLE analyst", "BEGIN", "SET LOCAL ROLE NONE", user, "COMMIT", user], &["admin", "analyst"]),
        (&["SET LOCAL ROLE analyst", user], &["admin"]),
        (&["SET ROLE analyst", "DISCARD ALL", user], &["admin"]),
        (&["SET is_superuser = off", "SHOW is_superuser"], &["on"]),
    ];
    for (script, expected) in cases {
        assert_eq!(shown("admin", script), *expected, "{script:?}");
    }
    assert_eq!(shown("analyst", &["SHOW is_superuser", role]), ["off", "none"]);
    let warned = demo().psql("admin").run("SET LOCAL application_name = 'x'");
    assert!(
        warned.err.contains("25P01") && warned.err.contains("SET LOCAL can only be used in transaction blocks"),
        "{}",
        warned.err
    );
    let (sqlstate, _) = demo().psql("admin").fails("BEGIN; DISCARD ALL");
    assert_eq!(sqlstate, "25001");
}

#[test]
fn drivers_are_told_of_a_superuser_and_of_what_a_rollback_sets_back() {
    let admin = demo().psql("admin");
    let told = |script: &str| {
        let asked = admin.rows(&format!("{script}; SHOW is_superuser"));
        asked.lines().last().map(str::to_owned)
    };
    assert_eq!(told("SELECT 1").as_deref(), Some("on"));
    assert_eq!(told("SET ROLE analyst").as_deref(), Some("off"));
    assert!(admin.rows("SHOW ALL").contains("is_superuser|on"));
}

#[test]
fn psql_changes_a_password_without_sending_it() {
    assert_eq!(demo().psql("analyst").rows("SHOW password_encryption"), "scram-sha-256");
    assert_eq!(demo().psql("analyst").fails("SET password_encryption = 'md5'").0, "22023");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "first-password-1");
    let server = Server::serve(&data);
    let admin = Psql::admin(&server, "admin", "first-password-1");
    admin.rows("CREATE ROLE bob LOGIN PASSWORD 'old-password-22'");
    let url = server.url("admin");
    // Without a terminal psql asks on its standard input.
    let mut psql = limited("setsid")
        .arg("--wait")
        .arg(psql_program())
        .args(["-X", "-d", &url, "-v", "ON_ERROR_STOP=1", "-c", "\\password bob"])
        .env("PGPASSWORD", "first-password-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    psql.stdin.take().unwrap().write_all(b"new-password-333\nnew-password-333\n").unwrap();
    let output = psql.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Psql::admin(&server, "bob", "new-password-333").rows("SELECT current_user"), "bob");
    assert!(!Psql::admin(&server, "bob", "old-password-22").run("SELECT 1").ok);
}

#[test]
fn columns_are_described_as_they_will_be() {
    block_on(async {
        let client = connect("admin").await;
        let (text, int8, float8, boolean) = (Type::TEXT, Type::INT8, Type::FLOAT8, Type::BOOL);
        let cases = [
            ("SELECT $1", vec![text.clone()], text.clone()),
            ("SELECT $1 + 1", vec![int8.clone()], int8.clone()),
            ("SELECT coalesce($1, 5)", vec![int8.clone()], int8.clone()),
            ("SELECT coalesce($1, name) FROM patients", vec![text.clone()], text.clone()),
            ("SELECT CASE WHEN $1 THEN 1 END", vec![boolean.clone()], int8.clone()),
            ("SELECT CASE WHEN true THEN $1 ELSE 2 END", vec![int8.clone()], int8.clone()),
            ("SELECT CASE $1 WHEN 'a' THEN 1 ELSE 2.5 END", vec![text.clone()], Type::NUMERIC),
            ("SELECT $1 IN (1, 2)", vec![int8.clone()], boolean.clone()),
            ("SELECT $1 UNION SELECT 'a'", vec![text.clone()], text.clone()),
            ("SELECT 'a' UNION SELECT $1", vec![text.clone()], text.clone()),
            ("SELECT greatest($1, 2.5::float8)", vec![float8.clone()], float8.clone()),
            ("SELECT nullif($1, 1)", vec![int8.clone()], int8.clone()),
            ("SELECT patient_id FROM patients WHERE age > $1 LIMIT $2", vec![Type::INT4, int8.clone()], int8.clone()),
            (
                "SELECT patient_id FROM patients ORDER BY 1 OFFSET $1 FETCH FIRST $2 ROWS ONLY",
                vec![int8.clone(), int8.clone()],
                int8.clone(),
            ),
            ("SELECT age + $1 FROM patients LIMIT 1", vec![Type::INT4], Type::INT4),
            ("SELECT x FROM (SELECT $1 AS x) t", vec![text.clone()], text.clone()),
            ("SELECT count(*) FROM patients WHERE birth_date > $1", vec![Type::DATE], int8.clone()),
            ("SELECT CASE WHEN true THEN 1 ELSE 2.5 END", vec![], Type::NUMERIC),
            ("SELECT 1 UNION ALL SELECT 2.5", vec![], Type::NUMERIC),
        ];
        for (sql, parameters, column) in cases {
            let prepared = client.prepare(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            assert_eq!(prepared.params(), parameters, "{sql}");
            assert_eq!(prepared.columns()[0].type_(), &column, "{sql}");
            let nothing = None::<String>;
            let (long, int, double, truth, three) = (None::<i64>, None::<i32>, None::<f64>, None::<bool>, Some(3_i64));
            let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = parameters
                .iter()
                .map(|kind| -> &(dyn tokio_postgres::types::ToSql + Sync) {
                    match *kind {
                        Type::INT8 if sql.contains("FETCH") || sql.contains("LIMIT $") => &three,
                        Type::INT8 => &long,
                        Type::INT4 => &int,
                        Type::FLOAT8 => &double,
                        Type::BOOL => &truth,
                        Type::DATE => &NoDate,
                        _ => &nothing,
                    }
                })
                .collect();
            client.query(&prepared, &values).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    });
}

/// NULL for a date.
#[derive(Debug)]
struct NoDate;

impl tokio_postgres::types::ToSql for NoDate {
    fn to_sql(
        &self,
        _: &Type,
        _: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(tokio_postgres::types::IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// What PostgreSQL 15 answers.
#[test]
fn bytes_are_read_from_text() {
    let analyst = demo().psql("analyst");
    for (literal, read) in [
        (r"'\x01'", r"\x01"),
        (r"'\x01 fF'", r"\x01ff"),
        ("''", r"\x"),
        (r"'a\\b\001c'", r"\x615c620163"),
        ("'grü'", r"\x6772c3bc"),
    ] {
        assert_eq!(analyst.rows(&format!("SELECT {literal}::bytea")), read, "{literal}");
        assert_eq!(analyst.rows(&format!("SELECT CAST({literal}::text AS bytea)::text")), read, "{literal}");
    }
    for (literal, sqlstate) in [
        (r"'\x0'", "22023"),
        (r"'\x0g'", "22023"),
        (r"'\x4 1'", "22023"),
        (r"'\X01'", "22P02"),
        (r"'a\q'", "22P02"),
        (r"'a\'", "22P02"),
    ] {
        let (found, text) = analyst.fails(&format!("SELECT {literal}::bytea"));
        assert_eq!(found, sqlstate, "{literal}: {text}");
    }
    assert_eq!(analyst.rows(r"SELECT '\x41'::bytea = '\x41', '\x41'::bytea = 'A', '\x4'::text"), r"t|t|\x4");
    assert_eq!(
        analyst.rows(r"SELECT b FROM (VALUES ('\x02'::bytea), (NULL), ('\x01'::bytea)) t(b) WHERE b > '\x01'"),
        r"\x02"
    );
}

#[test]
fn bytes_are_stored_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "first-password-1");
    let server = Server::serve(&data);
    let admin = Psql::admin(&server, "admin", "first-password-1");
    admin.rows("CREATE TABLE t (a bigint, b bytea)");
    admin.rows(r"INSERT INTO t VALUES (1, '\x00ff'), (2, 'a\\'), (3, NULL)");
    admin.rows(r"INSERT INTO t SELECT 4, '\x04'");
    assert_eq!(admin.rows("SELECT a, b FROM t ORDER BY a"), "1|\\x00ff\n2|\\x615c\n3|\n4|\\x04");
    assert_eq!(admin.rows(r"SELECT a FROM t WHERE b = '\x00ff'"), "1");
    assert_eq!(admin.fails(r"INSERT INTO t VALUES (5, '\x0')").0, "22023");

    // A text of which a part cannot be read does nothing at all.
    let refused = admin.text("INSERT INTO t VALUES (6, NULL); SELECT FROM WHERE");
    assert!(!refused.ok && refused.err.contains("42601"), "{}", refused.err);
    assert_eq!(admin.rows("SELECT count(*) FROM t WHERE a = 6"), "0");
}
