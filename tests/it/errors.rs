//! Bad input: each gets its SQLSTATE, a position where there is one, and the session goes on.

use std::path::Path;

use crate::harness::{Psql, Server, demo, init};

fn code(role: &str, sql: &str) -> String {
    demo().psql(role).fails(sql).0
}

#[test]
fn sqlstates_are_postgresqls() {
    let cases = [
        ("SELEC 1", "42601"),
        ("SELECT FROM WHERE", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT * FROM nowhere.patients", "42P01"),
        ("SELECT nothing FROM patients", "42703"),
        ("SELECT frobnicate(1)", "42883"),
        ("SELECT 1/0", "22012"),
        ("SELECT 'x'::int", "22P02"),
        ("SELECT age, count(*) FROM patients", "42803"),
        ("SELECT * FROM patients VERSION AS OF 9999", "22023"),
        ("SELECT * FROM patients VERSION AS OF 'x'", "42601"),
        ("SET no_such_setting = 1", "42704"),
        ("SHOW no_such_setting", "42704"),
        ("SET server_version = '9'", "55P02"),
        ("CREATE TABLE t (a uuid)", "0A000"),
        ("SAVEPOINT s", "25P01"),
        ("LISTEN x", "0A000"),
        ("CREATE ROLE x", "42501"),
        ("DROP TABLE patients", "42501"),
        ("INSERT INTO patients (patient_id) VALUES (1)", "42501"),
        ("CREATE TABLE mine (a int)", "42501"),
        ("GRANT SELECT ON system.audit TO researcher", "42501"),
        ("ALTER TABLE patients DISABLE ROW LEVEL SECURITY", "42501"),
        ("SET ROLE admin", "42501"),
    ];
    for (sql, expected) in cases {
        assert_eq!(code("analyst", sql), expected, "{sql}");
    }
}

#[test]
fn errors_say_where() {
    let (_, text) = demo().psql("analyst").fails("SELECT nothing FROM patients");
    assert!(text.contains("LINE 1: SELECT nothing FROM patients"), "{text}");
    let (_, text) = demo().psql("analyst").fails("SELECT *\nFROM nowhere");
    assert!(text.contains("LINE 2: FROM nowhere"), "{text}");
    let (_, text) = demo().psql("analyst").fails("SELECT 1 FORM patients WHERE");
    assert!(text.contains("LINE 1:"), "{text}");
}

#[test]
fn strangers_are_told_nothing() {
    let demo = demo();
    let url = demo.credential("analyst", "pg_url");
    let wrong = Psql::new(&url, "wrong").fails("SELECT 1").1;
    assert!(wrong.contains("password authentication failed for user \"analyst\""), "{wrong}");
    let nobody = Psql::new(&url.replace("analyst@", "nobody@"), "wrong").fails("SELECT 1").1;
    assert!(nobody.contains("password authentication failed for user \"nobody\""), "{nobody}");
    let database =
        Psql::new(&url.replace("/lakeward?", "/other?"), &demo.credential("analyst", "password")).fails("SELECT 1").1;
    assert!(database.contains("database \"other\" does not exist"), "{database}");
    let refused = demo.psql("privacy_officer").rows(
        "SELECT count(*) FROM system.audit WHERE statement_class = 'CONNECT' AND sqlstate = '28P01' AND user_name = 'nobody'",
    );
    assert_ne!(refused, "0", "a refused login is recorded");
}

#[test]
fn plaintext_is_refused_where_tls_is_configured() {
    let url = demo().credential("analyst", "pg_url").replace("sslmode=verify-full", "sslmode=disable");
    let answer = Psql::new(&url, &demo().credential("analyst", "password")).run("SELECT 1");
    assert!(!answer.ok && answer.err.contains("sslmode=require"), "{}", answer.err);
}

#[test]
fn a_statement_times_out_and_the_session_goes_on() {
    let psql = demo().psql("analyst");
    let slow = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b";
    let (code, text) = psql.fails(&format!("SET statement_timeout = '300ms'; {slow}"));
    assert_eq!(code, "57014", "{text}");
    assert_eq!(psql.rows("SELECT 1"), "1");
}

fn admin(directory: &Path) -> (Server, Psql) {
    init(directory, "secret");
    let server = Server::serve(directory);
    let admin = Psql::admin(&server, "admin", "secret");
    (server, admin)
}

#[test]
fn a_damaged_table_is_one_clear_error_and_the_server_lives_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (server, admin) = admin(&data);
    admin.rows(
        "CREATE TABLE good (a int); INSERT INTO good VALUES (1); CREATE TABLE bad (a int); INSERT INTO bad VALUES (1);",
    );
    let location = newest_log(&data);
    server.terminate();
    for entry in std::fs::read_dir(&location).unwrap() {
        std::fs::write(entry.unwrap().path(), b"{ this is not a Delta log").unwrap();
    }
    let server = Server::serve(&data);
    let admin = Psql::admin(&server, "admin", "secret");
    let (code, text) = admin.fails("SELECT * FROM bad");
    assert_eq!(code, "XX001", "{text}");
    assert!(!text.contains(&data.display().to_string()), "{text}");
    std::fs::remove_dir_all(location.parent().unwrap()).unwrap();
    assert_eq!(admin.fails("SELECT * FROM bad").0, "58030");
    assert_eq!(admin.rows("SELECT * FROM good"), "1");
}

/// The `_delta_log` directory that was made last.
fn newest_log(data: &Path) -> std::path::PathBuf {
    let logs = std::fs::read_dir(data.join("tables")).unwrap().map(|entry| entry.unwrap().path().join("_delta_log"));
    logs.max_by_key(|log| std::fs::metadata(log.join("00000000000000000000.json")).unwrap().modified().unwrap())
        .unwrap()
}

#[test]
fn a_torn_audit_tail_is_repaired_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (server, psql) = admin(&data);
    psql.rows("SELECT 1");
    server.kill();
    let segment = newest_segment(&data);
    let length = std::fs::metadata(&segment).unwrap().len();
    append_garbage(&segment);
    let server = Server::serve(&data);
    let psql = Psql::admin(&server, "admin", "secret");
    assert_ne!(psql.rows("SELECT count(*) FROM system.audit WHERE phase = 'RECOVERED'"), "0", "{length}");
    server.terminate();
    let verified = crate::harness::verify(&data);
    assert_eq!(verified.0, 0, "{}", verified.1);
}

fn newest_segment(data: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(data.join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap()).expect("the audit has a segment")
}

fn append_garbage(path: &Path) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&[0x5a; 37]).unwrap();
}

/// A small file system in memory, unmounted when dropped. Mounting takes root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let status = mount_command("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).status();
        assert!(status.unwrap().success(), "mounting a file system takes root, or sudo without a password");
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = mount_command("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount_command(program: &str) -> std::process::Command {
    if rustix::process::getuid().is_root() {
        return std::process::Command::new(program);
    }
    let mut command = std::process::Command::new("sudo");
    command.args(["-n", program]);
    command
}

#[test]
fn a_full_disk_refuses_queries_and_recovers() {
    let disk = SmallDisk::mount(48);
    let data = disk.0.path().join("data");
    let (server, psql) = admin(&data);
    psql.rows("CREATE TABLE t (a int); INSERT INTO t VALUES (1);");
    let filler = disk.0.path().join("filler");
    fill(&filler);
    let (code, text) = psql.fails("SELECT * FROM t");
    assert_eq!(code, "58030", "{text}");
    assert_eq!(server.http_get("/readyz").0, 503);
    assert_eq!(server.http_get("/healthz").0, 200);
    std::fs::remove_file(&filler).unwrap();
    let recovered = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        psql.run("SELECT * FROM t").out == "1"
    });
    assert!(recovered, "the server recovers without a restart: {}", server.stderr());
    assert_eq!(server.http_get("/readyz").0, 200);
    server.terminate();
    let (code, text) = crate::harness::verify(&data);
    assert_eq!(code, 0, "{text}");
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let block = [0; 65_536];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
}
