//! The names that a query mentions.
//!
//! Invariant: what is found here is what the planner will ask for; common table expressions are no names.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;
use lakeward_base::SqlState;
use lakeward_catalog::View;

use crate::error::Error;
use crate::statement::Kind;
use crate::version::{self, Moment};

/// A view's query.
///
/// # Errors
/// XX000 where it was made by another version.
pub(crate) fn view_query(view: &View) -> Result<ast::Query, Error> {
    let broken =
        || Error::new(SqlState::INTERNAL_ERROR, format!("the definition of view \"{}\" cannot be read", view.name));
    match crate::statement::parse(view.definition.expose()).map_err(|_| broken())?.kind {
        Kind::Query(query) => Ok(*query),
        _ => Err(broken()),
    }
}

/// The names that a view's query reads, schema and name.
///
/// # Errors
/// What the parser says: the definition was made by another version.
pub(crate) fn names_of_view(view: &View) -> Result<Vec<(Option<String>, String)>, Error> {
    let mut query = view_query(view)?;
    version::mark(&mut query, Moment::UTC)?;
    let unmarked = |name: TableReference| {
        let (name, _) = version::unmark(&name)?;
        Ok((name.schema().map(str::to_owned), name.table().to_owned()))
    };
    names_in(&query)?.into_iter().map(unmarked).collect()
}

/// Every name that FROM clauses use, common table expressions apart.
pub(crate) fn names_in(query: &ast::Query) -> Result<BTreeSet<TableReference>, Error> {
    let statement = DfStatement::Statement(Box::new(ast::Statement::Query(Box::new(query.clone()))));
    let (names, _) =
        resolve_table_references(&statement, true).map_err(|error| crate::publish::planning(&error, None))?;
    Ok(names.into_iter().map(without_database).collect())
}

/// `lakeward.schema.table` is `schema.table`; other databases stay as they are and are not found.
pub(crate) fn without_database(name: TableReference) -> TableReference {
    match name {
        TableReference::Full { catalog, schema, table } if &*catalog == crate::functions::DATABASE => {
            TableReference::Partial { schema, table }
        }
        name => name,
    }
}
