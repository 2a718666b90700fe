//! Settings: an allow-list of names, what each accepts, and which of them the protocol reports.
//!
//! Invariant: a name that is not listed here is refused; in particular no `datafusion.*` option can be set.

use std::collections::BTreeMap;

use lakeward_base::SqlState;

use crate::engine::{Limits, Login};
use crate::error::Error;
use crate::limits;
use crate::statement::{Isolation, serializable};

/// Names, defaults, and how each is checked.
const KNOWN: &[(&str, &str, Check)] = &[
    ("application_name", "", Check::Any),
    ("bytea_output", "hex", Check::OneOf(&["hex"])),
    ("client_encoding", "UTF8", Check::OneOf(&["utf8", "utf-8", "unicode"])),
    ("client_min_messages", "notice", Check::Any),
    ("datestyle", "ISO, MDY", Check::DateStyle),
    ("default_transaction_deferrable", "off", Check::Bool),
    ("default_transaction_isolation", "read committed", Check::Isolation),
    ("default_transaction_read_only", "off", Check::Bool),
    ("extra_float_digits", "1", Check::Integer { least: -15, most: 3 }),
    ("idle_in_transaction_session_timeout", "0", Check::Duration),
    ("idle_session_timeout", "0", Check::Duration),
    ("intervalstyle", "postgres", Check::OneOf(&["postgres"])),
    // Nothing is compiled: a setting that drivers put off while they read the catalog.
    ("jit", "off", Check::Bool),
    ("lock_timeout", "0", Check::Duration),
    ("password_encryption", "scram-sha-256", Check::OneOf(&["scram-sha-256"])),
    ("purpose_of_use", "", Check::Purpose),
    ("search_path", "public", Check::SearchPath),
    ("standard_conforming_strings", "on", Check::OneOf(&["on"])),
    ("statement_timeout", "0", Check::Duration),
    ("timezone", "UTC", Check::TimeZone),
    ("transaction_timeout", "0", Check::Duration),
];

/// Settings that can be shown but not set. What is a fact about the session or its role, the session says itself.
const FIXED: &[(&str, &str)] = &[
    ("default_table_access_method", "delta"),
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
    (limits::CONCURRENT_STATEMENTS, "0"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    (limits::RESULT_BYTES, "0"),
    (limits::RESULT_ROWS, "0"),
    (limits::STATEMENT_TIME, "0"),
    ("role", "none"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("session_authorization", ""),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
];

enum Check {
    Any,
    Bool,
    Duration,
    Integer { least: i64, most: i64 },
    OneOf(&'static [&'static str]),
    DateStyle,
    Isolation,
    Purpose,
    SearchPath,
    TimeZone,
}

/// HL7's PurposeOfUse (v3 ActReason), the codes that hospitals use.
const PURPOSES: &[&str] = &[
    "TREAT",
    "ETREAT",
    "CAREMGT",
    "COC",
    "HPAYMT",
    "COVERAGE",
    "HOPERAT",
    "HACCRED",
    "HCOMPL",
    "HDIRECT",
    "HQUALIMP",
    "HSYSADMIN",
    "HRESCH",
    "CLINTRCH",
    "PUBHLTH",
    "PATADMIN",
    "PATRQT",
    "PATSFTY",
    "HTEST",
    "HTRAIN",
    "HLEGAL",
    "BTG",
];

/// The settings of one session.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    at_login: BTreeMap<&'static str, String>,
    now: BTreeMap<&'static str, String>,
}

impl Settings {
    /// The defaults, the server's limits, and what the client asked for at start.
    pub(crate) fn at_login(login: &Login, allowed: &Limits) -> Result<Self, Error> {
        let mut settings = Self { at_login: BTreeMap::new(), now: BTreeMap::new() };
        settings.now.insert("statement_timeout", allowed.statement_timeout_ms.to_string());
        settings.now.insert("application_name", clip(&login.application_name));
        for (name, value) in &login.settings {
            settings.set(name, Some(value))?;
        }
        settings.at_login = settings.now.clone();
        Ok(settings)
    }

    /// `SET name = value`; `None` is DEFAULT. Answers what the protocol must report, if anything.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<Option<(String, String)>, Error> {
        let folded = name.to_ascii_lowercase();
        if limits::is_limit(&folded) {
            return Err(limits::cannot_be_set(&folded));
        }
        if FIXED.iter().any(|(fixed, _)| *fixed == folded) {
            let message = format!("parameter \"{folded}\" cannot be changed");
            return Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
        let Some((known, default, check)) = KNOWN.iter().find(|(known, ..)| *known == folded) else {
            return Err(unknown(&folded));
        };
        match value {
            Some(value) => {
                let value = check.admit(known, value)?;
                self.now.insert(known, value);
            }
            None => {
                let value = self.at_login.get(known).cloned().unwrap_or_else(|| (*default).to_owned());
                self.now.insert(known, value);
            }
        }
        Ok(reported_name(known).map(|shown| (shown.to_owned(), self.get(known).unwrap_or_default())))
    }

    /// `RESET ALL` and `DISCARD ALL`; answers what the protocol must report.
    pub(crate) fn reset_all(&mut self) -> Vec<(String, String)> {
        self.now = self.at_login.clone();
        let reported = KNOWN.iter().filter_map(|(name, ..)| Some((reported_name(name)?, *name)));
        reported.map(|(shown, name)| (shown.to_owned(), self.get(name).unwrap_or_default())).collect()
    }

    /// Puts back what was saved; answers what the protocol must report.
    pub(crate) fn restore(&mut self, before: Self) -> Vec<(String, String)> {
        let after = std::mem::replace(self, before);
        let reported = KNOWN.iter().filter_map(|(name, ..)| Some((reported_name(name)?, self.get(name)?, *name)));
        let changed = reported.filter(|(_, value, name)| after.get(name).as_ref() != Some(value));
        changed.map(|(shown, value, _)| (shown.to_owned(), value)).collect()
    }

    /// A setting's value.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let folded = name.to_ascii_lowercase();
        if let Some(value) = self.now.get(folded.as_str()) {
            return Some(value.clone());
        }
        let known = KNOWN.iter().find(|(known, ..)| *known == folded).map(|(_, default, _)| *default);
        let fixed = || FIXED.iter().find(|(fixed, _)| *fixed == folded).map(|(_, value)| *value);
        known.or_else(fixed).map(str::to_owned)
    }

    /// `SHOW name`: as [`get`](Self::get), but unknown names are an error.
    pub(crate) fn show(&self, name: &str) -> Result<String, Error> {
        self.get(name).ok_or_else(|| unknown(&name.to_ascii_lowercase()))
    }

    /// Every setting with its value, by name.
    pub(crate) fn all(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<_> = KNOWN.iter().map(|(name, ..)| *name).chain(FIXED.iter().map(|(name, _)| *name)).collect();
        all.sort_unstable();
        all.into_iter().map(|name| (name, self.get(name).unwrap_or_default())).collect()
    }

    /// What the protocol reports at start.
    pub(crate) fn reported(&self, user: &str, superuser: bool) -> Vec<(String, String)> {
        let mut reported: Vec<(String, String)> = Vec::new();
        for name in
            KNOWN.iter().map(|(name, ..)| *name).chain(["integer_datetimes", "server_encoding", "server_version"])
        {
            if let Some(shown) = reported_name(name) {
                reported.push((shown.to_owned(), self.get(name).unwrap_or_default()));
            }
        }
        reported.push(("is_superuser".to_owned(), if superuser { "on" } else { "off" }.to_owned()));
        reported.push(("session_authorization".to_owned(), user.to_owned()));
        reported
    }

    /// How long a statement may take; `None` means as long as it likes.
    pub(crate) fn statement_timeout(&self) -> Option<std::time::Duration> {
        self.duration("statement_timeout")
    }

    /// A duration; `None` where it is 0, and so without a limit.
    pub(crate) fn duration(&self, name: &str) -> Option<std::time::Duration> {
        let timeout_ms = duration_ms(&self.get(name)?)?;
        (timeout_ms > 0).then(|| std::time::Duration::from_millis(timeout_ms))
    }

    /// The purpose of use that is stated.
    pub(crate) fn purpose(&self) -> Option<String> {
        self.get("purpose_of_use").filter(|purpose| !purpose.is_empty())
    }

    /// Whether a boolean is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("on")
    }

    /// The time zone of times that have none of their own.
    pub(crate) fn time_zone(&self) -> String {
        self.get("timezone").unwrap_or_else(|| "UTC".to_owned())
    }

    /// The schemas in which unqualified names are looked for.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let path = self.get("search_path").unwrap_or_default();
        path.split(',').map(|part| part.trim().trim_matches('"').to_owned()).filter(|part| !part.is_empty()).collect()
    }
}

impl Check {
    fn admit(&self, name: &str, value: &str) -> Result<String, Error> {
        let value = value.trim();
        let invalid = || {
            let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        };
        match self {
            Self::Any => Ok(clip(value)),
            Self::Bool => match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Ok("on".to_owned()),
                "off" | "false" | "no" | "0" => Ok("off".to_owned()),
                _ => Err(invalid()),
            },
            Self::Duration => duration_ms(value).map(|_| value.to_owned()).ok_or_else(invalid),
            Self::Integer { least, most } => {
                let number: i64 = value.parse().map_err(|_| invalid())?;
                if (*least..=*most).contains(&number) { Ok(number.to_string()) } else { Err(invalid()) }
            }
            Self::OneOf(accepted) => {
                let folded = value.trim_matches(|c| c == '\'' || c == '"').to_ascii_lowercase();
                let found = accepted.contains(&folded.as_str());
                let canonical = if name == "client_encoding" { "UTF8".to_owned() } else { folded };
                if found { Ok(canonical) } else { Err(invalid()) }
            }
            Self::DateStyle => {
                let iso = value.to_ascii_lowercase().split(',').all(|part| matches!(part.trim(), "iso" | "mdy"));
                if iso { Ok("ISO, MDY".to_owned()) } else { Err(invalid().with_hint("Only ISO, MDY is supported.")) }
            }
            Self::Isolation => match value.to_ascii_lowercase() {
                level if level == "serializable" => Err(serializable()),
                level => Isolation::named(&level).map(|level| level.name().to_owned()).ok_or_else(invalid),
            },
            Self::Purpose => {
                let code = value.to_ascii_uppercase();
                let known = code.is_empty() || PURPOSES.contains(&code.as_str());
                if known {
                    Ok(code)
                } else {
                    Err(invalid().with_hint("It takes a code of HL7's PurposeOfUse, such as TREAT."))
                }
            }
            Self::SearchPath => Ok(clip(value)),
            Self::TimeZone => time_zone(value).ok_or_else(invalid),
        }
    }
}

/// A setting and its value as SET would keep them.
///
/// # Errors
/// Those of SET.
pub(crate) fn admitted(name: &str, value: &str) -> Result<(String, String), Error> {
    let folded = known(name)?;
    let check = KNOWN.iter().find(|(known, ..)| *known == folded).map(|(.., check)| check);
    let value = check.ok_or_else(|| unknown(&folded))?.admit(&folded, value)?;
    Ok((folded, value))
}

/// A setting's name, folded.
///
/// # Errors
/// 42704 where there is none that can be set.
pub(crate) fn known(name: &str) -> Result<String, Error> {
    let folded = name.to_ascii_lowercase();
    if KNOWN.iter().any(|(known, ..)| *known == folded) { Ok(folded) } else { Err(unknown(&folded)) }
}

/// PostgreSQL reports these under these spellings.
/// Whether only SET changes a setting: what clients are told of, and what one's rights follow from.
pub(crate) fn is_for_set_alone(name: &str) -> bool {
    let folded = name.to_ascii_lowercase();
    reported_name(&folded).is_some() || ["purpose_of_use", "role", "session_authorization"].contains(&folded.as_str())
}

fn reported_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "application_name" => "application_name",
        "client_encoding" => "client_encoding",
        "datestyle" => "DateStyle",
        "default_transaction_read_only" => "default_transaction_read_only",
        "integer_datetimes" => "integer_datetimes",
        "intervalstyle" => "IntervalStyle",
        "server_encoding" => "server_encoding",
        "server_version" => "server_version",
        "standard_conforming_strings" => "standard_conforming_strings",
        "timezone" => "TimeZone",
        _ => return None,
    })
}

fn unknown(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

/// Settings end up in the audit and on the wire: they are kept short.
fn clip(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// `1500`, `1500ms`, `2s`, `1min`, `1h`, `1d` in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Offsets as Arrow takes them, and names of the IANA database.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim_matches(|c| c == '\'' || c == '"');
    if value.eq_ignore_ascii_case("utc") || value.eq_ignore_ascii_case("gmt") || value == "0" {
        return Some("UTC".to_owned());
    }
    value.parse::<arrow::array::timezone::Tz>().ok().map(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Settings, duration_ms};
    use lakeward_base::{Coded, SqlState};
    use std::collections::BTreeMap;

    fn settings() -> Settings {
        Settings { at_login: BTreeMap::new(), now: BTreeMap::new() }
    }

    #[test]
    fn only_listed_names_can_be_set() {
        let refused = settings().set("datafusion.execution.batch_size", Some("1")).unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::UNDEFINED_OBJECT);
        let fixed = settings().set("server_version", Some("9")).unwrap_err();
        assert_eq!(fixed.sqlstate(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
    }

    #[test]
    fn reported_settings_keep_postgresqls_spelling() {
        let reported = settings().set("TimeZone", Some("Europe/Zurich")).unwrap();
        assert_eq!(reported, Some(("TimeZone".to_owned(), "Europe/Zurich".to_owned())));
        assert!(settings().set("TimeZone", Some("Mars/Base")).is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration_ms("1500"), Some(1500));
        assert_eq!(duration_ms("2s"), Some(2000));
        assert_eq!(duration_ms("1 min"), Some(60_000));
        assert_eq!(duration_ms("soon"), None);
        assert_eq!(duration_ms("99999999999999999999d"), None);
    }
}
