//! Cancelling, session options, transactions by id, and how long a token is good.

use arrow_flight::sql::{
    ActionBeginTransactionRequest, CommandStatementQuery, CommandStatementUpdate, ProstMessageExt,
};
use arrow_flight::sql::{ActionCancelQueryRequest, ActionCancelQueryResult, Any};
use arrow_flight::{CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use prost::Message;
use tonic::Code;

use super::client::{Raw, assert_refused, block_on, encoded, recorded};
use crate::harness::Lab;

const SLOW: &str = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b WHERE a + b < 0";

fn cancelling(info: &FlightInfo) -> Vec<u8> {
    CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec()
}

fn status(answer: &[bytes::Bytes]) -> CancelStatus {
    CancelFlightInfoResult::decode(answer[0].clone()).unwrap().status()
}

#[test]
fn a_statement_is_cancelled_while_it_waits() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    block_on(async {
        let (mut client, mut other) = (Raw::login(&lab, "admin").await, Raw::login(&lab, "admin").await);
        let info = client.query("SELECT a FROM t").await.unwrap();
        assert_refused(other.act("CancelFlightInfo", cancelling(&info)).await, Code::PermissionDenied, "42501");
        let answer = client.act("CancelFlightInfo", cancelling(&info)).await.unwrap();
        assert_eq!(status(&answer), CancelStatus::Cancelled);
        assert_refused(client.rows(&info).await, Code::InvalidArgument, "22023");
        assert_refused(client.act("CancelFlightInfo", cancelling(&info)).await, Code::InvalidArgument, "42704");
        let done = client.query("INSERT INTO t VALUES (1)").await.unwrap();
        let answer = client.act("CancelFlightInfo", cancelling(&done)).await.unwrap();
        assert_eq!(status(&answer), CancelStatus::NotCancellable);
        assert_refused(client.act("CancelFlightInfo", b"\xff\xff".to_vec()).await, Code::InvalidArgument, "08P01");
    });
    let tickets = recorded(&lab, "statement_class = 'TICKET'");
    let expected = ["CANCEL|42501|", "REDEEM TICKET|22023|", "CANCEL|42704|"];
    assert_eq!(tickets, expected.map(|rest| format!("DENIED|TICKET|{rest}")));
}

#[test]
fn a_statement_is_cancelled_while_it_runs() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    block_on(async {
        for action in ["CancelFlightInfo", "CancelQuery"] {
            let mut client = Raw::login(&lab, "admin").await;
            let info = client.query(SLOW).await.unwrap();
            let mut canceller = client.again();
            let cancel = async {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                if action == "CancelFlightInfo" {
                    return status(&canceller.act(action, cancelling(&info)).await.unwrap()) as i32;
                }
                let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
                let answer = canceller.act(action, request.as_any().encode_to_vec()).await.unwrap();
                let any = Any::decode(answer[0].clone()).unwrap();
                any.unpack::<ActionCancelQueryResult>().unwrap().unwrap().result
            };
            let (rows, cancelled) = tokio::join!(client.rows(&info), cancel);
            assert_eq!(cancelled, CancelStatus::Cancelled as i32, "{action}");
            assert_refused(rows, Code::Cancelled, "57014");
            let info = client.query("SELECT 1").await.unwrap();
            assert_eq!(client.rows(&info).await.unwrap(), ["1"], "and goes on");
        }
    });
    let ended = recorded(&lab, "statement_class = 'SELECT' AND sqlstate = '57014'");
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert!(ended.iter().all(|record| record.starts_with("END|")), "{ended:?}");
}

#[test]
fn a_statement_that_nobody_reads_on_is_ended_by_a_cancel() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let info = client.query("SELECT a, repeat('x', 1000) FROM generate_series(1, 1000000) t(a)").await.unwrap();
        let stream = client.open(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let answer = client.again().act("CancelFlightInfo", cancelling(&info)).await.unwrap();
        assert_eq!(status(&answer), CancelStatus::Cancelled);
        let ended = recorded(&lab, "statement_class = 'SELECT' AND phase = 'END' AND sqlstate = '57014'");
        assert_eq!(ended.len(), 1, "although the stream is open");
        drop(stream);
    });
}

#[test]
fn transactions_by_id_are_refused_and_begin_is_not() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let begin = ActionBeginTransactionRequest {}.as_any().encode_to_vec();
        for action in ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint"] {
            assert_refused(client.act(action, begin.clone()).await, Code::Unimplemented, "0A000");
        }
        let command =
            CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: Some(b"7".to_vec().into()) };
        assert_refused(client.info(command.as_any().encode_to_vec()).await, Code::Unimplemented, "0A000");
        client.query("BEGIN").await.unwrap();
        let info = client.query("SELECT 1").await.unwrap();
        assert_eq!(client.rows(&info).await.unwrap(), ["1"]);
        client.query("COMMIT").await.unwrap();
    });
    assert_eq!(recorded(&lab, "sqlstate = '0A000'"), ["DENIED|SELECT|SELECT ?|0A000|"]);
}

#[test]
fn a_commit_that_rolls_back_is_an_error() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let count = async |client: &mut Raw| {
            let info = client.query("SELECT count(*) FROM t").await.unwrap();
            client.rows(&info).await.unwrap()
        };
        for put in [false, true] {
            client.query("BEGIN").await.unwrap();
            client.query("INSERT INTO t VALUES (1)").await.unwrap();
            assert_refused(client.query("SELECT nothing FROM t").await, Code::InvalidArgument, "42703");
            assert_refused(client.query("SELECT 1").await, Code::InvalidArgument, "25P02");
            let committed = if put {
                let commit = CommandStatementUpdate { query: "COMMIT".to_owned(), transaction_id: None };
                client.change(encoded(&commit, Vec::new()).await).await.map(drop)
            } else {
                client.query("COMMIT").await.map(drop)
            };
            assert_refused(committed, Code::InvalidArgument, "25P02");
            assert_eq!(count(&mut client).await, ["0"], "and the block has ended");
            client.query("BEGIN").await.unwrap();
            client.query("ROLLBACK").await.unwrap();
            client.query("COMMIT").await.unwrap();
        }
    });
}

#[test]
fn what_is_no_statement_does_not_fail_a_transaction() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        client.query("BEGIN").await.unwrap();
        client.query("INSERT INTO t VALUES (1)").await.unwrap();
        let info = client.query("SELECT a FROM t").await.unwrap();
        assert_eq!(client.rows(&info).await.unwrap(), ["1"]);
        assert_refused(client.act("CancelFlightInfo", cancelling(&info)).await, Code::InvalidArgument, "42704");
        assert_refused(client.act("NoSuchAction", Vec::new()).await, Code::Unimplemented, "0A000");
        client.query("COMMIT").await.unwrap();
        let info = client.query("SELECT count(*) FROM t").await.unwrap();
        assert_eq!(client.rows(&info).await.unwrap(), ["1"]);
        // To prepare a statement is a step of it.
        client.query("BEGIN").await.unwrap();
        assert!(client.prepare("SELECT nothing FROM t").await.is_err());
        assert_refused(client.query("COMMIT").await, Code::InvalidArgument, "25P02");
    });
}

/// `SessionOptionValue` with a text in it, in a map's entry, as `Flight.proto` has them.
fn option(name: &str, value: &str) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
    let entry = [field(0x0a, name.as_bytes()), field(0x12, &field(0x0a, value.as_bytes()))].concat();
    field(0x0a, &entry)
}

#[test]
fn session_options_are_settings() {
    let lab = Lab::open("CREATE SCHEMA ward; CREATE TABLE ward.t (a int)");
    block_on(async {
        let mut client = Raw::login(&lab, "admin").await;
        let set = [option("schema", "ward"), option("timezone", "Europe/Zurich"), option("catalog", "lakeward")];
        let answer = client.act("SetSessionOptions", set.concat()).await.unwrap();
        assert!(answer[0].is_empty(), "no errors");
        let info = client.query("SELECT count(*) FROM t").await.unwrap();
        assert_eq!(client.rows(&info).await.unwrap(), ["0"]);
        let info = client.query("SHOW timezone").await.unwrap();
        assert_eq!(client.rows(&info).await.unwrap(), ["Europe/Zurich"]);
        let told = client.act("GetSessionOptions", Vec::new()).await.unwrap();
        let told = String::from_utf8_lossy(&told[0]).into_owned();
        assert!(told.contains("Europe/Zurich") && told.contains("ward") && told.contains("lakeward"), "{told:?}");
        for (name, value, kind) in [("no_such_setting", "1", 1), ("timezone", "Nowhere", 2), ("catalog", "other", 2)] {
            let answer = client.act("SetSessionOptions", option(name, value)).await.unwrap();
            assert_eq!(answer[0].last(), Some(&kind), "{name}: {answer:?}");
        }
        client.act("CloseSession", Vec::new()).await.unwrap();
        assert_refused(client.query("SELECT 1").await, Code::Unauthenticated, "28000");
    });
    let settings = recorded(&lab, "statement_class = 'SET' AND phase = 'END'");
    assert_eq!(settings.len(), 4, "refused ones too: {settings:?}");
}

#[test]
fn a_token_dies_with_the_password_the_right_to_log_in_and_the_role() {
    let changes = [
        "ALTER ROLE ann PASSWORD 'another'",
        "ALTER ROLE ann NOLOGIN",
        "ALTER ROLE ann VALID UNTIL '2001-01-01'",
        "DROP ROLE ann",
    ];
    for change in changes {
        let lab = Lab::open("CREATE ROLE ann LOGIN PASSWORD 'secret'; CREATE ROLE bob LOGIN PASSWORD 'secret'");
        block_on(async {
            let (mut ann, mut bob) = (Raw::login(&lab, "ann").await, Raw::login(&lab, "bob").await);
            let info = ann.query("SELECT 1").await.unwrap();
            lab.psql("admin").rows(change);
            assert_refused(ann.rows(&info).await, Code::Unauthenticated, "28000");
            assert_refused(ann.query("SELECT 1").await, Code::Unauthenticated, "28000");
            assert!(bob.query("SELECT 1").await.is_ok(), "others go on");
        });
        let failed =
            lab.psql("admin").rows("SELECT count(*) FROM system.audit WHERE user_name = 'ann' AND sqlstate = '28000'");
        assert_eq!(failed, "1", "{change}: the first use after it is recorded");
    }
}

#[test]
fn a_simulation_is_one_statement_here_too() {
    let lab = Lab::open(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); CREATE ROLE reader; GRANT SELECT ON t TO reader;
         CREATE POLICY own ON t TO reader USING (a = 1);
         CREATE ROLE officer LOGIN PASSWORD 'secret'; GRANT policy_admin TO officer;
         CREATE ROLE nobody LOGIN PASSWORD 'secret';",
    );
    let simulated = "EXECUTE AS ROLE reader SELECT a FROM t";
    block_on(async {
        let mut officer = Raw::login(&lab, "officer").await;
        let info = officer.query(simulated).await.unwrap();
        assert_eq!(officer.rows(&info).await.unwrap(), ["1"]);
        let handle = officer.prepare(simulated).await.unwrap().prepared_statement_handle;
        let info = officer.execute(&handle).await.unwrap();
        assert_eq!(officer.rows(&info).await.unwrap(), ["1"]);
        assert_refused(officer.query("SELECT a FROM t").await, Code::PermissionDenied, "42501");
        let traced = officer.query("EXPLAIN (POLICIES) SELECT a FROM t").await.unwrap();
        assert_eq!(officer.rows(&traced).await.unwrap(), ["t|∅|deny|∅|grant|no SELECT on table"]);
        let mut nobody = Raw::login(&lab, "nobody").await;
        assert_refused(nobody.query(simulated).await, Code::PermissionDenied, "42501");
    });
}
