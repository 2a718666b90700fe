//! The file operations of the log's writing side, behind a trait so that tests can make each of them fail.
//!
//! Reading goes to the files directly: what is read was durable before.
//!
//! Invariant: files are made with mode 0600, and `sync` and `replace` return only after the disk has the bytes.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

/// Where segments and the head are written.
pub(crate) trait Storage: Debug + Send + Sync {
    /// A new, empty file; what was there under this name is gone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// Cuts a file, durably, through a fresh handle: one whose `fdatasync` failed is not to be trusted.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Puts `content` in the place of a file, atomically and durably.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes that can still be written to the file system of `path`.
    fn available(&self, path: &Path) -> io::Result<u64>;
}

/// A segment that is being written.
pub(crate) trait LogFile: Debug + Send {
    /// Appends some of `bytes`; says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// `fdatasync`.
    fn sync(&mut self) -> io::Result<()>;
    /// Sets space aside from `offset` on without changing the file's length. `false`: the file system cannot.
    fn reserve(&mut self, offset: u64, bytes: u64) -> io::Result<bool>;
    /// Gives back what was set aside beyond `length`.
    fn release(&mut self, length: u64) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Debug)]
pub(crate) struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |directory| self.sync_directory(directory))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        let status = statvfs(path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl LogFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&mut self, offset: u64, bytes: u64) -> io::Result<bool> {
        match fallocate(&self.0, FallocateFlags::KEEP_SIZE, offset, bytes) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn release(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// Writes all of `bytes`, however little the file takes at a time.
pub(crate) fn write_all(file: &mut dyn LogFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
