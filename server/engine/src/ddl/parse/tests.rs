//! Tables of statements: what each becomes, or why it is refused.

use lakeward_base::Coded;
use lakeward_catalog::{PolicyCommand, Privilege};

use crate::ddl::{CommentTarget, Ddl, GrantTarget, GranteeName, NewPlace, RoleName, WantedPrivilege};
use crate::error::Error;
use crate::statement::{Kind, parse};

fn ddl(sql: &str) -> Ddl {
    match parse(sql).map(|statement| statement.kind) {
        Ok(Kind::Ddl(ddl)) => *ddl,
        Ok(_) => panic!("{sql} is no DDL"),
        Err(error) => panic!("{sql}: {error} at {:?}", error.position()),
    }
}

fn refusal(sql: &str) -> Error {
    parse(sql).err().unwrap_or_else(|| panic!("{sql} was accepted"))
}

#[test]
fn statements_become_changes() {
    let table = [
        ("CREATE ROLE analyst", "CreateRole", "CREATE ROLE"),
        (
            "CREATE ROLE a WITH LOGIN PASSWORD 'x' VALID UNTIL '2027-01-01' IN ROLE b, c BYPASSRLS CREATEROLE NOSUPERUSER INHERIT",
            "CreateRole",
            "CREATE ROLE",
        ),
        ("CREATE USER a ENCRYPTED PASSWORD 'x'", "CreateRole", "CREATE ROLE"),
        ("ALTER USER a PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy'", "AlterRole", "ALTER ROLE"),
        ("ALTER ROLE a WITH NOLOGIN", "AlterRole", "ALTER ROLE"),
        ("ALTER ROLE a PASSWORD NULL VALID UNTIL 'infinity'", "AlterRole", "ALTER ROLE"),
        ("ALTER ROLE a RENAME TO b", "RenameRole", "ALTER ROLE"),
        ("ALTER ROLE a SET ATTRIBUTE hospital_id = '3'", "SetAttribute", "ALTER ROLE"),
        ("ALTER ROLE a RESET ATTRIBUTE hospital_id", "SetAttribute", "ALTER ROLE"),
        ("DROP ROLE IF EXISTS a, b", "DropRole", "DROP ROLE"),
        ("DROP USER a", "DropRole", "DROP ROLE"),
        ("GRANT a, b TO c, CURRENT_USER", "Membership", "GRANT"),
        ("REVOKE a FROM c RESTRICT", "Membership", "REVOKE"),
        ("GRANT SELECT, INSERT ON t, s.u TO r, PUBLIC", "Privileges", "GRANT"),
        ("GRANT ALL PRIVILEGES ON TABLE t TO GROUP r", "Privileges", "GRANT"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA s TO r", "Privileges", "GRANT"),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE a, b IN SCHEMA s GRANT SELECT, INSERT ON TABLES TO r WITH GRANT OPTION",
            "DefaultPrivileges",
            "ALTER DEFAULT PRIVILEGES",
        ),
        (
            "ALTER DEFAULT PRIVILEGES REVOKE GRANT OPTION FOR ALL ON TABLES FROM PUBLIC, GROUP r RESTRICT",
            "DefaultPrivileges",
            "ALTER DEFAULT PRIVILEGES",
        ),
        ("REVOKE USAGE, CREATE ON SCHEMA s FROM PUBLIC", "Privileges", "REVOKE"),
        ("GRANT SELECT (a, b), INSERT ON t TO r WITH GRANT OPTION GRANTED BY CURRENT_USER", "Privileges", "GRANT"),
        ("REVOKE GRANT OPTION FOR SELECT ON t FROM r CASCADE", "Privileges", "REVOKE"),
        ("GRANT EXECUTE ON FUNCTION mask_hash TO r", "Privileges", "GRANT"),
        ("GRANT USAGE ON STORAGE 's3://b/p/' TO r", "Privileges", "GRANT"),
        ("GRANT SELECT ON function TO r", "Privileges", "GRANT"),
        ("GRANT BREAK GLASS TO r", "Privileges", "GRANT"),
        ("REVOKE BREAK GLASS FROM r", "Privileges", "REVOKE"),
        ("BREAK GLASS FOR SUBJECT 17 REASON 'x' TICKET 'y' FOR INTERVAL '30 minutes'", "BreakGlass", "BREAK GLASS"),
        ("BREAK GLASS FOR SUBJECT 'a-17' REASON 'x'", "BreakGlass", "BREAK GLASS"),
        ("END BREAK GLASS", "EndBreakGlass", "END BREAK GLASS"),
        ("REVIEW BREAK GLASS '0' NOTE 'x'", "ReviewBreakGlass", "REVIEW BREAK GLASS"),
        ("ALTER TABLE IF EXISTS t SUBJECT COLUMN (a)", "SubjectColumn", "ALTER TABLE"),
        ("GRANT a TO b WITH ADMIN OPTION", "Membership", "GRANT"),
        ("REVOKE ADMIN OPTION FOR a FROM b", "Membership", "REVOKE"),
        ("CREATE GROUP g ROLE a ADMIN b", "CreateRole", "CREATE ROLE"),
        ("ALTER GROUP g ADD USER a, b", "Membership", "GRANT"),
        ("DROP GROUP g", "DropRole", "DROP ROLE"),
        ("ALTER ROLE a SET search_path TO b, c", "RoleSetting", "ALTER ROLE"),
        ("ALTER ROLE a SET TIME ZONE 'UTC'", "RoleSetting", "ALTER ROLE"),
        ("ALTER ROLE a RESET ALL", "RoleSetting", "ALTER ROLE"),
        ("ALTER ROLE a SET ALLOWED_PURPOSES = 'TREAT,HOPERAT'", "AllowedPurposes", "ALTER ROLE"),
        ("REASSIGN OWNED BY a, b TO c", "ReassignOwned", "REASSIGN OWNED"),
        ("DROP OWNED BY a", "DropOwned", "DROP OWNED"),
        ("COMMENT ON TABLE s.t IS 'x'", "Comment", "COMMENT"),
        ("COMMENT ON COLUMN s.t.a IS NULL", "Comment", "COMMENT"),
        ("COMMENT ON ROLE a IS 'x'", "Comment", "COMMENT"),
        ("ALTER TABLE t RENAME TO u", "MoveRelation", "ALTER TABLE"),
        ("ALTER VIEW IF EXISTS v SET SCHEMA s", "MoveRelation", "ALTER VIEW"),
        ("ALTER SCHEMA s OWNER TO a", "ChangeSchemaOwner", "ALTER SCHEMA"),
        ("CREATE SCHEMA IF NOT EXISTS s AUTHORIZATION a", "CreateSchema", "CREATE SCHEMA"),
        ("CREATE SCHEMA AUTHORIZATION a", "CreateSchema", "CREATE SCHEMA"),
        ("DROP SCHEMA s RESTRICT", "DropSchema", "DROP SCHEMA"),
        (
            "CREATE TABLE t (a bigint NOT NULL, \"B\" text, c numeric(10,2), d timestamp, e timestamptz, f text[]) PARTITIONED BY (a) LOCATION 'file:///x'",
            "CreateTable",
            "CREATE TABLE",
        ),
        ("CREATE TABLE IF NOT EXISTS t (timestamp timestamp without time zone NULL)", "CreateTable", "CREATE TABLE"),
        ("CREATE EXTERNAL TABLE t STORED AS DELTA LOCATION 'file:///x'", "RegisterTable", "CREATE TABLE"),
        ("DROP TABLE IF EXISTS t, s.u", "DropTable", "DROP TABLE"),
        ("CREATE OR REPLACE VIEW v (a, b) AS SELECT 1, 2", "CreateView", "CREATE VIEW"),
        ("DROP VIEW v", "DropView", "DROP VIEW"),
        ("ALTER TABLE t OWNER TO a", "ChangeOwner", "ALTER TABLE"),
        ("ALTER VIEW IF EXISTS v OWNER TO CURRENT_USER", "ChangeOwner", "ALTER VIEW"),
        ("ALTER TABLE IF EXISTS t ENABLE ROW LEVEL SECURITY", "RowSecurity", "ALTER TABLE"),
        ("ALTER TABLE t FORCE ROW LEVEL SECURITY", "RowSecurity", "ALTER TABLE"),
        ("CREATE POLICY p ON t USING (true)", "CreatePolicy", "CREATE POLICY"),
        ("CREATE POLICY p ON t", "CreatePolicy", "CREATE POLICY"),
        ("ALTER POLICY p ON t TO a USING (b = 1)", "AlterPolicy", "ALTER POLICY"),
        ("ALTER POLICY p ON t RENAME TO q", "AlterPolicy", "ALTER POLICY"),
        ("DROP POLICY IF EXISTS p ON t", "DropPolicy", "DROP POLICY"),
        ("CREATE POLICY test ON t USING (true)", "CreatePolicy", "CREATE POLICY"),
        ("CREATE POLICY p ON t USING (true) FORCE", "Forced", "CREATE POLICY"),
        ("CREATE POLICY p ON t USING (true) SHADOW", "CreatePolicy", "CREATE POLICY"),
        ("ALTER POLICY p ON t ENFORCE FORCE", "Forced", "ALTER POLICY"),
        ("ALTER POLICY p ON t SHADOW", "AlterPolicy", "ALTER POLICY"),
        ("ALTER MASKING POLICY m SET BODY -> mask_null(val) FORCE", "Forced", "ALTER MASKING POLICY"),
        ("ALTER TABLE t DISABLE ROW LEVEL SECURITY FORCE", "Forced", "ALTER TABLE"),
        ("ALTER TABLE t ALTER COLUMN c UNSET MASKING POLICY FORCE", "Forced", "ALTER TABLE"),
        (
            "CREATE POLICY TEST x AS ROLE r WITH ATTRIBUTES (a = '1') QUERY $$SELECT 1$$ EXPECT NO ROWS",
            "CreatePolicyTest",
            "CREATE POLICY TEST",
        ),
        (
            "CREATE POLICY TEST x AS ROLE r QUERY 'SELECT a' EXPECT MASKED (a, b)",
            "CreatePolicyTest",
            "CREATE POLICY TEST",
        ),
        ("DROP POLICY TEST IF EXISTS x, y", "DropPolicyTest", "DROP POLICY TEST"),
        ("DROP POLICY test ON t", "DropPolicy", "DROP POLICY"),
        (
            "CREATE MASKING POLICY IF NOT EXISTS m AS (val text, h int) RETURNS text -> CASE WHEN h = 1 THEN val ELSE NULL END",
            "CreateMaskingPolicy",
            "CREATE MASKING POLICY",
        ),
        ("ALTER MASKING POLICY m SET BODY -> mask_null(val)", "AlterMaskingPolicy", "ALTER MASKING POLICY"),
        ("DROP MASKING POLICY IF EXISTS m", "DropMaskingPolicy", "DROP MASKING POLICY"),
        ("ALTER TABLE t ALTER COLUMN a SET MASKING POLICY m USING (a, b)", "SetMask", "ALTER TABLE"),
        ("ALTER TABLE t ALTER a UNSET MASKING POLICY", "SetMask", "ALTER TABLE"),
        ("CREATE TAG IF NOT EXISTS phi ALLOWED_VALUES ('name', 'ssn')", "Tag", "CREATE TAG"),
        ("CREATE TAG phi ALLOWED_VALUES 'name', 'ssn'", "Tag", "CREATE TAG"),
        ("DROP TAG IF EXISTS phi, pii", "Tag", "DROP TAG"),
        ("ALTER TABLE t ALTER COLUMN a SET TAG phi = 'ssn', pii = 'high'", "Tag", "ALTER TABLE"),
        ("ALTER TABLE t ALTER a UNSET TAG phi, pii", "Tag", "ALTER TABLE"),
        ("ALTER TAG phi SET MASKING POLICY m FOR VALUE 'ssn'", "Tag", "ALTER TAG"),
        ("ALTER TAG IF EXISTS phi UNSET MASKING POLICY FOR VALUE 'ssn'", "Tag", "ALTER TAG"),
        ("ALTER TAG phi ADD ALLOWED_VALUES ('x')", "Tag", "ALTER TAG"),
        ("ALTER TAG phi DROP ALLOWED_VALUES 'x', 'y'", "Tag", "ALTER TAG"),
        ("ALTER TAG phi UNSET ALLOWED_VALUES", "Tag", "ALTER TAG"),
        ("ALTER TAG phi RENAME TO health", "Tag", "ALTER TAG"),
    ];
    for (sql, kind, class) in table {
        let shown = format!("{:?}", ddl(sql));
        assert_eq!(shown.split([' ', '(']).next(), Some(kind), "{sql}");
        assert_eq!(parse(sql).unwrap().class, class, "{sql}");
        assert!(crate::statement::CLASSES.contains(&class), "{class} is not among the classes");
    }
}

#[test]
fn clauses_are_kept() {
    let Ddl::CreatePolicy(policy) = ddl(
        "create or replace policy \"P\" on S.t as restrictive for update to Alice, public using (a = 'x''y' /* why */ and (b)) with check (c > 1)",
    ) else {
        panic!()
    };
    assert_eq!(
        (policy.name.as_str(), policy.table.schema.as_deref(), policy.table.name.as_str()),
        ("P", Some("s"), "t")
    );
    assert!(policy.or_replace && !policy.permissive && policy.command == PolicyCommand::Update);
    assert_eq!(policy.grantees, [GranteeName::Role(RoleName::Named("alice".to_owned())), GranteeName::Public]);
    assert_eq!(policy.using.unwrap().expose(), "a = 'x''y' /* why */ and (b)");
    assert_eq!(policy.with_check.unwrap().expose(), "c > 1");

    let Ddl::CreateMaskingPolicy(mask) =
        ddl("CREATE OR REPLACE MASKING POLICY m AS (val varchar) RETURNS text ->\n mask_show_last(val, 4) ;")
    else {
        panic!()
    };
    assert_eq!((mask.parameters, mask.returns.as_str()), (vec![("val".to_owned(), "text".to_owned())], "text"));
    assert_eq!(mask.body.expose(), "mask_show_last(val, 4)");

    let Ddl::CreateView(view) = ddl("CREATE VIEW v AS\n  SELECT 1 AS a -- one\n  , 2 ;") else { panic!() };
    assert_eq!(view.definition.expose(), "SELECT 1 AS a -- one\n  , 2");

    let Ddl::Privileges(grant) = ddl("GRANT SELECT, DELETE ON a, B.c TO r") else { panic!() };
    let whole = |privilege| WantedPrivilege { privilege, columns: Vec::new() };
    assert_eq!(grant.privileges, [Privilege::Select, Privilege::Delete].map(whole));
    assert!(matches!(grant.on, GrantTarget::Relations(names) if names.len() == 2));

    let Ddl::Privileges(grant) = ddl("REVOKE GRANT OPTION FOR SELECT (a, \"B\"), INSERT ON t FROM r CASCADE") else {
        panic!()
    };
    assert_eq!(grant.privileges[0].columns, ["a", "B"]);
    assert!(grant.grant_option && grant.cascade && !grant.grant && grant.privileges[1].columns.is_empty());

    let Ddl::Comment { on: CommentTarget::Column(table, column), text } = ddl("COMMENT ON COLUMN s.t.a IS 'x'") else {
        panic!()
    };
    assert_eq!((table.schema.as_deref(), table.name.as_str(), column.as_str()), (Some("s"), "t", "a"));
    assert_eq!(text.unwrap().expose(), "x");

    let Ddl::MoveRelation { to, is_view: true, .. } = ddl("ALTER VIEW v RENAME TO w") else { panic!() };
    assert_eq!(to, NewPlace::Name("w".to_owned()));

    let Ddl::AllowedPurposes { purposes, .. } = ddl("ALTER ROLE a SET allowed_purposes TO 'treat, HOPERAT'") else {
        panic!()
    };
    assert_eq!(purposes.unwrap(), ["TREAT", "HOPERAT"]);

    let Ddl::CreateTable(table) =
        ddl("CREATE TABLE t (a int, b decimal(5), c float, d double precision, e varchar, f bytea, g bool)")
    else {
        panic!()
    };
    let types: Vec<_> = table.columns.iter().map(|column| column.sql_type.as_str()).collect();
    assert_eq!(types, ["integer", "numeric(5,0)", "double precision", "double precision", "text", "bytea", "boolean"]);

    let Ddl::CreateRole(role) = ddl("CREATE USER a PASSWORD 'geheim' VALID UNTIL '2027-01-01 12:00+02'") else {
        panic!()
    };
    assert_eq!(role.options.login, Some(true));
    assert_eq!(role.options.valid_until.unwrap().unwrap().to_rfc3339(), "2027-01-01T10:00:00+00:00");
    assert!(!format!("{role:?}").contains("geheim"));
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let table = [
        "CREATE ROLE a NOINHERIT",
        "CREATE ROLE a CREATEDB",
        "CREATE ROLE IF NOT EXISTS a",
        "ALTER ROLE ALL SET a = 1",
        "ALTER ROLE a IN DATABASE lakeward SET search_path = b",
        "ALTER ROLE a SET ROLE b",
        "GRANT a TO b WITH INHERIT FALSE",
        "GRANT INSERT (a) ON t TO b",
        "ALTER SCHEMA s RENAME TO t",
        "COMMENT ON POLICY p ON t IS 'x'",
        "DROP OWNED BY a CASCADE",
        "GRANT ALL (a) ON t TO b",
        "GRANT TRUNCATE ON t TO a",
        "GRANT EXECUTE ON FUNCTION f(text) TO a",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA s TO a",
        "GRANT SELECT ON SEQUENCE s TO a",
        "DROP TABLE t CASCADE",
        "DROP SCHEMA s CASCADE",
        "CREATE TABLE t (a uuid)",
        "CREATE TABLE t (a json)",
        "CREATE TABLE t (a jsonb)",
        "CREATE TABLE t (a time)",
        "CREATE TABLE t (a interval)",
        "CREATE TABLE t (a serial)",
        "CREATE TABLE t (a bigserial PRIMARY KEY)",
        "CREATE TABLE t (a varchar(3)[])",
        "CREATE TABLE t (a int[][])",
        "CREATE TABLE t (a numeric)",
        "CREATE TABLE t (a numeric(39,0))",
        "CREATE TABLE t (a timestamp(9))",
        "CREATE TABLE t (a int DEFAULT 1)",
        "CREATE TABLE t (a int PRIMARY KEY)",
        "CREATE TABLE t (a int UNIQUE)",
        "CREATE TABLE t (a int CHECK (a > 0))",
        "CREATE TABLE t (a int REFERENCES u)",
        "CREATE TABLE t (a int, PRIMARY KEY (a))",
        "CREATE TABLE t (a int, CONSTRAINT c CHECK (a > 0))",
        "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)",
        "CREATE TABLE t (a int) WITH ('connector' = 'kafka')",
        "CREATE TABLE t (a int) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
        "CREATE TABLE t (a int) TBLPROPERTIES ('Delta.appendonly' = 'true')",
        "CREATE TABLE t (a int) TBLPROPERTIES ('lakeward.x' = 'y')",
        "CREATE TABLE t (a int) PARTITION BY RANGE (a)",
        "CREATE TABLE t (a int, WATERMARK FOR a AS a)",
        "CREATE TABLE t (LIKE u)",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'x'",
        "CREATE EXTERNAL TABLE t (a int) STORED AS DELTA LOCATION 'x'",
        "ALTER TABLE t ADD COLUMN a int NOT NULL",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
        "ALTER TABLE t RENAME CONSTRAINT a TO b",
        "ALTER TABLE t DROP CONSTRAINT a",
        "ALTER TABLE t DROP COLUMN a CASCADE",
        "ALTER TABLE t NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE t SUBJECT COLUMN (a, b)",
        "ALTER TABLE t ALTER COLUMN a TYPE int",
        "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
        "CREATE TAG phi COMMENT = 'x'",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT USAGE ON SEQUENCES TO r",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT (a) ON TABLES TO r",
        "ALTER TAG phi SET MASKING POLICY m",
        "ALTER TAG phi SET COMMENT = 'x'",
        "DROP TAG phi CASCADE",
        "ALTER TABLE t ENABLE TRIGGER x",
        "ALTER TABLE t OWNER TO a, ENABLE ROW LEVEL SECURITY",
        "DROP POLICY p ON t CASCADE",
        "CREATE VIEW v AS SELECT 1 WITH CHECK OPTION",
        "CREATE VIEW v WITH (security_barrier) AS SELECT 1",
        "CREATE POLICY p ON t USING (a = ARRAY(SELECT 1))",
        "CREATE VIEW v AS SELECT * FROM t FOR UPDATE",
        "CREATE USER MAPPING FOR a SERVER s",
    ];
    for sql in table {
        let error = refusal(sql);
        assert_eq!(error.sqlstate().as_str(), "0A000", "{sql}: {error}");
        assert!(error.hint().is_some(), "{sql} has no hint");
    }
}

#[test]
fn mistakes_have_codes_and_places() {
    let table = [
        ("CREATE ROLE", "42601", Some(12)),
        ("CREATE ROLE select", "42601", Some(13)),
        ("CREATE ROLE a LOGIN NOLOGIN", "42601", Some(21)),
        ("CREATE ROLE a VALID UNTIL 'soon'", "22007", Some(27)),
        ("CREATE ROLE a b", "42601", Some(15)),
        ("GRANT SELECT ON SCHEMA s TO a", "42809", None),
        ("GRANT USAGE ON t TO a", "42809", None),
        ("GRANT SELECT ON t", "42601", Some(18)),
        ("GRANT SELECT TO a", "42601", Some(7)),
        ("GRANT a TO b c", "42601", Some(14)),
        ("CREATE TABLE t (a int, A int)", "42701", None),
        ("CREATE TABLE t (a int) PARTITIONED BY (b)", "42703", None),
        ("CREATE TABLE t (a int) PARTITIONED BY (a)", "42P17", None),
        ("CREATE TABLE t ()", "42601", Some(17)),
        ("CREATE TABLE t (a)", "42601", Some(18)),
        ("CREATE TABLE t (a int", "42601", Some(22)),
        ("CREATE POLICY p ON t FOR SELECT WITH CHECK (true)", "42601", None),
        ("CREATE POLICY p ON t FOR INSERT USING (true)", "42601", None),
        ("CREATE POLICY p ON t USING (a =)", "42601", Some(32)),
        ("CREATE POLICY p ON t USING ()", "42601", None),
        ("CREATE POLICY p ON t USING (a b)", "42601", Some(31)),
        ("CREATE POLICY p ON t USING (a", "42601", None),
        ("ALTER POLICY p ON t", "42601", Some(20)),
        ("CREATE MASKING POLICY m AS (v text) RETURNS int -> 1", "42804", None),
        ("CREATE MASKING POLICY m AS (v text, v int) RETURNS text -> v", "42P17", None),
        ("CREATE MASKING POLICY m AS (v text) RETURNS text -> ", "42601", None),
        ("CREATE VIEW v AS SELECT $1", "42P02", None),
        ("CREATE VIEW v AS DELETE FROM t", "42601", Some(18)),
        ("DROP TABLE t u", "42601", Some(14)),
    ];
    for (sql, code, position) in table {
        let error = refusal(sql);
        assert_eq!(error.sqlstate().as_str(), code, "{sql}: {error}");
        if position.is_some() {
            assert_eq!(error.position(), position, "{sql}: {error}");
        }
    }
}

#[test]
fn no_error_repeats_a_password() {
    for sql in [
        "CREATE ROLE a PASSWORD geheim",
        "CREATE ROLE a PASSWORD 'geheim' 'geheim'",
        "CREATE ROLE a PASWORD 'geheim'",
        "ALTER ROLE a PASSWORD 'geheim",
        "ALTER ROLE a PASSWORD 'geheim' PASSWORD 'geheim'",
        "CREATE ROLE a VALID UNTIL 'geheim'",
        "ALTER ROLE a 'geheim'",
        "CREATE ROLE a PASSWORD = 'geheim'",
    ] {
        let error = refusal(sql);
        let said = format!("{error:?} {error} {:?} {:?}", error.detail(), error.hint());
        assert!(!said.contains("geheim"), "{sql}: {said}");
    }
}
