//! Delta tables that other writers made with features of the protocol: each is read as it is meant, or refused by name.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::Lab;

/// Actions of one commit, one a line.
fn commit(table: &Path, version: u64, actions: &[Value]) {
    let log = table.join("_delta_log");
    std::fs::create_dir_all(&log).unwrap();
    let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
    std::fs::write(log.join(format!("{version:020}.json")), lines.join("\n")).unwrap();
}

fn protocol(readers: &[&str], writers: &[&str]) -> Value {
    json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": readers, "writerFeatures": writers}})
}

fn metadata(fields: &Value, configuration: &Value) -> Value {
    let schema = json!({"type": "struct", "fields": fields}).to_string();
    json!({"metaData": {"id": "0a6e7a4a-5c5a-4d0c-8a31-6f3b4f6f0b11", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": [], "configuration": configuration, "createdTime": 1}})
}

fn field(name: &str, data_type: &str, metadata: &Value) -> Value {
    json!({"name": name, "type": data_type, "nullable": true, "metadata": metadata})
}

/// An empty table that asks its readers for `features`.
fn asking(directory: &Path, name: &str, features: &[&str]) -> PathBuf {
    let table = directory.join(name);
    let fields = json!([field("id", "long", &json!({}))]);
    commit(&table, 0, &[protocol(features, features), metadata(&fields, &json!({}))]);
    table
}

fn register(name: &str, table: &Path) -> String {
    format!("CREATE EXTERNAL TABLE {name} STORED AS DELTA LOCATION 'file://{}/'", table.display())
}

#[test]
fn a_feature_that_is_not_implemented_is_refused_by_its_name() {
    let lab = Lab::open("");
    let directory = tempfile::tempdir().unwrap();
    let admin = lab.psql("admin");
    for feature in [
        "typeWidening",
        "typeWidening-preview",
        "variantType",
        "variantType-preview",
        "variantShredding",
        "variantShredding-preview",
        "catalogManaged",
        "catalogOwned-preview",
        "frobnication",
    ] {
        let table = asking(directory.path(), feature, &["timestampNtz", feature]);
        let (code, text) = admin.fails(&register("x", &table));
        assert!(code == "0A000" && text.contains(&format!("Delta feature {feature} ")), "{feature}: {text}");
    }
    // A name that is none is not repeated, and one that comes later closes the table that was open.
    let table = asking(directory.path(), "odd", &["a b'; --"]);
    let (code, text) = admin.fails(&register("x", &table));
    assert!(code == "0A000" && text.contains("with a malformed name"), "{text}");
    let table = asking(directory.path(), "later", &["timestampNtz"]);
    admin.rows(&register("later", &table));
    assert_eq!(admin.rows("SELECT count(*) FROM later"), "0");
    for feature in ["variantType", "frobnication"] {
        let features = ["timestampNtz", feature];
        commit(&table, if feature == "variantType" { 1 } else { 2 }, &[protocol(&features, &features)]);
        let (code, text) = admin.fails("SELECT count(*) FROM later");
        assert!(code == "0A000" && text.contains(&format!("Delta feature {feature} ")), "{feature}: {text}");
        assert_eq!(admin.fails("INSERT INTO later VALUES (1)").0, "0A000", "{feature}");
    }
    // The protocol's own versions.
    for (reader, writer) in [(4, 7), (99, 99)] {
        let table = directory.path().join(format!("v{reader}"));
        let version = json!({"protocol": {"minReaderVersion": reader, "minWriterVersion": writer}});
        commit(&table, 0, &[version, metadata(&json!([field("id", "long", &json!({}))]), &json!({}))]);
        let (code, text) = admin.fails(&register("x", &table));
        assert!(code == "0A000" && text.contains("Delta reader protocol"), "{reader}: {text}");
    }
}

/// A table of one file with the numbers 0 to 29 that Lakeward wrote, not registered any more; and its actions.
fn written(lab: &Lab, table: &Path) -> Vec<Value> {
    lab.psql("admin").rows(&format!(
        "CREATE TABLE made (id bigint) LOCATION 'file://{}/'; \
         INSERT INTO made SELECT value FROM generate_series(0, 29) AS s(value); DROP TABLE made",
        table.display()
    ));
    let log = table.join("_delta_log");
    let text = |version: u64| std::fs::read_to_string(log.join(format!("{version:020}.json"))).unwrap();
    let actions = [text(0), text(1)].join("\n");
    let actions = actions.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap());
    let actions: Vec<Value> = actions.filter(|action: &Value| action.get("commitInfo").is_none()).collect();
    std::fs::remove_dir_all(&log).unwrap();
    actions
}

fn of_kind(actions: &[Value], kind: &str) -> Value {
    actions.iter().find(|action| action.get(kind).is_some()).unwrap().clone()
}

#[test]
fn deletion_vectors_hide_rows() {
    let lab = Lab::open("");
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("dv");
    let actions = written(&lab, &table);
    let mut add = of_kind(&actions, "add");
    // The example of Delta's protocol: rows 3, 4, 7, 11, 18 and 29.
    add["add"]["deletionVector"] = json!({"storageType": "i", "offset": null, "sizeInBytes": 44, "cardinality": 6,
        "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"});
    commit(&table, 0, &[protocol(&["deletionVectors"], &["deletionVectors"]), of_kind(&actions, "metaData"), add]);
    let admin = lab.psql("admin");
    admin.rows(&register("dv", &table));
    assert_eq!(admin.rows("SELECT count(*), sum(id), min(id), max(id) FROM dv"), "24|363|0|28");
    assert_eq!(admin.rows("SELECT id FROM dv WHERE id IN (3, 4, 5, 7, 11, 18, 29)"), "5");
}

#[test]
fn mapped_columns_are_found_by_their_names_in_files() {
    let lab = Lab::open("");
    let directory = tempfile::tempdir().unwrap();
    for mode in ["name", "id"] {
        let table = directory.path().join(mode);
        let actions = written(&lab, &table);
        let mapping = json!({"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "id"});
        let fields = json!([field("patient", "long", &mapping)]);
        let configuration = json!({"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "1"});
        let mut add = of_kind(&actions, "add");
        add["add"]["stats"] = Value::Null;
        commit(&table, 0, &[protocol(&["columnMapping"], &["columnMapping"]), metadata(&fields, &configuration), add]);
        let admin = lab.psql("admin");
        let name = format!("mapped_{mode}");
        let answer =
            admin.run(&format!("{}; SELECT count(patient), max(patient) FROM {name}", register(&name, &table)));
        // The files have no ids of columns: by id, each value is unknown, or the table is refused; never another column's.
        match mode {
            "name" => assert_eq!(answer.out, "30|29", "{}", answer.err),
            _ => assert!(answer.out == "0|" || !answer.ok || answer.out == "30|29", "{} {}", answer.out, answer.err),
        }
    }
}

#[test]
fn second_version_checkpoints_are_read() {
    let lab = Lab::open("");
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("v2");
    let actions = written(&lab, &table);
    let protocol = protocol(&["v2Checkpoint"], &["v2Checkpoint"]);
    let configuration = json!({"delta.checkpointPolicy": "v2"});
    let mut metadata = of_kind(&actions, "metaData");
    metadata["metaData"]["configuration"] = configuration;
    commit(&table, 1, &[json!({"commitInfo": {"timestamp": 1}})]);
    let lines = [json!({"checkpointMetadata": {"version": 1}}), protocol, metadata, of_kind(&actions, "add")];
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let name = "00000000000000000001.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json";
    std::fs::write(table.join("_delta_log").join(name), text.join("\n")).unwrap();
    let admin = lab.psql("admin");
    admin.rows(&register("v2", &table));
    assert_eq!(admin.rows("SELECT count(*), max(id) FROM v2"), "30|29");
}

#[test]
fn what_asks_readers_for_nothing_is_read() {
    let lab = Lab::open("");
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("vacuum");
    let actions = written(&lab, &table);
    let features = ["vacuumProtocolCheck"];
    commit(&table, 0, &[protocol(&features, &features), of_kind(&actions, "metaData"), of_kind(&actions, "add")]);
    let admin = lab.psql("admin");
    admin.rows(&register("v", &table));
    assert_eq!(admin.rows("SELECT count(*), max(id) FROM v"), "30|29");
    // Features of writers only are refused to writers, by name.
    let table = directory.path().join("tracking");
    let fields = json!([field("id", "long", &json!({}))]);
    let writers =
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking"]}});
    commit(&table, 0, &[writers, metadata(&fields, &json!({}))]);
    admin.rows(&register("t", &table));
    assert_eq!(admin.rows("SELECT count(*) FROM t"), "0");
    let (code, text) = admin.fails("INSERT INTO t VALUES (1)");
    assert!(code == "0A000" && text.contains("rowTracking"), "{text}");
}
