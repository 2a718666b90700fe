//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
//!
//! `SCRAM-SHA-256-PLUS` is not offered, so that `n` (the client cannot) and `y` (the client could, and believes that
//! the server cannot, which is true) are both right, and `p` never is. The chosen header is checked again in the last
//! message, where it is covered by the proof. Invariant: nothing a client sends panics, and none of it is printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;

use crate::error::PgError;

/// The mechanism's name.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// A server nonce of 18 random bytes, as PostgreSQL makes it.
pub(crate) fn nonce() -> String {
    let mut bytes = [0; 18];
    rand::rng().fill_bytes(&mut bytes);
    STANDARD.encode(bytes)
}

/// An exchange of which the first message has been answered.
pub(crate) struct Exchange {
    header: &'static str,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

/// What the client's last message asks to be checked.
pub(crate) struct Proof {
    /// The text that the proof is about.
    pub(crate) auth_message: Vec<u8>,
    /// The client's proof.
    pub(crate) proof: Vec<u8>,
}

impl Exchange {
    /// Takes the client's first message; the answer is [`server_first`](Self::server_first).
    pub(crate) fn begin(
        client_first: &[u8],
        server_nonce: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, PgError> {
        let message = utf8(client_first)?;
        let (header, bare) = split_header(message)?;
        let mut attributes = bare.split(',');
        attribute(attributes.next(), "n=")?;
        let client_nonce = attribute(attributes.next(), "r=")?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PgError::Protocol("non-printable characters in SCRAM nonce"));
        }
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        Ok(Self { header, client_first_bare: bare.to_owned(), server_first, nonce })
    }

    /// The server's first message.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Takes the client's last message.
    pub(crate) fn finish(&self, client_final: &[u8]) -> Result<Proof, PgError> {
        let message = utf8(client_final)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        if attribute(attributes.next(), "c=")? != STANDARD.encode(self.header) {
            return Err(PgError::Protocol("SCRAM channel binding check failed"));
        }
        if attribute(attributes.next(), "r=")? != self.nonce {
            return Err(PgError::Protocol("invalid SCRAM response: nonce does not match"));
        }
        let proof = STANDARD.decode(proof).map_err(|_| MALFORMED)?;
        if proof.len() != 32 {
            return Err(MALFORMED);
        }
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first).into_bytes();
        Ok(Proof { auth_message, proof })
    }
}

/// The server's last message.
pub(crate) fn server_final(signature: [u8; 32]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

const MALFORMED: PgError = PgError::Protocol("malformed SCRAM message");

fn utf8(bytes: &[u8]) -> Result<&str, PgError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(MALFORMED),
    }
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, PgError> {
    part.and_then(|part| part.strip_prefix(name)).ok_or(MALFORMED)
}

fn split_header(message: &str) -> Result<(&'static str, &str), PgError> {
    let (header, rest) = match message.split_at_checked(2) {
        Some(("n,", rest)) => ("n,,", rest),
        Some(("y,", rest)) => ("y,,", rest),
        Some(("p=", _)) => {
            return Err(PgError::Protocol(
                "the client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data",
            ));
        }
        _ => return Err(MALFORMED),
    };
    if rest.starts_with("a=") {
        return Err(PgError::Unsupported("an authorization identity in SCRAM"));
    }
    let bare = rest.strip_prefix(',').ok_or(MALFORMED)?;
    if bare.starts_with("m=") {
        return Err(PgError::Unsupported("a mandatory SCRAM extension"));
    }
    Ok((header, bare))
}

#[cfg(test)]
mod tests {
    use super::{Exchange, STANDARD, server_final};
    use base64::Engine as _;
    use hmac::{Hmac, Mac};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const CLIENT_FINAL: &[u8] =
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().into()
    }

    /// Hi() of RFC 5802 for one block.
    fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
        let mut block = mac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut sum = block;
        for _ in 1..iterations {
            block = mac(password, &block);
            sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }

    fn begin() -> Exchange {
        Exchange::begin(CLIENT_FIRST, SERVER_NONCE, &STANDARD.decode(SALT).unwrap(), 4096).unwrap()
    }

    #[test]
    fn the_vector_of_rfc_7677() {
        let exchange = begin();
        let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(exchange.server_first(), server_first);
        let proof = exchange.finish(CLIENT_FINAL).unwrap();
        let salted = salted(b"pencil", &STANDARD.decode(SALT).unwrap(), 4096);
        let stored_key = Sha256::digest(mac(&salted, b"Client Key"));
        let mut client_key = mac(&stored_key, &proof.auth_message);
        client_key.iter_mut().zip(&proof.proof).for_each(|(key, byte)| *key ^= byte);
        assert_eq!(Sha256::digest(client_key), stored_key);
        let signature = mac(&mac(&salted, b"Server Key"), &proof.auth_message);
        assert_eq!(server_final(signature), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn the_header_is_checked_again_in_the_last_message() {
        let changed = String::from_utf8(CLIENT_FINAL.to_vec()).unwrap().replace("c=biws", "c=eSws");
        assert!(begin().finish(changed.as_bytes()).is_err());
        let first = String::from_utf8(CLIENT_FIRST.to_vec()).unwrap().replace("n,,", "y,,");
        let exchange = Exchange::begin(first.as_bytes(), SERVER_NONCE, b"salt", 4096).unwrap();
        assert!(exchange.finish(changed.as_bytes()).is_ok());
        assert!(exchange.finish(CLIENT_FINAL).is_err());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for first in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=u",
            b"n,,n=u,r=",
            b"n,,n=u,r=a\x07",
            b"p=tls-unique,,n=u,r=a",
            b"n,a=admin,n=u,r=a",
            b"n,,m=x,n=u,r=a",
            b"x,,n=u,r=a",
            b"n,,n=\xff,r=a",
            b"n,,n=u\0,r=a",
        ] {
            assert!(Exchange::begin(first, "s", b"salt", 4096).is_err(), "{first:?}");
        }
        for last in [
            &b""[..],
            b"c=biws",
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=AAAA",
            b"c=biws,r=x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        ] {
            assert!(begin().finish(last).is_err(), "{last:?}");
        }
        let short = String::from_utf8(CLIENT_FINAL.to_vec())
            .unwrap()
            .replace("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "dHzb");
        assert!(begin().finish(short.as_bytes()).is_err(), "a truncated proof");
    }

    proptest! {
        #[test]
        fn random_messages_do_not_panic(first in "[nyp],?(a=x)?,n?=?.{0,8},r=.{0,8}", last in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(exchange) = Exchange::begin(first.as_bytes(), "s", b"salt", 4096) {
                prop_assert!(exchange.finish(&last).is_err());
            }
        }
    }
}
