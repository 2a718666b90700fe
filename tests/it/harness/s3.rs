//! An S3 server (moto, as `scripts/test` installs it), a proxy in front of it that counts and spoils requests, and data
//! directories whose warehouse and catalog are there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use super::leash::Leash;
use super::peers::named;
use super::server::{binary, password_file};

/// The password of the superuser `admin`.
pub const PASSWORD: &str = "secret";

/// The access key and the secret that servers are given; neither may be seen anywhere.
pub const ACCESS_KEY: &str = "AKIDLAKEWARDTEST";
pub const SECRET_KEY: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYSECRET";

/// A running moto. Killed when dropped.
pub struct S3 {
    child: Child,
    leash: Leash,
    port: u16,
    _directory: TempDir,
}

/// One answer of plain HTTP.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

impl S3 {
    /// Starts one, with the bucket `lake`.
    pub fn start() -> Self {
        let s3 = Self::launch();
        assert_eq!(s3.request("PUT", "/lake", b"").status, 200, "a bucket is made");
        s3
    }

    fn launch() -> Self {
        let moto = named("LAKEWARD_TEST_PYTHON").parent().expect("it is in a directory").join("moto_server");
        // It takes a free port itself and says which: one that is looked for here may be another's by then.
        let mut child = Command::new(moto)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts (scripts/setup installs it)");
        let stderr = child.stderr.take().expect("stderr is piped");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut s3 = Self { leash: Leash::hold(&child, directory.path()), child, port: 0, _directory: directory };
        s3.port = told_port(stderr).recv_timeout(Duration::from_secs(60)).expect("moto listens");
        s3
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A request; moto does not check signatures.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let signed =
            "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {signed}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        exchange(self.port, head.as_bytes(), body, method == "HEAD").expect("moto answers")
    }

    /// Every key of a bucket below a prefix.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let reply = self.request("GET", &format!("/{bucket}?list-type=2&max-keys=10000&prefix={prefix}"), b"");
        assert_eq!(reply.status, 200);
        texts(&String::from_utf8_lossy(&reply.body), "Key")
    }

    /// Uploads that were begun and have not ended, by key.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        let reply = self.request("GET", &format!("/{bucket}?uploads"), b"");
        texts(&String::from_utf8_lossy(&reply.body), "Key")
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.leash.release();
    }
}

fn texts(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).map(str::to_owned).collect()
}

/// The port that moto says it listens on; what else it writes is read and forgotten.
fn told_port(stderr: impl Read + Send + 'static) -> mpsc::Receiver<u16> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let Some((_, port)) = line.split_once("Running on http://127.0.0.1:") else { continue };
            let _ = port.trim().parse().map(|port| sender.send(port));
        }
    });
    receiver
}

/// One request, one connection.
fn exchange(port: u16, head: &[u8], body: &[u8], bodiless: bool) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.write_all(head)?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?;
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let mut reply = Reply { status, head, body: Vec::new() };
    let length = reply.header("content-length").and_then(|length| length.parse().ok());
    match length {
        _ if bodiless || status == 204 || status == 304 => {}
        Some(length) => {
            reply.body = vec![0; length];
            reader.read_exact(&mut reply.body)?;
        }
        None => {
            reader.read_to_end(&mut reply.body)?;
        }
    }
    Ok(reply)
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// What the proxy does with requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    /// Hands them on.
    Pass,
    /// Closes connections.
    Gone,
    /// Takes requests and never answers.
    Silent,
    /// Answers with this status and error code.
    Refuse(u16, &'static str),
    /// Hands on puts of commits whose name holds the text, and closes without their answer.
    Swallow(&'static str),
    /// Refuses puts whose path holds the text, with a failure of the store's own.
    Break(&'static str),
}

/// A proxy before an [`S3`]: one request a connection.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    mood: Mutex<Mood>,
    log: Mutex<Vec<String>>,
}

impl Proxy {
    /// Before `s3`.
    pub fn before(s3: &S3) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { upstream: s3.port, mood: Mutex::new(Mood::Pass), log: Mutex::new(Vec::new()) });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { port, shared }
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on.
    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().expect("not poisoned") = mood;
    }

    /// The requests since the last call: method, path with its query, and range.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.log.lock().expect("not poisoned"))
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = self.answer(&stream);
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        if self.mood() == Mood::Gone {
            return Ok(());
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        let head = read_head(&mut reader)?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let (method, path) = line
            .split_once(' ')
            .map_or(("", ""), |(method, rest)| (method, rest.rsplit_once(' ').map_or(rest, |(path, _)| path)));
        let header = |name: &str| {
            let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            found.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let range = header("range").unwrap_or_default();
        self.log.lock().expect("not poisoned").push(format!("{method} {path} {range}"));
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        match self.mood() {
            Mood::Gone => return Ok(()),
            Mood::Silent => {
                while self.mood() == Mood::Silent {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
            Mood::Refuse(status, code) => return refuse(stream, status, code, path),
            Mood::Break(part) if method != "GET" && method != "HEAD" && method != "DELETE" && path.contains(part) => {
                return refuse(stream, 500, "InternalError", path);
            }
            Mood::Pass | Mood::Swallow(_) | Mood::Break(_) => {}
        }
        let reply = exchange(self.upstream, head.as_bytes(), &body, method == "HEAD")?;
        if let Mood::Swallow(part) = self.mood()
            && method == "PUT"
            && path.contains(part)
        {
            return Ok(());
        }
        let head = reply.head.trim_end().replace("Connection: keep-alive", "Connection: close");
        let mut stream = stream;
        stream.write_all(head.as_bytes())?;
        if reply.header("connection").is_none() {
            stream.write_all(b"\r\nConnection: close")?;
        }
        stream.write_all(b"\r\n\r\n")?;
        stream.write_all(&reply.body)
    }

    fn mood(&self) -> Mood {
        self.mood.lock().expect("not poisoned").clone()
    }
}

fn refuse(mut stream: &TcpStream, status: u16, code: &str, path: &str) -> std::io::Result<()> {
    let body = format!("<Error><Code>{code}</Code><Message>no</Message><Resource>{path}</Resource></Error>");
    let head = format!("HTTP/1.1 {status} Refused\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// Data directories of servers that share a warehouse and a catalog.
pub struct Site {
    directory: TempDir,
    endpoint: String,
    patience_ms: u64,
}

impl Site {
    /// For the bucket `lake` at `endpoint`, with patience for a machine that is busy with other tests.
    pub fn at(endpoint: &str) -> Self {
        Self::with_patience(endpoint, 20_000)
    }

    /// The same; a catalog that could not be read for so long is not relied on.
    pub fn with_patience(endpoint: &str, patience_ms: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let credentials = directory.path().join("credentials");
        let text = format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
        std::fs::write(&credentials, text).expect("credentials are written");
        std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).expect("they are closed");
        Self { directory, endpoint: endpoint.to_owned(), patience_ms }
    }

    /// The file of credentials.
    pub fn credentials(&self) -> PathBuf {
        self.directory.path().join("credentials")
    }

    /// The data directory of a node.
    pub fn data(&self, node: &str) -> PathBuf {
        self.directory.path().join(node)
    }

    /// What a node is configured with: short time-outs, and whatever `more` says of the store.
    pub fn config(&self, node: &str, more: &str) -> String {
        format!(
            "[audit]\nnode = \"{node}\"\n[storage]\nwarehouse = \"s3://lake/tables\"\ncatalog = \"s3://lake/catalog\"\n\
             catalog_patience_ms = {}\n[storage.s3.main]\nbuckets = [\"lake\"]\nregion = \"us-east-1\"\n\
             endpoint = \"{}\"\nallow_http = true\ncredentials = \"file\"\ncredentials_file = \"{}\"\n\
             connect_timeout_ms = 1000\nrequest_timeout_ms = 3000\nmax_retries = 2\nretry_timeout_ms = 2000\n{more}\n",
            self.patience_ms,
            self.endpoint,
            self.credentials().display()
        )
    }

    /// `lakeward init` of the first node, with this configuration.
    pub fn init(&self, node: &str, config: &str) -> std::process::Output {
        let password = password_file(self.directory.path(), PASSWORD);
        let mut command = self.init_command(node, config);
        command.args(["--superuser", "admin", "--password-file"]).arg(password);
        command.output().expect("the binary runs")
    }

    /// `lakeward init --join` of one more, with the keys of `first`.
    pub fn join(&self, node: &str, first: &str, config: &str) -> std::process::Output {
        let mut command = self.init_command(node, config);
        command.arg("--join").arg("--keys").arg(self.data(first).join("keys"));
        command.output().expect("the binary runs")
    }

    fn init_command(&self, node: &str, config: &str) -> Command {
        let file = self.directory.path().join(format!("{node}.toml"));
        std::fs::write(&file, config).expect("a configuration is written");
        let mut command = Command::new(binary());
        command.arg("init").arg("--data-dir").arg(self.data(node)).arg("--config").arg(file);
        command
    }

    /// The first node, made and served.
    pub fn serve_first(&self, more: &str) -> super::Server {
        succeeded(&self.init("a", &self.config("a", more)));
        super::Server::serve(&self.data("a"))
    }

    /// One more node, made and served.
    pub fn serve_second(&self, more: &str) -> super::Server {
        succeeded(&self.join("b", "a", &self.config("b", more)));
        super::Server::serve(&self.data("b"))
    }
}

/// Fails with what the program said.
pub fn succeeded(output: &std::process::Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// `lakeward serve` that must not start: exit code and stderr.
pub fn refused_to_serve(data: &Path) -> (i32, String) {
    let output = Command::new(binary())
        .env_remove("AWS_ACCESS_KEY_ID")
        .args(["serve", "--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .output()
        .expect("the binary runs");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}
