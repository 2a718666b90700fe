//! The channel binding `tls-server-end-point` (RFC 5929): a hash of the certificate that the server showed.
//!
//! rustls does not tell which certificate that was, so each connection asks by way of a resolver of its own. Invariant: a
//! certificate that is not understood has no binding, and the server then offers none.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The binding of one connection, once it has shown a certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<OnceLock<Option<Vec<u8>>>>);

impl Shown {
    /// The binding, where there is one.
    pub(crate) fn binding(&self) -> Option<Vec<u8>> {
        self.0.get().cloned().flatten()
    }
}

/// A configuration for one connection, and where it puts the binding.
pub(crate) fn noted(config: &ServerConfig) -> (Arc<ServerConfig>, Shown) {
    let shown = Shown::default();
    let mut config = config.clone();
    config.cert_resolver = Arc::new(Noting { inner: Arc::clone(&config.cert_resolver), shown: shown.clone() });
    (Arc::new(config), shown)
}

struct Noting {
    inner: Arc<dyn ResolvesServerCert>,
    shown: Shown,
}

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.inner.resolve(hello)?;
        let binding = key.cert.first().and_then(|certificate| of_certificate(certificate));
        let _ = self.shown.0.set(binding);
        Some(key)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.inner.only_raw_public_keys()
    }
}

impl fmt::Debug for Noting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noting")
    }
}

/// RSA's signatures with MD5, SHA-1, SHA-256, -384 and -512: all but their last byte.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// ECDSA with SHA-256, -384 and -512: all but the last byte.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
/// ECDSA with SHA-1.
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];

/// The hash by which a certificate (in DER) is signed, of the certificate; SHA-256 in the place of MD5 and SHA-1.
/// `None` where the signature has no hash of its own (Ed25519), or one that is not known.
fn of_certificate(der: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(der)?;
    let sha256 = || Some(Sha256::digest(der).to_vec());
    let sha384 = || Some(Sha384::digest(der).to_vec());
    let sha512 = || Some(Sha512::digest(der).to_vec());
    if algorithm == ECDSA_SHA1 {
        return sha256();
    }
    let (last, family) = algorithm.split_last()?;
    match (family, last) {
        (RSA, 4 | 5 | 11) | (ECDSA, 2) => sha256(),
        (RSA, 12) | (ECDSA, 3) => sha384(),
        (RSA, 13) | (ECDSA, 4) => sha512(),
        _ => None,
    }
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, … }, … }`
fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (certificate, _) = element(der, SEQUENCE)?;
    let (_, after) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(after, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER).map(|(identifier, _)| identifier)
}

/// The contents of the element of this type that begins here, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    if *length < 0x80 {
        return rest.split_at_checked(usize::from(*length));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(*length & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
    let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::{ECDSA, RSA, of_certificate};
    use proptest::prelude::*;

    /// The outline of a certificate that is signed by this algorithm.
    fn certificate(family: &[u8], last: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, body: &[u8]| [&[tag, u8::try_from(body.len()).unwrap()], body].concat();
        let algorithm = wrap(0x30, &wrap(0x06, &[family, last].concat()));
        wrap(0x30, &[wrap(0x30, b"whatever is certified"), algorithm, wrap(0x03, b"signature")].concat())
    }

    #[test]
    fn the_signature_decides_the_hash() {
        for (family, last, length) in [
            (RSA, 4, 32),
            (RSA, 5, 32),
            (RSA, 11, 32),
            (RSA, 12, 48),
            (RSA, 13, 64),
            (ECDSA, 2, 32),
            (ECDSA, 3, 48),
            (ECDSA, 4, 64),
        ] {
            assert_eq!(of_certificate(&certificate(family, &[last])).unwrap().len(), length, "{last}");
        }
        assert_eq!(of_certificate(&certificate(&[0x2b, 0x65, 0x70], &[])), None, "Ed25519");
    }

    proptest! {
        #[test]
        fn nothing_panics(der in proptest::collection::vec(prop_oneof![Just(0x30_u8), Just(6), Just(0x82), any::<u8>()], 0..60)) {
            let _ = of_certificate(&der);
        }
    }
}
