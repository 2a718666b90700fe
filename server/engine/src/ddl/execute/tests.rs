//! Who may change what, and what a change leaves behind; over a catalog in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::sql::sqlparser::ast;
use lakeward_base::{Coded, Epoch, Redacted, SqlState};
use lakeward_catalog::{Catalog, CommitNote, MaskingPolicy, PolicyRead, Privilege, RowPolicy, Snapshot, Table};
use lakeward_govern::Principal;

use super::{DdlContext, DdlValidator, execute};
use crate::error::Error;
use crate::response::Command;
use crate::statement::{Kind, parse};
use crate::testing::{EmptyTables, MANAGED_ROOT_URL, catalog};

/// Takes every expression but `bad`.
struct Planner;

#[async_trait]
impl DdlValidator for Planner {
    async fn view_columns(&self, _: &ast::Query) -> Result<Vec<(String, String)>, Error> {
        Ok(vec![("a".to_owned(), "bigint".to_owned())])
    }

    async fn check_policy(&self, _: &Table, sql: &str, _: Option<&RowPolicy>) -> Result<Vec<PolicyRead>, Error> {
        if sql == "bad" {
            Err(Error::new(SqlState::UNDEFINED_COLUMN, "column \"bad\" does not exist"))
        } else {
            Ok(Vec::new())
        }
    }

    async fn broken_test(&self, _: &Arc<Snapshot>, _: &Arc<Snapshot>) -> Option<(String, String)> {
        None
    }

    async fn check_mask(&self, policy: &MaskingPolicy) -> Result<(), Error> {
        if policy.body.expose() == "bad" {
            Err(Error::new(SqlState::UNDEFINED_COLUMN, "column \"bad\" does not exist"))
        } else {
            Ok(())
        }
    }
}

struct World {
    catalog: Arc<Catalog>,
    store: EmptyTables,
}

impl World {
    async fn new() -> Self {
        let world = Self { catalog: catalog().await, store: EmptyTables::default() };
        for sql in [
            "CREATE ROLE owner LOGIN",
            "CREATE ROLE maker CREATEROLE",
            "CREATE ROLE governor IN ROLE policy_admin",
            "CREATE ROLE nobody",
            "CREATE SCHEMA s",
            "GRANT USAGE, CREATE ON SCHEMA s TO owner",
        ] {
            world.run("admin", sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        world.run("owner", "CREATE TABLE s.t (a bigint NOT NULL, b text, c text)").await.unwrap();
        world
    }

    async fn run(&self, user: &str, sql: &str) -> Result<Command, Error> {
        let Kind::Ddl(ddl) = parse(sql)?.kind else { panic!("{sql}") };
        let snapshot = self.catalog.snapshot();
        let role = snapshot.role_by_name(user).unwrap();
        let principal = Principal {
            session_user: user.to_owned(),
            current_user: user.to_owned(),
            session_role: role.id,
            current_role: role.id,
            effective_roles: BTreeSet::new(),
            role_names: BTreeSet::new(),
            attributes: BTreeMap::new(),
            // Wrong on purpose: what a role may do is asked of the catalog.
            superuser: true,
            bypass_row_security: true,
            purpose: None,
            glass: None,
        };
        let context = DdlContext {
            catalog: &self.catalog,
            store: &self.store,
            principal: &principal,
            search_path: &["s".to_owned(), "public".to_owned()],
            managed_root_url: MANAGED_ROOT_URL,
            reserved_urls: &["memory://lake/catalog/".to_owned()],
            note: CommitNote { user_name: user.to_owned(), statement_id: "1".to_owned(), catalog_epoch: Epoch(0) },
            validator: &Planner,
            force: false,
        };
        execute(&context, &ddl).await
    }

    /// The code, or the tag.
    async fn outcome(&self, user: &str, sql: &str) -> String {
        match self.run(user, sql).await {
            Ok(command) => command.tag,
            Err(error) => error.sqlstate().as_str().to_owned(),
        }
    }

    fn table(&self) -> Arc<Table> {
        match self.catalog.snapshot().relation("s", "t") {
            Some(lakeward_catalog::Relation::Table(table)) => table,
            _ => panic!("no table s.t"),
        }
    }
}

#[tokio::test]
async fn permissions_are_those_of_postgresql() {
    let world = World::new().await;
    let table = [
        ("nobody", "CREATE ROLE x", "42501"),
        ("maker", "CREATE ROLE x", "CREATE ROLE"),
        ("maker", "CREATE ROLE y SUPERUSER", "42501"),
        ("maker", "CREATE ROLE y BYPASSRLS", "42501"),
        ("maker", "CREATE ROLE y IN ROLE policy_admin", "42501"),
        ("maker", "CREATE ROLE x", "42710"),
        ("maker", "ALTER ROLE admin PASSWORD 'x'", "42501"),
        ("maker", "ALTER ROLE x SUPERUSER", "42501"),
        ("nobody", "ALTER ROLE nobody PASSWORD 'x'", "ALTER ROLE"),
        ("nobody", "ALTER ROLE nobody VALID UNTIL 'infinity'", "42501"),
        ("nobody", "ALTER ROLE nobody SET ATTRIBUTE h = '1'", "42501"),
        ("maker", "ALTER ROLE nobody SET ATTRIBUTE h = '1'", "42501"),
        ("governor", "ALTER ROLE nobody SET ATTRIBUTE h = '1'", "ALTER ROLE"),
        ("maker", "GRANT admin TO maker", "42501"),
        ("maker", "GRANT auditor TO maker", "42501"),
        ("maker", "GRANT governor TO maker", "42501"),
        ("maker", "GRANT x TO nobody", "GRANT ROLE"),
        // CREATEROLE gives no power over what others made.
        ("maker", "GRANT owner TO maker", "42501"),
        ("maker", "ALTER ROLE owner PASSWORD 'x'", "42501"),
        ("maker", "ALTER ROLE owner SET search_path = z", "42501"),
        ("maker", "DROP ROLE owner", "42501"),
        ("maker", "ALTER ROLE x SET search_path = z", "ALTER ROLE"),
        ("maker", "ALTER ROLE x SET nonsense = z", "42704"),
        ("maker", "ALTER ROLE x SET ALLOWED_PURPOSES = 'TREAT'", "42501"),
        ("governor", "ALTER ROLE x SET ALLOWED_PURPOSES = 'TREAT'", "ALTER ROLE"),
        ("governor", "ALTER ROLE admin SET ALLOWED_PURPOSES = 'TREAT'", "42501"),
        ("maker", "ALTER ROLE x SET purpose_of_use = 'HRESCH'", "42501"),
        ("admin", "GRANT auditor TO maker WITH ADMIN OPTION", "GRANT ROLE"),
        ("maker", "GRANT auditor TO x", "GRANT ROLE"),
        ("maker", "GRANT operator TO x", "42501"),
        ("admin", "REVOKE auditor FROM maker", "REVOKE ROLE"),
        ("maker", "GRANT x TO maker", "42501"),
        ("admin", "REVOKE auditor FROM x", "REVOKE ROLE"),
        ("nobody", "GRANT x TO owner", "42501"),
        ("admin", "GRANT missing TO owner", "42704"),
        ("maker", "DROP ROLE admin", "42501"),
        ("maker", "DROP ROLE maker", "2BP01"),
        ("maker", "DROP ROLE x", "DROP ROLE"),
        ("nobody", "CREATE SCHEMA z", "42501"),
        ("nobody", "DROP SCHEMA s", "42501"),
        ("admin", "DROP SCHEMA s", "2BP01"),
        ("nobody", "CREATE TABLE s.x (a int)", "42501"),
        ("nobody", "CREATE TABLE public.x (a int)", "42501"),
        ("owner", "CREATE TABLE s.x (a int) LOCATION 'memory://lake/x'", "42501"),
        ("owner", "CREATE EXTERNAL TABLE s.x STORED AS DELTA LOCATION 'memory://lake/x'", "42501"),
        ("owner", "CREATE TABLE s.t (a int)", "42P07"),
        ("owner", "CREATE TABLE z.t (a int)", "3F000"),
        ("owner", "CREATE TABLE pg_catalog.t (a int)", "42501"),
        ("nobody", "GRANT SELECT ON s.t TO nobody", "42501"),
        ("owner", "GRANT SELECT ON s.t TO nobody", "GRANT"),
        ("owner", "GRANT SELECT ON ALL TABLES IN SCHEMA s TO nobody", "GRANT"),
        ("owner", "GRANT USAGE ON SCHEMA s TO nobody", "GRANT"),
        ("maker", "GRANT USAGE ON SCHEMA s TO nobody", "42501"),
        ("owner", "GRANT SELECT (a, b) ON s.t TO nobody", "GRANT"),
        ("owner", "GRANT SELECT (zz) ON s.t TO nobody", "42703"),
        ("nobody", "GRANT SELECT (a) ON s.t TO maker", "GRANT"),
        ("owner", "GRANT SELECT ON s.t TO nobody GRANTED BY admin", "0A000"),
        ("owner", "GRANT SELECT ON s.t TO PUBLIC WITH GRANT OPTION", "0LP01"),
        ("owner", "GRANT EXECUTE ON FUNCTION mask_hash TO nobody", "42501"),
        ("admin", "GRANT EXECUTE ON FUNCTION mask_hash TO nobody", "GRANT"),
        ("admin", "GRANT EXECUTE ON FUNCTION lower TO nobody", "42883"),
        ("owner", "GRANT BREAK GLASS TO owner", "42501"),
        ("admin", "GRANT BREAK GLASS TO owner", "GRANT"),
        ("owner", "GRANT USAGE ON STORAGE 'memory://lake/' TO owner", "42501"),
        ("nobody", "COMMENT ON TABLE s.t IS 'x'", "42501"),
        ("owner", "COMMENT ON TABLE s.t IS 'x'", "COMMENT"),
        ("owner", "COMMENT ON VIEW s.t IS 'x'", "42809"),
        ("owner", "COMMENT ON COLUMN s.t.zz IS 'x'", "42703"),
        ("owner", "COMMENT ON COLUMN s.t.a IS 'x'", "COMMENT"),
        ("owner", "COMMENT ON SCHEMA s IS 'x'", "42501"),
        ("maker", "COMMENT ON ROLE owner IS 'x'", "42501"),
        ("owner", "GRANT SELECT ON s.missing TO nobody", "42P01"),
        ("nobody", "CREATE POLICY p ON s.t USING (true)", "42501"),
        ("nobody", "CREATE POLICY p ON s.t USING (bad)", "42501"),
        ("owner", "CREATE POLICY p ON s.t USING (bad)", "42703"),
        ("owner", "CREATE POLICY p ON s.t USING (true)", "CREATE POLICY"),
        ("governor", "CREATE POLICY q ON s.t USING (true)", "CREATE POLICY"),
        ("governor", "CREATE POLICY q ON s.t USING (true)", "42710"),
        ("nobody", "DROP POLICY p ON s.t", "42501"),
        ("nobody", "ALTER TABLE s.t DISABLE ROW LEVEL SECURITY", "42501"),
        ("owner", "ALTER POLICY p ON s.t RENAME TO q", "42710"),
        ("owner", "ALTER POLICY missing ON s.t TO nobody", "42704"),
        ("owner", "CREATE MASKING POLICY m AS (v text) RETURNS text -> v", "42501"),
        ("governor", "CREATE MASKING POLICY m AS (v text) RETURNS text -> bad", "42703"),
        ("governor", "CREATE MASKING POLICY m AS (v text) RETURNS text -> v", "CREATE MASKING POLICY"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN a SET MASKING POLICY m", "42804"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN z SET MASKING POLICY m", "42703"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN b SET MASKING POLICY z", "42704"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN b SET MASKING POLICY m USING (c)", "42P17"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN b SET MASKING POLICY m USING (b, c)", "42P17"),
        ("nobody", "ALTER TABLE s.t ALTER COLUMN b SET MASKING POLICY m", "42501"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN b SET MASKING POLICY m", "ALTER TABLE"),
        ("owner", "DROP MASKING POLICY m", "42501"),
        ("governor", "DROP MASKING POLICY m", "2BP01"),
        ("governor", "ALTER MASKING POLICY m SET BODY -> 'x'", "ALTER MASKING POLICY"),
        ("owner", "CREATE TAG phi", "42501"),
        ("governor", "CREATE TAG phi ALLOWED_VALUES ('b', 'x')", "CREATE TAG"),
        ("governor", "CREATE TAG phi", "42710"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN b SET TAG phi = 'b'", "42501"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN b SET TAG missing = 'b'", "42704"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN zz SET TAG phi = 'b'", "42703"),
        ("governor", "ALTER TABLE s.zz ALTER COLUMN b SET TAG phi = 'b'", "42P01"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN b SET TAG phi = 'zz'", "22023"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN b SET TAG phi = 'b'", "ALTER TABLE"),
        ("owner", "ALTER TABLE s.t ALTER COLUMN b UNSET TAG phi", "42501"),
        ("owner", "ALTER TAG phi SET MASKING POLICY m FOR VALUE 'b'", "42501"),
        ("governor", "ALTER TAG phi SET MASKING POLICY missing FOR VALUE 'b'", "42704"),
        ("governor", "ALTER TAG phi SET MASKING POLICY m FOR VALUE 'zz'", "22023"),
        ("governor", "ALTER TAG phi SET MASKING POLICY m FOR VALUE 'b'", "ALTER TAG"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN a SET TAG phi = 'b'", "42804"),
        ("governor", "ALTER TAG phi DROP ALLOWED_VALUES ('b')", "2BP01"),
        ("governor", "ALTER TAG phi DROP ALLOWED_VALUES ('x')", "ALTER TAG"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN c SET TAG phi = 'x'", "22023"),
        ("governor", "ALTER TAG phi ADD ALLOWED_VALUES ('x')", "ALTER TAG"),
        ("owner", "DROP TAG phi", "42501"),
        ("governor", "DROP TAG phi", "2BP01"),
        ("governor", "ALTER TAG missing UNSET ALLOWED_VALUES", "42704"),
        ("governor", "ALTER TAG IF EXISTS missing UNSET ALLOWED_VALUES", "ALTER TAG"),
        ("governor", "ALTER TAG phi UNSET MASKING POLICY FOR VALUE 'b'", "ALTER TAG"),
        ("governor", "ALTER TABLE s.t ALTER COLUMN b UNSET TAG phi", "ALTER TABLE"),
        ("admin", "DROP TAG phi", "DROP TAG"),
        ("owner", "CREATE VIEW s.v AS SELECT 1", "CREATE VIEW"),
        ("owner", "CREATE VIEW s.v AS SELECT 1", "42P07"),
        ("owner", "CREATE OR REPLACE VIEW s.t AS SELECT 1", "42809"),
        ("nobody", "CREATE VIEW s.w AS SELECT 1", "42501"),
        ("nobody", "CREATE OR REPLACE VIEW s.v AS SELECT 1", "42501"),
        ("owner", "DROP TABLE s.v", "42809"),
        ("nobody", "ALTER TABLE s.t RENAME TO u", "42501"),
        ("owner", "ALTER TABLE s.t RENAME TO v", "42P07"),
        ("owner", "ALTER TABLE s.t SET SCHEMA public", "42501"),
        ("owner", "ALTER VIEW s.t RENAME TO u", "42809"),
        ("owner", "ALTER TABLE s.t RENAME TO u", "ALTER TABLE"),
        ("owner", "ALTER TABLE s.u RENAME TO t", "ALTER TABLE"),
        ("owner", "ALTER SCHEMA s OWNER TO owner", "42501"),
        ("owner", "REASSIGN OWNED BY owner TO nobody", "42501"),
        ("nobody", "DROP VIEW s.v", "42501"),
        ("owner", "DROP VIEW s.v", "DROP VIEW"),
        ("owner", "ALTER TABLE s.t OWNER TO nobody", "42501"),
        ("nobody", "ALTER TABLE s.t OWNER TO nobody", "42501"),
        ("nobody", "DROP TABLE s.t", "42501"),
        ("admin", "ALTER TABLE s.t OWNER TO nobody", "ALTER TABLE"),
        ("owner", "DROP TABLE s.t", "42501"),
        ("nobody", "DROP TABLE s.t", "DROP TABLE"),
    ];
    for (user, sql, expected) in table {
        assert_eq!(world.outcome(user, sql).await, expected, "{user}: {sql}");
    }
}

#[tokio::test]
async fn files_and_entries_go_together() {
    let world = World::new().await;
    let files = || world.store.locations();
    let location = world.table().location.clone();
    assert_eq!(files(), [location]);
    assert!(world.table().managed && world.table().grantable);

    // What can be known beforehand is refused before a file is made.
    world.run("owner", "CREATE VIEW s.v AS SELECT 1").await.unwrap();
    assert_eq!(world.outcome("owner", "CREATE TABLE s.v (a int)").await, "42P07");
    assert_eq!(world.outcome("owner", "CREATE TABLE s.\"pg_x\" (a int)").await, "42939");
    assert_eq!(files().len(), 1);

    // Above another table's files: nothing may be made there, and above all nothing removed.
    for taken in ["", "catalog", "catalog/log/x", "tables"] {
        let sql = format!("CREATE TABLE s.x (a int) LOCATION 'memory://lake/{taken}'");
        assert_eq!(world.outcome("admin", &sql).await, "42710", "{taken}");
    }
    assert_eq!(files().len(), 1);

    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
    ]));
    world.store.put("memory://lake/external/", schema);
    world.run("admin", "CREATE EXTERNAL TABLE s.e STORED AS DELTA LOCATION 'memory://lake/external'").await.unwrap();
    assert_eq!(
        world.outcome("admin", "CREATE EXTERNAL TABLE s.f STORED AS DELTA LOCATION 'memory://lake/external/'").await,
        "42710"
    );
    assert_eq!(
        world.outcome("admin", "CREATE EXTERNAL TABLE s.f STORED AS DELTA LOCATION 'memory://lake/nothing'").await,
        "42P01"
    );
    let Some(lakeward_catalog::Relation::Table(external)) = world.catalog.snapshot().relation("s", "e") else {
        panic!()
    };
    let columns: Vec<_> =
        external.columns.iter().map(|column| (column.name.as_str(), column.sql_type.as_str())).collect();
    assert_eq!((columns.as_slice(), external.managed), (&[("n", "bigint"), ("tags", "text[]")][..], false));

    world.run("admin", "DROP TABLE s.e, s.t").await.unwrap();
    assert_eq!(files(), ["memory://lake/external/"]);
}

#[tokio::test]
async fn notices_are_those_of_postgresql() {
    let world = World::new().await;
    let table = [
        ("CREATE TABLE IF NOT EXISTS s.t (a int)", "relation \"t\" already exists, skipping"),
        ("CREATE SCHEMA IF NOT EXISTS s", "schema \"s\" already exists, skipping"),
        ("DROP TABLE IF EXISTS s.x", "table \"x\" does not exist, skipping"),
        ("DROP VIEW IF EXISTS x", "view \"x\" does not exist, skipping"),
        ("DROP ROLE IF EXISTS x", "role \"x\" does not exist, skipping"),
        ("DROP SCHEMA IF EXISTS x", "schema \"x\" does not exist, skipping"),
        ("DROP POLICY IF EXISTS p ON s.t", "policy \"p\" for table \"t\" does not exist, skipping"),
        ("DROP TAG IF EXISTS phi", "tag \"phi\" does not exist, skipping"),
        ("DROP MASKING POLICY IF EXISTS m", "masking policy \"m\" does not exist, skipping"),
        ("CREATE POLICY p ON s.t USING (true)", "row level security is now enabled on table \"t\""),
        ("GRANT policy_admin TO governor", "role \"governor\" is already a member of role \"policy_admin\""),
        ("REVOKE policy_admin FROM nobody", "role \"nobody\" is not a member of role \"policy_admin\""),
    ];
    for (sql, expected) in table {
        let command = world.run("admin", sql).await.unwrap();
        let messages: Vec<_> = command.notices.iter().map(|notice| notice.message.as_str()).collect();
        assert_eq!(messages, [expected], "{sql}");
    }
    assert!(world.run("admin", "CREATE POLICY q ON s.t USING (true)").await.unwrap().notices.is_empty());
}

#[tokio::test]
async fn changes_are_what_was_asked_for() {
    let world = World::new().await;
    for sql in [
        "CREATE USER alice PASSWORD 'geheim' VALID UNTIL '2027-01-01' IN ROLE nobody",
        "ALTER ROLE alice SET ATTRIBUTE hospital_id = '3'",
        "GRANT ALL ON s.t TO alice",
        "REVOKE DELETE ON s.t FROM alice",
        "CREATE OR REPLACE POLICY p ON t FOR SELECT TO alice USING (a = 1)",
        "CREATE OR REPLACE POLICY p ON t AS RESTRICTIVE USING (a = 2)",
        "CREATE MASKING POLICY m AS (v text, w text) RETURNS text -> v",
        "ALTER TABLE t ALTER COLUMN b SET MASKING POLICY m USING (b, c)",
    ] {
        world.run("admin", sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let snapshot = world.catalog.snapshot();
    let alice = snapshot.role_by_name("alice").unwrap();
    assert!(alice.login && alice.verifier.as_ref().unwrap().verify_password("geheim"));
    assert_eq!(alice.attributes.get("hospital_id").map(String::as_str), Some("3"));
    assert!(alice.member_of.contains(&snapshot.role_by_name("nobody").unwrap().id));
    let table = world.table();
    let mut privileges: Vec<_> = table.grants.iter().map(|grant| grant.privilege).collect();
    privileges.sort();
    assert_eq!(privileges, [Privilege::Select, Privilege::Insert, Privilege::Update]);
    assert!(table.grants.iter().all(|grant| grant.grantor == table.owner));
    assert_eq!(table.policies.len(), 1);
    assert_eq!(table.policies[0].using.as_ref().map(Redacted::expose).map(String::as_str), Some("a = 2"));
    assert!(!table.policies[0].permissive && table.row_security);
    assert_eq!(table.columns[1].mask.as_ref().unwrap().arguments, [table.columns[1].id, table.columns[2].id]);

    world.run("admin", "ALTER USER alice PASSWORD NULL NOLOGIN").await.unwrap();
    world.run("admin", "ALTER TABLE t ALTER COLUMN b UNSET MASKING POLICY").await.unwrap();
    world.run("admin", "ALTER TABLE t FORCE ROW LEVEL SECURITY").await.unwrap();
    world.run("admin", "ALTER TABLE t DISABLE ROW LEVEL SECURITY").await.unwrap();
    let snapshot = world.catalog.snapshot();
    let alice = snapshot.role_by_name("alice").unwrap();
    assert!(!alice.login && alice.verifier.is_none());
    assert!(world.table().columns[1].mask.is_none() && !world.table().row_security);
}

#[tokio::test]
async fn grant_options_are_passed_on_and_taken_back() {
    let world = World::new().await;
    let steps = [
        ("owner", "GRANT SELECT ON s.t TO nobody WITH GRANT OPTION", "GRANT"),
        ("nobody", "GRANT SELECT ON s.t TO maker", "GRANT"),
        ("nobody", "GRANT SELECT (a) ON s.t TO governor", "GRANT"),
        ("owner", "REVOKE GRANT OPTION FOR SELECT ON s.t FROM nobody", "2BP01"),
        ("owner", "REVOKE GRANT OPTION FOR SELECT ON s.t FROM nobody CASCADE", "REVOKE"),
    ];
    for (user, sql, expected) in steps {
        assert_eq!(world.outcome(user, sql).await, expected, "{user}: {sql}");
    }
    assert_eq!(world.table().grants.len(), 1, "nobody's own is left");
    let warnings = [
        ("nobody", "GRANT SELECT ON s.t TO maker", "01007", "no privileges were granted for \"t\""),
        ("nobody", "GRANT ALL ON s.t TO maker", "01007", "no privileges were granted for \"t\""),
        ("nobody", "REVOKE SELECT ON s.t FROM maker", "01006", "no privileges could be revoked for \"t\""),
    ];
    for (user, sql, code, message) in warnings {
        let notices = world.run(user, sql).await.unwrap().notices;
        assert_eq!((notices[0].sqlstate.as_str(), notices[0].message.as_str()), (code, message), "{sql}");
    }
    world.run("owner", "GRANT SELECT ON s.t TO nobody WITH GRANT OPTION").await.unwrap();
    let notices = world.run("nobody", "GRANT SELECT, INSERT ON s.t TO maker").await.unwrap().notices;
    assert_eq!(notices[0].message, "not all privileges were granted for \"t\"");
    assert!(world.run("nobody", "GRANT ALL ON s.t TO maker").await.unwrap().notices.is_empty());
}

#[tokio::test]
async fn what_a_role_leaves_behind_is_handed_over() {
    let world = World::new().await;
    for sql in [
        "GRANT SELECT ON s.t TO governor",
        "CREATE POLICY p ON s.t USING (true)",
        "GRANT EXECUTE ON FUNCTION mask_hash TO owner",
    ] {
        world.run("admin", sql).await.unwrap();
    }
    let steps = [
        ("DROP ROLE owner", "2BP01"),
        ("DROP OWNED BY owner", "0A000"),
        ("REASSIGN OWNED BY owner TO governor", "REASSIGN OWNED"),
        ("DROP ROLE owner", "2BP01"),
        ("DROP OWNED BY owner", "DROP OWNED"),
        ("DROP ROLE owner", "DROP ROLE"),
    ];
    for (sql, expected) in steps {
        assert_eq!(world.outcome("admin", sql).await, expected, "{sql}");
    }
    let snapshot = world.catalog.snapshot();
    assert_eq!(world.table().owner, snapshot.role_by_name("governor").unwrap().id);
}

#[tokio::test]
async fn a_location_needs_storage_that_was_granted() {
    let world = World::new().await;
    world.run("admin", "GRANT USAGE ON STORAGE 'memory://lake/mine' TO owner").await.unwrap();
    let steps = [
        ("CREATE TABLE s.a (a int) LOCATION 'memory://lake/mine/a'", "CREATE TABLE"),
        ("CREATE TABLE s.b (a int) LOCATION 'memory://lake/other/b'", "42501"),
        ("CREATE TABLE s.b (a int) LOCATION 'memory://lake/mine/../other/b'", "42501"),
        ("CREATE TABLE s.b (a int) LOCATION 'memory://lake/mine2/b'", "42501"),
        ("CREATE EXTERNAL TABLE s.b STORED AS DELTA LOCATION 'memory://lake/'", "42501"),
    ];
    for (sql, expected) in steps {
        assert_eq!(world.outcome("owner", sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_role_that_is_gone_changes_nothing() {
    let world = World::new().await;
    world.run("admin", "CREATE ROLE late CREATEROLE").await.unwrap();
    let Kind::Ddl(ddl) = parse("CREATE ROLE x").unwrap().kind else { panic!() };
    let late = world.catalog.snapshot().role_by_name("late").unwrap().id;
    world.run("admin", "DROP ROLE late").await.unwrap();
    let principal = Principal {
        session_user: "late".to_owned(),
        current_user: "late".to_owned(),
        session_role: late,
        current_role: late,
        effective_roles: BTreeSet::new(),
        role_names: BTreeSet::new(),
        attributes: BTreeMap::new(),
        superuser: true,
        bypass_row_security: false,
        purpose: None,
        glass: None,
    };
    let context = DdlContext {
        catalog: &world.catalog,
        store: &world.store,
        principal: &principal,
        search_path: &[],
        managed_root_url: MANAGED_ROOT_URL,
        reserved_urls: &[],
        note: CommitNote { user_name: "late".to_owned(), statement_id: "1".to_owned(), catalog_epoch: Epoch(0) },
        validator: &Planner,
        force: false,
    };
    assert_eq!(execute(&context, &ddl).await.unwrap_err().sqlstate(), SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
}
