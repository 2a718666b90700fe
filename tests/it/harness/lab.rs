//! A server of a test's own, prepared by its superuser.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::peers::Psql;
use super::server::{Server, init};

/// The password of the superuser `admin`, and of every role that can log in.
const PASSWORD: &str = "secret";

/// See the module.
pub struct Lab {
    pub server: Server,
    directory: TempDir,
}

impl Lab {
    /// A new server, on which the administrator has run `setup`. Roles that log in there have the password `secret`.
    pub fn open(setup: &str) -> Self {
        Self::configured(&[], setup)
    }

    /// The same, with lines of its configuration replaced.
    pub fn configured(lines: &[(&str, &str)], setup: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        init(&data, PASSWORD);
        let path = data.join("lakeward.toml");
        let mut config = std::fs::read_to_string(&path).expect("init writes the configuration");
        for (line, other) in lines {
            assert!(config.contains(line), "no {line} in the configuration");
            config = config.replace(line, other);
        }
        std::fs::write(&path, config).expect("the configuration can be written");
        let lab = Self { server: Server::serve(&data), directory };
        lab.psql("admin").rows(setup);
        lab
    }

    /// A directory for a table of its own.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// psql as a role.
    pub fn psql(&self, user: &str) -> Psql {
        Psql::admin(&self.server, user, PASSWORD)
    }

    /// A driver's session of a role.
    pub async fn connect(&self, user: &str) -> Client {
        self.server.connect(user, PASSWORD).await
    }
}

/// Runs a test that waits.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

/// The rows of one text, cells joined by `|`; an error as its SQLSTATE.
pub async fn ask(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Err(error) => error.code().map_or_else(|| "closed".to_owned(), |code| code.code().to_owned()),
        Ok(messages) => {
            let rows = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|cell| row.get(cell).unwrap_or("")).collect::<Vec<_>>().join("|"))
                }
                _ => None,
            });
            rows.collect::<Vec<_>>().join(",")
        }
    }
}
