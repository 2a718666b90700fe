//! A PostgreSQL 15 of the test's own, on a socket in a directory of its own, ended with the test.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

/// PostgreSQL does not run as root: then `nobody` runs it.
const NOBODY: u32 = 65_534;

/// The port in the name of a socket where nobody chose another.
const PORT: u16 = 5432;

/// A PostgreSQL. Ended when dropped.
#[derive(Debug)]
pub struct Postgres {
    child: Option<Child>,
    port: u16,
    directory: tempfile::TempDir,
}

fn program(name: &str) -> Command {
    let directory = std::env::var_os("LAKEWARD_TEST_POSTGRES")
        .map_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin"), PathBuf::from);
    let program = directory.join(name);
    assert!(program.is_file(), "{} is missing (scripts/setup installs PostgreSQL 15)", program.display());
    let mut command = Command::new("setpriv");
    // It ends with the test, however that ends.
    command.args(["--pdeathsig", "KILL"]);
    if rustix::process::getuid().is_root() {
        command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}")).arg("--clear-groups");
    }
    command.arg(program).env("LC_ALL", "C.UTF-8");
    command
}

/// Hands a file or directory to whoever runs PostgreSQL.
pub fn give_away(path: &Path, mode: u32) {
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root gives a file away");
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its owner may");
}

impl Postgres {
    /// Starts one: UTF-8, text in the order of its bytes, UTC.
    pub fn start() -> Self {
        let mut postgres = Self::make(&["--no-sync"]);
        let settings = ["listen_addresses=", "fsync=off", "timezone=UTC"].map(str::to_owned);
        assert!(postgres.serve(PORT, &settings), "PostgreSQL does not start");
        postgres
    }

    /// A database that nobody serves yet.
    pub fn make(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        give_away(directory.path(), 0o700);
        let made = program("initdb")
            .args(options)
            .args(["--auth=trust", "--username=admin", "--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"])
            .arg("--pgdata")
            .arg(directory.path().join("data"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        Self { child: None, port: PORT, directory }
    }

    /// Serves it, with a socket in its own directory; answers whether it does: a port may be another's.
    pub fn serve(&mut self, port: u16, settings: &[String]) -> bool {
        let child = program("postgres")
            .arg("-D")
            .arg(self.directory().join("data"))
            .arg("-k")
            .arg(self.directory())
            .args(["-c", &format!("port={port}")])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL starts");
        self.port = port;
        let child = self.child.insert(child);
        // It makes this socket when it has those of the network.
        let socket = self.directory.path().join(format!(".s.PGSQL.{port}"));
        for _ in 0..60_000 {
            if UnixStream::connect(&socket).is_ok() {
                return true;
            }
            if child.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("PostgreSQL neither listens nor ends")
    }

    /// Where its data and its socket are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A connection as its superuser, as soon as there is one.
    pub async fn connect(&self) -> Client {
        let url = format!("host={} port={} user=admin dbname=postgres", self.directory().display(), self.port);
        for _ in 0..60_000 {
            if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("PostgreSQL does not get ready")
    }

    /// An orderly end.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // A fast shutdown: SIGKILL would leave its children.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT);
        let _ = child.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
