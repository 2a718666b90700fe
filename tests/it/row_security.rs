//! Every command under every kind of row policy, as PostgreSQL 15 answers it: both are asked, and must agree.
//!
//! Invariant: where they differ on purpose, the difference is a line of [`DIFFERENT`], and in the reference.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Lab, Postgres};

const SETUP: &[&str] = &[
    "CREATE TABLE t (id int, ward int, note text)",
    "CREATE TABLE m (ward int)",
    "INSERT INTO m VALUES (1), (NULL)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON t TO nurse",
    "GRANT SELECT ON m TO nurse",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
];
const ROWS: &str = "INSERT INTO t VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, NULL, 'd')";

const POLICIES: &[&[&str]] = &[
    &[],
    &["USING (ward = 1)"],
    &["USING (true)"],
    &["FOR SELECT USING (ward = 1)"],
    &["FOR UPDATE USING (true)"],
    &["FOR DELETE USING (true)"],
    &["FOR INSERT WITH CHECK (ward = 1)"],
    &["FOR ALL WITH CHECK (ward = 1)"],
    &["FOR SELECT USING (true)", "FOR UPDATE USING (ward = 1)"],
    &["FOR SELECT USING (true)", "FOR UPDATE USING (ward = 1) WITH CHECK (ward < 3)"],
    &["FOR SELECT USING (ward = 1)", "FOR UPDATE USING (true) WITH CHECK (true)"],
    &["FOR SELECT USING (ward = 1)", "FOR DELETE USING (true)"],
    &["FOR SELECT USING (true)", "FOR DELETE USING (ward = 2)"],
    &["FOR SELECT USING (true)", "FOR INSERT WITH CHECK (ward = 1)"],
    &["USING (ward = 1) WITH CHECK (ward = 2)"],
    &["USING (true)", "AS RESTRICTIVE USING (ward = 1)"],
    &["USING (true)", "AS RESTRICTIVE FOR SELECT USING (ward = 1)"],
    &["USING (true)", "AS RESTRICTIVE FOR INSERT WITH CHECK (ward = 1)"],
    &["USING (true)", "AS RESTRICTIVE FOR UPDATE USING (ward = 1) WITH CHECK (true)"],
    &["USING (true)", "AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (ward = 1)"],
    &["USING (true)", "AS RESTRICTIVE FOR DELETE USING (ward = 1)"],
    &["AS RESTRICTIVE USING (true)"],
    &["USING (ward = 1)", "USING (ward IS NULL)"],
    &["TO other USING (true)"],
    &["TO other USING (true)", "TO nurse USING (ward = 2)"],
    &["USING (ward IN (SELECT ward FROM m))"],
    &["USING (ward NOT IN (SELECT ward FROM m))"],
    &["USING (ward NOT IN (SELECT ward FROM m WHERE ward IS NOT NULL))"],
    &["USING (EXISTS (SELECT 1 FROM m WHERE m.ward = t.ward))"],
    &["USING (NOT EXISTS (SELECT 1 FROM m WHERE m.ward = t.ward))"],
    &[
        "FOR SELECT USING (true)",
        "FOR UPDATE USING (NOT EXISTS (SELECT 1 FROM m WHERE m.ward = t.ward)) WITH CHECK (ward IN (SELECT ward FROM m))",
        "FOR DELETE USING (ward IN (SELECT ward FROM m))",
    ],
];

const STATEMENTS: &[&str] = &[
    "SELECT id FROM t ORDER BY id",
    "INSERT INTO t VALUES (10, 1, 'new')",
    "INSERT INTO t VALUES (11, 2, 'new')",
    "INSERT INTO t SELECT id + 20, ward, note FROM t",
    "UPDATE t SET note = 'x' WHERE id > 0",
    "UPDATE t SET ward = 2 WHERE ward = 1",
    "UPDATE t SET ward = 1 WHERE ward = 2",
    "UPDATE t SET note = o.note FROM t o WHERE o.id = t.id + 1",
    "DELETE FROM t WHERE id > 0",
    "DELETE FROM t USING m WHERE m.ward = t.ward",
    "MERGE INTO t USING (VALUES (1)) s (id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET note = 'm'",
    "MERGE INTO t USING (VALUES (3)) s (id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET ward = 1",
    "MERGE INTO t USING (VALUES (3)) s (id) ON t.id = s.id WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING (VALUES (12, 1)) s (id, ward) ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.ward, 'm')",
    "MERGE INTO t USING (VALUES (13, 2)) s (id, ward) ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.ward, 'm')",
];

/// Policies and statements that are answered otherwise on purpose.
const DIFFERENT: &[(&str, &str)] = &[];

/// The rows, or the code.
async fn outcome(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let cells = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|cell| row.get(cell).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    match client.simple_query(sql).await {
        Ok(messages) => Ok(messages.into_iter().filter_map(cells).collect()),
        Err(error) => Err(error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().to_owned()),
    }
}

async fn must(client: &Client, sql: &str) {
    client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// One server, as its administrator and as the one whom the policies are for.
struct Side {
    admin: Client,
    nurse: Client,
}

impl Side {
    async fn policies(&self, policies: &[&str]) {
        for number in 0..3 {
            must(&self.admin, &format!("DROP POLICY IF EXISTS p{number} ON t")).await;
        }
        for (number, policy) in policies.iter().enumerate() {
            must(&self.admin, &format!("CREATE POLICY p{number} ON t {policy}")).await;
        }
    }

    /// What the nurse is told, and what the table holds afterwards.
    async fn answer(&self, statement: &str) -> (Result<Vec<String>, String>, Vec<String>) {
        let all = "SELECT id, ward, note FROM t ORDER BY id";
        let before = outcome(&self.admin, all).await.unwrap();
        let told = outcome(&self.nurse, statement).await;
        let after = outcome(&self.admin, all).await.unwrap();
        if after != before {
            must(&self.admin, "DELETE FROM t").await;
            must(&self.admin, ROWS).await;
        }
        (told, after)
    }
}

#[test]
fn every_command_meets_policies_as_in_postgresql() {
    let (oracle, lab) = (Postgres::start(), Lab::open("CREATE ROLE nurse LOGIN PASSWORD 'secret'; CREATE ROLE other;"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let differing = runtime.block_on(async {
        let theirs = Side { admin: oracle.connect().await, nurse: oracle.connect().await };
        let ours = Side { admin: lab.connect("admin").await, nurse: lab.connect("nurse").await };
        must(&theirs.admin, "CREATE ROLE nurse; CREATE ROLE other").await;
        for side in [&theirs, &ours] {
            for statement in SETUP {
                must(&side.admin, statement).await;
            }
            must(&side.admin, ROWS).await;
        }
        must(&theirs.nurse, "SET ROLE nurse").await;
        let mut differing = Vec::new();
        for policies in POLICIES {
            let (name, _) = (policies.join("; "), theirs.policies(policies).await);
            ours.policies(policies).await;
            for statement in STATEMENTS {
                let (expected, found) = (theirs.answer(statement).await, ours.answer(statement).await);
                if (expected != found) != DIFFERENT.contains(&(name.as_str(), statement)) {
                    differing.push(format!("{name}: {statement}\n  PostgreSQL {expected:?}\n  Lakeward   {found:?}"));
                }
            }
        }
        differing
    });
    assert!(differing.is_empty(), "{} answers differ:\n{}", differing.len(), differing.join("\n"));
}
