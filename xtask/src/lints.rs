//! Which code may read a table raw, and which may make a SessionContext.
//!
//! Invariants: outside tests, only the barrier (`server/govern`), the store itself (`catalog/src/store.rs`) and
//! `catalog/delta` call `RawTable::privileged_provider` or `RawTable::scan`: the engine's writers may not read; and only
//! the engine's template makes a `SessionContext`, so that no session starts with another's catalog or functions.

use std::error::Error;
use std::path::Path;

use crate::outline::{Call, Callee, Outline};
use crate::source;

/// Where a table may be read raw.
const READERS: &[&str] = &["server/govern/src/", "catalog/src/store.rs", "catalog/delta/src/"];

/// Where a SessionContext may be made.
const CONTEXTS: &[&str] = &["server/engine/src/template.rs"];

/// Checks the repository at `root`.
pub fn check(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut found = Vec::new();
    for rust in source::rust(source::files(root)?)?.iter().filter(|rust| !rust.is_test) {
        found.extend(violations(&rust.file.path, &rust.outline));
    }
    Ok(found)
}

fn violations(path: &str, outline: &Outline) -> Vec<String> {
    let found = outline.calls.iter().filter_map(|call| {
        let why = violation(path, call, outline.names_raw_table)?;
        Some(format!("{path}:{}: {why}", call.line))
    });
    found.collect()
}

/// Why a call may not stand in the file at `path`.
///
/// Any provider has a `scan` with four arguments, so such a call counts where the file names `RawTable`.
fn violation(path: &str, call: &Call, names_raw_table: bool) -> Option<&'static str> {
    let within = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    match call.callee {
        Callee::PrivilegedProvider if !within(READERS) => {
            Some("only server/govern takes a table's privileged provider")
        }
        Callee::Scan if names_raw_table && !within(READERS) => Some("only server/govern scans a raw table"),
        Callee::SessionContext if !within(CONTEXTS) => {
            Some("only the engine's template makes a SessionContext (server/engine/src/template.rs)")
        }
        Callee::PrivilegedProvider | Callee::Scan | Callee::SessionContext => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str) -> usize {
        violations(path, &Outline::of(text).expect("parses")).len()
    }

    #[test]
    fn raw_reads_are_the_barriers_alone() {
        let reads = "fn f(raw: &RawTable) { raw.privileged_provider(); raw.scan(a, b, c, d); }";
        assert_eq!(check_one("server/govern/src/table.rs", reads), 0);
        assert_eq!(check_one("catalog/delta/src/scan.rs", reads), 0);
        assert_eq!(check_one("server/engine/src/write.rs", reads), 2);
        assert_eq!(check_one("catalog/src/model.rs", reads), 2);
    }

    #[test]
    fn another_provider_may_be_scanned() {
        assert_eq!(check_one("server/engine/src/system.rs", "fn f() { self.inner.scan(a, b, c, d); log.scan() }"), 0);
    }

    #[test]
    fn contexts_come_from_the_template() {
        let makes = "fn f() -> SessionContext { SessionContext::new_with_state(s) }";
        assert_eq!(check_one("server/engine/src/template.rs", makes), 0);
        assert_eq!(check_one("server/engine/src/plan.rs", makes), 1);
        assert_eq!(check_one("server/engine/src/plan.rs", &format!("#[cfg(test)] mod tests {{ {makes} }}")), 0);
    }
}
