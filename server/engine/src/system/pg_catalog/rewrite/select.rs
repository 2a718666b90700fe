//! SELECT over catalog relations.
//!
//! Invariant: the columns stay as many and in their order; their names are taken from the query as it was written.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Ident, Select, SelectItem, visit_expressions_mut};

use super::{subquery, tree};

/// Makes a select list one that the planner takes.
pub(super) fn prepare(select: &mut Select) {
    for item in &mut select.projection {
        if let Some(expression) = tree::expression_of(item) {
            let _: ControlFlow<()> = visit_expressions_mut(expression, |expression| {
                subquery::fold_empty(expression);
                subquery::count_instead(expression);
                ControlFlow::Continue(())
            });
        }
    }
    name_twins(&mut select.projection);
}

/// The planner wants a name of its own for every column; `SELECT NULL, NULL` has one name for two.
fn name_twins(items: &mut [SelectItem]) {
    let mut seen = HashSet::new();
    for (place, item) in items.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expression) = item
            && !seen.insert(expression.to_string())
        {
            let alias = Ident::with_quote('"', format!("?column{place}?"));
            *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
        }
    }
}
