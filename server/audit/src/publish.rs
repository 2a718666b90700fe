//! Heads that are kept elsewhere: in a directory on other storage, best one whose files cannot be changed.
//!
//! A log that was cut back or written anew by somebody who has its key still contradicts them. Each is a file of its own,
//! named by its server and the number of records that it vouches for, and is never written again.
//!
//! Invariant: a head is kept only once it stands in the log's own head file, or is made of what is durable.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::head;
use crate::log::Shared;
use crate::stats::add;

const SUFFIX: &str = ".head";

/// A directory of heads. Several servers may share it.
#[derive(Debug, Clone)]
pub struct HeadDirectory(pub PathBuf);

impl HeadDirectory {
    /// Keeps a head, unless there is one of that name.
    fn keep(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.0.join(name);
        if path.exists() {
            return Ok(());
        }
        let fresh = self.0.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(fresh, path)?;
        fs::File::open(&self.0)?.sync_all()
    }

    /// The heads of a server, by the number of records that they vouch for; with the names of their files.
    pub(crate) fn read(&self, node: &str) -> io::Result<Vec<(u64, String, Vec<u8>)>> {
        let mut heads = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_suffix(SUFFIX).and_then(|name| name.strip_prefix(node)?.strip_prefix('-'));
            if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
                heads.push((number, name, fs::read(entry.path())?));
            }
        }
        heads.sort();
        Ok(heads)
    }
}

/// Keeps the head of this moment elsewhere, where that is configured. A failure is told and counted; statements go on.
pub(crate) fn publish(shared: &Shared) {
    let Some(directory) = &shared.config.heads else { return };
    let tip = shared.tip();
    let name = format!("{}-{:020}{SUFFIX}", shared.config.node, tip.chain.seq);
    if let Err(error) = directory.keep(&name, &head::encode(&shared.head(tip))) {
        add(&shared.counters.unpublished, 1);
        tracing::warn!(kind = ?error.kind(), "the audit log's head cannot be kept in the second place");
    }
}
