//! Attempts to learn what policies hide, by name: each tried on a real server by a role that may not know.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use futures::TryStreamExt;

use crate::harness::{Server, demo, flight};

/// What the analyst must never see, read raw by the administrator: social security numbers, names, phones of everybody.
fn hidden_values() -> &'static [String] {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    VALUES.get_or_init(|| {
        let rows =
            demo().psql("admin").rows("SELECT ssn, name, phone, email FROM patients ORDER BY patient_id LIMIT 400");
        let values = rows.lines().flat_map(|line| line.split('|'));
        let values: Vec<_> = values.filter(|value| value.len() > 5).map(str::to_owned).collect();
        assert!(values.len() > 1_000, "only {} values to look for", values.len());
        values
    })
}

fn assert_holds_nothing_hidden(what: &str, text: &str) {
    for value in hidden_values() {
        assert!(!text.contains(value), "{what} holds a hidden value");
    }
}

#[test]
fn failing_expressions_see_only_visible_rows() {
    let analyst = demo().psql("analyst");
    let (code, text) = analyst.fails("SELECT count(*) FROM patients WHERE CAST(ssn AS BIGINT) > 0");
    assert_eq!(code, "22P02", "{text}");
    assert_holds_nothing_hidden("the error", &text);
    // Ages at hospital 3, so that there is one which only other hospitals have.
    let ages = |role: &str, filter: &str| -> BTreeSet<String> {
        demo()
            .psql(role)
            .rows(&format!("SELECT DISTINCT age FROM patients {filter}"))
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let visible = ages("analyst", "");
    let elsewhere = ages("admin", "WHERE hospital_id <> 3");
    let only_hidden: Vec<_> = elsewhere.difference(&visible).collect();
    assert!(!only_hidden.is_empty(), "the demo has an age that hospital 3 lacks");
    for age in only_hidden {
        let sql = format!("SELECT count(*) FROM patients WHERE 1/(age-{age}) < 0");
        analyst.rows(&sql);
        assert_eq!(demo().psql("admin").fails(&sql).0, "22012", "the administrator does divide by zero");
    }
}

#[test]
fn predicates_see_masked_values() {
    let analyst = demo().psql("analyst");
    let ssn = demo().psql("admin").rows("SELECT ssn FROM patients WHERE hospital_id = 3 ORDER BY patient_id LIMIT 1");
    for predicate in [
        format!("ssn = '{ssn}'"),
        format!("ssn LIKE '{}%'", &ssn[..6]),
        format!("ssn IN ('{ssn}')"),
        format!("ssn ~ '^{}'", &ssn[..6]),
    ] {
        assert_eq!(
            analyst.rows(&format!("SELECT count(*) FROM patients WHERE {predicate}")),
            "0",
            "{}",
            &predicate[..8]
        );
    }
    let last = format!("***-**-{}", &ssn[7..]);
    assert_ne!(analyst.rows(&format!("SELECT count(*) FROM patients WHERE ssn = '{last}'")), "0");
    assert_eq!(analyst.rows("SELECT count(*) FROM patients WHERE name LIKE '%a%' OR name IS NOT NULL"), "0");
    assert_eq!(analyst.rows("SELECT count(*) FROM patients WHERE hospital_id <> 3"), "0");
}

#[test]
fn aggregates_are_not_answered_from_statistics() {
    let analyst = demo().psql("analyst");
    let admin = demo().psql("admin");
    for sql in [
        "SELECT count(*) FROM patients",
        "SELECT min(patient_id), max(patient_id) FROM patients",
        "SELECT min(admitted_at), max(admitted_at) FROM encounters",
    ] {
        let own = admin.rows(&format!("{sql} WHERE hospital_id = 3"));
        assert_eq!(analyst.rows(sql), own, "{sql}");
        assert_ne!(admin.rows(sql), own, "{sql} tells the difference");
    }
    assert!(analyst.rows("SELECT min(ssn), max(ssn) FROM patients").split('|').all(|ssn| ssn.starts_with("***-**-")));
}

#[test]
fn explain_tells_nothing_of_hidden_rows() {
    let analyst = demo().psql("analyst");
    let other =
        demo().psql("admin").rows("SELECT patient_id FROM patients WHERE hospital_id = 7 ORDER BY patient_id LIMIT 1");
    let plans = |id: &str| {
        let sql = format!("EXPLAIN ANALYZE SELECT * FROM patients WHERE patient_id = {id}");
        let plan = analyst.rows(&sql).replace(id, "ID");
        // Times differ from run to run.
        plan.lines().map(|line| line.split("metrics=").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let exists = plans(&other);
    assert_eq!(exists, plans("999999999"), "a hidden row and no row look alike");
    let text = analyst.rows("EXPLAIN ANALYZE SELECT * FROM patients");
    assert!(text.contains("GovernedScan: patients"), "{text}");
    for word in ["ParquetExec", "DataSource", "hospital_id = ", "mask_", ".parquet", "pruning", "row_groups"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn the_bytes_on_the_wire_hold_nothing_hidden() {
    let demo = demo();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bytes_of = |role: &str, sql: &str| {
        let (address, password) = (demo.server.address("flight"), demo.credential(role, "password"));
        searchable(&runtime.block_on(flight::raw_bytes(&address, &demo.ca(), role, &password, sql)))
    };
    // What the others must not hold would be found.
    let open = bytes_of("admin", "SELECT ssn, name, phone, email FROM patients");
    assert!(hidden_values().iter().all(|value| open.contains(value)));
    let queries = [
        "SELECT * FROM patients",
        "SELECT * FROM patients LIMIT 3",
        "SELECT name, ssn, notes FROM patients p JOIN encounters e ON p.patient_id = e.patient_id LIMIT 50",
        "SELECT CASE WHEN age > 50 THEN ssn END, nullif(zip, '000') FROM patients ORDER BY age LIMIT 20",
    ];
    for sql in queries {
        let bytes = bytes_of("analyst", sql);
        assert!(bytes.len() > 100, "{sql}");
        assert_holds_nothing_hidden(sql, &bytes);
    }
}

/// Bytes as text, in which every text that they hold can be found.
fn searchable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn logs_and_metrics_hold_no_health_data() {
    let analyst = demo().psql("analyst");
    let canary = "900-11-7777";
    analyst.run(&format!("SELECT * FROM patients WHERE ssn = '{canary}' AND nonsense"));
    analyst.run(&format!("SELEC '{canary}'"));
    analyst.run(&format!("SELECT '{canary}'::int"));
    let (_, metrics) = demo().server.http_get("/metrics");
    for (what, text) in [("the log", demo().server.stderr()), ("metrics", metrics)] {
        assert!(!text.contains(canary), "{what} holds a literal");
        assert_holds_nothing_hidden(what, &text);
    }
    let mut files = Vec::new();
    audit_bytes(&demo().server, &mut files);
    let files = searchable(&files);
    assert!(files.contains("nonsense"), "the audit holds a statement's names, where a search finds them");
    assert!(!files.contains(canary), "the audit holds a literal in the clear");
}

fn audit_bytes(server: &Server, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(server.data().join("audit")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn other_doors_to_the_lake_are_closed() {
    let analyst = demo().psql("analyst");
    let path = demo().server.data().join("tables");
    let path = path.display();
    let closed = [
        format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{path}'"),
        format!("COPY (SELECT 1) TO '{path}/x.csv'"),
        format!("SELECT * FROM '{path}/x.parquet'"),
        format!("SELECT * FROM read_parquet('{path}')"),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "CREATE FUNCTION f() RETURNS int RETURN 1".to_owned(),
        "SELECT * FROM patients TABLESAMPLE BERNOULLI (10)".to_owned(),
        "SELECT * FROM patients FOR UPDATE".to_owned(),
        "SELECT input_file_name() FROM patients".to_owned(),
    ];
    for sql in closed {
        let (code, text) = analyst.fails(&sql);
        assert!(["0A000", "42P01", "42883", "42704", "42601", "42501"].contains(&code.as_str()), "{sql}: {text}");
        assert_holds_nothing_hidden(&sql, &text);
    }
}

#[test]
fn flight_refuses_what_was_not_signed_for_the_caller() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let demo = demo();
    let address = demo.server.address("flight");
    runtime.block_on(async {
        let login = |role: &'static str| {
            let (address, ca, password) = (address.clone(), demo.ca(), demo.credential(role, "password"));
            async move { flight::login(&address, &ca, role, &password).await.unwrap() }
        };
        let mut admin = login("admin").await;
        let mut analyst = login("analyst").await;
        let info = admin.execute("SELECT ssn FROM patients".to_owned(), None).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let stolen = analyst.do_get(ticket.clone()).await;
        assert!(stolen.is_err(), "another's ticket");
        let mut forged = ticket.clone();
        let mut bytes = forged.ticket.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        forged.ticket = bytes.into();
        assert!(admin.do_get(forged).await.is_err(), "a forged ticket");
        let rows: Vec<_> = admin.do_get(ticket.clone()).await.unwrap().try_collect().await.unwrap();
        assert!(!rows.is_empty());
        assert!(admin.do_get(ticket).await.is_err(), "a ticket used twice");
    });
}
