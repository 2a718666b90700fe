//! What is wrong with a store, in a closed vocabulary for the operator.
//!
//! Invariant: nothing of an answer's text is passed on: it holds keys of objects (partition values are health data), and
//! may hold credentials. Only the store's own code for the error is looked for in it.

use std::error::Error as StdError;

use lakeward_base::{Coded, SqlState};
use thiserror::Error;

/// Why a store cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StorageProblem {
    /// A setting cannot be honoured.
    #[error("{0}")]
    Setting(&'static str),
    /// The credentials are not there, or not protected.
    #[error("{0}")]
    Credentials(&'static str),
    /// The store does not know the credentials, or the signature is wrong.
    #[error("the store does not accept the credentials")]
    Unauthenticated,
    /// The credentials were good for a time that is over.
    #[error("the credentials have expired")]
    Expired,
    /// The credentials may not do this.
    #[error("access is denied")]
    Denied,
    /// There is no such bucket.
    #[error("the bucket does not exist")]
    NoBucket,
    /// The bucket is elsewhere.
    #[error("the bucket is in another region, or at another endpoint")]
    Region,
    /// The key of encryption cannot be used.
    #[error("the encryption key (sse_kms_key_id) cannot be used")]
    Key,
    /// This machine's clock and the store's differ.
    #[error("this machine's clock and the store's differ too much")]
    Clock,
    /// A put overwrote what it must not.
    #[error("the store does not honour conditional puts (If-None-Match), without which commits get lost")]
    Unconditional,
    /// No answer, or none that can be understood.
    #[error("the store does not answer")]
    Unreachable,
    /// The store answers that it failed.
    #[error("the store failed")]
    Failed,
}

/// What stores call their errors (`<Code>…</Code>`), and what that means.
const CODES: &[(&str, StorageProblem)] = &[
    ("NoSuchBucket", StorageProblem::NoBucket),
    ("ExpiredToken", StorageProblem::Expired),
    ("TokenRefreshRequired", StorageProblem::Expired),
    ("InvalidAccessKeyId", StorageProblem::Unauthenticated),
    ("InvalidClientTokenId", StorageProblem::Unauthenticated),
    ("InvalidToken", StorageProblem::Unauthenticated),
    ("SignatureDoesNotMatch", StorageProblem::Unauthenticated),
    ("RequestTimeTooSkewed", StorageProblem::Clock),
    ("AuthorizationHeaderMalformed", StorageProblem::Region),
    ("PermanentRedirect", StorageProblem::Region),
    ("IllegalLocationConstraintException", StorageProblem::Region),
    ("KMS.", StorageProblem::Key),
    ("AccessDenied", StorageProblem::Denied),
];

impl StorageProblem {
    /// What an object store's error means.
    pub(crate) fn of(error: &object_store::Error) -> Self {
        use object_store::Error;
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(current) = next {
            if let Some(own) = current.downcast_ref::<Self>() {
                return *own;
            }
            next = current.source();
        }
        let text = error.to_string();
        let code = |code: &str| text.contains(&format!("<Code>{code}"));
        if let Some((_, problem)) = CODES.iter().find(|(name, _)| code(name)) {
            return *problem;
        }
        match error {
            Error::PermissionDenied { .. } => Self::Denied,
            Error::Unauthenticated { .. } => Self::Unauthenticated,
            _ if text.contains("redirect without LOCATION") || text.contains("status code: 301") => Self::Region,
            _ if text.contains("status code: ") || text.contains("Server returned error response") => Self::Failed,
            _ => Self::Unreachable,
        }
    }
}

impl Coded for StorageProblem {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Setting(_) => SqlState::INVALID_PARAMETER_VALUE,
            Self::Credentials(_)
            | Self::Unauthenticated
            | Self::Expired
            | Self::Denied
            | Self::NoBucket
            | Self::Region
            | Self::Key
            | Self::Clock
            | Self::Unconditional
            | Self::Unreachable
            | Self::Failed => SqlState::IO_ERROR,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Denied => "docs/storage.md lists the permissions that are needed",
            Self::Expired => "renew them; a credentials file is read again by itself",
            Self::Unauthenticated => "check the credentials, and the region that requests are signed for",
            Self::Region => "check region and endpoint",
            Self::Unreachable => "check endpoint, allow_http, ca_certificate and the network",
            Self::Setting(_)
            | Self::Credentials(_)
            | Self::NoBucket
            | Self::Key
            | Self::Clock
            | Self::Unconditional
            | Self::Failed => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::StorageProblem;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn what_a_store_says_is_put_into_words_of_ones_own() {
        let answer = |code: &str| {
            format!(
                "Error performing GET http://h/b/ssn=412-68-1073 in 3ms - Server returned non-2xx status code: 403 Forbidden: <Error><Code>{code}</Code><Message>412-68-1073</Message></Error>"
            )
        };
        for (code, problem) in [
            ("ExpiredToken", StorageProblem::Expired),
            ("NoSuchBucket", StorageProblem::NoBucket),
            ("SignatureDoesNotMatch", StorageProblem::Unauthenticated),
            ("KMS.DisabledException", StorageProblem::Key),
            ("SlowDown", StorageProblem::Failed),
        ] {
            let found = StorageProblem::of(&generic(&answer(code)));
            assert_eq!(found, problem, "{code}");
            assert!(!found.to_string().contains("412"));
        }
        assert_eq!(StorageProblem::of(&generic("connection refused")), StorageProblem::Unreachable);
        let own = object_store::Error::Generic { store: "S3", source: Box::new(StorageProblem::Unconditional) };
        assert_eq!(StorageProblem::of(&own), StorageProblem::Unconditional);
    }
}
