//! Messages after login: malformed, out of order, about things that are not there. Errors of a message's content leave
//! the connection usable; a connection whose framing is lost ends.

use super::raw::{PATIENCE, Raw, bind, bind_and_execute, message, parse, sync};
use crate::harness::{block_on, demo};

async fn analyst() -> Raw {
    let demo = demo();
    Raw::login(demo.server.port("pg"), &demo.ca(), "analyst", &demo.credential("analyst", "password")).await
}

/// Each script in a session of its own; the server must go on.
fn each(cases: &[(&str, Vec<Vec<u8>>, &str)]) {
    block_on(async {
        for (what, messages, expected) in cases {
            let mut client = analyst().await;
            assert_eq!(client.script(messages).await, *expected, "{what}");
            if !expected.ends_with('.') {
                let again = client.script(&[parse("", "SELECT 1"), bind_and_execute(""), sync()]).await;
                assert_eq!(again, "1 2 D C Z", "{what}: the session goes on");
            }
        }
        assert_eq!(analyst().await.script(&[message(b'Q', b"SELECT 1\0")]).await, "T D C Z");
    });
}

#[test]
fn lost_framing_ends_the_connection() {
    each(&[
        ("a length over the limit", vec![b"Q\x7f\xff\xff\xff".to_vec()], "EFATAL:08P01 ."),
        ("a negative length", vec![b"Q\xff\xff\xff\xff".to_vec()], "EFATAL:08P01 ."),
        ("a length that does not count itself", vec![b"Q\0\0\0\x03".to_vec()], "EFATAL:08P01 ."),
        ("an unknown type", vec![message(b'z', b"")], "EFATAL:08P01 ."),
        ("a password out of place", vec![message(b'p', b"secret\0")], "EFATAL:08P01 ."),
        ("HTTP", vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()], "EFATAL:08P01 ."),
        ("goodbye", vec![message(b'X', b"")], "."),
    ]);
}

#[test]
fn malformed_contents_fail_the_message_only() {
    let many_types = [b"\0SELECT 1\0".to_vec(), 4464u16.to_be_bytes().to_vec(), vec![0; 4 * 70_000]].concat();
    let missing_types = [b"\0SELECT 1\0".to_vec(), u16::MAX.to_be_bytes().to_vec()].concat();
    each(&[
        ("a query without its end", vec![message(b'Q', b"SELECT 1")], "EERROR:08P01 Z"),
        ("bytes after a query", vec![message(b'Q', b"SELECT 1\0x")], "EERROR:08P01 Z"),
        ("text that is not UTF-8", vec![message(b'Q', b"SELECT '\xff'\0")], "EERROR:22021 Z"),
        ("more parameter types than can be counted", vec![message(b'P', &many_types), sync()], "EERROR:08P01 Z"),
        ("fewer parameter types than counted", vec![message(b'P', &missing_types), sync()], "EERROR:08P01 Z"),
        ("Describe of nothing that there is", vec![message(b'D', b"xname\0"), sync()], "EERROR:08P01 Z"),
        ("Close of nothing that there is", vec![message(b'C', b"xname\0"), sync()], "EERROR:08P01 Z"),
        ("an empty Execute", vec![message(b'E', b""), sync()], "EERROR:08P01 Z"),
        ("bytes after Sync", vec![message(b'S', b"x"), sync()], "EERROR:08P01 Z"),
        ("a function call", vec![message(b'F', &[0; 12])], "EERROR:0A000 Z"),
    ]);
}

#[test]
fn what_is_not_there_has_its_sqlstate() {
    each(&[
        ("Execute of an unknown portal", vec![message(b'E', b"nothing\0\0\0\0\0"), sync()], "EERROR:34000 Z"),
        ("Describe of an unknown portal", vec![message(b'D', b"Pnothing\0"), sync()], "EERROR:34000 Z"),
        ("Describe of an unknown statement", vec![message(b'D', b"Snothing\0"), sync()], "EERROR:26000 Z"),
        ("Bind of an unknown statement", vec![bind("nothing", &[0; 6]), sync()], "EERROR:26000 Z"),
        ("Close of an unknown statement", vec![message(b'C', b"Snothing\0"), sync()], "3 Z"),
        ("Close of an unknown portal", vec![message(b'C', b"Pnothing\0"), sync()], "3 Z"),
        ("a name that is taken", vec![parse("s", "SELECT 1"), parse("s", "SELECT 2"), sync()], "1 EERROR:42P05 Z"),
        (
            "a portal run twice",
            vec![parse("", "SELECT 1"), bind_and_execute(""), message(b'E', &[0; 5]), sync()],
            "1 2 D C C Z",
        ),
    ]);
}

#[test]
fn bind_is_checked_against_its_statement() {
    let one = || parse("", "SELECT $1::int");
    each(&[
        ("too few values", vec![one(), bind("", &[0; 6]), sync()], "1 EERROR:08P01 Z"),
        ("too many values", vec![one(), bind("", b"\0\0\0\x02\0\0\0\x011\0\0\0\x012\0\0"), sync()], "1 EERROR:08P01 Z"),
        (
            "more formats than values",
            vec![one(), bind("", b"\0\x02\0\0\0\0\0\x01\0\0\0\x011\0\0"), sync()],
            "1 EERROR:08P01 Z",
        ),
        ("an unknown format", vec![one(), bind("", b"\0\x01\0\x07\0\x01\0\0\0\x011\0\0"), sync()], "1 EERROR:22023 Z"),
        (
            "an unknown result format",
            vec![one(), bind("", b"\0\0\0\x01\0\0\0\x011\0\x01\0\x07"), sync()],
            "1 EERROR:22023 Z",
        ),
        (
            "more result formats than columns",
            vec![one(), bind("", b"\0\0\0\x01\0\0\0\x011\0\x02\0\0\0\0"), sync()],
            "1 EERROR:08P01 Z",
        ),
        ("a length beyond the message", vec![one(), bind("", b"\0\0\0\x01\0\0\x7f\xff1"), sync()], "1 EERROR:08P01 Z"),
        ("text that is no number", vec![one(), bind("", b"\0\0\0\x01\0\0\0\x01x\0\0"), sync()], "1 EERROR:22P02 Z"),
        (
            "binary of a wrong length",
            vec![one(), bind("", b"\0\x01\0\x01\0\x01\0\0\0\x011\0\0"), sync()],
            "1 EERROR:22P03 Z",
        ),
    ]);
}

#[test]
fn copy_messages_out_of_place_are_ignored() {
    let copy = [message(b'd', b"1\t2\n"), message(b'c', b""), message(b'f', b"no\0")].concat();
    each(&[
        ("alone", vec![copy.clone(), sync()], "Z"),
        ("before a query", vec![copy.clone(), message(b'Q', b"SELECT 1\0")], "T D C Z"),
        ("in a pipeline", vec![parse("", "SELECT 1"), copy, bind_and_execute(""), sync()], "1 2 D C Z"),
    ]);
}

#[test]
fn after_an_error_everything_is_skipped_until_sync() {
    each(&[
        (
            "a pipeline",
            vec![
                parse("", "SELEC"),
                bind_and_execute(""),
                message(b'Q', b"SELECT 1\0"),
                message(b'D', b"Sx\0"),
                sync(),
            ],
            "EERROR:42601 Z",
        ),
        (
            "an error in rows",
            vec![parse("", "SELECT 1/0"), bind_and_execute(""), bind_and_execute(""), sync()],
            "1 2 EERROR:22012 Z",
        ),
    ]);
    block_on(async {
        let mut client = analyst().await;
        let good = [parse("", "SELECT 1"), bind_and_execute(""), sync()].concat();
        let bad = [parse("", "SELECT nothing"), bind_and_execute(""), sync()].concat();
        client.send(&[bad, good].concat()).await;
        assert_eq!(client.answers().await, "EERROR:42703 Z");
        assert_eq!(client.answers().await, "1 2 D C Z");
    });
}

#[test]
fn a_storm_of_syncs_is_answered_one_by_one() {
    const STORM: usize = 20_000;
    block_on(async {
        let mut client = analyst().await;
        client.send(&sync().repeat(STORM)).await;
        for _ in 0..STORM {
            assert_eq!(client.next().await, Some((b'Z', b"I".to_vec())));
        }
        assert_eq!(client.script(&[message(b'Q', b"SELECT 1\0")]).await, "T D C Z");
    });
}

#[test]
fn columns_of_the_catalog_are_oids_and_users_numbers_are_not() {
    block_on(async {
        let mut client = analyst().await;
        let sql = "SELECT oid, oid::bigint AS number, arrow_cast(7, 'UInt32') AS seven FROM pg_class WHERE oid = 1259";
        let describe = message(b'D', b"P\0");
        // All columns in binary.
        let messages = [parse("", sql), bind("", &[0, 0, 0, 0, 0, 1, 0, 1]), describe, message(b'E', &[0; 5]), sync()];
        client.send(&messages.concat()).await;
        let mut described = Vec::new();
        let mut row = Vec::new();
        while let Some((tag, body)) = client.next().await {
            match tag {
                b'T' => described = types_of(&body),
                b'D' => row = body,
                b'E' => panic!("{}", super::raw::field(&body, b'M')),
                b'Z' => break,
                _ => {}
            }
        }
        assert_eq!(described, [(26, 4), (20, 8), (20, 8)]);
        assert_eq!(row, b"\0\x03\0\0\0\x04\0\0\x04\xeb\0\0\0\x08\0\0\0\0\0\0\x04\xeb\0\0\0\x08\0\0\0\0\0\0\0\x07");
    });
}

/// Types and lengths in a RowDescription.
fn types_of(body: &[u8]) -> Vec<(u32, i16)> {
    let mut rest = &body[2..];
    let mut types = Vec::new();
    while !rest.is_empty() {
        let name = rest.iter().position(|byte| *byte == 0).unwrap();
        let field = &rest[name + 1..];
        let oid = u32::from_be_bytes(field[6..10].try_into().unwrap());
        types.push((oid, i16::from_be_bytes(field[10..12].try_into().unwrap())));
        rest = &field[18..];
    }
    types
}

#[test]
fn a_cancel_with_a_wrong_key_cancels_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    block_on(async {
        let mut client = analyst().await;
        client.send(&message(b'Q', b"SELECT count(*) FROM generate_series(1, 30000000)\0")).await;
        let (process, secret) = client.key.split_at(4);
        let wrong: Vec<u8> = secret.iter().map(|byte| !byte).collect();
        for body in [[process, &wrong].concat(), vec![0xff; 8]] {
            let mut other = tokio::net::TcpStream::connect(("127.0.0.1", demo().server.port("pg"))).await.unwrap();
            let packet = [&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e], &body[..]].concat();
            other.write_all(&packet).await.unwrap();
            let mut rest = Vec::new();
            tokio::time::timeout(PATIENCE, other.read_to_end(&mut rest)).await.unwrap().unwrap();
            assert!(rest.is_empty(), "a cancel request is not answered");
        }
        assert_eq!(client.answers().await, "T D C Z");
    });
}
