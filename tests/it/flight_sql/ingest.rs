//! Bulk loads: what governs INSERT governs them, in one commit, with a record.

use std::sync::Arc;

use arrow_flight::sql::{
    CommandStatementIngest, ProstMessageExt, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use arrow_flight::{FlightData, FlightDescriptor};
use datafusion::arrow::array::{
    ArrayRef, Date32Array, DictionaryArray, Int64Array, NullArray, RecordBatch, StringArray, StringViewArray,
    TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::Int32Type;
use prost::Message;
use tonic::Code;

use super::client::{Raw, assert_refused, block_on, commits, encoded, pairs, recorded};
use crate::harness::Lab;

fn load(table: &str, if_not_exist: TableNotExistOption, if_exists: TableExistsOption) -> CommandStatementIngest {
    let options = TableDefinitionOptions { if_not_exist: if_not_exist.into(), if_exists: if_exists.into() };
    CommandStatementIngest {
        table: table.to_owned(),
        table_definition_options: Some(options),
        ..CommandStatementIngest::default()
    }
}

fn append(table: &str) -> CommandStatementIngest {
    load(table, TableNotExistOption::Fail, TableExistsOption::Append)
}

async fn send(
    client: &mut Raw,
    command: &CommandStatementIngest,
    rows: Vec<RecordBatch>,
) -> Result<i64, tonic::Status> {
    client.change(encoded(command, rows).await).await
}

#[test]
fn a_load_is_appended_by_the_names_of_columns_in_one_commit() {
    let lab = Lab::open("CREATE SCHEMA ward; CREATE TABLE ward.t (b text, c date, a bigint, d timestamptz)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let words: DictionaryArray<Int32Type> = vec!["x", "y"].into_iter().collect();
        let first = RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef, true),
            ("b", Arc::new(words) as ArrayRef, true),
            ("d", Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]).with_timezone("Europe/Zurich")), true),
        ]);
        let command = CommandStatementIngest { schema: Some("ward".to_owned()), ..append("t") };
        let first = first.unwrap();
        assert_eq!(send(&mut client, &command, vec![first.clone(), first]).await.unwrap(), 4);
        let second = RecordBatch::try_from_iter([
            ("c", Arc::new(Date32Array::from(vec![0])) as ArrayRef),
            ("b", Arc::new(StringViewArray::from(vec!["a view longer than twelve bytes"])) as ArrayRef),
        ]);
        assert_eq!(send(&mut client, &command, vec![second.unwrap()]).await.unwrap(), 1);
    });
    assert_eq!(commits(&lab, "ward.t"), 2);
    let rows = lab.psql("admin").rows("SELECT a, b, c, d FROM ward.t ORDER BY a, b");
    let twice = "1|x||1970-01-01 00:00:00.000001+00";
    assert!(rows.starts_with(&format!("{twice}\n{twice}\n2|y|")), "{rows}");
    assert!(rows.ends_with("|a view longer than twelve bytes|1970-01-01|"), "{rows}");
    let records = recorded(&lab, "statement_class = 'INSERT'");
    assert_eq!(records.len(), 4, "{records:?}");
    assert!(records[1].starts_with("END|INSERT|") && records[1].ends_with("|00000|4"), "{records:?}");
}

#[test]
fn the_modes_make_append_replace_and_refuse() {
    let lab = Lab::open("CREATE ROLE reader; CREATE TABLE other (a int)");
    let (fail, create) = (TableNotExistOption::Fail, TableNotExistOption::Create);
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let rows = || vec![pairs(&[(1, Some("x")), (2, None)])];
        let refused = send(&mut client, &append("t"), rows()).await;
        assert_refused(refused, Code::NotFound, "42P01");
        let creating = load("t", create, TableExistsOption::Fail);
        assert_eq!(send(&mut client, &creating, rows()).await.unwrap(), 2);
        assert_refused(send(&mut client, &creating, rows()).await, Code::InvalidArgument, "42P07");
        let create_append = load("t", create, TableExistsOption::Append);
        assert_eq!(send(&mut client, &create_append, rows()).await.unwrap(), 2);
        // What the client has sent can be shared.
        lab.psql("admin").rows("GRANT SELECT ON t TO reader");
        let replace = load("t", create, TableExistsOption::Replace);
        assert_eq!(send(&mut client, &replace, vec![pairs(&[(9, Some("nine"))])]).await.unwrap(), 1);
        assert_eq!(lab.psql("admin").rows("SELECT a, b FROM t"), "9|nine");
        let new = load("Other \"t\"", create, TableExistsOption::Append);
        assert_eq!(send(&mut client, &new, rows()).await.unwrap(), 2);
        let neither = load("t", fail, TableExistsOption::Fail);
        assert_refused(send(&mut client, &neither, rows()).await, Code::InvalidArgument, "42P07");
        let unsaid = load("t", TableNotExistOption::Unspecified, TableExistsOption::Append);
        assert_refused(send(&mut client, &unsaid, rows()).await, Code::InvalidArgument, "22023");
        let temporary = CommandStatementIngest { temporary: true, ..append("t") };
        assert_refused(send(&mut client, &temporary, rows()).await, Code::Unimplemented, "0A000");
        let wrong = send(&mut client, &append("other"), rows()).await;
        assert_refused(wrong, Code::InvalidArgument, "42703");
        let null = Arc::new(NullArray::new(3)) as ArrayRef;
        let nulls = RecordBatch::try_from_iter([("a", null)]).unwrap();
        assert_eq!(send(&mut client, &append("other"), vec![nulls]).await.unwrap(), 3);
    });
    let quoted = lab.psql("admin").rows("SELECT count(*) FROM \"Other \"\"t\"\"\"");
    assert_eq!(quoted, "2");
    let denied = recorded(&lab, "phase = 'DENIED'");
    assert_eq!(denied.len(), 5);
    assert_eq!(denied[0], "DENIED|INGEST|INGEST INTO \"t\"|42P01|");
    assert_eq!(recorded(&lab, "phase = 'END' AND sqlstate = '42P07'").len(), 1);
}

#[test]
fn a_load_needs_the_privileges_of_an_insert_and_its_rows_the_policies() {
    let lab = Lab::open(
        "CREATE ROLE nurse LOGIN PASSWORD 'secret'; CREATE ROLE nobody LOGIN PASSWORD 'secret';
         CREATE TABLE t (a int, b text); GRANT SELECT, INSERT ON t TO nurse;
         CREATE POLICY small ON t FOR ALL TO nurse USING (a < 10);
         CREATE TABLE m (a int, b text); GRANT SELECT, INSERT ON m TO nurse;
         CREATE MASKING POLICY hide AS (val text) RETURNS text -> mask_null(val);
         ALTER TABLE m ALTER COLUMN b SET MASKING POLICY hide",
    );
    block_on(async {
        let mut nurse = Raw::login(&lab, "nurse").await;
        let rows = |a: i32| vec![pairs(&[(1, Some("x"))]), pairs(&[(a, Some("y"))])];
        assert_eq!(send(&mut nurse, &append("t"), rows(2)).await.unwrap(), 2);
        assert_refused(send(&mut nurse, &append("t"), rows(10)).await, Code::PermissionDenied, "42501");
        assert_refused(send(&mut nurse, &append("m"), rows(1)).await, Code::PermissionDenied, "42501");
        let mut nobody = Raw::login(&lab, "nobody").await;
        assert_refused(send(&mut nobody, &append("t"), rows(1)).await, Code::PermissionDenied, "42501");
        let replace = load("t", TableNotExistOption::Create, TableExistsOption::Replace);
        assert_refused(send(&mut nurse, &replace, rows(1)).await, Code::PermissionDenied, "42501");
    });
    assert_eq!(commits(&lab, "t"), 1);
    assert_eq!(lab.psql("admin").rows("SELECT count(*) FROM t"), "2");
    let refused = recorded(&lab, "sqlstate = '42501'");
    assert_eq!(refused.len(), 4, "{refused:?}");
}

#[test]
fn a_load_that_breaks_off_leaves_nothing() {
    let lab = Lab::open("CREATE TABLE t (a int, b text)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let mut data = encoded(&append("t"), vec![pairs(&[(1, Some("x"))]), pairs(&[(2, Some("y"))])]).await;
        let last = data.last_mut().unwrap();
        last.data_body = last.data_body.slice(..last.data_body.len() / 2);
        assert_refused(client.change(data).await, Code::InvalidArgument, "08P01");
        // A table that was to be made of the rows is not there either.
        let create = load("n", TableNotExistOption::Create, TableExistsOption::Fail);
        let mut data = encoded(&create, vec![pairs(&[(1, Some("x"))]), pairs(&[(2, Some("y"))])]).await;
        let last = data.last_mut().unwrap();
        last.data_body = last.data_body.slice(..last.data_body.len() / 2);
        assert_refused(client.change(data).await, Code::InvalidArgument, "08P01");
        assert_refused(client.query("SELECT a FROM n").await, Code::NotFound, "42P01");
        assert_eq!(send(&mut client, &create, vec![pairs(&[(1, Some("x"))])]).await.unwrap(), 1);
        let command = append("t").as_any().encode_to_vec();
        let bare = FlightData { flight_descriptor: Some(FlightDescriptor::new_cmd(command)), ..Default::default() };
        assert_refused(client.change(vec![bare]).await, Code::InvalidArgument, "08P01");
        let none = RecordBatch::new_empty(Arc::new(datafusion::arrow::datatypes::Schema::empty()));
        assert_refused(send(&mut client, &append("t"), vec![none]).await, Code::InvalidArgument, "42P16");
        let twice = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
            ("a", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
        ]);
        assert_refused(send(&mut client, &append("t"), vec![twice.unwrap()]).await, Code::InvalidArgument, "42701");
        assert_eq!(send(&mut client, &append("t"), vec![pairs(&[(1, Some("x"))])]).await.unwrap(), 1, "and goes on");
    });
    assert_eq!(commits(&lab, "t"), 1);
}
