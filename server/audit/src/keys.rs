//! The log's keys, and what is done with them: texts are sealed, values become tokens, heads are signed.
//!
//! A statement's text is sealed under a data key of one server start and one day, which stands beside the text, wrapped.
//! A value's token is an HMAC of the value in its plain form ([`crate::value`]): equal for equal values, and nothing
//! without the key.
//!
//! Invariant: no key prints, and no two texts are sealed under one data key with one nonce.

use std::fmt;

use parking_lot::Mutex;
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use lakeward_proto::{AuditSealed, AuditStatementText};

use crate::error::AuditError;
use crate::value;

/// Bytes of a token: half an HMAC-SHA-256, enough that two values do not meet.
pub(crate) const TOKEN_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// Length of a sealed data key: nonce, key, tag.
const WRAPPED_BYTES: usize = NONCE_LEN + KEY_BYTES + 16;
const DATA_KEY: &[u8] = b"lakeward audit data key";
const DAY_US: i64 = 86_400_000_000;

/// The keys of a log, as the server's key provider gives them. Servers that share the first can read each other's texts;
/// those that share the second give a value the same token.
#[derive(Clone)]
pub struct AuditKeys {
    /// Wraps the daily data keys.
    pub wrapping: Zeroizing<[u8; 32]>,
    /// Makes tokens of values.
    pub tokens: Zeroizing<[u8; 32]>,
    /// The seed of the Ed25519 key that signs heads; of one server.
    pub signing: Zeroizing<[u8; 32]>,
}

impl AuditKeys {
    /// The key that the heads' signatures are verified with.
    ///
    /// # Errors
    /// [`AuditError::Keys`].
    pub fn public_key(&self) -> Result<PublicKey, AuditError> {
        PublicKey::try_from(signing_key(self)?.public_key().as_ref()).map_err(|_| AuditError::Keys)
    }
}

/// An Ed25519 public key.
pub type PublicKey = [u8; 32];

/// The key that signs heads.
pub(crate) fn signing_key(keys: &AuditKeys) -> Result<Ed25519KeyPair, AuditError> {
    Ed25519KeyPair::from_seed_unchecked(keys.signing.as_ref()).map_err(|_| AuditError::Keys)
}

/// Whether a signature of a text is that of a key.
pub(crate) fn is_signed(key: &PublicKey, text: &str, signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), signature).is_ok()
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKeys")
    }
}

/// A token of a value.
pub(crate) type Token = [u8; TOKEN_BYTES];

/// What makes tokens of values.
pub(crate) struct Tokens(hmac::Key);

impl Tokens {
    pub(crate) fn new(keys: &AuditKeys) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, keys.tokens.as_ref()))
    }

    /// The tokens of a value that somebody searched with, or is searched for: one for each of its plain forms.
    pub(crate) fn of_value<'a>(&'a self, value: &'a str) -> impl Iterator<Item = Token> + 'a {
        value::forms(value).map(|form| self.token(b"value", &form))
    }

    /// The token of a subject: the same in every table.
    pub(crate) fn of_subject(&self, subject: &str) -> Token {
        self.token(b"subject", &value::plain(subject))
    }

    /// Tells this key from others.
    pub(crate) fn fingerprint(&self) -> Token {
        self.token(b"key", "")
    }

    fn token(&self, purpose: &[u8], form: &str) -> Token {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(&[0]);
        context.update(form.as_bytes());
        let mut token = Token::default();
        token.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        token
    }
}

/// What seals texts.
pub(crate) struct Sealer {
    wrapping: LessSafeKey,
    random: SystemRandom,
    day: Mutex<Option<DataKey>>,
}

/// The key of one day.
struct DataKey {
    day: i64,
    key: LessSafeKey,
    wrapped: Vec<u8>,
    /// Texts that were sealed under it.
    used: u64,
}

impl Sealer {
    /// # Errors
    /// [`AuditError::Keys`].
    pub(crate) fn new(keys: &AuditKeys) -> Result<Self, AuditError> {
        let sealer = Self { wrapping: cipher(&keys.wrapping)?, random: SystemRandom::new(), day: Mutex::default() };
        // Told now rather than to the first statement.
        sealer.data_key(0)?;
        Ok(sealer)
    }

    fn data_key(&self, day: i64) -> Result<DataKey, AuditError> {
        let (mut key, mut nonce) = (Zeroizing::new([0; KEY_BYTES]), [0; NONCE_LEN]);
        self.random.fill(key.as_mut()).map_err(|_| AuditError::Keys)?;
        self.random.fill(&mut nonce).map_err(|_| AuditError::Keys)?;
        let mut sealed = key.to_vec();
        let nonce_of_key = Nonce::assume_unique_for_key(nonce);
        self.wrapping
            .seal_in_place_append_tag(nonce_of_key, Aad::from(DATA_KEY), &mut sealed)
            .map_err(|_| AuditError::Keys)?;
        let mut wrapped = nonce.to_vec();
        wrapped.append(&mut sealed);
        Ok(DataKey { day, key: cipher(&key)?, wrapped, used: 0 })
    }

    /// Seals the text of a statement of this moment.
    pub(crate) fn seal(
        &self,
        text: &AuditStatementText,
        statement_id: &[u8],
        at_us: i64,
    ) -> Result<AuditSealed, AuditError> {
        let day = at_us.div_euclid(DAY_US);
        let mut ciphertext = text.encode_to_vec();
        let mut current = self.day.lock();
        let key = match &mut *current {
            Some(key) if key.day == day => key,
            other => other.insert(self.data_key(day)?),
        };
        key.used += 1;
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(key.used.to_le_bytes()).for_each(|(to, from)| *to = from);
        let unique = Nonce::assume_unique_for_key(nonce);
        key.key
            .seal_in_place_append_tag(unique, Aad::from(statement_id), &mut ciphertext)
            .map_err(|_| AuditError::Keys)?;
        Ok(AuditSealed { wrapped_key: key.wrapped.clone(), nonce: nonce.to_vec(), ciphertext })
    }

    /// Opens what was sealed for a statement; `None` where it was not, or not under this wrapping key.
    pub(crate) fn open(&self, sealed: &AuditSealed, statement_id: &[u8]) -> Option<AuditStatementText> {
        let wrapped = <[u8; WRAPPED_BYTES]>::try_from(sealed.wrapped_key.as_slice()).ok()?;
        let (nonce, key) = wrapped.split_at(NONCE_LEN);
        let mut key = Zeroizing::new(key.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let key = self.wrapping.open_in_place(nonce, Aad::from(DATA_KEY), &mut key).ok()?;
        let key = cipher(&Zeroizing::new(<[u8; KEY_BYTES]>::try_from(&*key).ok()?)).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).ok()?;
        let mut text = sealed.ciphertext.clone();
        let text = key.open_in_place(nonce, Aad::from(statement_id), &mut text).ok()?;
        AuditStatementText::decode(&*text).ok()
    }
}

fn cipher(key: &Zeroizing<[u8; KEY_BYTES]>) -> Result<LessSafeKey, AuditError> {
    UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| AuditError::Keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> AuditKeys {
        let key = Zeroizing::new([byte; 32]);
        AuditKeys { wrapping: key.clone(), tokens: key.clone(), signing: key }
    }

    fn text(sql: &str) -> AuditStatementText {
        AuditStatementText { sql: sql.to_owned(), parameters: Vec::new() }
    }

    #[test]
    fn a_text_is_opened_by_its_key_for_its_statement_and_by_nothing_else() {
        let sealer = Sealer::new(&keys(1)).unwrap();
        let sealed = sealer.seal(&text("SELECT 'x'"), b"one", 5).unwrap();
        assert_eq!(sealer.open(&sealed, b"one").unwrap().sql, "SELECT 'x'");
        // Another start of the same server.
        assert_eq!(Sealer::new(&keys(1)).unwrap().open(&sealed, b"one").unwrap().sql, "SELECT 'x'");
        assert!(sealer.open(&sealed, b"two").is_none());
        assert!(Sealer::new(&keys(2)).unwrap().open(&sealed, b"one").is_none());
        for at in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[at] ^= 1;
            assert!(sealer.open(&changed, b"one").is_none(), "{at}");
        }
    }

    #[test]
    fn each_day_has_a_key_and_each_text_a_nonce() {
        let sealer = Sealer::new(&keys(1)).unwrap();
        let seal = |at_us| sealer.seal(&text("SELECT 1"), b"one", at_us).unwrap();
        let (first, second, tomorrow) = (seal(0), seal(DAY_US - 1), seal(DAY_US));
        assert_eq!(first.wrapped_key, second.wrapped_key);
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.ciphertext, second.ciphertext);
        assert_ne!(first.wrapped_key, tomorrow.wrapped_key);
    }

    #[test]
    fn a_value_has_a_token_in_common_however_it_is_written() {
        let tokens = Tokens::new(&keys(1));
        let all = |value: &str| tokens.of_value(value).collect::<Vec<_>>();
        for written in ["412-68-1073", " 412681073", "412 68 1073", "%412-68-1073%", "{412-68-1073,1}", "412681073.0"] {
            let meets = all(written).iter().any(|token| all("412681073").contains(token));
            assert!(meets, "{written}");
        }
        assert_ne!(all("412681073"), all("412681074"));
        let other = Tokens::new(&keys(2)).of_value("412681073").collect::<Vec<_>>();
        assert_ne!(all("412681073"), other);
    }
}
