//! A PostgreSQL 15 that keeps what it is told, over TLS with Lakeward's own certificate, ended with the benchmark.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

/// PostgreSQL does not run as root: then `nobody` runs it.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL.
pub struct Postgres {
    child: Child,
    /// Where clients that want TLS find it.
    pub port: u16,
    directory: tempfile::TempDir,
}

fn program(name: &str) -> Command {
    let directory = std::env::var_os("LAKEWARD_TEST_POSTGRES")
        .map_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin"), PathBuf::from);
    let mut command = Command::new("setpriv");
    // It ends with the benchmark, however that ends.
    command.args(["--pdeathsig", "KILL"]);
    if rustix::process::getuid().is_root() {
        command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}")).arg("--clear-groups");
    }
    command.arg(directory.join(name)).env("LC_ALL", "C.UTF-8");
    command
}

fn give_away(path: &Path, mode: u32) {
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Postgres {
    /// Makes a database, and starts it. `lakeward` is the data directory whose certificate it shows.
    pub fn start(lakeward: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        give_away(directory.path(), 0o700);
        let data = directory.path().join("data");
        let made = program("initdb")
            .args(["--auth=trust", "--username=admin", "--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for name in ["server.pem", "server.key"] {
            let to = directory.path().join(name);
            std::fs::copy(lakeward.join("tls").join(name), &to).unwrap();
            give_away(&to, 0o600);
        }
        let port = free_port();
        let child = serve(directory.path(), port);
        Self { child, port, directory }
    }

    /// A connection as its superuser, as soon as there is one.
    pub async fn connect(&self) -> Client {
        let url = format!("host={} port={} user=admin dbname=postgres", self.directory.path().display(), self.port);
        for _ in 0..60_000 {
            if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("PostgreSQL does not get ready")
    }

    /// All of its processes.
    pub fn processes(&self) -> Vec<u32> {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap();
        children.split_whitespace().filter_map(|id| id.parse().ok()).chain([self.child.id()]).collect()
    }

    /// Starts it again, after an orderly end.
    pub fn restart(&mut self) {
        self.stop();
        self.child = serve(self.directory.path(), self.port);
    }

    /// An orderly end.
    pub fn stop(&mut self) {
        // A fast shutdown: SIGKILL would leave its children.
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}

fn serve(directory: &Path, port: u16) -> Child {
    let file = |name: &str| directory.join(name).display().to_string();
    let settings = [
        "listen_addresses=localhost".to_owned(),
        format!("port={port}"),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.pem")),
        format!("ssl_key_file={}", file("server.key")),
        // What a server with as much memory as Lakeward's default pool would be given.
        "shared_buffers=2GB".to_owned(),
        "max_connections=600".to_owned(),
        "synchronous_commit=on".to_owned(),
        "timezone=UTC".to_owned(),
    ];
    program("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory)
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
