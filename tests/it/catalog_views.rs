//! What the catalog tells of grants, comments, roles and policies: to psql, and in `system`.

use crate::harness::Lab;

const SETUP: &str = "
    CREATE TABLE p (id bigint, ward int, ssn text);
    INSERT INTO p VALUES (1, 1, 'x');
    CREATE SCHEMA lab;
    CREATE VIEW lab.v AS SELECT id FROM p;
    CREATE ROLE ann LOGIN PASSWORD 'secret'; CREATE ROLE ben LOGIN PASSWORD 'secret';
    CREATE ROLE nurse; GRANT nurse TO ann WITH ADMIN OPTION;
    GRANT SELECT ON p TO ann WITH GRANT OPTION; GRANT SELECT (id, ward) ON p TO ben; GRANT INSERT ON p TO PUBLIC;
    GRANT USAGE ON SCHEMA lab TO nurse; GRANT SELECT ON lab.v TO nurse;
    GRANT EXECUTE ON FUNCTION mask_hash TO nurse;
    ALTER ROLE ann SET ATTRIBUTE ward = '1'; ALTER ROLE ann SET search_path = lab, public;
    ALTER ROLE ann SET ALLOWED_PURPOSES = 'TREAT';
    CREATE POLICY own ON p TO ann USING (ward = 1);
    CREATE MASKING POLICY gone AS (val text) RETURNS text -> mask_null(val);
    ALTER TABLE p ALTER COLUMN ssn SET MASKING POLICY gone;
    COMMENT ON TABLE p IS 'who is here'; COMMENT ON COLUMN p.ssn IS 'social security';
    COMMENT ON VIEW lab.v IS 'ids'; COMMENT ON SCHEMA lab IS 'research'; COMMENT ON ROLE nurse IS 'on the wards';";

#[test]
fn psql_shows_grants_comments_and_settings() {
    let lab = Lab::open(SETUP);
    let admin = lab.psql("admin");
    let shows = |command: &str, parts: &[&str]| {
        let out = admin.rows(command);
        for part in parts {
            assert!(out.contains(part), "{command}: no {part} in\n{out}");
        }
    };
    shows("\\dp p", &["admin=arwd/admin", "=a/admin", "ann=r*/admin", "id:", "ben=r/admin", "own:"]);
    shows("\\dt+ p", &["who is here"]);
    shows("\\d+ p", &["social security"]);
    shows("\\dv+ lab.*", &["ids"]);
    shows("\\dn+", &["research", "nurse=U/admin", "admin=UC/admin"]);
    shows("\\du+", &["on the wards"]);
    shows("\\drds", &["search_path=lab, public"]);
    shows("\\sv lab.v", &["SELECT id FROM p"]);
    for command in [
        "\\d",
        "\\z",
        "\\ddp",
        "\\df",
        "\\dT",
        "\\l+",
        "\\dx",
        "\\db",
        "\\dC",
        "\\do",
        "\\conninfo",
        "\\dv",
        "\\dg",
        "\\dn",
        "\\di",
        "\\ds",
        "\\dm",
        "\\dE",
        "\\da",
        "\\dc",
        "\\dD",
        "\\des",
        "\\dO",
        "\\db+",
        "\\dP",
        "\\dS",
        "\\dy",
        "\\dF",
        "\\dRp",
        "\\dRs",
        "\\dA",
        "\\dconfig",
        "\\d lab.v",
        "\\d pg_class",
        "\\d system.grants",
    ] {
        let answer = admin.run(command);
        assert!(answer.ok && !answer.err.contains("ERROR"), "{command}: {}", answer.err);
    }
}

#[test]
fn each_sees_what_it_may_know() {
    let lab = Lab::open(SETUP);
    let (admin, ann, ben) = (lab.psql("admin"), lab.psql("ann"), lab.psql("ben"));
    let grants = "SELECT object_kind, object_name, column_name, privilege, grantee, is_grantable FROM system.grants
                  WHERE object_kind <> 'role' AND object_name <> 'public' ORDER BY 1, 2, 3, 4, 5";
    assert_eq!(ben.rows(grants), "table|p|id|SELECT|ben|f\ntable|p|ward|SELECT|ben|f\ntable|p||INSERT|PUBLIC|f");
    assert_eq!(
        ann.rows(grants),
        "function|mask_hash||EXECUTE|nurse|f\nschema|lab||USAGE|nurse|f\ntable|p||INSERT|PUBLIC|f\ntable|p||SELECT|ann|t\nview|v||SELECT|nurse|f"
    );
    assert_eq!(admin.rows("SHOW GRANTS FOR nurse").lines().count(), 3);
    assert_eq!(ben.rows("SHOW GRANTS FOR nurse"), "");
    assert!(ben.rows("SHOW GRANTS").contains("role||nurse||MEMBER|ann||t"));

    let policies = "SELECT policy_name, column_name, kind, expression FROM system.policies ORDER BY 1";
    assert_eq!(admin.rows(policies), "gone|ssn|mask|mask_null(val)\nown||row|ward = 1");
    assert_eq!(ann.rows(policies), "gone|ssn|mask|\nown||row|");
    assert_eq!(ben.rows(policies), "gone|ssn|mask|", "a policy that is not for one is not shown");
    assert_eq!(admin.rows("SHOW POLICIES").lines().count(), 2);

    let roles = "SELECT attributes, allowed_purposes, settings FROM system.roles WHERE role_name = 'ann'";
    let all = "{\"ward\":\"1\"}|{TREAT}|{\"search_path=lab, public\"}";
    assert_eq!((admin.rows(roles).as_str(), ann.rows(roles).as_str()), (all, all));
    assert_eq!(ben.rows(roles), "||");
    assert_eq!(ben.rows("SELECT count(*) FROM pg_db_role_setting"), "0");

    let tables = "SELECT table_name, version, files, bytes IS NOT NULL, comment FROM system.tables";
    assert_eq!(admin.rows(tables), "p|1|1|t|who is here");
    assert_eq!(ben.rows(tables), "p|1||f|who is here", "how much there is tells of rows that are hidden");
    let asked = "SELECT EXISTS (SELECT 1 FROM system.tables), (SELECT max(version) FROM system.tables)";
    assert_eq!(admin.rows(asked), "t|1", "in a subquery it has its rows, too");
    lab.psql("admin").rows("CREATE ROLE cat LOGIN PASSWORD 'secret'; REVOKE INSERT ON p FROM PUBLIC");
    let cat = lab.psql("cat");
    for sql in [
        tables,
        policies,
        "SELECT description FROM pg_description",
        "SELECT obj_description(16390)",
        "SELECT table_name FROM information_schema.column_privileges",
        "SELECT table_name FROM information_schema.table_privileges",
    ] {
        assert_eq!(cat.rows(sql), "", "{sql}");
    }
}

#[test]
fn information_schema_tells_privileges() {
    let lab = Lab::open(SETUP);
    let (admin, ann, ben) = (lab.psql("admin"), lab.psql("ann"), lab.psql("ben"));
    assert_eq!(
        ben.rows("SELECT grantee, column_name, privilege_type FROM information_schema.column_privileges WHERE grantee = 'ben' ORDER BY 2"),
        "ben|id|SELECT\nben|ward|SELECT"
    );
    assert_eq!(
        ann.rows("SELECT privilege_type, is_grantable FROM information_schema.role_table_grants WHERE grantee = 'ann'"),
        "SELECT|YES"
    );
    assert_eq!(ann.rows("SELECT role_name, is_grantable FROM information_schema.applicable_roles"), "nurse|YES");
    assert_eq!(ann.rows("SELECT role_name FROM information_schema.enabled_roles ORDER BY 1"), "ann\nnurse");
    assert_eq!(
        admin.rows("SELECT a.attname, a.attacl FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname = 'p' AND attacl IS NOT NULL ORDER BY 1"),
        "id|{ben=r/admin}\nward|{ben=r/admin}"
    );
    assert_eq!(admin.rows("SELECT count(*) FROM information_schema.routines"), "0");
    assert_eq!(
        ann.rows("SELECT pg_has_role('nurse', 'MEMBER WITH ADMIN OPTION'), has_schema_privilege('lab', 'USAGE')"),
        "t|t"
    );
}
