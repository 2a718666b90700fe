//! COPY TO STDOUT, byte for byte what PostgreSQL sends.

use super::{Both, copied, told};

/// A value of every type that tables have, NULLs, and what each form must put in quotes or behind backslashes.
const EVERYTHING: &str = r#"
    CREATE TABLE everything (
        n int, a boolean, b smallint, c integer, d bigint, e real, f double precision, g numeric(38,10), h text, i bytea,
        j date, k timestamp, l timestamptz
    );
    INSERT INTO everything VALUES
        (1, true, 1, 2, 3, 1.5, 2.25, 3.5, 'plain', '\x00ff5c0a', '2026-01-27', '2026-01-27 10:00:00.5',
         '2026-01-27 10:00:00+00'),
        (2, false, -32768, -2147483648, -9223372036854775808, '-Infinity', 'NaN', -0.0000000001, '', '', '0001-01-01',
         '0001-01-01 00:00:00', '1900-01-01 00:00:00+00'),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (4, true, 32767, 2147483647, 9223372036854775807, 3.4028235e38, 1.7976931348623157e308,
         9999999999999999999999999999.9999999999, E'tab\there, "quoted" and\nline \\N \\. \r\f\x0b\b\x01 end', '\x6162',
         '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00'),
        (5, NULL, 0, 0, 0, '-0', 1e-300, 0, '\.', NULL, '1582-10-15', '1970-01-01 00:00:00', NULL),
        (6, NULL, 0, 0, 0, 1e-10, 1e20, 0, 'NULL', NULL, '2000-02-29', '2000-01-01 00:00:00.000001', NULL);
"#;

/// A table of everything, and its rows.
pub(super) fn everything() -> String {
    EVERYTHING.to_owned()
}

/// Arrays of every type.
const ARRAYS: &str = r#"(SELECT '{1,NULL,3}'::bigint[], '{a,NULL,"b c",""}'::text[], '{1.50,-2.00}'::numeric(8,2)[],
    '{"2026-01-27 10:00:00+00"}'::timestamptz[], '{t,f,NULL}'::boolean[], '{}'::int[], '{"a,b","{x}",NULL,"\\","NULL"}'::text[],
    '{é,grüezi}'::text[], '{1.5,NaN}'::float8[], '{2026-01-27}'::date[], NULL::int[], '{{1,2},{3,4}}'::int[][])"#;

/// Options that both take.
const OPTIONS: &[&str] = &[
    "",
    "WITH (FORMAT text)",
    "(FORMAT csv)",
    "WITH (FORMAT csv, HEADER)",
    "WITH (FORMAT csv, HEADER true, DELIMITER ';', NULL 'NULL')",
    "WITH (FORMAT csv, QUOTE '''', ESCAPE '!')",
    "WITH (FORMAT csv, QUOTE '|', ESCAPE '\\', DELIMITER E'\\t')",
    "WITH (FORMAT csv, FORCE_QUOTE *)",
    "WITH (FORMAT csv, FORCE_QUOTE (h, c), HEADER off)",
    "WITH (FORMAT text, HEADER, NULL 'nothing', DELIMITER '|')",
    "WITH (DELIMITER ':', NULL '')",
    "WITH (FORMAT text, ENCODING 'UTF8')",
    "WITH (FORMAT binary)",
    "CSV",
    "WITH CSV HEADER",
    "CSV HEADER QUOTE AS '''' ESCAPE AS '''' DELIMITER AS ',' NULL AS 'n' FORCE QUOTE h, i",
    "WITH DELIMITER '|' NULL 'x'",
    "DELIMITERS '|' WITH NULL AS 'x'",
    "WITH BINARY",
    "WITH",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_every_type_is_postgresqls() {
    let both = Both::open(&everything()).await;
    let sources = [
        "everything",
        "public.everything (n, h, i)",
        "(SELECT * FROM everything ORDER BY n)",
        "(SELECT h FROM everything ORDER BY n)",
        "(SELECT n, upper(h) AS \"Up, \"\"er\", c + 1 FROM everything WHERE n > 4 ORDER BY n)",
        "(SELECT h, c FROM everything WHERE false)",
        "(VALUES (1, 'a'), (2, NULL))",
        "(WITH x AS (SELECT 1::int AS a) SELECT a FROM x)",
    ];
    let sources = sources.into_iter().chain([ARRAYS]);
    let mut compared = 0;
    for source in sources {
        for options in OPTIONS {
            let sql = format!("COPY {source} TO STDOUT {options}");
            let wanted = copied(&both.postgres, &sql).await;
            // A literal's type is PostgreSQL's integer, here bigint: binary shows it.
            if wanted.is_err() || (source.starts_with("(VALUES") && options.to_lowercase().contains("binary")) {
                continue;
            }
            let (wanted, got) = (wanted.unwrap(), copied(&both.lakeward, &sql).await);
            let got = got.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            assert!(wanted == got, "{sql}\n{}\n{}", wanted.escape_ascii(), got.escape_ascii());
            compared += 1;
        }
    }
    assert!(compared > 120, "{compared}");
    let zurich = "SET TimeZone = 'Europe/Zurich'";
    both.postgres.batch_execute(zurich).await.unwrap();
    both.lakeward.batch_execute(zurich).await.unwrap();
    let sql = "COPY (SELECT n, l FROM everything ORDER BY n) TO STDOUT";
    assert_eq!(copied(&both.lakeward, sql).await.unwrap(), copied(&both.postgres, sql).await.unwrap());
}

/// Statements that PostgreSQL refuses, and its words for it.
const REFUSED: &[&str] = &[
    "COPY t TO STDOUT (FORMAT xml)",
    "COPY t TO STDOUT (COLOUR red)",
    "COPY t TO STDOUT (FORMAT csv, FORMAT csv)",
    "COPY t TO STDOUT CSV CSV",
    "COPY t TO STDOUT (FORMAT binary, DELIMITER ',')",
    "COPY t TO STDOUT (FORMAT binary, NULL '')",
    "COPY t TO STDOUT (FORMAT binary, HEADER)",
    "COPY t TO STDOUT (DELIMITER ',,')",
    "COPY t TO STDOUT (DELIMITER E'\\n')",
    "COPY t TO STDOUT (DELIMITER 'a')",
    "COPY t TO STDOUT (DELIMITER '.')",
    "COPY t TO STDOUT (NULL E'a\\n')",
    "COPY t TO STDOUT (NULL E'a\\tb')",
    "COPY t TO STDOUT (QUOTE '|')",
    "COPY t TO STDOUT (ESCAPE '|')",
    "COPY t TO STDOUT (FORMAT csv, QUOTE '||')",
    "COPY t TO STDOUT (FORMAT csv, ESCAPE '||')",
    "COPY t TO STDOUT (FORMAT csv, QUOTE ',')",
    "COPY t TO STDOUT (FORMAT csv, NULL '\"')",
    "COPY t TO STDOUT (FORCE_QUOTE *)",
    "COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE (x))",
    "COPY t (a) TO STDOUT (FORMAT csv, FORCE_QUOTE (b))",
    "COPY t TO STDOUT (FORMAT csv, FORCE_NULL (a))",
    "COPY t TO STDOUT (FORMAT csv, FORCE_NOT_NULL (a))",
    "COPY t TO STDOUT (FORMAT csv, HEADER match)",
    "COPY t FROM STDIN (FORMAT csv, FORCE_QUOTE *)",
    "COPY t FROM STDIN (FORMAT csv, FORCE_NULL (x))",
    "COPY t (a) FROM STDIN (FORMAT csv, FORCE_NOT_NULL (b))",
    "COPY t FROM STDIN (FORMAT csv, HEADER maybe)",
    "COPY nowhere TO STDOUT",
    "COPY nowhere FROM STDIN",
    "COPY t (x) TO STDOUT",
    "COPY t (a, a) TO STDOUT",
    "COPY t (x) FROM STDIN",
    "COPY t (a, a) FROM STDIN",
    "COPY v TO STDOUT",
    "COPY (SELECT 1) FROM STDIN",
    "COPY t TO",
    "COPY t TO nowhere",
    "COPY t",
    "COPY (SELECT x FROM t) TO STDOUT",
    "COPY (SELECT a FROM t WHERE b = $1) TO STDOUT",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_postgresql_refuses_is_refused_in_its_words() {
    let both =
        Both::open("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); CREATE VIEW v AS SELECT * FROM t")
            .await;
    for sql in REFUSED {
        let wanted = both.postgres.simple_query(sql).await.unwrap_err();
        let got = both.lakeward.simple_query(sql).await.expect_err(sql);
        assert!(wanted.as_db_error().is_some() && got.as_db_error().is_some(), "{sql}: {wanted:?} {got:?}");
        let (wanted, got) = (told(&wanted), told(&got));
        assert_eq!(got.code(), wanted.code(), "{sql}: {got:?} {wanted:?}");
        let same_words = got.message() == wanted.message() || sql.contains("xx");
        assert!(same_words, "{sql}\n{}\n{}", got.message(), wanted.message());
        assert_eq!(rows_of_one(&both.lakeward).await, 1, "the session goes on after {sql}");
    }
    let error = copied(&both.lakeward, "COPY (SELECT 1 / (a - a) FROM t) TO STDOUT").await.unwrap_err();
    assert_eq!(told(&error).code().code(), "22012", "an error after the answer has begun");
    for (sql, code) in [
        ("COPY t TO '/tmp/x.csv'", "0A000"),
        ("COPY t FROM '/etc/passwd'", "0A000"),
        ("COPY t TO PROGRAM 'cat'", "0A000"),
        ("COPY t FROM STDIN WHERE a > 1", "0A000"),
        ("COPY v FROM STDIN", "42809"),
        ("COPY t FROM STDIN (FREEZE)", "0A000"),
        ("COPY t TO STDOUT (ENCODING 'LATIN1')", "0A000"),
        ("COPY (DELETE FROM t) TO STDOUT", "0A000"),
    ] {
        let error = both.lakeward.simple_query(sql).await.unwrap_err();
        assert_eq!(told(&error).code().code(), code, "{sql}");
    }
}

async fn rows_of_one(client: &tokio_postgres::Client) -> usize {
    super::rows(client, "SELECT 1").await.len()
}
