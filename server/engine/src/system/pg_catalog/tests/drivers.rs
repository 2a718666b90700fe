//! What drivers ask when they connect, look up a type, or list tables.

use datafusion::common::ScalarValue;

use super::fixture::{Hospital, lines, prepared, table};

/// What SQLAlchemy, pgjdbc, asyncpg, and ADBC send for everything that their interfaces can ask, parameters filled in.
const QUERIES: &str = include_str!("drivers.sql");

#[tokio::test]
async fn all_of_the_drivers_queries_run() {
    let hospital = Hospital::open().await;
    let mut failed = Vec::new();
    for user in ["admin", "analyst"] {
        let session = hospital.login(user);
        for query in QUERIES.split(";\n").map(str::trim).filter(|query| !query.is_empty()) {
            if let Err(error) = table(&session, query).await {
                failed.push(format!("{user}: {error} {:?}\n{query}", lakeward_base::Coded::detail(&error)));
            }
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.len(), failed.join("\n\n"));
}

#[tokio::test]
async fn asyncpg_learns_what_an_array_is_made_of() {
    let hospital = Hospital::open().await;
    let sql = QUERIES.split(";\n").find(|query| query.contains("typeinfo_tree")).unwrap();
    let rows = table(&hospital.login("analyst"), sql).await.unwrap();
    assert!(
        rows.contains(&"23|pg_catalog|int4|b|∅|0|∅|∅|∅|∅|1|∅|-|∅".split('|').map(str::to_owned).collect()),
        "{rows:?}"
    );
    assert!(rows.iter().any(|row| row[..6] == ["1007", "pg_catalog", "_int4", "b", "∅", "23"]), "{rows:?}");
}

#[tokio::test]
async fn what_an_index_is_asked_for_is_not_made_up() {
    let hospital = Hospital::open().await;
    let admin = hospital.login("admin");
    let none = "SELECT (information_schema._pg_expandarray(indkey)).n, generate_subscripts(indkey, 1) FROM pg_index";
    assert_eq!(lines(&admin, none).await, [""; 0]);
    let some = "SELECT information_schema._pg_expandarray(ARRAY[1, 2]) FROM pg_am";
    assert_eq!(lakeward_base::Coded::sqlstate(&table(&admin, some).await.unwrap_err()).as_str(), "0A000");
    let kinds = "SELECT CASE WHEN typtype = 'b' THEN (SELECT 'base' FROM pg_am) END FROM pg_type WHERE oid = 23";
    assert_eq!(lines(&admin, kinds).await, ["base"]);
    let tables = "SELECT c.tableoid, n.tableoid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                  WHERE c.oid = 'patients'::regclass AND c.tableoid = 'pg_class'::regclass";
    assert_eq!(lines(&admin, tables).await, ["1259|2615|patients"]);
    let keywords = "SELECT count(*) > 400, bool_or(word = 'select' AND catcode = 'R') FROM pg_get_keywords()";
    assert_eq!(lines(&admin, keywords).await, ["true|true"]);
}

#[tokio::test]
async fn a_setting_is_changed_by_a_function() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let sql = "SELECT current_setting('jit'), set_config('jit', 'on', false)";
    assert_eq!(lines(&analyst, sql).await, ["off|on"]);
    assert_eq!(lines(&analyst, "SHOW jit").await, ["on"]);
    assert_eq!(lines(&analyst, "SELECT set_config('search_path', '', false)").await, [""]);
    assert_eq!(lines(&analyst, "SHOW search_path").await, [""]);
    for (sql, code) in [
        ("SELECT set_config('purpose_of_use', 'TREAT', false)", "0A000"),
        ("SELECT set_config('role', 'admin', false)", "0A000"),
        ("SELECT set_config('timezone', 'UTC', false)", "0A000"),
        ("SELECT set_config('server_encoding', 'UTF8', false)", "0A000"),
        ("SELECT set_config('is_superuser', 'on', false)", "55P02"),
        ("SELECT set_config('datafusion.x', 'y', false)", "42704"),
        ("SELECT set_config('jit', 'maybe', false)", "22023"),
    ] {
        let error = table(&analyst, sql).await.unwrap_err();
        assert_eq!(lakeward_base::Coded::sqlstate(&error).as_str(), code, "{sql}");
    }
    assert_eq!(lines(&analyst, "SELECT current_setting('purpose_of_use'), current_user").await, ["|analyst"]);
}

#[tokio::test]
async fn lakewards_own_functions_are_listed() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let sql = "SELECT proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid) FROM pg_proc p \
               JOIN pg_namespace n ON n.oid = p.pronamespace WHERE nspname = 'system' ORDER BY 1";
    let rows = lines(&analyst, sql).await;
    assert!(rows.contains(&"mask_show_last|text, integer|text".to_owned()), "{rows:?}");
    // All that there are, and no others.
    let mut names: Vec<String> = lakeward_udfs::scalar_functions(crate::testing::keys())
        .iter()
        .map(|function| function.name().to_owned())
        .chain(["current_purpose", "is_role_in_session", "principal_attribute"].map(str::to_owned))
        .collect();
    names.sort();
    let listed: Vec<String> = rows.iter().map(|row| row.split('|').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(listed, names);
    assert_eq!(lines(&analyst, "SELECT 'mask_null'::regproc::oid, 15204::regproc").await, ["15204|mask_null"]);
}

#[tokio::test]
async fn a_pattern_has_its_escape_wherever_it_comes_from() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let sql = "SELECT 'pg_x' LIKE 'pg/_' || '%' ESCAPE '/', 'pgax' LIKE 'pg/_' || '%' ESCAPE '/', \
               'a\\b' LIKE p ESCAPE '#', 'a%' NOT LIKE (p || '') ESCAPE '' FROM (VALUES ('a\\b')) AS v(p)";
    assert_eq!(lines(&analyst, sql).await, ["true|false|true|true"]);
}

#[tokio::test]
async fn tokio_postgres_looks_up_a_type() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let sql = "SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid \
               FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
               INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1";
    let rows = prepared(&analyst, sql, vec![ScalarValue::UInt32(Some(1009))]).await.unwrap();
    assert_eq!(rows[1], ["_text", "b", "25", "∅", "0", "pg_catalog", "0"]);
}

#[tokio::test]
async fn psycopg_looks_up_a_type_by_name() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let sql = "SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter \
               FROM pg_type t WHERE t.oid = to_regtype($1) ORDER BY t.oid";
    let rows = prepared(&analyst, sql, vec![ScalarValue::from("int4")]).await.unwrap();
    assert_eq!(rows[1], ["int4", "23", "1007", "integer", ","]);
}

#[tokio::test]
async fn sqlalchemy_starts_and_reflects() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    assert!(lines(&analyst, "select pg_catalog.version()").await[0].starts_with("PostgreSQL 15.0"));
    assert_eq!(lines(&analyst, "select current_schema()").await, ["public"]);
    let has_table = "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace \
        ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace \
        WHERE pg_catalog.pg_class.relname = 'patients' AND pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) \
        AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog'";
    assert_eq!(lines(&analyst, has_table).await, ["patients"]);
    let columns = "SELECT pg_catalog.pg_attribute.attname AS name, \
        pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, \
        (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1 \
         FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid \
         AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum AND pg_catalog.pg_attribute.atthasdef) AS \"default\", \
        pg_catalog.pg_attribute.attnotnull AS not_null, pg_catalog.pg_class.relname AS table_name, \
        pg_catalog.pg_description.description AS comment, pg_catalog.pg_attribute.attgenerated AS generated, \
        (SELECT json_build_object('always', pg_catalog.pg_attribute.attidentity = 'a', 'start', pg_catalog.pg_sequence.seqstart) \
         AS json_build_object_1 FROM pg_catalog.pg_sequence WHERE pg_catalog.pg_attribute.attidentity != '' \
         AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence( \
         CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) \
         AS identity_options \
        FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute \
        ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > 0 \
        AND NOT pg_catalog.pg_attribute.attisdropped LEFT OUTER JOIN pg_catalog.pg_description \
        ON pg_catalog.pg_description.objoid = pg_catalog.pg_attribute.attrelid \
        AND pg_catalog.pg_description.objsubid = pg_catalog.pg_attribute.attnum \
        JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace \
        WHERE pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) \
        AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog' \
        AND pg_catalog.pg_class.relname IN ('patients') ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_attribute.attnum";
    let rows = lines(&analyst, columns).await;
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[3], "weight|numeric(5,2)|∅|false|patients|∅||∅");
}

#[tokio::test]
async fn pgjdbc_lists_tables() {
    let hospital = Hospital::open().await;
    let sql = "SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, \
        CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM TABLE' \
        WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END AS TABLE_TYPE, \
        d.description AS REMARKS, '' as TYPE_CAT, '' as TYPE_SCHEM, '' as TYPE_NAME, \
        '' AS SELF_REFERENCING_COL_NAME, '' AS REF_GENERATION \
        FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c \
        LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) \
        WHERE c.relnamespace = n.oid AND n.nspname LIKE 'public' \
        AND (false OR ( c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ) ) \
        ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME";
    assert_eq!(lines(&hospital.login("analyst"), sql).await, ["∅|public|patients|TABLE|∅|||||"]);
    let is_array = "SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, pg_type.oid \
        FROM pg_catalog.pg_type LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns \
        join ( select 1 as r, 'public' as nspname ) as r using ( nspname ) ) as sp ON sp.nspoid = typnamespace \
        WHERE typname = '_int4' ORDER BY sp.r, pg_type.oid DESC LIMIT 1";
    assert_eq!(lines(&hospital.login("analyst"), is_array).await, ["true|b|_int4|1007"]);
}

#[tokio::test]
async fn information_schema_lists_tables_and_columns() {
    let hospital = Hospital::open().await;
    let analyst = hospital.login("analyst");
    let tables = "SELECT table_schema, table_name, table_type FROM information_schema.tables \
                  WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'system')";
    assert_eq!(lines(&analyst, tables).await, ["public|patients|BASE TABLE"]);
    let columns = "SELECT column_name, data_type, numeric_precision, udt_name FROM information_schema.columns \
                   WHERE table_name = 'patients' ORDER BY ordinal_position";
    let rows = lines(&analyst, columns).await;
    assert_eq!(rows[0], "patient_id|bigint|64|int8");
    assert_eq!(rows[3], "weight|numeric|5|numeric");
}
