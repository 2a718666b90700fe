//! What the options of COPY mean together, with PostgreSQL's rules and words.
//!
//! Invariant: a [`CopyOptions`] is consistent: no character of it means two things.

use lakeward_base::SqlState;

use super::Way;
use crate::error::Error;

/// The form of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyStyle {
    /// Fields between tabs, backslashes before what is special.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary form.
    Binary,
}

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyHeader {
    /// Data.
    #[default]
    Off,
    /// Names of columns, which are not looked at.
    On,
    /// Names of columns, which must be those of the table.
    Match,
}

/// Columns that an option is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Quoted {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These.
    Columns(Vec<String>),
}

impl Quoted {
    /// Whether a column is one of them.
    #[must_use]
    pub fn holds(&self, column: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Columns(names) => names.iter().any(|name| name == column),
        }
    }

    /// The names, where they were written.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Columns(names) => names,
            Self::None | Self::All => &[],
        }
    }
}

/// How COPY's data looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// The form.
    pub style: CopyStyle,
    /// Between fields.
    pub delimiter: u8,
    /// What NULL is written as.
    pub null: String,
    /// Whether the first line holds names.
    pub header: CopyHeader,
    /// Around fields of CSV.
    pub quote: u8,
    /// Before a quote within quotes.
    pub escape: u8,
    /// Columns whose values are always quoted.
    pub force_quote: Quoted,
    /// Columns in which an unquoted NULL is text.
    pub force_not_null: Quoted,
    /// Columns in which a quoted NULL is one.
    pub force_null: Quoted,
}

/// Options as they were written; `None` was not.
#[derive(Default)]
pub(super) struct Written {
    pub(super) style: Option<CopyStyle>,
    pub(super) delimiter: Option<String>,
    pub(super) null: Option<String>,
    pub(super) header: Option<CopyHeader>,
    pub(super) quote: Option<String>,
    pub(super) escape: Option<String>,
    pub(super) force_quote: Option<Quoted>,
    pub(super) force_not_null: Option<Quoted>,
    pub(super) force_null: Option<Quoted>,
    pub(super) encoding: Option<String>,
    pub(super) freeze: Option<bool>,
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn one_byte(text: &str, what: &str) -> Result<u8, Error> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(unsupported(format!("COPY {what} must be a single one-byte character"))),
    }
}

impl Written {
    /// The options, if they go together.
    pub(super) fn checked(self, way: Way) -> Result<CopyOptions, Error> {
        let style = self.style.unwrap_or_default();
        self.refuse_in_binary(style)?;
        self.refuse_outside_csv(style, way)?;
        let csv = style == CopyStyle::Csv;
        let delimiter = one_byte(self.delimiter.as_deref().unwrap_or(if csv { "," } else { "\t" }), "delimiter")?;
        let null = self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
        let quote = if csv { one_byte(self.quote.as_deref().unwrap_or("\""), "quote")? } else { b'"' };
        let escape = match &self.escape {
            Some(escape) => one_byte(escape, "escape")?,
            None => quote,
        };
        check_characters(style, delimiter, &null, quote)?;
        Ok(CopyOptions {
            style,
            delimiter,
            null,
            header: self.header.unwrap_or_default(),
            quote,
            escape,
            force_quote: self.force_quote.unwrap_or_default(),
            force_not_null: self.force_not_null.unwrap_or_default(),
            force_null: self.force_null.unwrap_or_default(),
        })
    }

    fn refuse_in_binary(&self, style: CopyStyle) -> Result<(), Error> {
        if style != CopyStyle::Binary {
            return Ok(());
        }
        let syntax = |name| Error::new(SqlState::SYNTAX_ERROR, format!("cannot specify {name} in BINARY mode"));
        if self.delimiter.is_some() {
            return Err(syntax("DELIMITER"));
        }
        if self.null.is_some() {
            return Err(syntax("NULL"));
        }
        if self.header.is_some_and(|header| header != CopyHeader::Off) {
            return Err(unsupported("cannot specify HEADER in BINARY mode"));
        }
        Ok(())
    }

    fn refuse_outside_csv(&self, style: CopyStyle, way: Way) -> Result<(), Error> {
        let forced = [
            (self.force_quote.is_some(), "quote", Way::Out),
            (self.force_not_null.is_some(), "not null", Way::In),
            (self.force_null.is_some(), "null", Way::In),
        ];
        let csv = style == CopyStyle::Csv;
        for (given, name) in [(self.quote.is_some(), "quote"), (self.escape.is_some(), "escape")] {
            if given && !csv {
                return Err(unsupported(format!("COPY {name} available only in CSV mode")));
            }
        }
        for (given, name, only) in forced {
            if given && !csv {
                return Err(unsupported(format!("COPY force {name} available only in CSV mode")));
            }
            if given && way != only {
                let way = if only == Way::Out { "TO" } else { "FROM" };
                return Err(unsupported(format!("COPY force {name} only available using COPY {way}")));
            }
        }
        self.refuse_what_is_not_done()
    }

    fn refuse_what_is_not_done(&self) -> Result<(), Error> {
        if self.freeze == Some(true) {
            return Err(
                unsupported("COPY FREEZE is not supported").with_hint("Leave it out: there is nothing to freeze.")
            );
        }
        let utf8 = |name: &String| {
            let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            letters.eq_ignore_ascii_case("utf8") || letters.eq_ignore_ascii_case("unicode")
        };
        if self.encoding.as_ref().is_some_and(|name| !utf8(name)) {
            return Err(unsupported("an ENCODING other than UTF8 is not supported").with_hint("Send and read UTF-8."));
        }
        Ok(())
    }
}

/// No character may mean two things.
fn check_characters(style: CopyStyle, delimiter: u8, null: &str, quote: u8) -> Result<(), Error> {
    if style == CopyStyle::Binary {
        return Ok(());
    }
    if matches!(delimiter, b'\n' | b'\r') {
        return Err(invalid("COPY delimiter cannot be newline or carriage return"));
    }
    if null.contains(['\n', '\r']) {
        return Err(invalid("COPY null representation cannot use newline or carriage return"));
    }
    let csv = style == CopyStyle::Csv;
    if !csv && (matches!(delimiter, b'\\' | b'.') || delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit()) {
        return Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
    }
    if csv && delimiter == quote {
        return Err(invalid("COPY delimiter and quote must be different"));
    }
    if null.bytes().any(|byte| byte == delimiter) {
        return Err(unsupported("COPY delimiter must not appear in the NULL specification"));
    }
    if csv && null.bytes().any(|byte| byte == quote) {
        return Err(unsupported("CSV quote character must not appear in the NULL specification"));
    }
    Ok(())
}
