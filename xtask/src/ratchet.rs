//! Lengths that may only fall: files and functions over their caps are listed in `xtask/ratchet.toml`, with their lines.
//! Also: every Rust file opens with `//!`, and no file holds a word that does not belong here.
//!
//! Invariants: an exception is as long as its number says, no longer and no shorter; against the committed list, a number
//! may only fall and no entry may come.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::outline::Outline;
use crate::source::{self, SourceFile};
use crate::words;

const LIST: &str = "xtask/ratchet.toml";
const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// What is longer than its cap: a file by its path, a function by its path and name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Exceptions {
    files: BTreeMap<String, usize>,
    functions: BTreeMap<String, usize>,
}

/// Checks the repository at `root`.
pub fn check(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let listed = parse(&fs::read_to_string(root.join(LIST))?)?;
    let mut found = Vec::new();
    let mut long = Exceptions::default();
    let files = source::files(root)?;
    found.extend(files.iter().flat_map(words::violations));
    for rust in source::rust(files)? {
        found.extend(header_violation(&rust.file));
        if !rust.is_test {
            measure(&rust.file, &rust.outline, &mut long);
        }
    }
    found.extend(compare("file", FILE_LINES, &listed.files, &long.files));
    found.extend(compare("function", FUNCTION_LINES, &listed.functions, &long.functions));
    for revision in ["HEAD", "HEAD^"] {
        if let Some(before) = committed(root, revision) {
            found.extend(rises(&parse(&before)?, &listed));
        }
    }
    found.dedup();
    Ok(found)
}

/// Reads the list.
fn parse(text: &str) -> Result<Exceptions, Box<dyn Error>> {
    let table: toml::Table = text.parse().map_err(|error| format!("{LIST}: {error}"))?;
    let section = |name: &str| -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
        let entries = table.get(name).and_then(toml::Value::as_table);
        entries
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let lines = value.as_integer().and_then(|lines| usize::try_from(lines).ok());
                Ok((key.clone(), lines.ok_or_else(|| format!("{LIST}: {key} is not a number of lines"))?))
            })
            .collect()
    };
    Ok(Exceptions { files: section("files")?, functions: section("functions")? })
}

fn header_violation(file: &SourceFile) -> Option<String> {
    let opens = file.text.starts_with("//! ");
    (!opens).then(|| format!("{}:1: the file does not open with `//!`: what, why, invariant", file.path))
}

/// Adds what is longer than its cap. Of functions of one name in one file, the longest counts.
fn measure(file: &SourceFile, outline: &Outline, long: &mut Exceptions) {
    let lines = outline.lines_without_tests(file.text.lines().count());
    if lines > FILE_LINES {
        long.files.insert(file.path.clone(), lines);
    }
    for function in outline.functions.iter().filter(|function| function.lines > FUNCTION_LINES) {
        let known = long.functions.entry(format!("{}::{}", file.path, function.name)).or_default();
        *known = function.lines.max(*known);
    }
}

/// Compares what is too long with what may be.
fn compare(kind: &str, cap: usize, listed: &BTreeMap<String, usize>, long: &BTreeMap<String, usize>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, lines) in long {
        match listed.get(name) {
            None => found.push(format!("{name}: a {kind} of {lines} lines; the cap is {cap}")),
            Some(allowed) if lines > allowed => found.push(format!("{name}: grew from {allowed} to {lines} lines")),
            Some(allowed) if lines < allowed => found.push(format!("{name}: {lines} lines now; lower it in {LIST}")),
            Some(_) => {}
        }
    }
    let gone = listed.keys().filter(|name| !long.contains_key(*name));
    found.extend(gone.map(|name| format!("{name}: within the cap now; remove it from {LIST}")));
    found
}

/// Entries of `now` that `before` lacks or has lower.
fn rises(before: &Exceptions, now: &Exceptions) -> Vec<String> {
    let risen = |before: &BTreeMap<String, usize>, now: &BTreeMap<String, usize>| -> Vec<String> {
        let rises = now.iter().filter(|(name, lines)| before.get(*name).is_none_or(|known| *lines > known));
        rises
            .map(|(name, lines)| format!("{LIST}: {name} = {lines}: numbers may only fall, and none may come"))
            .collect()
    };
    [risen(&before.files, &now.files), risen(&before.functions, &now.functions)].concat()
}

/// The list as committed at `revision`; `None` outside version control, and before the list was.
fn committed(root: &Path, revision: &str) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(["show", &format!("{revision}:{LIST}")]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, usize)]) -> BTreeMap<String, usize> {
        entries.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect()
    }

    fn measured(text: String) -> Exceptions {
        let mut long = Exceptions::default();
        let outline = Outline::of(&text).expect("parses");
        measure(&rust(text), &outline, &mut long);
        long
    }

    fn rust(text: String) -> SourceFile {
        SourceFile { path: "a/src/b.rs".into(), text }
    }

    #[test]
    fn long_files_and_functions_are_measured() {
        let body = "    work();\n".repeat(80);
        let long = measured(format!("//! A.\nfn big() {{\n{body}}}\n{}", "\n".repeat(600)));
        assert_eq!(long.files, list(&[("a/src/b.rs", 683)]));
        assert_eq!(long.functions, list(&[("a/src/b.rs::big", 82)]));
    }

    #[test]
    fn test_code_may_be_long() {
        let body = "        work();\n".repeat(700);
        let text = format!("//! A.\n#[cfg(test)]\nmod tests {{\n    fn big() {{\n{body}    }}\n}}\n");
        assert_eq!(measured(text), Exceptions::default());
    }

    #[test]
    fn numbers_may_only_fall() {
        let long = list(&[("new", 700), ("grown", 710), ("shrunk", 610), ("same", 650)]);
        let listed = list(&[("grown", 700), ("shrunk", 620), ("same", 650), ("gone", 900)]);
        assert_eq!(compare("file", 600, &listed, &long).len(), 4);
        let before = Exceptions { files: list(&[("a", 700)]), functions: list(&[("f", 80)]) };
        let lower = Exceptions { files: list(&[("a", 690)]), ..Exceptions::default() };
        assert_eq!(rises(&before, &lower), [""; 0]);
        let higher = Exceptions { files: list(&[("a", 701), ("b", 601)]), functions: list(&[("f", 80)]) };
        assert_eq!(rises(&before, &higher).len(), 2);
    }

    #[test]
    fn the_list_is_read_and_checked() {
        let parsed = parse("[files]\n\"a/b.rs\" = 610\n[functions]\n").expect("parses");
        assert_eq!(parsed.files, list(&[("a/b.rs", 610)]));
        assert!(parse("[files]\n\"a/b.rs\" = \"many\"\n").is_err());
    }

    #[test]
    fn a_file_opens_with_what_it_is() {
        assert!(header_violation(&rust("//! A file.\n".into())).is_none());
        assert!(header_violation(&rust("use std::fmt;\n".into())).is_some());
    }
}
