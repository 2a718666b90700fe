//! The file is redb's storage whatever is lost or torn, and says nothing without its key.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use zeroize::Zeroizing;

use super::*;
use crate::tests::faulty_disk::FaultyDisk;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("t");

fn vault(byte: u8) -> Arc<Vault> {
    Arc::new(Vault::new(&Zeroizing::new([byte; 32])).expect("random numbers"))
}

fn open(disk: &FaultyDisk) -> (EncryptedFile, Recovery) {
    EncryptedFile::over(Box::new(disk.clone()), vault(1)).expect("opens")
}

fn database(disk: &FaultyDisk) -> Database {
    let (file, recovery) = open(disk);
    let database = Database::builder().create_with_backend(file).expect("recovers");
    recovery.finish();
    database
}

fn content(database: &Database) -> BTreeMap<u64, Vec<u8>> {
    let transaction = database.begin_read().expect("reads");
    let Ok(table) = transaction.open_table(TABLE) else { return BTreeMap::new() };
    let entries = table.iter().expect("reads");
    entries.map(|entry| entry.expect("reads")).map(|(key, value)| (key.value(), value.value().to_vec())).collect()
}

/// Changes some keys; `None` where the disk failed.
fn commit(database: &Database, changes: &[(u64, Vec<u8>)]) -> Option<()> {
    let transaction = database.begin_write().ok()?;
    {
        let mut table = transaction.open_table(TABLE).ok()?;
        for (key, value) in changes {
            table.insert(key, value.as_slice()).ok()?;
        }
    }
    transaction.commit().ok()
}

#[test]
fn after_any_crash_redb_finds_the_last_commit_or_the_one_that_was_under_way() {
    let mut survived = 0;
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut disk = FaultyDisk::default();
        let mut expected = BTreeMap::new();
        for _ in 0..4 {
            let database = database(&disk);
            assert_eq!(content(&database), expected, "seed {seed}");
            disk.fail_after(random.random_range(3..60));
            let mut under_way = expected.clone();
            loop {
                let length = random.random_range(0..9_000);
                let changes: Vec<_> =
                    (0..random.random_range(1..8)).map(|_| (random.random_range(0..40), vec![7; length])).collect();
                under_way.extend(changes.iter().cloned());
                if commit(&database, &changes).is_none() {
                    break;
                }
                expected.clone_from(&under_way);
            }
            disk = disk.crash(&mut random);
            drop(database);
            let found = content(&self::database(&disk));
            assert!(found == expected || found == under_way, "seed {seed}: neither commit");
            survived += usize::from(!found.is_empty());
            expected = found;
        }
    }
    assert!(survived > 120, "commits happened: {survived}");
}

#[test]
fn without_its_key_it_neither_opens_nor_says_anything() {
    let disk = FaultyDisk::default();
    commit(&database(&disk), &[(1, b"heart rate of patient 17".repeat(50))]).expect("commits");
    assert!(!disk.bytes().windows(5).any(|window| window == b"heart" || window == b"redb\x1A"));
    let error = EncryptedFile::over(Box::new(disk), vault(2)).expect_err("another key");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_changed_block_is_an_error_once_redb_has_recovered() {
    let disk = FaultyDisk::default();
    commit(&database(&disk), &[(1, vec![7; 20_000])]).expect("commits");
    let mut changed = disk.bytes();
    for block in changed[usize::try_from(place(1)).expect("small")..].chunks_mut(BLOCK_BYTES + OVERHEAD_BYTES) {
        if block.iter().any(|byte| *byte != 0) {
            block[100] ^= 1;
        }
    }
    let (file, recovery) = open(&FaultyDisk::of(changed));
    let mut block = [0; BLOCK_BYTES];
    recovery.finish();
    let error = file.read(BLOCK_BYTES as u64, &mut block).expect_err("does not open");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn two_processes_do_not_share_it() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("state");
    let (first, _) = EncryptedFile::open(&path, vault(1)).expect("opens");
    let error = EncryptedFile::open(&path, vault(1)).expect_err("is locked");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(first);
    EncryptedFile::open(&path, vault(1)).expect("opens again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_reads_back_what_was_written_at_any_place(
        writes in prop::collection::vec((0_usize..40_000, 1_usize..12_000, any::<u8>()), 1..12),
        reads in prop::collection::vec((0_usize..50_000, 1_usize..9_000), 1..8),
    ) {
        let disk = FaultyDisk::default();
        let (file, _recovery) = open(&disk);
        let length = 13 * BLOCK_BYTES;
        file.set_len(length as u64).expect("grows");
        // redb's first write is its header: without one, the file is taken for a new one.
        let mut model = vec![0; length];
        model[0] = 1;
        file.write(0, &model[..1]).expect("writes");
        for (at, bytes, value) in writes {
            let end = (at + bytes).min(length);
            model[at..end].fill(value);
            file.write(at as u64, &model[at..end]).expect("writes");
            file.sync_data().expect("syncs");
        }
        let (again, _recovery) = open(&disk);
        for file in [&file, &again] {
            prop_assert_eq!(file.len().expect("has a length"), length as u64);
            for (at, bytes) in &reads {
                let mut read = vec![1; *bytes];
                let result = file.read(*at as u64, &mut read);
                match model.get(*at..*at + *bytes) {
                    Some(expected) => prop_assert!(result.is_ok() && read == expected),
                    None => prop_assert!(result.is_err()),
                }
            }
        }
    }
}
