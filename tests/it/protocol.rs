//! The PostgreSQL protocol as drivers and psql use it: prepared statements, types, cancel, several statements at once,
//! and psql's backslash commands.

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

pub use crate::harness::block_on;
use crate::harness::{demo, tls};

/// A driver, logged in to the shared demo.
pub async fn connect(role: &str) -> Client {
    demo().server.connect(role, &demo().credential(role, "password")).await
}

#[test]
fn prepared_statements_take_parameters_of_every_scalar_type() {
    block_on(async {
        let client = connect("analyst").await;
        let row = client
            .query_one(
                "SELECT $1::boolean, $2::smallint, $3::int, $4::bigint, $5::real, $6::double precision, $7::text, $8::bytea",
                &[&true, &7_i16, &8_i32, &9_i64, &1.5_f32, &f64::NAN, &"grüezi", &b"\x00\xff".as_slice()],
            )
            .await
            .unwrap();
        assert!(row.get::<_, bool>(0));
        assert_eq!((row.get::<_, i16>(1), row.get::<_, i32>(2), row.get::<_, i64>(3)), (7, 8, 9));
        assert_eq!(row.get::<_, f32>(4), 1.5);
        assert!(row.get::<_, f64>(5).is_nan());
        assert_eq!(row.get::<_, &str>(6), "grüezi");
        assert_eq!(row.get::<_, &[u8]>(7), b"\x00\xff");
        let nothing = client.query_one("SELECT $1::int", &[&None::<i32>]).await.unwrap();
        assert_eq!(nothing.get::<_, Option<i32>>(0), None);
    });
}

#[test]
fn types_of_parameters_and_columns_are_described() {
    block_on(async {
        let client = connect("analyst").await;
        let prepared = client
            .prepare("SELECT patient_id, age, birth_date, name FROM patients WHERE age > $1 AND gender = $2")
            .await
            .unwrap();
        let types: Vec<_> = prepared.columns().iter().map(|column| column.type_().clone()).collect();
        assert_eq!(types, [Type::INT8, Type::INT4, Type::DATE, Type::TEXT]);
        assert_eq!(prepared.params(), [Type::INT4, Type::TEXT]);
        let rows = client.query(&prepared, &[&50_i32, &"F"]).await.unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<_, i32>("age") > 50));
        let error = client.prepare("SELECT * FROM nowhere").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42P01");
        assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1, "the session goes on");
    });
}

#[test]
fn several_statements_and_empty_ones() {
    block_on(async {
        let client = connect("analyst").await;
        let answers = client.simple_query(" ; SELECT 1; ; SELECT 2, 3; -- end").await.unwrap();
        let completed =
            answers.iter().filter(|message| matches!(message, SimpleQueryMessage::CommandComplete(1))).count();
        assert_eq!(completed, 2);
        client.simple_query("").await.unwrap();
        let error = client.simple_query("SELECT 1; SELECT 1/0; SELECT 2").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22012");
    });
}

#[test]
fn blocks_pin_versions_and_remember_failure() {
    block_on(async {
        let client = connect("analyst").await;
        client.simple_query("BEGIN; SELECT count(*) FROM patients").await.unwrap();
        let error = client.simple_query("SELECT 1/0").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22012");
        let error = client.simple_query("SELECT 1").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "25P02");
        client.simple_query("ROLLBACK").await.unwrap();
        client.simple_query("SELECT 1").await.unwrap();
    });
}

#[test]
fn a_running_query_can_be_cancelled() {
    block_on(async {
        let client = connect("analyst").await;
        let token = client.cancel_token();
        let connector = tls::connector(&demo().ca());
        let slow =
            client.simple_query("SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b");
        let mut slow = std::pin::pin!(slow);
        // A request that comes before the query has begun changes nothing: so ask until it ends.
        let mut outcome = tokio::time::timeout(Duration::from_millis(50), &mut slow).await;
        for _ in 0..600 {
            if outcome.is_ok() {
                break;
            }
            token.cancel_query(connector.clone()).await.unwrap();
            outcome = tokio::time::timeout(Duration::from_millis(50), &mut slow).await;
        }
        let outcome = outcome.expect("the query is cancelled");
        assert_eq!(outcome.unwrap_err().code().unwrap().code(), "57014");
        assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1, "the session goes on");
    });
}

#[test]
fn a_large_result_streams() {
    block_on(async {
        let client = connect("admin").await;
        let rows =
            client.simple_query("SELECT a, 'row number ' || a FROM generate_series(1, 300000) t(a)").await.unwrap();
        let rows: Vec<_> = rows
            .iter()
            .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None })
            .collect();
        assert_eq!(rows.len(), 300_000);
        assert!(rows.iter().all(|row| row.get(1) == Some(&format!("row number {}", row.get(0).unwrap()))));
    });
}

#[test]
fn psql_lists_and_describes() {
    let analyst = demo().psql("analyst");
    let tables = analyst.rows("\\dt");
    for table in ["care_team", "encounters", "hospitals", "patients", "vitals"] {
        assert!(tables.contains(&format!("|{table}|table|")), "{tables}");
    }
    let columns = analyst.rows("\\d patients");
    for column in ["patient_id|bigint", "birth_date|date", "age|integer", "ssn|text"] {
        assert!(columns.contains(column), "{columns}");
    }
    assert!(analyst.rows("\\l").contains("lakeward|"), "\\l");
    assert!(analyst.rows("\\du").contains("analyst"), "\\du");
    assert!(analyst.rows("\\d").contains("patients"), "\\d");
    assert!(!demo().psql("privacy_officer").rows("\\dt").contains("patients"), "only what one may see");
}

#[test]
fn settings_and_roles_can_be_shown() {
    let analyst = demo().psql("analyst");
    assert_eq!(analyst.rows("SHOW server_version"), "15.0");
    assert_eq!(analyst.rows("SET TimeZone = 'Europe/Zurich'; SHOW TimeZone"), "Europe/Zurich");
    assert_eq!(
        analyst.rows("SELECT current_user, session_user, current_database(), is_role_in_session('analyst')"),
        "analyst|analyst|lakeward|t"
    );
    assert_eq!(
        analyst.rows("SELECT principal_attribute('hospital_id'), principal_attribute('nothing') IS NULL"),
        "3|t"
    );
}
