//! Delta tables as users change them: UPDATE, DELETE, MERGE, time travel, history, change feed, and several writers.

use std::path::PathBuf;
use std::sync::Arc;

use crate::harness::{Lab, python};

/// Every commit file of a table, one text.
fn log_text(table: &std::path::Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(table.join("_delta_log")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.iter().map(|path| std::fs::read_to_string(path).unwrap() + "\n").collect()
}

const WARD: &str = "
    CREATE TABLE p (id bigint NOT NULL, ward int, name text, mrn text);
    INSERT INTO p VALUES (1, 1, 'ann', 'A-1'), (2, 1, 'bob', 'A-2'), (3, 2, 'cy', 'B-3'), (4, 2, 'di', 'B-4');
    CREATE ROLE nurse LOGIN PASSWORD 'secret';
    GRANT SELECT, INSERT, UPDATE, DELETE ON p TO nurse;
    CREATE POLICY own ON p USING (ward = 1);
    CREATE MASKING POLICY last1 AS (val text) RETURNS text ->
      CASE WHEN is_role_in_session('privacy') THEN val ELSE mask_show_last(val, 1) END;
    ALTER TABLE p ALTER COLUMN mrn SET MASKING POLICY last1;";

#[test]
fn only_visible_rows_change_and_hidden_ones_stay_as_they_are() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    nurse.rows("UPDATE p SET name = upper(name)");
    assert_eq!(admin.rows("SELECT name, mrn FROM p ORDER BY id"), "ANN|A-1\nBOB|A-2\ncy|B-3\ndi|B-4");
    nurse.rows("DELETE FROM p WHERE id IN (2, 3)");
    assert_eq!(admin.rows("SELECT id FROM p ORDER BY id"), "1\n3\n4");
    nurse.rows("DELETE FROM p");
    assert_eq!(admin.rows("SELECT id, mrn FROM p ORDER BY id"), "3|B-3\n4|B-4");
}

#[test]
fn predicates_and_values_see_masked_values_and_masked_columns_are_not_written() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    nurse.rows("UPDATE p SET name = 'hit' WHERE mrn = 'A-1'");
    nurse.rows("DELETE FROM p WHERE mrn LIKE 'A%'");
    nurse.rows("MERGE INTO p USING (VALUES ('A-1')) AS s(m) ON p.mrn = s.m WHEN MATCHED THEN DELETE");
    assert_eq!(admin.rows("SELECT count(*), count(*) FILTER (WHERE name = 'hit') FROM p"), "4|0");
    nurse.rows("UPDATE p SET name = 'hit' WHERE mrn = '*-1'");
    assert_eq!(admin.rows("SELECT id FROM p WHERE name = 'hit'"), "1");
    for refused in [
        "UPDATE p SET mrn = 'X'",
        "UPDATE p SET name = mrn",
        "MERGE INTO p USING (SELECT 1 AS k) s ON p.id = s.k WHEN MATCHED THEN UPDATE SET mrn = 'X'",
        "MERGE INTO p USING (SELECT id, mrn AS m FROM p) s ON p.id = s.id WHEN MATCHED THEN UPDATE SET name = s.m",
        "MERGE INTO p USING (SELECT 9 AS k) s ON p.id = s.k WHEN NOT MATCHED THEN INSERT (id, ward, mrn) VALUES (9, 1, 'X')",
        "INSERT OVERWRITE p SELECT 1, 1, 'x', 'y'",
    ] {
        assert_eq!(nurse.fails(refused).0, "42501", "{refused}");
    }
}

#[test]
fn new_rows_satisfy_policies_and_privileges_are_asked_for() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    let (code, text) = nurse.fails("UPDATE p SET ward = 2 WHERE id = 1");
    assert!(code == "42501" && text.contains("new row violates row-level security policy"), "{text}");
    let insert =
        "MERGE INTO p USING (SELECT 9 AS k) s ON p.id = s.k WHEN NOT MATCHED THEN INSERT (id, ward) VALUES (s.k, 2)";
    assert_eq!(nurse.fails(insert).0, "42501");
    assert_eq!(nurse.fails("UPDATE p SET id = NULL").0, "23502");
    admin.rows("CREATE POLICY frozen ON p AS RESTRICTIVE FOR UPDATE USING (id <> 2)");
    nurse.rows("UPDATE p SET name = 'new'");
    assert_eq!(
        admin.rows("SELECT id FROM p WHERE name = 'new' ORDER BY id"),
        "1",
        "a row that may be seen, not changed"
    );
    let merge = "MERGE INTO p USING (SELECT 2 AS k) s ON p.id = s.k WHEN MATCHED THEN UPDATE SET name = 'x'";
    assert_eq!(nurse.fails(merge).0, "42501", "MERGE says so");
    admin.rows("REVOKE UPDATE, DELETE ON p FROM nurse");
    for refused in
        ["UPDATE p SET name = 'x'", "DELETE FROM p", merge, "INSERT OVERWRITE p SELECT * FROM p", "OPTIMIZE p"]
    {
        assert_eq!(nurse.fails(refused).0, "42501", "{refused}");
    }
    for refused in ["VACUUM p", "RESTORE TABLE p TO VERSION AS OF 0", "CREATE OR REPLACE TABLE p AS SELECT 1 AS id"] {
        assert_eq!(nurse.fails(refused).0, "42501", "{refused}");
    }
    assert_eq!(admin.rows("SELECT count(*) FROM p"), "4");
}

#[test]
fn the_log_holds_no_predicate() {
    let lake = Lab::open("CREATE TABLE seed (id int)");
    let place = lake.place("quiet");
    let admin = lake.psql("admin");
    admin.rows(&format!("CREATE TABLE q (id bigint, ssn text) LOCATION 'file://{}/'", place.display()));
    admin.rows("INSERT INTO q VALUES (1, '412-68-1073'), (2, 'x'), (3, 'y')");
    let before = log_text(&place).matches("412-68-1073").count();
    admin.rows("UPDATE q SET id = 7 WHERE ssn = '412-68-1073'; DELETE FROM q WHERE ssn = '999-11-2222'");
    admin.rows("MERGE INTO q USING (SELECT '888-22-3333' AS s) s ON q.ssn = s.s WHEN MATCHED THEN DELETE");
    let text = log_text(&place);
    assert!(!text.contains("999-11-2222") && !text.contains("888-22-3333"), "{text}");
    // File statistics do hold bounds, as Delta has them; commitInfo does not.
    let infos: Vec<&str> =
        text.lines().filter(|line| line.contains("commitInfo") && !line.contains("CREATE TABLE")).collect();
    assert!(before > 0 && infos.iter().all(|info| !info.contains("412-68-1073") && !info.contains("ssn")), "{infos:?}");
}

#[test]
fn history_tells_what_and_hides_counts() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    admin.rows("UPDATE p SET name = 'x' WHERE id = 3");
    let history = admin.rows("DESCRIBE HISTORY p");
    let newest: Vec<&str> = history.lines().next().unwrap().split('|').collect();
    assert_eq!((newest[0], newest[2], newest[3], newest[5]), ("2", "admin", "UPDATE", "1"), "{history}");
    assert!(newest[6].contains("\"numUpdatedRows\":1"), "{history}");
    let seen = nurse.rows("DESCRIBE HISTORY p");
    assert!(seen.lines().all(|line| line.split('|').nth(6) == Some("")), "{seen}");
    admin.rows("CREATE ROLE stranger LOGIN PASSWORD 'secret'");
    assert_eq!(lake.psql("stranger").fails("DESCRIBE HISTORY p").0, "42501");
    let audited =
        "SELECT statement_class, objects FROM system.audit WHERE statement_class IN ('DESCRIBE HISTORY', 'UPDATE')
        AND phase = 'BEGIN' ORDER BY seq";
    let audited = admin.rows(audited);
    assert!(audited.lines().count() >= 3 && audited.lines().all(|line| line.contains("public.p")), "{audited}");
    assert!(audited.contains("\"version\":1") && audited.contains("\"version\":2"), "{audited}");
}

#[test]
fn the_change_feed_is_governed() {
    let lake = Lab::open(
        "CREATE TABLE f (id bigint, ward int, mrn text) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
         INSERT INTO f VALUES (1, 1, 'A-1'), (2, 2, 'B-2');
         UPDATE f SET mrn = 'C-9' WHERE id = 1;
         DELETE FROM f WHERE id = 2;
         CREATE ROLE nurse LOGIN PASSWORD 'secret'; GRANT SELECT ON f TO nurse;
         CREATE TABLE plain (id int); INSERT INTO plain VALUES (1)",
    );
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    let changes = "SELECT id, mrn, _change_type, _commit_version FROM table_changes('f', 0) ORDER BY 4, 1, 3 DESC";
    let all = "1|A-1|insert|1\n2|B-2|insert|1\n1|A-1|update_preimage|2\n1|C-9|update_postimage|2\n2|B-2|delete|3";
    assert_eq!(admin.rows(changes), all);
    assert_eq!(admin.rows("SELECT count(*) FROM table_changes('f', 2, 2)"), "2");
    admin.rows(
        "CREATE POLICY own ON f USING (ward = 1);
         CREATE MASKING POLICY stars AS (v text) RETURNS text -> mask_show_last(v, 1);
         ALTER TABLE f ALTER COLUMN mrn SET MASKING POLICY stars",
    );
    assert_eq!(nurse.rows(changes), "1|*-1|insert|1\n1|*-1|update_preimage|2\n1|*-9|update_postimage|2");
    assert_eq!(nurse.rows("SELECT count(*) FROM table_changes('f', 0) WHERE mrn = 'A-1'"), "0");
    assert_eq!(admin.fails("SELECT * FROM table_changes('plain', 0)").0, "55000");
    assert_eq!(admin.fails("SELECT * FROM table_changes('f', 2, 99)").0, "22023");
    assert_eq!(admin.fails("SELECT * FROM table_changes('nothing', 0)").0, "42P01");
    admin.rows("CREATE ROLE stranger LOGIN PASSWORD 'secret'");
    assert_eq!(lake.psql("stranger").fails("SELECT * FROM table_changes('f', 0)").0, "42501");
}

#[test]
fn a_replaced_table_keeps_its_policies() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    admin.rows("CREATE OR REPLACE TABLE p AS SELECT id, ward, mrn, 'new' AS extra FROM p");
    assert_eq!(nurse.rows("SELECT * FROM p ORDER BY id"), "1|1|*-1|new\n2|1|*-2|new");
    let (code, text) = admin.fails("CREATE OR REPLACE TABLE p AS SELECT id, ward FROM p");
    assert!(code == "2BP01" && text.contains("masking policy last1"), "{text}");
    let (code, text) = admin.fails("CREATE OR REPLACE TABLE p AS SELECT id, mrn FROM p");
    assert!(code == "2BP01" && text.contains("policy own"), "{text}");
    assert_eq!(nurse.rows("SELECT count(*) FROM p"), "2");
    assert_eq!(nurse.fails("SELECT name FROM p VERSION AS OF 1").0, "42703", "a column that today's table lacks");
}

#[test]
fn times_and_versions_and_restored_rows() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    std::thread::sleep(std::time::Duration::from_millis(50));
    let before = admin.rows("SELECT now()");
    std::thread::sleep(std::time::Duration::from_millis(50));
    admin.rows("UPDATE p SET name = 'later'");
    for travel in [
        format!("p TIMESTAMP AS OF '{before}'"),
        format!("p FOR SYSTEM_TIME AS OF TIMESTAMP '{before}' AS x"),
        "p VERSION AS OF 1 x".to_owned(),
        "p FOR VERSION AS OF 1 x".to_owned(),
    ] {
        assert_eq!(nurse.rows(&format!("SELECT name, mrn FROM {travel} ORDER BY id")), "ann|*-1\nbob|*-2", "{travel}");
    }
    let (code, _) = nurse.fails("SELECT mrn FROM p VERSION AS OF 0 x, missing");
    assert_eq!(code, "42P01");
}

#[test]
fn a_name_that_meant_another_column_is_not_read_as_todays() {
    let lake = Lab::open(WARD);
    let (admin, nurse) = (lake.psql("admin"), lake.psql("nurse"));
    admin.rows(
        "INSERT OVERWRITE p SELECT id, ward, mrn, 'new ' || name FROM p;
         CREATE OR REPLACE TABLE p AS SELECT id, ward, mrn FROM p;
         ALTER TABLE p ADD COLUMN name text;
         ALTER TABLE p ADD COLUMN extra text;
         UPDATE p SET name = 'today'",
    );
    assert_eq!(nurse.rows("SELECT name FROM p ORDER BY id"), "today\ntoday");
    assert_eq!(nurse.fails("SELECT name FROM p VERSION AS OF 1").0, "42703", "another column of that name");
    assert_eq!(
        nurse.rows("SELECT * FROM p VERSION AS OF 1 ORDER BY id"),
        "1|1|*-1\n2|1|*-2",
        "the others are the same"
    );
    assert_eq!(admin.fails("RESTORE TABLE p TO VERSION AS OF 1").0, "0A000");
    admin.rows("ALTER TABLE p ALTER COLUMN name SET MASKING POLICY last1");
    assert_eq!(nurse.fails("SELECT id FROM p VERSION AS OF 1").0, "42501", "a governed column that it lacks");
    let history = admin.rows("DESCRIBE HISTORY p");
    let newest = history.split('|').next().unwrap();
    assert_eq!(nurse.rows(&format!("SELECT name FROM p VERSION AS OF {newest} LIMIT 1")), "****y");
}

#[test]
fn a_block_does_not_write_under_columns_that_were_replaced_since() {
    let lake = Lab::open(WARD);
    let admin = lake.psql("admin");
    admin.rows("CREATE TABLE r (id int, note text); INSERT INTO r VALUES (1, 'a')");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for (write, first) in
            [("UPDATE r SET note = 'b'", true), ("INSERT INTO r (id) VALUES (2)", true), ("SELECT note FROM r", false)]
        {
            let client = lake.connect("admin").await;
            client.batch_execute("BEGIN").await.unwrap();
            let begun = if first { "SELECT count(*) FROM r" } else { "INSERT INTO r VALUES (3, 'c')" };
            client.simple_query(begun).await.unwrap();
            admin.rows("CREATE OR REPLACE TABLE r AS SELECT id FROM r; ALTER TABLE r ADD COLUMN note text");
            let error = client.simple_query(write).await.unwrap_err();
            assert_eq!(error.code().map(|code| code.code()), Some("40001"), "{write}");
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    });
}

#[test]
fn time_outside_of_history_is_refused() {
    let lake = Lab::open("CREATE TABLE t (id int); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
    let admin = lake.psql("admin");
    for outside in ["t TIMESTAMP AS OF '2001-01-01'", "t TIMESTAMP AS OF '2999-01-01'", "t VERSION AS OF 99"] {
        assert_eq!(admin.fails(&format!("SELECT * FROM {outside}")).0, "22023", "{outside}");
    }
    let now = admin.rows("SELECT now()");
    assert_eq!(admin.rows(&format!("SELECT count(*) FROM t TIMESTAMP AS OF '{now}'")), "2", "after the last commit");
    admin.rows("RESTORE TABLE t TO VERSION AS OF 1");
    assert_eq!(admin.rows("SELECT id FROM t"), "1");
    admin.rows(
        "INSERT INTO t VALUES (3); INSERT INTO t VALUES (4); OPTIMIZE t; VACUUM t DRY RUN; VACUUM t RETAIN 200 HOURS",
    );
    assert_eq!(admin.rows("SELECT id FROM t ORDER BY id"), "1\n3\n4");
    assert_eq!(admin.fails("VACUUM t RETAIN 1 HOURS").0, "22023");
    admin.rows("INSERT OVERWRITE t SELECT id * 10 FROM t; ALTER TABLE t ADD COLUMN note text; UPDATE t SET note = 'n' WHERE id > 10");
    assert_eq!(admin.rows("SELECT id, note FROM t ORDER BY id"), "10|\n30|n\n40|n");
    assert_eq!(admin.fails("SELECT note FROM t VERSION AS OF 1 x").0, "42703", "not there yet");
}

#[test]
fn what_is_written_is_cast_as_postgresql_assigns() {
    let lake = Lab::open(
        "CREATE TABLE w (k int, i int, s smallint, r real, f double precision, n numeric(5,2), b boolean, d date, ts timestamp, tz timestamptz, t text)",
    );
    let admin = lake.psql("admin");
    admin.rows(
        "SET timezone = 'Europe/Berlin';
         INSERT INTO w (k, tz, ts, i, n) VALUES (1, '2026-07-01 12:00:00', '2026-07-01 12:00:00+00'::timestamptz, 2.6, 12.345);
         INSERT INTO w (k, tz, d, i) SELECT 2, '2026-07-01 12:00:00', '2026-07-01 23:30:00+00'::timestamptz, -2.6::float8;
         INSERT INTO w (k) VALUES (3);
         UPDATE w SET tz = '2026-07-01 12:00:00', i = 7.9, t = 5 WHERE k = 3;
         MERGE INTO w USING (SELECT 4 AS k) s ON w.k = s.k WHEN NOT MATCHED THEN INSERT (k, i, tz) VALUES (s.k, 2.5, '2026-07-01 12:00:00')",
    );
    assert_eq!(
        admin.rows("SELECT k, i, tz AT TIME ZONE 'UTC', d, ts, n, t FROM w ORDER BY k"),
        "1|3|2026-07-01 10:00:00||2026-07-01 14:00:00|12.35|\n2|-3|2026-07-01 10:00:00|2026-07-02|||\n3|8|2026-07-01 10:00:00||||5\n4|3|2026-07-01 10:00:00||||"
    );
    for (refused, code) in [
        ("INSERT INTO w (i) VALUES (3000000000)", "22003"),
        ("INSERT INTO w (s) SELECT 32768", "22003"),
        ("UPDATE w SET i = 3000000000", "22003"),
        ("INSERT INTO w (n) VALUES (12345.678)", "22003"),
        ("INSERT INTO w (r) VALUES (1e300)", "22003"),
        ("INSERT INTO w (d) VALUES ('2020-13-01')", "22008"),
        ("INSERT INTO w (i) VALUES ('x')", "22P02"),
        ("INSERT INTO w (i) VALUES (true)", "42804"),
        ("INSERT INTO w (b) VALUES (1)", "42804"),
        ("UPDATE w SET b = 3", "42804"),
        ("INSERT INTO w (d) SELECT 5", "42804"),
        ("INSERT INTO w (i) SELECT date '2020-01-01'", "42804"),
    ] {
        assert_eq!(admin.fails(refused).0, code, "{refused}");
    }
    assert_eq!(admin.rows("SELECT count(*) FROM w"), "4");
    admin.rows("INSERT INTO w VALUES (9, 9)");
    admin.rows("INSERT INTO w (k, t) VALUES ((SELECT max(k) + 1 FROM w), (SELECT 'x')), (11, 'y')");
    assert_eq!(admin.rows("SELECT k, i, t FROM w WHERE k > 8 ORDER BY k"), "9|9|\n10||x\n11||y");
    assert_eq!(admin.rows("VALUES ((SELECT 5), 'a'), (6, 'b')"), "5|a\n6|b");
    assert_eq!(admin.fails("SELECT '1e-2147483648'::numeric").0, "22003");
    assert_eq!(admin.fails("SELECT justify_interval(interval '2147483647 days 2147483647 months')").0, "22003");
}

#[test]
fn what_views_read_is_not_dropped() {
    let lake = Lab::open(
        "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM v; INSERT INTO t VALUES (1)",
    );
    let admin = lake.psql("admin");
    for (refused, reader) in [("DROP TABLE t", "view public.v"), ("DROP VIEW v", "view public.w")] {
        let (code, text) = admin.fails(refused);
        assert!(code == "2BP01" && text.contains(reader) && text.contains("HINT"), "{text}");
    }
    assert_eq!(admin.rows("SELECT a FROM w"), "1");
    admin.rows("DROP VIEW v, w; DROP TABLE t");
    assert_eq!(admin.fails("SELECT a FROM t").0, "42P01");
}

#[test]
fn parameters_give_values_and_times() {
    let lake =
        Lab::open("CREATE TABLE t (id int, d date, x numeric(10,2)); INSERT INTO t VALUES (1, '2026-01-01', 1.50)");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = lake.connect("admin").await;
        let update = client.prepare("UPDATE t SET id = $1, d = $2 WHERE id = $3").await.unwrap();
        let types: Vec<_> = update.params().iter().map(|param| param.name().to_owned()).collect();
        assert_eq!(types[..2], ["int4", "date"], "{types:?}");
        let merge =
            "MERGE INTO t USING (SELECT $1::int AS k) s ON t.id = s.k WHEN NOT MATCHED THEN INSERT (id) VALUES ($2)";
        assert_eq!(client.execute(merge, &[&5_i32, &5_i32]).await.unwrap(), 1);
        assert_eq!(client.execute("DELETE FROM t WHERE id = $1", &[&5_i32]).await.unwrap(), 1);
        let rows = client.query("SELECT id FROM t FOR VERSION AS OF $1 x ORDER BY 1", &[&2_i64]).await.unwrap();
        assert_eq!(rows.len(), 2);
    });
}

#[test]
fn writers_side_by_side_lose_nothing() {
    let lake = Lab::open("CREATE ROLE w1 LOGIN PASSWORD 'secret'");
    let place = lake.place("shared");
    let admin = lake.psql("admin");
    admin.rows(&format!("CREATE TABLE s (id bigint, who text) LOCATION 'file://{}/'", place.display()));
    admin.rows("INSERT INTO s VALUES (0, 'first'), (1, 'counter')");
    let lake = Arc::new(lake);
    let outside = {
        let place = place.clone();
        std::thread::spawn(move || python("delta_writer.py", &[place.to_str().unwrap(), "100000", "20"]))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..4_i64 {
            let lake = Arc::clone(&lake);
            tasks.spawn(async move {
                let client = lake.connect("admin").await;
                for i in 0..12 {
                    let id = 1000 + writer * 100 + i;
                    client.batch_execute(&format!("INSERT INTO s VALUES ({id}, 'server')")).await.unwrap();
                }
            });
        }
        let lake = Arc::clone(&lake);
        tasks.spawn(async move {
            let client = lake.connect("admin").await;
            for _ in 0..8 {
                client.batch_execute("UPDATE s SET id = id + 0 WHERE who = 'counter'").await.unwrap();
            }
            client.batch_execute("DELETE FROM s WHERE who = 'first'").await.unwrap();
        });
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(outside.join().unwrap(), "20");
    let counted = admin.rows("SELECT who, count(*), count(DISTINCT id) FROM s GROUP BY who ORDER BY who");
    assert_eq!(counted, "counter|1|1\npython|20|20\nserver|48|48");
}

#[test]
fn concurrent_updates_of_one_row_are_all_made() {
    let lake = Arc::new(Lab::open("CREATE TABLE c (n bigint); INSERT INTO c VALUES (0)"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let made = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let lake = Arc::clone(&lake);
            tasks.spawn(async move {
                let client = lake.connect("admin").await;
                let mut made = 0;
                for _ in 0..5 {
                    match client.batch_execute("UPDATE c SET n = n + 1").await {
                        Ok(()) => made += 1,
                        Err(error) => assert_eq!(error.code().unwrap().code(), "40001"),
                    }
                }
                made
            });
        }
        let mut made = 0;
        while let Some(done) = tasks.join_next().await {
            made += done.unwrap();
        }
        made
    });
    assert_eq!(lake.psql("admin").rows("SELECT n FROM c"), made.to_string());
    assert!(made >= 5, "{made}");
}

#[test]
fn unknown_features_are_refused_by_name() {
    let lake = Lab::open("CREATE TABLE seed (id int)");
    let admin = lake.psql("admin");
    let (reads, writes) = (lake.place("reads"), lake.place("writes"));
    for (place, reader, writer) in [
        (&reads, r#""readerFeatures":["quantumRows"],"#, r#"["quantumRows"]"#),
        (&writes, r#""readerFeatures":[],"#, r#"["appendOnly","glacierLocks"]"#),
    ] {
        std::fs::create_dir_all(place.join("_delta_log")).unwrap();
        let schema = r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"integer\",\"nullable\":true,\"metadata\":{}}]}"#;
        let log = format!(
            "{{\"protocol\":{{\"minReaderVersion\":3,\"minWriterVersion\":7,{reader}\"writerFeatures\":{writer}}}}}\n\
             {{\"metaData\":{{\"id\":\"8d3d4a4e-0000-4000-8000-000000000001\",\"format\":{{\"provider\":\"parquet\",\"options\":{{}}}},\
             \"schemaString\":\"{schema}\",\"partitionColumns\":[],\"configuration\":{{}},\"createdTime\":1}}}}\n"
        );
        std::fs::write(place.join("_delta_log/00000000000000000000.json"), log).unwrap();
    }
    let register = |name: &str, place: &PathBuf| {
        format!("CREATE EXTERNAL TABLE {name} STORED AS DELTA LOCATION 'file://{}/'", place.display())
    };
    let (code, text) = admin.fails(&register("r", &reads));
    assert!(code == "0A000" && text.contains("quantumRows"), "{text}");
    admin.rows(&register("w", &writes));
    assert_eq!(admin.rows("SELECT count(*) FROM w"), "0");
    for write in ["INSERT INTO w VALUES (1)", "DELETE FROM w", "INSERT OVERWRITE w SELECT 1", "OPTIMIZE w"] {
        let (code, text) = admin.fails(write);
        assert!(code == "0A000" && text.contains("glacierLocks"), "{write}: {text}");
    }
}
