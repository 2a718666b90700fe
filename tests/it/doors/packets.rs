//! Packets before login, and the plaintext that must not slip into the encrypted conversation.

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{PATIENCE, SSL_REQUEST, asked, field, tls_connector};
use crate::harness::{block_on, demo};

/// All that the server says to these bytes before it closes the connection.
async fn said_to(bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", demo().server.port("pg"))).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    // A reset after the last byte is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the connection is closed");
    said
}

fn startup(version: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + parameters.len()).unwrap().to_be_bytes();
    [&length[..], &version, parameters].concat()
}

#[test]
fn garbage_instead_of_a_startup_packet_is_refused() {
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "08P01"),
        ("a length of nothing", vec![0; 8], "08P01"),
        ("a length over the limit", vec![0, 1, 0, 0, 0, 3, 0, 0], "08P01"),
        ("a negative length", vec![0xff; 8], "08P01"),
        ("a version that is none", startup([0, 9, 0, 0], b"user\0a\0\0"), "0A000"),
        ("version 2", startup([0, 2, 0, 0], b"user\0a\0\0"), "0A000"),
        ("parameters without an end", startup([0, 3, 0, 0], b"user\0a"), "08P01"),
        ("plaintext", startup([0, 3, 0, 0], b"user\0analyst\0\0"), "28000"),
    ];
    block_on(async {
        for (what, bytes, sqlstate) in cases {
            let said = said_to(&bytes).await;
            assert_eq!(said.first(), Some(&b'E'), "{what}: {said:?}");
            assert_eq!(
                (field(&said[5..], b'S').as_str(), field(&said[5..], b'C').as_str()),
                ("FATAL", sqlstate),
                "{what}"
            );
        }
        for (what, bytes) in
            [("nothing", vec![]), ("half a length", vec![0, 0]), ("half a packet", vec![0, 0, 0, 80, 0, 3])]
        {
            assert!(said_to(&bytes).await.is_empty(), "{what}");
        }
    });
    assert_eq!(demo().psql("analyst").rows("SELECT 1"), "1");
}

#[test]
fn plaintext_behind_a_request_for_encryption_is_not_taken_into_it() {
    block_on(async {
        let injected = startup([0, 3, 0, 0], b"user\0mallory\0database\0lakeward\0\0");
        let demo = demo();
        let stream = asked(demo.server.port("pg"), &injected).await;
        let name = ServerName::try_from("localhost").unwrap();
        let shaken = tokio::time::timeout(PATIENCE, tls_connector(&demo.ca()).connect(name, stream)).await.unwrap();
        assert!(shaken.is_err(), "the handshake must fail on the injected bytes");
        // A second request is no way around it.
        let said = said_to(&[SSL_REQUEST, SSL_REQUEST].concat()).await;
        assert_eq!(said.first(), Some(&b'S'));
        assert!(!said[1..].contains(&b'R'), "no authentication is offered: {said:?}");
    });
    assert_eq!(demo().psql("analyst").rows("SELECT 1"), "1");
}

#[test]
fn direct_tls_without_the_protocols_name_is_refused() {
    block_on(async {
        let demo = demo();
        let stream = TcpStream::connect(("127.0.0.1", demo.server.port("pg"))).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        if let Ok(mut stream) = tls_connector(&demo.ca()).connect(name, stream).await {
            let _ = stream.write_all(&startup([0, 3, 0, 0], b"user\0analyst\0\0")).await;
            let mut said = Vec::new();
            let _ =
                tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the connection is closed");
            assert!(said.is_empty(), "{said:?}");
        }
    });
}
