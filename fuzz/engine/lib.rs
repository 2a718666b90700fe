//! The engine's parsers for the fuzzers: statements, expressions, and the text forms of values.
//!
//! The modules are the engine's own files (`build.rs`). Here stands what they need of the rest: names, and errors.

extern crate self as datafusion;
extern crate self as lakeward_catalog;

include!(concat!(env!("OUT_DIR"), "/engine/root.rs"));

pub use datafusion_common as common;
pub use datafusion_expr as logical_expr;
pub use definition::{CatalogType, catalog_type};
pub use error::Error;
pub use model::{PolicyCommand, Privilege};
pub use postgres::read_text;
pub use statement::{CopyHeader, CopyOptions, CopyStyle, Part, Quoted, first_refused, split};

impl Privilege {
    /// The catalog's words are of no matter here.
    #[must_use]
    pub fn as_sql(self) -> &'static str {
        "PRIVILEGE"
    }
}

/// As `lakeward_catalog` has them.
pub const FILE_COLUMN: &str = "\u{1}file";
/// As `lakeward_catalog` has them.
pub const ROW_COLUMN: &str = "\u{1}row";

/// `datafusion::sql`.
pub mod sql {
    pub use sqlparser;
}

pub(crate) mod bounded {
    pub(crate) const BATCH_BYTES: u64 = 256 << 20;
}

pub(crate) mod functions {
    pub(crate) const DATABASE: &str = "lakeward";

    /// As DataFusion has it; only what plans calls it.
    pub(crate) mod unicode {
        pub(crate) fn substr() -> std::sync::Arc<datafusion_expr::ScalarUDF> {
            panic!("nothing is planned here")
        }
    }
}

pub(crate) mod names {
    pub(crate) const TABLE_FUNCTIONS: &[&str] = &["generate_series", "range"];
}

pub(crate) mod system {
    pub(crate) const SCHEMA: &str = "system";
}

pub(crate) mod version {
    pub(crate) const TARGET_MARK: &str = "\u{1}#";
    pub(crate) const HISTORY_MARK: &str = "\u{1}?";
    pub(crate) const CHANGES_FUNCTION: &str = "table_changes";
}

pub(crate) mod publish {
    /// A fault of the server's own: the fuzzers' business.
    pub(crate) fn incident(stage: &str, kind: &str) -> crate::Error {
        panic!("an incident: {stage}, {kind}")
    }
}

/// The name of a function by its OID: none is needed.
#[must_use]
pub fn function_name(_oid: u32) -> Option<&'static str> {
    None
}

/// Reads a text as the doors do, statement by statement.
pub fn statements(text: &str) {
    without_literals(&statement::normalize(text));
    without_literals(&statement::describe(text).1);
    let Ok(parts) = split(text) else { return };
    let _ = first_refused(&parts);
    for part in &parts {
        if let Ok(parsed) = statement::parse(&part.text) {
            without_literals(&parsed.normalized);
            meant(&parsed.kind);
        }
    }
}

/// Reads a text as an expression, and as the body of a policy and of a mask.
pub fn expressions(text: &str) {
    if let Ok(mut expression) = statement::parse_expression(text) {
        let _ = postgres::rewrite_expression(&mut expression);
    }
    let _ = statement::parse_name(text);
    for sql in [
        format!("CREATE POLICY p ON t USING ({text})"),
        format!("CREATE POLICY p ON t FOR UPDATE TO r USING (true) WITH CHECK ({text})"),
        format!("ALTER POLICY p ON t USING ({text})"),
        format!("CREATE MASKING POLICY m AS (val text, other int) RETURNS text -> {text}"),
    ] {
        statements(&sql);
    }
}

/// A query, as the planner is given it.
fn meant(kind: &statement::Kind) {
    let query = match kind {
        statement::Kind::Query(query) => query,
        statement::Kind::Insert(insert) => &insert.source,
        statement::Kind::Change(change) => &change.source,
        statement::Kind::CopyOut(copy) => &copy.source,
        _ => return,
    };
    let _ = output::column_names(query, 3);
    let _ = postgres::rewrite(&mut query.as_ref().clone());
}

/// A literal that survived would be taken out by the second pass.
fn without_literals(normalized: &str) {
    if !normalized.ends_with('…') {
        assert_eq!(statement::normalize(normalized), normalized, "a literal is kept");
    }
}

/// Reads a text as a value; one that is read is shown, and read again it is the same.
pub fn value(text: &str, wanted: &arrow::datatypes::DataType, zone: Option<arrow::array::timezone::Tz>) {
    let Ok(value) = read_text(text, wanted, zone) else { return };
    let utc = "UTC".parse().expect("a zone");
    let Some(shown) = postgres::shown(&value, zone.unwrap_or(utc)) else { return };
    match read_text(&shown, wanted, zone) {
        Ok(again) => assert_eq!(postgres::shown(&again, zone.unwrap_or(utc)), Some(shown), "of {text:?}"),
        Err(error) => panic!("{shown:?}, which {text:?} was shown as, is not read: {error}"),
    }
}

/// Reads JSON, and what became of it.
pub fn json(text: &str) {
    if let Some((once, twice)) = postgres::json_twice(text) {
        assert_eq!(once, twice, "of {text:?}");
    }
}
