//! COPY under grants, policies, masks, the audit, blocks and cancels: as SELECT and INSERT.

use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::Client;

use super::{copied, copy, rows, told};
use crate::harness::{Lab, tls};

fn ward() -> Lab {
    Lab::open(
        "CREATE TABLE p (id bigint NOT NULL, ward int, mrn text);
         INSERT INTO p VALUES (1, 1, 'A-1'), (2, 2, 'B-2'), (3, 1, 'A-3');
         CREATE TABLE diary (line text);
         CREATE ROLE nurse LOGIN PASSWORD 'secret' IN ROLE auditor;
         ALTER ROLE nurse SET ATTRIBUTE ward = '1';
         GRANT SELECT, INSERT ON p TO nurse; GRANT SELECT ON diary TO nurse;
         CREATE POLICY own ON p USING (ward = principal_attribute('ward')::int);
         CREATE MASKING POLICY last1 AS (val text) RETURNS text ->
           CASE WHEN is_role_in_session('doctor') THEN val ELSE mask_show_last(val, 1) END;
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY last1;",
    )
}

async fn code(client: &Client, sql: &str, data: &[u8]) -> String {
    let error = copy(client, sql, data, 1000).await.expect_err(sql);
    told(&error).code().code().to_owned()
}

/// The code of a COPY that is refused before it asks for data.
async fn refused(client: &Client, sql: &str) -> String {
    let error = client.simple_query(sql).await.expect_err(sql);
    told(&error).code().code().to_owned()
}

async fn count(client: &Client) -> String {
    rows(client, "SELECT count(*) FROM p").await[0][0].clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_out_are_those_that_a_query_shows() {
    let lab = ward();
    let nurse = lab.connect("nurse").await;
    for sql in ["COPY p TO STDOUT", "COPY (SELECT * FROM p) TO STDOUT", "COPY p (id, ward, mrn) TO STDOUT"] {
        assert_eq!(String::from_utf8(copied(&nurse, sql).await.unwrap()).unwrap(), "1\t1\t*-1\n3\t1\t*-3\n", "{sql}");
    }
    let admin = lab.connect("admin").await;
    admin.batch_execute("CREATE ROLE stranger LOGIN PASSWORD 'secret'").await.unwrap();
    let stranger = lab.connect("stranger").await;
    for sql in ["COPY p TO STDOUT", "COPY (SELECT id FROM p) TO STDOUT", "COPY p (id) TO STDOUT"] {
        let error = stranger.simple_query(sql).await.unwrap_err();
        assert_eq!(told(&error).code().code(), "42501", "{sql}");
    }
    assert_eq!(refused(&stranger, "COPY p (id, ward) FROM STDIN").await, "42501");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_are_checked_as_insert_checks_them() {
    let lab = ward();
    let (nurse, admin) = (lab.connect("nurse").await, lab.connect("admin").await);
    let into = "COPY p (id, ward) FROM STDIN";
    assert_eq!(copy(&nurse, into, b"4\t1\n5\t1\n", 3).await.unwrap(), 2);
    assert_eq!(count(&admin).await, "5");
    assert_eq!(code(&nurse, into, b"6\t1\n7\t2\n").await, "42501", "the policy's WITH CHECK");
    assert_eq!(refused(&nurse, "COPY p FROM STDIN").await, "42501", "a masked column");
    assert_eq!(refused(&nurse, "COPY diary FROM STDIN").await, "42501", "no INSERT");
    let not_null = copy(&nurse, "COPY p (ward, id) FROM STDIN", b"1\t8\n1\t\\N\n", 5).await.unwrap_err();
    assert_eq!(told(&not_null).code().code(), "23502");
    assert_eq!(code(&nurse, "COPY p (ward) FROM STDIN", b"1\n").await, "23502");
    assert_eq!(count(&admin).await, "5", "nothing of what failed is there");
    assert_eq!(copy(&admin, "COPY diary FROM STDIN", b"\n\\N\nx\n", 2).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_a_value() {
    let lab = ward();
    let admin = lab.connect("admin").await;
    let secret = "412-68-1073";
    for (sql, data) in [
        ("COPY p FROM STDIN", format!("{secret}\t1\tx\n")),
        ("COPY p FROM STDIN", format!("1\t1\tx\t{secret}\n")),
        ("COPY p FROM STDIN", format!("1\t{secret}\n")),
        ("COPY p FROM STDIN (FORMAT csv, HEADER match)", format!("{secret},ward,mrn\n")),
        ("COPY p FROM STDIN (FORMAT csv)", format!("1,1,\"{secret}\n")),
        ("COPY p FROM STDIN (FORMAT binary)", secret.repeat(3)),
    ] {
        let error = copy(&admin, sql, data.as_bytes(), 4).await.unwrap_err();
        assert!(!format!("{error:?}").contains("412"), "{error:?}");
        assert!(told(&error).where_().is_some(), "{error:?}");
    }
    assert!(!lab.server.stderr().contains("412-"), "{}", lab.server.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_finished_writes_nothing() {
    let lab = ward();
    let admin = lab.connect("admin").await;
    let many: String = (10..30_000).map(|id| format!("{id}\t1\tx\n")).collect();
    {
        // Dropping the sink sends CopyFail.
        let sink = admin.copy_in::<_, Bytes>("COPY p FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(Bytes::from(many.clone())).await.unwrap();
        sink.flush().await.unwrap();
    }
    assert_eq!(count(&admin).await, "3");
    {
        // The connection goes in the midst of the data.
        let other = lab.connect("admin").await;
        let sink = other.copy_in::<_, Bytes>("COPY p FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(Bytes::from(many.clone())).await.unwrap();
        sink.flush().await.unwrap();
        let ended = admin
            .query_one("SELECT pg_terminate_backend(pid::int) FROM pg_stat_activity WHERE query LIKE 'COPY p%'", &[]);
        assert!(ended.await.unwrap().get::<_, bool>(0));
        let outcome = async {
            loop {
                sink.send(Bytes::from_static(b"1\t1\tx\n")).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let outcome: Result<(), tokio_postgres::Error> =
            tokio::time::timeout(Duration::from_secs(20), outcome).await.expect("it ends");
        assert!(outcome.is_err());
    }
    assert_eq!(count(&admin).await, "3");
    assert_eq!(lab.psql("admin").rows("DESCRIBE HISTORY p").lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_copy_can_be_cancelled_and_times_out() {
    let lab = ward();
    let admin = lab.connect("admin").await;
    let token = admin.cancel_token();
    let sink = admin.copy_in::<_, Bytes>("COPY p FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from_static(b"7\t1\tx\n")).await.unwrap();
    sink.flush().await.unwrap();
    token.cancel_query(tls::connector(&lab.server.data().join("ca.pem"))).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    assert_eq!(told(&error).code().code(), "57014");
    admin.batch_execute("SET statement_timeout = '300ms'").await.unwrap();
    let sink = admin.copy_in::<_, Bytes>("COPY p FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from_static(b"7\t1\tx\n")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let error = sink.finish().await.unwrap_err();
    assert_eq!(told(&error).code().code(), "57014");
    assert_eq!(count(&admin).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_committed_under_the_grants_of_that_moment() {
    let lab = ward();
    let (nurse, admin) = (lab.connect("nurse").await, lab.connect("admin").await);
    let cases = [
        ("REVOKE INSERT ON p FROM nurse", "GRANT INSERT ON p TO nurse", "42501"),
        ("CREATE POLICY later ON p AS RESTRICTIVE USING (id < 5)", "DROP POLICY later ON p", "42501"),
        ("CREATE ROLE unrelated", "DROP ROLE unrelated", ""),
    ];
    for (change, back, outcome) in cases {
        let sink = nurse.copy_in::<_, Bytes>("COPY p (id, ward) FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(Bytes::from_static(b"7\t1\n")).await.unwrap();
        admin.batch_execute(change).await.unwrap();
        let told = match sink.finish().await {
            Ok(rows) => format!("{rows}"),
            Err(error) => told(&error).code().code().to_owned(),
        };
        admin.batch_execute(back).await.unwrap();
        assert_eq!(told, if outcome.is_empty() { "1" } else { outcome }, "{change}");
        assert_eq!(count(&admin).await, if outcome.is_empty() { "4" } else { "3" }, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_and_several_statements() {
    let lab = ward();
    let admin = lab.connect("admin").await;
    admin.batch_execute("BEGIN").await.unwrap();
    assert_eq!(copied(&admin, "COPY p (id) TO STDOUT").await.unwrap(), b"1\n2\n3\n");
    assert_eq!(copy(&admin, "COPY p (id, ward) FROM STDIN", b"7\t1\n8\t1\n", 100).await.unwrap(), 2);
    assert_eq!(copied(&admin, "COPY (SELECT id FROM p ORDER BY id) TO STDOUT").await.unwrap(), b"1\n2\n3\n7\n8\n");
    assert_eq!(refused(&admin, "COPY p FROM STDIN").await, "0A000", "a second write");
    admin.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(copied(&admin, "COPY p (id) TO STDOUT").await.unwrap(), b"1\n2\n3\n", "nothing of it is left");
    admin.batch_execute("BEGIN").await.unwrap();
    copy(&admin, "COPY p (id, ward) FROM STDIN", b"9\t1\n", 100).await.unwrap();
    admin.batch_execute("COMMIT").await.unwrap();
    assert_eq!(copied(&admin, "COPY (SELECT count(*) FROM p) TO STDOUT").await.unwrap(), b"4\n");
    admin.batch_execute("BEGIN READ ONLY").await.unwrap();
    assert_eq!(refused(&admin, "COPY p FROM STDIN").await, "25006");
    admin.batch_execute("ROLLBACK").await.unwrap();
    let error = admin.simple_query("EXPLAIN COPY p TO STDOUT").await.unwrap_err();
    assert_eq!(told(&error).code().code(), "0A000");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_has_both_ways_with_their_rows() {
    let lab = ward();
    let nurse = lab.connect("nurse").await;
    copied(&nurse, "COPY p TO STDOUT").await.unwrap();
    copy(&nurse, "COPY p (id, ward) FROM STDIN", b"4\t1\n5\t1\n", 100).await.unwrap();
    let _ = code(&nurse, "COPY p (id, ward) FROM STDIN", b"x\t1\n").await;
    let _ = refused(&nurse, "COPY p FROM STDIN").await;
    let told = rows(
        &nurse,
        "SELECT statement_class, phase, sqlstate, rows FROM system.audit
         WHERE statement_class LIKE 'COPY%' AND phase <> 'BEGIN' ORDER BY seq",
    )
    .await;
    let told: Vec<_> = told
        .iter()
        .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        told,
        ["COPY TO END 00000 2", "COPY FROM END 00000 2", "COPY FROM END 22P02 0", "COPY FROM DENIED 42501 -"]
    );
}
