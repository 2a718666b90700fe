//! A disk in memory that loses what was not made durable, tears what it writes, and fails on demand.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;

use crate::encrypted_file::Disk;

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
struct Inner {
    durable: Vec<u8>,
    /// As the program sees it.
    visible: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
    /// Operations until all fail.
    left: Option<u64>,
}

/// The disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<Inner>>);

impl FaultyDisk {
    /// Lets `operations` more writes and syncs through; the one after them is done by half, and all then fail.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.0.lock().left = Some(operations);
    }

    /// The power goes: the disk that is found afterwards has what was made durable, and of the rest some sectors. Lengths
    /// are kept, as a journalling file system does.
    pub(crate) fn crash(&self, random: &mut impl Rng) -> Self {
        let inner = self.0.lock();
        let mut durable = inner.durable.clone();
        durable.resize(inner.visible.len(), 0);
        for (at, bytes) in &inner.pending {
            let torn = random.random_range(0..3);
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                let kept = match torn {
                    0 => false,
                    1 => true,
                    _ => random.random(),
                };
                let from = at + number * SECTOR_BYTES;
                if kept && from + sector.len() <= durable.len() {
                    durable[from..from + sector.len()].copy_from_slice(sector);
                }
            }
        }
        let (visible, pending) = (durable.clone(), Vec::new());
        Self(Arc::new(Mutex::new(Inner { durable, visible, pending, left: None })))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().visible.clone()
    }

    /// A disk that holds these bytes.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner { durable: bytes.clone(), visible: bytes, pending: Vec::new(), left: None })))
    }
}

impl Inner {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Disk for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().visible.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock();
        let from = usize::try_from(offset).expect("small");
        let bytes = inner.visible.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.0.lock();
        let from = usize::try_from(offset).expect("small");
        if from + bytes.len() > inner.visible.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let spent = inner.spend();
        let written = if spent.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        inner.visible[from..from + written.len()].copy_from_slice(written);
        inner.pending.push((from, written.to_vec()));
        spent
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.spend()?;
        inner.visible.resize(usize::try_from(length).expect("small"), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.spend()?;
        inner.durable = inner.visible.clone();
        inner.pending.clear();
        Ok(())
    }
}
