//! Metadata: the specification's schemas to the letter, for each principal what it may see, each under its own name.

use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    ProstMessageExt, SqlInfo,
};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::ipc::convert::try_schema_from_ipc_buffer;
use prost::Message;

use super::client::{Raw, block_on, decoded, lines, recorded};
use crate::harness::Lab;

const SETUP: &str = "
    CREATE ROLE analyst LOGIN PASSWORD 'secret';
    CREATE ROLE nobody LOGIN PASSWORD 'secret';
    CREATE SCHEMA ward; CREATE SCHEMA empty; CREATE SCHEMA hidden;
    CREATE TABLE ward.patients (id bigint NOT NULL, name text, weight numeric(5,2), born date);
    CREATE TABLE ward.staff (id int);
    CREATE TABLE hidden.secrets (id int);
    CREATE VIEW ward.names AS SELECT name FROM ward.patients;
    GRANT USAGE ON SCHEMA ward TO analyst; GRANT USAGE ON SCHEMA empty TO analyst;
    GRANT SELECT ON ward.patients TO analyst; GRANT SELECT ON ward.names TO analyst";

/// The answer to a command: its columns and its rows. What GetFlightInfo says of the columns is what comes.
async fn ask(client: &mut Raw, command: &impl ProstMessageExt) -> (Vec<String>, Vec<String>) {
    let info = client.info(command.as_any().encode_to_vec()).await.unwrap();
    let described = info.clone().try_decode_schema().unwrap();
    let data = client.get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let sent = Schema::try_from(&data[0]).unwrap();
    assert_eq!(described, sent);
    let field = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| {
        format!("{}: {}{}", field.name(), field.data_type(), if field.is_nullable() { "" } else { " not null" })
    };
    (sent.fields().iter().map(field).collect(), lines(&decoded(data).await))
}

fn table(name: &str) -> CommandGetPrimaryKeys {
    CommandGetPrimaryKeys { catalog: None, db_schema: None, table: name.to_owned() }
}

#[test]
fn catalogs_schemas_and_tables_are_those_that_a_principal_may_see() {
    let lab = Lab::open(SETUP);
    block_on(async {
        let mut analyst = Raw::login(&lab, "analyst").await;
        let (columns, rows) = ask(&mut analyst, &CommandGetCatalogs {}).await;
        assert_eq!((columns, rows), (vec!["catalog_name: Utf8 not null".to_owned()], vec!["lakeward".to_owned()]));
        let (columns, rows) = ask(&mut analyst, &CommandGetDbSchemas::default()).await;
        assert_eq!(columns, ["catalog_name: Utf8", "db_schema_name: Utf8 not null"]);
        let schemas = ["empty", "public", "system", "ward"].map(|name| format!("lakeward|{name}"));
        assert_eq!(rows, schemas);
        let like = CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: Some("w_r%".to_owned()) };
        assert_eq!(ask(&mut analyst, &like).await.1, ["lakeward|ward"]);
        let elsewhere = CommandGetDbSchemas { catalog: Some("other".to_owned()), db_schema_filter_pattern: None };
        assert!(ask(&mut analyst, &elsewhere).await.1.is_empty());
        let listed = CommandGetTables { db_schema_filter_pattern: Some("ward".to_owned()), ..Default::default() };
        let (columns, rows) = ask(&mut analyst, &listed).await;
        let expected =
            ["catalog_name: Utf8", "db_schema_name: Utf8", "table_name: Utf8 not null", "table_type: Utf8 not null"];
        assert_eq!(columns, expected);
        assert_eq!(rows, ["lakeward|ward|names|VIEW", "lakeward|ward|patients|TABLE"]);
        let views = CommandGetTables { table_types: vec!["VIEW".to_owned()], ..Default::default() };
        assert_eq!(ask(&mut analyst, &views).await.1, ["lakeward|ward|names|VIEW"]);

        let mut nobody = Raw::login(&lab, "nobody").await;
        assert!(ask(&mut nobody, &listed).await.1.is_empty());
        let rows = ask(&mut nobody, &CommandGetDbSchemas::default()).await.1;
        assert!(!rows.iter().any(|row| row.contains("|ward") || row.contains("hidden")), "{rows:?}");
        let mut admin = Raw::login(&lab, "admin").await;
        let rows = ask(&mut admin, &CommandGetDbSchemas::default()).await.1;
        assert!(rows.contains(&"lakeward|hidden".to_owned()), "{rows:?}");
    });
}

#[test]
fn a_tables_schema_says_its_columns_types() {
    let lab = Lab::open(SETUP);
    block_on(async {
        let mut analyst = Raw::login(&lab, "analyst").await;
        let command = CommandGetTables {
            table_name_filter_pattern: Some("patients".to_owned()),
            include_schema: true,
            ..Default::default()
        };
        let info = analyst.info(command.as_any().encode_to_vec()).await.unwrap();
        let batches = decoded(analyst.get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap()).await;
        assert!(!batches[0].schema().field_with_name("table_schema").unwrap().is_nullable());
        let schema = batches[0].column_by_name("table_schema").unwrap().as_binary::<i32>().value(0).to_vec();
        let schema = try_schema_from_ipc_buffer(&schema).unwrap();
        let said = |name: &str, what: &str| {
            let field = schema.field_with_name(name).unwrap();
            field.metadata().get(&format!("ARROW:FLIGHT:SQL:{what}")).cloned().unwrap_or_default()
        };
        let types = ["id", "name", "weight", "born"].map(|name| said(name, "TYPE_NAME"));
        assert_eq!(types, ["bigint", "text", "numeric", "date"]);
        assert_eq!([said("weight", "PRECISION"), said("weight", "SCALE")], ["5", "2"]);
        assert_eq!([said("name", "TABLE_NAME"), said("name", "DB_SCHEMA_NAME")], ["patients", "ward"]);
    });
}

#[test]
fn keys_types_and_the_servers_own_facts_have_the_specifications_schemas() {
    let lab = Lab::open(SETUP);
    block_on(async {
        let mut client = Raw::login(&lab, "analyst").await;
        let (columns, rows) = ask(&mut client, &CommandGetTableTypes {}).await;
        assert_eq!(columns, ["table_type: Utf8 not null"]);
        assert_eq!(rows, ["SYSTEM TABLE", "TABLE", "VIEW"]);
        let (columns, rows) = ask(&mut client, &table("patients")).await;
        let expected = [
            "catalog_name: Utf8",
            "db_schema_name: Utf8",
            "table_name: Utf8 not null",
            "column_name: Utf8 not null",
            "key_name: Utf8",
            "key_sequence: Int32 not null",
        ];
        assert_eq!(columns, expected);
        assert!(rows.is_empty());
        let exported = CommandGetExportedKeys { table: "patients".to_owned(), ..Default::default() };
        let imported = CommandGetImportedKeys { table: "patients".to_owned(), ..Default::default() };
        let (pk_table, fk_table) = ("patients".to_owned(), "staff".to_owned());
        let crossed = CommandGetCrossReference { pk_table, fk_table, ..Default::default() };
        let foreign = [
            "pk_catalog_name: Utf8",
            "pk_db_schema_name: Utf8",
            "pk_table_name: Utf8 not null",
            "pk_column_name: Utf8 not null",
            "fk_catalog_name: Utf8",
            "fk_db_schema_name: Utf8",
            "fk_table_name: Utf8 not null",
            "fk_column_name: Utf8 not null",
            "key_sequence: Int32 not null",
            "fk_key_name: Utf8",
            "pk_key_name: Utf8",
            "update_rule: UInt8 not null",
            "delete_rule: UInt8 not null",
        ];
        assert_eq!(ask(&mut client, &exported).await, (foreign.map(str::to_owned).to_vec(), Vec::new()));
        assert_eq!(ask(&mut client, &imported).await.0, foreign);
        assert_eq!(ask(&mut client, &crossed).await.0, foreign);
        let (columns, rows) = ask(&mut client, &CommandGetXdbcTypeInfo { data_type: None }).await;
        assert_eq!(columns.len(), 19);
        assert_eq!(columns[..3], ["type_name: Utf8 not null", "data_type: Int32 not null", "column_size: Int32"]);
        assert_eq!(rows.len(), 12);
        let (_, rows) = ask(&mut client, &CommandGetXdbcTypeInfo { data_type: Some(4) }).await;
        assert_eq!(rows.len(), 1);
        assert!(rows[0].starts_with("integer|4|10|"), "{rows:?}");
        let info = vec![SqlInfo::FlightSqlServerName as u32, SqlInfo::FlightSqlServerBulkIngestion as u32];
        let (columns, rows) = ask(&mut client, &CommandGetSqlInfo { info }).await;
        assert_eq!(columns[0], "info_name: UInt32 not null");
        assert!(columns[1].starts_with("value: ") && columns[1].ends_with(" not null"), "{columns:?}");
        assert_eq!(rows.len(), 2);
    });
}

#[test]
fn each_command_is_recorded_under_its_own_name() {
    let lab = Lab::open(SETUP);
    block_on(async {
        let mut client = Raw::login(&lab, "analyst").await;
        ask(&mut client, &CommandGetCatalogs {}).await;
        ask(&mut client, &CommandGetDbSchemas::default()).await;
        let views = CommandGetTables { table_types: vec!["VIEW".to_owned()], ..Default::default() };
        ask(&mut client, &views).await;
        ask(&mut client, &CommandGetTableTypes {}).await;
        ask(&mut client, &CommandGetSqlInfo { info: vec![0] }).await;
        ask(&mut client, &CommandGetXdbcTypeInfo { data_type: Some(4) }).await;
        ask(&mut client, &table("patients")).await;
        ask(&mut client, &CommandGetExportedKeys::default()).await;
        ask(&mut client, &CommandGetImportedKeys::default()).await;
        ask(&mut client, &CommandGetCrossReference::default()).await;
    });
    let expected = [
        "END|METADATA|GET CATALOGS|00000|1",
        "END|METADATA|GET DB SCHEMAS|00000|4",
        "END|METADATA|GET TABLES|00000|1",
        "END|METADATA|GET TABLE TYPES|00000|3",
        "END|METADATA|GET SQL INFO|00000|1",
        "END|METADATA|GET XDBC TYPE INFO|00000|1",
        "END|METADATA|GET PRIMARY KEYS|00000|0",
        "END|METADATA|GET EXPORTED KEYS|00000|0",
        "END|METADATA|GET IMPORTED KEYS|00000|0",
        "END|METADATA|GET CROSS REFERENCE|00000|0",
    ];
    assert_eq!(recorded(&lab, "statement_class = 'METADATA' AND phase = 'END'"), expected);
}
