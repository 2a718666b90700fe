//! SQL semantics as `.slt` scripts: every one below `tests/slt`, each against a server of its own.
//!
//! A script runs as the superuser; after `connection NAME` as the role of that name, in a session of its own, whose
//! password is `slt`, until `connection default`. `statement error (42501)` asks for just that SQLSTATE; without
//! parentheses it is a regular expression over `SQLSTATE: message`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use sqllogictest::{AsyncDB, Connection as Speaker, DBOutput, DefaultColumnType, Record, Runner};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::{Server, init};

struct Connection(Client);

#[derive(Debug)]
struct Failure {
    sqlstate: Option<String>,
    message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.sqlstate {
            Some(sqlstate) => write!(f, "{sqlstate}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => Self { sqlstate: Some(error.code().code().to_owned()), message: error.message().to_owned() },
            None => Self { sqlstate: None, message: error.to_string() },
        }
    }
}

/// How a script shows a cell.
pub fn cell(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let mut rows = Vec::new();
        let mut width = 0;
        let mut complete = 0;
        for message in self.0.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => width = columns.len(),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|index| cell(row.get(index))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => complete = count,
                _ => {}
            }
        }
        if width == 0 {
            return Ok(DBOutput::StatementComplete(complete));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; width], rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "lakeward"
    }

    fn error_sql_state(error: &Failure) -> Option<String> {
        error.sqlstate.clone()
    }
}

const SUPERUSER: &str = "admin";
/// Scripts that run at once.
const CONCURRENCY: usize = 4;

/// The scripts in `directory` and below.
fn scripts(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// These scripts are about SQL, not about TLS: the server listens in the clear on loopback.
pub(crate) fn serve_in_the_clear(data: &Path) -> Server {
    init(data, "slt");
    let config = data.join("lakeward.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let plain = text.replace("enabled = true", "enabled = false");
    assert_ne!(text, plain, "lakeward.toml says where TLS is switched off");
    std::fs::write(&config, plain).unwrap();
    Server::serve(data)
}

fn connect(port: u16, user: String) -> BoxFuture<'static, Result<Connection, Failure>> {
    async move {
        let url = format!("host=127.0.0.1 port={port} user={user} password=slt dbname=lakeward");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        Ok(Connection(client))
    }
    .boxed()
}

/// Runs a script; the error names the line.
async fn run_script(script: &Path) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = tokio::task::spawn_blocking(move || serve_in_the_clear(&data)).await.unwrap();
    let port = server.port("pg");
    // The runner does not tell which connection it is that it makes.
    let user = Arc::new(Mutex::new(SUPERUSER.to_owned()));
    let speaks = Arc::clone(&user);
    let mut runner = Runner::new(move || connect(port, speaks.lock().unwrap().clone()));
    let told = |error: String| format!("{}\n{error}", script.display());
    let mut speaker = Speaker::Default;
    for mut record in sqllogictest::parse_file(script).map_err(|error| told(error.to_string()))? {
        match &mut record {
            Record::Connection(named) => {
                speaker = named.clone();
                *user.lock().unwrap() = match named {
                    Speaker::Named(name) => name.clone(),
                    Speaker::Default => SUPERUSER.to_owned(),
                };
            }
            // The parser gives the name to the next record only.
            Record::Statement { connection, .. }
            | Record::Query { connection, .. }
            | Record::Let { connection, .. } => {
                speaker.clone_into(connection);
            }
            Record::Halt { .. } => break,
            _ => {}
        }
        runner.run_async(record).await.map_err(|error| told(error.to_string()))?;
    }
    Ok(())
}

#[test]
fn scripts_hold() {
    let scripts = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("slt"));
    assert!(!scripts.is_empty());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcomes = stream::iter(&scripts).map(|script| run_script(script)).buffered(CONCURRENCY);
    let outcomes: Vec<_> = runtime.block_on(outcomes.collect());
    let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
