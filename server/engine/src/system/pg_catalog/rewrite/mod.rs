//! Rewrites what PostgreSQL's clients write into what the planner can read, on the syntax tree.
//!
//! Two parts: casts to types of the catalog (`'t'::regclass`) and `ARRAY(SELECT …)` in any query, which the planner
//! has neither of; and, only where a query reads `pg_catalog` or `information_schema`, shapes of subqueries over these
//! that it cannot decorrelate. Invariant: a query without any of this is not touched, and a subquery over a user's
//! table keeps its meaning.

mod array;
mod bare;
mod cast;
mod select;
mod subquery;
mod tree;

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, ObjectName, ObjectNamePart, Query, Select, SetExpr, TableFactor, Visit,
    VisitMut, Visitor, VisitorMut,
};

use super::definition::{Definition, PG_CATALOG};

/// Rewrites a query where there is something to rewrite, and then answers it as it was written.
pub(crate) fn rewrite(query: &mut Query) -> Option<Query> {
    let needs = Needs::of(query);
    let catalog = needs.catalog && !needs.shadowed;
    if !(catalog || needs.types) {
        return None;
    }
    let written = query.clone();
    let _ = query.visit(&mut Rewriter { catalog, set_comparisons: 0 });
    show_objects(&mut query.body);
    Some(written)
}

/// What a query needs, told without changing it.
#[derive(Default)]
struct Needs {
    catalog: bool,
    types: bool,
    /// A WITH query has a catalog relation's name.
    shadowed: bool,
}

impl Needs {
    fn of(query: &Query) -> Self {
        let mut needs = Self::default();
        let _ = query.visit(&mut needs);
        needs
    }
}

impl Visitor for Needs {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let named = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| &cte.alias.name);
        self.shadowed |=
            named.into_iter().any(|name| super::definition::find(PG_CATALOG, &name.value.to_lowercase()).is_some());
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.catalog |= definition_of(relation).is_some();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        self.types |= match expression {
            Expr::Cast { data_type, .. } => cast::is_catalog_type(data_type),
            Expr::Function(Function { args: FunctionArguments::Subquery(_), .. }) => true,
            _ => false,
        };
        ControlFlow::Continue(())
    }
}

/// The catalog relation of a name in FROM.
fn definition_of(name: &ObjectName) -> Option<&'static Definition> {
    let folded = |part: &ObjectNamePart| {
        let ident = part.as_ident()?;
        Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
    };
    let parts = name.0.iter().map(folded).collect::<Option<Vec<_>>>()?;
    let reference = match parts.as_slice() {
        [table] => TableReference::bare(table.as_str()),
        [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
        [database, schema, table] => TableReference::full(database.as_str(), schema.as_str(), table.as_str()),
        _ => return None,
    };
    super::find(&reference)
}

struct Rewriter {
    /// Whether the query reads the catalog.
    catalog: bool,
    /// How many `ANY (SELECT …)` and `ALL (SELECT …)` are open: their queries are no scalar subqueries.
    set_comparisons: usize,
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if self.catalog {
            bare::empty_spread(select);
            select::prepare(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if self.catalog {
            bare::replace_tableoid(select);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if self.catalog {
            bare::call_as_relation(factor);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if self.catalog {
            bare::drop_kinds(expression);
            bare::spread(expression);
            array::replace_role_names(expression);
            subquery::fold_empty(expression);
            array::read_any(expression);
            if tree::compares_with_set(expression) {
                self.set_comparisons += 1;
            } else if self.set_comparisons == 0 {
                subquery::aggregate(expression);
            }
        }
        array::replace_constructor(expression);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if self.catalog {
            if tree::compares_with_set(expression) {
                self.set_comparisons = self.set_comparisons.saturating_sub(1);
            }
            array::read_literal(expression);
        }
        cast::replace(expression);
        ControlFlow::Continue(())
    }
}

/// `SELECT 't'::regclass` shows a name.
fn show_objects(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => select.projection.iter_mut().filter_map(tree::expression_of).for_each(cast::show),
        SetExpr::Query(query) => show_objects(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            show_objects(left);
            show_objects(right);
        }
        _ => {}
    }
}
