//! PostgreSQL's types: OIDs, names, modifiers.
//!
//! Invariant: a built-in type has its true OID.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::definition::lines;

const TYPES: &str = include_str!("types.txt");
const FUNCTIONS: &str = include_str!("functions.txt");

/// Names that SQL has for types, where they differ from PostgreSQL's own.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("varchar", "character varying"),
    ("bpchar", "character"),
    ("varbit", "bit varying"),
    ("char", "\"char\""),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
];

/// Other names by which a type can be called.
const ALIASES: &[(&str, &str)] = &[("int", "int4"), ("decimal", "numeric"), ("float", "float8"), ("string", "text")];

const NUMERIC: u32 = 1700;
const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

/// A type, as `pg_type` has it.
#[derive(Debug)]
pub(super) struct TypeRow {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    pub(super) length: i16,
    pub(super) by_value: bool,
    pub(super) kind: &'static str,
    pub(super) category: &'static str,
    pub(super) preferred: bool,
    pub(super) delimiter: &'static str,
    pub(super) element: u32,
    pub(super) array: u32,
    /// subscript, input, output, receive, send, modin, modout.
    pub(super) functions: [u32; 7],
    pub(super) alignment: &'static str,
    pub(super) storage: &'static str,
    pub(super) collation: u32,
}

/// All types.
pub(super) fn all() -> &'static [TypeRow] {
    static ALL: OnceLock<Vec<TypeRow>> = OnceLock::new();
    ALL.get_or_init(|| lines(TYPES).filter_map(parse).collect())
}

fn parse(line: &'static str) -> Option<TypeRow> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let word = |index: usize| words.get(index).copied();
    let number = |index: usize| word(index)?.parse::<u32>().ok();
    Some(TypeRow {
        oid: number(0)?,
        name: word(1)?,
        length: word(2)?.parse().ok()?,
        by_value: word(3)? == "t",
        kind: word(4)?,
        category: word(5)?,
        preferred: word(6)? == "t",
        delimiter: word(7)?,
        element: number(9)?,
        array: number(10)?,
        functions: [number(8)?, number(11)?, number(12)?, number(13)?, number(14)?, number(15)?, number(16)?],
        alignment: word(17)?,
        storage: word(18)?,
        collation: number(19)?,
    })
}

/// The functions that types name: OID and name.
pub(super) fn functions() -> &'static [(u32, &'static str)] {
    static ALL: OnceLock<Vec<(u32, &'static str)>> = OnceLock::new();
    let parse = |line: &'static str| {
        let (oid, name) = line.split_once(' ')?;
        Some((oid.parse().ok()?, name))
    };
    ALL.get_or_init(|| lines(FUNCTIONS).filter_map(parse).collect())
}

/// The name of the function of that OID, as `regproc` shows it.
#[must_use]
pub fn function_name(oid: u32) -> Option<&'static str> {
    let own = super::rows::own_functions().iter().find(|function| function.oid == oid).map(|function| function.name);
    own.or_else(|| functions().iter().find(|(known, _)| *known == oid).map(|(_, name)| *name))
}

/// The type of that OID.
pub(super) fn by_oid(oid: u32) -> Option<&'static TypeRow> {
    static BY_OID: OnceLock<HashMap<u32, &'static TypeRow>> = OnceLock::new();
    BY_OID.get_or_init(|| all().iter().map(|row| (row.oid, row)).collect()).get(&oid).copied()
}

/// A type and a modifier by a name as users or PostgreSQL write it, e.g. `numeric(10,2)`, `text[]`, `_int4`.
pub(super) fn by_name(written: &str) -> Option<(&'static TypeRow, i32)> {
    let written = written.trim().to_ascii_lowercase();
    if let Some(element) = written.strip_suffix("[]") {
        let (element, modifier) = by_name(element)?;
        if element.category == "A" {
            // An array of any number of dimensions has one type.
            return Some((element, modifier));
        }
        return Some((by_oid(element.array)?, modifier));
    }
    let (base, arguments) = match written.split_once('(') {
        Some((base, rest)) => (base.trim(), rest.strip_suffix(')')?),
        None => (written.as_str(), ""),
    };
    let found = by_plain_name(base)?;
    Some((found, modifier(found.oid, arguments)))
}

fn by_plain_name(name: &str) -> Option<&'static TypeRow> {
    static BY_NAME: OnceLock<HashMap<&'static str, &'static TypeRow>> = OnceLock::new();
    let known = BY_NAME.get_or_init(|| all().iter().map(|row| (row.name, row)).collect());
    let sql = SQL_NAMES.iter().find(|(_, sql)| *sql == name).map(|(own, _)| *own);
    let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, own)| *own);
    known.get(sql.or_else(alias).unwrap_or(name)).copied()
}

fn modifier(oid: u32, arguments: &str) -> i32 {
    let mut numbers = arguments.split(',').map(|number| number.trim().parse::<i32>());
    match (oid, numbers.next(), numbers.next()) {
        (NUMERIC, Some(Ok(precision)), scale) => {
            ((precision << 16) | (scale.and_then(Result::ok).unwrap_or(0) & 0x7ff)) + 4
        }
        (VARCHAR | BPCHAR, Some(Ok(length)), None) => length + 4,
        (TIMESTAMP | TIMESTAMPTZ, Some(Ok(digits)), None) => digits,
        _ => -1,
    }
}

/// `format_type`: a type's name as SQL writes it.
pub(super) fn format(oid: u32, modifier: i32) -> String {
    let Some(found) = by_oid(oid) else {
        return if oid == 0 { "-".to_owned() } else { "???".to_owned() };
    };
    if found.element != 0 && found.category == "A" && found.name.starts_with('_') {
        return format!("{}[]", format(found.element, modifier));
    }
    let name = SQL_NAMES.iter().find(|(own, _)| *own == found.name).map_or(found.name, |(_, sql)| *sql);
    match oid {
        NUMERIC if modifier >= 4 => {
            let (precision, scale) = precision_and_scale(modifier);
            format!("{name}({precision},{scale})")
        }
        VARCHAR | BPCHAR if modifier >= 4 => format!("{name}({})", modifier - 4),
        TIMESTAMP if modifier >= 0 => format!("timestamp({modifier}) without time zone"),
        TIMESTAMPTZ if modifier >= 0 => format!("timestamp({modifier}) with time zone"),
        _ => name.to_owned(),
    }
}

/// What a `numeric`'s modifier says.
pub(super) fn precision_and_scale(modifier: i32) -> (i32, i32) {
    let packed = modifier - 4;
    (packed >> 16, packed & 0x7ff)
}

#[cfg(test)]
mod tests {
    use super::{all, by_name, format, functions};

    #[test]
    fn names_and_oids_are_postgresqls() {
        assert_eq!(by_name("bigint").map(|(found, _)| found.oid), Some(20));
        assert_eq!(by_name("text[]").map(|(found, _)| found.oid), Some(1009));
        assert_eq!(by_name("timestamptz").map(|(found, _)| found.oid), Some(1184));
        assert!(by_name("nothing").is_none());
        let (numeric, modifier) = by_name("numeric(10,2)").unwrap();
        assert_eq!((numeric.oid, modifier), (1700, 655_366));
        assert_eq!(format(1700, modifier), "numeric(10,2)");
        assert_eq!(format(1009, -1), "text[]");
        assert_eq!(format(18, -1), "\"char\"");
        assert_eq!(format(0, -1), "-");
    }

    #[test]
    fn every_line_is_read() {
        assert_eq!(all().len(), 185);
        assert_eq!(functions().len(), 371);
    }
}
