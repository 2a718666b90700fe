//! BREAK GLASS: what it opens, to whom, for how long, and what is kept of it.

use crate::harness::{Lab, Psql};

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE patients (patient_id bigint, ssn text, ward int);
         INSERT INTO patients VALUES (17, '123-45-6789', 2), (18, '987-65-4321', 2), (1, '111-11-1111', 1);
         CREATE TABLE notes (id int, subject text, body text); INSERT INTO notes VALUES (1, '17', 'secret'), (2, '18', 'other');
         CREATE TABLE closed (patient_id bigint, v int); INSERT INTO closed VALUES (17, 1);
         CREATE TABLE loose (patient_id bigint, v int); INSERT INTO loose VALUES (17, 1);
         CREATE ROLE doctor; CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE doctor;
         CREATE ROLE bob LOGIN PASSWORD 'secret' IN ROLE doctor; CREATE ROLE night; GRANT night TO ann;
         CREATE ROLE chief LOGIN PASSWORD 'secret' IN ROLE policy_admin;
         GRANT SELECT ON patients, notes, loose TO doctor; GRANT INSERT, UPDATE, DELETE ON patients TO doctor;
         CREATE POLICY own ON patients USING (ward = 1); CREATE POLICY none ON notes USING (false);
         CREATE POLICY none ON loose USING (false);
         CREATE MASKING POLICY last4 AS (val text) RETURNS text -> mask_show_last(val, 4);
         ALTER TABLE patients ALTER COLUMN ssn SET MASKING POLICY last4;
         ALTER TABLE patients SUBJECT COLUMN (patient_id); ALTER TABLE notes SUBJECT COLUMN (subject);
         ALTER TABLE closed SUBJECT COLUMN (patient_id);
         GRANT BREAK GLASS TO ann;",
    )
}

const ALL: &str = "SELECT patient_id, ssn FROM patients ORDER BY patient_id";
const USUAL: &str = "1|***-**-1111";
const OPENED: &str = "1|***-**-1111\n17|123-45-6789";
const BREAK: &str = "BREAK GLASS FOR SUBJECT 17 REASON 'unconscious' TICKET 'T-1';";

/// What one session answers, its notices apart.
fn session(who: &Psql, statements: &[&str]) -> String {
    who.rows(&statements.join("; "))
}

#[test]
fn it_opens_one_subject_in_one_session_and_masks_stay_for_everybody_else() {
    let hospital = hospital();
    let [ann, bob] = ["ann", "bob"].map(|who| hospital.psql(who));
    assert_eq!(ann.rows(ALL), USUAL);
    assert_eq!(session(&ann, &[BREAK, ALL]), OPENED);
    assert_eq!(ann.rows(ALL), USUAL, "another session");
    assert_eq!(bob.fails(BREAK).0, "42501", "it needs the grant");
    let notes = "SELECT id FROM notes";
    assert_eq!(session(&ann, &[BREAK, notes]), "1", "a subject is text where its column is");
    assert_eq!(session(&ann, &[BREAK, "SELECT count(*) FROM loose"]), "0", "no SUBJECT COLUMN, nothing to go by");
    assert_eq!(ann.fails(&format!("{BREAK} SELECT * FROM closed")).0, "42501", "grants stay");
    assert_eq!(session(&ann, &["BREAK GLASS FOR SUBJECT 'x' REASON 'y'", ALL, notes]), USUAL);
    // By no other predicate does more of the table show.
    let other = "SELECT count(*) FROM patients WHERE ssn = '987-65-4321' OR ssn LIKE '987%'";
    assert_eq!(session(&ann, &[BREAK, other]), "0");
    let aggregate = "SELECT max(ssn), min(ssn) FROM patients";
    assert_eq!(session(&ann, &[BREAK, aggregate]), "123-45-6789|***-**-1111");
}

#[test]
fn it_ends_with_the_role_the_grant_the_word_and_the_time() {
    let hospital = hospital();
    let [admin, ann] = ["admin", "ann"].map(|who| hospital.psql(who));
    admin.rows("GRANT SELECT ON patients TO night");
    for end in ["END BREAK GLASS", "SET ROLE night", "SET ROLE ann", "DISCARD ALL"] {
        assert_eq!(session(&ann, &[BREAK, ALL, end, ALL]), format!("{OPENED}\n{USUAL}"), "{end}");
    }
    let short = "BREAK GLASS FOR SUBJECT 17 REASON 'x' FOR INTERVAL '2 seconds'";
    assert_eq!(session(&ann, &[short, ALL, "\\! sleep 3\n", ALL]), format!("{OPENED}\n{USUAL}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = hospital.connect("ann").await;
        client.batch_execute(BREAK).await.unwrap();
        let seen = |rows: Vec<tokio_postgres::Row>| rows.len();
        assert_eq!(seen(client.query(ALL, &[]).await.unwrap()), 2);
        let block = client.transaction().await.unwrap();
        let portal = block.bind(ALL, &[]).await.unwrap();
        assert_eq!(block.query_portal(&portal, 1).await.unwrap().len(), 1);
        admin.rows("REVOKE BREAK GLASS FROM ann");
        let error = block.query_portal(&portal, 0).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "an open portal is decided again");
        drop(block);
        assert_eq!(seen(client.query(ALL, &[]).await.unwrap()), 1);
    });
}

#[test]
fn what_is_asked_for_must_be_right() {
    let hospital = hospital();
    let ann = hospital.psql("ann");
    for (statement, code) in [
        ("BREAK GLASS FOR SUBJECT 17 REASON ' '", "22023"),
        ("BREAK GLASS FOR SUBJECT 17 REASON 'x' FOR INTERVAL '5 hours'", "22023"),
        ("BREAK GLASS FOR SUBJECT 17 REASON 'x' FOR INTERVAL '1 month'", "22023"),
        ("BREAK GLASS FOR SUBJECT 17 REASON 'x' FOR INTERVAL '-1 hour'", "22023"),
        ("BREAK GLASS FOR SUBJECT 17 REASON 'x' FOR INTERVAL 'soon'", "22007"),
        ("BREAK GLASS FOR SUBJECT 17", "42601"),
        ("BREAK GLASS FOR SUBJECT 17 REASON 'x'; BREAK GLASS FOR SUBJECT 18 REASON 'x'", "55000"),
        ("END BREAK GLASS", "55000"),
        ("BEGIN; BREAK GLASS FOR SUBJECT 17 REASON 'x'", "25001"),
        ("REVIEW BREAK GLASS '0' NOTE 'x'", "22P02"),
        ("ALTER TABLE patients SUBJECT COLUMN (ward)", "42501"),
    ] {
        let (found, message) = ann.fails(statement);
        assert_eq!(found, code, "{statement}: {message}");
    }
    let admin = hospital.psql("admin");
    assert_eq!(admin.fails("ALTER TABLE patients SUBJECT COLUMN (nothing)").0, "42703");
    assert_eq!(admin.fails("CREATE OR REPLACE TABLE patients AS SELECT ssn, ward FROM patients").0, "2BP01");
    assert_eq!(admin.rows("SELECT subject_column FROM system.tables WHERE table_name = 'notes'"), "subject");
}

#[test]
fn what_is_opened_is_for_reading_alone() {
    let hospital = hospital();
    let [admin, ann] = ["admin", "ann"].map(|who| hospital.psql(who));
    admin.rows("CREATE SCHEMA lab; GRANT CREATE, USAGE ON SCHEMA lab TO ann");
    let made = session(&ann, &[BREAK, "CREATE TABLE lab.kept AS SELECT * FROM patients", "SELECT ssn FROM lab.kept"]);
    assert_eq!(made, "***-**-1111");
    session(
        &ann,
        &[BREAK, "UPDATE patients SET ward = 1 WHERE patient_id = 17", "DELETE FROM patients WHERE patient_id = 17"],
    );
    assert_eq!(admin.rows("SELECT ward FROM patients WHERE patient_id = 17"), "2");
}

#[test]
fn it_is_open_until_another_policy_admin_reviews_it_and_the_audit_says_so() {
    let hospital = hospital();
    let [admin, ann, bob, chief] = ["admin", "ann", "bob", "chief"].map(|who| hospital.psql(who));
    admin.rows("GRANT auditor TO admin; GRANT policy_admin TO ann");
    session(&ann, &[BREAK, ALL, "END BREAK GLASS", ALL]);
    let open = "SELECT user_name, subject, reason, ticket, ended_at IS NOT NULL, reviewed_by FROM system.break_glass";
    assert_eq!(chief.rows(open), "ann|17|unconscious|T-1|t|");
    assert_eq!(bob.rows(open), "", "others learn nothing of it");
    let id = chief.rows("SELECT id FROM system.break_glass");
    let review = format!("REVIEW BREAK GLASS '{id}' NOTE 'called the ward'");
    assert_eq!(bob.fails(&review).0, "42501");
    assert_eq!(ann.fails(&review).0, "42501", "nobody reviews their own");
    chief.rows(&review);
    assert_eq!(admin.fails(&review).0, "55000");
    assert_eq!(ann.rows("SELECT reviewed_by, note FROM system.break_glass"), "chief|called the ward");
    let missing = "REVIEW BREAK GLASS '00000000-0000-7000-8000-000000000000' NOTE 'x'";
    assert_eq!(chief.fails(missing).0, "42704");
    let said = format!(
        "SELECT count(*) FROM system.audit WHERE user_name = 'ann' AND phase = 'BEGIN' AND statement_class = 'SELECT'
         AND policies::text LIKE '%break glass {id}%'"
    );
    assert_eq!(admin.rows(&said), "1", "of the two, the one that was run under it");
    let quoted =
        "SELECT count(*) FROM system.audit WHERE sql_normalized LIKE '%unconscious%' OR sql_normalized LIKE '%17%'";
    assert_eq!(admin.rows(quoted), "0");
}

/// It opens what the role may read itself, and masks that are not the owner's are not the owner's to open.
#[test]
fn what_was_not_granted_and_what_others_hide_stays_closed() {
    let hospital = hospital();
    let admin = hospital.psql("admin");
    admin.rows(
        "CREATE ROLE cara LOGIN PASSWORD 'secret'; GRANT BREAK GLASS TO cara; GRANT SELECT (patient_id) ON patients TO cara;
         CREATE VIEW v AS SELECT patient_id, ssn FROM patients; GRANT SELECT ON v TO cara;
         CREATE ROLE olga LOGIN PASSWORD 'secret'; CREATE TABLE hers (id int, country text, ssn text);
         INSERT INTO hers VALUES (1, 'CH', '123-45-6789'); ALTER TABLE hers OWNER TO olga; GRANT BREAK GLASS TO olga;
         CREATE TAG phi; ALTER TAG phi SET MASKING POLICY last4 FOR VALUE 'ssn';
         ALTER TABLE hers ALTER COLUMN ssn SET TAG phi = 'ssn';",
    );
    let cara = hospital.psql("cara");
    assert_eq!(session(&cara, &[BREAK, "SELECT * FROM v ORDER BY patient_id"]), USUAL, "a column is not the table");
    let olga = hospital.psql("olga");
    for refused in
        ["ALTER TABLE hers SUBJECT COLUMN (country)", "ALTER TABLE hers ALTER COLUMN ssn SET MASKING POLICY last4"]
    {
        assert_eq!(olga.fails(refused).0, "42501", "{refused}");
    }
    assert_eq!(admin.fails("ALTER TABLE closed DROP COLUMN patient_id").0, "2BP01");
    // A simulation has the limits of whoever asks for it.
    admin.rows("ALTER ROLE chief SET max_result_rows = 1; CREATE POLICY every ON loose TO ann USING (true); INSERT INTO loose VALUES (18, 2)");
    assert_eq!(hospital.psql("chief").fails("EXECUTE AS ROLE ann SELECT * FROM loose").0, "53400");
}
