//! Chores of this repository: the checks that hold its architecture, and code generation.
//!
//! Invariant: a check prints every violation that it finds, not only the first, and then exits with 1.

mod codegen;
mod layers;
mod lints;
mod outline;
mod ratchet;
mod source;
mod words;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask layers | ratchet | lints | codegen [--check]

  layers    which crate may depend on which
  ratchet   lengths of files and functions, file headers, words that do not belong here
  lints     which code may read a table raw, or make a SessionContext
  codegen   generate the protobuf code; with --check, compare it with what is committed";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(violations) => {
            for violation in &violations {
                eprintln!("{violation}");
            }
            eprintln!("{} violation(s)", violations.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root()?;
    match arguments.as_slice() {
        ["layers"] => layers::check(&root),
        ["ratchet"] => ratchet::check(&root),
        ["lints"] => lints::check(&root),
        ["codegen"] => codegen::run(false).map(|()| Vec::new()),
        ["codegen", "--check"] => codegen::run(true).map(|()| Vec::new()),
        _ => Err(USAGE.into()),
    }
}

/// The repository's root: the directory above this crate.
fn root() -> Result<PathBuf, Box<dyn Error>> {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(crate_root.parent().ok_or("this crate has no parent directory")?.to_path_buf())
}
