//! Which crate may depend on which: the import rules of `ARCHITECTURE.md`, over the normal and build dependencies that
//! `cargo metadata` tells. Tests' and benchmarks' own dependencies (dev) are free.
//!
//! Invariant: a crate that is not in the table is a violation, so that a new one has to be given its place.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A crate of the workspace, and the crates of the workspace that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("lakeward-base", &[]),
    ("lakeward-proto", &[]),
    ("lakeward-udfs", &[BASE]),
    ("lakeward-catalog", &[BASE, "lakeward-proto"]),
    ("lakeward-delta", &[BASE, "lakeward-catalog"]),
    ("lakeward-govern", &[BASE, "lakeward-proto", "lakeward-catalog"]),
    ("lakeward-audit", &[BASE, "lakeward-proto"]),
    ("lakeward-streams", &[BASE, "lakeward-proto", "lakeward-catalog"]),
    (
        "lakeward-engine",
        &[BASE, "lakeward-udfs", "lakeward-catalog", "lakeward-govern", "lakeward-audit", "lakeward-streams"],
    ),
    ("lakeward-pg", &[BASE, "lakeward-proto", "lakeward-engine"]),
    ("lakeward-flight", &[BASE, "lakeward-proto", "lakeward-engine"]),
    (
        "lakeward-server",
        &[
            BASE,
            "lakeward-pg",
            "lakeward-flight",
            "lakeward-engine",
            "lakeward-delta",
            // Wiring: the server makes the parts that the engine is put together from.
            "lakeward-catalog",
            "lakeward-audit",
            "lakeward-udfs",
        ],
    ),
    (
        "lakeward-tests",
        // For the library that tests and benchmarks share.
        &[BASE, "lakeward-udfs", "lakeward-catalog", "lakeward-delta", "lakeward-audit", "lakeward-engine"],
    ),
    ("lakeward-benches", &[]),
    ("lakeward-fuzz", &["lakeward-engine", "lakeward-pg", "lakeward-flight"]),
    ("xtask", &[]),
];

/// The words that every crate shares.
const BASE: &str = "lakeward-base";

/// Third-party crates that only some crates may name: a prefix, the crates that may, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("deltalake", &["lakeward-delta"], "only catalog/delta names deltalake"),
    ("aws-", &["lakeward-delta"], "only catalog/delta names AWS"),
    ("rdkafka", &["lakeward-streams"], "only server/streams names rdkafka"),
    ("pgwire", &["lakeward-pg"], "only server/pg speaks PostgreSQL's protocol"),
    ("arrow-flight", &["lakeward-flight"], "only server/flight speaks Flight"),
];

/// Crates that may name DataFusion's umbrella; the others name its small crates, so that they build quickly.
const UMBRELLA: &[&str] = &["lakeward-engine"];

/// Features of `object_store` that are remote backends.
const REMOTE_BACKENDS: &[&str] = &["aws", "azure", "gcp", "http", "cloud"];

/// The feature of `lakeward-govern` that no server may have.
const CONTROL: &str = "control";

/// What base may not know.
const NOT_IN_BASE: &[&str] = &["arrow", "datafusion", "parquet", "tokio"];

/// One dependency of one crate.
#[derive(Debug)]
struct Dependency {
    from: String,
    to: String,
    /// Whether it is a crate of this workspace.
    local: bool,
    features: Vec<String>,
}

/// Checks the workspace at `root`.
pub fn check(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    violations(&serde_json::from_slice(&output.stdout)?)
}

/// The violations in the answer of `cargo metadata`.
fn violations(metadata: &Value) -> Result<Vec<String>, Box<dyn Error>> {
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().ok_or("a package has no name")?;
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            found.push(format!("{name}: not in the table of layers (xtask/src/layers.rs)"));
            continue;
        };
        for dependency in dependencies(name, package) {
            found.extend(violation(&dependency, allowed).map(|why| format!("{name} → {}: {why}", dependency.to)));
        }
    }
    Ok(found)
}

/// The dependencies of `package` that are not only for its tests.
fn dependencies(from: &str, package: &Value) -> Vec<Dependency> {
    let listed = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    listed
        .iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| Dependency {
            from: from.to_owned(),
            to: text(&dependency["name"]),
            local: dependency["path"].is_string(),
            features: dependency["features"].as_array().into_iter().flatten().map(text).collect(),
        })
        .collect()
}

/// Why a dependency is not allowed.
fn violation(dependency: &Dependency, allowed: &[&str]) -> Option<String> {
    let (from, to) = (dependency.from.as_str(), dependency.to.as_str());
    if dependency.features.iter().any(|feature| feature == CONTROL) {
        return Some(format!(
            "the feature {CONTROL} holds a policy that leaks: only a test's own dependency may ask for it"
        ));
    }
    if dependency.local {
        return (!allowed.contains(&to)).then(|| "not among the crates that it may name".to_owned());
    }
    if from == "xtask" {
        return None;
    }
    if let Some((_, _, why)) = RESERVED.iter().find(|(prefix, may, _)| to.starts_with(prefix) && !may.contains(&from)) {
        return Some((*why).to_owned());
    }
    if to == "datafusion" && !UMBRELLA.contains(&from) {
        return Some("only server/engine names it; use DataFusion's small crates".to_owned());
    }
    if from == BASE && NOT_IN_BASE.iter().any(|prefix| to.starts_with(prefix)) {
        return Some("base knows neither Arrow nor an async runtime".to_owned());
    }
    let remote = dependency.features.iter().find(|feature| REMOTE_BACKENDS.contains(&feature.as_str()));
    match remote {
        Some(feature) if to == "object_store" && from != "lakeward-delta" => {
            Some(format!("only catalog/delta names storage backends (feature {feature})"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_one(name: &str, dependency: Value) -> Vec<String> {
        violations(&json!({"packages": [{"name": name, "dependencies": [dependency]}]})).expect("metadata")
    }

    fn local(name: &str) -> Value {
        json!({"name": name, "kind": null, "path": "/somewhere", "features": []})
    }

    fn third_party(name: &str) -> Value {
        json!({"name": name, "kind": null, "features": []})
    }

    #[test]
    fn allowed_imports_pass() {
        assert_eq!(check_one("lakeward-engine", local("lakeward-govern")), [""; 0]);
        assert_eq!(check_one("lakeward-engine", third_party("datafusion")), [""; 0]);
        assert_eq!(check_one("lakeward-delta", third_party("deltalake")), [""; 0]);
        assert_eq!(check_one("lakeward-govern", third_party("datafusion-physical-plan")), [""; 0]);
    }

    #[test]
    fn forbidden_imports_are_found() {
        for (from, dependency) in [
            ("lakeward-base", local("lakeward-proto")),
            ("lakeward-govern", local("lakeward-engine")),
            ("lakeward-pg", local("lakeward-catalog")),
            ("lakeward-govern", third_party("datafusion")),
            ("lakeward-server", third_party("deltalake-core")),
            ("lakeward-flight", third_party("pgwire")),
            ("lakeward-base", third_party("tokio-util")),
            ("lakeward-catalog", json!({"name": "object_store", "kind": null, "features": ["fs", "aws"]})),
            ("lakeward-udfs", json!({"name": "datafusion", "kind": "build", "features": []})),
            ("lakeward-nowhere", local("lakeward-base")),
            ("lakeward-benches", local("lakeward-tests")),
            (
                "lakeward-engine",
                json!({"name": "lakeward-govern", "kind": null, "path": "/somewhere", "features": ["control"]}),
            ),
        ] {
            assert_eq!(check_one(from, dependency.clone()).len(), 1, "{from} → {dependency}");
        }
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let dependency = json!({"name": "lakeward-engine", "kind": "dev", "path": "/somewhere", "features": []});
        assert_eq!(check_one("lakeward-govern", dependency), [""; 0]);
    }
}
