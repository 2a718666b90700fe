//! What the calls do, once it is known who makes them.
//!
//! Invariant: every statement goes through [`lakeward_engine::run`]; one that is refused before leaves a record too; an
//! error fails the session's open transaction.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{ActionCreatePreparedStatementResult, Any, Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use lakeward_base::{Clock, SqlState};
use lakeward_engine::statement::describe;
use lakeward_engine::{Error, Prepared, Request, Response, prepare, refuse, run};
use prost::Message;

use crate::client::Client;
use crate::encode::{FlightStream, metadata, nothing, schema_bytes, stream, wire_schema};
use crate::metadata::{answer, not_served, recorded_as, schema};
use crate::prepared::Bound;
use crate::received::{Messages, parameters};
use crate::status::{internal, malformed, unsupported};
use crate::ticket::{NOTHING, TicketKey};

/// Longest statement.
pub(crate) const MAX_STATEMENT_BYTES: usize = 1 << 20;

/// What the audit calls a statement that is known by its handle only.
const PREPARED: &str = "PREPARED STATEMENT";
/// The same, by its ticket only.
const TICKET: &str = "TICKET";

/// What a command will yield.
struct Offer {
    schema: Schema,
    ticket: Bytes,
    /// Rows that a statement has changed: ADBC shows them as the cursor's row count.
    rows: Option<i64>,
}

/// What can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It waited or ran, and has ended.
    Now,
    /// It ran when it was described, and is over.
    TooLate,
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
                no_transaction(client, &query.query, query.transaction_id.as_ref())?;
                let prepared = prepare_text(client, &query.query).await?;
                self.offer(client, Bound::plain(prepared)).await?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = find(client, &query.prepared_statement_handle)?;
                self.offer(client, bound).await?
            }
            // The command itself is the ticket: it names nothing but patterns, and is answered as the caller.
            listing => {
                let schema = listed(client, listing)?;
                Offer { schema, ticket: descriptor.cmd.clone(), rows: None }
            }
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
        bound.check().map_err(|error| refused(client, &bound.prepared, error))?;
        let schema = columns(&bound.prepared);
        let (handle, rows) = if bound.prepared.columns.is_some() {
            let prepared = Arc::clone(&bound.prepared);
            let kept = client.pending.add(bound, Instant::now());
            (kept.map_err(|error| refused(client, &prepared, error))?, None)
        } else {
            (NOTHING.to_vec(), execute(client, bound.is_commit(), bound.request()).await?)
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
                columns(&find(client, &query.prepared_statement_handle)?.prepared)
            }
            listing => listed(client, listing)?,
        };
        schema_bytes(&schema)
    }

    /// DoGet: redeems a ticket.
    pub(crate) async fn fetch(&self, client: &Arc<Client>, ticket: Ticket) -> Result<FlightStream, Error> {
        let any = Any::decode(ticket.ticket).map_err(|_| malformed("the ticket"))?;
        match command(any)? {
            Command::TicketStatementQuery(ticket) => {
                let now_ms = self.clock.now().timestamp_millis();
                let unredeemed = |error| refuse(&client.session, TICKET, "REDEEM TICKET", error);
                let handle = self.tickets.redeem(&ticket.statement_handle, client.holder(), now_ms);
                let handle = handle.map_err(unredeemed)?;
                if handle == NOTHING {
                    return Ok(nothing());
                }
                let (bound, running) = client.pending.take(&handle, Instant::now()).map_err(unredeemed)?;
                match running.watched(run(&client.session, bound.request())).await? {
                    Response::Rows(rows) => {
                        let schema = Arc::clone(rows.schema());
                        Ok(stream(&schema, on_error(client, running.rows(rows))))
                    }
                    Response::Command(_) | Response::Empty => Ok(nothing()),
                    // The engine refuses COPY to this protocol.
                    Response::CopyOut(..) | Response::CopyIn(_) => Err(internal()),
                }
            }
            Command::Unknown(_) => Err(malformed("the ticket")),
            listing => {
                served(client, &listing)?;
                answer(&client.session, listing).map(metadata)
            }
        }
    }

    /// CancelFlightInfo: every statement whose ticket is among the endpoints.
    ///
    /// # Errors
    /// 42501 for a ticket that is another's, 42704 where there is no such statement any more.
    pub(crate) fn cancel(&self, client: &Arc<Client>, info: &FlightInfo) -> Result<Cancelled, Error> {
        let mut outcome = Cancelled::TooLate;
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            let any = Any::decode(ticket.ticket.clone()).map_err(|_| malformed("the ticket"))?;
            let Command::TicketStatementQuery(ticket) = command(any)? else { continue };
            let handle = self.tickets.verify(&ticket.statement_handle, client.holder());
            let handle = handle.map_err(|error| refuse(&client.session, TICKET, "CANCEL", error))?;
            if handle == NOTHING {
                continue;
            }
            if !client.pending.cancel(&handle) {
                let error = Error::new(SqlState::UNDEFINED_OBJECT, "the statement is over, or was never given out");
                return Err(refuse(&client.session, TICKET, "CANCEL", error));
            }
            outcome = Cancelled::Now;
        }
        Ok(outcome)
    }

    /// DoPut of an update: how many rows it changed.
    pub(crate) async fn update(&self, client: &Arc<Client>, sql: &str) -> Result<i64, Error> {
        let prepared = prepare_text(client, sql).await?;
        self.change(client, Bound::plain(prepared)).await
    }

    /// Runs a statement that returns no rows.
    async fn change(&self, client: &Arc<Client>, bound: Bound) -> Result<i64, Error> {
        if bound.prepared.columns.is_some() {
            let message = "the statement returns rows, and was sent as one that does not";
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                .with_hint("Send it as a query: CommandStatementQuery or CommandPreparedStatementQuery.");
            return Err(refused(client, &bound.prepared, error));
        }
        Ok(execute(client, bound.is_commit(), bound.request()).await?.unwrap_or(0))
    }

    /// DoPut of a prepared update: for all rows of parameters that the data holds as one statement. Without data, for
    /// what was bound before.
    pub(crate) async fn update_prepared(
        &self,
        client: &Arc<Client>,
        handle: &[u8],
        first: FlightData,
        rest: Messages,
    ) -> Result<i64, Error> {
        let mut bound = find(client, handle)?;
        let sets = parameters(first, rest).await.map_err(|error| refused(client, &bound.prepared, error))?;
        if let Some(sets) = sets {
            bound.none = sets.iter().all(|batch| batch.num_rows() == 0);
            bound.sets = sets;
        }
        self.change(client, bound).await
    }

    /// DoPut of a prepared query: binds its parameters.
    pub(crate) async fn bind(
        &self,
        client: &Arc<Client>,
        handle: &[u8],
        first: FlightData,
        rest: Messages,
    ) -> Result<(), Error> {
        let bound = find(client, handle)?;
        let sets = parameters(first, rest).await.map_err(|error| refused(client, &bound.prepared, error))?;
        let sets = sets.unwrap_or_default();
        let rebound = Bound { sets: sets.clone(), ..Bound::plain(Arc::clone(&bound.prepared)) };
        if sets.iter().any(|batch| batch.num_rows() > 0) {
            rebound.check().map_err(|error| refused(client, &bound.prepared, error))?;
        }
        client.prepared.bind(handle, sets, Instant::now())
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
        let kept = client.prepared.add(Arc::clone(&prepared), Instant::now());
        let prepared_statement_handle = kept.map_err(|error| refused(client, &prepared, error))?.into();
        Ok(ActionCreatePreparedStatementResult { prepared_statement_handle, dataset_schema, parameter_schema })
    }
}

/// The command in `any`.
pub(crate) fn command(any: Any) -> Result<Command, Error> {
    Command::try_from(any).map_err(|_| malformed("the command"))
}

/// The columns of a metadata command's answer.
fn listed(client: &Arc<Client>, listing: Command) -> Result<Schema, Error> {
    served(client, &listing)?;
    Ok(schema(listing)?.as_ref().clone())
}

/// Refuses whatever is no metadata command, and records it: it may be a statement, of a kind that is not served.
pub(crate) fn served(client: &Arc<Client>, command: &Command) -> Result<(), Error> {
    if recorded_as(command).is_some() {
        return Ok(());
    }
    let name = command.type_url().rsplit('.').next().unwrap_or_default();
    let name = if matches!(command, Command::Unknown(_)) { "" } else { name };
    Err(refuse(&client.session, "FLIGHT SQL", name, not_served(command)))
}

/// Flight SQL's own transactions are not served; `BEGIN` is.
pub(crate) fn no_transaction(client: &Arc<Client>, sql: &str, id: Option<&Bytes>) -> Result<(), Error> {
    if id.is_none() {
        return Ok(());
    }
    let (class, normalized) = describe(sql);
    Err(refuse(&client.session, class, &normalized, transaction_by_id()))
}

/// Why a transaction by its id is refused.
pub(crate) fn transaction_by_id() -> Error {
    unsupported("a transaction by its id").with_hint("Send BEGIN and COMMIT as statements.")
}

/// Records that a prepared statement was refused before it ran.
fn refused(client: &Arc<Client>, prepared: &Prepared, error: Error) -> Error {
    refuse(&client.session, prepared.statement.class, &prepared.statement.normalized, error)
}

/// The prepared statement of a handle.
fn find(client: &Arc<Client>, handle: &[u8]) -> Result<Bound, Error> {
    let found = client.prepared.find(handle, Instant::now());
    found.map_err(|error| refuse(&client.session, PREPARED, "EXECUTE", error))
}

async fn prepare_text(client: &Arc<Client>, sql: &str) -> Result<Arc<Prepared>, Error> {
    if sql.len() > MAX_STATEMENT_BYTES {
        let message = format!("a statement has at most {MAX_STATEMENT_BYTES} bytes");
        let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
        let (class, normalized) = describe(sql);
        return Err(refuse(&client.session, class, &normalized, error));
    }
    prepare(&client.session, sql, &[]).await
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

/// Runs a statement that returns no rows. Flight SQL shows no tag: a COMMIT that has rolled back is an error here.
async fn execute(client: &Arc<Client>, commits: bool, request: Request) -> Result<Option<i64>, Error> {
    let response = run(&client.session, request).await?;
    match &response {
        Response::Command(command) if commits && command.tag == "ROLLBACK" => {
            let message = "the transaction was rolled back, since one of its statements had failed";
            Err(Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message).with_hint("Run it again, from its BEGIN on."))
        }
        _ => done(response),
    }
}

/// How many rows a statement that returns none has changed, where its tag says so.
pub(crate) fn done(response: Response) -> Result<Option<i64>, Error> {
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
