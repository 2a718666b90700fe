//! What the audit knows of statements, and how it answers those who ask: whose rows left, who searched for whom. And what
//! is nowhere in the clear.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Lab, binary, named, verify};

const SSN: &str = "412-68-1073";

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE patients (patient_id bigint, name text, ssn text, ward int);
         INSERT INTO patients SELECT value, 'p' || value, '900-00-' || (1000 + value), value % 2 FROM generate_series(1, 40) AS g(value);
         CREATE TABLE visits (patient_id bigint, day date, note text); INSERT INTO visits VALUES (2, '2026-01-01', 'x'), (4, '2026-01-02', 'y');
         CREATE TABLE wards (ward int, title text); INSERT INTO wards VALUES (0, 'zero'), (1, 'one');
         ALTER TABLE patients SUBJECT COLUMN (patient_id); ALTER TABLE visits SUBJECT COLUMN (patient_id);
         CREATE ROLE doctor; CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE doctor;
         CREATE ROLE registry LOGIN PASSWORD 'secret' IN ROLE doctor; ALTER ROLE registry SET ATTRIBUTE external = 'true';
         CREATE ROLE officer LOGIN PASSWORD 'secret' IN ROLE auditor;
         GRANT SELECT ON patients, visits, wards TO doctor;
         CREATE POLICY own ON patients USING (ward = 0);
         CREATE MASKING POLICY nobody AS (val bigint) RETURNS bigint -> mask_null(val);
         CREATE MASKING POLICY last4 AS (val text) RETURNS text -> mask_show_last(val, 4);
         ALTER TABLE patients ALTER COLUMN patient_id SET MASKING POLICY nobody;
         ALTER TABLE patients ALTER COLUMN ssn SET MASKING POLICY last4;",
    )
}

/// `lakeward audit …` over the data of `lab`, with `input`; its exit code and standard output.
fn cli(data: &Path, arguments: &[&str], input: &str) -> (i32, String) {
    let mut child = Command::new(binary())
        .arg("audit")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn accesses(data: &Path, arguments: &[&str], input: &str) -> Vec<Value> {
    let arguments = [arguments, &["--format", "json"]].concat();
    let (code, told) = cli(data, &arguments, input);
    assert_eq!(code, 0, "{told}");
    serde_json::from_str::<Value>(&told).unwrap()["accesses"].as_array().unwrap().clone()
}

#[test]
fn the_subjects_of_rows_that_left_are_on_record_and_accounted_for() {
    let lab = hospital();
    let [admin, ann, registry, officer] = ["admin", "ann", "registry", "officer"].map(|who| lab.psql(who));
    // Each statement, and how many subjects END tells of: those of the rows that crossed the barrier.
    for (who, sql, subjects) in [
        (&ann, "SELECT ssn AS s1 FROM patients", "20|"),
        (&ann, "SELECT patient_id AS s2 FROM patients ORDER BY name LIMIT 1", "20|"),
        (&ann, "SELECT count(*) AS s3 FROM patients", "20|"),
        (&ann, "SELECT name AS s4 FROM patients WHERE name = 'p8'", "1|"),
        (&ann, "SELECT w.title AS s5 FROM wards w WHERE EXISTS (SELECT 1 FROM visits v WHERE v.note = 'x')", "1|"),
        (&ann, "SELECT p.name AS s6, v.day FROM patients p, visits v WHERE p.name = 'p8'", "3|"),
        (&ann, "SELECT title AS s7 FROM wards", "|"),
        (&ann, "SELECT ssn AS s8 FROM patients WHERE name = 'p9'", "0|"),
        (&ann, "SELECT name AS s9 FROM patients WHERE false", "|"),
        (&admin, "SELECT name AS s10 FROM patients WHERE ward = 1", "20|"),
        (&admin, "SELECT patient_id AS s11 FROM patients WHERE patient_id < 4", "3|"),
        (&admin, "SELECT sum(ward) AS s12 FROM patients", "40|"),
        (&admin, "SELECT count(*) AS s13 FROM patients", "|more subjects than are listed"),
        (&admin, "EXPLAIN SELECT count(*) AS s14 FROM patients", "|"),
        (&admin, "COPY (SELECT name AS s15 FROM patients WHERE ward = 0) TO STDOUT", "20|"),
    ] {
        who.rows(sql);
        let marker = sql.split("AS s").nth(1).unwrap().split([' ', ',']).next().unwrap();
        let ended = format!(
            "SELECT subjects, split_part(detail, ':', 1) FROM system.audit
             WHERE phase = 'END' AND sql_normalized LIKE '%AS s{marker} %' AND sql_normalized NOT LIKE '%LIKE%'
                OR phase = 'END' AND sql_normalized LIKE '%AS s{marker},%'"
        );
        assert_eq!(officer.rows(&ended), subjects, "{sql}");
    }
    registry.rows("SELECT name AS r1 FROM patients WHERE name = 'p8'");
    registry.rows("SET purpose_of_use = 'TREAT'; SELECT name AS r2 FROM patients WHERE name = 'p8'");

    let data = lab.server.data();
    let told = |arguments: &[&str]| {
        let found = accesses(data, arguments, "");
        let line = |access: &Value| {
            let alias = access["sql_normalized"].as_str().unwrap().split(" AS ").nth(1).unwrap_or_default().to_owned();
            (alias.split([' ', ',']).next().unwrap().to_owned(), access["certain"].as_bool().unwrap())
        };
        found.iter().map(line).collect::<Vec<_>>()
    };
    let of = |patient: &str| told(&["accounting", "--patient", patient, "--since", "6y"]);
    let certain = |patient: &str| {
        let found = of(patient).into_iter().filter(|found| found.1);
        found.map(|found| found.0).collect::<Vec<_>>()
    };
    // Patient 8 is of ward 0, patient 9 is not; 2 has a visit.
    assert_eq!(certain("8"), ["s1", "s2", "s3", "s4", "s6", "s12", "s15", "r1", "r2"]);
    assert_eq!(certain("9"), ["s10", "s12"]);
    assert_eq!(certain("2"), ["s1", "s2", "s3", "s5", "s6", "s11", "s12", "s15"]);
    assert_eq!(certain("41"), Vec::<String>::new());
    assert_eq!(of("41"), [("s13".to_owned(), false)], "what cannot be excluded is told");
    let accountable = told(&["accounting", "--patient", "8", "--accountable-only"]);
    assert_eq!(accountable, [("r1".to_owned(), true)]);
    let (_, csv) = cli(data, &["accounting", "--patient", "8", "--accountable-only", "--format", "csv"], "");
    assert!(csv.starts_with("at,user_name,") && csv.contains(",registry,"), "{csv}");
    assert_eq!(accesses(data, &["who-accessed", "--user", "registry"], "").len(), 3);
    let (_, text) = cli(data, &["who-accessed", "--patient", "9"], "");
    assert!(text.contains("public.patients v1 (name; by ward)") && text.contains("2 certain, 1 possible"), "{text}");

    let disclosed = "SELECT DISTINCT user_name, table_name, listed, accountable FROM system.disclosures
                     WHERE sql_normalized LIKE '%r1%' OR sql_normalized LIKE '%s13%' ORDER BY 1";
    assert_eq!(officer.rows(disclosed), "admin|public.patients|f|f\nregistry|public.patients|t|t");
    let tokens =
        "SELECT count(DISTINCT subject_token), count(*) FROM system.disclosures WHERE statement_class = 'SELECT' AND
                  sql_normalized LIKE '%AS s6%'";
    assert_eq!(officer.rows(tokens), "3|3");
    assert_eq!(ann.fails("SELECT * FROM system.disclosures").0, "42501");
    assert_eq!(officer.rows("SELECT has_table_privilege('system.disclosures', 'SELECT')"), "t");
}

#[test]
fn rows_that_were_read_are_on_record_where_none_is_shown_and_where_all_is_rolled_back() {
    let lab = hospital();
    let admin = lab.psql("admin");
    admin.rows("CREATE TABLE scratch (patient_id bigint, name text)");
    admin.rows("BEGIN; INSERT INTO scratch SELECT patient_id, name AS n1 FROM patients WHERE patient_id = 9; ROLLBACK");
    admin.rows("BEGIN; UPDATE patients SET name = ssn WHERE patient_id = 9; ROLLBACK");
    let own = "SELECT name AS n3 FROM patients p WHERE NOT EXISTS (SELECT 1 FROM visits v WHERE v.patient_id <> p.patient_id)";
    assert_eq!(admin.rows(own), "");
    admin.fails("SELECT 1 / (ward - 1) AS n4 FROM patients WHERE patient_id = 9");
    admin.rows(
        "BEGIN; DECLARE c CURSOR FOR SELECT name AS n5 FROM patients WHERE patient_id = 9; MOVE ALL c; CLOSE c; COMMIT",
    );
    admin.rows(
        "CREATE POLICY TEST seen AS ROLE admin QUERY $$SELECT name AS n6 FROM patients WHERE patient_id = 9$$ EXPECT SOME ROWS",
    );
    assert_eq!(admin.rows("RUN POLICY TESTS"), "seen|t|");
    let found = accesses(lab.server.data(), &["accounting", "--patient", "9"], "");
    let certain: Vec<_> = found.iter().filter(|access| access["certain"] == true).collect();
    let shows = |marker: &str| {
        let mut texts = certain.iter().map(|access| access["sql_normalized"].as_str().unwrap());
        texts.any(|text| text.contains(marker))
    };
    for marker in ["AS n1", "UPDATE patients", "AS n3", "AS n4", "AS n5", "AS n6"] {
        assert!(shows(marker), "{marker}: {found:?}");
    }
}

#[test]
fn a_subject_column_has_one_way_to_write_a_subject() {
    let lab = Lab::open(
        "CREATE TABLE t (a smallint, b numeric(20,0), c varchar(9), d date, e numeric(9,2), f real, g double precision,
                         h boolean, i timestamp, j text[], k bytea)",
    );
    let admin = lab.psql("admin");
    for column in ["a", "b", "c", "d"] {
        admin.rows(&format!("ALTER TABLE t SUBJECT COLUMN ({column})"));
    }
    for column in ["e", "f", "g", "h", "i", "j", "k"] {
        assert_eq!(admin.fails(&format!("ALTER TABLE t SUBJECT COLUMN ({column})")).0, "42804", "{column}");
    }
}

#[test]
fn who_searched_for_a_value_is_told_however_it_was_typed_and_it_is_nowhere_in_the_clear() {
    let lab = hospital();
    let ann = lab.psql("ann");
    ann.rows(&format!("SELECT name AS q1 FROM patients WHERE ssn = '{SSN}'"));
    ann.rows("SELECT name AS q2 FROM patients WHERE replace(ssn, '-', '') = 412681073::text");
    ann.rows(&format!("SELECT name AS q3 FROM patients WHERE ssn LIKE '%{SSN}%' OR name = $$x$$"));
    ann.rows("SELECT name AS q4 FROM patients WHERE ssn = '412-68-1074'");
    ann.fails(&format!("SELECT name AS q5 FROM patients WHERE ssn = '{SSN}' AND nonsense"));
    ann.fails(&format!("SELEC q6 '{SSN}'"));
    crate::harness::block_on(async {
        let client = lab.connect("ann").await;
        client.query("SELECT name AS q7 FROM patients WHERE ssn = $1", &[&SSN]).await.unwrap();
        client.query("SELECT name AS q8 FROM patients WHERE patient_id = $1", &[&412_681_073_i64]).await.unwrap();
    });
    lab.psql("admin")
        .rows("CREATE ROLE eve LOGIN PASSWORD 'correct-horse-7'; ALTER ROLE eve PASSWORD 'correct-horse-8'");
    let data = lab.server.data();
    let found = accesses(data, &["who-searched", "--value-stdin", "--with-text"], "412 68 1073\n");
    let found: Vec<_> = found.into_iter().filter(|access| access["certain"] == true).collect();
    let told: Vec<_> = found
        .iter()
        .map(|access| {
            let sql = access["sql"].as_str().unwrap();
            let at = sql.find('q').unwrap();
            (&sql[at..at + 2], access["outcome"].as_str().unwrap())
        })
        .collect();
    let denied = ["q5", "q6"];
    let expected = ["q1", "q2", "q3", "q5", "q6", "q7", "q8"]
        .map(|marker| (marker, if denied.contains(&marker) { "denied" } else { "ended" }));
    assert_eq!(told, expected);
    assert_eq!(found[5]["parameters"][0], SSN);
    assert!(found[0]["sql"].as_str().unwrap().contains(SSN), "the sealed text is whole");
    assert_eq!(cli(data, &["who-searched", "--value-stdin"], "\n").0, 1, "nothing to search for");
    let words = accesses(data, &["who-searched", "--value-stdin", "--with-text"], "correct-horse-7\n");
    let possible = words.iter().all(|access| access["certain"] == false);
    assert!(possible && !words.is_empty(), "what is withheld is not excluded: {words:?}");
    let text = serde_json::to_string(&words).unwrap();
    assert!(!text.contains("correct-horse"), "passwords are removed from every copy: {text}");

    let (_, metrics) = lab.server.http_get("/metrics");
    let log = lab.server.stderr();
    lab.server.terminate();
    let mut clear = vec![("metrics".to_owned(), metrics.into_bytes()), ("the log".to_owned(), log.into_bytes())];
    collect(data, &mut clear);
    assert!(clear.len() > 20, "{}", clear.len());
    for (what, bytes) in &clear {
        for canary in [SSN, "412681073", "412-68-1074", "correct-horse"] {
            let held = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!held, "{what} holds {canary}");
        }
    }
}

/// Every file below a directory.
fn collect(directory: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn columns_are_told_by_what_was_done_with_them() {
    let lab = hospital();
    let [ann, officer] = ["ann", "officer"].map(|who| lab.psql(who));
    ann.rows("SELECT upper(p.ssn) AS c1 FROM patients p JOIN visits v ON v.patient_id = p.ward WHERE p.name LIKE 'p%'");
    let objects = officer.rows(
        "SELECT objects FROM system.audit WHERE phase = 'BEGIN' AND sql_normalized LIKE '%AS c1 %' AND user_name = 'ann'",
    );
    let objects: Value = serde_json::from_str(&objects).unwrap();
    let of = |name: &str| objects.as_array().unwrap().iter().find(|object| object["name"] == name).unwrap().clone();
    let sorted = |list: &Value| {
        let mut names: Vec<_> = list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let patients = of("public.patients");
    assert_eq!(sorted(&patients["projected"]), ["ssn"]);
    assert_eq!(sorted(&patients["filtered"]), ["name", "ward"]);
    assert_eq!(sorted(&patients["masked"]), ["ssn"]);
    let visits = of("public.visits");
    assert_eq!((sorted(&visits["projected"]), sorted(&visits["filtered"])), (vec![], vec!["patient_id".to_owned()]));
}

/// The stand-alone verifier's exit code and words.
fn checked(proof: &str, key: &str) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/verify-audit-proof");
    let mut child = Command::new(named("LAKEWARD_TEST_PYTHON"))
        .arg(script)
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(proof.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_record_is_proved_to_whoever_has_the_public_key() {
    let lab = hospital();
    let officer = lab.psql("officer");
    lab.psql("ann").rows("SELECT name AS proved FROM patients WHERE name = 'p8'");
    let event = officer.rows(
        "SELECT event_id FROM system.audit WHERE phase = 'END' AND user_name = 'ann' AND sql_normalized LIKE '%proved%'",
    );
    lab.server.terminate();
    let data = lab.server.data();
    let (code, key) = cli(data, &["public-key"], "");
    assert_eq!((code, key.trim().len()), (0, 64), "{key}");
    let (code, proof) = cli(data, &["prove", &event], "");
    assert_eq!(code, 0);
    let (code, said) = checked(&proof, key.trim());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("is in the log"), "{said}");
    let document: Value = serde_json::from_str(&proof).unwrap();
    assert_eq!(document["event_id"], event.as_str());
    // Another record, another place, another path, another head, another key.
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("record", |document| document["record"] = "00".into()),
        ("place", |document| document["leaf_index"] = (document["leaf_index"].as_u64().unwrap() - 1).into()),
        ("size", |document| document["tree_size"] = (document["tree_size"].as_u64().unwrap() + 1).into()),
        ("path", |document| document["path"][0] = "00".repeat(32).into()),
        ("head", |document| {
            document["head"] = document["head"].as_str().unwrap().replace("closed 1", "closed 0").into();
        }),
        ("signature", |document| document["signature"] = "00".repeat(64).into()),
    ];
    for (what, change) in changes {
        let mut other = document.clone();
        change(&mut other);
        let (code, said) = checked(&other.to_string(), key.trim());
        assert_eq!(code, 2, "{what}: {said}");
    }
    assert_eq!(checked(&proof, &"11".repeat(32)).0, 2);
    assert_eq!(checked("no proof", key.trim()).0, 1);
    assert_eq!(cli(data, &["prove", "0192-none"], "").0, 1);
    // A copy is verified with the key alone.
    assert_eq!(cli(data, &["verify", "--public-key", key.trim()], "").0, 0);
    assert_eq!(cli(data, &["verify", "--public-key", &"11".repeat(32)], "").0, 2);
}

#[test]
fn heads_are_kept_in_a_second_place() {
    let elsewhere = tempfile::tempdir().unwrap();
    let line = format!("heads = \"{}\"\nheads_period_ms = 100", elsewhere.path().display());
    let lab = Lab::configured(&[("heads_period_ms = 60000", &line)], "CREATE TABLE t (a int)");
    let data = lab.server.data();
    lab.server.terminate();
    let before = std::fs::read(data.join("audit/head")).unwrap();
    let segments = |data: &Path| {
        let names = std::fs::read_dir(data.join("audit")).unwrap().map(|entry| entry.unwrap().path());
        names
            .filter(|path| path.extension().is_some_and(|suffix| suffix == "seg"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let first = segments(data);
    assert_eq!(verify(data).0, 0);
    let again = crate::harness::Server::serve(data);
    crate::harness::Psql::admin(&again, "admin", "secret").rows("INSERT INTO t VALUES (1)");
    again.terminate();
    assert_eq!(verify(data).0, 0);
    // The second start is taken back, with the log's own head as it was.
    segments(data).difference(&first).for_each(|path| std::fs::remove_file(path).unwrap());
    std::fs::write(data.join("audit/head"), before).unwrap();
    let (code, text) = verify(data);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("kept elsewhere"), "{text}");
    std::fs::remove_dir_all(elsewhere.path()).unwrap();
    assert_eq!(verify(data).0, 1, "the second place cannot be read");
}
