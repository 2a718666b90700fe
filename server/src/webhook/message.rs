//! What a notice of BREAK GLASS says.
//!
//! Invariant: no reason, no note and no subject leaves: of the subject a keyed token, which `mask_hash(subject,
//! 'break_glass')` makes too, so that who may call that can tell whose it is.

use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, Mac};
use lakeward_catalog::BreakGlass;
use lakeward_udfs::{KeyError, KeyPurpose, KeyRing};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

/// The domain of the subjects' tokens.
const TOKEN_DOMAIN: &str = "break_glass";

/// What has become of a use of BREAK GLASS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was opened.
    Opened,
    /// It is over: ended, expired, or reviewed before that.
    Ended,
    /// Somebody else has said what they think of it.
    Reviewed,
}

impl Event {
    /// What has become of `glass` by `now`, in that order.
    pub fn of(glass: &BreakGlass, now: DateTime<Utc>) -> impl Iterator<Item = Self> {
        let ended = (!glass.is_open(now)).then_some(Self::Ended);
        [Some(Self::Opened), ended, glass.review.as_ref().map(|_| Self::Reviewed)].into_iter().flatten()
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Ended => "ended",
            Self::Reviewed => "reviewed",
        }
    }
}

/// A notice, ready to be sent.
pub struct Message {
    /// The same each time that it is sent.
    pub key: String,
    /// JSON.
    pub body: String,
}

/// Makes a notice.
///
/// # Errors
/// [`KeyError`] where the subject's token cannot be made.
pub fn message(glass: &BreakGlass, event: Event, node: &str, keys: &dyn KeyRing) -> Result<Message, KeyError> {
    let key = format!("{}:{}", glass.id, event.as_str());
    let body = json!({
        "event": format!("break_glass.{}", event.as_str()),
        "event_id": key,
        "id": glass.id,
        "node": node,
        "user_name": glass.user_name,
        "subject_token": token(glass.subject.expose(), keys)?,
        "ticket": glass.ticket.as_ref().map(|ticket| ticket.expose().clone()),
        "opened_at": shown(glass.opened_at),
        "expires_at": shown(glass.expires_at),
        "ended_at": glass.ended_at.map(shown),
        "reviewed_at": glass.review.as_ref().map(|review| shown(review.at)),
        "reviewed_by": glass.review.as_ref().map(|review| review.by.clone()),
    });
    Ok(Message { key, body: body.to_string() })
}

fn token(subject: &str, keys: &dyn KeyRing) -> Result<String, KeyError> {
    let key = keys.key(KeyPurpose::MaskHash, TOKEN_DOMAIN)?;
    signed(key.as_slice(), &[subject.as_bytes()]).ok_or(KeyError::Unavailable)
}

/// HMAC-SHA-256 over some bytes, one after the other, in hexadecimal digits.
pub fn signed(key: &[u8], parts: &[&[u8]]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
