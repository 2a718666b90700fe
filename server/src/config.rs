//! Configuration: flags over environment over `lakeward.toml` over defaults.
//!
//! Invariant: an unknown or ill-typed key is refused, with one line that names the file, the line and the key.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lakeward_audit::HeadDirectory;
use serde::Deserialize;

use crate::error::ServerError;
use crate::layout::DataDirectory;
use crate::storage::{Storage, StorageSection};
use crate::webhook::{BreakGlassSection, Receiver};

/// The commented file that `lakeward init` writes. Parsed by a test, so that it stays true.
pub const TEMPLATE: &str = include_str!("lakeward.toml");

/// `lakeward.toml` as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Where the data is; the directory of the file where absent.
    pub data_dir: Option<PathBuf>,
    /// Addresses.
    pub listen: Listen,
    /// Transport security.
    pub tls: Tls,
    /// How connections are kept and given up.
    pub connections: ConnectionsSection,
    /// Limits.
    pub limits: LimitsSection,
    /// The audit log.
    pub audit: AuditSection,
    /// Where tables and the catalog lie.
    pub storage: StorageSection,
    /// Who is told of BREAK GLASS.
    pub break_glass: BreakGlassSection,
    /// The process.
    pub server: ServerSection,
}

/// `[listen]`: where clients connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// PostgreSQL protocol.
    pub pg: ListenAddress,
    /// Arrow Flight SQL.
    pub flight: ListenAddress,
    /// Health and metrics.
    pub http: ListenAddress,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            pg: ListenAddress::loopback(5432),
            flight: ListenAddress::loopback(50051),
            http: ListenAddress::loopback(8080),
        }
    }
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// On unless said otherwise; off is for loopback addresses only.
    pub enabled: bool,
    /// The server's certificate chain (PEM), relative to the data directory.
    pub certificate: PathBuf,
    /// Its key (PEM), relative to the data directory.
    pub private_key: PathBuf,
}

impl Default for Tls {
    fn default() -> Self {
        Self { enabled: true, certificate: "tls/server.pem".into(), private_key: "tls/server.key".into() }
    }
}

/// `[connections]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsSection {
    /// Time for TLS and login together.
    pub authentication_timeout_ms: NonZeroU64,
    /// A silent connection is probed after this long; 0 leaves that to the operating system.
    pub keepalive_idle_s: u16,
    /// Time between probes.
    pub keepalive_interval_s: NonZeroU16,
    /// Probes without an answer before the connection is given up.
    pub keepalive_count: Probes,
}

impl Default for ConnectionsSection {
    fn default() -> Self {
        Self {
            authentication_timeout_ms: NonZeroU64::MIN.saturating_add(60_000 - 1),
            keepalive_idle_s: 60,
            keepalive_interval_s: NonZeroU16::MIN.saturating_add(10 - 1),
            keepalive_count: Probes(6),
        }
    }
}

/// A number of keepalive probes: as many as Linux takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Probes(pub u8);

impl TryFrom<u8> for Probes {
    type Error = &'static str;

    fn try_from(count: u8) -> Result<Self, Self::Error> {
        if (1..=127).contains(&count) { Ok(Self(count)) } else { Err("expected a number from 1 to 127") }
    }
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Sessions at the same time, of all protocols.
    pub max_sessions: NonZeroUsize,
    /// Memory for all running queries together.
    pub memory_pool_bytes: NonZeroUsize,
    /// A statement is cancelled after this long; 0 is never.
    pub statement_timeout_ms: u64,
    /// Statements over tables that run at once; 0 is any number.
    pub concurrent_statements: usize,
    /// Statements that wait at once.
    pub queued_statements: usize,
    /// How long one waits; 0 is for ever.
    pub queue_timeout_ms: u64,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            max_sessions: at_least_one(200),
            memory_pool_bytes: at_least_one(2 << 30),
            statement_timeout_ms: 0,
            concurrent_statements: 100,
            queued_statements: 1_000,
            queue_timeout_ms: 60_000,
        }
    }
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    /// This server's name in the audit records.
    pub node: NodeName,
    /// A new segment of the log is begun after this many bytes.
    pub segment_bytes: NonZeroU64,
    /// A directory where signed heads are kept besides.
    pub heads: Option<PathBuf>,
    /// Time between heads that are kept there.
    pub heads_period_ms: NonZeroU64,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            node: NodeName("node-1".to_owned()),
            segment_bytes: NonZeroU64::MIN.saturating_add((64 << 20) - 1),
            heads: None,
            heads_period_ms: NonZeroU64::MIN.saturating_add(60_000 - 1),
        }
    }
}

/// `[server]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// How long running statements may go on after SIGTERM.
    pub drain_timeout_ms: u64,
    /// Threads for network I/O.
    pub network_threads: NonZeroU32,
    /// Threads for queries; 0 is one for each processor and four to spare.
    pub query_threads: u32,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self { drain_timeout_ms: 10_000, network_threads: NonZeroU32::MIN.saturating_add(1), query_threads: 0 }
    }
}

/// An address to listen on: `127.0.0.1:5432`, `[::]:5432` or `localhost:5432`. Port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    fn loopback(port: u16) -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        if let Some(port) = port {
            return Ok(Self::loopback(port));
        }
        text.parse().map(Self).map_err(|_| "expected an IP address and a port, such as 127.0.0.1:5432")
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A server's name: letters, digits, `-`, `_` and `.`, at most 63 of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(pub String);

impl TryFrom<String> for NodeName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
            return Err("expected 1 to 63 letters, digits, '-', '_' or '.'");
        }
        Ok(Self(name))
    }
}

/// What the command line and the environment say (the first over the second, by clap).
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`, `LAKEWARD_CONFIG`
    pub config: Option<PathBuf>,
    /// `--data-dir`, `LAKEWARD_DATA_DIR`
    pub data_dir: Option<PathBuf>,
    /// `--pg`, `LAKEWARD_PG_ADDR`
    pub pg: Option<ListenAddress>,
    /// `--flight`, `LAKEWARD_FLIGHT_ADDR`
    pub flight: Option<ListenAddress>,
    /// `--http`, `LAKEWARD_HTTP_ADDR`
    pub http: Option<ListenAddress>,
}

/// The configuration as it takes effect.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is.
    pub data: DataDirectory,
    /// Addresses.
    pub listen: Listen,
    /// Transport security, with absolute paths.
    pub tls: Tls,
    /// How connections are kept and given up.
    pub connections: ConnectionsSection,
    /// Limits.
    pub limits: LimitsSection,
    /// The audit log.
    pub audit: AuditSection,
    /// Where tables and the catalog lie.
    pub storage: Storage,
    /// Who is told of BREAK GLASS.
    pub break_glass: Option<Receiver>,
    /// The process.
    pub server: ServerSection,
}

impl Config {
    /// Reads the file that `overrides` point to, and puts them on top of it.
    ///
    /// # Errors
    /// [`ServerError::Config`] in one line; [`ServerError::File`] where the file cannot be read.
    pub fn load(overrides: &Overrides) -> Result<Self, ServerError> {
        let (file, home) = match (&overrides.config, &overrides.data_dir) {
            (Some(path), _) => (read(path)?, path.parent().map(Path::to_owned)),
            (None, Some(directory)) => {
                let path = DataDirectory::new(directory).config();
                let file = if path.exists() { read(&path)? } else { ConfigFile::default() };
                (file, None)
            }
            (None, None) => {
                let message = "no data directory: pass --data-dir or --config, or set LAKEWARD_DATA_DIR";
                return Err(ServerError::Config(message.to_owned()));
            }
        };
        let home = home.unwrap_or_default();
        let data = match (&overrides.data_dir, &file.data_dir) {
            (Some(directory), _) => DataDirectory::new(directory),
            (None, Some(directory)) => DataDirectory::new(&home.join(directory)),
            (None, None) => DataDirectory::new(if home.as_os_str().is_empty() { Path::new(".") } else { &home }),
        };
        Self::assemble(file, data, overrides)
    }

    /// The defaults with `overrides` on top: for a data directory that is about to be made.
    ///
    /// # Errors
    /// [`ServerError::Config`].
    pub fn fresh(overrides: &Overrides) -> Result<Self, ServerError> {
        let data = DataDirectory::new(overrides.data_dir.as_deref().unwrap_or(Path::new(".")));
        Self::assemble(ConfigFile::default(), data, overrides)
    }

    fn assemble(file: ConfigFile, data: DataDirectory, overrides: &Overrides) -> Result<Self, ServerError> {
        let listen = Listen {
            pg: overrides.pg.unwrap_or(file.listen.pg),
            flight: overrides.flight.unwrap_or(file.listen.flight),
            http: overrides.http.unwrap_or(file.listen.http),
        };
        for (key, address) in [("pg", listen.pg), ("flight", listen.flight)] {
            if !file.tls.enabled && !address.0.ip().is_loopback() {
                return Err(ServerError::Config(format!(
                    "listen.{key} = {address}: tls.enabled = false is for loopback addresses only; switch TLS on"
                )));
            }
        }
        let tls = Tls {
            certificate: data.root().join(&file.tls.certificate),
            private_key: data.root().join(&file.tls.private_key),
            ..file.tls
        };
        let ConfigFile { connections, limits, audit, storage, break_glass, server, .. } = file;
        let storage = storage.check(&data)?;
        let break_glass = break_glass.check(&data)?;
        Ok(Self { data, listen, tls, connections, limits, audit, storage, break_glass, server })
    }
}

impl Config {
    /// Where signed heads of the audit log are kept besides, where that is configured.
    #[must_use]
    pub fn heads(&self) -> Option<HeadDirectory> {
        self.audit.heads.as_ref().map(|directory| HeadDirectory(self.data.root().join(directory)))
    }
}

fn read(path: &Path) -> Result<ConfigFile, ServerError> {
    let bytes = crate::layout::read_file(path)?;
    let text = String::from_utf8(bytes).map_err(|_| ServerError::Config(format!("{}: not UTF-8", path.display())))?;
    parse(path, &text)
}

/// Parses the text of a configuration file; `path` is for the message only.
///
/// # Errors
/// [`ServerError::Config`] in one line.
pub fn parse(path: &Path, text: &str) -> Result<ConfigFile, ServerError> {
    toml::from_str(text).map_err(|error| {
        let reason = error.message().replace('\n', "; ");
        let place = error.span().map(|span| Place::find(text, span.start));
        ServerError::Config(match place {
            Some(Place { line, key: Some(key) }) => format!("{}:{line}: {key}: {reason}", path.display()),
            Some(Place { line, key: None }) => format!("{}:{line}: {reason}", path.display()),
            None => format!("{}: {reason}", path.display()),
        })
    })
}

/// A place in a TOML file, in words.
struct Place {
    line: usize,
    key: Option<String>,
}

impl Place {
    fn find(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let mut section = "";
        let mut key = None;
        for (number, content) in text.lines().enumerate().take(line) {
            let content = content.trim();
            if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                section = name.trim();
                key = (number + 1 == line).then(|| section.to_owned());
            } else if number + 1 == line {
                let name = content.split_once('=').map(|(name, _)| name.trim());
                key = name.map(|name| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") });
            }
        }
        Self { line, key }
    }
}

fn at_least_one(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bad file, and the line that it must produce.
    const GOLDENS: &[(&str, &str)] = &[
        (
            "[limits]\nmax_sesions = 3\n",
            "bad.toml:2: limits.max_sesions: unknown field `max_sesions`, expected one of `max_sessions`, `memory_pool_bytes`, `statement_timeout_ms`, `concurrent_statements`, `queued_statements`, `queue_timeout_ms`",
        ),
        (
            "[limit]\n",
            "bad.toml:1: limit: unknown field `limit`, expected one of `data_dir`, `listen`, `tls`, `connections`, `limits`, `audit`, `storage`, `break_glass`, `server`",
        ),
        (
            "\n[listen]\n# comment\npg = \"5432\"\n",
            "bad.toml:4: listen.pg: expected an IP address and a port, such as 127.0.0.1:5432",
        ),
        ("[tls]\nenabled = \"yes\"\n", "bad.toml:2: tls.enabled: invalid type: string \"yes\", expected a boolean"),
        (
            "[limits]\nmax_sessions = 0\n",
            "bad.toml:2: limits.max_sessions: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            "[server]\ndrain_timeout_ms = -1\n",
            "bad.toml:2: server.drain_timeout_ms: invalid value: integer `-1`, expected u64",
        ),
        ("[audit]\nnode = \"a b\"\n", "bad.toml:2: audit.node: expected 1 to 63 letters, digits, '-', '_' or '.'"),
        (
            "[connections]\nkeepalive_count = 0\n",
            "bad.toml:2: connections.keepalive_count: expected a number from 1 to 127",
        ),
        ("[listen\n", "bad.toml:1: listen: unclosed table, expected `]`"),
        ("[tls]\nenabled = true\nenabled = false\n", "bad.toml:3: tls.enabled: duplicate key"),
        (
            "[storage.s3.lake]\nbuckets = [\"b\"]\nregion = \"r\"\nsecret_access_key = \"s\"\n",
            "bad.toml:4: storage.s3.lake.secret_access_key: unknown field `secret_access_key`, expected one of `buckets`, `region`, `endpoint`, `path_style`, `allow_http`, `ca_certificate`, `credentials`, `credentials_file`, `credentials_profile`, `sse_kms_key_id`, `classification_tag`, `connect_timeout_ms`, `request_timeout_ms`, `max_retries`, `retry_timeout_ms`",
        ),
        (
            "[storage.s3.lake]\ncredentials = \"static\"\n",
            "bad.toml:2: storage.s3.lake.credentials: unknown variant `static`, expected one of `file`, `environment`, `role`",
        ),
        ("data_dir = 3\n", "bad.toml:1: data_dir: invalid type: integer `3`, expected path string"),
    ];

    #[test]
    fn bad_files_produce_one_line_with_file_line_and_key() {
        for (text, expected) in GOLDENS {
            let error = parse(Path::new("bad.toml"), text).unwrap_err();
            assert_eq!(error.to_string(), *expected);
            assert_eq!(error.exit_code(), std::process::ExitCode::from(2));
        }
    }

    #[test]
    fn the_template_says_what_the_defaults_are() {
        let file = parse(Path::new("lakeward.toml"), TEMPLATE).unwrap();
        let default = ConfigFile::default();
        assert_eq!(file.listen, default.listen);
        assert_eq!(file.tls, default.tls);
        assert_eq!(file.connections, default.connections);
        assert_eq!(file.limits, default.limits);
        assert_eq!(file.audit, default.audit);
        assert_eq!(file.server, default.server);
    }

    #[test]
    fn overrides_go_on_top_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lakeward.toml");
        std::fs::write(&path, "[listen]\npg = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n").unwrap();
        let overrides =
            Overrides { config: Some(path), pg: Some("localhost:9".parse().unwrap()), ..Overrides::default() };
        let config = Config::load(&overrides).unwrap();
        assert_eq!(config.listen.pg.to_string(), "127.0.0.1:9");
        assert_eq!(config.listen.http.to_string(), "127.0.0.1:2");
        assert_eq!(config.listen.flight.to_string(), "127.0.0.1:50051");
        assert_eq!(config.data.root(), home.path());
        assert_eq!(config.tls.certificate, home.path().join("tls/server.pem"));
    }

    #[test]
    fn without_a_directory_or_file_it_says_what_to_pass() {
        let error = Config::load(&Overrides::default()).unwrap_err();
        assert_eq!(error.to_string(), "no data directory: pass --data-dir or --config, or set LAKEWARD_DATA_DIR");
    }

    #[test]
    fn plain_text_is_for_loopback_only() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("lakeward.toml"), "[tls]\nenabled = false\n").unwrap();
        let with = |pg: &str| Overrides {
            data_dir: Some(home.path().to_owned()),
            pg: Some(pg.parse().unwrap()),
            ..Overrides::default()
        };
        assert!(Config::load(&with("127.0.0.1:0")).is_ok());
        let error = Config::load(&with("0.0.0.0:5432")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "listen.pg = 0.0.0.0:5432: tls.enabled = false is for loopback addresses only; switch TLS on"
        );
    }
}
