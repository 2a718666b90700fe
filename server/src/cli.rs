//! The command line.
//!
//! Exit codes: 0 done, 1 a failure while running, 2 a wrong command line, configuration or data directory; those of
//! `audit verify` are the report's own, and `policy import` answers 3 where something could not be mapped. Invariant:
//! standard output carries JSON lines only, but for `policy import`, whose output is SQL, and what `audit` was asked for in
//! the form that it was asked for in.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use lakeward_audit::Question;
use lakeward_base::SystemClock;
use lakeward_catalog::{Catalog, Snapshot};
use serde::Serialize;
use serde_json::json;

use crate::audit::{self, Asked, Log, VerifyArguments};
use crate::config::{Config, ListenAddress, Overrides};
use crate::demo::{self, DemoOptions};
use crate::error::ServerError;
use crate::layout::DataDirectory;
use crate::{init, layout, logging, ranger, serve, tls};

/// A governed SQL server for hospital data.
#[derive(Debug, Parser)]
#[command(name = "lakeward", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data directory: keys, certificate, configuration, an empty catalog.
    Init(InitArguments),
    /// Serve a data directory.
    Serve(ServeArguments),
    /// Make ten hospitals of synthetic data where they are not there yet, and serve them.
    Demo(DemoArguments),
    /// Check the configuration and the files that it names.
    CheckConfig(ServeArguments),
    /// Look at the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Work with policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Args)]
struct InitArguments {
    /// Where; must be empty or not exist.
    #[arg(long, env = "LAKEWARD_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// The first role, which may do everything.
    #[arg(long, value_name = "NAME", required_unless_present = "join", conflicts_with = "join")]
    superuser: Option<String>,
    /// A file with its password; else LAKEWARD_PASSWORD, else a prompt.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A configuration to begin with, which may name stores; else the commented defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make one more server of the catalog that the configuration names, which is there.
    #[arg(long, requires_all = ["config", "keys"])]
    join: bool,
    /// The keys' directory of another server of that catalog.
    #[arg(long, value_name = "DIR", requires = "join")]
    keys: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Configuration; else lakeward.toml in the data directory.
    #[arg(long, env = "LAKEWARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// How many patients; they make 4 times as many encounters and 40 times as many vitals [default: 50000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    patients: Option<u64>,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, Args)]
struct Places {
    /// The data directory.
    #[arg(long, env = "LAKEWARD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen for the PostgreSQL protocol.
    #[arg(long, env = "LAKEWARD_PG_ADDR", value_name = "ADDR")]
    pg: Option<ListenAddress>,
    /// Where to listen for Arrow Flight SQL.
    #[arg(long, env = "LAKEWARD_FLIGHT_ADDR", value_name = "ADDR")]
    flight: Option<ListenAddress>,
    /// Where to listen for health and metrics.
    #[arg(long, env = "LAKEWARD_HTTP_ADDR", value_name = "ADDR")]
    http: Option<ListenAddress>,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that nothing was altered or lost. Exit code 0 intact, 1 usage, 2 altered, 3 not cleanly closed or the tail
    /// is missing.
    Verify(VerifyArguments),
    /// Prove that a record is in the log: JSON for scripts/verify-audit-proof, which needs the public key alone.
    Prove {
        /// The record's event_id, or its number.
        #[arg(value_name = "EVENT")]
        event: String,
        #[command(flatten)]
        log: Log,
    },
    /// Say the key that the log's heads are signed with, in hexadecimal: keep it where the server cannot change it.
    PublicKey {
        #[command(flatten)]
        log: Log,
    },
    /// List who was shown a patient's rows, when and what for: an accounting of disclosures (45 CFR 164.528).
    Accounting {
        /// The patient: a value of tables' subject columns.
        #[arg(long, value_name = "ID")]
        patient: String,
        /// Only what has to be accounted for: recipients outside the hospital, other purposes than treatment, payment
        /// and operations.
        #[arg(long)]
        accountable_only: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// List the statements that used a value, as a literal or a parameter.
    WhoSearched {
        /// The value is a line of standard input.
        #[arg(long, required = true)]
        value_stdin: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// List the statements that were shown a patient's rows, or those of a user.
    WhoAccessed {
        /// The patient: a value of tables' subject columns.
        #[arg(long, value_name = "ID", required_unless_present = "user")]
        patient: Option<String>,
        /// The user.
        #[arg(long, value_name = "NAME", conflicts_with = "patient")]
        user: Option<String>,
        #[command(flatten)]
        asked: Asked,
    },
}

impl AuditCommand {
    fn run(self) -> ExitCode {
        match self {
            Self::Verify(arguments) => audit::verify(&arguments),
            Self::Prove { event, log } => audit::prove(&log, &event),
            Self::PublicKey { log } => audit::public_key(&log),
            Self::Accounting { patient, accountable_only, asked } => {
                audit::answer(&asked, Question::Subject(patient), accountable_only)
            }
            Self::WhoSearched { value_stdin: _, asked } => match audit::value_of_stdin() {
                Ok(question) => audit::answer(&asked, question, false),
                Err(error) => {
                    tell(&format!("lakeward: {error}"));
                    ExitCode::from(1)
                }
            },
            Self::WhoAccessed { patient, user, asked } => {
                let question = patient.map(Question::Subject).or(user.map(Question::User));
                question.map_or(ExitCode::from(1), |question| audit::answer(&asked, question, false))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Write another system's masks and row filters as SQL statements to standard output, and what cannot be mapped to
    /// standard error. Exit code 0 all of it, 2 usage or a bad file, 3 something could not be mapped.
    Import(ImportArguments),
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// What Apache Ranger has exported of a Hive service, as JSON.
    #[arg(long, value_name = "FILE")]
    ranger: PathBuf,
    /// The data directory, whose catalog tells which tables there are and the types of their columns.
    #[arg(long, env = "LAKEWARD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration; else lakeward.toml in the data directory.
    #[arg(long, env = "LAKEWARD_CONFIG", value_name = "FILE", requires = "data_dir")]
    config: Option<PathBuf>,
    /// The schema that a database became; `default` is `public`, all others keep their names.
    #[arg(long, value_name = "DATABASE=SCHEMA", value_parser = renamed)]
    schema: Vec<(String, String)>,
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_lowercase(), to.to_owned())),
        _ => Err("expected a database and a schema, such as clinic=wards".to_owned()),
    }
}

impl ServeArguments {
    fn overrides(self) -> Overrides {
        self.places.overrides(self.config)
    }
}

impl Places {
    fn overrides(self, config: Option<PathBuf>) -> Overrides {
        Overrides { config, data_dir: self.data_dir, pg: self.pg, flight: self.flight, http: self.http }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    logging::start();
    let done = match cli.command {
        Command::Init(arguments) => make(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Serve(arguments) => serve::run(&arguments.overrides()).map(|()| ExitCode::SUCCESS),
        Command::Demo(DemoArguments { patients, places }) => {
            demo::run(&DemoOptions { patients, overrides: places.overrides(None) }).map(|()| ExitCode::SUCCESS)
        }
        Command::CheckConfig(arguments) => check(&arguments.overrides()).map(|()| ExitCode::SUCCESS),
        Command::Audit(command) => Ok(command.run()),
        Command::Policy(PolicyCommand::Import(arguments)) => import(arguments),
    };
    done.unwrap_or_else(|error| {
        tell(&format!("lakeward: {error}"));
        error.exit_code()
    })
}

/// Help goes out as clap renders it; a mistake becomes one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    } else {
        tell(&format!("lakeward: {}", one_line(&error.render().to_string())));
    }
    // `audit` keeps 2 for a log that was altered.
    let audit = std::env::args_os().nth(1).is_some_and(|command| command == "audit");
    ExitCode::from(if audit { 1 } else { 2 })
}

/// The first paragraph of clap's message, in one line.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

fn make(arguments: &InitArguments) -> Result<(), ServerError> {
    let data = DataDirectory::new(&arguments.data_dir);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServerError::System { what: "the async runtime", reason: error.kind() })?;
    runtime.block_on(make_in(&data, arguments))?;
    let root = data.root().display();
    tell(&format!("{root} is ready. Start the server with: lakeward serve --data-dir {root}"));
    emit(&json!({"event": "initialised", "data_dir": data.root(), "ca": data.ca()}));
    Ok(())
}

async fn make_in(data: &DataDirectory, arguments: &InitArguments) -> Result<(), ServerError> {
    if let (true, Some(file), Some(keys)) = (arguments.join, &arguments.config, &arguments.keys) {
        return init::join(data, file, keys, Arc::new(SystemClock)).await;
    }
    let superuser = arguments.superuser.as_deref().unwrap_or_default();
    let password = init::read_password(arguments.password_file.as_deref())?;
    match &arguments.config {
        Some(file) => init::initialise_with(data, file, superuser, &password, &SystemClock).await,
        None => init::initialise(data, superuser, &password, &SystemClock).await,
    }
}

fn check(overrides: &Overrides) -> Result<(), ServerError> {
    let config = Config::load(overrides)?;
    config.data.require_initialised()?;
    tls::load(&config.tls)?;
    config.storage.read_files()?;
    let listen = config.listen;
    emit(&json!({
        "event": "config",
        "data_dir": config.data.root(),
        "pg": listen.pg.to_string(),
        "flight": listen.flight.to_string(),
        "http": listen.http.to_string(),
        "tls": config.tls.enabled,
    }));
    Ok(())
}

fn import(arguments: ImportArguments) -> Result<ExitCode, ServerError> {
    let ImportArguments { ranger, data_dir, config, schema } = arguments;
    let file = layout::read_file(&ranger)?;
    let catalog = match data_dir {
        Some(data_dir) => Some(catalog(&Overrides { config, data_dir: Some(data_dir), ..Overrides::default() })?),
        None => None,
    };
    let wrong = |error: serde_json::Error| {
        ServerError::Config(format!("{}: not what Ranger exports: line {}", ranger.display(), error.line()))
    };
    let import = ranger::import(&file, catalog, schema).map_err(wrong)?;
    import.notes.iter().for_each(|note| tell(&format!("note: {note}")));
    import.unmapped.iter().for_each(|told| tell(&format!("not mapped: {told}")));
    let mut out = std::io::stdout().lock();
    let written = out.write_all(import.sql.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| ServerError::System { what: "standard output", reason: error.kind() })?;
    Ok(ExitCode::from(if import.unmapped.is_empty() { 0 } else { 3 }))
}

/// The newest catalog, beside a server that may be running.
fn catalog(overrides: &Overrides) -> Result<Arc<Snapshot>, ServerError> {
    let config = Config::load(overrides)?;
    config.data.require_initialised()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServerError::System { what: "the async runtime", reason: error.kind() })?;
    runtime.block_on(async {
        let storage = config.storage.open().await?;
        let place = config.storage.catalog(&config.data, &storage)?;
        let opened = Catalog::open(place.store, place.prefix, Arc::new(SystemClock)).await;
        Ok(opened.map_err(|error| ServerError::part("the catalog", &error))?.snapshot())
    })
}

/// Writes text for people to standard error.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes one line of JSON to standard output.
pub fn emit(event: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    let line = serde_json::to_string(event).unwrap_or_default();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistake_on_the_command_line_is_told_in_one_line() {
        for (arguments, expected) in [
            (
                vec!["lakeward", "serve", "--pg", "5432"],
                "invalid value '5432' for '--pg <ADDR>': expected an IP address and a port, such as 127.0.0.1:5432",
            ),
            (
                vec!["lakeward", "init", "--data-dir", "x"],
                "the following required arguments were not provided: --superuser <NAME>",
            ),
            (vec!["lakeward", "serve", "--prot"], "unexpected argument '--prot' found"),
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(one_line(&error.render().to_string()), expected);
        }
    }
}
