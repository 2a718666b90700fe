//! Text to tokens, each with its place in the text.
//!
//! Invariant: the tokens' spans are the text's own, so that every error has its position and every expression can be
//! cut out verbatim.

use std::ops::Range;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use lakeward_base::SqlState;

use super::dialect::LakewardDialect;
use super::limits;
use crate::error::Error;

/// A token that is neither white space nor a comment.
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) span: Span,
    /// Bytes of the text.
    pub(crate) bytes: Range<usize>,
    /// Where it begins, in characters from 1.
    pub(crate) position: usize,
}

impl Lexeme {
    /// Is it this unquoted word?
    pub(crate) fn is_word(&self, keyword: &str) -> bool {
        matches!(&self.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }
}

/// A text and its tokens.
pub(crate) struct Lexed<'a> {
    pub(crate) source: &'a str,
    pub(crate) lexemes: Vec<Lexeme>,
}

impl<'a> Lexed<'a> {
    /// Reads `source`.
    ///
    /// # Errors
    /// `42601` for what is no token, `54000` for a text that is too long or too deeply nested.
    pub(crate) fn read(source: &'a str) -> Result<Self, Error> {
        limits::check_text(source)?;
        let (lexed, end) = Self::read_prefix(source);
        match end {
            Some(error) => Err(error),
            None => {
                limits::check_shape(&lexed)?;
                Ok(lexed)
            }
        }
    }

    /// Reads as far as there are tokens, and says why it stopped.
    pub(crate) fn read_prefix(source: &'a str) -> (Self, Option<Error>) {
        if let Some(zero) = source.find('\0') {
            let error =
                Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\": 0x00")
                    .with_position(position(source, zero));
            return (Self { source, lexemes: Vec::new() }, Some(error));
        }
        let dialect = LakewardDialect::for_tokens();
        let mut tokens = Vec::new();
        let outcome = Tokenizer::new(&dialect, source).tokenize_with_location_into_buf(&mut tokens);
        let (lexemes, end) = place(source, tokens);
        let mut lexed = Self { source, lexemes };
        let failure = outcome.err().map(|_| lexed.tokenizer_error(end));
        let joined = lexed.join_strings().err();
        (lexed, joined.or(failure))
    }

    /// The ranges of tokens between semicolons, without the empty ones.
    pub(crate) fn statements(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut start = 0;
        for (index, lexeme) in self.lexemes.iter().enumerate() {
            if lexeme.token == Token::SemiColon {
                ranges.push(start..index);
                start = index + 1;
            }
        }
        ranges.push(start..self.lexemes.len());
        ranges.retain(|range| !range.is_empty());
        ranges
    }

    /// The text of some tokens, as it was typed.
    pub(crate) fn text(&self, range: &Range<usize>) -> &'a str {
        match self.lexemes.get(range.clone()) {
            Some([first, .., last]) => &self.source[first.bytes.start..last.bytes.end],
            Some([only]) => &self.source[only.bytes.clone()],
            _ => "",
        }
    }

    /// How many characters stand before a statement.
    pub(crate) fn start(&self, range: &Range<usize>) -> usize {
        let byte = self.lexemes.get(range.start).map_or(0, |first| first.bytes.start);
        self.position(byte) - 1
    }

    /// Copies of some tokens, for sqlparser.
    pub(crate) fn tokens(&self, range: Range<usize>) -> Vec<TokenWithSpan> {
        let lexemes = self.lexemes.get(range).unwrap_or_default();
        lexemes.iter().map(|lexeme| TokenWithSpan { token: lexeme.token.clone(), span: lexeme.span }).collect()
    }

    /// Where a byte of the text stands, in characters from 1.
    pub(crate) fn position(&self, byte: usize) -> usize {
        position(self.source, byte)
    }

    /// Where sqlparser's line and column point to: the token there.
    pub(crate) fn find(&self, location: Location) -> Option<usize> {
        let index = self.lexemes.partition_point(|lexeme| {
            (lexeme.span.start.line, lexeme.span.start.column) < (location.line, location.column)
        });
        (index < self.lexemes.len()).then_some(index)
    }

    /// Literals that stand on two lines are one, as in the SQL standard; side by side they are an error. A number and a
    /// word without a space between them are one, too.
    fn join_strings(&mut self) -> Result<(), Error> {
        let mut joined: Vec<Lexeme> = Vec::with_capacity(self.lexemes.len());
        for lexeme in self.lexemes.drain(..) {
            // The engine's own marks in names are control characters.
            if matches!(&lexeme.token, Token::Word(word) if word.value.contains(char::is_control)) {
                let error = Error::new(SqlState::INVALID_NAME, "identifiers cannot hold control characters");
                return Err(error.with_position(lexeme.position));
            }
            let Some(last) = joined.last_mut() else {
                joined.push(lexeme);
                continue;
            };
            let between = &self.source[last.bytes.end..lexeme.bytes.start];
            if matches!(last.token, Token::Number(_, true))
                || (between.is_empty() && matches!((&last.token, &lexeme.token), (Token::Number(..), Token::Word(_))))
            {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "trailing junk after numeric literal")
                    .with_position(last.position));
            }
            if !is_string(&last.token) || !is_string(&lexeme.token) {
                joined.push(lexeme);
                continue;
            }
            match (&mut last.token, &lexeme.token) {
                (Token::SingleQuotedString(first), Token::SingleQuotedString(second))
                    if between.contains(['\n', '\r']) =>
                {
                    first.push_str(second);
                    last.span.end = lexeme.span.end;
                    last.bytes.end = lexeme.bytes.end;
                }
                _ => return Err(super::syntax::near_lexeme(self.source, &lexeme)),
            }
        }
        if let Some(Lexeme { token: Token::Number(_, true), position, .. }) = joined.last() {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "trailing junk after numeric literal").with_position(*position)
            );
        }
        self.lexemes = joined;
        Ok(())
    }

    /// PostgreSQL's words for what cannot be read, at the byte where it begins.
    fn tokenizer_error(&self, byte: usize) -> Error {
        let rest = &self.source[byte..];
        let message = match rest.as_bytes() {
            [b'/', b'*', ..] => "unterminated /* comment",
            [b'"', ..] => "unterminated quoted identifier",
            [b'$', ..] => "unterminated dollar-quoted string",
            [b'\'', ..] => "unterminated quoted string",
            [_, b'\'', ..] | [_, b'&', b'\'', ..] => "unterminated or invalid quoted string",
            _ => "syntax error",
        };
        Error::new(SqlState::SYNTAX_ERROR, message).with_position(self.position(byte))
    }
}

/// Where a byte of a text stands, in characters from 1.
pub(crate) fn position(source: &str, byte: usize) -> usize {
    source.get(..byte).unwrap_or(source).chars().count() + 1
}

/// Where a line and column of sqlparser's point to, in characters from 1.
pub(crate) fn position_of(source: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let line = usize::try_from(location.line).ok()?;
    let column = usize::try_from(location.column).ok()?;
    let before: usize = source.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
    Some(before + column)
}

/// Puts tokens to their bytes, and says where the last one ends.
fn place(source: &str, tokens: Vec<TokenWithSpan>) -> (Vec<Lexeme>, usize) {
    let mut lexemes = Vec::new();
    let mut characters = source.chars();
    let (mut line, mut column, mut byte, mut position) = (1, 1, 0, 1);
    for TokenWithSpan { token, span } in tokens {
        let (start, begins) = (byte, position);
        while (line, column) < (span.end.line, span.end.column) {
            let Some(character) = characters.next() else { break };
            byte += character.len_utf8();
            position += 1;
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        if !matches!(token, Token::Whitespace(_)) {
            lexemes.push(Lexeme { token, span, bytes: start..byte, position: begins });
        }
    }
    (lexemes, byte)
}

/// Is it a string literal of any kind?
pub(crate) fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}

/// The keyword of a token, for comparing with sqlparser's.
pub(crate) fn keyword_of(token: &Token) -> Keyword {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}
