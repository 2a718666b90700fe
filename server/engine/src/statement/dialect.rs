//! PostgreSQL's dialect as Lakeward reads it: sqlparser's [`PostgreSqlDialect`] with `VERSION AS OF`, and a budget.
//!
//! sqlparser tries some clauses in two ways; nested, that takes exponential time. Invariant: one parse takes a number of
//! steps linear in the number of tokens, else it ends with `RecursionLimitExceeded`, which no retry of sqlparser swallows.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::reserved::is_reserved;

/// Steps that every parse may take, and further ones for each token.
const STEPS: (usize, usize) = (20_000, 200);

/// The dialect of one parse.
#[derive(Debug)]
pub(crate) struct LakewardDialect {
    postgres: PostgreSqlDialect,
    time_travel: bool,
    steps_left: Cell<usize>,
}

impl LakewardDialect {
    /// For the tokenizer, which takes no steps.
    pub(crate) fn for_tokens() -> Self {
        Self { postgres: PostgreSqlDialect {}, time_travel: false, steps_left: Cell::new(0) }
    }

    /// For a parse of `tokens` tokens. Time travel is read only where it is written, since its words (`at`, `before`,
    /// `changes`) are good aliases.
    pub(crate) fn for_parse(tokens: usize, time_travel: bool) -> Self {
        let steps = STEPS.1.saturating_mul(tokens).saturating_add(STEPS.0);
        Self { postgres: PostgreSqlDialect {}, time_travel, steps_left: Cell::new(steps) }
    }

    /// Takes a step; false when none is left.
    fn step(&self) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(1));
        left > 0
    }
}

/// Reserved words that an expression begins with; DEFAULT is refused later, by name.
fn begins_expression(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::ARRAY
            | Keyword::CASE
            | Keyword::CAST
            | Keyword::CURRENT_CATALOG
            | Keyword::CURRENT_DATE
            | Keyword::CURRENT_ROLE
            | Keyword::CURRENT_TIME
            | Keyword::CURRENT_TIMESTAMP
            | Keyword::CURRENT_USER
            | Keyword::DEFAULT
            | Keyword::FALSE
            | Keyword::LOCALTIME
            | Keyword::LOCALTIMESTAMP
            | Keyword::NOT
            | Keyword::NULL
            | Keyword::SESSION_USER
            | Keyword::TRUE
            | Keyword::USER
    )
}

/// What is passed on to sqlparser's PostgreSQL dialect unchanged.
macro_rules! delegate {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&self, $($argument: $type),*) -> $result {
            self.postgres.$name($($argument),*)
        }
    )*};
}

impl Dialect for LakewardDialect {
    /// sqlparser asks "is this PostgreSQL?" in many places.
    fn dialect(&self) -> TypeId {
        self.postgres.dialect()
    }

    fn supports_table_versioning(&self) -> bool {
        self.time_travel
    }

    /// `f(label: value)` is MySQL's and Snowflake's; trying it doubles the time for each nested call.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        false
    }

    /// `SELECT * FORM t` is a mistake, not an alias.
    fn supports_select_wildcard_with_alias(&self) -> bool {
        false
    }

    /// To PostgreSQL `/*+ … */` is a comment.
    fn supports_comment_optimizer_hint(&self) -> bool {
        false
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if self.step() {
            self.postgres.get_next_precedence(parser)
        } else {
            Some(Err(ParserError::RecursionLimitExceeded))
        }
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if !self.step() {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        let next = parser.peek_token_ref();
        // To sqlparser `FROM` in `SELECT a, FROM t` is a column.
        if matches!(&next.token, Token::Word(word) if word.quote_style.is_none() && is_reserved(&word.value) && !begins_expression(word.keyword))
        {
            return Some(Err(ParserError::ParserError(format!("Expected: an expression{}", next.span.start))));
        }
        self.postgres.parse_prefix(parser)
    }

    /// Asked for every SELECT: without steps an expression is demanded, and its parse ends the whole.
    fn supports_empty_projections(&self) -> bool {
        self.step() && self.postgres.supports_empty_projections()
    }

    delegate! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(ch: char) -> bool;
        is_identifier_start(ch: char) -> bool;
        is_identifier_part(ch: char) -> bool;
        supports_unicode_string_literal() -> bool;
        is_reserved_for_identifier(kw: Keyword) -> bool;
        is_custom_operator_part(ch: char) -> bool;
        supports_filter_during_aggregation() -> bool;
        supports_group_by_expr() -> bool;
        prec_value(prec: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_listen_notify() -> bool;
        supports_factorial_operator() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comment_on() -> bool;
        supports_load_extension() -> bool;
        supports_nested_comments() -> bool;
        supports_string_escape_constant() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_geometric_types() -> bool;
        supports_set_names() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_notnull_operator() -> bool;
        supports_interval_options() -> bool;
        supports_insert_table_alias() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_xml_expressions() -> bool;
    }
}
