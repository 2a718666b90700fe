//! Transaction blocks that write: one write each, committed by COMMIT or not at all; what they may read, what the audit
//! tells of them; savepoints, read-only blocks, and texts of several statements.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Lab, ask, block_on, python};

const WARD: &str = "CREATE TABLE p (id bigint, ward int, name text);
    INSERT INTO p VALUES (1, 1, 'ann'), (2, 1, 'bob'), (3, 2, 'cy');
    CREATE TABLE q (id bigint); INSERT INTO q VALUES (1);
    CREATE ROLE nurse LOGIN PASSWORD 'secret';
    GRANT SELECT, INSERT, UPDATE, DELETE ON p TO nurse";

/// Data files anywhere below a directory.
fn files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
        })
        .sum()
}

/// Files are taken away by and by.
fn settles_at(directory: &Path, wanted: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    while files(directory) != wanted {
        assert!(Instant::now() < until, "{} files are left, {wanted} were wanted", files(directory));
        std::thread::sleep(Duration::from_millis(50));
    }
}

const WRITES: &[(&str, &str)] = &[
    ("INSERT INTO p VALUES (9, 1, 'zoe')", "1,2,3,9"),
    ("UPDATE p SET id = id + 10 WHERE ward = 1", "3,11,12"),
    ("DELETE FROM p WHERE id = 2", "1,3"),
    ("INSERT OVERWRITE p SELECT id, ward, name FROM p WHERE id = 3", "3"),
    (
        "MERGE INTO p USING (SELECT 1::bigint AS k) s ON p.id = s.k WHEN MATCHED THEN DELETE
         WHEN NOT MATCHED THEN INSERT VALUES (s.k, 1, 'x')",
        "2,3",
    ),
];

#[test]
fn a_write_is_the_blocks_own_until_commit() {
    let lab = Lab::open(WARD);
    let tables = lab.server.data().join("tables");
    let all = "SELECT id FROM p ORDER BY id";
    block_on(async {
        let (writer, other) = (lab.connect("admin").await, lab.connect("admin").await);
        for (write, after) in WRITES {
            let before = files(&tables);
            for end in ["ROLLBACK", "COMMIT"] {
                assert_eq!(ask(&writer, "BEGIN").await, "");
                assert_eq!(ask(&writer, write).await, "", "{write}");
                assert_eq!(ask(&writer, all).await, *after, "its own reads see {write}");
                assert_eq!(ask(&other, all).await, "1,2,3", "others do not see {write}");
                assert_eq!(ask(&writer, end).await, "");
                let seen = if end == "COMMIT" { after } else { "1,2,3" };
                assert_eq!(ask(&other, all).await, seen, "{write}; {end}");
                if end == "ROLLBACK" {
                    settles_at(&tables, before);
                }
            }
            assert_eq!(ask(&writer, "INSERT OVERWRITE p VALUES (1, 1, 'ann'), (2, 1, 'bob'), (3, 2, 'cy')").await, "");
        }
    });
}

#[test]
fn what_fails_or_goes_away_leaves_nothing() {
    let lab = Lab::open(WARD);
    let tables = lab.server.data().join("tables");
    let before = files(&tables);
    block_on(async {
        let client = lab.connect("admin").await;
        for (then, state) in
            [("SELECT 1/0", "22012"), ("SELECT nothing FROM p", "42703"), ("CREATE TABLE n (a int)", "25001")]
        {
            ask(&client, "BEGIN").await;
            assert_eq!(ask(&client, "INSERT INTO p VALUES (9, 1, 'zoe')").await, "");
            assert_eq!(ask(&client, then).await, state);
            assert_eq!(ask(&client, "SELECT 1").await, "25P02");
            // COMMIT of a failed block is a ROLLBACK.
            assert_eq!(ask(&client, "COMMIT").await, "");
            assert_eq!(ask(&client, "SELECT count(*) FROM p").await, "3", "{then}");
        }
        ask(&client, "BEGIN").await;
        assert_eq!(ask(&client, "UPDATE p SET name = 'x'").await, "");
        drop(client);
        let other = lab.connect("admin").await;
        assert_eq!(ask(&other, "SELECT count(*) FROM p WHERE name = 'x'").await, "0");
    });
    settles_at(&tables, before);
}

#[test]
fn a_block_has_one_write() {
    let lab = Lab::open(WARD);
    block_on(async {
        let client = lab.connect("admin").await;
        ask(&client, "BEGIN").await;
        // None is not one.
        assert_eq!(ask(&client, "UPDATE p SET name = 'x' WHERE id = 99").await, "");
        assert_eq!(ask(&client, "INSERT INTO p SELECT * FROM p WHERE id = 99").await, "");
        assert_eq!(ask(&client, "INSERT INTO p VALUES (9, 1, 'zoe')").await, "");
        let error = client.simple_query("INSERT INTO q VALUES (2)").await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert!(error.code().code() == "0A000" && error.hint().is_some_and(|hint| hint.contains("COMMIT")), "{error}");
        ask(&client, "ROLLBACK").await;
        assert_eq!(ask(&client, "SELECT count(*) FROM p").await, "3");
    });
}

#[test]
fn conflicts_and_revocations_are_found_at_commit() {
    let lab = Lab::open(WARD);
    let admin = lab.psql("admin");
    block_on(async {
        let (one, two) = (lab.connect("nurse").await, lab.connect("nurse").await);
        // Whoever commits first wins.
        for client in [&one, &two] {
            ask(client, "BEGIN").await;
            assert_eq!(ask(client, "UPDATE p SET name = name || '!' WHERE id = 1").await, "");
        }
        assert_eq!(ask(&one, "COMMIT").await, "");
        assert_eq!(ask(&two, "COMMIT").await, "40001");
        assert_eq!(ask(&two, "SELECT name FROM p WHERE id = 1").await, "ann!", "the block has ended with its commit");
        // A block reads what it began with, and changes nothing else.
        ask(&one, "BEGIN").await;
        assert_eq!(ask(&one, "SELECT name FROM p WHERE id = 2").await, "bob");
        assert_eq!(ask(&two, "UPDATE p SET name = 'rob' WHERE id = 2").await, "");
        assert_eq!(ask(&one, "UPDATE p SET name = name || '?' WHERE id = 2").await, "");
        assert_eq!(ask(&one, "COMMIT").await, "40001");
        // Appends never conflict.
        for client in [&one, &two] {
            ask(client, "BEGIN").await;
            assert_eq!(ask(client, "INSERT INTO p VALUES (7, 1, 'new')").await, "");
        }
        assert_eq!((ask(&one, "COMMIT").await, ask(&two, "COMMIT").await), (String::new(), String::new()));
        assert_eq!(ask(&one, "SELECT count(*) FROM p WHERE id = 7").await, "2");
        // What was granted when it wrote must be granted when it commits.
        let cases = [
            ("REVOKE INSERT ON p FROM nurse", "GRANT INSERT ON p TO nurse", "42501"),
            ("CREATE POLICY w ON p USING (true) WITH CHECK (ward = 2)", "DROP POLICY w ON p", "42501"),
            ("CREATE ROLE unrelated", "DROP ROLE unrelated", ""),
            ("ALTER ROLE nurse NOLOGIN", "ALTER ROLE nurse LOGIN", "28000"),
        ];
        let mut rows = 5;
        for (change, back, outcome) in cases {
            ask(&one, "BEGIN").await;
            assert_eq!(ask(&one, "INSERT INTO p VALUES (8, 1, 'eve')").await, "");
            admin.rows(change);
            assert_eq!(ask(&one, "COMMIT").await, outcome, "{change}");
            admin.rows(back);
            admin.rows("ALTER TABLE p DISABLE ROW LEVEL SECURITY");
            rows += u32::from(outcome.is_empty());
            ask(&one, "ROLLBACK").await;
            assert_eq!(admin.rows("SELECT count(*) FROM p"), rows.to_string(), "{change}");
        }
    });
}

#[test]
fn the_audit_tells_what_became_of_a_write() {
    let lab = Lab::open(WARD);
    block_on(async {
        let client = lab.connect("nurse").await;
        for statement in [
            "BEGIN",
            "INSERT INTO p VALUES (5, 1, 'kept'), (6, 1, 'kept')",
            "COMMIT",
            "BEGIN",
            "INSERT INTO p VALUES (7, 1, 'undone')",
            "ROLLBACK",
        ] {
            assert_eq!(ask(&client, statement).await, "");
        }
    });
    let ended = "SELECT statement_class, sqlstate, rows, objects LIKE '%\"version\":2%' FROM system.audit
        WHERE user_name = 'nurse' AND phase = 'END' AND statement_class IN ('INSERT', 'COMMIT') ORDER BY seq";
    let told = lab.psql("admin").rows(ended);
    assert_eq!(told, "INSERT|00000|2|t\nCOMMIT|00000|0|t\nINSERT|40000|0|f");
    let begun = "SELECT count(*) FROM system.audit WHERE user_name = 'nurse' AND phase = 'BEGIN'
        AND statement_class = 'COMMIT' AND objects LIKE '%public.p%'";
    assert_eq!(lab.psql("admin").rows(begun), "1");
}

#[test]
fn a_text_of_several_statements_is_one_transaction() {
    let lab = Lab::open(WARD);
    let admin = lab.psql("admin");
    let failed = admin.text("SET application_name = 'x'; INSERT INTO p VALUES (9, 1, 'zoe'); SELECT 1/0");
    assert!(!failed.ok && failed.err.contains("22012"), "{}", failed.err);
    assert_eq!(admin.rows("SELECT count(*) FROM p"), "3");
    let read = admin.text("INSERT INTO p VALUES (9, 1, 'zoe'); SELECT count(*) FROM p");
    assert_eq!((read.ok, read.out.as_str()), (true, "4"), "{}", read.err);
    // A transaction has one write: the next one commits what stands before it.
    let second =
        admin.text("DELETE FROM p WHERE ward = 9; INSERT INTO q VALUES (2); INSERT INTO q VALUES (3); SELECT 1/0");
    assert!(!second.ok && second.err.contains("22012"), "{}{}", second.out, second.err);
    assert_eq!(admin.rows("SELECT (SELECT count(*) FROM p), count(*) FROM q WHERE id > 1"), "4|1");
    // DDL is not undone: it commits what stands before it.
    let made =
        admin.text("INSERT INTO p VALUES (10, 1, 'a'); CREATE TABLE r (a int); INSERT INTO r VALUES (1); SELECT 1/0");
    assert!(!made.ok && made.err.contains("22012"), "{}", made.err);
    assert_eq!(admin.rows("SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM r)"), "5|0");
    // BEGIN takes what stands before it into its block; COMMIT ends with a warning what BEGIN has not begun.
    assert!(admin.text("INSERT INTO r VALUES (1); BEGIN; SELECT 1; ROLLBACK").ok);
    assert_eq!(admin.rows("SELECT count(*) FROM r"), "0");
    let warned = admin.text("INSERT INTO r VALUES (1); COMMIT; INSERT INTO r VALUES (2)");
    assert!(warned.ok && warned.err.contains("25P01"), "{}", warned.err);
    assert_eq!(admin.rows("SELECT count(*) FROM r"), "2");
    block_on(async {
        let client = lab.connect("admin").await;
        assert_eq!(ask(&client, "SET application_name = 'kept'; SELECT 1").await, "1");
        assert_eq!(ask(&client, "SET application_name = 'lost'; SELECT 1/0").await, "22012");
        assert_eq!(ask(&client, "SHOW application_name").await, "kept");
    });
}

#[test]
fn a_read_only_block_writes_nothing() {
    let lab = Lab::open(WARD);
    let insert = "INSERT INTO q VALUES (2)";
    let level = "SHOW transaction_isolation";
    let cases: &[(&[&str], &[&str])] = &[
        (&["BEGIN READ ONLY", "SELECT count(*) FROM q", insert, "ROLLBACK"], &["", "1", "25006", ""]),
        (&["START TRANSACTION READ ONLY", "CREATE TABLE n (a int)", "ROLLBACK"], &["", "25006", ""]),
        (&["BEGIN", "SET TRANSACTION READ ONLY", "DELETE FROM q", "ROLLBACK"], &["", "", "25006", ""]),
        (&["BEGIN READ ONLY", "SELECT 1", "SET TRANSACTION READ WRITE", "ROLLBACK"], &["", "1", "25001", ""]),
        (&["BEGIN READ ONLY", "SET TRANSACTION READ WRITE", insert, "ROLLBACK"], &["", "", "", ""]),
        (&["SET default_transaction_read_only = on", insert, "SHOW transaction_read_only"], &["", "25006", "on"]),
        (&["BEGIN READ WRITE", insert, "ROLLBACK", "RESET default_transaction_read_only"], &["", "", "", ""]),
        (
            &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", insert, "RESET ALL", "BEGIN", insert, "ROLLBACK"],
            &["", "25006", "", "", "", ""],
        ),
        (
            &["BEGIN ISOLATION LEVEL REPEATABLE READ", level, "COMMIT", level],
            &["", "repeatable read", "", "read committed"],
        ),
        (
            &["BEGIN", "SELECT 1", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "ROLLBACK"],
            &["", "1", "25001", ""],
        ),
        (&["BEGIN ISOLATION LEVEL SERIALIZABLE"], &["0A000"]),
        (&["SET default_transaction_isolation = 'serializable'"], &["0A000"]),
        (&["SET default_transaction_isolation = 'repeatable read'", level, "RESET ALL"], &["", "repeatable read", ""]),
        (&["SELECT count(*) FROM q"], &["1"]),
    ];
    block_on(async {
        let client = lab.connect("admin").await;
        for (script, expected) in cases {
            for (statement, answer) in script.iter().zip(*expected) {
                assert_eq!(ask(&client, statement).await, *answer, "{statement} in {script:?}");
            }
        }
    });
}

#[test]
fn savepoints_undo_what_came_after_them() {
    let lab = Lab::open(WARD);
    let (count, insert) = ("SELECT count(*) FROM p", "INSERT INTO p VALUES (9, 1, 'zoe')");
    let name = "SHOW application_name";
    let cases: &[(&[&str], &[&str])] = &[
        (&["BEGIN", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", count, "COMMIT"], &["", "", "22012", "", "3", ""]),
        (&["BEGIN", "SAVEPOINT a", insert, "ROLLBACK TO SAVEPOINT a", count, "COMMIT"], &["", "", "", "", "3", ""]),
        (
            &["BEGIN", insert, "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", count, "ROLLBACK", count],
            &["", "", "", "22012", "", "4", "", "3"],
        ),
        (
            &["BEGIN", "SAVEPOINT a", insert, "ROLLBACK TO a", insert, "RELEASE a", "ROLLBACK"],
            &["", "", "", "", "", "", ""],
        ),
        (
            &["BEGIN", "SAVEPOINT a", "SAVEPOINT b", "RELEASE a", "ROLLBACK TO b", "ROLLBACK"],
            &["", "", "", "", "3B001", ""],
        ),
        (&["BEGIN", "RELEASE SAVEPOINT nothing", "SAVEPOINT a", "ROLLBACK"], &["", "3B001", "25P02", ""]),
        (
            &[
                "SET application_name = 'a'",
                "BEGIN",
                "SAVEPOINT s",
                "SET application_name = 'b'",
                "ROLLBACK TO s",
                name,
                "COMMIT",
            ],
            &["", "", "", "", "", "a", ""],
        ),
        (&["SAVEPOINT a"], &["25P01"]),
        (&["RELEASE a"], &["25P01"]),
        (&["ROLLBACK TO a"], &["25P01"]),
        (&[count], &["3"]),
        (
            &["BEGIN", insert, "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a; RELEASE a", "COMMIT", count],
            &["", "", "", "22012", "", "", "4"],
        ),
    ];
    block_on(async {
        let client = lab.connect("admin").await;
        for (script, expected) in cases {
            for (statement, answer) in script.iter().zip(*expected) {
                assert_eq!(ask(&client, statement).await, *answer, "{statement} in {script:?}");
            }
        }
    });
    let recovered = lab.psql("admin").run(
        "\\set ON_ERROR_STOP 0\n\\set ON_ERROR_ROLLBACK on\nBEGIN; INSERT INTO q VALUES (2);\nSELECT 1/0;\nCOMMIT;\nSELECT count(*) FROM q;",
    );
    assert!(recovered.out.ends_with('2') && recovered.err.contains("22012"), "{}{}", recovered.out, recovered.err);
}

#[test]
fn psycopg_writes_in_its_transactions() {
    let lab = Lab::open(WARD);
    let ca = lab.server.data().join("ca.pem");
    let told = python("blocks.py", &[&lab.server.port("pg").to_string(), ca.to_str().unwrap(), "nurse", "secret"]);
    assert_eq!(told, "ok");
}

#[test]
fn a_silent_session_is_ended() {
    let lab = Lab::open(WARD);
    block_on(async {
        for (script, limit) in [
            (
                &["SET idle_in_transaction_session_timeout = 300", "BEGIN", "INSERT INTO p VALUES (9, 1, 'zoe')"][..],
                "25P03",
            ),
            (&["SET idle_session_timeout = '300ms'"][..], "57P05"),
        ] {
            let (client, ended) = lab.server.connect_watched("nurse", "secret").await;
            for statement in script {
                assert_eq!(ask(&client, statement).await, "");
            }
            let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the session ends").unwrap();
            assert_eq!(ended.unwrap_err().code().map(|code| code.code().to_owned()).as_deref(), Some(limit));
        }
        // A session that works is left alone, however long that takes.
        let client = lab.connect("nurse").await;
        ask(&client, "SET idle_session_timeout = '3s'").await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(ask(&client, "SELECT 1").await, "1");
        }
    });
    assert_eq!(lab.psql("admin").rows("SELECT count(*) FROM p"), "3");
}
