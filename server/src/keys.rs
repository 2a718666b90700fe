//! Keys in files: 32 random bytes each, made by `init`, readable by the server's user only.
//!
//! Invariant: a key never leaves the process: functions get keys derived from it, one for each purpose and domain.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, Mac};
use lakeward_audit::AuditKeys;
use lakeward_base::Redacted;
use lakeward_udfs::{KeyError, KeyPurpose, KeyRing};
use object_store::{ObjectStoreExt, PutMode};
use rand::RngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::ServerError;
use crate::layout::{DataDirectory, create_directory, create_file, read_file};
use crate::storage::CatalogPlace;

const MASK_KEY: &str = "mask.key";
const TICKET_KEY: &str = "flight-ticket.key";

/// Makes every key of a new data directory.
///
/// # Errors
/// [`ServerError::File`] where one stands already, or cannot be written.
pub fn create_keys(data: &DataDirectory) -> Result<(), ServerError> {
    create_directory(&data.keys())?;
    for name in [MASK_KEY, TICKET_KEY] {
        let mut key = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(key.as_mut());
        create_file(&data.keys().join(name), 0o600, key.as_ref())?;
    }
    Ok(())
}

/// Copies the keys of another server into a new data directory: servers that share a catalog mask alike.
///
/// # Errors
/// [`ServerError::File`] where one cannot be read, [`ServerError::DataDirectory`] where it is no key.
pub fn copy_keys(from: &Path, data: &DataDirectory) -> Result<(), ServerError> {
    create_directory(&data.keys())?;
    for name in [MASK_KEY, TICKET_KEY] {
        create_file(&data.keys().join(name), 0o600, load(&from.join(name))?.as_ref())?;
    }
    Ok(())
}

/// What a shared catalog keeps of the keys: it tells them apart, and nothing else.
const FINGERPRINT: &str = "keys";

/// Refuses keys that are not those of the servers that share the catalog: the same value would be masked differently by
/// each.
///
/// # Errors
/// [`ServerError::DataDirectory`] where the keys are others; [`ServerError::Config`] where that cannot be told.
pub async fn check_shared(data: &DataDirectory, place: &CatalogPlace) -> Result<(), ServerError> {
    let key = load(&data.keys().join(MASK_KEY))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_ref()).map_err(|_| unchecked())?;
    mac.update(b"lakeward key fingerprint");
    let own = mac.finalize().into_bytes().to_vec();
    let at = place.prefix.clone().join(FINGERPRINT);
    match place.store.put_opts(&at, own.clone().into(), PutMode::Create.into()).await {
        Ok(_) => return Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(_) => return Err(unchecked()),
    }
    let kept = place.store.get(&at).await.map_err(|_| unchecked())?.bytes().await.map_err(|_| unchecked())?;
    if kept == own {
        return Ok(());
    }
    Err(ServerError::DataDirectory(format!(
        "{}: mask.key is not that of the servers that share this catalog; copy theirs (lakeward init --join --keys DIR)",
        data.keys().display()
    )))
}

fn unchecked() -> ServerError {
    ServerError::Config("storage.catalog: the fingerprint of its keys cannot be read or written".to_owned())
}

/// The keys of the audit log of the server `node`: each signs with its own. Without them nothing is served.
///
/// # Errors
/// [`ServerError::Part`] where the provider does not give them.
pub fn audit_keys(ring: &dyn KeyRing, node: &str) -> Result<AuditKeys, ServerError> {
    let key =
        |purpose, domain| ring.key(purpose, domain).map_err(|error| ServerError::part("the audit log's keys", &error));
    Ok(AuditKeys {
        wrapping: key(KeyPurpose::AuditText, "")?,
        tokens: key(KeyPurpose::AuditTokens, "")?,
        signing: key(KeyPurpose::AuditSigning, node)?,
    })
}

/// The key that signs Flight tickets.
///
/// # Errors
/// [`ServerError`] where it cannot be read.
pub fn load_ticket_key(data: &DataDirectory) -> Result<Redacted<[u8; 32]>, ServerError> {
    load(&data.keys().join(TICKET_KEY)).map(|key| Redacted::new(*key))
}

fn load(path: &Path) -> Result<Zeroizing<[u8; 32]>, ServerError> {
    let bytes = Zeroizing::new(read_file(path)?);
    let key = <[u8; 32]>::try_from(bytes.as_slice())
        .map_err(|_| ServerError::DataDirectory(format!("{}: not a key: 32 bytes are expected", path.display())))?;
    Ok(Zeroizing::new(key))
}

/// The key ring over `keys/mask.key`.
pub struct FileKeyRing {
    root: Zeroizing<[u8; 32]>,
}

impl FileKeyRing {
    /// Reads the key of `data`.
    ///
    /// # Errors
    /// [`ServerError`] where it cannot be read.
    pub fn open(data: &DataDirectory) -> Result<Self, ServerError> {
        Ok(Self { root: load(&data.keys().join(MASK_KEY))? })
    }
}

impl KeyRing for FileKeyRing {
    fn key(&self, purpose: KeyPurpose, domain: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.root.as_ref()).map_err(|_| KeyError::Unavailable)?;
        mac.update(purpose.label().as_bytes());
        // No label holds a zero byte, so that no two pairs of purpose and domain meet.
        mac.update(&[0]);
        mac.update(domain.as_bytes());
        Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

impl fmt::Debug for FileKeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKeyRing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_domain_and_directory_and_stay_the_same() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = DataDirectory::new(home.path());
        let other = DataDirectory::new(other.path());
        create_keys(&data).unwrap();
        create_keys(&other).unwrap();
        let key = |data: &DataDirectory, domain: &str| {
            FileKeyRing::open(data).unwrap().key(KeyPurpose::MaskHash, domain).unwrap()
        };
        assert_eq!(key(&data, "email"), key(&data, "email"));
        assert_ne!(key(&data, "email"), key(&data, "phone"));
        assert_ne!(key(&data, "email"), key(&other, "email"));
    }

    #[test]
    fn a_short_key_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(home.path());
        std::fs::create_dir(data.keys()).unwrap();
        std::fs::write(data.keys().join(MASK_KEY), "short").unwrap();
        let error = FileKeyRing::open(&data).unwrap_err();
        assert!(error.to_string().ends_with("mask.key: not a key: 32 bytes are expected"));
    }
}
