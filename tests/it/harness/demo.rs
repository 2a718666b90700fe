//! One demo server, shared by all tests that only read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::peers::Psql;
use super::server::Server;

/// How many patients the shared demo has: enough for every hospital to have some with every property.
pub const PATIENTS: u64 = 2_000;

/// A running demo.
pub struct Demo {
    /// The server.
    pub server: Server,
    credentials: BTreeMap<String, Value>,
    _directory: tempfile::TempDir,
}

/// The shared demo.
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| Demo::start(PATIENTS))
}

impl Demo {
    /// Starts a demo of its own.
    pub fn start(patients: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("demo");
        let server = Server::start(&data, &["demo", "--patients", &patients.to_string()], Duration::from_secs(300));
        let text =
            std::fs::read_to_string(data.join("demo-credentials.json")).expect("the demo writes its credentials");
        let list: Vec<Value> = serde_json::from_str(&text).expect("credentials are JSON");
        let credentials =
            list.into_iter().map(|entry| (entry["role"].as_str().expect("a role").to_owned(), entry)).collect();
        Self { server, credentials, _directory: directory }
    }

    /// A field of a role's credentials: `password`, `pg_url` or `flight_url`.
    pub fn credential(&self, role: &str, field: &str) -> String {
        let entry = self.credentials.get(role).unwrap_or_else(|| panic!("no credentials of {role}"));
        entry[field].as_str().unwrap_or_else(|| panic!("no {field} of {role}")).to_owned()
    }

    /// psql as a role, with the certificate verified.
    pub fn psql(&self, role: &str) -> Psql {
        Psql::new(&self.credential(role, "pg_url"), &self.credential(role, "password"))
    }

    /// The authority that signed the server's certificate.
    pub fn ca(&self) -> PathBuf {
        self.server.data().join("ca.pem")
    }
}
