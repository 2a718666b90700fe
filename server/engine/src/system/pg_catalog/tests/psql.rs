//! Every query that psql 15 sends for its commands is planned and run, and the important ones answer rightly.

use super::fixture::{Hospital, lines, oid, table};

const QUERIES: &str = include_str!("psql.sql");

fn queries() -> impl Iterator<Item = &'static str> {
    QUERIES.split(";\n").map(str::trim).filter(|query| !query.is_empty())
}

/// psql's query that holds all of these words.
fn query(words: &[&str]) -> &'static str {
    queries().find(|query| words.iter().all(|word| query.contains(word))).unwrap()
}

#[tokio::test]
async fn all_of_psqls_queries_run() {
    let hospital = Hospital::open().await;
    let mut failed = Vec::new();
    for user in ["admin", "analyst"] {
        let session = hospital.login(user);
        let patients = oid(&session, "patients").await;
        for query in queries() {
            let sql = query.replace("{oid}", &patients).replace("'p_view'", "'patients'");
            if let Err(error) = table(&session, &sql).await {
                failed.push(format!("{user}: {error} {:?}\n{sql}", lakeward_base::Coded::detail(&error)));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {}\n{}", failed.len(), 2 * queries().count(), failed.join("\n\n"));
}

#[tokio::test]
async fn a_list_of_relations() {
    let hospital = Hospital::open().await;
    let sql = query(&["c.relkind IN ('r','p','v','m','S','f','')"]);
    let admin = table(&hospital.login("admin"), sql).await.unwrap();
    assert_eq!(admin[0], ["Schema", "Name", "Type", "Owner"]);
    assert_eq!(admin[1..], [["public", "adults", "view", "admin"], ["public", "patients", "table", "admin"]]);
    assert_eq!(lines(&hospital.login("analyst"), sql).await, ["public|patients|table|admin"]);
    assert_eq!(lines(&hospital.login("stranger"), sql).await, [""; 0]);
}

#[tokio::test]
async fn a_table_with_its_policies() {
    let hospital = Hospital::open().await;
    let admin = hospital.login("admin");
    let patients = oid(&admin, "patients").await;
    let found = lines(&admin, query(&["SELECT c.oid,", "pg_table_is_visible"])).await;
    assert_eq!(found, [format!("{patients}|public|patients")]);
    let columns = lines(&admin, &query(&["a.attname,", "a.attgenerated\n"]).replace("{oid}", &patients)).await;
    assert_eq!(
        columns,
        [
            "patient_id|bigint|∅|false|∅||",
            "name|text|∅|false|∅||",
            "birth_date|date|∅|false|∅||",
            "weight|numeric(5,2)|∅|false|∅||",
            "seen_at|timestamp without time zone|∅|false|∅||",
            "age|integer|∅|false|∅||",
        ]
    );
    // Anything but the default would be printed by \d+.
    assert_eq!(lines(&admin, "SELECT relreplident FROM pg_class WHERE relname = 'patients'").await, ["d"]);
    let policies = query(&["pol.polname", "WHERE pol.polrelid"]).replace("{oid}", &patients);
    let shown = lines(&admin, &policies).await;
    assert_eq!(shown, ["everybody|false|∅|age < 120|∅|SELECT", "own|true|analyst|age > 3|∅|SELECT"]);
    assert_eq!(lines(&hospital.login("governor"), &policies).await, shown);
    assert_eq!(lines(&hospital.login("analyst"), &policies).await, [""; 0]);
}

#[tokio::test]
async fn roles_with_their_memberships() {
    let hospital = Hospital::open().await;
    let roles = lines(&hospital.login("analyst"), query(&["rolvaliduntil", "memberof\n, r.rolreplication"])).await;
    assert!(roles.contains(&"officer|false|true|false|false|true|-1|∅|[auditor]|false|false".to_owned()), "{roles:?}");
    assert!(roles.contains(&"analyst|false|true|false|false|true|-1|∅|[]|false|false".to_owned()), "{roles:?}");
    assert!(roles.iter().any(|role| role.starts_with("admin|true|")), "{roles:?}");
}

#[tokio::test]
async fn databases_and_schemas() {
    let hospital = Hospital::open().await;
    let admin = hospital.login("admin");
    let databases = lines(&admin, query(&["datname", "ORDER BY 1"])).await;
    assert_eq!(databases, ["lakeward|admin|UTF8|C|C|∅|libc|∅"]);
    let schemas = query(&["nspname AS \"Name\"", "AS \"Owner\"\nFROM"]);
    assert_eq!(lines(&admin, schemas).await, ["public|admin", "research|admin", "system|admin"]);
    assert_eq!(lines(&hospital.login("analyst"), schemas).await, ["public|admin", "system|admin"]);
    assert_eq!(lines(&hospital.login("officer"), schemas).await, ["public|admin", "system|admin"]);
}

#[tokio::test]
async fn grants_and_policies() {
    let hospital = Hospital::open().await;
    let sql = query(&["Column privileges", "c.relname OPERATOR"]);
    let rows = lines(&hospital.login("admin"), sql).await;
    let policies = "everybody (RESTRICTIVE) (r):\n  (u): age < 120\nown (r):\n  (u): age > 3\n  to: analyst";
    let grants = "admin=arwd/admin\nanalyst=r/admin\ngovernor=r/admin";
    assert_eq!(rows.len(), 1);
    assert!(rows[0].starts_with(&format!("public|patients|table|{grants}||")), "{rows:?}");
    let mut shown: Vec<&str> = rows[0].rsplit('|').next().unwrap().split('\n').collect();
    let mut expected: Vec<&str> = policies.split('\n').collect();
    shown.sort_unstable();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    assert_eq!(
        lines(&hospital.login("analyst"), sql).await,
        ["public|patients|table|admin=arwd/admin\nanalyst=r/admin||"]
    );
}

#[tokio::test]
async fn the_text_of_a_view_is_its_owners() {
    let hospital = Hospital::open().await;
    let admin = hospital.login("admin");
    crate::run(&admin, crate::Request::text("GRANT SELECT ON adults TO analyst")).await.unwrap();
    let adults = oid(&admin, "adults").await;
    let sql = query(&["SELECT pg_catalog.pg_get_viewdef"]).replace("{oid}", &adults);
    let shown = lines(&admin, &sql).await;
    assert_eq!(shown, [" SELECT name, age FROM patients WHERE age >= 18;"]);
    assert_eq!(lines(&hospital.login("analyst"), &sql).await, ["∅"]);
}
