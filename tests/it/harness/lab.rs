//! A server of a test's own, prepared by its superuser.

use tempfile::TempDir;
use tokio_postgres::Client;

use super::peers::Psql;
use super::server::{Server, init};

/// The password of the superuser `admin`, and of every role that can log in.
const PASSWORD: &str = "secret";

/// See the module.
pub struct Lab {
    pub server: Server,
    _directory: TempDir,
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
        let lab = Self { server: Server::serve(&data), _directory: directory };
        lab.psql("admin").rows(setup);
        lab
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
