//! What drivers ask when they connect, look up a type, or list tables.

use datafusion::common::ScalarValue;

use super::fixture::{Hospital, lines, prepared};

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
