//! CommandStatementIngest: rows of the client's own, loaded into a table.
//!
//! The load is an INSERT or a CREATE TABLE AS for the engine, with all that governs those. Invariant: an option that is
//! not honoured is refused, and every refusal leaves a record.

use std::sync::Arc;

use arrow_flight::FlightData;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use lakeward_base::SqlState;
use lakeward_engine::{ClientRows, Error, IfExists, IfMissing, Ingest, Request, refuse, run};

use crate::client::Client;
use crate::door::{done, transaction_by_id};
use crate::metadata::CATALOG;
use crate::received::{Messages, open};
use crate::status::{malformed, unsupported};

/// Loads what the messages hold; answers how many rows there were.
pub(crate) async fn ingest(
    client: &Arc<Client>,
    command: CommandStatementIngest,
    first: FlightData,
    rest: Messages,
) -> Result<i64, Error> {
    let normalized = Ingest::normalized_name(&command.table);
    let refused = |error| refuse(&client.session, "INGEST", &normalized, error);
    let (if_missing, if_exists) = admitted(&command).map_err(&refused)?;
    let incoming =
        open(first, rest).await.and_then(|incoming| incoming.ok_or_else(|| malformed("a load without rows")));
    let incoming = incoming.map_err(&refused)?;
    let rows = ClientRows::new(incoming.schema, incoming.batches);
    let schema = command.schema.filter(|schema| !schema.is_empty());
    let load = Ingest { schema, table: command.table, if_missing, if_exists, rows };
    Ok(done(run(&client.session, Request::ingest(load)).await?)?.unwrap_or(0))
}

/// What is to be done where the table is not there, and where it is.
fn admitted(command: &CommandStatementIngest) -> Result<(IfMissing, IfExists), Error> {
    if command.transaction_id.is_some() {
        return Err(transaction_by_id());
    }
    if command.temporary {
        return Err(unsupported("a temporary table"));
    }
    if !command.options.is_empty() {
        return Err(unsupported("an option of a bulk load").with_hint("Leave the options out."));
    }
    if command.catalog.as_deref().is_some_and(|catalog| !catalog.is_empty() && catalog != CATALOG) {
        return Err(Error::unsupported("cross-database references"));
    }
    let Some(options) = &command.table_definition_options else { return Err(unspecified()) };
    let if_missing = match options.if_not_exist() {
        TableNotExistOption::Create => IfMissing::Create,
        TableNotExistOption::Fail => IfMissing::Fail,
        TableNotExistOption::Unspecified => return Err(unspecified()),
    };
    let if_exists = match options.if_exists() {
        TableExistsOption::Fail => IfExists::Fail,
        TableExistsOption::Append => IfExists::Append,
        TableExistsOption::Replace => IfExists::Replace,
        TableExistsOption::Unspecified => return Err(unspecified()),
    };
    Ok((if_missing, if_exists))
}

fn unspecified() -> Error {
    let message = "a bulk load must say what to do where its table exists, and where it does not";
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_flight::sql::TableDefinitionOptions;
    use lakeward_base::Coded;

    use super::*;

    fn append() -> CommandStatementIngest {
        let options = TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Fail.into(),
            if_exists: TableExistsOption::Append.into(),
        };
        CommandStatementIngest {
            table: "t".to_owned(),
            table_definition_options: Some(options),
            ..CommandStatementIngest::default()
        }
    }

    #[test]
    fn what_is_not_honoured_is_refused() {
        assert_eq!(admitted(&append()).unwrap(), (IfMissing::Fail, IfExists::Append));
        let lakeward = CommandStatementIngest { catalog: Some("lakeward".to_owned()), ..append() };
        assert!(admitted(&lakeward).is_ok());
        let options = HashMap::from([("fast".to_owned(), "yes".to_owned())]);
        let refused = [
            (CommandStatementIngest { temporary: true, ..append() }, SqlState::FEATURE_NOT_SUPPORTED),
            (CommandStatementIngest { options, ..append() }, SqlState::FEATURE_NOT_SUPPORTED),
            (CommandStatementIngest { catalog: Some("x".to_owned()), ..append() }, SqlState::FEATURE_NOT_SUPPORTED),
            (
                CommandStatementIngest { transaction_id: Some(b"1".to_vec().into()), ..append() },
                SqlState::FEATURE_NOT_SUPPORTED,
            ),
            (CommandStatementIngest { table_definition_options: None, ..append() }, SqlState::INVALID_PARAMETER_VALUE),
            (
                CommandStatementIngest {
                    table_definition_options: Some(TableDefinitionOptions { if_not_exist: 99, if_exists: 1 }),
                    ..append()
                },
                SqlState::INVALID_PARAMETER_VALUE,
            ),
        ];
        for (command, sqlstate) in refused {
            assert_eq!(admitted(&command).unwrap_err().sqlstate(), sqlstate);
        }
    }
}
