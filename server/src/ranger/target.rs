//! What a policy is about: tables and columns by name, by pattern, or all but some.
//!
//! Invariant: without a catalog nothing is guessed but a column's type, and that is said; with one, what is not there is
//! said.

use std::sync::Arc;

use lakeward_catalog::{Relation, Snapshot, type_kind};

use super::export::{Resource, Resources};
use super::name::{fits, is_pattern, quoted};

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnName {
    /// Its table.
    pub table: TableName,
    /// The column.
    pub column: String,
    /// Its type without a length, where it is known.
    pub kind: Option<String>,
}

/// Which schema a database of Hive's is, and what is in it.
pub struct Places {
    catalog: Option<Arc<Snapshot>>,
    schemas: Vec<(String, String)>,
}

impl Places {
    /// Over what `catalog` has, where it is known; `schemas` are databases and the schemas that they became.
    pub fn new(catalog: Option<Arc<Snapshot>>, schemas: Vec<(String, String)>) -> Self {
        Self { catalog, schemas }
    }

    /// The catalog.
    pub fn catalog(&self) -> Option<&Snapshot> {
        self.catalog.as_deref()
    }

    /// The schema of a database: of the same name, unless it was said otherwise; Hive's `default` is `public`.
    pub fn schema(&self, database: &str) -> String {
        let database = database.to_lowercase();
        match self.schemas.iter().find(|(from, _)| *from == database) {
            Some((_, schema)) => schema.clone(),
            None if database == "default" => "public".to_owned(),
            None => database,
        }
    }

    /// The tables of a row filter.
    ///
    /// # Errors
    /// What cannot be said, in words.
    pub fn tables(&self, resources: &Resources) -> Result<Vec<TableName>, String> {
        check_kinds(resources, &["database", "table"])?;
        self.tables_of(resources)
    }

    /// The columns of a mask.
    ///
    /// # Errors
    /// What cannot be said, in words.
    pub fn columns(&self, resources: &Resources) -> Result<Vec<ColumnName>, String> {
        check_kinds(resources, &["database", "table", "column"])?;
        let wanted = resource(resources, "column")?;
        let mut found = Vec::new();
        for table in self.tables_of(resources)? {
            let Some(catalog) = self.catalog() else {
                let named = wanted.values.iter().map(|column| column.to_lowercase());
                found.extend(named.map(|column| ColumnName { table: table.clone(), column, kind: None }));
                must_be_plain(wanted)?;
                continue;
            };
            let Some(Relation::Table(entry)) = catalog.relation(&table.schema, &table.table) else { continue };
            let fitting = entry.columns.iter().filter(|column| is_wanted(wanted, &column.name));
            found.extend(fitting.map(|column| {
                let kind = Some(type_kind(&column.sql_type).to_owned());
                ColumnName { table: table.clone(), column: column.name.clone(), kind }
            }));
            if let Some(missing) = missing(wanted, entry.columns.iter().map(|column| column.name.as_str())) {
                return Err(format!("there is no column {}.{}.{missing}", table.schema, table.table));
            }
        }
        if found.is_empty() { Err("there is no such column".to_owned()) } else { Ok(found) }
    }

    fn tables_of(&self, resources: &Resources) -> Result<Vec<TableName>, String> {
        let (databases, tables) = (resource(resources, "database")?, resource(resources, "table")?);
        let Some(catalog) = self.catalog() else {
            must_be_plain(databases)?;
            must_be_plain(tables)?;
            let of_schema = |schema: String| {
                let names = tables.values.iter().map(|table| table.to_lowercase());
                names.map(move |table| TableName { schema: schema.clone(), table }).collect::<Vec<_>>()
            };
            return Ok(databases.values.iter().flat_map(|database| of_schema(self.schema(database))).collect());
        };
        let schemas: Vec<_> = catalog.schemas().filter(|schema| self.is_schema(databases, &schema.name)).collect();
        let mut found = Vec::new();
        for schema in schemas {
            for relation in catalog.relations().filter(|relation| relation.schema() == schema.id) {
                if !is_wanted(tables, relation.name()) {
                    continue;
                }
                match relation {
                    Relation::Table(table) => {
                        found.push(TableName { schema: schema.name.clone(), table: table.name.clone() });
                    }
                    Relation::View(_) if tables.values.iter().all(|value| is_pattern(value)) => {}
                    Relation::View(view) => {
                        return Err(format!(
                            "{}.{} is a view: the policies of what it reads hold",
                            schema.name, view.name
                        ));
                    }
                }
            }
            let named = catalog.relations().filter(|relation| relation.schema() == schema.id);
            let named: Vec<String> = named.map(|relation| relation.name().to_owned()).collect();
            if let Some(missing) = missing(tables, named.iter().map(String::as_str)) {
                return Err(format!("there is no table {}.{missing}", schema.name));
            }
        }
        found.sort();
        if found.is_empty() { Err("there is no such table".to_owned()) } else { Ok(found) }
    }

    /// Whether a schema is one of these databases.
    fn is_schema(&self, databases: &Resource, schema: &str) -> bool {
        let fits_one = databases.values.iter().any(|database| {
            if is_pattern(database) { fits(database, schema) } else { self.schema(database) == schema }
        });
        fits_one != databases.is_excludes
    }
}

fn resource<'a>(resources: &'a Resources, kind: &str) -> Result<&'a Resource, String> {
    let found = resources.get(kind).filter(|resource| !resource.values.is_empty());
    found.ok_or_else(|| format!("it names no {kind}"))
}

fn check_kinds(resources: &Resources, known: &[&str]) -> Result<(), String> {
    match resources.keys().find(|kind| !known.contains(&kind.as_str())) {
        Some(other) => Err(format!("it is about a {other}")),
        None => Ok(()),
    }
}

fn is_wanted(wanted: &Resource, name: &str) -> bool {
    wanted.values.iter().any(|value| fits(value, name)) != wanted.is_excludes
}

/// A name that is asked for by itself and is not there.
fn missing<'a>(wanted: &'a Resource, mut there: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if wanted.is_excludes {
        return None;
    }
    let values = wanted.values.iter().filter(|value| !is_pattern(value)).map(String::as_str);
    let names: Vec<&str> = there.by_ref().collect();
    values.into_iter().find(|value| !names.iter().any(|name| fits(value, name)))
}

fn must_be_plain(resource: &Resource) -> Result<(), String> {
    if resource.is_excludes || resource.values.iter().any(|value| is_pattern(value)) {
        return Err("it has names by a pattern, or all but some: name the data directory (--data-dir)".to_owned());
    }
    Ok(())
}

impl TableName {
    /// As a statement names it.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

impl Places {
    /// [`schema`](Self::schema), to keep.
    pub fn known_schemas(&self) -> impl Fn(&str) -> String + use<> {
        let known = Self { catalog: None, schemas: self.schemas.clone() };
        move |database| known.schema(database)
    }

    /// Whether a table has row policies that are not an import's.
    pub fn has_other_policies(&self, table: &TableName) -> bool {
        let Some(Relation::Table(entry)) = self.catalog().and_then(|known| known.relation(&table.schema, &table.table))
        else {
            return false;
        };
        entry.policies.iter().any(|policy| policy.name != "ranger_filter")
    }
}
