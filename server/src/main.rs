//! `lakeward`: see [`lakeward_server::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lakeward_server::cli::main()
}
