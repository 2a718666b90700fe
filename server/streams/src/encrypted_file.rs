//! A file that redb keeps its pages in, sealed block by block.
//!
//! ```text
//! file  = header-a header-b block*         each of BLOCK_BYTES + OVERHEAD_BYTES, sealed for its number
//! ```
//!
//! redb overwrites one page in place, its first; every other page is written anew before the first names it. A sealed
//! block that is half written opens as nothing, so the first one stands twice: after each `sync_data` the copy that is not
//! the newest durable one is written, and the newest one that opens is read. What a crash leaves half written elsewhere
//! reads as zeros while redb recovers (its checksums then reject the page, and it falls back to the commit before), and is
//! an error afterwards.
//!
//! Invariants: nothing but zeros and sealed blocks is written; the newest durable header is never overwritten.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::seal::{OVERHEAD_BYTES, Vault};

/// redb's page.
const BLOCK_BYTES: usize = 4096;
const STRIDE_BYTES: u64 = (BLOCK_BYTES + OVERHEAD_BYTES) as u64;
/// The number that leads the header's plain bytes: which of the two is newer.
const TURN_BYTES: usize = 8;

/// The bytes below the encryption: a file, or in tests one that fails.
pub(crate) trait Disk: std::fmt::Debug + Send + Sync + 'static {
    /// Bytes there are.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` from `offset`.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or lengthens, with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Returns once everything written is durable.
    fn sync(&self) -> io::Result<()>;
}

impl Disk for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Opens or creates a file for one process alone, readable by its owner alone.
///
/// # Errors
/// `WouldBlock` where another process holds it; otherwise what the file system says.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.try_lock()?;
    // Its name is to outlive a power failure as well.
    if let Some(directory) = path.parent() {
        File::open(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })?.sync_all()?;
    }
    Ok(file)
}

/// Storage for redb whose every byte on disk is sealed.
#[derive(Debug)]
pub struct EncryptedFile {
    disk: Box<dyn Disk>,
    vault: Arc<Vault>,
    header: Mutex<Header>,
    recovering: Arc<AtomicBool>,
}

/// Whether [`EncryptedFile`] still answers zeros for blocks that do not open. Ends with [`Recovery::finish`].
#[derive(Debug)]
pub struct Recovery(Arc<AtomicBool>);

impl Recovery {
    /// redb has the file open and checked: from now on a block that does not open is an error.
    pub fn finish(self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The first block, which redb overwrites in place.
#[derive(Debug)]
struct Header {
    plain: Vec<u8>,
    /// Grows with every change of slot.
    turn: u64,
    /// The slot that the next write goes to.
    slot: u64,
    /// Whether something was written to it since the last sync.
    dirty: bool,
    /// Blocks behind the two headers that the file has, from redb's sight, the header among them.
    blocks: u64,
}

impl EncryptedFile {
    /// Opens or creates a file for this process alone.
    ///
    /// # Errors
    /// Those of the file system, `WouldBlock` where another process has it open, and `InvalidData` where the file is
    /// there but does not open under the key.
    pub fn open(path: &Path, vault: Arc<Vault>) -> io::Result<(Self, Recovery)> {
        Self::over(Box::new(lock(path)?), vault)
    }

    pub(crate) fn over(disk: Box<dyn Disk>, vault: Arc<Vault>) -> io::Result<(Self, Recovery)> {
        let header = read_header(disk.as_ref(), &vault)?;
        let recovering = Arc::new(AtomicBool::new(true));
        let recovery = Recovery(Arc::clone(&recovering));
        Ok((Self { disk, vault, header: Mutex::new(header), recovering }, recovery))
    }

    /// Fills `plain`, a whole block.
    fn read_block(&self, number: u64, plain: &mut [u8]) -> io::Result<()> {
        if number == 0 {
            return copy(&self.header.lock().plain, plain);
        }
        let mut sealed = vec![0; BLOCK_BYTES + OVERHEAD_BYTES];
        self.disk.read(place(number), &mut sealed)?;
        if sealed.iter().all(|byte| *byte == 0) {
            plain.fill(0);
            return Ok(());
        }
        match self.vault.open(&number.to_le_bytes(), &mut sealed) {
            Ok(opened) => copy(opened, plain),
            Err(_) if self.recovering.load(Ordering::Acquire) => {
                plain.fill(0);
                Ok(())
            }
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Writes whole blocks that follow each other, with one write.
    fn write_blocks(&self, first: u64, plain: &[u8]) -> io::Result<()> {
        let mut sealed = Vec::with_capacity(plain.len() / BLOCK_BYTES * (BLOCK_BYTES + OVERHEAD_BYTES));
        for (number, block) in (first..).zip(plain.chunks_exact(BLOCK_BYTES)) {
            self.vault.seal(&number.to_le_bytes(), block, &mut sealed).map_err(io::Error::other)?;
        }
        self.disk.write(place(first), &sealed)
    }

    fn write_header(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let mut header = self.header.lock();
        copy(bytes, header.plain.get_mut(at..at + bytes.len()).ok_or(io::ErrorKind::InvalidInput)?)?;
        if !header.dirty {
            header.turn += 1;
        }
        // Set first: after a failed write, the slot holds nothing to rely on, but the other one is untouched.
        header.dirty = true;
        let sealed = seal_header(&self.vault, &header)?;
        self.disk.write(header.slot * HEADER_STRIDE_BYTES, &sealed)
    }

    /// Cuts `offset..offset + length` into the pieces of blocks: (block, first byte in it, bytes).
    fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        let end = offset + length as u64;
        let mut at = offset;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let within = usize::try_from(at % BLOCK_BYTES as u64).unwrap_or_default();
            let bytes = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOCK_BYTES - within);
            let piece = (at / BLOCK_BYTES as u64, within, bytes);
            at += bytes as u64;
            Some(piece)
        })
    }

    fn check_end(&self, offset: u64, length: usize) -> io::Result<()> {
        let end = offset.checked_add(length as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if end > self.header.lock().blocks * BLOCK_BYTES as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

const HEADER_STRIDE_BYTES: u64 = STRIDE_BYTES + TURN_BYTES as u64;

/// Where block `number`, from 1, begins.
fn place(number: u64) -> u64 {
    2 * HEADER_STRIDE_BYTES + number.saturating_sub(1) * STRIDE_BYTES
}

fn copy(from: &[u8], to: &mut [u8]) -> io::Result<()> {
    if from.len() != to.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    to.copy_from_slice(from);
    Ok(())
}

fn seal_header(vault: &Vault, header: &Header) -> io::Result<Vec<u8>> {
    let mut plain = header.turn.to_le_bytes().to_vec();
    plain.extend(&header.plain);
    let mut sealed = Vec::new();
    vault.seal(b"header", &plain, &mut sealed).map_err(io::Error::other)?;
    Ok(sealed)
}

/// Reads the newer of the two headers; a new file gets one of zeros.
fn read_header(disk: &dyn Disk, vault: &Vault) -> io::Result<Header> {
    let length = disk.len()?;
    if length < 2 * HEADER_STRIDE_BYTES {
        // A crash while it was made leaves a file without a whole header: nothing was ever committed to it.
        disk.set_len(0)?;
        disk.set_len(2 * HEADER_STRIDE_BYTES)?;
        return Ok(Header { plain: vec![0; BLOCK_BYTES], turn: 0, slot: 0, dirty: false, blocks: 0 });
    }
    let mut newest: Option<(u64, u64, Vec<u8>)> = None;
    let mut zeros = true;
    for slot in 0..2 {
        let mut sealed = vec![0; BLOCK_BYTES + TURN_BYTES + OVERHEAD_BYTES];
        disk.read(slot * HEADER_STRIDE_BYTES, &mut sealed)?;
        zeros &= sealed.iter().all(|byte| *byte == 0);
        let Ok(opened) = vault.open(b"header", &mut sealed) else { continue };
        let Some((turn, plain)) = opened.split_first_chunk::<TURN_BYTES>() else { continue };
        let turn = u64::from_le_bytes(*turn);
        if newest.as_ref().is_none_or(|(known, ..)| turn > *known) {
            newest = Some((turn, slot, plain.to_vec()));
        }
    }
    let blocks = 1 + (length - 2 * HEADER_STRIDE_BYTES) / STRIDE_BYTES;
    match newest {
        Some((turn, slot, plain)) => Ok(Header { plain, turn, slot: 1 - slot, dirty: false, blocks }),
        // redb writes its header before it commits anything.
        None if zeros => Ok(Header { plain: vec![0; BLOCK_BYTES], turn: 0, slot: 0, dirty: false, blocks: 0 }),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, crate::seal::Unopened)),
    }
}

impl StorageBackend for EncryptedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.header.lock().blocks * BLOCK_BYTES as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check_end(offset, out.len())?;
        let mut rest = out;
        let mut block = vec![0; BLOCK_BYTES];
        for (number, within, bytes) in Self::pieces(offset, rest.len()) {
            let (piece, after) = rest.split_at_mut_checked(bytes).ok_or(io::ErrorKind::InvalidInput)?;
            if bytes == BLOCK_BYTES {
                self.read_block(number, piece)?;
            } else {
                self.read_block(number, &mut block)?;
                copy(block.get(within..within + bytes).unwrap_or_default(), piece)?;
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let blocks = length.div_ceil(BLOCK_BYTES as u64);
        let mut header = self.header.lock();
        self.disk.set_len(place(blocks.max(1)))?;
        header.blocks = blocks;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Held throughout: a header that is written meanwhile would go to the slot that is just becoming durable.
        let mut header = self.header.lock();
        self.disk.sync()?;
        if header.dirty {
            header.dirty = false;
            header.slot = 1 - header.slot;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_end(offset, data.len())?;
        let mut rest = data;
        // Whole blocks in a row go to the disk together.
        let mut run: Option<(u64, &[u8])> = None;
        for (number, within, bytes) in Self::pieces(offset, data.len()) {
            let (piece, after) = rest.split_at_checked(bytes).ok_or(io::ErrorKind::InvalidInput)?;
            if number == 0 {
                self.write_header(within, piece)?;
            } else if bytes == BLOCK_BYTES {
                let before = run.map_or(0, |(_, whole)| whole.len());
                let whole = rest_of(data, rest, before + bytes);
                run = Some((run.map_or(number, |(first, _)| first), whole));
            } else {
                let mut block = vec![0; BLOCK_BYTES];
                self.read_block(number, &mut block)?;
                copy(piece, block.get_mut(within..within + bytes).ok_or(io::ErrorKind::InvalidInput)?)?;
                self.write_blocks(number, &block)?;
            }
            rest = after;
        }
        match run {
            Some((first, whole)) => self.write_blocks(first, whole),
            None => Ok(()),
        }
    }
}

/// The bytes of `data` that end where the first block of `rest` ends, `length` long.
fn rest_of<'a>(data: &'a [u8], rest: &[u8], length: usize) -> &'a [u8] {
    let end = data.len() - rest.len() + BLOCK_BYTES;
    data.get(end - length..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
