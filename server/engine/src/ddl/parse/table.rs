//! Tables.
//!
//! Invariant: see [`super`].

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;
use lakeward_base::SqlState;
use lakeward_catalog::ColumnChange;

use super::{Parsed, drop_list, policy, role_name};
use crate::ddl::{AddColumn, ChangeColumn, ColumnDefinition, CreateTable, Ddl, NewPlace, RegisterTable, types};
use crate::error::Error;
use crate::statement::Name;
use crate::statement::cursor::Cursor;

/// Delta's properties that CREATE TABLE takes. All others of Delta's mean something that would not be done.
const PROPERTIES: &[&str] = &["delta.enableChangeDataFeed", "delta.appendOnly"];

/// What a property's name, or its value, may take.
const PROPERTY_BYTES: usize = 4_096;

/// PostgreSQL's limit.
const COLUMNS: usize = 1_600;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Parsed>, Error> {
    if cursor.accept(&["create", "external", "table"]) {
        return register(cursor).map(Some);
    }
    if cursor.accept(&["create", "table"]) {
        return create(cursor).map(Some);
    }
    if cursor.accept(&["drop", "table"]) {
        return Ok(Some((Ddl::DropTable(drop_list(cursor, |cursor| cursor.name())?), "DROP TABLE")));
    }
    if cursor.accept(&["alter", "table"]) {
        return alter(cursor).map(Some);
    }
    Ok(None)
}

fn register(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let if_not_exists = cursor.if_not_exists();
    let table = cursor.name()?;
    if cursor.sees_sign(&Token::LParen) {
        return Err(cursor.unsupported("columns of an external table", "Leave them out: the Delta log has them."));
    }
    cursor.expect(&["stored", "as"])?;
    if !cursor.accept(&["delta"]) {
        return Err(cursor.unsupported("a table that is not Delta", "Write STORED AS DELTA."));
    }
    cursor.expect(&["location"])?;
    let location = cursor.string()?.into_exposed();
    no_properties(cursor)?;
    Ok((Ddl::RegisterTable(RegisterTable { table, if_not_exists, location }), "CREATE TABLE"))
}

fn create(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let if_not_exists = cursor.if_not_exists();
    let table = cursor.name()?;
    for (words, what, hint) in [
        (&["of"][..], "a table of a type", "Give the columns."),
        (&["partition", "of"], "PARTITION OF", "Use PARTITIONED BY."),
        (&["like"], "CREATE TABLE … LIKE", "Use CREATE TABLE AS SELECT … LIMIT 0."),
        (&["clone"], "CLONE", "Use CREATE TABLE AS."),
    ] {
        if cursor.sees(words) {
            return Err(cursor.unsupported(what, hint));
        }
    }
    let columns = cursor.parenthesized(column)?;
    let (mut partition_by, mut location, mut properties) = (Vec::new(), None, BTreeMap::new());
    while !cursor.is_done() {
        if partition_by.is_empty() && cursor.accept(&["partitioned", "by"]) {
            partition_by = cursor.parenthesized(Cursor::identifier)?;
        } else if location.is_none() && cursor.accept(&["location"]) {
            location = Some(cursor.string()?.into_exposed());
        } else if properties.is_empty() && cursor.accept(&["tblproperties"]) {
            properties = table_properties(cursor)?;
        } else {
            no_properties(cursor)?;
            return Err(cursor.error());
        }
    }
    check_columns(&columns, &partition_by)?;
    let create = CreateTable { table, if_not_exists, columns, partition_by, location, properties };
    Ok((Ddl::CreateTable(create), "CREATE TABLE"))
}

/// `('name' = 'value', …)`: Delta's are known by name, all others are kept as they are.
fn table_properties(cursor: &mut Cursor<'_>) -> Result<BTreeMap<String, String>, Error> {
    let mut properties = BTreeMap::new();
    cursor.parenthesized(|cursor| {
        let position = cursor.position();
        let name = cursor.string()?.into_exposed();
        cursor.expect_sign(&Token::Eq)?;
        let value = cursor.string()?.into_exposed();
        let (name, value) = table_property(name, value).map_err(|error| error.with_position(position))?;
        if properties.contains_key(&name) {
            let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, "a property is specified more than once");
            return Err(error.with_position(position));
        }
        properties.insert(name, value);
        Ok(())
    })?;
    Ok(properties)
}

fn table_property(name: String, value: String) -> Result<(String, String), Error> {
    let invalid = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    let is_name = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    if name.is_empty() || !name.chars().all(is_name) {
        return invalid("a property's name is made of letters, digits and .-_".to_owned());
    }
    if name.len() > PROPERTY_BYTES || value.len() > PROPERTY_BYTES {
        return invalid(format!("a property has at most {PROPERTY_BYTES} bytes"));
    }
    if PROPERTIES.contains(&name.as_str()) {
        return match value.to_ascii_lowercase() {
            value if ["true", "false"].contains(&value.as_str()) => Ok((name, value)),
            _ => invalid(format!("{name} is 'true' or 'false'")),
        };
    }
    let of = |owner: &str| name.to_ascii_lowercase().starts_with(owner);
    if of("delta.") || of("lakeward.") {
        return Err(Error::unsupported(format!("table property {name}"))
            .with_hint(format!("Of Delta's there are {}.", PROPERTIES.join(" and "))));
    }
    Ok((name, value))
}

/// `[COLUMN] [IF EXISTS] name [RESTRICT]`
fn drop_column(cursor: &mut Cursor<'_>, table: Name, if_exists: bool) -> Result<Ddl, Error> {
    cursor.accept(&["column"]);
    let column_if_exists = cursor.if_exists();
    let change = ColumnChange::Drop(cursor.identifier()?);
    if cursor.sees(&["cascade"]) {
        return Err(cursor.unsupported("CASCADE", "Drop what depends on the column first."));
    }
    cursor.accept(&["restrict"]);
    Ok(Ddl::ChangeColumn(ChangeColumn { table, if_exists, column_if_exists, change }))
}

/// `[COLUMN] [IF NOT EXISTS] name type`
fn add_column(cursor: &mut Cursor<'_>, table: Name, if_exists: bool) -> Result<Ddl, Error> {
    cursor.accept(&["column"]);
    let if_not_exists = cursor.if_not_exists();
    let column = column(cursor)?;
    if column.not_null {
        return Err(Error::unsupported("ADD COLUMN … NOT NULL").with_hint("The rows that are there have no value yet."));
    }
    Ok(Ddl::AddColumn(AddColumn { table, if_exists, column, if_not_exists }))
}

fn no_properties(cursor: &Cursor<'_>) -> Result<(), Error> {
    for (words, what, hint) in [
        (&["tblproperties"][..], "TBLPROPERTIES of an external table", "Leave it out: the Delta log has them."),
        (&["with"], "WITH (…) of a table", "Leave it out: streams are not there yet."),
        (&["partition", "by"], "PARTITION BY", "Use PARTITIONED BY (column, …)."),
        (&["inherits"], "INHERITS", "Give all columns."),
        (&["using"], "USING", "Leave it out: every table is Delta."),
        (&["tablespace"], "TABLESPACE", "Use LOCATION."),
        (&["on", "commit"], "ON COMMIT", "Leave it out."),
        (&["comment"], "COMMENT", "Leave it out."),
        (&["options"], "OPTIONS", "Leave it out."),
    ] {
        if cursor.sees(words) {
            return Err(cursor.unsupported(what, hint));
        }
    }
    Ok(())
}

fn column(cursor: &mut Cursor<'_>) -> Result<ColumnDefinition, Error> {
    for (word, what) in [
        ("primary", "PRIMARY KEY"),
        ("unique", "UNIQUE"),
        ("foreign", "FOREIGN KEY"),
        ("check", "CHECK"),
        ("constraint", "a constraint"),
        ("exclude", "EXCLUDE"),
        ("watermark", "WATERMARK"),
        ("like", "LIKE in CREATE TABLE"),
    ] {
        let is_clause = !matches!(word, "exclude" | "watermark")
            || cursor.peek_ahead(1).is_some_and(|next| next.is_word("using") || next.is_word("for"));
        if cursor.sees(&[word]) && is_clause {
            return Err(cursor.unsupported(what, "Leave it out: only NOT NULL is enforced."));
        }
    }
    let name = cursor.identifier()?;
    let position = cursor.position();
    if cursor.peek().is_none_or(|lexeme| matches!(lexeme.token, Token::Comma | Token::RParen)) {
        return Err(cursor.error());
    }
    let written = cursor.data_type()?;
    let (sql_type, arrow_type) = types::from_written(&written).map_err(|error| error.with_position(position))?;
    let mut not_null = false;
    loop {
        if cursor.accept(&["not", "null"]) {
            not_null = true;
        } else if cursor.sees(&["null"]) && !not_null {
            cursor.accept(&["null"]);
        } else {
            break;
        }
    }
    column_constraints(cursor)?;
    Ok(ColumnDefinition { name, sql_type, arrow_type, not_null })
}

fn column_constraints(cursor: &Cursor<'_>) -> Result<(), Error> {
    for (word, what, hint) in [
        ("default", "DEFAULT", "Give the value with each INSERT."),
        ("generated", "GENERATED", "Give the value with each INSERT."),
        ("primary", "PRIMARY KEY", "Leave it out: keys are not enforced."),
        ("unique", "UNIQUE", "Leave it out: keys are not enforced."),
        ("references", "REFERENCES", "Leave it out: keys are not enforced."),
        ("check", "CHECK", "Leave it out: only NOT NULL is enforced."),
        ("constraint", "a named constraint", "Leave it out: only NOT NULL is enforced."),
        ("collate", "COLLATE", "Leave it out: text is compared by its bytes."),
        ("comment", "COMMENT", "Leave it out."),
        ("storage", "STORAGE", "Leave it out."),
        ("compression", "COMPRESSION", "Leave it out."),
    ] {
        if cursor.sees(&[word]) {
            return Err(cursor.unsupported(what, hint));
        }
    }
    Ok(())
}

fn check_columns(columns: &[ColumnDefinition], partition_by: &[String]) -> Result<(), Error> {
    if columns.len() > COLUMNS {
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("tables can have at most {COLUMNS} columns")));
    }
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{}\" specified more than once", column.name),
            ));
        }
    }
    check_partition(columns.iter().map(|column| column.name.as_str()), partition_by)
}

/// Partition columns are columns, each once, and not all of them.
fn check_partition<'a>(columns: impl Iterator<Item = &'a str> + Clone, partition_by: &[String]) -> Result<(), Error> {
    for (index, name) in partition_by.iter().enumerate() {
        if !columns.clone().any(|column| column == name) {
            return Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in partition key does not exist"),
            ));
        }
        if partition_by[..index].contains(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears more than once in partition key"),
            ));
        }
    }
    if !partition_by.is_empty() && partition_by.len() == columns.count() {
        return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, "cannot partition by all columns"));
    }
    Ok(())
}

fn alter(cursor: &mut Cursor<'_>) -> Result<Parsed, Error> {
    let if_exists = cursor.if_exists();
    if cursor.sees(&["only"]) {
        return Err(cursor.unsupported("ALTER TABLE ONLY", "Leave ONLY out."));
    }
    let table = cursor.name()?;
    let change = match cursor.accept_one(&["enable", "disable", "owner"]) {
        Some("owner") => {
            cursor.expect(&["to"])?;
            Ddl::ChangeOwner { relation: table, if_exists, is_view: false, to: role_name(cursor)? }
        }
        Some(word) if cursor.accept(&["row", "level", "security"]) => {
            Ddl::RowSecurity { table, if_exists, enable: Some(word == "enable") }
        }
        Some(_) => return Err(cursor.unsupported("ENABLE or DISABLE of this", "Use ROW LEVEL SECURITY.")),
        None => alter_other(cursor, table, if_exists)?,
    };
    if cursor.sees_sign(&Token::Comma) {
        return Err(cursor.unsupported("several changes in one ALTER TABLE", "Use one statement for each."));
    }
    Ok((change, "ALTER TABLE"))
}

fn alter_other(cursor: &mut Cursor<'_>, table: Name, if_exists: bool) -> Result<Ddl, Error> {
    if cursor.accept(&["force", "row", "level", "security"]) {
        return Ok(Ddl::RowSecurity { table, if_exists, enable: None });
    }
    if cursor.sees(&["add"])
        && !["constraint", "primary", "foreign", "unique", "check"].iter().any(|word| cursor.sees(&["add", word]))
    {
        cursor.accept(&["add"]);
        return add_column(cursor, table, if_exists);
    }
    if cursor.accept(&["subject", "column"]) {
        let position = cursor.position();
        let mut columns = cursor.parenthesized(Cursor::identifier)?;
        return match (columns.pop(), columns.is_empty()) {
            (Some(column), true) => Ok(Ddl::SubjectColumn { table, if_exists, column }),
            _ => Err(Error::unsupported("a SUBJECT of several columns").with_hint("Name one.").with_position(position)),
        };
    }
    if let Some(to) = new_place(cursor)? {
        return Ok(Ddl::MoveRelation { relation: table, if_exists, is_view: false, to });
    }
    for (words, what, hint) in [
        (&["add"][..], "ADD of a constraint", "Leave it out: only NOT NULL is enforced."),
        (&["no", "force"][..], "NO FORCE", "Policies apply to a table's owner too; use a superuser to bypass them."),
        (&["drop", "constraint"], "DROP CONSTRAINT", "Leave it out: only NOT NULL is enforced."),
        (&["rename", "constraint"], "RENAME CONSTRAINT", "Leave it out: only NOT NULL is enforced."),
        (&["set"], "SET of a table", "Leave it out."),
        (&["reset"], "RESET of a table", "Leave it out."),
    ] {
        if cursor.sees(words) {
            return Err(cursor.unsupported(what, hint));
        }
    }
    if cursor.accept(&["drop"]) {
        return drop_column(cursor, table, if_exists);
    }
    if cursor.accept(&["rename"]) {
        cursor.accept(&["column"]);
        let from = cursor.identifier()?;
        cursor.expect(&["to"])?;
        let change = ColumnChange::Rename { from, to: cursor.identifier()? };
        return Ok(Ddl::ChangeColumn(ChangeColumn { table, if_exists, column_if_exists: false, change }));
    }
    if cursor.accept(&["alter"]) {
        cursor.accept(&["column"]);
        return policy::mask(cursor, table, if_exists);
    }
    Err(cursor.error())
}

/// `RENAME TO name`, `SET SCHEMA name`
pub(super) fn new_place(cursor: &mut Cursor<'_>) -> Result<Option<NewPlace>, Error> {
    if cursor.accept(&["rename", "to"]) {
        return cursor.identifier().map(NewPlace::Name).map(Some);
    }
    if cursor.accept(&["set", "schema"]) {
        return cursor.identifier().map(NewPlace::Schema).map(Some);
    }
    Ok(None)
}
