//! The packets before login: startup, requests for encryption, cancellation. They have no type byte.
//!
//! Invariant: no input panics, and nothing is read beyond the packet's own length.

use bytes::Bytes;
use lakeward_base::NAME_BYTES;

use crate::error::PgError;
use crate::message::Reader;

const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// The newest minor version of protocol 3 spoken here.
const MINOR: u16 = 2;

/// A packet.
pub(crate) enum Packet {
    /// SSLRequest
    Tls,
    /// GSSENCRequest
    Gss,
    /// CancelRequest
    Cancel { process_id: i32, secret: i32 },
    /// StartupMessage
    Hello(Hello),
}

/// What a client says of itself.
pub(crate) struct Hello {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    parameters: Vec<(String, String)>,
}

/// The length of a packet's body from the length that counts itself.
pub(crate) fn body_length(prefix: [u8; 4], limit_bytes: usize) -> Result<usize, PgError> {
    match usize::try_from(u32::from_be_bytes(prefix)) {
        Ok(length) if (8..=limit_bytes).contains(&length) => Ok(length - 4),
        _ => Err(PgError::Protocol("invalid length of startup packet")),
    }
}

/// Decodes a packet's body.
pub(crate) fn parse(body: Bytes) -> Result<Packet, PgError> {
    let mut reader = Reader(body);
    let code = reader.u32()?;
    match code {
        TLS_REQUEST => reader.end().map(|()| Packet::Tls),
        GSS_REQUEST => reader.end().map(|()| Packet::Gss),
        CANCEL_REQUEST => {
            let packet = Packet::Cancel { process_id: reader.i32()?, secret: reader.i32()? };
            reader.end().map(|()| packet)
        }
        version => {
            let [a, b, c, d] = version.to_be_bytes();
            let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let parameters = if major == 3 { parameters(&mut reader)? } else { Vec::new() };
            Ok(Packet::Hello(Hello { major, minor, parameters }))
        }
    }
}

fn parameters(reader: &mut Reader) -> Result<Vec<(String, String)>, PgError> {
    let mut all = Vec::new();
    loop {
        let name = reader.text()?;
        if name.is_empty() {
            reader.end().map_err(|_| PgError::Protocol("invalid startup packet layout"))?;
            return Ok(all);
        }
        all.push((name, reader.text()?));
    }
}

impl Hello {
    /// The last value given for a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The version to negotiate, where the client asked for a newer one or for options that are not known.
    pub(crate) fn negotiated(&self) -> Option<i32> {
        let minor = if self.minor >= MINOR { MINOR } else { 0 };
        let differs = self.minor != minor || self.parameters.iter().any(|(name, _)| name.starts_with("_pq_."));
        differs.then(|| 3 << 16 | i32::from(minor))
    }

    /// Protocol options, none of which is known.
    pub(crate) fn unknown_options(&self) -> Vec<String> {
        self.parameters.iter().map(|(name, _)| name).filter(|name| name.starts_with("_pq_.")).cloned().collect()
    }

    /// What the client calls itself, in printable ASCII.
    pub(crate) fn application_name(&self) -> String {
        let name = self.parameter("application_name").unwrap_or_default();
        let printable = |byte: u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' };
        name.bytes().take(NAME_BYTES).map(printable).collect()
    }

    /// Settings in the order that they take effect: those of `options`, then those given by name.
    pub(crate) fn settings(&self) -> Result<Vec<(String, String)>, PgError> {
        let mut settings = match self.parameter("options") {
            Some(options) => switches(options)?,
            None => Vec::new(),
        };
        let apart = ["user", "database", "options", "replication", "application_name"];
        let named =
            self.parameters.iter().filter(|(name, _)| !apart.contains(&name.as_str()) && !name.starts_with("_pq_."));
        settings.extend(named.cloned());
        for (name, value) in &mut settings {
            if name.eq_ignore_ascii_case("client_encoding") {
                *value = utf8_name(value)?;
            }
        }
        Ok(settings)
    }
}

/// `client_encoding` in any of the spellings that mean UTF-8.
fn utf8_name(value: &str) -> Result<String, PgError> {
    let letters: String =
        value.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    match letters.as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        _ => Err(PgError::InvalidSetting { name: "client_encoding", value: value.to_owned() }),
    }
}

/// The command line of `options`: `-c name=value`, `-cname=value`, `--name=value`.
fn switches(options: &str) -> Result<Vec<(String, String)>, PgError> {
    let refused = || PgError::InvalidSetting { name: "options", value: options.to_owned() };
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => long.to_owned(),
            (None, Some("")) => words.next().ok_or_else(refused)?,
            (None, Some(short)) => short.to_owned(),
            (None, None) => return Err(refused()),
        };
        let (name, value) = setting.split_once('=').ok_or_else(refused)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// Words between white space, which a backslash takes into a word.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let literal = if character == '\\' { characters.next() } else { Some(character) };
        word.get_or_insert_default().extend(literal);
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{Hello, Packet, body_length, parse};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn hello(minor: u8, parameters: &[(&str, &str)]) -> Hello {
        let mut body = vec![0, 3, 0, minor];
        for (name, value) in parameters {
            for text in [name, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        match parse(Bytes::from(body)) {
            Ok(Packet::Hello(hello)) => hello,
            _ => panic!("no startup message"),
        }
    }

    fn pairs(hello: &Hello) -> Vec<(String, String)> {
        hello.settings().unwrap()
    }

    #[test]
    fn requests_are_told_apart() {
        assert!(matches!(parse(Bytes::from_static(b"\x04\xd2\x16\x2f")), Ok(Packet::Tls)));
        assert!(matches!(parse(Bytes::from_static(b"\x04\xd2\x16\x30")), Ok(Packet::Gss)));
        let cancel = parse(Bytes::from_static(b"\x04\xd2\x16\x2e\0\0\0\x07\xff\xff\xff\xff"));
        assert!(matches!(cancel, Ok(Packet::Cancel { process_id: 7, secret: -1 })));
        assert!(parse(Bytes::from_static(b"\x04\xd2\x16\x2fx")).is_err());
        assert!(parse(Bytes::from_static(b"\x04\xd2\x16\x2e\0\0\0\x07")).is_err());
    }

    #[test]
    fn versions_are_negotiated() {
        assert_eq!(hello(0, &[]).negotiated(), None);
        assert_eq!(hello(2, &[]).negotiated(), None);
        assert_eq!(hello(1, &[]).negotiated(), Some(196_608));
        assert_eq!(hello(99, &[]).negotiated(), Some(196_610));
        let option = hello(0, &[("_pq_.x", "1")]);
        assert_eq!((option.negotiated(), option.unknown_options()), (Some(196_608), vec!["_pq_.x".to_owned()]));
    }

    #[test]
    fn settings_come_from_options_and_by_name() {
        let hello = hello(
            0,
            &[
                ("user", "a"),
                ("options", "-c purpose_of_use=TREAT --statement-timeout=5s  -cx=a\\ b"),
                ("DateStyle", "ISO"),
                ("client_encoding", "'utf-8'"),
            ],
        );
        let expected = [
            ("purpose_of_use", "TREAT"),
            ("statement_timeout", "5s"),
            ("x", "a b"),
            ("DateStyle", "ISO"),
            ("client_encoding", "UTF8"),
        ];
        assert_eq!(pairs(&hello), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn bad_settings_are_refused() {
        for options in ["-c", "-c x", "x=1", "-d 1"] {
            assert!(hello(0, &[("options", options)]).settings().is_err(), "{options}");
        }
        assert!(hello(0, &[("client_encoding", "LATIN1")]).settings().is_err());
    }

    #[test]
    fn application_names_are_printable() {
        assert_eq!(hello(0, &[("application_name", "ps\u{e9}ql\n")]).application_name(), "ps??ql?");
        assert_eq!(hello(0, &[("application_name", &"x".repeat(100))]).application_name().len(), 63);
    }

    #[test]
    fn lengths_are_limited() {
        assert_eq!(body_length([0, 0, 0, 8], 10_000).unwrap(), 4);
        for prefix in [[0, 0, 0, 7], [0, 0, 0x27, 0x11], [0xff; 4], [0; 4]] {
            assert!(body_length(prefix, 10_000).is_err());
        }
    }

    proptest! {
        #[test]
        fn random_packets_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(Bytes::from(body));
        }

        #[test]
        fn random_startup_messages_do_not_panic(tail in proptest::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'='), Just(b'-'), any::<u8>()], 0..80)) {
            let mut body = b"\0\x03\0\0options\0-".to_vec();
            body.extend_from_slice(&tail);
            if let Ok(Packet::Hello(hello)) = parse(Bytes::from(body)) {
                prop_assert!(hello.application_name().len() <= 63);
                let _ = hello.settings();
            }
        }
    }
}
