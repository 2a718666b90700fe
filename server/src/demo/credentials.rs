//! The demo's passwords, and where to connect: `demo-credentials.json`, and `demo.pgpass` for psql.
//!
//! Invariant: passwords are random, made once for each directory, and stand in files of mode 0600 only.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::load::ADMIN;
use crate::error::ServerError;
use crate::layout::{DataDirectory, read_file, replace_secret};

/// The roles that log in.
pub const ROLES: [&str; 4] = ["analyst", "researcher", "privacy_officer", ADMIN];

/// What stands as it is in a URL's query.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How one role connects.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credential {
    /// The role.
    pub role: String,
    /// Its password.
    pub password: String,
    /// For psql and drivers, without the password.
    pub pg_url: String,
    /// For Flight SQL clients, without the password.
    pub flight_url: String,
}

/// New random passwords; the URLs are filled in by [`write`].
pub fn generate() -> Vec<Credential> {
    let make = |role: &&str| Credential {
        role: (*role).to_owned(),
        password: random_password(),
        pg_url: String::new(),
        flight_url: String::new(),
    };
    ROLES.iter().map(make).collect()
}

/// 128 random bits in hexadecimal.
fn random_password() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn path(data: &DataDirectory) -> PathBuf {
    data.root().join("demo-credentials.json")
}

/// The file that psql takes passwords from.
pub fn pgpass_path(data: &DataDirectory) -> PathBuf {
    data.root().join("demo.pgpass")
}

/// All that [`write`] makes, halves of it included.
pub fn paths(data: &DataDirectory) -> [PathBuf; 4] {
    let (json, pgpass) = (path(data), pgpass_path(data));
    [json.with_extension("new"), pgpass.with_extension("new"), json, pgpass]
}

/// Reads what an earlier start has written.
///
/// # Errors
/// [`ServerError`] where the file is missing or is not what [`write`] makes.
pub fn read(data: &DataDirectory) -> Result<Vec<Credential>, ServerError> {
    let path = path(data);
    serde_json::from_slice(&read_file(&path)?)
        .map_err(|_| ServerError::DataDirectory(format!("{}: not the demo's credentials", path.display())))
}

/// Writes both files with the addresses of this start.
///
/// # Errors
/// [`ServerError::File`].
pub fn write(
    data: &DataDirectory,
    credentials: &mut [Credential],
    pg: SocketAddr,
    flight: SocketAddr,
) -> Result<(), ServerError> {
    let ca = data.ca();
    let ca = utf8_percent_encode(&ca.to_string_lossy(), PATH).to_string();
    let mut pgpass = String::new();
    for credential in credentials.iter_mut() {
        let role = &credential.role;
        credential.pg_url = format!("postgresql://{role}@{}/lakeward?sslmode=verify-full&sslrootcert={ca}", host(pg));
        credential.flight_url = format!("grpc+tls://{}", host(flight));
        let _ = writeln!(pgpass, "*:*:lakeward:{role}:{}", credential.password);
    }
    let json = serde_json::to_vec_pretty(&credentials).unwrap_or_default();
    replace_secret(&path(data), &json)?;
    replace_secret(&pgpass_path(data), pgpass.as_bytes())
}

/// The name to connect by: the certificate holds `localhost`.
fn host(address: SocketAddr) -> String {
    let ip = address.ip();
    if ip.is_loopback() || ip.is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_change_with_the_ports_and_passwords_stay() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(&home.path().join("a b"));
        std::fs::create_dir(data.root()).unwrap();
        let mut first = generate();
        write(&data, &mut first, "127.0.0.1:1111".parse().unwrap(), "127.0.0.1:2222".parse().unwrap()).unwrap();
        let mut second = read(&data).unwrap();
        write(&data, &mut second, "0.0.0.0:3333".parse().unwrap(), "127.0.0.1:4444".parse().unwrap()).unwrap();
        let third = read(&data).unwrap();
        let root = home.path().display();
        let expected =
            format!("postgresql://analyst@localhost:3333/lakeward?sslmode=verify-full&sslrootcert={root}/a%20b/ca.pem");
        assert_eq!(third[0].pg_url, expected);
        assert_eq!(third[0].flight_url, "grpc+tls://localhost:4444");
        assert_eq!(third[0].password, first[0].password);
        assert_ne!(third[0].password, third[1].password);
        for file in [path(&data), pgpass_path(&data)] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
