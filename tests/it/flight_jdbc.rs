//! The Flight SQL JDBC driver, as Java programs and BI tools use it. `scripts/setup` fetches it.

use std::path::PathBuf;

use crate::harness::{Lab, limited, named};

const DEEDS: &[&str] = &[
    "unverified: refused",
    "inserted 2",
    "updated 1",
    "Lakeward \" false true",
    "catalogs [lakeward]",
    "schemas [public]",
    "types [SYSTEM TABLE, TABLE, VIEW]",
    "tables [jdbc]",
    "column id bigint -5 19 0",
    "column name text 12 65536 0",
    "column price numeric 3 10 2",
    "column day date 91 10 0",
    "keys [][][]",
    "described id -5 name 12 price 3 parameters 1",
    "types true 1 2 3 1.5 2.5 12.30 text 2026-02-03 true true 2 [1,2] null true",
    // The driver sums up what a batch has changed.
    "batch of 1",
    "found [two, row 10, row 12]",
    "found [row 12]",
    "error true",
    "goes on 42",
    "many 1000000 500000500000",
    "cancelled true",
    "within 20 s true",
    "and goes on 1",
    "wrong password: refused",
];

/// Runs the deeds; answers what they print.
fn deeds(lab: &Lab) -> String {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/flight_jdbc/Deeds.java");
    let output = limited("java")
        .args(["--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx512m", "-cp"])
        .arg(named("LAKEWARD_TEST_FLIGHT_JDBC"))
        .arg(source)
        .args([lab.server.port("flight").to_string().as_str(), "admin", "secret"])
        .arg(lab.server.data().join("ca.pem"))
        .output()
        .expect("timeout runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[test]
fn java_programs_do_what_they_do() {
    let lab = Lab::open("CREATE TABLE unrelated (a int)");
    let said = deeds(&lab);
    assert_eq!(said.lines().collect::<Vec<_>>(), DEEDS);
    let admin = lab.psql("admin");
    assert_eq!(admin.rows("DESCRIBE HISTORY jdbc").lines().count(), 4, "made, filled, updated, a batch");
    let cancelled =
        admin.rows("SELECT DISTINCT phase FROM system.audit WHERE sqlstate = '57014' AND statement_class = 'SELECT'");
    assert_eq!(cancelled, "END");
}
