//! `system.audit`: the log's records as rows, one segment at a time.
//!
//! Invariant: exactly the records that were durable when the scan was made, each once, in order.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakeward_proto::{
    AuditDecision, AuditIdentity, AuditObject, AuditPhase, AuditProtocol, AuditRecord, AuditStatement,
};
use prost::Message;
use serde::Serialize;
use uuid::Uuid;

use crate::error::AuditError;
use crate::log::Tip;
use crate::segment::{self, Hash, Opening, SegmentReader, Step};

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
    ]))
});

/// The columns of `system.audit`, all nullable. uuid and jsonb are text here; hashes are hexadecimal.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Reads the log; each item is a batch of at most 8,192 records.
pub struct Scan {
    directory: PathBuf,
    /// Segments yet to read, last first.
    segments: Vec<u64>,
    tip: Tip,
    current: Option<Current>,
    failed: bool,
}

struct Current {
    reader: SegmentReader,
    number: u64,
    before: Hash,
}

impl Scan {
    pub(crate) fn of(directory: &Path, tip: Tip) -> Result<Self, AuditError> {
        let mut segments = segment::list(directory).map_err(AuditError::file("read", directory))?;
        segments.retain(|number| *number <= tip.segment);
        segments.reverse();
        Ok(Self { directory: directory.to_owned(), segments, tip, current: None, failed: false })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, AuditError> {
        let mut rows = Vec::new();
        while rows.len() < ROWS_PER_BATCH {
            let Some(current) = &mut self.current else {
                if self.open_next()? {
                    continue;
                }
                break;
            };
            let (segment, offset) = (current.number, current.reader.offset());
            let damaged = AuditError::Damaged { segment, offset };
            let step = current.reader.step();
            match step.map_err(AuditError::file("read", &segment::path_of(&self.directory, segment)))? {
                Step::Frame(frame) => {
                    let record = AuditRecord::decode(frame.record).map_err(|_| damaged)?;
                    rows.push(Row { record, before: current.before, hash: frame.hash });
                    current.before = frame.hash;
                }
                Step::End => self.current = None,
                Step::Cut { .. } | Step::Garbled => return Err(damaged),
            }
        }
        if rows.is_empty() { Ok(None) } else { batch_of(&rows).map(Some) }
    }

    fn open_next(&mut self) -> Result<bool, AuditError> {
        let Some(number) = self.segments.pop() else { return Ok(false) };
        let limit = (number == self.tip.segment).then_some(self.tip.length);
        let path = segment::path_of(&self.directory, number);
        match SegmentReader::open(&path, limit).map_err(AuditError::file("read", &path))? {
            Opening::Ready(reader, header) => {
                let before = crate::head::hash_from(&header.prev_hash);
                self.current = Some(Current { reader, number, before });
                Ok(true)
            }
            Opening::Cut { .. } | Opening::Garbled => Err(AuditError::Damaged { segment: number, offset: 0 }),
        }
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}

/// A record with its place in the chain.
struct Row {
    record: AuditRecord,
    before: Hash,
    hash: Hash,
}

/// Columns are made one after the other, in the order of [`schema`].
fn batch_of(rows: &[Row]) -> Result<RecordBatch, AuditError> {
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

fn roles(rows: &[Row]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        let roles = row.record.who.as_ref().map(|who| who.roles.iter().map(Some));
        lists.append_option(roles);
    }
    Arc::new(lists.finish())
}

fn uuid_text(bytes: &[u8]) -> Option<String> {
    Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string())
}

/// Whether a record tells of a statement's objects and policies at all.
fn tells_of_objects(row: &Row) -> bool {
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
        let AuditObject { name, version, projected, filtered, masked } = object;
        Self { name, version: *version, projected, filtered, masked }
    }
}

fn objects_json(row: &Row) -> Option<String> {
    let objects = || row.record.objects.iter().map(ObjectJson::from).collect::<Vec<_>>();
    tells_of_objects(row).then(|| serde_json::to_string(&objects()).unwrap_or_default())
}

/// The policies' names; a bypass stands behind them as `{"bypass":true}`, which no name can be mistaken for.
fn policies_json(row: &Row) -> Option<String> {
    let names = row.record.policies.iter().map(|name| serde_json::Value::from(name.as_str()));
    let bypass = row.record.bypass.then(|| serde_json::json!({"bypass": true}));
    tells_of_objects(row).then(|| names.chain(bypass).collect::<serde_json::Value>().to_string())
}

fn phase_name(phase: AuditPhase) -> &'static str {
    match phase {
        AuditPhase::Unspecified => "",
        AuditPhase::Received => "RECEIVED",
        AuditPhase::Begin => "BEGIN",
        AuditPhase::Progress => "PROGRESS",
        AuditPhase::End => "END",
        AuditPhase::Denied => "DENIED",
        AuditPhase::Admin => "ADMIN",
        AuditPhase::Heartbeat => "HEARTBEAT",
        AuditPhase::Recovered => "RECOVERED",
    }
}

fn protocol_name(protocol: AuditProtocol) -> Option<&'static str> {
    match protocol {
        AuditProtocol::Unspecified => None,
        AuditProtocol::Pg => Some("pg"),
        AuditProtocol::Flight => Some("flight"),
        AuditProtocol::Grpc => Some("grpc"),
        AuditProtocol::Http => Some("http"),
        AuditProtocol::Cli => Some("cli"),
    }
}

fn decision_name(decision: AuditDecision) -> Option<&'static str> {
    match decision {
        AuditDecision::Unspecified => None,
        AuditDecision::Allow => Some("allow"),
        AuditDecision::Deny => Some("deny"),
    }
}
