//! What lies where in a data directory, and how its files are made.
//!
//! Invariant: directories are 0700 and secrets 0600 from the moment that they exist: nothing is created readable and
//! closed afterwards.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::ServerError;

/// The paths of one data directory.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    root: PathBuf,
}

impl DataDirectory {
    /// The data directory at `root`; made absolute, need not exist.
    pub fn new(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `lakeward.toml`
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("lakeward.toml")
    }

    /// Which notices of BREAK GLASS were taken.
    #[must_use]
    pub fn break_glass_told(&self) -> PathBuf {
        self.root.join("break-glass-told.json")
    }

    /// The catalog log's directory.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.root.join("catalog")
    }

    /// The root of managed tables.
    #[must_use]
    pub fn tables(&self) -> PathBuf {
        self.root.join("tables")
    }

    /// The audit's write-ahead log.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// The keys' directory.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The server's certificate and key.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The certificate that clients trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    /// Locked by the one process that has the directory.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lakeward.lock")
    }

    /// All that `init` makes, besides the root itself.
    #[must_use]
    pub fn made_by_init(&self) -> [PathBuf; 7] {
        [self.config(), self.ca(), self.tls(), self.keys(), self.audit(), self.tables(), self.catalog()]
    }

    /// Stands in a demo's directory from before its first file is made.
    #[must_use]
    pub fn demo_unfinished(&self) -> PathBuf {
        self.root.join("demo-unfinished")
    }

    /// Stands in a demo's directory once it is whole.
    #[must_use]
    pub fn demo_finished(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// True where `lakeward demo` was stopped before the directory was whole.
    #[must_use]
    pub fn is_unfinished_demo(&self) -> bool {
        self.demo_unfinished().exists() && !self.demo_finished().exists()
    }

    /// The root as a `file:` URL with a trailing slash.
    ///
    /// # Errors
    /// [`ServerError::DataDirectory`] for a path that is no URL.
    pub fn url(&self) -> Result<url::Url, ServerError> {
        url::Url::from_directory_path(&self.root)
            .map_err(|()| ServerError::DataDirectory(format!("{}: not an absolute path", self.root.display())))
    }

    /// True where `init` has been here.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.config().exists() || self.catalog().exists()
    }

    /// Fails unless `init` has been here.
    ///
    /// # Errors
    /// [`ServerError::DataDirectory`] with what to run.
    pub fn require_initialised(&self) -> Result<(), ServerError> {
        let root = self.root.display();
        if self.is_unfinished_demo() {
            let message =
                format!("{root}: a demo that was not finished; make it with: lakeward demo --data-dir {root}");
            return Err(ServerError::DataDirectory(message));
        }
        // Where the catalog is shared, it is not here.
        if self.catalog().is_dir() || self.keys().is_dir() {
            return Ok(());
        }
        Err(ServerError::DataDirectory(format!(
            "{root}: not a Lakeward data directory; make one with: lakeward init --data-dir {root} --superuser NAME"
        )))
    }
}

/// Makes a directory (0700) and its parents.
///
/// # Errors
/// [`ServerError::File`].
pub fn create_directory(path: &Path) -> Result<(), ServerError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| ServerError::file("create", path, &e))
}

/// Makes a new file with `mode`; fails where one stands already.
///
/// # Errors
/// [`ServerError::File`].
pub fn create_file(path: &Path, mode: u32, content: &[u8]) -> Result<(), ServerError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|e| ServerError::file("create", path, &e))
}

/// Replaces a file in one step, with mode 0600.
///
/// # Errors
/// [`ServerError::File`].
pub fn replace_secret(path: &Path, content: &[u8]) -> Result<(), ServerError> {
    let temporary = path.with_extension("new");
    if temporary.exists() {
        std::fs::remove_file(&temporary).map_err(|e| ServerError::file("remove", &temporary, &e))?;
    }
    create_file(&temporary, 0o600, content)?;
    std::fs::rename(&temporary, path).map_err(|e| ServerError::file("replace", path, &e))
}

/// Removes a file, or a directory with all that is in it; what is not there need not be removed. A link is removed, and
/// what it points at is not.
///
/// # Errors
/// [`ServerError::File`].
pub fn remove(path: &Path) -> Result<(), ServerError> {
    let remove = || match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    remove().map_err(|e| ServerError::file("remove", path, &e))
}

/// Reads a file that must be there.
///
/// # Errors
/// [`ServerError::File`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, ServerError> {
    std::fs::read(path).map_err(|e| ServerError::file("read", path, &e))
}
