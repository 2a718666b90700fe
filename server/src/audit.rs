//! `lakeward audit`: the questions that the audit log answers on the command line.
//!
//! They read the log's files, and so answer beside a running server and on a copy. Invariant: what goes to standard output
//! is the answer and nothing else; a value that is sought is read from standard input, never from the command line.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Days, Months, NaiveDate, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use lakeward_audit::{Access, AccessedObject, Answer, AuditKeys, HeadDirectory, PublicKey, Question, Search, Trust};
use lakeward_base::{Clock, SystemClock};

use crate::cli::{emit, tell};
use crate::config::{Config, Overrides};
use crate::error::ServerError;
use crate::keys::{self, FileKeyRing};
use crate::layout::DataDirectory;

/// Where the log is.
#[derive(Debug, Args)]
pub struct Log {
    /// The data directory.
    #[arg(long, env = "LAKEWARD_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Configuration; else lakeward.toml in the data directory.
    #[arg(long, env = "LAKEWARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Log {
    fn directory(&self) -> PathBuf {
        DataDirectory::new(&self.data_dir).audit()
    }

    fn configuration(&self) -> Result<Config, ServerError> {
        let (config, data_dir) = (self.config.clone(), Some(self.data_dir.clone()));
        Config::load(&Overrides { config, data_dir, ..Overrides::default() })
    }

    fn keys(&self) -> Result<AuditKeys, ServerError> {
        let config = self.configuration()?;
        keys::audit_keys(&FileKeyRing::open(&config.data)?, &config.audit.node.0)
    }

    fn public_key(&self) -> Result<PublicKey, ServerError> {
        self.keys()?.public_key().map_err(|error| ServerError::part("the audit log's keys", &error))
    }
}

/// What a log is verified with.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    log: Log,
    /// The key that the heads are signed with, in hexadecimal; else that of the data directory's keys. A copy is verified
    /// with it alone.
    #[arg(long, value_name = "HEX", value_parser = hex_key)]
    public_key: Option<PublicKey>,
    /// Where heads were kept besides; else where the configuration says.
    #[arg(long, value_name = "DIR")]
    heads: Option<PathBuf>,
}

fn hex_key(text: &str) -> Result<PublicKey, &'static str> {
    let decoded = hex::decode(text).ok().and_then(|key| PublicKey::try_from(key).ok());
    decoded.ok_or("expected 64 hexadecimal digits")
}

/// Verifies the log. The exit code is the report's own.
#[must_use]
pub fn verify(arguments: &VerifyArguments) -> ExitCode {
    let trust = || -> Result<Trust, ServerError> {
        let heads = arguments.heads.clone().map(HeadDirectory);
        match arguments.public_key {
            Some(public_key) => Ok(Trust { public_key, heads }),
            None => {
                let kept = arguments.log.configuration()?.heads();
                Ok(Trust { public_key: arguments.log.public_key()?, heads: heads.or(kept) })
            }
        }
    };
    let trust = match trust() {
        Ok(trust) => trust,
        Err(error) => return failed(&error),
    };
    let report = lakeward_audit::verify(&arguments.log.directory(), &trust);
    let code = report.exit_code();
    tell(&report.to_string());
    emit(&serde_json::json!({"event": "audit_verified", "exit_code": code}));
    ExitCode::from(code)
}

/// Writes a proof of a record to standard output.
#[must_use]
pub fn prove(log: &Log, event: &str) -> ExitCode {
    let proved = log.public_key().and_then(|key| {
        let proof = lakeward_audit::prove(&log.directory(), event, &key);
        proof.map_err(|error| ServerError::part("the audit log", &error))
    });
    match proved {
        Ok(proof) => {
            emit(&proof);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

/// Writes the key that heads are signed with to standard output.
#[must_use]
pub fn public_key(log: &Log) -> ExitCode {
    match log.public_key() {
        Ok(key) => {
            let written = writeln!(io::stdout().lock(), "{}", hex::encode(key));
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &ServerError) -> ExitCode {
    tell(&format!("lakeward: {error}"));
    ExitCode::from(1)
}

/// Where the log is, and how it is told.
#[derive(Debug, Args)]
pub struct Asked {
    #[command(flatten)]
    log: Log,
    /// Not before: so long ago (6y, 3m, 30d), or on this day (2026-01-31) [default: everything]
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Open the statements' sealed texts and parameters: they hold health data.
    #[arg(long)]
    with_text: bool,
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON document.
    Json,
    /// RFC 4180, with a header.
    Csv,
}

/// The value of `--value-stdin`: a line of standard input.
///
/// # Errors
/// [`ServerError::Config`] where there is none.
pub fn value_of_stdin() -> Result<Question, ServerError> {
    value_of(io::stdin().lock())
}

/// The longest value that is sought, in bytes.
const MAX_VALUE_BYTES: u64 = 64 << 10;

fn value_of(input: impl BufRead) -> Result<Question, ServerError> {
    let mut line = String::new();
    let read = input.take(MAX_VALUE_BYTES + 1).read_line(&mut line);
    let value = line.trim();
    match read {
        Ok(read) if read as u64 > MAX_VALUE_BYTES => {
            Err(ServerError::Config(format!("the value to search for is longer than {MAX_VALUE_BYTES} bytes")))
        }
        Ok(_) if value.chars().any(char::is_alphanumeric) => Ok(Question::Value(value.to_owned())),
        _ => Err(ServerError::Config("standard input holds no value to search for".to_owned())),
    }
}

/// Answers on standard output. Exit code 1 where it cannot.
#[must_use]
pub fn answer(asked: &Asked, question: Question, accountable_only: bool) -> ExitCode {
    match searched(asked, question, accountable_only) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn searched(asked: &Asked, question: Question, accountable_only: bool) -> Result<(), ServerError> {
    let keys = asked.log.keys()?;
    let since_us = asked.since.map(|since| since.timestamp_micros());
    let search = Search { question, since_us, accountable_only, with_text: asked.with_text };
    let answer = lakeward_audit::search(&asked.log.directory(), &keys, &search)
        .map_err(|error| ServerError::part("the audit log", &error))?;
    let told = match asked.format {
        Format::Text => text(&answer),
        Format::Json => json(&answer),
        Format::Csv => csv(&answer.accesses),
    };
    let mut out = io::stdout().lock();
    let written = out.write_all(told.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| ServerError::System { what: "standard output", reason: error.kind() })?;
    if answer.untold > 0 {
        tell(&format!("{} statements were recorded before the log could tell, and are left out", answer.untold));
    }
    if answer.other_key > 0 {
        tell(&format!("{} statements were recorded under another key, and are told as possible", answer.other_key));
    }
    Ok(())
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    let wrong = || "expected a number with y, m or d, such as 6y, or a day such as 2026-01-31".to_owned();
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let now = SystemClock.now();
    let then = match unit {
        "y" => number.checked_mul(12).and_then(|months| now.checked_sub_months(Months::new(months))),
        "m" => now.checked_sub_months(Months::new(number)),
        "d" => now.checked_sub_days(Days::new(number.into())),
        _ => None,
    };
    then.ok_or_else(wrong)
}

fn at(access: &Access) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(access.at_us).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `public.patients v3 (mrn, ssn masked; by zip)`
fn object(object: &AccessedObject) -> String {
    let AccessedObject { name, version, projected, filtered, masked } = object;
    let shown = |column: &String| if masked.contains(column) { format!("{column} masked") } else { column.clone() };
    let mut text = name.clone();
    if let Some(version) = version {
        let _ = write!(text, " v{version}");
    }
    let columns = projected.iter().map(shown).collect::<Vec<_>>().join(", ");
    let by = filtered.iter().map(shown).collect::<Vec<_>>().join(", ");
    match (columns.is_empty(), by.is_empty()) {
        (true, true) => {}
        (false, true) => _ = write!(text, " ({columns})"),
        (true, false) => _ = write!(text, " (by {by})"),
        (false, false) => _ = write!(text, " ({columns}; by {by})"),
    }
    text
}

fn objects(access: &Access) -> String {
    access.objects.iter().map(object).collect::<Vec<_>>().join(", ")
}

/// The parameters as a JSON array; empty where there are none, or they were not asked for.
fn parameters(access: &Access) -> String {
    if access.parameters.is_empty() {
        return String::new();
    }
    serde_json::to_string(&access.parameters).unwrap_or_default()
}

/// A text with its control characters escaped, and those that turn the direction of writing: clients choose some of these
/// texts, and a terminal would obey them.
fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

fn how_certain(access: &Access) -> &'static str {
    if access.certain { "certain" } else { "possible" }
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    for access in &answer.accesses {
        let purpose = access.purpose_of_use.as_deref().unwrap_or("no purpose stated");
        let rows = access.rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
        let marks = [
            (access.external, "external"),
            (access.accountable, "accountable"),
            (access.break_glass.is_some(), "break glass"),
        ];
        let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| format!(", {mark}")).collect();
        let _ = writeln!(
            text,
            "{}  {}  {}  {}  {}{rows}{marks}, {}\n    {}\n    {}\n    event {}",
            at(access),
            printable(&access.user_name),
            printable(purpose),
            access.statement_class,
            access.outcome,
            how_certain(access),
            printable(&objects(access)),
            printable(access.sql.as_deref().unwrap_or(&access.sql_normalized)),
            access.event_id,
        );
        if !access.parameters.is_empty() {
            let _ = writeln!(text, "    parameters {}", printable(&parameters(access)));
        }
    }
    let certain = answer.accesses.iter().filter(|access| access.certain).count();
    let _ = writeln!(text, "{certain} certain, {} possible", answer.accesses.len() - certain);
    text
}

fn json(answer: &Answer) -> String {
    let access = |access: &Access| {
        let mut value = serde_json::to_value(access).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("at".to_owned(), at(access).into());
        }
        value
    };
    let accesses: Vec<_> = answer.accesses.iter().map(access).collect();
    let document = serde_json::json!({ "accesses": accesses, "untold": answer.untold });
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

const CSV_HEADER: &str = "at,user_name,roles,external,purpose_of_use,statement_class,objects,outcome,sqlstate,rows,\
                          certainty,accountable,break_glass,client_addr,application_name,protocol,sql,parameters,\
                          event_id,statement_id\r\n";

fn csv(accesses: &[Access]) -> String {
    let mut text = CSV_HEADER.to_owned();
    for access in accesses {
        let fields = [
            at(access),
            access.user_name.clone(),
            access.roles.join(" "),
            access.external.to_string(),
            access.purpose_of_use.clone().unwrap_or_default(),
            access.statement_class.clone(),
            objects(access),
            access.outcome.to_owned(),
            access.sqlstate.clone(),
            access.rows.map(|rows| rows.to_string()).unwrap_or_default(),
            how_certain(access).to_owned(),
            access.accountable.to_string(),
            access.break_glass.clone().unwrap_or_default(),
            access.client_addr.clone(),
            access.application_name.clone(),
            access.protocol.unwrap_or_default().to_owned(),
            access.sql.clone().unwrap_or_else(|| access.sql_normalized.clone()),
            parameters(access),
            access.event_id.clone(),
            access.statement_id.clone(),
        ];
        text.push_str(&fields.map(|field| quoted(&field)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// A field of CSV. What a spreadsheet would take for a formula gets an apostrophe: clients choose some of these texts.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_spans_and_days() {
        let day = since("2026-01-31").unwrap();
        assert_eq!(day.to_rfc3339(), "2026-01-31T00:00:00+00:00");
        let years = SystemClock.now().signed_duration_since(since("6y").unwrap()).num_days();
        assert!((2190..=2193).contains(&years), "{years}");
        let days = SystemClock.now().signed_duration_since(since("30d").unwrap()).num_days();
        assert!((29..=30).contains(&days), "{days}");
        for wrong in ["", "y", "6", "-1y", "6 y", "6é", "yesterday", "99999999999y"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_are_quoted_and_are_no_formulas() {
        for (field, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("line\nbreak", "\"line\nbreak\""),
        ] {
            assert_eq!(quoted(field), expected);
        }
    }

    #[test]
    fn what_clients_chose_does_not_command_a_terminal() {
        assert_eq!(
            printable("SELECT 'é' -- \u{1b}[2J\r\nevent\u{202e}"),
            "SELECT 'é' -- \\u{1b}[2J\\r\\nevent\\u{202e}"
        );
    }

    #[test]
    fn a_value_is_one_line_of_some_length() {
        let value = |input: &str| match value_of(input.as_bytes()) {
            Ok(Question::Value(value)) => Some(value),
            _ => None,
        };
        assert_eq!(value(" 412-68-1073 \nmore"), Some("412-68-1073".to_owned()));
        assert_eq!(value(&"x".repeat(1 << 16)).map(|value| value.len()), Some(1 << 16));
        for none in ["", "\n", "--\n", &"x".repeat((1 << 16) + 1)] {
            assert_eq!(value(none), None);
        }
    }
}
