//! Which relations there are, with their columns: read from `relations.txt`, `information_schema.txt` and `system.txt`.
//!
//! Invariant: in PostgreSQL's two schemas, names, OIDs, order and types of columns are PostgreSQL 15's, since clients ask for them by name and place.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

/// Schema of the system catalogs.
pub(super) const PG_CATALOG: &str = "pg_catalog";
/// Schema of the views that standard SQL describes.
pub(super) const INFORMATION_SCHEMA: &str = "information_schema";
/// OID of `pg_catalog`.
pub(super) const PG_CATALOG_OID: u32 = 11;
/// OID of `information_schema`.
pub(super) const INFORMATION_SCHEMA_OID: u32 = 12999;

/// Schema of Lakeward's own views.
pub(super) const SYSTEM: &str = crate::system::SCHEMA;

const RELATIONS: &str = include_str!("relations.txt");
const INFORMATION_SCHEMA_VIEWS: &str = include_str!("information_schema.txt");
const SYSTEM_VIEWS: &str = include_str!("system.txt");

/// One relation.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    pub(super) oid: u32,
    /// PostgreSQL's `relkind`: `r` or `v`.
    pub(super) kind: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) arrow: SchemaRef,
}

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// PostgreSQL's name of the type, e.g. `oid` or `_text`.
    pub(super) type_name: &'static str,
    pub(super) not_null: bool,
}

/// The relation of that name.
pub(super) fn find(schema: &str, name: &str) -> Option<&'static Definition> {
    let known = known();
    known.by_name.get(&(schema, name)).and_then(|index| known.all.get(*index))
}

/// All relations.
pub(super) fn all() -> &'static [Definition] {
    &known().all
}

struct Known {
    all: Vec<Definition>,
    by_name: HashMap<(&'static str, &'static str), usize>,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let of = |schema: &'static str, text: &'static str| lines(text).filter_map(move |line| parse(schema, line));
        let standard = of(PG_CATALOG, RELATIONS).chain(of(INFORMATION_SCHEMA, INFORMATION_SCHEMA_VIEWS));
        let all: Vec<_> = standard.chain(of(SYSTEM, SYSTEM_VIEWS)).collect();
        let by_name = all.iter().enumerate().map(|(index, found)| ((found.schema, found.name), index)).collect();
        Known { all, by_name }
    })
}

/// The lines of a data file that are no comment.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

fn parse(schema: &'static str, line: &'static str) -> Option<Definition> {
    let mut words = line.split(' ');
    let (name, oid, kind) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let column = |word: &'static str| {
        let (name, rest) = word.split_once(':')?;
        let type_name = rest.trim_end_matches('!');
        Some(Column { name, type_name, not_null: rest.ends_with('!') })
    };
    let columns: Vec<Column> = words.filter_map(column).collect();
    let fields = columns.iter().map(|column| {
        let field = Field::new(column.name, arrow_type(column.type_name), true);
        if column.type_name == "oid" { marked_oid(field) } else { field }
    });
    let arrow = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Some(Definition { schema, name, oid, kind, columns, arrow })
}

/// What carries a column. An OID is 32 bits without a sign, and so is what PostgreSQL can cast to one.
fn arrow_type(type_name: &str) -> DataType {
    if let Some(element) = type_name.strip_prefix('_') {
        return list_of(arrow_type(element));
    }
    match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "numeric" => DataType::Decimal128(38, 0),
        "oid" | "xid" | "regproc" | "regclass" | "regtype" => DataType::UInt32,
        "oidvector" => list_of(DataType::UInt32),
        "int2vector" => list_of(DataType::Int16),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "bytea" => DataType::Binary,
        _ => DataType::Utf8,
    }
}

/// The metadata key by which a 32-bit number without a sign is told to be an OID rather than a user's own number.
const TYPE_KEY: &str = "lakeward.type";
const OID: &str = "oid";

/// `field` as one that holds OIDs.
pub(super) fn marked_oid(field: Field) -> Field {
    field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), OID.to_owned())]))
}

/// Whether a result's column holds OIDs of the catalog, as PostgreSQL's type `oid`.
#[must_use]
pub fn is_oid(field: &Field) -> bool {
    field.data_type() == &DataType::UInt32 && field.metadata().get(TYPE_KEY).is_some_and(|name| name == OID)
}

pub(super) fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

#[cfg(test)]
mod tests {
    use super::{PG_CATALOG, all, find, is_oid};
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn every_line_of_the_files_is_a_relation_with_its_own_oid() {
        let mut oids: Vec<u32> = all().iter().map(|definition| definition.oid).collect();
        assert_eq!(oids.len(), 207);
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), 207);
        assert!(all().iter().all(|definition| !definition.columns.is_empty()));
    }

    #[test]
    fn unqualified_names_cannot_hide_a_users_table() {
        let in_pg_catalog = all().iter().filter(|definition| definition.schema == PG_CATALOG);
        assert!(in_pg_catalog.into_iter().all(|definition| definition.name.starts_with("pg_")));
    }

    #[test]
    fn columns_are_postgresqls() {
        let class = find(PG_CATALOG, "pg_class").unwrap();
        assert_eq!(class.oid, 1259);
        assert_eq!(class.columns[1].name, "relname");
        assert!(class.columns[1].not_null);
        assert_eq!(class.arrow.field(0).data_type(), &DataType::UInt32);
    }

    #[test]
    fn oids_are_told_from_other_numbers() {
        let class = find(PG_CATALOG, "pg_class").unwrap();
        assert!(is_oid(class.arrow.field_with_name("relnamespace").unwrap()));
        assert!(!is_oid(class.arrow.field_with_name("relname").unwrap()));
        assert!(!is_oid(&Field::new("oid", DataType::UInt32, true)), "a user's own number is none");
        let cast = class.arrow.field(0).as_ref().clone().with_data_type(DataType::Int64);
        assert!(!is_oid(&cast), "what was cast is none any more");
    }
}
