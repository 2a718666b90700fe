//! The client of these tests: arrow-flight's own, and beneath it whatever bytes a test makes up.

use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementQuery, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, Ticket};
use datafusion::arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

pub use crate::harness::block_on;
use crate::harness::{Lab, flight};

/// arrow-flight's client, logged in.
pub async fn login(lab: &Lab, user: &str) -> FlightSqlServiceClient<Channel> {
    let ca = lab.server.data().join("ca.pem");
    flight::login(&lab.server.address("flight"), &ca, user, "secret").await.unwrap()
}

/// The client beneath it, with the same token.
pub struct Raw {
    inner: FlightServiceClient<Channel>,
    authorization: String,
}

impl Raw {
    pub async fn login(lab: &Lab, user: &str) -> Self {
        Self::of(&login(lab, user).await)
    }

    pub fn of(client: &FlightSqlServiceClient<Channel>) -> Self {
        Self { inner: client.inner().clone(), authorization: format!("Bearer {}", client.token().unwrap()) }
    }

    /// The same client, to make another call at the same time.
    pub fn again(&self) -> Self {
        Self { inner: self.inner.clone(), authorization: self.authorization.clone() }
    }

    /// Redeems a ticket without reading what it gives.
    pub async fn open(&mut self, ticket: Ticket) -> Result<tonic::Streaming<FlightData>, Status> {
        let request = self.request(ticket);
        Ok(self.inner.do_get(request).await?.into_inner())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", MetadataValue::try_from(&self.authorization).unwrap());
        request
    }

    pub async fn info(&mut self, command: Vec<u8>) -> Result<FlightInfo, Status> {
        let request = self.request(FlightDescriptor::new_cmd(command));
        Ok(self.inner.get_flight_info(request).await?.into_inner())
    }

    pub async fn query(&mut self, sql: &str) -> Result<FlightInfo, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        self.info(command.as_any().encode_to_vec()).await
    }

    pub async fn execute(&mut self, handle: &[u8]) -> Result<FlightInfo, Status> {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.to_vec().into() };
        self.info(command.as_any().encode_to_vec()).await
    }

    /// The messages that a ticket gives.
    pub async fn get(&mut self, ticket: Ticket) -> Result<Vec<FlightData>, Status> {
        let request = self.request(ticket);
        self.inner.do_get(request).await?.into_inner().try_collect().await
    }

    /// The rows of an answer, cells joined by `|`.
    pub async fn rows(&mut self, info: &FlightInfo) -> Result<Vec<String>, Status> {
        let mut rows = Vec::new();
        for endpoint in &info.endpoint {
            let data = self.get(endpoint.ticket.clone().unwrap()).await?;
            rows.extend(lines(&decoded(data).await));
        }
        Ok(rows)
    }

    pub async fn put(&mut self, data: Vec<FlightData>) -> Result<Vec<arrow_flight::PutResult>, Status> {
        let request = self.request(futures::stream::iter(data));
        self.inner.do_put(request).await?.into_inner().try_collect().await
    }

    /// A put whose answer tells how many rows were changed.
    pub async fn change(&mut self, data: Vec<FlightData>) -> Result<i64, Status> {
        let answers = self.put(data).await?;
        Ok(DoPutUpdateResult::decode(answers[0].app_metadata.clone()).unwrap().record_count)
    }

    pub async fn act(&mut self, kind: &str, body: Vec<u8>) -> Result<Vec<bytes::Bytes>, Status> {
        let request = self.request(Action::new(kind.to_owned(), body));
        let results: Vec<_> = self.inner.do_action(request).await?.into_inner().try_collect().await?;
        Ok(results.into_iter().map(|result: arrow_flight::Result| result.body).collect())
    }

    pub async fn prepare(&mut self, sql: &str) -> Result<ActionCreatePreparedStatementResult, Status> {
        let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let answer = self.act("CreatePreparedStatement", request.as_any().encode_to_vec()).await?;
        Ok(Any::decode(answer[0].clone()).unwrap().unpack().unwrap().unwrap())
    }

    /// Prepares a statement and executes it with rows of parameters, as ADBC does.
    pub async fn change_each(&mut self, sql: &str, sets: Vec<RecordBatch>) -> Result<i64, Status> {
        let handle = self.prepare(sql).await?.prepared_statement_handle;
        let command = CommandPreparedStatementUpdate { prepared_statement_handle: handle };
        self.change(encoded(&command, sets).await).await
    }

    /// Prepares a query, binds rows of parameters, and fetches its rows.
    pub async fn query_each(&mut self, sql: &str, sets: Vec<RecordBatch>) -> Result<Vec<String>, Status> {
        let handle = self.prepare(sql).await?.prepared_statement_handle;
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
        self.put(encoded(&command, sets).await).await?;
        let info = self.execute(&handle).await?;
        self.rows(&info).await
    }
}

/// A command and its rows, as a DoPut sends them.
pub async fn encoded(command: &impl ProstMessageExt, batches: Vec<RecordBatch>) -> Vec<FlightData> {
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    if batches.is_empty() {
        return vec![FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() }];
    }
    let data = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend)
        .build(futures::stream::iter(batches.into_iter().map(Ok)));
    data.try_collect().await.unwrap()
}

/// What a stream of messages holds.
pub async fn decoded(data: Vec<FlightData>) -> Vec<RecordBatch> {
    let data = futures::stream::iter(data.into_iter().map(Ok));
    let batches = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(data);
    batches.try_collect().await.unwrap()
}

/// Rows as text.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let cell = |column: &ArrayRef, row| match column.is_null(row) {
        true => "∅".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let line =
        |batch: &RecordBatch, row| batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| line(batch, row)).collect::<Vec<_>>()).collect()
}

/// Rows of a number and a text.
pub fn pairs(rows: &[(i32, Option<&str>)]) -> RecordBatch {
    let numbers = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int32Array>()) as ArrayRef;
    let texts = Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("a", numbers, true), ("b", texts, true)]).unwrap()
}

/// Rows of one number.
pub fn numbers(rows: &[i32]) -> RecordBatch {
    let column = Arc::new(Int32Array::from(rows.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("1", column, true)]).unwrap()
}

/// The SQLSTATE of a refusal.
pub fn sqlstate(status: &Status) -> String {
    status.metadata().get("sqlstate").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, expected: &str) {
    let status = outcome.expect_err("refused");
    assert_eq!((status.code(), sqlstate(&status).as_str()), (code, expected), "{}", status.message());
}

/// What the audit keeps of calls over Flight: phase, class, text, SQLSTATE, rows; newest last.
pub fn recorded(lab: &Lab, condition: &str) -> Vec<String> {
    let sql = format!(
        "SELECT phase, statement_class, sql_normalized, sqlstate, rows FROM system.audit \
         WHERE protocol = 'flight' AND ({condition}) ORDER BY seq"
    );
    lab.psql("admin").rows(&sql).lines().map(str::to_owned).collect()
}

/// How many commits a table has had since it was made.
pub fn commits(lab: &Lab, table: &str) -> usize {
    lab.psql("admin").rows(&format!("DESCRIBE HISTORY {table}")).lines().count() - 1
}
