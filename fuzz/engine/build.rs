//! Copies the engine's parsers out of its source, and puts stubs in place of what runs statements: so they are compiled
//! and instrumented without DataFusion. Nothing else is changed; a new dependency of a parser fails the build here.

use std::fs;
use std::path::{Path, PathBuf};

/// Files and directories of the engine.
const PARSERS: &[&str] = &["bytea.rs", "error.rs", "output.rs", "ddl", "statement", "postgres", "system/pg_catalog/definition.rs"];

/// What is not a parser: file, and what stands there instead.
const STUBS: &[(&str, &str)] = &[
    (
        "ddl/execute.rs",
        "pub(crate) type Created = (); pub(crate) type Creation = (); pub(crate) type DdlContext = ();\n\
         pub(crate) use self::DdlContext as DdlValidator;\n\
         pub(crate) fn create_table() {} pub(crate) fn execute() {} pub(crate) fn existing_table() {} pub(crate) fn undo_create() {}\n",
    ),
    (
        "postgres/aggregate.rs",
        "pub(super) fn functions() -> Vec<std::sync::Arc<datafusion::logical_expr::AggregateUDF>> { Vec::new() }\n",
    ),
];

/// Doors for the fuzzers, into what is private.
const DOORS: &[(&str, &str)] = &[(
    "postgres/mod.rs",
    "/// A value as text, as the server shows it.\n\
     pub fn shown(value: &datafusion::common::ScalarValue, zone: arrow::array::timezone::Tz) -> Option<String> {\n\
     output::text_of(value, zone)\n}\n\
     /// JSON, read and written twice.\n\
     pub fn json_twice(text: &str) -> Option<(String, String)> {\n\
     let once = document::Json::parse(text).ok()?.normal().to_jsonb();\n\
     let again = document::Json::parse(&once).ok().map(|json| json.normal().to_jsonb());\n\
     Some((once, again.unwrap_or_default()))\n}\n",
)];

fn main() {
    let engine = Path::new("../../server/engine/src");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where")).join("engine");
    let _ = fs::remove_dir_all(&out);
    for name in PARSERS {
        println!("cargo::rerun-if-changed={}", engine.join(name).display());
        copy(&engine.join(name), &out.join(name));
    }
    let catalog = Path::new("../../catalog/src");
    for name in ["model.rs", "scram.rs"] {
        println!("cargo::rerun-if-changed={}", catalog.join(name).display());
        copy(&catalog.join(name), &out.join(name));
    }
    for name in ["relations.txt", "information_schema.txt", "system.txt"] {
        let name = Path::new("system/pg_catalog").join(name);
        copy(&engine.join(&name), &out.join(&name));
    }
    for (name, stub) in STUBS {
        let _ = fs::remove_dir_all(out.join(name).with_extension(""));
        fs::write(out.join(name), stub).expect("a stub is written");
    }
    for (name, door) in DOORS {
        let text = fs::read_to_string(out.join(name)).expect("a file was copied");
        fs::write(out.join(name), text + door).expect("a door is added");
    }
    let modules = [
        ("mod bytea", "bytea.rs"),
        ("pub mod error", "error.rs"),
        ("pub mod output", "output.rs"),
        ("pub mod ddl", "ddl/mod.rs"),
        ("pub mod statement", "statement/mod.rs"),
        ("pub mod postgres", "postgres/mod.rs"),
        ("mod definition", "system/pg_catalog/definition.rs"),
        ("pub mod model", "model.rs"),
        ("pub mod scram", "scram.rs"),
    ];
    let root: Vec<String> =
        modules.iter().map(|(module, file)| format!("#[path = {:?}] {module};\n", out.join(file))).collect();
    fs::write(out.join("root.rs"), root.concat()).expect("the root is written");
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().expect("a file has a directory")).expect("a directory is made");
        fs::copy(from, to).expect("a file is copied");
        return;
    }
    for entry in fs::read_dir(from).expect("a directory of the engine") {
        let entry = entry.expect("an entry");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
