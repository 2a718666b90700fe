//! Policy tests: what they expect, when they are run, and what they stop.

use crate::harness::Lab;

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE p (id bigint, ward int, mrn text);
         INSERT INTO p VALUES (1, 1, 'A-1'), (2, 1, 'A-2'), (3, 2, 'B-3');
         CREATE ROLE analyst LOGIN PASSWORD 'secret'; CREATE ROLE stranger LOGIN PASSWORD 'secret';
         CREATE ROLE owner LOGIN PASSWORD 'secret'; ALTER TABLE p OWNER TO owner;
         CREATE ROLE officer LOGIN PASSWORD 'secret'; GRANT policy_admin TO officer;
         GRANT SELECT ON p TO analyst;
         CREATE POLICY own ON p USING (ward = principal_attribute('ward')::int);
         CREATE MASKING POLICY hidden AS (val text) RETURNS text -> mask_null(val);
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY hidden;",
    )
}

#[test]
fn each_expectation_passes_and_fails() {
    let hospital = hospital();
    let officer = hospital.psql("officer");
    officer.rows(
        "CREATE POLICY TEST a_none AS ROLE analyst QUERY $$SELECT * FROM p$$ EXPECT NO ROWS;
         CREATE POLICY TEST b_some AS ROLE analyst WITH ATTRIBUTES (ward = '1') QUERY $$SELECT * FROM p$$ EXPECT SOME ROWS;
         CREATE POLICY TEST c_two AS ROLE analyst WITH ATTRIBUTES (ward = '1')
           QUERY $$SELECT * FROM p VERSION AS OF 1$$ EXPECT ROWS 2;
         CREATE POLICY TEST d_masked AS ROLE analyst QUERY $$SELECT mrn, upper(mrn) AS up FROM p$$ EXPECT MASKED (mrn, up);
         CREATE POLICY TEST e_plain AS ROLE analyst QUERY $$SELECT id, ward FROM p$$ EXPECT UNMASKED (id, ward);
         CREATE POLICY TEST f_denied AS ROLE stranger QUERY $$SELECT * FROM p$$ EXPECT DENIED;",
    );
    let passing = "a_none|t|\nb_some|t|\nc_two|t|\nd_masked|t|\ne_plain|t|\nf_denied|t|";
    assert_eq!(officer.rows("RUN POLICY TESTS"), passing);
    officer.rows(
        "DROP POLICY TEST a_none, b_some, c_two, d_masked, e_plain, f_denied;
         CREATE POLICY TEST a_none AS ROLE analyst WITH ATTRIBUTES (ward = '2') QUERY $$SELECT * FROM p$$ EXPECT NO ROWS;
         CREATE POLICY TEST b_some AS ROLE analyst QUERY $$SELECT * FROM p$$ EXPECT SOME ROWS;
         CREATE POLICY TEST c_two AS ROLE analyst QUERY $$SELECT * FROM p VERSION AS OF 1$$ EXPECT ROWS 2;
         CREATE POLICY TEST d_masked AS ROLE analyst QUERY $$SELECT id FROM p$$ EXPECT MASKED (id);
         CREATE POLICY TEST e_plain AS ROLE analyst QUERY $$SELECT mrn FROM p$$ EXPECT UNMASKED (mrn);
         CREATE POLICY TEST f_denied AS ROLE analyst QUERY $$SELECT * FROM p$$ EXPECT DENIED;
         CREATE POLICY TEST g_gone AS ROLE analyst QUERY $$SELECT * FROM nothing$$ EXPECT DENIED;
         CREATE POLICY TEST h_refused AS ROLE stranger QUERY $$SELECT * FROM p$$ EXPECT NO ROWS;
         CREATE POLICY TEST i_fails AS ROLE analyst QUERY $$SELECT 'x-412-68-1073'::int$$ EXPECT SOME ROWS;",
    );
    let failing = "a_none|f|rows where none were expected\nb_some|f|no rows where some were expected\n\
                   c_two|f|another number of rows than 2\nd_masked|f|column id is not masked\n\
                   e_plain|f|column mrn is masked\nf_denied|f|not denied\ng_gone|f|the query fails with 42P01\n\
                   h_refused|f|denied (42501)\ni_fails|f|the query fails with 22P02";
    assert_eq!(officer.rows("RUN POLICY TESTS"), failing);
}

#[test]
fn a_change_that_breaks_a_test_is_refused_unless_it_is_forced() {
    let hospital = hospital();
    let (admin, owner, officer) = (hospital.psql("admin"), hospital.psql("owner"), hospital.psql("officer"));
    officer.rows(
        "CREATE POLICY TEST others_hidden AS ROLE analyst WITH ATTRIBUTES (ward = '2')
           QUERY $$SELECT * FROM p WHERE ward = 1$$ EXPECT NO ROWS;
         CREATE POLICY TEST numbers_hidden AS ROLE analyst QUERY $$SELECT mrn FROM p$$ EXPECT MASKED (mrn);",
    );
    for change in [
        "CREATE POLICY all_of_it ON p USING (true)",
        "ALTER POLICY own ON p USING (ward > 0)",
        "ALTER TABLE p DISABLE ROW LEVEL SECURITY",
        "CREATE OR REPLACE POLICY own ON p USING (true)",
    ] {
        let (code, message) = owner.fails(change);
        assert_eq!(code, "LW004", "{change}: {message}");
        assert!(message.contains("others_hidden"), "{change}: {message}");
    }
    for change in [
        "ALTER TABLE p ALTER COLUMN mrn UNSET MASKING POLICY",
        "ALTER MASKING POLICY hidden SET BODY -> val",
        "CREATE OR REPLACE MASKING POLICY hidden AS (val text) RETURNS text -> val",
    ] {
        let (code, message) = admin.fails(change);
        assert_eq!((code.as_str(), message.contains("numbers_hidden")), ("LW004", true), "{change}: {message}");
    }
    let analyst = hospital.psql("analyst");
    assert_eq!(analyst.rows("SELECT count(*) FROM p"), "0", "nothing has changed");
    // What breaks nothing goes through, and what is forced does whatever it breaks.
    owner.rows("CREATE POLICY stricter ON p AS RESTRICTIVE USING (id > 0); DROP POLICY stricter ON p");
    owner.rows("CREATE POLICY all_of_it ON p USING (true) FORCE");
    assert_eq!(analyst.rows("SELECT count(*) FROM p"), "3");
    let forced = admin.rows(
        "SELECT policies, sql_normalized FROM system.audit WHERE user_name = 'owner' AND phase = 'BEGIN'
         AND statement_class = 'CREATE POLICY' AND sql_normalized LIKE '%FORCE'",
    );
    assert!(forced.contains("policy tests passed over by FORCE"), "{forced}");
    // A test that fails already stands in nobody's way.
    owner.rows("CREATE POLICY more ON p USING (ward = 1)");
    assert!(officer.rows("RUN POLICY TESTS").contains("others_hidden|f|"));
}

#[test]
fn grants_are_not_policies() {
    let hospital = hospital();
    hospital.psql("officer").rows("CREATE POLICY TEST closed AS ROLE stranger QUERY $$SELECT * FROM p$$ EXPECT DENIED");
    hospital.psql("admin").rows("GRANT SELECT ON p TO stranger");
    assert_eq!(hospital.psql("officer").rows("RUN POLICY TESTS"), "closed|f|not denied");
}

#[test]
fn tests_are_for_those_who_could_act_as_the_role() {
    let hospital = hospital();
    let (admin, officer, analyst) = (hospital.psql("admin"), hospital.psql("officer"), hospital.psql("analyst"));
    let create = "CREATE POLICY TEST t AS ROLE analyst QUERY $$SELECT * FROM p$$ EXPECT NO ROWS";
    for sql in [create, "RUN POLICY TESTS", "DROP POLICY TEST t"] {
        assert_eq!(analyst.fails(sql).0, "42501", "{sql}");
        assert_eq!(hospital.psql("owner").fails(sql).0, "42501", "{sql}");
    }
    let as_admin = "CREATE POLICY TEST t AS ROLE admin QUERY $$SELECT * FROM p$$ EXPECT SOME ROWS";
    assert_eq!(officer.fails(as_admin).0, "42501");
    officer.rows(create);
    assert_eq!(officer.fails(create).0, "42710");
    assert_eq!(admin.fails("DROP ROLE analyst").0, "2BP01");
    admin.rows("REVOKE policy_admin FROM officer");
    assert_eq!(admin.rows("RUN POLICY TESTS"), "t|f|its owner may no longer act as the role");
    admin.rows("DROP POLICY TEST t");
    assert_eq!(admin.fails("DROP POLICY TEST t").0, "42704");
    admin.rows("DROP POLICY TEST IF EXISTS t");
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    let refused = [
        ("AS ROLE analyst QUERY $$DELETE FROM p$$ EXPECT NO ROWS", "0A000"),
        ("AS ROLE analyst QUERY $$EXECUTE AS ROLE owner SELECT 1$$ EXPECT NO ROWS", "0A000"),
        ("AS ROLE analyst QUERY $$SELECT * FROM p$$ EXPECT ROWS 3", "0A000"),
        ("AS ROLE analyst QUERY $$SELECT * FROM p VERSION AS OF 1, p q$$ EXPECT ROWS 3", "0A000"),
        ("AS ROLE analyst QUERY $$SELECT $1$$ EXPECT SOME ROWS", "42P02"),
        ("AS ROLE analyst QUERY $$SELEC$$ EXPECT SOME ROWS", "42601"),
        ("AS ROLE nobody QUERY $$SELECT 1$$ EXPECT SOME ROWS", "42704"),
        ("AS ROLE analyst QUERY $$SELECT 1$$ EXPECT SOME", "42601"),
        ("AS ROLE analyst QUERY $$SELECT 1$$ EXPECT ROWS -1", "42601"),
        ("AS ROLE analyst QUERY $$SELECT 1$$ EXPECT MASKED ()", "42601"),
    ];
    for (rest, code) in refused {
        assert_eq!(admin.fails(&format!("CREATE POLICY TEST t {rest}")).0, code, "{rest}");
    }
}

#[test]
fn a_test_is_stopped_and_recorded() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    admin.rows(
        "CREATE POLICY TEST endless AS ROLE analyst
           QUERY $$SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b WHERE a + b < 0$$
           EXPECT SOME ROWS;
         CREATE POLICY TEST quick AS ROLE analyst QUERY $$SELECT mrn FROM p$$ EXPECT NO ROWS;",
    );
    let begun = std::time::Instant::now();
    assert_eq!(admin.rows("RUN POLICY TESTS"), "endless|f|stopped after 10 seconds\nquick|t|");
    assert!(begun.elapsed() < std::time::Duration::from_secs(40), "{:?}", begun.elapsed());
    let recorded = admin.rows(
        "SELECT user_name, rows, objects FROM system.audit
         WHERE statement_class = 'POLICY TEST' AND phase = 'END' AND sql_normalized = 'SELECT mrn FROM p'",
    );
    assert!(recorded.starts_with("admin|0|"), "{recorded}");
    assert!(recorded.contains("role analyst") && recorded.contains("public.p"), "{recorded}");
}

#[test]
fn tests_outlive_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    crate::harness::init(&data, "secret");
    let create =
        "CREATE TABLE t (a int); CREATE POLICY TEST none AS ROLE admin QUERY $$SELECT a FROM t$$ EXPECT NO ROWS";
    let server = crate::harness::Server::serve(&data);
    crate::harness::Psql::admin(&server, "admin", "secret").rows(create);
    assert!(server.terminate().success());
    let server = crate::harness::Server::serve(&data);
    assert_eq!(crate::harness::Psql::admin(&server, "admin", "secret").rows("RUN POLICY TESTS"), "none|t|");
}
