//! What a call says of who makes it: the `authorization` header.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lakeward_base::{Redacted, SqlState};
use lakeward_engine::Error;
use tonic::metadata::MetadataMap;

/// The header's name.
pub(crate) const AUTHORIZATION: &str = "authorization";
/// Longest header that is looked at.
const MAX_BYTES: usize = 4096;
/// Go's Flight client leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What was presented.
pub(crate) enum Authorization {
    /// Nothing.
    Missing,
    /// User name and password.
    Basic { user: String, password: Redacted<String> },
    /// A token that the handshake gave.
    Bearer(Redacted<String>),
}

impl Authorization {
    /// Reads the header.
    ///
    /// # Errors
    /// 28000 where it cannot be understood.
    pub(crate) fn read(metadata: &MetadataMap) -> Result<Self, Error> {
        let Some(value) = metadata.get(AUTHORIZATION) else { return Ok(Self::Missing) };
        let text = value.to_str().ok().filter(|text| text.len() <= MAX_BYTES).ok_or_else(not_understood)?;
        let (scheme, content) = text.split_once(' ').ok_or_else(not_understood)?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Ok(Self::Bearer(Redacted::new(content.trim().to_owned()))),
            "basic" => basic(content.trim()),
            _ => Err(not_understood()),
        }
    }
}

fn basic(content: &str) -> Result<Authorization, Error> {
    let bytes = BASE64.decode(content).map_err(|_| not_understood())?;
    let text = String::from_utf8(bytes).map_err(|_| not_understood())?;
    let (user, password) = text.split_once(':').ok_or_else(not_understood)?;
    Ok(Authorization::Basic { user: user.to_owned(), password: Redacted::new(password.to_owned()) })
}

fn not_understood() -> Error {
    let message = "the authorization header cannot be understood";
    Error::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message).with_hint("Send Basic or Bearer.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<Authorization, Error> {
        let mut metadata = MetadataMap::new();
        metadata.insert(AUTHORIZATION, header.parse().unwrap());
        Authorization::read(&metadata)
    }

    #[test]
    fn basic_and_bearer_are_read_whatever_their_case() {
        let Ok(Authorization::Basic { user, password }) = read("basic YWxpY2U6YTpi") else { panic!("not basic") };
        assert_eq!((user.as_str(), password.expose().as_str()), ("alice", "a:b"));
        let Ok(Authorization::Basic { user, .. }) = read("Basic Ym9iOnBhc3M") else { panic!("padding is needed") };
        assert_eq!(user, "bob");
        let Ok(Authorization::Bearer(token)) = read("BEARER abc") else { panic!("not bearer") };
        assert_eq!(token.expose(), "abc");
    }

    #[test]
    fn anything_else_is_refused() {
        for header in ["Basic", "Basic !!", "Basic YWxpY2U=", "Digest x", &format!("Bearer {}", "x".repeat(5000))] {
            assert!(read(header).is_err(), "{header}");
        }
    }
}
