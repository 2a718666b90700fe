//! A PostgreSQL 15 that keeps what it is told, over TLS with Lakeward's own certificate, ended with the benchmark.

use std::path::Path;

use tokio_postgres::Client;

use super::harness::postgres;

/// A running PostgreSQL.
pub struct Postgres {
    server: postgres::Postgres,
    /// Where clients that want TLS find it.
    pub port: u16,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Postgres {
    /// Makes a database, and starts it. `lakeward` is the data directory whose certificate it shows.
    pub fn start(lakeward: &Path) -> Self {
        let mut server = postgres::Postgres::make(&[]);
        for name in ["server.pem", "server.key"] {
            let to = server.directory().join(name);
            std::fs::copy(lakeward.join("tls").join(name), &to).unwrap();
            postgres::give_away(&to, 0o600);
        }
        let settings = settings(server.directory());
        // A free port may be another's by the time that it is taken.
        let port = (0..20).map(|_| free_port()).find(|port| server.serve(*port, &settings)).expect("a free port");
        Self { server, port }
    }

    /// A connection as its superuser, as soon as there is one.
    pub async fn connect(&self) -> Client {
        self.server.connect().await
    }

    /// All of its processes.
    pub fn processes(&self) -> Vec<u32> {
        let file = std::fs::read_to_string(self.server.directory().join("data/postmaster.pid")).unwrap();
        let first: u32 = file.lines().next().unwrap().parse().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        children.split_whitespace().filter_map(|id| id.parse().ok()).chain([first]).collect()
    }

    /// Starts it again, after an orderly end.
    pub fn restart(&mut self) {
        self.server.stop();
        let settings = settings(self.server.directory());
        assert!(self.server.serve(self.port, &settings), "PostgreSQL starts again");
    }

    /// An orderly end.
    pub fn stop(&mut self) {
        self.server.stop();
    }
}

fn settings(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        "listen_addresses=127.0.0.1".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.pem")),
        format!("ssl_key_file={}", file("server.key")),
        // What a server with as much memory as Lakeward's default pool would be given.
        "shared_buffers=2GB".to_owned(),
        "max_connections=600".to_owned(),
        "synchronous_commit=on".to_owned(),
        "timezone=UTC".to_owned(),
    ]
}
