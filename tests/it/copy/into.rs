//! COPY FROM STDIN: the rows that PostgreSQL makes of the same data, and its errors.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Both, copied, copy, rows, told};

const TABLE: &str = "CREATE TABLE t (a int, b text, c date)";

/// The options of each, and data.
const DATA: &[(&str, &str)] = &[
    ("", "1\tone\t2026-01-27\n2\t\\N\t\\N\n"),
    ("", "1\tone\t2026-01-27\n2\ttwo\t2026-01-28"),
    ("", ""),
    ("", "\\.\n"),
    ("", "1\ta\t\\N\n\\.\nthis is not looked at"),
    ("", "1\ta\t\\N\n\\."),
    ("", "1\ta\\.\n"),
    ("", "1\ta\t\\.x\n"),
    ("", "1\t\\b\\f\\n\\r\\t\\v\\\\\\q\\x41\\101\\x4\t\\N\n"),
    ("", "1\ta\\\nb\t\\N\n2\tc\t\\N\n"),
    ("", "1\ttab\\\there\t\\N\n"),
    ("", "1\r\n"),
    ("", "1\ta\t\\N\r\n2\tb\t\\N\r\n"),
    ("", "1\ta\t\\N\r2\tb\t\\N\r"),
    ("", "1\ta\t\\N\n2\tb\t\\N\r\n"),
    ("", "1\ta\t\\N\r\n2\tb\t\\N\n"),
    ("", "1\ta\n"),
    ("", "\n"),
    ("", "1\ta\t\\N\t\n"),
    ("", "x\ta\t\\N\n"),
    ("", "1\ta\t\\N\n\ta\t\\N\n"),
    ("", "1\ta\t2026-02-30\n"),
    ("", "1\ta\t1/27/2026\n"),
    ("", "99999999999\ta\t\\N\n"),
    ("", "+7\ta\t\\N\n 8 \ta\t\\N\n007\tx\t\\N\n"),
    ("", "-0\ta\tJan 27, 2026\n"),
    ("", "1\ta\\xff\t\\N\n"),
    ("", "1\ta\\000\t\\N\n"),
    ("", "1\tgr\u{fc}ezi \u{1f3e5}\t\\N\n"),
    ("", "1\ta\t0044-03-15 BC\n"),
    ("(HEADER)", "what\never\n1\ta\t\\N\n"),
    ("(HEADER match)", "a\tb\tc\n1\ta\t\\N\n"),
    ("(HEADER match)", "a\tx\tc\n1\ta\t\\N\n"),
    ("(HEADER match)", "a\tb\n1\ta\t\\N\n"),
    ("(NULL 'nothing', DELIMITER '|')", "1|nothing|nothing\n2|x\\|y|nothing\n"),
    ("(FORMAT csv)", "1,one,2026-01-27\n2,,\n3,\"\",\n"),
    ("(FORMAT csv)", "1,\"a,b\",\n2,\"a\"\"b\",\n3,a\"b,c\"d,\n"),
    ("(FORMAT csv)", "1,\"two\nlines\",\n2,x,\n"),
    ("(FORMAT csv)", "1,\"two\r\nlines\",\r\n2,x,\r\n"),
    ("(FORMAT csv)", "1,\"open,\n2,x,\n"),
    ("(FORMAT csv)", "1,a,\r\n2,b,\n"),
    ("(FORMAT csv)", "1,a,\n2,b,\r\n"),
    ("(FORMAT csv)", "1,a,\n\\.\n2,b,\n"),
    ("(FORMAT csv)", "1,\\.,\n2,\\N,\n"),
    ("(FORMAT csv)", "1,a\n"),
    ("(FORMAT csv)", "1,a,,\n"),
    ("(FORMAT csv)", "1,a,\n2,\"b\nc\",\nx,d,\n"),
    ("(FORMAT csv, HEADER)", "a,b,c\n1,one,\n"),
    ("(FORMAT csv, HEADER)", "\"a\nb\",\n1,one,\n"),
    ("(FORMAT csv, HEADER match)", "a,b,c\n1,one,\n"),
    ("(FORMAT csv, HEADER match)", "a,,c\n1,one,\n"),
    ("(FORMAT csv, QUOTE '''', ESCAPE '!')", "1,'it!'s',\n2,'!!',\n3,'!a',\n4,!x,\n"),
    ("(FORMAT csv, ESCAPE '\\')", "1,\"a\\\"b\\\\\",\n2,\"\\\n\",\n"),
    ("(FORMAT csv, NULL 'NULL', FORCE_NOT_NULL (b))", "1,NULL,NULL\n2,\"NULL\",NULL\n"),
    ("(FORMAT csv, NULL 'NULL', FORCE_NULL (b))", "1,NULL,NULL\n2,\"NULL\",NULL\n3,x,NULL\n"),
    ("WITH CSV HEADER DELIMITER ';'", "x\n1;a;\n"),
];

/// Sends the same to both, and compares what came of it.
async fn compare(both: &Both, options: &str, data: &[u8], piece: usize) {
    let sql = format!("COPY t FROM STDIN {options}");
    let shown = || format!("{sql} in pieces of {piece}: {}", data.escape_ascii());
    let wanted = copy(&both.postgres, &sql, data, data.len()).await;
    let got = copy(&both.lakeward, &sql, data, piece).await;
    match (&wanted, &got) {
        (Ok(wanted), Ok(got)) => assert_eq!(got, wanted, "{}", shown()),
        (Err(wanted), Err(got)) => {
            let (wanted, got) = (told(wanted), told(got));
            assert_eq!(got.code(), wanted.code(), "{}\n{wanted:?}\n{got:?}", shown());
            // What PostgreSQL says, without the value.
            assert!(is_wording_of(got.message(), wanted.message()), "{}\n{wanted:?}\n{got:?}", shown());
            let (place, theirs) = (got.where_().unwrap_or_default(), wanted.where_().unwrap_or_default());
            assert!(!place.is_empty() && theirs.starts_with(place), "{}\n{place}\n{theirs}", shown());
        }
        _ => panic!("{}\nPostgreSQL: {wanted:?}\nLakeward: {got:?}", shown()),
    }
    let read = "SELECT * FROM t ORDER BY a, b COLLATE \"C\", c";
    let read_here = "SELECT * FROM t ORDER BY a, b, c";
    assert_eq!(rows(&both.lakeward, read_here).await, rows(&both.postgres, read).await, "{}", shown());
    if got.is_ok() {
        for client in [&both.postgres, &both.lakeward] {
            client.batch_execute("DELETE FROM t").await.unwrap();
        }
    }
}

fn is_wording_of(ours: &str, theirs: &str) -> bool {
    let values_apart = |text: &str| {
        let parts = text.split('"').step_by(2).map(|part| part.trim_matches([' ', ':']));
        parts.collect::<Vec<_>>().join(" ").trim().to_owned()
    };
    ours == theirs
        || theirs.starts_with(ours)
        || values_apart(ours) == values_apart(theirs)
        || (ours.starts_with("column name mismatch") && theirs.starts_with("column name mismatch"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_data_makes_the_same_rows() {
    let both = Both::open(TABLE).await;
    for (options, data) in DATA {
        for piece in [1, data.len()] {
            compare(&both, options, data.as_bytes(), piece).await;
        }
    }
    compare(&both, "", b"1\t\xff\t\\N\n", 3).await;
    compare(&both, "(FORMAT csv)", b"1,\xc3,\n", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_times_are_read_as_postgresql_reads_them() {
    let both = Both::open("CREATE TABLE t (a bytea, b text, c timestamptz)").await;
    for data in [
        "\\\\x4142\t\\N\t2026-01-27 10:00:00.1234567+05:30\n",
        "\\\\x4\t\\N\t\\N\n",
        "\\\\x4 1\t\\N\t\\N\n",
        "\\\\xzz\t\\N\t\\N\n",
        "a\\\\101\\\\\\\\\t\\N\t\\N\n",
        "a\\\\10\t\\N\t\\N\n",
        "\\N\t\\N\t2026-01-27 10:00+99\n",
        "\\N\t\\N\t2026-01-27 10:00+-5\n",
    ] {
        compare(&both, "", data.as_bytes(), data.len()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_data_makes_the_same_rows() {
    let both = Both::open("CREATE TABLE t (a text, b text, c text)").await;
    let mut random = StdRng::seed_from_u64(20_260_127);
    let alphabet: Vec<char> = "ab\t\t,,\n\n\r\\\"\"'N.x17 \u{e9}".chars().collect();
    let options = ["", "(FORMAT csv)", "(FORMAT csv, ESCAPE '\\', NULL 'N')", "(FORMAT csv, QUOTE '''', ESCAPE 'x')"];
    for round in 0..120 {
        let length = random.random_range(0..30);
        let mut data: String = (0..length).map(|_| *alphabet.choose(&mut random).unwrap()).collect();
        if round % 2 == 0 {
            // Most data is nearly right.
            let separator = if round % 4 == 0 { "\t" } else { "," };
            let field = |random: &mut StdRng| -> String {
                (0..random.random_range(0..5))
                    .map(|_| *alphabet.choose(random).unwrap())
                    .collect::<String>()
                    .replace(['\n', '\t', ','], "")
            };
            data = (0..3)
                .map(|_| [field(&mut random), field(&mut random), field(&mut random)].join(separator) + "\n")
                .collect();
        }
        let options = options[if data.contains('\t') { 0 } else { random.random_range(0..options.len()) }];
        let piece = random.random_range(1..9);
        compare(&both, options, data.as_bytes(), piece).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_comes_in() {
    let both = Both::open(&super::out::everything()).await;
    both.lakeward.batch_execute("CREATE TABLE again AS SELECT * FROM everything WHERE false").await.unwrap();
    let wanted = rows(&both.postgres, "SELECT * FROM everything ORDER BY n").await;
    for options in ["(FORMAT binary)", "(FORMAT csv, HEADER)", "", "(FORMAT csv, FORCE_QUOTE *)"] {
        let data = copied(&both.postgres, &format!("COPY everything TO STDOUT {options}")).await.unwrap();
        let sql = format!("COPY again FROM STDIN {}", options.replace(", FORCE_QUOTE *", ""));
        for piece in [1, 1 << 16] {
            assert_eq!(copy(&both.lakeward, &sql, &data, piece).await.unwrap(), 6, "{options}");
            let got = rows(&both.lakeward, "SELECT * FROM again ORDER BY n").await;
            assert_eq!(got, wanted, "{options}");
            both.lakeward.batch_execute("DELETE FROM again").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_binary_data_is_refused_as_postgresql_does() {
    let both = Both::open("CREATE TABLE t (a int, b text)").await;
    both.postgres.batch_execute("INSERT INTO t VALUES (1, 'x')").await.unwrap();
    let good = copied(&both.postgres, "COPY t TO STDOUT (FORMAT binary)").await.unwrap();
    both.postgres.batch_execute("DELETE FROM t").await.unwrap();
    let changed = |at: usize, byte: u8| {
        let mut data = good.clone();
        data[at] = byte;
        data
    };
    let cases = [
        good.clone(),
        good[..good.len() - 2].to_vec(),
        good[..good.len() - 3].to_vec(),
        good[..10].to_vec(),
        Vec::new(),
        changed(0, b'X'),
        changed(12, 1),
        changed(11, 1),
        changed(20, 3),
        changed(20, 1),
        changed(21, 0xfe),
        [&good[..], b"more"].concat(),
    ];
    for data in cases {
        for piece in [1, data.len()] {
            let sql = "COPY t FROM STDIN (FORMAT binary)";
            let (wanted, got) =
                (copy(&both.postgres, sql, &data, 1 << 16).await, copy(&both.lakeward, sql, &data, piece).await);
            let shown = data.escape_ascii().to_string();
            match (wanted, got) {
                (Ok(wanted), Ok(got)) => assert_eq!(got, wanted, "{shown}"),
                (Err(wanted), Err(got)) => {
                    let (wanted, got) = (told(&wanted), told(&got));
                    assert_eq!((got.code(), got.message()), (wanted.code(), wanted.message()), "{shown}");
                }
                (wanted, got) => panic!("{shown}: {wanted:?} {got:?}"),
            }
            assert_eq!(rows(&both.lakeward, "SELECT * FROM t").await, rows(&both.postgres, "SELECT * FROM t").await);
            for client in [&both.postgres, &both.lakeward] {
                client.batch_execute("DELETE FROM t").await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_one_commit() {
    let both = Both::open("CREATE TABLE t (a bigint, b text)").await;
    let data: String = (0..100_000).map(|row| format!("{row}\tvalue number {row}\n")).collect();
    assert_eq!(copy(&both.lakeward, "COPY t FROM STDIN", data.as_bytes(), 30_000).await.unwrap(), 100_000);
    let sums = rows(&both.lakeward, "SELECT count(*), sum(a), count(DISTINCT b) FROM t").await;
    assert_eq!(sums, [[Some("100000".to_owned()), Some("4999950000".to_owned()), Some("100000".to_owned())]]);
    assert_eq!(both.lab.psql("admin").rows("DESCRIBE HISTORY t").lines().count(), 2, "the table, and one commit");
}
