//! A PostgreSQL 15 of the test's own, on a socket in a directory of its own, ended with the test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

/// PostgreSQL does not run as root: then `nobody` runs it.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL. Killed when dropped.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
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

impl Postgres {
    /// Starts one: UTF-8, text in the order of its bytes, UTC.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY))
                .expect("root gives a directory away");
        }
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).expect("its owner may");
        let data = directory.path().join("data");
        let made = program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=admin", "--encoding=UTF8", "--lc-collate=C"])
            .args(["--lc-ctype=C.UTF-8", "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let child = Self::serve(&data, directory.path());
        Self { child, directory }
    }

    fn serve(data: &Path, socket: &Path) -> Child {
        program("postgres")
            .arg("-D")
            .arg(data)
            .arg("-k")
            .arg(socket)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=UTC"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL starts")
    }

    /// A connection as its superuser.
    pub async fn connect(&self) -> Client {
        let url = format!("host={} user=admin dbname=postgres", self.directory.path().display());
        for _ in 0..300 {
            if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("PostgreSQL does not get ready")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        // A fast shutdown: SIGKILL would leave its children.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}
