//! `lakeward demo`: a data directory with ten hospitals of synthetic people, and a server over it.
//!
//! Invariants: an existing demo directory is served as it is. One that was not finished is made afresh: `demo-unfinished`
//! stands in it from before the first of its files to after the last, and what is removed is what the demo makes.

mod batches;
mod credentials;
mod data;
mod load;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use lakeward_base::{Redacted, SystemClock};
use lakeward_catalog::ScramVerifier;
use serde::{Deserialize, Serialize};

use crate::cli::tell;
use crate::config::{Config, Overrides};
use crate::error::ServerError;
use crate::layout::{DataDirectory, create_directory, create_file, read_file, remove, replace_secret};
use crate::serve::{Doors, Runtimes, Server, Signals};
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
    let fresh = data.is_unfinished_demo() || !data.is_initialised();
    let patients =
        if fresh { options.patients.unwrap_or(DEFAULT_PATIENTS) } else { existing(&data, options.patients)? };
    let mut overrides = options.overrides.clone();
    overrides.data_dir = Some(data.root().to_owned());
    // The file of an unfinished demo, if any, is about to be removed.
    let config = if fresh { Config::fresh(&overrides)? } else { Config::load(&overrides)? };
    let runtimes = Runtimes::build(&config)?;
    let demo = Demo { data, patients, fresh, config };
    let served = runtimes.network().block_on(async {
        // Before the loading: a port that is taken should not cost a minute.
        let doors = serve::bind(&demo.config)?;
        let mut signals = Signals::install()?;
        let server = tokio::select! {
            server = Box::pin(demo.open(&runtimes, &doors)) => server?,
            name = signals.next() => return Err(ServerError::Interrupted(name)),
        };
        serve::serve(&demo.config, doors, server, signals).await
    });
    runtimes.stop();
    served
}

/// A demo that is being started.
struct Demo {
    data: DataDirectory,
    patients: u64,
    fresh: bool,
    config: Config,
}

impl Demo {
    /// Makes the directory where it is not whole, and opens it.
    async fn open(&self, runtimes: &Runtimes, doors: &Doors) -> Result<Server, ServerError> {
        let Self { data, patients, fresh, config } = self;
        let started = Instant::now();
        if *fresh {
            begin(data)?;
        }
        let lock = serve::lock(data)?;
        let mut credentials = if *fresh { credentials::generate() } else { credentials::read(data)? };
        if *fresh {
            clear(data)?;
            make_directory(data, &credentials).await?;
        }
        // Written before anything can log in, so that no password is ever lost.
        credentials::write(data, &mut credentials, doors.pg_address(), doors.flight_address())?;
        let server = Server::open(config, runtimes.queries(), lock).await?;
        if *fresh {
            tell(&format!("Making {patients} synthetic patients in {} …", data.root().display()));
            fill(&server, runtimes, *patients, &credentials).await?;
            mark(data, *patients)?;
            tell(&format!("  done in {:.1} s", started.elapsed().as_secs_f64()));
        }
        // After a stop between the two markers, it stands in a directory that is whole.
        remove(&data.demo_unfinished())?;
        introduce(data, &credentials, doors.pg_address());
        Ok(server)
    }
}

/// Says that the directory is the demo's and not whole, in a directory that is empty or says so already.
fn begin(data: &DataDirectory) -> Result<(), ServerError> {
    if data.is_unfinished_demo() {
        return Ok(());
    }
    init::refuse_existing(data)?;
    create_directory(data.root())?;
    create_file(
        &data.demo_unfinished(),
        0o600,
        b"lakeward demo is making this directory, or was stopped while it did.\n",
    )
}

/// Removes what an unfinished demo has left. The caller has the directory's lock, so nobody is making it.
fn clear(data: &DataDirectory) -> Result<(), ServerError> {
    if !data.is_unfinished_demo() {
        // Another process has made it since this one looked.
        let message = format!("{}: another lakeward has just made this demo; start again", data.root().display());
        return Err(ServerError::DataDirectory(message));
    }
    let halves = [data.demo_finished().with_extension("new")];
    let made = data.made_by_init().into_iter().chain(credentials::paths(data)).chain(halves);
    let left: Vec<PathBuf> = made.filter(|path| path.symlink_metadata().is_ok()).collect();
    if !left.is_empty() {
        tell(&format!("{}: a demo that was not finished; starting afresh", data.root().display()));
    }
    left.iter().try_for_each(|path| remove(path))
}

async fn make_directory(data: &DataDirectory, credentials: &[credentials::Credential]) -> Result<(), ServerError> {
    let admin = credentials.iter().find(|credential| credential.role == load::ADMIN);
    let password = Redacted::new(admin.map(|credential| credential.password.clone()).unwrap_or_default());
    init::make(data, load::ADMIN, ScramVerifier::from_password(&password), &SystemClock).await
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

fn mark(data: &DataDirectory, patients: u64) -> Result<(), ServerError> {
    let json = serde_json::to_vec(&Marker { patients }).unwrap_or_default();
    replace_secret(&data.demo_finished(), &json)
}

/// How many patients an existing demo has.
fn existing(data: &DataDirectory, wanted: Option<u64>) -> Result<u64, ServerError> {
    let root = data.root().display();
    if !data.demo_finished().exists() {
        let message = format!("{root}: not a demo directory; name another with --data-dir");
        return Err(ServerError::DataDirectory(message));
    }
    let marker: Marker = serde_json::from_slice(&read_file(&data.demo_finished())?)
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
    fn another_or_different_directory_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(home.path());
        assert!(existing(&data, None).unwrap_err().to_string().contains("not a demo directory"));
        mark(&data, 100).unwrap();
        assert_eq!(existing(&data, None).unwrap(), 100);
        assert_eq!(existing(&data, Some(100)).unwrap(), 100);
        assert!(existing(&data, Some(7)).unwrap_err().to_string().contains("was made with --patients 100"));
    }

    #[test]
    fn only_what_the_demo_makes_is_cleared() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(&home.path().join("demo"));
        begin(&data).unwrap();
        begin(&data).unwrap();
        std::fs::create_dir_all(data.tables().join("deep")).unwrap();
        std::fs::write(data.config(), "").unwrap();
        std::fs::write(data.root().join("notes.txt"), "mine").unwrap();
        let elsewhere = home.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("kept"), "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, data.keys()).unwrap();
        clear(&data).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(data.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["demo-unfinished", "notes.txt"]);
        assert!(elsewhere.join("kept").exists(), "a link is removed, not what it points at");
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_not_begun_in() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("notes.txt"), "mine").unwrap();
        let data = DataDirectory::new(home.path());
        assert!(begin(&data).unwrap_err().to_string().contains("not empty"));
        assert!(!data.demo_unfinished().exists());
    }
}
