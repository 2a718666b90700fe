//! Flight SQL's metadata commands: catalogs, schemas, tables, table types, what the server can do.
//!
//! Invariant: what is listed comes from [`lakeward_engine::visible_tables`], which knows who may see what and records
//! the call; the answers have the Flight SQL specification's own schemas.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{Command, SqlInfo, SqlSupportedTransaction};
use lakeward_engine::{Error, Session, visible_tables};

use crate::encode::wire_schema;
use crate::status::{internal, unsupported};

/// The one database.
const CATALOG: &str = "lakeward";
/// Kinds of table, as GetTables says them.
const TABLE_TYPES: [&str; 3] = ["SYSTEM TABLE", "TABLE", "VIEW"];

/// The columns of a metadata command's answer.
///
/// # Errors
/// 0A000 where the command is none that is served.
pub(crate) fn schema(command: Command) -> Result<SchemaRef, Error> {
    match command {
        Command::CommandGetCatalogs(command) => Ok(command.into_builder().schema()),
        Command::CommandGetDbSchemas(command) => Ok(command.into_builder().schema()),
        Command::CommandGetTables(command) => Ok(command.into_builder().schema()),
        Command::CommandGetTableTypes(command) => Ok(command.into_builder().schema()),
        Command::CommandGetSqlInfo(command) => Ok(command.into_builder(sql_info()?).schema()),
        other => Err(not_served(&other)),
    }
}

/// The answer to a metadata command.
///
/// # Errors
/// 0A000 where the command is none that is served; what the engine says.
pub(crate) fn answer(session: &Arc<Session>, command: Command) -> Result<RecordBatch, Error> {
    let built = match command {
        Command::CommandGetCatalogs(command) => {
            let mut catalogs = command.into_builder();
            catalogs.append(CATALOG);
            catalogs.build()
        }
        Command::CommandGetDbSchemas(command) => {
            let mut schemas = command.into_builder();
            let mut names: Vec<String> = visible_tables(session)?.into_iter().map(|table| table.schema).collect();
            names.sort();
            names.dedup();
            names.iter().for_each(|name| schemas.append(CATALOG, name));
            schemas.build()
        }
        Command::CommandGetTables(command) => {
            let mut tables = command.into_builder();
            for table in visible_tables(session)? {
                let columns = wire_schema(&table.columns);
                tables.append(CATALOG, &table.schema, &table.name, table.kind, &columns).map_err(|_| internal())?;
            }
            tables.build()
        }
        Command::CommandGetTableTypes(command) => {
            let mut types = command.into_builder();
            TABLE_TYPES.iter().for_each(|name| types.append(name));
            types.build()
        }
        Command::CommandGetSqlInfo(command) => command.into_builder(sql_info()?).build(),
        other => return Err(not_served(&other)),
    };
    built.map_err(|_| internal())
}

/// What the server says of itself.
fn sql_info() -> Result<&'static SqlInfoData, Error> {
    static INFO: OnceLock<Option<SqlInfoData>> = OnceLock::new();
    INFO.get_or_init(|| {
        let mut info = SqlInfoDataBuilder::new();
        info.append(SqlInfo::FlightSqlServerName, "Lakeward");
        info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
        info.append(SqlInfo::FlightSqlServerArrowVersion, "59");
        info.append(SqlInfo::FlightSqlServerReadOnly, false);
        info.append(SqlInfo::FlightSqlServerSql, true);
        info.append(SqlInfo::FlightSqlServerSubstrait, false);
        info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
        info.append(SqlInfo::FlightSqlServerCancel, false);
        info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
        info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
        info.append(SqlInfo::SqlDdlCatalog, false);
        info.append(SqlInfo::SqlDdlSchema, true);
        info.append(SqlInfo::SqlDdlTable, true);
        info.build().ok()
    })
    .as_ref()
    .ok_or_else(internal)
}

/// A command by its name, where Flight SQL knows it; never text of the client's own.
pub(crate) fn not_served(command: &Command) -> Error {
    match command {
        Command::Unknown(_) => unsupported("this command"),
        known => unsupported(known.type_url().rsplit('.').next().unwrap_or("this command")),
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTables};
    use lakeward_base::{Coded, SqlState};

    use super::*;

    #[test]
    fn tables_have_the_specifications_columns_and_nullability() {
        let command = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
        let schema = schema(Command::CommandGetTables(command)).unwrap();
        let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().as_str(), f.is_nullable())).collect();
        let expected = [
            ("catalog_name", true),
            ("db_schema_name", true),
            ("table_name", false),
            ("table_type", false),
            ("table_schema", false),
        ];
        assert_eq!(columns, expected);
    }

    #[test]
    fn asked_for_one_fact_the_server_tells_one() {
        let one = CommandGetSqlInfo { info: vec![SqlInfo::FlightSqlServerName as u32] };
        assert_eq!(one.into_builder(sql_info().unwrap()).build().unwrap().num_rows(), 1);
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        let error = schema(Command::CommandGetPrimaryKeys(CommandGetPrimaryKeys::default())).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(error.message(), "Flight SQL: CommandGetPrimaryKeys is not supported");
    }
}
