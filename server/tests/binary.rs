//! The binary by itself: what it says without a server. The tests of a running server are in the workspace's `tests/`;
//! they use the binary that is built for this one.

use std::process::Command;

fn lakeward(argument: &str) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_lakeward")).arg(argument).output().expect("the binary runs")
}

#[test]
fn it_tells_its_version() {
    let output = lakeward("--version");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), concat!("lakeward ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let output = lakeward("frobnicate");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("frobnicate"));
}
