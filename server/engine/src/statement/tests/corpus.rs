//! Hostile statements and expressions: nothing panics, and no literal is kept for the audit.

use std::path::Path;

use crate::statement::{describe, first_refused, normalize, parse, parse_expression, split};

/// The files of one kind in `tests/hostile`, as text.
pub(crate) fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile").join(target);
    let files = std::fs::read_dir(directory).expect("the corpus is there");
    let files = files.map(|file| {
        let path = file.expect("a file").path();
        (path.display().to_string(), std::fs::read(&path).expect("a file"))
    });
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty());
    files
}

/// A literal that survived would be taken out by the second pass.
fn assert_without_literals(normalized: &str, file: &str) {
    if !normalized.ends_with('…') {
        assert_eq!(normalize(normalized), normalized, "{file}");
    }
}

fn read(text: &str, file: &str) {
    assert_without_literals(&normalize(text), file);
    assert_without_literals(&describe(text).1, file);
    let Ok(parts) = split(text) else { return };
    let _ = first_refused(&parts);
    for part in &parts {
        if let Ok(parsed) = parse(&part.text) {
            assert_without_literals(&parsed.normalized, file);
        }
    }
}

#[test]
fn the_corpus_of_statements_is_read() {
    for (file, bytes) in corpus("front") {
        read(&String::from_utf8_lossy(&bytes), &file);
    }
}

#[test]
fn the_corpus_of_expressions_is_read() {
    for (file, bytes) in corpus("policy") {
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse_expression(&text);
        read(&format!("CREATE POLICY p ON t USING ({text})"), &file);
        read(&format!("CREATE MASKING POLICY m AS (val text) RETURNS text -> {text}"), &file);
    }
}
