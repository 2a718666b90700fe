//! `system.audit`: the log's records as rows, one segment at a time.
//!
//! Invariant: exactly the records that were durable when the scan was made, each once, in order.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakeward_proto::{AuditDecision, AuditIdentity, AuditObject, AuditStatement};
use serde::Serialize;

use crate::error::AuditError;
use crate::log::Tip;
use crate::names::{decision_name, phase_name, protocol_name, uuid_text};
use crate::records::{Recorded, Records};

const ROWS_PER_BATCH: usize = 8_192;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("event_id"),
        text("statement_id"),
        text("phase"),
        Field::new("at", at, true),
        text("node"),
        number("seq"),
        text("user_name"),
        Field::new("roles", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), true),
        text("auth_method"),
        text("client_addr"),
        text("application_name"),
        text("protocol"),
        text("purpose_of_use"),
        text("statement_class"),
        text("sql_normalized"),
        text("objects"),
        text("policies"),
        number("policy_epoch"),
        text("decision"),
        text("sqlstate"),
        number("rows"),
        number("bytes"),
        Field::new("duration_ms", DataType::Float64, true),
        number("subjects"),
        text("prev_hash"),
        text("hash"),
        text("detail"),
        text("break_glass"),
    ]))
});

/// The columns of `system.audit`, all nullable. uuid and jsonb are text here; hashes are hexadecimal.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Reads the log; each item is a batch of at most 8,192 records.
pub struct Scan(Records);

impl Scan {
    pub(crate) fn of(directory: &Path, tip: Tip) -> Result<Self, AuditError> {
        Records::of(directory, Some(tip)).map(Self)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.by_ref().take(ROWS_PER_BATCH).collect::<Result<Vec<_>, _>>() {
            Ok(rows) if rows.is_empty() => None,
            Ok(rows) => Some(batch_of(&rows)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Columns are made one after the other, in the order of [`schema`].
fn batch_of(rows: &[Recorded]) -> Result<RecordBatch, AuditError> {
    let who = |text: fn(&AuditIdentity) -> &str| {
        texts(rows, move |row| row.record.who.as_ref().map(|who| text(who).to_owned()))
    };
    let statement = |text: fn(&AuditStatement) -> &str| {
        texts(rows, move |row| row.record.statement.as_ref().map(|statement| text(statement).to_owned()))
    };
    let at: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.record.at_us)).collect();
    let duration_ms: Float64Array = rows.iter().map(|row| row.record.duration_ms).collect();
    let columns: Vec<ArrayRef> = vec![
        texts(rows, |row| uuid_text(&row.record.event_id)),
        texts(rows, |row| uuid_text(&row.record.statement_id)),
        texts(rows, |row| Some(phase_name(row.record.phase()).to_owned())),
        Arc::new(at.with_timezone("UTC")),
        texts(rows, |row| Some(row.record.node.clone())),
        numbers(rows, |row| Some(row.record.seq)),
        who(|who| &who.session_user),
        roles(rows),
        who(|who| &who.auth_method),
        who(|who| &who.client_addr),
        who(|who| &who.application_name),
        texts(rows, |row| row.record.who.as_ref().and_then(|who| protocol_name(who.protocol())).map(str::to_owned)),
        texts(rows, |row| row.record.who.as_ref().and_then(|who| who.purpose_of_use.clone())),
        statement(|statement| &statement.class),
        statement(|statement| &statement.sql_normalized),
        texts(rows, objects_json),
        texts(rows, policies_json),
        numbers(rows, |row| row.record.policy_epoch),
        texts(rows, |row| decision_name(row.record.decision()).map(str::to_owned)),
        texts(rows, |row| Some(row.record.sqlstate.clone())),
        numbers(rows, |row| row.record.rows),
        numbers(rows, |row| row.record.bytes),
        Arc::new(duration_ms),
        numbers(rows, |row| row.record.subjects),
        texts(rows, |row| Some(hex::encode(row.before))),
        texts(rows, |row| Some(hex::encode(row.hash))),
        texts(rows, |row| Some(row.record.detail.clone())),
        texts(rows, |row| Some(row.record.break_glass.clone())),
    ];
    RecordBatch::try_new(schema(), columns).map_err(AuditError::Table)
}

/// A text column; what is empty is NULL.
fn texts(rows: &[Recorded], text: impl Fn(&Recorded) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(|row| text(row).filter(|text| !text.is_empty())).collect::<StringArray>())
}

fn numbers(rows: &[Recorded], number: impl Fn(&Recorded) -> Option<u64>) -> ArrayRef {
    let number = |row| number(row).map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    Arc::new(rows.iter().map(number).collect::<Int64Array>())
}

fn roles(rows: &[Recorded]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        let roles = row.record.who.as_ref().map(|who| who.roles.iter().map(Some));
        lists.append_option(roles);
    }
    Arc::new(lists.finish())
}

/// Whether a record tells of a statement's objects and policies at all.
fn tells_of_objects(row: &Recorded) -> bool {
    row.record.decision() == AuditDecision::Allow && !row.record.statement_id.is_empty()
}

#[derive(Serialize)]
struct ObjectJson<'a> {
    name: &'a str,
    version: Option<i64>,
    projected: &'a [String],
    filtered: &'a [String],
    masked: &'a [String],
}

impl<'a> From<&'a AuditObject> for ObjectJson<'a> {
    fn from(object: &'a AuditObject) -> Self {
        let AuditObject { name, version, projected, filtered, masked, subject_column: _ } = object;
        Self { name, version: *version, projected, filtered, masked }
    }
}

fn objects_json(row: &Recorded) -> Option<String> {
    let objects = || row.record.objects.iter().map(ObjectJson::from).collect::<Vec<_>>();
    tells_of_objects(row).then(|| serde_json::to_string(&objects()).unwrap_or_default())
}

/// The policies' names; a bypass stands behind them as `{"bypass":true}`, which no name can be mistaken for.
fn policies_json(row: &Recorded) -> Option<String> {
    let names = row.record.policies.iter().map(|name| serde_json::Value::from(name.as_str()));
    let bypass = row.record.bypass.then(|| serde_json::json!({"bypass": true}));
    tells_of_objects(row).then(|| names.chain(bypass).collect::<serde_json::Value>().to_string())
}
