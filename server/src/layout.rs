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
        if self.catalog().is_dir() {
            return Ok(());
        }
        let root = self.root.display();
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

/// Reads a file that must be there.
///
/// # Errors
/// [`ServerError::File`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, ServerError> {
    std::fs::read(path).map_err(|e| ServerError::file("read", path, &e))
}
