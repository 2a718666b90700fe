//! A storage whose operations fail when told to. Otherwise it writes real files, but does not wait for the disk.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::storage::{Disk, LogFile, Storage};

const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EIO: i32 = 5;

/// What is wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Writes take half of what they are given, then none; nothing can be made.
    pub(super) full: AtomicBool,
    /// `statvfs` says that there is no space, but space set aside can be written.
    pub(super) scarce: AtomicBool,
    pub(super) read_only: AtomicBool,
    /// `fdatasync` fails, and what it should have made durable is gone.
    pub(super) sync_fails: AtomicBool,
    /// Writes take at most this many bytes at a time; 0: all.
    pub(super) short: AtomicUsize,
}

impl Faults {
    fn check(&self) -> io::Result<()> {
        if self.read_only.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EROFS));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(super) struct Faulty(pub(super) Arc<Faults>);

impl Storage for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        self.0.check()?;
        let file = Disk.create(path)?;
        Ok(Box::new(FaultyFile { file, path: path.to_owned(), faults: Arc::clone(&self.0), written: 0, synced: 0 }))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        if self.0.read_only.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EROFS));
        }
        OpenOptions::new().write(true).open(path)?.set_len(length)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.0.check()?;
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, content)?;
        std::fs::rename(fresh, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        if self.0.scarce.load(Ordering::SeqCst) { Ok(0) } else { Disk.available(path) }
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn LogFile>,
    path: PathBuf,
    faults: Arc<Faults>,
    written: u64,
    synced: u64,
}

impl LogFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let short = match self.faults.short.load(Ordering::SeqCst) {
            0 => bytes.len(),
            most => most.min(bytes.len()),
        };
        if let Err(error) = self.faults.check() {
            if error.raw_os_error() == Some(ENOSPC) && bytes.len() > 1 {
                self.file.write(&bytes[..bytes.len() / 2])?;
            }
            return Err(error);
        }
        let count = self.file.write(&bytes[..short])?;
        self.written += count as u64;
        Ok(count)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            file.seek(SeekFrom::Start(self.synced))?;
            file.write_all(&vec![0; usize::try_from(self.written - self.synced).unwrap()])?;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.synced = self.written;
        Ok(())
    }

    fn reserve(&mut self, offset: u64, bytes: u64) -> io::Result<bool> {
        self.faults.check()?;
        self.file.reserve(offset, bytes)
    }

    fn release(&mut self, length: u64) -> io::Result<()> {
        self.file.release(length)
    }
}
