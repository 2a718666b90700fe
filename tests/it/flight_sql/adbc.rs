//! The same through the driver that people use: ADBC Flight SQL.

use crate::harness::{Lab, python};

#[test]
fn adbc_binds_many_rows_loads_tables_and_reads_metadata() {
    let lab = Lab::open("CREATE TABLE unrelated (a int)");
    let url = format!("grpc+tls://localhost:{}", lab.server.port("flight"));
    let ca = lab.server.data().join("ca.pem");
    let said = python("flight_adbc.py", &[&url, "admin", "secret", ca.to_str().unwrap()]);
    let expected = [
        "executemany 5000",
        "updated 2",
        "[(0, 'row 0'), (1, 'one'), (2, None)]",
        "unbound INVALID_ARGUMENT",
        "goes on (5000,)",
        "create 3",
        "append 3",
        "create_append 3",
        "replace 3",
        "exists INVALID_ARGUMENT",
        "[(1, 'x'), (2, None), (None, 'z')]",
        "large 1000000",
        "(1000000, Decimal('499999500000'))",
        "refused in the middle INVALID_ARGUMENT",
        "loaded TABLE [('a', 1), ('c', 2)] []",
        "['a', 'c']",
        "['SYSTEM TABLE', 'TABLE', 'VIEW']",
        "Lakeward",
        "lakeward public",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    // However many rows: one statement, one commit.
    let admin = lab.psql("admin");
    assert_eq!(admin.rows("DESCRIBE HISTORY many").lines().count(), 3, "made, filled, updated");
    assert_eq!(admin.rows("DESCRIBE HISTORY large").lines().count(), 2, "made, filled");
}
