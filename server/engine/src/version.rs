//! `VERSION AS OF`: folded into the table's name before planning, because DataFusion's planner drops it in silence.
//!
//! `t VERSION AS OF 3` becomes a name that no user can type (`t`, U+0001, `3`), under the alias `t` where none was
//! written. Invariant: after [`mark`] no table factor carries a version, so none can be dropped.

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, TableVersion, Value, VisitMut, VisitorMut,
};
use lakeward_base::SqlState;
use lakeward_catalog::VersionSelector;

use crate::error::Error;

/// No identifier can hold it: the front parser refuses control characters.
const SEPARATOR: char = '\u{1}';

/// Folds every version of `query` into its table's name. A version given by a parameter without a value yet (while a
/// statement is being prepared) stands for the newest.
pub(crate) fn mark(query: &mut Query, parameters: &[ScalarValue]) -> Result<(), Error> {
    match query.visit(&mut Marker { parameters }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Marker<'a> {
    parameters: &'a [ScalarValue],
}

impl VisitorMut for Marker<'_> {
    type Break = Box<Error>;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, alias, version, .. } = factor {
            let Some(version) = version.take() else { return refuse_forged(name) };
            match self.selector(&version) {
                Ok(selector) => fold(name, alias, selector),
                Err(error) => return ControlFlow::Break(Box::new(error)),
            }
        }
        ControlFlow::Continue(())
    }
}

impl Marker<'_> {
    fn selector(&self, version: &TableVersion) -> Result<VersionSelector, Error> {
        let TableVersion::VersionAsOf(expr) = version else {
            return Err(Error::unsupported("time travel by time").with_hint("Use VERSION AS OF with a version number."));
        };
        let Expr::Value(value) = expr else { return Err(not_a_version()) };
        match &value.value {
            Value::Number(number, _) => number.parse().map(VersionSelector::Exact).map_err(|_| not_a_version()),
            Value::Placeholder(name) => self.parameter(name),
            _ => Err(not_a_version()),
        }
    }

    fn parameter(&self, name: &str) -> Result<VersionSelector, Error> {
        let number: usize = name.trim_start_matches('$').parse().map_err(|_| not_a_version())?;
        let Some(value) = number.checked_sub(1).and_then(|index| self.parameters.get(index)) else {
            return Ok(VersionSelector::Latest);
        };
        let text = value.cast_to(&arrow::datatypes::DataType::UInt64).map_err(|_| not_a_version())?;
        match text {
            ScalarValue::UInt64(Some(version)) => Ok(VersionSelector::Exact(version)),
            _ => Err(not_a_version()),
        }
    }
}

fn not_a_version() -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, "VERSION AS OF takes a whole number, as a constant or a parameter")
}

fn refuse_forged(name: &ObjectName) -> ControlFlow<Box<Error>> {
    let forged = name.0.iter().filter_map(ObjectNamePart::as_ident).any(|ident| ident.value.contains(SEPARATOR));
    if forged {
        let error = Error::new(SqlState::INVALID_NAME, "names cannot hold control characters");
        return ControlFlow::Break(Box::new(error));
    }
    ControlFlow::Continue(())
}

fn fold(name: &mut ObjectName, alias: &mut Option<TableAlias>, selector: VersionSelector) {
    let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() else { return };
    if alias.is_none() {
        *alias = Some(TableAlias { explicit: true, name: last.clone(), columns: Vec::new(), at: None });
    }
    let folded = if last.quote_style.is_some() { last.value.clone() } else { last.value.to_lowercase() };
    let value = match selector {
        VersionSelector::Latest => folded,
        VersionSelector::Exact(version) => format!("{folded}{SEPARATOR}{version}"),
    };
    *last = Ident { value, quote_style: Some('"'), span: last.span };
}

/// Takes a marked name apart.
pub(crate) fn unmark(marked: &TableReference) -> Result<(TableReference, VersionSelector), Error> {
    let Some((table, version)) = marked.table().split_once(SEPARATOR) else {
        return Ok((marked.clone(), VersionSelector::Latest));
    };
    let version = version.parse().map_err(|_| not_a_version())?;
    let name = match (marked.catalog(), marked.schema()) {
        (Some(catalog), Some(schema)) => TableReference::full(catalog, schema, table),
        (None, Some(schema)) => TableReference::partial(schema, table),
        _ => TableReference::bare(table),
    };
    Ok((name, VersionSelector::Exact(version)))
}

#[cfg(test)]
mod tests {
    use super::{VersionSelector, mark, unmark};
    use crate::statement::{Kind, parse};
    use datafusion::common::ScalarValue;
    use datafusion::common::TableReference;
    use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart, Query};
    use std::ops::ControlFlow;

    fn query(sql: &str) -> Query {
        match parse(sql).unwrap().kind {
            Kind::Query(query) => *query,
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_version_becomes_part_of_the_name_and_the_alias_stays() {
        let mut marked = query("SELECT Patients.age FROM Patients VERSION AS OF 3");
        mark(&mut marked, &[]).unwrap();
        assert_eq!(marked.to_string(), "SELECT Patients.age FROM \"patients\u{1}3\" AS Patients");
    }

    #[test]
    fn parameters_give_versions() {
        let mut marked = query("SELECT * FROM t VERSION AS OF $1 x");
        mark(&mut marked, &[ScalarValue::Int64(Some(7))]).unwrap();
        assert_eq!(marked.to_string(), "SELECT * FROM \"t\u{1}7\" x");
        let mut negative = query("SELECT * FROM t VERSION AS OF $1 x");
        assert!(mark(&mut negative, &[ScalarValue::Int64(Some(-1))]).is_err());
    }

    #[test]
    fn a_forged_name_is_refused() {
        assert!(parse("SELECT * FROM \"t\u{1}3\"").is_err(), "the lexer refuses control characters");
        let mut forged = query("SELECT * FROM t");
        rename_first_table(&mut forged, "t\u{1}3");
        assert!(mark(&mut forged, &[]).is_err());
    }

    fn rename_first_table(query: &mut Query, to: &str) {
        let _: ControlFlow<()> = ast::visit_relations_mut(query, |name| {
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', to))]);
            ControlFlow::Break(())
        });
    }

    #[test]
    fn unmark_is_the_inverse() {
        let (name, at) = unmark(&TableReference::partial("s", "t\u{1}12")).unwrap();
        assert_eq!((name, at), (TableReference::partial("s", "t"), VersionSelector::Exact(12)));
    }
}
