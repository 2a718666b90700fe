//! `[break_glass]`: where notices of BREAK GLASS go.

use std::path::PathBuf;

use serde::Deserialize;
use url::{Host, Url};

use crate::error::ServerError;
use crate::layout::DataDirectory;

/// `[break_glass]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakGlassSection {
    /// Where notices are posted; absent: nowhere.
    pub webhook_url: Option<String>,
    /// A file with the secret that they are signed with, relative to the data directory.
    pub secret_file: Option<PathBuf>,
    /// A file with the authority of the receiver's certificate (PEM), relative to the data directory.
    pub ca_file: Option<PathBuf>,
    /// The glass is broken only where the notice of it was taken.
    pub required: bool,
}

/// Where notices go.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The address.
    pub url: Url,
    /// The secret's file.
    pub secret: Option<PathBuf>,
    /// The authority's file.
    pub ca: Option<PathBuf>,
    /// The glass is broken only where the notice of it was taken.
    pub required: bool,
}

impl BreakGlassSection {
    /// What it means; `None` where nobody is to be told.
    ///
    /// # Errors
    /// [`ServerError::Config`] for an address that will not do.
    pub fn check(self, data: &DataDirectory) -> Result<Option<Receiver>, ServerError> {
        let wrong = |what: &str| Err(ServerError::Config(format!("break_glass.{what}")));
        let Some(url) = self.webhook_url else {
            if self.required || self.secret_file.is_some() || self.ca_file.is_some() {
                return wrong("webhook_url is missing");
            }
            return Ok(None);
        };
        let Ok(url) = Url::parse(&url) else { return wrong("webhook_url: expected a URL") };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("webhook_url: credentials are not written here; use secret_file");
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return wrong("webhook_url: expected https://…; http:// is for loopback addresses only");
        }
        let within = |path: PathBuf| data.root().join(path);
        let (secret, ca) = (self.secret_file.map(within), self.ca_file.map(within));
        Ok(Some(Receiver { url, secret, ca, required: self.required }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::BreakGlassSection;
    use crate::layout::DataDirectory;

    fn check(url: Option<&str>, required: bool) -> Result<bool, String> {
        let section =
            BreakGlassSection { webhook_url: url.map(str::to_owned), required, ..BreakGlassSection::default() };
        let receiver = section.check(&DataDirectory::new(Path::new("/data")));
        receiver.map(|receiver| receiver.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_encrypted_or_this_machines_own() {
        assert_eq!(check(None, false), Ok(false));
        for url in
            ["https://alerts.hospital.internal/x", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]/x"]
        {
            assert_eq!(check(Some(url), true), Ok(true), "{url}");
        }
        for (url, expected) in [
            (None, "break_glass.webhook_url is missing"),
            (Some("alerts"), "break_glass.webhook_url: expected a URL"),
            (
                Some("http://alerts/x"),
                "break_glass.webhook_url: expected https://…; http:// is for loopback addresses only",
            ),
            (
                Some("https://key:secret@alerts/x"),
                "break_glass.webhook_url: credentials are not written here; use secret_file",
            ),
        ] {
            assert_eq!(check(url, true), Err(expected.to_owned()));
        }
    }
}
