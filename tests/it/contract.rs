//! What scripts rely on: commands, exit codes, the ready line, files, health over HTTP.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Psql, Server, binary, demo, init, password_file};

fn lakeward(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_remove("LAKEWARD_PASSWORD").output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn init_makes_a_directory_that_serves() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "correct horse");
    for file in ["lakeward.toml", "ca.pem"] {
        assert!(data.join(file).is_file(), "{file}");
    }
    let server = Server::serve(&data);
    let admin = Psql::admin(&server, "admin", "correct horse");
    assert_eq!(admin.rows("SELECT current_user"), "admin");
    assert!(admin.rows("SELECT version()").starts_with("PostgreSQL 15.0 (Lakeward"));
    assert!(server.terminate().success(), "SIGTERM drains and exits 0: {}", server.stderr());
    let verified = lakeward(&["audit", "verify", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
}

#[test]
fn init_never_makes_up_a_password_and_never_overwrites() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let path = data.to_str().unwrap();
    let without = Command::new(binary())
        .args(["init", "--superuser", "admin", "--data-dir", path])
        .env_remove("LAKEWARD_PASSWORD")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!without.status.success(), "a password must be given");
    init(&data, "one");
    let file = password_file(directory.path(), "two");
    let again =
        lakeward(&["init", "--superuser", "admin", "--data-dir", path, "--password-file", file.to_str().unwrap()]);
    assert!(!again.status.success(), "a second init must not overwrite the first");
    let server = Server::serve(&data);
    assert_eq!(Psql::admin(&server, "admin", "one").rows("SELECT 1"), "1");
}

#[test]
fn keys_are_readable_by_their_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let (mut secrets, mut open) = (0, Vec::new());
    visit(&data, &mut |path| {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        let secret =
            path.extension().is_some_and(|extension| extension == "key") || path.to_string_lossy().contains("/audit/");
        secrets += usize::from(secret);
        if secret && mode & 0o077 != 0 {
            open.push(path.to_owned());
        }
    });
    assert!(secrets > 0, "there are keys");
    assert!(open.is_empty(), "{open:?}");
}

fn visit(directory: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { visit(&path, see) } else { see(&path) }
    }
}

#[test]
fn a_bad_configuration_is_one_clear_line_and_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let config = data.join("lakeward.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{good}\nno_such_setting = 1\n")).unwrap();
    for command in ["serve", "check-config"] {
        let output = lakeward(&[command, "--data-dir", data.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{command}: {}", stderr(&output));
        assert_eq!(stderr(&output).trim_end().lines().count(), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains("no_such_setting"), "{}", stderr(&output));
    }
    std::fs::write(&config, good).unwrap();
    assert!(lakeward(&["check-config", "--data-dir", data.to_str().unwrap()]).status.success());
}

#[test]
fn a_bad_certificate_refuses_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    std::fs::write(data.join("tls/server.pem"), "not a certificate").unwrap();
    let output = lakeward(&["serve", "--data-dir", data.to_str().unwrap(), "--pg", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(stderr(&output).trim_end().lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn verify_without_a_directory_is_a_usage_error() {
    assert_eq!(lakeward(&["audit", "verify", "--data-dir", "/nonexistent/lakeward"]).status.code(), Some(1));
}

#[test]
fn health_readiness_and_metrics_answer() {
    let server = &demo().server;
    assert_eq!(server.http_get("/healthz").0, 200);
    assert_eq!(server.http_get("/readyz").0, 200);
    assert_eq!(server.http_get("/metrics").0, 200);
    demo().psql("analyst").rows("SELECT 1");
    demo().psql("analyst").fails("SELECT 1/0");
    let (_, metrics) = server.http_get("/metrics");
    for line in
        ["lakeward_statements_total{class=\"SELECT\",sqlstate=\"00000\"}", "sqlstate=\"22012\"", "lakeward_sessions"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(server.http_get("/nothing").0, 404);
}

#[test]
fn the_demo_writes_credentials_for_its_owner_only() {
    let file = demo().server.data().join("demo-credentials.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for role in ["analyst", "researcher", "privacy_officer", "admin"] {
        let url = demo().credential(role, "pg_url");
        let ending =
            format!("/lakeward?sslmode=verify-full&sslrootcert={}", demo().ca().canonicalize().unwrap().display());
        assert!(url.ends_with(&ending), "{url}");
        assert!(!url.contains(&demo().credential(role, "password")), "{url}");
    }
}
