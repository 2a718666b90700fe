//! A note that a policy de-identifies reads the same on every way: through the mask, a view, a derived table, a statement
//! of one's own.

use crate::harness::Lab;

const LAB: &str = "
    CREATE TABLE notes (id bigint, patient text, note text);
    INSERT INTO notes VALUES
      (1, 'Lindqvist', 'Pt Lindqvist, DOB 03/04/1956, SSN 412-68-1073, seen by Dr. Okafor. BP 120/80, aspirin 81 mg.'),
      (2, 'Adeyemi', 'Daughter Maria (617-555-0142) lives at 14 Maple Street, Springfield, IL 62704.'),
      (3, 'Cho', NULL);
    CREATE ROLE analyst LOGIN PASSWORD 'secret'; CREATE ROLE doc LOGIN PASSWORD 'secret';
    CREATE ROLE keeper LOGIN PASSWORD 'secret' IN ROLE policy_admin;
    CREATE SCHEMA lab; GRANT USAGE, CREATE ON SCHEMA lab TO analyst, doc;
    GRANT SELECT ON notes TO analyst, doc;";

const HIDE: &str = "
    CREATE MASKING POLICY scrub AS (val text, name text) RETURNS text ->
      CASE WHEN current_user = 'doc' THEN val ELSE de_identify(val, hints => ARRAY[name]) END;
    ALTER TABLE notes ALTER COLUMN note SET MASKING POLICY scrub USING (note, patient);";

#[test]
fn a_note_reads_the_same_on_every_way() {
    let lab = Lab::open(LAB);
    let (admin, analyst, doc) = (lab.psql("admin"), lab.psql("analyst"), lab.psql("doc"));
    let by_hand = doc.rows("SELECT de_identify(note, hints => ARRAY[patient]) FROM notes ORDER BY id");
    assert_eq!(
        by_hand,
        "Pt <PERSON>, DOB <DATE_TIME>, SSN <US_SSN>, seen by Dr. <PERSON>. BP 120/80, aspirin 81 mg.\n\
         Daughter <PERSON> (<PHONE_NUMBER>) lives at <LOCATION>."
    );
    admin.rows(HIDE);
    let select = "SELECT note FROM notes ORDER BY id";
    assert_eq!(analyst.rows(select), by_hand);
    assert!(doc.rows(select).contains("412-68-1073"), "the mask's other branch");
    admin.rows("CREATE VIEW seen AS SELECT id, note FROM notes; GRANT SELECT ON seen TO analyst");
    assert_eq!(analyst.rows("SELECT note FROM seen ORDER BY id"), by_hand);
    analyst.rows("CREATE TABLE lab.copy AS SELECT id, note FROM notes");
    assert_eq!(analyst.rows("SELECT note FROM lab.copy ORDER BY id"), by_hand);
    // What is de-identified by hand is free to go on; what is not takes the mask with it.
    doc.rows(
        "CREATE TABLE lab.free AS SELECT id, patient, de_identify(note, hints => ARRAY[patient]) AS note, note AS raw FROM notes;
         GRANT SELECT ON lab.free TO analyst",
    );
    assert_eq!(analyst.rows("SELECT note FROM lab.free ORDER BY id"), by_hand);
    let kinds = "SELECT column_name, policy_name FROM system.policies WHERE table_name = 'free' ORDER BY 1";
    assert_eq!(admin.rows(kinds), "raw|scrub");
}

#[test]
fn the_owner_of_a_policy_needs_execute_for_a_keyed_operator() {
    let lab = Lab::open(LAB);
    let (admin, keeper, analyst) = (lab.psql("admin"), lab.psql("keeper"), lab.psql("analyst"));
    let policy = |operator: &str| {
        format!(
            "CREATE MASKING POLICY {operator}_it AS (val text) RETURNS text -> de_identify(val, operator => '{operator}')"
        )
    };
    keeper.rows(&policy("mask"));
    assert_eq!(keeper.fails(&policy("hash")).0, "42501");
    admin.rows("GRANT EXECUTE ON FUNCTION de_identify TO keeper");
    keeper.rows(&policy("hash"));
    admin.rows("ALTER TABLE notes ALTER COLUMN note SET MASKING POLICY hash_it");
    let masked = analyst.rows("SELECT note FROM notes WHERE id = 1");
    assert!(masked.contains("SSN <US_SSN:") && !masked.contains("412-68-1073"), "{masked}");
    // The reader may not make such hashes, and so not try values out.
    assert_eq!(analyst.fails("SELECT de_identify('SSN 412-68-1073', operator => 'hash')").0, "42501");
    admin.rows("REVOKE EXECUTE ON FUNCTION de_identify FROM keeper");
    assert_eq!(analyst.fails("SELECT note FROM notes").0, "42501");
}

#[test]
fn notes_are_overwritten_de_identified() {
    let lab = Lab::open(LAB);
    let admin = lab.psql("admin");
    admin.rows(
        "CREATE TABLE notes_deid (id bigint, note text);
         INSERT OVERWRITE notes_deid SELECT id, de_identify(note, hints => ARRAY[patient], mode => 'strict') FROM notes;
         INSERT OVERWRITE notes_deid SELECT id, de_identify(note, hints => ARRAY[patient], mode => 'strict') FROM notes",
    );
    assert_eq!(admin.rows("SELECT count(*), count(note) FROM notes_deid"), "3|2");
    assert_eq!(admin.rows("SELECT count(*) FROM notes_deid WHERE phi_contains(note)"), "0");
    assert_eq!(admin.rows("SELECT count(*) FROM notes_deid WHERE note LIKE '%Lindqvist%' OR note LIKE '%Maria%'"), "0");
}
