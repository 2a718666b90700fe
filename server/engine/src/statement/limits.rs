//! How large and how deep a statement may be.
//!
//! sqlparser limits recursion, but `1+1+1+…` makes a tree as deep as it is long without recursing, and dropping that tree
//! recurses. Invariant: no tree made from a text that passed is deeper than a small thread's stack carries.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;

use super::lex::{Lexed, Lexeme, keyword_of};
use super::syntax;
use crate::error::Error;

/// The longest text.
pub(crate) const TEXT_BYTES: usize = 16 << 20;
/// The most tokens, white space included.
pub(crate) const TOKENS: usize = 1 << 20;
/// How deep parentheses, brackets and braces may nest.
pub(crate) const NESTING: usize = 100;
/// sqlparser's own limit of recursion.
pub(crate) const RECURSION: usize = 100;
/// The stack that a parse gets. A level takes up to 160 KiB in a build without optimization, more than the 128 KiB that
/// sqlparser's own protection leaves free.
pub(crate) const STACK_BYTES: usize = 32 << 20;
/// How many operators may stand in one row, without parentheses or commas between them.
pub(crate) const OPERATORS: usize = 1_500;
/// How many operators that are planned as calls (casts, `->`, `~`, subscripts and the like) may stand in one row: within
/// each other, the planner's time grows with the third power of their number.
pub(crate) const CALLS: usize = 200;
/// How many UNION, EXCEPT, INTERSECT may stand in one row.
pub(crate) const SET_OPERATIONS: usize = 200;

/// How many signs and NOTs may stand before an operand. Near its limit of recursion sqlparser takes `NOT` for a name.
pub(crate) const PREFIXES: usize = 64;

/// How deep subqueries may nest in expressions: with each level the planner takes twice as long.
pub(crate) const SUBQUERIES: usize = 12;

/// Checks a text before it is read.
pub(crate) fn check_text(source: &str) -> Result<(), Error> {
    if source.len() > TEXT_BYTES {
        return Err(too_complex("the statement is too long").with_detail(format!("The limit is {TEXT_BYTES} bytes.")));
    }
    if source.len() > TOKENS && count_tokens(source) > TOKENS {
        return Err(too_complex("the statement is too long")
            .with_detail(format!("The limit is {TOKENS} words, numbers and signs."))
            .with_hint("Insert fewer rows with each statement."));
    }
    Ok(())
}

/// Checks the shape of what was read.
pub(crate) fn check_shape(lexed: &Lexed<'_>) -> Result<(), Error> {
    let mut levels = vec![Level::default()];
    let mut prefixes = 0;
    for (index, lexeme) in lexed.lexemes.iter().enumerate() {
        match &lexeme.token {
            token @ (Token::LParen | Token::LBracket | Token::LBrace) => {
                levels.last_mut().map(|level| level.next(token)).unwrap_or_default();
                let outer = levels.last().copied().unwrap_or_default();
                levels.push(outer.within(&lexed.lexemes, index));
            }
            Token::RParen | Token::RBracket | Token::RBrace if levels.len() > 1 => {
                levels.pop();
            }
            Token::Comma => levels.last_mut().map(Level::comma).unwrap_or_default(),
            Token::SemiColon => levels = vec![Level::default()],
            token if is_set_operator(token) => levels.last_mut().map(Level::set_operation).unwrap_or_default(),
            token if is_operator(token) => levels.last_mut().map(|level| level.next(token)).unwrap_or_default(),
            _ => {}
        }
        if let Some(level) = levels.last_mut() {
            level.clause(index.checked_sub(1).and_then(|last| lexed.lexemes.get(last)), lexeme);
        }
        let level = levels.last().copied().unwrap_or_default();
        prefixes = if is_prefix(&lexeme.token) { prefixes + 1 } else { 0 };
        if prefixes > PREFIXES
            || levels.len() > NESTING + 1
            || level.set_operations > SET_OPERATIONS
            || level.subqueries > SUBQUERIES
        {
            return Err(nested_too_deeply().with_position(lexeme.position));
        }
        if level.operators > OPERATORS || level.calls > CALLS {
            return Err(too_complex("the expression is too long")
                .with_detail(format!(
                    "The limit is {OPERATORS} operators in a row, {CALLS} of them casts and the like."
                ))
                .with_hint("Use IN (…) or a join with VALUES instead of many conditions.")
                .with_position(lexeme.position));
        }
        if index > 0 && recurses_unseen(&lexed.lexemes[index - 1], lexeme) {
            return Err(syntax::near_lexeme(lexed.source, lexeme));
        }
    }
    Ok(())
}

/// `ARRAY<ARRAY<…` and `INTERVAL INTERVAL …` are no SQL, and sqlparser recurses into them without counting.
fn recurses_unseen(last: &Lexeme, next: &Lexeme) -> bool {
    (last.is_word("array") && next.token == Token::Lt) || (last.is_word("interval") && next.is_word("interval"))
}

/// What a parse that ran into a limit answers.
pub(crate) fn nested_too_deeply() -> Error {
    too_complex("the statement is nested too deeply").with_hint("Use WITH or views for its parts.")
}

fn too_complex(message: &str) -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

/// What was counted within one pair of parentheses.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    operators: usize,
    /// Operators that are planned as calls, since the last comparison, AND or OR.
    calls: usize,
    set_operations: usize,
    /// Subqueries of expressions, this level and those around it together.
    subqueries: usize,
    /// Neither a query nor a part of its FROM, but arguments, a list and the like.
    arguments: bool,
    /// Within a FROM of this query, where subqueries stand for tables.
    from: bool,
}

impl Level {
    fn next(&mut self, operator: &Token) {
        self.operators += 1;
        if is_planned_as_call(operator) {
            self.calls += 1;
        } else if binds_loosely(operator) {
            self.calls = 0;
        }
    }

    fn comma(&mut self) {
        (self.operators, self.calls) = (0, 0);
    }

    fn set_operation(&mut self) {
        self.set_operations += 1;
    }

    /// The level of the parenthesis at `index`, which stands in this one.
    fn within(self, lexemes: &[Lexeme], index: usize) -> Self {
        let next = lexemes.get(index + 1);
        let last = index.checked_sub(1).and_then(|last| lexemes.get(last));
        let follows = |words: &[&str]| last.is_some_and(|last| words.iter().any(|word| last.is_word(word)));
        let stands_for_table = self.from
            && (follows(&["from", "join", "lateral"])
                || last.is_some_and(|last| matches!(last.token, Token::Comma | Token::LParen)));
        let has_name = follows(&["as", "materialized"]) || last.is_some_and(|last| is_set_operator(&last.token));
        let query =
            ["select", "with", "values", "table"].iter().any(|word| next.is_some_and(|next| next.is_word(word)));
        let table = stands_for_table || has_name;
        let subqueries = self.subqueries + usize::from(query && !table);
        Self { subqueries, arguments: !query && !table, from: !query && table, ..Self::default() }
    }

    /// Takes note of where FROM begins and ends.
    fn clause(&mut self, last: Option<&Lexeme>, lexeme: &Lexeme) {
        match keyword_of(&lexeme.token) {
            // `extract(year FROM …)` and `IS DISTINCT FROM …` begin none.
            Keyword::FROM if !self.arguments && !last.is_some_and(|last| last.is_word("distinct")) => self.from = true,
            Keyword::JOIN => self.from = !self.arguments,
            Keyword::SELECT
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::ON
            | Keyword::LIMIT => self.from = false,
            _ => {}
        }
    }
}

fn is_prefix(token: &Token) -> bool {
    matches!(token, Token::Minus | Token::Plus | Token::Tilde) || keyword_of(token) == Keyword::NOT
}

fn is_set_operator(token: &Token) -> bool {
    matches!(keyword_of(token), Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS)
}

/// Operators that never stand within one that is planned as a call, but for parentheses.
fn binds_loosely(token: &Token) -> bool {
    matches!(token, Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq)
        || matches!(keyword_of(token), Keyword::AND | Keyword::OR | Keyword::JOIN)
}

/// Whatever is not a node of the planner's own; a parenthesis may be a call's, but nests elsewhere.
fn is_planned_as_call(token: &Token) -> bool {
    let own = matches!(
        token,
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat | Token::LParen
    );
    let word = matches!(token, Token::Word(_)) && keyword_of(token) != Keyword::AT;
    !own && !word && !binds_loosely(token)
}

/// Everything that is neither operand nor separator, and every word that sqlparser reads as an operator.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_some() => false,
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::OR
                | Keyword::AND
                | Keyword::XOR
                | Keyword::AT
                | Keyword::NOT
                | Keyword::NOTNULL
                | Keyword::IS
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::OVERLAPS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::MATCH
                | Keyword::SIMILAR
                | Keyword::MEMBER
                | Keyword::OPERATOR
                | Keyword::DIV
                | Keyword::COLLATE
                | Keyword::PIVOT
                | Keyword::UNPIVOT
                | Keyword::JOIN
        ),
        Token::Number(..)
        | Token::Placeholder(_)
        | Token::Period
        | Token::RParen
        | Token::RBracket
        | Token::RBrace
        | Token::EOF => false,
        token => !super::lex::is_string(token),
    }
}

/// How many tokens a text has, about: what sqlparser's tokenizer would make needs a hundred times the text's memory.
fn count_tokens(source: &str) -> usize {
    let bytes = source.as_bytes();
    let (mut at, mut tokens) = (0, 0);
    while at < bytes.len() {
        at = skip_token(bytes, at);
        tokens += 1;
    }
    tokens
}

fn skip_token(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'\'', ..] => at + skip_quoted(rest, b'\'', false),
        [b'"', ..] => at + skip_quoted(rest, b'"', false),
        [b'e' | b'E', b'\'', ..] => at + 1 + skip_quoted(&rest[1..], b'\'', true),
        [b'-', b'-', ..] => {
            at + rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(rest.len(), |end| end + 1)
        }
        [b'/', b'*', ..] => at + skip_comment(rest),
        [b'$', ..] => at + skip_dollar(rest),
        [first, ..] if is_word_byte(*first) => {
            at + rest.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(rest.len())
        }
        _ => at + 1,
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The length of a quoted thing: doubled quotes read as two of them, which is near enough.
fn skip_quoted(rest: &[u8], quote: u8, backslash: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' if backslash => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn skip_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at.min(rest.len())
}

fn skip_dollar(rest: &[u8]) -> usize {
    let tag_end = 1 + rest[1..].iter().position(|byte| !is_word_byte(*byte)).unwrap_or(rest.len() - 1);
    if rest.get(tag_end) != Some(&b'$') {
        return tag_end;
    }
    let tag = &rest[..=tag_end];
    rest[tag.len()..].windows(tag.len()).position(|window| window == tag).map_or(rest.len(), |at| at + 2 * tag.len())
}
