//! Tables and the catalog in an S3-compatible store: what users see, what is in the bucket, and what happens when the
//! store does not do as it should.

use std::time::{Duration, Instant};

use crate::harness::s3::{ACCESS_KEY, Mood, PASSWORD, Proxy, S3, SECRET_KEY, Site, refused_to_serve, succeeded};
use crate::harness::{Psql, Server, init, python};

fn admin(server: &Server) -> Psql {
    Psql::admin(server, "admin", PASSWORD)
}

/// Commits of the one managed table below `tables/`.
fn table_of(s3: &S3) -> String {
    let keys = s3.keys("lake", "tables/");
    let first = keys.iter().find(|key| key.contains("/_delta_log/")).expect("a table is there");
    first.split("/_delta_log/").next().unwrap().to_owned()
}

#[test]
fn tables_in_a_bucket_do_what_tables_on_disk_do() {
    let s3 = S3::start();
    let site = Site::at(&s3.endpoint());
    let server = site.serve_first("sse_kms_key_id = \"alias/lake\"\nclassification_tag = true");
    let admin = admin(&server);
    admin.rows(
        "CREATE TABLE p (id bigint NOT NULL, ward text, at timestamp) PARTITIONED BY (ward)
           TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
         INSERT INTO p VALUES (1, 'a b', '2026-01-01'), (2, 'ä/x=1%', '2026-01-02'), (3, NULL, '2026-01-03');
         INSERT INTO p VALUES (4, 'a b', NULL);
         UPDATE p SET ward = 'moved' WHERE id = 1;
         DELETE FROM p WHERE id = 3;
         MERGE INTO p USING (VALUES (2, 'two'), (9, 'nine')) AS s(k, w) ON p.id = s.k
           WHEN MATCHED THEN UPDATE SET ward = s.w WHEN NOT MATCHED THEN INSERT (id, ward) VALUES (s.k, s.w)",
    );
    assert_eq!(admin.rows("SELECT id, ward FROM p ORDER BY id"), "1|moved\n2|two\n4|a b\n9|nine");
    assert_eq!(admin.rows("SELECT id, ward FROM p VERSION AS OF 1 ORDER BY id"), "1|a b\n2|ä/x=1%\n3|");
    assert_eq!(admin.rows("SELECT count(*) FROM p WHERE ward = 'a b'"), "1");
    assert_eq!(admin.rows("SELECT id, _change_type FROM table_changes('p', 4, 4)"), "3|delete");
    admin.rows("OPTIMIZE p; RESTORE TABLE p TO VERSION AS OF 1; VACUUM p RETAIN 200 HOURS DRY RUN; VACUUM p");
    assert_eq!(admin.rows("SELECT id FROM p ORDER BY id"), "1\n2\n3");
    admin.rows("ALTER TABLE p ADD COLUMN note text; INSERT INTO p VALUES (5, 'b', NULL, 'n')");
    assert_eq!(admin.rows("SELECT count(*), count(note) FROM p"), "4|1");
    admin.rows("CREATE TABLE q AS SELECT id FROM p; CREATE OR REPLACE TABLE q AS SELECT id + 1 AS id FROM q");
    assert_eq!(admin.rows("SELECT sum(id) FROM q"), "15");

    // Every object, log files and the catalog's too.
    let keys = s3.keys("lake", "");
    for wanted in ["catalog/log/", "_delta_log/", "_change_data/", ".parquet", "tables/_lakeward_probe"] {
        assert!(keys.iter().any(|key| key.contains(wanted)), "{wanted} in {keys:?}");
    }
    for key in &keys {
        let encoded: String = key.bytes().map(|b| format!("%{b:02X}")).collect();
        let head = s3.request("HEAD", &format!("/lake/{encoded}"), b"");
        assert_eq!(head.status, 200, "{key}");
        assert_eq!(head.header("x-amz-meta-classification").as_deref(), Some("phi"), "{key}");
        assert_eq!(head.header("x-amz-server-side-encryption").as_deref(), Some("aws:kms"), "{key}");
        let tags = s3.request("GET", &format!("/lake/{encoded}?tagging"), b"");
        assert!(String::from_utf8_lossy(&tags.body).contains("<Key>classification</Key><Value>phi</Value>"), "{key}");
    }
    assert!(s3.uploads("lake").is_empty());

    let mut dropped: Vec<String> = s3.keys("lake", "tables/");
    admin.rows("DROP TABLE p; DROP TABLE q");
    dropped.retain(|key| key != "tables/_lakeward_probe");
    let left = s3.keys("lake", "tables/");
    assert!(dropped.len() > 10 && left == ["tables/_lakeward_probe"], "{left:?}");
    let log = server.stderr();
    assert!(!log.contains(ACCESS_KEY) && !log.contains(SECRET_KEY) && !log.contains("ward="), "{log}");
}

#[test]
fn locations_in_buckets_follow_the_rules_of_locations() {
    let s3 = S3::start();
    let site = Site::at(&s3.endpoint());
    let server = site.serve_first("");
    let admin = admin(&server);
    admin.rows(
        "CREATE TABLE e (id bigint) LOCATION 's3://lake/ext/one'; INSERT INTO e VALUES (1), (2);
         CREATE ROLE maker LOGIN PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO maker;
         GRANT USAGE ON STORAGE 's3://lake/team/' TO maker",
    );
    for (location, code) in [
        ("s3://lake/ext/one/", "42710"),
        ("s3a://LAKE/ext//one/../one", "42710"),
        ("s3://lake/ext/one/below", "42710"),
        ("s3://lake/ext/", "42710"),
        ("s3://lake/catalog/", "42710"),
        ("s3://lake/catalog/log/x", "42710"),
        ("s3://lake/tables/", "42710"),
        ("s3://lake/", "42710"),
        ("s3://lake:9000/ext/two", "22023"),
        ("s3://key:secret@lake/ext/two", "22023"),
        ("s3://other/ext/two", "0A000"),
        ("gs://lake/ext/two", "0A000"),
    ] {
        let (found, text) = admin.fails(&format!("CREATE TABLE x (id bigint) LOCATION '{location}'"));
        assert_eq!(found, code, "{location}: {text}");
    }
    let maker = Psql::admin(&server, "maker", PASSWORD);
    assert_eq!(maker.fails("CREATE TABLE m (id bigint) LOCATION 's3://lake/ext/m'").0, "42501");
    maker.rows("CREATE TABLE m (id bigint) LOCATION 's3://lake/team/m'; INSERT INTO m VALUES (7)");
    assert_eq!(maker.rows("SELECT id FROM m"), "7");

    // Dropping what is not managed leaves the files, and they can be registered again.
    admin.rows("DROP TABLE e");
    assert!(!s3.keys("lake", "ext/one/_delta_log/").is_empty());
    admin.rows("CREATE EXTERNAL TABLE e2 STORED AS DELTA LOCATION 's3a://lake/ext/one'");
    assert_eq!(admin.rows("SELECT sum(id) FROM e2"), "3");
    assert_eq!(admin.fails("CREATE EXTERNAL TABLE n STORED AS DELTA LOCATION 's3://lake/ext/none'").0, "42P01");
    assert_eq!(admin.fails("CREATE TABLE again (id bigint) LOCATION 's3://lake/team/m'").0, "42710");
}

/// Asks until the answer is `expected`, for as long as `patience`; says how long it took.
fn within(patience: Duration, psql: &Psql, sql: &str, expected: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = psql.run(sql);
        if answer.ok && answer.out == expected {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < patience, "{sql}: {} {}", answer.out, answer.err);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_servers_share_a_catalog_and_see_each_others_changes() {
    let s3 = S3::start();
    let site = Site::at(&s3.endpoint());
    let first = site.serve_first("");
    let second = site.serve_second("");
    let (one, two) = (admin(&first), admin(&second));
    one.rows(
        "CREATE TABLE p (id bigint, mrn text); INSERT INTO p VALUES (1, 'A-1'), (2, 'A-2');
         CREATE ROLE nurse LOGIN PASSWORD 'secret'; GRANT SELECT ON p TO nurse;
         CREATE MASKING POLICY h AS (val text) RETURNS text -> mask_hash(val, 'mrn');
         ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY h",
    );
    // The poll is every quarter of a second; the rest is for a machine that is busy with other tests.
    let patience = Duration::from_secs(10);
    within(patience, &two, "SELECT count(*) FROM p", "2");
    let (nurse_one, nurse_two) = (Psql::admin(&first, "nurse", PASSWORD), Psql::admin(&second, "nurse", PASSWORD));
    let masked = nurse_one.rows("SELECT mrn FROM p WHERE id = 1");
    assert_eq!(masked.len(), 64, "{masked}");
    within(patience, &nurse_two, "SELECT mrn FROM p WHERE id = 1", &masked);
    two.rows("CREATE POLICY own ON p USING (id = 2)");
    within(patience, &nurse_one, "SELECT id FROM p", "2");
    two.rows("INSERT INTO p VALUES (3, 'A-3')");
    assert_eq!(one.rows("SELECT count(*) FROM p"), "3", "rows are seen at once");
    one.rows("REVOKE SELECT ON p FROM nurse");
    let begun = Instant::now();
    while nurse_two.run("SELECT id FROM p").ok {
        assert!(begun.elapsed() < patience, "a revocation is seen");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Both at once: neither loses a change.
    let threads: Vec<_> = [one, two]
        .into_iter()
        .enumerate()
        .map(|(side, psql)| {
            std::thread::spawn(move || {
                for number in 0..8 {
                    psql.rows(&format!("CREATE ROLE r{side}_{number}; CREATE TABLE t{side}_{number} (a int)"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let count = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'r%\\_%'), (SELECT count(*) FROM pg_class WHERE relname LIKE 't%\\_%' AND relkind = 'r')";
    within(patience, &admin(&first), count, "16|16");
    within(patience, &admin(&second), count, "16|16");
}

#[test]
fn a_server_that_cannot_read_its_shared_catalog_refuses_after_a_while_and_recovers_by_itself() {
    let s3 = S3::start();
    let proxy = Proxy::before(&s3);
    let site = Site::with_patience(&proxy.endpoint(), 2000);
    let server = site.serve_first("");
    let admin = admin(&server);
    admin.rows("CREATE TABLE p (id bigint); INSERT INTO p VALUES (1)");
    for mood in [Mood::Gone, Mood::Silent, Mood::Refuse(503, "SlowDown"), Mood::Refuse(403, "ExpiredToken")] {
        proxy.set(mood.clone());
        // A table: at once, or as soon as the store's time-outs say.
        let begun = Instant::now();
        let (code, text) = admin.fails("SELECT * FROM p");
        assert_eq!(code, "58030", "{mood:?}: {text}");
        assert!(text.contains("HINT:"), "{mood:?}: {text}");
        assert!(begun.elapsed() < Duration::from_secs(12), "{mood:?}: {:?}", begun.elapsed());
        assert!(!text.contains("lake") && !text.contains("tables/") && !text.contains(ACCESS_KEY), "{text}");
        // The catalog: what reads no table is refused, too, once too long has passed; so is who logs in.
        let begun = Instant::now();
        while admin.run("SELECT 1").ok {
            assert!(begun.elapsed() < Duration::from_secs(6), "{mood:?}: the catalog is relied on for too long");
            std::thread::sleep(Duration::from_millis(100));
        }
        let (code, text) = admin.fails("SELECT 1");
        assert!(code == "58030" || text.contains("could not be read for too long"), "{mood:?}: {code} {text}");
        assert_eq!(server.http_get("/healthz").0, 200);
        assert_eq!(server.http_get("/readyz").0, 503, "{mood:?}");
        proxy.set(Mood::Pass);
        within(Duration::from_secs(10), &admin, "SELECT id FROM p", "1");
    }
    let log = server.stderr();
    assert!(log.contains("storage fails") && log.contains("the credentials have expired"), "{log}");
    assert!(log.contains("storage works again"), "{log}");
    assert!(!log.contains("_delta_log") && !log.contains(ACCESS_KEY) && !log.contains("catalog/log"), "{log}");
}

#[test]
fn an_open_cursor_ends_where_the_shared_catalog_cannot_be_read() {
    let s3 = S3::start();
    let proxy = Proxy::before(&s3);
    let site = Site::with_patience(&proxy.endpoint(), 2000);
    let server = site.serve_first("");
    let admin = admin(&server);
    admin.rows("CREATE TABLE p AS SELECT value AS id FROM generate_series(1, 100000) AS s(value)");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = server.connect("admin", PASSWORD).await;
        let block = client.transaction().await.unwrap();
        let portal = block.bind("SELECT id FROM p", &[]).await.unwrap();
        assert_eq!(block.query_portal(&portal, 10).await.unwrap().len(), 10);
        proxy.set(Mood::Gone);
        tokio::time::sleep(Duration::from_secs(3)).await;
        // What was read ahead may still be sent: it was decided while the catalog could be relied on.
        let mut fetched = Ok(Vec::new());
        for _ in 0..20_000 {
            fetched = block.query_portal(&portal, 1000).await;
            if fetched.as_ref().map_or(true, Vec::is_empty) {
                break;
            }
        }
        let error = fetched.unwrap_err();
        assert_eq!(error.code().map(|code| code.code().to_owned()).as_deref(), Some("58030"), "{error}");
        block.rollback().await.unwrap();
        proxy.set(Mood::Pass);
    });
    within(Duration::from_secs(10), &admin, "SELECT count(*) FROM p", "100000");
}

#[test]
fn a_store_that_cannot_be_used_is_told_at_the_start() {
    let s3 = S3::start();
    let proxy = Proxy::before(&s3);
    let site = Site::at(&proxy.endpoint());
    succeeded(&site.init("a", &site.config("a", "")));
    let config = site.data("a").join("lakeward.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let data = site.data("a");
    for (mood, wanted) in [
        (Mood::Refuse(403, "AccessDenied"), "access is denied"),
        (Mood::Refuse(400, "ExpiredToken"), "the credentials have expired"),
        (Mood::Refuse(403, "SignatureDoesNotMatch"), "does not accept the credentials"),
        (Mood::Refuse(400, "AuthorizationHeaderMalformed"), "another region"),
        (Mood::Refuse(301, "PermanentRedirect"), "another region"),
        (Mood::Gone, "the store does not answer"),
    ] {
        proxy.set(mood.clone());
        let (code, text) = refused_to_serve(&data);
        assert_eq!(code, 2, "{mood:?}: {text}");
        assert!(text.contains("storage.s3.main: bucket lake: ") && text.contains(wanted), "{mood:?}: {text}");
        assert!(!text.contains(ACCESS_KEY) && !text.contains(SECRET_KEY), "{text}");
    }
    proxy.set(Mood::Pass);
    let no_bucket = good.replace("\"lake\"", "\"pond\"").replace("s3://lake", "s3://pond");
    let file = format!("credentials_file = \"{}\"", site.credentials().display());
    let environment = good.replace("\"file\"", "\"environment\"").replace(&file, "");
    for (text, wanted) in [
        (no_bucket, "the bucket does not exist"),
        (good.replace("allow_http = true", ""), "allow_http = true"),
        (good.replace("\"file\"", "\"environment\""), "only with credentials = \"file\""),
        (good.replace("credentials = \"file\"", ""), "missing field `credentials`"),
        (environment, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both in the environment"),
        (good.replace("s3://lake/catalog", "s3://lake/tables/catalog"), "storage.catalog: it is equal to"),
        (good.replace("s3://lake/catalog", "s3://lake"), "expected a prefix"),
        (good.replace("s3://lake/catalog", "s3://pond/catalog"), "no [storage.s3.NAME] names its bucket"),
        (good.replace("s3://lake/catalog", "s3://lake/elsewhere"), "no catalog was found"),
    ] {
        std::fs::write(&config, text).unwrap();
        let (code, said) = refused_to_serve(&data);
        assert!(code > 0 && said.contains(wanted), "{wanted}: {code} {said}");
    }
    std::fs::write(&config, &good).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(site.credentials(), open).unwrap();
    let (code, said) = refused_to_serve(&data);
    assert!(code == 2 && said.contains("chmod 600") && !said.contains(SECRET_KEY), "{said}");
}

#[test]
fn keys_that_are_not_the_others_are_refused() {
    let s3 = S3::start();
    let site = Site::at(&s3.endpoint());
    succeeded(&site.init("a", &site.config("a", "")));
    let again = site.init("b", &site.config("b", ""));
    assert!(!again.status.success() && !site.data("b").exists(), "a catalog is made once");
    succeeded(&site.join("b", "a", &site.config("b", "")));
    std::fs::write(site.data("b").join("keys/mask.key"), [7; 32]).unwrap();
    let (code, text) = refused_to_serve(&site.data("b"));
    assert!(code == 2 && text.contains("mask.key is not that of the servers that share this catalog"), "{text}");
    let elsewhere = tempfile::tempdir().unwrap();
    init(&elsewhere.path().join("alone"), PASSWORD);
    std::fs::create_dir(site.data("c")).unwrap();
    std::fs::rename(elsewhere.path().join("alone/keys"), site.data("c").join("keys")).unwrap();
    let joined = site.join("d", "c", &site.config("d", ""));
    assert!(!joined.status.success() && !site.data("d").exists());
}

#[test]
fn commits_whose_answers_are_lost_stand_once_and_failed_writes_leave_nothing() {
    let s3 = S3::start();
    let proxy = Proxy::before(&s3);
    let site = Site::at(&proxy.endpoint());
    let server = site.serve_first("");
    let admin = admin(&server);
    admin.rows("CREATE TABLE p (id bigint, filler text); INSERT INTO p VALUES (1, 'x')");
    proxy.set(Mood::Swallow("_delta_log/00000000000000000002.json"));
    admin.rows("INSERT INTO p VALUES (2, 'x')");
    proxy.set(Mood::Pass);
    assert_eq!(admin.rows("SELECT count(*), max(id) FROM p"), "2|2");
    proxy.set(Mood::Swallow("catalog/log/"));
    admin.rows("CREATE ROLE once");
    proxy.set(Mood::Pass);
    assert_eq!(admin.rows("SELECT count(*) FROM pg_roles WHERE rolname = 'once'"), "1");

    let table = table_of(&s3);
    let before = s3.keys("lake", &table);
    // Large enough for several parts; the middle of an upload, its end, and the commit fail.
    let large = "INSERT INTO p SELECT value, md5(value::text) || md5((value + 1)::text) || md5((value + 2)::text) \
                 FROM generate_series(1, 400000) AS s(value)";
    for part in ["partNumber=2", "uploadId", ".parquet", "_delta_log/"] {
        proxy.set(Mood::Break(part));
        let (code, text) = admin.fails(large);
        assert_eq!(code, "58030", "{part}: {text}");
        proxy.set(Mood::Pass);
        assert_eq!(admin.rows("SELECT count(*) FROM p"), "2", "{part}");
        let begun = Instant::now();
        while !s3.uploads("lake").is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{part}: {:?}", s3.uploads("lake"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let left: Vec<String> = s3.keys("lake", &table).into_iter().filter(|key| !before.contains(key)).collect();
    // Of a commit whose fate was unknown, files may stay; VACUUM takes them.
    assert!(left.len() <= 1, "{left:?}");
    admin.rows(large);
    assert_eq!(admin.rows("SELECT count(*) FROM p"), "400002");
}

/// How many commits the writers make together: LAKEWARD_TEST_COMMITS, or so many as take a few seconds.
fn commits() -> usize {
    std::env::var("LAKEWARD_TEST_COMMITS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[test]
fn no_commit_of_two_servers_and_a_foreign_writer_is_lost() {
    let s3 = S3::start();
    let site = Site::at(&s3.endpoint());
    let (first, second) = (site.serve_first(""), site.serve_second(""));
    admin(&first).rows("CREATE TABLE p (id bigint, who text) LOCATION 's3://lake/shared/p'");
    within(Duration::from_secs(5), &admin(&second), "SELECT count(*) FROM p", "0");
    let each = commits().div_ceil(3);
    let begun = Instant::now();
    let endpoint = s3.endpoint();
    let foreign = std::thread::spawn(move || {
        python("s3_append.py", &[&endpoint, "s3://lake/shared/p", ACCESS_KEY, SECRET_KEY, &each.to_string()])
    });
    let servers: Vec<_> = [("first", &first), ("second", &second)]
        .map(|(who, server)| {
            let psql = admin(server);
            std::thread::spawn(move || {
                let script = |number: usize| format!("INSERT INTO p VALUES ({number}, '{who}');");
                // Several statements a session, so that it is commits that are counted and not logins.
                for chunk in (0..each).collect::<Vec<_>>().chunks(20) {
                    psql.rows(&chunk.iter().map(|number| script(*number)).collect::<String>());
                }
            })
        })
        .into_iter()
        .collect();
    servers.into_iter().for_each(|thread| thread.join().unwrap());
    let retried = foreign.join().unwrap();
    let took = begun.elapsed();
    let expected = format!("first|{each}|{each}\nforeign|{each}|{each}\nsecond|{each}|{each}");
    for server in [&first, &second] {
        let found = admin(server).rows("SELECT who, count(*), count(DISTINCT id) FROM p GROUP BY who ORDER BY who");
        assert_eq!(found, expected);
    }
    let versions = s3.keys("lake", "shared/p/_delta_log/").into_iter().filter(|key| key.ends_with(".json")).count();
    assert_eq!(versions, 3 * each + 1, "one version a commit, and the first");
    let mut out = std::io::stdout();
    let _ = std::io::Write::write_fmt(
        &mut out,
        format_args!("{} commits in {took:?}, foreign writer: {retried}\n", 3 * each),
    );
}

#[test]
fn a_query_that_is_run_again_asks_the_store_for_little() {
    let s3 = S3::start();
    let proxy = Proxy::before(&s3);
    let site = Site::at(&proxy.endpoint());
    let server = site.serve_first("");
    let admin = admin(&server);
    admin.rows("CREATE TABLE p (id bigint, name text)");
    for chunk in 0..4 {
        let (from, to) = (chunk * 1000, chunk * 1000 + 999);
        admin.rows(&format!("INSERT INTO p SELECT value, 'n' || value FROM generate_series({from}, {to}) AS s(value)"));
    }
    let table = table_of(&s3);
    let asked = |sql: &str| {
        proxy.take_log();
        admin.rows(sql);
        let log = proxy.take_log();
        let mine: Vec<String> = log.into_iter().filter(|line| line.contains(&table)).collect();
        mine
    };
    asked("SELECT name FROM p WHERE id = 2500");
    // Which version is the newest: two look-ups. Then one file of the four, whose footer is known.
    let point = asked("SELECT name FROM p WHERE id = 2500");
    assert!(point.iter().filter(|line| line.starts_with("HEAD")).count() <= 2, "{point:#?}");
    assert!(point.len() <= 3, "{point:#?}");
    let all = asked("SELECT count(name) FROM p");
    assert!(all.len() <= 2 + 4, "{all:#?}");
    let again = asked("SELECT count(name) FROM p");
    assert!(again.len() <= 2 + 4, "{again:#?}");
    let counted = asked("SELECT count(*) FROM p");
    assert!(counted.len() <= 2, "{counted:#?}");
    let inserted = asked("INSERT INTO p VALUES (1, 'x')");
    assert!(inserted.len() <= 10, "{inserted:#?}");
}
