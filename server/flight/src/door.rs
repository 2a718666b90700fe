//! What the calls do, once it is known who makes them.
//!
//! Invariant: every statement goes through [`lakeward_engine::run`]; an error fails the session's open transaction.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{ActionCreatePreparedStatementResult, Any, Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use lakeward_base::{Clock, SqlState};
use lakeward_engine::{Error, Prepared, Request, Response, prepare, run};
use prost::Message;

use crate::client::Client;
use crate::encode::{FlightStream, decode, nothing, one_batch, schema_bytes, stream, wire_schema};
use crate::metadata::{answer, not_served, schema};
use crate::prepared::{Bound, parameters};
use crate::status::{internal, malformed, unsupported};
use crate::ticket::TicketKey;

/// Longest statement.
const MAX_STATEMENT_BYTES: usize = 1 << 20;

/// The calls' work.
pub(crate) struct Door {
    tickets: TicketKey,
    clock: Arc<dyn Clock>,
}

impl Door {
    pub(crate) fn new(tickets: TicketKey, clock: Arc<dyn Clock>) -> Self {
        Self { tickets, clock }
    }

    /// GetFlightInfo: what a command will yield, and the ticket for it.
    pub(crate) async fn describe(
        &self,
        client: &Arc<Client>,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Error> {
        let any = Any::decode(descriptor.cmd.clone()).map_err(|_| malformed("the command"))?;
        let (schema, ticket) = match command(any)? {
            Command::CommandStatementQuery(query) => {
                no_transaction(query.transaction_id.as_ref())?;
                let prepared = prepare_text(client, &query.query).await?;
                self.offer(client, Bound { prepared, parameters: Vec::new() })?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = client.prepared.find(&query.prepared_statement_handle)?.complete()?;
                self.offer(client, bound)?
            }
            // The command itself is the ticket: it names nothing but patterns, and is answered as the caller.
            listing => (schema(listing)?.as_ref().clone(), descriptor.cmd.clone()),
        };
        FlightInfo::new().try_with_schema(&schema).map_err(|_| internal()).map(|info| {
            info.with_endpoint(FlightEndpoint::new().with_ticket(Ticket { ticket })).with_descriptor(descriptor)
        })
    }

    fn offer(&self, client: &Client, bound: Bound) -> Result<(Schema, Bytes), Error> {
        let schema = columns(&bound.prepared);
        let handle = client.pending.add(bound, Instant::now())?;
        let signed = self.tickets.issue(client.holder(), &handle, self.clock.now().timestamp_millis())?;
        let ticket = TicketStatementQuery { statement_handle: signed };
        Ok((schema, ticket.as_any().encode_to_vec().into()))
    }

    /// GetSchema: what a command will yield.
    pub(crate) async fn schema(&self, client: &Arc<Client>, descriptor: FlightDescriptor) -> Result<Bytes, Error> {
        let any = Any::decode(descriptor.cmd).map_err(|_| malformed("the command"))?;
        let schema = match command(any)? {
            Command::CommandStatementQuery(query) => columns(prepare_text(client, &query.query).await?.as_ref()),
            Command::CommandPreparedStatementQuery(query) => {
                columns(&client.prepared.find(&query.prepared_statement_handle)?.prepared)
            }
            listing => schema(listing)?.as_ref().clone(),
        };
        schema_bytes(&schema)
    }

    /// DoGet: redeems a ticket.
    pub(crate) async fn fetch(&self, client: &Arc<Client>, ticket: Ticket) -> Result<FlightStream, Error> {
        let any = Any::decode(ticket.ticket).map_err(|_| malformed("the ticket"))?;
        match command(any)? {
            Command::TicketStatementQuery(ticket) => {
                let now_ms = self.clock.now().timestamp_millis();
                let handle = self.tickets.redeem(&ticket.statement_handle, client.holder(), now_ms)?;
                let bound = client.pending.take(&handle, Instant::now())?;
                match run(&client.session, Request::prepared(bound.prepared, bound.parameters)).await? {
                    Response::Rows(rows) => Ok(stream(&Arc::clone(rows.schema()), on_error(client, rows))),
                    Response::Command(_) | Response::Empty => Ok(nothing()),
                }
            }
            Command::Unknown(_) => Err(malformed("the ticket")),
            listing => answer(&client.session, listing).map(one_batch),
        }
    }

    /// DoPut of an update: how many rows it changed.
    pub(crate) async fn update(&self, client: &Arc<Client>, sql: String) -> Result<i64, Error> {
        check_length(&sql)?;
        count(run(&client.session, Request::text(sql)).await?).await
    }

    /// DoPut of a prepared update; the data may hold one row of parameters.
    pub(crate) async fn update_prepared(
        &self,
        client: &Arc<Client>,
        handle: &[u8],
        data: Vec<FlightData>,
    ) -> Result<i64, Error> {
        let sent = parameters(&decode(data).await?)?;
        let mut bound = client.prepared.find(handle)?;
        if !sent.is_empty() {
            bound.parameters = sent;
        }
        let bound = bound.complete()?;
        count(run(&client.session, Request::prepared(bound.prepared, bound.parameters)).await?).await
    }

    /// DoPut of a prepared query: binds its parameters.
    pub(crate) async fn bind(&self, client: &Arc<Client>, handle: &[u8], data: Vec<FlightData>) -> Result<(), Error> {
        client.prepared.bind(handle, parameters(&decode(data).await?)?)
    }

    /// The action CreatePreparedStatement.
    pub(crate) async fn prepare(
        &self,
        client: &Arc<Client>,
        sql: &str,
    ) -> Result<ActionCreatePreparedStatementResult, Error> {
        let prepared = prepare_text(client, sql).await?;
        let dataset_schema = match &prepared.columns {
            Some(columns) => schema_bytes(&wire_schema(columns))?,
            None => Bytes::new(),
        };
        let numbered =
            |(index, data_type): (usize, &DataType)| Field::new(format!("${}", index + 1), data_type.clone(), true);
        let fields: Vec<Field> = prepared.parameter_types.iter().enumerate().map(numbered).collect();
        let parameter_schema =
            if fields.is_empty() { Bytes::new() } else { schema_bytes(&wire_schema(&Schema::new(fields)))? };
        let prepared_statement_handle = client.prepared.add(prepared)?.into();
        Ok(ActionCreatePreparedStatementResult { prepared_statement_handle, dataset_schema, parameter_schema })
    }
}

/// The command in `any`.
pub(crate) fn command(any: Any) -> Result<Command, Error> {
    Command::try_from(any).map_err(|_| malformed("the command"))
}

/// Flight SQL's own transactions are not served; `BEGIN` is.
pub(crate) fn no_transaction(id: Option<&Bytes>) -> Result<(), Error> {
    match id {
        None => Ok(()),
        Some(_) => Err(unsupported("a transaction by its id").with_hint("Send BEGIN and COMMIT as statements.")),
    }
}

/// A command that comes by DoPut and is not served.
pub(crate) fn refuse_put(command: &Command) -> Error {
    not_served(command)
}

async fn prepare_text(client: &Arc<Client>, sql: &str) -> Result<Arc<Prepared>, Error> {
    check_length(sql)?;
    prepare(&client.session, sql, &[]).await
}

fn check_length(sql: &str) -> Result<(), Error> {
    if sql.len() <= MAX_STATEMENT_BYTES {
        return Ok(());
    }
    Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a statement has at most {MAX_STATEMENT_BYTES} bytes")))
}

fn columns(prepared: &Prepared) -> Schema {
    prepared.columns.as_ref().map_or_else(Schema::empty, |columns| wire_schema(columns).as_ref().clone())
}

/// An error while rows are sent fails the open transaction, as one before them does.
fn on_error<S, T>(client: &Arc<Client>, rows: S) -> impl futures::Stream<Item = Result<T, Error>> + Send + 'static
where
    S: futures::Stream<Item = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let client = Arc::clone(client);
    rows.inspect_err(move |_| client.session.fail_transaction())
}

/// How many rows a statement changed, or returned.
async fn count(response: Response) -> Result<i64, Error> {
    match response {
        Response::Command(command) => Ok(rows_in_tag(&command.tag)),
        Response::Rows(rows) => {
            rows.try_fold(0, |sum, batch| std::future::ready(Ok(sum + i64::try_from(batch.num_rows()).unwrap_or(0))))
                .await
        }
        Response::Empty => Ok(0),
    }
}

/// `INSERT 0 5` is 5; a tag without a number is 0.
fn rows_in_tag(tag: &str) -> i64 {
    tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::rows_in_tag;

    #[test]
    fn the_command_tag_tells_the_rows() {
        assert_eq!([rows_in_tag("INSERT 0 5"), rows_in_tag("CREATE TABLE"), rows_in_tag("SELECT 12")], [5, 0, 12]);
    }
}
