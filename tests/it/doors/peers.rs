//! The same through the drivers that people use: ADBC Flight SQL and psycopg.

use crate::harness::{Server, init, python};

#[test]
fn adbc_runs_statements_whether_or_not_their_rows_are_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let server = Server::serve(&data);
    let url = format!("grpc+tls://localhost:{}", server.port("flight"));
    let said = python("doors.py", &["adbc", &url, "admin", "secret", data.join("ca.pem").to_str().unwrap()]);
    let expected = [
        "rowcount 2",
        "rows of SET []",
        "[('Europe/Zurich',)]",
        "many 2",
        "[(2, 'y'), (3, 'z'), (4, None), (5, 'v')]",
        "update 1",
        "timestamp[us, tz=UTC]",
        "INVALID_ARGUMENT True",
        "lakeward ['adbc']",
        "['SYSTEM TABLE', 'TABLE', 'VIEW']",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn psycopg_gets_oids_and_the_same_decimals_in_both_forms() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    init(&data, "secret");
    let server = Server::serve(&data);
    let said = python("doors.py", &["psycopg", &server.url("admin"), "secret"]);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["decimals compared", "[26, 26] (1259, 11)", "(1259, 'pg_class')", "[1184]", "23"]
    );
}
