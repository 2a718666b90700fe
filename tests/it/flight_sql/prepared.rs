//! Prepared statements: parameters, many rows of them, and what is refused.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt,
};
use datafusion::arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use prost::Message;
use tonic::Code;

use super::client::{Raw, assert_refused, block_on, commits, encoded, login, numbers, pairs, recorded};
use crate::harness::Lab;

const TABLE: &str = "CREATE TABLE t (a int NOT NULL, b text)";

#[test]
fn an_insert_with_many_rows_of_parameters_is_one_commit_and_one_record() {
    let lab = Lab::open(TABLE);
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let sets = vec![pairs(&[(1, Some("x")), (2, None)]), pairs(&[]), pairs(&[(3, Some("z"))])];
        assert_eq!(client.change_each("INSERT INTO t VALUES ($1, $2)", sets).await.unwrap(), 3);
        // Expressions, several rows of VALUES, and columns in another order.
        let sql = "INSERT INTO t (b, a) VALUES (upper($2) || '!', $1 + 10), ('const', $1::int * 100)";
        assert_eq!(client.change_each(sql, vec![pairs(&[(1, Some("p")), (2, Some("q"))])]).await.unwrap(), 4);
        // A source that is planned for each row.
        let sql = "INSERT INTO t SELECT a + 1000, b FROM (VALUES (1, 'x'), (3, 'z')) s(a, b) WHERE a = $1";
        assert_eq!(client.change_each(sql, vec![numbers(&[1, 3, 99])]).await.unwrap(), 2);
        // One execution after the other would see what those before it wrote.
        let sql = "INSERT INTO t SELECT count(*), $1::text FROM t";
        assert_refused(client.change_each(sql, vec![numbers(&[1, 3])]).await, Code::Unimplemented, "0A000");
    });
    assert_eq!(commits(&lab, "t"), 3);
    let rows = lab.psql("admin").rows("SELECT a, b FROM t ORDER BY a");
    let expected = ["1|x", "2|", "3|z", "11|P!", "12|Q!", "100|const", "200|const", "1001|x", "1003|z"];
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
    let inserts = recorded(&lab, "statement_class = 'INSERT' AND phase = 'END'");
    assert_eq!(inserts.len(), 3);
    assert_eq!(inserts[0], "END|INSERT|INSERT INTO t VALUES ($1, $2)|00000|3");
}

#[test]
fn no_rows_of_parameters_are_decided_recorded_and_not_done() {
    let lab = Lab::open(&format!(
        "{TABLE}; INSERT INTO t VALUES (1, 'x'); CREATE ROLE nurse LOGIN PASSWORD 'secret'; GRANT INSERT ON t TO nurse"
    ));
    block_on(async {
        let mut nurse = Raw::login(&lab, "nurse").await;
        let insert = "INSERT INTO t VALUES ($1, $2)";
        assert_eq!(nurse.change_each(insert, vec![pairs(&[])]).await.unwrap(), 0);
        let handle = nurse.prepare(insert).await.unwrap().prepared_statement_handle;
        lab.psql("admin").rows("REVOKE INSERT ON t FROM nurse");
        let command = CommandPreparedStatementUpdate { prepared_statement_handle: handle };
        let refused = nurse.change(encoded(&command, vec![pairs(&[])]).await).await;
        assert_refused(refused, Code::PermissionDenied, "42501");
        let mut admin = Raw::login(&lab, "admin").await;
        for sql in ["UPDATE t SET b = $2 WHERE a > $1", "DELETE FROM t WHERE a = $1 OR b = $2"] {
            assert_eq!(admin.change_each(sql, vec![pairs(&[])]).await.unwrap(), 0, "{sql}");
        }
    });
    assert_eq!((commits(&lab, "t"), lab.psql("admin").rows("SELECT a, b FROM t").as_str()), (1, "1|x"));
    let expected = [
        "END|INSERT|INSERT INTO t VALUES ($1, $2)|00000|0",
        "DENIED|INSERT|INSERT INTO t VALUES ($1, $2)|42501|",
        "END|UPDATE|UPDATE t SET b = $2 WHERE a > $1|00000|0",
        "END|DELETE|DELETE FROM t WHERE a = $1 OR b = $2|00000|0",
    ];
    assert_eq!(recorded(&lab, "phase <> 'BEGIN' AND statement_class IN ('INSERT', 'UPDATE', 'DELETE')"), expected);
}

#[test]
fn all_rows_of_parameters_are_done_or_none() {
    let lab = Lab::open(TABLE);
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let null = RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef, true),
            ("b", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef, true),
        ]);
        let insert = "INSERT INTO t VALUES ($1, $2)";
        assert_refused(client.change_each(insert, vec![null.unwrap()]).await, Code::InvalidArgument, "23502");
        let divided = "INSERT INTO t VALUES (100 / $1, $2)";
        let sets = vec![pairs(&[(1, Some("x")), (0, Some("y"))])];
        assert_refused(client.change_each(divided, sets).await, Code::InvalidArgument, "22012");
    });
    assert_eq!((commits(&lab, "t"), lab.psql("admin").rows("SELECT count(*) FROM t").as_str()), (0, "0"));
}

#[test]
fn an_update_or_delete_with_many_rows_of_parameters_is_one_commit() {
    let lab = Lab::open(&format!("{TABLE}; INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z'), (4, 'w')"));
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let update = "UPDATE t SET b = $2 WHERE a = $1";
        let sets = vec![pairs(&[(1, Some("one")), (2, None), (9, Some("nobody"))])];
        assert_eq!(client.change_each(update, sets).await.unwrap(), 2);
        assert_eq!(client.change_each("DELETE FROM t WHERE a = $1", vec![numbers(&[3, 3, 4])]).await.unwrap(), 2);
        // What one row of parameters has changed, the next would see.
        let sets = || vec![numbers(&[1, 2])];
        let refused = client.change_each("UPDATE t SET a = a + $1", sets()).await;
        assert_refused(refused, Code::Unimplemented, "0A000");
        let refused = client.change_each("UPDATE t SET b = 'x' WHERE a >= $1 AND a > 0", sets()).await;
        assert_refused(refused, Code::InvalidArgument, "21000");
        let refused = client.change_each("DELETE FROM t WHERE a = $1 AND (SELECT count(*) FROM t) > 1", sets()).await;
        assert_refused(refused, Code::Unimplemented, "0A000");
        let merge = "MERGE INTO t USING (SELECT $1::int AS a) s ON t.a = s.a WHEN MATCHED THEN DELETE";
        assert_refused(client.change_each(merge, sets()).await, Code::Unimplemented, "0A000");
        let overwrite = "INSERT OVERWRITE t VALUES ($1, 'x')";
        assert_refused(client.change_each(overwrite, sets()).await, Code::Unimplemented, "0A000");
        assert_eq!(client.change_each("UPDATE t SET a = a + $1 WHERE a = 1", vec![numbers(&[10])]).await.unwrap(), 1);
    });
    assert_eq!(commits(&lab, "t"), 4);
    assert_eq!(lab.psql("admin").rows("SELECT a, b FROM t ORDER BY a"), "2|\n11|one");
    assert_eq!(recorded(&lab, "phase = 'DENIED'").len(), 4);
}

#[test]
fn a_query_with_many_rows_of_parameters_answers_the_rows_of_each() {
    let lab = Lab::open(&format!("{TABLE}; INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'why')"));
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let rows = client.query_each("SELECT a, b FROM t WHERE a = $1 ORDER BY b", vec![numbers(&[2, 7, 1])]).await;
        assert_eq!(rows.unwrap(), ["2|why", "2|y", "1|x"]);
        let rows = client.query_each("SELECT count(*), max($1) FROM t WHERE a > $1", vec![numbers(&[0, 1, 2])]).await;
        assert_eq!(rows.unwrap(), ["3|0", "2|1", "0|∅"]);
        let by_version = client.query_each("SELECT * FROM t VERSION AS OF $1", vec![numbers(&[0, 1])]).await;
        assert_refused(by_version, Code::Unimplemented, "0A000");
        let many: Vec<i32> = (0..1001).collect();
        let refused = client.query_each("SELECT a FROM t WHERE a = $1", vec![numbers(&many)]).await;
        assert_refused(refused, Code::FailedPrecondition, "54000");
    });
    let queries = recorded(&lab, "statement_class = 'SELECT' AND phase = 'END'");
    assert_eq!(queries[0], "END|SELECT|SELECT a, b FROM t WHERE a = $1 ORDER BY b|00000|3");
    assert_eq!(queries.len(), 2);
}

#[test]
fn what_is_not_bound_or_does_not_fit_is_refused_and_recorded() {
    let lab = Lab::open(TABLE);
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let query = client.prepare("SELECT a FROM t WHERE a = $1 AND b = $2").await.unwrap().prepared_statement_handle;
        assert_refused(client.execute(&query).await, Code::InvalidArgument, "08P01");
        let command = CommandPreparedStatementQuery { prepared_statement_handle: query.clone() };
        let one = client.put(encoded(&command, vec![numbers(&[1])]).await).await;
        assert_refused(one, Code::InvalidArgument, "08P01");
        let insert = "INSERT INTO t VALUES ($1, $2)";
        assert_refused(client.change_each(insert, Vec::new()).await, Code::InvalidArgument, "08P01");
        let texts = |value: &str| {
            let column = || Arc::new(StringArray::from(vec![value])) as ArrayRef;
            vec![RecordBatch::try_from_iter([("a", column()), ("b", column())]).unwrap()]
        };
        let refused = client.change_each(insert, texts("412-68-1073")).await.unwrap_err();
        assert!(!refused.message().contains("412"), "{}", refused.message());
        assert_refused(Err::<(), _>(refused), Code::InvalidArgument, "22P02");
        assert_eq!(client.change_each(insert, texts("7")).await.unwrap(), 1);
        let wide = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![i64::MAX])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ]);
        assert_refused(client.change_each(insert, vec![wide.unwrap()]).await, Code::InvalidArgument, "22003");
        let words: DictionaryArray<Int32Type> = vec!["eight", "eight"].into_iter().collect();
        let categories = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![8, 9])) as ArrayRef),
            ("b", Arc::new(words) as ArrayRef),
        ]);
        assert_eq!(client.change_each(insert, vec![categories.unwrap()]).await.unwrap(), 2);
        assert_eq!(client.change_each(insert, vec![pairs(&[])]).await.unwrap(), 0, "for each of no rows");
    });
    assert_eq!(lab.psql("admin").rows("SELECT a, b FROM t ORDER BY a"), "7|7\n8|eight\n9|eight");
    let denied = recorded(&lab, "phase = 'DENIED'");
    let expected = [
        "DENIED|SELECT|SELECT a FROM t WHERE a = $1 AND b = $2|08P01|",
        "DENIED|SELECT|SELECT a FROM t WHERE a = $1 AND b = $2|08P01|",
        "DENIED|INSERT|INSERT INTO t VALUES ($1, $2)|08P01|",
        "DENIED|INSERT|INSERT INTO t VALUES ($1, $2)|22P02|",
        "DENIED|INSERT|INSERT INTO t VALUES ($1, $2)|22003|",
    ];
    assert_eq!(denied, expected);
}

#[test]
fn handles_are_their_sessions_own_until_they_are_closed() {
    let lab = Lab::open(TABLE);
    block_on(async {
        let mut mine = Raw::login(&lab, "admin").await;
        let mut theirs = Raw::login(&lab, "admin").await;
        let prepared = mine.prepare("SELECT a FROM t WHERE b = $1 AND a > $2").await.unwrap();
        let handle = prepared.prepared_statement_handle;
        let bind = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
        let sets = || vec![pairs(&[(1, Some("x"))])];
        assert_refused(theirs.execute(&handle).await, Code::InvalidArgument, "26000");
        assert_refused(theirs.put(encoded(&bind, sets()).await).await, Code::InvalidArgument, "26000");
        let update = CommandPreparedStatementUpdate { prepared_statement_handle: handle.clone() };
        assert_refused(theirs.put(encoded(&update, sets()).await).await, Code::InvalidArgument, "26000");
        // The handle to go on with is in the answer.
        let answer = mine.put(encoded(&bind, vec![numbers(&[1])]).await).await;
        assert_refused(answer, Code::InvalidArgument, "08P01");
        let two = RecordBatch::try_from_iter([
            ("1", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
            ("2", Arc::new(Int64Array::from(vec![0])) as ArrayRef),
        ]);
        let answer = mine.put(encoded(&bind, vec![two.unwrap()]).await).await.unwrap();
        let result = DoPutPreparedStatementResult::decode(answer[0].app_metadata.clone()).unwrap();
        assert_eq!(result.prepared_statement_handle.as_deref(), Some(handle.as_ref()));
        assert!(mine.execute(&handle).await.is_ok());
        let close = ActionClosePreparedStatementRequest { prepared_statement_handle: handle.clone() };
        let body = close.as_any().encode_to_vec();
        theirs.act("ClosePreparedStatement", body.clone()).await.unwrap();
        assert!(mine.execute(&handle).await.is_ok(), "another's close closes nothing");
        mine.act("ClosePreparedStatement", body).await.unwrap();
        assert_refused(mine.execute(&handle).await, Code::InvalidArgument, "26000");
    });
    let strangers = recorded(&lab, "statement_class = 'PREPARED STATEMENT'");
    assert_eq!(strangers, vec!["DENIED|PREPARED STATEMENT|EXECUTE|26000|"; 4]);
}

#[test]
fn parameters_and_columns_are_described() {
    let lab = Lab::open(&format!("{TABLE}; INSERT INTO t VALUES (1, 'x'), (2, 'y')"));
    block_on(async {
        let mut client = login(&lab, "admin").await;
        let mut prepared = client.prepare("SELECT a, b FROM t WHERE a = $1 AND b = $2".to_owned(), None).await.unwrap();
        let names = |schema: &datafusion::arrow::datatypes::Schema| -> Vec<(String, DataType)> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        let (int, text) = (DataType::Int32, DataType::Utf8);
        let expected = [("$1".to_owned(), int.clone()), ("$2".to_owned(), text.clone())];
        assert_eq!(names(prepared.parameter_schema().unwrap()), expected);
        assert_eq!(names(prepared.dataset_schema().unwrap()), [("a".to_owned(), int), ("b".to_owned(), text)]);
        prepared.set_parameters(pairs(&[(2, Some("y"))])).unwrap();
        let info = prepared.execute().await.unwrap();
        let rows = Raw::of(&client).rows(&info).await.unwrap();
        assert_eq!(rows, ["2|y"]);
        let mut update = client.prepare("INSERT INTO t VALUES ($1, $2)".to_owned(), None).await.unwrap();
        update.set_parameters(pairs(&[(3, None), (4, Some("w"))])).unwrap();
        assert_eq!(update.execute_update().await.unwrap(), 2);
    });
}
