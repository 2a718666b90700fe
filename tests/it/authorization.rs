//! Who may do what: every kind of statement, asked for by every kind of role, against a golden; and that no kind of
//! statement is left out, here or in the audit.
//!
//! `LAKEWARD_BLESS=1` writes the golden anew; its differences are to be read like code.

use std::fmt::Write as _;
use std::path::PathBuf;

use futures::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use crate::harness::Lab;

/// Kinds of statements that no action here asks for. It stays empty.
const UNCOVERED: [&str; 0] = [];

const SETUP: &str = "
    CREATE ROLE owner LOGIN PASSWORD 'secret'; CREATE ROLE reader LOGIN PASSWORD 'secret';
    CREATE ROLE columns LOGIN PASSWORD 'secret'; CREATE ROLE writer LOGIN PASSWORD 'secret';
    CREATE ROLE maker LOGIN PASSWORD 'secret' CREATEROLE; CREATE ROLE officer LOGIN PASSWORD 'secret';
    CREATE ROLE reviser LOGIN PASSWORD 'secret'; CREATE ROLE helper LOGIN PASSWORD 'secret';
    CREATE ROLE free LOGIN PASSWORD 'secret' BYPASSRLS; CREATE ROLE stranger LOGIN PASSWORD 'secret';
    GRANT policy_admin TO officer; GRANT auditor TO reviser; GRANT operator TO helper;
    CREATE ROLE group_role; CREATE ROLE spare;
    CREATE TABLE t (a int, b text, c text); INSERT INTO t VALUES (1, 'x', 'secret'), (2, 'y', 'secret'), (-1, 'z', 'secret');
    CREATE TABLE free_standing (a int); CREATE VIEW v AS SELECT a FROM t;
    CREATE POLICY own ON t USING (a > 0);
    CREATE MASKING POLICY m AS (val text) RETURNS text -> mask_null(val);
    CREATE MASKING POLICY unused AS (val text) RETURNS text -> mask_null(val);
    ALTER TABLE t ALTER COLUMN c SET MASKING POLICY m;
    CREATE POLICY TEST standing AS ROLE reader QUERY $$SELECT a FROM t$$ EXPECT SOME ROWS;
    CREATE TAG phi;
    GRANT BREAK GLASS TO reader;
    CREATE SCHEMA lab; CREATE SCHEMA empty;
    GRANT SELECT ON t TO reader, free; GRANT SELECT (a) ON t TO columns; GRANT SELECT, INSERT, UPDATE, DELETE ON t TO writer;
    GRANT SELECT ON v TO reader;
    ALTER TABLE t OWNER TO owner; ALTER TABLE free_standing OWNER TO owner; ALTER VIEW v OWNER TO owner; ALTER SCHEMA empty OWNER TO owner;";

const ROLES: [&str; 11] =
    ["admin", "owner", "reader", "columns", "writer", "maker", "officer", "reviser", "helper", "free", "stranger"];

/// What is asked for, and what undoes it where it is done.
const ACTIONS: &[(&str, &str)] = &[
    ("SELECT a FROM t", ""),
    ("SELECT b FROM t", ""),
    ("SELECT c FROM t", ""),
    ("SELECT a FROM v", ""),
    ("SELECT a FROM t VERSION AS OF 1", ""),
    ("SELECT user_name FROM system.audit LIMIT 1", ""),
    ("SELECT policy_name FROM system.policies", ""),
    ("EXPLAIN SELECT a FROM t", ""),
    ("EXPLAIN (POLICIES) SELECT a FROM t", ""),
    ("EXPLAIN (POLICIES) DELETE FROM t", ""),
    ("EXECUTE AS ROLE reader SELECT a FROM t", ""),
    ("EXECUTE AS ROLE admin SELECT a FROM t", ""),
    ("EXECUTE AS ROLE reviser SELECT user_name FROM system.audit LIMIT 1", ""),
    ("SHOW EFFECTIVE POLICIES ON t", ""),
    ("SHOW EFFECTIVE POLICIES ON t FOR ROLE reader", ""),
    ("SHOW GRANTS", ""),
    ("RUN POLICY TESTS", ""),
    ("DESCRIBE HISTORY t", ""),
    ("COPY t (a) TO STDOUT", ""),
    ("COPY t (a, b) FROM STDIN", ""),
    ("BEGIN; INSERT INTO t (a, b) VALUES (3, 'n'); ROLLBACK", ""),
    ("BEGIN; INSERT INTO t (a, c) VALUES (3, 'n'); ROLLBACK", ""),
    ("BEGIN; INSERT OVERWRITE free_standing VALUES (3); ROLLBACK", ""),
    ("BEGIN; INSERT OVERWRITE t (a) VALUES (3); ROLLBACK", ""),
    ("BEGIN; UPDATE t SET b = 'n' WHERE a = 1; ROLLBACK", ""),
    ("BEGIN; UPDATE t SET c = 'n' WHERE a = 1; ROLLBACK", ""),
    ("BEGIN; DELETE FROM t WHERE a = 1; ROLLBACK", ""),
    ("BEGIN; MERGE INTO t USING (SELECT 1 AS a) s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 'n'; ROLLBACK", ""),
    (
        "BEGIN; SAVEPOINT s; RELEASE SAVEPOINT s; SAVEPOINT s; ROLLBACK TO SAVEPOINT s;
         DECLARE x CURSOR FOR SELECT a FROM t; FETCH 1 FROM x; MOVE 1 FROM x; CLOSE x; COMMIT",
        "",
    ),
    ("CREATE TABLE lab.made AS SELECT a FROM t", "DROP TABLE lab.made"),
    ("CREATE OR REPLACE TABLE free_standing AS SELECT 1 AS a", ""),
    ("OPTIMIZE free_standing", ""),
    ("VACUUM free_standing DRY RUN", ""),
    ("RESTORE TABLE free_standing TO VERSION AS OF 0", ""),
    ("SET application_name = 'x'; RESET application_name; DEALLOCATE ALL; UNLISTEN *; DISCARD ALL", ""),
    ("SET ROLE group_role; RESET ROLE", ""),
    ("SET ROLE reader; RESET ROLE", ""),
    ("CREATE ROLE made", "DROP ROLE made"),
    ("CREATE ROLE made SUPERUSER", "DROP ROLE made"),
    ("ALTER ROLE spare SET ATTRIBUTE x = '1'", ""),
    ("ALTER ROLE spare LOGIN", ""),
    ("DROP ROLE spare", "CREATE ROLE spare"),
    ("GRANT group_role TO spare", "REVOKE group_role FROM spare"),
    ("REVOKE group_role FROM spare", ""),
    ("GRANT INSERT ON t TO spare", "REVOKE INSERT ON t FROM spare"),
    ("REVOKE INSERT ON free_standing FROM spare", ""),
    ("REASSIGN OWNED BY spare TO group_role", ""),
    ("DROP OWNED BY spare", ""),
    ("COMMENT ON TABLE t IS 'x'", "COMMENT ON TABLE t IS NULL"),
    ("CREATE SCHEMA made", "DROP SCHEMA made"),
    ("ALTER SCHEMA empty OWNER TO owner", ""),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA lab GRANT SELECT ON TABLES TO spare", "DROP OWNED BY spare"),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON TABLES TO spare", "DROP OWNED BY spare"),
    ("DROP SCHEMA empty", "CREATE SCHEMA empty AUTHORIZATION owner"),
    ("CREATE TABLE lab.made (a int)", "DROP TABLE lab.made"),
    ("ALTER TABLE free_standing RENAME TO renamed", "ALTER TABLE renamed RENAME TO free_standing"),
    ("ALTER TABLE t OWNER TO owner", ""),
    ("DROP TABLE free_standing", "CREATE TABLE free_standing (a int); ALTER TABLE free_standing OWNER TO owner"),
    ("CREATE VIEW lab.made AS SELECT a FROM t", "DROP VIEW lab.made"),
    ("ALTER VIEW v RENAME TO w", "ALTER VIEW w RENAME TO v"),
    ("DROP VIEW v", "CREATE VIEW v AS SELECT a FROM t; ALTER VIEW v OWNER TO owner; GRANT SELECT ON v TO reader"),
    ("ALTER TABLE t DISABLE ROW LEVEL SECURITY", "ALTER TABLE t ENABLE ROW LEVEL SECURITY"),
    ("CREATE POLICY more ON t AS RESTRICTIVE USING (a < 9)", "DROP POLICY more ON t"),
    ("CREATE POLICY more ON t AS RESTRICTIVE USING (false) FORCE", "DROP POLICY more ON t"),
    ("ALTER POLICY own ON t USING (a > 0)", ""),
    ("DROP POLICY IF EXISTS nothing ON t", ""),
    ("CREATE MASKING POLICY made AS (val text) RETURNS text -> val", "DROP MASKING POLICY made"),
    ("ALTER MASKING POLICY unused SET BODY -> mask_null(val)", ""),
    ("DROP MASKING POLICY unused", "CREATE MASKING POLICY unused AS (val text) RETURNS text -> mask_null(val)"),
    ("ALTER TABLE t ALTER COLUMN c UNSET MASKING POLICY", "ALTER TABLE t ALTER COLUMN c SET MASKING POLICY m"),
    ("CREATE TAG made", "DROP TAG made"),
    ("ALTER TABLE t SUBJECT COLUMN (a)", ""),
    ("BREAK GLASS FOR SUBJECT 1 REASON 'x'; END BREAK GLASS", ""),
    ("REVIEW BREAK GLASS '00000000-0000-0000-0000-000000000000' NOTE 'x'", ""),
    ("ALTER TAG phi SET MASKING POLICY m FOR VALUE 'x'", "ALTER TAG phi UNSET MASKING POLICY FOR VALUE 'x'"),
    ("ALTER TABLE t ALTER COLUMN b SET TAG phi = 'y'", "ALTER TABLE t ALTER COLUMN b UNSET TAG phi"),
    ("DROP TAG phi", "CREATE TAG phi"),
    ("CREATE POLICY TEST made AS ROLE reader QUERY $$SELECT 1$$ EXPECT SOME ROWS", "DROP POLICY TEST made"),
    (
        "DROP POLICY TEST standing",
        "CREATE POLICY TEST standing AS ROLE reader QUERY $$SELECT a FROM t$$ EXPECT SOME ROWS",
    ),
];

/// The SQLSTATE of an action.
async fn attempt(client: &Client, sql: &str) -> String {
    let outcome = if sql.starts_with("COPY") && sql.contains("FROM STDIN") {
        match client.copy_in::<_, bytes::Bytes>(sql).await {
            Ok(sink) => {
                let mut sink = std::pin::pin!(sink);
                sink.close().await.map(drop)
            }
            Err(error) => Err(error),
        }
    } else if sql.starts_with("COPY") {
        match client.copy_out(sql).await {
            Ok(rows) => rows.try_collect::<Vec<_>>().await.map(drop),
            Err(error) => Err(error),
        }
    } else {
        // One statement after the other, as a client would send them.
        let mut outcome = Ok(());
        for statement in sql.split("; ").map(str::trim) {
            outcome = client.simple_query(statement).await.map(drop);
            if outcome.is_err() {
                break;
            }
        }
        outcome
    };
    match outcome {
        Ok(()) => "00000".to_owned(),
        Err(error) => {
            let code = error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned());
            // Outside a block it only warns.
            let _ = client.simple_query("ROLLBACK").await;
            code
        }
    }
}

async fn matrix(lab: &Lab) -> String {
    let admin = lab.connect("admin").await;
    let mut clients = Vec::new();
    for role in ROLES {
        clients.push(lab.connect(role).await);
    }
    let mut golden = format!("# {}\n", ROLES.join(" "));
    for (action, undo) in ACTIONS {
        let mut codes = Vec::new();
        for (role, client) in ROLES.iter().zip(&clients) {
            let code = if action.contains("FROM STDIN") {
                // The driver's connection does not outlive a COPY that is refused.
                attempt(&lab.connect(role).await, action).await
            } else {
                attempt(client, action).await
            };
            if code == "00000" && !undo.is_empty() {
                for statement in undo.split("; ") {
                    admin.simple_query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
                }
            }
            codes.push(code);
        }
        let action: Vec<&str> = action.split_whitespace().collect();
        writeln!(golden, "{}\n    {}", action.join(" "), codes.join(" ")).unwrap();
    }
    golden
}

#[test]
fn every_role_may_do_what_the_golden_says() {
    let lab = Lab::open(SETUP);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(matrix(&lab));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/authorization.txt");
    if std::env::var_os("LAKEWARD_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(found, golden);
    }
    assert_eq!(found.lines().count(), golden.lines().count());
    let recorded = lab.psql("admin").rows("SELECT DISTINCT statement_class FROM system.audit");
    let recorded: Vec<&str> = recorded.lines().collect();
    let classes = lakeward_engine::statement::CLASSES.iter().copied();
    let uncovered: Vec<&str> = classes.filter(|class| !recorded.contains(class)).collect();
    assert_eq!(uncovered, UNCOVERED, "statements without a test of who may, or without a record");
}
