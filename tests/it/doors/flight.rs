//! What Flight clients do wrong, and statements that return nothing: status, `sqlstate` trailer, and what was done.

use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementQuery, CommandStatementUpdate, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{Action, Criteria, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::harness::{Lab, block_on, demo, flight};

async fn login(role: &str) -> FlightSqlServiceClient<Channel> {
    let demo = demo();
    let password = demo.credential(role, "password");
    flight::login(&demo.server.address("flight"), &demo.ca(), role, &password).await.unwrap()
}

/// The client below, with a header of its own on each call.
struct Plain {
    inner: FlightServiceClient<Channel>,
    authorization: Option<String>,
}

impl Plain {
    async fn new(authorization: Option<&str>) -> Self {
        let inner = login("analyst").await.into_inner();
        Self { inner, authorization: authorization.map(str::to_owned) }
    }

    /// With the token of a client that has logged in.
    fn of(client: &FlightSqlServiceClient<Channel>) -> Self {
        let authorization = Some(format!("Bearer {}", client.token().unwrap()));
        Self { inner: client.inner().clone(), authorization }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", MetadataValue::try_from(authorization).unwrap());
        }
        request
    }

    async fn info(&mut self, command: Vec<u8>) -> Result<FlightInfo, Status> {
        let request = self.request(FlightDescriptor::new_cmd(command));
        Ok(self.inner.get_flight_info(request).await?.into_inner())
    }

    async fn query(&mut self, sql: &str) -> Result<FlightInfo, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        self.info(command.as_any().encode_to_vec()).await
    }

    /// How many messages a ticket gives.
    async fn get(&mut self, ticket: impl Into<bytes::Bytes>) -> Result<usize, Status> {
        let request = self.request(Ticket { ticket: ticket.into() });
        let messages: Vec<FlightData> = self.inner.do_get(request).await?.into_inner().try_collect().await?;
        Ok(messages.len())
    }

    async fn put(&mut self, data: Vec<FlightData>) -> Result<usize, Status> {
        let request = self.request(futures::stream::iter(data));
        Ok(self.inner.do_put(request).await?.into_inner().try_collect::<Vec<_>>().await?.len())
    }

    async fn act(&mut self, kind: &str, body: &[u8]) -> Result<usize, Status> {
        let request = self.request(Action::new(kind.to_owned(), body.to_vec()));
        Ok(self.inner.do_action(request).await?.into_inner().try_collect::<Vec<_>>().await?.len())
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, sqlstate: &str) {
    let status = outcome.expect_err("refused");
    let trailer = status.metadata().get("sqlstate").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!((status.code(), trailer.as_deref()), (code, Some(sqlstate)), "{}", status.message());
}

#[test]
fn strangers_are_told_that_they_are() {
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    let cases = [
        (None, "28000"),
        (Some("Bearer nonsense".to_owned()), "28000"),
        (Some("Bearer".to_owned()), "28000"),
        (Some("Basic !!not base64!!".to_owned()), "28000"),
        (Some(basic("no colon")), "28000"),
        (Some(format!("Basic {}", BASE64_STANDARD.encode([0xff, 0xfe, b':', 0xff]))), "28000"),
        (Some(basic("analyst:wrong")), "28P01"),
        (Some(basic("nobody:wrong")), "28P01"),
        (Some(basic(":")), "28P01"),
        (Some("Digest x".to_owned()), "28000"),
    ];
    block_on(async {
        for (authorization, sqlstate) in cases {
            let mut client = Plain::new(authorization.as_deref()).await;
            assert_refused(client.query("SELECT 1").await, Code::Unauthenticated, sqlstate);
            assert_refused(client.get(b"x".to_vec()).await, Code::Unauthenticated, sqlstate);
            let handshake = client.request(futures::stream::iter([HandshakeRequest::default()]));
            let shaken = client.inner.handshake(handshake).await;
            assert_refused(shaken.map(|_| ()), Code::Unauthenticated, sqlstate);
        }
    });
}

#[test]
fn a_handshakes_payload_is_no_login() {
    block_on(async {
        let mut client = Plain::new(None).await;
        let payload = bytes::Bytes::from(format!("analyst:{}", demo().credential("analyst", "password")));
        let handshake = client.request(futures::stream::iter([HandshakeRequest { protocol_version: 9, payload }]));
        assert_refused(client.inner.handshake(handshake).await.map(|_| ()), Code::Unauthenticated, "28000");
    });
}

#[test]
fn tickets_are_good_for_their_owner_and_once() {
    block_on(async {
        let (mine, theirs) = (login("analyst").await, login("researcher").await);
        let (mut mine, mut theirs, mut again) =
            (Plain::of(&mine), Plain::of(&theirs), Plain::of(&login("analyst").await));
        let info = mine.query("SELECT 1").await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
        assert_refused(theirs.get(ticket.clone()).await, Code::PermissionDenied, "42501");
        assert_refused(again.get(ticket.clone()).await, Code::PermissionDenied, "42501");
        for cut in [1, 20, ticket.len() / 2, ticket.len() - 1] {
            let refused = mine.get(ticket.slice(..cut)).await.expect_err("a part of a ticket is none");
            assert!(refused.metadata().contains_key("sqlstate"), "{refused:?}");
        }
        assert!(mine.get(ticket.clone()).await.unwrap() > 0);
        assert_refused(mine.get(ticket).await, Code::InvalidArgument, "22023");
    });
}

#[test]
fn garbage_is_refused_and_the_session_goes_on() {
    block_on(async {
        let mut client = Plain::of(&login("analyst").await);
        let forged = TicketStatementQuery { statement_handle: b"forged".to_vec().into() }.as_any();
        let unknown =
            arrow_flight::sql::Any { type_url: "type.googleapis.com/x.Y".to_owned(), value: vec![1, 2].into() };
        assert_refused(client.get(b"garbage".to_vec()).await, Code::InvalidArgument, "08P01");
        assert_refused(client.get(Vec::new()).await, Code::InvalidArgument, "08P01");
        assert_refused(client.get(unknown.encode_to_vec()).await, Code::InvalidArgument, "08P01");
        assert_refused(client.get(forged.encode_to_vec()).await, Code::PermissionDenied, "42501");
        assert_refused(client.info(b"garbage".to_vec()).await, Code::InvalidArgument, "08P01");
        assert_refused(client.info(Vec::new()).await, Code::Unimplemented, "0A000");
        assert_refused(client.info(unknown.encode_to_vec()).await, Code::Unimplemented, "0A000");
        assert_refused(client.put(Vec::new()).await, Code::InvalidArgument, "08P01");
        assert_refused(client.put(vec![FlightData::default()]).await, Code::InvalidArgument, "08P01");
        assert_refused(client.act("Frobnicate", b"").await, Code::Unimplemented, "0A000");
        assert_refused(client.act("CreatePreparedStatement", b"garbage").await, Code::InvalidArgument, "08P01");
        let flights = client.request(Criteria::default());
        assert_refused(client.inner.list_flights(flights).await.map(|_| ()), Code::Unimplemented, "0A000");
        assert!(client.query("SELECT 1").await.is_ok());
    });
}

#[test]
fn huge_messages_are_refused_with_a_limit() {
    block_on(async {
        let mut client = Plain::of(&login("analyst").await);
        let long = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes));
        assert_refused(client.query(&long(17 << 20)).await, Code::OutOfRange, "54000");
        assert_refused(client.query(&long(2 << 20)).await, Code::FailedPrecondition, "54000");
        let data = FlightData {
            flight_descriptor: Some(FlightDescriptor::new_cmd(vec![0; 17 << 20])),
            ..FlightData::default()
        };
        let refused = client.put(vec![data]).await.expect_err("too long");
        assert!(refused.metadata().contains_key("sqlstate"), "{refused:?}");
        assert!(client.query("SELECT 1").await.is_ok());
    });
}

/// The administrator of a server of one's own.
async fn login_to(lab: &Lab) -> FlightSqlServiceClient<Channel> {
    let ca = lab.server.data().join("ca.pem");
    flight::login(&lab.server.address("flight"), &ca, "admin", "secret").await.unwrap()
}

#[test]
fn statements_without_rows_run_once_when_they_are_described() {
    let own = Lab::open("SELECT 1");
    block_on(async {
        let mut client = login_to(&own).await;
        client.execute("CREATE TABLE t (a int, b text)".to_owned(), None).await.unwrap();
        let info = client.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')".to_owned(), None).await.unwrap();
        assert_eq!(own.psql("admin").rows("SELECT count(*) FROM t"), "2", "before anything is fetched");
        assert_eq!(info.total_records, 2);
        // Fetching it, also twice, gives nothing and does nothing.
        for _ in 0..2 {
            let ticket = info.endpoint[0].ticket.clone().unwrap();
            let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
            assert_eq!(batches.iter().map(datafusion::arrow::array::RecordBatch::num_rows).sum::<usize>(), 0);
        }
        assert_eq!(own.psql("admin").rows("SELECT count(*) FROM t"), "2", "and once only");
        assert!(info.try_decode_schema().unwrap().fields().is_empty());

        let mut prepared = client.prepare("INSERT INTO t VALUES (3, 'z')".to_owned(), None).await.unwrap();
        prepared.execute().await.unwrap();
        assert_eq!(prepared.execute_update().await.unwrap(), 1);
        assert_eq!(own.psql("admin").rows("SELECT count(*) FROM t"), "4");
        client.execute("SET TimeZone = 'Europe/Zurich'".to_owned(), None).await.unwrap();
        client.execute("BEGIN".to_owned(), None).await.unwrap();
        client.execute("COMMIT".to_owned(), None).await.unwrap();
        let error = client.execute("CREATE TABLE t (a int)".to_owned(), None).await.unwrap_err();
        assert!(error.to_string().contains("already exists"), "{error}");
    });
    assert_eq!(
        own.psql("admin").rows("SELECT count(*) FROM system.audit WHERE phase = 'END' AND statement_class = 'INSERT'"),
        "3"
    );
}

#[test]
fn updates_count_rows_and_queries_are_none() {
    let own = Lab::open("SELECT 1");
    block_on(async {
        let mut client = login_to(&own).await;
        assert_eq!(client.execute_update("CREATE TABLE t (a int)".to_owned(), None).await.unwrap(), 0);
        assert_eq!(client.execute_update("INSERT INTO t VALUES (1), (2), (3)".to_owned(), None).await.unwrap(), 3);
        assert_eq!(client.execute_update("SET TimeZone = 'UTC'".to_owned(), None).await.unwrap(), 0);
        let mut plain = Plain::of(&client);
        for sql in ["SELECT a FROM t", "SHOW TimeZone", "EXPLAIN SELECT 1"] {
            let command = CommandStatementUpdate { query: sql.to_owned(), transaction_id: None };
            let descriptor = Some(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
            let sent = plain.put(vec![FlightData { flight_descriptor: descriptor, ..FlightData::default() }]).await;
            assert_refused(sent, Code::InvalidArgument, "42809");
        }
    });
    let read = "SELECT phase FROM system.audit WHERE sql_normalized LIKE '%SELECT a FROM t%'";
    assert_eq!(own.psql("admin").rows(read), "DENIED", "refused, and recorded");
}

#[test]
fn the_clock_counts_in_microseconds() {
    use datafusion::arrow::datatypes::{DataType, TimeUnit};
    block_on(async {
        let mut client = login("analyst").await;
        let sql = "SELECT now() AS a, current_timestamp AS b, to_timestamp(1.5) AS c, ARRAY[now()] AS d";
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        let described = info.clone().try_decode_schema().unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
        assert_eq!(batches[0].num_rows(), 1);
        let micros = |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _));
        for schema in [&described, batches[0].schema().as_ref()] {
            for field in schema.fields() {
                let data_type = match field.data_type() {
                    DataType::List(item) => item.data_type(),
                    other => other,
                };
                assert!(micros(data_type), "{field}");
            }
            assert_eq!(schema.field(0).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        }
    });
}

#[test]
fn an_error_in_the_middle_of_rows_has_its_code() {
    block_on(async {
        let mut client = login("analyst").await;
        let info = client.execute("SELECT 1 / (a - 5000) FROM generate_series(1, 100000) t(a)".to_owned(), None).await;
        let ticket = info.unwrap().endpoint[0].ticket.clone().unwrap();
        let outcome = match client.do_get(ticket).await {
            Ok(rows) => rows.filter_map(|batch| std::future::ready(batch.err())).boxed().next().await,
            Err(error) => Some(error),
        };
        let Some(FlightError::Tonic(status)) = outcome else { panic!("{outcome:?}") };
        assert_refused(Err::<(), _>(*status), Code::InvalidArgument, "22012");
    });
}
