//! What an expression's values are made of.
//!
//! Invariant: every column that an expression names is an origin of its values, a CASE's conditions and a window's order
//! too; a subquery that is asked for a truth lends all that it reads.

use datafusion::common::Column;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use lakeward_govern::hides_every_kind;

use super::{Source, Walk};

/// Functions whose results are no longer what they were made of (`safe_harbor_*` are others).
const DECLASSIFYING: &[&str] =
    &["de_identify", "mask_null", "mask_hash", "tokenize", "hmac_token", "fpe_encrypt", "truncate_to_year"];

fn declassifies(expr: &Expr) -> bool {
    let counts = |name: &str| name == "count";
    match expr {
        Expr::ScalarFunction(function) => {
            let name = function.name();
            // A list of kinds says what stays: with one, all of a value may.
            let chosen = name == "de_identify" && !hides_every_kind(&function.args);
            (DECLASSIFYING.contains(&name) && !chosen) || name.starts_with("safe_harbor_")
        }
        Expr::AggregateFunction(function) => counts(function.func.name()),
        Expr::WindowFunction(function) => match &function.fun {
            WindowFunctionDefinition::AggregateUDF(aggregate) => counts(aggregate.name()),
            WindowFunctionDefinition::WindowUDF(_) => false,
        },
        _ => false,
    }
}

fn calls(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.name() == name)
}

/// Whether a plan decrypts anything: then what it encrypts may be what that is.
pub(super) fn decrypts(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let read = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| Ok(calls(part, "fpe_decrypt")))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    // What cannot be read is taken for one that does.
    found || read.is_err()
}

impl Walk {
    /// What the values of `expr` are made of, over an input with these columns.
    pub(super) fn expression(&mut self, expr: &Expr, schema: &DFSchemaRef, columns: &[Source]) -> Source {
        let hidden = !self.whole && declassifies(expr) && !(self.decrypts && calls(expr, "fpe_encrypt"));
        if hidden || self.own.as_ref().is_some_and(|own| own == expr) {
            return Source::default();
        }
        match expr {
            Expr::Alias(alias) => self.expression(&alias.expr, schema, columns),
            Expr::Column(column) => named(column, schema, columns).unwrap_or_else(|| self.outer_column(column)),
            Expr::OuterReferenceColumn(_, column) => self.outer_column(column),
            Expr::Cast(cast) if keeps_text(&cast.expr, cast.field.data_type(), schema) => {
                self.expression(&cast.expr, schema, columns)
            }
            Expr::ScalarSubquery(subquery) => self.scalar(subquery, schema, columns),
            Expr::Exists(exists) => self.truth(&exists.subquery, None, schema, columns),
            Expr::InSubquery(is_in) => self.truth(&is_in.subquery, Some(&is_in.expr), schema, columns),
            Expr::SetComparison(comparison) => {
                self.truth(&comparison.subquery, Some(&comparison.expr), schema, columns)
            }
            other => {
                let mut parts = Vec::new();
                // The closure never fails, so neither does the walk.
                let _ = other.apply_children(|child| {
                    parts.push(self.expression(child, schema, columns));
                    Ok(TreeNodeRecursion::Continue)
                });
                match other {
                    // Made of many rows.
                    Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Source::merged(parts),
                    _ => Source::row_by_row(parts),
                }
            }
        }
    }

    /// Notes the columns of an expression that chooses rows.
    pub(super) fn choose(&mut self, expr: &Expr, inputs: &[(&DFSchemaRef, &[Source])]) {
        if !self.whole {
            return;
        }
        for column in expr.column_refs() {
            let found = inputs.iter().find_map(|(schema, columns)| named(column, schema, columns));
            self.chosen.extend(found.unwrap_or_else(|| self.outer_column(column)).origins);
        }
    }

    /// A column of a query around this one. One that is not found could be any of them.
    fn outer_column(&self, column: &Column) -> Source {
        let found = self.outer.iter().rev().find_map(|(schema, columns)| named(column, schema, columns));
        let any = || Source::merged(self.outer.iter().flat_map(|(_, columns)| columns.iter().cloned()));
        found.unwrap_or_else(any).elsewhere()
    }

    fn scalar(&mut self, subquery: &Subquery, schema: &DFSchemaRef, columns: &[Source]) -> Source {
        self.outer.push((schema.clone(), columns.to_vec()));
        let found = self.plan(&subquery.subquery);
        self.outer.pop();
        Source::merged(found)
    }

    /// A subquery that is asked whether it has rows, or such rows.
    fn truth(&mut self, subquery: &Subquery, of: Option<&Expr>, schema: &DFSchemaRef, columns: &[Source]) -> Source {
        let compared = of.map(|expr| self.expression(expr, schema, columns));
        let read = self.everything(&subquery.subquery);
        let outer = subquery.outer_ref_columns.iter().map(|outer| self.correlated(outer, schema, columns));
        let outer: Vec<_> = outer.collect();
        Source::merged(compared.into_iter().chain([read]).chain(outer))
    }

    fn correlated(&mut self, outer: &Expr, schema: &DFSchemaRef, columns: &[Source]) -> Source {
        match outer {
            Expr::OuterReferenceColumn(_, column) => {
                named(column, schema, columns).unwrap_or_else(|| self.outer_column(column))
            }
            other => self.expression(other, schema, columns),
        }
    }
}

fn named(column: &Column, schema: &DFSchemaRef, columns: &[Source]) -> Option<Source> {
    columns.get(schema.index_of_column(column).ok()?).cloned()
}

/// Whether a cast is one between two representations of text, which SQL does not know of.
fn keeps_text(expr: &Expr, target: &arrow::datatypes::DataType, schema: &DFSchemaRef) -> bool {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::ExprSchemable;
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    expr.get_type(schema.as_ref()).is_ok_and(|from| from == *target || (text(&from) && text(target)))
}
