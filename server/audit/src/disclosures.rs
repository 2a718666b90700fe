//! `system.disclosures`: for each statement that yielded rows of tables with a subject column, one row for each table and
//! subject.
//!
//! Invariant: a statement whose subjects the log does not list, or not all of, has a row without a subject.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakeward_proto::{AuditIdentity, AuditObject, AuditPhase, AuditRecord};

use crate::error::AuditError;
use crate::keys::TOKEN_BYTES;
use crate::log::Tip;
use crate::names::{protocol_name, uuid_text};
use crate::records::Records;
use crate::search::is_accountable;

/// A batch is handed out once it has so many rows.
const ROWS_PER_BATCH: usize = 8_192;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let truth = |name: &str| Field::new(name, DataType::Boolean, true);
    let texts =
        |name: &str| Field::new(name, DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), true);
    Arc::new(Schema::new(vec![
        text("event_id"),
        text("statement_id"),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        text("user_name"),
        texts("roles"),
        truth("external"),
        text("client_addr"),
        text("application_name"),
        text("protocol"),
        text("purpose_of_use"),
        text("break_glass"),
        text("statement_class"),
        text("sql_normalized"),
        text("table_name"),
        number("table_version"),
        texts("columns"),
        texts("masked"),
        number("policy_epoch"),
        number("rows"),
        text("subject_token"),
        truth("listed"),
        truth("accountable"),
    ]))
});

/// The columns of `system.disclosures`, all nullable. uuid is text here; tokens are hexadecimal.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Reads the log's disclosures.
pub struct DisclosureScan(Records);

impl DisclosureScan {
    pub(crate) fn of(directory: &Path, tip: Tip) -> Result<Self, AuditError> {
        Records::of(directory, Some(tip)).map(Self)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, AuditError> {
        let mut rows = Vec::new();
        for recorded in self.0.by_ref() {
            disclosures(Arc::new(recorded?.record), &mut rows);
            if rows.len() >= ROWS_PER_BATCH {
                break;
            }
        }
        if rows.is_empty() { Ok(None) } else { batch_of(&rows).map(Some) }
    }
}

impl Iterator for DisclosureScan {
    type Item = Result<RecordBatch, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// One row: a subject of a table of a statement, or what is not listed.
struct Row {
    record: Arc<AuditRecord>,
    table: String,
    version: Option<i64>,
    token: Option<String>,
}

fn disclosures(record: Arc<AuditRecord>, rows: &mut Vec<Row>) {
    let mut row = |table: &str, version, token| {
        rows.push(Row { record: Arc::clone(&record), table: table.to_owned(), version, token });
    };
    match record.phase() {
        AuditPhase::End => {
            for disclosure in &record.disclosures {
                for token in disclosure.tokens.chunks_exact(TOKEN_BYTES) {
                    row(&disclosure.object, disclosure.version, Some(hex::encode(token)));
                }
                if disclosure.over {
                    row(&disclosure.object, disclosure.version, None);
                }
            }
        }
        // The server stopped before the statement could say.
        AuditPhase::Recovered if !record.statement_id.is_empty() => {
            for object in record.objects.iter().filter(|object| !object.subject_column.is_empty()) {
                row(&object.name, object.version, None);
            }
        }
        _ => {}
    }
}

/// Columns are made one after the other, in the order of [`schema`].
fn batch_of(rows: &[Row]) -> Result<RecordBatch, AuditError> {
    let who = |text: fn(&AuditIdentity) -> &str| {
        texts(rows, move |row| row.record.who.as_ref().map(|who| text(who).to_owned()))
    };
    let object = |row: &Row| {
        let same = |object: &&AuditObject| object.name == row.table && object.version == row.version;
        row.record.objects.iter().find(same).cloned().unwrap_or_default()
    };
    let statement = |row: &Row| row.record.statement.clone().unwrap_or_default();
    let at: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.record.at_us)).collect();
    let purpose = |row: &Row| row.record.who.as_ref().and_then(|who| who.purpose_of_use.clone());
    let external = |row: &Row| row.record.who.as_ref().is_some_and(|who| who.external);
    let accountable = |row: &Row| is_accountable(external(row), purpose(row).as_deref());
    let columns: Vec<ArrayRef> = vec![
        texts(rows, |row| uuid_text(&row.record.event_id)),
        texts(rows, |row| uuid_text(&row.record.statement_id)),
        Arc::new(at.with_timezone("UTC")),
        who(|who| &who.session_user),
        lists(rows, |row| row.record.who.as_ref().map(|who| who.roles.clone()).unwrap_or_default()),
        Arc::new(rows.iter().map(|row| Some(external(row))).collect::<BooleanArray>()),
        who(|who| &who.client_addr),
        who(|who| &who.application_name),
        texts(rows, |row| row.record.who.as_ref().and_then(|who| protocol_name(who.protocol())).map(str::to_owned)),
        texts(rows, purpose),
        texts(rows, |row| Some(row.record.break_glass.clone())),
        texts(rows, |row| Some(statement(row).class)),
        texts(rows, |row| Some(statement(row).sql_normalized)),
        texts(rows, |row| Some(row.table.clone())),
        Arc::new(rows.iter().map(|row| row.version).collect::<Int64Array>()),
        lists(rows, |row| object(row).projected),
        lists(rows, |row| object(row).masked),
        numbers(rows, |row| row.record.policy_epoch),
        numbers(rows, |row| row.record.rows),
        texts(rows, |row| row.token.clone()),
        Arc::new(rows.iter().map(|row| Some(row.token.is_some())).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| Some(accountable(row))).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(AuditError::Table)
}

/// A text column; what is empty is NULL.
fn texts(rows: &[Row], text: impl Fn(&Row) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(|row| text(row).filter(|text| !text.is_empty())).collect::<StringArray>())
}

fn numbers(rows: &[Row], number: impl Fn(&Row) -> Option<u64>) -> ArrayRef {
    let number = |row| number(row).map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    Arc::new(rows.iter().map(number).collect::<Int64Array>())
}

fn lists(rows: &[Row], list: impl Fn(&Row) -> Vec<String>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    rows.iter().for_each(|row| lists.append_value(list(row).into_iter().map(Some)));
    Arc::new(lists.finish())
}
