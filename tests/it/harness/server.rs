//! The `lakeward` binary as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::leash::Leash;
use super::tls;

/// The binary of this build. `cargo test --workspace` builds it for the server's own tests (`--test binary`).
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let exe = std::env::current_exe().expect("a test has a path");
        let profile = exe.ancestors().nth(2).expect("tests are built below the target directory");
        let binary = profile.join("lakeward");
        assert!(
            binary.is_file(),
            "{} is missing: build it with cargo test --workspace --test binary",
            binary.display()
        );
        binary
    })
}

/// A file that holds a password, as `--password-file` takes it.
pub fn password_file(directory: &Path, password: &str) -> PathBuf {
    let file = directory.join("password");
    std::fs::write(&file, password).expect("the password file can be written");
    file
}

/// `lakeward init` with the superuser `admin`.
pub fn init(data: &Path, password: &str) {
    let secrets = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(binary())
        .args(["init", "--superuser", "admin", "--data-dir"])
        .arg(data)
        .arg("--password-file")
        .arg(password_file(secrets.path(), password))
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "init: {}", String::from_utf8_lossy(&output.stderr));
}

/// A running server. Killed when dropped, and when this process ends.
pub struct Server {
    child: Mutex<Held>,
    ready: Value,
    data: PathBuf,
    stderr: std::sync::Arc<Mutex<String>>,
}

impl Server {
    /// `lakeward serve` on free ports; waits for the line that says it is ready.
    pub fn serve(data: &Path) -> Self {
        Self::start(data, &["serve"], Duration::from_secs(60))
    }

    /// Starts a subcommand that serves, on free ports.
    pub fn start(data: &Path, arguments: &[&str], patience: Duration) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data-dir").arg(data);
        command.args(["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut held = Held { leash: Leash::hold(&child, data), child };
        let stderr = std::sync::Arc::new(Mutex::new(String::new()));
        let mut pipe = held.child.stderr.take().expect("stderr is piped");
        let collected = std::sync::Arc::clone(&stderr);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut chunk) {
                collected.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        let ready = await_ready(&mut held.child, patience, &stderr);
        Self { child: Mutex::new(held), ready, data: data.to_owned(), stderr }
    }

    /// The address of a door: `pg`, `flight` or `http`.
    pub fn address(&self, door: &str) -> String {
        self.ready[door].as_str().unwrap_or_else(|| panic!("no address of {door} in {}", self.ready)).to_owned()
    }

    /// The port of a door.
    pub fn port(&self, door: &str) -> u16 {
        let address = self.address(door);
        address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address ends in a port")
    }

    /// The PostgreSQL URL of a role, with the certificate verified against the server's own authority.
    pub fn url(&self, user: &str) -> String {
        let ca = self.data().join("ca.pem");
        format!(
            "postgresql://{user}@localhost:{}/lakeward?sslmode=verify-full&sslrootcert={}",
            self.port("pg"),
            ca.display()
        )
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What the server has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// The process.
    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child.lock().expect("not poisoned").child)
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(&self) {
        self.child.lock().expect("not poisoned").kill();
    }

    /// SIGTERM; answers how the process ended.
    pub fn terminate(&self) -> ExitStatus {
        let mut held = self.child.lock().expect("not poisoned");
        let id = rustix::process::Pid::from_child(&held.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("the server can be signalled");
        let status = held.child.wait().expect("the server ends");
        held.leash.release();
        status
    }

    /// A driver's session, over verified TLS.
    pub async fn connect(&self, user: &str, password: &str) -> tokio_postgres::Client {
        self.connect_watched(user, password).await.0
    }

    /// The same, and how the connection ends.
    pub async fn connect_watched(
        &self,
        user: &str,
        password: &str,
    ) -> (tokio_postgres::Client, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>) {
        let mut config = tokio_postgres::Config::new();
        config.host("localhost").port(self.port("pg")).user(user).password(password).dbname("lakeward");
        let (client, connection) =
            config.connect(tls::connector(&self.data.join("ca.pem"))).await.expect("the role can log in");
        (client, tokio::spawn(connection))
    }

    /// `GET path` over plain HTTP; answers status and body.
    pub fn http_get(&self, path: &str) -> (u16, String) {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(self.address("http")).expect("the HTTP port is open");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("a request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer comes");
        let status = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }
}

/// A child process on its leash.
struct Held {
    child: Child,
    leash: Leash,
}

impl Held {
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.leash.release();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kill();
    }
}

fn await_ready(child: &mut Child, patience: Duration, stderr: &Mutex<String>) -> Value {
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = receiver
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("the server did not get ready:\n{}", stderr.lock().expect("not poisoned")));
        let parsed: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("stdout holds more than JSON: {line}"));
        if parsed["event"] == "ready" {
            return parsed;
        }
    }
}

/// `lakeward audit verify`: exit code, and what it said.
pub fn verify(data: &Path) -> (i32, String) {
    let output =
        Command::new(binary()).args(["audit", "verify", "--data-dir"]).arg(data).output().expect("the binary runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}
