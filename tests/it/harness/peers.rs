//! psql, Python, Node and Java, as `scripts/test` has installed them.

use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A client that is ended when it waits for ever, so that its test fails.
pub fn limited(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "300"]).arg(program);
    command
}

/// The psql that the tests use.
pub fn psql_program() -> PathBuf {
    std::env::var_os("LAKEWARD_TEST_PSQL").map_or_else(|| PathBuf::from("psql"), PathBuf::from)
}

/// psql with one connection string.
#[derive(Debug, Clone)]
pub struct Psql {
    url: String,
    password: String,
}

/// What psql answered.
#[derive(Debug)]
pub struct Answer {
    /// Rows, unaligned, cells separated by `|`.
    pub out: String,
    /// Errors and notices, with SQLSTATEs.
    pub err: String,
    /// Whether psql ended well.
    pub ok: bool,
}

impl Psql {
    /// psql for this URL.
    pub fn new(url: &str, password: &str) -> Self {
        Self { url: url.to_owned(), password: password.to_owned() }
    }

    /// psql against a server's own `admin`, with the certificate verified.
    pub fn admin(server: &super::Server, user: &str, password: &str) -> Self {
        Self::new(&server.url(user), password)
    }

    /// Runs a script, statement by statement, and answers whatever comes.
    pub fn run(&self, script: &str) -> Answer {
        Self::answer(&self.output(&[], script))
    }

    /// Sends a script as one text: one transaction.
    pub fn text(&self, script: &str) -> Answer {
        Self::answer(&self.output(&["-c", script], ""))
    }

    fn answer(output: &Output) -> Answer {
        Answer {
            out: String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            ok: output.status.success(),
        }
    }

    /// Runs a script that must succeed; answers its rows.
    pub fn rows(&self, script: &str) -> String {
        let answer = self.run(script);
        assert!(answer.ok, "{script}\n{}", answer.err);
        answer.out
    }

    /// Runs a script that must fail; answers the SQLSTATE and the whole error text.
    pub fn fails(&self, script: &str) -> (String, String) {
        let answer = self.run(script);
        assert!(!answer.ok, "{script}\nsucceeded: {}", answer.out);
        let code = answer.err.lines().find_map(|line| {
            let rest = line.split("ERROR:  ").nth(1).or_else(|| line.split("FATAL:  ").nth(1))?;
            Some(rest.split(':').next()?.to_owned())
        });
        (code.unwrap_or_default(), answer.err)
    }

    fn output(&self, arguments: &[&str], script: &str) -> Output {
        let mut typed = tempfile::tempfile().expect("a temporary file");
        typed.write_all(script.as_bytes()).and_then(|()| typed.rewind()).expect("a temporary file takes a script");
        limited(psql_program())
            .args(["-X", "-q", "-A", "-t", "-d", &self.url, "-v", "VERBOSITY=verbose", "-v", "ON_ERROR_STOP=1"])
            .args(arguments)
            .stdin(typed)
            .env("LC_ALL", "C.UTF-8")
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "20")
            .output()
            .expect("psql is installed (scripts/test installs it)")
    }
}

/// Runs a Python script of `tests/peers` with the packages that `scripts/test` installs; answers its stdout.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let output = limited(named("LAKEWARD_TEST_PYTHON")).arg(path).args(arguments).output().expect("timeout runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// How a client of `tests/peers` is started.
pub enum Client<'a> {
    /// A Python script.
    Python(&'a str),
    /// A script for Node.
    Node(&'a str),
    /// A Java class, run from its source with pgjdbc.
    Java(&'a str),
}

/// Runs a client, told about the server in libpq's variables; all its deeds must be done.
pub fn deeds(client: &Client<'_>, variables: &[(&str, String)]) {
    let (program, before, script) = match client {
        Client::Python(script) => (named("LAKEWARD_TEST_PYTHON"), Vec::new(), script),
        Client::Node(script) => (PathBuf::from("node"), Vec::new(), script),
        Client::Java(script) => {
            let driver = named("LAKEWARD_TEST_PGJDBC");
            assert!(driver.is_file(), "{} is missing (scripts/setup fetches it)", driver.display());
            (PathBuf::from("java"), vec!["-cp".into(), driver.into_os_string()], script)
        }
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let mut command = limited(program);
    command.args(before).arg(path);
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    if matches!(client, Client::Node(_)) {
        command.env("NODE_PATH", named("LAKEWARD_TEST_NODE_PATH"));
    }
    let output = command.env("LC_ALL", "C.UTF-8").output().expect("timeout runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}: {}\n{}", said(&output.stdout), said(&output.stderr));
}

/// A file or directory that the environment names.
pub fn named(variable: &str) -> PathBuf {
    let found = std::env::var_os(variable).map(PathBuf::from);
    found.unwrap_or_else(|| panic!("{variable} names what scripts/test sets up"))
}
