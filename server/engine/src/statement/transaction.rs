//! BEGIN, COMMIT, ROLLBACK, their other names, their modes, and savepoints.
//!
//! Invariant: a mode that would change what a transaction means is refused.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{Isolation, Modes, Transaction};
use crate::error::Error;

/// Parses one, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<(Transaction, &'static str)>, Error> {
    if cursor.sees(&["prepare", "transaction"])
        || cursor.sees(&["commit", "prepared"])
        || cursor.sees(&["rollback", "prepared"])
    {
        return Err(cursor.unsupported("two-phase commit", "Use COMMIT."));
    }
    if cursor.accept(&["start", "transaction"]) {
        return Ok(Some((Transaction::Begin(optional_modes(cursor)?), "BEGIN")));
    }
    if cursor.accept(&["begin"]) {
        noise(cursor);
        return Ok(Some((Transaction::Begin(optional_modes(cursor)?), "BEGIN")));
    }
    if cursor.sees(&["end", "break", "glass"]) {
        return Ok(None);
    }
    if cursor.accept_one(&["commit", "end"]).is_some() {
        noise(cursor);
        no_chain(cursor)?;
        return Ok(Some((Transaction::Commit, "COMMIT")));
    }
    if cursor.accept_one(&["rollback", "abort"]).is_some() {
        noise(cursor);
        if cursor.accept(&["to"]) {
            let _ = cursor.accept(&["savepoint"]);
            return Ok(Some((Transaction::RollbackTo(cursor.identifier()?), "ROLLBACK TO SAVEPOINT")));
        }
        no_chain(cursor)?;
        return Ok(Some((Transaction::Rollback, "ROLLBACK")));
    }
    if cursor.accept(&["savepoint"]) {
        return Ok(Some((Transaction::Savepoint(cursor.identifier()?), "SAVEPOINT")));
    }
    if cursor.accept(&["release"]) {
        let _ = cursor.accept(&["savepoint"]);
        return Ok(Some((Transaction::Release(cursor.identifier()?), "RELEASE SAVEPOINT")));
    }
    if cursor.sees(&["set", "transaction", "snapshot"]) {
        return Err(cursor.unsupported("SET TRANSACTION SNAPSHOT", "Read with VERSION AS OF."));
    }
    if cursor.accept(&["set", "transaction"]) {
        return Ok(Some((Transaction::Modes(modes(cursor)?), "SET")));
    }
    Ok(None)
}

fn noise(cursor: &mut Cursor<'_>) {
    cursor.accept_one(&["work", "transaction"]);
}

fn no_chain(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    if cursor.accept(&["and", "no", "chain"]) || !cursor.sees(&["and", "chain"]) {
        return Ok(());
    }
    Err(cursor.unsupported("AND CHAIN", "Use BEGIN after it."))
}

fn optional_modes(cursor: &mut Cursor<'_>) -> Result<Modes, Error> {
    if cursor.is_done() { Ok(Modes::default()) } else { modes(cursor) }
}

/// One mode or more. A block sees one version of every table: at least what `REPEATABLE READ` promises, and so every
/// weaker level.
pub(crate) fn modes(cursor: &mut Cursor<'_>) -> Result<Modes, Error> {
    let mut modes = Modes::default();
    loop {
        if cursor.accept(&["isolation", "level"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.accept(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if cursor.accept(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if !(cursor.accept(&["not", "deferrable"]) || cursor.accept(&["deferrable"])) {
            // Deferring matters to SERIALIZABLE only.
            return Err(cursor.error());
        }
        let more = cursor.accept_sign(&Token::Comma);
        if !more && cursor.is_done() {
            return Ok(modes);
        }
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<Isolation, Error> {
    if cursor.sees(&["serializable"]) {
        return Err(super::serializable().with_position(cursor.position()));
    }
    let known = [
        (["repeatable", "read"], Isolation::RepeatableRead),
        (["read", "committed"], Isolation::ReadCommitted),
        (["read", "uncommitted"], Isolation::ReadUncommitted),
    ];
    let found = known.iter().find(|(words, _)| cursor.accept(words.as_slice()));
    found.map(|(_, level)| *level).ok_or_else(|| cursor.error())
}
