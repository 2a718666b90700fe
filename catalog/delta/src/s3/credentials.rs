//! Credentials in a file as AWS' tools write it (`[profile]`, `aws_access_key_id = …`).
//!
//! Invariant: a file that others than its owner may read is refused; the file is read again when it changes, so that
//! credentials that expire can be renewed beside a running server; nothing of it is ever printed.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lakeward_base::Redacted;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use parking_lot::Mutex;

use super::problem::StorageProblem;

/// Longer files are not credentials.
const LONGEST_FILE_BYTES: u64 = 64 * 1024;

/// Tells one content of the file from another.
type Stamp = (u64, u64, i64, i64);

/// See the module.
pub(super) struct FileCredentials {
    path: PathBuf,
    profile: String,
    known: Mutex<(Stamp, Arc<AwsCredential>)>,
}

impl FileCredentials {
    /// Reads the file.
    pub(super) fn open(path: &Path, profile: &str) -> Result<Self, StorageProblem> {
        let known = Mutex::new(read(path, profile)?);
        Ok(Self { path: path.to_owned(), profile: profile.to_owned(), known })
    }

    fn current(&self) -> Result<Arc<AwsCredential>, StorageProblem> {
        let mut known = self.known.lock();
        if stamp(&self.path)? != known.0 {
            *known = read(&self.path, &self.profile)?;
        }
        Ok(Arc::clone(&known.1))
    }
}

impl fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCredentials")
    }
}

#[async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.current()
            .map_err(|problem| object_store::Error::Unauthenticated { path: String::new(), source: Box::new(problem) })
    }
}

/// Also checks who may read the file.
fn stamp(path: &Path) -> Result<Stamp, StorageProblem> {
    let metadata =
        std::fs::metadata(path).map_err(|_| StorageProblem::Credentials("credentials_file cannot be read"))?;
    if metadata.mode() & 0o077 != 0 {
        let message = "credentials_file is open to others than its owner; close it with: chmod 600";
        return Err(StorageProblem::Credentials(message));
    }
    if metadata.size() > LONGEST_FILE_BYTES {
        return Err(StorageProblem::Credentials("credentials_file is too long to hold credentials"));
    }
    Ok((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn read(path: &Path, profile: &str) -> Result<(Stamp, Arc<AwsCredential>), StorageProblem> {
    let stamp = stamp(path)?;
    let text = std::fs::read_to_string(path).map(Redacted::new);
    let text = text.map_err(|_| StorageProblem::Credentials("credentials_file cannot be read"))?;
    let value = |name: &str| find(text.expose(), profile, name);
    let (Some(key_id), Some(secret_key)) = (value("aws_access_key_id"), value("aws_secret_access_key")) else {
        let message = "credentials_file holds no aws_access_key_id and aws_secret_access_key under its profile";
        return Err(StorageProblem::Credentials(message));
    };
    Ok((stamp, Arc::new(AwsCredential { key_id, secret_key, token: value("aws_session_token") })))
}

/// The value of `name` in the section of `profile`.
fn find(text: &str, profile: &str, name: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = section.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=')
            && inside
            && key.trim() == name
        {
            return Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_profile_is_read_and_read_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        written(
            &path,
            "[other]\naws_access_key_id = O\n[lake]\n# c\naws_access_key_id=A\naws_secret_access_key = s=\n",
            0o600,
        );
        let file = FileCredentials::open(&path, "lake").unwrap();
        let first = file.current().unwrap();
        assert_eq!((first.key_id.as_str(), first.secret_key.as_str(), first.token.as_deref()), ("A", "s=", None));
        written(&path, "[lake]\naws_access_key_id=B\naws_secret_access_key=new\naws_session_token=t\n", 0o600);
        let second = file.current().unwrap();
        assert_eq!((second.key_id.as_str(), second.token.as_deref()), ("B", Some("t")));
        assert!(!format!("{file:?}").contains('B'));
        std::fs::remove_file(&path).unwrap();
        assert!(file.current().is_err());
    }

    #[test]
    fn a_file_that_is_open_or_holds_nothing_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let message = |profile: &str| FileCredentials::open(&path, profile).unwrap_err().to_string();
        assert!(message("lake").contains("cannot be read"));
        written(&path, "[lake]\naws_access_key_id=A\naws_secret_access_key=s\n", 0o640);
        assert!(message("lake").contains("chmod 600"));
        written(&path, "[lake]\naws_access_key_id=A\naws_secret_access_key=\n", 0o600);
        assert!(message("lake").contains("holds no") && message("none").contains("holds no"));
    }
}
