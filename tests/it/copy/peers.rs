//! COPY as psql and psycopg do it, and as no client should.

use crate::doors::raw::{Raw, bind_and_execute, message, parse, sync};
use crate::harness::{Lab, python};

#[test]
fn psql_copies_both_ways() {
    let lab = Lab::open("CREATE TABLE t (a int, b text)");
    let admin = lab.psql("admin");
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("in.csv"), directory.path().join("out.csv"));
    std::fs::write(&source, "a,b\n1,\"one, or\"\n2,\n").unwrap();
    let script = format!("\\copy t from '{}' with (format csv, header match)", source.display());
    admin.rows(&script);
    assert_eq!(admin.rows("SELECT a, b FROM t ORDER BY a"), "1|one, or\n2|");
    let query = "select a, b from t order by a";
    admin.rows(&format!("\\copy ({query}) to '{}' csv header", target.display()));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "a,b\n1,\"one, or\"\n2,\n");
    assert_eq!(admin.rows("COPY t (a) TO STDOUT"), "1\n2");
    let error = admin.fails(&format!("\\copy t from '{}' csv", source.display()));
    assert_eq!(error.0, "22P02");
    assert!(error.1.contains("CONTEXT:  COPY t, line 1, column a"), "{}", error.1);
}

#[test]
fn psycopg_copies_both_ways() {
    let lab = Lab::open("SELECT 1");
    let told = python("copying.py", &[&lab.server.url("admin"), "secret"]);
    let expected = "in 3 COPY 3\nout True\nread True\nin 3 COPY 3\nout True\nread True\nafter a failure 0 IDLE\n22P02 COPY copied, line 2, column a";
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_copy_in_and_out_of_place() {
    let lab = Lab::open("CREATE TABLE t (a int)");
    let (port, ca) = (lab.server.port("pg"), lab.server.data().join("ca.pem"));
    let query = |sql: &str| message(b'Q', format!("{sql}\0").as_bytes());
    let data = |text: &str| message(b'd', text.as_bytes());
    let done = || message(b'c', b"");
    let cases: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("simple out", vec![query("COPY (SELECT 1) TO STDOUT")], "H d c C Z"),
        ("simple in", vec![query("COPY t FROM STDIN"), data("1\n"), data("2"), done()], "G C Z"),
        (
            "Flush and Sync are ignored within",
            vec![query("COPY t FROM STDIN"), data("1\n"), message(b'H', b""), sync(), data("2\n"), done()],
            "G C Z",
        ),
        ("failed", vec![query("COPY t FROM STDIN"), data("1\n"), message(b'f', b"no more\0")], "G EERROR:57014 Z"),
        (
            "an error, and what comes after it",
            vec![query("COPY t FROM STDIN"), data("x\n"), data("1\n"), done(), query("SELECT 1")],
            "G EERROR:22P02 Z",
        ),
        (
            "another message",
            vec![query("COPY t FROM STDIN"), data("1\n"), query("SELECT 1"), done()],
            "G EERROR:08P01 Z",
        ),
        ("two in one text", vec![query("COPY t FROM STDIN; SELECT 1"), data("1\n"), done()], "G C T D C Z"),
        (
            "extended",
            vec![parse("", "COPY t FROM STDIN"), bind_and_execute(""), data("1\n"), done(), sync()],
            "1 2 G C Z",
        ),
        (
            "extended, with an error",
            vec![
                parse("", "COPY t FROM STDIN"),
                bind_and_execute(""),
                data("x\n"),
                done(),
                bind_and_execute(""),
                sync(),
            ],
            "1 2 G EERROR:22P02 Z",
        ),
        (
            "described",
            vec![parse("", "COPY t TO STDOUT"), message(b'D', b"S\0"), bind_and_execute(""), sync()],
            "1 t n 2 H c C Z",
        ),
    ];
    for (what, messages, expected) in cases {
        let mut client = Raw::login(port, &ca, "admin", "secret").await;
        let answers = client.script(&messages).await;
        assert_eq!(answers, expected, "{what}");
        if what.starts_with("an error") {
            assert_eq!(client.answers().await, "T D C Z", "{what}");
        }
        assert_eq!(client.script(&[query("DELETE FROM t")]).await, "C Z", "{what}: the session goes on");
    }
}
