//! Words that do not belong in this repository: paths of one person's machine, hosts of package registries, and
//! mentions of how a text came to be.
//!
//! The list is spelled backwards, so that this file passes its own check. Invariant: a short word counts only where it
//! stands alone.

use crate::source::SourceFile;

/// Forbidden anywhere in a line, whatever the case.
const ANYWHERE: &[&str] = &[
    // Machines.
    "/krow/",
    "/toor/",
    "/emoh/",
    "tegrat/pmt/",
    // Registries and mirrors. Names of packages belong here; where they come from is the reader's configuration.
    "oi.setarc",
    "gro.ipyp",
    "gro.detsohnohtyp",
    "gro.sjmpn",
    "gro.naibed.bed",
    "gro.nevam.1oper",
    "gnal-tsur.citats",
    "gnalog.yxorp",
    // How a text came to be.
    "yb-derohtua-oc",
    "ledom egaugnal",
    "tpgtahc",
    "edualc",
    "ciporhtna",
    "ianepo",
    "tolipoc",
    "tnatsissa ia",
];

/// Forbidden as words of their own.
const ALONE: &[&str] = &["ia", "mll", "smll", "tpg"];

/// Files that tools write, which name the registry by themselves; and lists of people's names, some of which are such words.
const EXEMPT: &[&str] = &[
    "Cargo.lock",
    "udfs/lexicon/first-names-common.txt",
    "udfs/lexicon/first-names.txt",
    "udfs/lexicon/last-names-common.txt",
    "udfs/lexicon/last-names.txt",
];

/// The violations in one file.
pub fn violations(file: &SourceFile) -> Vec<String> {
    if EXEMPT.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, text) in file.text.lines().enumerate() {
        if let Some(word) = forbidden(text) {
            found.push(format!("{}:{}: \"{word}\" does not belong in this repository", file.path, line + 1));
        }
    }
    found
}

fn forbidden(line: &str) -> Option<String> {
    let line = line.to_lowercase();
    let forwards = |word: &&str| word.chars().rev().collect::<String>();
    let anywhere = ANYWHERE.iter().map(forwards).find(|word| line.contains(word.as_str()));
    anywhere.or_else(|| {
        ALONE.iter().map(forwards).find(|word| line.split(|c: char| !c.is_alphanumeric()).any(|part| part == word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backwards(text: &str) -> String {
        text.chars().rev().collect()
    }

    #[test]
    fn words_are_found_whatever_their_case() {
        assert!(forbidden(&format!("see {}/src", backwards("/krow/"))).is_some());
        assert!(forbidden(&backwards("OI.SETARC//:sptth")).is_some());
        assert!(forbidden(&format!("an {}, they say", backwards("MLL"))).is_some());
    }

    #[test]
    fn short_words_count_only_alone() {
        assert_eq!(forbidden("maintain the main chain"), None);
        assert_eq!(forbidden("/frameworks/rooted/"), None);
    }

    #[test]
    fn the_lock_file_names_its_registry_and_lists_of_names_hold_any() {
        let text = backwards("oi.setarc");
        assert!(violations(&SourceFile { path: "Cargo.lock".into(), text: text.clone() }).is_empty());
        assert_eq!(violations(&SourceFile { path: "deny.toml".into(), text }).len(), 1);
        // A patient may be called so; a word list for notes holds names alone.
        let name = backwards("edualc");
        let list = |path: &str| violations(&SourceFile { path: path.into(), text: name.clone() }).len();
        assert_eq!((list("udfs/lexicon/first-names.txt"), list("udfs/lexicon/words-common.txt")), (0, 1));
    }
}
