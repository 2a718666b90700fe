//! Transport security: the certificate that `init` makes, and the files that `serve` loads.
//!
//! Invariant: where TLS is on, a certificate or key that is missing, unreadable or mismatched stops the start: there is
//! no fall-back to plain text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;
use crate::error::ServerError;
use crate::layout::{DataDirectory, create_directory, create_file};

/// Makes a certificate authority and a server certificate signed by it: `ca.pem`, `tls/server.pem`, `tls/server.key`.
///
/// The authority's key is not kept, so that nothing else can ever be signed with it.
///
/// # Errors
/// [`ServerError::File`] where a file cannot be made; [`ServerError::Config`] where the certificate cannot.
pub fn create_certificates(data: &DataDirectory, now: DateTime<Utc>) -> Result<(), ServerError> {
    let made =
        sign(now).map_err(|_| ServerError::Config("the self-signed certificate could not be made".to_owned()))?;
    create_directory(&data.tls())?;
    create_file(&data.ca(), 0o644, made.authority.as_bytes())?;
    create_file(&data.tls().join("server.pem"), 0o644, made.certificate.as_bytes())?;
    create_file(&data.tls().join("server.key"), 0o600, made.private_key.as_bytes())
}

/// PEM texts.
struct Made {
    authority: String,
    certificate: String,
    private_key: String,
}

fn sign(now: DateTime<Utc>) -> Result<Made, rcgen::Error> {
    let host = host_name();
    let mut authority = CertificateParams::default();
    validity(&mut authority, now);
    // The name holds the day, so that authorities of several directories can stand in one trust store.
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("Lakeward local CA {}", now.format("%Y-%m-%d %H:%M:%S")));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(host.clone().filter(|name| name != "localhost"));
    let mut server = CertificateParams::new(names)?;
    validity(&mut server, now);
    server.distinguished_name.push(DnType::CommonName, host.unwrap_or_else(|| "localhost".to_owned()));
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;
    Ok(Made { authority: authority.pem(), certificate: certificate.pem(), private_key: key.serialize_pem() })
}

/// From yesterday (clocks differ) for ten years.
fn validity(params: &mut CertificateParams, now: DateTime<Utc>) {
    let from = now.checked_sub_days(Days::new(1)).unwrap_or(now);
    // The 28th stands in every month, also ten years on.
    let (month, day) = (from.month() as u8, from.day().min(28) as u8);
    params.not_before = rcgen::date_time_ymd(from.year(), month, day);
    params.not_after = rcgen::date_time_ymd(from.year() + 10, month, day);
    params.distinguished_name = rcgen::DistinguishedName::new();
}

/// This machine's name, where the system tells it and it can stand in a certificate.
fn host_name() -> Option<String> {
    let text =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = text.ok()?.trim().to_owned();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.len() <= 64 && name.chars().all(allowed)).then_some(name)
}

/// Loads what `tls` names; `None` where TLS is switched off.
///
/// # Errors
/// [`ServerError::Config`] in one line with what to do.
pub fn load(tls: &Tls) -> Result<Option<Arc<ServerConfig>>, ServerError> {
    if !tls.enabled {
        return Ok(None);
    }
    let chain = load_chain(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.private_key)
        .map_err(|e| pem_error("tls.private_key", &tls.private_key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ServerError::Config("tls: no protocol version is available".to_owned()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(tls, &error))?;
    Ok(Some(Arc::new(config)))
}

fn load_chain(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error("tls.certificate", path, &error))?;
    if chain.is_empty() {
        return Err(pem_error("tls.certificate", path, &rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn pem_error(key: &str, path: &Path, error: &rustls::pki_types::pem::Error) -> ServerError {
    use rustls::pki_types::pem::Error;
    let reason = match error {
        Error::Io(error) => format!("cannot be read ({})", error.kind()),
        Error::NoItemsFound if key == "tls.certificate" => "holds no certificate".to_owned(),
        Error::NoItemsFound => "holds no private key".to_owned(),
        _ => "is not a PEM file".to_owned(),
    };
    ServerError::Config(format!("{key}: {} {reason}; {ADVICE}", path.display()))
}

fn unusable(tls: &Tls, error: &rustls::Error) -> ServerError {
    let reason = match error {
        rustls::Error::InconsistentKeys(_) => "does not belong to the certificate in",
        _ => "cannot be used with the certificate in",
    };
    ServerError::Config(format!(
        "tls.private_key: {} {reason} {}; {ADVICE}",
        tls.private_key.display(),
        tls.certificate.display()
    ))
}

const ADVICE: &str = "name a PEM certificate chain and its unencrypted PEM key in [tls]";

#[cfg(test)]
mod tests {
    use super::*;
    use lakeward_base::{Clock, SystemClock};

    fn made() -> (tempfile::TempDir, Tls) {
        let home = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(home.path());
        create_certificates(&data, SystemClock.now()).unwrap();
        let tls = Tls {
            enabled: true,
            certificate: data.tls().join("server.pem"),
            private_key: data.tls().join("server.key"),
        };
        (home, tls)
    }

    #[test]
    fn what_init_makes_can_be_served_and_verifies_against_its_authority() {
        let (home, tls) = made();
        assert!(load(&tls).unwrap().is_some());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(home.path().join("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let chain = load_chain(&tls.certificate).unwrap();
        use rustls::client::danger::ServerCertVerifier as _;
        use rustls::pki_types::{ServerName, UnixTime};
        for name in ["localhost", "127.0.0.1", "::1"] {
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(&chain[0], &[], &name, &[], UnixTime::now()).unwrap();
        }
    }

    #[test]
    fn the_key_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_home, tls) = made();
        assert_eq!(std::fs::metadata(&tls.private_key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_bad_file_refuses_with_one_line() {
        let (_home, good) = made();
        let (_other, other) = made();
        let mixed = Tls { private_key: other.private_key, ..good.clone() };
        let missing = Tls { certificate: "/nonexistent/server.pem".into(), ..good.clone() };
        let swapped = Tls { certificate: good.private_key.clone(), ..good.clone() };
        for (tls, part) in [
            (mixed, "does not belong to the certificate in"),
            (missing, "tls.certificate: /nonexistent/server.pem cannot be read (entity not found)"),
            (swapped, "holds no certificate"),
        ] {
            let message = load(&tls).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains('\n'), "{message}");
        }
    }
}
