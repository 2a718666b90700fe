//! Policies that read mapping tables: who sees what, and what the attacker does not learn.

use crate::harness::{Lab, Psql};

/// The policy of the reference, word for word.
const CARE_TEAM: &str = "CREATE POLICY care_team ON vitals TO nurse
  USING (EXISTS (SELECT 1 FROM care_team ct WHERE ct.patient_id = vitals.patient_id AND ct.clinician = current_user));";

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE vitals (id bigint, patient_id int, code text, ward text);
         INSERT INTO vitals VALUES (1, 1, '10', 'a'), (2, 2, '20', 'b'), (3, 3, 'x', 'a'), (4, NULL, '40', NULL);
         CREATE TABLE care_team (patient_id bigint, clinician text, since date);
         INSERT INTO care_team VALUES (1, 'ann', '2026-01-01'), (2, 'bob', NULL), (NULL, 'ann', NULL);
         CREATE ROLE nurse; CREATE ROLE owner; CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE nurse;
         CREATE ROLE bob LOGIN PASSWORD 'secret' IN ROLE nurse; CREATE ROLE eve LOGIN PASSWORD 'secret';
         GRANT SELECT, INSERT, UPDATE, DELETE ON vitals TO nurse; GRANT SELECT ON vitals TO eve;",
    )
}

fn ids(who: &Psql) -> String {
    who.rows("SELECT id FROM vitals ORDER BY id").replace('\n', " ")
}

#[test]
fn a_care_team_sees_its_patients_and_loses_them_at_the_next_statement() {
    let hospital = hospital();
    let [admin, ann, bob, eve] = ["admin", "ann", "bob", "eve"].map(|who| hospital.psql(who));
    admin.rows(CARE_TEAM);
    assert_eq!([ids(&ann), ids(&bob), ids(&eve)], ["1", "2", ""].map(str::to_owned));
    assert_eq!(ann.fails("SELECT * FROM care_team").0, "42501", "the policy reads it, its readers do not");
    admin.rows("INSERT INTO care_team VALUES (3, 'ann', NULL)");
    assert_eq!(ids(&ann), "1 3");
    // No predicate of hers makes a hidden row fail, and the visible ones do.
    assert_eq!(ann.rows("SELECT count(*) FROM vitals WHERE id < 3 AND code::int > 0"), "1");
    assert_eq!(bob.rows("SELECT count(*) FROM vitals WHERE code::int > 0"), "1");
    assert_eq!(ann.fails("SELECT count(*) FROM vitals WHERE code::int > 0").0, "22P02");
    admin.rows("DELETE FROM care_team WHERE clinician = 'ann'");
    assert_eq!(ids(&ann), "");
}

/// Each policy, and whom it shows; `m` holds keys with and without NULL.
#[test]
fn subqueries_answer_as_in_postgresql() {
    let lab = Lab::open(
        "CREATE TABLE t (id int, k bigint, g text, f double precision, d date);
         INSERT INTO t VALUES (1, 1, 'a', 0, '2026-01-01'), (2, 2, 'b', 1.5, NULL), (3, NULL, 'a', 2, NULL),
           (4, 4, NULL, NULL, '2026-01-04');
         CREATE TABLE m (k int, g text, on_day date); INSERT INTO m VALUES (1, 'a', '2026-01-01'), (9, 'b', '2026-01-04');
         CREATE TABLE n (k bigint, g text); INSERT INTO n VALUES (1, 'a'), (NULL, 'b');
         CREATE TABLE none (k bigint);
         CREATE SCHEMA s; CREATE TABLE s.m (k bigint, name text); INSERT INTO s.m VALUES (4, 'ann');
         CREATE ROLE ann LOGIN PASSWORD 'secret'; ALTER ROLE ann SET ATTRIBUTE ward = 'a'; GRANT SELECT ON t TO ann;
         CREATE POLICY p ON t USING (true);",
    );
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    for (using, seen) in [
        ("k IN (SELECT k FROM m)", "1"),
        ("k NOT IN (SELECT k FROM m)", "2 4"),
        ("NOT k IN (SELECT m.k FROM m)", "2 4"),
        ("k IN (SELECT k FROM n)", "1"),
        ("k NOT IN (SELECT k FROM n)", ""),
        ("(k IN (SELECT k FROM n)) IS NULL", "2 3 4"),
        ("(k NOT IN (SELECT k FROM m)) IS NULL", "3"),
        ("k IN (SELECT k FROM none)", ""),
        ("k NOT IN (SELECT k FROM none)", "1 2 3 4"),
        ("k IN (SELECT n.k FROM n WHERE n.g = t.g)", "1"),
        ("k NOT IN (SELECT n.k FROM n WHERE n.g = t.g)", "4"),
        ("(k IN (SELECT n.k FROM n WHERE n.g = t.g)) IS NULL", "2 3"),
        ("EXISTS (SELECT 1 FROM m WHERE m.k = t.k)", "1"),
        ("NOT EXISTS (SELECT 1 FROM m WHERE m.k = t.k)", "2 3 4"),
        ("EXISTS (SELECT * FROM n WHERE n.k = t.k)", "1"),
        ("NOT EXISTS (SELECT FROM n WHERE t.k = n.k)", "2 3 4"),
        ("EXISTS (SELECT 1 FROM m WHERE m.k = t.k AND m.g = t.g)", "1"),
        ("EXISTS (SELECT 1 FROM m WHERE m.k = t.k AND m.g = 'b')", ""),
        ("EXISTS (SELECT 1 FROM m WHERE m.g = t.g LIMIT 1)", "1 2 3"),
        ("EXISTS (SELECT 1 FROM m WHERE m.on_day = t.d)", "1 4"),
        ("EXISTS (SELECT 1 FROM m WHERE m.k = t.k + 8)", "1"),
        ("EXISTS (SELECT 1 FROM m WHERE m.k - 1 = t.f)", "1"),
        ("EXISTS (SELECT 1 FROM m)", "1 2 3 4"),
        ("NOT EXISTS (SELECT 1 FROM m)", ""),
        ("EXISTS (SELECT 1 FROM none)", ""),
        ("EXISTS (SELECT 1 FROM m WHERE m.g = principal_attribute('ward'))", "1 2 3 4"),
        ("g IN (SELECT g FROM m WHERE g = principal_attribute('ward'))", "1 3"),
        ("k IN (SELECT k FROM m) OR g IN (SELECT g FROM m WHERE k > 1)", "1 2"),
        ("k > 1 AND NOT (k IN (SELECT k FROM m) AND g = 'a')", "2 4"),
        ("EXISTS (SELECT 1 FROM s.m WHERE m.k = t.k AND name = current_user)", "4"),
        ("EXISTS (SELECT 1 FROM s.m x JOIN m y ON x.k = 4 AND y.k = 9 WHERE x.k = t.k)", "4"),
        ("EXISTS (SELECT 1 FROM (SELECT k + 1 AS l FROM m WHERE k = 1) s WHERE s.l = t.k)", "2"),
        ("k IN (SELECT max(k) FROM m GROUP BY g HAVING count(*) = 1)", "1"),
        ("EXISTS (SELECT count(*) FROM none)", "1 2 3 4"),
        ("4 IN (SELECT k FROM s.m)", "1 2 3 4"),
        ("EXISTS (WITH c AS (SELECT k FROM m) SELECT 1 FROM c WHERE c.k = t.k)", "1"),
    ] {
        admin.rows(&format!("ALTER POLICY p ON t USING ({using})"));
        let found = ann.rows("SELECT id FROM t ORDER BY id").replace('\n', " ");
        assert_eq!(found, seen, "{using}");
        // What is above the policy sees the same, whatever is asked for.
        assert_eq!(
            ann.rows("SELECT count(*) FROM t WHERE id > 0"),
            seen.split_whitespace().count().to_string(),
            "{using}"
        );
        assert_eq!(admin.rows("SELECT count(*) FROM t"), "4");
    }
}

#[test]
fn what_a_policy_cannot_read_is_refused_when_it_is_made() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    admin.rows("CREATE VIEW v AS SELECT * FROM care_team; CREATE TABLE other (patient_id int, k text)");
    for (using, code) in [
        ("EXISTS (SELECT 1 FROM care_team c WHERE c.patient_id > vitals.patient_id)", "0A000"),
        ("EXISTS (SELECT 1 FROM care_team c WHERE c.patient_id = vitals.patient_id OR c.clinician = 'x')", "0A000"),
        ("EXISTS (SELECT 1 FROM care_team c WHERE c.patient_id IS NOT DISTINCT FROM vitals.patient_id)", "0A000"),
        ("EXISTS (SELECT 1 FROM care_team c WHERE c.patient_id IN (SELECT patient_id FROM other))", "0A000"),
        ("EXISTS (SELECT 1 FROM care_team c JOIN other o ON o.patient_id = vitals.patient_id)", "0A000"),
        ("EXISTS (SELECT max(clinician) FROM care_team c WHERE c.patient_id = vitals.patient_id)", "0A000"),
        ("patient_id = (SELECT max(patient_id) FROM care_team)", "0A000"),
        ("EXISTS (SELECT 1)", "0A000"),
        ("EXISTS (SELECT 1 FROM v)", "0A000"),
        ("EXISTS (SELECT 1 FROM pg_class)", "0A000"),
        ("EXISTS (SELECT 1 FROM system.audit)", "0A000"),
        ("EXISTS (SELECT 1 FROM care_team VERSION AS OF 1)", "0A000"),
        ("EXISTS (SELECT 1 FROM care_team WHERE clinician = $1)", "42P02"),
        ("EXISTS (SELECT 1 FROM nowhere)", "42P01"),
        ("EXISTS (SELECT 1 FROM care_team c WHERE c.nothing = 1)", "42703"),
        ("EXISTS (SELECT 1 FROM other o WHERE o.k = vitals.patient_id)", "42883"),
        ("patient_id IN (SELECT k FROM other)", "42883"),
        ("EXISTS (SELECT 1 FROM vitals v WHERE v.id = vitals.id)", "42P17"),
        ("patient_id IN (SELECT 1, 2 FROM care_team)", "42601"),
    ] {
        let (found, message) = admin.fails(&format!("CREATE POLICY p ON vitals USING ({using})"));
        assert_eq!(found, code, "{using}: {message}");
    }
    admin.rows("CREATE POLICY a ON vitals USING (EXISTS (SELECT 1 FROM care_team))");
    admin.rows("CREATE POLICY b ON care_team USING (EXISTS (SELECT 1 FROM other))");
    let circle = "CREATE POLICY c ON other USING (EXISTS (SELECT 1 FROM vitals))";
    assert_eq!(admin.fails(circle).0, "42P17");
    assert_eq!(
        admin
            .fails(
                "CREATE MASKING POLICY m AS (v text) RETURNS text -> CASE WHEN EXISTS (SELECT 1 FROM other) THEN v END"
            )
            .0,
        "0A000"
    );
}

#[test]
fn a_policy_reads_with_its_owners_rights_and_closes_without_them() {
    let hospital = hospital();
    let [admin, ann] = ["admin", "ann"].map(|who| hospital.psql(who));
    admin.rows("CREATE ROLE sec LOGIN PASSWORD 'secret' IN ROLE policy_admin; GRANT SELECT ON vitals TO sec;");
    let sec = hospital.psql("sec");
    assert_eq!(sec.fails(CARE_TEAM).0, "42501", "what it cannot read itself, it gives nobody to probe");
    admin.rows("GRANT SELECT (patient_id) ON care_team TO sec");
    assert_eq!(sec.fails(CARE_TEAM).0, "42501");
    admin.rows("GRANT SELECT (clinician) ON care_team TO sec");
    sec.rows(CARE_TEAM);
    assert_eq!(ids(&ann), "1");
    for (close, open) in [
        ("REVOKE SELECT (clinician) ON care_team FROM sec", "GRANT SELECT ON care_team TO sec"),
        ("ALTER TABLE care_team ENABLE ROW LEVEL SECURITY", "ALTER TABLE care_team DISABLE ROW LEVEL SECURITY"),
        (
            "CREATE MASKING POLICY gone AS (v text) RETURNS text -> mask_null(v);
             ALTER TABLE care_team ALTER COLUMN clinician SET MASKING POLICY gone",
            "ALTER TABLE care_team ALTER COLUMN clinician UNSET MASKING POLICY",
        ),
    ] {
        admin.rows(close);
        for statement in ["SELECT id FROM vitals", "UPDATE vitals SET ward = 'z'", "DELETE FROM vitals"] {
            assert_eq!(ann.fails(statement).0, "42501", "{close}: {statement}");
        }
        assert_eq!(
            sec.fails("ALTER POLICY care_team ON vitals USING (EXISTS (SELECT clinician FROM care_team))").0,
            "42501"
        );
        admin.rows(open);
        assert_eq!(ids(&ann), "1", "{open}");
    }
    assert_eq!(admin.rows("SELECT count(*) FROM vitals"), "4");
}

#[test]
fn what_a_policy_reads_stays_and_may_be_renamed() {
    let hospital = hospital();
    let [admin, ann] = ["admin", "ann"].map(|who| hospital.psql(who));
    admin.rows(CARE_TEAM);
    assert_eq!(admin.fails("DROP TABLE care_team").0, "2BP01");
    let without = "CREATE OR REPLACE TABLE care_team AS SELECT patient_id, since FROM care_team";
    assert_eq!(admin.fails(without).0, "2BP01");
    let retyped =
        "CREATE OR REPLACE TABLE care_team AS SELECT patient_id::text AS patient_id, clinician FROM care_team";
    assert_eq!(admin.fails(retyped).0, "2BP01");
    admin.rows("CREATE OR REPLACE TABLE care_team AS SELECT clinician, patient_id FROM care_team");
    assert_eq!(ids(&ann), "1");
    admin.rows("ALTER TABLE care_team RENAME TO teams; CREATE TABLE care_team (patient_id int, clinician text);");
    admin.rows("INSERT INTO care_team VALUES (3, 'ann')");
    assert_eq!(ids(&ann), "1", "it is bound to the table, not to its name");
    admin.rows("CREATE OR REPLACE TABLE vitals AS SELECT id, patient_id, ward, code FROM vitals");
    assert_eq!(ids(&ann), "1");
    admin.rows("DROP POLICY care_team ON vitals; DROP TABLE teams");
}

#[test]
fn writes_are_checked_against_mapping_tables() {
    let hospital = hospital();
    let [admin, ann] = ["admin", "ann"].map(|who| hospital.psql(who));
    admin.rows(CARE_TEAM);
    ann.rows("INSERT INTO vitals VALUES (10, 1, '1', 'a')");
    assert_eq!(ann.fails("INSERT INTO vitals VALUES (11, 2, '1', 'a')").0, "42501");
    assert_eq!(ann.fails("INSERT INTO vitals VALUES (11, NULL, '1', 'a')").0, "42501");
    assert_eq!(ann.fails("UPDATE vitals SET patient_id = 2 WHERE id = 1").0, "42501");
    ann.rows("UPDATE vitals SET ward = 'z'");
    assert_eq!(admin.rows("SELECT id FROM vitals WHERE ward = 'z' ORDER BY id"), "1\n10");
    ann.rows(
        "MERGE INTO vitals USING (VALUES (10, 1), (12, 1)) s (id, p) ON vitals.id = s.id
           WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, patient_id) VALUES (s.id, s.p)",
    );
    ann.rows("DELETE FROM vitals");
    assert_eq!(admin.rows("SELECT id FROM vitals ORDER BY id"), "2\n3\n4");
    // In one block the mapping is what it was at first sight.
    admin.rows("ALTER POLICY care_team ON vitals WITH CHECK (patient_id IN (SELECT patient_id FROM care_team WHERE clinician = 'ann'))");
    assert_eq!(ann.fails("COPY (SELECT * FROM care_team) TO STDOUT").0, "42501");
    ann.rows("INSERT INTO vitals VALUES (13, 1, '1', 'a')");
    assert_eq!(ann.fails("INSERT INTO vitals VALUES (14, 3, '1', 'a')").0, "42501");
}

/// A mapping table's rows are data: a portal that is open reads on in the version that it began with.
#[test]
fn a_portal_closes_for_the_policy_and_not_for_the_mapping_tables_rows() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    admin.rows(CARE_TEAM);
    admin.rows("INSERT INTO care_team VALUES (2, 'ann', NULL), (3, 'ann', NULL)");
    let changes = [
        ("DELETE FROM care_team WHERE patient_id = 3; CREATE TABLE elsewhere (id int)", true),
        ("GRANT SELECT ON care_team TO eve", true),
        (
            "ALTER POLICY care_team ON vitals USING (EXISTS (SELECT 1 FROM care_team ct WHERE ct.patient_id = vitals.patient_id))",
            false,
        ),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for (change, lives_on) in changes {
            let mut ann = hospital.connect("ann").await;
            let block = ann.transaction().await.unwrap();
            let portal = block.bind("SELECT id FROM vitals", &[]).await.unwrap();
            assert_eq!(block.query_portal(&portal, 1).await.unwrap().len(), 1, "{change}");
            admin.rows(change);
            let code = block.query_portal(&portal, 0).await.err().and_then(|error| error.code().cloned());
            let expected = if lives_on { None } else { Some("42501") };
            assert_eq!(code.as_ref().map(|code| code.code()), expected, "{change}");
        }
    });
}

#[test]
fn the_audit_names_the_mapping_tables() {
    let hospital = hospital();
    let [admin, ann] = ["admin", "ann"].map(|who| hospital.psql(who));
    admin.rows(CARE_TEAM);
    admin.rows("GRANT auditor TO admin");
    ids(&ann);
    ann.rows("INSERT INTO vitals VALUES (10, 1, '1', 'a')");
    let named = "SELECT count(*) FROM system.audit WHERE user_name = 'ann' AND phase = 'BEGIN'
                 AND objects::text LIKE '%public.care_team%' AND statement_class = ";
    for class in ["SELECT", "INSERT"] {
        assert_eq!(admin.rows(&format!("{named} '{class}'")), "1", "{class}");
    }
}

/// What looks alike is not the same, and a name does not come to mean another column.
#[test]
fn subqueries_are_told_apart_and_stay_bound() {
    let lab = Lab::open(
        "CREATE TABLE t (pid bigint); INSERT INTO t VALUES (1), (2);
         CREATE TABLE m (k bigint, a boolean, b boolean); INSERT INTO m VALUES (1, false, false);
         CREATE TABLE opted_out (k bigint, legacy bigint); INSERT INTO opted_out VALUES (2, NULL);
         CREATE ROLE ann LOGIN PASSWORD 'secret'; GRANT SELECT ON t TO ann;
         CREATE POLICY p1 ON t USING (EXISTS (SELECT 1 FROM m WHERE m.k = t.pid AND NOT (m.a AND m.b)));
         CREATE POLICY p2 ON t AS RESTRICTIVE USING (EXISTS (SELECT 1 FROM m WHERE m.k = t.pid AND NOT m.a AND m.b));",
    );
    let (admin, ann) = (lab.psql("admin"), lab.psql("ann"));
    assert_eq!(ann.rows("SELECT * FROM t"), "", "the second finds none");
    admin.rows(
        "DROP POLICY p1 ON t; DROP POLICY p2 ON t; CREATE POLICY every ON t USING (true);
         CREATE POLICY out ON t AS RESTRICTIVE USING (NOT EXISTS (SELECT 1 FROM opted_out WHERE k = pid))",
    );
    assert_eq!(ann.rows("SELECT * FROM t"), "1");
    for refused in [
        "ALTER TABLE opted_out RENAME COLUMN legacy TO pid",
        "ALTER TABLE opted_out RENAME COLUMN k TO key",
        "ALTER TABLE opted_out DROP COLUMN k",
    ] {
        assert_eq!(admin.fails(refused).0, "2BP01", "{refused}");
    }
    admin.rows("ALTER TABLE opted_out RENAME TO refusals");
    for refused in ["ALTER TABLE refusals RENAME COLUMN legacy TO pid", "ALTER TABLE refusals DROP COLUMN k"] {
        assert_eq!(admin.fails(refused).0, "2BP01", "{refused}");
    }
    let before = ann.rows("SELECT * FROM t");
    let add = "ALTER TABLE refusals ADD COLUMN pid bigint";
    assert_eq!(admin.fails(add).0, "2BP01", "its text would mean the new column");
    assert_eq!(ann.rows("SELECT * FROM t"), before);
    admin.rows("ALTER POLICY out ON t USING (NOT EXISTS (SELECT 1 FROM refusals r WHERE r.k = t.pid))");
    admin.rows(add);
    assert_eq!(ann.rows("SELECT * FROM t"), "1");
    assert_eq!(admin.fails("ALTER TABLE t RENAME TO u").0, "2BP01", "a policy calls it by its name");
}
