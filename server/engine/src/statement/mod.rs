//! A statement: parsed once, never printed again.
//!
//! The front parser tries Lakeward's own statements first, over sqlparser's tokens, and hands everything else to
//! sqlparser. Invariant: every statement kind, and every field of its syntax tree that the planner would ignore, is
//! allowed by name or refused with `0A000`.

mod allow;
mod change;
mod classes;
mod copy;
pub(crate) mod cursor;
mod declare;
mod dialect;
mod explain;
mod front;
mod in_full;
mod insert;
mod lex;
pub(crate) mod limits;
mod listing;
mod maintain;
mod merge;
mod normalize;
mod refuse;
mod reserved;
mod rewrite;
pub(crate) mod setting;
pub(crate) mod simulate;
mod syntax;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use lakeward_base::{Redacted, SqlState};

use crate::ddl::Ddl;
use crate::error::Error;

#[cfg(test)]
pub(crate) use allow::AggregateSyntax;
pub(crate) use allow::aggregate_syntax;
pub use change::{Change, ChangeAction, ChangeCommand};
pub use classes::CLASSES;
pub use copy::{CopyHeader, CopyIn, CopyOptions, CopyOut, CopyStyle, Quoted};
pub use in_full::InFull;
pub(crate) use lex::Lexed;
#[cfg(any(test, fuzzing))]
pub(crate) use lex::{Lexeme, is_string};
pub use maintain::{Maintain, Work as MaintainWork};
pub use normalize::normalize;

/// One parsed statement.
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct Statement {
    /// Its own text, from the beginning of what was parsed (so that positions and spans are places in it) to its end.
    pub text: Redacted<String>,
    /// What it is.
    pub kind: Kind,
    /// The audit's statement class, e.g. `SELECT`, `INSERT`, `CREATE POLICY`.
    pub class: &'static str,
    /// The text with every literal replaced by `?`, comments and spare white space removed; safe to store.
    pub normalized: String,
    /// What the audit seals of it.
    pub in_full: InFull,
    /// The highest `$n`, 0 without parameters.
    pub parameter_count: usize,
    /// As whom it is run, where not as oneself.
    pub simulation: Option<Arc<Simulation>>,
}

/// `EXECUTE AS ROLE`: a statement runs as a role would run it.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct Simulation {
    /// The role.
    pub role: String,
    /// Attributes in place of the role's own, by name.
    pub attributes: BTreeMap<String, Redacted<String>>,
}

/// The kinds of statement that the engine runs.
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub enum Kind {
    /// White space and comments only.
    Empty,
    /// SELECT, VALUES, WITH, TABLE, set operations.
    Query(Box<ast::Query>),
    /// EXPLAIN of a query.
    Explain {
        /// With ANALYZE: it is run.
        analyze: bool,
        /// With VERBOSE.
        verbose: bool,
        /// FORMAT JSON rather than text.
        json: bool,
        /// The statement explained: always [`Kind::Query`].
        statement: Box<Statement>,
    },
    /// EXPLAIN (POLICIES): what is decided about each table and column, and why. Never run.
    ExplainPolicies {
        /// FORMAT JSON rather than rows.
        json: bool,
        /// The statement explained: a query, or a write.
        statement: Box<Statement>,
    },
    /// SHOW EFFECTIVE POLICIES.
    EffectivePolicies {
        /// On which table.
        table: Name,
        /// For whom; `None` is oneself.
        role: Option<String>,
    },
    /// RUN POLICY TESTS.
    RunPolicyTests,
    /// INSERT INTO … VALUES | SELECT.
    Insert(Box<Insert>),
    /// CREATE TABLE … AS SELECT.
    CreateTableAs(Box<CreateTableAs>),
    /// UPDATE, DELETE, MERGE.
    Change(Box<Change>),
    /// COPY … TO STDOUT.
    CopyOut(Box<CopyOut>),
    /// COPY … FROM STDIN.
    CopyIn(Box<CopyIn>),
    /// RESTORE, OPTIMIZE, VACUUM.
    Maintain(Box<Maintain>),
    /// A change of the catalog.
    Ddl(Box<Ddl>),
    /// SET, SHOW, RESET, DISCARD.
    Setting(Setting),
    /// BEGIN, COMMIT, ROLLBACK, savepoints.
    Transaction(Transaction),
    /// DECLARE, FETCH, MOVE, CLOSE.
    Cursor(CursorStatement),
}

/// A statement about a cursor of the transaction block.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub enum CursorStatement {
    /// `DECLARE name [BINARY] CURSOR FOR query`
    Declare {
        /// Its name.
        name: String,
        /// Its rows are sent in binary.
        binary: bool,
        /// What it reads.
        query: Box<ast::Query>,
    },
    /// `FETCH [direction] name`
    Fetch {
        /// Of which cursor.
        name: String,
        /// How far.
        direction: Direction,
        /// MOVE: the rows are passed over.
        moves: bool,
    },
    /// `CLOSE name`; `None` is ALL.
    Close(Option<String>),
}

/// How far a cursor is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// So many rows.
    Forward(u64),
    /// All that are left.
    All,
    /// To the row that is so many further, which is read.
    By(u64),
    /// To the row of this number from 1, which is read.
    To(u64),
    /// Anywhere back, or where it is.
    Backward,
}

/// `INSERT INTO | OVERWRITE table [(columns)] query`. Everything else that sqlparser accepts there was refused.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct Insert {
    /// The target as written: `[schema.]name`, identifiers folded.
    pub table: Name,
    /// Columns as written, folded; empty means all, in order.
    pub columns: Vec<String>,
    /// What is inserted.
    pub source: Box<ast::Query>,
    /// OVERWRITE: in place of all rows that are there.
    pub overwrite: bool,
}

/// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] table AS query`.
#[derive(Clone)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub struct CreateTableAs {
    /// The new table.
    pub table: Name,
    /// In place of the columns and rows of one that is there.
    pub or_replace: bool,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Names for the columns; empty keeps the query's.
    pub columns: Vec<String>,
    /// Partition columns.
    pub partition_by: Vec<String>,
    /// Where, if not below the data directory.
    pub location: Option<String>,
    /// The rows.
    pub source: Box<ast::Query>,
}

/// A possibly qualified name, folded as PostgreSQL folds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The schema, where one was written.
    pub schema: Option<String>,
    /// The object.
    pub name: String,
    /// Where it stands in the text that was parsed, in characters from 1; 0 where that is not known.
    pub position: usize,
}

/// A statement about settings.
#[derive(Debug, Clone)]
pub enum Setting {
    /// `SET [SESSION | LOCAL] name = value`; `None` is DEFAULT.
    Set {
        /// Name, folded.
        name: String,
        /// Value as text.
        value: Option<String>,
        /// SET LOCAL.
        local: bool,
    },
    /// `SHOW name`.
    Show(String),
    /// `SHOW ALL`.
    ShowAll,
    /// `RESET name`; `None` is ALL.
    Reset(Option<String>),
    /// `SET [SESSION | LOCAL] ROLE name`.
    Role {
        /// `None` is `RESET ROLE`, `SET ROLE NONE`.
        name: Option<String>,
        /// SET LOCAL.
        local: bool,
    },
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION …`.
    Characteristics(Modes),
    /// `DISCARD ALL`.
    Discard,
    /// `DEALLOCATE name`; `None` is ALL. The protocol holds prepared statements, so it forgets them.
    Deallocate(Option<String>),
    /// `UNLISTEN`: there is nothing to listen to, and connection pools say it.
    Unlisten,
}

/// A statement about the transaction block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN, START TRANSACTION.
    Begin(Modes),
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SET TRANSACTION.
    Modes(Modes),
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
}

/// What a transaction block is asked to be; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes {
    /// `ISOLATION LEVEL`
    pub isolation: Option<Isolation>,
    /// `READ ONLY`, `READ WRITE`
    pub read_only: Option<bool>,
}

/// The levels of isolation that can be asked for. A block gives the strongest of them whichever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// `READ UNCOMMITTED`
    ReadUncommitted,
    /// `READ COMMITTED`
    #[default]
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
}

impl Isolation {
    const ALL: [Self; 3] = [Self::ReadUncommitted, Self::ReadCommitted, Self::RepeatableRead];

    /// As SHOW says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// Two blocks that each read what the other writes can both commit.
pub(crate) fn serializable() -> Error {
    Error::unsupported("ISOLATION LEVEL SERIALIZABLE").with_hint("Use REPEATABLE READ.")
}

/// Parses exactly one statement; text without one is [`Kind::Empty`].
///
/// # Errors
/// `42601` with a position, `0A000` for what is not supported, `54000` for what is too large or too deep.
pub fn parse(sql: &str) -> Result<Statement, Error> {
    let lexed = lex::Lexed::read(sql)?;
    let statements = lexed.statements();
    match statements.as_slice() {
        [] => Ok(Statement {
            text: Redacted::new(String::new()),
            kind: Kind::Empty,
            class: "EMPTY",
            normalized: String::new(),
            in_full: InFull::default(),
            parameter_count: 0,
            simulation: None,
        }),
        [range] => front::parse(&lexed, range.clone()),
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement")),
    }
}

/// One statement of a text that may hold several.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// The statement's own text.
    pub text: String,
    /// How many characters stand before it: what positions in it must be moved by.
    pub before: usize,
}

/// Statement text does not print.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("before", &self.before).finish_non_exhaustive()
    }
}

/// The statements of a simple query, each without what stands around it; none where there are only comments.
///
/// # Errors
/// As for [`parse`], of what cannot be read at all; the position is that in `sql`.
pub fn split(sql: &str) -> Result<Vec<Part>, Error> {
    let lexed = lex::Lexed::read(sql)?;
    let part = |range| Part { text: lexed.text(&range).to_owned(), before: lexed.start(&range) };
    Ok(lexed.statements().into_iter().map(part).collect())
}

/// The first of a text's statements that does not parse. PostgreSQL reads the whole text before it runs any of it.
#[must_use]
pub fn first_refused(parts: &[Part]) -> Option<&Part> {
    parts.iter().find(|part| parse(&part.text).is_err())
}

/// Parses one expression, as policies and masks hold them.
pub(crate) fn parse_expression(sql: &str) -> Result<ast::Expr, Error> {
    let lexed = lex::Lexed::read(sql)?;
    let mut cursor = cursor::Cursor::new(&lexed, 0..lexed.lexemes.len());
    let expression = cursor.expression()?;
    cursor.finish()?;
    Ok(expression)
}

/// A query whose WHERE is this expression, for looking at what it reads.
pub(crate) fn selecting(expression: ast::Expr) -> Result<Box<ast::Query>, Error> {
    change::select(|select| select.selection = Some(expression))
}

/// Parses a name that stands in a string: `'[schema.]name'`.
pub(crate) fn parse_name(text: &str) -> Result<Name, Error> {
    let lexed = lex::Lexed::read(text)?;
    let mut cursor = cursor::Cursor::new(&lexed, 0..lexed.lexemes.len());
    let wrong = |_| Error::new(SqlState::INVALID_NAME, "invalid name syntax");
    let name = cursor.name().map_err(wrong)?;
    cursor.finish().map_err(wrong)?;
    Ok(Name { position: 0, ..name })
}

/// What can be said of a text that [`parse`] refused: the audit's statement class, and the normalized text.
#[must_use]
pub fn describe(sql: &str) -> (&'static str, String) {
    let (lexed, _) = match limits::check_text(sql) {
        Ok(()) => lex::Lexed::read_prefix(sql),
        Err(_) => lex::Lexed::read_prefix(""),
    };
    (front::class(&lexed), normalize(sql))
}

#[cfg(not(any(test, fuzzing)))]
impl std::fmt::Debug for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statement").field("class", &self.class).finish_non_exhaustive()
    }
}
