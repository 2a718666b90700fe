//! SQL semantics as `.slt` scripts (`tests/slt/*.slt`), each against a server of its own, as its superuser.

use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::{Server, init};

struct Connection(Client);

#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => Self(format!("{}: {}", error.code().code(), error.message())),
            None => Self(error.to_string()),
        }
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
                    let cell = |index| match row.get(index) {
                        None => "NULL".to_owned(),
                        Some("") => "(empty)".to_owned(),
                        Some(text) => text.to_owned(),
                    };
                    rows.push((0..row.len()).map(cell).collect());
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
}

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut scripts: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

/// These scripts are about SQL, not about TLS: the server listens in the clear on loopback.
fn serve_in_the_clear(data: &Path) -> Server {
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

#[test]
fn scripts_hold() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut failures = Vec::new();
    for script in scripts() {
        let directory = tempfile::tempdir().unwrap();
        let server = serve_in_the_clear(&directory.path().join("data"));
        let port = server.port("pg");
        let mut runner = Runner::new(move || connect(port, "admin".to_owned()));
        if let Err(error) = runtime.block_on(runner.run_file_async(&script)) {
            failures.push(format!("{}\n{error}", script.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
