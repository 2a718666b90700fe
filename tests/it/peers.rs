//! The clients that people have, each with one list of deeds: connect with TLS verified, list and describe tables, every
//! type, parameters of every type, a million rows through a cursor, cancel, an error and go on, a notice.
//!
//! The scripts are in `tests/peers`; each says which deed failed.

use std::sync::OnceLock;

use crate::harness::{Client, Demo, deeds};

/// Forty vital signs each: a million.
const PATIENTS: u64 = 25_000;

/// One row of everything, one of extremes, one of NULLs.
const TYPES: &str = r#"
CREATE TABLE peer_types (id integer, b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
    n numeric(12,3), t text, y bytea, d date, ts timestamp, tz timestamptz);
INSERT INTO peer_types VALUES
    (1, true, 2, 4, 8, 1.5, 0.1, 12345.678, 'Zürich ''"\', '\x00ff10'::bytea, DATE '2024-02-29',
     TIMESTAMP '2024-02-29 12:34:56.789012', TIMESTAMPTZ '2024-02-29 12:34:56.789012+02'),
    (2, false, -32768, -2147483648, -9223372036854775808, -0.25, 1e300, -999999999.999, '', '\x'::bytea, DATE '1900-01-01',
     TIMESTAMP '1969-12-31 23:59:59.999999', TIMESTAMPTZ '1969-12-31 23:59:59.999999+00');
INSERT INTO peer_types (id) VALUES (3)"#;

/// The server that all of them talk to.
fn server() -> &'static Demo {
    static SERVER: OnceLock<Demo> = OnceLock::new();
    SERVER.get_or_init(|| {
        let demo = Demo::start(PATIENTS);
        demo.psql("admin").rows(TYPES);
        demo
    })
}

fn run(client: &Client<'_>) {
    let demo = server();
    deeds(
        client,
        &[
            ("PGHOST", "localhost".to_owned()),
            ("PGPORT", demo.server.port("pg").to_string()),
            ("PGUSER", "admin".to_owned()),
            ("PGPASSWORD", demo.credential("admin", "password")),
            ("PGDATABASE", "lakeward".to_owned()),
            ("PGSSLMODE", "verify-full".to_owned()),
            ("PGSSLROOTCERT", demo.ca().display().to_string()),
            ("LAKEWARD_FLIGHT", demo.credential("admin", "flight_url")),
        ],
    );
}

#[test]
fn psql() {
    run(&Client::Python("psql_client.py"));
}

#[test]
fn psycopg() {
    run(&Client::Python("psycopg_client.py"));
}

#[test]
fn asyncpg() {
    run(&Client::Python("asyncpg_client.py"));
}

#[test]
fn sqlalchemy_and_pandas() {
    run(&Client::Python("sqlalchemy_client.py"));
}

#[test]
fn adbc_postgresql() {
    run(&Client::Python("adbc_postgresql_client.py"));
}

#[test]
fn adbc_flight_sql() {
    run(&Client::Python("adbc_flightsql_client.py"));
}

#[test]
fn node_pg() {
    run(&Client::Node("node_pg_client.js"));
}

#[test]
fn pgjdbc() {
    run(&Client::Java("PgjdbcClient.java"));
}
