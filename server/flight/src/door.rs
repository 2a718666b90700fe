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
use crate::encode::{FlightStream, decode, metadata, nothing, schema_bytes, stream, wire_schema};
use crate::metadata::{answer, not_served, schema};
use crate::prepared::{Bound, parameters, values};
use crate::status::{internal, malformed, unsupported};
use crate::ticket::{NOTHING, TicketKey};

/// Longest statement.
const MAX_STATEMENT_BYTES: usize = 1 << 20;

/// What a command will yield.
struct Offer {
    schema: Schema,
    ticket: Bytes,
    /// Rows that a statement has changed: ADBC shows them as the cursor's row count.
    rows: Option<i64>,
}

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
        let Offer { schema, ticket, rows } = match command(any)? {
            Command::CommandStatementQuery(query) => {
                no_transaction(query.transaction_id.as_ref())?;
                let prepared = prepare_text(client, &query.query).await?;
                self.offer(client, Bound { prepared, parameters: Vec::new() }.complete()?).await?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = client.prepared.find(&query.prepared_statement_handle)?.complete()?;
                self.offer(client, bound).await?
            }
            // The command itself is the ticket: it names nothing but patterns, and is answered as the caller.
            listing => Offer { schema: schema(listing)?.as_ref().clone(), ticket: descriptor.cmd.clone(), rows: None },
        };
        let info = FlightInfo::new().try_with_schema(&schema).map_err(|_| internal())?;
        let info = info.with_endpoint(FlightEndpoint::new().with_ticket(Ticket { ticket })).with_descriptor(descriptor);
        Ok(match rows {
            Some(rows) => info.with_total_records(rows),
            None => info,
        })
    }

    /// A statement that returns rows waits to be fetched. One that returns none is run now, since clients do not fetch
    /// nothing; its ticket stands for no statement, and to redeem it does nothing.
    async fn offer(&self, client: &Arc<Client>, bound: Bound) -> Result<Offer, Error> {
        let schema = columns(&bound.prepared);
        let (handle, rows) = if bound.prepared.columns.is_some() {
            (client.pending.add(bound, Instant::now())?, None)
        } else {
            (NOTHING.to_vec(), done(run(&client.session, Request::prepared(bound.prepared, bound.parameters)).await?)?)
        };
        let signed = self.tickets.issue(client.holder(), &handle, self.clock.now().timestamp_millis())?;
        let ticket = TicketStatementQuery { statement_handle: signed };
        Ok(Offer { schema, ticket: ticket.as_any().encode_to_vec().into(), rows })
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
                if handle == NOTHING {
                    return Ok(nothing());
                }
                let bound = client.pending.take(&handle, Instant::now())?;
                match run(&client.session, Request::prepared(bound.prepared, bound.parameters)).await? {
                    Response::Rows(rows) => Ok(stream(&Arc::clone(rows.schema()), on_error(client, rows))),
                    Response::Command(_) | Response::Empty => Ok(nothing()),
                    // The engine refuses COPY to this protocol.
                    Response::CopyOut(..) | Response::CopyIn(_) => Err(internal()),
                }
            }
            Command::Unknown(_) => Err(malformed("the ticket")),
            listing => answer(&client.session, listing).map(metadata),
        }
    }

    /// DoPut of an update: how many rows it changed.
    pub(crate) async fn update(&self, client: &Arc<Client>, sql: String) -> Result<i64, Error> {
        let prepared = prepare_text(client, &sql).await?;
        let bound = Bound { prepared, parameters: Vec::new() }.complete()?;
        self.change(client, bound).await
    }

    /// Runs a statement that returns no rows.
    async fn change(&self, client: &Arc<Client>, bound: Bound) -> Result<i64, Error> {
        if bound.prepared.columns.is_some() {
            let message = "the statement returns rows, and was sent as one that does not";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                .with_hint("Send it as a query: CommandStatementQuery or CommandPreparedStatementQuery."));
        }
        let response = run(&client.session, Request::prepared(bound.prepared, bound.parameters)).await?;
        Ok(done(response)?.unwrap_or(0))
    }

    /// DoPut of a prepared update: once for each row of parameters that the data holds, one after the other.
    pub(crate) async fn update_prepared(
        &self,
        client: &Arc<Client>,
        handle: &[u8],
        data: Vec<FlightData>,
    ) -> Result<i64, Error> {
        let sent = decode(data).await?;
        let bound = client.prepared.find(handle)?;
        if sent.iter().all(|batch| batch.num_columns() == 0) {
            return self.change(client, bound.complete()?).await;
        }
        let mut changed = 0;
        for batch in &sent {
            for row in 0..batch.num_rows() {
                let prepared = Arc::clone(&bound.prepared);
                let parameters = values(batch, row)?;
                changed += self.change(client, Bound { prepared, parameters }.complete()?).await?;
            }
        }
        Ok(changed)
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

/// How many rows a statement that returns none has changed, where its tag says so.
fn done(response: Response) -> Result<Option<i64>, Error> {
    match response {
        Response::Command(command) => Ok(rows_in_tag(&command.tag)),
        Response::Empty => Ok(None),
        // Whether it does is known when it is prepared.
        Response::Rows(_) | Response::CopyOut(..) | Response::CopyIn(_) => Err(internal()),
    }
}

/// `INSERT 0 5` is 5; a tag without a number is none.
fn rows_in_tag(tag: &str) -> Option<i64> {
    tag.rsplit(' ').next().and_then(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::rows_in_tag;

    #[test]
    fn the_command_tag_tells_the_rows() {
        let tags = ["INSERT 0 5", "CREATE TABLE", "SELECT 12"];
        assert_eq!(tags.map(rows_in_tag), [Some(5), None, Some(12)]);
    }
}
