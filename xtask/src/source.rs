//! The repository's text files, in the order of their paths.
//!
//! Invariant: build output, version control, virtual environments and the demo's data are never looked into.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use crate::outline::Outline;

/// One text file.
pub struct SourceFile {
    /// Relative to the root, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether a program wrote it.
    pub fn is_generated(&self) -> bool {
        self.path.contains("/generated/")
    }

    /// Where the files of its modules are.
    fn modules(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some((directory, "lib.rs" | "main.rs" | "mod.rs")) => directory,
            _ => self.path.trim_end_matches(".rs"),
        }
    }
}

/// A Rust file that no program wrote, with its outline.
pub struct RustFile {
    /// The file.
    pub file: SourceFile,
    /// Its outline.
    pub outline: Outline,
    /// Whether all of it is test code: below `tests` or `benches`, or a module declared under `#[cfg(test)]`.
    pub is_test: bool,
}

/// The Rust files among `files`.
pub fn rust(files: Vec<SourceFile>) -> Result<Vec<RustFile>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut test_modules = BTreeSet::new();
    for file in files.into_iter().filter(|file| file.is_rust() && !file.is_generated()) {
        let outline = Outline::of(&file.text).map_err(|error| format!("{}: {error}", file.path))?;
        test_modules.extend(outline.test_modules.iter().map(|name| format!("{}/{name}", file.modules())));
        found.push(RustFile { file, outline, is_test: false });
    }
    for rust in &mut found {
        rust.is_test = is_test(&rust.file.path, &test_modules);
    }
    Ok(found)
}

fn is_test(path: &str, test_modules: &BTreeSet<String>) -> bool {
    let path = path.trim_end_matches(".rs");
    let below = |module: &String| {
        path.strip_prefix(module.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    path.split('/').any(|directory| matches!(directory, "tests" | "benches")) || test_modules.iter().any(below)
}

/// Every UTF-8 file below `root`.
pub fn files(root: &Path) -> io::Result<Vec<SourceFile>> {
    let mut found = Vec::new();
    collect(root, "", &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(directory: &Path, prefix: &str, found: &mut Vec<SourceFile>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if is_made(&entry.path(), &name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found)?;
        } else if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
            found.push(SourceFile { path, text });
        }
    }
    Ok(())
}

/// Whether programs make what is at `path`. In a linked work tree `.git` is a file; Cargo marks its own directories,
/// wherever it was told to build.
fn is_made(path: &Path, name: &str) -> bool {
    matches!(name, ".git" | "target" | ".venv" | "__pycache__" | "demo-data") || path.join("CACHEDIR.TAG").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_make_is_not_read() {
        let root = std::env::temp_dir().join(format!("lakeward-source-{}", std::process::id()));
        for directory in ["demo-data", "built", "src"] {
            fs::create_dir_all(root.join(directory)).expect("a directory");
            fs::write(root.join(directory).join("a.rs"), "//! A.").expect("a file");
        }
        fs::write(root.join("built/CACHEDIR.TAG"), "").expect("a file");
        fs::write(root.join(".git"), "gitdir: elsewhere").expect("a file");
        let found: Vec<_> = files(&root).expect("files").into_iter().map(|file| file.path).collect();
        fs::remove_dir_all(&root).expect("removed");
        assert_eq!(found, ["src/a.rs"]);
    }

    #[test]
    fn modules_declared_as_tests_are_tests_with_all_below_them() {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let files = vec![
            file("a/src/lib.rs", "mod scan; #[cfg(test)] mod testing;"),
            file("a/src/testing.rs", "mod rows;"),
            file("a/src/testing/rows.rs", ""),
            file("a/src/testing_ground.rs", ""),
            file("a/src/scan.rs", "#[cfg(test)] mod tests;"),
            file("a/src/scan/tests.rs", ""),
            file("tests/it/main.rs", ""),
            file("a/src/generated/code.rs", "not { Rust"),
        ];
        let found = rust(files).expect("parses");
        let tests: Vec<_> = found.iter().filter(|rust| rust.is_test).map(|rust| rust.file.path.as_str()).collect();
        assert_eq!(tests, ["a/src/testing.rs", "a/src/testing/rows.rs", "a/src/scan/tests.rs", "tests/it/main.rs"]);
        assert_eq!(found.len(), 7);
    }
}
