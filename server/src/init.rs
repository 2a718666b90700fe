//! `lakeward init`: makes a data directory with its keys, certificate, configuration and catalog.
//!
//! Invariant: an existing data directory is never touched, a failure leaves nothing behind, and there is no default
//! password.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use lakeward_base::{Clock, Coded, Redacted};
use lakeward_catalog::{Catalog, ScramVerifier};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::config::{Config, Overrides, TEMPLATE};
use crate::error::ServerError;
use crate::layout::{DataDirectory, create_directory, create_file, read_file, remove};
use crate::{keys, tls};

/// The prefix of the catalog log within its object store.
pub const CATALOG_PREFIX: &str = "";

/// Makes a data directory with a configuration of the operator's: its catalog is where that says.
///
/// # Errors
/// As [`initialise`], and as for opening the stores that it names.
pub async fn initialise_with(
    data: &DataDirectory,
    file: &Path,
    superuser: &str,
    password: &Redacted<String>,
    clock: &dyn Clock,
) -> Result<(), ServerError> {
    refuse_existing(data)?;
    let config = config_for(data, file)?;
    let verifier = ScramVerifier::from_password(password);
    rehearse(superuser, &verifier, clock).await?;
    or_nothing(data, async {
        make_local(data, &config, None, clock)?;
        let storage = config.storage.open().await?;
        let place = config.storage.catalog(data, &storage)?;
        Catalog::initialise(Arc::clone(&place.store), place.prefix.clone(), superuser, verifier, clock)
            .await
            .map_err(|error| ServerError::part("the catalog could not be made", &error))?;
        if place.shared {
            keys::check_shared(data, &place).await?;
        }
        create_file(&data.config(), 0o600, &read_file(file)?)
    })
    .await
}

/// Makes the data directory of one more server of a catalog that is there, with the keys of the others.
///
/// # Errors
/// As [`initialise_with`]; [`ServerError::Config`] where the configuration names no shared catalog.
pub async fn join(data: &DataDirectory, file: &Path, keys_of: &Path, clock: Arc<dyn Clock>) -> Result<(), ServerError> {
    refuse_existing(data)?;
    let config = config_for(data, file)?;
    if !config.storage.shares_catalog() {
        let message = "--join: the configuration names no storage.catalog to share".to_owned();
        return Err(ServerError::Config(message));
    }
    or_nothing(data, async {
        make_local(data, &config, Some(keys_of), clock.as_ref())?;
        let storage = config.storage.open().await?;
        let place = config.storage.catalog(data, &storage)?;
        keys::check_shared(data, &place).await?;
        Catalog::open(place.store, place.prefix, Arc::clone(&clock))
            .await
            .map_err(|error| ServerError::part("the catalog", &error))?;
        create_file(&data.config(), 0o600, &read_file(file)?)
    })
    .await
}

fn config_for(data: &DataDirectory, file: &Path) -> Result<Config, ServerError> {
    Config::load(&Overrides {
        config: Some(file.to_owned()),
        data_dir: Some(data.root().to_owned()),
        ..Overrides::default()
    })
}

/// Directories, keys and certificates.
fn make_local(
    data: &DataDirectory,
    config: &Config,
    keys_of: Option<&Path>,
    clock: &dyn Clock,
) -> Result<(), ServerError> {
    create_directory(data.root())?;
    create_directory(&data.audit())?;
    if !config.storage.shares_catalog() {
        create_directory(&data.catalog())?;
    }
    create_directory(&data.tables())?;
    match keys_of {
        Some(directory) => keys::copy_keys(directory, data)?,
        None => keys::create_keys(data)?,
    }
    tls::create_certificates(data, clock.now())
}

/// Takes away what was made where not all of it could be.
async fn or_nothing(
    data: &DataDirectory,
    make: impl Future<Output = Result<(), ServerError>>,
) -> Result<(), ServerError> {
    let existed = data.root().exists();
    let made = make.await;
    if made.is_err() {
        // The reason is what counts; what cannot be removed is left.
        data.made_by_init().iter().for_each(|path| drop(remove(path)));
        if !existed {
            let _ = std::fs::remove_dir(data.root());
        }
    }
    made
}

/// Makes the data directory.
///
/// # Errors
/// [`ServerError::Config`] for a superuser who cannot be; [`ServerError::DataDirectory`] where the directory is not
/// empty; [`ServerError::File`] where something cannot be made. Nothing is left behind then.
pub async fn initialise(
    data: &DataDirectory,
    superuser: &str,
    password: &Redacted<String>,
    clock: &dyn Clock,
) -> Result<(), ServerError> {
    refuse_existing(data)?;
    let verifier = ScramVerifier::from_password(password);
    rehearse(superuser, &verifier, clock).await?;
    or_nothing(data, make(data, superuser, verifier, clock)).await
}

/// Makes everything in a directory that may be used.
///
/// # Errors
/// As [`initialise`], but leaves what was made.
pub async fn make(
    data: &DataDirectory,
    superuser: &str,
    verifier: ScramVerifier,
    clock: &dyn Clock,
) -> Result<(), ServerError> {
    for directory in [data.root().to_owned(), data.catalog(), data.tables(), data.audit()] {
        create_directory(&directory)?;
    }
    keys::create_keys(data)?;
    tls::create_certificates(data, clock.now())?;
    Catalog::initialise(catalog_store(data)?, CATALOG_PREFIX.into(), superuser, verifier, clock)
        .await
        .map_err(|error| ServerError::part("the catalog could not be made", &error))?;
    // Last, so that a directory with a configuration is a whole one.
    create_file(&data.config(), 0o600, TEMPLATE.as_bytes())
}

/// Makes the catalog in memory: what it has against the superuser is found out before anything is on disk.
async fn rehearse(superuser: &str, verifier: &ScramVerifier, clock: &dyn Clock) -> Result<(), ServerError> {
    let nowhere = Arc::new(InMemory::new());
    let rehearsed = Catalog::initialise(nowhere, CATALOG_PREFIX.into(), superuser, verifier.clone(), clock).await;
    rehearsed.map_err(|error| {
        let because = error.detail().map(|detail| format!(" {detail}")).unwrap_or_default();
        ServerError::Config(format!("--superuser: {}{because}", error.message()).replace('\n', " "))
    })
}

/// Fails unless the directory is empty or does not exist.
///
/// # Errors
/// [`ServerError::DataDirectory`].
pub fn refuse_existing(data: &DataDirectory) -> Result<(), ServerError> {
    let root = data.root().display();
    if data.is_initialised() {
        return Err(ServerError::DataDirectory(format!(
            "{root}: already a Lakeward data directory; nothing was changed"
        )));
    }
    let occupied = match std::fs::read_dir(data.root()) {
        // The lock of a process that was ended before it made anything.
        Ok(mut entries) => entries.any(|entry| entry.map_or(true, |entry| entry.path() != data.lock())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(ServerError::file("read", data.root(), &error)),
    };
    if occupied {
        return Err(ServerError::DataDirectory(format!(
            "{root}: not empty; name a directory that is empty or does not exist"
        )));
    }
    Ok(())
}

/// The object store that holds the catalog log.
///
/// # Errors
/// [`ServerError::Part`] where the directory cannot be used.
pub fn catalog_store(data: &DataDirectory) -> Result<Arc<dyn ObjectStore>, ServerError> {
    lakeward_delta::local_object_store(&data.catalog()).map_err(|_| {
        ServerError::DataDirectory(format!("{}: the catalog's directory cannot be used", data.catalog().display()))
    })
}

/// The superuser's password: from `file`, else from `LAKEWARD_PASSWORD`, else typed twice at the terminal.
///
/// # Errors
/// [`ServerError::Config`] where there is none, or it is empty.
pub fn read_password(file: Option<&Path>) -> Result<Redacted<String>, ServerError> {
    let password = match (file, std::env::var("LAKEWARD_PASSWORD")) {
        (Some(path), _) => {
            let text = String::from_utf8(read_file(path)?)
                .map_err(|_| ServerError::Config(format!("{}: the password is not UTF-8", path.display())))?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
        (None, Ok(password)) => password,
        (None, Err(_)) if std::io::stdin().is_terminal() => prompt()?,
        (None, Err(_)) => {
            let message = "no password: pass --password-file, set LAKEWARD_PASSWORD, or run init at a terminal";
            return Err(ServerError::Config(message.to_owned()));
        }
    };
    if password.is_empty() {
        return Err(ServerError::Config("the password is empty".to_owned()));
    }
    Ok(Redacted::new(password))
}

fn prompt() -> Result<String, ServerError> {
    let ask = |text: &str| {
        rpassword::prompt_password(text)
            .map_err(|error| ServerError::System { what: "the terminal", reason: error.kind() })
    };
    let password = ask("Password for the superuser: ")?;
    if password != ask("The same again: ")? {
        return Err(ServerError::Config("the two passwords differ".to_owned()));
    }
    Ok(password)
}
