//! A sealed log, changed in every way: found each time, with the place.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::Verdict;
use crate::segment;

/// A closed log of several segments and two starts.
fn sealed() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (log, _) = open(AuditConfig { segment_bytes: 1_000, ..config(directory.path()) });
        (0..2).for_each(|_| run_statement(&log).unwrap());
        log.shutdown().unwrap();
    }
    assert_eq!(verify(directory.path()).exit_code(), 0);
    directory
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    segment::list(directory).unwrap().into_iter().map(|number| segment::path_of(directory, number)).collect()
}

/// The header's length, and each frame's begin and end.
fn frames(content: &[u8]) -> (usize, Vec<(usize, usize)>) {
    let length = |at: usize| u32::from_le_bytes(content[at..at + 4].try_into().unwrap()) as usize + 40;
    let header = 8 + length(8);
    let (mut at, mut frames) = (header, Vec::new());
    while at < content.len() {
        frames.push((at, at + length(at)));
        at += length(at);
    }
    (header, frames)
}

#[test]
fn every_changed_byte_is_found() {
    let directory = sealed();
    let mut files = segments(directory.path());
    assert!(files.len() >= 4, "{files:?}");
    files.push(crate::head::path_of(directory.path()));
    for file in files {
        let content = fs::read(&file).unwrap();
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&file, &changed).unwrap();
            let report = verify(directory.path());
            assert_eq!(report.exit_code(), 2, "{} byte {at}: {report}", file.display());
        }
        fs::write(&file, &content).unwrap();
    }
    assert_eq!(verify(directory.path()).exit_code(), 0);
}

#[test]
fn a_changed_record_is_named_with_its_place() {
    let directory = sealed();
    let file = &segments(directory.path())[0];
    let mut content = fs::read(file).unwrap();
    let (_, frames) = frames(&content);
    content[frames[1].0 + 20] ^= 1;
    fs::write(file, content).unwrap();
    let report = verify(directory.path());
    let place = format!("record 2 in segment 1 at byte {}", frames[1].0);
    assert!(report.to_string().contains(&place), "{report}");
    assert_eq!((report.records, report.last_seq), (1, 1));
}

#[test]
fn removed_repeated_and_swapped_records_are_found() {
    let directory = sealed();
    let last = segments(directory.path()).len() - 1;
    for (index, file) in segments(directory.path()).iter().enumerate() {
        let content = fs::read(file).unwrap();
        let (_, frames) = frames(&content);
        let mut variants = Vec::new();
        for (position, (begin, end)) in frames.iter().copied().enumerate() {
            let removed = [&content[..begin], &content[end..]].concat();
            let at_the_end = index == last && position + 1 == frames.len();
            variants.push((removed, if at_the_end { 3 } else { 2 }));
            variants.push(([&content[..end], &content[begin..]].concat(), 2));
            if let Some((_, after)) = frames.get(position + 1).copied() {
                variants.push((
                    [&content[..begin], &content[end..after], &content[begin..end], &content[after..]].concat(),
                    2,
                ));
            }
        }
        assert!(!variants.is_empty(), "{}", file.display());
        for (variant, code) in variants {
            fs::write(file, variant).unwrap();
            let report = verify(directory.path());
            assert_eq!(report.exit_code(), code, "{}: {report}", file.display());
        }
        fs::write(file, content).unwrap();
    }
}

#[test]
fn removed_and_swapped_segments_are_found() {
    let directory = sealed();
    let files = segments(directory.path());
    for (index, file) in files.iter().enumerate() {
        let content = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        let report = verify(directory.path());
        assert_eq!(report.exit_code(), if index + 1 == files.len() { 3 } else { 2 }, "{report}");
        if let Some(next) = files.get(index + 1) {
            let other = fs::read(next).unwrap();
            fs::write(file, &other).unwrap();
            fs::write(next, &content).unwrap();
            assert_eq!(verify(directory.path()).exit_code(), 2);
            fs::write(next, other).unwrap();
        }
        fs::write(file, content).unwrap();
    }
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    assert_eq!(verify(directory.path()).exit_code(), 3);
}

#[test]
fn records_of_another_log_are_found() {
    let (directory, other) = (sealed(), sealed());
    let last = segments(other.path()).pop().unwrap();
    fs::copy(&last, directory.path().join(last.file_name().unwrap())).unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 2);
    // All of the other's segments: a whole chain, but not the one that this head vouches for.
    for file in segments(other.path()) {
        fs::copy(&file, directory.path().join(file.file_name().unwrap())).unwrap();
    }
    assert_eq!(verify(directory.path()).exit_code(), 2);
}

#[test]
fn an_altered_log_opens_and_stays_altered() {
    let directory = sealed();
    let file = segments(directory.path()).pop().unwrap();
    let mut content = fs::read(&file).unwrap();
    let end = content.len();
    content[end - 60] ^= 1;
    fs::write(&file, content).unwrap();
    let (log, recovery) = open(config(directory.path()));
    assert!(recovery.altered && !recovery.clean, "{recovery}");
    run_statement(&log).unwrap();
    log.shutdown().unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 2);
}

#[test]
fn where_no_log_is_verify_says_so() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(verify(directory.path()).exit_code(), 1);
    assert_eq!(verify(&directory.path().join("none")).verdict, Verdict::Unreadable);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn hostile_segments_end_in_a_report(mut junk in proptest::collection::vec(any::<u8>(), 0..400), keep in 0_usize..700) {
        let directory = tempfile::tempdir().unwrap();
        let (log, _) = open(config(directory.path()));
        run_statement(&log).unwrap();
        log.shutdown().unwrap();
        let file = segment::path_of(directory.path(), 1);
        let content = fs::read(&file).unwrap();
        let mut hostile = content[..keep.min(content.len())].to_vec();
        hostile.append(&mut junk);
        prop_assume!(hostile != content);
        fs::write(&file, hostile).unwrap();
        let report = verify(directory.path());
        prop_assert!([2, 3].contains(&report.exit_code()), "{}", report);
        let (log, recovery) = open(config(directory.path()));
        prop_assert!(!recovery.clean);
        run_statement(&log).unwrap();
        log.shutdown().unwrap();
        prop_assert!([2, 3].contains(&verify(directory.path()).exit_code()));
    }
}
