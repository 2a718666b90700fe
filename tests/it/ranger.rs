//! What Apache Ranger has exported, imported and run: who sees what.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Lab, binary};

const SETUP: &str = "
    CREATE SCHEMA hosp;
    CREATE TABLE hosp.patients (patient_id bigint, name text, ssn varchar(11), mrn text, birth_date date, ward int);
    INSERT INTO hosp.patients VALUES
      (1, 'Ann', '412-68-1073', 'A-100', '1950-05-06', 1), (2, 'Ben', '987-65-4321', 'B-200', '1961-07-08', 2);
    CREATE TABLE hosp.visits (visit_id bigint, mrn bigint, visit_date timestamp, kind text);
    INSERT INTO hosp.visits VALUES (1, 7, '2024-03-04 05:06:07', 'ward'), (2, 8, '2024-03-05', 'sealed');
    CREATE TABLE public.consented (patient_id bigint, purpose text);
    INSERT INTO consented VALUES (2, 'research'), (1, 'billing');
    CREATE ROLE \"Nurses\"; CREATE ROLE doctors; CREATE ROLE analysts; CREATE ROLE privacy;
    CREATE ROLE nurse LOGIN PASSWORD 'secret' IN ROLE \"Nurses\";
    CREATE ROLE doctor LOGIN PASSWORD 'secret' IN ROLE \"Nurses\", doctors;
    CREATE ROLE officer LOGIN PASSWORD 'secret' IN ROLE \"Nurses\", privacy;
    CREATE ROLE analyst LOGIN PASSWORD 'secret' IN ROLE analysts;
    CREATE ROLE bob LOGIN PASSWORD 'secret'; CREATE ROLE other LOGIN PASSWORD 'secret';
    GRANT USAGE ON SCHEMA hosp TO PUBLIC; GRANT SELECT ON hosp.patients, hosp.visits TO PUBLIC";

fn import(arguments: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(binary());
    command.args(["policy", "import"]).args(arguments).env_remove("LAKEWARD_DATA_DIR").env_remove("LAKEWARD_CONFIG");
    let output = command.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (sql, told) = (text(&output.stdout), text(&output.stderr));
    (output, sql, told)
}

fn exported() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ranger/hive.json").display().to_string()
}

#[test]
fn whom_an_item_fits_first_sees_what_it_says() {
    let lab = Lab::open(SETUP);
    let data = lab.server.data().display().to_string();
    let (output, sql, told) = import(&["--ranger", &exported(), "--data-dir", &data]);
    assert_eq!(output.status.code(), Some(3), "{told}");
    lab.psql("admin").rows(&sql);
    // It can be run again.
    lab.psql("admin").rows(&sql);

    let ssn = "SELECT patient_id, ssn FROM hosp.patients ORDER BY patient_id";
    for (who, expected) in [
        ("nurse", "1|***-**-1073"),
        ("doctor", "1|***-**-1073\n2|***-**-4321"),
        ("officer", "1|412-68-1073"),
        ("analyst", "2|"),
        ("bob", "1|xxx-xx-1073\n2|xxx-xx-4321"),
        ("other", "1|\n2|"),
    ] {
        assert_eq!(lab.psql(who).rows(ssn), expected, "{who}");
    }
    let others = "SELECT coalesce(name, '-'), length(mrn), birth_date FROM hosp.patients WHERE patient_id = 1";
    for (who, expected) in [
        ("nurse", "-|64|1950-01-01"),
        ("doctor", "-|64|1950-01-01"),
        ("bob", "Ann|5|1950-05-06"),
        ("other", "Ann|5|1950-05-06"),
    ] {
        assert_eq!(lab.psql(who).rows(others), expected, "{who}");
    }
    assert_eq!(lab.psql("bob").rows("SELECT mrn FROM hosp.patients WHERE patient_id = 2"), "X-nnn");
    let visits = "SELECT visit_id, mrn, visit_date FROM hosp.visits ORDER BY 1";
    for (who, expected) in [("nurse", ""), ("analyst", "1||2024-03-04 05:06:07"), ("other", "1|7|2024-03-04 05:06:07")]
    {
        assert_eq!(lab.psql(who).rows(visits), expected, "{who}");
    }
    // Whom an item hides something from does not put off its group.
    let acting = "SET ROLE doctors; SELECT count(*) FROM hosp.patients";
    assert_eq!(lab.psql("doctor").rows(acting), "0");
}

#[test]
fn what_cannot_be_mapped_is_told_and_hides() {
    let lab = Lab::open(SETUP);
    let data = lab.server.data().display().to_string();
    let (_, sql, told) = import(&["--ranger", &exported(), "--data-dir", &data]);
    for expected in [
        "not mapped: policy \"all - database, table, column\": it is about access: use GRANT",
        "not mapped: policy \"names at night\", item 1: it holds under conditions: hidden from whom it is for",
        "not mapped: policy \"rows of visits\", item 1: its filter has a form of expression that has no counterpart",
        "it is not enabled, and was left out",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
        let comment = expected.replace("not mapped: ", "-- NOT MAPPED: ");
        assert!(sql.contains(&comment), "{comment}: {sql}");
    }
    assert!(!sql.lines().any(|line| line.starts_with("DROP")), "{sql}");

    // A mask that somebody has set stays.
    let admin = lab.psql("admin");
    admin.rows(
        "CREATE MASKING POLICY own AS (val text) RETURNS text -> 'own';
         ALTER TABLE hosp.patients ALTER COLUMN ssn SET MASKING POLICY own",
    );
    let (_, sql, told) = import(&["--ranger", &exported(), "--data-dir", &data]);
    assert!(told.contains("hosp.patients.ssn: it has the masking policy own already, which was left"), "{told}");
    admin.rows(&sql);
    assert_eq!(lab.psql("nurse").rows("SELECT ssn FROM hosp.patients"), "own");

    // A role that is missing stops everything before it.
    admin.rows("DROP ROLE bob");
    assert_eq!(admin.fails(&sql).0, "42704");
}

#[test]
fn without_a_catalog_names_are_taken_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ranger.json");
    let policy = r#"[{"name": "mask ssn", "policyType": 1, "serviceType": "hive",
        "resources": {"database": {"values": ["Clinic"]}, "table": {"values": ["Patients"]}, "column": {"values": ["ssn"]}},
        "dataMaskPolicyItems": [{"users": ["bob", "O'Hara"], "dataMaskInfo": {"dataMaskType": "MASK_SHOW_FIRST_4"}}]}]"#;
    std::fs::write(&file, policy).unwrap();
    let file = file.display().to_string();
    let (output, sql, told) = import(&["--ranger", &file, "--schema", "clinic=wards"]);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("note: wards.patients.ssn: taken as text"), "{told}");
    for expected in [
        "CREATE OR REPLACE MASKING POLICY ranger_mask_ssn_text AS (val text) RETURNS text ->",
        "WHEN (session_user = 'bob' OR session_user = 'O''Hara') THEN mask_show_first(val, 4)",
        "ALTER TABLE wards.patients ALTER COLUMN ssn SET MASKING POLICY ranger_mask_ssn_text;",
    ] {
        assert!(sql.contains(expected), "{expected}: {sql}");
    }
    let pattern = policy.replace("[\"ssn\"]", "[\"s*\"]");
    std::fs::write(&file, pattern).unwrap();
    let (output, _, told) = import(&["--ranger", &file]);
    assert_eq!(output.status.code(), Some(3));
    assert!(told.contains("name the data directory (--data-dir)"), "{told}");
    std::fs::write(&file, "{").unwrap();
    let (output, sql, told) = import(&["--ranger", &file]);
    assert_eq!((output.status.code(), sql.as_str()), (Some(2), ""), "{told}");
}
