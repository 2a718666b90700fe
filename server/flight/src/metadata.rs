//! Flight SQL's metadata commands: catalogs, schemas, tables, types, keys, and what the server can do.
//!
//! Invariant: what is listed comes from [`lakeward_engine::metadata`], which knows who may see what and records each
//! command under its own name; the answers have the Flight SQL specification's own schemas, nullability included.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{Command, CommandGetDbSchemas, CommandGetTables};
use lakeward_engine::{Error, Session, Visible, VisibleTable};

use crate::encode::wire_schema;
use crate::status::{internal, unsupported};
use crate::{keys, sql_info, types};

/// The one database.
pub(crate) const CATALOG: &str = "lakeward";
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
        Command::CommandGetSqlInfo(command) => Ok(command.into_builder(sql_info::all()?).schema()),
        Command::CommandGetXdbcTypeInfo(command) => Ok(command.into_builder(types::all()?).schema()),
        Command::CommandGetPrimaryKeys(_) => Ok(keys::primary()),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(keys::foreign()),
        other => Err(not_served(&other)),
    }
}

/// The answer to a metadata command.
///
/// # Errors
/// 0A000 where the command is none that is served; what the engine says.
pub(crate) fn answer(session: &Arc<Session>, command: Command) -> Result<RecordBatch, Error> {
    let Some(name) = recorded_as(&command) else { return Err(not_served(&command)) };
    lakeward_engine::metadata(session, name, |visible| match command {
        Command::CommandGetCatalogs(command) => {
            let mut catalogs = command.into_builder();
            catalogs.append(CATALOG);
            catalogs.build().map_err(|_| internal())
        }
        Command::CommandGetDbSchemas(command) => schemas(command, visible),
        Command::CommandGetTables(command) => tables(command, visible),
        Command::CommandGetTableTypes(command) => {
            let mut types = command.into_builder();
            TABLE_TYPES.iter().for_each(|name| types.append(name));
            types.build().map_err(|_| internal())
        }
        Command::CommandGetSqlInfo(command) => command.into_builder(sql_info::all()?).build().map_err(|_| internal()),
        Command::CommandGetXdbcTypeInfo(command) => command.into_builder(types::all()?).build().map_err(|_| internal()),
        // Tables have no keys that are enforced, and none that only say so.
        Command::CommandGetPrimaryKeys(_) => Ok(RecordBatch::new_empty(keys::primary())),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(RecordBatch::new_empty(keys::foreign())),
        other => Err(not_served(&other)),
    })
}

/// What the audit calls a metadata command; `None` for any other.
pub(crate) fn recorded_as(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::CommandGetCatalogs(_) => "GET CATALOGS",
        Command::CommandGetDbSchemas(_) => "GET DB SCHEMAS",
        Command::CommandGetTables(_) => "GET TABLES",
        Command::CommandGetTableTypes(_) => "GET TABLE TYPES",
        Command::CommandGetSqlInfo(_) => "GET SQL INFO",
        Command::CommandGetXdbcTypeInfo(_) => "GET XDBC TYPE INFO",
        Command::CommandGetPrimaryKeys(_) => "GET PRIMARY KEYS",
        Command::CommandGetExportedKeys(_) => "GET EXPORTED KEYS",
        Command::CommandGetImportedKeys(_) => "GET IMPORTED KEYS",
        Command::CommandGetCrossReference(_) => "GET CROSS REFERENCE",
        _ => return None,
    })
}

fn schemas(command: CommandGetDbSchemas, visible: &Visible) -> Result<RecordBatch, Error> {
    let mut schemas = command.into_builder();
    visible.schemas.iter().for_each(|name| schemas.append(CATALOG, name));
    schemas.build().map_err(|_| internal())
}

fn tables(command: CommandGetTables, visible: &Visible) -> Result<RecordBatch, Error> {
    let mut tables = command.into_builder();
    for table in &visible.tables {
        let columns = described(table);
        tables.append(CATALOG, &table.schema, &table.name, table.kind, &columns).map_err(|_| internal())?;
    }
    tables.build().map_err(|_| internal())
}

/// A table's columns, with what the specification has said of each in its metadata.
fn described(table: &VisibleTable) -> Schema {
    let field = |field: &Arc<Field>| {
        let said = types::of(field.data_type());
        let mut facts = HashMap::from([
            ("CATALOG_NAME", CATALOG.to_owned()),
            ("DB_SCHEMA_NAME", table.schema.clone()),
            ("TABLE_NAME", table.name.clone()),
            ("TYPE_NAME", said.name),
            ("IS_AUTO_INCREMENT", "0".to_owned()),
            ("IS_CASE_SENSITIVE", u8::from(is_text(field.data_type())).to_string()),
            ("IS_READ_ONLY", u8::from(table.kind != "TABLE").to_string()),
            ("IS_SEARCHABLE", "1".to_owned()),
        ]);
        facts.extend(said.precision.map(|precision| ("PRECISION", precision.to_string())));
        facts.extend(said.scale.map(|scale| ("SCALE", scale.to_string())));
        let facts = facts.into_iter().map(|(name, value)| (format!("ARROW:FLIGHT:SQL:{name}"), value));
        field.as_ref().clone().with_metadata(facts.collect())
    };
    Schema::new(wire_schema(&table.columns).fields().iter().map(field).collect::<Vec<_>>())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
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
    use arrow_flight::sql::{CommandGetTables, CommandStatementSubstraitPlan};
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
    fn columns_say_their_types_names() {
        let columns = Schema::new(vec![
            Field::new("price", DataType::Decimal128(10, 2), true),
            Field::new("name", DataType::Utf8View, true),
        ]);
        let (schema, name) = ("public".to_owned(), "t".to_owned());
        let described = described(&VisibleTable { schema, name, kind: "TABLE", columns: Arc::new(columns) });
        let says = |column: usize, what: &str| {
            described.field(column).metadata().get(&format!("ARROW:FLIGHT:SQL:{what}")).map(String::as_str)
        };
        assert_eq!(
            [says(0, "TYPE_NAME"), says(0, "PRECISION"), says(0, "SCALE")],
            [Some("numeric"), Some("10"), Some("2")]
        );
        assert_eq!([says(1, "TYPE_NAME"), says(1, "SCALE"), says(1, "TABLE_NAME")], [Some("text"), None, Some("t")]);
        assert_eq!([says(0, "IS_CASE_SENSITIVE"), says(1, "IS_CASE_SENSITIVE")], [Some("0"), Some("1")]);
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        let command = Command::CommandStatementSubstraitPlan(CommandStatementSubstraitPlan::default());
        let error = schema(command).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(error.message(), "Flight SQL: CommandStatementSubstraitPlan is not supported");
    }
}
