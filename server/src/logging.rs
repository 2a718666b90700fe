//! The operator's log, on standard error.
//!
//! Invariant: no setting makes a library log below warnings, since those lines hold statements and values; and a panic
//! prints its place, never its message, for the same reason.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable that sets the level of Lakeward's own lines: `off`, `error`, `warn`, `info`, `debug`, `trace`.
const VARIABLE: &str = "LAKEWARD_LOG";

/// Starts logging; a second call changes nothing.
pub fn start() {
    let level = std::env::var(VARIABLE).ok().and_then(|text| text.parse::<LevelFilter>().ok());
    let level = level.unwrap_or(LevelFilter::from_level(Level::INFO));
    // Delta's kernel calls it an error that a table has no newer version yet, which is asked at each commit.
    let filter = format!("warn,datafusion=error,deltalake=error,buoyant_kernel=off,lakeward={level}");
    let filter = EnvFilter::new(filter);
    let colours = std::io::stderr().is_terminal();
    let started =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(target: "lakeward", place, "a task panicked");
        }));
    }
}
