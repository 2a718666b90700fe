//! Lakeward and PostgreSQL 15 side by side: the same rows, the same client, TLS with the same certificate on both.
//!
//! `cargo bench` does not build the server: `cargo build --release --workspace --bin lakeward` first.
#![allow(dead_code, reason = "each scenario uses a part")]

#[path = "../../../tests/it/harness/mod.rs"]
#[allow(unused_imports, clippy::duplicate_mod, reason = "each scenario uses a part")]
pub mod harness;
pub mod postgres;

use std::path::PathBuf;
use std::time::Duration;

use harness::{Psql, Server, init, tls};
use postgres::Postgres;
use tempfile::TempDir;
use tokio_postgres::Client;

/// The password of Lakeward's superuser, and of every role that can log in.
pub const PASSWORD: &str = "secret";

/// Both servers.
pub struct Rivals {
    pub lakeward: Server,
    pub postgres: Postgres,
    _directory: TempDir,
}

impl Rivals {
    /// Two empty servers. Lakeward takes a thousand sessions.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        init(&data, PASSWORD);
        let config = data.join("lakeward.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains("max_sessions = 200"), "the configuration has its default");
        std::fs::write(&config, text.replace("max_sessions = 200", "max_sessions = 1000")).unwrap();
        let postgres = Postgres::start(&data);
        Self { lakeward: Server::serve(&data), postgres, _directory: directory }
    }

    /// The authority of both certificates.
    pub fn ca(&self) -> PathBuf {
        self.lakeward.data().join("ca.pem")
    }

    /// Runs a script as Lakeward's superuser.
    pub fn prepare_lakeward(&self, script: &str) {
        Psql::admin(&self.lakeward, "admin", PASSWORD).rows(script);
    }

    /// Runs a script as PostgreSQL's superuser.
    pub async fn prepare_postgres(&self, script: &str) {
        self.postgres.connect().await.batch_execute(script).await.unwrap();
    }

    /// A session with Lakeward, over verified TLS.
    pub async fn on_lakeward(&self, user: &str) -> Client {
        self.lakeward.connect(user, PASSWORD).await
    }

    /// A session with PostgreSQL, over verified TLS.
    pub async fn on_postgres(&self, user: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host("localhost").port(self.postgres.port).user(user).dbname("postgres");
        let (client, connection) = config.connect(tls::connector(&self.ca())).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// The value in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    at(values, 0.5)
}

/// The value below which that share of the others lies.
pub fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Numbers as the command line gives them, with what stands for those that are not there.
pub fn numbers<const N: usize>(defaults: [u64; N]) -> [u64; N] {
    let mut given = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    defaults.map(|default| given.next().unwrap_or(default))
}
