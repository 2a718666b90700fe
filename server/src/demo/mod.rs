//! `lakeward demo`: a data directory with ten hospitals of synthetic people, and a server over it.
//!
//! Invariant: an existing demo directory is served as it is; one that was not finished is refused, not repaired.

mod batches;
mod credentials;
mod data;
mod load;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use lakeward_base::{Redacted, SystemClock};
use serde::{Deserialize, Serialize};

use crate::cli::tell;
use crate::config::{Config, Overrides};
use crate::error::ServerError;
use crate::layout::{DataDirectory, create_file, read_file};
use crate::serve::{Runtimes, Server};
use crate::{init, serve};

/// Patients where `--patients` is not given.
const DEFAULT_PATIENTS: u64 = 50_000;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// How many patients; `None` takes what is there, or the default.
    pub patients: Option<u64>,
    /// Directory and addresses.
    pub overrides: Overrides,
}

/// Written when everything is in place.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    patients: u64,
}

/// Makes the demo where it is not there yet, and serves it until it is told to stop.
///
/// # Errors
/// [`ServerError`] where it cannot be made or served.
pub fn run(options: &DemoOptions) -> Result<(), ServerError> {
    let directory = options.overrides.data_dir.clone().unwrap_or_else(|| PathBuf::from("demo-data"));
    let data = DataDirectory::new(&directory);
    let fresh = !data.is_initialised();
    let patients =
        if fresh { options.patients.unwrap_or(DEFAULT_PATIENTS) } else { existing(&data, options.patients)? };
    let mut overrides = options.overrides.clone();
    overrides.data_dir = Some(data.root().to_owned());
    let config = Config::load(&overrides)?;
    let runtimes = Runtimes::build(&config)?;
    let served = runtimes.network().block_on(async {
        // Before the loading: a port that is taken should not cost a minute.
        let listeners = serve::bind(&config).await?;
        let mut credentials = if fresh { credentials::generate() } else { credentials::read(&data)? };
        let started = Instant::now();
        if fresh {
            make_directory(&data, &credentials).await?;
        }
        // Written before anything can log in, so that no password is ever lost.
        credentials::write(&data, &mut credentials, listeners.pg_address(), listeners.flight_address())?;
        let server = Server::open(&config, runtimes.queries()).await?;
        if fresh {
            tell(&format!("Making {patients} synthetic patients in {} …", data.root().display()));
            fill(&server, &runtimes, patients, &credentials).await?;
            mark(&data, patients)?;
            tell(&format!("  done in {:.1} s", started.elapsed().as_secs_f64()));
        }
        introduce(&data, &credentials, listeners.pg_address());
        serve::serve(&config, listeners, server).await
    });
    runtimes.stop();
    served
}

async fn make_directory(data: &DataDirectory, credentials: &[credentials::Credential]) -> Result<(), ServerError> {
    let admin = credentials.iter().find(|credential| credential.role == load::ADMIN);
    let password = Redacted::new(admin.map(|credential| credential.password.clone()).unwrap_or_default());
    init::initialise(data, load::ADMIN, &password, &SystemClock).await
}

async fn fill(
    server: &Server,
    runtimes: &Runtimes,
    patients: u64,
    credentials: &[credentials::Credential],
) -> Result<(), ServerError> {
    let loader = load::Loader {
        engine: server.engine(),
        catalog: server.catalog(),
        store: server.store(),
        runtime: runtimes.queries(),
        patients,
    };
    loader.load(credentials).await
}

fn marker(data: &DataDirectory) -> PathBuf {
    data.root().join("demo.json")
}

fn mark(data: &DataDirectory, patients: u64) -> Result<(), ServerError> {
    let json = serde_json::to_vec(&Marker { patients }).unwrap_or_default();
    create_file(&marker(data), 0o600, &json)
}

/// How many patients an existing demo has.
fn existing(data: &DataDirectory, wanted: Option<u64>) -> Result<u64, ServerError> {
    let root = data.root().display();
    if !marker(data).exists() {
        let message = format!("{root}: not a finished demo directory; remove it, or name another with --data-dir");
        return Err(ServerError::DataDirectory(message));
    }
    let marker: Marker = serde_json::from_slice(&read_file(&marker(data))?)
        .map_err(|_| ServerError::DataDirectory(format!("{root}/demo.json: cannot be understood")))?;
    match wanted {
        Some(wanted) if wanted != marker.patients => Err(ServerError::DataDirectory(format!(
            "{root}: was made with --patients {}; remove it, or name another with --data-dir",
            marker.patients
        ))),
        _ => Ok(marker.patients),
    }
}

/// Tells people what to type, and what they will see.
fn introduce(data: &DataDirectory, credentials: &[credentials::Credential], pg: SocketAddr) {
    let pgpass = credentials::pgpass_path(data);
    let line = |role: &str, sql: &str, sees: &str| {
        let url = credentials.iter().find(|c| c.role == role).map_or("", |c| c.pg_url.as_str());
        format!("  # {sees}\n  PGPASSFILE='{}' psql '{url}' -c \"{sql}\"\n", pgpass.display())
    };
    let patients = "SELECT * FROM patients ORDER BY patient_id LIMIT 5";
    let text = [
        format!("\nThe demo listens on {pg}. In another terminal:\n"),
        line(
            "analyst",
            patients,
            "analyst: hospital 3 only; no names, the last four digits of SSNs, years of birth, ZIP areas",
        ),
        line("researcher", patients, "researcher: all ten hospitals; no names, SSNs or addresses"),
        line(
            "privacy_officer",
            "SELECT at, user_name, statement_class, decision, rows FROM system.audit ORDER BY at DESC LIMIT 10",
            "privacy officer: who read what; no patient (try: SELECT * FROM patients)",
        ),
        format!(
            "Passwords and addresses of every role, the administrator too: {}/demo-credentials.json",
            data.root().display()
        ),
        "Questions to ask: sql-examples/hospital/05-questions.sql. Ctrl-C stops the server.".to_owned(),
    ];
    tell(&text.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_or_different_demo_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(home.path());
        assert!(existing(&data, None).unwrap_err().to_string().contains("not a finished demo directory"));
        mark(&data, 100).unwrap();
        assert_eq!(existing(&data, None).unwrap(), 100);
        assert_eq!(existing(&data, Some(100)).unwrap(), 100);
        assert!(existing(&data, Some(7)).unwrap_err().to_string().contains("was made with --patients 100"));
    }
}
