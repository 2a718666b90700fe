//! What depends on a column by naming it: views, and the texts of policies.
//!
//! Texts are asked for words, not for what they mean: one that has the column's name as a name counts, whatever relation it
//! means. Invariant: no view and no policy comes to mean another column, and none is left that names one which is gone.

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::Redacted;
use lakeward_catalog::{CatalogError, ColumnChange, Relation, Snapshot, Table};
use std::sync::Arc;

use super::view;
use crate::statement::Lexed;

/// 2BP01 where a view or a policy would notice the change.
pub(super) fn must_not_be_named(
    snapshot: &Snapshot,
    table: &Arc<Table>,
    change: &ColumnChange,
) -> Result<(), CatalogError> {
    // A new name could be taken for a column of another relation's that is called so.
    let (verb, names) = match change {
        ColumnChange::Drop(name) => ("drop", vec![name.as_str()]),
        ColumnChange::Rename { from, to } => ("rename", vec![from.as_str(), to.as_str()]),
    };
    let column = names.first().copied().unwrap_or_default();
    let named = |text: &str| names.iter().any(|name| has_word(text, name));
    let mut users = Vec::new();
    for other in snapshot.tables() {
        let own = other.id == table.id;
        for policy in &other.policies {
            // It reads the table whatever that was called when the policy was made.
            let reads = policy.reads.iter().any(|read| read.table == table.id);
            let about = |text: &str| own || reads || has_word(text, &table.name);
            let text = |text: &Redacted<String>| {
                let text = text.expose();
                (named(text) && about(text)) || (reads && has_word(text, "natural"))
            };
            if policy.using.iter().chain(&policy.with_check).any(text) {
                users.push(format!("policy {} on table {}", policy.name, snapshot.qualified_name(other.id)));
            }
        }
    }
    for mask in snapshot.masking_policies() {
        if has_word(mask.body.expose(), &table.name) && named(mask.body.expose()) {
            users.push(format!("masking policy {}", mask.name));
        }
    }
    let relation = Relation::Table(Arc::clone(table));
    for reader in view::readers(snapshot, &relation) {
        let text = reader.definition.expose();
        let widened = matches!(change, ColumnChange::Drop(_)) && has_wildcard(text);
        if named(text) || widened || has_word(text, "natural") {
            users.push(format!("view {}", snapshot.qualified_name(reader.id)));
        }
    }
    if users.is_empty() {
        return Ok(());
    }
    Err(CatalogError::InUse {
        message: format!("cannot {verb} column {column} of table {} because other objects depend on it", table.name),
        detail: users.iter().map(|user| format!("{user} depends on it")).collect::<Vec<_>>().join("\n"),
        hint: Some("Alter or drop them first."),
    })
}

/// 2BP01 where the text of a policy that reads the table would come to mean a column that is about to be added to it.
pub(super) fn must_not_be_taken(snapshot: &Snapshot, table: &Table, column: &str) -> Result<(), CatalogError> {
    let taken = |text: &Redacted<String>| has_bare_name(text.expose(), column) || has_word(text.expose(), "natural");
    let mut readers = Vec::new();
    for other in snapshot.tables() {
        let reads = other.policies.iter().filter(|policy| policy.reads.iter().any(|read| read.table == table.id));
        let taking = reads.filter(|policy| policy.using.iter().chain(&policy.with_check).any(taken));
        readers.extend(
            taking.map(|policy| format!("policy {} on table {}", policy.name, snapshot.qualified_name(other.id))),
        );
    }
    if readers.is_empty() {
        return Ok(());
    }
    Err(CatalogError::InUse {
        message: format!(
            "cannot add column {column} to table {} because policies would take it for another",
            table.name
        ),
        detail: readers
            .iter()
            .map(|reader| format!("{reader} has a column of this name"))
            .collect::<Vec<_>>()
            .join("\n"),
        hint: Some(
            "Write the columns of the policies with their tables' names first, or give the column another name.",
        ),
    })
}

/// 2BP01 where a policy on the table names it: the text would not be understood under another name.
pub(super) fn must_not_name_itself(table: &Table) -> Result<(), CatalogError> {
    let names = |text: &Redacted<String>| has_word(text.expose(), &table.name);
    let found = table.policies.iter().find(|policy| policy.using.iter().chain(&policy.with_check).any(names));
    let Some(policy) = found else { return Ok(()) };
    Err(CatalogError::InUse {
        message: format!("cannot rename table {} because other objects depend on it", table.name),
        detail: format!("policy {} on the table names it", policy.name),
        hint: Some("Write the policy without the table's name, or drop it first."),
    })
}

/// Whether a text has a name as a word of its own. What cannot be read has it.
fn has_word(text: &str, name: &str) -> bool {
    let Ok(lexed) = Lexed::read(text) else { return true };
    lexed.lexemes.iter().any(|lexeme| match &lexeme.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase() == name,
        Token::Word(word) => word.value == name,
        _ => false,
    })
}

/// Whether a text has a name that stands for a column of whichever table has one. What cannot be read has it.
fn has_bare_name(text: &str, name: &str) -> bool {
    let Ok(lexed) = Lexed::read(text) else { return true };
    let tokens: Vec<&Token> = lexed.lexemes.iter().map(|lexeme| &lexeme.token).collect();
    tokens.iter().enumerate().any(|(place, token)| {
        let own = match token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase() == name,
            Token::Word(word) => word.value == name,
            _ => false,
        };
        let before = place.checked_sub(1).and_then(|before| tokens.get(before));
        let after = tokens.get(place.saturating_add(1));
        own && before != Some(&&Token::Period) && !matches!(after, Some(Token::Period | Token::LParen))
    })
}

/// Whether a query asks for all columns of something.
fn has_wildcard(text: &str) -> bool {
    let Ok(lexed) = Lexed::read(text) else { return true };
    lexed.lexemes.windows(2).any(|pair| match pair {
        [before, star] if star.token == Token::Mul => {
            matches!(before.token, Token::Comma | Token::Period | Token::RParen)
                || ["select", "distinct", "all"].iter().any(|word| before.is_word(word))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{has_bare_name, has_wildcard, has_word};

    #[test]
    fn names_are_words() {
        for text in ["ward = 1", "t.WARD > 2", "f(\"ward\")"] {
            assert!(has_word(text, "ward"), "{text}");
        }
        for text in ["'ward'", "wards = 1", "\"Ward\" = 1", "-- ward\n 1 = 1"] {
            assert!(!has_word(text, "ward"), "{text}");
        }
    }

    #[test]
    fn bare_names_have_no_table() {
        for text in ["k = pid", "t.k = PID", "\"pid\" = 1", "f(pid)", "'"] {
            assert!(has_bare_name(text, "pid"), "{text}");
        }
        for text in ["k = t.pid", "pid.k = 1", "pid(k) = 1", "'pid' = k", "\"PID\" = 1"] {
            assert!(!has_bare_name(text, "pid"), "{text}");
        }
    }

    #[test]
    fn wildcards_are_no_factors() {
        for text in ["SELECT * FROM t", "SELECT a, t.* FROM t", "SELECT DISTINCT ON (a) * FROM t"] {
            assert!(has_wildcard(text), "{text}");
        }
        for text in ["SELECT a * 2 FROM t", "SELECT count(*) FROM t"] {
            assert!(!has_wildcard(text), "{text}");
        }
    }
}
