//! Start-up, signals and shutdown: what is checked before anything is written, and what is left behind.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Psql, Server, binary, demo, init, password_file};

fn lakeward(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_remove("LAKEWARD_PASSWORD").output().expect("the binary runs")
}

/// Exit code 2 and one line; answers it.
#[track_caller]
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(output.stdout.is_empty());
    said
}

/// All files below a directory, with their lengths. What goes away meanwhile, as a demo that is loading renames its files,
/// is not there.
fn files(directory: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(files(&path)),
            Ok(metadata) => drop(found.insert((path, metadata.len()))),
            Err(_) => {}
        }
    }
    found
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let before = files(&data);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (door, [pg, flight, http]) in
        [("pg", [&address[..], free, free]), ("flight", [free, &address, free]), ("http", [free, free, &address])]
    {
        let addresses = ["--pg", pg, "--flight", flight, "--http", http];
        let arguments = [&["serve", "--data-dir", data.to_str().unwrap()], &addresses[..]].concat();
        let said = refused(&lakeward(&arguments));
        assert_eq!(said, format!("lakeward: cannot listen on {address} for {door}: address in use"));
        assert_eq!(files(&data), before, "{door}");

        let nowhere = directory.path().join("demo");
        let arguments = [&["demo", "--data-dir", nowhere.to_str().unwrap()], &addresses[..]].concat();
        assert!(refused(&lakeward(&arguments)).contains("cannot listen on"));
        assert!(!nowhere.exists(), "{door}");
    }
    drop(taken);
    let server = Server::serve(&data);
    assert_eq!(Psql::admin(&server, "admin", "secret").rows("SELECT 1"), "1");
}

#[test]
fn a_second_server_on_a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let _first = Server::serve(&data);
    let path = data.to_str().unwrap();
    let free = ["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let second = lakeward(&[&["serve", "--data-dir", path], &free[..]].concat());
    assert!(refused(&second).contains("another lakeward serves this directory"));
}

/// A process that does not outlive its test.
struct Doomed(Child);

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A demo whose loading takes long enough to be interrupted.
fn loading(data: &Path) -> Doomed {
    let mut command = Command::new(binary());
    command.args(["demo", "--patients", "200000", "--data-dir"]).arg(data);
    command.args(["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut child = Doomed(child);
    let mut pipe = child.0.stderr.take().unwrap();
    let mut said = String::new();
    let mut chunk = [0; 256];
    // Rows are being written: some tables have files.
    while !said.contains("synthetic patients") {
        let read = pipe.read(&mut chunk).unwrap();
        assert!(read > 0, "the demo ended: {said}");
        said.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    while !files(data).iter().any(|(path, _)| path.extension().is_some_and(|extension| extension == "parquet")) {
        assert!(Instant::now() < deadline, "nothing is written: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    child
}

fn interrupted_demo_is_made_afresh(signal: Signal) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("demo");
    let mut child = loading(&data);
    let started = Instant::now();
    kill_process(Pid::from_child(&child.0), signal).unwrap();
    let status = child.0.wait().unwrap();
    assert!(started.elapsed() < Duration::from_secs(6), "ended after {:?}", started.elapsed());
    assert_eq!(status.code(), if signal == Signal::KILL { None } else { Some(1) });
    std::fs::write(data.join("notes.txt"), "somebody's own").unwrap();
    let path = data.to_str().unwrap();
    assert!(refused(&lakeward(&["serve", "--data-dir", path])).contains("a demo that was not finished"));

    let server = Server::start(&data, &["demo", "--patients", "300"], Duration::from_secs(300));
    let credentials = std::fs::read_to_string(data.join("demo-credentials.json")).unwrap();
    let credentials: Vec<serde_json::Value> = serde_json::from_str(&credentials).unwrap();
    let admin = credentials.iter().find(|entry| entry["role"] == "admin").unwrap();
    let password = admin["password"].as_str().unwrap().to_owned();
    let admin = Psql::admin(&server, "admin", &password);
    assert_eq!(admin.rows("SELECT count(*), count(DISTINCT patient_id) FROM patients"), "300|300");
    assert_eq!(admin.rows("SELECT count(*) FROM encounters"), "1200");
    assert_eq!(admin.rows("SELECT count(*) FROM vitals"), "12000");
    assert_eq!(admin.rows("SELECT count(*) FROM hospitals"), "10");
    assert_eq!(std::fs::read_to_string(data.join("notes.txt")).unwrap(), "somebody's own");
    assert!(!data.join("demo-unfinished").exists());
    assert!(server.terminate().success());
    let again = Server::start(&data, &["demo"], Duration::from_secs(60));
    let admin = Psql::admin(&again, "admin", &password);
    assert_eq!(admin.rows("SELECT count(*) FROM patients"), "300", "served as it is, under the same passwords");
    assert!(!again.stderr().contains("afresh"), "{}", again.stderr());
}

#[test]
fn a_demo_stopped_by_sigterm_while_loading_is_made_afresh() {
    interrupted_demo_is_made_afresh(Signal::TERM);
}

#[test]
fn a_demo_killed_while_loading_is_made_afresh() {
    interrupted_demo_is_made_afresh(Signal::KILL);
}

#[test]
fn a_demo_leaves_directories_of_others_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let free = ["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let arguments = [&["demo", "--data-dir", path], &free[..]].concat();
    std::fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let before = files(directory.path());
    assert!(refused(&lakeward(&arguments)).contains("not empty"));
    assert_eq!(files(directory.path()), before);

    let data = directory.path().join("data");
    init(&data, "secret");
    let before = files(&data);
    let arguments = [&["demo", "--data-dir", data.to_str().unwrap()], &free[..]].concat();
    assert!(refused(&lakeward(&arguments)).contains("not a demo directory"));
    assert_eq!(files(&data), before);
}

#[test]
fn names_that_cannot_be_a_superusers_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = password_file(directory.path(), "secret");
    let long = "x".repeat(64);
    for name in ["", "pg_x", "public", "none", "auditor", "two\nlines", &long] {
        let arguments = ["init", "--data-dir", data.to_str().unwrap(), "--password-file", file.to_str().unwrap()];
        let said = refused(&lakeward(&[&arguments[..], &["--superuser", name]].concat()));
        assert!(said.starts_with("lakeward: --superuser: "), "{name:?}: {said}");
        assert!(!data.exists(), "{name:?}");
    }
    // One that needs quotes in SQL is none of them.
    let arguments = ["init", "--data-dir", data.to_str().unwrap(), "--password-file", file.to_str().unwrap()];
    assert!(lakeward(&[&arguments[..], &["--superuser", "Dr. Wälti"]].concat()).status.success());
    let server = Server::serve(&data);
    let url = format!(
        "host=localhost port={} dbname=lakeward user='Dr. Wälti' sslmode=verify-full sslrootcert={}",
        server.port("pg"),
        data.join("ca.pem").display()
    );
    assert_eq!(Psql::new(&url, "secret").rows("SELECT current_user"), "Dr. Wälti");
}

#[test]
fn init_refuses_what_it_cannot_use_and_leaves_it_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = password_file(directory.path(), "secret");
    let (file, empty) = (file.to_str().unwrap(), directory.path().join("empty"));
    std::fs::write(&empty, "\n").unwrap();
    let try_init = |data: &Path, password: &str| {
        lakeward(&["init", "--superuser", "admin", "--data-dir", data.to_str().unwrap(), "--password-file", password])
    };
    let occupied = directory.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("notes.txt"), "mine").unwrap();
    assert!(refused(&try_init(&occupied, file)).contains("not empty"));
    assert_eq!(files(&occupied), BTreeSet::from([(occupied.join("notes.txt"), 4)]));

    let data = directory.path().join("data");
    assert!(refused(&try_init(&data, empty.to_str().unwrap())).contains("the password is empty"));
    assert!(refused(&try_init(&data, "/nonexistent/password")).contains("cannot read"));
    assert!(!data.exists());
    // A file where a directory should be cannot be written below, whoever asks.
    for data in [Path::new("/proc/lakeward"), &occupied.join("notes.txt/data")] {
        assert!(refused(&try_init(data, file)).contains(data.to_str().unwrap()));
    }
    assert_eq!(files(&occupied), BTreeSet::from([(occupied.join("notes.txt"), 4)]));
}

#[test]
fn a_second_signal_cancels_what_still_runs() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    for first in [Signal::INT, Signal::TERM] {
        let server = Server::serve(&data);
        let admin = Psql::admin(&server, "admin", "secret");
        let slow = std::thread::spawn(move || {
            admin.run("SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b")
        });
        std::thread::sleep(Duration::from_millis(1500));
        kill_process(server.process(), first).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(server.http_get("/readyz"), (503, "not ready: draining\n".to_owned()));
        let started = Instant::now();
        assert!(server.terminate().success(), "{}", server.stderr());
        assert!(started.elapsed() < Duration::from_secs(6), "drained for {:?}", started.elapsed());
        assert!(!slow.join().unwrap().ok);
        assert_eq!(crate::harness::verify(&data).0, 0);
    }
}

#[test]
fn readiness_may_be_asked_for_all_the_time() {
    let server = &demo().server;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(server.http_get("/readyz"), (200, "ready\n".to_owned()))));
        }
    });
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
