//! Turns `proto/proto/**/*.proto` into the committed Rust code under `proto/src/generated/`.
//!
//! Pure Rust (protox and prost-build), so that neither building nor generating needs protoc.
//!
//! Invariant: with `check`, nothing is written, and a difference to what is committed is an error.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The `.proto` files, relative to `proto/proto`.
const SOURCES: &[&str] = &["lakeward/v1/audit.proto", "lakeward/v1/ticket.proto"];

/// The one file that is generated: all sources are of one package.
const GENERATED: &str = "lakeward.v1.rs";

/// Generates the code, or compares it with what is committed.
pub fn run(check: bool) -> Result<(), Box<dyn Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let committed = proto.join("src/generated").join(GENERATED);
    let generated = generate(&proto.join("proto"))?;
    if check {
        return compare(&committed, &generated);
    }
    if let Some(directory) = committed.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&committed, generated)?;
    Ok(())
}

/// The generated code for the sources below `root`.
fn generate(root: &Path) -> Result<String, Box<dyn Error>> {
    let descriptors = protox::compile(SOURCES, [root])?;
    let scratch = scratch_directory()?;
    let outcome = prost_build::Config::new().out_dir(&scratch).skip_debug(["."]).compile_fds(descriptors);
    let code = outcome.and_then(|()| fs::read_to_string(scratch.join(GENERATED)));
    fs::remove_dir_all(&scratch)?;
    Ok(code?)
}

/// prost-build writes to a directory only.
fn scratch_directory() -> Result<PathBuf, Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("lakeward-codegen-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// An error where the committed file is not what was generated.
fn compare(committed: &Path, generated: &str) -> Result<(), Box<dyn Error>> {
    if fs::read_to_string(committed).is_ok_and(|text| text == generated) {
        return Ok(());
    }
    Err("proto/src/generated is not what the .proto files make: run `cargo xtask codegen` and commit the result".into())
}
