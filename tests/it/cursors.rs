//! SQL cursors: forwards, in a block, streamed, decided again when policies change, on record; and the clients that use
//! them (psql's FETCH_COUNT, psycopg's named cursors).

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Lab, python};
use crate::protocol::block_on;

const WARD: &str = "CREATE TABLE p (id bigint, ward int, name text);
    INSERT INTO p SELECT g, g % 2, 'name ' || g FROM generate_series(1, 10) t(g);
    CREATE TABLE many (id bigint);
    INSERT INTO many SELECT g FROM generate_series(1, 1000000) t(g);
    CREATE ROLE nurse LOGIN PASSWORD 'secret';
    GRANT SELECT ON p TO nurse; GRANT SELECT ON many TO nurse";

async fn ask(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Err(error) => error.code().map_or_else(|| "closed".to_owned(), |code| code.code().to_owned()),
        Ok(messages) => {
            let rows = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("").to_owned()),
                _ => None,
            });
            rows.collect::<Vec<_>>().join(",")
        }
    }
}

async fn play(client: &Client, script: &[(&str, &str)]) {
    for (statement, answer) in script {
        assert_eq!(ask(client, statement).await, *answer, "{statement} in {script:?}");
    }
}

#[test]
fn a_cursor_reads_forwards() {
    let lab = Lab::open(WARD);
    let declare = "DECLARE c CURSOR FOR SELECT id FROM p ORDER BY id";
    block_on(async {
        let client = lab.connect("nurse").await;
        let forwards = [
            ("BEGIN", ""),
            (declare, ""),
            ("SELECT name FROM pg_cursors WHERE NOT is_holdable AND NOT is_scrollable", "c"),
            ("FETCH c", "1"),
            ("FETCH NEXT FROM c", "2"),
            ("FETCH 2 FROM c", "3,4"),
            ("FETCH FORWARD 1 IN c", "5"),
            ("FETCH RELATIVE 2 FROM c", "7"),
            ("FETCH ABSOLUTE 9 FROM c", "9"),
            ("FETCH ALL c", "10"),
            ("FETCH ALL FROM c", ""),
            ("CLOSE c", ""),
            (declare, ""),
            ("MOVE 8 FROM c", ""),
            ("FETCH FORWARD ALL FROM c", "9,10"),
            ("COMMIT", ""),
            ("SELECT count(*) FROM pg_cursors", "0"),
        ];
        play(&client, &forwards).await;
        let refused = [
            ("FETCH c", "34000"),
            ("CLOSE c", "34000"),
            (declare, "25P01"),
            ("DECLARE c SCROLL CURSOR FOR SELECT 1", "0A000"),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "0A000"),
        ];
        play(&client, &refused).await;
        for (statement, state) in [
            ("FETCH BACKWARD 1 FROM c", "55000"),
            ("FETCH PRIOR FROM c", "55000"),
            ("FETCH -1 FROM c", "55000"),
            ("FETCH ABSOLUTE 1 FROM c", "55000"),
            ("FETCH d", "34000"),
            (declare, "42P03"),
        ] {
            play(&client, &[("BEGIN", ""), (declare, ""), ("FETCH c", "1"), (statement, state), ("ROLLBACK", "")])
                .await;
        }
        let kept = [
            ("BEGIN", ""),
            (declare, ""),
            ("FETCH c", "1"),
            ("SAVEPOINT s", ""),
            ("DECLARE d CURSOR FOR SELECT id FROM p", ""),
            ("SELECT 1/0", "22012"),
            ("ROLLBACK TO s", ""),
            ("FETCH c", "2"),
            ("FETCH d", "34000"),
            ("ROLLBACK", ""),
        ];
        play(&client, &kept).await;
    });
}

#[test]
fn a_cursor_is_closed_by_what_changes_its_decision_and_by_nothing_else() {
    let lab = Lab::open(WARD);
    let admin = lab.psql("admin");
    block_on(async {
        let client = lab.connect("nurse").await;
        let open =
            [("BEGIN", ""), ("DECLARE c CURSOR FOR SELECT id FROM p ORDER BY id", ""), ("FETCH 2 FROM c", "1,2")];
        play(&client, &open).await;
        admin.rows("CREATE ROLE unrelated; CREATE TABLE other (a int)");
        // Names mean what they meant when it was opened.
        play(&client, &[("SET LOCAL search_path = nowhere", ""), ("FETCH c", "3")]).await;
        admin.rows("CREATE POLICY own ON p USING (ward = 1)");
        play(&client, &[("FETCH c", "42501"), ("FETCH c", "25P02"), ("ROLLBACK", "")]).await;
        play(&client, &open[..2]).await;
        play(&client, &[("FETCH 2 FROM c", "1,3")]).await;
        admin.rows("REVOKE SELECT ON p FROM nurse");
        play(&client, &[("FETCH c", "42501"), ("ROLLBACK", "")]).await;
    });
    let ended = "SELECT statement_class, sqlstate, rows FROM system.audit WHERE user_name = 'nurse' AND phase = 'END'
        AND statement_class IN ('DECLARE CURSOR', 'FETCH') ORDER BY seq";
    let told = admin.rows(ended);
    let expected = "FETCH|00000|2\nFETCH|00000|1\nDECLARE CURSOR|42501|3\nFETCH|42501|0\n\
        FETCH|00000|2\nDECLARE CURSOR|42501|2\nFETCH|42501|0";
    assert_eq!(told, expected);
}

#[test]
fn a_fetch_that_is_suspended_is_decided_again() {
    let lab = Lab::open(WARD);
    let admin = lab.psql("admin");
    let cases = [
        ("FETCH ALL FROM c", "REVOKE SELECT ON p FROM nurse", Err("42501")),
        ("FETCH 4 FROM c", "REVOKE SELECT ON p FROM nurse", Err("42501")),
        ("FETCH ALL FROM c", "CREATE POLICY own ON p USING (ward = 1)", Err("42501")),
        ("FETCH 4 FROM c", "CREATE ROLE unrelated", Ok(3)),
    ];
    block_on(async {
        let mut client = lab.connect("nurse").await;
        for (fetch, change, expected) in cases {
            let block = client.transaction().await.unwrap();
            block.batch_execute("DECLARE c CURSOR FOR SELECT id FROM p ORDER BY id").await.unwrap();
            let portal = block.bind(fetch, &[]).await.unwrap();
            assert_eq!(block.query_portal(&portal, 1).await.unwrap().len(), 1);
            admin.rows(change);
            let more = block.query_portal(&portal, 0).await;
            let more = more.map(|rows| rows.len()).map_err(|error| error.code().unwrap().code().to_owned());
            assert_eq!(more, expected.map_err(str::to_owned), "{fetch}; {change}");
            drop(portal);
            block.rollback().await.unwrap();
            admin.rows(
                "GRANT SELECT ON p TO nurse; DROP POLICY IF EXISTS own ON p; ALTER TABLE p DISABLE ROW LEVEL SECURITY",
            );
        }
    });
    let refused = "SELECT statement_class, count(*) FROM system.audit WHERE user_name = 'nurse' AND phase = 'END'
        AND sqlstate = '42501' GROUP BY statement_class ORDER BY statement_class";
    assert_eq!(admin.rows(refused), "DECLARE CURSOR|3\nFETCH|3");
}

#[test]
fn a_record_counts_the_rows_that_were_fetched() {
    let lab = Lab::open(WARD);
    block_on(async {
        let client = lab.connect("nurse").await;
        let script = [
            ("BEGIN", ""),
            ("DECLARE c CURSOR FOR SELECT id FROM p ORDER BY id", ""),
            ("FETCH 2 FROM c", "1,2"),
            ("MOVE 3 FROM c", ""),
            ("FETCH 1 FROM c", "6"),
            ("COMMIT", ""),
        ];
        play(&client, &script).await;
    });
    let told = lab.psql("admin").rows(
        "SELECT statement_class, phase, sqlstate, rows, objects LIKE '%public.p%' FROM system.audit
         WHERE user_name = 'nurse' AND statement_class IN ('DECLARE CURSOR', 'FETCH', 'MOVE') AND phase = 'END' ORDER BY seq",
    );
    assert_eq!(told, "FETCH|END|00000|2|t\nMOVE|END|00000|0|t\nFETCH|END|00000|1|t\nDECLARE CURSOR|END|00000|3|t");
    let begun = "SELECT count(*) FROM system.audit WHERE user_name = 'nurse' AND phase = 'BEGIN'
        AND statement_class IN ('DECLARE CURSOR', 'FETCH') AND objects LIKE '%public.p%'";
    assert_eq!(lab.psql("admin").rows(begun), "3");
}

#[test]
fn drivers_use_cursors() {
    let lab = Lab::open(WARD);
    let nurse = lab.psql("nurse");
    let fetched = nurse.run("\\set FETCH_COUNT 3\nSELECT id FROM p ORDER BY id;\n\\echo :ERROR");
    assert_eq!(fetched.out, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\nfalse", "{}", fetched.err);
    let binary =
        nurse.text("BEGIN; DECLARE b BINARY CURSOR FOR SELECT name FROM p ORDER BY id; FETCH 1 FROM b; COMMIT");
    assert_eq!(binary.out, "name 1", "{}", binary.err);
    let ca = lab.server.data().join("ca.pem");
    let told = python("cursors.py", &[&lab.server.port("pg").to_string(), ca.to_str().unwrap(), "nurse", "secret"]);
    assert_eq!(told, "ok");
}
