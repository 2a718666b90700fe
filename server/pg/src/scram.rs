//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with and without channel binding.
//!
//! `SCRAM-SHA-256-PLUS` is offered where the channel is TLS and has a binding (`tls-server-end-point`, RFC 5929). A client
//! that says `y` (it could bind, and believes that the server cannot) has then been lied to, and is refused. What the
//! client says of the binding is checked again in its last message, where it is covered by the proof. Invariant: nothing
//! a client sends panics, and none of it is printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;

use crate::error::PgError;

/// The mechanism without channel binding.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// The mechanism with it.
pub(crate) const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// How a message with the only binding that there is begins.
const BOUND: &str = "p=tls-server-end-point,";

/// What binds an exchange to its channel.
#[derive(Clone, Copy)]
pub(crate) struct Channel<'a> {
    /// The binding that the server offers.
    pub(crate) binding: Option<&'a [u8]>,
    /// Whether the client took the mechanism with it.
    pub(crate) bound: bool,
}

/// A server nonce of 18 random bytes, as PostgreSQL makes it.
pub(crate) fn nonce() -> String {
    let mut bytes = [0; 18];
    rand::rng().fill_bytes(&mut bytes);
    STANDARD.encode(bytes)
}

/// An exchange of which the first message has been answered.
pub(crate) struct Exchange {
    /// What the client must repeat in its last message: its header, and the binding.
    header: Vec<u8>,
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
        channel: Channel<'_>,
    ) -> Result<Self, PgError> {
        let message = utf8(client_first)?;
        let (header, bare) = split_header(message, channel)?;
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
        if attribute(attributes.next(), "c=")? != STANDARD.encode(&self.header) {
            return Err(PgError::ChannelBinding("SCRAM channel binding check failed"));
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

/// What the last message must repeat, and the rest of the first.
fn split_header<'a>(message: &'a str, channel: Channel<'_>) -> Result<(Vec<u8>, &'a str), PgError> {
    let (header, rest) = match (message.split_at_checked(2), channel.binding.filter(|_| channel.bound)) {
        (Some(("p=", _)), Some(binding)) => {
            let rest = message.strip_prefix(BOUND);
            let rest = rest.ok_or(PgError::Protocol("unsupported SCRAM channel-binding type"))?;
            ([BOUND.as_bytes(), b",", binding].concat(), rest)
        }
        (Some(("n," | "y,", _)), Some(_)) => {
            return Err(PgError::Protocol(
                "the client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data",
            ));
        }
        (Some(("n,", rest)), None) => (b"n,,".to_vec(), rest),
        (Some(("y,", _)), None) if channel.binding.is_some() => {
            return Err(PgError::ChannelBinding("SCRAM channel binding negotiation error"));
        }
        (Some(("y,", rest)), None) => (b"y,,".to_vec(), rest),
        (Some(("p=", _)), None) => {
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
    use super::{Channel, Exchange, STANDARD, server_final};
    use base64::Engine as _;
    use hmac::{Hmac, Mac};
    use lakeward_base::Coded;
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

    /// No binding.
    const PLAIN: Channel<'static> = Channel { binding: None, bound: false };

    fn begin() -> Exchange {
        Exchange::begin(CLIENT_FIRST, SERVER_NONCE, &STANDARD.decode(SALT).unwrap(), 4096, PLAIN).unwrap()
    }

    #[test]
    fn a_channel_is_bound_by_what_both_ends_know() {
        let offered = |bound| Channel { binding: Some(b"hash"), bound };
        let begin = |first: &str, channel| Exchange::begin(first.as_bytes(), "s", b"salt", 4096, channel);
        let first = "p=tls-server-end-point,,n=u,r=c";
        let proof = STANDARD.encode([0; 32]);
        let last = |bound: &[u8]| format!("c={},r=cs,p={proof}", STANDARD.encode(bound));
        let exchange = begin(first, offered(true)).unwrap();
        assert!(exchange.finish(last(b"p=tls-server-end-point,,hash").as_bytes()).is_ok());
        for wrong in [&b"p=tls-server-end-point,,hasH"[..], b"p=tls-server-end-point,,", b"n,,", b"y,,hash"] {
            let refused = exchange.finish(last(wrong).as_bytes());
            assert_eq!(refused.err().map(|error| error.sqlstate().to_string()).as_deref(), Some("28000"));
        }
        let code = |first: &str, channel| begin(first, channel).err().map(|error| error.sqlstate().to_string());
        assert_eq!(code("y,,n=u,r=c", offered(false)).as_deref(), Some("28000"), "a downgrade");
        assert_eq!(code("n,,n=u,r=c", offered(false)), None, "a client that cannot");
        assert_eq!(code("n,,n=u,r=c", offered(true)).as_deref(), Some("08P01"));
        assert_eq!(code(first, offered(false)).as_deref(), Some("08P01"));
        assert_eq!(code("p=tls-unique,,n=u,r=c", offered(true)).as_deref(), Some("08P01"));
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
        let exchange = Exchange::begin(first.as_bytes(), SERVER_NONCE, b"salt", 4096, PLAIN).unwrap();
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
            assert!(Exchange::begin(first, "s", b"salt", 4096, PLAIN).is_err(), "{first:?}");
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
            if let Ok(exchange) = Exchange::begin(first.as_bytes(), "s", b"salt", 4096, PLAIN) {
                prop_assert!(exchange.finish(&last).is_err());
            }
        }
    }
}
