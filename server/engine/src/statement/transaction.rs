//! BEGIN, COMMIT, ROLLBACK and their other names.
//!
//! Invariant: a mode that would change what a transaction means is refused.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Transaction;
use super::cursor::Cursor;
use crate::error::Error;

/// Parses one, if it is one.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<(Transaction, &'static str)>, Error> {
    if cursor.sees(&["savepoint"]) || cursor.sees(&["release"]) {
        return Err(no_savepoints(cursor));
    }
    if cursor.sees(&["prepare", "transaction"])
        || cursor.sees(&["commit", "prepared"])
        || cursor.sees(&["rollback", "prepared"])
    {
        return Err(cursor.unsupported("two-phase commit", "Use COMMIT."));
    }
    if cursor.accept(&["start", "transaction"]) {
        modes(cursor)?;
        return Ok(Some((Transaction::Begin, "BEGIN")));
    }
    if cursor.accept(&["begin"]) {
        noise(cursor);
        modes(cursor)?;
        return Ok(Some((Transaction::Begin, "BEGIN")));
    }
    if cursor.accept_one(&["commit", "end"]).is_some() {
        noise(cursor);
        no_chain(cursor)?;
        return Ok(Some((Transaction::Commit, "COMMIT")));
    }
    if cursor.accept_one(&["rollback", "abort"]).is_some() {
        noise(cursor);
        if cursor.sees(&["to"]) {
            return Err(no_savepoints(cursor));
        }
        no_chain(cursor)?;
        return Ok(Some((Transaction::Rollback, "ROLLBACK")));
    }
    Ok(None)
}

fn noise(cursor: &mut Cursor<'_>) {
    cursor.accept_one(&["work", "transaction"]);
}

fn no_savepoints(cursor: &Cursor<'_>) -> Error {
    cursor.unsupported("a savepoint", "Roll the whole block back, and run it again.")
}

fn no_chain(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    if cursor.accept(&["and", "no", "chain"]) || !cursor.sees(&["and", "chain"]) {
        return Ok(());
    }
    Err(cursor.unsupported("AND CHAIN", "Use BEGIN after it."))
}

/// A block sees one version of every table: at least what `REPEATABLE READ` promises, and so every weaker level.
fn modes(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    while !cursor.is_done() {
        cursor.accept_sign(&Token::Comma);
        if cursor.accept(&["isolation", "level"]) {
            if cursor.sees(&["serializable"]) {
                return Err(cursor.unsupported("ISOLATION LEVEL SERIALIZABLE", "Use REPEATABLE READ."));
            }
            let known = [&["repeatable", "read"], &["read", "committed"], &["read", "uncommitted"]];
            if !known.iter().any(|level| cursor.accept(level.as_slice())) {
                return Err(cursor.error());
            }
        } else if cursor.sees(&["read", "only"]) {
            return Err(cursor.unsupported("READ ONLY", "Leave it out."));
        } else if !(cursor.accept(&["read", "write"])
            || cursor.accept(&["not", "deferrable"])
            || cursor.accept(&["deferrable"]))
        {
            return Err(cursor.error());
        }
    }
    Ok(())
}
