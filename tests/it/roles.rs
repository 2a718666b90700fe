//! `patients` as each demo role sees it, through psql, psycopg (text and binary) and ADBC Flight SQL.

use serde_json::{Value, json};

use crate::harness::{demo, python};

const PATIENTS: &str = "SELECT patient_id, name, ssn, birth_date, zip, hospital_id, gender, age, email, phone \
                        FROM patients ORDER BY patient_id LIMIT 40";

fn through_python(client: &str, role: &str, sql: &str) -> Vec<Vec<Value>> {
    let demo = demo();
    let password = demo.credential(role, "password");
    let out = if client == "adbc" {
        let ca = demo.ca();
        python(
            "read_table.py",
            &[client, &demo.credential(role, "flight_url"), role, &password, ca.to_str().unwrap(), sql],
        )
    } else {
        python("read_table.py", &[client, &demo.credential(role, "pg_url"), &password, sql])
    };
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn through_psql(role: &str, sql: &str) -> Vec<Vec<Value>> {
    let numbers = [0, 5, 7];
    let cell = |(index, text): (usize, &str)| match text {
        "" => Value::Null,
        number if numbers.contains(&index) => json!(number.parse::<i64>().unwrap()),
        text => json!(text),
    };
    let rows = demo().psql(role).rows(sql);
    assert!(!rows.is_empty(), "{role} sees something");
    rows.lines().map(|line| line.split('|').enumerate().map(cell).collect()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

#[test]
fn every_client_sees_the_same_rows() {
    for role in ["analyst", "researcher", "admin"] {
        let expected = through_psql(role, PATIENTS);
        assert_eq!(expected.len(), 40, "{role}");
        for client in ["psycopg-text", "psycopg-binary", "adbc"] {
            assert_eq!(through_python(client, role, PATIENTS), expected, "{role} through {client}");
        }
    }
}

#[test]
fn the_analyst_sees_one_hospital_masked() {
    for row in through_psql("analyst", PATIENTS) {
        assert_eq!(row[1], Value::Null, "name");
        assert!(text(&row[2]).starts_with("***-**-") && text(&row[2]).len() == 11, "ssn {}", row[2]);
        assert!(text(&row[3]).ends_with("-01-01"), "birth_date {}", row[3]);
        assert_eq!(text(&row[4]).len(), 3, "zip {}", row[4]);
        assert_eq!(row[5], json!(3), "hospital_id");
        assert_eq!(text(&row[8]).len(), 64, "email {}", row[8]);
        assert_eq!(row[9], Value::Null, "phone");
    }
    let analyst = demo().psql("analyst");
    for table in ["patients", "encounters", "vitals", "care_team", "hospitals"] {
        assert_eq!(analyst.rows(&format!("SELECT DISTINCT hospital_id FROM {table}")), "3", "{table}");
    }
    assert_eq!(analyst.rows("SELECT count(notes) FROM encounters"), "0");
}

#[test]
fn the_researcher_sees_all_hospitals_without_identifiers() {
    let researcher = demo().psql("researcher");
    assert_eq!(researcher.rows("SELECT count(DISTINCT hospital_id) FROM patients"), "10");
    assert_eq!(researcher.rows("SELECT count(name) + count(ssn) + count(email) + count(phone) FROM patients"), "0");
    assert_eq!(researcher.rows("SELECT count(notes) FROM encounters"), "0");
    for row in through_psql("researcher", PATIENTS) {
        assert!(text(&row[3]).ends_with("-01-01"), "birth_date {}", row[3]);
        assert_eq!(text(&row[4]).len(), 3, "zip {}", row[4]);
    }
}

#[test]
fn the_privacy_officer_reads_the_audit_and_no_patients() {
    let officer = demo().psql("privacy_officer");
    for table in ["patients", "encounters", "vitals"] {
        assert_eq!(officer.fails(&format!("SELECT * FROM {table}")).0, "42501", "{table}");
    }
    demo().psql("analyst").rows("SELECT 4242 AS marker, count(*) FROM patients WHERE age > 17");
    let recorded = officer.rows(
        "SELECT user_name, phase, sql_normalized FROM system.audit \
         WHERE statement_class = 'SELECT' AND user_name = 'analyst' AND sql_normalized LIKE '%marker%' ORDER BY seq",
    );
    let phases: Vec<&str> = recorded.lines().map(|line| line.split('|').nth(1).unwrap()).collect();
    assert_eq!(phases, ["BEGIN", "END"], "{recorded}");
    assert!(!recorded.contains("4242"), "literals stay out of the audit: {recorded}");
    for role in ["analyst", "researcher"] {
        assert_eq!(demo().psql(role).fails("SELECT * FROM system.audit").0, "42501", "{role}");
    }
}

#[test]
fn the_administrator_sees_raw_rows_and_is_recorded_as_bypassing() {
    let admin = demo().psql("admin");
    let patients = crate::harness::PATIENTS;
    assert_eq!(
        admin.rows("SELECT count(*), count(DISTINCT ssn), count(name) FROM patients"),
        format!("{patients}|{patients}|{patients}")
    );
    assert_eq!(admin.rows("SELECT count(*) FROM encounters"), (patients * 4).to_string());
    assert_eq!(admin.rows("SELECT count(*) FROM vitals"), (patients * 40).to_string());
    let bypass = admin.rows(
        "SELECT count(*) FROM system.audit WHERE user_name = 'admin' AND phase = 'BEGIN' AND policies LIKE '%bypass%'",
    );
    assert_ne!(bypass, "0");
}
