//! Policies in shadow: what they would hide is counted, and nothing else of them is seen.

use crate::harness::Lab;

fn hospital() -> Lab {
    Lab::open(
        "CREATE TABLE p (id bigint, ward int, code text);
         INSERT INTO p VALUES (1, 1, '10'), (2, 1, '11'), (3, 2, 'x'), (4, NULL, '12');
         CREATE ROLE nurse LOGIN PASSWORD 'secret'; CREATE ROLE clerk LOGIN PASSWORD 'secret';
         GRANT SELECT ON p TO nurse, clerk;",
    )
}

const COUNTED: &str = "SELECT state, shadow_hidden, shadow_failures FROM system.policies WHERE policy_name = 'own'";

#[test]
fn what_it_would_hide_is_counted_by_role() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows("CREATE POLICY own ON p TO nurse USING (ward = 1) SHADOW");
    assert_eq!(admin.rows("SELECT row_security FROM system.tables WHERE table_name = 'p'"), "f");
    assert_eq!(admin.rows(COUNTED), "shadow|{}|0");
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "1\n2\n3\n4", "nothing is hidden");
    assert_eq!(admin.rows(COUNTED), "shadow|{\"nurse\":2}|0");
    assert_eq!(nurse.rows("SELECT count(*) FROM p"), "4");
    assert_eq!(admin.rows(COUNTED), "shadow|{\"nurse\":4}|0");
    hospital.psql("clerk").rows("SELECT * FROM p");
    admin.rows("SELECT * FROM p");
    assert_eq!(admin.rows(COUNTED), "shadow|{\"nurse\":4}|0", "it is not for them");
    assert_eq!(nurse.rows(COUNTED), "shadow||", "only readers of its text are told");
    assert_eq!(nurse.rows("SHOW EFFECTIVE POLICIES ON p"), "");
    admin.rows("ALTER POLICY own ON p USING (ward = 2)");
    assert_eq!(admin.rows(COUNTED), "shadow|{}|0", "another text");
}

#[test]
fn it_is_enforced_by_a_statement_of_its_own() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows("CREATE POLICY own ON p USING (ward = 1) SHADOW");
    let enforced = admin.run("ALTER POLICY own ON p ENFORCE");
    assert!(enforced.ok && enforced.err.contains("row level security is now enabled"), "{}", enforced.err);
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "1\n2");
    assert_eq!(admin.rows(COUNTED), "enforced||");
    admin.rows("CREATE POLICY strict ON p AS RESTRICTIVE USING (id = 1) SHADOW");
    assert_eq!(nurse.rows("SELECT id FROM p ORDER BY id"), "1\n2");
    let strict = "SELECT shadow_hidden FROM system.policies WHERE policy_name = 'strict'";
    assert_eq!(admin.rows(strict), "{\"nurse\":1}", "of the rows that are seen");
    admin.rows("ALTER POLICY own ON p SHADOW");
    assert_eq!(nurse.rows("SELECT count(*) FROM p"), "0", "enabled, and no policy in force");
}

#[test]
fn a_failure_of_its_own_is_nobodys_but_counted() {
    let hospital = hospital();
    let (admin, nurse) = (hospital.psql("admin"), hospital.psql("nurse"));
    admin.rows("CREATE POLICY own ON p USING (code::int > 10 AND now() > '2020-01-01') SHADOW");
    assert_eq!(nurse.rows("SELECT count(*) FROM p"), "4");
    let counted = admin.rows(COUNTED);
    assert!(counted.starts_with("shadow|") && !counted.ends_with("|0"), "{counted}");
}

#[test]
fn an_open_cursor_lives_on_beneath_it() {
    let hospital = hospital();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let nurse = hospital.connect("nurse").await;
        nurse.simple_query("BEGIN; DECLARE c CURSOR FOR SELECT id FROM p").await.unwrap();
        nurse.simple_query("FETCH 1 FROM c").await.unwrap();
        hospital.psql("admin").rows("CREATE POLICY own ON p USING (ward = 1) SHADOW");
        nurse.simple_query("FETCH ALL FROM c").await.unwrap();
    });
}
