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
    /// PostgreSQL's `relkind`: `r` or `v`; `f` for what is no relation, but a function in FROM.
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
pub(super) fn all() -> impl Iterator<Item = &'static Definition> {
    known().all.iter().filter(|definition| definition.kind != FUNCTION)
}

/// The kind of a function in FROM.
pub(super) const FUNCTION: &str = "f";

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
        match CatalogType::named(column.type_name) {
            Some(found) => marked(field, found),
            None => field,
        }
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

/// The metadata key by which a number or a text is told to be the catalog's own rather than a user's.
const TYPE_KEY: &str = "lakeward.type";

/// A type of PostgreSQL's catalog, which Arrow has as a number or a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogType {
    /// `oid`: four bytes without a sign.
    Oid,
    /// `regproc`: an OID that is shown as its function's name.
    Function,
    /// `name`: the name of an object.
    Name,
    /// `"char"`: one byte.
    Char,
}

impl CatalogType {
    fn named(name: &str) -> Option<Self> {
        [Self::Oid, Self::Function, Self::Name, Self::Char].into_iter().find(|known| known.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Oid => "oid",
            Self::Function => "regproc",
            Self::Name => "name",
            Self::Char => "char",
        }
    }

    fn carrier(self) -> DataType {
        arrow_type(self.name())
    }
}

/// `field` as one that holds values of a type of the catalog.
pub(super) fn marked(field: Field, catalog_type: CatalogType) -> Field {
    field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), catalog_type.name().to_owned())]))
}

/// The catalog's type of a result's column, where it has one.
#[must_use]
pub fn catalog_type(field: &Field) -> Option<CatalogType> {
    let found = CatalogType::named(field.metadata().get(TYPE_KEY)?)?;
    (field.data_type() == &found.carrier()).then_some(found)
}

pub(super) fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

#[cfg(test)]
mod tests {
    use super::{CatalogType, PG_CATALOG, all, catalog_type, find};
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn every_line_of_the_files_is_a_relation_with_its_own_oid() {
        let mut oids: Vec<u32> = all().map(|definition| definition.oid).collect();
        assert_eq!(oids.len(), 210);
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), 210);
        assert!(all().all(|definition| !definition.columns.is_empty()));
    }

    #[test]
    fn unqualified_names_cannot_hide_a_users_table() {
        let in_pg_catalog = all().filter(|definition| definition.schema == PG_CATALOG);
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
        let of = |name: &str| catalog_type(class.arrow.field_with_name(name).unwrap());
        assert_eq!(of("relnamespace"), Some(CatalogType::Oid));
        assert_eq!(of("relname"), Some(CatalogType::Name));
        assert_eq!(of("relkind"), Some(CatalogType::Char));
        assert_eq!(of("relnatts"), None);
        assert_eq!(catalog_type(&Field::new("oid", DataType::UInt32, true)), None, "a user's own number is none");
        let cast = class.arrow.field(0).as_ref().clone().with_data_type(DataType::Int64);
        assert_eq!(catalog_type(&cast), None, "what was cast is none any more");
    }
}
