//! Statements that are not there, each with what to do instead.
//!
//! Invariant: a statement of PostgreSQL or of Lakeward's reference never ends in a bare syntax error on its first word.

use super::cursor::Cursor;
use crate::error::Error;

/// First words, what the statement is called, and what to do.
const REFUSED: &[(&[&str], &str, &str)] = &[
    (&["truncate"], "TRUNCATE", "Drop the table, and make it again."),
    (&["prepare"], "PREPARE", "Prepare statements through the protocol, as drivers do."),
    (&["execute", "as"], "EXECUTE AS ROLE", "Name the role, and a query."),
    (&["execute"], "EXECUTE", "Prepare statements through the protocol, as drivers do."),
    (&["subscribe"], "SUBSCRIBE", "Run a query again and again."),
    (&["create", "continuous", "view"], "CREATE CONTINUOUS VIEW", "Use CREATE VIEW."),
    (&["create", "materialized", "view"], "CREATE MATERIALIZED VIEW", "Use CREATE VIEW or CREATE TABLE AS."),
    (&["create", "job"], "CREATE JOB", "Run the INSERT itself."),
    (&["create", "or", "replace", "tag"], "CREATE OR REPLACE TAG", "Use ALTER TAG."),
    (&["describe"], "DESCRIBE", "Use DESCRIBE HISTORY, psql's \\d, or information_schema."),
    (&["desc"], "DESCRIBE", "Use DESCRIBE HISTORY, psql's \\d, or information_schema."),
    (&["analyze"], "ANALYZE", "Leave it out: statistics are kept with each commit."),
    (&["analyse"], "ANALYZE", "Leave it out: statistics are kept with each commit."),
    (&["pause"], "PAUSE JOB", "Leave it out."),
    (&["resume"], "RESUME JOB", "Leave it out."),
    (&["cancel"], "CANCEL JOB", "Leave it out."),
    (&["call"], "CALL", "Use SELECT."),
    (&["do"], "DO", "Run the statements themselves."),
    (&["lock"], "LOCK", "Leave it out: readers see one version of a table."),
    (&["listen"], "LISTEN", "Poll with a query."),
    (&["notify"], "NOTIFY", "Poll with a query."),
    (&["security", "label"], "SECURITY LABEL", "Use masking policies."),
    (&["cluster"], "CLUSTER", "Leave it out."),
    (&["reindex"], "REINDEX", "Leave it out: there are no indexes."),
    (&["refresh"], "REFRESH MATERIALIZED VIEW", "Use CREATE VIEW."),
    (&["checkpoint"], "CHECKPOINT", "Leave it out."),
    (&["load"], "LOAD", "Leave it out."),
    (&["import"], "IMPORT FOREIGN SCHEMA", "Use CREATE EXTERNAL TABLE."),
    (&["create", "index"], "CREATE INDEX", "Leave it out: files and row groups are pruned by their statistics."),
    (&["create", "unique", "index"], "CREATE INDEX", "Leave it out: there are no unique keys."),
    (&["drop", "index"], "DROP INDEX", "There are no indexes."),
    (&["create", "temp"], "CREATE TEMP", "Use WITH, or a table in a schema of your own."),
    (&["create", "temporary"], "CREATE TEMPORARY", "Use WITH, or a table in a schema of your own."),
    (&["create", "unlogged"], "CREATE UNLOGGED TABLE", "Use CREATE TABLE."),
    (&["create", "or", "replace", "table"], "CREATE OR REPLACE TABLE without AS", "Write AS SELECT …."),
    (&["create", "or", "replace", "continuous"], "CREATE OR REPLACE CONTINUOUS VIEW", "Use CREATE VIEW."),
    (&["create", "recursive", "view"], "CREATE RECURSIVE VIEW", "Use CREATE VIEW v AS WITH RECURSIVE …."),
    (&["create", "or", "replace", "recursive"], "CREATE RECURSIVE VIEW", "Use CREATE VIEW v AS WITH RECURSIVE …."),
    (&["create", "database"], "CREATE DATABASE", "There is one database, lakeward: use CREATE SCHEMA."),
    (&["alter", "database"], "ALTER DATABASE", "There is one database, lakeward."),
    (&["drop", "database"], "DROP DATABASE", "There is one database, lakeward."),
    (&["alter", "view"], "ALTER VIEW in this form", "Use CREATE OR REPLACE VIEW."),
    (&["create"], "this CREATE statement", "See the reference of the SQL language."),
    (&["alter"], "this ALTER statement", "See the reference of the SQL language."),
    (&["drop"], "this DROP statement", "See the reference of the SQL language."),
    (&["grant"], "this form of GRANT", "See the reference of the SQL language."),
    (&["revoke"], "this form of REVOKE", "See the reference of the SQL language."),
];

/// Classes of statements that are done, for those that did not parse.
const DONE: &[(&[&str], &str)] = &[
    (&["insert", "overwrite"], "INSERT OVERWRITE"),
    (&["insert"], "INSERT"),
    (&["update"], "UPDATE"),
    (&["delete"], "DELETE"),
    (&["merge"], "MERGE"),
    (&["copy"], "COPY"),
    (&["restore"], "RESTORE"),
    (&["optimize"], "OPTIMIZE"),
    (&["vacuum"], "VACUUM"),
    (&["explain"], "EXPLAIN"),
    (&["begin"], "BEGIN"),
    (&["start"], "BEGIN"),
    (&["commit"], "COMMIT"),
    (&["end", "break"], "END BREAK GLASS"),
    (&["break"], "BREAK GLASS"),
    (&["review"], "REVIEW BREAK GLASS"),
    (&["end"], "COMMIT"),
    (&["rollback"], "ROLLBACK"),
    (&["abort"], "ROLLBACK"),
    (&["savepoint"], "SAVEPOINT"),
    (&["declare"], "DECLARE CURSOR"),
    (&["fetch"], "FETCH"),
    (&["move"], "MOVE"),
    (&["close"], "CLOSE CURSOR"),
    (&["release"], "RELEASE SAVEPOINT"),
    (&["set"], "SET"),
    (&["show"], "SHOW"),
    (&["reset"], "RESET"),
    (&["discard"], "DISCARD"),
    (&["grant"], "GRANT"),
    (&["revoke"], "REVOKE"),
    (&["create", "role"], "CREATE ROLE"),
    (&["create", "user"], "CREATE ROLE"),
    (&["alter", "role"], "ALTER ROLE"),
    (&["alter", "user"], "ALTER ROLE"),
    (&["drop", "role"], "DROP ROLE"),
    (&["drop", "user"], "DROP ROLE"),
    (&["create", "group"], "CREATE ROLE"),
    (&["alter", "group"], "ALTER ROLE"),
    (&["drop", "group"], "DROP ROLE"),
    (&["reassign"], "REASSIGN OWNED"),
    (&["drop", "owned"], "DROP OWNED"),
    (&["comment"], "COMMENT"),
    (&["alter", "schema"], "ALTER SCHEMA"),
    (&["alter", "default"], "ALTER DEFAULT PRIVILEGES"),
    (&["create", "schema"], "CREATE SCHEMA"),
    (&["drop", "schema"], "DROP SCHEMA"),
    (&["create", "table"], "CREATE TABLE"),
    (&["create", "external"], "CREATE TABLE"),
    (&["alter", "table"], "ALTER TABLE"),
    (&["drop", "table"], "DROP TABLE"),
    (&["create", "view"], "CREATE VIEW"),
    (&["drop", "view"], "DROP VIEW"),
    (&["create", "policy", "test"], "CREATE POLICY TEST"),
    (&["drop", "policy", "test"], "DROP POLICY TEST"),
    (&["run"], "RUN POLICY TESTS"),
    (&["create", "policy"], "CREATE POLICY"),
    (&["alter", "policy"], "ALTER POLICY"),
    (&["drop", "policy"], "DROP POLICY"),
    (&["create", "masking"], "CREATE MASKING POLICY"),
    (&["alter", "masking"], "ALTER MASKING POLICY"),
    (&["drop", "masking"], "DROP MASKING POLICY"),
    (&["create", "tag"], "CREATE TAG"),
    (&["alter", "tag"], "ALTER TAG"),
    (&["drop", "tag"], "DROP TAG"),
    (&["create", "or", "replace", "view"], "CREATE VIEW"),
    (&["create", "or", "replace", "policy"], "CREATE POLICY"),
    (&["create", "or", "replace", "masking"], "CREATE MASKING POLICY"),
    (&["create"], "CREATE"),
    (&["alter"], "ALTER"),
    (&["drop"], "DROP"),
];

/// Why a statement that nobody knows is refused.
pub(crate) fn refuse(cursor: &Cursor<'_>) -> Error {
    match REFUSED.iter().find(|(words, _, _)| cursor.sees(words)) {
        // `CREATE` alone, or followed by no word, is unfinished.
        Some((words, _, _))
            if cursor.peek_ahead(words.len()).is_none()
                && matches!(words, ["create" | "alter" | "drop" | "grant" | "revoke"]) =>
        {
            super::syntax::at_end(cursor.lexed().source)
        }
        Some((_, what, hint)) => cursor.unsupported(what, hint),
        None => cursor.error(),
    }
}

/// The class of a statement that did not parse.
pub(crate) fn class(cursor: &Cursor<'_>) -> &'static str {
    let refused = || {
        REFUSED
            .iter()
            .find(|(words, what, _)| cursor.sees(words) && !what.starts_with("this "))
            .map(|(_, what, _)| *what)
    };
    let done = || DONE.iter().find(|(words, _)| cursor.sees(words)).map(|(_, class)| *class);
    refused().or_else(done).unwrap_or("UNKNOWN")
}
