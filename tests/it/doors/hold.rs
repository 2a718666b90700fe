//! Clients that take a connection and do nothing with it, or read too slowly: they are dropped in time, and cost the
//! server no memory to speak of.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_flight::Ticket;
use futures::StreamExt;

use super::raw::{Raw, SSL_REQUEST, asked, field, message, tls_connector};
use crate::harness::{Server, flight, init};

/// What the servers here give a client to log in.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A server with settings of its own.
struct Own {
    server: Server,
    _directory: tempfile::TempDir,
}

impl Own {
    fn with(change: impl Fn(String) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        init(&data, "secret");
        let config = data.join("lakeward.toml");
        std::fs::write(&config, change(std::fs::read_to_string(&config).unwrap())).unwrap();
        Self { server: Server::serve(&data), _directory: directory }
    }

    fn impatient() -> Self {
        Self::with(|text| text.replace("authentication_timeout_ms = 60000", "authentication_timeout_ms = 1000"))
    }

    fn ca(&self) -> std::path::PathBuf {
        self.server.data().join("ca.pem")
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// Sends bytes and waits to be dropped; answers after how long.
fn dropped_after(port: u16, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let started = Instant::now();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "not dropped"),
    }
    started.elapsed()
}

fn assert_in_time(what: &str, after: Duration) {
    // A little earlier, since the server's clock starts when it accepts; later, since it says farewell.
    assert!(after > TIMEOUT / 2 && after < TIMEOUT * 6, "{what}: dropped after {after:?}");
}

/// The beginning of a TLS handshake.
const HALF_A_HELLO: [u8; 8] = [0x16, 3, 1, 2, 0, 1, 0, 1];

#[test]
fn clients_that_do_not_log_in_are_dropped() {
    let own = Own::impatient();
    let (pg, flight) = (own.server.port("pg"), own.server.port("flight"));
    let half_handshake = [&SSL_REQUEST[..], &HALF_A_HELLO].concat();
    let cases: [(&str, u16, &[u8]); 7] = [
        ("pg: silence", pg, b""),
        ("pg: half a packet", pg, &[0, 0, 0, 80, 0, 3]),
        ("pg: encryption asked for, then silence", pg, &SSL_REQUEST),
        ("pg: half a handshake", pg, &half_handshake),
        ("pg: half a direct handshake", pg, &HALF_A_HELLO),
        ("flight: silence", flight, b""),
        ("flight: half a handshake", flight, &HALF_A_HELLO),
    ];
    std::thread::scope(|scope| {
        for (what, port, bytes) in cases {
            scope.spawn(move || assert_in_time(what, dropped_after(port, bytes)));
        }
    });
    block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        // Encrypted, and then: silence, half a startup packet, a user who does not go on.
        let user = b"\0\0\0\x14\0\x03\0\0user\0admin\0\0";
        for (what, sent) in [("silence", &b""[..]), ("half a startup packet", &user[..9]), ("half a login", user)] {
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut stream = tls_connector(&own.ca()).connect(name, asked(pg, b"").await).await.unwrap();
            let started = Instant::now();
            stream.write_all(sent).await.unwrap();
            stream.flush().await.unwrap();
            let mut said = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said));
            let _ = end.await.expect("dropped");
            assert_in_time(what, started.elapsed());
        }
    });
    let logged_in = block_on(async { Raw::login(pg, &own.ca(), "admin", "secret").await });
    std::thread::sleep(TIMEOUT * 2);
    block_on(async {
        drop(logged_in);
        let mut client = Raw::login(pg, &own.ca(), "admin", "secret").await;
        assert_eq!(client.script(&[message(b'Q', b"SELECT 1\0")]).await, "T D C Z");
    });
}

#[test]
fn flight_connections_on_which_nobody_logs_in_are_dropped_and_others_stay() {
    let own = Own::impatient();
    block_on(async {
        let address = own.server.address("flight");
        let mut client = flight::login(&address, &own.ca(), "admin", "secret").await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", own.server.port("flight"))).await.unwrap();
        let mut silent = tls_connector(&own.ca()).connect(name, stream).await;
        if let Ok(stream) = &mut silent {
            use tokio::io::AsyncReadExt;
            let started = Instant::now();
            let mut said = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said));
            let _ = end.await.expect("dropped");
            assert!(started.elapsed() < TIMEOUT * 6);
        }
        tokio::time::sleep(TIMEOUT * 2).await;
        client.execute("SELECT 1".to_owned(), None).await.expect("who has logged in stays");
    });
}

/// Whether the kernel has a keepalive timer running for connections accepted on a port.
fn has_keepalive(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let connections = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let local = format!("0100007F:{port:04X}");
    let accepted: Vec<_> = connections.filter(|fields| fields[1] == local && fields[3] == "01").collect();
    assert!(!accepted.is_empty(), "no connection on port {port}");
    accepted.iter().all(|fields| fields[5].starts_with("02:"))
}

#[test]
fn connections_are_kept_alive_unless_switched_off() {
    for (own, expected) in [
        (Own::with(|text| text), true),
        (Own::with(|text| text.replace("keepalive_idle_s = 60", "keepalive_idle_s = 0")), false),
    ] {
        for door in ["pg", "flight"] {
            let port = own.server.port(door);
            let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // Accepted, and nothing on its way.
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!(has_keepalive(port), expected, "{door}");
        }
    }
}

/// Memory of a process that is in use, in MB.
fn resident_mb(server: &Server) -> u64 {
    let status = Path::new("/proc").join(server.process().as_raw_nonzero().to_string()).join("status");
    let text = std::fs::read_to_string(status).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// More than any server should hold: 4 GB.
const LARGE: &str = "SELECT a, repeat('x', 1000) FROM generate_series(1, 4000000) t(a)";
/// What a client that does not read may cost.
const MAX_GROWTH_MB: u64 = 150;

fn assert_stays_small(server: &Server, before: u64, growth_mb: u64) {
    let most = (0..12).map(|_| {
        std::thread::sleep(Duration::from_millis(250));
        resident_mb(server)
    });
    let most = most.max().unwrap();
    assert!(most < before + growth_mb, "grew from {before} MB to {most} MB");
}

#[test]
fn slow_readers_do_not_make_the_server_grow() {
    let own = Own::with(|text| text);
    block_on(async {
        let mut warm = Raw::login(own.server.port("pg"), &own.ca(), "admin", "secret").await;
        let few = message(b'Q', b"SELECT count(repeat('x', 1000)) FROM generate_series(1, 100000)\0");
        assert_eq!(warm.script(&[few]).await, "T D C Z");
        let before = resident_mb(&own.server);

        let mut client = Raw::login(own.server.port("pg"), &own.ca(), "admin", "secret").await;
        client.send(&message(b'Q', format!("{LARGE}\0").as_bytes())).await;
        for _ in 0..100 {
            assert!(client.next().await.is_some());
        }
        assert_stays_small(&own.server, before, MAX_GROWTH_MB);
        drop(client);

        let address = own.server.address("flight");
        let mut client = flight::login(&address, &own.ca(), "admin", "secret").await.unwrap();
        let info = client.execute(LARGE.to_owned(), None).await.unwrap();
        let ticket: Ticket = info.endpoint[0].ticket.clone().unwrap();
        let mut rows = client.do_get(ticket).await.unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        assert_stays_small(&own.server, before, MAX_GROWTH_MB);
        drop(rows);
        assert_eq!(warm.script(&[message(b'Q', b"SELECT 1\0")]).await, "T D C Z");
    });
}

/// Each holds a few batches of 8 MB.
const READERS: usize = 30;
/// The pool of 64 MB, and one batch of each while it is made; with three batches a reader it would be 700 MB and more.
const MANY_GROWTH_MB: u64 = 350;

#[test]
fn many_slow_readers_hold_no_more_than_the_memory_pool() {
    let own = Own::with(|text| text.replace("memory_pool_bytes = 2147483648", "memory_pool_bytes = 67108864"));
    block_on(async {
        let (port, ca) = (own.server.port("pg"), own.ca());
        let mut warm = Raw::login(port, &ca, "admin", "secret").await;
        let few = message(b'Q', b"SELECT count(repeat('x', 1000)) FROM generate_series(1, 100000)\0");
        assert_eq!(warm.script(&[few]).await, "T D C Z");
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(Raw::login(port, &ca, "admin", "secret").await);
        }
        let before = resident_mb(&own.server);
        for reader in &mut readers {
            reader.send(&message(b'Q', format!("{LARGE}\0").as_bytes())).await;
        }
        assert_stays_small(&own.server, before, MANY_GROWTH_MB);
        let mut refused = 0;
        for reader in &mut readers {
            while let Some((tag, body)) = reader.next().await {
                match tag {
                    b'T' => {}
                    b'D' => break,
                    b'E' => {
                        assert_eq!(field(&body, b'C'), "53200");
                        refused += 1;
                        break;
                    }
                    other => panic!("unexpected {}", char::from(other)),
                }
            }
        }
        assert!(refused > 0 && refused < READERS, "{refused}");
        drop(readers);
        for _ in 0..40 {
            if warm
                .script(&[message(b'Q', b"SELECT repeat('x', 1000) FROM generate_series(1, 5000)\0")])
                .await
                .ends_with("C Z")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("what they held is not given back");
    });
}
