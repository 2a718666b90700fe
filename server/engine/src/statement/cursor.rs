//! Reading Lakeward's own statements, token by token.
//!
//! Invariant: a statement is accepted only when every token of it has been read; see [`Cursor::finish`].

use std::ops::Range;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::{NAME_BYTES, Redacted, SqlState};

use super::dialect::LakewardDialect;
use super::lex::{Lexed, Lexeme};
use super::reserved::is_reserved;
use super::{Name, Simulation, allow, front, limits, rewrite, syntax};
use crate::error::Error;

/// The database; a name may begin with it.
const DATABASE: &str = "lakeward";
/// More tokens than any type's name has.
const TYPE_TOKENS: usize = 32;

/// A place in a statement's tokens.
pub(crate) struct Cursor<'a> {
    lexed: &'a Lexed<'a>,
    at: usize,
    end: usize,
    /// As whom the statement is run, once that has been read.
    pub(super) simulation: Option<Arc<Simulation>>,
}

impl<'a> Cursor<'a> {
    /// At the first of some tokens.
    pub(crate) fn new(lexed: &'a Lexed<'a>, range: Range<usize>) -> Self {
        Self { lexed, at: range.start, end: range.end, simulation: None }
    }

    /// The tokens' text.
    pub(crate) fn lexed(&self) -> &'a Lexed<'a> {
        self.lexed
    }

    /// The index of the next token.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// All tokens from here on.
    pub(crate) fn rest(&self) -> Range<usize> {
        self.at..self.end
    }

    /// The next token.
    pub(crate) fn peek(&self) -> Option<&'a Lexeme> {
        self.peek_ahead(0)
    }

    /// The token after so many others.
    pub(crate) fn peek_ahead(&self, ahead: usize) -> Option<&'a Lexeme> {
        let index = self.at + ahead;
        if index < self.end { self.lexed.lexemes.get(index) } else { None }
    }

    /// Takes the next token.
    pub(crate) fn advance(&mut self) -> Option<&'a Lexeme> {
        let lexeme = self.peek()?;
        self.at += 1;
        Some(lexeme)
    }

    /// Have all tokens been read?
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// A syntax error here.
    pub(crate) fn error(&self) -> Error {
        if self.is_done() {
            syntax::at_end(&self.lexed.source[..self.end_byte()])
        } else {
            syntax::at(self.lexed, self.at)
        }
    }

    /// `0A000` here.
    pub(crate) fn unsupported(&self, what: &str, hint: &str) -> Error {
        Error::unsupported(what).with_hint(hint).with_position(self.position())
    }

    /// Where the next token stands, in characters from 1.
    pub(crate) fn position(&self) -> usize {
        self.peek().map_or_else(|| self.lexed.position(self.end_byte()), |lexeme| lexeme.position)
    }

    fn end_byte(&self) -> usize {
        self.end.checked_sub(1).and_then(|last| self.lexed.lexemes.get(last)).map_or(0, |last| last.bytes.end)
    }

    /// Are the next tokens these unquoted words?
    pub(crate) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.peek_ahead(ahead).is_some_and(|lexeme| lexeme.is_word(word)))
    }

    /// Takes these unquoted words, or nothing.
    pub(crate) fn accept(&mut self, words: &[&str]) -> bool {
        let sees = self.sees(words);
        if sees {
            self.at += words.len();
        }
        sees
    }

    /// Takes one of these words.
    pub(crate) fn accept_one(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.accept(&[word]))
    }

    /// Takes these words.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), Error> {
        words.iter().try_for_each(|word| if self.accept(&[word]) { Ok(()) } else { Err(self.error()) })
    }

    /// Is the next token this sign?
    pub(crate) fn sees_sign(&self, sign: &Token) -> bool {
        self.peek().is_some_and(|lexeme| lexeme.token == *sign)
    }

    /// Takes this sign.
    pub(crate) fn accept_sign(&mut self, sign: &Token) -> bool {
        let sees = self.sees_sign(sign);
        if sees {
            self.at += 1;
        }
        sees
    }

    /// Takes this sign.
    pub(crate) fn expect_sign(&mut self, sign: &Token) -> Result<(), Error> {
        if self.accept_sign(sign) { Ok(()) } else { Err(self.error()) }
    }

    /// `IF EXISTS`
    pub(crate) fn if_exists(&mut self) -> bool {
        self.accept(&["if", "exists"])
    }

    /// `IF NOT EXISTS`
    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.accept(&["if", "not", "exists"])
    }

    /// An identifier, folded; no reserved word unless quoted.
    pub(crate) fn identifier(&mut self) -> Result<String, Error> {
        let name = match self.peek().map(|lexeme| &lexeme.token) {
            Some(Token::Word(word)) if word.quote_style == Some('"') => word.value.clone(),
            Some(Token::Word(word)) if word.quote_style.is_none() && !is_reserved(&word.value) => {
                word.value.to_ascii_lowercase()
            }
            _ => return Err(self.error()),
        };
        if name.is_empty() {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "zero-length delimited identifier").with_position(self.position())
            );
        }
        if name.len() > NAME_BYTES {
            let message = format!("identifier is longer than {NAME_BYTES} bytes");
            return Err(Error::new(SqlState::INVALID_NAME, message).with_position(self.position()));
        }
        self.at += 1;
        Ok(name)
    }

    /// `[[lakeward.]schema.]name`
    pub(crate) fn name(&mut self) -> Result<Name, Error> {
        let position = self.position();
        let mut parts = vec![self.identifier()?];
        while self.accept_sign(&Token::Period) {
            parts.push(self.identifier()?);
        }
        if parts.len() == 3 && parts.first().is_some_and(|database| database == DATABASE) {
            parts.remove(0);
        }
        match parts.as_mut_slice() {
            [name] => Ok(Name { schema: None, name: std::mem::take(name), position }),
            [schema, name] => Ok(Name { schema: Some(std::mem::take(schema)), name: std::mem::take(name), position }),
            _ => Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "cross-database references are not implemented")
                .with_position(position)),
        }
    }

    /// One or more, separated by commas.
    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let mut items = vec![item(self)?];
        while self.accept_sign(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( item, … )`
    pub(crate) fn parenthesized<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.expect_sign(&Token::LParen)?;
        let items = self.list(item)?;
        self.expect_sign(&Token::RParen)?;
        Ok(items)
    }

    /// A string literal: `'…'`, `E'…'` or `$$…$$`.
    pub(crate) fn string(&mut self) -> Result<Redacted<String>, Error> {
        let value = match self.peek().map(|lexeme| &lexeme.token) {
            Some(Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value)) => value.clone(),
            Some(Token::DollarQuotedString(value)) => value.value.clone(),
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(Redacted::new(value))
    }

    /// Cuts out the tokens between a `(` here and its `)`.
    pub(crate) fn cut_parentheses(&mut self) -> Result<Range<usize>, Error> {
        self.expect_sign(&Token::LParen)?;
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(lexeme) = self.peek() {
            match lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => {
                    let range = start..self.at;
                    self.at += 1;
                    return Ok(range);
                }
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Err(self.error())
    }

    /// A query, as far as sqlparser reads one; checked, and ready to be planned.
    pub(crate) fn query(&mut self) -> Result<Box<ast::Query>, Error> {
        if !front::starts_query(self) {
            return Err(self.error());
        }
        let mut query = self.parse_with(|parser| parser.parse_query())?;
        allow::check_query(self.lexed.source, &query)?;
        rewrite::rewrite_query(&mut query)?;
        Ok(query)
    }

    /// An expression, as far as sqlparser reads one; checked.
    pub(crate) fn expression(&mut self) -> Result<ast::Expr, Error> {
        let mut expression = self.parse_with(|parser| parser.parse_expr())?;
        allow::check_expression(self.lexed.source, &expression)?;
        rewrite::rewrite_expression(&mut expression)?;
        Ok(expression)
    }

    /// What stands in a FROM clause, as far as sqlparser reads it; checked.
    pub(crate) fn source_tables(&mut self) -> Result<Vec<ast::TableWithJoins>, Error> {
        let items = self.parse_with(|parser| parser.parse_comma_separated(Parser::parse_table_and_joins))?;
        let mut query = super::change::select(|select| select.from = items)?;
        allow::check_query(self.lexed.source, &query)?;
        rewrite::rewrite_query(&mut query)?;
        match *query.body {
            ast::SetExpr::Select(select) => Ok(select.from),
            _ => Err(self.error()),
        }
    }

    /// A type's name, as far as sqlparser reads one.
    pub(crate) fn data_type(&mut self) -> Result<ast::DataType, Error> {
        // No type has more tokens; a list of columns would be copied for each of them.
        self.parse_some(self.end.min(self.at + TYPE_TOKENS), |parser| parser.parse_data_type())
    }

    /// Lets sqlparser read from here on, and stands behind what it read.
    fn parse_with<T>(&mut self, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, Error> {
        self.parse_some(self.end, parse)
    }

    fn parse_some<T>(
        &mut self,
        end: usize,
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> Result<T, Error> {
        let (tokens, time_travel) = rewrite::time_travel(self.lexed, self.at..end)?;
        let dialect = LakewardDialect::for_parse(tokens.len(), time_travel);
        let mut parser =
            Parser::new(&dialect).with_recursion_limit(limits::RECURSION).with_tokens_with_locations(tokens);
        let parsed = match stacker::grow(limits::STACK_BYTES, || parse(&mut parser)) {
            Ok(parsed) => parsed,
            Err(error) => return Err(self.parser_error(&error)),
        };
        let stopped = parser.peek_token_ref();
        self.at =
            if stopped.token == Token::EOF { end } else { self.lexed.find(stopped.span.start).unwrap_or(end).min(end) };
        Ok(parsed)
    }

    fn parser_error(&self, error: &ParserError) -> Error {
        let error = syntax::from_parser(self.lexed, error);
        match self.end_byte() {
            // sqlparser's end of input is the end of the tokens that it was given.
            end if end < self.lexed.source.len() && error.to_string() == "syntax error at end of input" => {
                error.with_position(self.lexed.position(end))
            }
            _ => error,
        }
    }

    /// The end of the statement.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.is_done() { Ok(()) } else { Err(self.error()) }
    }
}
