//! How much of the identifiers in notes is found, how much else is taken for one, and how fast: beside the pattern
//! recognizers of Presidio, over the same notes.
//!
//! `deidentify/tuning.txt` is what the rules were made with; `deidentify/held_out.txt` was written apart from them. Notes
//! are parted by `---`, identifiers marked as `[[ENTITY|text]]`. An identifier counts as found where every letter and digit
//! of it is covered; as exact where a finding is just its span; as typed where a finding that meets it has its kind. A
//! finding that meets no marked identifier is false.
//!
//! `cargo bench -p lakeward-udfs --bench deidentify [-- PYTHON]`; PYTHON is an interpreter that has presidio-analyzer.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    missing_docs
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use lakeward_udfs::deidentify::{Detector, Hints, Request};

/// A span of characters, and what it is.
type Span = (usize, usize, String);

struct Note {
    text: String,
    gold: Vec<Span>,
}

fn notes(file: &str) -> Vec<Note> {
    file.split("\n---\n").map(|marked| note(marked.trim_end())).collect()
}

fn note(marked: &str) -> Note {
    let (mut text, mut gold, mut rest) = (String::new(), Vec::new(), marked);
    while let Some((before, after)) = rest.split_once("[[") {
        let (inside, behind) = after.split_once("]]").expect("a mark ends");
        let (entity, value) = inside.split_once('|').expect("a mark has a kind");
        text.push_str(before);
        let start = text.chars().count();
        text.push_str(value);
        gold.push((start, text.chars().count(), entity.to_owned()));
        rest = behind;
    }
    text.push_str(rest);
    Note { text, gold }
}

fn found(notes: &[Note], strict: bool) -> Vec<Vec<Span>> {
    let mut detector = Detector::new();
    let request = Request { strict, ..Request::default() };
    let spans = |note: &Note| {
        let findings = detector.detect(&note.text, &request, &Hints::default()).unwrap();
        let at = |byte: usize| note.text[..byte].chars().count();
        findings.iter().map(|found| (at(found.start), at(found.end), found.entity.name().to_owned())).collect()
    };
    notes.iter().map(spans).collect()
}

fn score(name: &str, notes: &[Note], found: &[Vec<Span>]) {
    let (mut all, mut covered, mut exact, mut typed, mut touched, mut exact_typed) = (0, 0, 0, 0, 0, 0);
    let (mut findings, mut right) = (0, 0);
    for (note, found) in notes.iter().zip(found) {
        let characters: Vec<char> = note.text.chars().collect();
        let meets = |a: &Span, b: &Span| a.0 < b.1 && b.0 < a.1;
        for gold in &note.gold {
            all += 1;
            let seen = |at: usize| found.iter().any(|one| one.0 <= at && at < one.1);
            covered += usize::from((gold.0..gold.1).filter(|at| characters[*at].is_alphanumeric()).all(seen));
            touched += usize::from(found.iter().any(|one| meets(one, gold)));
            exact += usize::from(found.iter().any(|one| one.0 == gold.0 && one.1 == gold.1));
            exact_typed += usize::from(found.contains(gold));
            typed += usize::from(found.iter().any(|one| meets(one, gold) && one.2 == gold.2));
        }
        findings += found.len();
        right += found.iter().filter(|one| note.gold.iter().any(|gold| meets(one, gold))).count();
    }
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    println!(
        "{name:28} identifiers {all:4}  recall: covered {:.3}, overlapping {:.3} (typed {:.3}), exact {:.3} (typed {:.3})  precision {:.3}",
        share(covered, all),
        share(touched, all),
        share(typed, all),
        share(exact, all),
        share(exact_typed, all),
        share(right, findings),
    );
}

/// Seconds that this thread has been on a processor (Linux), so that a busy machine does not count.
fn busy() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    spent.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn speed(name: &str, text: &str) {
    let mut detector = Detector::new();
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let (started, mut bytes) = (busy(), 0);
        while bytes < 10_000_000 {
            detector.detect(text, &Request::default(), &Hints::default()).unwrap();
            bytes += text.len();
        }
        best = best.max(bytes as f64 / 1e6 / (busy() - started));
    }
    println!("{name:28} {best:8.1} MB/s");
}

fn presidio(python: &str, notes: &[Note]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/scenarios/deidentify/presidio.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("an interpreter");
    let texts: Vec<&str> = notes.iter().map(|note| note.text.as_str()).collect();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&texts).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("presidio-analyzer is installed");
    let bytes: usize = notes.iter().map(|note| note.text.len()).sum();
    for threshold in ["0.0", "0.5"] {
        let spans: Vec<Vec<Span>> = serde_json::from_value(answer["spans"][threshold].clone()).unwrap();
        score(&format!("presidio patterns from {threshold}"), notes, &spans);
    }
    println!(
        "presidio-analyzer {}      {:8.3} MB/s",
        answer["version"].as_str().unwrap(),
        bytes as f64 / 1e6 / answer["seconds"].as_f64().unwrap()
    );
}

fn main() {
    let python = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    for (name, file) in
        [("tuning", include_str!("deidentify/tuning.txt")), ("held out", include_str!("deidentify/held_out.txt"))]
    {
        let notes = notes(file);
        println!("{name}: {} notes", notes.len());
        score("lakeward standard", &notes, &found(&notes, false));
        score("lakeward strict", &notes, &found(&notes, true));
        match &python {
            Some(python) => presidio(python, &notes),
            None => println!("presidio was not asked: name a Python that has presidio-analyzer"),
        }
    }
    speed("an ordinary note", include_str!("deidentify/ordinary.txt"));
    let dense: Vec<String> = notes(include_str!("deidentify/held_out.txt")).into_iter().map(|note| note.text).collect();
    speed("notes full of identifiers", &dense.join("\n"));
    speed("one note of 10 MB", &include_str!("deidentify/ordinary.txt").repeat(4_000));
    for (name, unit) in [("a", "a"), ("1", "1"), ("1-", "1-"), ("John ", "John "), ("x@", "x@"), ("a.", "a.")] {
        speed(&format!("10 MB of {name:?}"), &unit.repeat(10_000_000 / unit.len()));
    }
}
